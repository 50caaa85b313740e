//! Readers in use are never evicted, and live on when they are taken out of the cache.

use std::thread;

use binlock::readers::{CloseCause, OpenError, Removed, WhenFull};

use crate::{
    A, B, D, Held,
    common::{Random, together, within},
    shelf::{Clock, Shelf, seconds},
};

#[test]
fn a_reader_in_use_is_never_evicted() {
    let shelf = Shelf::with_room(3);
    let (first, second) = (shelf.open(A), shelf.open(B));
    for key in 10..200 {
        shelf.open_idle([key]);
    }
    assert_eq!((first.read(), second.read()), (A, B));
    assert!(!first.is_detached() && !second.is_detached());
    assert_eq!([first.number, second.number], [A, B].map(|key| shelf.get(&key).unwrap().number));
    assert_eq!(shelf.stats().left(CloseCause::MaxOpen), 189);
    shelf.assert_adds_up();
}

/// What holds for a reader that has just been taken out of the cache while it was in use.
#[track_caller]
fn assert_detached(shelf: &Shelf, held: &Held) {
    let key = *held.key();
    assert!(held.is_detached());
    assert_eq!(held.read(), key);
    assert!(shelf.get(&key).is_none_or(|found| found.number != held.number));
    assert!(shelf.iter().all(|found| found.number != held.number));
    assert_eq!(shelf.book.closed(), 0);
    let stats = shelf.stats();
    assert_eq!((stats.detached, stats.closed), (1, 0));
    shelf.assert_adds_up();
}

#[test]
fn a_reader_that_is_taken_out_in_use_is_detached_and_closed_at_its_last_release() {
    type Take = fn(&Shelf, &Clock, &Held);
    let ways: [(CloseCause, Take); 8] = [
        (CloseCause::Removed, |shelf, _, _| assert_eq!(shelf.remove(&A).detached, 1)),
        (CloseCause::Removed, |shelf, _, _| assert_eq!(shelf.clear().detached, 1)),
        (CloseCause::Removed, |shelf, _, _| {
            assert_eq!(shelf.retain(|_, _| false).detached, 1);
        }),
        (CloseCause::Replaced, |shelf, _, _| drop(shelf.insert(A, shelf.reader(A)).unwrap())),
        (CloseCause::Expired, |shelf, clock, _| {
            clock.advance(10);
            assert!(shelf.get(&A).is_none());
        }),
        (CloseCause::Expired, |shelf, clock, _| {
            clock.advance(10);
            assert_eq!(shelf.run_pending().detached, 1);
        }),
        (CloseCause::TooHeavy, |_, _, held| held.set_weight(1001)),
        (CloseCause::Shutdown, |shelf, _, _| drop(shelf.close(seconds(0)))),
    ];
    for (cause, take) in ways {
        let clock = Clock::default();
        let shelf = Shelf::new(|builder| {
            let builder = builder.time_to_live(seconds(10)).clock(clock.hook());
            builder.max_weight(1000).weigher(|_, _| 1)
        });
        let held = shelf.open(A);
        let again = held.clone();
        take(&shelf, &clock, &held);
        assert_detached(&shelf, &held);
        drop(held);
        assert_detached(&shelf, &again);
        drop(again);
        assert_eq!(shelf.closed(), [(A, cause)]);
        assert_eq!(shelf.stats().detached, 0);
        shelf.assert_adds_up();
    }
}

#[test]
fn another_reader_can_be_opened_while_the_detached_one_lives() {
    let shelf = Shelf::with_room(10);
    let old = shelf.open(A);
    shelf.remove(&A);
    let new = shelf.open(A);
    assert_ne!(old.number, new.number);
    assert_eq!((old.read(), new.read()), (A, A));
    assert!(!new.is_detached());
    // The end of the old one is not the end of the new one.
    drop(old);
    assert_eq!(shelf.get(&A).unwrap().number, new.number);
    assert_eq!((shelf.book.closed(), shelf.len()), (1, 1));
    shelf.assert_adds_up();
}

#[test]
fn a_detached_reader_counts_until_it_is_closed() {
    let shelf = Shelf::new(|builder| builder.max_open(2).when_full(WhenFull::Fail));
    let (first, second) = (shelf.open(A), shelf.open(B));
    shelf.clear();
    assert!(shelf.is_empty());
    let stats = shelf.stats();
    assert_eq!((stats.open, stats.detached, stats.in_use), (2, 2, 0));
    assert!(matches!(shelf.try_open(D), Err(OpenError::Full)));
    drop(first);
    let third = shelf.open(D);
    assert!(matches!(shelf.try_open(A), Err(OpenError::Full)));
    drop((second, third));
    shelf.open_idle([A, B]);
    assert_eq!(shelf.book.opened(), 5);
    shelf.assert_adds_up();
}

#[test]
fn removals_say_how_many_were_closed_and_how_many_are_detached() {
    let shelf = Shelf::with_room(100);
    let counts = |removed: Removed| (removed.closed, removed.detached, removed.count());
    let held: Vec<_> = (0..3).map(|key| shelf.open(key)).collect();
    shelf.open_idle(3..10);
    assert_eq!(counts(shelf.remove(&0)), (0, 1, 1));
    assert_eq!(counts(shelf.remove(&0)), (0, 0, 0));
    assert_eq!(counts(shelf.remove(&9)), (1, 0, 1));
    let mut asked = Vec::new();
    let retained = shelf.retain(|key, reader| {
        asked.push(reader.read());
        key % 2 == 0
    });
    assert_eq!(counts(retained), (3, 1, 4));
    asked.sort_unstable();
    assert_eq!(asked, (1..9).collect::<Vec<_>>());
    assert_eq!(shelf.keys().into_iter().collect::<Vec<_>>(), [2, 4, 6, 8]);
    assert_eq!(counts(shelf.clear()), (3, 1, 4));
    assert_eq!(counts(shelf.clear()), (0, 0, 0));
    assert_eq!(counts(shelf.retain(|_, _| unreachable!())), (0, 0, 0));
    assert!(shelf.is_empty());
    drop(held);
    shelf.book.assert_all_closed();
    shelf.assert_adds_up();
}

#[test]
fn a_handle_may_be_sent_shared_and_outlive_the_cache() {
    within(20, || {
        let Shelf { cache, book } = Shelf::with_room(10);
        let held = cache.insert(A, book.reader(A)).unwrap();
        drop(cache);
        thread::scope(|scope| {
            (0..4).for_each(|_| drop(scope.spawn(|| assert_eq!(held.clone().read(), A))));
        });
        assert_eq!(book.closed(), 0);
        thread::spawn(move || {
            let clone = held.clone();
            drop(held);
            assert_eq!((clone.read(), *clone.key()), (A, A));
        })
        .join()
        .unwrap();
        book.assert_all_closed();
        assert_eq!(book.take_closings()[0].cause, CloseCause::Shutdown);
    });
}

#[test]
fn readers_that_threads_use_stay_open_while_others_are_evicted_all_the_time() {
    within(60, || {
        let shelf = Shelf::with_room(4);
        together(6, |thread| {
            let mut random = Random::new(thread as u64);
            let own = shelf.open(100 + thread as u64 / 2);
            for _ in 0..300 {
                shelf.open_idle([random.below(10)]);
                assert!(!own.is_detached());
                own.read();
            }
        });
        assert!(shelf.stats().left(CloseCause::MaxOpen) > 0);
        assert!(shelf.len() <= 4);
        shelf.assert_adds_up();
        shelf.clear();
        shelf.book.assert_all_closed();
    });
}
