//! moka's `Cache`, without bounds: it never evicts, and is here for its single flight.

use ahash::RandomState;

use super::{Compute, Map, Session, hasher, increased};

type Cache = moka::sync::Cache<u64, u64, RandomState>;

pub struct Moka(Cache);

impl Map for Moka {
    const NAME: &'static str = "moka";

    type Session<'m> = &'m Cache;

    fn new() -> Self {
        Self(moka::sync::Cache::builder().build_with_hasher(hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        &self.0
    }

    fn flush(&self) {
        self.0.run_pending_tasks();
    }
}

impl Session for &Cache {
    #[inline(always)]
    fn get(&self, key: u64) -> Option<u64> {
        Cache::get(self, &key)
    }

    /// `Cache::insert` does not tell what was there, so it is asked before.
    #[inline(always)]
    fn insert(&self, key: u64, value: u64) -> bool {
        let present = self.contains_key(&key);
        Cache::insert(self, key, value);
        present
    }

    #[inline(always)]
    fn remove(&self, key: u64) -> bool {
        Cache::remove(self, &key).is_some()
    }
}

impl Compute for Moka {
    #[inline(always)]
    fn compute_if_absent(cache: &&Cache, key: u64, f: impl FnOnce() -> u64) -> u64 {
        cache.get_with(key, f)
    }

    #[inline(always)]
    fn increment(cache: &&Cache, key: u64) -> u64 {
        let f = |entry: Option<moka::Entry<_, _>>| increased(entry.as_ref().map(|e| e.value()));
        cache.entry(key).and_upsert_with(f).into_value()
    }
}
