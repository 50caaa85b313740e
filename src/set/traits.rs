//! The traits that every set has.

use std::{
    fmt,
    hash::{BuildHasher, Hash},
};

use ahash::RandomState;

use super::HashSet;
use crate::map::{Bulk, Present};

impl<K, S: Default> Default for HashSet<K, S> {
    /// An empty set with a default hasher.
    fn default() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<K, S> Clone for HashSet<K, S>
where
    K: Hash + Eq + Clone,
    S: BuildHasher + Clone,
{
    /// A set with clones of the keys; see [`HashMap::clone`](crate::HashMap::clone).
    fn clone(&self) -> Self {
        HashSet { map: self.map.clone() }
    }
}

impl<K: fmt::Debug, S> fmt::Debug for HashSet<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pin().fmt(f)
    }
}

impl<K, S> PartialEq for HashSet<K, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// Whether both have the same keys. Weakly consistent, as iteration is.
    fn eq(&self, other: &Self) -> bool {
        self.map == other.map
    }
}

impl<K, S> Eq for HashSet<K, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
}

impl<K, S> Extend<K> for &HashSet<K, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// Inserts all keys; a shared set can be extended. Each is in the set before the next is asked
    /// for, so the iterator may be one that waits (for a channel, say).
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        let keys = keys.into_iter();
        self.map.make_room(keys.size_hint());
        for key in keys {
            self.insert(key);
        }
    }
}

impl<K, S> Extend<K> for HashSet<K, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// Inserts all keys; see [`HashMap`](crate::HashMap)'s.
    fn extend<I: IntoIterator<Item = K>>(&mut self, keys: I) {
        let keys = keys.into_iter();
        self.map.make_room(keys.size_hint());
        let mut bulk = Bulk::new(&self.map, Present::Keep);
        keys.for_each(|key| bulk.push(key, ()));
        bulk.finish();
    }
}

impl<'a, K, S> Extend<&'a K> for HashSet<K, S>
where
    K: Hash + Eq + Copy,
    S: BuildHasher,
{
    fn extend<I: IntoIterator<Item = &'a K>>(&mut self, keys: I) {
        self.extend(keys.into_iter().copied());
    }
}

impl<K, S> FromIterator<K> for HashSet<K, S>
where
    K: Hash + Eq,
    S: BuildHasher + Default,
{
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        let mut set = Self::default();
        set.extend(keys);
        set
    }
}

impl<K, const N: usize> From<[K; N]> for HashSet<K, RandomState>
where
    K: Hash + Eq,
{
    fn from(keys: [K; N]) -> Self {
        keys.into_iter().collect()
    }
}
