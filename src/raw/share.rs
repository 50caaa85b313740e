//! How a thread uses its stripe: as its own and without a lock, or as one of several.
//!
//! See `stripe` for who may, and why.

#[cfg(not(binlock_loom))]
use std::cell::UnsafeCell;
use std::{
    cell::Cell,
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

use super::{open::Open, retire::Retired, stripe::Stripe, striped::Mine, word::Word};
use crate::epoch::Guard;

/// What a write wants of its thread's stripe.
pub(super) trait Share: Copy {
    /// The memory of a node that has been freed, if there is some at hand.
    fn take_spare(self) -> Option<Word>;

    /// Takes back such memory that has not been used after all, or does not if it is not as simple
    /// as that.
    fn give_spare(self, spare: Word) -> Result<(), Word>;

    /// Adds garbage, or gives it back if it is not as simple as that.
    fn retire(self, piece: Retired) -> Result<(), Retired>;

    /// Adds to the count; says whether another thread has been met there.
    fn add_to_count(self, change: isize) -> bool;
}

/// The thread's own stripe, which it may open without a lock as long as it is pinned.
#[derive(Clone, Copy)]
pub(super) struct Biased<'g> {
    stripe: &'g Stripe,
    not_send: PhantomData<*const ()>,
}

/// The thread's stripe, whichever it is.
#[derive(Clone, Copy)]
pub(super) struct Shared<'g> {
    mine: Mine<'g, Stripe>,
    guard: &'g Guard,
}

impl<'g> Mine<'g, Stripe> {
    /// The right to use the thread's stripe without a lock, if it is its own and not revoked.
    #[inline(always)]
    pub(super) fn biased(self, guard: &'g Guard) -> Option<Biased<'g>> {
        if self.bias().is_revoked() {
            return None;
        }
        // SAFETY: just seen, by a thread that is pinned.
        Some(unsafe { self.assume_biased(guard) })
    }

    /// The same for who has seen that. (An option costs each write two instructions.)
    ///
    /// # Safety
    ///
    /// The stripe's bias has been loaded since the guard was made, and was not revoked.
    #[inline(always)]
    pub(super) unsafe fn assume_biased(self, _guard: &'g Guard) -> Biased<'g> {
        Biased { stripe: self.stripe(), not_send: PhantomData }
    }

    /// The thread's stripe, whichever it is.
    #[inline(always)]
    pub(super) fn shared(self, guard: &'g Guard) -> Shared<'g> {
        Shared { mine: self, guard }
    }

    /// Opens the stripe and does something there, unless another thread is there. It must not run
    /// user code, nor allocate, which is the same, and may wait for nothing.
    pub(super) fn open<R>(self, guard: &'g Guard, f: impl FnOnce(&mut Open) -> R) -> Option<R> {
        if !self.is_own() {
            return self.stripe().open_shared().map(|mut open| f(&mut open));
        }
        let bias = self.bias();
        if bias.is_revoked() && !self.stripe().bias_again(bias) {
            return None;
        }
        self.biased(guard).map(|biased| biased.open(f))
    }

    /// The memory of a node that has been freed, if there is some at hand.
    #[inline]
    pub(super) fn take_spare(self, guard: &'g Guard) -> Option<Word> {
        match self.biased(guard) {
            Some(mine) => mine.take_spare(),
            None => self.shared(guard).take_spare(),
        }
    }

    /// Adds to the count; says whether another thread has been met there.
    #[inline]
    pub(super) fn add_to_count(self, change: isize) -> bool {
        if self.is_own() {
            self.add_alone(change);
            false
        } else {
            self.add_among_others(change)
        }
    }
}

impl Biased<'_> {
    #[inline(always)]
    fn open<R>(self, f: impl FnOnce(&mut Open) -> R) -> R {
        #[cfg(not(binlock_loom))]
        // SAFETY: whoever else wants to open it waits for the epochs (see `stripe`), and the thread
        // itself does not come here again from `f`.
        unsafe {
            f(&mut *self.stripe.cell().get())
        }
        #[cfg(binlock_loom)]
        // SAFETY: as above; loom checks it.
        self.stripe.cell().with_mut(|open| unsafe { f(&mut *open) })
    }
}

impl Share for Biased<'_> {
    #[inline(always)]
    fn take_spare(self) -> Option<Word> {
        self.open(Open::take_spare)
    }

    #[inline(always)]
    fn give_spare(self, spare: Word) -> Result<(), Word> {
        self.open(|open| open.give_spare(spare))
    }

    #[inline(always)]
    fn retire(self, piece: Retired) -> Result<(), Retired> {
        self.open(|open| open.retire(piece))
    }

    #[inline(always)]
    fn add_to_count(self, change: isize) -> bool {
        self.stripe.add_alone(change);
        false
    }
}

impl Share for Shared<'_> {
    #[inline(never)]
    fn take_spare(self) -> Option<Word> {
        // (A thread's own stripe is opened even so: that gives it its bias back.)
        if !self.mine.is_own() && !self.mine.may_have_spare() {
            return None;
        }
        let spare = self.mine.open(self.guard, Open::take_spare)?;
        if spare.is_none() {
            self.mine.set_has_spare(false);
        }
        spare
    }

    /// (It has not been worth a lock: those who share a stripe are many, and it is about the
    /// memory of one node.)
    #[inline]
    fn give_spare(self, spare: Word) -> Result<(), Word> {
        Err(spare)
    }

    #[inline(never)]
    fn retire(self, piece: Retired) -> Result<(), Retired> {
        let mut piece = Some(piece);
        let retire = |open: &mut Open| piece.take().map_or(Ok(()), |piece| open.retire(piece));
        match self.mine.open(self.guard, retire) {
            Some(retired) => retired,
            None => piece.map_or(Ok(()), Err),
        }
    }

    #[inline]
    fn add_to_count(self, change: isize) -> bool {
        self.mine.add_to_count(change)
    }
}

/// The right to a stripe's open part by its lock.
pub(super) struct OpenLock<'a> {
    stripe: &'a Stripe,
    #[cfg(not(binlock_loom))]
    open: &'a UnsafeCell<Open>,
    /// Tells loom how long the cell is borrowed.
    #[cfg(binlock_loom)]
    open: Option<loom::cell::MutPtr<Open>>,
    /// `&OpenLock` gives `&Open`, which is for one thread.
    not_sync: PhantomData<Cell<()>>,
}

impl<'a> OpenLock<'a> {
    /// For who has just taken the lock, and either the stripe is nobody's own, or it has been
    /// revoked as `stripe` says.
    #[inline]
    pub(super) fn new(stripe: &'a Stripe) -> OpenLock<'a> {
        OpenLock {
            stripe,
            #[cfg(not(binlock_loom))]
            open: stripe.cell(),
            #[cfg(binlock_loom)]
            open: Some(stripe.cell().get_mut()),
            not_sync: PhantomData,
        }
    }
}

impl Deref for OpenLock<'_> {
    type Target = Open;

    #[inline]
    fn deref(&self) -> &Open {
        #[cfg(not(binlock_loom))]
        // SAFETY: whoever has the stripe open has the cell alone until it is unlocked.
        unsafe {
            &*self.open.get()
        }
        #[cfg(binlock_loom)]
        // SAFETY: as above; loom checks it.
        unsafe {
            self.open.as_ref().unwrap().deref()
        }
    }
}

impl DerefMut for OpenLock<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Open {
        #[cfg(not(binlock_loom))]
        // SAFETY: as in `deref`, and `self` is borrowed exclusively.
        unsafe {
            &mut *self.open.get()
        }
        #[cfg(binlock_loom)]
        // SAFETY: as above; loom checks it.
        unsafe {
            self.open.as_ref().unwrap().deref()
        }
    }
}

impl Drop for OpenLock<'_> {
    #[inline]
    fn drop(&mut self) {
        #[cfg(binlock_loom)]
        drop(self.open.take());
        self.stripe.unlock();
    }
}
