//! Hashers good and bad.

use std::hash::{BuildHasher, Hasher};

use arbitrary::Arbitrary;

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Hashing {
    /// Every bit of the key changes about half the bits of the hash.
    Good,
    /// One hash for all keys, made of this byte: all zeros and all ones are among them.
    Constant(u8),
    /// The key itself.
    Identity,
    /// The key in the highest bits, zeros below.
    Shifted,
    /// Three hashes.
    LowEntropy,
}

impl BuildHasher for Hashing {
    type Hasher = FuzzHasher;

    fn build_hasher(&self) -> FuzzHasher {
        FuzzHasher { hashing: *self, written: 0 }
    }
}

pub struct FuzzHasher {
    hashing: Hashing,
    written: u64,
}

impl Hasher for FuzzHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.written = self.written << 8 | u64::from(byte);
        }
    }

    fn write_u16(&mut self, n: u16) {
        self.written = u64::from(n);
    }

    fn finish(&self) -> u64 {
        match self.hashing {
            Hashing::Good => {
                // The finisher of SplitMix64.
                let mut hash = self.written.wrapping_add(0x9e37_79b9_7f4a_7c15);
                hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                hash ^ hash >> 31
            }
            Hashing::Constant(byte) => u64::from_ne_bytes([byte; 8]),
            Hashing::Identity => self.written,
            Hashing::Shifted => self.written << 48,
            Hashing::LowEntropy => self.written % 3,
        }
    }
}
