//! papaya, with a guard held by the session or one for each operation.

use ahash::RandomState;
use papaya::{HashMapRef, LocalGuard, Operation};

use super::{Compute, Map, Session, hasher, increased};

pub struct Papaya(papaya::HashMap<u64, u64, RandomState>);

impl Map for Papaya {
    const NAME: &'static str = "papaya";

    type Session<'m> = HashMapRef<'m, u64, u64, RandomState, LocalGuard<'m>>;

    fn new() -> Self {
        Self(papaya::HashMap::with_hasher(hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        self.0.pin()
    }
}

impl Session for HashMapRef<'_, u64, u64, RandomState, LocalGuard<'_>> {
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
}

impl Compute for Papaya {
    #[inline(always)]
    fn compute_if_absent(map: &Self::Session<'_>, key: u64, f: impl FnOnce() -> u64) -> u64 {
        *map.get_or_insert_with(key, f)
    }

    #[inline(always)]
    fn increment(map: &Self::Session<'_>, key: u64) -> u64 {
        let f = |entry: Option<(&u64, &u64)>| {
            Operation::<u64, ()>::Insert(increased(entry.map(|(_, value)| value)))
        };
        match map.compute(key, f) {
            papaya::Compute::Inserted(_, new) | papaya::Compute::Updated { new: (_, new), .. } => {
                *new
            }
            _ => unreachable!("nothing is removed or aborted"),
        }
    }
}

pub struct PapayaEach(papaya::HashMap<u64, u64, RandomState>);

impl Map for PapayaEach {
    const NAME: &'static str = "papaya, pin each";

    type Session<'m> = &'m papaya::HashMap<u64, u64, RandomState>;

    fn new() -> Self {
        Self(papaya::HashMap::with_hasher(hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        &self.0
    }
}

impl Session for &papaya::HashMap<u64, u64, RandomState> {
    #[inline(always)]
    fn get(&self, key: u64) -> Option<u64> {
        self.pin().get(&key).copied()
    }

    #[inline(always)]
    fn insert(&self, key: u64, value: u64) -> bool {
        self.pin().insert(key, value).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: u64) -> bool {
        self.pin().remove(&key).is_some()
    }
}

impl Compute for PapayaEach {
    #[inline(always)]
    fn compute_if_absent(map: &Self::Session<'_>, key: u64, f: impl FnOnce() -> u64) -> u64 {
        Papaya::compute_if_absent(&map.pin(), key, f)
    }

    #[inline(always)]
    fn increment(map: &Self::Session<'_>, key: u64) -> u64 {
        Papaya::increment(&map.pin(), key)
    }
}
