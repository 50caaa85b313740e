//! hashbrown in shards, each behind std's `RwLock`: what one writes without a concurrent map.

use std::hash::BuildHasher;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::{Compute, Key, Map, Session, Sum, Value, hasher, increased};

/// A power of two, and at least four times as many as the threads that run at once on machines of
/// up to 16 cores; larger ones would take more.
const SHARDS: usize = 64;

/// The interface that takes hashes, for the shard is found by one already.
type Shard<K, V> = HashTable<(K, V)>;

pub struct Sharded<K = u64, V = u64> {
    hasher: RandomState,
    shards: Vec<Padded<RwLock<Shard<K, V>>>>,
}

/// Locks share no cache line, nor the pair that is fetched together.
#[repr(align(128))]
struct Padded<T>(T);

impl<K: Key, V: Value> Sharded<K, V> {
    /// By bits that hashbrown does not use: it finds the place by the low ones and tells entries
    /// apart by the top seven.
    #[inline(always)]
    fn shard(&self, hash: u64) -> &RwLock<Shard<K, V>> {
        &self.shards[(hash >> 48) as usize % SHARDS].0
    }

    /// The shard of a hash, to read from.
    #[inline(always)]
    fn read(&self, hash: u64) -> RwLockReadGuard<'_, Shard<K, V>> {
        self.shard(hash).read().expect("nothing panics under the lock")
    }

    #[inline(always)]
    fn write(&self, hash: u64) -> RwLockWriteGuard<'_, Shard<K, V>> {
        self.shard(hash).write().expect("nothing panics under the lock")
    }

    #[inline(always)]
    fn entry<'t>(&self, shard: &'t mut Shard<K, V>, hash: u64, key: &K) -> Entry<'t, (K, V)> {
        shard.entry(hash, |(other, _)| other == key, |(key, _)| self.hasher.hash_one(key))
    }
}

impl<K: Key, V: Value> Map<K, V> for Sharded<K, V> {
    const NAME: &'static str = "RwLock<hashbrown>, 64 shards";

    /// Each operation locks.
    type Session<'m> = &'m Self;

    fn with_capacity(entries: usize) -> Self {
        let each = entries.div_ceil(SHARDS);
        let shard = || Padded(RwLock::new(Shard::with_capacity(each)));
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
        let hash = self.hasher.hash_one(key);
        self.read(hash).find(hash, |(other, _)| other == key).map(|(_, value)| value.digest())
    }

    #[inline(always)]
    fn insert(&self, key: K, value: V) -> bool {
        let hash = self.hasher.hash_one(&key);
        match self.entry(&mut self.write(hash), hash, &key) {
            Entry::Occupied(mut entry) => {
                entry.get_mut().1 = value;
                true
            }
            Entry::Vacant(entry) => {
                entry.insert((key, value));
                false
            }
        }
    }

    #[inline(always)]
    fn update(&self, key: &K, value: V) -> bool {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.write(hash);
        shard.find_mut(hash, |(other, _)| other == key).map(|(_, old)| *old = value).is_some()
    }

    #[inline(always)]
    fn remove(&self, key: &K) -> bool {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.write(hash);
        shard.find_entry(hash, |(other, _)| other == key).map(|entry| entry.remove()).is_ok()
    }

    #[inline(always)]
    fn sum_of_all(&self) -> Sum {
        let mut sum = Sum::default();
        for Padded(shard) in &self.shards {
            let shard = shard.read().expect("nothing panics under the lock");
            shard.iter().for_each(|(_, value)| sum.add(value));
        }
        sum
    }
}

impl Compute for Sharded {
    /// Looks with the lock for readers first, as hits are what it is for.
    #[inline(always)]
    fn compute_if_absent(map: &&Self, key: u64, f: impl FnOnce() -> u64) -> u64 {
        let hash = map.hasher.hash_one(key);
        let present =
            map.read(hash).find(hash, |(other, _)| *other == key).map(|(_, value)| *value);
        present.unwrap_or_else(|| {
            map.entry(&mut map.write(hash), hash, &key).or_insert_with(|| (key, f())).get().1
        })
    }

    #[inline(always)]
    fn increment(map: &&Self, key: u64) -> u64 {
        let hash = map.hasher.hash_one(key);
        let mut shard = map.write(hash);
        let entry = map.entry(&mut shard, hash, &key);
        let entry = entry.and_modify(|(_, value)| *value = increased(Some(value)));
        entry.or_insert((key, 1)).get().1
    }
}
