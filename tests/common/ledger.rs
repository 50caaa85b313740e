//! Keys and values whose births and drops are booked.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::atomic::{AtomicU8, AtomicUsize, Ordering},
};

use equivalent::Equivalent;

use super::fault::{self, Site};

const ALIVE: u8 = 1;
const DROPPED: u8 = 2;

/// So many states, all 0. Straight from the allocator, which has zeroed memory: tests make books of
/// thousands of states by the thousand, and one at a time, unoptimised and perhaps under a
/// sanitizer, they would take longer than all else that those tests do.
pub fn blank(states: usize) -> Box<[AtomicU8]> {
    let bytes = Box::into_raw(vec![0_u8; states].into_boxed_slice());
    // SAFETY: `bytes` comes from `into_raw`, nothing else has it, and an `AtomicU8` is as large,
    // aligned and valid as the `u8` in its place.
    unsafe { Box::from_raw(bytes as *mut [AtomicU8]) }
}

/// The births and drops of up to a number of values.
pub struct Ledger {
    states: Box<[AtomicU8]>,
    born: AtomicUsize,
    dropped: AtomicUsize,
    /// Drops of what was not alive.
    wrong: AtomicUsize,
}

impl Ledger {
    /// A ledger with room for so many births.
    pub fn new(births: usize) -> Ledger {
        Ledger {
            states: blank(births),
            born: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
            wrong: AtomicUsize::new(0),
        }
    }

    /// A new value, to be dropped once.
    pub fn track<T>(&self, value: T) -> Tracked<'_, T> {
        let id = self.born.fetch_add(1, Ordering::Relaxed);
        self.states[id].store(ALIVE, Ordering::Relaxed);
        Tracked { value, id, ledger: self }
    }

    /// How many have been born and not dropped.
    pub fn alive(&self) -> usize {
        self.born.load(Ordering::Acquire) - self.dropped.load(Ordering::Acquire)
    }

    /// How many have been born.
    pub fn born(&self) -> usize {
        self.born.load(Ordering::Acquire)
    }

    /// Nothing has leaked, and nothing was dropped twice.
    #[track_caller]
    pub fn assert_all_dropped_once(&self) {
        assert_eq!(self.wrong.load(Ordering::Acquire), 0, "drops of what was not alive");
        let alive = |state: &&AtomicU8| state.load(Ordering::Acquire) == ALIVE;
        // The states behind these have never been used.
        let used = &self.states[..self.born()];
        assert_eq!(used.iter().filter(alive).count(), 0, "leaked");
    }
}

/// A value that is booked. Hashes and compares as the value does; all its user code can
/// panic to order. It borrows the ledger, so it is not `'static`.
pub struct Tracked<'l, T> {
    pub value: T,
    id: usize,
    ledger: &'l Ledger,
}

impl<T> Drop for Tracked<'_, T> {
    fn drop(&mut self) {
        let state = self.ledger.states[self.id].swap(DROPPED, Ordering::AcqRel);
        if state == ALIVE {
            self.ledger.dropped.fetch_add(1, Ordering::AcqRel);
        } else {
            self.ledger.wrong.fetch_add(1, Ordering::AcqRel);
        }
        fault::point(Site::Drop);
    }
}

impl<T: Clone> Clone for Tracked<'_, T> {
    fn clone(&self) -> Self {
        fault::point(Site::Clone);
        self.ledger.track(self.value.clone())
    }
}

impl<T: Hash> Hash for Tracked<'_, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        fault::point(Site::Hash);
        self.value.hash(state);
    }
}

impl<T: PartialEq> PartialEq for Tracked<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        fault::point(Site::Eq);
        self.value == other.value
    }
}

impl<T: Eq> Eq for Tracked<'_, T> {}

impl<T: fmt::Debug> fmt::Debug for Tracked<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// Looks up a tracked number. Its user code can panic to order, too.
pub struct Probe(pub u64);

impl Hash for Probe {
    fn hash<H: Hasher>(&self, state: &mut H) {
        fault::point(Site::Hash);
        self.0.hash(state);
    }
}

impl Equivalent<Tracked<'_, u64>> for Probe {
    fn equivalent(&self, key: &Tracked<'_, u64>) -> bool {
        fault::point(Site::Eq);
        self.0 == key.value
    }
}
