//! Keys that pause while they are hashed and compared, and hashers from good to constant.

use std::hash::{BuildHasher, Hash, Hasher};

use crate::{jitter, random::mix};

/// A key of a map that is tested.
#[derive(Clone, Debug)]
pub struct Key(pub u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        jitter::pause();
        state.write_u64(self.0);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        jitter::pause();
        self.0 == other.0
    }
}

impl Eq for Key {}

/// How keys are hashed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hashing {
    /// Well spread.
    Good,
    /// Into four hashes.
    Poor,
    /// All keys share a bin and a tag.
    Constant,
}

impl BuildHasher for Hashing {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher { hashing: *self, hash: 0 }
    }
}

pub struct KeyHasher {
    hashing: Hashing,
    hash: u64,
}

impl Hasher for KeyHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("keys hash as one number");
    }

    fn write_u64(&mut self, key: u64) {
        self.hash = match self.hashing {
            Hashing::Good => mix(key + 1),
            Hashing::Poor => mix(key % 4 + 1),
            Hashing::Constant => 42,
        };
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}
