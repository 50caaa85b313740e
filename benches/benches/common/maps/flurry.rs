//! flurry, with a guard held by the session or one for each operation.

use ahash::RandomState;
use flurry::HashMapRef;

use super::{Map, Session, hasher};

pub struct Flurry(flurry::HashMap<u64, u64, RandomState>);

impl Map for Flurry {
    const NAME: &'static str = "flurry";

    type Session<'m> = HashMapRef<'m, u64, u64, RandomState>;

    fn new() -> Self {
        Self(flurry::HashMap::with_hasher(hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        self.0.pin()
    }
}

impl Session for HashMapRef<'_, u64, u64, RandomState> {
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

pub struct FlurryEach(flurry::HashMap<u64, u64, RandomState>);

impl Map for FlurryEach {
    const NAME: &'static str = "flurry, pin each";

    type Session<'m> = &'m flurry::HashMap<u64, u64, RandomState>;

    fn new() -> Self {
        Self(flurry::HashMap::with_hasher(hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        &self.0
    }
}

impl Session for &flurry::HashMap<u64, u64, RandomState> {
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
