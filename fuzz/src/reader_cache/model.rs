//! What is open, who uses it, and what may be closed.

use std::collections::BTreeMap;

use binlock::readers::{CloseCause, Stats};

/// Readers are numbered in the order in which they are made.
pub type Number = usize;

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_open: Option<u64>,
    pub fails_when_full: bool,
    pub max_weight: Option<u64>,
    pub time_to_live: Option<u64>,
    pub time_to_idle: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum State {
    /// Made, and not in the cache's hands yet.
    New,
    Present,
    /// Out of the cache, and in use.
    Detached(CloseCause),
    /// Nobody uses it, and it has to be closed before the step ends.
    Due(CloseCause),
    /// Within `on_close`.
    Closing,
    /// The same, of one that never got into the cache: its opening has the place.
    Discarding,
    Closed,
    /// It was closed, or not taken, and has been dropped.
    Dropped,
}

#[derive(Debug)]
struct Reader {
    key: u16,
    state: State,
    handles: usize,
    weight: u64,
    opened: u64,
    used: u64,
    uses: u32,
    /// How many uses there had been when it last had no handle. (Walks over the cache are none.)
    ended: Option<u32>,
}

/// A key whose reader is being opened.
#[derive(Debug)]
struct Opening {
    key: u16,
    /// Taken out meanwhile.
    out: Option<CloseCause>,
    /// To be inserted, and not known to the cache yet: the reader.
    wanted: Option<Number>,
    /// It has its place for sure.
    placed: bool,
}

/// What an attempt to open a reader will find.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Look {
    Found(Number),
    /// Its opening is what the attempt is made in.
    Opening,
    Absent,
}

const CAUSES: [CloseCause; 9] = [
    CloseCause::MaxOpen,
    CloseCause::Weight,
    CloseCause::TooHeavy,
    CloseCause::Expired,
    CloseCause::Removed,
    CloseCause::Replaced,
    CloseCause::Refreshed,
    CloseCause::Shutdown,
    CloseCause::Discarded,
];

#[derive(Debug)]
pub struct Model {
    limits: Limits,
    pub now: u64,
    readers: Vec<Reader>,
    present: BTreeMap<u16, Number>,
    /// The innermost last.
    openings: Vec<Opening>,
    /// Those that `retain` keeps.
    kept: Vec<Number>,
    stopped: bool,
    hits: u64,
    misses: u64,
    joined: u64,
    opened: u64,
    failed: u64,
    closed: u64,
    panics: u64,
    left: [u64; CAUSES.len()],
}

impl Model {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            now: 0,
            readers: Vec::new(),
            present: BTreeMap::new(),
            openings: Vec::new(),
            kept: Vec::new(),
            stopped: false,
            hits: 0,
            misses: 0,
            joined: 0,
            opened: 0,
            failed: 0,
            closed: 0,
            panics: 0,
            left: [0; CAUSES.len()],
        }
    }

    pub fn new_reader(&mut self) -> Number {
        let now = self.now;
        self.readers.push(Reader {
            key: 0,
            state: State::New,
            handles: 0,
            weight: 0,
            opened: now,
            used: now,
            uses: 0,
            ended: None,
        });
        self.readers.len() - 1
    }

    fn has_outlived(&self, number: Number) -> bool {
        let age = self.now - self.readers[number].opened;
        self.limits.time_to_live.is_some_and(|time| age >= time)
    }

    fn has_expired(&self, number: Number) -> bool {
        let reader = &self.readers[number];
        let idle = self.now - reader.used;
        let is_idle = reader.handles == 0;
        self.has_outlived(number)
            || is_idle && self.limits.time_to_idle.is_some_and(|time| idle >= time)
    }

    pub fn is_found(&self, key: u16) -> bool {
        self.present.get(&key).is_some_and(|number| !self.has_expired(*number))
    }

    pub fn found(&self) -> Vec<Number> {
        let mut found: Vec<_> =
            self.present.values().copied().filter(|number| !self.has_expired(*number)).collect();
        found.sort_unstable();
        found
    }

    /// A reader leaves the cache: whether it is closed at once.
    fn leave(&mut self, number: Number, cause: CloseCause) -> bool {
        let reader = &mut self.readers[number];
        assert_eq!(reader.state, State::Present);
        let is_idle = reader.handles == 0;
        reader.state = if is_idle { State::Due(cause) } else { State::Detached(cause) };
        assert_eq!(self.present.remove(&reader.key), Some(number));
        self.count(cause);
        is_idle
    }

    fn count(&mut self, cause: CloseCause) {
        self.left[CAUSES.iter().position(|one| *one == cause).unwrap()] += 1;
    }

    fn leave_all(&mut self, all: Vec<Number>, cause: CloseCause) -> (usize, usize) {
        let closed = all.iter().filter(|number| self.leave(**number, cause)).count();
        (closed, all.len() - closed)
    }

    /// A key is looked up: an expired reader leaves, another one is used.
    fn touch(&mut self, key: u16) -> Option<Number> {
        let number = *self.present.get(&key)?;
        if self.has_expired(number) {
            self.leave(number, CloseCause::Expired);
            return None;
        }
        self.hits += 1;
        let reader = &mut self.readers[number];
        reader.used = self.now;
        reader.uses += 1;
        self.hold(number);
        Some(number)
    }

    pub fn look(&mut self, key: u16) -> Option<Number> {
        let found = self.touch(key);
        self.misses += u64::from(found.is_none());
        found
    }

    /// As a look-up; and if there is nothing, an opening begins.
    pub fn look_to_open(&mut self, key: u16) -> Look {
        if let Some(number) = self.touch(key) {
            return Look::Found(number);
        }
        self.misses += 1;
        if self.is_opening(key) {
            self.joined += 1;
            return Look::Opening;
        }
        self.openings.push(Opening { key, out: None, wanted: None, placed: false });
        Look::Absent
    }

    fn is_opening(&self, key: u16) -> bool {
        let is_it = |one: &Opening| one.key == key && one.out.is_none() && one.wanted.is_none();
        self.openings.iter().any(is_it)
    }

    /// There is a place, and `open` is called.
    pub fn begin_open(&mut self, key: u16) {
        let opening = self.openings.last_mut().unwrap();
        assert_eq!(opening.key, key);
        opening.placed = true;
        let within = self.limits.max_open.is_none_or(|max| self.open() + self.places() <= max);
        assert!(within || !self.limits.fails_when_full, "more are open than may be");
        // What is being closed will make places, and nothing else is closed instead.
        let staying = self.present.len() + self.detached().len();
        let exceeds = self.limits.max_open.is_some_and(|max| staying as u64 + self.places() > max);
        assert!(!exceeds || !self.has_idle(), "an idle one could have been closed");
    }

    pub fn fail(&mut self, key: u16) {
        assert_eq!(self.openings.pop().map(|opening| opening.key), Some(key));
        self.failed += 1;
    }

    pub fn want_insert(&mut self, key: u16, number: Number) {
        self.openings.push(Opening { key, out: None, wanted: Some(number), placed: false });
    }

    pub fn refuse_insert(&mut self, number: Number) {
        assert_eq!(self.openings.pop().and_then(|opening| opening.wanted), Some(number));
        self.readers[number].state = State::Closed;
    }

    /// An insertion has its place, and takes out what there is.
    fn begin_insert(&mut self) {
        let Some(Opening { key, wanted: Some(_), .. }) = self.openings.last() else { return };
        let key = *key;
        if let Some(before) = self.present.get(&key).copied() {
            self.leave(before, CloseCause::Replaced);
        }
        self.overtake(Some(key), CloseCause::Replaced);
        let opening = self.openings.last_mut().unwrap();
        opening.wanted = None;
        opening.placed = true;
    }

    /// Openings that are taken out: how many.
    fn overtake(&mut self, key: Option<u16>, cause: CloseCause) -> usize {
        let mut overtaken = 0;
        for opening in &mut self.openings {
            let is_meant = key.is_none_or(|key| opening.key == key);
            if is_meant && opening.out.is_none() && opening.wanted.is_none() {
                opening.out = Some(cause);
                overtaken += 1;
            }
        }
        overtaken
    }

    /// A reader is open: whoever opened it gets a handle.
    pub fn publish(&mut self, key: u16, number: Number, weight: u64) {
        self.begin_insert();
        let opening = self.openings.pop().unwrap();
        assert_eq!(opening.key, key);
        self.opened += 1;
        let is_too_heavy = self.limits.max_weight.is_some_and(|max| weight > max);
        let cause = opening
            .out
            .or(self.stopped.then_some(CloseCause::Shutdown))
            .or(is_too_heavy.then_some(CloseCause::TooHeavy));
        let reader = &mut self.readers[number];
        assert_eq!(reader.state, State::New);
        *reader = Reader {
            key,
            state: State::Present,
            handles: 1,
            weight,
            opened: self.now,
            used: self.now,
            uses: 0,
            ended: None,
        };
        match cause {
            None => assert_eq!(self.present.insert(key, number), None),
            Some(cause) => {
                reader.state = State::Detached(cause);
                self.count(cause);
            }
        }
    }

    pub fn hold(&mut self, number: Number) {
        let reader = &mut self.readers[number];
        assert!(matches!(reader.state, State::Present | State::Detached(_)), "{reader:?}");
        reader.handles += 1;
    }

    pub fn release(&mut self, number: Number) {
        let now = self.now;
        let reader = &mut self.readers[number];
        reader.handles -= 1;
        if reader.handles == 0 && reader.ended != Some(reader.uses) {
            reader.ended = Some(reader.uses);
            reader.used = now;
        }
        if let (State::Detached(cause), 0) = (reader.state, reader.handles) {
            reader.state = State::Due(cause);
        }
    }

    /// What a handle says about its reader.
    pub fn note_detached(&mut self, number: Number, is_detached: bool) {
        let is_present = self.readers[number].state == State::Present;
        if is_present && is_detached {
            assert!(self.has_outlived(number), "{number} was taken out for nothing");
            self.leave(number, CloseCause::Expired);
        }
        assert!(is_present || is_detached, "{number} is said to be in the cache");
    }

    pub fn set_weight(&mut self, number: Number, weight: u64) {
        if self.readers[number].state != State::Present {
            return;
        }
        if self.limits.max_weight.is_some_and(|max| weight > max) {
            self.leave(number, CloseCause::TooHeavy);
        } else {
            self.readers[number].weight = weight;
        }
    }

    pub fn remove(&mut self, key: u16) -> (usize, usize) {
        let overtaken = self.overtake(Some(key), CloseCause::Removed);
        let present = self.present.get(&key).copied().into_iter().collect();
        let (closed, detached) = self.leave_all(present, CloseCause::Removed);
        (closed, detached + overtaken)
    }

    pub fn retain(&mut self, keep: impl Fn(u64) -> bool) -> (usize, usize) {
        let (kept, refused): (Vec<_>, Vec<_>) =
            self.found().into_iter().partition(|number| keep(self.readers[*number].weight));
        self.kept = kept;
        self.leave_all(refused, CloseCause::Removed)
    }

    pub fn is_kept(&self, number: Number) -> bool {
        self.kept.contains(&number)
    }

    pub fn clear(&mut self, cause: CloseCause) -> (usize, usize) {
        let overtaken = self.overtake(None, cause);
        let all = self.present.values().copied().collect();
        let (closed, detached) = self.leave_all(all, cause);
        (closed, detached + overtaken)
    }

    pub fn expire(&mut self) -> (usize, usize) {
        let all = self.present.values().copied();
        let expired = all.filter(|number| self.has_expired(*number)).collect();
        self.leave_all(expired, CloseCause::Expired)
    }

    pub fn stop(&mut self) {
        self.stopped = true;
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// `on_close` is called.
    pub fn begin_close(&mut self, key: u16, number: Number, cause: CloseCause) {
        // Otherwise it was replaced earlier.
        let is_replaced_now = self.readers[number].state == State::Present;
        if cause == CloseCause::Replaced && is_replaced_now {
            self.begin_insert();
        }
        let state = self.readers[number].state;
        match (state, cause) {
            (State::New, CloseCause::Discarded) => {
                self.opened += 1;
                self.count(cause);
                self.readers[number].key = key;
            }
            (State::Present, CloseCause::MaxOpen) => {
                let max = self.limits.max_open.expect("closed for a limit that there is not");
                let all = self.open() + self.openings.len() as u64;
                assert!(all >= max, "{number} is closed although there is a place");
                self.leave(number, cause);
            }
            (State::Present, CloseCause::Weight) => {
                let max = self.limits.max_weight.expect("closed for a limit that there is not");
                assert!(self.weight() > max, "{number} is closed although nothing is too heavy");
                self.leave(number, cause);
            }
            (State::Present, CloseCause::Expired) => {
                assert!(self.has_expired(number), "{number} is closed before its time");
                // All of them are taken out before the first is closed.
                self.expire();
            }
            (State::Due(due), cause) => assert_eq!(due, cause),
            other => panic!("{number} is closed: {other:?}"),
        }
        let reader = &mut self.readers[number];
        assert_eq!((reader.handles, reader.key), (0, key));
        let is_discarded = state == State::New;
        reader.state = if is_discarded { State::Discarding } else { State::Closing };
    }

    pub fn end_close(&mut self, number: Number, panics: bool) {
        self.readers[number].state = State::Closed;
        self.closed += 1;
        self.panics += u64::from(panics);
    }

    pub fn dropped(&mut self, number: Number) {
        let reader = &mut self.readers[number];
        assert!(matches!(reader.state, State::Closed), "dropped: {reader:?}");
        reader.state = State::Dropped;
    }

    /// Readers that are open, also those that are being closed or have to be.
    fn open(&self) -> u64 {
        let is_open = |reader: &&Reader| {
            matches!(
                reader.state,
                State::Present | State::Detached(_) | State::Due(_) | State::Closing
            )
        };
        self.readers.iter().filter(is_open).count() as u64
    }

    /// Openings that have a place for sure. (The others may have been given one.)
    fn places(&self) -> u64 {
        self.openings.iter().filter(|opening| opening.placed).count() as u64
    }

    fn has_idle(&self) -> bool {
        self.present.values().any(|number| self.readers[*number].handles == 0)
    }

    pub fn detached(&self) -> Vec<Number> {
        let is_detached =
            |number: &Number| matches!(self.readers[*number].state, State::Detached(_));
        (0..self.readers.len()).filter(is_detached).collect()
    }

    pub fn len(&self) -> usize {
        self.present.len()
    }

    pub fn weight(&self) -> u64 {
        self.present.values().map(|number| self.readers[*number].weight).sum()
    }

    /// A place was refused: there was none to be had.
    pub fn assert_full(&self) {
        let max = self.limits.max_open.expect("full without a limit");
        assert!(self.limits.fails_when_full);
        assert!(
            self.open() + self.openings.len() as u64 >= max,
            "refused although there is a place"
        );
        assert!(!self.has_idle(), "refused although one could have been closed");
    }

    /// Nothing is idle if there is too much.
    pub fn assert_limits(&self) {
        let too_many = self.limits.max_open.is_some_and(|max| self.open() > max);
        let too_heavy = self.limits.max_weight.is_some_and(|max| self.weight() > max);
        assert!(!too_many || !self.limits.fails_when_full);
        assert!(!(too_many || too_heavy) || !self.has_idle(), "an idle one should be closed");
    }

    pub fn assert_closings_done(&self) {
        for (number, reader) in self.readers.iter().enumerate() {
            let is_done = matches!(
                reader.state,
                State::Present | State::Detached(_) | State::Closed | State::Dropped
            );
            assert!(is_done, "not closed: {number}, {reader:?}");
        }
    }

    pub fn assert_stats(&self, stats: &Stats) {
        let detached = self.detached().len() as u64;
        let in_use = |number: &&Number| self.readers[**number].handles > 0;
        let in_use = self.present.values().filter(in_use).count() as u64;
        let lookups = (stats.hits, stats.misses, stats.joined_opens);
        assert_eq!(lookups, (self.hits, self.misses, self.joined));
        let life = (stats.opened, stats.failed_opens, stats.closed, stats.close_panics);
        assert_eq!(life, (self.opened, self.failed, self.closed, self.panics));
        assert_eq!(stats.opened, stats.closed + stats.open);
        let now = (stats.open, stats.opening, stats.waiting, stats.in_use, stats.detached);
        assert_eq!(now, (self.open(), 0, 0, in_use, detached));
        assert_eq!(stats.weight, self.weight());
        assert_eq!(CAUSES.map(|cause| stats.left(cause)), self.left);
    }

    /// The cache and all handles are gone.
    pub fn assert_over(&self) {
        assert!(self.openings.is_empty());
        for (number, reader) in self.readers.iter().enumerate() {
            assert_eq!(reader.state, State::Dropped, "{number}: {reader:?}");
        }
    }
}
