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

#[cfg(not(any(binlock_loom, binlock_shuttle)))]
use std::cell::Cell;
use std::{marker::PhantomData, ops::Deref, ptr};

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicPtr, Ordering, const_unless_loom};

/// One `T` for all threads at first, several later.
pub(super) struct Striped<T> {
    first: CachePadded<T>,
    /// Null, or a boxed slice of `Shape::len` pointers: first those to the stripes that threads
    /// have of their own, by number, then those to the shared ones. Written once.
    more: AtomicPtr<Pointer<T>>,
}

/// Null, or a boxed stripe, made when a thread whose seat it is begins to write. Written once.
/// (Programs have more threads than processors, sometimes many more; each one that writes should
/// have a stripe of its own, and each map not pay for all of them.)
type Pointer<T> = AtomicPtr<CachePadded<T>>;

/// The stripe that the current thread uses.
pub(super) struct Mine<'a, T> {
    stripe: &'a T,
    not_send: PhantomData<*const ()>,
}

/// What there can be stripes of.
pub(super) trait Make {
    /// `is_own` is whether the stripe is going to be some thread's own.
    fn make(is_own: bool) -> Self;
}

impl<T> Clone for Mine<'_, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Mine<'_, T> {}

impl<'a, T> Mine<'a, T> {
    #[inline(always)]
    fn new(stripe: &'a T) -> Self {
        Mine { stripe, not_send: PhantomData }
    }

    /// The stripe without the knowledge of whose it is.
    #[inline(always)]
    pub(super) fn stripe(self) -> &'a T {
        self.stripe
    }
}

impl<T> Deref for Mine<'_, T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        self.stripe
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
        self.existing_mine().unwrap_or_else(|| Mine::new(self.mine_so_far()))
    }

    /// `None` if this thread, or another one of its seat, has not been here yet.
    #[inline(always)]
    pub(super) fn existing_mine(&self) -> Option<Mine<'_, T>> {
        // Acquire: the pointers' first values are visible.
        let more = self.more.load(Ordering::Acquire);
        if more.is_null() {
            return Some(Mine::new(&self.first));
        }
        // SAFETY: made by `spread_out` from a boxed slice of `Shape::len` pointers, never changed
        // again, and freed only by `drop`. The index is in its bounds.
        let pointer = unsafe { &*more.add(Seat::mine().index()) };
        // Acquire: the stripe's first value is visible.
        let stripe = pointer.load(Ordering::Acquire);
        // SAFETY: null, or made by `make_mine`, and freed only by `drop`.
        unsafe { stripe.as_ref() }.map(|stripe| Mine::new(&**stripe))
    }

    /// The stripe of a thread that has not been found, without making one.
    #[cold]
    #[inline(never)]
    fn mine_so_far(&self) -> &T {
        let pointer = &self.more()[Seat::find().index()];
        // Acquire, SAFETY: as in `existing_mine`.
        match unsafe { pointer.load(Ordering::Acquire).as_ref() } {
            Some(stripe) => stripe,
            None => &self.first,
        }
    }

    /// All stripes.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.own().chain(self.shared())
    }

    /// The stripes that threads have, or had, of their own; none before there are several.
    pub(super) fn own(&self) -> impl Iterator<Item = &T> {
        let more = self.more();
        existing(&more[..more.len().min(Shape::get().first_shared())])
    }

    /// The stripes that are nobody's own.
    pub(super) fn shared(&self) -> impl Iterator<Item = &T> {
        let more = self.more();
        existing(&more[more.len().min(Shape::get().first_shared())..]).chain([&*self.first])
    }

    /// All stripes, for whoever has them alone.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let Striped { first, more } = self;
        let more = more.load(Ordering::Relaxed);
        let more: &mut [Pointer<T>] = if more.is_null() {
            &mut []
        } else {
            // SAFETY: as in `more`, and borrowed exclusively.
            unsafe { std::slice::from_raw_parts_mut(more, Shape::get().len()) }
        };
        let stripes = more.iter_mut().filter_map(|pointer| {
            // SAFETY: as in `existing`, and borrowed exclusively.
            unsafe { pointer.load(Ordering::Relaxed).as_mut() }
        });
        stripes.chain([first]).map(|stripe| -> &mut T { stripe })
    }

    #[inline]
    fn more(&self) -> &[Pointer<T>] {
        // Acquire: as in `existing_mine`.
        let more = self.more.load(Ordering::Acquire);
        if more.is_null() {
            return &[];
        }
        // SAFETY: made by `spread_out` from a boxed slice of this length, never changed
        // again, and freed only by `drop`.
        unsafe { std::slice::from_raw_parts(more, Shape::get().len()) }
    }
}

fn existing<T>(pointers: &[Pointer<T>]) -> impl Iterator<Item = &T> {
    pointers.iter().filter_map(|pointer| {
        // Acquire: as in `existing_mine`.
        let stripe = pointer.load(Ordering::Acquire);
        // SAFETY: made by `make_mine`, and freed only with the pointers.
        unsafe { stripe.as_ref() }.map(|stripe| -> &T { stripe })
    })
}

impl<T: Make> Striped<T> {
    /// The same as [`Striped::mine`], for a thread that is going to use it often.
    #[inline(always)]
    pub(super) fn mine_to_keep(&self) -> Mine<'_, T> {
        self.existing_mine().unwrap_or_else(|| Mine::new(self.make_mine()))
    }

    /// Finds or makes the stripe. Threads that share it may both do so, or one from within its
    /// allocator.
    #[cold]
    #[inline(never)]
    fn make_mine(&self) -> &T {
        let seat = Seat::find();
        let pointer = &self.more()[seat.index()];
        // Acquire: as in `existing_mine`.
        let mut stripe = pointer.load(Ordering::Acquire);
        if stripe.is_null() {
            let new = Box::into_raw(Box::new(CachePadded::new(T::make(seat.is_own()))));
            // Release: publishes the stripe. Acquire: another one is published.
            stripe = match pointer.compare_exchange(
                ptr::null_mut(),
                new,
                Ordering::Release,
                Ordering::Acquire,
            ) {
                Ok(_) => new,
                Err(other) => {
                    // SAFETY: from `Box::into_raw` above, and not published.
                    drop(unsafe { Box::from_raw(new) });
                    other
                }
            };
        }
        // SAFETY: as in `existing_mine`.
        unsafe { &*stripe }
    }

    /// Called by a thread that has met another one at its stripe, and when there is much to
    /// write to.
    #[cold]
    pub(super) fn spread_out(&self) {
        if !self.more.load(Ordering::Relaxed).is_null() {
            return;
        }
        let len = Shape::get().len();
        let more: Box<[Pointer<T>]> = (0..len).map(|_| AtomicPtr::new(ptr::null_mut())).collect();
        let more = Box::into_raw(more).cast::<Pointer<T>>();
        // Release: publishes the pointers.
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
        if more.is_null() {
            return;
        }
        let more = ptr::slice_from_raw_parts_mut(more, Shape::get().len());
        // SAFETY: from `Box::into_raw` in `spread_out`; nobody else has access.
        let more: Box<[Pointer<T>]> = unsafe { Box::from_raw(more) };
        for pointer in &more {
            let stripe = pointer.load(Ordering::Relaxed);
            if !stripe.is_null() {
                // SAFETY: from `Box::into_raw` in `make_mine`; nobody else has access.
                drop(unsafe { Box::from_raw(stripe) });
            }
        }
    }
}

/// Which of the stripes a thread uses, in any map: the index of the pointer to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seat(usize);

impl Seat {
    /// The seat of threads that have not found theirs: there is never a stripe, and so no more to
    /// ask for those who have.
    #[cfg(not(any(binlock_loom, binlock_shuttle)))]
    const UNKNOWN: Seat = Seat(0);

    /// Of the thread with this number.
    fn of(number: usize) -> Seat {
        let shape = Shape::get();
        if number < shape.own {
            Seat(1 + number)
        } else {
            Seat(shape.first_shared() + (number & (shape.shared - 1)))
        }
    }

    #[inline(always)]
    fn index(self) -> usize {
        self.0
    }

    /// Whether no two threads that are alive have it.
    fn is_own(self) -> bool {
        (1..Shape::get().first_shared()).contains(&self.0)
    }

    /// Of this thread.
    #[cfg(any(binlock_loom, binlock_shuttle))]
    fn mine() -> Seat {
        Seat::find()
    }

    #[cfg(any(binlock_loom, binlock_shuttle))]
    fn find() -> Seat {
        Seat::of(crate::sync::thread_number())
    }
}

#[cfg(not(any(binlock_loom, binlock_shuttle)))]
impl Seat {
    /// Of this thread, if it has found it.
    #[inline(always)]
    fn mine() -> Seat {
        SEAT.get()
    }

    #[cold]
    fn find() -> Seat {
        let seat = Seat::of(super::numbers::mine());
        SEAT.set(seat);
        seat
    }

    /// For a thread that gives its number back.
    pub(super) fn forget() {
        SEAT.set(Seat::UNKNOWN);
    }
}

#[cfg(not(any(binlock_loom, binlock_shuttle)))]
thread_local! {
    // Without a destructor, so that it can be read at any time. (It goes with the thread's number,
    // and saves finding out each time which kind of stripe that stands for.)
    static SEAT: Cell<Seat> = const { Cell::new(Seat::UNKNOWN) };
}

/// How many stripes there are, of either kind.
#[derive(Clone, Copy)]
struct Shape {
    own: usize,
    /// A power of two.
    shared: usize,
}

impl Shape {
    /// The first index of a shared one. (Index 0 is that of an unknown seat.)
    fn first_shared(self) -> usize {
        1 + self.own
    }

    fn len(self) -> usize {
        self.first_shared() + self.shared
    }

    /// What the machine can use: as many of each kind as twice its processors, and at least 64 of
    /// threads' own, as they cost no more than a pointer each.
    #[cfg(not(any(binlock_loom, binlock_shuttle)))]
    #[inline]
    fn get() -> Shape {
        use std::sync::atomic::AtomicUsize;

        /// The shared ones; zero if nobody has asked yet.
        static SHARED: AtomicUsize = AtomicUsize::new(0);

        #[cold]
        fn first_answer() -> usize {
            let shared = (2 * crate::sync::processors()).next_power_of_two().min(128);
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
        Shape { own: shared.max(64), shared }
    }

    #[cfg(any(binlock_loom, binlock_shuttle))]
    fn get() -> Shape {
        Shape { own: 2, shared: 1 }
    }
}

#[cfg(all(test, not(any(binlock_loom, binlock_shuttle))))]
mod tests {
    use std::{
        sync::{
            Barrier, Mutex,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use super::*;

    struct Counter {
        number: AtomicUsize,
        is_own: bool,
    }

    impl Make for Counter {
        fn make(is_own: bool) -> Self {
            Counter { number: AtomicUsize::new(0), is_own }
        }
    }

    impl Counter {
        fn count(&self) {
            self.number.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn every_stripe_is_visited_once_before_and_after_spreading_out() {
        let mut striped = Striped::new(Counter::make(false));
        let sum = |stripes: &mut dyn Iterator<Item = &Counter>| -> usize {
            stripes.map(|stripe| stripe.number.load(Ordering::Relaxed)).sum()
        };
        assert_eq!(striped.all().count(), 1);
        striped.mine_to_keep().count();
        striped.spread_out();
        striped.spread_out();
        assert_eq!(striped.all().count(), 1);
        striped.mine().count();
        assert_eq!(striped.all().count(), 1);
        for _ in 0..2 {
            striped.mine_to_keep().count();
            striped.mine().count();
            assert_eq!(striped.all().count(), 2);
        }
        assert_eq!(sum(&mut striped.all()), 6);
        for stripe in striped.all_mut() {
            *stripe.number.get_mut() += 1;
        }
        assert_eq!(sum(&mut striped.own().chain(striped.shared())), 8);
    }

    #[test]
    fn no_two_threads_have_the_same_stripe_as_their_own() {
        let threads = 3 * Shape::get().own;
        let striped = &Striped::new(Counter::make(false));
        striped.spread_out();
        let (barrier, owners) = (&Barrier::new(threads), &Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(move || {
                    let mine = striped.mine_to_keep();
                    let again = striped.mine().stripe();
                    // All are alive until here. (Nothing that can panic comes before: the others would
                    // wait for ever.)
                    barrier.wait();
                    assert!(ptr::eq(mine.stripe(), again));
                    if mine.is_own {
                        owners.lock().unwrap().push(ptr::from_ref(mine.stripe()).addr());
                        assert!(striped.own().any(|stripe| ptr::eq(stripe, mine.stripe())));
                    } else {
                        assert!(striped.shared().any(|stripe| ptr::eq(stripe, mine.stripe())));
                    }
                });
            }
        });
        let mut owners = owners.lock().unwrap();
        owners.sort();
        assert!(owners.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
