//! dashmap: shards behind read-write locks, no guards.

use ahash::RandomState;

use super::{Bulk, Compute, Key, Map, Session, Sum, Value, hasher, increased};

pub struct DashMap<K: Key = u64, V: Value = u64>(dashmap::DashMap<K, V, RandomState>);

impl<K: Key, V: Value> Map<K, V> for DashMap<K, V> {
    const NAME: &'static str = "dashmap";

    type Session<'m> = &'m dashmap::DashMap<K, V, RandomState>;

    fn with_capacity(entries: usize) -> Self {
        Self(dashmap::DashMap::with_capacity_and_hasher(entries, hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        &self.0
    }
}

impl<K: Key, V: Value> Session<K, V> for &dashmap::DashMap<K, V, RandomState> {
    #[inline(always)]
    fn get(&self, key: &K) -> Option<u64> {
        dashmap::DashMap::get(self, key).map(|entry| entry.digest())
    }

    #[inline(always)]
    fn insert(&self, key: K, value: V) -> bool {
        dashmap::DashMap::insert(self, key, value).is_some()
    }

    #[inline(always)]
    fn update(&self, key: &K, value: V) -> bool {
        self.get_mut(key).map(|mut old| *old = value).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: &K) -> bool {
        dashmap::DashMap::remove(self, key).is_some()
    }

    #[inline(always)]
    fn sum_of_all(&self) -> Sum {
        let mut sum = Sum::default();
        self.iter().for_each(|entry| sum.add(entry.value()));
        sum
    }
}

impl Bulk for DashMap {
    fn extend(&mut self, entries: impl Iterator<Item = (u64, u64)>) {
        self.0.extend(entries);
    }
}

impl Compute for DashMap {
    #[inline(always)]
    fn compute_if_absent(map: &Self::Session<'_>, key: u64, f: impl FnOnce() -> u64) -> u64 {
        *map.entry(key).or_insert_with(f)
    }

    #[inline(always)]
    fn increment(map: &Self::Session<'_>, key: u64) -> u64 {
        *map.entry(key).and_modify(|value| *value = increased(Some(value))).or_insert(1)
    }
}
