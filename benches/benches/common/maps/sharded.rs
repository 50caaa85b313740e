//! hashbrown in shards, each behind std's `RwLock`: what one writes without a concurrent map.

use std::hash::BuildHasher;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use ahash::RandomState;

use super::{Compute, Key, Map, Session, Sum, Value, hasher, increased};

/// A power of two, and at least four times as many as the threads that run at once on machines of
/// up to 16 cores; larger ones would take more.
const SHARDS: usize = 64;

type Shard<K, V> = hashbrown::HashMap<K, V, RandomState>;

pub struct Sharded<K = u64, V = u64> {
    hasher: RandomState,
    shards: Vec<Padded<RwLock<Shard<K, V>>>>,
}

/// Locks share no cache line, nor the pair that is fetched together.
#[repr(align(128))]
struct Padded<T>(T);

impl<K: Key, V: Value> Sharded<K, V> {
    /// By bits that hashbrown does not use: it finds the place by the low ones and tells entries
    /// apart by the top seven. (The shard hashes once more, as its users' programs do, too, unless
    /// they take to hashbrown's raw interface.)
    #[inline(always)]
    fn shard(&self, key: &K) -> &RwLock<Shard<K, V>> {
        let hash = self.hasher.hash_one(key);
        &self.shards[(hash >> 48) as usize % SHARDS].0
    }

    #[inline(always)]
    fn read(&self, key: &K) -> RwLockReadGuard<'_, Shard<K, V>> {
        self.shard(key).read().expect("nothing panics under the lock")
    }

    #[inline(always)]
    fn write(&self, key: &K) -> RwLockWriteGuard<'_, Shard<K, V>> {
        self.shard(key).write().expect("nothing panics under the lock")
    }
}

impl<K: Key, V: Value> Map<K, V> for Sharded<K, V> {
    const NAME: &'static str = "RwLock<hashbrown>, 64 shards";

    /// Each operation locks.
    type Session<'m> = &'m Self;

    fn with_capacity(entries: usize) -> Self {
        let each = entries.div_ceil(SHARDS);
        let shard = || Padded(RwLock::new(Shard::with_capacity_and_hasher(each, hasher())));
        Self { hasher: hasher(), shards: (0..SHARDS).map(|_| shard()).collect() }
    }

    #[inline(always)]
    fn session(&self) -> Self::Session<'_> {
        self
    }
}

impl<K: Key, V: Value> Session<K, V> for &Sharded<K, V> {
    #[inline(always)]
    fn get(&self, key: &K) -> Option<u64> {
        self.read(key).get(key).map(V::digest)
    }

    #[inline(always)]
    fn insert(&self, key: K, value: V) -> bool {
        self.write(&key).insert(key, value).is_some()
    }

    #[inline(always)]
    fn update(&self, key: &K, value: V) -> bool {
        self.write(key).get_mut(key).map(|old| *old = value).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: &K) -> bool {
        self.write(key).remove(key).is_some()
    }

    #[inline(always)]
    fn sum_of_all(&self) -> Sum {
        let mut sum = Sum::default();
        for Padded(shard) in &self.shards {
            let shard = shard.read().expect("nothing panics under the lock");
            shard.values().for_each(|value| sum.add(value));
        }
        sum
    }
}

impl Compute for Sharded {
    /// Looks with the lock for readers first, as hits are what it is for.
    #[inline(always)]
    fn compute_if_absent(map: &&Self, key: u64, f: impl FnOnce() -> u64) -> u64 {
        let present = map.read(&key).get(&key).copied();
        present.unwrap_or_else(|| *map.write(&key).entry(key).or_insert_with(f))
    }

    #[inline(always)]
    fn increment(map: &&Self, key: u64) -> u64 {
        let mut shard = map.write(&key);
        *shard.entry(key).and_modify(|value| *value = increased(Some(value))).or_insert(1)
    }
}
