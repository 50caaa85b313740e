//! Ghosts: the memory of what has been evicted.
//!
//! A ghost is 15 bits of a key's hash, the queue it was evicted from and the time of that, in
//! four bytes. They are in buckets of eight; a bucket that is full forgets its oldest ghost.
//! So a look-up touches 32 bytes, and finds a ghost that is another key's about once in four
//! thousand times, which costs a place in the wrong queue and nothing else.
//!
//! There is no table until something is evicted, and then one for as many members as there are,
//! so that a cache with a limit of a million and three readers pays for three.
//!
//! Times are coarse, and wrap. No ghost lives long enough for that to matter: each tick of the
//! clock clears one bucket of what is too old, so every bucket is visited well within the time
//! that it takes to wrap.

use std::mem;

/// Ghosts of one bucket: half a cache line.
const WAYS: usize = 8;
/// Ghosts that are remembered, in multiples of the members that there are room for.
///
/// Twelve bytes a member. Twice as many as members lose 0.3 points of the mean hit ratio over
/// the traces of the LIRS and ARC papers, four times as many gain 0.03.
const GHOSTS_PER_MEMBER: u64 = 3;
/// The times that a table can tell apart before they wrap are 2¹⁶. As ghosts are cleared away
/// when they are older than their table is long, a quarter of that leaves some room.
const LIFE_IN_UNITS: u64 = 1 << 14;

type Bucket = [Ghost; WAYS];

/// From the highest bit: 15 of the hash, one for the queue, 16 of the time. Zero is no ghost.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Ghost(u32);

const NONE: Ghost = Ghost(0);

/// What is known about a key that comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// It was evicted from the main queue, and not from probation.
    pub(super) from_main: bool,
    /// So many readers were opened since.
    pub(super) age: u64,
}

pub(super) struct Ghosts {
    /// None until the first eviction.
    buckets: Box<[Bucket]>,
    /// The readers opened so far.
    now: u64,
    /// How many bits of the time are dropped.
    coarseness: u32,
    /// The bucket to be cleared of old ghosts next.
    sweep: usize,
}

impl Ghost {
    fn new(hash: u64, from_main: bool, time: u16) -> Ghost {
        Ghost(fingerprint(hash) | u32::from(from_main) << 16 | u32::from(time))
    }

    fn fingerprint(self) -> u32 {
        self.0 & 0xfffe_0000
    }

    fn was_in_main(self) -> bool {
        self.0 & 1 << 16 != 0
    }

    fn time(self) -> u16 {
        self.0 as u16
    }

    fn with_time(self, time: u16) -> Ghost {
        Ghost(self.0 & !0xffff | u32::from(time))
    }
}

/// Of the lower half of the hash, as the upper one chooses the bucket. Never zero.
fn fingerprint(hash: u64) -> u32 {
    (hash as u32 & 0xfffe_0000).max(1 << 17)
}

impl Ghosts {
    pub(super) fn new() -> Self {
        Ghosts { buckets: Box::default(), now: 0, coarseness: 0, sweep: 0 }
    }

    /// The readers opened so far.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// One more reader has been opened.
    pub(super) fn tick(&mut self) {
        self.now += 1;
        if self.buckets.is_empty() {
            return;
        }
        self.sweep = if self.sweep + 1 < self.buckets.len() { self.sweep + 1 } else { 0 };
        for way in 0..WAYS {
            let ghost = self.buckets[self.sweep][way];
            if ghost != NONE && self.age(ghost) > self.life() {
                self.buckets[self.sweep][way] = NONE;
            }
        }
    }

    /// Remembers a key that has been evicted from a cache of `members`.
    pub(super) fn remember(&mut self, hash: u64, from_main: bool, members: usize) {
        self.make_room(members as u64);
        let ghost = Ghost::new(hash, from_main, self.time());
        let bucket = self.bucket(hash);
        let way = (0..WAYS)
            .max_by_key(|&way| match self.buckets[bucket][way] {
                NONE => u64::MAX,
                old => self.age(old),
            })
            .unwrap_or(0);
        self.buckets[bucket][way] = ghost;
    }

    /// Finds the ghost of a key that is opened again, and lays it to rest.
    pub(super) fn take(&mut self, hash: u64) -> Option<Found> {
        if self.buckets.is_empty() {
            return None;
        }
        let bucket = self.bucket(hash);
        // The youngest, should there be several: the others are other keys', or older tales.
        let way = (0..WAYS)
            .filter(|&way| self.buckets[bucket][way].fingerprint() == fingerprint(hash))
            .min_by_key(|&way| self.age(self.buckets[bucket][way]))?;
        let ghost = mem::replace(&mut self.buckets[bucket][way], NONE);
        let age = self.age(ghost);
        (age <= self.life()).then_some(Found { from_main: ghost.was_in_main(), age })
    }

    /// The bytes of the table.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        mem::size_of_val(&*self.buckets)
    }

    fn bucket(&self, hash: u64) -> usize {
        // A share of the table and no remainder: when the table doubles, a bucket becomes two
        // neighbours.
        (((hash >> 32) * self.buckets.len() as u64) >> 32) as usize
    }

    fn time(&self) -> u16 {
        (self.now >> self.coarseness) as u16
    }

    fn age(&self, ghost: Ghost) -> u64 {
        u64::from(self.time().wrapping_sub(ghost.time())) << self.coarseness
    }

    fn life(&self) -> u64 {
        (self.buckets.len() * WAYS) as u64
    }

    fn make_room(&mut self, members: u64) {
        // Buckets are chosen by 32 bits of the hash, so that more of them would be for nothing.
        let wanted = (members.saturating_mul(GHOSTS_PER_MEMBER)).div_ceil(WAYS as u64);
        let wanted = wanted.clamp(1, 1 << 30) as usize;
        if self.buckets.is_empty() {
            self.buckets = vec![[NONE; WAYS]; wanted].into();
            self.coarseness = coarseness(self.life());
        }
        while self.buckets.len() * 2 <= wanted {
            self.double();
        }
    }

    /// Which of the two buckets that come from one a ghost belongs to is not known any more. It
    /// is put in both, and the one that is wrong grows old.
    fn double(&mut self) {
        let before = self.coarseness;
        let after = coarseness(self.life() * 2);
        let time = (self.now >> after) as u16;
        let mut buckets = Vec::with_capacity(self.buckets.len() * 2);
        for bucket in &self.buckets {
            let aged = bucket.map(|ghost| {
                let age = (self.age(ghost) >> after) as u16;
                if ghost == NONE { NONE } else { ghost.with_time(time.wrapping_sub(age)) }
            });
            buckets.extend([aged, aged]);
        }
        debug_assert!(after >= before);
        self.buckets = buckets.into();
        self.coarseness = after;
        self.sweep *= 2;
    }
}

/// How coarse times have to be for ghosts that live so long.
fn coarseness(life: u64) -> u32 {
    (life / LIFE_IN_UNITS).checked_ilog2().map_or(0, |log| log + 1)
}
