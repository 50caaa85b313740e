//! scc's `HashMap`, whose readers lock buckets, and its `HashIndex`, whose readers do not.

use ahash::RandomState;
use scc::Guard;
use scc::hash_index::Entry;

use super::{Compute, Key, Map, Session, Sum, Value, hasher, increased};

pub struct SccMap<K: Key = u64, V: Value = u64>(scc::HashMap<K, V, RandomState>);

impl<K: Key, V: Value> Map<K, V> for SccMap<K, V> {
    const NAME: &'static str = "scc HashMap";

    type Session<'m> = &'m scc::HashMap<K, V, RandomState>;

    fn with_capacity(entries: usize) -> Self {
        Self(scc::HashMap::with_capacity_and_hasher(entries, hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        &self.0
    }
}

impl<K: Key, V: Value> Session<K, V> for &scc::HashMap<K, V, RandomState> {
    #[inline(always)]
    fn get(&self, key: &K) -> Option<u64> {
        self.read_sync(key, |_, value| value.digest())
    }

    #[inline(always)]
    fn insert(&self, key: K, value: V) -> bool {
        self.upsert_sync(key, value).is_some()
    }

    #[inline(always)]
    fn insert_new(&self, key: K, value: V) -> bool {
        self.insert_sync(key, value).is_ok()
    }

    #[inline(always)]
    fn update(&self, key: &K, value: V) -> bool {
        self.update_sync(key, |_, old| *old = value).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: &K) -> bool {
        self.remove_sync(key).is_some()
    }

    #[inline(always)]
    fn sum_of_all(&self) -> Sum {
        let mut sum = Sum::default();
        self.iter_sync(|_, value| {
            sum.add(value);
            true
        });
        sum
    }
}

impl Compute for SccMap {
    #[inline(always)]
    fn compute_if_absent(map: &Self::Session<'_>, key: u64, f: impl FnOnce() -> u64) -> u64 {
        *map.entry_sync(key).or_insert_with(f).get()
    }

    #[inline(always)]
    fn increment(map: &Self::Session<'_>, key: u64) -> u64 {
        let entry = map.entry_sync(key).and_modify(|value| *value = increased(Some(value)));
        *entry.or_insert(1).get()
    }
}

type Index<K, V> = scc::HashIndex<K, V, RandomState>;

pub struct SccIndex<K: Key = u64, V: Value = u64>(Index<K, V>);

impl<K: Key, V: Value> Map<K, V> for SccIndex<K, V> {
    const NAME: &'static str = "scc HashIndex";

    type Session<'m> = SccIndexSession<'m, K, V>;

    fn with_capacity(entries: usize) -> Self {
        Self(scc::HashIndex::with_capacity_and_hasher(entries, hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        SccIndexSession { index: &self.0, guard: Guard::new() }
    }
}

pub struct SccIndexSession<'m, K: Key, V: Value> {
    index: &'m Index<K, V>,
    guard: Guard,
}

impl<K: Key, V: Value> Session<K, V> for SccIndexSession<'_, K, V> {
    #[inline(always)]
    fn get(&self, key: &K) -> Option<u64> {
        self.index.peek(key, &self.guard).map(V::digest)
    }

    #[inline(always)]
    fn insert(&self, key: K, value: V) -> bool {
        upsert(self.index, key, value)
    }

    #[inline(always)]
    fn insert_new(&self, key: K, value: V) -> bool {
        self.index.insert_sync(key, value).is_ok()
    }

    #[inline(always)]
    fn update(&self, key: &K, value: V) -> bool {
        self.index.get_sync(key).map(|mut entry| entry.update(value)).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: &K) -> bool {
        self.index.remove_sync(key)
    }

    #[inline(always)]
    fn sum_of_all(&self) -> Sum {
        Sum::of(self.index.iter(&self.guard).map(|(_, value)| value))
    }
}

pub struct SccIndexEach<K: Key = u64, V: Value = u64>(Index<K, V>);

impl<K: Key, V: Value> Map<K, V> for SccIndexEach<K, V> {
    const NAME: &'static str = "scc HashIndex, pin each";

    type Session<'m> = &'m Index<K, V>;

    fn with_capacity(entries: usize) -> Self {
        Self(scc::HashIndex::with_capacity_and_hasher(entries, hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        &self.0
    }
}

impl<K: Key, V: Value> Session<K, V> for &Index<K, V> {
    #[inline(always)]
    fn get(&self, key: &K) -> Option<u64> {
        self.peek_with(key, |_, value| value.digest())
    }

    #[inline(always)]
    fn insert(&self, key: K, value: V) -> bool {
        upsert(self, key, value)
    }

    #[inline(always)]
    fn insert_new(&self, key: K, value: V) -> bool {
        self.insert_sync(key, value).is_ok()
    }

    #[inline(always)]
    fn update(&self, key: &K, value: V) -> bool {
        self.get_sync(key).map(|mut entry| entry.update(value)).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: &K) -> bool {
        self.remove_sync(key)
    }

    #[inline(always)]
    fn sum_of_all(&self) -> Sum {
        let guard = Guard::new();
        Sum::of(self.iter(&guard).map(|(_, value)| value))
    }
}

/// Its writes need no guard, so there is no other way.
impl Compute for SccIndexEach {
    #[inline(always)]
    fn compute_if_absent(index: &Self::Session<'_>, key: u64, f: impl FnOnce() -> u64) -> u64 {
        *index.entry_sync(key).or_insert_with(f).get()
    }

    #[inline(always)]
    fn increment(index: &Self::Session<'_>, key: u64) -> u64 {
        match index.entry_sync(key) {
            Entry::Occupied(mut entry) => {
                let value = increased(Some(entry.get()));
                entry.update(value);
                value
            }
            Entry::Vacant(entry) => *entry.insert_entry(1).get(),
        }
    }
}

/// `HashIndex` has no single call that inserts or replaces; its entry is the one way.
#[inline(always)]
fn upsert<K: Key, V: Value>(index: &Index<K, V>, key: K, value: V) -> bool {
    match index.entry_sync(key) {
        Entry::Occupied(mut entry) => {
            entry.update(value);
            true
        }
        Entry::Vacant(entry) => {
            entry.insert_entry(value);
            false
        }
    }
}
