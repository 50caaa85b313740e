//! Tasks that are dropped, or never polled again, while they open a reader or wait for one.

use std::{
    convert::Infallible,
    future::{Future, pending},
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use binlock::readers::{CloseCause, OpenError, WhenFull};
use futures::{
    channel::oneshot,
    future::{Either, join, select},
};

use crate::{
    A, B, D, Opened,
    asynchronous::{asks, joins, never, number, opens_after, patiently, when_told},
    common::{Random, within},
    shelf::{Book, Reader, Shelf, builder, until},
    task::{Task, block_on, on_tokio, turns},
};

/// A future that is never ready, and whether it is still there.
fn stuck() -> (Arc<()>, impl Future<Output = Result<Reader, Infallible>> + Send) {
    let token = Arc::new(());
    let theirs = Arc::clone(&token);
    let future = async move {
        let _token = theirs;
        pending().await
    };
    (token, future)
}

fn is_there(token: &Arc<()>) -> bool {
    Arc::strong_count(token) > 1
}

fn full(builder: binlock::readers::Builder<u64, Reader>) -> binlock::readers::Builder<u64, Reader> {
    builder.max_open(1).when_full(WhenFull::Fail)
}

#[test]
fn a_task_that_opens_a_reader_and_is_never_polled_again_keeps_it_from_nobody() {
    within(30, || {
        for polls in 1..4 {
            let shelf = Shelf::with_room(1);
            let mut stopped = Task::new(shelf.get_or_open_async(A, opens_after(&shelf, A, polls)));
            assert!(stopped.poll().is_none());
            let others =
                join(shelf.get_or_open_async(A, never()), shelf.get_or_open_async(A, never()));
            let (one, same) = block_on(others);
            assert_eq!((number(&one), number(&same)), (0, 0));
            // Its reader is its own all the same, whenever it comes for it.
            shelf.remove(&A);
            drop((one, same));
            assert_eq!(number(&stopped.poll().unwrap()), 0);
            assert_eq!(shelf.closed(), [(A, CloseCause::Removed)]);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_task_that_waits_and_is_never_polled_again_keeps_the_reader_from_nobody() {
    within(30, || {
        let shelf = Shelf::with_room(1);
        let (tell, open) = when_told(&shelf, A);
        let mut first = Task::new(shelf.get_or_open_async(A, open));
        let mut stopped = joins(&shelf, A);
        // It is the last to have polled the future, and that is not polled by it again.
        assert!(first.poll().is_none() && stopped.poll().is_none());
        tell.send(()).unwrap();
        assert!(first.is_woken());
        assert_eq!(number(&first.poll().unwrap()), 0);
        drop((stopped, first));
        assert_eq!(shelf.stats().in_use, 0);
        shelf.assert_adds_up();
    });
}

#[test]
fn the_drop_of_the_task_that_opens_a_reader_leaves_its_future_to_those_who_wait() {
    within(30, || {
        for waiting in 1..4 {
            let shelf = Shelf::with_room(1);
            let (tell, open) = when_told(&shelf, A);
            let mut first = Task::new(shelf.get_or_open_async(A, open));
            assert!(first.poll().is_none());
            let mut others: Vec<_> = (0..waiting).map(|_| joins(&shelf, A)).collect();
            assert!(others.iter_mut().all(|task| task.poll().is_none()));
            drop(first);
            assert!(others.iter_mut().all(|task| task.poll().is_none()));
            tell.send(()).unwrap();
            assert!(others.iter().all(Task::is_woken));
            assert!(others.iter_mut().all(|task| number(&task.poll().unwrap()) == 0));
            drop(others);
            assert_eq!(shelf.stats().opened, 1);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_task_that_has_been_woken_and_is_dropped_instead_of_polled_passes_that_on() {
    within(30, || {
        for dropped in 0..3 {
            let shelf = Shelf::with_room(1);
            let (tell, open) = when_told(&shelf, A);
            let first = Task::new({
                let shelf = shelf.clone();
                async move { shelf.get_or_open_async(A, open).await }
            });
            let mut tasks = vec![first, joins(&shelf, A), joins(&shelf, A)];
            assert!(tasks.iter_mut().all(|task| task.poll().is_none()));
            tell.send(()).unwrap();
            drop(tasks.remove(dropped));
            assert!(tasks.iter().all(Task::is_woken));
            assert!(tasks.iter_mut().rev().all(|task| number(&task.poll().unwrap()) == 0));
            drop(tasks);
            shelf.assert_adds_up();
        }
    });
}

/// As when thousands wait for a reader in a server that shuts down: each of them woke all others.
#[test]
fn tasks_that_go_wake_one_other_each_if_the_future_is_to_be_polled_and_else_nobody() {
    within(60, || {
        for is_to_be_polled in [false, true] {
            let shelf = Shelf::with_room(1);
            let (tell, open) = when_told(&shelf, A);
            let mut first = Task::new(shelf.get_or_open_async(A, open));
            let mut others: Vec<_> = (0..100).map(|_| joins(&shelf, A)).collect();
            assert!(first.poll().is_none() && others.iter_mut().all(|task| task.poll().is_none()));
            let mut last = others.pop().unwrap();
            if is_to_be_polled {
                tell.send(()).unwrap();
            }
            let calls: Vec<_> = others.iter().chain([&last]).map(|it| it.woken.clone()).collect();
            let count = || calls.iter().map(|calls| calls.count()).sum::<usize>();
            let before = count();
            assert_eq!(before, if is_to_be_polled { 100 } else { 0 });
            drop(first);
            drop(others);
            assert_eq!(count() - before, before);
            assert_eq!(last.poll().map(|opened| number(&opened)), is_to_be_polled.then_some(0));
            drop(last);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn when_all_tasks_are_gone_the_future_is_dropped_the_place_given_back_and_the_key_free() {
    within(30, || {
        for order in 0..6 {
            let shelf = Shelf::new(full);
            let (token, open) = stuck();
            let first = Task::new({
                let shelf = shelf.clone();
                async move { shelf.get_or_open_async(A, open).await }
            });
            let mut tasks = vec![first, joins(&shelf, A), joins(&shelf, A)];
            assert!(tasks.iter_mut().all(|task| task.poll().is_none()));
            assert!(matches!(shelf.try_open(B), Err(OpenError::Full)));
            drop(tasks.remove(order / 2));
            drop(tasks.remove(order % 2));
            assert!(is_there(&token) && shelf.stats().opening == 1);
            drop(tasks);
            assert!(!is_there(&token));
            assert_eq!((shelf.len(), shelf.stats().opening, shelf.stats().failed_opens), (0, 0, 2));
            assert_eq!(shelf.open(A).number, 0);
            assert_eq!(shelf.open(B).number, 1);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_task_that_comes_when_all_others_are_gone_opens_the_reader_itself() {
    within(30, || {
        on_tokio(|| async {
            let shelf = Shelf::with_room(1);
            let (token, open) = stuck();
            let mut stuck = Task::new(shelf.get_or_open_async(A, open));
            assert!(stuck.poll().is_none());
            drop(stuck);
            assert!(!is_there(&token));
            assert_eq!(number(&shelf.open_async(A).await), 0);
            shelf.assert_adds_up();
        });
    });
}

#[test]
fn a_thread_that_waits_takes_over_when_all_tasks_are_gone() {
    within(60, || {
        for tasks in 1..3 {
            let shelf = &Shelf::new(full);
            let (token, open) = stuck();
            let mut first = Task::new(shelf.get_or_open_async(A, open));
            assert!(first.poll().is_none());
            let mut others: Vec<_> = (1..tasks).map(|_| joins(shelf, A)).collect();
            assert!(others.iter_mut().all(|task| task.poll().is_none()));
            thread::scope(|scope| {
                let thread = scope.spawn(|| shelf.open(A).number);
                until(|| shelf.stats().joined_opens == tasks);
                assert!(!thread.is_finished() && is_there(&token));
                drop(first);
                drop(others);
                assert_eq!(thread.join().unwrap(), 0);
            });
            assert!(!is_there(&token));
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_task_that_waits_for_a_thread_may_be_dropped_and_the_thread_goes_on() {
    within(30, || {
        let shelf = &Shelf::with_room(1);
        let (tell, told) = std::sync::mpsc::channel::<()>();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let open = |key: &u64| {
                    told.recv().unwrap();
                    Ok::<_, Infallible>(shelf.reader(*key))
                };
                shelf.get_or_open(A, open).unwrap().number
            });
            until(|| shelf.stats().opening == 1);
            let mut tasks = [joins(shelf, A), joins(shelf, A)];
            assert!(tasks.iter_mut().all(|task| task.poll().is_none()));
            let [one, mut other] = tasks;
            drop(one);
            tell.send(()).unwrap();
            assert_eq!(thread.join().unwrap(), 0);
            assert!(other.is_woken());
            assert_eq!(number(&other.poll().unwrap()), 0);
        });
        shelf.assert_adds_up();
    });
}

#[test]
fn a_task_that_loses_interest_may_ask_again_at_once() {
    within(30, || {
        on_tokio(|| async {
            let shelf = Shelf::with_room(1);
            let (token, open) = stuck();
            let opening = Box::pin(shelf.get_or_open_async(A, open));
            let Either::Right(((), opening)) = select(opening, Box::pin(turns(3))).await else {
                panic!("it is never ready");
            };
            drop(opening);
            assert!(!is_there(&token));
            assert_eq!(number(&shelf.open_async(A).await), 0);
            shelf.assert_adds_up();
        });
    });
}

#[test]
fn the_drop_of_an_opening_within_which_others_run_drops_them_too() {
    within(30, || {
        let shelf = Shelf::new(|builder| builder.max_open(3).when_full(WhenFull::Fail));
        let (token, open) = stuck();
        let inner = shelf.clone();
        let innermost = shelf.clone();
        let mut outer = Task::new(shelf.get_or_open_async(A, async move {
            let middle = inner.get_or_open_async(B, async move {
                innermost.get_or_open_async(D, open).await.map(|_| unreachable!())
            });
            middle.await.map(|_| unreachable!()).map_err(|_| "no")
        }));
        assert!(outer.poll().is_none());
        // Somebody else wants the one in the middle, and gets no further.
        let inner = shelf.clone();
        let mut other = Task::new(async move {
            let open = async { panic!() as Result<Reader, OpenError<Infallible>> };
            inner.get_or_open_async(B, open).await
        });
        assert!(other.poll().is_none());
        assert_eq!((shelf.stats().opening, shelf.len()), (3, 3));
        drop(outer);
        assert!(is_there(&token));
        assert_eq!((shelf.stats().opening, shelf.len()), (2, 2));
        assert!(other.poll().is_none());
        drop(other);
        assert!(!is_there(&token));
        assert_eq!((shelf.stats().opening, shelf.len()), (0, 0));
        shelf.open_idle([A, B, D]);
        shelf.assert_adds_up();
    });
}

#[test]
fn a_wait_that_was_given_up_is_part_of_no_cycle() {
    within(30, || {
        let shelf = Shelf::new(|builder| builder);
        // While it opens A it waits for B for a while only.
        let inner = shelf.clone();
        let mut first = Task::new(shelf.get_or_open_async(A, async move {
            assert!(patiently(0, inner.open_async(B)).await.is_none());
            turns(1).await;
            Ok::<_, Infallible>(inner.reader(A))
        }));
        let (tell, told) = oneshot::channel::<()>();
        let inner = shelf.clone();
        let mut second = Task::new(shelf.get_or_open_async(B, async move {
            told.await.unwrap();
            let held = inner.open_async(A).await.unwrap();
            Ok::<_, Infallible>(inner.reader(held.key + 1))
        }));
        assert!(second.poll().is_none() && first.poll().is_none());
        tell.send(()).unwrap();
        let opened = second.poll().or_else(|| second.poll()).or_else(|| second.poll());
        assert_eq!(opened.unwrap().unwrap().key, B);
        assert_eq!(first.poll().unwrap().unwrap().key, A);
        shelf.assert_adds_up();
    });
}

#[test]
fn tasks_that_are_leaked_keep_their_keys_and_places_and_nothing_else() {
    within(30, || {
        let shelf = Shelf::new(|builder| builder.max_open(2).when_full(WhenFull::Fail));
        let (_token, open) = stuck();
        let mut task = Task::new({
            let shelf = shelf.clone();
            async move { shelf.get_or_open_async(A, open).await }
        });
        assert!(task.poll().is_none());
        mem::forget(task);
        shelf.open_idle(100..150);
        assert_eq!((shelf.stats().opening, shelf.stats().open), (1, 1));
        // A removal frees the key.
        assert!(joins(&shelf, A).poll().is_none());
        assert_eq!(shelf.remove(&A).detached, 1);
        assert_eq!(shelf.open(A).read(), A);
        assert_eq!(shelf.close(std::time::Duration::ZERO).opening, 1);
        shelf.book.assert_all_closed();
    });
}

#[test]
fn the_end_of_the_cache_does_not_wait_for_futures_that_were_cancelled() {
    within(30, || {
        let book = Book::new(10);
        let shelf = Shelf::of(&book, builder(&book));
        let (token, open) = stuck();
        let mut task = Task::new({
            let shelf = shelf.clone();
            async move { shelf.get_or_open_async(A, open).await }
        });
        assert!(task.poll().is_none());
        shelf.open_idle([B, D]);
        drop(shelf);
        assert_eq!(book.closed(), 0);
        drop(task);
        assert!(!is_there(&token));
        book.assert_all_closed();
    });
}

#[test]
fn under_tasks_that_stop_for_good_at_random_the_others_get_their_readers() {
    const KEYS: u64 = 6;
    within(120, || {
        let seed = AtomicUsize::new(0);
        on_tokio(|| {
            let seed = seed.fetch_add(1000, Ordering::Relaxed);
            async move {
                let shelf = Shelf::with_room(3);
                let tasks: Vec<_> =
                    (0..8).map(|task| tokio::spawn(stops(shelf.clone(), seed + task))).collect();
                let mut stopped = Vec::new();
                for task in tasks {
                    stopped.extend(task.await.unwrap());
                }
                assert!(!stopped.is_empty());
                // Nobody polls these any more, and all keys can be had.
                for key in 0..KEYS {
                    shelf.open_async(key).await.unwrap();
                }
                drop(stopped);
                assert_eq!((shelf.stats().opening, shelf.stats().in_use), (0, 0));
                shelf.assert_adds_up();
            }
        });

        type Stopped = std::pin::Pin<Box<dyn Future<Output = Opened> + Send>>;

        async fn stops(shelf: Shelf, seed: usize) -> Vec<Stopped> {
            let mut random = Random::new(seed as u64);
            let mut stopped = Vec::new();
            for _ in 0..100 {
                let key = random.below(KEYS);
                let polls = random.below(4) as usize;
                let mut opening: Stopped = {
                    let (shelf, open) = (shelf.clone(), opens_after(&shelf, key, polls));
                    Box::pin(async move { shelf.get_or_open_async(key, open).await })
                };
                let patience = random.below(5) as usize;
                let stops = random.below(8) == 0;
                if !stops {
                    assert_eq!(opening.await.unwrap().read(), key);
                } else if patiently(patience, opening.as_mut()).await.is_none() {
                    stopped.push(opening);
                }
            }
            stopped
        }
    });
}

#[test]
fn a_reader_is_opened_for_a_task_of_any_runtime() {
    within(30, || {
        let shelf = &Shelf::with_room(1);
        let (tell, open) = when_told(shelf, A);
        let mut first = Task::new(shelf.get_or_open_async(A, open));
        assert!(first.poll().is_none());
        thread::scope(|scope| {
            let others = [
                scope.spawn(|| block_on(shelf.get_or_open_async(A, never())).unwrap().number),
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(shelf.get_or_open_async(A, never())).unwrap().number
                }),
            ];
            until(|| shelf.stats().joined_opens == 2);
            // The first one is not polled again.
            tell.send(()).unwrap();
            for other in others {
                assert_eq!(other.join().unwrap(), 0);
            }
        });
        drop(first);
        assert_eq!(number(&asks(shelf, A, 0).poll().unwrap()), 0);
        shelf.assert_adds_up();
    });
}
