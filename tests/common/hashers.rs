//! Hashers from good to constant, as one type, so that a test can loop over them.

use std::hash::{BuildHasher, Hasher};

/// How keys are hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hashers {
    /// Well spread, by a seed.
    Good(u64),
    /// An integer is its own hash.
    Identity,
    /// Only so many bits of the hash differ.
    FewBits(u32),
    /// All keys hash alike: they share their bin and their tag.
    Constant,
}

impl Hashers {
    pub const ALL: [Hashers; 5] = [
        Hashers::Good(7),
        Hashers::Identity,
        Hashers::FewBits(2),
        Hashers::FewBits(6),
        Hashers::Constant,
    ];

    /// Those that make a bin hold as many keys as a test wants. (With others a map is
    /// quadratic.)
    pub const SPREADING: [Hashers; 2] = [Hashers::Good(7), Hashers::Identity];
}

/// The inverse, modulo 2^64, of the odd number that a map multiplies hashes by.
pub const UNSPREAD: u64 = {
    let factor = 0x9E37_79B9_7F4A_7C15_u64;
    let mut inverse = factor;
    let mut i = 0;
    while i < 6 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(factor.wrapping_mul(inverse)));
        i += 1;
    }
    inverse
};

/// The key with a number of those that a map with [`Hashers::Identity`] has in the bin that a
/// prefix of 16 bits stands for, whatever the size of its table (up to `2^16` bins).
pub fn key_in_bin(prefix: u16, number: u64) -> u64 {
    assert!(number < 1 << 48);
    (u64::from(prefix) << 48 | number).wrapping_mul(UNSPREAD)
}

impl Default for Hashers {
    fn default() -> Self {
        Hashers::Good(1)
    }
}

impl BuildHasher for Hashers {
    type Hasher = State;

    fn build_hasher(&self) -> State {
        State { kind: *self, sum: 0 }
    }
}

pub struct State {
    kind: Hashers,
    sum: u64,
}

impl State {
    fn word(&mut self, word: u64) {
        self.sum = self.sum.wrapping_mul(0x0100_0000_01B3).wrapping_add(word);
    }
}

impl Hasher for State {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.word((*byte).into());
        }
    }

    fn write_u8(&mut self, i: u8) {
        self.word(i.into());
    }

    fn write_u16(&mut self, i: u16) {
        self.word(i.into());
    }

    fn write_u32(&mut self, i: u32) {
        self.word(i.into());
    }

    fn write_u64(&mut self, i: u64) {
        self.word(i);
    }

    fn write_usize(&mut self, i: usize) {
        self.word(i as u64);
    }

    fn finish(&self) -> u64 {
        match self.kind {
            Hashers::Good(seed) => super::random::mix(self.sum ^ seed),
            Hashers::Identity => self.sum,
            Hashers::FewBits(bits) => super::random::mix(self.sum) & ((1 << bits) - 1),
            Hashers::Constant => 0x5BD1_E995,
        }
    }
}
