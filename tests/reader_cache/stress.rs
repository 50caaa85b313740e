//! Sixteen threads over very few readers, for as many operations as one likes:
//!
//! ```sh
//! BINLOCK_STRESS=10000000 cargo test --release --test reader_cache stress -- --nocapture
//! ```
//!
//! Each reader notices when it is used or closed after it was closed; each snapshot of the
//! statistics has to add up while all that goes on.

use std::{
    convert::Infallible,
    env,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use binlock::readers::{OpenError, WhenFull};

use crate::{
    Held,
    common::{Random, race, within},
    shelf::{Book, Clock, Reader, Shelf, builder, seconds, throw, throws},
};

const THREADS: usize = 16;

/// All operations of all threads.
fn operations() -> usize {
    match env::var("BINLOCK_STRESS") {
        Ok(number) => number.parse().expect("BINLOCK_STRESS is a number of operations"),
        Err(_) => 1_500_000,
    }
}

/// How long this may take: a millisecond for each operation would be absurd.
fn patience(operations: usize) -> u64 {
    120 + operations as u64 / 10_000
}

/// How often it came to what.
#[derive(Default)]
struct Counts {
    found: AtomicU64,
    full: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    snapshots: AtomicU64,
}

impl Counts {
    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Lets those get on who have the readers.
    fn full(&self) {
        Counts::count(&self.full);
        thread::yield_now();
    }
}

fn use_it(held: &Held, key: u64, random: &mut Random) {
    assert_eq!(held.read(), key);
    if random.below(16) == 0 {
        thread::yield_now();
    }
    if random.below(64) == 0 {
        held.set_weight(random.below(12));
    }
    assert_eq!((held.read(), *held.key()), (key, key));
}

/// One operation of one thread, which may keep the handle that comes of it for a while.
fn operate(shelf: &Shelf, counts: &Counts, random: &mut Random, kept: &mut Option<Held>) {
    // Few are kept for long, or nobody would find a place.
    if random.below(2) == 0 {
        *kept = None;
    }
    let key = random.below(3);
    let is_slow = random.below(4) == 0;
    let open = |key: &u64| {
        if is_slow {
            thread::yield_now();
        }
        Ok::<Reader, Infallible>(shelf.reader(*key))
    };
    let mut take = |held: Held, random: &mut Random| {
        use_it(&held, key, random);
        if random.below(32) == 0 {
            *kept = Some(held);
        }
    };
    match random.below(64) {
        0..=31 => {
            if let Some(held) = shelf.get(&key) {
                Counts::count(&counts.found);
                take(held, random);
            }
        }
        32..=51 => match shelf.get_or_open(key, open) {
            Ok(held) => take(held, random),
            Err(OpenError::Full) => counts.full(),
            Err(error) => panic!("{error}"),
        },
        52..=53 => {
            let fails = |_: &u64| -> Result<Reader, Infallible> { throw() };
            // Unless it is open, or there is no place.
            if throws(|| shelf.get_or_open(key, fails)) {
                Counts::count(&counts.panicked);
            }
        }
        54..=55 => match shelf.get_or_open(key, |_| Err::<Reader, u8>(7)) {
            Ok(held) => take(held, random),
            Err(OpenError::Full) => counts.full(),
            Err(error) => {
                assert_eq!(error.failed(), Some(&7));
                Counts::count(&counts.failed);
            }
        },
        56..=57 => match shelf.insert(key, shelf.reader(key)) {
            Ok(held) => take(held, random),
            Err(error) => {
                // It never was the cache's.
                assert!(!error.is_closed);
                counts.full();
            }
        },
        58..=60 => assert!(shelf.remove(&key).count() <= 1),
        61 => shelf.iter().for_each(|held| use_it(&held, *held.key(), random)),
        62 => match random.below(3) {
            0 => _ = shelf.clear(),
            1 => _ = shelf.run_pending(),
            _ => _ = shelf.retain(|key, reader| reader.read() == *key && *key != 0),
        },
        _ => *kept = None,
    }
}

/// The statistics add up at this moment, whatever goes on.
fn snapshot(shelf: &Shelf, counts: &Counts) {
    let stats = shelf.stats();
    assert_eq!(stats.opened, stats.closed + stats.open, "{stats:?}");
    assert!(stats.detached <= stats.open, "{stats:?}");
    assert!(stats.evictions() <= stats.opened && stats.closed <= stats.opened, "{stats:?}");
    Counts::count(&counts.snapshots);
}

fn stress(name: &str, room: usize, when_full: WhenFull, operations: usize) {
    // (A place for each reader: those that are opened, and those that could not be inserted.)
    let book = Book::new(operations + 10_000);
    let clock = Clock::default();
    let builder = builder(&book).max_open(room).when_full(when_full).max_weight(15);
    let builder = builder.weigher(|key, _| key + 1).clock(clock.hook());
    let shelf = Shelf::of(&book, builder.time_to_live(seconds(50)).time_to_idle(seconds(20)));
    let counts = Counts::default();
    let start = Instant::now();
    race(
        THREADS,
        |thread| {
            let mut random = Random::new(thread as u64);
            let mut kept = None;
            for n in 0..operations / THREADS {
                operate(&shelf, &counts, &mut random, &mut kept);
                if n % 16 == thread {
                    clock.advance(1);
                }
                if n % 1024 == 0 {
                    // They would fill the memory otherwise.
                    shelf.book.take_closings();
                }
            }
        },
        1,
        |_| {
            snapshot(&shelf, &counts);
            thread::yield_now();
        },
    );
    let took = start.elapsed();
    book.assert_sound();
    let stats = shelf.stats();
    assert_eq!((stats.opening, stats.waiting, stats.detached, stats.in_use), (0, 0, 0, 0));
    assert_eq!(stats.opened, stats.closed + stats.open);
    assert!(shelf.len() <= room && shelf.weight() <= 15);
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert!(stats.opened > 0 && stats.hits > 0 && stats.evictions() > 0, "{stats:?}");
    assert!(count(&counts.panicked) > 0 && count(&counts.failed) > 0);
    assert!(count(&counts.snapshots) > 0 && count(&counts.found) > 0);
    assert!(when_full == WhenFull::Exceed || count(&counts.full) > 0);
    drop(shelf);
    book.assert_all_closed();
    println!(
        "{name}: {operations} operations in {took:.1?}: {} opened, {} hits, {} joined, {} failed, \
         {} panicked, {} evicted, {} times full; {} snapshots",
        stats.opened,
        stats.hits,
        stats.joined_opens,
        count(&counts.failed),
        count(&counts.panicked),
        stats.evictions(),
        count(&counts.full),
        count(&counts.snapshots),
    );
}

#[test]
fn sixteen_threads_over_two_readers_use_none_that_is_closed() {
    let operations = operations();
    let ways = [
        ("exceed", WhenFull::Exceed),
        ("fail", WhenFull::Fail),
        ("wait", WhenFull::Wait(Duration::from_millis(1))),
    ];
    within(patience(operations), || {
        for (name, when_full) in ways {
            stress(name, 2, when_full, operations / ways.len());
        }
    });
}

#[test]
fn a_reader_that_is_used_or_closed_after_it_was_closed_is_noticed() {
    // That the stress test could fail at all.
    let wrongs = |wrong: &dyn Fn(&Arc<Book>)| {
        let book = Book::new(10);
        wrong(&book);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| book.assert_sound())).is_err()
    };
    assert!(!wrongs(&|book| drop(book.reader(1))));
    assert!(wrongs(&|book| {
        let reader = book.reader(1);
        book.begin_closing(1, &reader);
        reader.read();
    }));
    assert!(wrongs(&|book| {
        let reader = book.reader(1);
        book.begin_closing(1, &reader);
        book.begin_closing(1, &reader);
    }));
    assert!(wrongs(&|book| book.begin_closing(2, &book.reader(1))));
}
