//! Values that are counted: how many have been made and dropped.

use std::sync::atomic::{AtomicU64, Ordering};

static MADE: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// A value that knows its key, and owns memory.
pub struct Value {
    pub key: u64,
    pub number: u64,
    /// The key again, so that what was freed is noticed.
    again: Box<u64>,
}

impl Value {
    pub fn new(key: u64, number: u64) -> Value {
        MADE.fetch_add(1, Ordering::Relaxed);
        Value { key, number, again: Box::new(key) }
    }

    /// It is the value of this key.
    pub fn check(&self, key: u64) {
        assert_eq!((self.key, *self.again), (key, key), "a value of another key, or of none");
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert_eq!(self.key, *self.again, "a value was dropped before");
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many have been made, and how many of them dropped.
pub fn made_and_dropped() -> (u64, u64) {
    let dropped = DROPPED.load(Ordering::Acquire);
    (MADE.load(Ordering::Acquire), dropped)
}

/// Numbers for choosing: SplitMix64 (Steele, Lea, Flood, 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// One of `0..end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
