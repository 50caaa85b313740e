//! Caches that know how to open readers.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use binlock::readers::OpenError;

use crate::{
    A, B, Cache, D,
    common::within,
    shelf::{Book, Clock, Known, Reader, Shelf, builder, throw, throws, until},
};

type Builder = binlock::readers::Builder<u64, Reader>;

/// Loads of a certain number fail.
#[derive(PartialEq, Debug)]
pub struct Refused(pub usize);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "load {} is refused", self.0)
    }
}

impl std::error::Error for Refused {}

/// A cache whose loader notes its loads and does something in each.
pub struct Loaded {
    pub shelf: Shelf,
    pub clock: Clock,
    pub loads: Arc<AtomicUsize>,
    pub known: Known,
}

impl Loaded {
    /// With what is done in the `n`th load, from 0.
    pub fn new(
        with: impl FnOnce(Builder) -> Builder,
        during: impl Fn(usize, &Cache) -> Result<(), Refused> + Send + Sync + 'static,
    ) -> Loaded {
        let (clock, loads) = (Clock::default(), Arc::new(AtomicUsize::new(0)));
        let known = Known::default();
        let book = Book::new(10_000);
        let loader = {
            let (book, loads, cache) = (Arc::clone(&book), Arc::clone(&loads), known.cache());
            move |key: &u64| {
                let load = loads.fetch_add(1, Ordering::SeqCst);
                // (A load that goes on when the cache is at its end does nothing.)
                if let Some(cache) = cache() {
                    during(load, &cache)?;
                }
                Ok::<_, Refused>(book.reader(*key))
            }
        };
        let builder = with(builder(&book).clock(clock.hook()).loader(loader));
        let shelf = Shelf::of(&book, builder);
        known.set(&shelf);
        Loaded { shelf, clock, loads, known }
    }

    pub fn load(&self, key: u64) -> crate::Held {
        let held = self.shelf.get_or_load(&key).unwrap();
        assert_eq!(held.read(), key);
        held
    }

    pub fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

#[test]
fn a_reader_is_loaded_once_and_found_after_that() {
    let loaded = Loaded::new(|builder| builder.max_open(2), |_, _| Ok(()));
    assert_eq!([A, A, B, A].map(|key| loaded.load(key).number), [0, 0, 1, 0]);
    assert_eq!(loaded.loads(), 2);
    let stats = loaded.shelf.stats();
    assert_eq!((stats.hits, stats.misses, stats.opened), (2, 2, 2));
    // What comes by other ways is found as well.
    drop(loaded.shelf.insert(D, loaded.shelf.reader(D)).unwrap());
    assert_eq!((loaded.load(D).number, loaded.loads()), (2, 2));
    // Without a time, nothing gets old.
    loaded.clock.advance(1 << 30);
    assert_eq!((loaded.load(D).number, loaded.loads()), (2, 2));
    loaded.shelf.assert_adds_up();
}

#[test]
fn the_error_of_a_loader_is_shared_and_not_remembered() {
    within(20, || {
        let loaded = Loaded::new(
            |builder| builder,
            |load, cache| {
                if load == 0 {
                    until(|| cache.stats().joined_opens == 2);
                    return Err(Refused(load));
                }
                Ok(())
            },
        );
        let errors: Vec<_> = thread::scope(|scope| {
            let load = || loaded.shelf.get_or_load(&A).map(|_| ()).unwrap_err();
            let threads: Vec<_> = (0..3).map(|_| scope.spawn(load)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(loaded.loads(), 1);
        let errors: Vec<_> = errors
            .into_iter()
            .map(|error| match error {
                OpenError::Failed(error) => error,
                _ => panic!("{error}"),
            })
            .collect();
        assert!(errors.iter().all(|error| Arc::ptr_eq(error, &errors[0])));
        assert_eq!(errors[0].to_string(), "load 0 is refused");
        assert_eq!(loaded.load(A).number, 0);
        loaded.shelf.assert_adds_up();
    });
}

#[test]
fn a_loader_that_panics_frees_the_key() {
    let loaded = Loaded::new(|builder| builder, |load, _| if load == 0 { throw() } else { Ok(()) });
    assert!(throws(|| loaded.shelf.get_or_load(&A)));
    assert_eq!(loaded.load(A).number, 0);
    loaded.shelf.assert_adds_up();
}

#[test]
fn a_cache_without_a_loader_says_so() {
    let shelf = Shelf::with_room(1);
    // No `AssertUnwindSafe`.
    let cache = &shelf.cache;
    let panicked = std::panic::catch_unwind(|| cache.get_or_load(&A));
    let payload = panicked.unwrap_err();
    let text = payload.downcast_ref::<&str>().unwrap();
    assert!(text.contains("without a `loader`"), "{text}");
    shelf.open_idle([A]);
}
