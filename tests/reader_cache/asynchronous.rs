//! Readers that futures open: one opening for all who want it, be they tasks or threads.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    future::{Future, pending},
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use binlock::readers::{CloseCause, OpenError};
use futures::{
    channel::oneshot::{self, Receiver, Sender},
    future::{join, join_all},
};

use crate::{
    A, B, D, Opened,
    common::{Random, together, within},
    shelf::{Book, Reader, Shelf, closing, until},
    task::{Task, block_on, on_tokio, turns},
};

/// A future that must not be polled.
pub async fn never() -> Result<Reader, Infallible> {
    panic!("a future is polled that nobody needs");
}

/// A future that opens a reader when it is told to.
pub fn when_told(
    shelf: &Shelf,
    key: u64,
) -> (Sender<()>, impl Future<Output = Result<Reader, Infallible>> + Send + use<>) {
    let (tell, told) = oneshot::channel();
    (tell, opens_when(shelf, key, told))
}

fn opens_when(
    shelf: &Shelf,
    key: u64,
    told: Receiver<()>,
) -> impl Future<Output = Result<Reader, Infallible>> + Send + use<> {
    let book = Arc::clone(&shelf.book);
    async move {
        told.await.unwrap();
        Ok(book.reader(key))
    }
}

/// A future that opens a reader at the poll after so many others.
pub fn opens_after(
    shelf: &Shelf,
    key: u64,
    polls: usize,
) -> impl Future<Output = Result<Reader, Infallible>> + Send + use<> {
    let book = Arc::clone(&shelf.book);
    async move {
        turns(polls).await;
        Ok(book.reader(key))
    }
}

/// A task that wants the key's reader, and opens it at the poll after so many others.
pub fn asks(shelf: &Shelf, key: u64, polls: usize) -> Task<'static, Opened> {
    let (shelf, open) = (shelf.clone(), opens_after(shelf, key, polls));
    Task::new(async move { shelf.get_or_open_async(key, open).await })
}

/// A task that wants the reader that is being opened.
pub fn joins(shelf: &Shelf, key: u64) -> Task<'static, Opened> {
    let shelf = shelf.clone();
    Task::new(async move { shelf.get_or_open_async(key, never()).await })
}

#[track_caller]
pub fn number(opened: &Opened) -> usize {
    let held = opened.as_ref().unwrap_or_else(|error| panic!("{error}"));
    held.read();
    held.number
}

/// What the refusals of openings that ask for themselves say.
#[derive(Default)]
struct Refusals(Mutex<Vec<usize>>);

impl Refusals {
    fn note<E: std::fmt::Debug>(&self, opened: Result<crate::Held, OpenError<E>>) {
        match opened {
            Ok(held) => assert_eq!(held.read(), *held.key()),
            Err(OpenError::Recursive(error)) => {
                assert_eq!(error.is_own_key(), error.cycle_len().is_none());
                self.0.lock().unwrap().push(error.cycle_len().unwrap_or(1));
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    fn take(&self) -> Vec<usize> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[test]
fn the_futures_of_the_cache_can_be_sent_to_other_threads() {
    fn is_send<F: Future + Send>(_: F) {}
    let shelf = Shelf::with_room(1);
    is_send(shelf.get_or_open_async(A, never()));
    is_send(shelf.get_or_load_async(&A));
    is_send(shelf.close_async(pending()));
    // Also if the errors cannot be sent by reference, keys are borrowed, and so on.
    let names = binlock::ReaderCache::<&str, Reader>::builder().build().unwrap();
    is_send(names.get_or_open_async("name", async { Err::<Reader, String>(String::new()) }));
}

#[test]
fn a_future_that_is_ready_at_once_opens_the_reader_at_the_first_poll() {
    let shelf = Shelf::with_room(1);
    let held = asks(&shelf, A, 0).poll().unwrap();
    assert_eq!((number(&held), shelf.stats().in_use), (0, 1));
    drop(held);
    shelf.assert_adds_up();
    assert_eq!((shelf.stats().opened, shelf.stats().misses), (1, 1));
}

#[test]
fn a_future_for_a_reader_that_is_open_is_dropped_without_being_polled() {
    let shelf = Shelf::with_room(1);
    shelf.open_idle([A]);
    let token = Arc::new(());
    let theirs = Arc::clone(&token);
    let open = async move {
        let _token = theirs;
        never().await
    };
    let held = block_on(shelf.get_or_open_async(A, open));
    assert_eq!((number(&held), Arc::strong_count(&token)), (0, 1));
    assert_eq!((shelf.stats().hits, shelf.stats().joined_opens), (1, 0));
}

#[test]
fn nothing_happens_before_the_first_poll() {
    let shelf = Shelf::with_room(1);
    let task = joins(&shelf, A);
    assert_eq!((shelf.stats().misses, shelf.stats().opening), (0, 0));
    assert_eq!(shelf.open(A).number, 0);
    drop(task);
    shelf.assert_adds_up();
}

#[test]
fn all_tasks_that_ask_while_a_reader_is_being_opened_get_that_one() {
    let shelf = Shelf::with_room(1);
    let (tell, open) = when_told(&shelf, A);
    let mut first = Task::new(shelf.get_or_open_async(A, open));
    assert!(first.poll().is_none());
    let mut others: Vec<_> = (0..4).map(|_| joins(&shelf, A)).collect();
    assert!(others.iter_mut().all(|task| task.poll().is_none()));
    // While it is being opened it is not found, and not waited for by who does not want to.
    assert!(shelf.get(&A).is_none() && !shelf.contains_key(&A));
    assert!(!first.is_woken() && !others.iter().any(Task::is_woken));
    tell.send(()).unwrap();
    assert!(first.is_woken() && others.iter().all(Task::is_woken));
    let mut opened: Vec<_> = others.iter_mut().map(|task| task.poll().unwrap()).collect();
    opened.push(first.poll().unwrap());
    assert!(opened.iter().all(|opened| number(opened) == 0));
    let stats = shelf.stats();
    assert_eq!((stats.opened, stats.misses, stats.joined_opens), (1, 6, 4));
    drop(opened);
    shelf.assert_adds_up();
}

#[test]
fn a_reader_is_reserved_for_those_who_still_sleep_when_it_is_open() {
    let shelf = Shelf::with_room(1);
    let (tell, open) = when_told(&shelf, A);
    let mut first = Task::new(shelf.get_or_open_async(A, open));
    let mut second = joins(&shelf, A);
    assert!(first.poll().is_none() && second.poll().is_none());
    tell.send(()).unwrap();
    drop(first.poll().unwrap());
    // There is one place only, and yet nothing can take this reader from the second task.
    shelf.open_idle([B, D]);
    shelf.remove(&A);
    assert_eq!(shelf.closed(), [(B, CloseCause::MaxOpen), (D, CloseCause::MaxOpen)]);
    let held = second.poll().unwrap();
    assert_eq!((number(&held), held.as_ref().unwrap().is_detached()), (0, true));
    drop(held);
    assert_eq!(shelf.closed(), [(A, CloseCause::Removed)]);
    shelf.assert_adds_up();
}

#[test]
fn an_error_reaches_all_who_wait_as_the_same_arc_and_is_forgotten() {
    let shelf = Shelf::with_room(1);
    let (tell, told) = oneshot::channel::<()>();
    let fails = async move {
        told.await.unwrap();
        Err::<Reader, _>(String::from("no such object"))
    };
    let no_other = async { panic!("a future is polled that nobody needs") };
    let mut first = Task::new(shelf.get_or_open_async(A, fails));
    let mut second = Task::new(shelf.get_or_open_async::<String>(A, no_other));
    assert!(first.poll().is_none() && second.poll().is_none());
    tell.send(()).unwrap();
    let Some(Err(OpenError::Failed(one))) = second.poll() else { panic!("it has not failed") };
    // Free before the others wake.
    assert_eq!((shelf.len(), shelf.stats().opening), (0, 0));
    assert_eq!(shelf.open(A).read(), A);
    assert!(first.is_woken());
    let Some(Err(OpenError::Failed(same))) = first.poll() else { panic!("it has not failed") };
    assert!(Arc::ptr_eq(&one, &same) && *one == "no such object");
    assert_eq!((shelf.stats().failed_opens, shelf.stats().opened), (1, 1));
    shelf.assert_adds_up();
}

#[test]
fn who_expects_another_type_of_error_tries_for_himself() {
    let shelf = Shelf::with_room(1);
    let (tell, told) = oneshot::channel::<()>();
    let fails = async move {
        told.await.unwrap();
        Err::<Reader, _>("of the first")
    };
    let mut first = Task::new(shelf.get_or_open_async(A, fails));
    let mut second = Task::new(shelf.get_or_open_async(A, async { Err::<Reader, u32>(7) }));
    let mut third = asks(&shelf, A, 0);
    assert!(first.poll().is_none() && second.poll().is_none() && third.poll().is_none());
    tell.send(()).unwrap();
    assert_eq!(first.poll().unwrap().unwrap_err().failed(), Some(&"of the first"));
    assert!(second.is_woken() && third.is_woken());
    assert_eq!(second.poll().unwrap().unwrap_err().failed(), Some(&7));
    assert_eq!(number(&third.poll().unwrap()), 0);
    assert_eq!(shelf.stats().failed_opens, 2);
    shelf.assert_adds_up();
}

#[test]
fn a_thread_that_waits_gets_the_reader_that_a_task_opens() {
    within(30, || {
        let shelf = &Shelf::with_room(1);
        let (tell, open) = when_told(shelf, A);
        let mut task = Task::new(shelf.get_or_open_async(A, open));
        assert!(task.poll().is_none());
        thread::scope(|scope| {
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| shelf.get_or_open(A, |_| -> Result<_, Infallible> { panic!() }))
                })
                .collect();
            until(|| shelf.stats().joined_opens == 2);
            assert!(threads.iter().all(|thread| !thread.is_finished()));
            tell.send(()).unwrap();
            let held = task.poll().unwrap();
            for thread in threads {
                assert_eq!(number(&thread.join().unwrap()), number(&held));
            }
        });
        shelf.assert_adds_up();
    });
}

#[test]
fn a_task_that_waits_gets_the_reader_that_a_thread_opens_or_its_error() {
    within(30, || {
        for fails in [false, true] {
            let shelf = &Shelf::with_room(1);
            let (tell, told) = std::sync::mpsc::channel::<()>();
            thread::scope(|scope| {
                let thread = scope.spawn(move || {
                    shelf.get_or_open(A, |key| {
                        told.recv().unwrap();
                        if fails { Err("no") } else { Ok(shelf.reader(*key)) }
                    })
                });
                until(|| shelf.stats().opening == 1);
                let no_other = async { panic!("a future is polled that nobody needs") };
                let mut task = Task::new(shelf.get_or_open_async::<&str>(A, no_other));
                assert!(task.poll().is_none() && task.poll().is_none() && !task.is_woken());
                tell.send(()).unwrap();
                let of_thread = thread.join().unwrap();
                assert!(task.is_woken());
                match (of_thread, task.poll().unwrap()) {
                    (Ok(one), Ok(same)) => {
                        assert_eq!((one.number, same.number, fails), (0, 0, false))
                    }
                    (Err(OpenError::Failed(one)), Err(OpenError::Failed(same))) => {
                        assert!(Arc::ptr_eq(&one, &same) && fails);
                    }
                    other => panic!("{other:?}"),
                }
            });
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn branches_of_one_task_that_ask_for_the_same_key_share_its_reader() {
    within(60, || {
        for polls in 0..3 {
            let shelf = Shelf::with_room(1);
            let branch = || shelf.get_or_open_async(A, opens_after(&shelf, A, polls));
            let (one, same) = block_on(join(branch(), branch()));
            assert_eq!((number(&one), number(&same)), (0, 0));
            let all = block_on(join_all((0..5).map(|_| shelf.open_async(A))));
            assert!(all.iter().all(|opened| number(opened) == 0));
            drop((one, same, all));
            assert_eq!(shelf.stats().opened, 1);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn branches_inside_an_opening_that_ask_for_the_same_key_share_its_reader() {
    within(60, || {
        for polls in 0..3 {
            let shelf = Shelf::new(|builder| builder);
            let inner = shelf.clone();
            let outer = shelf.get_or_open_async(A, async move {
                let branch = || inner.get_or_open_async(B, opens_after(&inner, B, polls));
                let (one, same) = join(branch(), branch()).await;
                assert_eq!((number(&one), number(&same)), (0, 0));
                Ok::<_, Infallible>(inner.reader(A))
            });
            // Another task is there as well, in the middle of it.
            let joined = shelf.get_or_open_async(B, opens_after(&shelf, B, polls));
            let (outer, joined) = block_on(join(outer, joined));
            assert_eq!((number(&outer), number(&joined)), (1, 0));
            drop((outer, joined));
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn another_key_may_be_opened_from_within_an_opening_whatever_the_hashes() {
    within(60, || {
        on_tokio(|| async {
            let shelf = Shelf::new(|builder| builder);
            // Each opens the next one, to a certain depth, and all hash alike.
            fn nested(shelf: Shelf, key: u64) -> binlock::readers::BoxFuture<Opened> {
                Box::pin(async move {
                    let inner = shelf.clone();
                    let open = async move {
                        tokio::task::yield_now().await;
                        if key < 10 {
                            nested(inner.clone(), key + 1).await.unwrap();
                        }
                        Ok::<_, Infallible>(inner.reader(key))
                    };
                    shelf.get_or_open_async(key, open).await
                })
            }
            let tasks = [0, 3, 7, 0].map(|key| tokio::spawn(nested(shelf.clone(), key)));
            for task in tasks {
                assert!(number(&task.await.unwrap()) <= 10);
            }
            assert_eq!((shelf.stats().opened, shelf.stats().in_use), (11, 0));
            shelf.assert_adds_up();
        });
    });
}

#[test]
fn a_key_that_its_own_future_asks_for_is_refused_however_it_asks() {
    within(60, || {
        on_tokio(|| async {
            let shelf = Shelf::new(|builder| builder);
            let refusals = Arc::new(Refusals::default());
            let (inner, noted) = (shelf.clone(), Arc::clone(&refusals));
            let open = async move {
                noted.note(inner.open_async(A).await);
                tokio::task::yield_now().await;
                // After a while, through another key, in a branch, and on the thread.
                noted.note(inner.open_async(A).await);
                let (within, noting) = (inner.clone(), Arc::clone(&noted));
                let through = inner.get_or_open_async(B, async move {
                    noting.note(within.open_async(A).await);
                    Ok::<_, Infallible>(within.reader(B))
                });
                let (one, two) = join(through, inner.open_async(A)).await;
                noted.note(two);
                noted.note(one);
                noted.note(inner.try_open(A));
                noted.note(inner.get_or_open(D, |_| {
                    noted.note(inner.try_open(A));
                    Ok::<_, Infallible>(inner.reader(D))
                }));
                assert!(inner.get(&A).is_none() && !inner.contains_key(&A));
                Ok::<_, Infallible>(inner.reader(A))
            };
            assert_eq!(shelf.get_or_open_async(A, open).await.unwrap().read(), A);
            let refusals = refusals.take();
            assert_eq!(refusals.len(), 6, "{refusals:?}");
            assert!(refusals.iter().all(|length| *length <= 2), "{refusals:?}");
            // The cycle through B is refused at one of its ends, so B may be there or not.
            assert!(shelf.keys().is_superset(&BTreeSet::from([A, D])));
            shelf.assert_adds_up();
        });
    });
}

#[test]
fn of_tasks_whose_openings_ask_for_each_others_keys_one_is_refused_and_all_complete() {
    within(120, || {
        for tasks in [2, 3, 5] {
            on_tokio(|| async move {
                for _ in 0..30 {
                    let shelf = Shelf::new(|builder| builder);
                    let refusals = Arc::new(Refusals::default());
                    let barrier = Arc::new(tokio::sync::Barrier::new(tasks));
                    let ring = (0..tasks as u64).map(|task| {
                        let (shelf, noted) = (shelf.clone(), Arc::clone(&refusals));
                        let barrier = Arc::clone(&barrier);
                        tokio::spawn(async move {
                            let inner = shelf.clone();
                            let open = async move {
                                barrier.wait().await;
                                let next = (task + 1) % tasks as u64;
                                noted.note(inner.open_async(next).await);
                                Ok::<_, Infallible>(inner.reader(task))
                            };
                            assert_eq!(
                                shelf.get_or_open_async(task, open).await.unwrap().key,
                                task
                            );
                        })
                    });
                    for task in ring.collect::<Vec<_>>() {
                        task.await.unwrap();
                    }
                    assert_eq!(refusals.take(), [tasks]);
                    assert_eq!(shelf.stats().opened, tasks as u64);
                    shelf.assert_adds_up();
                }
            });
        }
    });
}

#[test]
fn branches_of_one_task_whose_openings_ask_for_each_others_keys_all_complete() {
    within(60, || {
        for polls in 0..3 {
            let shelf = Shelf::new(|builder| builder);
            let refusals = Arc::new(Refusals::default());
            let branch = |mine: u64, other: u64| {
                let (inner, noted) = (shelf.clone(), Arc::clone(&refusals));
                shelf.get_or_open_async(mine, async move {
                    turns(polls).await;
                    noted.note(inner.open_async(other).await);
                    Ok::<_, Infallible>(inner.reader(mine))
                })
            };
            let (one, other) = block_on(join(branch(A, B), branch(B, A)));
            assert_eq!((one.unwrap().key, other.unwrap().key), (A, B));
            // Without a turn, the first has opened both by itself when it is first polled.
            assert_eq!(refusals.take(), if polls == 0 { vec![] } else { vec![2] });
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn of_a_task_and_a_thread_that_ask_for_each_others_keys_one_is_refused_and_both_complete() {
    within(60, || {
        for _ in 0..100 {
            let shelf = &Shelf::new(|builder| builder);
            let refusals = &Arc::new(Refusals::default());
            let barrier = Arc::new(Barrier::new(2));
            together(2, |thread| {
                let (inner, noted) = (shelf.clone(), Arc::clone(refusals));
                let barrier = Arc::clone(&barrier);
                if thread == 0 {
                    let opened = block_on(shelf.get_or_open_async(A, async move {
                        barrier.wait();
                        noted.note(inner.open_async(B).await);
                        Ok::<_, Infallible>(inner.reader(A))
                    }));
                    assert_eq!(opened.unwrap().key, A);
                } else {
                    let opened = shelf.get_or_open(B, |_| {
                        barrier.wait();
                        noted.note(inner.try_open(A));
                        Ok::<_, Infallible>(inner.reader(B))
                    });
                    assert_eq!(opened.unwrap().key, B);
                }
            });
            assert_eq!(refusals.take(), [2]);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_closure_that_blocks_on_a_future_which_asks_for_its_key_is_refused() {
    within(60, || {
        let shelf = &Shelf::new(|builder| builder);
        let refusals = Arc::new(Refusals::default());
        let opened = shelf.get_or_open(A, |_| {
            refusals.note(block_on(shelf.open_async(A)));
            let (inner, noted) = (shelf.clone(), Arc::clone(&refusals));
            let open = async move {
                turns(1).await;
                noted.note(inner.open_async(A).await);
                Ok::<_, Infallible>(inner.reader(B))
            };
            refusals.note(block_on(shelf.get_or_open_async(B, open)));
            Ok::<_, Infallible>(shelf.reader(A))
        });
        assert_eq!(opened.unwrap().read(), A);
        let refusals = refusals.take();
        assert!(refusals == [1, 2], "{refusals:?}");
        shelf.assert_adds_up();
    });
}

#[test]
fn a_reader_whose_key_is_removed_while_a_future_opens_it_goes_detached_to_all_who_wait() {
    within(60, || {
        for by in ["remove", "clear", "insert"] {
            let shelf = Shelf::new(|builder| builder);
            let (tell, open) = when_told(&shelf, A);
            let mut first = Task::new(shelf.get_or_open_async(A, open));
            let mut second = joins(&shelf, A);
            assert!(first.poll().is_none() && second.poll().is_none());
            let (cause, newer) = match by {
                "insert" => (CloseCause::Replaced, shelf.insert(A, shelf.reader(A)).unwrap()),
                _ => {
                    let removed = if by == "clear" { shelf.clear() } else { shelf.remove(&A) };
                    assert_eq!((removed.closed, removed.detached), (0, 1));
                    // Others open another one meanwhile.
                    (CloseCause::Removed, asks(&shelf, A, 0).poll().unwrap().unwrap())
                }
            };
            assert_eq!((newer.number, newer.is_detached()), (0, false));
            tell.send(()).unwrap();
            let both = [&mut second, &mut first].map(|task| task.poll().unwrap().unwrap());
            for held in &both {
                assert_eq!((held.read(), held.number, held.is_detached()), (A, 1, true));
            }
            assert_eq!(shelf.closed(), []);
            drop(both);
            assert_eq!(shelf.closed(), [(A, cause)]);
            assert_eq!(shelf.get(&A).unwrap().number, 0);
            drop(newer);
            assert_eq!(shelf.stats().left(cause), 1);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn an_opening_that_fails_when_its_key_has_a_newer_reader_leaves_that_alone() {
    let shelf = Shelf::new(|builder| builder);
    let (tell, told) = oneshot::channel::<()>();
    let fails = async move {
        told.await.unwrap();
        Err::<Reader, _>("no")
    };
    let mut task = Task::new(shelf.get_or_open_async(A, fails));
    assert!(task.poll().is_none());
    drop(shelf.insert(A, shelf.reader(A)).unwrap());
    tell.send(()).unwrap();
    assert_eq!(task.poll().unwrap().unwrap_err().failed(), Some(&"no"));
    assert_eq!((shelf.get(&A).unwrap().number, shelf.len()), (0, 1));
    shelf.assert_adds_up();
}

/// What comes of a future that is given up when it has been polled so often, and once more.
pub async fn patiently<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    use std::{pin::pin, task::Poll};
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(Some(result)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[test]
fn under_tasks_that_are_cancelled_at_random_no_reader_is_used_after_its_close_or_left_open() {
    const KEYS: u64 = 12;
    within(120, || {
        let seed = AtomicUsize::new(0);
        on_tokio(|| {
            let seed = seed.fetch_add(1000, Ordering::Relaxed);
            async move {
                let book = Book::new(100_000);
                let uses = closing(&book, |reader, _| assert!(reader.key < KEYS));
                let shelf = Shelf::of(&book, uses.max_open(5));
                let tasks: Vec<_> =
                    (0..16).map(|task| wanders(shelf.clone(), seed + task)).collect();
                for task in tasks.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
                    task.await.unwrap();
                }
                let stats = shelf.stats();
                assert_eq!((stats.opening, stats.in_use, stats.detached), (0, 0, 0), "{stats:?}");
                assert!(stats.open <= 5 && stats.joined_opens > 0, "{stats:?}");
                shelf.assert_adds_up();
                drop(shelf);
                book.assert_all_closed();
            }
        });

        async fn wanders(shelf: Shelf, seed: usize) {
            let mut random = Random::new(seed as u64);
            let mut held = Vec::new();
            for _ in 0..150 {
                let key = random.below(KEYS);
                let polls = random.below(4) as usize;
                let patience = random.below(5) as usize;
                match random.below(20) {
                    0 => drop(shelf.remove(&key)),
                    1 => drop(shelf.insert(key, shelf.reader(key))),
                    2 => held.clear(),
                    3 => {
                        let fails = async move {
                            turns(polls).await;
                            Err::<Reader, _>("no")
                        };
                        let open = patiently(patience, shelf.get_or_open_async(key, fails)).await;
                        if let Some(Ok(reader)) = &open {
                            assert_eq!(reader.read(), key);
                        }
                    }
                    4 => {
                        // Two keys at a time, one within the other.
                        let inner = shelf.clone();
                        let open = async move {
                            let other = inner.open_async((key + 1) % KEYS).await;
                            assert!(matches!(&other, Ok(_) | Err(OpenError::Recursive(_))));
                            Ok::<_, Infallible>(inner.reader(key))
                        };
                        held.extend(patiently(patience, shelf.get_or_open_async(key, open)).await);
                    }
                    _ => {
                        let open = opens_after(&shelf, key, polls);
                        held.extend(patiently(patience, shelf.get_or_open_async(key, open)).await);
                    }
                }
                for reader in held.iter().flatten() {
                    reader.read();
                }
                held.truncate(random.below(3) as usize);
                if random.below(4) == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    });
}
