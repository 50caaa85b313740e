//! moka's `Cache`, without bounds: it never evicts, and is here for its single flight.

use ahash::RandomState;
use moka::ops::compute::{CompResult, Op};

use super::{Compute, Map, Session, Sum, hasher, increased};

type Cache = moka::sync::Cache<u64, u64, RandomState>;

pub struct Moka(Cache);

impl Map for Moka {
    const NAME: &'static str = "moka";

    type Session<'m> = &'m Cache;

    fn with_capacity(entries: usize) -> Self {
        let builder = moka::sync::Cache::builder().initial_capacity(entries);
        Self(builder.build_with_hasher(hasher()))
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
    fn get(&self, key: &u64) -> Option<u64> {
        Cache::get(self, key)
    }

    /// `Cache::insert` does not tell what was there, so it is asked before.
    #[inline(always)]
    fn insert(&self, key: u64, value: u64) -> bool {
        let present = self.contains_key(&key);
        Cache::insert(self, key, value);
        present
    }

    #[inline(always)]
    fn update(&self, key: &u64, value: u64) -> bool {
        let f = |entry: Option<_>| entry.map_or(Op::Nop, |_| Op::Put(value));
        matches!(self.entry(*key).and_compute_with(f), CompResult::ReplacedWith(_))
    }

    #[inline(always)]
    fn remove(&self, key: &u64) -> bool {
        Cache::remove(self, key).is_some()
    }

    fn sum_of_all(&self) -> Sum {
        let mut sum = Sum::default();
        self.iter().for_each(|(_, value)| sum.add(&value));
        sum
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
