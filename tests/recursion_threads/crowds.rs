//! Many threads that want one key.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use binlock::{ComputeError, HashMap};

use crate::{
    A, CROWD, FILLER, Map,
    common::{Hashers, together, within},
    rounds::VARIANTS,
};

/// A crowd wants one key, whose first `failures` computations end badly, the very first when
/// all of the crowd have come. How many got the value.
fn crowd(hasher: Hashers, failures: usize, panics: bool) -> usize {
    let map: Map = HashMap::with_hasher(hasher);
    let (runs, coming, got) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    together(CROWD, |_| {
        coming.fetch_add(1, Ordering::Relaxed);
        let compute = || {
            map.try_compute_if_absent(A, |_| {
                let run = runs.fetch_add(1, Ordering::Relaxed);
                if run == 0 {
                    while coming.load(Ordering::Relaxed) < CROWD {
                        thread::yield_now();
                    }
                    // Most of them sleep by then.
                    thread::sleep(Duration::from_millis(20));
                }
                if run >= failures {
                    return Ok(10);
                }
                if panics {
                    panic::resume_unwind(Box::new("thrown"));
                }
                Err("failed")
            })
        };
        match panic::catch_unwind(AssertUnwindSafe(compute)) {
            Ok(Ok(value)) => {
                assert_eq!(*value, 10);
                got.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Err(error)) => assert!(!panics && error == ComputeError::Closure("failed")),
            Err(payload) => assert!(panics && payload.is::<&str>()),
        }
    });
    assert_eq!(runs.into_inner(), failures + 1);
    assert_eq!((map.len(), *map.get(&A).unwrap()), (1, 10));
    got.into_inner()
}

#[test]
fn a_crowd_that_wants_one_key_gets_what_one_closure_computes() {
    within(120, || {
        for hasher in [Hashers::Good(1), Hashers::Constant] {
            assert_eq!(crowd(hasher, 0, false), CROWD);
        }
    });
}

#[test]
fn when_a_closure_fails_the_next_one_of_the_crowd_tries() {
    within(120, || {
        for failures in [1, 10, CROWD - 1] {
            assert_eq!(crowd(Hashers::Constant, failures, false), CROWD - failures);
        }
    });
}

#[test]
fn when_a_closure_panics_the_next_one_of_the_crowd_tries() {
    within(120, || {
        for failures in [1, 10, CROWD - 1] {
            assert_eq!(crowd(Hashers::Constant, failures, true), CROWD - failures);
        }
    });
}

#[test]
fn merges_of_many_threads_are_all_counted() {
    within(120, || {
        for variant in VARIANTS {
            let map = variant.map();
            together(8, |thread| {
                for i in 0..1_000 {
                    let key = (i + thread as u64) % 5;
                    map.merge(key, 1, |a, b| Some(a + b)).unwrap();
                    if i % 16 == 0 {
                        drop(map.entry(key).unwrap().and_modify(|value| value + 1));
                    }
                    map.insert(FILLER + i, 0);
                }
            });
            assert_eq!((0..5).map(|key| *map.get(&key).unwrap()).sum::<u64>(), 8 * (1_000 + 63));
            assert_eq!(map.len(), 1_005);
        }
    });
}
