//! The maps, each behind the same interface, all `u64` to `u64` and with the same hasher.
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

use ahash::RandomState;

pub use self::binlock::{Binlock, BinlockEach, BinlockMerge};
pub use self::dashmap::DashMap;
pub use self::flurry::{Flurry, FlurryEach};
pub use self::hashbrown::Hashbrown;
pub use self::moka::Moka;
pub use self::mutex::StdMutex;
pub use self::papaya::{Papaya, PapayaEach};
pub use self::scc::{SccIndex, SccIndexEach, SccMap};
use super::work::BATCH;

/// A map under test.
pub trait Map: Sized + 'static {
    /// What reports call it.
    const NAME: &'static str;

    /// What one thread holds for several operations in a row.
    type Session<'m>: Session;

    /// An empty map, of the capacity that its own crate starts with.
    fn new() -> Self;

    fn session(&self) -> Self::Session<'_>;

    /// Hands this thread's garbage over, where the map has a way to ask for it.
    fn flush(&self) {}
}

/// The operations of a map. Results say no more than all maps can tell.
pub trait Session {
    fn get(&self, key: u64) -> Option<u64>;

    /// Inserts the key or replaces its value; true where there was a value.
    fn insert(&self, key: u64, value: u64) -> bool;

    /// True where there was a value.
    fn remove(&self, key: u64) -> bool;

    /// The sum of the keys' values: one batched look-up where the map has one.
    #[inline(always)]
    fn sum_of_batch(&self, keys: &[u64; BATCH]) -> u64 {
        keys.iter().filter_map(|&key| self.get(key)).fold(0, u64::wrapping_add)
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
