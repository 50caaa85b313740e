//! Random computations on executors that poll and drop tasks as they like.

use std::{
    future::Future,
    panic,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use binlock::ComputeError;

use crate::{
    common::{Hashers, Ledger, Probe, Random, operations::TrackedMap, together, within},
    compute,
    executor::{Thrown, run_hostile, turns},
    map,
};

/// Some computation of a key, and of others inside of it. `ordered`: inner keys are greater,
/// so that there is no cycle.
fn some_future<'a, 'l: 'a>(
    map: &'a TrackedMap<'l>,
    ledger: &'l Ledger,
    stats: &'a Mutex<(Random, usize, usize)>,
    ordered: bool,
    from: u64,
) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
    const KEYS: u64 = 12;
    let draw = move |end: u64| stats.lock().unwrap().0.below(end);
    Box::pin(async move {
        let key = from + draw(KEYS - from);
        let computed = map.try_compute_if_absent_async(ledger.track(key), |_| async move {
            turns(draw(3) as usize).await;
            let inner_from = if ordered { key + 1 } else { 0 };
            if inner_from < KEYS {
                let inner = || some_future(map, ledger, stats, ordered, inner_from);
                match draw(5) {
                    0 => inner().await,
                    1 => drop(futures::join!(inner(), inner())),
                    2 => drop(futures::future::select(inner(), inner()).await),
                    _ => {}
                }
            }
            turns(draw(3) as usize).await;
            match draw(8) {
                0 => Err(()),
                1 => panic::resume_unwind(Box::new(Thrown)),
                _ => {
                    stats.lock().unwrap().1 += 1;
                    Ok(ledger.track(key + 100))
                }
            }
        });
        match computed.await {
            Ok(value) => assert_eq!(value.value, key + 100),
            Err(ComputeError::Closure(())) => {}
            Err(ComputeError::Recursive(error)) => {
                assert!(!ordered && !error.is_overtaken(), "{error:?}");
                stats.lock().unwrap().2 += 1;
            }
        }
    })
}

#[test]
fn an_executor_that_polls_and_drops_as_it_likes_finds_no_task_stuck() {
    within(120, || {
        let mut refused = 0;
        for seed in 0..400 {
            for ordered in [true, false] {
                let ledger = &Ledger::new(20_000);
                let mut map = TrackedMap::with_hasher(Hashers::FewBits(1));
                let mut random = Random::new(seed);
                let stats = Mutex::new((Random::new(seed + 1_000), 0, 0));
                let drops = if seed % 2 == 0 { 0 } else { 30 };
                let tasks = (0..16).map(|_| some_future(&map, ledger, &stats, ordered, 0));
                run_hostile(&mut random, tasks.collect::<Vec<_>>(), drops);
                let (_, computed, refusals) = stats.into_inner().unwrap();
                refused += refusals;
                // Once each: nothing is ever removed.
                assert_eq!((map.len(), map.pin().iter().count()), (computed, computed));
                for key in 0..12 {
                    // Nothing is claimed any more.
                    let value =
                        map.compute_if_absent(ledger.track(key), |_| ledger.track(key + 100));
                    assert_eq!(value.unwrap().value, key + 100);
                    assert!(map.contains_key(&Probe(key)));
                }
                assert_eq!(map.drain().count(), 12);
                drop(map);
                ledger.assert_all_dropped_once();
            }
        }
        assert!(refused > 100, "{refused}");
    });
}

#[test]
fn of_tasks_and_threads_that_share_keys_none_is_stuck_when_some_tasks_are_aborted() {
    // On tokio, whose tasks move between threads while they compute.
    within(120, || {
        for round in 0..30_u64 {
            let map = Arc::new(map());
            let stored = Arc::new(AtomicUsize::new(0));
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(4)
                .enable_all()
                .build()
                .unwrap();
            let tasks: Vec<_> = (0..60_u64)
                .map(|task| {
                    let (map, stored) = (map.clone(), stored.clone());
                    runtime.spawn(async move {
                        let key = (task * 7 + round) % 9;
                        let value = compute(&map, key, async {
                            tokio::task::yield_now().await;
                            if key + 1 < 9 {
                                compute(&map, key + 1, async {
                                    tokio::task::yield_now().await;
                                    stored.fetch_add(1, Ordering::Relaxed);
                                    key + 101
                                })
                                .await
                                .unwrap();
                            }
                            stored.fetch_add(1, Ordering::Relaxed);
                            key + 100
                        });
                        assert_eq!(value.await, Ok(key + 100));
                    })
                })
                .collect();
            // Aborted tasks are dropped wherever they are.
            for task in tasks.iter().step_by(5) {
                task.abort();
            }
            together(2, |_| {
                for key in 0..9 {
                    let run = |_: &_| {
                        stored.fetch_add(1, Ordering::Relaxed);
                        key + 100
                    };
                    assert_eq!(*map.compute_if_absent(key, run).unwrap(), key + 100);
                }
            });
            runtime.block_on(async {
                for task in tasks {
                    assert!(task.await.map_or_else(|error| error.is_cancelled(), |()| true));
                }
            });
            assert_eq!((map.len(), stored.load(Ordering::Relaxed)), (9, 9));
        }
    });
}
