//! scc's `HashMap`, whose readers lock buckets, and its `HashIndex`, whose readers do not.

use ahash::RandomState;
use scc::Guard;
use scc::hash_index::Entry;

use super::{Compute, Map, Session, hasher, increased};

pub struct SccMap(scc::HashMap<u64, u64, RandomState>);

impl Map for SccMap {
    const NAME: &'static str = "scc HashMap";

    type Session<'m> = &'m scc::HashMap<u64, u64, RandomState>;

    fn new() -> Self {
        Self(scc::HashMap::with_hasher(hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        &self.0
    }
}

impl Session for &scc::HashMap<u64, u64, RandomState> {
    #[inline(always)]
    fn get(&self, key: u64) -> Option<u64> {
        self.read_sync(&key, |_, value| *value)
    }

    #[inline(always)]
    fn insert(&self, key: u64, value: u64) -> bool {
        self.upsert_sync(key, value).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: u64) -> bool {
        self.remove_sync(&key).is_some()
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

type Index = scc::HashIndex<u64, u64, RandomState>;

pub struct SccIndex(Index);

impl Map for SccIndex {
    const NAME: &'static str = "scc HashIndex";

    type Session<'m> = SccIndexSession<'m>;

    fn new() -> Self {
        Self(scc::HashIndex::with_hasher(hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        SccIndexSession { index: &self.0, guard: Guard::new() }
    }
}

pub struct SccIndexSession<'m> {
    index: &'m Index,
    guard: Guard,
}

impl Session for SccIndexSession<'_> {
    #[inline(always)]
    fn get(&self, key: u64) -> Option<u64> {
        self.index.peek(&key, &self.guard).copied()
    }

    #[inline(always)]
    fn insert(&self, key: u64, value: u64) -> bool {
        upsert(self.index, key, value)
    }

    #[inline(always)]
    fn remove(&self, key: u64) -> bool {
        self.index.remove_sync(&key)
    }
}

pub struct SccIndexEach(Index);

impl Map for SccIndexEach {
    const NAME: &'static str = "scc HashIndex, pin each";

    type Session<'m> = &'m Index;

    fn new() -> Self {
        Self(scc::HashIndex::with_hasher(hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        &self.0
    }
}

impl Session for &Index {
    #[inline(always)]
    fn get(&self, key: u64) -> Option<u64> {
        self.peek_with(&key, |_, value| *value)
    }

    #[inline(always)]
    fn insert(&self, key: u64, value: u64) -> bool {
        upsert(self, key, value)
    }

    #[inline(always)]
    fn remove(&self, key: u64) -> bool {
        self.remove_sync(&key)
    }
}

/// `HashIndex` has no single call that inserts or replaces; its entry is the one way.
#[inline(always)]
fn upsert(index: &Index, key: u64, value: u64) -> bool {
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
