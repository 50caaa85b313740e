//! Whoever does not need a key that is being computed does not wait for it: closures may wait
//! for such threads outside of the map.

use std::sync::atomic::Ordering;

use rayon::prelude::*;

use crate::{
    A, B, D, Map, ROUNDS,
    common::within,
    rounds::{Round, claim, rounds},
};

#[test]
fn row_s_of_two_computations_that_make_the_table_grow_neither_waits() {
    within(120, || {
        let work = |round: &Round<'_>, thread: usize| {
            let mine = [A, B][thread];
            let outer = claim(round.map(), round.index, mine, || {
                round.run();
                for i in 0..20 {
                    round.map().insert(100 * mine + i, i);
                }
                // Both are through while both are in their closures.
                round.barrier.wait();
                10 * mine
            });
            assert_eq!(outer, Ok(10 * mine));
        };
        rounds(ROUNDS, 2, work, |round| {
            let many = [100, 200].into_iter().flat_map(|from| (0..20).map(move |i| (from + i, i)));
            round.assert_was(2, 0);
            round.assert_is(&[(A, 10), (B, 20)].into_iter().chain(many).collect::<Vec<_>>());
        });
    });
}

/// A closure of one thread waits outside of the map until another thread has done something.
fn closure_waits_for(other: impl Fn(&Map, &Round<'_>) + Sync, after: &[(u64, u64)]) {
    let work = |round: &Round<'_>, thread: usize| {
        let map = round.map();
        if thread == 0 {
            map.insert(B, 20);
            let result = claim(map, round.index, A, || {
                round.run();
                round.barrier.wait();
                10
            });
            assert_eq!(result, Ok(10));
        } else {
            round.barrier.wait();
            other(map, round);
            round.barrier.wait();
        }
    };
    rounds(ROUNDS, 2, work, |round| {
        round.assert_was(1, 0);
        round.assert_is(after);
    });
}

#[test]
fn row_t_a_closure_may_wait_for_a_thread_that_writes_another_key_of_its_bin() {
    within(120, || {
        let other = |map: &Map, _: &Round<'_>| {
            assert!(map.insert(D, 30).is_none());
            assert_eq!(*map.replace(D, 31).unwrap(), 30);
            assert_eq!(*map.remove(&B).unwrap(), 20);
            assert_eq!(
                map.compute(D, |_, value| value.map(|value| value + 1)).unwrap().as_deref(),
                Some(&32)
            );
            assert_eq!(*map.compute_if_absent(4, |_| 40).unwrap(), 40);
        };
        closure_waits_for(other, &[(A, 10), (D, 32), (4, 40)]);
    });
}

#[test]
fn row_u_a_closure_may_wait_for_a_thread_that_makes_the_table_grow() {
    within(120, || {
        let other = |map: &Map, _: &Round<'_>| {
            let capacity = map.capacity();
            for i in 0..200 {
                map.insert(100 + i, i);
            }
            assert!(map.capacity() > capacity);
            for i in 0..200 {
                map.remove(&(100 + i));
            }
        };
        closure_waits_for(other, &[(A, 10), (B, 20)]);
    });
}

#[test]
fn row_v_a_closure_may_wait_for_a_thread_that_clears_the_map() {
    within(120, || {
        let work = |round: &Round<'_>, thread: usize| {
            let map = round.map();
            if thread == 0 {
                map.insert(A, 1);
                map.insert(B, 20);
                let absent = map.compute_if_absent(D, |_| {
                    let present = map.compute(A, |_, value| {
                        round.runs.fetch_add(1, Ordering::Relaxed);
                        round.barrier.wait();
                        round.barrier.wait();
                        value.map(|value| value + 1)
                    });
                    // What was there is gone, and so is what became of it.
                    assert_eq!(present.unwrap().as_deref(), Some(&2));
                    30
                });
                assert_eq!(*absent.unwrap(), 30);
                round.grow(map, 30);
            } else {
                round.barrier.wait();
                map.clear();
                assert!(map.is_empty() && map.pin().iter().next().is_none());
                round.barrier.wait();
            }
        };
        rounds(ROUNDS, 2, work, |round| {
            round.assert_was(1, 0);
            round.assert_is(&[(D, 30)]);
        });
    });
}

#[test]
fn row_w_a_closure_may_run_a_parallel_operation_that_writes_the_map() {
    within(120, || {
        let work = |round: &Round<'_>, _: usize| {
            let map = round.map();
            let result = map.compute_if_absent(A, |_| {
                round.run();
                (100..160_u64).into_par_iter().for_each(|key| {
                    map.insert(key, 0);
                    map.merge(key, 5, |before, five| Some(before + five)).unwrap();
                });
                (100..160_u64).into_par_iter().filter(|key| map.remove(key).is_some()).count()
                    as u64
            });
            assert_eq!(*result.unwrap(), 60);
        };
        rounds(ROUNDS, 1, work, |round| {
            round.assert_was(1, 0);
            round.assert_is(&[(A, 60)]);
        });
    });
}

#[test]
fn row_x_nobody_who_uses_other_keys_waits_for_a_slow_closure() {
    within(120, || {
        let work = |round: &Round<'_>, thread: usize| {
            let map = round.map();
            if thread == 0 {
                let result = claim(map, round.index, A, || {
                    round.run();
                    round.barrier.wait();
                    10
                });
                assert_eq!(result, Ok(10));
                return;
            }
            round.barrier.wait();
            let mine = 100 * thread as u64;
            for i in 0..16 {
                assert_eq!(claim(map, i, mine + i as u64, || 7), Ok(7));
                assert_eq!(map.insert(mine + i as u64, i as u64).as_deref(), Some(&7));
            }
            round.grow(map, 30);
            for i in 0..8 {
                assert_eq!(map.remove(&(mine + i)).as_deref(), Some(&i));
            }
            assert!(map.get(&A).is_none());
            // The closure is still running.
            round.barrier.wait();
        };
        rounds(ROUNDS, 3, work, |round| {
            let kept = [100, 200].into_iter().flat_map(|from| (8..16).map(move |i| (from + i, i)));
            round.assert_was(1, 0);
            round.assert_is(&[(A, 10)].into_iter().chain(kept).collect::<Vec<_>>());
        });
    });
}
