//! Claims, those who wait for them, and cycles, with eight threads at work.
#![cfg(binlock_shuttle)]

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
};

use binlock::{ComputeError, Entry};
use binlock_linearizability::Hashing;
use binlock_shuttle_tests::{HASHINGS, THREADS, Tracked, explore, together};
use shuttle::{future::block_on, thread::yield_now};

/// Eight keys, and whether a closure is running for each.
#[derive(Default)]
struct Running([AtomicBool; THREADS]);

impl Running {
    fn during<R>(&self, key: u64, f: impl FnOnce() -> R) -> R {
        let running = &self.0[key as usize];
        assert!(!running.swap(true, SeqCst), "two closures for key {key}");
        yield_now();
        let result = f();
        running.store(false, SeqCst);
        result
    }
}

#[test]
fn no_update_is_lost_when_eight_threads_compute_on_two_keys_while_the_map_grows() {
    explore(|| {
        for hashing in HASHINGS {
            let tracked = Tracked::new(0, hashing);
            let running = Arc::new(Running::default());
            together(&tracked, THREADS, move |tracked, thread| {
                let map = &tracked.map;
                for round in 0..2 {
                    let key = (thread as u64 + round) % 2;
                    if thread % 2 == 0 {
                        let computed = map.compute(key, |_, current| {
                            let current = current.map_or(0, |value| value.read());
                            running.during(key, || Some(tracked.value(current + 1)))
                        });
                        computed.unwrap();
                    } else {
                        let merged = map.merge(key, tracked.value(1), |current, one| {
                            let sum = current.read() + one.read();
                            running.during(key, || Some(tracked.value(sum)))
                        });
                        merged.unwrap();
                    }
                    // The claimed key moves.
                    for i in 0..3 {
                        let key = 100 * (thread as u64 + 1) + 10 * round + i;
                        map.insert(key, tracked.value(0));
                    }
                }
            });
            let entries = tracked.settled();
            assert_eq!(entries[..2], [(0, THREADS as u64), (1, THREADS as u64)]);
            assert_eq!(entries.len(), 2 + THREADS * 6);
            tracked.end();
        }
    });
}

#[test]
fn of_eight_threads_that_want_a_key_computed_one_does_it() {
    explore(|| {
        let tracked = Tracked::new(0, Hashing::Constant);
        let computed = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&computed);
        together(&tracked, THREADS, move |tracked, thread| {
            for key in 0..3 {
                let compute = |_: &u64| {
                    counted.fetch_add(1, SeqCst);
                    yield_now();
                    tracked.value(10 + key)
                };
                let found = if thread % 2 == 0 {
                    tracked.map.compute_if_absent(key, compute)
                } else {
                    let later = |key: &u64| {
                        let value = compute(key);
                        async {
                            yield_now();
                            value
                        }
                    };
                    block_on(tracked.map.compute_if_absent_async(key, later))
                };
                assert_eq!(found.unwrap().read(), 10 + key);
            }
        });
        assert_eq!(computed.load(SeqCst), 3);
        assert_eq!(tracked.settled(), [(0, 10), (1, 11), (2, 12)]);
        tracked.end();
    });
}

#[test]
fn who_waited_for_a_computation_that_failed_tries_for_himself() {
    explore(|| {
        let tracked = Tracked::new(0, Hashing::Good);
        let failed = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&failed);
        together(&tracked, THREADS, move |tracked, thread| {
            let outcome = tracked.map.try_compute_if_absent(0, |_| {
                yield_now();
                // The last one succeeds, whoever that is.
                if counted.load(SeqCst) + 1 < THREADS { Err(thread) } else { Ok(tracked.value(1)) }
            });
            match outcome {
                Ok(value) => assert_eq!(value.read(), 1),
                Err(ComputeError::Closure(who)) => {
                    assert_eq!(who, thread);
                    counted.fetch_add(1, SeqCst);
                }
                Err(ComputeError::Recursive(error)) => panic!("{error}"),
            }
        });
        // A failure is counted after the claim is gone, so that some more may have failed.
        let failed = failed.load(SeqCst);
        assert_eq!(tracked.settled(), if failed == THREADS { vec![] } else { vec![(0, 1)] });
        tracked.end();
    });
}

#[test]
fn plain_writes_wait_for_claims_that_are_held_and_go_on_when_they_are_settled() {
    explore(|| {
        for hashing in HASHINGS {
            // Room enough for a table that can shrink.
            let tracked = Tracked::new(100, hashing);
            tracked.map.insert(0, tracked.value(0));
            together(&tracked, THREADS, |tracked, thread| {
                let map = &tracked.map;
                match thread {
                    0 | 1 => match map.entry(thread as u64).unwrap() {
                        Entry::Occupied(entry) => {
                            yield_now();
                            entry.remove().unwrap();
                        }
                        Entry::Vacant(entry) => {
                            yield_now();
                            entry.insert(tracked.value(7)).unwrap();
                        }
                    },
                    2 => {
                        // Claimed keys move, there and back.
                        map.shrink_to_fit();
                        map.reserve(40);
                    }
                    3 => drop(map.insert(0, tracked.value(3))),
                    4 => drop(map.remove(&1)),
                    5 => drop(map.replace(0, tracked.value(5))),
                    6 => drop(map.remove_if(&0, |_, value| value.read() % 2 == 0)),
                    _ => drop(map.try_insert(1, tracked.value(8))),
                }
            });
            tracked.settled();
            tracked.end();
        }
    });
}

#[test]
fn in_a_ring_of_eight_threads_nobody_waits_for_ever() {
    explore(|| {
        for hashing in HASHINGS {
            let tracked = Tracked::new(0, hashing);
            let refused = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&refused);
            together(&tracked, THREADS, move |tracked, thread| {
                let map = &tracked.map;
                let next = (thread as u64 + 1) % THREADS as u64;
                let outer = map.compute_if_absent(thread as u64, |_| {
                    yield_now();
                    if map.compute_if_absent(next, |_| tracked.value(1)).is_err() {
                        counted.fetch_add(1, SeqCst);
                    }
                    tracked.value(1)
                });
                assert_eq!(outer.expect("nobody writes").read(), 1);
            });
            // In most schedules nobody is; one refusal opens the ring.
            assert!(refused.load(SeqCst) <= 1);
            let all: Vec<_> = (0..THREADS as u64).map(|key| (key, 1)).collect();
            assert_eq!(tracked.settled(), all);
            tracked.end();
        }
    });
}

#[test]
fn in_a_ring_of_eight_writers_one_overtakes_and_the_others_come_through() {
    explore(|| {
        let tracked = Tracked::new(0, Hashing::Poor);
        together(&tracked, THREADS, |tracked, thread| {
            let map = &tracked.map;
            let next = (thread as u64 + 1) % THREADS as u64;
            let outcome = map.compute(thread as u64, |_, _| {
                yield_now();
                map.insert(next, tracked.value(10));
                Some(tracked.value(1))
            });
            if let Err(error) = outcome {
                assert!(error.is_overtaken());
            }
        });
        let entries = tracked.settled();
        assert!(entries.iter().map(|(key, _)| *key).eq(0..THREADS as u64), "{entries:?}");
        tracked.end();
    });
}

#[test]
fn a_claim_takes_those_who_wait_for_it_along_when_it_moves() {
    explore(|| {
        for hashing in HASHINGS {
            // Room enough for a table that can shrink.
            let tracked = Tracked::new(100, hashing);
            let moved = AtomicBool::new(false);
            together(&tracked, THREADS, move |tracked, thread| {
                let map = &tracked.map;
                match thread {
                    0 => {
                        let entry = map.entry(0).unwrap();
                        while !moved.load(SeqCst) {
                            yield_now();
                        }
                        drop(entry);
                    }
                    1 => {
                        map.shrink_to_fit();
                        map.reserve(60);
                        map.shrink_to_fit();
                        moved.store(true, SeqCst);
                    }
                    _ => {
                        let merged = map.merge(0, tracked.value(1), |current, one| {
                            Some(tracked.value(current.read() + one.read()))
                        });
                        merged.unwrap();
                    }
                }
            });
            assert_eq!(tracked.settled(), [(0, THREADS as u64 - 2)]);
            tracked.end();
        }
    });
}
