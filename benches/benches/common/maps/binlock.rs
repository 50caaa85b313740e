//! binlock, pinned by the session or by each operation.

use ahash::RandomState;
use binlock::{HashMap, Pinned};

use super::{Compute, Map, Session, hasher, increased};
use crate::common::work::BATCH;

pub struct Binlock(HashMap<u64, u64, RandomState>);

impl Map for Binlock {
    const NAME: &'static str = "binlock";

    type Session<'m> = Pinned<'m, u64, u64, RandomState>;

    fn new() -> Self {
        Self(HashMap::with_hasher(hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        self.0.pin()
    }

    fn flush(&self) {
        self.0.flush();
    }
}

impl Session for Pinned<'_, u64, u64, RandomState> {
    #[inline(always)]
    fn get(&self, key: u64) -> Option<u64> {
        self.get(&key).copied()
    }

    #[inline(always)]
    fn insert(&self, key: u64, value: u64) -> bool {
        self.insert(key, value).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: u64) -> bool {
        self.remove(&key).is_some()
    }

    #[inline(always)]
    fn sum_of_batch(&self, keys: &[u64; BATCH]) -> u64 {
        self.get_many(keys.each_ref()).into_iter().flatten().fold(0, |sum, v| sum.wrapping_add(*v))
    }
}

/// Why no computation fails.
const INDEPENDENT: &str = "no closure uses the map";

impl Compute for Binlock {
    #[inline(always)]
    fn compute_if_absent(map: &Self::Session<'_>, key: u64, f: impl FnOnce() -> u64) -> u64 {
        *map.compute_if_absent(key, |_| f()).expect(INDEPENDENT)
    }

    #[inline(always)]
    fn increment(map: &Self::Session<'_>, key: u64) -> u64 {
        let value = map.compute(key, |_, value| Some(increased(value))).expect(INDEPENDENT);
        *value.expect("it has just been computed")
    }
}

/// Increments by `merge`, where the others use `compute`.
pub struct BinlockMerge(Binlock);

impl Map for BinlockMerge {
    const NAME: &'static str = "binlock, merge";

    type Session<'m> = <Binlock as Map>::Session<'m>;

    fn new() -> Self {
        Self(Binlock::new())
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        self.0.session()
    }

    fn flush(&self) {
        self.0.flush();
    }
}

impl Compute for BinlockMerge {
    #[inline(always)]
    fn compute_if_absent(map: &Self::Session<'_>, key: u64, f: impl FnOnce() -> u64) -> u64 {
        Binlock::compute_if_absent(map, key, f)
    }

    #[inline(always)]
    fn increment(map: &Self::Session<'_>, key: u64) -> u64 {
        let add = |value: &u64, one: u64| Some(value.wrapping_add(one));
        let value = map.merge(key, 1, add).expect(INDEPENDENT);
        *value.expect("it has just been computed")
    }
}

pub struct BinlockEach(HashMap<u64, u64, RandomState>);

impl Map for BinlockEach {
    const NAME: &'static str = "binlock, pin each";

    type Session<'m> = &'m HashMap<u64, u64, RandomState>;

    fn new() -> Self {
        Self(HashMap::with_hasher(hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        &self.0
    }

    fn flush(&self) {
        self.0.flush();
    }
}

impl Session for &HashMap<u64, u64, RandomState> {
    #[inline(always)]
    fn get(&self, key: u64) -> Option<u64> {
        HashMap::get(self, &key).map(|value| *value)
    }

    #[inline(always)]
    fn insert(&self, key: u64, value: u64) -> bool {
        HashMap::insert(self, key, value).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: u64) -> bool {
        HashMap::remove(self, &key).is_some()
    }

    #[inline(always)]
    fn sum_of_batch(&self, keys: &[u64; BATCH]) -> u64 {
        let values = HashMap::get_many(self, keys.each_ref());
        values.into_iter().flatten().fold(0, |sum, v| sum.wrapping_add(*v))
    }
}

impl Compute for BinlockEach {
    #[inline(always)]
    fn compute_if_absent(map: &Self::Session<'_>, key: u64, f: impl FnOnce() -> u64) -> u64 {
        *map.compute_if_absent(key, |_| f()).expect(INDEPENDENT)
    }

    #[inline(always)]
    fn increment(map: &Self::Session<'_>, key: u64) -> u64 {
        let value = map.compute(key, |_, value| Some(increased(value))).expect(INDEPENDENT);
        *value.expect("it has just been computed")
    }
}
