//! Shutting the cache down from a task.

use std::{
    convert::Infallible,
    future::{pending, ready},
    sync::Arc,
    thread,
};

use binlock::readers::{CloseCause, OpenError, WhenFull};
use futures::{channel::oneshot, future::join};

use crate::{
    A, B, D,
    asynchronous::{asks, joins, never, when_told},
    common::{Random, within},
    shelf::{Reader, Shelf, seconds, throws, until},
    task::{Task, block_on, on_tokio, turns},
};

#[test]
fn closing_a_cache_without_users_closes_what_is_idle_at_once() {
    let shelf = Shelf::with_room(10);
    shelf.open_idle([A, B, D]);
    let closed = Task::new(shelf.close_async(pending())).poll().unwrap();
    assert!(closed.is_complete() && closed.held.is_empty());
    assert_eq!((closed.closed, closed.opening, shelf.len()), (3, 0, 0));
    assert!(shelf.closed().iter().all(|(_, cause)| *cause == CloseCause::Shutdown));
    shelf.assert_adds_up();
    // And again.
    let closed = Task::new(shelf.close_async(pending())).poll().unwrap();
    assert_eq!((closed.closed, closed.is_complete()), (0, true));
}

#[test]
fn closing_begins_when_it_is_first_polled() {
    let shelf = Shelf::with_room(10);
    shelf.open_idle([A]);
    drop(shelf.close_async(pending()));
    assert_eq!(shelf.open(A).number, 0);
}

#[test]
fn closing_is_over_when_the_last_handle_is_dropped() {
    let shelf = Shelf::with_room(10);
    let (one, other) = (shelf.open(A), shelf.open(B));
    let again = other.clone();
    shelf.open_idle([D]);
    let mut closing = Task::new(shelf.close_async(pending()));
    assert!(closing.poll().is_none());
    assert_eq!(shelf.closed(), [(D, CloseCause::Shutdown)]);
    assert!(one.is_detached() && other.is_detached());
    drop((one, other));
    assert!(!closing.is_woken() && closing.poll().is_none());
    assert_eq!(again.read(), B);
    drop(again);
    assert!(closing.is_woken());
    let closed = closing.poll().unwrap();
    assert!(closed.is_complete() && closed.closed == 1);
    shelf.assert_adds_up();
}

#[test]
fn at_the_deadline_what_is_still_held_is_reported_and_closed_later() {
    let shelf = Shelf::with_room(10);
    let (one, other) = (shelf.open(A), shelf.open(B));
    let (tell, told) = oneshot::channel::<()>();
    let mut closing = Task::new(shelf.close_async(async { told.await.unwrap() }));
    assert!(closing.poll().is_none());
    drop(one);
    tell.send(()).unwrap();
    assert!(closing.is_woken());
    let closed = closing.poll().unwrap();
    assert!(!closed.is_complete());
    assert_eq!(closed.held.iter().map(|held| held.read()).collect::<Vec<_>>(), [B]);
    drop(other);
    assert_eq!(shelf.closed(), [(A, CloseCause::Shutdown)]);
    drop(closed);
    assert_eq!(shelf.closed(), [(B, CloseCause::Shutdown)]);
    shelf.assert_adds_up();
}

#[test]
fn a_deadline_that_is_over_at_once_is_enough_to_close_what_is_idle() {
    let shelf = Shelf::with_room(10);
    let held = shelf.open(A);
    shelf.open_idle([B]);
    let closed = Task::new(shelf.close_async(ready(()))).poll().unwrap();
    assert_eq!((closed.closed, closed.held.len()), (1, 1));
    drop((closed, held));
    shelf.assert_adds_up();
}

#[test]
fn a_closed_cache_opens_nothing_for_tasks() {
    let shelf = Shelf::with_room(10);
    block_on(shelf.close_async(pending()));
    assert!(matches!(joins(&shelf, A).poll(), Some(Err(OpenError::Closed))));
    let branches = join(shelf.get_or_open_async(A, never()), shelf.get_or_open_async(A, never()));
    let (one, other) = block_on(branches);
    assert!(matches!((one, other), (Err(OpenError::Closed), Err(OpenError::Closed))));
    assert!(matches!(shelf.try_open(A), Err(OpenError::Closed)));
    shelf.assert_adds_up();
}

#[test]
fn tasks_that_wait_for_a_place_are_told_that_the_cache_is_closed() {
    within(30, || {
        let wait = WhenFull::Wait(seconds(1000));
        let shelf = &Shelf::new(|builder| builder.max_open(1).when_full(wait));
        let held = shelf.open(A);
        let mut tasks = [asks(shelf, B, 0), joins(shelf, B), asks(shelf, D, 0)];
        assert!(tasks.iter_mut().all(|task| task.poll().is_none()));
        thread::scope(|scope| {
            let thread = scope.spawn(|| shelf.try_open(20));
            until(|| shelf.stats().waiting == 3);
            let mut closing = Task::new(shelf.close_async(pending()));
            assert!(closing.poll().is_none());
            assert!(matches!(thread.join().unwrap(), Err(OpenError::Closed)));
            for task in &mut tasks {
                assert!(task.is_woken());
                assert!(matches!(task.poll(), Some(Err(OpenError::Closed))));
            }
            drop(held);
            assert!(closing.is_woken() && closing.poll().unwrap().is_complete());
        });
        shelf.assert_adds_up();
    });
}

#[test]
fn a_reader_that_is_being_opened_goes_detached_to_those_who_wait_and_is_waited_for() {
    let shelf = Shelf::with_room(10);
    let (tell, open) = when_told(&shelf, A);
    let mut first = Task::new(shelf.get_or_open_async(A, open));
    let mut second = joins(&shelf, A);
    assert!(first.poll().is_none() && second.poll().is_none());
    let mut closing = Task::new(shelf.close_async(pending()));
    assert!(closing.poll().is_none());
    // Nobody else joins them.
    assert!(matches!(joins(&shelf, A).poll(), Some(Err(OpenError::Closed))));
    tell.send(()).unwrap();
    let one = first.poll().unwrap().unwrap();
    let same = second.poll().unwrap().unwrap();
    assert!(one.is_detached() && one.number == same.number);
    assert!(!closing.is_woken() && closing.poll().is_none());
    drop((one, same));
    assert!(closing.is_woken() && closing.poll().unwrap().is_complete());
    assert_eq!(shelf.closed(), [(A, CloseCause::Shutdown)]);
    shelf.assert_adds_up();
}

#[test]
fn an_opening_that_ends_without_a_reader_is_waited_for_no_longer() {
    for fails in [false, true] {
        let shelf = Shelf::with_room(10);
        let (tell, told) = oneshot::channel::<()>();
        let open = async move {
            told.await.unwrap();
            Err::<Reader, _>("no")
        };
        let mut task = Task::new(shelf.get_or_open_async(A, open));
        assert!(task.poll().is_none());
        let mut closing = Task::new(shelf.close_async(pending()));
        assert!(closing.poll().is_none());
        if fails {
            tell.send(()).unwrap();
            assert!(task.poll().unwrap().is_err());
        } else {
            drop(task);
        }
        assert!(closing.is_woken() && closing.poll().unwrap().is_complete());
        shelf.assert_adds_up();
    }
}

#[test]
fn an_opening_that_is_not_over_at_the_deadline_is_reported() {
    let shelf = Shelf::with_room(10);
    let (tell, open) = when_told(&shelf, A);
    let mut task = Task::new(shelf.get_or_open_async(A, open));
    assert!(task.poll().is_none());
    let closed = Task::new(shelf.close_async(ready(()))).poll().unwrap();
    assert_eq!((closed.opening, closed.held.len(), closed.is_complete()), (1, 0, false));
    tell.send(()).unwrap();
    drop(task.poll().unwrap().unwrap());
    shelf.assert_adds_up();
    shelf.book.assert_all_closed();
}

#[test]
fn all_who_close_the_cache_are_told_when_it_is_closed() {
    within(30, || {
        let shelf = &Shelf::with_room(10);
        let held = shelf.open(A);
        let mut tasks = [(); 3].map(|()| Task::new(shelf.close_async(pending())));
        assert!(tasks.iter_mut().all(|task| task.poll().is_none()));
        thread::scope(|scope| {
            let thread = scope.spawn(|| shelf.close(seconds(1000)));
            // One that is given up does not matter.
            let [one, dropped, last] = &mut tasks;
            dropped.future = Box::pin(pending());
            drop(held);
            assert!(one.is_woken() && last.is_woken());
            for task in [one, last] {
                assert!(task.poll().unwrap().is_complete());
            }
            assert!(thread.join().unwrap().is_complete());
        });
        shelf.assert_adds_up();
    });
}

#[test]
fn closing_that_is_given_up_has_closed_the_cache() {
    let shelf = Shelf::with_room(10);
    let held = shelf.open(A);
    shelf.open_idle([B]);
    let mut closing = Task::new(shelf.close_async(pending()));
    assert!(closing.poll().is_none());
    drop(closing);
    assert!(matches!(shelf.try_open(D), Err(OpenError::Closed)));
    drop(held);
    shelf.assert_adds_up();
    shelf.book.assert_all_closed();
}

#[test]
fn closing_keeps_the_waker_of_its_last_poll_and_no_others() {
    let shelf = Shelf::with_room(10);
    let held = shelf.open(A);
    let mut closing = Task::new(shelf.close_async(pending()));
    let mut wakers = Vec::new();
    for _ in 0..4 {
        assert!(closing.poll().is_none());
        wakers.push(Arc::clone(&closing.woken));
    }
    // One is here, the last one is the task's, too.
    let kept: Vec<_> = wakers[..3].iter().map(|waker| Arc::strong_count(waker) - 1).collect();
    drop(held);
    assert!(closing.poll().unwrap().is_complete());
    assert_eq!(kept, [0, 0, 0], "wakers of former polls are kept");
}

#[test]
fn closing_may_be_awaited_within_an_opening() {
    within(30, || {
        on_tokio(|| async {
            let shelf = Shelf::with_room(10);
            let inner = shelf.clone();
            let open = async move {
                // It is itself what the closing waits for, but for a while only.
                let closed = inner.close_async(turns(3)).await;
                assert_eq!((closed.opening, closed.held.len()), (1, 0));
                Ok::<_, Infallible>(inner.reader(A))
            };
            let held = shelf.get_or_open_async(A, open).await.unwrap();
            assert!(held.is_detached() && held.read() == A);
            drop(held);
            shelf.assert_adds_up();
        });
    });
}

#[test]
fn a_cache_that_is_closed_in_the_middle_of_everything_closes_everything() {
    within(120, || {
        for seed in 0..20 {
            on_tokio(|| async move {
                let shelf = Shelf::with_room(4);
                let tasks: Vec<_> = (0..8)
                    .map(|task| {
                        let shelf = shelf.clone();
                        tokio::spawn(async move {
                            let mut random = Random::new(seed * 100 + task);
                            // Bounded, because the one who closes may have to wait for his turn.
                            for _ in 0..1000 {
                                let key = random.below(8);
                                match shelf.open_async(key).await {
                                    Ok(held) => {
                                        turns(random.below(3) as usize).await;
                                        assert_eq!(held.read(), key);
                                    }
                                    Err(OpenError::Closed) => return,
                                    Err(error) => panic!("{error}"),
                                }
                                tokio::task::yield_now().await;
                            }
                        })
                    })
                    .collect();
                while shelf.stats().opened < 20 {
                    tokio::task::yield_now().await;
                }
                let closed = shelf.close_async(pending()).await;
                assert!(closed.is_complete());
                assert_eq!((shelf.stats().open, shelf.stats().opening), (0, 0));
                shelf.book.assert_all_closed();
                for task in tasks {
                    task.await.unwrap();
                }
                shelf.assert_adds_up();
            });
        }
    });
}

#[test]
fn a_waker_that_panics_does_not_keep_the_others_from_being_told() {
    struct Panics;
    impl std::task::Wake for Panics {
        fn wake(self: Arc<Self>) {
            crate::shelf::throw();
        }
    }
    let shelf = Shelf::with_room(10);
    let held = shelf.open(A);
    let mut first = Task::new(shelf.close_async(pending()));
    let mut second = Task::new(shelf.close_async(pending()));
    let waker = std::task::Waker::from(Arc::new(Panics));
    let context = &mut std::task::Context::from_waker(&waker);
    assert!(first.future.as_mut().poll(context).is_pending() && second.poll().is_none());
    assert!(!throws(|| drop(held)));
    assert!(second.is_woken() && second.poll().unwrap().is_complete());
    assert!(first.poll().unwrap().is_complete());
}
