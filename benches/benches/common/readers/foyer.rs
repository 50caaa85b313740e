//! foyer's cache in memory, whose entries are handles already: with the policy that it has by
//! default, and with the one that has the cheapest hits.
//!
//! `get_or_fetch` is asynchronous only, so readers are opened by `get` and `insert`. That lets
//! several threads open the same reader, and saves foyer the work of preventing it.

use ahash::RandomState;
use foyer_memory::{Cache, CacheBuilder, EvictionConfig, LruConfig, S3FifoConfig};

use super::{Reader, Readers};
use crate::common::maps::hasher;

type Inner = Cache<u64, Reader, RandomState>;

/// With `LruConfig`, the default, whose hits take a shard's lock for writing.
pub struct Foyer(Inner);

/// With `S3FifoConfig`, whose hits take a shard's lock for reading.
pub struct FoyerS3Fifo(Inner);

fn cache(readers: usize, eviction: impl Into<EvictionConfig>) -> Inner {
    let builder = CacheBuilder::new(readers).with_eviction_config(eviction);
    builder.with_hash_builder(hasher()).build()
}

#[inline(always)]
fn read(cache: &Inner, key: u64) -> Option<u64> {
    Some(cache.get(&key)?.length())
}

#[inline(always)]
fn read_or_open(cache: &Inner, key: u64, open: impl FnOnce(u64) -> Reader) -> u64 {
    match cache.get(&key) {
        Some(entry) => entry.length(),
        None => cache.insert(key, open(key)).length(),
    }
}

macro_rules! readers {
    ($cache:ident, $name:literal, $eviction:expr) => {
        impl Readers for $cache {
            const NAME: &'static str = $name;

            fn with_capacity(readers: usize) -> Self {
                Self(cache(readers, $eviction))
            }

            #[inline(always)]
            fn read(&self, key: u64) -> Option<u64> {
                read(&self.0, key)
            }

            #[inline(always)]
            fn read_or_open(&self, key: u64, open: impl FnOnce(u64) -> Reader) -> u64 {
                read_or_open(&self.0, key, open)
            }

            fn len(&self) -> usize {
                self.0.entries()
            }
        }
    };
}

readers!(Foyer, "foyer", LruConfig::default());
readers!(FoyerS3Fifo, "foyer, S3-FIFO", S3FifoConfig::default());
