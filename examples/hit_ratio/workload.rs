//! Workloads for those who have no traces at hand: the patterns that tell policies apart. They
//! are the same each time.

use crate::trace::Trace;

const REQUESTS: u64 = 200_000;
/// Keys of the distributions.
const KEYS: u64 = 10_000;

/// All of them.
pub fn all() -> Vec<Trace> {
    vec![zipf(0.7), zipf(1.0), repeated(), mixed_with_scans(), drifting()]
}

/// Some keys are requested more often than others, at any time.
fn zipf(exponent: f64) -> Trace {
    let mut zipf = Zipf::new(exponent);
    Trace::of_keys(&format!("zipf {exponent:.1}"), (0..REQUESTS).map(|_| zipf.next()))
}

/// The same keys in the same order, again and again.
fn repeated() -> Trace {
    Trace::of_keys("loop", (0..REQUESTS).map(|i| i % KEYS))
}

/// Some keys are requested more often than others, but every now and then many are requested
/// that nobody wants again.
fn mixed_with_scans() -> Trace {
    let mut zipf = Zipf::new(0.9);
    let mut scanned = KEYS;
    let keys = (0..REQUESTS).map(|i| {
        if i % 4_000 < 3_000 {
            return zipf.next();
        }
        scanned += 1;
        scanned
    });
    Trace::of_keys("scans", keys)
}

/// What is popular now will not be so later.
fn drifting() -> Trace {
    let mut zipf = Zipf::new(0.8);
    Trace::of_keys("drift", (0..REQUESTS).map(|i| zipf.next() / 4 + i / 10))
}

/// Keys by Zipf's law.
struct Zipf {
    /// For each key the sum of the frequencies up to it.
    sums: Vec<f64>,
    state: u64,
}

impl Zipf {
    fn new(exponent: f64) -> Zipf {
        let mut sum = 0.0;
        let sums = (1..=KEYS).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Zipf { sums: sums.collect(), state: 0 }
    }

    fn next(&mut self) -> u64 {
        let sum = self.sums.last().copied().unwrap_or(0.0);
        let at = self.random() * sum;
        self.sums.partition_point(|&sum| sum < at) as u64
    }

    /// A number from 0 to 1, by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    fn random(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ bits >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_the_same_each_time() {
        for (first, second) in all().iter().zip(&all()) {
            assert_eq!(first, second);
            assert_eq!(first.requests.len() as u64, REQUESTS);
        }
    }

    #[test]
    fn the_first_key_of_zipf_is_the_most_frequent() {
        let mut zipf = Zipf::new(1.0);
        let mut counts = vec![0; KEYS as usize];
        (0..100_000).for_each(|_| counts[zipf.next() as usize] += 1);
        // Its share is one over the 10,000th harmonic number, 9.79.
        assert!((9_900..10_500).contains(&counts[0]), "{}", counts[0]);
        assert!(counts[0] > counts[1] && counts[1] > counts[10]);
    }
}
