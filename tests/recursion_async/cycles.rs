//! Tasks, and branches of tasks, that await each other's keys or their own.

use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use binlock::RecursiveUpdate;

use crate::{
    A, B, D,
    common::{together, within},
    compute,
    executor::{block_on, on_tokio},
    is_cycle, is_own, map, never,
};

#[test]
fn a_key_that_its_own_future_awaits_is_refused_and_the_outer_value_is_stored() {
    within(60, || {
        on_tokio(|| async {
            let map = map();
            let inner = RefCell::new(None);
            let outer = compute(&map, A, async {
                tokio::task::yield_now().await;
                *inner.borrow_mut() = Some(never(&map, A).await);
                11
            });
            assert_eq!(outer.await, Ok(11));
            assert!(is_own(&inner.take().unwrap()));
            // Also further in, and before the future is first polled.
            let outer = map.compute_if_absent_async(B, |_| {
                assert!(map.compute_if_absent(B, |_| 0).is_err());
                async {
                    compute(&map, D, async { never(&map, B).await.map_or(5, |_| 0) }).await.unwrap()
                }
            });
            assert_eq!(outer.await.as_deref(), Ok(&5));
            assert_eq!((map.len(), *map.get(&D).unwrap()), (3, 5));
        });
    });
}

#[test]
fn of_tasks_that_await_each_others_keys_in_a_ring_one_is_refused_and_all_complete() {
    within(120, || {
        for tasks in [2, 3, 5] {
            on_tokio(|| async move {
                for round in 0..100_usize {
                    // Through several maps, too.
                    let maps = Arc::new([map(), map()]);
                    let errors = Arc::new(AtomicUsize::new(0));
                    let barrier = Arc::new(tokio::sync::Barrier::new(tasks));
                    let ring: Vec<_> = (0..tasks)
                        .map(|task| {
                            let (maps, errors) = (maps.clone(), errors.clone());
                            let barrier = barrier.clone();
                            tokio::spawn(async move {
                                let of = |task: usize| &maps[task % (1 + round % 2)];
                                let next = (task + 1) % tasks;
                                let outer = compute(of(task), task as u64, async {
                                    barrier.wait().await;
                                    let inner = never(of(next), next as u64).await;
                                    if inner != Ok(7) {
                                        assert!(is_cycle(&inner, tasks), "{inner:?}");
                                        errors.fetch_add(1, Ordering::Relaxed);
                                    }
                                    7
                                });
                                assert_eq!(outer.await, Ok(7));
                            })
                        })
                        .collect();
                    for task in ring {
                        task.await.unwrap();
                    }
                    assert_eq!(errors.load(Ordering::Relaxed), 1);
                    assert_eq!(maps[0].len() + maps[1].len(), tasks);
                }
            });
        }
    });
}

#[test]
fn of_a_thread_and_a_task_that_want_each_others_keys_one_is_refused() {
    within(60, || {
        for _ in 0..300 {
            let (map, errors) = (&map(), &AtomicUsize::new(0));
            let barrier = &std::sync::Barrier::new(2);
            let check = |inner: Result<u64, RecursiveUpdate>| {
                if inner != Ok(7) {
                    assert!(is_cycle(&inner, 2), "{inner:?}");
                    errors.fetch_add(1, Ordering::Relaxed);
                }
                7
            };
            together(2, |thread| {
                if thread == 0 {
                    let outer = map.compute_if_absent(A, |_| {
                        barrier.wait();
                        check(map.compute_if_absent(B, |_| unreachable!()).map(|value| *value))
                    });
                    assert_eq!(outer.as_deref(), Ok(&7));
                } else {
                    let outer = compute(map, B, async {
                        barrier.wait();
                        check(never(map, A).await)
                    });
                    assert_eq!(block_on(outer), Ok(7));
                }
            });
            assert_eq!((errors.load(Ordering::Relaxed), map.len()), (1, 2));
        }
    });
}

#[test]
fn branches_inside_one_computation_that_want_the_same_key_are_no_recursion() {
    within(60, || {
        on_tokio(|| async {
            let (map, runs) = (map(), Cell::new(0));
            let shared = || {
                compute(&map, D, async {
                    runs.set(runs.get() + 1);
                    tokio::task::yield_now().await;
                    30
                })
            };
            let outer = compute(&map, A, async {
                let direct = tokio::join!(shared(), shared());
                assert_eq!(direct, (Ok(30), Ok(30)));
                map.remove(&D);
                // Also if the branches are computations.
                let through_b = compute(&map, B, async { shared().await.unwrap() + 1 });
                assert_eq!(tokio::join!(shared(), through_b), (Ok(30), Ok(31)));
                10
            });
            assert_eq!(outer.await, Ok(10));
            assert_eq!((runs.get(), map.len()), (2, 3));
        });
    });
}

#[test]
fn of_branches_inside_one_computation_that_need_each_other_one_is_refused() {
    within(60, || {
        on_tokio(|| async {
            let (map, errors) = (map(), Cell::new(0));
            let branch = |mine, other| {
                let (map, errors) = (&map, &errors);
                compute(map, mine, async move {
                    tokio::task::yield_now().await;
                    let inner = never(map, other).await;
                    if inner.is_err() {
                        assert!(is_cycle(&inner, 2), "{inner:?}");
                        errors.set(errors.get() + 1);
                    }
                    mine
                })
            };
            let outer = compute(&map, D, async {
                assert_eq!(tokio::join!(branch(A, B), branch(B, A)), (Ok(A), Ok(B)));
                30
            });
            assert_eq!(outer.await, Ok(30));
            assert_eq!((errors.get(), map.len()), (1, 3));
        });
    });
}
