//! binlock, pinned by the session or by each operation.

use ahash::RandomState;
use binlock::{HashMap, Pinned};

use super::{Bulk, Compute, Key, Map, Session, Sum, Value, hasher, increased};
use crate::common::work::BATCH;

pub struct Binlock<K = u64, V = u64>(HashMap<K, V, RandomState>);

impl<K: Key, V: Value> Map<K, V> for Binlock<K, V> {
    const NAME: &'static str = "binlock";

    type Session<'m> = Pinned<'m, K, V, RandomState>;

    fn with_capacity(entries: usize) -> Self {
        Self(HashMap::with_capacity_and_hasher(entries, hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        self.0.pin()
    }

    fn flush(&self) {
        self.0.flush();
    }
}

impl<K: Key, V: Value> Session<K, V> for Pinned<'_, K, V, RandomState> {
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
        self.replace(key.clone(), value).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: &K) -> bool {
        self.remove(key).is_some()
    }

    #[inline(always)]
    fn sum_of_all(&self) -> Sum {
        Sum::of(self.values())
    }

    #[inline(always)]
    fn sum_of_batch(&self, keys: &[K; BATCH]) -> u64 {
        self.get_many(keys.each_ref())
            .into_iter()
            .flatten()
            .fold(0, |sum, v| sum.wrapping_add(v.digest()))
    }
}

impl Bulk for Binlock {
    fn extend(&mut self, entries: impl Iterator<Item = (u64, u64)>) {
        self.0.extend(entries);
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

/// The same map under another name, for other ways to compute.
macro_rules! binlock_by {
    ($(#[$attribute:meta])* $map:ident, $name:literal) => {
        $(#[$attribute])*
        pub struct $map(Binlock);

        impl Map for $map {
            const NAME: &'static str = $name;

            type Session<'m> = <Binlock as Map>::Session<'m>;

            fn with_capacity(entries: usize) -> Self {
                Self(Binlock::with_capacity(entries))
            }

            #[inline(always)]
            fn session(&self) -> Self::Session<'_> {
                self.0.session()
            }

            fn flush(&self) {
                self.0.flush();
            }
        }
    };
}

binlock_by!(
    /// Increments by `merge`, where the others use `compute`.
    BinlockMerge,
    "binlock, merge"
);

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

binlock_by!(
    /// Computes by entries, which claim their keys also where these are present.
    BinlockEntry,
    "binlock, entry"
);

impl Compute for BinlockEntry {
    #[inline(always)]
    fn compute_if_absent(map: &Self::Session<'_>, key: u64, f: impl FnOnce() -> u64) -> u64 {
        let entry = map.entry(key).expect(INDEPENDENT);
        *entry.or_insert_with(f).expect(INDEPENDENT)
    }

    #[inline(always)]
    fn increment(map: &Self::Session<'_>, key: u64) -> u64 {
        let entry = map.entry(key).expect(INDEPENDENT);
        *entry.and_modify(|value| increased(Some(value))).or_insert(1).expect(INDEPENDENT)
    }
}

pub struct BinlockEach<K = u64, V = u64>(HashMap<K, V, RandomState>);

impl<K: Key, V: Value> Map<K, V> for BinlockEach<K, V> {
    const NAME: &'static str = "binlock, pin each";

    type Session<'m> = &'m HashMap<K, V, RandomState>;

    fn with_capacity(entries: usize) -> Self {
        Self(HashMap::with_capacity_and_hasher(entries, hasher()))
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        &self.0
    }

    fn flush(&self) {
        self.0.flush();
    }
}

impl<K: Key, V: Value> Session<K, V> for &HashMap<K, V, RandomState> {
    #[inline(always)]
    fn get(&self, key: &K) -> Option<u64> {
        HashMap::get(self, key).map(|value| value.digest())
    }

    #[inline(always)]
    fn insert(&self, key: K, value: V) -> bool {
        HashMap::insert(self, key, value).is_some()
    }

    #[inline(always)]
    fn update(&self, key: &K, value: V) -> bool {
        HashMap::replace(self, key.clone(), value).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: &K) -> bool {
        HashMap::remove(self, key).is_some()
    }

    #[inline(always)]
    fn sum_of_all(&self) -> Sum {
        Sum::of(self.pin().values())
    }

    #[inline(always)]
    fn sum_of_batch(&self, keys: &[K; BATCH]) -> u64 {
        let values = HashMap::get_many(self, keys.each_ref());
        values.into_iter().flatten().fold(0, |sum, v| sum.wrapping_add(v.digest()))
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
