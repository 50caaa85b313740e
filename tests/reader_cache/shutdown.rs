//! Closing a cache, and dropping it.

use std::{
    convert::Infallible,
    sync::{Arc, Barrier, Mutex},
    thread,
    time::Duration,
};

use binlock::readers::{CloseCause, OpenError, WhenFull};

use crate::{
    A, B, D,
    common::{Gate, Random, together, within},
    shelf::{Book, Shelf, builder, closing, seconds, throw, timed, until},
    task::{Task, block_on},
};

#[test]
fn a_cache_that_is_dropped_closes_what_is_idle_and_the_rest_with_its_handles() {
    let Shelf { cache, book } = Shelf::with_room(10);
    let shelf = Shelf { cache, book: Arc::clone(&book) };
    shelf.open_idle([A, B]);
    let (held, again) = (shelf.open(D), shelf.open(D));
    let clone = shelf.cache.clone();
    drop(shelf);
    // Only with its last clone.
    assert_eq!((clone.len(), book.closed()), (3, 0));
    assert!(clone.get(&A).is_some());
    drop(clone);
    let mut closed: Vec<_> = book.take_closings().iter().map(|it| (it.key, it.cause)).collect();
    closed.sort_unstable_by_key(|(key, _)| *key);
    assert_eq!(closed, [(A, CloseCause::Shutdown), (B, CloseCause::Shutdown)]);
    assert!(held.is_detached());
    assert_eq!((held.read(), again.read()), (D, D));
    drop(held);
    again.set_weight(7);
    let last = again.clone();
    drop(again);
    assert_eq!(book.closed(), 2);
    drop(last);
    assert_eq!(book.take_closings()[0].cause, CloseCause::Shutdown);
    book.assert_all_closed();
}

#[test]
fn what_was_detached_before_the_cache_is_dropped_keeps_its_cause() {
    let Shelf { cache, book } = Shelf::with_room(10);
    let held = cache.insert(A, book.reader(A)).unwrap();
    cache.remove(&A);
    drop(cache);
    assert_eq!((held.read(), book.closed()), (A, 0));
    drop(held);
    assert_eq!(book.take_closings()[0].cause, CloseCause::Removed);
    book.assert_all_closed();
}

#[test]
fn closing_refuses_to_open_and_closes_what_is_idle() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        shelf.open_idle(0..5);
        let (report, took) = timed(|| shelf.close(seconds(1000)));
        assert_eq!((report.closed, report.held.len(), report.opening), (5, 0, 0));
        assert!(report.is_complete() && took < seconds(10));
        assert_eq!(shelf.closed().len(), 5);
        assert!(matches!(shelf.try_open(A), Err(OpenError::Closed)));
        let error = shelf.insert(A, shelf.reader(A)).unwrap_err();
        assert_eq!((error.is_closed, error.reader.read()), (true, A));
        assert!(shelf.get(&A).is_none() && shelf.is_empty());
        let clone = shelf.cache.clone();
        assert!(matches!(clone.get_or_open(A, |_| Err(())), Err(OpenError::Closed)));
        // Again, there is nothing to be done.
        let again = shelf.close(seconds(1000));
        assert_eq!((again.closed, again.is_complete()), (0, true));
    });
}

#[test]
fn closing_waits_for_handles_up_to_the_deadline_and_reports_those_that_are_held() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let (held, other) = (shelf.open(A), shelf.open(B));
        shelf.remove(&B);
        shelf.open_idle([D]);
        let (report, took) = timed(|| shelf.close(Duration::from_millis(60)));
        assert!(took >= Duration::from_millis(60), "{took:?}");
        assert_eq!((report.closed, report.opening, report.is_complete()), (1, 0, false));
        assert_eq!(report.open, 2);
        let mut keys: Vec<_> = report.held.iter().map(|held| held.read()).collect();
        keys.sort_unstable();
        assert_eq!(keys, [A, B]);
        assert!(held.is_detached());
        // What is reported is held, too.
        drop((held, other));
        assert_eq!(shelf.book.closed(), 1);
        drop(report);
        let mut causes = shelf.closed();
        causes.sort_by_key(|(key, _)| *key);
        let expected =
            [(A, CloseCause::Shutdown), (B, CloseCause::Removed), (D, CloseCause::Shutdown)];
        assert_eq!(causes, expected);
        assert!(shelf.close(seconds(0)).is_complete());
        shelf.assert_adds_up();
    });
}

#[test]
fn closing_ends_as_soon_as_the_last_handle_is_dropped() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let held = [shelf.open(A), shelf.open(B)];
        shelf.remove(&B);
        thread::scope(|scope| {
            let closers: Vec<_> =
                (0..2).map(|_| scope.spawn(|| shelf.close(Duration::MAX))).collect();
            until(|| held[0].is_detached());
            drop(held);
            for closer in closers {
                assert!(closer.join().unwrap().is_complete());
            }
        });
        shelf.book.assert_all_closed();
        shelf.assert_adds_up();
    });
}

#[test]
fn closing_waits_for_openings_and_for_on_close() {
    within(20, || {
        let book = Book::new(10);
        let gate = Arc::new(Gate::default());
        let door = Arc::clone(&gate);
        let shelf = Shelf::of(&book, closing(&book, move |_, _| door.pass()).max_open(3));
        thread::scope(|scope| {
            let _open = gate.open_at_end();
            let opening = shelf.get_or_open(A, |key| {
                let report = shelf.close(Duration::from_millis(20));
                assert_eq!((report.closed, report.held.len(), report.opening), (0, 0, 1));
                assert!(!report.is_complete());
                Ok::<_, Infallible>(shelf.reader(*key))
            });
            let held = opening.unwrap();
            assert!(held.is_detached());
            let closer = scope.spawn(|| shelf.close(Duration::MAX));
            scope.spawn(|| drop(held));
            gate.wait_for(1);
            // It is being closed, and so it is open still, but nobody holds it.
            let report = shelf.close(Duration::from_millis(20));
            assert_eq!((report.held.len(), report.open, report.opening), (0, 1, 0));
            assert!(!report.is_complete());
            assert!(!closer.is_finished());
            gate.open();
            assert!(closer.join().unwrap().is_complete());
        });
        shelf.book.assert_all_closed();
        shelf.assert_adds_up();
    });
}

#[test]
fn closing_ends_also_if_what_it_waits_for_fails_or_panics() {
    within(20, || {
        for panics in [false, true] {
            let shelf = Shelf::with_room(10);
            thread::scope(|scope| {
                let mut closer = None;
                let mut opening = || {
                    shelf.get_or_open(A, |_| -> Result<_, ()> {
                        closer = Some(scope.spawn(|| shelf.close(Duration::MAX)));
                        until(|| shelf.is_empty());
                        if panics { throw() } else { Err(()) }
                    })
                };
                let threw = crate::shelf::throws(|| assert!(opening().is_err()));
                assert_eq!(threw, panics);
                assert!(closer.unwrap().join().unwrap().is_complete());
            });
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn closing_fails_those_who_wait_for_a_place_and_those_who_wait_for_them() {
    within(20, || {
        let shelf =
            Shelf::new(|builder| builder.max_open(1).when_full(WhenFull::Wait(seconds(1000))));
        let held = shelf.open(A);
        let is_closed = |opened: Result<_, OpenError<Infallible>>| {
            matches!(opened.map(|_: crate::Held| ()), Err(OpenError::Closed))
        };
        thread::scope(|scope| {
            let open = |key| {
                let shelf = &shelf;
                scope.spawn(move || is_closed(shelf.try_open(key)))
            };
            let waiters = [open(B), open(B), open(D)];
            let inserter = scope.spawn(|| shelf.insert(7, shelf.reader(7)).unwrap_err().is_closed);
            until(|| shelf.stats().waiting == 3 && shelf.stats().joined_opens == 1);
            let mut task = Task::new(shelf.open_async(8));
            assert!(task.poll().is_none());
            let report = shelf.close(seconds(0));
            assert_eq!((report.held.len(), report.opening), (1, 0));
            assert!(waiters.into_iter().all(|waiter| waiter.join().unwrap()));
            assert!(inserter.join().unwrap());
            assert!(is_closed(block_on(task.future)));
        });
        let stats = shelf.stats();
        assert_eq!((stats.waiting, stats.opening, stats.open), (0, 0, 1));
        drop(held);
        shelf.book.assert_sound();
    });
}

#[test]
fn those_who_waited_for_a_reader_have_it_although_the_cache_is_closed_meanwhile() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        thread::scope(|scope| {
            let mut waiter = None;
            let opening = shelf.get_or_open(A, |key| {
                waiter = Some(scope.spawn(|| {
                    let held = shelf.try_open(A).unwrap();
                    (held.number, held.is_detached())
                }));
                until(|| shelf.stats().joined_opens == 1);
                assert_eq!(shelf.close(seconds(0)).opening, 1);
                // Who comes now is too late.
                assert!(matches!(shelf.try_open(A), Err(OpenError::Closed)));
                Ok::<_, Infallible>(shelf.reader(*key))
            });
            assert_eq!(waiter.unwrap().join().unwrap(), (0, true));
            assert!(opening.unwrap().is_detached());
        });
        assert_eq!(shelf.closed(), [(A, CloseCause::Shutdown)]);
        assert!(shelf.close(seconds(0)).is_complete());
        shelf.assert_adds_up();
    });
}

#[test]
fn closing_contains_the_panics_of_on_close() {
    let book = Book::new(10);
    let shelf = Shelf::of(&book, closing(&book, |_, _| throw()));
    shelf.open_idle(0..5);
    let report = shelf.close(seconds(1000));
    assert_eq!((report.closed, report.is_complete()), (5, true));
    assert_eq!(shelf.stats().close_panics, 5);
    shelf.book.assert_all_closed();
}

#[test]
fn the_report_tells_what_is_held() {
    let shelf = Shelf::with_room(10);
    let _held = [shelf.open(A), shelf.open(A)];
    shelf.open_idle([B]);
    let report = shelf.close(seconds(0));
    assert_eq!(format!("{report:?}"), "Closed { closed: 1, held: [1], open: 1, opening: 0 }");
}

#[test]
fn threads_that_use_a_cache_while_it_is_closed_leave_nothing_open() {
    within(60, || {
        for round in 0..60 {
            let book = Book::new(10_000);
            let shelf = Shelf::of(&book, builder(&book).max_open(2));
            let barrier = Barrier::new(5);
            let kept = Mutex::new(Vec::new());
            together(5, |thread| {
                barrier.wait();
                if thread == 0 {
                    (0..round % 7).for_each(|_| thread::yield_now());
                    shelf.close(Duration::ZERO);
                    return;
                }
                let mut random = Random::new(round * 10 + thread as u64);
                // Bounded, because the one who closes may have to wait for his turn.
                for _ in 0..2000 {
                    let key = random.below(4);
                    match random.below(8) {
                        0 => _ = shelf.remove(&key),
                        1 => match shelf.insert(key, shelf.reader(key)) {
                            Ok(held) => assert_eq!(held.read(), key),
                            Err(error) => {
                                assert!(error.is_closed);
                                break;
                            }
                        },
                        2 => drop(shelf.get(&key)),
                        _ => match shelf.try_open(key) {
                            Ok(held) if random.below(50) == 0 => kept.lock().unwrap().push(held),
                            Ok(held) => assert_eq!(held.read(), key),
                            Err(OpenError::Closed) => break,
                            Err(error) => panic!("{error}"),
                        },
                    }
                }
            });
            assert!(shelf.is_empty());
            let stats = shelf.stats();
            assert_eq!((stats.open, stats.opening), (stats.detached, 0));
            drop(kept);
            assert!(shelf.close(seconds(0)).is_complete());
            assert_eq!(shelf.stats().open, 0);
            book.assert_all_closed();
        }
    });
}
