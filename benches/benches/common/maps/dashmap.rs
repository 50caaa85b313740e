//! dashmap: shards behind read-write locks, no guards.

use ahash::RandomState;

use super::{Compute, Map, Session, hasher, increased};

pub struct DashMap(dashmap::DashMap<u64, u64, RandomState>);

impl Map for DashMap {
    const NAME: &'static str = "dashmap";

    type Session<'m> = &'m dashmap::DashMap<u64, u64, RandomState>;

    fn new() -> Self {
        Self(dashmap::DashMap::with_hasher(hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        &self.0
    }
}

impl Session for &dashmap::DashMap<u64, u64, RandomState> {
    #[inline(always)]
    fn get(&self, key: u64) -> Option<u64> {
        dashmap::DashMap::get(self, &key).map(|entry| *entry)
    }

    #[inline(always)]
    fn insert(&self, key: u64, value: u64) -> bool {
        dashmap::DashMap::insert(self, key, value).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: u64) -> bool {
        dashmap::DashMap::remove(self, &key).is_some()
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
