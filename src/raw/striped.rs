//! Values spread over threads, so that what every write touches is not one cache line
//! that all cores fight for, nor, most of the time, one that takes a locked instruction.
//!
//! A descendant of Java's `LongAdder` (Doug Lea, JSR 166): a map begins with a single
//! stripe inside itself, and gets more when two threads have been seen to meet there, or when
//! its table is as large as the stripes are. Small maps stay small.
//!
//! Where `LongAdder` hashes threads to cells, the first threads (by their numbers, see
//! `numbers`) have a stripe of their *own* each, which no other live thread has. All others
//! share some stripes.

use std::{ops::Deref, ptr};

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicPtr, Ordering, const_unless_loom};

#[cfg(not(any(loom, shuttle)))]
use super::numbers::mine as number;
#[cfg(any(loom, shuttle))]
use crate::sync::thread_number as number;

/// One `T` for all threads at first, several later.
pub(super) struct Striped<T> {
    first: CachePadded<T>,
    /// Null, or a boxed slice of `Shape::len` values: first those that threads have of their
    /// own, by number, then those that are shared. Written once.
    more: AtomicPtr<CachePadded<T>>,
}

/// The stripe that a thread uses.
pub(super) struct Mine<'a, T> {
    value: &'a T,
    /// Whether no other thread that is alive uses it as its own.
    pub(super) is_own: bool,
}

impl<'a, T> Mine<'a, T> {
    /// The stripe without the knowledge of whose it is.
    #[inline]
    pub(super) fn stripe(&self) -> &'a T {
        self.value
    }
}

impl<T> Deref for Mine<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.value
    }
}

impl<T> Striped<T> {
    const_unless_loom! {
        pub(super) const fn new(first: T) -> Striped<T> {
            Striped { first: CachePadded::new(first), more: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// The stripe that this thread uses, its own if it has one.
    #[inline]
    pub(super) fn mine(&self) -> Mine<'_, T> {
        // Acquire: the stripes' first values are visible.
        let more = self.more.load(Ordering::Acquire);
        if more.is_null() {
            return Mine { value: &self.first, is_own: false };
        }
        let shape = Shape::get();
        let number = number();
        let is_own = number < shape.own;
        let index = if is_own { number } else { shape.own + (number & (shape.shared - 1)) };
        // SAFETY: made by `spread_out` from a boxed slice of `own + shared` values, never changed
        // again, and freed only by `drop`. The index is in its bounds.
        let value = unsafe { &*more.add(index) };
        Mine { value, is_own }
    }

    /// All stripes.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.own().chain(self.shared())
    }

    /// The stripes that threads have, or may have, of their own; none before there are several.
    pub(super) fn own(&self) -> impl Iterator<Item = &T> {
        let more = self.more();
        more[..more.len().min(Shape::get().own)].iter().map(|stripe| -> &T { stripe })
    }

    /// The stripes that are nobody's own.
    pub(super) fn shared(&self) -> impl Iterator<Item = &T> {
        let more = self.more();
        let shared = more[more.len().min(Shape::get().own)..].iter();
        shared.map(|stripe| -> &T { stripe }).chain([&*self.first])
    }

    /// All stripes, for whoever has them alone.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let more = self.more.load(Ordering::Relaxed);
        let more: &mut [CachePadded<T>] = if more.is_null() {
            &mut []
        } else {
            // SAFETY: as in `more`, and borrowed exclusively.
            unsafe { std::slice::from_raw_parts_mut(more, Shape::get().len()) }
        };
        more.iter_mut().chain([&mut self.first]).map(|stripe| -> &mut T { stripe })
    }

    #[inline]
    fn more(&self) -> &[CachePadded<T>] {
        // Acquire: as in `mine`.
        let more = self.more.load(Ordering::Acquire);
        if more.is_null() {
            return &[];
        }
        // SAFETY: made by `spread_out` from a boxed slice of this length, never changed
        // again, and freed only by `drop`.
        unsafe { std::slice::from_raw_parts(more, Shape::get().len()) }
    }
}

impl<T: Default> Striped<T> {
    /// Called by a thread that has met another one at its stripe, and when there is much to
    /// write to.
    #[cold]
    pub(super) fn spread_out(&self) {
        if !self.more.load(Ordering::Relaxed).is_null() {
            return;
        }
        let len = Shape::get().len();
        let more: Box<[CachePadded<T>]> = (0..len).map(|_| CachePadded::default()).collect();
        let more = Box::into_raw(more).cast::<CachePadded<T>>();
        // Release: publishes the stripes.
        if self
            .more
            .compare_exchange(ptr::null_mut(), more, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            // SAFETY: from `Box::into_raw` above, and another thread's were taken.
            drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(more, len)) });
        }
    }
}

impl<T> Drop for Striped<T> {
    fn drop(&mut self) {
        let more = self.more.load(Ordering::Relaxed);
        if !more.is_null() {
            let len = Shape::get().len();
            // SAFETY: from `Box::into_raw` in `spread_out`; nobody else has access.
            drop(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(more, len)) });
        }
    }
}

/// How many stripes there are, of either kind.
#[derive(Clone, Copy)]
struct Shape {
    own: usize,
    /// A power of two.
    shared: usize,
}

impl Shape {
    fn len(self) -> usize {
        self.own + self.shared
    }

    /// What the machine can use: as many of each kind as twice its processors, at least eight of
    /// threads' own.
    #[cfg(not(any(loom, shuttle)))]
    #[inline]
    fn get() -> Shape {
        use std::sync::atomic::AtomicUsize;

        /// The shared ones; zero if nobody has asked yet.
        static SHARED: AtomicUsize = AtomicUsize::new(0);

        #[cold]
        fn first_answer() -> usize {
            let parallelism = std::thread::available_parallelism().map_or(1, |n| n.get());
            let shared = (2 * parallelism).next_power_of_two().min(128);
            // The parallelism can change while the program runs; the first answer is
            // binding, as slices are freed with this length.
            match SHARED.compare_exchange(0, shared, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => shared,
                Err(earlier) => earlier,
            }
        }

        let shared = match SHARED.load(Ordering::Relaxed) {
            0 => first_answer(),
            shared => shared,
        };
        Shape { own: shared.max(8), shared }
    }

    #[cfg(any(loom, shuttle))]
    fn get() -> Shape {
        Shape { own: 2, shared: 1 }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::{
        sync::{
            Barrier, Mutex,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use super::*;

    #[test]
    fn every_stripe_is_visited_once_before_and_after_spreading_out() {
        let mut striped = Striped::new(AtomicUsize::new(0));
        assert_eq!(striped.all().count(), 1);
        striped.mine().fetch_add(1, Ordering::Relaxed);
        striped.spread_out();
        striped.spread_out();
        striped.mine().fetch_add(1, Ordering::Relaxed);
        assert_eq!(striped.all().count(), Shape::get().len() + 1);
        assert_eq!(striped.all().map(|n| n.load(Ordering::Relaxed)).sum::<usize>(), 2);
        for stripe in striped.all_mut() {
            *stripe.get_mut() += 1;
        }
        let sum = striped.own().chain(striped.shared()).map(|n| n.load(Ordering::Relaxed));
        assert_eq!(sum.sum::<usize>(), Shape::get().len() + 3);
    }

    #[test]
    fn no_two_threads_have_the_same_stripe_as_their_own() {
        let threads = 3 * Shape::get().own;
        let striped = &Striped::new(AtomicUsize::new(0));
        striped.spread_out();
        let (barrier, owners) = (&Barrier::new(threads), &Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(move || {
                    let mine = striped.mine();
                    if mine.is_own {
                        owners.lock().unwrap().push(ptr::from_ref(mine.stripe()).addr());
                        assert!(striped.own().any(|stripe| ptr::eq(stripe, mine.stripe())));
                    } else {
                        assert!(striped.shared().any(|stripe| ptr::eq(stripe, mine.stripe())));
                    }
                    // All are alive until here.
                    barrier.wait();
                });
            }
        });
        let mut owners = owners.lock().unwrap();
        owners.sort();
        assert!(owners.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
