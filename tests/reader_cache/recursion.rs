//! Openings that ask for what they are about to open, on one thread or in a cycle of them.

use std::{
    convert::Infallible,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use binlock::readers::OpenError;

use crate::{
    A, B, D, Opened,
    common::{Hashers, together, within},
    shelf::{Book, Known, Shelf, builder, closing},
};

fn is_recursive<T, E>(opened: &Result<T, OpenError<E>>) -> bool {
    matches!(opened, Err(OpenError::Recursive(_)))
}

#[test]
fn a_reader_that_is_asked_for_from_its_own_opening_is_an_error_there() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let mut inner = None;
        let outer = shelf.get_or_open(A, |key| {
            inner = Some(shelf.try_open(A));
            Ok::<_, Infallible>(shelf.reader(*key))
        });
        assert!(is_recursive(&inner.unwrap()));
        // The opening itself has come to no harm.
        assert_eq!(outer.unwrap().read(), A);
        assert_eq!((shelf.open(A).number, shelf.book.opened()), (0, 1));
        shelf.assert_adds_up();
    });
}

#[test]
fn an_opening_may_fail_with_the_error_of_its_recursion_and_be_tried_again() {
    within(20, || {
        let shelf = Shelf::with_room(10);
        let outer = shelf.get_or_open(A, |_| shelf.try_open(A).map(|_| unreachable!()));
        let error = outer.unwrap_err();
        assert!(matches!(error.failed(), Some(OpenError::Recursive(_))));
        assert!(shelf.is_empty());
        shelf.open_idle([A]);
        shelf.assert_adds_up();
    });
}

#[test]
fn a_reader_that_is_asked_for_through_the_openings_of_others_is_an_error() {
    /// Opens the reader of the key within that of the key before, down to 0, which asks for
    /// the last; what that came to, and all others.
    fn open(shelf: &Shelf, key: u64, last: u64, results: &mut Vec<bool>) {
        let mut inner = Vec::new();
        let opened: Opened = shelf.get_or_open(key, |key| {
            let own = if *key == 0 {
                vec![is_recursive(&shelf.try_open(last))]
            } else {
                let mut results = Vec::new();
                open(shelf, key - 1, last, &mut results);
                results
            };
            inner = own;
            Ok(shelf.reader(*key))
        });
        results.append(&mut inner);
        results.push(opened.is_ok_and(|held| held.read() == key));
    }

    within(20, || {
        for length in [1, 2, 5, 20] {
            let shelf = Shelf::with_room(100);
            let mut results = Vec::new();
            open(&shelf, length, length, &mut results);
            assert_eq!(results, vec![true; length as usize + 2]);
            shelf.assert_adds_up();
        }
    });
}

/// So many threads each open the reader of their own key, and from within that of the next
/// one's, when all are there.
fn cycle(threads: usize) {
    let shelf = Shelf::with_room(100);
    let barrier = Barrier::new(threads);
    let recursive = AtomicUsize::new(0);
    together(threads, |thread| {
        let next = ((thread + 1) % threads) as u64;
        let outer = shelf.get_or_open(thread as u64, |key| {
            barrier.wait();
            let inner = shelf.get_or_open(next, |_| -> Result<_, Infallible> { unreachable!() });
            match inner {
                Ok(held) => assert_eq!(held.read(), next),
                Err(OpenError::Recursive(_)) => _ = recursive.fetch_add(1, Ordering::SeqCst),
                Err(error) => panic!("{error}"),
            }
            Ok::<_, Infallible>(shelf.reader(*key))
        });
        assert_eq!(outer.unwrap().read(), thread as u64);
    });
    // The one who closes the cycle is told, and that breaks it for all others.
    assert_eq!(recursive.into_inner(), 1, "of {threads} threads");
    assert_eq!((shelf.len(), shelf.book.opened()), (threads, threads));
    shelf.assert_adds_up();
}

#[test]
fn a_cycle_of_two_threads_is_an_error_for_one() {
    within(20, || (0..20).for_each(|_| cycle(2)));
}

#[test]
fn a_cycle_of_many_threads_is_an_error_for_one() {
    within(40, || [3, 4, 8].into_iter().for_each(cycle));
}

#[test]
fn threads_that_wait_for_each_other_without_a_cycle_all_get_their_readers() {
    within(40, || {
        let shelf = Shelf::with_room(100);
        // Each key from within that of each greater one.
        fn open(shelf: &Shelf, key: u64) {
            let held = shelf.get_or_open(key, |key| {
                (0..*key).rev().for_each(|smaller| open(shelf, smaller));
                Ok::<_, Infallible>(shelf.reader(*key))
            });
            assert_eq!(held.unwrap().read(), key);
        }
        together(8, |thread| open(&shelf, 8 + thread as u64));
        assert_eq!((shelf.len(), shelf.book.opened()), (16, 16));
        shelf.assert_adds_up();
    });
}

#[test]
fn other_keys_may_be_opened_from_within_whatever_the_hashes() {
    fn open(shelf: &Shelf, keys: &mut Vec<u64>) -> u64 {
        let Some(key) = keys.pop() else { return 0 };
        let held = shelf.get_or_open(key, |key| {
            open(shelf, keys);
            Ok::<_, Infallible>(shelf.reader(*key))
        });
        held.unwrap().read()
    }

    within(20, || {
        for hashers in Hashers::ALL {
            let book = Book::new(1000);
            let cache = builder(&book).hasher(hashers).build().unwrap();
            let shelf = Shelf { cache, book };
            let mut keys = (0..100).collect();
            assert_eq!(open(&shelf, &mut keys), 99);
            assert_eq!((shelf.len(), keys.len()), (100, 0), "{hashers:?}");
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn the_victim_of_an_opening_may_not_ask_for_what_is_being_opened() {
    within(20, || {
        let known = Known::default();
        let book = Book::new(100);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let builder = closing(&book, {
            let (cache, book, asked) = (known.cache(), Arc::clone(&book), Arc::clone(&asked));
            move |reader, _| {
                if reader.key == A {
                    let opened: Opened = cache().unwrap().get_or_open(B, |_| Ok(book.reader(B)));
                    asked.lock().unwrap().push(is_recursive(&opened));
                }
            }
        });
        let shelf = Shelf::of(&book, builder.max_open(1));
        known.set(&shelf);
        shelf.open_idle([A]);
        // The place of `A` is what `B` waits for.
        assert_eq!(shelf.open(B).number, 1);
        assert_eq!(*asked.lock().unwrap(), [true]);
        // The same when it is replaced by itself.
        shelf.clear();
        shelf.open_idle([A]);
        shelf.remove(&A);
        assert_eq!(*asked.lock().unwrap(), [true, false]);
        shelf.assert_adds_up();
    });
}

#[test]
fn the_weigher_and_the_life_of_a_reader_may_not_ask_for_it() {
    within(20, || {
        let known = Known::default();
        let book = Book::new(100);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let ask = {
            let (cache, asked) = (known.cache(), Arc::clone(&asked));
            move |key: u64| {
                let cache = cache().unwrap();
                let opened: Opened = cache.get_or_open(key, |_| unreachable!());
                asked.lock().unwrap().push((cache.get(&key).is_none(), is_recursive(&opened)));
            }
        };
        let ask_too = ask.clone();
        let builder = builder(&book).weigher(move |key, _| {
            ask(*key);
            1
        });
        let builder = builder.expire_after(move |key, _| {
            ask_too(*key);
            None
        });
        let shelf = Shelf::of(&book, builder);
        known.set(&shelf);
        shelf.open_idle([A]);
        drop(shelf.insert(D, shelf.reader(D)).unwrap());
        assert_eq!(*asked.lock().unwrap(), [(true, true); 4]);
        shelf.assert_adds_up();
    });
}

#[test]
fn a_loader_that_loads_its_own_key_fails_and_is_told_why() {
    within(20, || {
        let known = Known::default();
        let book = Book::new(100);
        let builder = builder(&book).loader({
            let cache = known.cache();
            move |key| cache().unwrap().get_or_load(key).map(|_| unreachable!())
        });
        let shelf = Shelf::of(&book, builder);
        known.set(&shelf);
        let error = shelf.get_or_load(&A).unwrap_err();
        let text = error.failed().unwrap().to_string();
        assert!(text.contains("asked for while it was being opened"), "{text}");
        assert!(shelf.is_empty());
        shelf.assert_adds_up();
    });
}
