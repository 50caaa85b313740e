//! quick_cache's `sync::Cache` of `Arc`s.

use std::convert::Infallible;
use std::sync::Arc;

use ahash::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use super::{Reader, Readers};
use crate::common::maps::hasher;

pub struct QuickCache(Cache<u64, Arc<Reader>, UnitWeighter, RandomState>);

impl Readers for QuickCache {
    const NAME: &'static str = "quick_cache";

    fn with_capacity(readers: usize) -> Self {
        let weight = readers as u64;
        let lifecycle = DefaultLifecycle::default();
        Self(Cache::with(readers, weight, UnitWeighter, hasher(), lifecycle))
    }

    #[inline(always)]
    fn read(&self, key: u64) -> Option<u64> {
        Some(self.0.get(&key)?.length())
    }

    #[inline(always)]
    fn read_or_open(&self, key: u64, open: impl FnOnce(u64) -> Reader) -> u64 {
        let reader = self.0.get_or_insert_with(&key, || Ok::<_, Infallible>(Arc::new(open(key))));
        match reader {
            Ok(reader) => reader.length(),
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
