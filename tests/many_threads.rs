//! More threads than a map keeps anything for come and go, and write while they end: nothing is
//! counted twice or not at all, and nothing is dropped twice or never.

mod common;

use std::{
    cell::RefCell,
    hash::{Hash, Hasher},
    sync::{
        Arc, Barrier, OnceLock,
        atomic::{AtomicIsize, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use binlock::HashMap;
use common::{Hashers, Random, Until, within};
use equivalent::Equivalent;

/// A number that is dropped once. (What `common` has for that uses thread-locals of its own, which
/// may be gone.)
struct Booked {
    value: u64,
    /// Freed by the drop, so that a second one is noticed.
    _memory: Box<u64>,
}

static ALIVE: AtomicIsize = AtomicIsize::new(0);

impl Booked {
    fn new(value: u64) -> Booked {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        Booked { value, _memory: Box::new(value) }
    }
}

impl Drop for Booked {
    fn drop(&mut self) {
        assert_eq!(self.value, *self._memory);
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Hash for Booked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.value.hash(state);
    }
}

impl PartialEq for Booked {
    fn eq(&self, other: &Booked) -> bool {
        self.value == other.value
    }
}

impl Eq for Booked {}

#[derive(Hash)]
struct Number(u64);

impl Equivalent<Booked> for Number {
    fn equivalent(&self, key: &Booked) -> bool {
        self.0 == key.value
    }
}

type Map = HashMap<Booked, Booked, Hashers>;

/// Large, so that its threads have something of their own from the start; and one that gets there.
static MAPS: OnceLock<[Map; 2]> = OnceLock::new();

fn maps() -> &'static [Map; 2] {
    MAPS.get_or_init(|| {
        let hasher = Hashers::Good(3);
        [Map::with_capacity_and_hasher(20_000, hasher), Map::with_hasher(hasher)]
    })
}

/// Keys of one thread.
const OWN: u64 = 8;

/// Writes to keys that nobody else writes to, and leaves so many of them.
fn write(first: u64, steps: u64, leave: u64) {
    let mut random = Random::new(first);
    for map in maps() {
        for step in 0..steps {
            let key = first + random.below(OWN);
            match random.below(4) {
                0 => drop(map.insert(Booked::new(key), Booked::new(step))),
                1 => drop(map.replace(Booked::new(key), Booked::new(step))),
                2 => drop(map.merge(Booked::new(key), Booked::new(step), |_, new| Some(new))),
                _ => drop(map.remove(&Number(key))),
            }
        }
        for key in first..first + OWN {
            if key < first + leave {
                map.insert(Booked::new(key), Booked::new(key));
            } else {
                map.remove(&Number(key));
            }
        }
    }
}

/// Writes when its thread ends: before its number is given back, or after it.
struct AtEnd(u64);

impl Drop for AtEnd {
    fn drop(&mut self) {
        write(self.0, 20, 1);
    }
}

thread_local! {
    static EARLY: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
    static LATE: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
}

/// What is there is what the threads have left, and all else has been dropped.
#[track_caller]
fn check(entries: u64) {
    for map in maps() {
        assert_eq!(map.len() as u64, entries);
        assert_eq!(map.pin().iter().count() as u64, entries);
    }
    // Not at once: each thread that has ended leaves something to the epochs, too, and a flush
    // does no more than so much of that. And a thread may still be about to end, and pinned.
    let alive = || ALIVE.load(Ordering::Acquire) as u64;
    let end = Instant::now() + Duration::from_secs(20);
    while alive() != 2 * 2 * entries && Instant::now() < end {
        for _ in 0..100 {
            maps().iter().for_each(Map::flush);
        }
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(alive(), 2 * 2 * entries);
}

#[test]
fn all_is_counted_and_dropped_that_threads_write_which_come_and_go() {
    const AT_ONCE: u64 = 150;
    const ROUNDS: u64 = 8;
    const LEFT_BY_ONE: u64 = 3 + 1 + 1;

    within(240, || {
        let next = AtomicU64::new(0);
        let first = |_| next.fetch_add(OWN, Ordering::Relaxed);
        for round in 1..=ROUNDS {
            let barrier = Arc::new(Barrier::new(AT_ONCE as usize));
            let threads: Vec<_> = (0..AT_ONCE)
                .map(|_| {
                    let barrier = barrier.clone();
                    let [early, mine, late] = [0, 1, 2].map(first);
                    thread::spawn(move || {
                        // Destructors run in one order or the other.
                        EARLY.set(Some(AtEnd(early)));
                        write(mine, 40, 1);
                        LATE.set(Some(AtEnd(late)));
                        // All are alive at once, in every other round; otherwise some take the
                        // numbers of those that have ended.
                        if round % 2 == 0 {
                            barrier.wait();
                        }
                        write(mine, 40, 3);
                    })
                })
                .collect();
            // Takes away what the threads have of their own, while they use it.
            let until = Until::new(1);
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !until.ended() {
                        maps().iter().for_each(Map::flush);
                    }
                });
                let _part = until.end_of_one();
                threads.into_iter().for_each(|thread| thread.join().unwrap());
            });
            check(round * AT_ONCE * LEFT_BY_ONE);
        }
        maps().iter().for_each(Map::clear);
        check(0);
    });
}
