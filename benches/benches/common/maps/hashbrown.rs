//! hashbrown without any synchronisation: what a single thread could have at best.

use std::cell::UnsafeCell;

use ahash::RandomState;

use super::{Map, Session, hasher};

/// Changed through a shared reference, like the concurrent maps, but **not** `Sync`: the cell keeps
/// it on one thread, and out of every benchmark with several.
pub struct Hashbrown(UnsafeCell<hashbrown::HashMap<u64, u64, RandomState>>);

impl Map for Hashbrown {
    const NAME: &'static str = "hashbrown (unsync)";

    type Session<'m> = &'m Self;

    fn new() -> Self {
        Self(UnsafeCell::new(hashbrown::HashMap::with_hasher(hasher())))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        self
    }
}

impl Session for &Hashbrown {
    #[inline(always)]
    fn get(&self, key: u64) -> Option<u64> {
        // SAFETY: only this thread can reach the map, as the cell is not `Sync`. No reference into
        // it outlives an operation, and no operation begins within another, since hashing and
        // comparing `u64` does not call back into the map.
        unsafe { (*self.0.get()).get(&key).copied() }
    }

    #[inline(always)]
    fn insert(&self, key: u64, value: u64) -> bool {
        // SAFETY: as for `get`.
        unsafe { (*self.0.get()).insert(key, value).is_some() }
    }

    #[inline(always)]
    fn remove(&self, key: u64) -> bool {
        // SAFETY: as for `get`.
        unsafe { (*self.0.get()).remove(&key).is_some() }
    }
}
