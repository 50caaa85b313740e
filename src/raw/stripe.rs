//! A thread's share of what every write touches: the count, garbage, spare memory.
//!
//! # Who may open a stripe
//!
//! What is under a stripe's lock is needed by every write, and a locked instruction costs as
//! much as half of the write. So a stripe that a thread has of its own (see `striped`) is *biased*
//! to it: the thread opens it without a lock. (The idea is that of the biased locks that Java's
//! virtual machines had.)
//!
//! Whoever else needs to open it, to hand over what its thread has left (`flush`), takes the
//! bias away, as the epochs allow it:
//!
//! 1. The bias is *revoked*: a number that was even becomes odd.
//! 2. The epochs pass: all threads have been unpinned that were pinned then.
//! 3. The lock is taken, and if the number is still the same, so is the stripe.
//!
//! The owner opens a stripe only while it is pinned, and looks at the bias after it has pinned
//! itself. Either the pin is older than the revocation: then the epochs do not pass before it
//! has ended, and what it did in the stripe happens before step 3. Or it sees an odd number, and
//! takes the lock. With the lock, it may bias the stripe to itself again: by the next even number,
//! so that others who have revoked and wait for the epochs find another number than theirs.
//! (It is the argument by which a reader may use what it has found: the permission to go without
//! a lock is what is retired.)

#[cfg(not(binlock_loom))]
use std::cell::UnsafeCell;
use std::{collections::LinkedList, sync::TryLockError};

#[cfg(binlock_loom)]
use loom::cell::UnsafeCell;

use super::{open::Open, retire::Sealed, share::OpenLock, striped::Make};
#[cfg(not(binlock_loom))]
use crate::sync::AtomicPtr;
use crate::sync::{
    Arc, AtomicBool, AtomicIsize, AtomicUsize, Mutex, MutexGuard, Ordering, const_unless_loom,
    load_to_exchange,
};

/// With `--cfg binlock_no_spare` nothing is kept, so that sanitizers see every node being
/// freed.
pub(super) const KEEPS_SPARE: bool = cfg!(not(any(binlock_loom, binlock_no_spare)));

/// What stripes have instead of a count of batches that may be freed before they seal any. (A null
/// pointer would be one comparison more for every write.) Nobody writes to it, nor to its line.
#[cfg(not(binlock_loom))]
static NONE: Never = Never(AtomicUsize::new(0));

/// Alone in its line, and in the one that processors fetch along with it.
#[cfg(not(binlock_loom))]
#[repr(align(128))]
struct Never(AtomicUsize);

/// What each stripe of a map has.
pub(super) struct Stripe {
    /// This stripe's part of the number of entries.
    count: AtomicIsize,
    /// Claims on absent keys that are in overflow blocks.
    pub(super) crowding: AtomicIsize,
    /// Even: the thread that has the stripe of its own opens it without the lock. Odd: it has
    /// been revoked, or the stripe is nobody's own.
    bias: AtomicUsize,
    /// Whether no other thread that is alive uses it as its own.
    is_own: bool,
    /// Whether some thread has the lock.
    locked: AtomicBool,
    /// Whether there is spare memory: a hint for those who would need the lock to see.
    has_spare: AtomicBool,
    /// How many of the sealed batches may be freed: `NONE`, or from an `Arc` that is shared with
    /// what is deferred, which can outlive the map.
    #[cfg(not(binlock_loom))]
    passed: AtomicPtr<AtomicUsize>,
    #[cfg(binlock_loom)]
    passed: Arc<AtomicUsize>,
    /// Only for whoever has the stripe open.
    open: UnsafeCell<Open>,
    /// Garbage that has been handed to the epochs, in the order in which that happened. Anybody
    /// may take some out; nothing of the user's is called under this lock. Nor is his allocator,
    /// which may use the map: hence a list, whose nodes are made and freed elsewhere.
    sealed: Mutex<LinkedList<Sealed>>,
}

// SAFETY: `open` is accessed only by the thread that has the stripe open (see above); what is in
// there belongs to the map, whose own `Send` and `Sync` depend on keys and values.
unsafe impl Send for Stripe {}
// SAFETY: as above.
unsafe impl Sync for Stripe {}

/// Whether a stripe may be opened without its lock, and since when.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Bias(usize);

impl Bias {
    /// Whether not even the thread whose own the stripe is may.
    #[inline(always)]
    pub(super) fn is_revoked(self) -> bool {
        self.0 & 1 != 0
    }
}

impl Stripe {
    const_unless_loom! {
        /// `is_own` is whether it is going to be some thread's own.
        pub(super) const fn new(is_own: bool) -> Stripe {
            // So that `benches/gains` can tell what stripes of one's own gain.
            let is_own = is_own && !cfg!(binlock_no_own_stripes);
            Stripe {
                count: AtomicIsize::new(0),
                crowding: AtomicIsize::new(0),
                bias: AtomicUsize::new(if is_own { 0 } else { 1 }),
                is_own,
                locked: AtomicBool::new(false),
                has_spare: AtomicBool::new(false),
                #[cfg(not(binlock_loom))]
                passed: AtomicPtr::new((&raw const NONE.0).cast_mut()),
                #[cfg(binlock_loom)]
                passed: Arc::new(AtomicUsize::new(0)),
                open: UnsafeCell::new(Open::new()),
                sealed: Mutex::new(LinkedList::new()),
            }
        }
    }

    /// This stripe's part of the number of entries.
    #[inline]
    pub(super) fn count(&self) -> isize {
        // Relaxed: while others write, no order of the stripes is more right than another.
        self.count.load(Ordering::Relaxed)
    }

    pub(super) fn reset_counts(&mut self) {
        self.count.store(0, Ordering::Relaxed);
        self.crowding.store(0, Ordering::Relaxed);
    }

    /// Whether no other thread that is alive uses it as its own, but the caller if it is his.
    #[inline(always)]
    pub(super) fn is_own(&self) -> bool {
        self.is_own
    }

    /// To be looked at by a thread that is pinned, and as long as it is.
    #[inline(always)]
    pub(super) fn bias(&self) -> Bias {
        // Relaxed: whoever made it even has been this thread, or one whose number this thread
        // has got since. If it has been revoked since it was read, those who did that wait for
        // the end of this pin.
        Bias(self.bias.load(Ordering::Relaxed))
    }

    /// What has to be opened.
    #[inline(always)]
    pub(super) fn cell(&self) -> &UnsafeCell<Open> {
        &self.open
    }

    /// Adds to the count of the thread's own stripe.
    #[inline(always)]
    pub(super) fn add_alone(&self, change: isize) {
        debug_assert!(self.is_own);
        // Relaxed: see `count`. Nobody else writes to it, so nothing is lost.
        let sum = self.count.load(Ordering::Relaxed).wrapping_add(change);
        self.count.store(sum, Ordering::Relaxed);
    }

    /// Adds to the count of a stripe that is nobody's own; says whether another thread has been
    /// met there.
    pub(super) fn add_among_others(&self, change: isize) -> bool {
        debug_assert!(!self.is_own);
        // Relaxed, all: see `count`. An exchange instead of an addition, to notice when threads
        // meet here.
        let seen = load_to_exchange!(self.count);
        let sum = seen.wrapping_add(change);
        let exchanged =
            self.count.compare_exchange(seen, sum, Ordering::Relaxed, Ordering::Relaxed);
        if exchanged.is_err() {
            self.count.fetch_add(change, Ordering::Relaxed);
        }
        exchanged.is_err()
    }

    /// Whether it is worth while to open the stripe for spare memory; a hint.
    #[inline]
    pub(super) fn may_have_spare(&self) -> bool {
        // Relaxed, here and below: a hint.
        self.has_spare.load(Ordering::Relaxed)
    }

    pub(super) fn set_has_spare(&self, has_spare: bool) {
        self.has_spare.store(has_spare, Ordering::Relaxed);
    }

    /// Takes the bias away from the thread that has the stripe of its own. The stripe can be
    /// opened by [`Stripe::open_revoked`] when the epochs have passed.
    pub(super) fn revoke(&self) -> Bias {
        // Relaxed, both: what is deferred after this comes after a fence, and so does what is done
        // under a pin that does not wait for it (one that lingers is as old as its last fence): that sees
        // no older number than this.
        let before = self.bias.load(Ordering::Relaxed);
        if before & 1 != 0 {
            // Somebody has revoked it, and it has not been biased again since, or else the number
            // will be found to be another one. (Writing it once more would be right as well, but
            // loom lets the thread's own store of the next number come in front of that:
            // tokio-rs/loom#282.)
            return Bias(before);
        }
        Bias(self.bias.fetch_or(1, Ordering::Relaxed) | 1)
    }

    /// Opens a stripe whose bias has been revoked, unless its thread has been here since, or
    /// somebody is here just now.
    ///
    /// # Safety
    ///
    /// All threads that were pinned when it was revoked have been unpinned since, and that
    /// happened before this.
    pub(super) unsafe fn open_revoked(&self, revoked: Bias) -> Option<OpenLock<'_>> {
        if !self.try_lock() {
            return None;
        }
        // Relaxed: it becomes even only under the lock. (Being made odd once more changes nothing.)
        if self.bias.load(Ordering::Relaxed) != revoked.0 {
            self.unlock();
            return None;
        }
        Some(OpenLock::new(self))
    }

    /// Opens the stripe of somebody who has it alone.
    pub(super) fn open_exclusively(&mut self) -> OpenLock<'_> {
        self.locked.store(true, Ordering::Relaxed);
        OpenLock::new(self)
    }

    /// Opens a stripe that is nobody's own, unless somebody is here just now.
    #[inline]
    pub(super) fn open_shared(&self) -> Option<OpenLock<'_>> {
        debug_assert!(!self.is_own);
        self.try_lock().then(|| OpenLock::new(self))
    }

    /// Gets the bias of this thread's own stripe back, unless somebody is here just now.
    #[cold]
    pub(super) fn bias_again(&self, revoked: Bias) -> bool {
        if !self.try_lock() {
            return false;
        }
        // Relaxed: who has revoked it looks under the lock, and the rest is this thread's alone.
        // The number is still the one that was read: it is odd, so nobody else changes it.
        self.bias.store(revoked.0.wrapping_add(1), Ordering::Relaxed);
        self.unlock();
        true
    }

    #[inline]
    fn try_lock(&self) -> bool {
        // Acquire here, and release in `unlock`: it is a lock.
        !self.locked.swap(true, Ordering::Acquire)
    }

    pub(super) fn unlock(&self) {
        // Release: for the next one who takes the lock.
        self.locked.store(false, Ordering::Release);
    }

    /// Garbage that has been handed to the epochs, when nobody is there any more.
    pub(super) fn sealed(&self) -> MutexGuard<'_, LinkedList<Sealed>> {
        // Nothing panics under this lock, so it is not poisoned; if it were, the list would still
        // be whole.
        self.sealed.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The same, unless somebody is there, who may have been preempted.
    pub(super) fn try_sealed(&self) -> Option<MutexGuard<'_, LinkedList<Sealed>>> {
        match self.sealed.try_lock() {
            Ok(sealed) => Some(sealed),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// How many sealed batches may be freed.
    #[cfg(not(binlock_loom))]
    pub(super) fn passed(&self) -> Arc<AtomicUsize> {
        // Acquire, both: what is in the `Arc` is visible. Release: publishes it.
        let mut passed = self.passed.load(Ordering::Acquire).cast_const();
        if std::ptr::eq(passed, &NONE.0) {
            let new = Arc::into_raw(Arc::<AtomicUsize>::default());
            match self.passed.compare_exchange(
                passed.cast_mut(),
                new.cast_mut(),
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => passed = new,
                Err(other) => {
                    // SAFETY: from `into_raw` above, and not published.
                    drop(unsafe { Arc::from_raw(new) });
                    passed = other;
                }
            }
        }
        // SAFETY: from `into_raw`, and its count is not given back before this stripe is dropped.
        unsafe {
            Arc::increment_strong_count(passed);
            Arc::from_raw(passed)
        }
    }

    /// How many sealed batches may be freed.
    #[cfg(binlock_loom)]
    pub(super) fn passed(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.passed)
    }

    /// One sealed batch less may be freed.
    pub(super) fn take_passed(&self) {
        // Acquire: as in `passed`.
        #[cfg(not(binlock_loom))]
        // SAFETY: as in `passed`; what has passed has been sealed, so it is not `NONE`.
        let passed = unsafe { &*self.passed.load(Ordering::Acquire) };
        #[cfg(binlock_loom)]
        let passed = &*self.passed;
        // Relaxed: a hint. (It may not have been counted yet; then it wraps around, for the
        // moment.)
        passed.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a sealed batch may be freed: what every write asks before it changes anything.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        // Acquire: as in `passed`.
        #[cfg(not(binlock_loom))]
        // SAFETY: `NONE`, or as in `passed`.
        let passed = unsafe { &*self.passed.load(Ordering::Acquire) };
        #[cfg(binlock_loom)]
        let passed = &*self.passed;
        // Relaxed: a hint.
        passed.load(Ordering::Relaxed) != 0
    }
}

#[cfg(not(binlock_loom))]
impl Drop for Stripe {
    fn drop(&mut self) {
        let passed = self.passed.load(Ordering::Relaxed).cast_const();
        if !std::ptr::eq(passed, &NONE.0) {
            // SAFETY: from `into_raw` in `passed`.
            drop(unsafe { Arc::from_raw(passed) });
        }
    }
}

impl Make for Stripe {
    fn make(is_own: bool) -> Self {
        Stripe::new(is_own)
    }
}
