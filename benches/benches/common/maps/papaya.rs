//! papaya, with a guard held by the session or one for each operation, and with other batches.

use ahash::RandomState;
use papaya::{Guard, HashMap, HashMapRef, LocalGuard, Operation};
use seize::Collector;

use super::{Bulk, Compute, Key, Map, Session, Sum, Value, hasher, increased};

pub struct Papaya<K = u64, V = u64>(HashMap<K, V, RandomState>);

impl<K: Key, V: Value> Map<K, V> for Papaya<K, V> {
    const NAME: &'static str = "papaya";

    type Session<'m> = HashMapRef<'m, K, V, RandomState, LocalGuard<'m>>;

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

impl<K: Key, V: Value> Session<K, V> for HashMapRef<'_, K, V, RandomState, LocalGuard<'_>> {
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
        // Its closure may be run again, so the value must outlive it.
        self.update(key.clone(), |_| value.clone()).is_some()
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

/// As conc-map-bench sets papaya up: what is retired is freed in batches that are sixty times as
/// large as by default, and so for a sixtieth as many interruptions of all other threads.
pub struct PapayaBatches<K = u64, V = u64>(HashMap<K, V, RandomState>);

impl<K: Key, V: Value> Map<K, V> for PapayaBatches<K, V> {
    const NAME: &'static str = "papaya, batches of 2000";

    type Session<'m> = HashMapRef<'m, K, V, RandomState, LocalGuard<'m>>;

    fn with_capacity(entries: usize) -> Self {
        let collector = Collector::new().batch_size(2000);
        let builder = HashMap::builder().capacity(entries).hasher(hasher());
        Self(builder.collector(collector).build())
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        self.0.pin()
    }

    fn flush(&self) {
        self.0.guard().flush();
    }
}

impl Bulk for Papaya {
    fn extend(&mut self, entries: impl Iterator<Item = (u64, u64)>) {
        (&self.0).extend(entries);
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

pub struct PapayaEach<K = u64, V = u64>(HashMap<K, V, RandomState>);

impl<K: Key, V: Value> Map<K, V> for PapayaEach<K, V> {
    const NAME: &'static str = "papaya, pin each";

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
