//! Feature `rayon`: parallel iteration, and collecting from parallel iterators.

#![cfg(feature = "rayon")]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use binlock::{HashMap, HashSet};
use common::{Hashers, Ledger, Probe, operations::TrackedMap, race, within};
use rayon::{ThreadPool, ThreadPoolBuilder, prelude::*};

/// More threads than there are processors.
fn pool() -> ThreadPool {
    ThreadPoolBuilder::new().num_threads(8).build().unwrap()
}

#[test]
fn a_parallel_iteration_yields_every_entry_once() {
    within(240, || {
        pool().install(|| {
            for hasher in Hashers::ALL {
                for n in [0, 1, 7, 300] {
                    let map: HashMap<u64, u64, Hashers> = HashMap::with_hasher(hasher);
                    (0..n).for_each(|key| drop(map.insert(key, key * 2)));
                    let pinned = map.pin();
                    // The items may be kept as long as the view.
                    let mut entries: Vec<(&u64, &u64)> = pinned.par_iter().collect();
                    entries.sort();
                    assert!(
                        entries.into_iter().map(|(k, v)| (*k, *v)).eq((0..n).map(|k| (k, k * 2)))
                    );
                    let mut entries: Vec<(u64, u64)> = map.clone().into_par_iter().collect();
                    entries.sort();
                    assert!(entries.into_iter().eq((0..n).map(|k| (k, k * 2))));
                }
            }
        });
    });
}

#[test]
fn a_parallel_iteration_runs_on_several_threads() {
    within(240, || {
        pool().install(|| {
            let map: HashMap<u64, u64> = (0..10_000).map(|key| (key, key)).collect();
            let pinned = map.pin();
            // The first two items wait for each other: one thread alone would not end.
            let arrived = AtomicUsize::new(0);
            let sum: u64 = pinned
                .par_iter()
                .map(|(_, value)| {
                    if arrived.fetch_add(1, Ordering::SeqCst) == 0 {
                        while arrived.load(Ordering::SeqCst) < 2 {
                            std::thread::yield_now();
                        }
                    }
                    *value
                })
                .sum();
            assert_eq!(sum, 9_999 * 10_000 / 2);
        });
    });
}

#[test]
fn an_entry_that_is_present_throughout_is_yielded_once_while_others_grow_and_shrink_the_map() {
    within(240, || {
        let pool = pool();
        for hasher in [Hashers::Good(1), Hashers::FewBits(6)] {
            let map = &HashMap::with_hasher(hasher);
            (0..200_u64).for_each(|key| drop(map.insert(key, key)));
            race(
                3,
                |writer| {
                    for i in 0..3_000 {
                        let key = 1_000 + (i % 900) * 3 + writer as u64;
                        match i / 900 % 2 {
                            0 => drop(map.insert(key, key)),
                            _ => drop(map.remove(&key)),
                        }
                        match i % 500 {
                            200 => map.reserve(10_000),
                            400 => map.shrink_to_fit(),
                            _ => {}
                        }
                    }
                },
                1,
                |_| {
                    pool.install(|| {
                        let pinned = map.pin();
                        let seen: Vec<_> = (0..200).map(|_| AtomicUsize::new(0)).collect();
                        pinned.par_iter().for_each(|(key, value)| {
                            assert_eq!(key, value);
                            if let Some(seen) = seen.get(*key as usize) {
                                seen.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                        assert!(seen.iter().all(|times| times.load(Ordering::Relaxed) == 1));
                    });
                },
            );
        }
    });
}

#[test]
fn maps_and_sets_are_collected_and_extended_in_parallel() {
    within(240, || {
        pool().install(|| {
            let mut map: HashMap<u64, u64, Hashers> =
                (0..5_000).into_par_iter().map(|key| (key, key)).collect();
            assert_eq!(map.len(), 5_000);
            map.par_extend((4_000..6_000).into_par_iter().map(|key| (key, 0)));
            let mut shared = &map;
            shared.par_extend(vec![(6_000, 1), (6_001, 1)]);
            assert_eq!(map.len(), 6_002);
            let pinned = map.pin();
            assert!((0..4_000).all(|key| pinned.get(&key) == Some(&key)));
            assert!((4_000..6_000).all(|key| pinned.get(&key) == Some(&0)));

            let mut set: HashSet<u64> = (0..5_000).into_par_iter().map(|key| key / 2).collect();
            assert_eq!(set.len(), 2_500);
            set.par_extend((2_000..3_000).into_par_iter());
            let mut shared = &set;
            shared.par_extend(vec![3_000]);
            assert_eq!(set.len(), 3_001);
            assert_eq!(set.pin().par_iter().sum::<u64>(), 3_000 * 3_001 / 2);
            let mut keys: Vec<u64> = set.into_par_iter().collect();
            keys.sort();
            assert!(keys.into_iter().eq(0..=3_000));
        });
    });
}

#[test]
fn a_parallel_consumption_that_stops_early_drops_everything_once() {
    within(240, || {
        let ledger = &Ledger::new(10_000);
        let map = TrackedMap::with_hasher(Hashers::Good(1));
        for key in 0..2_000 {
            map.insert(ledger.track(key), ledger.track(key));
        }
        map.remove(&Probe(0));
        let pinned = map.pin();
        assert!(pinned.par_iter().find_any(|(key, _)| key.value == 1_000).is_some());
        drop(pinned);
        let found = map.into_par_iter().find_any(|(key, _)| key.value == 1_000);
        assert!(found.is_some());
        drop(found);
        ledger.assert_all_dropped_once();
    });
}

#[test]
fn a_parallel_operation_may_write_to_the_map_that_it_reads() {
    within(240, || {
        pool().install(|| {
            let map: HashMap<u64, u64> = (0..1_000).map(|key| (key, 0)).collect();
            let pinned = map.pin();
            pinned.par_iter().for_each(|(key, _)| {
                if *key < 1_000 {
                    map.insert(*key, key + 1);
                    map.insert(key + 10_000, 0);
                    map.retain(|other, _| *other != key + 10_000);
                }
            });
            assert_eq!(map.len(), 1_000);
            assert!((0..1_000).all(|key| map.get(&key).is_some_and(|value| *value == key + 1)));
        });
    });
}
