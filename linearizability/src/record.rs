//! What is noted down of a run: facts about keys, with the time in which each came about.

use std::sync::atomic::{AtomicU64, Ordering};

/// What became of one key, as far as the caller of an operation could see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fact {
    /// It had this value, or none, and then that one. (The two may be the same.)
    Changed { before: Option<u64>, after: Option<u64> },
    /// It had some value.
    Present,
    /// It was removed, if it was there.
    Cleared,
    /// It was removed if it had this value.
    RemovedIf(u64),
    /// It was removed or left alone.
    PerhapsCleared,
}

impl Fact {
    /// It had this value, or none, which was left as it was.
    pub fn found(value: Option<u64>) -> Fact {
        Fact::Changed { before: value, after: value }
    }

    pub fn put(before: Option<u64>, value: u64) -> Fact {
        Fact::Changed { before, after: Some(value) }
    }

    pub fn removed(before: Option<u64>) -> Fact {
        Fact::Changed { before, after: None }
    }
}

/// A fact that came about at some moment between two others.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub key: usize,
    pub fact: Fact,
    pub called: u64,
    pub ended: u64,
}

/// Where a thread notes down what it sees.
pub struct Recorder<'c> {
    clock: &'c AtomicU64,
    events: Vec<Event>,
    broken: Vec<String>,
}

impl<'c> Recorder<'c> {
    pub fn new(clock: &'c AtomicU64) -> Self {
        Recorder { clock, events: Vec::new(), broken: Vec::new() }
    }

    /// The time, which no two calls get alike.
    pub fn now(&self) -> u64 {
        // Sequentially consistent: what was done before an earlier time was taken, on any thread,
        // has been done.
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Notes down what an operation says about a key.
    pub fn record(&mut self, key: usize, operation: impl FnOnce(&mut Self) -> Fact) {
        let called = self.now();
        let fact = operation(self);
        let ended = self.now();
        self.event(Event { key, fact, called, ended });
    }

    pub fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    /// Notes down what can be told to be wrong without looking at other operations.
    #[track_caller]
    pub fn demand(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            let place = std::panic::Location::caller();
            self.broken.push(format!("{} ({}:{})", what(), place.file(), place.line()));
        }
    }

    pub(crate) fn into_parts(self) -> (Vec<Event>, Vec<String>) {
        (self.events, self.broken)
    }
}
