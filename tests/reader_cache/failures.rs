//! How earlier systems have failed, each as a test. They are named after the reports.

use std::{
    convert::Infallible,
    future::{pending, ready},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use binlock::{
    ReaderCache,
    readers::{CloseCause, OpenError},
};

use crate::{
    A, B, Cache, D,
    common::{Hashers, Random, together, within},
    shelf::{Book, Known, Shelf, builder, closing, seconds},
    task::{Task, block_on},
};

#[test]
fn automq_2139_no_reader_is_read_after_it_was_evicted_between_look_up_and_retain() {
    within(60, || {
        let shelf = Shelf::with_room(1);
        together(8, |thread| {
            let mut random = Random::new(thread as u64);
            for _ in 0..300 {
                let key = random.below(3);
                let held = shelf.get(&key).unwrap_or_else(|| shelf.open(key));
                for _ in 0..3 {
                    assert_eq!(held.read(), key);
                    thread::yield_now();
                }
            }
        });
        shelf.assert_adds_up();
        // Few where threads are seldom alone with what they hold.
        assert!(shelf.stats().evictions() > 0);
        drop(shelf.cache);
        shelf.book.assert_all_closed();
    });
}

#[test]
fn automq_a_failed_open_does_not_remove_the_newer_reader_under_its_key() {
    let shelf = Shelf::with_room(10);
    let mut newer = None;
    let opening = shelf.get_or_open(A, |_| {
        shelf.remove(&A);
        newer = Some(shelf.open(A).number);
        Err("no")
    });
    assert!(opening.is_err());
    assert_eq!(shelf.get(&A).map(|held| held.number), newer);
    // Nor is it forgotten.
    drop(shelf.cache);
    shelf.book.assert_all_closed();
}

#[test]
fn automq_a_reader_that_is_put_twice_counts_once() {
    let shelf = Shelf::new(|builder| builder.max_weight(100).weigher(|_, _| 10));
    for _ in 0..5 {
        drop(shelf.insert(A, shelf.reader(A)).unwrap());
        let stats = shelf.stats();
        assert_eq!((shelf.len(), shelf.weight(), stats.open), (1, 10, 1));
    }
    // Also if the one before is in use.
    let held = shelf.get(&A).unwrap();
    drop(shelf.insert(A, shelf.reader(A)).unwrap());
    assert_eq!((shelf.len(), shelf.weight(), shelf.stats().open), (1, 10, 2));
    drop(held);
    assert_eq!(shelf.stats().open, 1);
    shelf.remove(&A);
    assert_eq!((shelf.len(), shelf.weight(), shelf.stats().open), (0, 0, 0));
    shelf.book.assert_all_closed();
}

#[test]
fn automq_a_reader_in_use_is_not_opened_a_second_time_for_having_been_evicted() {
    let shelf = Shelf::with_room(1);
    let held = shelf.open(A);
    shelf.open_idle(10..30);
    assert_eq!(shelf.open(A).number, held.number);
    assert_eq!(shelf.book.opened(), 21);
    shelf.assert_adds_up();
}

#[test]
fn automq_closing_during_an_open_leaves_nobody_waiting() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let mut opener = Task::new(shelf.get_or_open_async(A, {
            let book = Arc::clone(&shelf.book);
            async move {
                crate::task::turns(3).await;
                Ok::<_, Infallible>(book.reader(A))
            }
        }));
        let mut waiter = Task::new(shelf.open_async(A));
        assert!(opener.poll().is_none() && waiter.poll().is_none());
        let report = shelf.close(seconds(0));
        assert_eq!((report.opening, report.is_complete()), (1, false));
        let (opened, waited) = (block_on(opener.future), block_on(waiter.future));
        assert_eq!(opened.unwrap().number, waited.unwrap().number);
        shelf.book.assert_all_closed();
        assert!(matches!(shelf.try_open(A), Err(OpenError::Closed)));
        assert!(shelf.close(seconds(1000)).is_complete());
    });
}

#[test]
fn moka_240_others_have_the_reader_if_who_opens_it_is_never_polled_again() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let book = Arc::clone(&shelf.book);
        let mut opener = Task::new(shelf.get_or_open_async(A, async move {
            crate::task::turns(5).await;
            Ok::<_, Infallible>(book.reader(A))
        }));
        assert!(opener.poll().is_none());
        // It is kept, and not polled.
        let unused = pending::<Result<_, Infallible>>();
        let held = block_on(shelf.get_or_open_async(A, unused)).unwrap();
        assert_eq!((held.read(), held.number), (A, 0));
        assert_eq!(opener.poll().unwrap().unwrap().number, 0);
        let never = ready(Err::<_, ()>(()));
        assert_eq!(block_on(shelf.get_or_open_async(A, never)).unwrap().number, 0);
    });
}

#[test]
fn moka_601_the_old_reader_is_closed_for_the_right_cause_before_the_new_one_is_found() {
    within(20, || {
        let known = Known::default();
        let book = Book::new(100);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let builder = closing(&book, {
            let (cache, seen) = (known.cache(), Arc::clone(&seen));
            move |reader, cause| {
                let Some(cache) = cache() else { return };
                let found = cache.get(&reader.key).map(|held| held.number);
                seen.lock().unwrap().push((reader.number, cause, found));
            }
        });
        let shelf = Shelf::of(&book, builder);
        known.set(&shelf);
        for _ in 0..4 {
            drop(shelf.insert(A, shelf.reader(A)).unwrap());
        }
        let expected = (0..3).map(|number| (number, CloseCause::Replaced, None));
        assert_eq!(*seen.lock().unwrap(), expected.collect::<Vec<_>>());
        // One in use is closed by its user, later.
        let old = shelf.get(&A).unwrap();
        drop(shelf.insert(A, shelf.reader(A)).unwrap());
        assert_eq!(seen.lock().unwrap().len(), 3);
        drop(old);
        assert_eq!(seen.lock().unwrap()[3], (3, CloseCause::Replaced, Some(4)));
    });
}

#[test]
fn quick_cache_98_a_cache_whose_readers_are_all_in_use_searches_no_victim_for_ever() {
    within(20, || {
        let book = Book::new(1000);
        let builder = builder(&book).max_open(10).max_weight(50).weigher(|_, _| 5);
        let shelf = Shelf::of(&book, builder);
        let mut held: Vec<_> = (0..30).map(|key| shelf.open(key)).collect();
        held.push(shelf.insert(100, shelf.reader(100)).unwrap());
        held[0].set_weight(50);
        assert_eq!((shelf.len(), shelf.weight()), (31, 200));
        shelf.run_pending();
        assert_eq!(shelf.book.closed(), 0);
        drop(held);
        assert!(shelf.weight() <= 50 && shelf.len() <= 10);
        shelf.assert_adds_up();
    });
}

#[test]
fn moka_298_caffeine_1065_on_close_may_write_to_the_cache() {
    within(20, || {
        let known = Known::default();
        let book = Book::new(1000);
        let writes = Arc::new(AtomicUsize::new(0));
        let builder = closing(&book, {
            let (cache, book, writes) = (known.cache(), Arc::clone(&book), Arc::clone(&writes));
            move |reader, _| {
                let Some(cache) = cache() else { return };
                // What is evicted goes back, so this would have no end.
                if writes.fetch_add(1, Ordering::SeqCst) < 50 {
                    drop(cache.insert(reader.key, book.reader(reader.key)).unwrap());
                    cache.remove(&(reader.key + 100));
                    let open = |key: &u64| Ok::<_, Infallible>(book.reader(*key));
                    drop(cache.get_or_open(reader.key + 1, open).unwrap());
                }
            }
        });
        let shelf = Shelf::of(&book, builder.max_open(2));
        known.set(&shelf);
        shelf.open_idle([A, B]);
        shelf.open_idle(10..20);
        shelf.clear();
        assert!(writes.load(Ordering::SeqCst) > 50);
        shelf.assert_adds_up();
        drop(known);
        drop(shelf);
        book.assert_all_closed();
    });
}

#[test]
fn moka_383_and_176_readers_are_dropped_when_they_are_closed_and_not_later() {
    within(20, || {
        // Without `on_close`, and with a thread that is pinned all the time.
        let cache: Cache =
            ReaderCache::builder().max_open(4).hasher(Hashers::Constant).build().unwrap();
        let book = Book::new(1000);
        let _pinned = cache.iter();
        let mut gone = 0;
        let mut expect = |more: usize, why: &str| {
            gone += more;
            assert_eq!(book.closed(), gone, "{why}");
        };
        let insert = |key| cache.insert(key, book.reader(key)).unwrap();
        drop(insert(A));
        cache.remove(&A);
        expect(1, "removed");
        drop([insert(A), insert(A)]);
        expect(1, "replaced");
        (0..10).for_each(|key| drop(insert(key + 10)));
        expect(7, "evicted");
        cache.clear();
        expect(4, "cleared");
        let held = insert(A);
        cache.clear();
        expect(0, "detached");
        drop(held);
        expect(1, "released");
        let error = cache.get_or_open(A, |key| {
            drop(book.reader(*key));
            Err(())
        });
        assert!(error.is_err());
        expect(1, "failed");
        drop([insert(A), insert(B)]);
        drop(_pinned);
        drop(cache);
        expect(2, "dropped with the cache");
        book.assert_all_closed();
    });
}

#[test]
fn caffeine_729_nested_openings_of_colliding_keys_end() {
    /// Opens the readers of all smaller keys first, from within.
    fn open(shelf: &Shelf, key: u64) -> u64 {
        let held = shelf.get_or_open(key, |key| {
            if *key > 1 {
                assert_eq!(open(shelf, key - 1) + open(shelf, key - 2), 2 * key - 3);
            }
            Ok::<_, Infallible>(shelf.reader(*key))
        });
        held.unwrap().read()
    }

    within(20, || {
        // All keys hash alike.
        let shelf = Shelf::new(|builder| builder);
        assert_eq!(open(&shelf, 60), 60);
        assert_eq!((shelf.len(), shelf.book.opened()), (61, 61));
        let shelf = Shelf::new(|builder| builder);
        together(4, |thread| assert_eq!(open(&shelf, 40 + thread as u64), 40 + thread as u64));
        assert_eq!((shelf.len(), shelf.book.opened()), (44, 44));
        shelf.assert_adds_up();
    });
}

#[test]
fn spring_cacheable_nested_loads_over_one_loading_cache_end() {
    within(20, || {
        let known = Known::default();
        let book = Book::new(1000);
        let builder = builder(&book).max_open(100).loader({
            let (cache, book) = (known.cache(), Arc::clone(&book));
            move |key: &u64| {
                if *key > 0 {
                    let inner = cache().unwrap().get_or_load(&(key - 1));
                    assert_eq!(inner.map_err(|error| error.to_string())?.read(), key - 1);
                }
                Ok::<_, String>(book.reader(*key))
            }
        });
        let shelf = Shelf::of(&book, builder);
        known.set(&shelf);
        assert_eq!(shelf.get_or_load(&50).unwrap().read(), 50);
        together(4, |_| assert_eq!(shelf.get_or_load(&90).unwrap().read(), 90));
        assert_eq!((shelf.len(), shelf.book.opened()), (91, 91));
        assert!(shelf.contains_key(&D));
        shelf.assert_adds_up();
    });
}
