//! Growth and shrinking through several sizes of the table, with eight threads at work.
#![cfg(binlock_shuttle)]

use binlock_linearizability::Hashing;
use binlock_shuttle_tests::{HASHINGS, THREADS, Tracked, Value, explore, explore_times, together};
use shuttle::thread::yield_now;

#[test]
fn nothing_is_lost_while_eight_threads_fill_a_map_from_empty() {
    const EACH: u64 = 6;

    explore(|| {
        let tracked = Tracked::new(0, Hashing::Good);
        together(&tracked, THREADS, |tracked, thread| {
            let keys = |thread: usize| (0..EACH).map(move |i| thread as u64 * EACH + i);
            for key in keys(thread) {
                assert!(tracked.map.insert(key, tracked.value(key)).is_none());
                assert_eq!(tracked.map.get(&key).map(|value| value.read()), Some(key));
            }
            for key in keys((thread + 1) % THREADS) {
                assert!(tracked.map.get(&key).is_none_or(|value| value.read() == key));
            }
        });
        let all: Vec<_> = (0..THREADS as u64 * EACH).map(|key| (key, key)).collect();
        assert_eq!(tracked.settled(), all);
        tracked.end();
    });
}

#[test]
fn what_is_present_throughout_is_found_whatever_becomes_of_the_table() {
    const STAY: u64 = 10;

    explore(|| {
        for hashing in HASHINGS {
            let tracked = Tracked::new(0, hashing);
            for key in 0..STAY {
                tracked.map.insert(key, tracked.value(key));
            }
            together(&tracked, THREADS, |tracked, thread| {
                let map = &tracked.map;
                match thread {
                    0 => map.reserve(100),
                    1 => map.shrink_to_fit(),
                    2 => {
                        map.reserve(30);
                        map.shrink_to_fit();
                    }
                    3 | 4 => {
                        let mine = 100 * thread as u64;
                        for key in mine..mine + 12 {
                            map.insert(key, tracked.value(key));
                        }
                        for key in mine..mine + 12 {
                            assert_eq!(map.remove(&key).map(|value| value.read()), Some(key));
                        }
                    }
                    5 => {
                        for key in 0..STAY {
                            map.replace(key, tracked.value(key)).expect("it stays");
                        }
                    }
                    _ => {
                        for key in 0..STAY {
                            assert_eq!(map.get(&key).expect("it stays").read(), key);
                        }
                    }
                }
            });
            let all: Vec<_> = (0..STAY).map(|key| (key, key)).collect();
            assert_eq!(tracked.settled(), all);
            tracked.end();
        }
    });
}

#[test]
fn a_reservation_takes_no_room_from_a_larger_one() {
    explore(|| {
        let tracked = Tracked::new(0, Hashing::Good);
        tracked.map.insert(0, tracked.value(0));
        together(&tracked, THREADS, |tracked, thread| {
            let room = [20, 30, 50, 90, 120, 170, 250, 400][thread];
            tracked.map.reserve(room);
            assert!(tracked.map.capacity() > room);
        });
        assert!(tracked.map.capacity() > 400);
        assert_eq!(tracked.settled(), [(0, 0)]);
        tracked.end();
    });
}

#[test]
fn a_large_table_keeps_its_nodes_when_it_grows_and_shrinks() {
    /// Between these, nodes get the layout that knows no hash.
    const SMALL: usize = 2_000;
    const LARGE: usize = 6_000;

    explore_times(0.1, || {
        let tracked = Tracked::new(SMALL, Hashing::Good);
        for key in 0..20 {
            tracked.map.insert(key, tracked.value(key));
        }
        together(&tracked, THREADS, |tracked, thread| {
            let map = &tracked.map;
            match thread {
                0 => map.reserve(LARGE),
                1 => map.reserve(SMALL + 1_000),
                2 => map.shrink_to_fit(),
                _ => {
                    let mine = thread as u64;
                    map.insert(100 + mine, tracked.value(mine));
                    for key in 0..20 {
                        assert_eq!(map.get(&key).expect("it stays").read(), key);
                    }
                    assert_eq!(map.remove(&(100 + mine)).map(|value| value.read()), Some(mine));
                }
            }
        });
        let all: Vec<_> = (0..20).map(|key| (key, key)).collect();
        assert_eq!(tracked.settled(), all);
        tracked.end();
    });
}

#[test]
fn an_iteration_yields_what_stays_once_while_the_table_changes() {
    const STAY: u64 = 12;

    explore(|| {
        for hashing in HASHINGS {
            let tracked = Tracked::new(0, hashing);
            for key in 0..STAY {
                tracked.map.insert(key, tracked.value(key));
            }
            together(&tracked, THREADS, |tracked, thread| {
                let map = &tracked.map;
                match thread {
                    0 => map.reserve(60),
                    1 => map.shrink_to_fit(),
                    2..5 => {
                        let mine = 100 * thread as u64;
                        for key in mine..mine + 8 {
                            map.insert(key, tracked.value(key));
                        }
                        map.remove(&mine);
                    }
                    _ => {
                        let mut seen: Vec<_> =
                            map.pin().iter().map(|(key, value)| (*key, value.read())).collect();
                        seen.sort_unstable();
                        let stayed = seen.iter().filter(|(key, _)| *key < STAY).copied();
                        assert!(stayed.eq((0..STAY).map(|key| (key, key))), "{seen:?}");
                        // Of the others each comes once at the most.
                        assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");
                    }
                }
            });
            assert_eq!(tracked.settled().len() as u64, STAY + 3 * 7);
            tracked.end();
        }
    });
}

#[test]
fn the_count_is_exact_after_clearings_among_writes_and_growth() {
    explore(|| {
        for hashing in HASHINGS {
            let tracked = Tracked::new(0, hashing);
            together(&tracked, THREADS, |tracked, thread| {
                let map = &tracked.map;
                match thread {
                    0 => map.clear(),
                    1 => {
                        map.reserve(40);
                        map.clear();
                    }
                    2 => map.shrink_to_fit(),
                    3 => map.retain(|key, _| key % 2 == 0),
                    // What is cleared may be covered by a claim.
                    4 => {
                        for key in 0..8 {
                            let compute = |_: &u64, _: Option<&Value>| {
                                yield_now();
                                Some(tracked.value(key))
                            };
                            map.compute(key, compute).unwrap();
                        }
                    }
                    _ => {
                        for key in 0..8 {
                            map.insert(key, tracked.value(key));
                        }
                        map.remove(&(thread as u64));
                    }
                }
            });
            assert!(tracked.settled().iter().all(|(key, number)| key == number));
            tracked.end();
        }
    });
}
