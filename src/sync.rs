//! The one door to atomics, locks and yielding: std's, or loom's under `--cfg binlock_loom`, or
//! shuttle's under `--cfg binlock_shuttle`. (Not `--cfg loom`: that is for users who test their own
//! code by loom, with this crate as it is.)
//!
//! Everything concurrent in this crate imports from here, so that the models in
//! `loom-tests` and the scenarios in `shuttle-tests` run the very code that users run.

#[cfg(not(any(binlock_loom, binlock_shuttle)))]
pub(crate) use std::sync::{
    Arc, Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicIsize, AtomicPtr, AtomicU64, AtomicUsize, Ordering},
};

#[cfg(binlock_loom)]
pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard, atomic::Ordering};

#[cfg(binlock_loom)]
pub(crate) use self::watched::{
    AtomicBool, AtomicIsize, AtomicPtr, AtomicU64, AtomicUsize, others,
};
#[cfg(binlock_loom)]
pub use self::watched::{Others, set_others};

#[cfg(binlock_shuttle)]
pub(crate) use std::sync::{Arc, atomic::Ordering};

#[cfg(binlock_shuttle)]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard};

#[cfg(binlock_shuttle)]
pub(crate) use self::scheduled::{
    AtomicBool, AtomicIsize, AtomicPtr, AtomicU64, AtomicUsize, scheduling_point,
};

/// The allocator, which under loom notices what is leaked or freed twice.
#[cfg(not(binlock_loom))]
pub(crate) use std::alloc;
#[cfg(binlock_loom)]
pub(crate) mod alloc {
    pub(crate) use std::alloc::handle_alloc_error;

    pub(crate) use loom::alloc::{Layout, alloc, alloc_zeroed, dealloc};
}

/// Loom's number for this thread. (Loom's threads share one of the system's, and say which
/// they are in their id's `Debug` alone.)
#[cfg(binlock_loom)]
pub(crate) fn thread_number() -> usize {
    loom::thread_local! {
        static NUMBER: usize = format!("{:?}", loom::thread::current().id())
            .bytes()
            .filter(u8::is_ascii_digit)
            .fold(0, |number, digit| 10 * number + usize::from(digit - b'0'));
    }
    NUMBER.with(|number| *number)
}

/// Shuttle's number for this thread. (Its threads share one of the system's.)
#[cfg(binlock_shuttle)]
pub(crate) fn thread_number() -> usize {
    shuttle::current::me().into()
}

/// How many threads can run at once: the first answer, as asking takes long.
#[cfg(not(any(binlock_loom, binlock_shuttle)))]
pub(crate) fn processors() -> usize {
    // (Not in a `OnceLock`: whoever asks calls the allocator, which may use a map, and so come here.)
    static PROCESSORS: AtomicUsize = AtomicUsize::new(0);
    let known = PROCESSORS.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    PROCESSORS.store(processors, Ordering::Relaxed);
    processors
}

/// A fence behind an exchange, which costs nothing where that is one itself.
///
/// For two threads, this one that exchanges and then loads, and another one that stores, has a fence, and then
/// loads what this one exchanges: either that load sees the exchange, or this thread's loads see the store.
/// (Hence sequentially consistent: nothing weaker orders a load behind a store.)
#[inline(always)]
pub(crate) fn fence_after_exchange() {
    #[cfg(not(any(binlock_loom, binlock_shuttle)))]
    if cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
        // The exchange is a fence there.
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
    } else {
        std::sync::atomic::fence(Ordering::SeqCst);
    }
    // Loom takes its time for fences. (Under shuttle, nothing overtakes anything.)
    #[cfg(binlock_loom)]
    if others() == Others::There {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

/// Defines a function that is `const` except under loom, whose atomics have no
/// `const` constructors.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis const fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty $body:block) => {
        #[cfg(not(binlock_loom))]
        $(#[$meta])*
        $vis const fn $name($($arg: $ty),*) -> $ret $body

        #[cfg(binlock_loom)]
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) -> $ret $body
    };
}
pub(crate) use const_unless_loom;

/// Loads, relaxed, what an exchange is about to be tried with.
///
/// If it is old, the exchange fails and says what is there. So loom gets the newest value, and does
/// not go through all that follows for each of the old ones as well: that makes models of two
/// insertions four to nine times as long. It gets it from an exchange that fails, because one that
/// writes can come behind another thread's store (see `watched::AtomicBool::swap`).
macro_rules! load_to_exchange {
    ($atomic:expr) => {{
        #[cfg(not(binlock_loom))]
        let value = $atomic.load($crate::sync::Ordering::Relaxed);
        #[cfg(binlock_loom)]
        let value = {
            // Neither a count nor a header of any model.
            const NEVER: i16 = 0x5eed;
            let relaxed = $crate::sync::Ordering::Relaxed;
            match $crate::sync::others() {
                $crate::sync::Others::ToCome => $atomic.load(relaxed),
                _ => match $atomic.compare_exchange(NEVER as _, NEVER as _, relaxed, relaxed) {
                    Ok(value) | Err(value) => value,
                },
            }
        };
        value
    }};
}
pub(crate) use load_to_exchange;

/// Waiting for another thread to leave a critical section of a few instructions.
///
/// It spins for a moment (the holder is most likely running on another core), then
/// yields the processor, and at last sleeps. Yielding is what matters when there are
/// more threads than cores: the holder may have been preempted, and every time slice
/// spent spinning is one that it does not get. Sleeping is for schedulers whose yield
/// never lets a thread of lower priority run.
pub(crate) struct Backoff {
    step: u32,
}

#[cfg(not(any(binlock_loom, binlock_shuttle)))]
impl Backoff {
    /// Rounds of spinning; round `n` lasts `2^n` pause instructions.
    const SPINS: u32 = 6;
    /// Rounds of yielding after that.
    const YIELDS: u32 = 24;
    /// The longest sleep is `2^MAX_SLEEP` times 32 microseconds: about a millisecond.
    const MAX_SLEEP: u32 = 5;

    pub(crate) fn new() -> Self {
        Backoff { step: 0 }
    }

    #[cold]
    pub(crate) fn wait(&mut self) {
        let step = self.step;
        self.step = step.saturating_add(1);
        if step < Self::SPINS {
            for _ in 0..1u32 << step {
                std::hint::spin_loop();
            }
        } else if step < Self::SPINS + Self::YIELDS {
            std::thread::yield_now();
        } else {
            let doublings = (step - Self::SPINS - Self::YIELDS).min(Self::MAX_SLEEP);
            std::thread::sleep(std::time::Duration::from_micros(32 << doublings));
        }
    }
}

#[cfg(binlock_loom)]
impl Backoff {
    pub(crate) fn new() -> Self {
        Backoff { step: 0 }
    }

    pub(crate) fn wait(&mut self) {
        self.step += 1;
        // Two that wait for a third would take turns for ever in some interleavings. They
        // may do so a few times; then the rest of the interleaving is run, but not varied.
        if self.step > 2 {
            loom::skip_branch();
        }
        loom::thread::yield_now();
    }
}

#[cfg(binlock_shuttle)]
impl Backoff {
    pub(crate) fn new() -> Self {
        Backoff { step: 0 }
    }

    pub(crate) fn wait(&mut self) {
        // For schedulers that have priorities: whoever yields has the lowest from now on.
        self.step += 1;
        shuttle::thread::yield_now();
    }
}

#[cfg(binlock_shuttle)]
mod scheduled {
    //! Std's atomics, with a point before each access at which shuttle may run another thread.
    //!
    //! Shuttle's own are larger: a bin made of them would be no cache line, and tables would be
    //! laid out in another way than users have them. Nothing more than the point is needed, as its
    //! threads are one thread of the system's. (For the same reason no ordering is weaker than
    //! `SeqCst` here, whatever the code says. That is loom's to find.)

    use std::{
        ops::{Deref, DerefMut},
        sync::atomic,
        thread_local,
    };

    #[derive(Default)]
    #[repr(transparent)]
    pub(crate) struct Scheduled<A>(A);

    /// Every access is a call of a method of std's atomic, which comes this way.
    impl<A> Deref for Scheduled<A> {
        type Target = A;

        fn deref(&self) -> &A {
            scheduling_point();
            &self.0
        }
    }

    impl<A> DerefMut for Scheduled<A> {
        fn deref_mut(&mut self) -> &mut A {
            &mut self.0
        }
    }

    macro_rules! scheduled {
        ($($atomic:ident $(<$t:ident>)?: $value:ty,)*) => {$(
            pub(crate) type $atomic $(<$t>)? = Scheduled<atomic::$atomic $(<$t>)?>;

            impl $(<$t>)? $atomic $(<$t>)? {
                pub(crate) const fn new(value: $value) -> Self {
                    Scheduled(atomic::$atomic::new(value))
                }
            }
        )*};
    }

    scheduled! {
        AtomicBool: bool,
        AtomicIsize: isize,
        AtomicU64: u64,
        AtomicUsize: usize,
        AtomicPtr<T>: *mut T,
    }

    /// Shuttle runs another thread, or goes on with this one.
    pub(crate) fn scheduling_point() {
        thread_local! {
            // Of the system's thread: others run other tests.
            static POINT: shuttle::sync::atomic::AtomicBool =
                const { shuttle::sync::atomic::AtomicBool::new(false) };
        }
        // It does so before each access to one of its own atomics.
        POINT.with(|point| point.load(atomic::Ordering::SeqCst));
    }
}

#[cfg(binlock_loom)]
mod watched {
    //! Loom's atomics, in a shape in which loom finds all interleavings of them.
    //!
    //! Loom swaps two accesses to an atomic if they depend on each other, but remembers
    //! only the last access. When a thread loads and then changes an atomic, as everything
    //! does here, its own load hides the other threads' earlier ones, and what happens if
    //! it changes the atomic before those is never tried (tokio-rs/loom#166, #392). So a
    //! load comes with a relaxed read-modify-write of a companion, which loom does swap
    //! with others.

    use std::{
        cell::Cell,
        ops::{Deref, DerefMut},
    };

    use loom::sync::atomic::{self, Ordering};

    thread_local! {
        // Of the system's thread, which loom's threads share: others run other models.
        static OTHERS: Cell<Others> = const { Cell::new(Others::There) };
    }

    /// Whether a model's first thread has others beside it. Models spend half of their time when it has
    /// not.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum Others {
        /// None has been spawned. A load can return nothing but what was stored last, and is no point
        /// at which another thread could run. (If there is one, loom notices, and fails.)
        ToCome,
        /// Some have been spawned.
        There,
        /// All have been joined. None can run, but a load may still return one of several values:
        /// where two threads have stored without an order between them, which is a bug, and may show
        /// nowhere else.
        Ended,
    }

    /// Tells the facade, until it is told something else.
    pub fn set_others(others: Others) {
        OTHERS.set(others);
    }

    pub(crate) fn others() -> Others {
        OTHERS.get()
    }

    pub(crate) struct Watched<A> {
        atomic: A,
        loads: atomic::AtomicUsize,
    }

    impl<A> Watched<A> {
        #[track_caller]
        fn around(atomic: A) -> Self {
            Watched { atomic, loads: atomic::AtomicUsize::new(0) }
        }

        #[track_caller]
        fn announce_load(&self) {
            self.loads.fetch_add(0, Ordering::Relaxed);
        }
    }

    impl<A> Deref for Watched<A> {
        type Target = A;

        fn deref(&self) -> &A {
            &self.atomic
        }
    }

    impl<A> DerefMut for Watched<A> {
        fn deref_mut(&mut self) -> &mut A {
            &mut self.atomic
        }
    }

    macro_rules! watched {
        ($($atomic:ident $(<$t:ident>)?: $value:ty,)*) => {$(
            pub(crate) type $atomic $(<$t>)? = Watched<atomic::$atomic $(<$t>)?>;

            impl $(<$t>)? $atomic $(<$t>)? {
                #[track_caller]
                pub(crate) fn new(value: $value) -> Self {
                    Watched::around(atomic::$atomic::new(value))
                }

                #[track_caller]
                pub(crate) fn load(&self, ordering: Ordering) -> $value {
                    match others() {
                        // SAFETY: nobody stores meanwhile. Loom checks it.
                        Others::ToCome => return unsafe { self.atomic.unsync_load() },
                        Others::There => self.announce_load(),
                        // There is nobody for whom it could be announced.
                        Others::Ended => {}
                    }
                    self.atomic.load(ordering)
                }
            }
        )*};
    }

    impl AtomicBool {
        /// Writes nothing if nothing changes. Loom lets a store of another thread, which
        /// did not read what is written here, come before it (tokio-rs/loom#282): when a
        /// thread tried in vain to set a lock, that would stay set when it is unlocked.
        #[track_caller]
        pub(crate) fn swap(&self, value: bool, ordering: Ordering) -> bool {
            let failure = match ordering {
                Ordering::Relaxed | Ordering::Release => Ordering::Relaxed,
                _ => Ordering::Acquire,
            };
            match self.atomic.compare_exchange(!value, value, ordering, failure) {
                Ok(before) | Err(before) => before,
            }
        }
    }

    watched! {
        AtomicBool: bool,
        AtomicIsize: isize,
        AtomicU64: u64,
        AtomicUsize: usize,
        AtomicPtr<T>: *mut T,
    }
}
