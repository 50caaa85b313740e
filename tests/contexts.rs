//! Cycles that run through closures that drive futures, futures that hold entries, and
//! futures that change their place: each must be noticed, or it hangs for ever.

mod common;

use std::{
    cell::RefCell,
    sync::{Arc, Barrier, mpsc},
    thread,
    time::Duration,
};

use binlock::HashMap;
use common::{
    futures::{assert_pending, block_on, yield_now},
    within,
};

type Map = HashMap<u64, u64>;

/// The value, or 99 where the computation needs itself.
async fn compute(map: &Map, key: u64) -> u64 {
    map.compute_if_absent_async(key, |_| async { 5 }).await.map_or(99, |value| *value)
}

#[test]
fn a_closure_in_a_future_that_drives_another_one_to_the_outer_key_is_refused() {
    within(20, || {
        let map = &Map::new();
        let outer = block_on(map.compute_if_absent_async(1, |_| async {
            *map.compute_if_absent(7, |_| block_on(compute(map, 1))).unwrap()
        }));
        assert_eq!(*outer.unwrap(), 99);
        assert_eq!(*map.get(&7).unwrap(), 99);
    });
}

#[test]
fn so_is_one_that_drives_a_computation_which_needs_the_outer_key() {
    within(20, || {
        let map = &Map::new();
        let inner = || async {
            let innermost = |_: &_| async { compute(map, 1).await };
            map.compute_if_absent_async(8, innermost).await.map(|value| *value).unwrap()
        };
        let outer = block_on(map.compute_if_absent_async(1, |_| async {
            *map.compute_if_absent(7, |_| block_on(inner())).unwrap()
        }));
        assert_eq!(*outer.unwrap(), 99);
    });
}

#[test]
fn so_is_a_thread_that_needs_a_key_of_a_future_whose_thread_is_driving_another_one() {
    within(20, || {
        let map = &Map::new();
        let (claimed, go) = (&Barrier::new(2), &Barrier::new(2));
        let results = thread::scope(|scope| {
            let other = scope.spawn(move || {
                let value = map.compute_if_absent(50, |_| {
                    claimed.wait();
                    go.wait();
                    map.compute_if_absent(1, |_| 22).map_or(99, |value| *value)
                });
                *value.unwrap()
            });
            claimed.wait();
            let mine = block_on(map.compute_if_absent_async(1, |_| async {
                let driving = map.compute_if_absent(7, |_| {
                    go.wait();
                    block_on(compute(map, 50))
                });
                *driving.unwrap()
            }));
            [*mine.unwrap(), other.join().unwrap()]
        });
        // One of the two was refused, and the other has its value.
        assert_eq!(results.iter().filter(|result| **result == 99).count(), 2, "{results:?}");
        assert_eq!(map.len(), 3);
    });
}

#[test]
fn an_entry_that_a_computation_holds_across_an_await_is_its_own() {
    within(20, || {
        let map = &Map::new();
        let outer = block_on(map.compute_if_absent_async(1, |_| async {
            let entry = map.entry(5).unwrap();
            yield_now().await;
            let inner = compute(map, 5).await;
            drop(entry);
            inner
        }));
        assert_eq!(*outer.unwrap(), 99);
        assert_eq!(map.len(), 1);
    });
}

#[test]
fn an_entry_that_is_dropped_in_a_later_poll_leaves_no_trace() {
    within(20, || {
        let map = &Map::new();
        let outer = block_on(map.compute_if_absent_async(1, |_| async {
            let entry = map.entry(5).unwrap();
            yield_now().await;
            drop(entry);
            *map.compute_if_absent(7, |_| block_on(compute(map, 7))).unwrap()
        }));
        assert_eq!(*outer.unwrap(), 99);
    });
}

#[test]
fn a_future_that_begins_to_wait_outside_of_a_computation_and_goes_on_inside_is_refused() {
    within(20, || {
        let map = &Map::new();
        let (claimed, go) = (&Barrier::new(2), &Barrier::new(2));
        thread::scope(|scope| {
            let other = scope.spawn(move || {
                let value = map.compute_if_absent(1, |_| {
                    claimed.wait();
                    go.wait();
                    map.compute_if_absent(2, |_| 22).map_or(99, |value| *value)
                });
                *value.unwrap()
            });
            claimed.wait();
            let mut waiting = Box::pin(compute(map, 1));
            assert_pending(waiting.as_mut());
            let inside = map.compute_if_absent_async(2, |_| async move {
                go.wait();
                waiting.await
            });
            let results = [*block_on(inside).unwrap(), other.join().unwrap()];
            assert_eq!(results, [99, 99]);
        });
    });
}

#[test]
fn a_computation_that_goes_on_inside_of_another_one_takes_its_waits_along() {
    within(20, || {
        let map = &Map::new();
        let (claimed, go) = (&Barrier::new(2), &Barrier::new(2));
        thread::scope(|scope| {
            let other = scope.spawn(move || {
                let value = map.compute_if_absent(1, |_| {
                    claimed.wait();
                    go.wait();
                    map.compute_if_absent(2, |_| 22).map_or(99, |value| *value)
                });
                *value.unwrap()
            });
            claimed.wait();
            // Holds 3 and waits for 1, by itself.
            let mut holding = Box::pin(map.compute_if_absent_async(3, |_| compute(map, 1)));
            assert_pending(holding.as_mut());
            // From here on 2 is not done before 3 is.
            let inside = map.compute_if_absent_async(2, |_| async move {
                go.wait();
                holding.await.map(|value| *value).unwrap()
            });
            let results = [*block_on(inside).unwrap(), other.join().unwrap()];
            assert_eq!(results, [99, 99]);
        });
    });
}

/// Uses the map when the thread-locals of its thread are being destroyed.
struct Late(RefCell<Option<(Arc<Map>, mpsc::Sender<bool>)>>);

impl Drop for Late {
    fn drop(&mut self) {
        let (map, refused) = self.0.take().unwrap();
        let outer = map.compute_if_absent(1, |key| {
            refused.send(map.compute_if_absent(*key, |_| 2).is_err()).unwrap();
            3
        });
        refused.send(*outer.unwrap() == 3).unwrap();
    }
}

thread_local!(static LATE: Late = const { Late(RefCell::new(None)) });

#[test]
fn recursion_in_the_destructor_of_a_thread_local_is_refused() {
    let (sender, results) = mpsc::channel();
    let map = Arc::new(Map::new());
    thread::spawn(move || {
        // Initialised before the crate's own, and so destroyed after them.
        LATE.with(|late| *late.0.borrow_mut() = Some((Arc::clone(&map), sender)));
        map.compute_if_absent(9, |_| 9).unwrap();
    });
    for _ in 0..2 {
        assert_eq!(results.recv_timeout(Duration::from_secs(20)), Ok(true));
    }
}

#[test]
fn a_table_grows_under_many_computations_that_are_under_way() {
    within(60, || {
        const PENDING: u64 = 20_000;
        let map = &Map::new();
        block_on(async {
            let computations = (0..PENDING).map(|key| {
                Box::pin(map.compute_if_absent_async(key, |_| async {
                    yield_now().await;
                    1
                }))
            });
            let mut computations: Vec<_> = computations.collect();
            for computation in &mut computations {
                common::futures::begin(computation.as_mut()).await;
            }
            assert!(map.is_empty());
            assert!(map.capacity() as u64 > PENDING / 4, "{}", map.capacity());
            for computation in computations {
                computation.await.unwrap();
            }
        });
        assert_eq!(map.len() as u64, PENDING);
    });
}
