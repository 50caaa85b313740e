//! moka's `sync::Cache` of `Arc`s.

use std::sync::Arc;

use ahash::RandomState;

use super::{Reader, Readers};
use crate::common::maps::hasher;

pub struct Moka(moka::sync::Cache<u64, Arc<Reader>, RandomState>);

impl Readers for Moka {
    const NAME: &'static str = "moka";

    fn with_capacity(readers: usize) -> Self {
        let builder = moka::sync::Cache::builder().max_capacity(readers as u64);
        Self(builder.build_with_hasher(hasher()))
    }

    #[inline(always)]
    fn read(&self, key: u64) -> Option<u64> {
        Some(self.0.get(&key)?.length())
    }

    #[inline(always)]
    fn read_or_open(&self, key: u64, open: impl FnOnce(u64) -> Reader) -> u64 {
        self.0.get_with(key, || Arc::new(open(key))).length()
    }

    fn len(&self) -> usize {
        self.catch_up();
        self.0.entry_count() as usize
    }

    fn catch_up(&self) {
        self.0.run_pending_tasks();
    }
}
