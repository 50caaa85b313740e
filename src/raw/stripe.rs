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

#[cfg(not(loom))]
use std::cell::UnsafeCell;
use std::{
    cell::Cell,
    collections::LinkedList,
    marker::PhantomData,
    mem,
    ops::{Deref, DerefMut},
    sync::TryLockError,
};

#[cfg(loom)]
use loom::cell::UnsafeCell;

use super::{
    retire::{Retired, Sealed},
    striped::Mine,
    word::Word,
};
#[cfg(not(loom))]
use crate::sync::AtomicPtr;
use crate::{
    epoch::Guard,
    sync::{
        Arc, AtomicBool, AtomicIsize, AtomicUsize, Mutex, MutexGuard, Ordering, const_unless_loom,
    },
};

/// So many pieces make a batch that is sealed. Handing a batch to the epochs costs
/// about as much as ten replacements; garbage lives for two or three more batches.
#[cfg(not(any(loom, shuttle)))]
const BATCH: usize = 128;
#[cfg(shuttle)]
const BATCH: usize = 4;
#[cfg(loom)]
const BATCH: usize = 1;

/// A stripe keeps the memory of so many nodes for insertions to come. Replacing values
/// goes round in circles with that, in memory that is still in the cache, instead of
/// through an allocator that has to find each node's page.
const SPARE: usize = 2 * BATCH;
/// With `--cfg binlock_no_spare` nothing is kept, so that sanitizers see every node being
/// freed.
pub(super) const KEEPS_SPARE: bool = cfg!(not(any(loom, binlock_no_spare)));

/// What each stripe of a map has.
pub(super) struct Stripe {
    /// This stripe's part of the number of entries.
    count: AtomicIsize,
    /// Claims on absent keys that are in overflow blocks.
    pub(super) crowding: AtomicIsize,
    /// Even: a thread that has the stripe of its own opens it without the lock. Odd: it has
    /// been revoked.
    bias: AtomicUsize,
    /// Whether the thread whose own the stripe is has it open by that right. Nobody else
    /// looks at it: it is for a thread that comes here again from within its allocator.
    is_open: AtomicBool,
    /// Whether some thread has the lock.
    locked: AtomicBool,
    /// Whether there is spare memory; a hint.
    pub(super) has_spare: AtomicBool,
    /// How many of the sealed batches may be freed: null, or from an `Arc` that is shared with
    /// what is deferred, which can outlive the map.
    #[cfg(not(loom))]
    passed: AtomicPtr<AtomicUsize>,
    #[cfg(loom)]
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

/// The part of a stripe that has to be opened.
pub(super) struct Open {
    /// Garbage that has not been handed to the epochs yet.
    batch: Vec<Retired>,
    /// Nodes without content.
    spare: Vec<Word>,
}

/// The number of a revoked bias.
#[derive(Clone, Copy)]
pub(super) struct Revoked(usize);

impl Stripe {
    const_unless_loom! {
        pub(super) const fn new() -> Stripe {
            Stripe {
                count: AtomicIsize::new(0),
                crowding: AtomicIsize::new(0),
                bias: AtomicUsize::new(0),
                is_open: AtomicBool::new(false),
                locked: AtomicBool::new(false),
                has_spare: AtomicBool::new(false),
                #[cfg(not(loom))]
                passed: AtomicPtr::new(std::ptr::null_mut()),
                #[cfg(loom)]
                passed: Arc::new(AtomicUsize::new(0)),
                open: UnsafeCell::new(Open { batch: Vec::new(), spare: Vec::new() }),
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

    /// Takes the bias away from the thread that has the stripe of its own. The stripe can be
    /// opened by [`Stripe::open_revoked`] when the epochs have passed.
    pub(super) fn revoke(&self) -> Revoked {
        // Relaxed, both: what is deferred after this comes after a fence, as every pin does, so
        // that a later pin sees no older number than this.
        let before = self.bias.load(Ordering::Relaxed);
        if before & 1 != 0 {
            // Somebody has revoked it, and it has not been biased again since, or else the number
            // will be found to be another one. (Writing it once more would be right as well, but
            // loom lets the thread's own store of the next number come in front of that:
            // tokio-rs/loom#282.)
            return Revoked(before);
        }
        Revoked(self.bias.fetch_or(1, Ordering::Relaxed) | 1)
    }

    /// Opens a stripe whose bias has been revoked, unless its thread has been here since, or
    /// somebody is here just now.
    ///
    /// # Safety
    ///
    /// All threads that were pinned when it was revoked have been unpinned since, and that
    /// happened before this.
    pub(super) unsafe fn open_revoked(&self, revoked: Revoked) -> Option<OpenLock<'_>> {
        if !self.try_lock() {
            return None;
        }
        // Relaxed: it becomes even only under the lock. (Being made odd once more changes nothing.)
        if self.bias.load(Ordering::Relaxed) != revoked.0 {
            self.unlock();
            return None;
        }
        Some(OpenLock::new(self, &self.locked))
    }

    /// Opens the stripe of somebody who has it alone.
    pub(super) fn open_exclusively(&mut self) -> OpenLock<'_> {
        self.is_open.store(true, Ordering::Relaxed);
        OpenLock::new(self, &self.is_open)
    }

    /// Opens a stripe that is nobody's own, unless somebody is here just now.
    #[inline]
    pub(super) fn open_shared(&self) -> Option<OpenLock<'_>> {
        self.try_lock().then(|| OpenLock::new(self, &self.locked))
    }

    /// Opens this thread's own stripe, whose bias has been revoked, and gets that back.
    #[cold]
    fn bias_again(&self, revoked: usize) -> Option<OpenLock<'_>> {
        if !self.try_lock() {
            return None;
        }
        // Relaxed, both: who has revoked it looks under the lock, and the rest is this thread's
        // alone. The number is still the one that was read: it is odd, so nobody else changes it.
        self.bias.store(revoked.wrapping_add(1), Ordering::Relaxed);
        self.is_open.store(true, Ordering::Relaxed);
        self.unlock();
        Some(OpenLock::new(self, &self.is_open))
    }

    #[inline]
    fn try_lock(&self) -> bool {
        // Acquire here, and release in `unlock`: it is a lock.
        !self.locked.swap(true, Ordering::Acquire)
    }

    fn unlock(&self) {
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
    #[cfg(not(loom))]
    pub(super) fn passed(&self) -> Arc<AtomicUsize> {
        // Acquire, both: what is in the `Arc` is visible. Release: publishes it.
        let mut passed = self.passed.load(Ordering::Acquire).cast_const();
        if passed.is_null() {
            let new = Arc::into_raw(Arc::<AtomicUsize>::default());
            match self.passed.compare_exchange(
                std::ptr::null_mut(),
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
    #[cfg(loom)]
    pub(super) fn passed(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.passed)
    }

    /// One sealed batch less may be freed.
    pub(super) fn take_passed(&self) {
        // Acquire: as in `passed`.
        #[cfg(not(loom))]
        let passed = self.passed.load(Ordering::Acquire);
        // SAFETY: as in `passed`.
        #[cfg(not(loom))]
        let passed = unsafe { passed.as_ref() };
        #[cfg(loom)]
        let passed = Some(&*self.passed);
        if let Some(passed) = passed {
            // Relaxed: a hint. (It may not have been counted yet; then it wraps around, for the
            // moment.)
            passed.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether a sealed batch may be freed: what every write asks first.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        // Acquire: as in `passed`.
        #[cfg(not(loom))]
        // SAFETY: null, or as in `passed`.
        match unsafe { self.passed.load(Ordering::Acquire).as_ref() } {
            // Relaxed: a hint.
            Some(passed) => passed.load(Ordering::Relaxed) != 0,
            None => false,
        }
        #[cfg(loom)]
        {
            self.passed.load(Ordering::Relaxed) != 0
        }
    }
}

#[cfg(not(loom))]
impl Drop for Stripe {
    fn drop(&mut self) {
        let passed = self.passed.load(Ordering::Relaxed);
        if !passed.is_null() {
            // SAFETY: from `into_raw` in `passed`.
            drop(unsafe { Arc::from_raw(passed) });
        }
    }
}

impl<'a> Mine<'a, Stripe> {
    /// Opens the thread's stripe, unless another thread is there, or this one already. Whoever
    /// has it open must not run user code, and may wait for nothing but the lock of a bin.
    #[inline]
    pub(super) fn try_open(&self, _pinned: &Guard) -> Option<OpenLock<'a>> {
        let stripe = self.stripe();
        if !self.is_own {
            return stripe.open_shared();
        }
        // Relaxed: nobody but this thread uses it.
        if stripe.is_open.load(Ordering::Relaxed) {
            return None;
        }
        // Relaxed: whoever made it even has been this thread, or one whose number this thread
        // has got since. If it has been revoked since it was read, those who did that wait for
        // the end of this pin.
        let bias = stripe.bias.load(Ordering::Relaxed);
        if bias & 1 != 0 {
            return stripe.bias_again(bias);
        }
        stripe.is_open.store(true, Ordering::Relaxed);
        Some(OpenLock::new(stripe, &stripe.is_open))
    }

    /// The memory of a node that has been freed, if there is some at hand.
    #[inline]
    pub(super) fn take_spare(&self, pinned: &Guard) -> Option<Word> {
        // Relaxed, both: a hint.
        if !self.has_spare.load(Ordering::Relaxed) {
            return None;
        }
        let spare = self.try_open(pinned)?.take_spare();
        if spare.is_none() {
            self.has_spare.store(false, Ordering::Relaxed);
        }
        spare
    }

    /// Adds to the count; says whether another thread has been met there.
    #[inline]
    pub(super) fn add_to_count(&self, change: isize) -> bool {
        // Relaxed, all: see `Stripe::count`.
        let count = &self.stripe().count;
        let seen = count.load(Ordering::Relaxed);
        let sum = seen.wrapping_add(change);
        if self.is_own {
            // Nobody else writes to it, so nothing is lost.
            count.store(sum, Ordering::Relaxed);
            return false;
        }
        // An exchange instead of an addition, to notice when threads meet here.
        let met = count.compare_exchange(seen, sum, Ordering::Relaxed, Ordering::Relaxed).is_err();
        if met {
            count.fetch_add(change, Ordering::Relaxed);
        }
        met
    }
}

impl Default for Stripe {
    fn default() -> Self {
        Stripe::new()
    }
}

/// The right to a stripe's open part.
pub(super) struct OpenLock<'a> {
    #[cfg(not(loom))]
    open: &'a UnsafeCell<Open>,
    /// Tells loom how long the cell is borrowed.
    #[cfg(loom)]
    open: Option<loom::cell::MutPtr<Open>>,
    /// What is to be cleared at the end.
    flag: &'a AtomicBool,
    /// `&OpenLock` gives `&Open`, which is for one thread.
    not_sync: PhantomData<Cell<()>>,
}

impl<'a> OpenLock<'a> {
    /// For who has just set the flag.
    #[inline]
    fn new(stripe: &'a Stripe, flag: &'a AtomicBool) -> OpenLock<'a> {
        OpenLock {
            #[cfg(not(loom))]
            open: &stripe.open,
            #[cfg(loom)]
            open: Some(stripe.open.get_mut()),
            flag,
            not_sync: PhantomData,
        }
    }
}

impl Deref for OpenLock<'_> {
    type Target = Open;

    #[inline]
    fn deref(&self) -> &Open {
        #[cfg(not(loom))]
        // SAFETY: whoever has the stripe open has the cell alone until the flag is cleared.
        unsafe {
            &*self.open.get()
        }
        #[cfg(loom)]
        // SAFETY: as above; loom checks it.
        unsafe {
            self.open.as_ref().unwrap().deref()
        }
    }
}

impl DerefMut for OpenLock<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Open {
        #[cfg(not(loom))]
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe {
            &mut *self.open.get()
        }
        #[cfg(loom)]
        // SAFETY: as above; loom checks it.
        unsafe {
            self.open.as_ref().unwrap().deref()
        }
    }
}

impl Drop for OpenLock<'_> {
    #[inline]
    fn drop(&mut self) {
        #[cfg(loom)]
        drop(self.open.take());
        // Release: for the next one who takes the lock.
        self.flag.store(false, Ordering::Release);
    }
}

impl Open {
    /// Adds a piece to the batch; says whether that is full and to be sealed.
    #[inline]
    pub(super) fn retire(&mut self, piece: Retired) -> bool {
        self.batch.push(piece);
        self.is_full()
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.batch.len() >= BATCH
    }

    /// Takes the batch out.
    pub(super) fn take_batch(&mut self) -> Vec<Retired> {
        // The first batch grows as it is filled: small maps stay small.
        let next = if self.is_full() { Vec::with_capacity(BATCH) } else { Vec::new() };
        mem::replace(&mut self.batch, next)
    }

    /// The memory of a node that has been freed, if there is some.
    #[inline]
    pub(super) fn take_spare(&mut self) -> Option<Word> {
        self.spare.pop()
    }

    /// All such memory.
    pub(super) fn take_spares(&mut self) -> Vec<Word> {
        mem::take(&mut self.spare)
    }

    /// Takes over nodes without content, as many as there is use for.
    pub(super) fn keep(&mut self, emptied: &mut Vec<Word>) {
        if self.spare.is_empty() {
            mem::swap(&mut self.spare, emptied);
        } else {
            let room = SPARE.saturating_sub(self.spare.len()).min(emptied.len());
            self.spare.extend(emptied.drain(emptied.len() - room..));
        }
    }
}
