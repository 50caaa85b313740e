//! What is done with caches of readers, one copy of each loop for each cache.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Reader, Readers};
use crate::common::keys::{self, NEW, Stream};

/// Where all is hits: how many readers are open. The first is what programs have, the others are
/// what does not fit into the processor's caches.
pub const ALL_OPEN: [usize; 3] = [1 << 10, 1 << 16, 1 << 20];

/// Where readers are opened and evicted: how many may be open.
pub const CAPACITY: usize = 1 << 16;
/// How many keys are asked for again and again (Zipf 0.99). Few enough that none of them is
/// evicted under any policy, as even the rarest comes back before so many others have come that
/// the rest of the cache is full: so all caches have the same work.
pub const RESIDENTS: usize = 1 << 13;
/// What part of the others is keys that nobody has asked for before.
pub const SHARE_OF_NEW: f64 = 0.1;

/// How many threads do it.
pub const THREADS: [usize; 3] = [1, 2, 8];

/// Looks readers up that are open.
#[inline(always)]
pub fn hits<C: Readers>(cache: &C, keys: &[u64]) -> u64 {
    keys.iter().map(|&key| cache.read(key).unwrap_or(1)).fold(0, u64::wrapping_add)
}

/// Looks readers up, and opens those that are not open.
#[inline(always)]
pub fn mixed<C: Readers>(cache: &C, newcomers: &mut Newcomers, keys: &[u64]) -> u64 {
    let read = |&key: &u64| {
        let key = if key == NEW { newcomers.next() } else { key };
        cache.read_or_open(key, |key| {
            newcomers.opened += 1;
            Reader::open(key)
        })
    };
    keys.iter().map(read).fold(0, u64::wrapping_add)
}

/// Hands out keys that a cache has never seen: to each thread its own.
#[derive(Default)]
pub struct Unseen {
    blocks: AtomicU64,
}

impl Unseen {
    pub fn newcomers(&self) -> Newcomers {
        let block = self.blocks.fetch_add(1, Ordering::Relaxed);
        Newcomers { next: block << 32, opened: 0 }
    }
}

/// One thread's keys that have never been seen.
pub struct Newcomers {
    next: u64,
    /// How many readers the thread has opened.
    pub opened: u64,
}

impl Newcomers {
    #[inline(always)]
    pub fn next(&mut self) -> u64 {
        self.next += 1;
        keys::unseen(self.next)
    }
}

/// A cache that has readers of [`keys::present`]`(entries)` open, and room for a quarter more: one
/// that is made of shards would otherwise evict from those that get more than the others.
pub fn all_open<C: Readers>(entries: usize) -> C {
    let cache = C::with_capacity(entries + entries / 4);
    open_all(&cache, &keys::present(entries));
    check_all_open(&cache, entries);
    cache
}

pub fn open_all<C: Readers>(cache: &C, keys: &[u64]) {
    for &key in keys {
        cache.read_or_open(key, Reader::open);
    }
    cache.catch_up();
}

/// A benchmark of misses would be another one.
pub fn check_all_open<C: Readers>(cache: &C, entries: usize) {
    assert_eq!(cache.len(), entries, "{} has lost readers", C::NAME);
    for key in keys::present(entries).into_iter().step_by(entries.div_ceil(1000)) {
        assert_eq!(cache.read(key), Some(!key), "{} has lost a reader", C::NAME);
    }
}

/// The keys of a mix.
pub fn stream_of_mix() -> Stream {
    Stream::zipf_with_new(RESIDENTS, SHARE_OF_NEW)
}

/// A cache that is full, and has been evicting for a while.
pub fn churned<C: Readers>(stream: &Stream, unseen: &Unseen) -> C {
    let cache = C::with_capacity(CAPACITY);
    open_all(&cache, &keys::present(RESIDENTS));
    let mut newcomers = unseen.newcomers();
    while newcomers.opened < 2 * CAPACITY as u64 {
        for keys in stream.window(0, stream.len()).parts() {
            mixed(&cache, &mut newcomers, keys);
        }
    }
    let open = cache.len();
    assert!(open <= CAPACITY + CAPACITY / 8, "{}: {open} readers are open", C::NAME);
    assert!(open >= CAPACITY - CAPACITY / 8, "{}: only {open} readers are open", C::NAME);
    cache
}
