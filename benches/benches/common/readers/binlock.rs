//! binlock's reader cache: a handle is one word, which keeps the reader open.

use std::convert::Infallible;

use ahash::RandomState;
use binlock::ReaderCache;

use super::{Reader, Readers};
use crate::common::maps::hasher;

pub struct Binlock(ReaderCache<u64, Reader, RandomState>);

impl Readers for Binlock {
    const NAME: &'static str = "binlock";

    fn with_capacity(readers: usize) -> Self {
        let cache = ReaderCache::builder().max_open(readers).hasher(hasher()).build();
        Self(cache.expect("the limit is not zero"))
    }

    #[inline(always)]
    fn read(&self, key: u64) -> Option<u64> {
        Some(self.0.get(&key)?.length())
    }

    #[inline(always)]
    fn read_or_open(&self, key: u64, open: impl FnOnce(u64) -> Reader) -> u64 {
        let handle = self.0.get_or_open(key, |&key| Ok::<_, Infallible>(open(key)));
        handle.expect("opening does not fail").length()
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}
