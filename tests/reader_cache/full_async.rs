//! Tasks that wait for a place to open a reader.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use binlock::readers::{BoxFuture, OpenError, WhenFull};
use futures::{
    FutureExt,
    channel::oneshot::{self, Sender},
};

use crate::{
    A, B, D, Opened,
    asynchronous::{asks, joins, number, opens_after, patiently},
    common::{Random, within},
    shelf::{Reader, Shelf, seconds, until},
    task::{Task, block_on, on_tokio},
};

/// With one place, for which all wait who come later.
fn narrow() -> Shelf {
    Shelf::new(|builder| builder.max_open(1).when_full(WhenFull::Wait(seconds(1000))))
}

/// Timers that end when they are told to, in the order in which they were asked for.
#[derive(Clone, Default)]
pub struct Timers(Arc<Mutex<Vec<Sender<()>>>>);

impl Timers {
    pub fn hook(&self) -> impl Fn(Duration) -> BoxFuture<()> + Send + Sync + 'static {
        let this = self.clone();
        move |time| {
            assert_eq!(time, seconds(1000));
            let (tell, told) = oneshot::channel();
            this.0.lock().unwrap().push(tell);
            Box::pin(told.map(|_| ()))
        }
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub fn end_first(&self) {
        let _ = self.0.lock().unwrap().remove(0).send(());
    }
}

#[test]
fn tasks_wait_for_a_place_in_the_order_in_which_they_came() {
    within(30, || {
        let shelf = narrow();
        let mut held = Some(shelf.open(A));
        let mut tasks: Vec<_> = (10..14).map(|key| asks(&shelf, key, 0)).collect();
        assert!(tasks.iter_mut().all(|task| task.poll().is_none()));
        assert_eq!((shelf.stats().waiting, shelf.stats().opening), (4, 0));
        while !tasks.is_empty() {
            drop(held.take());
            let woken: Vec<_> = tasks.iter().map(Task::is_woken).collect();
            assert!(woken[0] && !woken[1..].contains(&true), "{woken:?}");
            // Spurious polls of the others do not help them.
            assert!(tasks[1..].iter_mut().all(|task| task.poll().is_none()));
            held = Some(tasks.remove(0).poll().unwrap().unwrap());
            assert_eq!((shelf.stats().open, shelf.stats().waiting), (1, tasks.len() as u64));
        }
        drop(held);
        shelf.assert_adds_up();
    });
}

#[test]
fn tasks_and_threads_wait_for_a_place_in_one_queue() {
    within(60, || {
        let shelf = &narrow();
        let held = shelf.open(A);
        let order = &Mutex::new(Vec::new());
        thread::scope(|scope| {
            let mut task = asks(shelf, 10, 0);
            assert!(task.poll().is_none());
            scope.spawn(|| {
                let held = shelf.open(11);
                order.lock().unwrap().push(*held.key());
            });
            until(|| shelf.stats().waiting == 2);
            let mut last = asks(shelf, 12, 0);
            assert!(last.poll().is_none());
            drop(held);
            assert!(task.is_woken() && !last.is_woken());
            let held = task.poll().unwrap().unwrap();
            order.lock().unwrap().push(*held.key());
            drop(held);
            until(|| last.is_woken());
            let held = last.poll().unwrap().unwrap();
            order.lock().unwrap().push(*held.key());
        });
        assert_eq!(*order.lock().unwrap(), [10, 11, 12]);
        shelf.assert_adds_up();
    });
}

#[test]
fn nobody_passes_a_task_that_waits_and_an_open_reader_is_found_all_the_same() {
    within(30, || {
        let shelf = narrow();
        let held = shelf.open(A);
        let mut first = asks(&shelf, B, 0);
        assert!(first.poll().is_none());
        assert_eq!(block_on(shelf.open_async(A)).unwrap().read(), A);
        drop(held);
        // There is a place, which is its own, although it has not come for it.
        let mut second = asks(&shelf, D, 0);
        assert!(second.poll().is_none() && !second.is_woken());
        assert_eq!((shelf.stats().opening, shelf.stats().waiting), (1, 1));
        drop(first.poll().unwrap());
        assert_eq!(second.poll().unwrap().unwrap().key, D);
        shelf.assert_adds_up();
    });
}

#[test]
fn a_task_that_is_dropped_while_it_waits_for_a_place_leaves_the_queue() {
    within(30, || {
        for dropped in 0..3 {
            let shelf = narrow();
            let held = shelf.open(A);
            let mut tasks: Vec<_> = (10..13).map(|key| asks(&shelf, key, 0)).collect();
            assert!(tasks.iter_mut().all(|task| task.poll().is_none()));
            drop(tasks.remove(dropped));
            assert_eq!(shelf.stats().waiting, 2);
            drop(held);
            for mut task in tasks {
                assert!(task.is_woken());
                drop(task.poll().unwrap().unwrap());
            }
            assert!(!shelf.contains_key(&(10 + dropped as u64)));
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_place_granted_to_a_task_that_is_dropped_before_it_comes_for_it_goes_to_the_next() {
    within(60, || {
        let shelf = &narrow();
        let held = shelf.open(A);
        let mut tasks: Vec<_> = (10..13).map(|key| asks(shelf, key, 0)).collect();
        assert!(tasks.iter_mut().all(|task| task.poll().is_none()));
        thread::scope(|scope| {
            let thread = scope.spawn(|| shelf.open(20).number);
            until(|| shelf.stats().waiting == 4);
            drop(held);
            for _ in 0..3 {
                let task = tasks.remove(0);
                assert!(task.is_woken() && !tasks.iter().any(Task::is_woken));
                drop(task);
            }
            assert_eq!(thread.join().unwrap(), 1);
        });
        assert_eq!(shelf.stats().opened, 2);
        shelf.assert_adds_up();
    });
}

#[test]
fn a_place_that_one_of_several_waits_for_is_for_all_who_want_the_reader() {
    within(30, || {
        let shelf = narrow();
        let held = shelf.open(A);
        let mut first = asks(&shelf, B, 0);
        let mut second = joins(&shelf, B);
        assert!(first.poll().is_none() && second.poll().is_none());
        assert_eq!((shelf.stats().waiting, shelf.stats().joined_opens), (1, 1));
        // Who has the place in the queue is gone, and yet it is kept.
        let mut third = asks(&shelf, D, 0);
        assert!(third.poll().is_none());
        drop(first);
        drop(held);
        assert!(second.is_woken() && !third.is_woken());
        assert_eq!(second.poll().unwrap().unwrap().key, B);
        drop((second, third));
        assert_eq!(shelf.stats().waiting, 0);
        shelf.assert_adds_up();
    });
}

#[test]
fn a_task_whose_timer_ends_before_there_is_a_place_fails_with_all_who_wait_for_its_reader() {
    within(30, || {
        let timers = Timers::default();
        let shelf = Shelf::new(|builder| {
            let builder = builder.max_open(1).when_full(WhenFull::Wait(seconds(1000)));
            builder.sleep_with(timers.hook())
        });
        let held = shelf.open(A);
        assert_eq!(timers.count(), 0);
        let mut first = asks(&shelf, B, 0);
        let mut second = joins(&shelf, B);
        let mut third = asks(&shelf, D, 0);
        assert!(first.poll().is_none() && second.poll().is_none() && third.poll().is_none());
        assert_eq!(timers.count(), 2);
        timers.end_first();
        assert!(first.is_woken() && second.is_woken() && !third.is_woken());
        assert!(matches!(second.poll(), Some(Err(OpenError::Full))));
        assert!(matches!(first.poll(), Some(Err(OpenError::Full))));
        assert_eq!((shelf.stats().waiting, shelf.stats().failed_opens), (1, 1));
        drop(held);
        assert_eq!(third.poll().unwrap().unwrap().key, D);
        timers.end_first();
        shelf.assert_adds_up();
    });
}

#[test]
fn a_place_that_comes_together_with_the_end_of_the_time_is_taken() {
    within(30, || {
        let timers = Timers::default();
        let shelf = Shelf::new(|builder| {
            let builder = builder.max_open(1).when_full(WhenFull::Wait(seconds(1000)));
            builder.sleep_with(timers.hook())
        });
        let held = shelf.open(A);
        let mut task = asks(&shelf, B, 0);
        assert!(task.poll().is_none());
        drop(held);
        timers.end_first();
        assert_eq!(task.poll().unwrap().unwrap().key, B);
        shelf.assert_adds_up();
    });
}

#[test]
fn the_timer_of_a_runtime_ends_the_wait() {
    within(30, || {
        on_tokio(|| async {
            let shelf = Shelf::new(|builder| {
                let builder =
                    builder.max_open(1).when_full(WhenFull::Wait(Duration::from_millis(5)));
                builder.sleep_with(|time| Box::pin(tokio::time::sleep(time)))
            });
            let held = shelf.open_async(A).await.unwrap();
            assert!(matches!(shelf.open_async(B).await, Err(OpenError::Full)));
            drop(held);
            assert_eq!(shelf.open_async(B).await.unwrap().key, B);
            shelf.assert_adds_up();
        });
    });
}

#[test]
fn without_a_timer_a_thread_keeps_the_time_of_a_task() {
    within(30, || {
        for milliseconds in [1, 30] {
            let wait = WhenFull::Wait(Duration::from_millis(milliseconds));
            let shelf = Shelf::new(|builder| builder.max_open(1).when_full(wait));
            let held = shelf.open(A);
            let mut task = asks(&shelf, B, 0);
            let (mut failed, begun) = (None, Instant::now());
            until(|| {
                failed = task.poll();
                failed.is_some() || begun.elapsed() > seconds(20)
            });
            assert!(matches!(failed, Some(Err(OpenError::Full))));
            drop(held);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_cache_that_is_full_fails_a_task_at_once_if_that_is_its_choice() {
    within(30, || {
        let shelf = Shelf::new(|builder| builder.max_open(1).when_full(WhenFull::Fail));
        let held = shelf.open(A);
        assert!(matches!(asks(&shelf, B, 0).poll(), Some(Err(OpenError::Full))));
        assert_eq!(asks(&shelf, A, 0).poll().unwrap().unwrap().key, A);
        drop(held);
        assert_eq!(asks(&shelf, B, 0).poll().unwrap().unwrap().key, B);
        shelf.assert_adds_up();
    });
}

#[test]
fn a_place_is_given_back_when_a_future_fails_or_panics_or_is_dropped() {
    within(30, || {
        let shelf = narrow();
        for end in 0..3 {
            let open = async move {
                match end {
                    0 => Err::<Reader, _>("no"),
                    1 => crate::shelf::throw(),
                    _ => pending().await,
                }
            };
            let mut task = Task::new(shelf.get_or_open_async(A, open));
            let mut waiting = asks(&shelf, B, 0);
            match end {
                0 => assert!(task.poll().unwrap().is_err()),
                1 => assert!(crate::shelf::throws(|| task.poll())),
                _ => {
                    assert!(task.poll().is_none() && waiting.poll().is_none());
                    drop(task);
                    assert!(waiting.is_woken());
                }
            }
            assert_eq!(waiting.poll().unwrap().unwrap().key, B);
            shelf.clear();
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn with_places_waited_for_by_tasks_that_are_cancelled_at_random_the_limit_holds_and_all_get_on() {
    const PLACES: usize = 3;
    within(120, || {
        let seed = AtomicUsize::new(0);
        on_tokio(|| {
            let seed = seed.fetch_add(1000, Ordering::Relaxed);
            async move {
                let wait = WhenFull::Wait(seconds(1000));
                let shelf = Shelf::new(|builder| builder.max_open(PLACES).when_full(wait));
                let waits = Arc::new(AtomicUsize::new(0));
                let tasks: Vec<_> = (0..12)
                    .map(|task| {
                        tokio::spawn(visits(shelf.clone(), seed + task, Arc::clone(&waits)))
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                assert!(waits.load(Ordering::Relaxed) > 0);
                let stats = shelf.stats();
                assert!(stats.open <= PLACES as u64 && stats.in_use == 0, "{stats:?}");
                shelf.assert_adds_up();
            }
        });

        async fn visits(shelf: Shelf, seed: usize, waits: Arc<AtomicUsize>) {
            let mut random = Random::new(seed as u64);
            for _ in 0..60 {
                let key = random.below(20);
                let (polls, patience) = (random.below(3) as usize, random.below(6) as usize);
                let opening = shelf.get_or_open_async(key, opens_after(&shelf, key, polls));
                let opened: Option<Opened> = match random.below(3) {
                    0 => patiently(patience, opening).await,
                    _ => Some(opening.await),
                };
                let held = opened.map(Result::unwrap);
                let stats = shelf.stats();
                assert!(stats.open + stats.opening <= PLACES as u64, "{stats:?}");
                waits.fetch_add(stats.waiting as usize, Ordering::Relaxed);
                tokio::task::yield_now().await;
                if let Some(held) = &held {
                    assert_eq!(held.read(), key);
                }
            }
        }
    });
}

#[test]
fn a_task_that_waits_for_a_place_within_the_opening_of_another_reader_can_be_given_it() {
    within(30, || {
        let wait = WhenFull::Wait(seconds(1000));
        let shelf = Shelf::new(|builder| builder.max_open(2).when_full(wait));
        let held = shelf.open(D);
        let inner = shelf.clone();
        let mut outer = Task::new(shelf.get_or_open_async(A, async move {
            let held = inner.open_async(B).await.unwrap();
            assert_eq!(held.read(), B);
            Ok::<_, Infallible>(inner.reader(A))
        }));
        assert!(outer.poll().is_none() && !outer.is_woken());
        assert_eq!((shelf.stats().opening, shelf.stats().waiting), (1, 1));
        drop(held);
        assert!(outer.is_woken());
        assert_eq!(number(&outer.poll().unwrap()), 2);
        shelf.assert_adds_up();
    });
}
