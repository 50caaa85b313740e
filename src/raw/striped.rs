//! Values spread over threads, so that what every write touches is not one cache line
//! that all cores fight for.
//!
//! A descendant of Java's `LongAdder` (Doug Lea, JSR 166): a map begins with a single
//! stripe inside itself, and gets as many as the machine can use once two threads have
//! been seen to meet there. Small maps, and maps that one thread uses, stay small.

use std::ptr;

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicPtr, Ordering, const_unless_loom};

/// One `T` for all threads at first, several later.
pub(super) struct Striped<T> {
    first: CachePadded<T>,
    /// Null, or `stripes()` values in a boxed slice. Written once.
    more: AtomicPtr<CachePadded<T>>,
}

impl<T> Striped<T> {
    const_unless_loom! {
        pub(super) const fn new(first: T) -> Striped<T> {
            Striped { first: CachePadded::new(first), more: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// The stripe that this thread uses.
    #[inline]
    pub(super) fn mine(&self) -> &T {
        match self.more() {
            None => &self.first,
            Some(more) => &more[thread_index() & (more.len() - 1)],
        }
    }

    /// All stripes, beginning with this thread's own.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        let more = self.more().unwrap_or_default();
        let start = if more.is_empty() { 0 } else { thread_index() & (more.len() - 1) };
        let first: &T = &self.first;
        let (before, from) = more.split_at(start);
        let striped = from.iter().chain(before).map(|stripe| -> &T { stripe });
        let (early, late) = if more.is_empty() { (Some(first), None) } else { (None, Some(first)) };
        early.into_iter().chain(striped).chain(late)
    }

    #[inline]
    fn more(&self) -> Option<&[CachePadded<T>]> {
        // Acquire: the stripes' first values are visible.
        let more = self.more.load(Ordering::Acquire);
        if more.is_null() {
            return None;
        }
        // SAFETY: made by `spread_out` from a boxed slice of this length, never changed
        // again, and freed only by `drop`.
        Some(unsafe { std::slice::from_raw_parts(more, stripes()) })
    }
}

impl<T: Default> Striped<T> {
    /// Called by a thread that has met another one at its stripe.
    #[cold]
    pub(super) fn spread_out(&self) {
        if !self.more.load(Ordering::Relaxed).is_null() || stripes() == 1 {
            return;
        }
        let more: Box<[CachePadded<T>]> = (0..stripes()).map(|_| CachePadded::default()).collect();
        let more = Box::into_raw(more).cast::<CachePadded<T>>();
        // Release: publishes the stripes.
        if self
            .more
            .compare_exchange(ptr::null_mut(), more, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            // SAFETY: from `Box::into_raw` above, and another thread's were taken.
            drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(more, stripes())) });
        }
    }
}

impl<T> Drop for Striped<T> {
    fn drop(&mut self) {
        let more = self.more.load(Ordering::Relaxed);
        if !more.is_null() {
            // SAFETY: from `Box::into_raw` in `spread_out`; nobody else has access.
            drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(more, stripes())) });
        }
    }
}

/// How many stripes the machine can use: a power of two, twice its parallelism.
#[cfg(not(any(loom, shuttle)))]
fn stripes() -> usize {
    use std::sync::atomic::AtomicUsize;

    static STRIPES: AtomicUsize = AtomicUsize::new(0);
    match STRIPES.load(Ordering::Relaxed) {
        0 => {
            let parallelism = std::thread::available_parallelism().map_or(1, |n| n.get());
            let stripes = (2 * parallelism).next_power_of_two().min(256);
            // The parallelism can change while the program runs; the first answer is
            // binding, as slices are freed with this length.
            match STRIPES.compare_exchange(0, stripes, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => stripes,
                Err(earlier) => earlier,
            }
        }
        stripes => stripes,
    }
}

#[cfg(any(loom, shuttle))]
fn stripes() -> usize {
    2
}

/// A small number that tells this thread from most others.
#[cfg(not(any(loom, shuttle)))]
#[inline]
fn thread_index() -> usize {
    use std::{
        cell::Cell,
        sync::atomic::{AtomicUsize, Ordering},
    };

    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        // Without a destructor, so that it works in other thread-locals' destructors.
        static INDEX: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    INDEX.with(|index| {
        if index.get() == usize::MAX {
            index.set(NEXT.fetch_add(1, Ordering::Relaxed) & (usize::MAX >> 1));
        }
        index.get()
    })
}

#[cfg(any(loom, shuttle))]
use crate::sync::thread_number as thread_index;

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn every_stripe_is_visited_once_before_and_after_spreading_out() {
        let striped = Striped::new(AtomicUsize::new(0));
        assert_eq!(striped.all().count(), 1);
        striped.mine().fetch_add(1, Ordering::Relaxed);
        striped.spread_out();
        striped.spread_out();
        striped.mine().fetch_add(1, Ordering::Relaxed);
        assert_eq!(striped.all().count(), if stripes() == 1 { 1 } else { stripes() + 1 });
        assert_eq!(striped.all().map(|n| n.load(Ordering::Relaxed)).sum::<usize>(), 2);
        assert!(ptr::eq(striped.all().next().unwrap(), striped.mine()));
    }
}
