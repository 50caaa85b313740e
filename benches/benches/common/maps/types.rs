//! What the maps hold.

use std::hash::Hash;

pub trait Key: Clone + Ord + Hash + Send + Sync + 'static {}

impl<K: Clone + Ord + Hash + Send + Sync + 'static> Key for K {}

pub trait Value: Clone + Send + Sync + 'static {
    /// A number that depends on all of the value: whoever takes it has read the value.
    fn digest(&self) -> u64;
}

impl Value for u64 {
    #[inline(always)]
    fn digest(&self) -> u64 {
        *self
    }
}

/// 200 bytes: more than three cache lines.
#[derive(Clone)]
pub struct Large([u64; 25]);

impl Large {
    /// The value that a benchmark gives to a key.
    pub fn of(key: u64) -> Self {
        Self([!key; 25])
    }
}

impl Value for Large {
    #[inline(always)]
    fn digest(&self) -> u64 {
        self.0.iter().copied().fold(0, u64::wrapping_add)
    }
}
