//! The interleaving, and how long a slice of it is.

use std::time::Duration;

use libmimalloc_sys::mi_collect;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

/// Lets each of `contenders` run once in each round, in an order drawn anew, and gives each one's
/// samples by round. A round before the first warms caches and is not recorded.
///
/// `slice` gets the contender and the round.
pub fn interleave<T>(
    contenders: usize,
    rounds: usize,
    mut slice: impl FnMut(usize, usize) -> T,
) -> Vec<Vec<T>> {
    let mut rng = SmallRng::seed_from_u64(contenders as u64);
    let mut order: Vec<usize> = (0..contenders).collect();
    let mut samples: Vec<Vec<T>> = order.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for round in 0..=rounds {
        order.shuffle(&mut rng);
        for &contender in &order {
            let sample = slice(contender, round);
            if round > 0 {
                samples[contender].push(sample);
            }
        }
    }
    samples
}

/// The same for contenders that make a new map in each slice, and drop it.
pub fn interleave_new_maps<T>(
    contenders: usize,
    rounds: usize,
    mut slice: impl FnMut(usize, usize) -> T,
) -> Vec<Vec<T>> {
    interleave(contenders, rounds, |contender, round| {
        settle_allocator();
        slice(contender, round)
    })
}

/// Has the allocator give what has been freed back to the system.
///
/// It would do so in its own time, a piece whenever it is called: during the slice of the next
/// contender, and the more often that one allocates. When a map of `2^24` entries had been dropped,
/// the next one's filling was interrupted by 900 such calls, of 60 to 200 µs, if it was binlock's.
pub fn settle_allocator() {
    // SAFETY: may be called at any time.
    unsafe { mi_collect(true) };
}

/// How many operations fill a slice, by the time that `ours` takes for a number of them.
pub fn operations(slice: Duration, ours: impl Fn(usize) -> Duration) -> usize {
    let mut operations = 1 << 12;
    while ours(operations) < slice / 2 {
        operations *= 2;
    }
    operations
}
