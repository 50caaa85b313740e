//! Futures that block inside of a poll, and closures that block on futures.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::{
    A, B,
    common::{together, within},
    compute,
    executor::{block_on, turns},
    is_cycle, is_own, map, never,
};

#[test]
fn what_blocks_inside_a_future_for_its_own_key_is_refused() {
    within(60, || {
        let map = &map();
        let outer = compute(map, A, async {
            turns(1).await;
            assert!(map.compute_if_absent(A, |_| unreachable!()).is_err_and(|e| e.is_own_key()));
            assert!(map.compute(A, |_, _| unreachable!()).is_err_and(|e| e.is_own_key()));
            assert!(map.entry(A).is_err_and(|e| e.is_own_key()));
            // And through another key.
            let value = map.compute_if_absent(B, |_| {
                map.compute_if_absent(A, |_| unreachable!()).map_or(20, |value| *value)
            });
            assert!(is_own(&block_on(never(map, A))));
            *value.unwrap() + 1
        });
        assert_eq!(block_on(outer), Ok(21));
    });
}

#[test]
fn a_future_that_a_closure_blocks_on_is_refused_the_closures_key() {
    within(60, || {
        let map = &map();
        let outer = map.compute_if_absent(A, |_| {
            assert!(is_own(&block_on(never(map, A))));
            let inner = block_on(compute(map, B, async {
                turns(1).await;
                never(map, A).await.map_or(20, |_| 0)
            }));
            inner.unwrap() + 1
        });
        assert_eq!(outer.as_deref(), Ok(&21));
        assert_eq!(map.len(), 2);
    });
}

#[test]
fn a_future_that_a_closure_inside_a_future_blocks_on_is_refused_the_outer_futures_key() {
    within(60, || {
        let map = &map();
        let outer = compute(map, A, async {
            turns(1).await;
            let inner = map.compute_if_absent(B, |_| {
                let inmost = block_on(never(map, A));
                assert!(inmost.is_err());
                20
            });
            *inner.unwrap() + 1
        });
        assert_eq!(block_on(outer), Ok(21));
    });
}

#[test]
fn of_a_future_that_blocks_and_one_that_awaits_each_others_keys_one_is_refused() {
    within(60, || {
        for _ in 0..300 {
            let (map, errors) = (&map(), &AtomicUsize::new(0));
            let barrier = &std::sync::Barrier::new(2);
            together(2, |thread| {
                let (mine, other) = if thread == 0 { (A, B) } else { (B, A) };
                let outer = compute(map, mine, async {
                    barrier.wait();
                    let inner = if thread == 0 {
                        map.compute_if_absent(other, |_| unreachable!()).map(|value| *value)
                    } else {
                        never(map, other).await
                    };
                    if inner != Ok(7) {
                        assert!(is_cycle(&inner, 2), "{inner:?}");
                        errors.fetch_add(1, Ordering::Relaxed);
                    }
                    7
                });
                assert_eq!(block_on(outer), Ok(7));
            });
            assert_eq!((errors.load(Ordering::Relaxed), map.len()), (1, 2));
        }
    });
}
