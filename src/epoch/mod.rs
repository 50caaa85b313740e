//! Pinning: this crate's own crossbeam-epoch collector.
//!
//! It is one for all maps of the process, and not crossbeam's default one: a guard that
//! some other library holds for long must not keep this crate's garbage. And a thread's pin *lingers*
//! when an operation ends, so that the next one need not pay for a pin of its own (see [`linger`]).
//!
//! A pin used to be a fence as well. Of that, one thing is missed where none is: that what an operation
//! writes is there for all threads before the next operation of its thread looks at another key. (A load may
//! be ahead of a store. Two threads that each insert a key and look for the other's would both find none.)
//! So the end of a pin is a fence, unless it was only [to read](pin_to_read), as most of those that a user
//! holds for several operations are (one that writes says so, [`Guard::set_writing`]); or, if what a write returns keeps
//! the pin, its [going over](Guard::keep) into that.
//!
//! What is deferred here never runs user code and never frees more than a few bytes:
//! it only tells a map that a batch of its garbage may be freed (see `raw::retire`).

/// What an operation is pinned by: a guard of its own, or one that it was lent.
pub trait Pins {
    fn guard(&self) -> &Guard;

    /// The same pin, for an operation that turns out to write.
    fn into_writing(self) -> Self;

    /// Runs something that may take long, without the pin if that is the operation's own.
    ///
    /// For who has claimed a key, or nothing, and has written nothing else that others could see: that is not
    /// there for all threads when this begins. (But for a claim on an absent key; see `raw::claiming`.)
    fn unpinned<R>(&mut self, f: impl FnOnce() -> R) -> R;
}

impl Pins for Guard {
    #[inline(always)]
    fn guard(&self) -> &Guard {
        self
    }

    #[inline(always)]
    fn into_writing(self) -> Guard {
        Guard::into_writing(self)
    }

    #[inline]
    fn unpinned<R>(&mut self, f: impl FnOnce() -> R) -> R {
        // No fence: look-ups do not see claims, and for writers there has been one, if there had to be.
        self.set_reading();
        between_pins(self, f)
    }
}

impl Pins for &Guard {
    #[inline(always)]
    fn guard(&self) -> &Guard {
        self
    }

    #[inline(always)]
    fn into_writing(self) -> Self {
        self.set_writing();
        self
    }

    #[inline]
    fn unpinned<R>(&mut self, f: impl FnOnce() -> R) -> R {
        f()
    }
}

/// Lets go of the pin, and pins anew, so that what was retired under the old one can be freed; does nothing
/// if the thread is pinned by another guard as well.
///
/// (Not by crossbeam's `Guard::repin`, which has no fence. It tells the others that this thread
/// is in the next epoch, but a load that comes after it may be made before it, in the old epoch
/// still: a relaxed one on any machine that reorders loads. What such a load finds can have been
/// retired in the old epoch, and then the new pin does not keep it.)
pub(crate) fn repin(guard: &mut Guard) {
    between_pins(guard, || ());
    guard.set_reading();
}

#[cfg(not(binlock_shuttle))]
mod barrier;
#[cfg(not(binlock_shuttle))]
pub(crate) mod linger;
#[cfg(any(binlock_loom, binlock_shuttle))]
mod model;
#[cfg(not(any(binlock_loom, binlock_shuttle)))]
mod real;

#[cfg(any(binlock_loom, binlock_shuttle))]
pub(crate) use self::model::*;
#[cfg(not(any(binlock_loom, binlock_shuttle)))]
pub(crate) use self::real::*;
