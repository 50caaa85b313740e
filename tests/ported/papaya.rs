//! papaya's stress tests of `update`, `compute` and `remove`: sums that must come out right
//! however many threads add to them, take entries out and put them back, while others let
//! the table grow.

use crate::{
    Map,
    common::{Hashers, Random, race, together, within},
};

const KEYS: u64 = 32;
const EACH: u64 = 40;
const THREADS: usize = 4;

/// All keys so often, in a random order.
fn shuffled(thread: usize) -> Vec<u64> {
    let mut keys: Vec<u64> = (0..KEYS * EACH).map(|i| i % KEYS).collect();
    let mut random = Random::new(thread as u64);
    for i in (1..keys.len()).rev() {
        keys.swap(i, random.below(i as u64 + 1) as usize);
    }
    keys
}

/// Inserts others' keys, so that the table grows, and makes it shrink in the end.
fn unsettle(map: &Map) {
    for i in 0..2_000 {
        map.insert(KEYS + i, u64::MAX);
    }
    map.retain(|key, _| *key < KEYS);
    map.shrink_to_fit();
}

/// All ways to add one to a value that is there or not.
const ADDITIONS: [fn(&Map, u64); 5] = [
    |map, key| drop(map.merge(key, 1, |sum, one| Some(sum + one)).unwrap()),
    |map, key| drop(map.compute(key, |_, sum| Some(sum.map_or(1, |sum| sum + 1))).unwrap()),
    |map, key| {
        map.entry(key).unwrap().and_modify(|sum| sum + 1).or_insert(1).unwrap();
    },
    // Either is a matter of one moment; between them, somebody else may come.
    |map, key| {
        while map.compute_if_present(&key, |_, sum| Some(sum + 1)).unwrap().is_none()
            && map.try_insert(key, 1).is_err()
        {}
    },
    // The own value is told from another's by the key of the entry that was made.
    |map, key| {
        let mut is_mine = false;
        map.compute_if_absent(key, |_| {
            is_mine = true;
            1
        })
        .unwrap();
        if !is_mine {
            map.merge(key, 1, |sum, one| Some(sum + one)).unwrap();
        }
    },
];

#[test]
fn additions_by_any_way_are_all_counted_while_others_let_the_table_grow() {
    within(120, || {
        for hasher in [Hashers::Good(1), Hashers::FewBits(2), Hashers::Constant] {
            for add in ADDITIONS {
                let map = &Map::with_hasher(hasher);
                let add_all = |thread| shuffled(thread).into_iter().for_each(|key| add(map, key));
                // A table of few hashes does not grow, and would take long to fill.
                let others = usize::from(hasher == Hashers::Good(1));
                race(THREADS, add_all, others, |_| unsettle(map));
                assert_eq!(map.len() as u64, KEYS);
                let sum = EACH * THREADS as u64;
                assert!((0..KEYS).all(|key| *map.get(&key).unwrap() == sum));
            }
        }
    });
}

/// All ways to take a value out, perhaps.
const REMOVALS: [fn(&Map, u64) -> Option<u64>; 4] = [
    |map, key| map.remove(&key).map(|sum| *sum),
    |map, key| map.remove_if(&key, |_, sum| sum % 2 == 0).map(|sum| *sum),
    |map, key| {
        let mut taken = None;
        let take = |_: &u64, sum: &u64| {
            taken = (sum % 3 != 0).then_some(*sum);
            if taken.is_some() { None } else { Some(*sum) }
        };
        map.compute_if_present(&key, take).unwrap();
        taken
    },
    |map, key| match map.entry(key).unwrap() {
        binlock::Entry::Occupied(entry) => Some(*entry.remove().unwrap()),
        binlock::Entry::Vacant(_) => None,
    },
];

#[test]
fn what_is_taken_out_and_put_back_is_neither_lost_nor_doubled_among_additions() {
    within(120, || {
        for hasher in [Hashers::Good(1), Hashers::Constant] {
            for remove in REMOVALS {
                let map = &Map::with_hasher(hasher);
                let add = |map: &Map, key, some| {
                    map.merge(key, some, |sum, some| Some(sum + some)).unwrap();
                };
                together(2 * THREADS + 1, |thread| match thread {
                    0 => {
                        if hasher != Hashers::Constant {
                            unsettle(map);
                        }
                    }
                    _ if thread % 2 == 0 => {
                        shuffled(thread).into_iter().for_each(|key| add(map, key, 1));
                    }
                    _ => {
                        for key in shuffled(thread) {
                            if let Some(sum) = remove(map, key) {
                                add(map, key, sum);
                            }
                        }
                    }
                });
                let sum = EACH * THREADS as u64;
                for key in 0..KEYS {
                    assert_eq!(*map.get(&key).unwrap(), sum, "{hasher:?}, key {key}");
                }
                assert_eq!(map.len() as u64, KEYS);
            }
        }
    });
}
