//! hashbrown without any synchronisation: what a single thread could have at best.

use std::cell::UnsafeCell;

use ahash::RandomState;

use super::{Bulk, Key, Map, Session, Sum, Value, hasher};

type Unshared<K, V> = hashbrown::HashMap<K, V, RandomState>;

/// Changed through a shared reference, like the concurrent maps, but **not** `Sync`: the cell keeps
/// it on one thread, and out of every benchmark with several.
pub struct Hashbrown<K = u64, V = u64>(UnsafeCell<Unshared<K, V>>);

impl<K: Key, V: Value> Map<K, V> for Hashbrown<K, V> {
    const NAME: &'static str = "hashbrown (unsync)";

    type Session<'m> = &'m Self;

    fn with_capacity(entries: usize) -> Self {
        Self(UnsafeCell::new(Unshared::with_capacity_and_hasher(entries, hasher())))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        self
    }
}

impl<K: Key, V: Value> Session<K, V> for &Hashbrown<K, V> {
    #[inline(always)]
    fn get(&self, key: &K) -> Option<u64> {
        // SAFETY: only this thread can reach the map, as the cell is not `Sync`. No reference into
        // it outlives an operation, and no operation begins within another, since hashing,
        // comparing and digesting what benchmarks use as keys and values does not call back into
        // the map.
        unsafe { (*self.0.get()).get(key).map(V::digest) }
    }

    #[inline(always)]
    fn insert(&self, key: K, value: V) -> bool {
        // SAFETY: as for `get`.
        unsafe { (*self.0.get()).insert(key, value).is_some() }
    }

    #[inline(always)]
    fn update(&self, key: &K, value: V) -> bool {
        // SAFETY: as for `get`.
        unsafe { (*self.0.get()).get_mut(key).map(|old| *old = value).is_some() }
    }

    #[inline(always)]
    fn remove(&self, key: &K) -> bool {
        // SAFETY: as for `get`.
        unsafe { (*self.0.get()).remove(key).is_some() }
    }

    #[inline(always)]
    fn sum_of_all(&self) -> Sum {
        // SAFETY: as for `get`.
        unsafe { Sum::of((*self.0.get()).values()) }
    }
}

impl Bulk for Hashbrown {
    fn extend(&mut self, entries: impl Iterator<Item = (u64, u64)>) {
        self.0.get_mut().extend(entries);
    }
}
