//! scc's tests of `retain` under insertions, and of tasks that share a map.

use std::sync::Arc;

use crate::{
    Map,
    common::{Hashers, together, within},
};

#[test]
fn retain_asks_about_every_entry_once_that_was_there_before_it_began() {
    const THREADS: usize = 4;
    const EACH: u64 = 250;

    within(120, || {
        for hasher in [Hashers::Good(1), Hashers::FewBits(6)] {
            for _ in 0..8 {
                let map = &Map::with_hasher(hasher);
                together(THREADS, |thread| {
                    let mine = thread as u64 * EACH..(thread as u64 + 1) * EACH;
                    // While others insert theirs, and the table grows under the walk.
                    for key in mine.clone() {
                        assert!(map.insert(key, key).is_none());
                    }
                    let mut asked = vec![0; EACH as usize];
                    let mut ask = |key: &u64, keep: bool| {
                        if mine.contains(key) {
                            asked[(key - mine.start) as usize] += 1;
                        }
                        keep || !mine.contains(key)
                    };
                    map.retain(|key, value| {
                        assert_eq!(key, value);
                        ask(key, true)
                    });
                    assert!(mine.clone().all(|key| map.contains_key(&key)));
                    map.pin().retain(|key, _| ask(key, false));
                    assert!(asked.iter().all(|times| *times == 2), "{asked:?}");
                    assert!(!mine.clone().any(|key| map.contains_key(&key)));
                });
                assert!(map.is_empty() && map.pin().iter().next().is_none());
            }
        }
    });
}

#[test]
fn tasks_with_keys_of_their_own_get_exact_results_while_they_make_the_table_grow() {
    const TASKS: u64 = 16;
    const EACH: u64 = 64;

    async fn work(map: Arc<Map>, task: u64) {
        let mine = task * EACH..(task + 1) * EACH;
        for key in mine.clone() {
            // Not ready at once, so that many computations are under way.
            let compute = |key: &u64| {
                let value = *key;
                async move {
                    tokio::task::yield_now().await;
                    value
                }
            };
            assert_eq!(*map.compute_if_absent_async(key, compute).await.unwrap(), key);
            assert!(map.try_insert(key, 0).is_err());
        }
        for key in mine.clone() {
            let computed = map.compute_if_absent_async(key, |_| async { unreachable!() }).await;
            assert_eq!(*computed.unwrap(), key);
            assert_eq!(
                *map.merge(key, 1, |value, one| Some(value + one)).unwrap().unwrap(),
                key + 1
            );
        }
        tokio::task::yield_now().await;
        for key in mine {
            let removed = map.remove_if(&key, |key, value| *value == key + 1);
            assert_eq!(removed.map(|value| *value), Some(key + 1));
            let failed = map.try_compute_if_absent_async(key, |_| async { Err("no") }).await;
            assert!(failed.is_err() && !map.contains_key(&key));
        }
    }

    within(120, || {
        for hasher in [Hashers::Good(1), Hashers::FewBits(4)] {
            let map = Arc::new(Map::with_hasher(hasher));
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
            runtime.block_on(async {
                let tasks: Vec<_> =
                    (0..TASKS).map(|task| tokio::spawn(work(map.clone(), task))).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
            assert!(map.is_empty());
        }
    });
}
