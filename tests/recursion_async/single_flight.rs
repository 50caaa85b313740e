//! Tasks and threads that want one key share one computation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use binlock::HashMap;

use crate::{
    A,
    common::{Gate, together, within},
    compute,
    executor::{Task, block_on, on_tokio, turns},
    map, never,
};

#[test]
fn futures_are_send_where_keys_and_values_are() {
    fn send<T: Send>(_: &T) {}

    let map: HashMap<String, Vec<u8>> = HashMap::new();
    let key = String::from("a");
    send(&map.compute_if_absent_async(key.clone(), |_| async { vec![1] }));
    send(&map.try_compute_if_absent_async(key, |_| async { Err("failed") }));
    send(&async {
        let value = map.compute_if_absent_async("b".into(), |_| async { vec![2] }).await;
        value.unwrap().len()
    });
}

#[test]
fn one_future_computes_for_all_tasks() {
    within(60, || {
        on_tokio(|| async {
            for round in 0..50_u64 {
                let (map, runs) = (Arc::new(map()), Arc::new(AtomicUsize::new(0)));
                let tasks: Vec<_> = (0..50)
                    .map(|_| {
                        let (map, runs) = (map.clone(), runs.clone());
                        tokio::spawn(async move {
                            compute(&map, round, async {
                                runs.fetch_add(1, Ordering::Relaxed);
                                tokio::task::yield_now().await;
                                round + 1
                            })
                            .await
                        })
                    })
                    .collect();
                for task in tasks {
                    assert_eq!(task.await.unwrap(), Ok(round + 1));
                }
                assert_eq!((runs.load(Ordering::Relaxed), map.len()), (1, 1));
            }
        });
    });
}

#[test]
fn a_thread_waits_for_a_task_that_computes_its_key() {
    within(60, || {
        let map = &map();
        let mut task = Task::new(compute(map, A, async {
            turns(1).await;
            10
        }));
        assert!(task.poll().is_none());
        let settled = &AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(move || {
                // Both are woken; the other one may be faster.
                let value = *map.compute_if_absent(A, |_| unreachable!()).unwrap();
                assert!(value == 10 || value == 11);
                assert!(settled.load(Ordering::SeqCst));
            });
            let writer = scope.spawn(move || {
                map.compute(A, |_, value| value.map(|value| value + 1)).unwrap();
                assert!(settled.load(Ordering::SeqCst));
            });
            thread::sleep(Duration::from_millis(20));
            assert!(!writer.is_finished() && map.get(&A).is_none());
            settled.store(true, Ordering::SeqCst);
            assert_eq!(task.poll(), Some(Ok(10)));
        });
        assert_eq!((map.len(), *map.get(&A).unwrap()), (1, 11));
    });
}

#[test]
fn a_task_waits_for_a_thread_that_computes_its_key() {
    within(60, || {
        let (map, gate) = (&map(), &Gate::default());
        thread::scope(|scope| {
            let _open = gate.open_at_end();
            let thread = scope.spawn(move || {
                let value = map.compute_if_absent(A, |_| {
                    gate.pass();
                    10
                });
                *value.unwrap()
            });
            gate.wait_for(1);
            let mut task = Task::new(never(map, A));
            assert!(task.poll().is_none() && task.poll().is_none() && !task.is_woken());
            gate.open();
            assert_eq!(thread.join().unwrap(), 10);
            assert!(task.is_woken());
            assert_eq!(task.poll(), Some(Ok(10)));
        });
    });
}

#[test]
fn threads_and_tasks_that_want_one_key_share_one_computation() {
    within(60, || {
        for round in 0..200 {
            let (map, runs) = (&map(), &AtomicUsize::new(0));
            together(6, |thread| {
                let run = || {
                    runs.fetch_add(1, Ordering::Relaxed);
                    thread::yield_now();
                    10
                };
                let value = if (thread + round) % 2 == 0 {
                    map.compute_if_absent(A, |_| run()).map(|value| *value)
                } else {
                    block_on(compute(map, A, async {
                        turns(2).await;
                        run()
                    }))
                };
                assert_eq!(value, Ok(10));
            });
            assert_eq!((runs.load(Ordering::Relaxed), map.len()), (1, 1));
        }
    });
}
