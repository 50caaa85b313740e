//! std's `HashMap` behind a `Mutex`: what one writes without any crate.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use ahash::RandomState;

use super::{Compute, Map, Session, Sum, hasher, increased};

type Locked = Mutex<HashMap<u64, u64, RandomState>>;

pub struct StdMutex(Locked);

#[inline(always)]
fn lock(map: &Locked) -> MutexGuard<'_, HashMap<u64, u64, RandomState>> {
    map.lock().expect("nothing panics under the lock")
}

impl Map for StdMutex {
    const NAME: &'static str = "std Mutex<HashMap>";

    /// Each operation locks.
    type Session<'m> = &'m Locked;

    fn with_capacity(entries: usize) -> Self {
        Self(Mutex::new(HashMap::with_capacity_and_hasher(entries, hasher())))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        &self.0
    }
}

impl Session for &Locked {
    #[inline(always)]
    fn get(&self, key: &u64) -> Option<u64> {
        lock(self).get(key).copied()
    }

    #[inline(always)]
    fn insert(&self, key: u64, value: u64) -> bool {
        lock(self).insert(key, value).is_some()
    }

    #[inline(always)]
    fn update(&self, key: &u64, value: u64) -> bool {
        lock(self).get_mut(key).map(|old| *old = value).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: &u64) -> bool {
        lock(self).remove(key).is_some()
    }

    fn sum_of_all(&self) -> Sum {
        Sum::of(lock(self).values())
    }
}

impl Compute for StdMutex {
    #[inline(always)]
    fn compute_if_absent(map: &&Locked, key: u64, f: impl FnOnce() -> u64) -> u64 {
        *lock(map).entry(key).or_insert_with(f)
    }

    #[inline(always)]
    fn increment(map: &&Locked, key: u64) -> u64 {
        *lock(map).entry(key).and_modify(|value| *value = increased(Some(value))).or_insert(1)
    }
}
