//! What the fuzz targets run: sequences of operations on a `binlock::HashMap`, compared step by
//! step with a model (std's `BTreeMap`), with keys and values that keep account of their drops; on
//! a `binlock::ReaderCache`; and on a map by several threads at once, whose histories are checked.

pub mod computations;
pub mod hashing;
pub mod histories;
pub mod iter_writes;
pub mod map_ops;
pub mod reader_cache;
pub mod tracked;

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use hashing::Hashing;
use tracked::{Key, Value};

pub type Map = binlock::HashMap<Key, Value, Hashing>;
pub type Pinned<'m> = binlock::Pinned<'m, Key, Value, Hashing>;

/// Which payload is expected under which key. Ordered, so that a run does the same every time.
pub type Model = BTreeMap<u16, u32>;

/// A key's identity: few enough that operations meet, enough for a table to grow several times.
#[derive(Clone, Copy, Debug)]
pub struct Id(pub u16);

impl Id {
    const COUNT: u16 = 512;

    /// The identities that follow this one, in a cycle.
    pub fn and_next(self, count: u8) -> impl Iterator<Item = u16> {
        (0..u16::from(count % 64)).map(move |i| (self.0 + i) % Self::COUNT)
    }
}

impl<'a> Arbitrary<'a> for Id {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self(u16::arbitrary(input)? % Self::COUNT))
    }

    fn size_hint(depth: usize) -> (usize, Option<usize>) {
        u16::size_hint(depth)
    }
}

/// How many more entries to make room for: mostly few, and in some runs, a few times, so many that
/// the table gets the layout of large ones (from 2^10 bins). That makes a run slow.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    large_ones_left: u8,
}

impl Room {
    pub fn of(&mut self, size: u8) -> usize {
        match usize::from(size) {
            many @ 240.. if self.large_ones_left > 0 => {
                self.large_ones_left -= 1;
                (many - 239) * 750
            }
            few => few,
        }
    }
}

impl<'a> Arbitrary<'a> for Room {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let large = u8::arbitrary(input)? % 8 == 7;
        Ok(Self { large_ones_left: if large { 3 } else { 0 } })
    }

    fn size_hint(depth: usize) -> (usize, Option<usize>) {
        u8::size_hint(depth)
    }
}
