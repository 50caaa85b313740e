//! A reader is closed once, at once, where it ends, outside of every lock.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use binlock::{
    HashMap, ReaderCache,
    readers::{CloseCause, OpenError},
};

use crate::{
    A, B, D,
    common::{Gate, together, within},
    shelf::{Book, Shelf, closing, seconds, throw, throws},
};

#[test]
fn a_weak_reference_finds_the_cache_and_does_not_keep_it() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let weak = shelf.cache.downgrade();
        shelf.open_idle([A]);
        let upgraded = weak.clone().upgrade().unwrap();
        assert!(upgraded.contains_key(&A));
        let (book, cache) = (Arc::clone(&shelf.book), shelf.cache.clone());
        drop(shelf);
        drop(cache);
        assert_eq!(book.closed(), 0, "the upgraded one is left");
        drop(upgraded);
        assert_eq!(book.closed(), 1);
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn a_cache_that_is_closed_is_found_by_a_weak_reference_and_opens_nothing() {
    let shelf = Shelf::with_room(10);
    let weak = shelf.cache.downgrade();
    shelf.close(seconds(0));
    let cache = weak.upgrade().unwrap();
    assert!(matches!(
        cache.get_or_open(A, |_| -> Result<_, ()> { unreachable!("it is closed") }),
        Err(OpenError::Closed)
    ));
}

#[test]
fn a_reader_is_closed_by_the_thread_that_drops_its_last_handle_before_the_drop_returns() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let (first, second) = (shelf.open(A), shelf.open(A));
        shelf.remove(&A);
        drop(first);
        assert_eq!(shelf.book.closed(), 0);
        let dropper = thread::scope(|scope| {
            let dropping = scope.spawn(|| {
                drop(second);
                let closings = shelf.book.take_closings();
                assert_eq!(closings.len(), 1);
                assert_eq!(closings[0].thread, thread::current().id());
                thread::current().id()
            });
            dropping.join().unwrap()
        });
        assert_ne!(dropper, thread::current().id());
        shelf.book.assert_all_closed();
    });
}

#[test]
fn an_idle_reader_is_closed_by_the_call_that_takes_it_out() {
    let shelf = Shelf::with_room(2);
    let took = |cause, take: &dyn Fn()| {
        shelf.book.take_closings();
        take();
        let closings = shelf.book.take_closings();
        assert_eq!(closings.len(), 1, "{cause:?}");
        let (closing, here) = (closings[0], thread::current().id());
        assert_eq!((closing.cause, closing.thread), (cause, here));
    };
    shelf.open_idle([A, B]);
    took(CloseCause::Removed, &|| assert_eq!(shelf.remove(&A).closed, 1));
    took(CloseCause::Removed, &|| assert_eq!(shelf.clear().closed, 1));
    shelf.open_idle([A, B]);
    took(CloseCause::MaxOpen, &|| shelf.open_idle([D]));
    shelf.clear();
    shelf.open_idle([A]);
    took(CloseCause::Removed, &|| assert_eq!(shelf.retain(|_, _| false).closed, 1));
    shelf.open_idle([A]);
    took(CloseCause::Replaced, &|| drop(shelf.insert(A, shelf.reader(A))));
    took(CloseCause::Shutdown, &|| drop(shelf.close(seconds(0))));
    shelf.book.assert_all_closed();
}

#[test]
fn the_victim_is_closed_before_the_next_reader_is_opened() {
    let shelf = Shelf::with_room(1);
    shelf.open_idle([A]);
    let opened = shelf.get_or_open(B, |key| {
        assert_eq!(shelf.closed(), [(A, CloseCause::MaxOpen)]);
        assert_eq!(shelf.stats().open, 0);
        Ok::<_, ()>(shelf.reader(*key))
    });
    assert_eq!(opened.unwrap().read(), B);
    shelf.assert_adds_up();
}

#[test]
fn what_closes_a_reader_has_it_by_value() {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let cache = ReaderCache::builder()
        .on_close(move |key: &u64, reader: Box<str>, cause| {
            keep.lock().unwrap().push((*key, reader, cause));
        })
        .build()
        .unwrap();
    drop(cache.insert(A, Box::from("a")).unwrap());
    drop(cache.insert(B, Box::from("b")).unwrap());
    cache.remove(&A);
    drop(cache);
    let expected =
        [(A, Box::from("a"), CloseCause::Removed), (B, Box::from("b"), CloseCause::Shutdown)];
    assert_eq!(*kept.lock().unwrap(), expected);
}

#[test]
fn without_on_close_readers_are_dropped_at_once_and_once() {
    let book = Book::new(10);
    let cache = ReaderCache::builder().max_open(1).build().unwrap();
    let held = cache.insert(A, book.reader(A)).unwrap();
    cache.remove(&A);
    assert_eq!(book.closed(), 0);
    drop(held);
    assert_eq!(book.closed(), 1);
    drop(cache.insert(B, book.reader(B)).unwrap());
    drop(cache.insert(D, book.reader(D)).unwrap());
    assert_eq!(book.closed(), 2);
    drop(cache);
    assert_eq!(book.closed(), 3);
    book.assert_all_closed();
}

/// A cache where closing the readers of even keys panics.
fn panicking() -> Shelf {
    let book = Book::new(100);
    let builder = closing(&book, |reader, _| {
        if reader.key % 2 == 0 {
            throw();
        }
    });
    Shelf::of(&book, builder.max_open(8))
}

#[test]
fn a_panic_in_on_close_is_contained_and_counted_and_later_closes_still_happen() {
    within(20, || {
        let shelf = panicking();
        shelf.open_idle(0..8);
        assert_eq!(shelf.remove(&0).closed, 1);
        // (It is not clear that a later reader of the same key is fine.)
        let held = shelf.open(0);
        shelf.remove(&0);
        drop(held);
        assert_eq!((shelf.stats().close_panics, shelf.book.closed()), (2, 2));
        // Some of these have to make a place.
        shelf.open_idle(10..14);
        assert_eq!((shelf.len(), shelf.book.closed()), (8, 5));
        assert_eq!(shelf.clear().closed, 8);
        let stats = shelf.stats();
        let evens = shelf.closed().iter().filter(|(key, _)| key % 2 == 0).count();
        assert_eq!(stats.close_panics as usize, evens);
        shelf.assert_adds_up();
        shelf.book.assert_all_closed();
    });
}

#[test]
fn panics_in_on_close_keep_no_reader_of_a_cache_that_is_dropped() {
    let Shelf { cache, book } = panicking();
    (0..8).for_each(|key| drop(cache.insert(key, book.reader(key)).unwrap()));
    drop(cache);
    assert_eq!(book.closed(), 8);
    book.assert_all_closed();
}

#[test]
fn a_panic_in_on_close_while_another_one_unwinds_does_not_abort() {
    let shelf = panicking();
    let held = shelf.open(0);
    shelf.remove(&0);
    assert!(throws(|| {
        let _held = held;
        throw();
    }));
    assert_eq!(shelf.stats().close_panics, 1);
    shelf.book.assert_all_closed();
    shelf.assert_adds_up();
}

/// Panics when it is dropped, after counting.
struct Bomb(Arc<AtomicUsize>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        throw();
    }
}

#[test]
fn a_panic_in_the_drop_of_a_reader_is_contained_and_counted() {
    let drops = Arc::new(AtomicUsize::new(0));
    let cache = ReaderCache::builder().max_open(2).build().unwrap();
    for key in 0..4 {
        drop(cache.insert(key, Bomb(Arc::clone(&drops))).unwrap());
    }
    assert_eq!((drops.load(Ordering::SeqCst), cache.stats().close_panics), (2, 2));
    assert_eq!(cache.clear().closed, 2);
    let stats = cache.stats();
    assert_eq!((stats.opened, stats.closed, stats.open, stats.close_panics), (4, 4, 0, 4));
    assert_eq!(drops.load(Ordering::SeqCst), 4);
}

#[test]
fn a_panic_in_on_close_whose_payload_panics_in_turn_is_contained_and_leaked() {
    let drops = Arc::new(AtomicUsize::new(0));
    let payloads = Arc::clone(&drops);
    let cache = ReaderCache::builder()
        .on_close(move |_: &u64, (), _| {
            std::panic::resume_unwind(Box::new(Bomb(Arc::clone(&payloads))));
        })
        .build()
        .unwrap();
    drop(cache.insert(A, ()).unwrap());
    drop(cache.insert(B, ()).unwrap());
    assert_eq!(cache.clear().closed, 2);
    assert_eq!((cache.stats().close_panics, cache.stats().open), (2, 0));
}

#[test]
fn closing_is_not_delayed_by_threads_that_are_pinned() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let gate = Gate::default();
        thread::scope(|scope| {
            let _open = gate.open_at_end();
            scope.spawn(|| {
                let map: HashMap<u64, u64> = HashMap::new();
                let _pinned = map.pin();
                gate.pass();
            });
            gate.wait_for(1);
            // And this thread is pinned, too.
            let _iter = shelf.iter();
            shelf.open_idle([A]);
            shelf.remove(&A);
            assert_eq!(shelf.book.closed(), 1);
            let held = shelf.open(A);
            shelf.clear();
            drop(held);
            assert_eq!(shelf.book.closed(), 2);
            shelf.open_idle([A]);
            drop(shelf.insert(A, shelf.reader(A)));
            assert_eq!(shelf.book.closed(), 3);
            shelf.retain(|_, _| false);
            assert_eq!(shelf.book.closed(), 4);
            shelf.open_idle(0..30);
            assert_eq!(shelf.book.closed(), 24);
            shelf.close(seconds(0));
            shelf.book.assert_all_closed();
        });
    });
}

#[test]
fn who_is_stuck_in_on_close_keeps_nobody_waiting() {
    within(20, || {
        let book = Book::new(100);
        let gate = Arc::new(Gate::default());
        let door = Arc::clone(&gate);
        let builder = closing(&book, move |reader, _| {
            if reader.key == A {
                door.pass();
            }
        });
        let shelf = Shelf::of(&book, builder.max_open(3).time_to_live(seconds(1000)));
        shelf.open_idle([A, B]);
        thread::scope(|scope| {
            let _open = gate.open_at_end();
            let stuck = scope.spawn(|| shelf.remove(&A));
            gate.wait_for(1);
            let stats = shelf.stats();
            assert_eq!((stats.open, stats.opened, stats.closed), (2, 2, 0));
            // Also the same key.
            let again = shelf.open(A);
            assert!(shelf.get(&B).is_some());
            shelf.open_idle([D]);
            drop(shelf.insert(7, shelf.reader(7)).unwrap());
            assert_eq!(shelf.remove(&7).closed, 1);
            again.set_weight(3);
            shelf.run_pending();
            shelf.retain(|key, _| *key != B);
            assert_eq!(shelf.keys().into_iter().collect::<Vec<_>>(), [A]);
            shelf.clear();
            let report = shelf.close(seconds(0));
            assert_eq!(report.held.len(), 1);
            gate.open();
            assert_eq!(stuck.join().unwrap().closed, 1);
        });
        shelf.book.assert_all_closed();
        shelf.assert_adds_up();
    });
}

#[test]
fn a_leaked_handle_keeps_its_reader_open_for_ever() {
    let book = Book::new(10);
    let shelf = Shelf::of(&book, closing(&book, |_, _| {}).max_open(1));
    std::mem::forget(shelf.open(A));
    shelf.open_idle([B]);
    assert_eq!(shelf.remove(&A).detached, 1);
    let report = shelf.close(seconds(0));
    assert_eq!(report.held.len(), 1);
    assert_eq!(report.held[0].read(), A);
    drop(report);
    drop(shelf);
    assert_eq!((book.opened(), book.closed()), (2, 1));
    book.assert_sound();
}

#[test]
fn handles_that_many_threads_drop_at_once_close_their_readers_once() {
    within(60, || {
        let shelf = Shelf::with_room(100);
        for round in 0..60 {
            let handles: Vec<_> = (0..8)
                .map(|_| Mutex::new((0..10).map(|key| shelf.open(key)).collect::<Vec<_>>()))
                .collect();
            shelf.clear();
            together(8, |thread| {
                for handle in handles[thread].lock().unwrap().drain(..) {
                    assert_eq!(handle.read(), *handle.key());
                }
            });
            assert_eq!(shelf.book.closed(), (round + 1) * 10);
        }
        shelf.book.assert_all_closed();
        shelf.assert_adds_up();
    });
}

#[test]
fn a_panic_in_the_predicate_of_retain_closes_what_it_has_taken_out() {
    let shelf = Shelf::with_room(10);
    shelf.open_idle(0..5);
    let mut asked = 0;
    let retained = catch_unwind(AssertUnwindSafe(|| {
        shelf.retain(|_, _| {
            asked += 1;
            if asked == 3 {
                throw();
            }
            false
        })
    }));
    assert!(retained.is_err());
    assert_eq!((shelf.book.closed(), shelf.len()), (2, 3));
    // Nobody holds the rest.
    assert_eq!(shelf.stats().in_use, 0);
    shelf.assert_adds_up();
    assert_eq!(shelf.clear().closed, 3);
    shelf.book.assert_all_closed();
}
