//! Futures that fail or panic.

use std::{
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use binlock::{ComputeError, HashMap};

use crate::{
    A, B,
    common::within,
    compute,
    executor::{Task, Thrown, on_tokio, turns},
    map,
    writes::Inserts,
};

#[test]
fn a_future_that_panics_leaves_its_key_absent_and_the_next_one_goes_on() {
    within(60, || {
        let map = &map();
        let throw = || -> u64 { panic::resume_unwind(Box::new(Thrown)) };
        let mut first = Task::new(compute(map, A, async {
            let _inserts = Inserts(map, B, 20);
            turns(1).await;
            throw()
        }));
        let mut second =
            Task::new(map.compute_if_absent_async(A, |_| -> std::future::Ready<u64> {
                throw();
                unreachable!()
            }));
        let mut third = Task::new(compute(map, A, async { 30 }));
        assert!(first.poll().is_none() && second.poll().is_none() && third.poll().is_none());
        assert!(panic::catch_unwind(AssertUnwindSafe(|| first.poll())).is_err());
        assert!(second.is_woken() && third.is_woken());
        assert!(map.get(&A).is_none() && map.len() == 1);
        assert!(panic::catch_unwind(AssertUnwindSafe(|| second.poll().is_some())).is_err());
        assert!(map.get(&A).is_none());
        assert_eq!((third.poll(), map.len()), (Some(Ok(30)), 2));
    });
}

#[test]
fn a_future_that_fails_leaves_its_key_absent_and_the_next_one_tries() {
    within(60, || {
        on_tokio(|| async {
            let (map, runs) = (Arc::new(map()), Arc::new(AtomicUsize::new(0)));
            let tasks: Vec<_> = (0..20)
                .map(|_| {
                    let (map, runs) = (map.clone(), runs.clone());
                    tokio::spawn(async move {
                        let value = map.try_compute_if_absent_async(A, |_| async {
                            tokio::task::yield_now().await;
                            if runs.fetch_add(1, Ordering::SeqCst) < 5 { Err("no") } else { Ok(7) }
                        });
                        value.await.map(|value| *value)
                    })
                })
                .collect();
            let mut failed = 0;
            for task in tasks {
                match task.await.unwrap() {
                    Ok(value) => assert_eq!(value, 7),
                    Err(error) => {
                        assert_eq!(error, ComputeError::Closure("no"));
                        failed += 1;
                    }
                }
            }
            assert_eq!((failed, runs.load(Ordering::SeqCst), map.len()), (5, 6, 1));
        });
    });
}

#[test]
fn the_value_of_a_future_that_panics_when_it_is_dropped_is_not_leaked() {
    struct Bomb(Option<Arc<()>>);
    impl Future for Bomb {
        type Output = Arc<()>;
        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Arc<()>> {
            Poll::Ready(self.0.take().unwrap())
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic::resume_unwind(Box::new(Thrown));
        }
    }
    within(60, || {
        let value = Arc::new(());
        let map = HashMap::<u64, Arc<()>>::new();
        let bomb = |_: &u64| Bomb(Some(Arc::clone(&value)));
        let mut task = Task::new(map.compute_if_absent_async(A, bomb));
        assert!(panic::catch_unwind(AssertUnwindSafe(|| drop(task.poll()))).is_err());
        drop(task);
        assert!(!map.contains_key(&A));
        drop(map);
        assert_eq!(Arc::strong_count(&value), 1);
    });
}
