//! Looking a reader up and retaining it are one step.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use binlock::{ReaderCache, readers::CloseCause};

use crate::{
    A, B, D,
    common::{Gate, Random, race, together, within},
    shelf::{Book, Clock, Known, Shelf, closing, seconds},
};

#[test]
fn a_reader_that_is_open_is_found_and_not_opened_again() {
    let shelf = Shelf::with_room(10);
    assert!(shelf.get(&A).is_none());
    let first = shelf.open(A);
    let found = shelf.get(&A).unwrap();
    let again = shelf.get_or_open(A, |_| -> Result<_, Infallible> { unreachable!() }).unwrap();
    assert_eq!([first.number, found.number, again.number], [0; 3]);
    assert!(shelf.get(&B).is_none() && shelf.contains_key(&A) && !shelf.contains_key(&B));
    drop((first, found, again));
    // Idle, it is found as well.
    assert_eq!(shelf.get(&A).unwrap().number, 0);
    assert_eq!(shelf.book.opened(), 1);
    shelf.assert_adds_up();
}

#[test]
fn a_reader_is_looked_up_by_what_is_equivalent_to_its_key() {
    let cache: ReaderCache<String, usize> = ReaderCache::builder().build().unwrap();
    let open = |key: &String| Ok::<_, Infallible>(key.len());
    drop(cache.get_or_open("four".to_owned(), open).unwrap());
    assert_eq!(*cache.get("four").unwrap(), 4);
    assert!(cache.contains_key("four") && !cache.contains_key("five"));
    assert_eq!(cache.remove("five").count(), 0);
    assert_eq!(cache.remove("four").closed, 1);
}

#[test]
fn a_handle_and_each_clone_of_it_keep_the_reader_open() {
    let shelf = Shelf::with_room(1);
    let first = shelf.open(A);
    let clone = first.clone();
    assert_eq!((clone.read(), clone.number), (A, first.number));
    shelf.remove(&A);
    drop(first);
    assert_eq!((clone.read(), shelf.book.closed()), (A, 0));
    let another = clone.clone();
    drop(clone);
    assert_eq!((another.read(), shelf.book.closed()), (A, 0));
    drop(another);
    assert_eq!(shelf.closed(), [(A, CloseCause::Removed)]);
    shelf.book.assert_all_closed();
}

#[test]
fn a_look_up_finds_nothing_and_does_not_wait_while_the_reader_is_being_opened() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let opening = shelf.get_or_open(A, |key| {
            assert!(shelf.get(&A).is_none());
            assert!(!shelf.contains_key(&A));
            assert!(shelf.keys().is_empty());
            // It is there, in a way.
            assert_eq!(shelf.len(), 1);
            Ok::<_, Infallible>(shelf.reader(*key))
        });
        assert_eq!(opening.unwrap().read(), A);
        let stats = shelf.stats();
        assert_eq!((stats.hits, stats.misses, stats.joined_opens), (0, 2, 0));
    });
}

/// What `on_close` saw: the cause, the key, and what it found of it in three ways.
type Seen = (CloseCause, u64, [bool; 3]);

/// A cache whose `on_close` looks the reader up that is being closed.
fn looked_at_while_closing(clock: &Clock, known: &Known) -> (Shelf, Arc<Mutex<Vec<Seen>>>) {
    let book = Book::new(100);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let builder = closing(&book, {
        let (cache, seen) = (known.cache(), Arc::clone(&seen));
        move |reader, cause| {
            let cache = cache().unwrap();
            let found = [
                cache.get(&reader.key).is_some(),
                cache.contains_key(&reader.key),
                cache.iter().any(|other| other.key == reader.key),
            ];
            seen.lock().unwrap().push((cause, reader.key, found));
        }
    });
    let builder = builder.max_open(2).weigher(|_, _| 1).max_weight(10);
    let shelf = Shelf::of(&book, builder.time_to_live(seconds(10)).clock(clock.hook()));
    known.set(&shelf);
    (shelf, seen)
}

#[test]
fn once_closing_has_begun_the_key_is_absent_whatever_the_cause() {
    within(20, || {
        let clock = Clock::default();
        let known = Known::default();
        let (shelf, seen) = looked_at_while_closing(&clock, &known);
        let expect = |cause: CloseCause, keys: &[u64]| {
            let expected: Vec<_> = keys.iter().map(|key| (cause, *key, [false; 3])).collect();
            let mut seen = std::mem::take(&mut *seen.lock().unwrap());
            seen.sort_by_key(|(_, key, _)| *key);
            assert_eq!(seen, expected);
        };
        shelf.open_idle([A]);
        shelf.remove(&A);
        expect(CloseCause::Removed, &[A]);
        let held = shelf.open(A);
        shelf.remove(&A);
        expect(CloseCause::Removed, &[]);
        drop(held);
        expect(CloseCause::Removed, &[A]);
        shelf.open_idle([A, B]);
        shelf.clear();
        expect(CloseCause::Removed, &[A, B]);
        shelf.open_idle([A, B]);
        shelf.retain(|_, _| false);
        expect(CloseCause::Removed, &[A, B]);
        shelf.open_idle([A]);
        drop(shelf.insert(A, shelf.reader(A)).unwrap());
        expect(CloseCause::Replaced, &[A]);
        let held = [shelf.get(&A).unwrap(), shelf.open(B)];
        drop(shelf.open(D));
        expect(CloseCause::MaxOpen, &[D]);
        held[0].set_weight(11);
        drop(held);
        expect(CloseCause::TooHeavy, &[A]);
        clock.advance(10);
        assert!(shelf.get(&B).is_none());
        expect(CloseCause::Expired, &[B]);
        shelf.open_idle([A]);
        clock.advance(10);
        shelf.run_pending();
        expect(CloseCause::Expired, &[A]);
        shelf.open_idle([A, B]);
        shelf.close(seconds(0));
        expect(CloseCause::Shutdown, &[A, B]);
        shelf.book.assert_all_closed();
        shelf.assert_adds_up();
    });
}

#[test]
fn a_reader_that_is_found_while_others_remove_it_is_open() {
    within(60, || {
        let shelf = Shelf::new(|builder| builder);
        race(
            3,
            |i| {
                for n in 0..1000 {
                    match (n + i) % 4 {
                        0 => _ = shelf.remove(&A),
                        1 => _ = shelf.clear(),
                        2 => _ = shelf.retain(|key, reader| reader.read() != *key),
                        _ => drop(shelf.open(A)),
                    }
                }
            },
            3,
            |i| {
                let found = match i {
                    0 => shelf.get(&A),
                    1 => shelf.iter().next(),
                    _ => Some(shelf.open(A)),
                };
                if let Some(found) = found {
                    assert_eq!(found.read(), A);
                    std::thread::yield_now();
                    assert_eq!(found.read(), A);
                }
            },
        );
        shelf.assert_adds_up();
        assert!(shelf.book.opened() > 1);
        shelf.clear();
        shelf.book.assert_all_closed();
    });
}

#[test]
fn a_reader_that_is_found_while_others_evict_it_is_open() {
    within(60, || {
        let shelf = Shelf::with_room(2);
        let found = AtomicUsize::new(0);
        together(6, |thread| {
            let mut random = Random::new(thread as u64);
            for _ in 0..600 {
                let key = random.below(4);
                let handle = if thread < 3 { shelf.get(&key) } else { Some(shelf.open(key)) };
                if let Some(handle) = handle {
                    assert_eq!(handle.read(), key);
                    std::thread::yield_now();
                    assert_eq!(handle.read(), key);
                    found.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        assert!(found.into_inner() >= 1800);
        assert!(shelf.len() <= 2);
        assert!(shelf.stats().evictions() > 0);
        shelf.assert_adds_up();
        shelf.clear();
        shelf.book.assert_all_closed();
    });
}

#[test]
fn the_last_handle_and_a_removal_at_once_close_a_reader_once() {
    within(60, || {
        for _ in 0..300 {
            let shelf = Shelf::with_room(1);
            let held = Mutex::new(vec![shelf.open(A), shelf.open(A)]);
            let gate = Gate::default();
            together(4, |thread| {
                if thread == 0 {
                    gate.open();
                }
                gate.pass();
                match thread {
                    0 => _ = shelf.remove(&A),
                    1 => drop(shelf.get(&A)),
                    _ => drop(held.lock().unwrap().pop()),
                }
            });
            assert_eq!(shelf.closed(), [(A, CloseCause::Removed)]);
            shelf.book.assert_all_closed();
            shelf.assert_adds_up();
        }
    });
}
