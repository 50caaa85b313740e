//! Keys and the order in which they are asked for: the same for every map and every run.

use std::iter;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

/// Long enough that no branch predictor learns a stream, even where the map itself is tiny.
const SHORTEST_STREAM: usize = 1 << 18;
/// Short enough to be built quickly. At this length a stream comes round again only after more
/// cache lines than any cache holds.
const LONGEST_STREAM: usize = 1 << 22;

/// A bijection that scatters its argument (the finalizer of SplitMix64), so that keys look random
/// and yet present and absent ones are known apart.
pub fn mix(index: usize) -> u64 {
    let mut bits = index as u64;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The `entries` keys that a map of that size holds, in the order of insertion.
pub fn present(entries: usize) -> Vec<u64> {
    (0..entries).map(mix).collect()
}

/// Another index below `entries`, and for each one another: what is next to each other is far apart
/// then. Maps that allocate their nodes have those next to each other that were inserted one after
/// another, and must not have the hottest keys so.
pub fn scattered(index: usize, entries: usize) -> usize {
    const PRIME: usize = 2_654_435_761;
    index.wrapping_mul(PRIME) % entries
}

/// The key as a text of 24 bytes.
pub fn text(key: u64) -> String {
    format!("objects/{key:016x}")
}

/// In a stream: a key that nobody has asked for before.
pub const NEW: u64 = u64::MAX;

/// A key that is in no stream, another one for each number.
pub fn unseen(number: u64) -> u64 {
    const AFTER_ALL_OTHERS: usize = 1 << 32;
    mix(AFTER_ALL_OTHERS + number as usize)
}

/// A precomputed sequence of keys to ask for.
pub struct Stream<K = u64> {
    keys: Vec<K>,
}

impl Stream {
    /// Whole sessions and batches, and no divisor of a stream's length.
    pub const STEP_OF_ROUND: usize = 64 * 10_007;

    /// Keys of a map of `entries` entries, in random order.
    pub fn hits(entries: usize) -> Self {
        Self::uniform(entries, 0)
    }

    /// Keys that a map of `entries` entries does not hold, in random order.
    pub fn misses(entries: usize) -> Self {
        Self::uniform(entries, entries)
    }

    fn uniform(entries: usize, first: usize) -> Self {
        let mut rng = SmallRng::seed_from_u64(first as u64);
        Self::of_indices(entries, || first + rng.random_range(0..entries))
    }

    /// Keys of a map of `entries` entries, Zipf-distributed with exponent 0.99: few are hot.
    pub fn zipf(entries: usize) -> Self {
        Self::zipf_of(entries, 0.99)
    }

    pub fn zipf_of(entries: usize, exponent: f64) -> Self {
        let mut rng = SmallRng::seed_from_u64(99);
        let ranks = Zipf::new(entries as f64, exponent).expect("there is at least one entry");
        Self::of_indices(entries, || scattered(ranks.sample(&mut rng) as usize - 1, entries))
    }

    /// The same, but so many of the keys, here and there, are [`NEW`].
    pub fn zipf_with_new(entries: usize, share_of_new: f64) -> Self {
        let mut stream = Self::zipf(entries);
        let mut rng = SmallRng::seed_from_u64(10);
        assert!(!stream.keys.contains(&NEW), "a key looks like none");
        for key in &mut stream.keys {
            if rng.random_bool(share_of_new) {
                *key = NEW;
            }
        }
        stream
    }

    fn of_indices(entries: usize, index: impl FnMut() -> usize) -> Self {
        let length = entries.clamp(SHORTEST_STREAM, LONGEST_STREAM);
        Self { keys: iter::repeat_with(index).take(length).map(mix).collect() }
    }

    /// The same sequence of other keys.
    pub fn map<K>(&self, key: impl Fn(u64) -> K) -> Stream<K> {
        Stream { keys: self.keys.iter().copied().map(key).collect() }
    }
}

impl<K> Stream<K> {
    pub fn keys(&self) -> &[K] {
        &self.keys
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Where to begin in a round of which nobody knows how many keys it will take.
    pub fn start_of_round(&self, round: usize) -> usize {
        round * Stream::STEP_OF_ROUND
    }

    /// `length` keys from position `start` on, both counted modulo the length of the stream.
    pub fn window(&self, start: usize, length: usize) -> Window<'_, K> {
        Window { keys: &self.keys, start: start % self.keys.len(), length }
    }
}

/// A part of a [`Stream`], which may wrap around its end.
pub struct Window<'s, K = u64> {
    keys: &'s [K],
    start: usize,
    length: usize,
}

impl<K> Clone for Window<'_, K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Window<'_, K> {}

impl<'s, K> Window<'s, K> {
    pub fn len(self) -> usize {
        self.length
    }

    /// The keys, as few slices as possible.
    pub fn parts(self) -> impl Iterator<Item = &'s [K]> {
        let (mut position, mut left) = (self.start, self.length);
        iter::from_fn(move || {
            let run = left.min(self.keys.len() - position);
            let part = &self.keys[position..][..run];
            left -= run;
            position = 0;
            (run > 0).then_some(part)
        })
    }
}
