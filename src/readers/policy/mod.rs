//! Which reader to close when there has to be a place for another one.
//!
//! # What there is to go by
//!
//! A hit counts in its entry and leaves no other trace: it takes no lock, and what was used
//! before what is not known. So the policy is of the family of FIFO queues and clocks: it works
//! when a reader is opened, and sees then how often the members have been used since it last
//! looked.
//!
//! ```text
//!              uses                              used since: once more round
//!   new ──> probation ──────────────────────────> main ──┐ <─┐
//!               │  a share of the cache,           ^  │  └───┘
//!               │  1 % to 90 %, learned            │  │ not used
//!               v                                  │  v
//!            ghosts of probation ──────────────────┘ ghosts of main
//!                         back, and sooner than
//!                         main's oldest was used
//! ```
//!
//! - **Two queues and ghosts**, as in 2Q (Johnson and Shasha, VLDB 1994) and S3-FIFO (Yang et
//!   al., SOSP 2023): what is new has to be used while it is on probation, or to come back soon
//!   after, before it may push anything out of the main queue, so that a scan passes by.
//! - **The main queue is a clock with credit**: a member that was used goes round again, and
//!   one that was used several times goes round twice before it needs another use.
//! - **The ghost of a key is admitted by its reuse distance**, which is the criterion of LIRS
//!   (Jiang and Zhang, SIGMETRICS 2002), on a clock as in CLOCK-Pro (Jiang, Chen and Zhang,
//!   USENIX 2005): if it came back after fewer openings than the main queue's oldest member has
//!   been without a use, it is hotter than that one, else it is on probation again. Therefore
//!   ghosts can be remembered for long: a loop larger than the cache is recognised by its
//!   distance, and does not push out the part of itself that is there.
//! - **The share of probation is learned** from the ghosts: see `share`.
//!
//! # In use
//!
//! A member that is in use when its turn comes is *parked*: put into a list that the search for
//! a victim does not look at, until its last user says that it is idle again. So it is visited
//! once each time that it is parked, and when all are in use, the search ends when all are
//! parked, and after that at once.
//!
//! # Cost
//!
//! All calls are O(1) amortised. One search for a victim passes over at most 128 members because
//! they were used, however busy they are kept meanwhile, and then takes the next that is idle;
//! those that it parks are not counted in this.

mod ghost;
mod list;
mod share;
mod steps;
#[cfg(test)]
mod tests;

use std::ptr::NonNull;

use ghost::{Found, Ghosts};
use list::{List, Place, place, sitting};
use share::Share;

pub(super) use list::Seat;

/// The most credit that uses can earn.
const MOST_CREDIT: u32 = 2;
/// A search passes over so many members that were used.
const MOST_PASSED: usize = 128;
/// When a ghost is compared with the oldest member of the main queue, so many that were used
/// are sent round again, to find one that was not.
const REFRESHED: usize = 4;
/// A ghost's reuse distance has to be this part of the other's idle time. Times are rounded, and
/// in a loop all distances are equal, so that one which is just as long must not pass.
const CLEARLY_SOONER: f64 = 0.9;

/// What the policy keeps in its lists.
///
/// # Safety
///
/// - `seat` returns the same seat each time, which is the member's own.
/// - The methods may be called from any thread, also while other threads use the member.
/// - When `try_claim` has returned true, it does not do so again before the member has been
///   returned by [`Policy::victim`] and inserted anew.
pub(super) unsafe trait Member: Sized {
    /// The policy's part of the member.
    fn seat(&self) -> &Seat<Self>;
    /// The hash of its key. All 64 bits have to be good.
    fn hash(&self) -> u64;
    /// What it weighs by now. Asked only while it is in the cache.
    fn weight(&self) -> u64;
    /// How often it has been used since it was opened, wrapping.
    fn uses(&self) -> u32;
    /// Takes it for eviction: true if nobody uses it now, and from then on nobody can.
    fn try_claim(&self) -> bool;
    /// Marks a member that is in use, so that its last user will have [`Policy::unpark`] called.
    /// False if nobody uses it any more.
    fn try_park(&self) -> bool;
}

/// How much the cache may hold.
pub(super) struct Limits {
    pub(super) max_open: Option<usize>,
    pub(super) max_weight: Option<u64>,
}

/// See the module's documentation.
pub(super) struct Policy<T: Member> {
    limits: Limits,
    probation: List<T>,
    main: List<T>,
    parked: List<T>,
    detached: List<T>,
    ghosts: Ghosts,
    share: Share,
    /// A victim has been asked for since the last insertion, so the cache is full, although its
    /// members may be fewer than the limit right now.
    is_full: bool,
}

// SAFETY: what makes it not `Send` by itself are the pointers to members. Through them it reads
// and writes seats, which nobody else does, and calls the methods of `Member`, which may be called
// from any thread by the contract of that trait.
unsafe impl<T: Member + Send> Send for Policy<T> {}

impl<T: Member> Policy<T> {
    pub(super) fn new(limits: Limits) -> Self {
        Policy {
            limits,
            probation: List::new(Place::Probation),
            main: List::new(Place::Main),
            parked: List::new(Place::Parked),
            detached: List::new(Place::Detached),
            ghosts: Ghosts::new(),
            share: Share::new(),
            is_full: false,
        }
    }

    /// Adds a member: its reader has been opened.
    ///
    /// # Safety
    ///
    /// It is in no list. It stays alive and where it is in memory until it is taken out by
    /// [`remove`](Self::remove) or returned by [`victim`](Self::victim).
    pub(super) unsafe fn insert(&mut self, member: NonNull<T>) {
        // SAFETY: alive, by the caller's word.
        let new = unsafe { member.as_ref() };
        self.ghosts.tick();
        let found = self.ghosts.take(new.hash());
        let is_hot = found.is_some_and(|found| self.is_hot(found));
        // SAFETY: alive, and the reference ends before the lists look at seats.
        let seat = unsafe { sitting(member) };
        seat.seen = new.uses();
        seat.stamp = self.ghosts.now() as u32;
        seat.credit = 0;
        let queue = if is_hot { &mut self.main } else { &mut self.probation };
        // SAFETY: in no list, alive and pinned, by the caller's word.
        unsafe { queue.push_newest(member, new.weight()) };
        if !self.is_full && !self.exceeds_limits() {
            self.fill_main();
        }
        self.is_full = false;
    }

    /// Takes a member out, wherever it is. Nothing happens if it is in no list.
    ///
    /// # Safety
    ///
    /// It is alive, and if it is in a list, then in one of this policy.
    pub(super) unsafe fn remove(&mut self, member: NonNull<T>) {
        // SAFETY: alive, by the caller's word.
        if let Some(list) = self.list(unsafe { place(member) }) {
            // SAFETY: that is the list that it is in.
            unsafe { list.unlink(member) };
        }
    }

    /// Puts a parked member back where it came from, because it is idle again. Nothing happens
    /// to others.
    ///
    /// # Safety
    ///
    /// As for [`remove`](Self::remove).
    pub(super) unsafe fn unpark(&mut self, member: NonNull<T>) {
        // SAFETY: alive, by the caller's word.
        if unsafe { place(member) } != Place::Parked {
            return;
        }
        // SAFETY: it is in that list, so alive, and in none afterwards, when it is added to
        // another; the reference to the seat ends before that.
        unsafe {
            self.parked.unlink(member);
            let seat = sitting(member);
            let weight = member.as_ref().weight();
            if seat.origin == Place::Main {
                // It was used when its turn came, which is what sends members round again.
                seat.stamp = self.ghosts.now() as u32;
                self.main.push_newest(member, weight);
            } else {
                // It has had its time on probation. If it was used, it will be seen now.
                self.probation.push_oldest(member, weight);
            }
        }
    }

    /// Moves a member to the detached ones: out of the cache, and in use. `victim` never looks
    /// there.
    ///
    /// # Safety
    ///
    /// As for [`insert`](Self::insert), but that it may be in one of this policy's lists.
    pub(super) unsafe fn detach(&mut self, member: NonNull<T>) {
        // SAFETY: alive, and in no list after the first step. Its weight does not count any more.
        unsafe {
            self.remove(member);
            self.detached.push_newest(member, 0);
        }
    }

    /// Counts what a member weighs now, in case that has changed. (It is counted anew in any case
    /// when it changes lists.)
    ///
    /// # Safety
    ///
    /// As for [`remove`](Self::remove).
    pub(super) unsafe fn reweigh(&mut self, member: NonNull<T>) {
        // SAFETY: alive, by the caller's word.
        let place = unsafe { place(member) };
        if place == Place::Detached {
            return;
        }
        if let Some(list) = self.list(place) {
            // SAFETY: that is the list that it is in.
            unsafe { list.reweigh(member, member.as_ref().weight()) };
        }
    }

    /// The member to be closed next: claimed, and taken out of the lists. `None` if all are in
    /// use.
    pub(super) fn victim(&mut self) -> Option<NonNull<T>> {
        self.is_full = true;
        let mut passed = 0;
        loop {
            let from_probation = self.probation_is_over();
            let queue = if from_probation { &self.probation } else { &self.main };
            let member = queue.oldest()?;
            if passed < MOST_PASSED {
                // SAFETY: it is the oldest of its queue.
                let goes_on = unsafe {
                    if from_probation { self.promote(member) } else { self.go_round(member) }
                };
                if goes_on {
                    passed += 1;
                    continue;
                }
            }
            let queue = if from_probation { &mut self.probation } else { &mut self.main };
            // SAFETY: in that list, so alive; in none afterwards.
            unsafe { queue.unlink(member) };
            // SAFETY: it was in a list just now, and nobody has claimed it since.
            if unsafe { self.claim_or_park(member, from_probation) } {
                return Some(member);
            }
        }
    }

    /// How many members are in the cache.
    pub(super) fn len(&self) -> usize {
        self.probation.len() + self.main.len() + self.parked.len()
    }

    /// What those in the cache weigh, as counted.
    pub(super) fn weight(&self) -> u128 {
        self.probation.weight() + self.main.weight() + self.parked.weight()
    }

    /// Those that are in the cache.
    #[cfg(test)]
    fn members(&self) -> impl Iterator<Item = NonNull<T>> + '_ {
        self.probation.iter().chain(self.main.iter()).chain(self.parked.iter())
    }

    /// Those that are out of the cache and in use.
    pub(super) fn detached(&self) -> impl Iterator<Item = NonNull<T>> + '_ {
        self.detached.iter()
    }
}
