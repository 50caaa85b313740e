//! flurry's tests with hashers that give nothing but zeros, or nothing but ones.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher},
};

use binlock::HashMap;

use crate::common::{Random, UNSPREAD, together, within};

/// Hashes to extremes.
#[derive(Clone, Copy, Debug)]
enum Extremes {
    Zeros,
    Ones,
    /// By the number's lowest bit: keys are in the first bin of all and in the last.
    Both,
}

struct State(Extremes, u64);

impl BuildHasher for Extremes {
    type Hasher = State;

    fn build_hasher(&self) -> State {
        State(*self, 0)
    }
}

impl Hasher for State {
    fn write(&mut self, bytes: &[u8]) {
        self.1 = u64::from(bytes[0]);
    }

    fn finish(&self) -> u64 {
        match self.0 {
            Extremes::Zeros => 0,
            Extremes::Ones => u64::MAX,
            // Multiplied by what hashes are spread with, it is all ones.
            Extremes::Both => 0_u64.wrapping_sub((self.1 & 1).wrapping_mul(UNSPREAD)),
        }
    }
}

#[test]
fn hashes_of_zeros_and_of_ones_are_hashes_as_all_others() {
    within(60, || {
        for hasher in [Extremes::Zeros, Extremes::Ones, Extremes::Both] {
            for capacity in [0, 100, 50_000] {
                let map = HashMap::with_capacity_and_hasher(capacity, hasher);
                let mut model = BTreeMap::new();
                let mut random = Random::new(capacity as u64);
                for i in 0..1_500 {
                    let key = random.below(60);
                    match random.below(5) {
                        0 | 1 => {
                            assert_eq!(map.insert(key, i).as_deref(), model.insert(key, i).as_ref())
                        }
                        2 => assert_eq!(map.remove(&key).as_deref(), model.remove(&key).as_ref()),
                        3 => {
                            let expected = *model.entry(key).or_insert(i);
                            assert_eq!(*map.compute_if_absent(key, |_| i).unwrap(), expected);
                        }
                        _ => assert_eq!(map.get(&key).as_deref(), model.get(&key)),
                    }
                    match i % 300 {
                        100 => map.reserve(20_000),
                        200 => map.shrink_to_fit(),
                        _ => {}
                    }
                    assert_eq!(map.len(), model.len());
                }
                let entries: BTreeMap<u64, u64> = map.into_iter().collect();
                assert_eq!(entries, model, "{hasher:?}");
            }
        }
    });
}

#[test]
fn threads_that_meet_in_the_first_or_the_last_bin_of_a_table_that_grows_lose_nothing() {
    within(60, || {
        for hasher in [Extremes::Zeros, Extremes::Ones, Extremes::Both] {
            let map = &HashMap::with_hasher(hasher);
            together(4, |thread| {
                for i in 0..60 {
                    let key = i * 4 + thread as u64;
                    assert!(map.insert(key, key).is_none());
                    if i % 20 == 7 {
                        map.reserve(3_000 * i as usize);
                    }
                    assert!((0..=i).all(|i| map.contains_key(&(i * 4 + thread as u64))));
                }
            });
            assert_eq!((map.len(), map.pin().keys().count()), (240, 240));
        }
    });
}
