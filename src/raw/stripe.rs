//! A thread's share of what every write touches: the count, garbage, spare memory.

use std::{
    cell::Cell,
    collections::VecDeque,
    marker::PhantomData,
    mem,
    ops::{Deref, DerefMut},
};
#[cfg(not(loom))]
use std::{cell::UnsafeCell, sync::OnceLock};

#[cfg(loom)]
use loom::cell::UnsafeCell;

use super::{
    retire::{Retired, Sealed},
    word::Word,
};
use crate::sync::{Arc, AtomicBool, AtomicIsize, AtomicUsize, Ordering, const_unless_loom};

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
    pub(super) count: AtomicIsize,
    /// Claims on absent keys that are in overflow blocks.
    pub(super) crowding: AtomicIsize,
    /// Whether some thread is at `open`.
    locked: AtomicBool,
    /// Whether there is spare memory; a hint.
    pub(super) has_spare: AtomicBool,
    /// How many of the sealed batches may be freed. Shared with what is deferred, which
    /// can outlive the map.
    #[cfg(not(loom))]
    passed: OnceLock<Arc<AtomicUsize>>,
    #[cfg(loom)]
    passed: Arc<AtomicUsize>,
    /// Only for whoever has set `locked`.
    open: UnsafeCell<Open>,
}

// SAFETY: `open` is accessed only by the thread that has set `locked`; what is in there
// belongs to the map, whose own `Send` and `Sync` depend on keys and values.
unsafe impl Send for Stripe {}
// SAFETY: as above.
unsafe impl Sync for Stripe {}

/// The part of a stripe that is under its lock.
pub(super) struct Open {
    /// Garbage that has not been handed to the epochs yet.
    batch: Vec<Retired>,
    /// Garbage that has, in the order in which that happened.
    pub(super) sealed: VecDeque<Sealed>,
    /// Nodes without content.
    spare: Vec<Word>,
}

impl Stripe {
    const_unless_loom! {
        pub(super) const fn new() -> Stripe {
            Stripe {
                count: AtomicIsize::new(0),
                crowding: AtomicIsize::new(0),
                locked: AtomicBool::new(false),
                has_spare: AtomicBool::new(false),
                #[cfg(not(loom))]
                passed: OnceLock::new(),
                #[cfg(loom)]
                passed: Arc::new(AtomicUsize::new(0)),
                open: UnsafeCell::new(Open {
                    batch: Vec::new(),
                    sealed: VecDeque::new(),
                    spare: Vec::new(),
                }),
            }
        }
    }

    /// The open part, unless another thread is there. Whoever has it must not run user
    /// code, and may wait for nothing but the lock of a bin.
    #[inline]
    pub(super) fn try_open(&self) -> Option<OpenLock<'_>> {
        // Acquire here, and release when it is dropped: it is a lock.
        if self.locked.swap(true, Ordering::Acquire) {
            return None;
        }
        Some(OpenLock {
            stripe: self,
            #[cfg(loom)]
            open: Some(self.open.get_mut()),
            not_sync: PhantomData,
        })
    }

    /// How many sealed batches may be freed.
    #[cfg(not(loom))]
    pub(super) fn passed(&self) -> &Arc<AtomicUsize> {
        self.passed.get_or_init(Arc::default)
    }

    /// How many sealed batches may be freed.
    #[cfg(loom)]
    pub(super) fn passed(&self) -> &Arc<AtomicUsize> {
        &self.passed
    }

    /// Whether a sealed batch may be freed: what every write asks first.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        #[cfg(not(loom))]
        match self.passed.get() {
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

impl Default for Stripe {
    fn default() -> Self {
        Stripe::new()
    }
}

/// The right to a stripe's open part.
pub(super) struct OpenLock<'a> {
    stripe: &'a Stripe,
    /// Tells loom how long the cell is borrowed.
    #[cfg(loom)]
    open: Option<loom::cell::MutPtr<Open>>,
    /// `&OpenLock` gives `&Open`, which is for one thread.
    not_sync: PhantomData<Cell<()>>,
}

impl Deref for OpenLock<'_> {
    type Target = Open;

    #[inline]
    fn deref(&self) -> &Open {
        #[cfg(not(loom))]
        // SAFETY: whoever has set `locked` has the cell alone, until it is cleared.
        unsafe {
            &*self.stripe.open.get()
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
            &mut *self.stripe.open.get()
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
        self.stripe.locked.store(false, Ordering::Release);
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
