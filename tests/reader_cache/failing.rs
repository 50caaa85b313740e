//! Openings that fail or panic.

use std::{
    convert::Infallible,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
    thread,
};

use binlock::readers::{Builder, CloseCause, OpenError, WhenFull};

use crate::{
    A, B, Cache, Opened,
    common::{Gate, within},
    shelf::{Book, Reader, Shelf, builder, closing, throw, throws, until},
};

/// The first error, and the others'.
type Failed<E> = (Arc<E>, Vec<Arc<E>>);

/// Opens `A` on this thread and fails when others wait for it, on `waiters` threads, each of
/// which then does `after` with what came of it.
fn fail_with_waiters(
    shelf: &Shelf,
    waiters: usize,
    after: impl Fn(&OpenError<String>) + Sync,
) -> Failed<String> {
    thread::scope(|scope| {
        let mut others = Vec::new();
        let after = &after;
        let error = shelf.get_or_open(A, |_| {
            for _ in 0..waiters {
                others.push(scope.spawn(move || {
                    let joined = shelf.get_or_open(A, |_| -> Result<_, String> { unreachable!() });
                    let error = joined.unwrap_err();
                    after(&error);
                    failed(error)
                }));
            }
            until(|| shelf.stats().joined_opens == waiters as u64);
            Err(String::from("no such object"))
        });
        let others = others.into_iter().map(|other| other.join().unwrap()).collect();
        (failed(error.unwrap_err()), others)
    })
}

#[track_caller]
fn failed<E>(error: OpenError<E>) -> Arc<E> {
    match error {
        OpenError::Failed(error) => error,
        _ => panic!("it should have failed otherwise"),
    }
}

#[test]
fn all_who_waited_have_the_same_error_as_who_opened() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let (error, others) = fail_with_waiters(&shelf, 5, |_| {});
        assert_eq!((&**error, others.len()), ("no such object", 5));
        assert!(others.iter().all(|other| Arc::ptr_eq(other, &error)));
        let stats = shelf.stats();
        assert_eq!((stats.failed_opens, stats.joined_opens, stats.opened), (1, 5, 0));
        shelf.assert_adds_up();
    });
}

#[test]
fn errors_are_not_remembered() {
    let shelf = Shelf::with_room(10);
    for n in 0..3 {
        let error = shelf.get_or_open(A, |_| Err(n)).unwrap_err();
        assert_eq!(error.failed(), Some(&n));
        assert!(shelf.is_empty() && shelf.get(&A).is_none());
    }
    shelf.open_idle([A]);
    assert_eq!(shelf.stats().failed_opens, 3);
    shelf.assert_adds_up();
}

#[test]
fn the_key_is_free_before_those_who_waited_wake() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let barrier = Barrier::new(4);
        let opened = Mutex::new(Vec::new());
        fail_with_waiters(&shelf, 4, |error| {
            assert!(error.failed().is_some());
            // Whoever is first opens it, and has nothing to do with the one who failed.
            opened.lock().unwrap().push(shelf.open(A).number);
            barrier.wait();
        });
        assert_eq!(opened.into_inner().unwrap(), [0; 4]);
        shelf.assert_adds_up();
    });
}

#[test]
fn a_failure_takes_nothing_out_but_itself() {
    for (panics, inserts) in [(false, false), (false, true), (true, false), (true, true)] {
        let shelf = Shelf::with_room(10);
        let mut newer = None;
        let mut opening = || {
            shelf.get_or_open(A, |_| -> Result<_, ()> {
                newer = Some(if inserts {
                    shelf.insert(A, shelf.reader(A)).unwrap()
                } else {
                    shelf.remove(&A);
                    shelf.open(A)
                });
                if panics { throw() } else { Err(()) }
            })
        };
        assert_eq!(throws(|| assert!(opening().is_err())), panics);
        let newer = newer.unwrap();
        assert!(!newer.is_detached());
        assert_eq!(shelf.get(&A).unwrap().number, newer.number);
        assert_eq!((shelf.len(), shelf.book.closed()), (1, 0));
        shelf.assert_adds_up();
    }
}

#[test]
fn a_panic_reaches_who_opened_and_one_of_those_who_waited_opens() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let openings = AtomicUsize::new(0);
        thread::scope(|scope| {
            let mut others = Vec::new();
            let opening = || {
                shelf.get_or_open(A, |_| -> Result<_, Infallible> {
                    for _ in 0..5 {
                        others.push(scope.spawn(|| {
                            let opening = shelf.get_or_open(A, |key| {
                                openings.fetch_add(1, Ordering::SeqCst);
                                Ok::<_, Infallible>(shelf.reader(*key))
                            });
                            opening.unwrap().read()
                        }));
                    }
                    until(|| shelf.stats().joined_opens == 5);
                    throw()
                })
            };
            assert!(throws(opening));
            assert!(others.into_iter().all(|other| other.join().unwrap() == A));
        });
        assert_eq!(openings.into_inner(), 1);
        let stats = shelf.stats();
        assert_eq!((stats.failed_opens, stats.opened, stats.joined_opens), (1, 1, 5));
        shelf.assert_adds_up();
    });
}

#[test]
fn who_expects_another_type_of_error_tries_for_himself() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        thread::scope(|scope| {
            let mut other = None;
            let mut same = None;
            let opening = shelf.get_or_open(A, |_| -> Result<Reader, u8> {
                other = Some(scope.spawn(|| {
                    let opening: Opened<u16> = shelf.get_or_open(A, |_| Err(2));
                    opening.unwrap_err().failed().copied()
                }));
                same = Some(scope.spawn(|| {
                    let opening: Opened<u8> = shelf.get_or_open(A, |_| unreachable!());
                    opening.unwrap_err().failed().copied()
                }));
                until(|| shelf.stats().joined_opens == 2);
                Err(1)
            });
            assert_eq!(opening.unwrap_err().failed(), Some(&1));
            assert_eq!(other.unwrap().join().unwrap(), Some(2));
            assert_eq!(same.unwrap().join().unwrap(), Some(1));
        });
        assert_eq!(shelf.stats().failed_opens, 2);
        // And a reader is a reader for all of them.
        let first: Opened<u8> = shelf.get_or_open(A, |key| Ok(shelf.reader(*key)));
        let second: Opened<u16> = shelf.get_or_open(A, |_| Err(2));
        assert_eq!(first.unwrap().number, second.unwrap().number);
        shelf.assert_adds_up();
    });
}

#[test]
fn openings_that_fail_or_panic_give_their_places_back() {
    let shelf = Shelf::new(|builder| builder.max_open(1).when_full(WhenFull::Fail));
    for _ in 0..3 {
        assert!(shelf.get_or_open(A, |_| Err(())).unwrap_err().failed().is_some());
        assert!(throws(|| shelf.get_or_open(A, |_| -> Result<_, ()> { throw() })));
    }
    let held = shelf.open(B);
    assert_eq!((held.read(), shelf.stats().failed_opens), (B, 6));
    shelf.assert_adds_up();
}

#[test]
fn a_weigher_or_life_that_panics_closes_the_reader_and_frees_its_key_and_place() {
    type Spoil = fn(Builder<u64, Reader>, Arc<AtomicUsize>) -> Builder<u64, Reader>;
    fn panics_first(calls: &AtomicUsize) {
        if calls.fetch_add(1, Ordering::SeqCst) == 0 {
            throw();
        }
    }
    let spoils: [Spoil; 2] = [
        |builder, calls| {
            builder.weigher(move |_, _| {
                panics_first(&calls);
                5
            })
        },
        |builder, calls| {
            builder.expire_after(move |_, _| {
                panics_first(&calls);
                None
            })
        },
    ];
    within(20, || {
        for spoil in spoils {
            let book = Book::new(100);
            let calls = Arc::new(AtomicUsize::new(0));
            let builder = builder(&book).max_open(1).when_full(WhenFull::Fail);
            let builder = spoil(builder, calls);
            let shelf = Shelf::of(&book, builder);
            thread::scope(|scope| {
                let mut waiter = None;
                let opening = || {
                    shelf.get_or_open(A, |key| {
                        let reader = shelf.reader(*key);
                        waiter = Some(scope.spawn(|| {
                            let opening = shelf.get_or_open(A, |key| {
                                assert_eq!(book.closed(), 1);
                                Ok::<_, Infallible>(shelf.reader(*key))
                            });
                            opening.unwrap().number
                        }));
                        until(|| shelf.stats().joined_opens == 1);
                        Ok::<_, Infallible>(reader)
                    })
                };
                assert!(throws(opening));
                assert_eq!(waiter.unwrap().join().unwrap(), 1);
            });
            let stats = shelf.stats();
            assert_eq!((stats.opened, stats.closed, stats.open), (2, 1, 1));
            assert_eq!((stats.left(CloseCause::Discarded), stats.failed_opens), (1, 1));
            assert_eq!(shelf.closed(), [(A, CloseCause::Discarded)]);
            assert_eq!(stats.close_panics, 0);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_weigher_that_panics_when_a_reader_is_inserted_closes_it() {
    let shelf = Shelf::new(|builder| {
        let builder = builder.max_open(1).when_full(WhenFull::Fail);
        builder.weigher(|_, reader| if reader.number == 1 { throw() } else { 1 })
    });
    shelf.open_idle([A]);
    assert!(throws(|| shelf.insert(A, shelf.reader(A))));
    let numbers: Vec<_> = shelf.book.take_closings().iter().map(|it| it.number).collect();
    assert_eq!(numbers, [0, 1]);
    assert!(shelf.is_empty());
    shelf.assert_adds_up();
    shelf.open_idle([B]);
    shelf.assert_adds_up();
}

#[test]
fn on_close_may_panic_while_the_weigher_does() {
    let book = Book::new(10);
    let builder = closing(&book, |_, _| throw()).weigher(|_, _| throw());
    let shelf = Shelf::of(&book, builder);
    assert!(throws(|| shelf.try_open(A)));
    let stats = shelf.stats();
    assert_eq!((stats.close_panics, stats.opened, stats.closed), (1, 1, 1));
    shelf.assert_adds_up();
}

/// Compares to order with a panic.
#[derive(PartialEq, Debug)]
struct Moody(u64);

impl Eq for Moody {}

impl std::hash::Hash for Moody {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        if self.0 == 13 {
            throw();
        }
        state.write_u64(self.0);
    }
}

#[test]
fn a_hash_that_panics_leaves_the_cache_as_it_was() {
    let cache = binlock::ReaderCache::builder().max_open(1).build().unwrap();
    drop(cache.insert(Moody(1), "one").unwrap());
    let open = |_: &Moody| Ok::<_, Infallible>("thirteen");
    assert!(throws(|| cache.get_or_open(Moody(13), open)));
    assert!(throws(|| cache.get(&Moody(13))));
    assert!(throws(|| cache.remove(&Moody(13))));
    assert!(throws(|| cache.insert(Moody(13), "thirteen")));
    let stats = cache.stats();
    assert_eq!(stats.opening, 0, "{stats:?}");
    drop(cache.get_or_open(Moody(2), |_| Ok::<_, Infallible>("two")).unwrap());
    assert_eq!(cache.len(), 1);
}

#[test]
fn who_fails_does_not_wait_for_who_opens_another_reader() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let gate = Gate::default();
        thread::scope(|scope| {
            let _open = gate.open_at_end();
            scope.spawn(|| {
                let opening = shelf.get_or_open(B, |key| {
                    gate.pass();
                    Ok::<_, Infallible>(shelf.reader(*key))
                });
                drop(opening);
            });
            gate.wait_for(1);
            let (_, others) = fail_with_waiters(&shelf, 2, |_| {});
            assert_eq!(others.len(), 2);
            assert!(throws(|| shelf.get_or_open(A, |_| -> Result<_, ()> { throw() })));
        });
        assert_eq!(shelf.keys().into_iter().collect::<Vec<_>>(), [B]);
        shelf.assert_adds_up();
    });
}

#[test]
fn a_failed_opening_gives_its_place_back_before_those_who_waited_wake() {
    /// Opens another reader in the middle of the failing thread's wake-up.
    struct OpensAnother {
        cache: Cache,
        book: Arc<Book>,
        came_of_it: Mutex<Option<bool>>,
    }
    impl Wake for OpensAnother {
        fn wake(self: Arc<Self>) {
            let open = |key: &u64| Ok::<Reader, Infallible>(self.book.reader(*key));
            let is_full = matches!(self.cache.get_or_open(B, open), Err(OpenError::Full));
            *self.came_of_it.lock().unwrap() = Some(is_full);
        }
    }

    within(20, || {
        let shelf = Shelf::new(|builder| builder.max_open(1).when_full(WhenFull::Fail));
        let waker = Arc::new(OpensAnother {
            cache: shelf.cache.clone(),
            book: Arc::clone(&shelf.book),
            came_of_it: Mutex::default(),
        });
        let unused = std::future::pending::<Result<Reader, u8>>();
        let mut waiter = Box::pin(shelf.get_or_open_async(A, unused));
        let opening = shelf.get_or_open(A, |_| {
            // (On this thread, it would be a recursion.)
            thread::scope(|scope| {
                let waker = Waker::from(Arc::clone(&waker));
                let waiter = waiter.as_mut();
                let poll = move || waiter.poll(&mut Context::from_waker(&waker)).is_pending();
                assert!(scope.spawn(poll).join().unwrap());
            });
            Err(7_u8)
        });
        assert!(opening.is_err());
        assert_eq!(*waker.came_of_it.lock().unwrap(), Some(false));
    });
}
