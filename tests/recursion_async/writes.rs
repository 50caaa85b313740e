//! Plain writes, and `clear`, while a future computes.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use binlock::ComputeError;

use crate::{
    A, B, D, Map,
    common::{Gate, together, within},
    compute,
    executor::{Task, block_on, turns},
    map, never,
};

#[test]
fn a_plain_write_of_the_key_inside_its_future_stands_and_the_future_is_overtaken() {
    within(60, || {
        let map = &map();
        type Write = fn(&Map);
        let writes: [(Write, Option<u64>); 3] = [
            (|map| drop(map.insert(A, 5)), Some(5)),
            (|map| drop(map.try_insert(A, 6)), Some(6)),
            (|map| drop(map.remove(&A)), None),
        ];
        for (write, after) in writes {
            let outer = compute(map, A, async {
                turns(2).await;
                write(map);
                turns(2).await;
                10
            });
            let error = block_on(outer).unwrap_err();
            assert!(error.is_overtaken() && error.is_own_key(), "{error:?}");
            assert_eq!(map.remove(&A).as_deref(), after.as_ref());
            assert!(map.is_empty());
        }
    });
}

#[test]
fn a_future_that_writes_its_key_when_it_is_dropped_ready_is_overtaken_by_that() {
    /// Is ready at once, and has something besides.
    struct Ready<'m, T> {
        output: Option<T>,
        _luggage: Inserts<'m>,
    }
    impl<T: Unpin> Future for Ready<'_, T> {
        type Output = T;

        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
            Poll::Ready(self.output.take().unwrap())
        }
    }

    within(60, || {
        let map = &map();
        let computed = map.compute_if_absent_async(A, |_| Ready {
            output: Some(10),
            _luggage: Inserts(map, A, 5),
        });
        let error = block_on(computed).unwrap_err();
        assert!(error.is_overtaken() && error.is_own_key(), "{error:?}");
        assert_eq!(map.remove(&A).as_deref(), Some(&5));
        // By whichever method.
        let ready = |_: &u64| Ready { output: Some(Ok::<_, ()>(10)), _luggage: Inserts(map, A, 5) };
        let error = block_on(map.try_compute_if_absent_async(A, ready)).unwrap_err();
        assert!(matches!(error, ComputeError::Recursive(error) if error.is_overtaken()));
        assert_eq!(map.remove(&A).as_deref(), Some(&5));
        assert!(map.is_empty());
    });
}

#[test]
fn two_writers_that_overtake_one_future_at_a_time_are_both_told_of_as_a_cycle() {
    within(60, || {
        for round in 0..5_000 {
            let map = &map();
            let barrier = &std::sync::Barrier::new(2);
            let ready = &Gate::default();
            // The future for A waits for the keys of both threads, which then write A.
            together(3, |thread| {
                if thread < 2 {
                    let mine = [B, D][thread];
                    let outer = map.compute_if_absent(mine, |_| {
                        ready.pass();
                        barrier.wait();
                        map.insert(A, 5);
                        7
                    });
                    assert_eq!(*outer.unwrap(), 7);
                    return;
                }
                ready.wait_for(2);
                let waits = async { futures::join!(never(map, B), never(map, D)).0.unwrap() };
                let mut task = Task::new(compute(map, A, waits));
                assert!(task.poll().is_none());
                ready.open();
                let error = block_on(task.future).unwrap_err();
                assert!(error.is_overtaken());
                assert_eq!(error.cycle_len(), Some(2), "round {round}");
            });
            assert_eq!((map.len(), *map.get(&A).unwrap()), (3, 5));
        }
    });
}

#[test]
fn clear_does_not_wait_for_a_future_whose_value_comes_after_it() {
    within(60, || {
        let map = &map();
        map.insert(D, 30);
        let mut task = Task::new(compute(map, A, async {
            turns(1).await;
            10
        }));
        assert!(task.poll().is_none());
        map.clear();
        assert_eq!((map.len(), map.get(&A).is_none()), (0, true));
        assert_eq!(task.poll(), Some(Ok(10)));
        assert_eq!((map.len(), *map.get(&A).unwrap()), (1, 10));
    });
}

/// Inserts when it is dropped.
pub struct Inserts<'m>(pub &'m Map, pub u64, pub u64);

impl Drop for Inserts<'_> {
    fn drop(&mut self) {
        self.0.insert(self.1, self.2);
    }
}
