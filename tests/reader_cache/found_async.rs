//! What a review has broken that set out to do so: tasks. (Threads: see `found`.)

use std::{
    convert::Infallible,
    future::{Future, pending, poll_fn},
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, RawWaker, RawWakerVTable, Waker},
    thread,
    time::{Duration, Instant},
};

use binlock::{
    ReaderCache,
    readers::{CloseCause, OpenError},
};
use futures::{
    FutureExt,
    channel::oneshot,
    future::{Shared, join, select},
};

use crate::{
    A, B, Opened,
    common::within,
    found::Key,
    shelf::{Book, Known, Reader, Shelf, builder, closing, throw, throws, until},
    task::{Calls, Task, block_on, on_tokio, turns},
};

type Builder = binlock::readers::Builder<u64, Reader>;
type Told = Shared<oneshot::Receiver<()>>;

/// A task that wants the reader that is being opened.
fn joins(shelf: &Shelf) -> Task<'_, Opened> {
    let open = async { panic!("a future is polled that nobody needs") };
    Task::new(shelf.get_or_open_async(A, open))
}

/// A future that counts its polls, each of which takes a while, and opens a reader when it is
/// told to.
fn counted(
    shelf: &Shelf,
    polls: &Arc<AtomicUsize>,
    mut told: Told,
    takes: Duration,
) -> impl Future<Output = Result<Reader, Infallible>> + Send + use<> {
    let (book, polls) = (Arc::clone(&shelf.book), Arc::clone(polls));
    poll_fn(move |context| {
        polls.fetch_add(1, Ordering::SeqCst);
        let begun = Instant::now();
        while begun.elapsed() < takes {
            std::hint::spin_loop();
        }
        told.poll_unpin(context).map(|told| {
            told.unwrap();
            Ok(book.reader(A))
        })
    })
}

#[test]
fn a_future_is_polled_once_whenever_it_is_woken_however_many_tasks_come_and_go() {
    let shelf = Shelf::with_room(1);
    let (polls, waker) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Option<Waker>>>::default());
    let open = {
        let (book, polls, waker) =
            (Arc::clone(&shelf.book), Arc::clone(&polls), Arc::clone(&waker));
        poll_fn(move |context| {
            *waker.lock().unwrap() = Some(context.waker().clone());
            let is_last = polls.fetch_add(1, Ordering::SeqCst) == 20;
            if is_last { Poll::Ready(Ok::<_, Infallible>(book.reader(A))) } else { Poll::Pending }
        })
    };
    let mut creator = Task::new(shelf.get_or_open_async(A, open));
    for round in 1..=20 {
        assert!(creator.poll().is_none());
        let mut others: Vec<_> = (0..8).map(|_| joins(&shelf)).collect();
        for _ in 0..3 {
            assert!(others.iter_mut().all(|task| task.poll().is_none()));
        }
        others.truncate(4);
        assert!(creator.poll().is_none());
        assert!(others.iter_mut().all(|task| task.poll().is_none()));
        drop(others);
        assert!(creator.poll().is_none());
        assert_eq!(polls.load(Ordering::SeqCst), round);
        waker.lock().unwrap().take().unwrap().wake();
        assert!(creator.is_woken());
    }
    assert_eq!(creator.poll().unwrap().unwrap().read(), A);
    assert_eq!(polls.load(Ordering::SeqCst), 21);
}

#[test]
fn threads_that_wait_for_a_future_do_not_keep_each_other_polling_it() {
    within(30, || {
        for takes in [5, 200].map(Duration::from_micros) {
            let shelf = Shelf::with_room(1);
            let polls = Arc::<AtomicUsize>::default();
            let (tell, told) = oneshot::channel();
            let told = told.shared();
            thread::scope(|scope| {
                for _ in 0..4 {
                    let open = counted(&shelf, &polls, told.clone(), takes);
                    scope.spawn(|| {
                        assert_eq!(*block_on(shelf.get_or_open_async(A, open)).unwrap().key(), A)
                    });
                }
                until(|| shelf.stats().joined_opens == 3);
                // As long as they would go on.
                thread::sleep(Duration::from_millis(100));
                tell.send(()).unwrap();
            });
            let polls = polls.load(Ordering::SeqCst);
            assert!(polls <= 3, "{polls} polls");
        }
    });
}

#[test]
fn tasks_on_tokio_that_wait_for_a_future_or_give_up_do_not_keep_each_other_polling_it() {
    within(30, || {
        on_tokio(|| async {
            let shelf = Shelf::with_room(1);
            let polls = Arc::<AtomicUsize>::default();
            let (tell, told) = oneshot::channel();
            let told = told.shared();
            let tasks: Vec<_> = (0..16)
                .map(|_| {
                    let open = counted(&shelf, &polls, told.clone(), Duration::from_micros(200));
                    let shelf = shelf.clone();
                    tokio::spawn(async move { shelf.get_or_open_async(A, open).await })
                })
                .collect();
            while shelf.stats().joined_opens < 15 {
                tokio::task::yield_now().await;
            }
            tasks[..8].iter().for_each(|task| task.abort());
            tokio::time::sleep(Duration::from_millis(100)).await;
            tell.send(()).unwrap();
            for (at, task) in tasks.into_iter().enumerate() {
                let opened = task.await;
                assert_eq!(opened.is_ok(), at >= 8);
                assert!(opened.is_err() || opened.unwrap().is_ok());
            }
            let polls = polls.load(Ordering::SeqCst);
            assert!(polls <= 3, "{polls} polls");
        });
    });
}

#[test]
fn futures_that_wait_for_each_other_in_two_tasks_do_not_wake_each_other_for_ever() {
    within(30, || {
        let shelf = &Shelf::with_room(10);
        let (tell, told) = oneshot::channel::<()>();
        let refusals = Arc::<AtomicUsize>::default();
        // B, which is opened within the opening of A, wants A.
        let opens_b = {
            let (shelf, refusals) = (shelf.clone(), Arc::clone(&refusals));
            async move {
                told.await.unwrap();
                let book = Arc::clone(&shelf.book);
                let a =
                    shelf.get_or_open_async(A, async move { Ok::<_, Infallible>(book.reader(A)) });
                if let Err(OpenError::Recursive(error)) = a.await {
                    assert_eq!(error.cycle_len(), Some(2));
                    refusals.fetch_add(1, Ordering::SeqCst);
                }
                Ok::<_, Infallible>(shelf.reader(B))
            }
        };
        let opens_a = {
            let shelf = shelf.clone();
            async move {
                let b = shelf.get_or_open_async(B, opens_b).map(|b| assert_eq!(b.unwrap().key, B));
                // What yields is woken within its poll, each time.
                select(Box::pin(b), Box::pin(turns(usize::MAX))).await;
                Ok::<_, Infallible>(shelf.reader(A))
            }
        };
        let mut a = Task::new(shelf.get_or_open_async(A, opens_a));
        assert!(a.poll().is_none());
        let mut b = Task::new(shelf.open_async(B));
        assert!(b.poll().is_none());
        tell.send(()).unwrap();
        let both = block_on(join(b.future, a.future));
        assert_eq!((both.0.unwrap().key, both.1.unwrap().key), (B, A));
        assert_eq!(refusals.load(Ordering::SeqCst), 1);
        assert_eq!(shelf.book.opened(), 2);
        shelf.assert_adds_up();
    });
}

/// What asks the user about a reader that has just been opened.
#[derive(Clone, Copy, Debug)]
enum Asks {
    Weigher,
    ExpireAfter,
}

impl Asks {
    const ALL: [Asks; 2] = [Asks::Weigher, Asks::ExpireAfter];

    fn with(self, builder: Builder, ask: impl Fn(&Reader) + Send + Sync + 'static) -> Builder {
        match self {
            Asks::Weigher => builder.weigher(move |_, reader| {
                ask(reader);
                1
            }),
            Asks::ExpireAfter => builder.expire_after(move |_, reader| {
                ask(reader);
                None
            }),
        }
    }
}

#[test]
fn a_weigher_that_wants_the_reader_that_it_weighs_is_refused_in_an_opening_by_a_task() {
    within(30, || {
        for (asks, is_task) in Asks::ALL.into_iter().flat_map(|asks| [(asks, false), (asks, true)])
        {
            let (book, known) = (Book::new(10), Known::default());
            let refusals = Arc::<AtomicUsize>::default();
            let ask = {
                let (cache, refusals) = (known.cache(), Arc::clone(&refusals));
                move |reader: &Reader| {
                    let Some(cache) = cache() else { return };
                    let opened: Opened = if is_task {
                        block_on(cache.get_or_open_async(reader.key, pending()))
                    } else {
                        cache.get_or_open(reader.key, |_| unreachable!())
                    };
                    match opened {
                        Err(OpenError::Recursive(error)) => assert!(error.is_own_key()),
                        opened => panic!("{asks:?}: {opened:?}"),
                    }
                    refusals.fetch_add(1, Ordering::SeqCst);
                }
            };
            let shelf = Shelf::of(&book, asks.with(builder(&book), ask));
            known.set(&shelf);
            drop(block_on(shelf.open_async(A)).unwrap());
            assert_eq!(refusals.load(Ordering::SeqCst), 1);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_weigher_in_a_cycle_is_seen_in_an_opening_by_a_task() {
    within(30, || {
        for (asks, is_task) in Asks::ALL.into_iter().flat_map(|asks| [(asks, false), (asks, true)])
        {
            let (book, known) = (Book::new(10), Known::default());
            let refusals = &Arc::<AtomicUsize>::default();
            // A is open and weighed, and B is being opened.
            let both = &Arc::new(Barrier::new(2));
            let note = |refusals: &AtomicUsize, opened: Opened| match opened {
                Ok(held) => assert_eq!(held.read(), *held.key()),
                Err(OpenError::Recursive(error)) => {
                    assert_eq!(error.cycle_len(), Some(2));
                    refusals.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => panic!("{error}"),
            };
            let ask = {
                let (cache, refusals, both) =
                    (known.cache(), Arc::clone(refusals), Arc::clone(both));
                move |reader: &Reader| {
                    let Some(cache) = cache().filter(|_| reader.key == A) else { return };
                    both.wait();
                    note(&refusals, cache.get_or_open(B, |_| unreachable!()));
                }
            };
            let shelf = &Shelf::of(&book, asks.with(builder(&book), ask));
            known.set(shelf);
            thread::scope(|scope| {
                scope.spawn(|| drop(block_on(shelf.open_async(A)).unwrap()));
                let open = || {
                    both.wait();
                    note(refusals, shelf.get_or_open(A, |_| unreachable!()));
                    Ok::<_, Infallible>(shelf.reader(B))
                };
                if is_task {
                    // (Its future must not borrow.)
                    let (shelf, refusals, both) =
                        (shelf.clone(), Arc::clone(refusals), Arc::clone(both));
                    let cache = shelf.cache.clone();
                    let open = async move {
                        both.wait();
                        note(&refusals, shelf.get_or_open(A, |_| unreachable!()));
                        Ok::<_, Infallible>(shelf.reader(B))
                    };
                    drop(block_on(cache.get_or_open_async(B, open)).unwrap());
                } else {
                    drop(shelf.get_or_open(B, |_| open()).unwrap());
                }
            });
            assert_eq!(refusals.load(Ordering::SeqCst), 1, "{asks:?}");
            assert_eq!(shelf.keys(), [A, B].into());
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_weigher_that_panics_does_so_to_the_task_whose_reader_it_was_and_others_try_for_themselves() {
    for (asks, joiner_polls) in Asks::ALL.into_iter().flat_map(|asks| [(asks, false), (asks, true)])
    {
        let book = Book::new(10);
        let ask = |reader: &Reader| {
            if reader.number == 0 {
                throw();
            }
        };
        let shelf = Shelf::of(&book, asks.with(builder(&book), ask));
        let (tell, told) = oneshot::channel();
        let open = counted(&shelf, &Arc::default(), told.shared(), Duration::ZERO);
        let mut creator = Task::new(shelf.get_or_open_async(A, open));
        let mut joiner = Task::new(shelf.open_async(A));
        assert!(creator.poll().is_none() && joiner.poll().is_none());
        tell.send(()).unwrap();
        if !joiner_polls {
            assert!(throws(|| creator.poll()));
        }
        assert_eq!(joiner.poll().unwrap().unwrap().number, 1);
        if joiner_polls {
            assert!(throws(|| creator.poll()));
        }
        assert_eq!(shelf.closed(), [(A, CloseCause::Discarded)]);
        drop((creator, joiner));
        assert_eq!((shelf.stats().in_use, shelf.len()), (0, 1));
        shelf.assert_adds_up();
    }
}

#[test]
fn a_task_that_closes_the_cache_is_known_by_the_waker_of_its_last_poll_alone() {
    let shelf = Shelf::with_room(1);
    let held = shelf.open(A);
    let mut closing = Box::pin(shelf.close_async(pending()));
    let calls: Vec<Arc<Calls>> = (0..3).map(|_| Arc::default()).collect();
    for call in &calls {
        let waker = Waker::from(Arc::clone(call));
        for _ in 0..100 {
            assert!(closing.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
    }
    // One is the test's.
    assert_eq!(calls.iter().map(Arc::strong_count).collect::<Vec<_>>(), [1, 1, 2]);
    drop(held);
    assert_eq!(calls.iter().map(|call| call.count()).collect::<Vec<_>>(), [0, 0, 1]);

    let shelf = Shelf::with_room(1);
    let _held = shelf.open(A);
    let calls = Arc::<Calls>::default();
    let waker = Waker::from(Arc::clone(&calls));
    let mut closing = Box::pin(shelf.close_async(pending()));
    assert!(closing.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop((closing, waker));
    assert_eq!(Arc::strong_count(&calls), 1);
}

#[test]
fn a_waker_that_panics_when_it_is_first_cloned_leaves_the_key_free_and_drops_the_future() {
    fn clone(_: *const ()) -> RawWaker {
        throw()
    }
    static TABLE: RawWakerVTable = RawWakerVTable::new(clone, |_| {}, |_| {}, |_| {});
    within(30, || {
        let shelf = Shelf::with_room(1);
        let token = Arc::new(());
        let theirs = Arc::clone(&token);
        let mut task = Task::new(shelf.get_or_open_async(A, async move {
            let _token = theirs;
            pending::<Result<Reader, Infallible>>().await
        }));
        // SAFETY: the functions have nothing to do with the pointer.
        let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) };
        assert!(throws(|| task.future.as_mut().poll(&mut Context::from_waker(&waker))));
        drop(task);
        assert_eq!(Arc::strong_count(&token), 1);
        shelf.open_idle([A]);
        shelf.assert_adds_up();
    });
}

#[test]
fn a_key_or_a_future_that_panics_when_it_is_not_needed_leaks_no_handle() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            throw();
        }
    }
    for in_key in [true, false] {
        let cache = &ReaderCache::<Key, u64>::builder().build().unwrap();
        let ask = || {
            let bomb = (!in_key).then(|| Bomb);
            Task::new(cache.get_or_open_async(Key::new(A, in_key), async move {
                let _bomb = bomb;
                pending::<Result<u64, Infallible>>().await
            }))
        };
        // Because the reader was just being opened.
        let mut creator = Task::new(cache.get_or_open_async(Key::new(A, false), async {
            turns(1).await;
            Ok::<_, Infallible>(A)
        }));
        let mut joiner = ask();
        assert!(creator.poll().is_none());
        assert!(throws(|| joiner.poll()));
        drop(creator.poll().unwrap());
        drop((creator, joiner));
        assert_eq!((cache.stats().in_use, cache.stats().joined_opens, cache.len()), (0, 1, 1));
        // Because it was open.
        let mut late = ask();
        assert!(throws(|| late.poll()));
        drop(late);
        assert_eq!((cache.stats().hits, cache.stats().in_use), (1, 0));
        cache.remove(&Key::new(A, false));
        assert_eq!((cache.stats().open, cache.stats().detached), (0, 0));
    }
}

#[test]
fn the_closing_of_the_cache_in_a_task_is_not_over_while_a_reader_is_being_closed() {
    within(30, || {
        let book = Book::new(10);
        let (reached, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
        let builder = {
            let (reached, leave) = (Arc::clone(&reached), Arc::clone(&leave));
            closing(&book, move |_, _| {
                reached.wait();
                leave.wait();
            })
        };
        let shelf = Shelf::of(&book, builder);
        shelf.open_idle([A]);
        thread::scope(|scope| {
            scope.spawn(|| shelf.remove(&A));
            reached.wait();
            let late = Task::new(shelf.close_async(std::future::ready(()))).poll().unwrap();
            let mut patient = Task::new(shelf.close_async(pending()));
            let is_over = patient.poll().is_some();
            leave.wait();
            assert!(!late.is_complete() && late.open == 1 && !is_over);
            until(|| patient.is_woken());
            assert!(patient.poll().unwrap().is_complete());
        });
        book.assert_all_closed();
    });
}
