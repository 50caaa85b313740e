//! Opening a reader: one at a time for each key, outside of every lock, for all who want it.

use std::{
    convert::Infallible,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use binlock::readers::{CloseCause, OpenError, WhenFull};

use crate::{
    A, B, D,
    common::{Gate, together, within},
    shelf::{Shelf, seconds, until},
};

/// Opens `A` on a thread, in `during` once others wait for it, on `waiters` threads; the
/// readers that all of them got, the opener's first.
fn open_with_waiters(shelf: &Shelf, waiters: usize, during: impl FnOnce() + Send) -> Vec<usize> {
    let gate = Gate::default();
    thread::scope(|scope| {
        let opener = scope.spawn(|| {
            let opening = shelf.get_or_open(A, |key| {
                gate.pass();
                until(|| shelf.stats().joined_opens == waiters as u64);
                during();
                Ok::<_, Infallible>(shelf.reader(*key))
            });
            opening.unwrap()
        });
        gate.wait_for(1);
        let others: Vec<_> = (0..waiters)
            .map(|_| {
                scope.spawn(|| {
                    let unused = |_: &u64| -> Result<_, Infallible> { unreachable!() };
                    shelf.get_or_open(A, unused).unwrap()
                })
            })
            .collect();
        gate.open();
        let mut held = vec![opener.join().unwrap()];
        held.extend(others.into_iter().map(|other| other.join().unwrap()));
        assert!(held.iter().all(|held| held.read() == A));
        held.iter().map(|held| held.number).collect()
    })
}

#[test]
fn one_opens_a_reader_and_all_who_want_it_meanwhile_have_the_same() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        assert_eq!(open_with_waiters(&shelf, 7, || {}), [0; 8]);
        let stats = shelf.stats();
        assert_eq!((stats.opened, stats.joined_opens, stats.misses, stats.hits), (1, 7, 8, 0));
        assert_eq!(shelf.get(&A).unwrap().number, 0);
        shelf.assert_adds_up();
    });
}

#[test]
fn threads_that_race_for_a_reader_open_it_once() {
    within(60, || {
        let shelf = Shelf::with_room(100);
        let openings = AtomicUsize::new(0);
        together(6, |_| {
            for key in 0..80 {
                let held = shelf.get_or_open(key, |key| {
                    openings.fetch_add(1, Ordering::Relaxed);
                    thread::yield_now();
                    Ok::<_, Infallible>(shelf.reader(*key))
                });
                assert_eq!(held.unwrap().read(), key);
            }
        });
        assert_eq!(openings.into_inner(), 80);
        shelf.assert_adds_up();
    });
}

#[test]
fn who_opens_a_reader_keeps_nobody_waiting_who_wants_another() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let gate = Gate::default();
        thread::scope(|scope| {
            let _open = gate.open_at_end();
            let opener = scope.spawn(|| {
                let opening = shelf.get_or_open(A, |key| {
                    gate.pass();
                    Ok::<_, Infallible>(shelf.reader(*key))
                });
                opening.unwrap().read()
            });
            gate.wait_for(1);
            assert_eq!(shelf.stats().opening, 1);
            assert!(shelf.get(&A).is_none() && !shelf.contains_key(&A));
            // All in the same bin.
            let held = shelf.open(B);
            held.set_weight(7);
            drop(shelf.insert(D, shelf.reader(D)).unwrap());
            assert_eq!(shelf.keys().into_iter().collect::<Vec<_>>(), [B, D]);
            assert_eq!(shelf.remove(&D).closed, 1);
            assert_eq!(shelf.retain(|key, _| *key != B).detached, 1);
            assert_eq!(shelf.run_pending().count(), 0);
            gate.open();
            assert_eq!(opener.join().unwrap(), A);
        });
        assert_eq!(shelf.keys().into_iter().collect::<Vec<_>>(), [A]);
        shelf.assert_adds_up();
    });
}

#[test]
fn an_opening_counts_as_open_while_it_runs() {
    within(20, || {
        let shelf = Shelf::new(|builder| builder.max_open(2).when_full(WhenFull::Fail));
        let opening = shelf.get_or_open(A, |key| {
            let held = shelf.open(B);
            assert!(matches!(shelf.try_open(D), Err(OpenError::Full)));
            assert!(shelf.insert(D, shelf.reader(D)).is_err());
            drop(held);
            // The idle one makes place, and the one that is being opened does not.
            shelf.open_idle([D]);
            assert_eq!(shelf.closed(), [(B, CloseCause::MaxOpen)]);
            let stats = shelf.stats();
            assert_eq!((stats.opening, stats.open), (1, 1));
            Ok::<_, Infallible>(shelf.reader(*key))
        });
        assert_eq!(opening.unwrap().read(), A);
        assert_eq!(shelf.keys().into_iter().collect::<Vec<_>>(), [A, D]);
    });
}

#[test]
fn a_reader_that_is_being_opened_is_never_evicted() {
    within(20, || {
        let shelf = Shelf::with_room(1);
        let numbers = open_with_waiters(&shelf, 3, || shelf.open_idle(10..40));
        // It was opened last, and is there still, for it was held from the start.
        assert_eq!(numbers, [30; 4]);
        assert_eq!(shelf.keys().into_iter().collect::<Vec<_>>(), [A]);
        assert_eq!(shelf.stats().left(CloseCause::MaxOpen), 30);
        shelf.assert_adds_up();
    });
}

#[test]
fn those_who_waited_have_the_reader_also_if_it_is_evicted_as_soon_as_may_be() {
    within(60, || {
        let shelf = Shelf::with_room(1);
        let numbers: Vec<Mutex<Vec<usize>>> = (0..40).map(|_| Mutex::default()).collect();
        together(6, |thread| {
            for round in 0..40 {
                let held = shelf.get_or_open(round, |key| {
                    let reader = shelf.reader(*key);
                    thread::yield_now();
                    Ok::<_, Infallible>(reader)
                });
                numbers[round as usize].lock().unwrap().push(held.unwrap().number);
                shelf.open_idle([1000 + thread as u64]);
            }
        });
        assert!(numbers.iter().all(|numbers| numbers.lock().unwrap().len() == 6));
        assert_eq!(shelf.len(), 1);
        shelf.assert_adds_up();
        shelf.clear();
        shelf.book.assert_all_closed();
    });
}

/// What takes a reader out of the cache while it is being opened.
type Take = (CloseCause, fn(&Shelf));

const TAKES: [Take; 3] = [
    (CloseCause::Removed, |shelf| {
        assert_eq!((shelf.len(), shelf.remove(&A).detached, shelf.len()), (1, 1, 0));
        assert_eq!(shelf.remove(&A).count(), 0);
    }),
    (CloseCause::Removed, |shelf| assert_eq!(shelf.clear().detached, 1)),
    (CloseCause::Shutdown, |shelf| assert_eq!(shelf.close(seconds(0)).opening, 1)),
];

#[test]
fn those_who_wait_have_a_reader_that_is_removed_while_it_is_opened_detached() {
    within(20, || {
        for (cause, take) in TAKES {
            let shelf = Shelf::with_room(10);
            let numbers = open_with_waiters(&shelf, 3, || take(&shelf));
            assert_eq!(numbers, [0; 4]);
            // All have let go of it.
            assert_eq!(shelf.closed(), [(A, cause)]);
            assert!(shelf.get(&A).is_none() && shelf.is_empty());
            assert_eq!((shelf.stats().left(cause), shelf.stats().detached), (1, 0));
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_reader_that_was_removed_while_it_was_opened_is_detached_in_the_hands_of_its_opener() {
    for (cause, take) in TAKES {
        let shelf = Shelf::with_room(10);
        let opening = shelf.get_or_open(A, |key| {
            take(&shelf);
            Ok::<_, Infallible>(shelf.reader(*key))
        });
        let held = opening.unwrap();
        assert!(held.is_detached() && !shelf.contains_key(&A));
        assert_eq!((held.read(), shelf.stats().detached, shelf.book.closed()), (A, 1, 0));
        drop(held);
        assert_eq!(shelf.closed(), [(A, cause)]);
        shelf.assert_adds_up();
    }
}

#[test]
fn who_comes_after_a_removal_opens_another_reader_while_the_first_is_still_opened() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let mut second = None;
        let first = shelf.get_or_open(A, |key| {
            shelf.remove(&A);
            second = Some(shelf.open(A));
            assert!(!second.as_ref().unwrap().is_detached());
            Ok::<_, Infallible>(shelf.reader(*key))
        });
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(first.is_detached() && !second.is_detached());
        assert_ne!(first.number, second.number);
        drop(first);
        assert_eq!(shelf.get(&A).unwrap().number, second.number);
        assert_eq!((shelf.book.closed(), shelf.len()), (1, 1));
        shelf.assert_adds_up();
    });
}

#[test]
fn a_reader_is_inserted_while_another_is_opened_for_its_key() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let inserted = Mutex::new(None);
        let numbers = open_with_waiters(&shelf, 3, || {
            *inserted.lock().unwrap() = Some(shelf.insert(A, shelf.reader(A)).unwrap());
            assert_eq!(shelf.get(&A).unwrap().number, 0);
        });
        assert_eq!(numbers, [1; 4]);
        assert_eq!(shelf.closed(), [(A, CloseCause::Replaced)]);
        let inserted = inserted.into_inner().unwrap().unwrap();
        assert!(!inserted.is_detached());
        assert_eq!(shelf.get(&A).unwrap().number, inserted.number);
        shelf.assert_adds_up();
    });
}

#[test]
fn an_opening_is_kept_by_retain_and_by_what_expires() {
    let shelf = Shelf::new(|builder| builder.time_to_live(seconds(1)));
    let opening = shelf.get_or_open(A, |key| {
        assert_eq!(shelf.retain(|_, _| unreachable!()).count(), 0);
        assert_eq!(shelf.run_pending().count(), 0);
        Ok::<_, Infallible>(shelf.reader(*key))
    });
    assert!(!opening.unwrap().is_detached());
}

#[test]
fn an_opening_that_fails_after_a_removal_leaves_nothing() {
    for (_, take) in TAKES {
        let shelf = Shelf::with_room(1);
        let opening = shelf.get_or_open(A, |_| {
            take(&shelf);
            Err("no")
        });
        assert!(matches!(opening, Err(OpenError::Failed(error)) if *error == "no"));
        let stats = shelf.stats();
        assert_eq!((stats.failed_opens, stats.opened, stats.opening), (1, 0, 0));
        assert!(shelf.is_empty());
        shelf.assert_adds_up();
    }
}
