//! Pins that linger: what makes the next pin of a thread cost nothing.
//!
//! A pin of the epochs' begins with a fence, which takes as long as the rest of a look-up in the caches,
//! and keeps look-ups from overlapping their cache misses. So a thread keeps its pin when an operation
//! ends: it *covers* the next ones, as a guard would that is held for all of them. To be pinned, then,
//! is to say so ([`Participant::enter`]), in a word that only this thread writes.
//!
//! A cover that is kept for long would keep garbage. So it is
//!
//! * pinned anew by its thread, by the first operation of each *round*; those who hand over garbage, or
//!   look whether some can be freed, begin new ones;
//! * *revoked* by others if its thread does not come: whoever finds that nothing can be freed for a
//!   while goes through all participants, and ends the pins of those who are not in an operation.
//!
//! # Who may touch a cover
//!
//! 1. The thread, while it has entered and has seen, after that, that no round has begun since it saw its
//!    cover in place and not *marked*.
//! 2. Whoever has taken a cover out of its place by an exchange.
//!
//! A revoker marks the cover, begins a round, lets all threads execute a fence ([`barrier::heavy`]), and
//! looks whether the thread has entered. It has if it has not seen the round: its store of `depth` came
//! before its look at the round, with a fence between them, be it a light one. If it has not entered, it
//! will see the round when it does, and the mark; then both try to exchange the marked cover, the one for
//! none and the other for one without a mark, and one of them succeeds. Nobody waits for the other one: a
//! thread whose cover is gone takes the spare one, or makes one.
//!
//! There is one revoker at a time. Otherwise one could be late with its exchange, when the thread
//! has taken the mark off and entered, and another one has just marked the cover once more.

#[cfg(not(binlock_loom))]
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::{cell::Cell, marker::PhantomData, mem, process, ptr};

use crossbeam_utils::CachePadded;

use super::barrier;
use crate::sync::const_unless_loom;
#[cfg(binlock_loom)]
use crate::sync::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

/// A participant of the epochs, with a pin or without.
///
/// It is used by one thread at a time, and handed over between them in order.
pub trait Cover: Send {
    /// One that is not pinned.
    fn new() -> Self;

    /// Ends the pin, if there is one, and pins, with a fence.
    fn pin(&self);

    /// Ends the pin. Must not allocate, nor use a map in any other way.
    fn unpin(&self);
}

/// A cover, and the next one of those that a revoker is going to drop.
struct Linked<C> {
    cover: C,
    next: Cell<*mut Linked<C>>,
}

/// In a cover's address: somebody is about to take the cover.
const MARK: usize = 1;

fn marked<C>(cover: *mut Linked<C>) -> *mut Linked<C> {
    cover.map_addr(|address| address | MARK)
}

fn unmarked<C>(cover: *mut Linked<C>) -> *mut Linked<C> {
    cover.map_addr(|address| address & !MARK)
}

#[inline(always)]
fn is_marked<C>(cover: *mut Linked<C>) -> bool {
    cover.addr() & MARK != 0
}

/// In the place of a cover where none is. Marked, so that nobody marks it.
fn none<C>() -> *mut Linked<C> {
    marked(ptr::null_mut())
}

/// All threads whose pins linger (or could, if there were a heavy fence).
pub struct Lingering<C> {
    /// A list to which is only added: who leaves gives a place back for another one.
    participants: AtomicPtr<Participant<C>>,
    /// The number of rounds that have begun. In a line of its own: each pin reads it.
    round: CachePadded<AtomicUsize>,
    /// How many have joined, and not left. (Not what models are of.)
    joined: std::sync::atomic::AtomicUsize,
    /// Whether somebody is revoking.
    is_revoking: AtomicBool,
}

/// A thread's place among those whose pins linger.
///
/// In a line of its own, and of the pair that processors fetch together: it is written by every pin.
#[repr(align(128))]
pub struct Participant<C> {
    /// How many guards the thread has; with [`LEAVING`] or [`PLAIN`]. Written by the thread alone.
    depth: AtomicUsize,
    /// [`none`], or what `Box` made.
    cover: AtomicPtr<Linked<C>>,
    /// The round in which the cover was pinned. Written by the thread alone.
    round: AtomicUsize,
    /// The operations left until its next turn. The thread's alone.
    left: Cell<u32>,
    /// The round in which its last turn was. The thread's alone.
    turn: Cell<usize>,
    /// A cover that was revoked, or null.
    spare: AtomicPtr<Linked<C>>,
    /// Whether some thread has it.
    is_taken: AtomicBool,
    next: *const Participant<C>,
    /// Only its own thread calls most of what it has.
    _not_sync: PhantomData<Cell<C>>,
}

/// In a depth: the thread leaves when it has no guard any more.
const LEAVING: usize = 1 << (usize::BITS - 1);

/// In a depth: pins do not linger. (With `LEAVING`, so that it takes one look to see that something is
/// different.)
const PLAIN: usize = LEAVING | 1 << (usize::BITS - 2);

/// Once in so many operations that may write it is a thread's turn to see whether there is something to
/// be freed. (As crossbeam has it, of all operations. There may be nobody who hands over more. Those that
/// only read would have more to pay for it, and free nothing.)
const TURN: u32 = 128;

impl<C: Cover> Lingering<C> {
    const_unless_loom! {
        /// Nobody.
        // (There is one for the whole process, made once.)
        #[allow(clippy::new_without_default)]
        pub const fn new() -> Lingering<C> {
            Lingering {
                participants: AtomicPtr::new(ptr::null_mut()),
                round: CachePadded::new(AtomicUsize::new(0)),
                joined: std::sync::atomic::AtomicUsize::new(0),
                is_revoking: AtomicBool::new(false),
            }
        }
    }

    /// Gives the thread a place of its own, until it [leaves](Participant::leave).
    pub fn join(&self) -> &Participant<C> {
        // Relaxed: a hint.
        self.joined.fetch_add(1, Ordering::Relaxed);
        // Another one than this, or than those to come.
        let round = self.round.load(Ordering::Relaxed).wrapping_sub(1);
        for one in self.all() {
            // Relaxed: a hint. Acquire: what the thread before did there is behind.
            if !one.is_taken.load(Ordering::Relaxed) && !one.is_taken.swap(true, Ordering::Acquire)
            {
                one.round.store(round, Ordering::Relaxed);
                return one;
            }
        }
        let new = Box::into_raw(Box::new(Participant {
            depth: AtomicUsize::new(0),
            cover: AtomicPtr::new(none()),
            round: AtomicUsize::new(round),
            left: Cell::new(TURN),
            turn: Cell::new(0),
            spare: AtomicPtr::new(ptr::null_mut()),
            is_taken: AtomicBool::new(true),
            next: ptr::null(),
            _not_sync: PhantomData,
        }));
        let mut first = self.participants.load(Ordering::Relaxed);
        loop {
            // SAFETY: not published yet.
            unsafe { (*new).next = first };
            // Release: publishes it. (Nobody follows `first` here.)
            match self.participants.compare_exchange(
                first,
                new,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                // SAFETY: it stays as long as `self`.
                Ok(_) => return unsafe { &*new },
                Err(other) => first = other,
            }
        }
    }

    /// How many threads have a place, about.
    pub fn joined(&self) -> usize {
        self.joined.load(Ordering::Relaxed)
    }

    fn all(&self) -> impl Iterator<Item = &Participant<C>> {
        // Acquire: what is there is visible, and so are those behind it.
        let mut next = self.participants.load(Ordering::Acquire).cast_const();
        std::iter::from_fn(move || {
            // SAFETY: they stay as long as `self`.
            let one = unsafe { next.as_ref()? };
            next = one.next;
            Some(one)
        })
    }

    /// From now on each thread pins its cover anew when it enters.
    pub fn next_round(&self) {
        // Release, with the acquire in `cover_anew`: whoever sees the new round also sees the marks that
        // it was begun for (nobody may pin in it a cover that is marked, and leave the mark), and the epoch
        // that has been reached (so that garbage is freed soon).
        self.round.fetch_add(1, Ordering::Release);
    }

    /// Ends the pins of those who are in no operation, and have pinned in none of the last `recent`
    /// rounds; but not of `but`. Does nothing, and says so, if somebody else is at it.
    pub fn revoke(&self, recent: isize, but: Option<&Participant<C>>) -> bool {
        // Relaxed: a hint. Acquire and release: it is a lock.
        if self.is_revoking.load(Ordering::Relaxed)
            || self.is_revoking.swap(true, Ordering::Acquire)
        {
            return false;
        }
        let revoked = self.revoke_alone(recent, but);
        self.is_revoking.store(false, Ordering::Release);
        // Now, as the allocator may use a map.
        drop_all(revoked);
        true
    }

    /// Returns those that are to be dropped.
    fn revoke_alone(&self, recent: isize, but: Option<&Participant<C>>) -> *mut Linked<C> {
        let mut dropped = ptr::null_mut();
        let round = self.round.load(Ordering::Relaxed);
        let mut found = false;
        for one in self.all() {
            found |= !but.is_some_and(|but| ptr::eq(one, but)) && one.mark(round, recent);
        }
        if !found {
            return dropped;
        }
        // So that those whose covers are marked look.
        self.next_round();
        // Without the fence a mark changes nothing: its thread takes it off.
        if barrier::heavy() {
            for one in self.all() {
                if let Some(cover) = one.take_marked() {
                    // SAFETY: taken out of its place.
                    unsafe { (*cover).cover.unpin() };
                    // Release: whoever takes it next sees it as it is now. Acquire: for who drops it.
                    let before = one.spare.swap(cover, Ordering::AcqRel);
                    // SAFETY: taken out of its place.
                    if let Some(before) = unsafe { before.as_ref() } {
                        before.next.set(dropped);
                        dropped = ptr::from_ref(before).cast_mut();
                    }
                }
            }
        }
        dropped
    }
}

/// Drops covers that have been taken out of their places.
fn drop_all<C>(mut cover: *mut Linked<C>) {
    while !cover.is_null() {
        // SAFETY: it was made by `Box`, and nobody else has it any more.
        let one = unsafe { Box::from_raw(cover) };
        cover = one.next.get();
    }
}

impl<C: Cover> Participant<C> {
    /// Pins the thread.
    ///
    /// # Safety
    ///
    /// Called by the thread that has joined here and not left, with `all` as it joined.
    #[inline(always)]
    pub unsafe fn enter(&self, all: &Lingering<C>) {
        // Relaxed, here and below: only this thread writes to it. What is read under the pin can be read
        // early, as the cover has been there before.
        let depth = self.depth.load(Ordering::Relaxed);
        if depth != 0 {
            return self.enter_deeper(depth);
        }
        self.depth.store(1, Ordering::Relaxed);
        barrier::light();
        // Relaxed, both: the fence orders the second one, and the first is this thread's.
        if self.round.load(Ordering::Relaxed) != all.round.load(Ordering::Relaxed) {
            self.cover_anew(all);
        }
    }

    #[inline]
    fn enter_deeper(&self, depth: usize) {
        if depth < PLAIN & !LEAVING {
            self.depth.store(depth + 1, Ordering::Relaxed);
        } else {
            self.enter_plainly(depth);
        }
    }

    #[cfg_attr(target_os = "linux", cold)]
    fn enter_plainly(&self, depth: usize) {
        assert!((PLAIN..usize::MAX).contains(&depth), "too many guards");
        self.depth.store(depth + 1, Ordering::Relaxed);
        if depth == PLAIN {
            // SAFETY: this thread has entered, and nobody takes covers from where they do not linger.
            unsafe { self.cover() }.pin();
        }
    }

    /// What has been written before is there for all threads when this returns, or before the thread's next
    /// look at anything.
    ///
    /// # Safety
    ///
    /// Called by the thread that has entered, and not exited.
    #[inline(always)]
    pub unsafe fn fence(&self) {
        // It is in the cache, and nobody else writes to it.
        barrier::fence_at(&self.depth);
    }

    /// Ends a pin. What has been written before is there for all threads when this returns, or before
    /// the thread's next look at anything.
    ///
    /// # Safety
    ///
    /// As for [`Participant::exit`].
    #[inline(always)]
    pub unsafe fn exit_with_fence(&self, all: &Lingering<C>) {
        let depth = self.depth.load(Ordering::Relaxed);
        if depth == 1 {
            return barrier::store_with_fence(&self.depth, 0);
        }
        // The outer guards may be of operations that only read. (Where pins do not linger, or the thread
        // leaves, the next outermost one is a fence.)
        if depth < LEAVING || depth & !PLAIN > 1 {
            barrier::full();
        }
        // SAFETY: passed on.
        unsafe { self.exit(all) };
    }

    /// Ends a pin.
    ///
    /// # Safety
    ///
    /// Called by the thread that has entered, once each time.
    #[inline(always)]
    pub unsafe fn exit(&self, all: &Lingering<C>) {
        let depth = self.depth.load(Ordering::Relaxed) - 1;
        // Release: whoever takes the cover has what was done under it behind him.
        self.depth.store(depth, Ordering::Release);
        // (One instruction, for both.)
        if (depth as isize) < 0 {
            self.exit_plainly(depth, all);
        }
    }

    #[cfg_attr(target_os = "linux", cold)]
    fn exit_plainly(&self, depth: usize, all: &Lingering<C>) {
        if depth == PLAIN {
            // SAFETY: as in `enter_plainly`.
            unsafe { self.cover() }.unpin();
        } else if depth == LEAVING {
            self.give_back(all);
        }
    }

    /// From now on, the thread's pins end with its guards.
    ///
    /// # Safety
    ///
    /// Called by the thread that has joined, before it enters. There is no heavy fence.
    pub unsafe fn do_not_linger(&self, all: &Lingering<C>) {
        self.depth.store(1, Ordering::Relaxed);
        // Makes a cover.
        self.cover_anew(all);
        self.depth.store(PLAIN, Ordering::Relaxed);
        // SAFETY: as in `enter_plainly`.
        unsafe { self.cover() }.unpin();
    }

    /// Counts the thread's operations. Says whether it is its turn to see whether something can be freed.
    ///
    /// # Safety
    ///
    /// Called by the thread that has joined here and not left.
    #[inline(always)]
    pub unsafe fn is_turn(&self) -> bool {
        let left = self.left.get() - 1;
        self.left.set(if left == 0 { TURN } else { left });
        left == 0
    }

    /// Says whether no round has begun since this was called last.
    ///
    /// # Safety
    ///
    /// Called by the thread that has joined here and not left.
    pub unsafe fn is_still_the_same_round(&self, all: &Lingering<C>) -> bool {
        let round = all.round.load(Ordering::Relaxed);
        self.turn.replace(round) == round
    }

    /// Pins the cover anew, and gets one first if there is none.
    #[cold]
    #[inline(never)]
    fn cover_anew(&self, all: &Lingering<C>) {
        // First: a mark that is not seen below is followed by another round, and is seen then. Acquire: one
        // in front of this round is seen. (And see `next_round`.)
        let round = all.round.load(Ordering::Acquire);
        let cover = loop {
            let cover = self.cover.load(Ordering::Relaxed);
            if cover != none() {
                if !is_marked(cover) {
                    break cover;
                }
                // Acquire and release: in order with `enter`'s store and the revoker's marks.
                let exchanged = self.cover.compare_exchange(
                    cover,
                    unmarked(cover),
                    Ordering::AcqRel,
                    Ordering::Relaxed,
                );
                if exchanged.is_ok() {
                    break unmarked(cover);
                }
                // It has just been taken.
            }
            // Acquire: whoever has put it there is done with it.
            let spare = self.spare.swap(ptr::null_mut(), Ordering::Acquire);
            if !spare.is_null() {
                // Now, and not when it is pinned: see below. Nobody takes it, as this thread has entered
                // and there was no cover to be marked. Release: publishes it to revokers.
                self.cover.store(spare, Ordering::Release);
                break spare;
            }
            self.make_spare();
        };
        // Now, and not earlier: an allocator that uses a map would find no cover.
        self.round.store(round, Ordering::Relaxed);
        // Were it to panic, the thread would be taken for pinned.
        let unless_it_returns = Abort;
        // Pinning can free what is due, and so call an allocator that uses a map: it finds the thread
        // entered, the cover in place, and its pin begun.
        // SAFETY: in its place, not marked when it was looked at, and the thread has entered before.
        unsafe { (*cover).cover.pin() };
        mem::forget(unless_it_returns);
    }

    /// Makes a cover, while the thread has not entered: an allocator that uses a map would not notice that
    /// there is no cover. (It finds none, and makes one itself.)
    fn make_spare(&self) {
        self.depth.store(0, Ordering::Release);
        let cover = C::new();
        let spare = Box::into_raw(Box::new(Linked { cover, next: Cell::new(ptr::null_mut()) }));
        // As in `revoke_alone`.
        let before = self.spare.swap(spare, Ordering::AcqRel);
        drop_all(before);
        self.depth.store(1, Ordering::Relaxed);
        barrier::light();
    }

    /// The cover, which is pinned.
    ///
    /// # Safety
    ///
    /// Called by the thread that has entered, and used until it exits.
    pub unsafe fn cover(&self) -> &C {
        // Relaxed: it is where this thread has seen it. (Marks come and stay, in vain.)
        let cover = unmarked(self.cover.load(Ordering::Relaxed));
        // SAFETY: as the caller has entered, nobody takes it.
        unsafe { &(*cover).cover }
    }

    /// Gives the place back, at once or when the thread's last guard is gone.
    ///
    /// # Safety
    ///
    /// Called by the thread that has joined, once. It does not enter any more.
    pub unsafe fn leave(&self, all: &Lingering<C>) {
        let depth = self.depth.load(Ordering::Relaxed);
        match depth & !PLAIN {
            0 => self.give_back(all),
            // Relaxed: nothing follows from it for others.
            guards => self.depth.store(guards | LEAVING, Ordering::Relaxed),
        }
    }

    /// The cover stays, for the next thread: threads that come and go would otherwise leave one each to
    /// the epochs, which have to pass before it is freed.
    #[cold]
    fn give_back(&self, all: &Lingering<C>) {
        all.joined.fetch_sub(1, Ordering::Relaxed);
        // Acquire: whoever has put it there is done with it.
        let cover = unmarked(self.cover.swap(none(), Ordering::AcqRel));
        // (A revoker that has taken it just before makes it the spare one as well.)
        let mut spare = ptr::null_mut();
        if !cover.is_null() {
            // SAFETY: taken out of its place.
            unsafe { (*cover).cover.unpin() };
            // As in `revoke_alone`.
            spare = self.spare.swap(cover, Ordering::AcqRel);
        }
        self.depth.store(0, Ordering::Relaxed);
        drop_all(spare);
        // Release: for who joins next.
        self.is_taken.store(false, Ordering::Release);
    }

    /// Marks the cover if there is one to be revoked. Says whether a marked one is there.
    fn mark(&self, round: usize, recent: isize) -> bool {
        // Relaxed, all: what decides is looked at after the fence.
        if self.depth.load(Ordering::Relaxed) != 0 {
            return false;
        }
        let cover = self.cover.load(Ordering::Relaxed);
        if is_marked(cover) {
            return cover != none();
        }
        // (Negative if a round has begun since the caller looked.)
        if (round.wrapping_sub(self.round.load(Ordering::Relaxed)) as isize) < recent {
            return false;
        }
        self.cover
            .compare_exchange(cover, marked(cover), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes the cover if it was marked before the fence, and the thread has not entered.
    fn take_marked(&self) -> Option<*mut Linked<C>> {
        let cover = self.cover.load(Ordering::Relaxed);
        if !is_marked(cover) || cover == none() {
            return None;
        }
        // Acquire: what was done under the cover is behind. It comes after the fence, see above.
        if self.depth.load(Ordering::Acquire) != 0 {
            return None;
        }
        // Acquire: what the thread has put there. (It may come between the look at `depth` and this, and
        // take the mark off.)
        self.cover
            .compare_exchange(cover, none(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
            .then(|| unmarked(cover))
    }
}

struct Abort;

impl Drop for Abort {
    fn drop(&mut self) {
        process::abort();
    }
}

impl<C> Drop for Lingering<C> {
    fn drop(&mut self) {
        let mut next = self.participants.load(Ordering::Relaxed);
        while !next.is_null() {
            // SAFETY: made by `Box` in `join`, and nobody else has it any more.
            let one = unsafe { Box::from_raw(next) };
            drop_all(unmarked(one.cover.load(Ordering::Relaxed)));
            drop_all(one.spare.load(Ordering::Relaxed));
            next = one.next.cast_mut();
        }
    }
}
