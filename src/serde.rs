//! Feature `serde`: maps as maps, sets as sequences.

use std::{
    fmt,
    hash::{BuildHasher, Hash},
    marker::PhantomData,
};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use crate::{
    HashMap, HashSet,
    map::{Bulk, Present},
};

/// A length that an input claims is believed up to here; what is longer grows.
const BELIEVED: usize = 4096;

impl<K, V, S> Serialize for HashMap<K, V, S>
where
    K: Serialize,
    V: Serialize,
{
    /// Serializes the entries, weakly consistent as iteration. They are collected first,
    /// because formats want to know how many there are, and others may be writing.
    fn serialize<R: Serializer>(&self, serializer: R) -> Result<R::Ok, R::Error> {
        let pinned = self.pin();
        let entries: Vec<_> = pinned.iter().collect();
        serializer.collect_map(entries)
    }
}

impl<K, S> Serialize for HashSet<K, S>
where
    K: Serialize,
{
    /// Serializes the keys; see the map's implementation.
    fn serialize<R: Serializer>(&self, serializer: R) -> Result<R::Ok, R::Error> {
        let pinned = self.pin();
        let keys: Vec<_> = pinned.iter().collect();
        serializer.collect_seq(keys)
    }
}

impl<'de, K, V, S> Deserialize<'de> for HashMap<K, V, S>
where
    K: Deserialize<'de> + Hash + Eq,
    V: Deserialize<'de>,
    S: BuildHasher + Default,
{
    /// If a key comes more than once, its last value is kept.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MapVisitor(PhantomData))
    }
}

struct MapVisitor<K, V, S>(PhantomData<(K, V, S)>);

impl<'de, K, V, S> Visitor<'de> for MapVisitor<K, V, S>
where
    K: Deserialize<'de> + Hash + Eq,
    V: Deserialize<'de>,
    S: BuildHasher + Default,
{
    type Value = HashMap<K, V, S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let capacity = access.size_hint().unwrap_or(0).min(BELIEVED);
        let map = HashMap::with_capacity_and_hasher(capacity, S::default());
        let mut bulk = Bulk::new(&map, Present::Replace);
        while let Some((key, value)) = access.next_entry()? {
            bulk.push(key, value);
        }
        bulk.finish();
        Ok(map)
    }
}

impl<'de, K, S> Deserialize<'de> for HashSet<K, S>
where
    K: Deserialize<'de> + Hash + Eq,
    S: BuildHasher + Default,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(SetVisitor(PhantomData))
    }
}

struct SetVisitor<K, S>(PhantomData<(K, S)>);

impl<'de, K, S> Visitor<'de> for SetVisitor<K, S>
where
    K: Deserialize<'de> + Hash + Eq,
    S: BuildHasher + Default,
{
    type Value = HashSet<K, S>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence of keys")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let capacity = access.size_hint().unwrap_or(0).min(BELIEVED);
        let set = HashSet::with_capacity_and_hasher(capacity, S::default());
        let mut bulk = Bulk::new(&set.map, Present::Keep);
        while let Some(key) = access.next_element()? {
            bulk.push(key, ());
        }
        bulk.finish();
        Ok(set)
    }
}
