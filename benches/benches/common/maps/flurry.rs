//! flurry, with a guard held by the session or one for each operation.

use ahash::RandomState;
use flurry::{HashMap, HashMapRef};

use super::{Bulk, Compute, Key, Map, Session, Sum, Value, hasher, increased};

pub struct Flurry<K: Key = u64, V: Value = u64>(HashMap<K, V, RandomState>);

impl<K: Key, V: Value> Map<K, V> for Flurry<K, V> {
    const NAME: &'static str = "flurry";

    type Session<'m> = HashMapRef<'m, K, V, RandomState>;

    fn with_capacity(entries: usize) -> Self {
        Self(HashMap::with_capacity_and_hasher(entries, hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        self.0.pin()
    }

    fn flush(&self) {
        self.0.guard().flush();
    }
}

impl<K: Key, V: Value> Session<K, V> for HashMapRef<'_, K, V, RandomState> {
    #[inline(always)]
    fn get(&self, key: &K) -> Option<u64> {
        self.get(key).map(V::digest)
    }

    #[inline(always)]
    fn insert(&self, key: K, value: V) -> bool {
        self.insert(key, value).is_some()
    }

    #[inline(always)]
    fn update(&self, key: &K, value: V) -> bool {
        self.compute_if_present(key, |_, _| Some(value)).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: &K) -> bool {
        self.remove(key).is_some()
    }

    #[inline(always)]
    fn sum_of_all(&self) -> Sum {
        Sum::of(self.values())
    }
}

/// flurry computes nothing for keys that are absent: two threads may both run the closure.
impl Compute for Flurry {
    #[inline(always)]
    fn compute_if_absent(map: &Self::Session<'_>, key: u64, f: impl FnOnce() -> u64) -> u64 {
        if let Some(value) = map.get(&key) {
            return *value;
        }
        match map.try_insert(key, f()) {
            Ok(value) => *value,
            Err(refused) => *refused.current,
        }
    }

    #[inline(always)]
    fn increment(map: &Self::Session<'_>, key: u64) -> u64 {
        loop {
            if let Some(value) =
                map.compute_if_present(&key, |_, value| Some(increased(Some(value))))
            {
                return *value;
            }
            if map.try_insert(key, 1).is_ok() {
                return 1;
            }
        }
    }
}

impl Bulk for Flurry {
    fn extend(&mut self, entries: impl Iterator<Item = (u64, u64)>) {
        (&self.0).extend(entries);
    }
}

pub struct FlurryEach<K: Key = u64, V: Value = u64>(HashMap<K, V, RandomState>);

impl<K: Key, V: Value> Map<K, V> for FlurryEach<K, V> {
    const NAME: &'static str = "flurry, pin each";

    type Session<'m> = &'m HashMap<K, V, RandomState>;

    fn with_capacity(entries: usize) -> Self {
        Self(HashMap::with_capacity_and_hasher(entries, hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        &self.0
    }

    fn flush(&self) {
        self.0.guard().flush();
    }
}

impl<K: Key, V: Value> Session<K, V> for &HashMap<K, V, RandomState> {
    #[inline(always)]
    fn get(&self, key: &K) -> Option<u64> {
        self.pin().get(key).map(V::digest)
    }

    #[inline(always)]
    fn insert(&self, key: K, value: V) -> bool {
        self.pin().insert(key, value).is_some()
    }

    #[inline(always)]
    fn update(&self, key: &K, value: V) -> bool {
        Session::update(&self.pin(), key, value)
    }

    #[inline(always)]
    fn remove(&self, key: &K) -> bool {
        self.pin().remove(key).is_some()
    }

    #[inline(always)]
    fn sum_of_all(&self) -> Sum {
        Sum::of(self.pin().values())
    }
}

impl Compute for FlurryEach {
    #[inline(always)]
    fn compute_if_absent(map: &Self::Session<'_>, key: u64, f: impl FnOnce() -> u64) -> u64 {
        Flurry::compute_if_absent(&map.pin(), key, f)
    }

    #[inline(always)]
    fn increment(map: &Self::Session<'_>, key: u64) -> u64 {
        Flurry::increment(&map.pin(), key)
    }
}
