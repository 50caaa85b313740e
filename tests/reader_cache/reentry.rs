//! Every callback may call the cache, also for what it is called for.

use std::{
    cell::Cell,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use binlock::readers::{Builder, Job, OpenError};

use crate::{
    A, B, Cache,
    common::within,
    shelf::{Book, Clock, Known, Reader, Shelf, closing, seconds},
};

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Calls whatever a cache has, about this key and others. (Not when it is called from within
/// itself.)
fn call_everything(cache: &Cache, book: &Arc<Book>, key: u64) {
    if INSIDE.replace(true) {
        return;
    }
    let open = |key: &u64| Ok::<_, Infallible>(book.reader(*key));
    for other in [key, key + 100] {
        drop(cache.get(&other));
        cache.contains_key(&other);
        match cache.get_or_open(other, open) {
            Ok(held) => {
                assert_eq!(held.read(), other);
                held.set_weight(3);
            }
            Err(OpenError::Recursive(_)) => assert_eq!(other, key),
            Err(error) => panic!("{error}"),
        }
        let error = cache.get_or_open(other + 1000, |_| Err("no"));
        assert!(error.is_err_and(|error| error.failed().is_some()));
    }
    let inserted = cache.insert(key + 200, book.reader(key + 200)).unwrap();
    cache.remove(&(key + 100));
    cache.retain(|key, reader| reader.read() == *key);
    cache.iter().for_each(|held| assert_eq!(held.read(), *held.key()));
    cache.run_pending();
    let stats = cache.stats();
    assert_eq!(stats.opened, stats.closed + stats.open);
    assert!(!cache.is_empty() && cache.weight() > 0);
    drop(inserted);
    INSIDE.set(false);
}

/// A cache one of whose callbacks, made by `with`, calls everything; then `drive` has it
/// called, and it has to have been called this many times, with a few keys.
fn calls_back(
    times: usize,
    with: impl Fn(Builder<u64, Reader>, Box<dyn Fn(u64) + Send + Sync>) -> Builder<u64, Reader>,
    drive: impl Fn(&Shelf, &Clock),
) {
    within(20, || {
        for room in [1, 3, 100] {
            let known = Known::default();
            let book = Book::new(1000);
            let calls = Arc::new(AtomicUsize::new(0));
            let clock = Clock::default();
            let callback = {
                let (cache, book, calls) = (known.cache(), Arc::clone(&book), Arc::clone(&calls));
                move |key| {
                    let Some(cache) = cache() else { return };
                    if key < 100 {
                        calls.fetch_add(1, Ordering::SeqCst);
                    }
                    call_everything(&cache, &book, key);
                }
            };
            let builder = closing(&book, |_, _| {}).max_open(room).clock(clock.hook());
            let shelf = Shelf::of(&book, with(builder, Box::new(callback)));
            known.set(&shelf);
            drive(&shelf, &clock);
            let calls = calls.load(Ordering::SeqCst);
            assert!(calls >= times, "{calls} calls with room for {room}");
            shelf.clear();
            shelf.assert_adds_up();
            drop(known);
            drop(shelf);
            book.assert_all_closed();
        }
    });
}

#[test]
fn the_closure_that_opens_may_call_the_cache() {
    within(20, || {
        for room in [1, 3, 100] {
            let shelf = Shelf::with_room(room);
            let opening = shelf.get_or_open(A, |key| {
                call_everything(&shelf, &shelf.book, A);
                Ok::<_, Infallible>(shelf.reader(*key))
            });
            assert_eq!(opening.unwrap().read(), A);
            shelf.assert_adds_up();
            let failing = shelf.get_or_open(B, |_| {
                call_everything(&shelf, &shelf.book, B);
                Err(())
            });
            assert!(failing.is_err());
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn the_weigher_may_call_the_cache() {
    let with = |builder: Builder<_, _>, callback: Box<dyn Fn(u64) + Send + Sync>| {
        builder.max_weight(100).weigher(move |key, _| {
            callback(*key);
            1
        })
    };
    calls_back(2, with, |shelf, _| {
        shelf.open_idle([A]);
        drop(shelf.insert(B, shelf.reader(B)).unwrap());
    });
}

#[test]
fn on_close_may_call_the_cache() {
    // `with` takes the place of the book's own `on_close`, so this one notes it, too.
    let close_by = |book: &Arc<Book>, known: &Known, calls: &Arc<AtomicUsize>| {
        let (cache, own, calls) = (known.cache(), Arc::clone(book), Arc::clone(calls));
        closing(book, move |reader, _| {
            let Some(cache) = cache() else { return };
            calls.fetch_add(1, Ordering::SeqCst);
            call_everything(&cache, &own, reader.key);
        })
    };
    within(20, || {
        let known = Known::default();
        let (book, calls) = (Book::new(1000), Arc::new(AtomicUsize::new(0)));
        let clock = Clock::default();
        let builder = close_by(&book, &known, &calls).max_open(2).weigher(|_, _| 1);
        let builder = builder.max_weight(10).time_to_live(seconds(10)).clock(clock.hook());
        let shelf = Shelf::of(&book, builder);
        known.set(&shelf);
        let mut before = 0;
        let mut is_called = |why: &str| {
            let now = calls.load(Ordering::SeqCst);
            assert!(now > before, "{why}");
            before = now;
        };
        shelf.open_idle([A]);
        shelf.remove(&A);
        is_called("removed");
        let held = shelf.open(A);
        shelf.remove(&A);
        drop(held);
        is_called("released");
        shelf.open_idle([A, B]);
        is_called("evicted");
        shelf.clear();
        is_called("cleared");
        shelf.open_idle([A]);
        shelf.retain(|_, _| false);
        is_called("not retained");
        shelf.open_idle([A]);
        drop(shelf.insert(A, shelf.reader(A)).unwrap());
        is_called("replaced");
        shelf.open(A).set_weight(11);
        is_called("too heavy");
        shelf.open_idle([A]);
        clock.advance(10);
        assert!(shelf.get(&A).is_none());
        is_called("expired when looked up");
        shelf.open_idle([A]);
        clock.advance(10);
        shelf.run_pending();
        is_called("expired");
        shelf.clear();
        shelf.assert_adds_up();
        drop(known);
        drop(shelf);
        book.assert_all_closed();
    });
}

#[test]
fn on_close_may_use_a_cache_that_is_being_closed() {
    within(20, || {
        let known = Known::default();
        let book = Book::new(100);
        let calls = Arc::new(AtomicUsize::new(0));
        let builder = closing(&book, {
            let (cache, calls) = (known.cache(), Arc::clone(&calls));
            move |reader, _| {
                let cache = cache().unwrap();
                assert!(cache.get(&reader.key).is_none());
                let opened = cache.get_or_open(7, |_| -> Result<_, ()> { unreachable!() });
                assert!(matches!(opened, Err(OpenError::Closed)));
                cache.remove(&B);
                cache.clear();
                assert_eq!(cache.close(seconds(0)).held.len(), 0);
                calls.fetch_add(1, Ordering::SeqCst);
            }
        });
        let shelf = Shelf::of(&book, builder);
        known.set(&shelf);
        shelf.open_idle(0..5);
        shelf.close(seconds(0));
        assert_eq!(calls.load(Ordering::SeqCst), 5);
        shelf.book.assert_all_closed();
    });
}

#[test]
fn what_says_how_long_a_reader_lives_may_call_the_cache() {
    let with = |builder: Builder<_, _>, callback: Box<dyn Fn(u64) + Send + Sync>| {
        builder.expire_after(move |key, _| {
            callback(*key);
            Some(seconds(10))
        })
    };
    calls_back(3, with, |shelf, clock| {
        shelf.open_idle([A]);
        drop(shelf.insert(B, shelf.reader(B)).unwrap());
        clock.advance(10);
        shelf.open_idle([A]);
    });
}

/// A loader that calls back first.
fn loader(
    builder: Builder<u64, Reader>,
    book: Arc<Book>,
    callback: Box<dyn Fn(u64) + Send + Sync>,
) -> Builder<u64, Reader> {
    builder.loader(move |key: &u64| {
        callback(*key);
        Ok::<_, String>(book.reader(*key))
    })
}

#[test]
fn the_loader_may_call_the_cache_also_when_it_loads_anew() {
    within(20, || {
        for on_another_thread in [false, true] {
            let known = Known::default();
            let book = Book::new(1000);
            let clock = Clock::default();
            let calls = Arc::new(AtomicUsize::new(0));
            let callback = {
                let (cache, own, calls) = (known.cache(), Arc::clone(&book), Arc::clone(&calls));
                move |key| {
                    calls.fetch_add(1, Ordering::SeqCst);
                    call_everything(&cache().unwrap(), &own, key);
                }
            };
            let builder = closing(&book, |_, _| {}).max_open(5).clock(clock.hook());
            let builder = loader(builder, Arc::clone(&book), Box::new(callback));
            let mut builder = builder.refresh_after_write(seconds(10));
            if on_another_thread {
                // Which calls the cache as well.
                let (cache, own) = (known.cache(), Arc::clone(&book));
                builder = builder.refresh_on(move |job: Job| {
                    call_everything(&cache().unwrap(), &own, B);
                    std::thread::spawn(job).join().unwrap();
                });
            }
            let shelf = Shelf::of(&book, builder);
            known.set(&shelf);
            let first = shelf.get_or_load(&A).unwrap();
            clock.advance(10);
            drop(shelf.get_or_load(&A).unwrap());
            let second = shelf.get(&A).unwrap();
            assert_ne!(first.number, second.number);
            assert_eq!(calls.load(Ordering::SeqCst), 2);
            drop((first, second));
            shelf.clear();
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn the_predicate_of_retain_may_call_the_cache() {
    within(20, || {
        for keeps in [false, true] {
            let shelf = Shelf::with_room(100);
            shelf.open_idle([A, B]);
            let mut asked = 0;
            shelf.retain(|key, reader| {
                asked += 1;
                // It is held, and so it is there.
                assert_eq!(shelf.get(key).unwrap().number, reader.number);
                call_everything(&shelf, &shelf.book, *key);
                // Also to take out what it is asked about.
                assert_eq!(shelf.remove(key).detached, 1);
                assert_eq!(reader.read(), *key);
                shelf.clear();
                keeps
            });
            assert!(asked > 0);
            assert!(shelf.stats().detached == 0 && !shelf.contains_key(&A));
            shelf.clear();
            shelf.assert_adds_up();
            shelf.book.assert_all_closed();
        }
    });
}

#[test]
fn a_reader_may_hold_handles_to_others_which_its_closing_releases() {
    struct Chained {
        drops: Arc<AtomicUsize>,
        _next: Option<binlock::Handle<u64, Chained>>,
    }
    impl Drop for Chained {
        fn drop(&mut self) {
            self.drops.fetch_add(1, Ordering::SeqCst);
        }
    }

    within(20, || {
        let drops = Arc::new(AtomicUsize::new(0));
        let cache = binlock::ReaderCache::builder().max_open(3).build().unwrap();
        let mut next = None;
        for key in 0..20 {
            let reader = Chained { drops: Arc::clone(&drops), _next: next.take() };
            next = Some(cache.insert(key, reader).unwrap());
        }
        assert_eq!((cache.len(), drops.load(Ordering::SeqCst)), (20, 0));
        cache.clear();
        assert_eq!(drops.load(Ordering::SeqCst), 0);
        drop(next);
        assert_eq!((drops.load(Ordering::SeqCst), cache.stats().open), (20, 0));
    });
}

/// What is evicted releases others, which can be evicted then. That takes no more stack for more of them.
#[test]
fn an_eviction_that_releases_reader_after_reader_needs_no_more_stack_for_more_of_them() {
    struct Weighing {
        weight: u64,
        _held: Option<binlock::Handle<u64, Weighing>>,
    }
    const PAIRS: u64 = 20_000;
    within(60, || {
        let cache = binlock::ReaderCache::builder()
            .max_weight(2 * PAIRS)
            .weigher(|_, reader: &Weighing| reader.weight)
            .build()
            .unwrap();
        for pair in 0..PAIRS {
            let leaf = cache.insert(2 * pair, Weighing { weight: 1, _held: None }).unwrap();
            drop(cache.insert(2 * pair + 1, Weighing { weight: 1, _held: Some(leaf) }).unwrap());
        }
        assert_eq!((cache.len() as u64, cache.weight()), (2 * PAIRS, 2 * PAIRS));
        let all = Weighing { weight: 2 * PAIRS, _held: None };
        assert_eq!(cache.insert(u64::MAX, all).unwrap().weight, 2 * PAIRS);
        assert!(cache.weight() <= 2 * PAIRS);
        assert_eq!(cache.stats().open, cache.len() as u64);
        cache.clear();
        assert_eq!((cache.stats().open, cache.stats().closed), (0, 2 * PAIRS + 1));
    });
}
