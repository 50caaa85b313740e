//! The maps, each behind the same interface and with the same hasher; `u64` to `u64` unless a
//! workload says otherwise.
//!
//! Generic and inlined throughout, so that what is timed is the map and not its adapter.
//!
//! A map whose operations need a guard (an epoch, a hazard pointer) stands here twice: once with
//! a guard that a session holds for many operations, and once, as `…Each`, with one guard for each
//! operation, the way it is used where operations are far apart.

mod binlock;
mod dashmap;
mod flurry;
mod hashbrown;
mod moka;
mod mutex;
mod papaya;
mod scc;
mod sharded;
mod types;

use ahash::RandomState;

pub use self::binlock::{Binlock, BinlockEach, BinlockEntry, BinlockMerge};
pub use self::dashmap::DashMap;
pub use self::flurry::{Flurry, FlurryEach};
pub use self::hashbrown::Hashbrown;
pub use self::moka::Moka;
pub use self::mutex::StdMutex;
pub use self::papaya::{Papaya, PapayaBatches, PapayaEach};
pub use self::scc::{SccIndex, SccIndexEach, SccMap};
pub use self::sharded::Sharded;
pub use self::types::{Key, Large, Value};
use super::work::BATCH;

/// A map under test.
pub trait Map<K: Key = u64, V: Value = u64>: Sized + 'static {
    /// What reports call it.
    const NAME: &'static str;

    /// What one thread holds for several operations in a row.
    type Session<'m>: Session<K, V>;

    /// An empty map, of the capacity that its own crate starts with.
    fn new() -> Self {
        Self::with_capacity(0)
    }

    /// An empty map that has been asked for room for so many entries.
    fn with_capacity(entries: usize) -> Self;

    fn session(&self) -> Self::Session<'_>;

    /// Frees what has been retired, or as much of it as the map has a way to ask for.
    fn flush(&self) {}
}

/// The operations of a map. Results say no more than all maps can tell.
pub trait Session<K: Key = u64, V: Value = u64> {
    /// The [`digest`](Value::digest) of the key's value.
    fn get(&self, key: &K) -> Option<u64>;

    /// Inserts the key or replaces its value; true where there was a value.
    fn insert(&self, key: K, value: V) -> bool;

    /// Inserts a key that is not there, by what the map has for that; true unless it was there.
    #[inline(always)]
    fn insert_new(&self, key: K, value: V) -> bool {
        !self.insert(key, value)
    }

    /// Gives a key that is there a new value, by what the map has for that: in place, where values
    /// can be changed in place. False where the key is absent, and stays so.
    fn update(&self, key: &K, value: V) -> bool;

    /// True where there was a value.
    fn remove(&self, key: &K) -> bool;

    /// Visits every entry.
    fn sum_of_all(&self) -> Sum;

    /// The sum of the keys' values: one batched look-up where the map has one.
    #[inline(always)]
    fn sum_of_batch(&self, keys: &[K; BATCH]) -> u64 {
        keys.iter().filter_map(|key| self.get(key)).fold(0, u64::wrapping_add)
    }
}

/// What an iteration came across.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub entries: usize,
    /// Of the values' digests.
    pub digests: u64,
}

impl Sum {
    #[inline(always)]
    pub fn add(&mut self, value: &impl Value) {
        self.entries += 1;
        self.digests = self.digests.wrapping_add(value.digest());
    }

    #[inline(always)]
    fn of<'v, V: Value>(values: impl Iterator<Item = &'v V>) -> Self {
        let mut sum = Self::default();
        values.for_each(|value| sum.add(value));
        sum
    }
}

/// A map that has closures decide what becomes of a key. Each by the method that its users would
/// call for it; with some of them that locks, even where the key is present.
pub trait Compute: Map {
    /// The key's value: what `f` returns, if the key is absent.
    fn compute_if_absent(session: &Self::Session<'_>, key: u64, f: impl FnOnce() -> u64) -> u64;

    /// Has a closure compute the key's [`increased`] value, and returns that.
    fn increment(session: &Self::Session<'_>, key: u64) -> u64;
}

/// A map that takes the entries of an iterator all at once, and nobody else has it meanwhile.
pub trait Bulk: Map {
    fn extend(&mut self, entries: impl Iterator<Item = (u64, u64)>);
}

/// One more than the value, which may wrap; an absent key counts as 0.
#[inline(always)]
fn increased(value: Option<&u64>) -> u64 {
    value.map_or(1, |value| value.wrapping_add(1))
}

/// Fixed seeds: every map in every run spreads the keys in the same way.
pub fn hasher() -> RandomState {
    RandomState::with_seeds(
        0x243f_6a88_85a3_08d3,
        0x1319_8a2e_0370_7344,
        0xa409_3822_299f_31d0,
        0x082e_fa98_ec4e_6c89,
    )
}
