//! Readers that are opened anew when they are old.

use std::{
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use binlock::readers::{CloseCause, Job, OpenError, WhenFull};

use crate::{
    A, B, Cache,
    common::{Gate, race, within},
    loading::{Loaded, Refused},
    shelf::{Book, Clock, Known, Reader, Shelf, builder, closing, seconds, throw, throws},
};

type Builder = binlock::readers::Builder<u64, Reader>;

fn refreshing(builder: Builder) -> Builder {
    builder.refresh_after_write(seconds(10))
}

#[test]
fn an_old_reader_is_opened_anew_by_who_loads_it_and_the_old_one_is_closed() {
    let loaded = Loaded::new(refreshing, |_, _| Ok(()));
    let shelf = &loaded.shelf;
    drop(loaded.load(A));
    loaded.clock.advance(9);
    assert_eq!(loaded.load(A).number, 0);
    loaded.clock.advance(1);
    // Others than the loading calls serve the old one.
    assert_eq!((shelf.get(&A).unwrap().number, shelf.open(A).number), (0, 0));
    assert!(shelf.contains_key(&A) && loaded.loads() == 1);
    assert_eq!(loaded.load(A).number, 1);
    assert_eq!(shelf.closed(), [(A, CloseCause::Refreshed)]);
    assert_eq!((shelf.get(&A).unwrap().number, shelf.len()), (1, 1));
    // Its age begins anew.
    loaded.clock.advance(9);
    assert_eq!((loaded.load(A).number, loaded.loads()), (1, 2));
    loaded.clock.advance(1);
    assert_eq!((loaded.load(A).number, loaded.loads()), (2, 3));
    shelf.assert_adds_up();
}

#[test]
fn the_old_reader_is_detached_if_it_is_in_use_when_it_is_swapped() {
    let loaded = Loaded::new(refreshing, |_, _| Ok(()));
    let old = loaded.load(A);
    loaded.clock.advance(10);
    let new = loaded.load(A);
    assert!(old.is_detached() && !new.is_detached());
    assert_eq!((old.read(), loaded.shelf.book.closed()), (A, 0));
    let stats = loaded.shelf.stats();
    assert_eq!((stats.detached, stats.in_use, stats.open), (1, 1, 2));
    drop(old);
    assert_eq!(loaded.shelf.closed(), [(A, CloseCause::Refreshed)]);
    drop(new);
    loaded.shelf.assert_adds_up();
}

#[test]
fn the_old_reader_serves_others_while_one_opens_it_anew() {
    within(20, || {
        let gate = Arc::new(Gate::default());
        let door = Arc::clone(&gate);
        let loaded = Loaded::new(refreshing, move |load, _| {
            if load == 1 {
                door.pass();
            }
            Ok(())
        });
        drop(loaded.load(A));
        loaded.clock.advance(10);
        thread::scope(|scope| {
            let _open = gate.open_at_end();
            let reloading = scope.spawn(|| loaded.load(A).number);
            gate.wait_for(1);
            for _ in 0..10 {
                assert_eq!(loaded.load(A).number, 0);
                assert_eq!(loaded.shelf.get(&A).unwrap().number, 0);
                loaded.clock.advance(10);
            }
            assert_eq!(loaded.loads(), 2);
            assert_eq!(loaded.shelf.stats().opening, 1);
            gate.open();
            assert_eq!(reloading.join().unwrap(), 1);
        });
        assert_eq!(loaded.shelf.get(&A).unwrap().number, 1);
        loaded.shelf.assert_adds_up();
    });
}

#[test]
fn a_refresh_that_fails_or_panics_keeps_the_old_reader_for_the_same_time_again() {
    for panics in [false, true] {
        let loaded = Loaded::new(refreshing, move |load, _| match load {
            1 if panics => throw(),
            1 => Err(Refused(1)),
            _ => Ok(()),
        });
        drop(loaded.load(A));
        loaded.clock.advance(10);
        let mut kept = None;
        assert_eq!(throws(|| kept = Some(loaded.load(A).number)), panics);
        assert_eq!(kept, (!panics).then_some(0));
        assert_eq!((loaded.loads(), loaded.shelf.stats().opening), (2, 0));
        loaded.clock.advance(9);
        assert_eq!((loaded.load(A).number, loaded.loads()), (0, 2));
        assert!(loaded.shelf.closed().is_empty());
        loaded.clock.advance(1);
        assert_eq!((loaded.load(A).number, loaded.loads()), (1, 3));
        let failed = loaded.shelf.stats().failed_opens;
        assert_eq!(failed, u64::from(!panics));
        loaded.shelf.assert_adds_up();
    }
}

/// A cache that is refreshed where jobs are run: when the test says so.
fn with_jobs(
    during: impl Fn(usize, &Cache) -> Result<(), Refused> + Send + Sync + 'static,
) -> (Loaded, Arc<Mutex<Vec<Job>>>) {
    let jobs = Arc::new(Mutex::new(Vec::new()));
    let queue = Arc::clone(&jobs);
    let with = |builder| refreshing(builder).refresh_on(move |job| queue.lock().unwrap().push(job));
    (Loaded::new(with, during), jobs)
}

#[test]
fn a_refresh_runs_where_it_was_told_to_and_the_old_reader_serves_until_then() {
    within(20, || {
        let (loaded, jobs) = with_jobs(|_, _| Ok(()));
        drop(loaded.load(A));
        assert!(jobs.lock().unwrap().is_empty());
        loaded.clock.advance(10);
        for _ in 0..5 {
            assert_eq!(loaded.load(A).number, 0);
            loaded.clock.advance(10);
        }
        assert_eq!((jobs.lock().unwrap().len(), loaded.loads()), (1, 1));
        let job = jobs.lock().unwrap().pop().unwrap();
        let worker = thread::spawn(move || {
            job();
            thread::current().id()
        });
        let worker = worker.join().unwrap();
        let closing = loaded.shelf.book.take_closings()[0];
        assert_eq!((closing.cause, closing.thread), (CloseCause::Refreshed, worker));
        assert_eq!((loaded.load(A).number, loaded.loads()), (1, 2));
        loaded.shelf.assert_adds_up();
    });
}

#[test]
fn a_refresh_on_another_thread_that_fails_keeps_the_old_reader() {
    let (loaded, jobs) = with_jobs(|load, _| if load == 1 { Err(Refused(1)) } else { Ok(()) });
    drop(loaded.load(A));
    loaded.clock.advance(10);
    drop(loaded.load(A));
    jobs.lock().unwrap().pop().unwrap()();
    assert_eq!((loaded.load(A).number, loaded.loads()), (0, 2));
    assert!(jobs.lock().unwrap().is_empty());
    loaded.clock.advance(10);
    drop(loaded.load(A));
    jobs.lock().unwrap().pop().unwrap()();
    assert_eq!((loaded.load(A).number, loaded.loads()), (1, 3));
    assert_eq!(loaded.shelf.stats().failed_opens, 1);
    loaded.shelf.assert_adds_up();
}

#[test]
fn a_refresh_that_is_never_run_gives_all_back_when_it_is_dropped() {
    let (loaded, jobs) = with_jobs(|_, _| Ok(()));
    drop(loaded.load(A));
    loaded.clock.advance(10);
    drop(loaded.load(A));
    let stats = loaded.shelf.stats();
    assert_eq!((stats.opening, stats.in_use), (1, 1));
    jobs.lock().unwrap().clear();
    let stats = loaded.shelf.stats();
    assert_eq!((stats.opening, stats.in_use), (0, 0));
    loaded.clock.advance(10);
    drop(loaded.load(A));
    jobs.lock().unwrap().pop().unwrap()();
    assert_eq!(loaded.load(A).number, 1);
    loaded.shelf.assert_adds_up();
}

#[test]
fn what_was_opened_to_replace_a_reader_that_is_gone_is_closed() {
    type During = fn(&Cache, &Arc<Book>);
    let gone: [(During, Option<usize>); 3] = [
        (|cache, _| _ = cache.remove(&A), None),
        (|cache, book| drop(cache.insert(A, book.reader(A)).unwrap()), Some(1)),
        (
            |cache, book| {
                cache.clear();
                drop(cache.get_or_open(A, |key| Ok::<_, ()>(book.reader(*key))).unwrap());
            },
            Some(1),
        ),
    ];
    for (during, there) in gone {
        let loaded = Loaded::new(refreshing, |_, _| Ok(()));
        let Loaded { shelf, known, .. } = &loaded;
        let own = Arc::clone(&shelf.book);
        let load = AtomicUsize::new(0);
        let cache = known.cache();
        let builder = refreshing(builder(&shelf.book)).clock(loaded.clock.hook());
        let builder = builder.loader(move |key| {
            if load.fetch_add(1, Ordering::SeqCst) == 1 {
                during(&cache().unwrap(), &own);
            }
            Ok::<_, Refused>(own.reader(*key))
        });
        let shelf = Shelf::of(&shelf.book, builder);
        known.set(&shelf);
        drop(shelf.get_or_load(&A).unwrap());
        loaded.clock.advance(10);
        let served = shelf.get_or_load(&A).unwrap();
        // The one that was being replaced, and is not in the cache any more.
        assert!(served.number == 0 && served.is_detached());
        let newest = shelf.book.opened() - 1;
        let closings = shelf.book.take_closings();
        assert_eq!(closings.len(), 1);
        assert_eq!((closings[0].number, closings[0].cause), (newest, CloseCause::Discarded));
        assert_eq!(shelf.get(&A).map(|held| held.number), there);
        drop(served);
        shelf.assert_adds_up();
    }
}

#[test]
fn a_refresh_needs_a_place_and_does_not_wait_for_one() {
    within(20, || {
        for when_full in [WhenFull::Fail, WhenFull::Wait(seconds(1000))] {
            let with = |builder| refreshing(builder).max_open(2).when_full(when_full);
            let loaded = Loaded::new(with, |_, _| Ok(()));
            let held = [loaded.load(A), loaded.load(B)];
            loaded.clock.advance(10);
            // Both are in use.
            assert_eq!((loaded.load(A).number, loaded.loads()), (0, 2));
            assert_eq!(loaded.shelf.stats().waiting, 0);
            drop(held);
            loaded.clock.advance(10);
            // The other one makes place.
            assert_eq!((loaded.load(A).number, loaded.loads()), (2, 3));
            assert_eq!(loaded.shelf.keys().into_iter().collect::<Vec<_>>(), [A]);
            loaded.shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_new_reader_that_is_too_heavy_is_handed_out_and_takes_the_old_one_with_it() {
    let with = |builder| {
        let builder = refreshing(builder).max_weight(10);
        builder.weigher(|_, reader: &Reader| if reader.number == 1 { 11 } else { 5 })
    };
    let loaded = Loaded::new(with, |_, _| Ok(()));
    drop(loaded.load(A));
    loaded.clock.advance(10);
    let heavy = loaded.load(A);
    assert_eq!((heavy.number, heavy.is_detached()), (1, true));
    assert_eq!(loaded.shelf.closed(), [(A, CloseCause::Refreshed)]);
    assert_eq!((loaded.shelf.weight(), loaded.shelf.len()), (0, 0));
    drop(heavy);
    assert_eq!(loaded.shelf.closed(), [(A, CloseCause::TooHeavy)]);
    assert_eq!(loaded.load(A).number, 2);
    assert_eq!(loaded.shelf.weight(), 5);
    loaded.shelf.assert_adds_up();
}

#[test]
fn the_weigher_may_panic_in_a_refresh() {
    let with = |builder| {
        let weigh = |_: &u64, reader: &Reader| if reader.number == 1 { throw() } else { 5 };
        refreshing(builder).weigher(weigh)
    };
    let loaded = Loaded::new(with, |_, _| Ok(()));
    drop(loaded.load(A));
    loaded.clock.advance(10);
    assert!(throws(|| loaded.load(A)));
    assert_eq!(loaded.shelf.closed(), [(A, CloseCause::Discarded)]);
    assert_eq!(loaded.load(A).number, 0);
    loaded.shelf.assert_adds_up();
    loaded.clock.advance(10);
    assert_eq!(loaded.load(A).number, 2);
    loaded.shelf.assert_adds_up();
}

#[test]
fn a_cache_that_is_closed_during_a_refresh_keeps_neither_reader() {
    let loaded = Loaded::new(refreshing, |load, cache| {
        if load == 1 {
            assert_eq!(cache.close(seconds(0)).held.len(), 1);
        }
        Ok(())
    });
    drop(loaded.load(A));
    loaded.clock.advance(10);
    let served = loaded.load(A);
    assert_eq!((served.number, served.is_detached()), (0, true));
    drop(served);
    assert_eq!(loaded.shelf.closed(), [(A, CloseCause::Shutdown); 2]);
    assert!(matches!(loaded.shelf.get_or_load(&A), Err(OpenError::Closed)));
    assert_eq!(loaded.loads(), 2);
    loaded.shelf.assert_adds_up();
}

#[test]
fn a_reader_may_be_refreshed_and_expire() {
    let with = |builder| refreshing(builder).time_to_live(seconds(15));
    let loaded = Loaded::new(with, |_, _| Ok(()));
    drop(loaded.load(A));
    loaded.clock.advance(10);
    assert_eq!(loaded.load(A).number, 1);
    loaded.clock.advance(15);
    assert!(loaded.shelf.get(&A).is_none());
    assert_eq!(loaded.load(A).number, 2);
    let causes = [CloseCause::Refreshed, CloseCause::Expired].map(|cause| (A, cause));
    assert_eq!(loaded.shelf.closed(), causes);
    loaded.shelf.assert_adds_up();
}

#[test]
fn a_reader_is_never_missing_while_it_is_swapped_and_never_older_than_before() {
    within(60, || {
        let loaded = Loaded::new(refreshing, |_, _| Ok(()));
        drop(loaded.load(A));
        let newest = AtomicUsize::new(0);
        race(
            2,
            |_| {
                for _ in 0..300 {
                    loaded.clock.advance(10);
                    let number = loaded.load(A).number;
                    newest.fetch_max(number, Ordering::SeqCst);
                }
            },
            3,
            |reader| {
                let before = newest.load(Ordering::SeqCst);
                let found = match reader {
                    0 | 1 => loaded.shelf.get(&A).expect("it was there all the time"),
                    _ => loaded.load(A),
                };
                assert_eq!(found.read(), A);
                if reader < 2 {
                    assert!(found.number >= before, "{} after {before}", found.number);
                }
            },
        );
        let stats = loaded.shelf.stats();
        assert!(stats.left(CloseCause::Refreshed) > 10);
        assert_eq!((stats.open, loaded.shelf.len()), (1, 1));
        loaded.shelf.assert_adds_up();
    });
}

#[test]
fn a_cache_may_be_dropped_while_a_refresh_is_under_way() {
    within(20, || {
        let (loaded, jobs) = with_jobs(|_, _| Ok(()));
        drop(loaded.load(A));
        loaded.clock.advance(10);
        drop(loaded.load(A));
        let Loaded { shelf, known, .. } = loaded;
        let Shelf { cache, book } = shelf;
        drop(known);
        drop(cache);
        assert_eq!((book.opened(), book.closed()), (1, 0));
        let job = jobs.lock().unwrap().pop().unwrap();
        job();
        assert_eq!(book.opened(), 2);
        book.assert_all_closed();
        let causes: Vec<_> = book.take_closings().iter().map(|it| it.cause).collect();
        assert_eq!(causes, [CloseCause::Shutdown; 2]);
    });
}

#[test]
fn what_is_being_loaded_anew_when_the_cache_is_cleared_does_not_stay() {
    // Whichever comes first: the swap, or the clearing, which may meet the old reader and find
    // it gone when it is about to take it out.
    within(60, || {
        let loaded = Arc::new(Barrier::new(2));
        let door = Arc::clone(&loaded);
        let Loaded { shelf, clock, .. } = &Loaded::new(refreshing, move |load, _| {
            if load % 2 == 1 {
                door.wait();
            }
            Ok(())
        });
        for _ in 0..2000 {
            drop(shelf.get_or_load(&A).unwrap());
            clock.advance(10);
            thread::scope(|scope| {
                scope.spawn(|| drop(shelf.get_or_load(&A).unwrap()));
                loaded.wait();
                shelf.clear();
            });
            assert!(shelf.get(&A).is_none(), "it was loaded before the cache was cleared");
            assert_eq!((shelf.len(), shelf.stats().open), (0, 0));
        }
        shelf.assert_adds_up();
    });
}

#[test]
fn on_close_of_the_old_reader_finds_the_new_one() {
    within(20, || {
        let (known, clock) = (Known::default(), Clock::default());
        let book = Book::new(100);
        let found = Arc::new(Mutex::new(Vec::new()));
        let builder = closing(&book, {
            let (cache, found) = (known.cache(), Arc::clone(&found));
            move |reader, cause| {
                let Some(cache) = cache() else { return };
                let number = cache.get(&reader.key).map(|held| held.number);
                found.lock().unwrap().push((reader.number, cause, number));
            }
        });
        let own = Arc::clone(&book);
        let builder = builder.loader(move |key| Ok::<_, Refused>(own.reader(*key)));
        let shelf = Shelf::of(&book, refreshing(builder).clock(clock.hook()));
        known.set(&shelf);
        drop(shelf.get_or_load(&A).unwrap());
        clock.advance(10);
        drop(shelf.get_or_load(&A).unwrap());
        assert_eq!(*found.lock().unwrap(), [(0, CloseCause::Refreshed, Some(1))]);
        drop(known);
    });
}
