//! Threads that need each other's keys: one is refused or overtaken, and all go on.

use crate::{
    A, B, ROUNDS,
    common::within,
    rounds::{Round, claim, rounds},
};

#[test]
fn row_q_of_two_computations_that_need_each_other_one_is_refused_inside_and_both_complete() {
    within(120, || {
        let work = |round: &Round<'_>, thread: usize| {
            let (mine, other) = if thread == 0 { (A, B) } else { (B, A) };
            let outer = claim(round.map(), round.index, mine, || {
                round.run();
                let inner = claim(round.map(), round.index / 4, other, || unreachable!());
                if let Ok(value) = &inner {
                    assert_eq!(*value, 10 * other);
                }
                round.count_error(inner, 2, false);
                10 * mine
            });
            assert_eq!(outer, Ok(10 * mine));
        };
        rounds(ROUNDS, 2, work, |round| {
            round.assert_was(2, 1);
            round.assert_is(&[(A, 10), (B, 20)]);
        });
    });
}

#[test]
fn row_r_of_two_computations_that_write_each_others_keys_one_is_overtaken() {
    within(120, || {
        let work = |round: &Round<'_>, thread: usize| {
            let (mine, other) = if thread == 0 { (A, B) } else { (B, A) };
            let map = round.map();
            let present = round.index % 2 == 0;
            if present {
                map.insert(mine, 1);
            }
            let outer = map.compute(mine, |_, before| {
                assert_eq!(before.is_some(), present);
                round.run();
                map.insert(other, 100 + other);
                Some(10 * mine)
            });
            if let Ok(value) = &outer {
                assert_eq!(**value.as_ref().unwrap(), 10 * mine);
            }
            round.count_error(outer, 2, true);
        };
        rounds(ROUNDS, 2, work, |round| {
            round.assert_was(2, 1);
            // One went ahead of the computation, the other came after it.
            round.assert_is(&[(A, 101), (B, 102)]);
        });
    });
}

/// Each thread, in a closure for its key, wants the key of the next one; through one map,
/// two or three.
fn ring(threads: usize) {
    let work = |round: &Round<'_>, thread: usize| {
        let maps = 1 + round.index % 3;
        let (map, key) = (&round.maps[thread % maps], thread as u64);
        let next = (thread + 1) % threads;
        let outer = claim(map, round.index, key, || {
            round.run();
            let map = &round.maps[next % maps];
            let inner = claim(map, round.index / 4, next as u64, || unreachable!());
            assert!(inner.as_ref().is_err() || inner == Ok(next as u64 + 10));
            round.count_error(inner, threads, false);
            key + 10
        });
        assert_eq!(outer, Ok(key + 10));
    };
    rounds(ROUNDS, threads, work, |round| {
        round.assert_was(threads, 1);
        round.assert_is(&(0..threads as u64).map(|key| (key, key + 10)).collect::<Vec<_>>());
    });
}

#[test]
fn row_y_in_a_ring_of_three_to_five_threads_one_is_refused_and_all_complete() {
    within(240, || (3..=5).for_each(ring));
}

#[test]
fn row_y_in_a_ring_of_six_to_eight_threads_one_is_refused_and_all_complete() {
    within(240, || (6..=8).for_each(ring));
}

#[test]
fn row_y_in_a_ring_of_plain_writes_one_computation_is_overtaken() {
    within(120, || {
        const THREADS: usize = 4;
        let work = |round: &Round<'_>, thread: usize| {
            let key = |thread: usize| (thread % THREADS) as u64;
            let maps = 1 + round.index % 3;
            let map = &round.maps[thread % maps];
            let outer = claim(map, round.index, key(thread), || {
                round.run();
                let map = &round.maps[(thread + 1) % THREADS % maps];
                map.insert(key(thread + 1), 100 + key(thread + 1));
                5
            });
            round.count_error(outer, THREADS, true);
        };
        rounds(ROUNDS, THREADS, work, |round| {
            round.assert_was(THREADS, 1);
            round.assert_is(&(0..THREADS as u64).map(|key| (key, key + 100)).collect::<Vec<_>>());
        });
    });
}
