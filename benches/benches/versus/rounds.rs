//! The interleaving, and how long a slice of it is.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

/// Lets each of `contenders` run once in each round, in an order drawn anew (in each run, too, so that
/// runs that agree do not owe it to who was run after whom), and gives each one's
/// samples by round. A round before the first warms caches and is not recorded.
///
/// `slice` gets the contender and the round.
pub fn interleave<T>(
    contenders: usize,
    rounds: usize,
    mut slice: impl FnMut(usize, usize) -> T,
) -> Vec<Vec<T>> {
    // Std's hasher has a seed of the system's.
    let mut rng = SmallRng::seed_from_u64(RandomState::new().hash_one(contenders));
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

/// How many operations fill a slice, by the time that `ours` takes for a number of them.
pub fn operations(slice: Duration, ours: impl Fn(usize) -> Duration) -> usize {
    let mut operations = 1 << 12;
    while ours(operations) < slice / 2 {
        operations *= 2;
    }
    operations
}
