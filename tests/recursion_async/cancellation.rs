//! Futures that are dropped, or never dropped, before they are ready.

use std::{mem, thread, time::Duration};

use crate::{
    A, B, D,
    common::{futures::begin, within},
    compute,
    executor::{Task, block_on, turns},
    map, never,
    writes::Inserts,
};

#[test]
fn dropping_the_future_that_computes_lets_the_next_one_compute() {
    within(60, || {
        let map = &map();
        let mut first = Task::new(compute(map, A, std::future::pending()));
        let mut second = Task::new(compute(map, A, async { 20 }));
        let mut third = Task::new(compute(map, A, async { 30 }));
        assert!(first.poll().is_none() && second.poll().is_none() && third.poll().is_none());
        thread::scope(|scope| {
            let thread = scope.spawn(|| *map.compute_if_absent(A, |_| 40).unwrap());
            thread::sleep(Duration::from_millis(20));
            assert!(!thread.is_finished() && !second.is_woken() && !third.is_woken());
            drop(first);
            assert!(second.is_woken() && third.is_woken());
            // All have been woken, and the thread may be the next.
            let value = *map.get(&thread.join().map(|_| A).unwrap()).unwrap();
            assert_eq!(value, 40);
            assert_eq!((second.poll(), third.poll()), (Some(Ok(40)), Some(Ok(40))));
        });
        map.clear();
        let mut first = Task::new(compute(map, A, std::future::pending()));
        let mut second = Task::new(compute(map, A, async { 20 }));
        assert!(first.poll().is_none() && second.poll().is_none());
        drop(first);
        assert_eq!((second.poll(), map.len()), (Some(Ok(20)), 1));
    });
}

#[test]
fn dropping_a_future_that_waits_is_nothing_to_the_others() {
    within(60, || {
        for dropped in 0..3 {
            let map = &map();
            let mut first = Task::new(compute(map, A, async {
                turns(1).await;
                10
            }));
            assert!(first.poll().is_none());
            let mut waiting: Vec<_> = (0..3).map(|_| Task::new(never(map, A))).collect();
            assert!(waiting.iter_mut().all(|task| task.poll().is_none()));
            drop(waiting.remove(dropped));
            assert_eq!(first.poll(), Some(Ok(10)));
            assert!(waiting.iter().all(Task::is_woken));
            assert!(waiting.iter_mut().all(|task| task.poll() == Some(Ok(10))));
        }
    });
}

#[test]
fn a_wait_that_was_given_up_is_part_of_no_cycle() {
    within(60, || {
        let map = &map();
        // While it computes A it waits for B for a while only.
        let mut first = Task::new(compute(map, A, async {
            let mut wait = Task::new(never(map, B));
            assert!(wait.poll().is_none());
            drop(wait);
            turns(1).await;
            10
        }));
        let mut second = Task::new(compute(map, B, async {
            turns(1).await;
            never(map, A).await.unwrap() + 1
        }));
        assert!(second.poll().is_none() && first.poll().is_none());
        assert!(second.poll().is_none());
        assert_eq!(first.poll(), Some(Ok(10)));
        assert_eq!(second.poll(), Some(Ok(11)));
    });
}

#[test]
fn a_future_whose_drop_writes_its_key_may_be_cancelled() {
    within(60, || {
        for depth in 0..2 {
            let map = &map();
            let pending = |key| async move {
                let _inserts = Inserts(map, key, 5);
                std::future::pending::<u64>().await
            };
            let mut task = Task::new(async {
                if depth == 0 {
                    return compute(map, A, pending(A)).await;
                }
                compute(map, B, async { compute(map, A, pending(B)).await.unwrap() }).await
            });
            let mut waiting = Task::new(compute(map, A, async { 10 }));
            assert!(task.poll().is_none() && waiting.poll().is_none());
            drop(task);
            assert!(waiting.is_woken());
            assert_eq!(waiting.poll(), Some(Ok(if depth == 0 { 5 } else { 10 })));
            assert_eq!(map.get(&B).as_deref(), (depth == 1).then_some(&5));
            assert_eq!(map.len(), 1 + depth);
        }
    });
}

/// What is cancelled is a part of its computation to the end, so its drop does not wait for what else is
/// computed in it, and is dropped after that.
#[test]
fn a_future_whose_drop_writes_a_key_that_it_computes_may_be_cancelled() {
    within(60, || {
        for is_nested in [false, true] {
            let map = &map();
            let outer = async {
                compute(map, A, async {
                    let mut inner = Box::pin(compute(map, B, std::future::pending()));
                    // Dropped before `inner` is.
                    let _inserts = Inserts(map, B, 5);
                    begin(inner.as_mut()).await;
                    std::future::pending().await
                })
                .await
            };
            if is_nested {
                // In the middle of another computation, which goes on.
                let mut task = Task::new(compute(map, D, async {
                    let mut outer = Box::pin(outer);
                    begin(outer.as_mut()).await;
                    drop(outer);
                    7
                }));
                assert_eq!(task.poll(), Some(Ok(7)));
            } else {
                let mut task = Task::new(outer);
                assert!(task.poll().is_none());
                drop(task);
            }
            assert_eq!(map.get(&B).as_deref(), Some(&5));
            assert_eq!(map.len(), 1 + usize::from(is_nested));
            // Nobody has a claim any more.
            map.clear();
            [A, B, D].into_iter().for_each(|key| assert!(map.insert(key, 1).is_none()));
        }
    });
}

#[test]
fn a_future_that_is_leaked_keeps_its_key_absent_and_nothing_else() {
    within(60, || {
        for _ in 0..20 {
            let map = map();
            let mut task = Task::new(compute(&map, A, std::future::pending()));
            assert!(task.poll().is_none());
            mem::forget(task);
            for key in 100..150 {
                assert_eq!(block_on(compute(&map, key, async { 7 })), Ok(7));
            }
            assert_eq!(
                (map.len(), map.pin().iter().count(), map.contains_key(&A)),
                (50, 50, false)
            );
        }
    });
}
