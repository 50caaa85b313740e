//! What a review has broken that set out to do so: threads. (Tasks: see `found_async`.)

use std::{
    convert::Infallible,
    hash::{Hash, Hasher},
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use binlock::{
    ReaderCache,
    readers::{CloseCause, Job, WhenFull},
};

use crate::{
    A, B,
    common::{Gate, Random, race, within},
    shelf::{Book, Clock, Reader, Shelf, builder, closing, seconds, throw, throws, until},
};

type Builder = binlock::readers::Builder<u64, Reader>;

/// A cache that opens readers anew that are ten seconds old.
fn refreshing(with: impl FnOnce(Builder) -> Builder) -> (Shelf, Clock) {
    let (book, clock) = (Book::new(100_000), Clock::default());
    let load = {
        let book = Arc::clone(&book);
        move |key: &u64| Ok::<_, Infallible>(book.reader(*key))
    };
    let builder = builder(&book).clock(clock.hook()).loader(load).refresh_after_write(seconds(10));
    (Shelf::of(&book, with(builder)), clock)
}

/// A cache whose first closing waits at the gate.
fn slow(with: impl FnOnce(Builder) -> Builder) -> (Shelf, Arc<Gate>) {
    let (book, gate) = (Book::new(100), Arc::<Gate>::default());
    let is_first = AtomicBool::new(true);
    let builder = {
        let gate = Arc::clone(&gate);
        closing(&book, move |_, _| {
            if is_first.swap(false, Ordering::SeqCst) {
                gate.pass();
            }
        })
    };
    (Shelf::of(&book, with(builder)), gate)
}

#[test]
fn no_reader_is_forgotten_that_a_refresh_puts_in_while_the_cache_is_shut_down() {
    const KEYS: u64 = 150;
    within(60, || {
        for round in 0..100 {
            let jobs = Arc::<Mutex<Vec<Job>>>::default();
            let (shelf, clock) = refreshing(|builder| {
                let jobs = Arc::clone(&jobs);
                builder.refresh_on(move |job| jobs.lock().unwrap().push(job))
            });
            (0..KEYS).for_each(|key| drop(shelf.get_or_load(&key).unwrap()));
            clock.advance(10);
            (0..KEYS).for_each(|key| drop(shelf.get_or_load(&key).unwrap()));
            let jobs = std::mem::take(&mut *jobs.lock().unwrap());
            assert_eq!(jobs.len(), KEYS as usize);

            let Shelf { cache, book } = shelf;
            let start = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    start.wait();
                    jobs.into_iter().for_each(|job| job());
                });
                start.wait();
                // So many of them have been done.
                until(|| book.opened() as u64 > KEYS + round % 5);
                if round % 2 == 0 {
                    drop(cache);
                } else {
                    cache.close(Duration::ZERO);
                    cache.close(seconds(1000));
                    assert_eq!((cache.len(), cache.stats().open), (0, 0));
                }
            });
            book.assert_all_closed();
        }
    });
}

#[test]
fn a_refresh_evicts_no_more_than_the_new_reader_is_heavier_than_the_old_one() {
    for (new_weight, evicted) in [(60, 0), (50, 0), (61, 1), (80, 2)] {
        let (shelf, clock) = refreshing(|builder| {
            builder.max_weight(100).weigher(move |_, reader| match (reader.key, reader.number) {
                (A, 0) => 60,
                (A, _) => new_weight,
                _ => 10,
            })
        });
        let load = |key: u64| drop(shelf.get_or_load(&key).unwrap());
        (A..A + 5).for_each(load);
        assert_eq!((shelf.len(), shelf.weight()), (5, 100));
        clock.advance(10);
        load(A);
        let (refreshed, others): (Vec<_>, Vec<_>) =
            shelf.closed().into_iter().partition(|closed| *closed == (A, CloseCause::Refreshed));
        assert_eq!((refreshed.len(), others.len()), (1, evicted), "{new_weight}: {others:?}");
        assert_eq!(shelf.weight(), 40 + new_weight - 10 * evicted as u64);
        shelf.assert_adds_up();
    }
}

#[test]
fn while_a_reader_is_being_closed_no_other_one_is_evicted_for_the_same_place() {
    within(30, || {
        // Be it closed to make the place, or because it was removed.
        for cause in [CloseCause::MaxOpen, CloseCause::Removed] {
            let (shelf, gate) = slow(|builder| builder.max_open(3));
            let mut held: Vec<_> = (0..4).map(|key| shelf.open(key)).collect();
            let first = held.remove(0);
            if cause == CloseCause::Removed {
                shelf.remove(&0);
            }
            thread::scope(|scope| {
                let _opened = gate.open_at_end();
                scope.spawn(|| drop(first));
                gate.wait_for(1);
                drop(held);
                assert_eq!((shelf.closed(), shelf.len()), (vec![(0, cause)], 3));
            });
            assert_eq!(shelf.stats().open, 3);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn while_a_reader_is_being_closed_for_somebody_who_waits_no_other_one_is_evicted_for_him() {
    within(30, || {
        let (shelf, gate) =
            slow(|builder| builder.max_open(3).when_full(WhenFull::Wait(seconds(1000))));
        let mut held: Vec<_> = (0..3).map(|key| shelf.open(key)).collect();
        thread::scope(|scope| {
            let _opened = gate.open_at_end();
            scope.spawn(|| shelf.open_idle([10]));
            until(|| shelf.stats().waiting == 1);
            let first = held.remove(0);
            scope.spawn(|| drop(first));
            gate.wait_for(1);
            drop(held);
            assert_eq!(shelf.closed(), [(0, CloseCause::MaxOpen)]);
            assert_eq!(shelf.keys(), [1, 2].into());
            assert_eq!(shelf.stats().waiting, 1);
        });
        assert_eq!(shelf.keys(), [1, 2, 10].into());
        shelf.assert_adds_up();
    });
}

#[test]
fn the_cache_is_not_reported_as_closed_while_another_thread_is_still_closing_a_reader() {
    within(30, || {
        let (shelf, gate) = slow(|builder| builder);
        shelf.open_idle([A]);
        thread::scope(|scope| {
            let _opened = gate.open_at_end();
            scope.spawn(|| shelf.remove(&A));
            gate.wait_for(1);
            let closed = shelf.close(Duration::ZERO);
            assert!(!closed.is_complete(), "{closed:?}");
            assert_eq!((closed.closed, closed.open, closed.opening), (0, 1, 0));
            assert!(closed.held.is_empty());
            gate.open();
            assert!(shelf.close(seconds(1000)).is_complete());
            assert_eq!(shelf.book.closed(), 1);
        });
    });
}

/// A clock that panics while it is broken.
#[derive(Clone, Default)]
struct Breakable {
    clock: Clock,
    is_broken: Arc<AtomicBool>,
}

impl Breakable {
    fn set_broken(&self, is_broken: bool) {
        self.is_broken.store(is_broken, Ordering::SeqCst);
    }

    fn hook(&self) -> impl Fn() -> Duration + Send + Sync + 'static {
        let (hook, is_broken) = (self.clock.hook(), Arc::clone(&self.is_broken));
        move || if is_broken.load(Ordering::SeqCst) { throw() } else { hook() }
    }
}

#[test]
fn a_clock_that_panics_when_a_handle_is_dropped_keeps_no_reader_open() {
    let clock = Breakable::default();
    let shelf = Shelf::new(|builder| builder.time_to_idle(seconds(10)).clock(clock.hook()));
    let (kept, again, removed) = (shelf.open(A), shelf.open(A), shelf.open(B));
    shelf.remove(&B);
    clock.set_broken(true);
    for held in [kept, again, removed] {
        assert!(!throws(|| drop(held)));
    }
    clock.set_broken(false);
    assert_eq!(shelf.closed(), [(B, CloseCause::Removed)]);
    let stats = shelf.stats();
    assert_eq!((stats.in_use, stats.detached, stats.open), (0, 0, 1));
    shelf.assert_adds_up();
    drop(shelf.cache);
    shelf.book.assert_all_closed();
}

#[test]
fn a_clock_that_panics_in_a_refresh_spoils_that_one_only() {
    // Either when the new reader is there, or when there is none.
    for fails in [false, true] {
        let (clock, book) = (Breakable::default(), Book::new(10));
        let load = {
            let (clock, book) = (clock.clone(), Arc::clone(&book));
            let loads = AtomicU64::new(0);
            move |key: &u64| {
                let is_second = loads.fetch_add(1, Ordering::SeqCst) == 1;
                clock.set_broken(is_second);
                if is_second && fails { Err("no") } else { Ok(book.reader(*key)) }
            }
        };
        let refresh = builder(&book).loader(load).refresh_after_write(seconds(10));
        let shelf = Shelf::of(&book, refresh.clock(clock.hook()));
        let load = || shelf.get_or_load(&A).unwrap().number;
        assert_eq!(load(), 0);
        clock.clock.advance(10);
        assert_eq!(throws(|| assert_eq!(load(), 0)), !fails);

        clock.set_broken(false);
        assert_eq!(shelf.get(&A).unwrap().number, 0);
        clock.clock.advance(10);
        assert_eq!(load(), book.opened() - 1, "there is no other refresh");
        let discarded = u64::from(!fails);
        assert_eq!(shelf.stats().left(CloseCause::Discarded), discarded);
        assert_eq!((shelf.stats().in_use, shelf.len()), (0, 1));
        shelf.assert_adds_up();
        drop(shelf.cache);
        book.assert_all_closed();
    }
}

/// Panics when it is dropped, if it is live.
struct Bomb {
    is_live: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.is_live && !thread::panicking() {
            throw();
        }
    }
}

/// A key with a bomb.
pub struct Key(u64, #[expect(dead_code, reason = "it is dropped")] Bomb);

impl Key {
    pub fn new(id: u64, is_live: bool) -> Key {
        Key(id, Bomb { is_live })
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// What opens a reader, and has a bomb.
fn opens(is_live: bool) -> impl FnOnce(&Key) -> Result<u64, Infallible> {
    let bomb = Bomb { is_live };
    move |key| {
        let _bomb = &bomb;
        Ok(key.0)
    }
}

#[test]
fn a_key_or_a_closure_that_panics_when_it_is_not_needed_leaks_no_handle() {
    within(30, || {
        for (in_key, in_closure) in [(true, false), (false, true)] {
            let cache = ReaderCache::<Key, u64>::builder().build().unwrap();
            let ask = || drop(cache.get_or_open(Key::new(A, in_key), opens(in_closure)));
            // Because the reader was just being opened.
            let gate = Gate::default();
            thread::scope(|scope| {
                let _opened = gate.open_at_end();
                scope.spawn(|| {
                    let opened = cache.get_or_open(Key::new(A, false), |key| {
                        gate.pass();
                        Ok::<_, Infallible>(key.0)
                    });
                    drop(opened.unwrap());
                });
                gate.wait_for(1);
                let joins = scope.spawn(|| throws(ask));
                until(|| cache.stats().joined_opens == 1);
                gate.open();
                assert!(joins.join().unwrap());
            });
            assert_eq!((cache.stats().in_use, cache.len()), (0, 1));
            // Because it was open.
            assert!(throws(ask));
            assert_eq!((cache.stats().hits, cache.stats().in_use), (1, 0));
            cache.remove(&Key::new(A, false));
            assert_eq!((cache.stats().open, cache.stats().detached), (0, 0));
        }
    });
}

#[test]
fn weights_that_are_set_in_the_middle_of_refreshes_add_up() {
    const ROUNDS: usize = 40_000;
    within(60, || {
        let (shelf, clock) = refreshing(|builder| builder.max_weight(100).weigher(|_, _| 10));
        let refresh = |_| {
            let mut random = Random::new(1);
            for _ in 0..ROUNDS {
                clock.advance(10);
                drop(shelf.get_or_load(&A).unwrap());
                if random.below(50) == 0 {
                    shelf.remove(&A);
                }
            }
        };
        let sets = AtomicU64::new(0);
        let set = |_| {
            let weight = sets.fetch_add(37, Ordering::Relaxed) % 105;
            if let Some(held) = shelf.get(&A) {
                // Now and then too heavy.
                held.set_weight(weight);
                assert_eq!(held.read(), A);
            }
        };
        race(1, refresh, 4, set);
        let refreshed = shelf.stats().left(CloseCause::Refreshed);
        // How many others there are, whose reader was thrown out for its weight, is the scheduler's to say.
        assert!(refreshed > 100, "{refreshed}");
        assert!(shelf.weight() <= 100);
        shelf.assert_adds_up();
        shelf.clear();
        assert_eq!((shelf.weight(), shelf.stats().open), (0, 0));
        shelf.book.assert_all_closed();
    });
}
