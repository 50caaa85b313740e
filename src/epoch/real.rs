//! The epochs that users have: crossbeam's, under pins that linger where the system allows it.

use std::{
    cell::Cell,
    marker::PhantomData,
    mem, ptr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_epoch::{Collector, LocalHandle};

use super::{
    barrier,
    linger::{Cover, Lingering, Participant},
};
use crate::sync::processors;

fn collector() -> &'static Collector {
    // (Not in a `OnceLock`: a thread that comes for the first time would wait for another one, or for
    // itself, in an allocator that uses a map.)
    static COLLECTOR: AtomicPtr<Collector> = AtomicPtr::new(ptr::null_mut());
    // Acquire and release, all: what is there is visible.
    let known = COLLECTOR.load(Ordering::Acquire);
    if !known.is_null() {
        // SAFETY: made below, and never dropped.
        return unsafe { &*known };
    }
    let new = Box::into_raw(Box::new(Collector::new()));
    let exchanged =
        COLLECTOR.compare_exchange(ptr::null_mut(), new, Ordering::AcqRel, Ordering::Acquire);
    match exchanged {
        // SAFETY: as above.
        Ok(_) => unsafe { &*new },
        Err(other) => {
            // SAFETY: made above, and known to nobody else.
            drop(unsafe { Box::from_raw(new) });
            // SAFETY: as above.
            unsafe { &*other }
        }
    }
}

/// All threads that use maps.
static LINGERING: Lingering<Local> = Lingering::new();

thread_local! {
    /// This thread's place among them. Without a destructor, so that looking is all that it takes.
    static PLACE: Cell<Option<&'static Participant<Local>>> = const { Cell::new(None) };
    /// The same place, to be given back.
    static LEAVE: Leave = const { Leave(Cell::new(None)) };
}

/// (Knows the place itself: where thread-locals are the system's keys, the other one may be gone.)
struct Leave(Cell<Option<&'static Participant<Local>>>);

impl Drop for Leave {
    fn drop(&mut self) {
        let _ = PLACE.try_with(|place| place.set(None));
        if let Some(place) = self.0.take() {
            // SAFETY: this thread has joined there, and does not know the place any more.
            unsafe { place.leave(&LINGERING) };
        }
    }
}

/// One of crossbeam's participants, with all its handles and guards.
struct Local {
    /// In front of `handle`, as it is dropped first.
    guard: Cell<Option<crossbeam_epoch::Guard>>,
    handle: LocalHandle,
}

// SAFETY: `LocalHandle` and `Guard` are not `Send`, as they share a participant whose cells are not
// atomic; to which thread it belongs is written nowhere. All of one participant are here, but for guards
// that `Guard::with` makes, which are gone when it returns. And a `Local` is used by one thread at a time,
// and handed over in order (see `Cover`).
unsafe impl Send for Local {}

impl Cover for Local {
    fn new() -> Local {
        Local { guard: Cell::new(None), handle: collector().register() }
    }

    fn pin(&self) {
        drop(self.guard.take());
        self.guard.set(Some(self.handle.pin()));
    }

    fn unpin(&self) {
        drop(self.guard.take());
    }
}

/// A pin.
pub struct Guard {
    place: &'static Participant<Local>,
    /// Whether its end is a fence.
    writes: Cell<bool>,
    _not_send: PhantomData<*const ()>,
}

/// Pins the current thread: nothing retired from now on is freed while the guard
/// lives. Pins nest, an inner one costs next to nothing.
#[inline]
pub(crate) fn pin() -> Guard {
    pin_to_read().into_writing()
}

/// The same for operations that only read, or say so if they do more.
#[inline]
pub(crate) fn pin_to_read() -> Guard {
    let place = match PLACE.get() {
        Some(place) => {
            // SAFETY: what `PLACE` has, this thread has joined, and it has not left.
            unsafe { place.enter(&LINGERING) };
            place
        }
        None => pin_otherwise(),
    };
    Guard { place, writes: Cell::new(false), _not_send: PhantomData }
}

/// The first pin of a thread, or one of the last.
#[cold]
fn pin_otherwise() -> &'static Participant<Local> {
    let place = LINGERING.join();
    // In a destructor of another thread-local this one may be gone already.
    let is_late = LEAVE.try_with(|_| ()).is_err();
    // SAFETY: joined just now, and known to nobody else.
    unsafe {
        if is_late {
            place.enter(&LINGERING);
            place.leave(&LINGERING);
            return place;
        }
        if !barrier::is_there() {
            place.do_not_linger(&LINGERING);
        }
        place.enter(&LINGERING);
    }
    let other = PLACE.replace(Some(place));
    let _ = LEAVE.try_with(|leave| leave.0.set(Some(place)));
    // If an allocator that uses a map has come first, from within all that, the place that it has got
    // is left.
    if let Some(other) = other {
        // SAFETY: as in `Leave`.
        unsafe { other.leave(&LINGERING) };
    }
    place
}

/// What remains of an operation's pin in what it has returned. Its end is no fence, and it has no room for more
/// than the place: with a pointer that makes two registers, in which functions return.
pub struct Kept {
    place: &'static Participant<Local>,
    _not_send: PhantomData<*const ()>,
}

impl Drop for Kept {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the place was entered for the guard that this was, by this thread: neither can be sent to
        // another one.
        unsafe { self.place.exit(&LINGERING) };
    }
}

impl Drop for Guard {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.writes.get() {
            // SAFETY: the place was entered for this guard, by this thread: a guard cannot be sent to
            // another one.
            return unsafe { self.place.exit(&LINGERING) };
        }
        // SAFETY: as above; and a thread does not leave for good before its last guard is dropped.
        if unsafe { self.place.is_turn() } {
            take_turn(self);
        }
        // SAFETY: as in front of the other exit.
        unsafe { self.place.exit_with_fence(&LINGERING) };
    }
}

impl Guard {
    /// The same pin, for an operation that writes: when it ends, or before its thread looks at anything
    /// after that, what has been written is there for all threads.
    #[inline(always)]
    pub(crate) fn into_writing(self) -> Guard {
        self.set_writing();
        self
    }

    /// An operation that borrows this pin is going to write.
    #[inline(always)]
    pub(crate) fn set_writing(&self) {
        self.writes.set(true);
    }

    /// The same pin, for an operation that has written nothing so far that others could see.
    #[inline(always)]
    pub(super) fn set_reading(&mut self) {
        self.writes.set(false);
    }

    /// The same pin, for what the operation returns: what has been written is there for all threads before
    /// this thread looks at anything else.
    #[inline(always)]
    pub(crate) fn keep(self) -> Kept {
        if self.writes.get() {
            // SAFETY: this thread's place, which it does not leave for good before its last guard is dropped.
            if unsafe { self.place.is_turn() } {
                take_turn(&self);
            }
            // SAFETY: the place was entered for this guard.
            unsafe { self.place.fence() };
        }
        // (The pin goes over.)
        let kept = Kept { place: self.place, _not_send: PhantomData };
        mem::forget(self);
        kept
    }

    /// Calls something with a guard of crossbeam's.
    fn with<R>(&self, f: impl FnOnce(&crossbeam_epoch::Guard) -> R) -> R {
        // SAFETY: this guard has entered, and does not exit before `f` returns.
        let cover = unsafe { self.place.cover() };
        f(&cover.handle.pin())
    }
}

/// Once in a while: frees what can be freed.
#[cold]
fn take_turn(guard: &Guard) {
    // Relaxed, both: hints.
    if DEFERRED.load(Ordering::Relaxed) == RUN.load(Ordering::Relaxed) {
        return;
    }
    guard.with(crossbeam_epoch::Guard::flush);
    // One of all threads is enough: not if another one has been at it since this one's last turn.
    // SAFETY: by the thread that has joined.
    if unsafe { guard.place.is_still_the_same_round(&LINGERING) } {
        go_round();
    }
}

/// Runs something without the pin (if it is the thread's only one), and pins anew, to write. Whether the
/// end of the old pin is a fence is up to that.
#[inline]
pub(super) fn between_pins<R>(guard: &mut Guard, f: impl FnOnce() -> R) -> R {
    struct Again(*mut Guard);
    impl Drop for Again {
        #[inline]
        fn drop(&mut self) {
            // SAFETY: the guard that was there has been dropped below, and nobody has seen
            // the place since: it is borrowed exclusively.
            unsafe { self.0.write(pin()) };
        }
    }
    let again = Again(guard);
    // SAFETY: a guard is put there again before anybody sees it, also if `f` panics.
    unsafe { std::ptr::drop_in_place(again.0) };
    f()
}

/// Runs `f` when no thread is pinned any more that is pinned now.
pub(crate) fn defer(guard: &Guard, f: impl FnOnce() + Send + 'static) {
    let before = DEFERRED.fetch_add(1, Ordering::Relaxed);
    guard.with(|guard| {
        guard.defer(move || {
            f();
            RUN.fetch_add(1, Ordering::Relaxed);
        });
        // Deferred functions are collected in a bag of the thread until it is full.
        // Each one here stands for a whole batch, so it is handed over at once.
        guard.flush();
    });
    if before % batches_in_a_round() == 0 {
        go_round();
    }
}

/// After so many batches, all threads pin anew.
///
/// One for every second thread that can run at once: each fills batches, and would have all the others
/// pin anew for each. So what waits to be freed grows with the number of threads that retire, as it does
/// anyhow, and what pins cost does not.
fn batches_in_a_round() -> usize {
    (LINGERING.joined().min(processors()) / 2).max(1)
}

/// After a flush, which may have moved the epoch: lets all pin anew, so that they get to the new one, and
/// looks after those who have left their pins behind.
fn go_round() {
    if !barrier::is_there() {
        return;
    }
    LINGERING.next_round();
    if is_stuck() && is_time_to_revoke() {
        LINGERING.revoke(PATIENCE as isize, None);
    }
}

/// Covers are revoked if nothing has been run in so many rounds. It takes two to run something where all
/// threads come round.
const PATIENCE: usize = 4;

/// And at most once in such a time. To revoke is a system call that interrupts the other processors of
/// the program, for some microseconds, and it helps nothing if somebody is in the middle of an
/// operation.
const BETWEEN_REVOCATIONS: Duration = Duration::from_micros(200);

fn is_time_to_revoke() -> bool {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    // Whoever meets another one here leaves it to that one.
    let Ok(mut last) = LAST.try_lock() else { return false };
    let is_time = last.is_none_or(|last| last.elapsed() >= BETWEEN_REVOCATIONS);
    if is_time {
        *last = Some(Instant::now());
    }
    is_time
}

/// Whether nothing deferred has been run for a while.
fn is_stuck() -> bool {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    static ROUNDS: AtomicUsize = AtomicUsize::new(0);
    // Relaxed, all: hints. What several threads do here at once may be counted for less.
    let run = RUN.load(Ordering::Relaxed);
    if SEEN.load(Ordering::Relaxed) != run {
        SEEN.store(run, Ordering::Relaxed);
        ROUNDS.store(0, Ordering::Relaxed);
        return false;
    }
    let rounds = ROUNDS.load(Ordering::Relaxed) + 1;
    ROUNDS.store(rounds % PATIENCE, Ordering::Relaxed);
    rounds == PATIENCE
}

/// How many functions have been deferred.
static DEFERRED: AtomicUsize = AtomicUsize::new(0);

/// How many deferred functions have been run. All that this collector gets comes
/// from `defer`, but for what is left of a `Local` in those rare cases in which one is dropped.
static RUN: AtomicUsize = AtomicUsize::new(0);

/// Flushes without an effect. They take some tens of microseconds, or a millisecond if each finds
/// threads that have left their pins behind since the one before.
const IDLE: usize = 256;

/// How often somebody else may be found revoking: he may have been preempted.
const BUSY: usize = 1024;

/// Runs everything that was deferred before, unless some thread is pinned meanwhile
/// that may still see it. Says whether no thread is: then all have been unpinned that were
/// pinned when this was called, and what they did happens before it returns.
pub(crate) fn advance() -> bool {
    let done = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&done);
    // What is deferred is run in the order in which it was handed over, some of it
    // at each flush, and two epochs later at the earliest. A flush can move the epoch
    // by one. So some flushes after which nothing has been run mean that the epoch
    // cannot be moved.
    // Release and acquire: another thread may run it, when it has seen the pins end.
    defer(&pin_to_read(), move || end.store(true, Ordering::Release));
    let (mut idle, mut busy, mut recent) = (0, 0, 0);
    while idle < IDLE && !done.load(Ordering::Acquire) {
        let before = RUN.load(Ordering::Relaxed);
        if barrier::is_there() {
            // Then, those that have been left behind in the meantime. This thread's own is pinned anew
            // below.
            if LINGERING.revoke(recent, PLACE.get()) {
                recent = PATIENCE as isize;
            } else if busy < BUSY {
                busy += 1;
                thread::yield_now();
                continue;
            }
            LINGERING.next_round();
        }
        pin_to_read().with(crossbeam_epoch::Guard::flush);
        idle = if RUN.load(Ordering::Relaxed) == before { idle + 1 } else { 0 };
    }
    done.load(Ordering::Acquire)
}
