//! Pinning: this crate's own crossbeam-epoch collector.
//!
//! It is one for all maps of the process, and not crossbeam's default one: a guard that
//! some other library holds for long must not keep this crate's garbage.
//!
//! What is deferred here never runs user code and never frees more than a few bytes:
//! it only tells a map that a batch of its garbage may be freed (see `raw::retire`).

/// What an operation is pinned by: a guard of its own, or one that it was lent.
pub trait Pins {
    fn guard(&self) -> &Guard;

    /// Runs something that may take long, without the pin if that is the operation's own.
    fn unpinned<R>(&mut self, f: impl FnOnce() -> R) -> R;
}

impl Pins for Guard {
    #[inline(always)]
    fn guard(&self) -> &Guard {
        self
    }

    #[inline]
    fn unpinned<R>(&mut self, f: impl FnOnce() -> R) -> R {
        unpinned(self, f)
    }
}

impl Pins for &Guard {
    #[inline(always)]
    fn guard(&self) -> &Guard {
        self
    }

    #[inline]
    fn unpinned<R>(&mut self, f: impl FnOnce() -> R) -> R {
        f()
    }
}

/// Pins anew, so that what was retired under the old pin can be freed; does nothing
/// if the thread is pinned by another guard as well.
///
/// (Not by crossbeam's `Guard::repin`, which has no fence. It tells the others that this thread
/// is in the next epoch, but a load that comes after it may be made before it, in the old epoch
/// still: a relaxed one on any machine that reorders loads. What such a load finds can have been
/// retired in the old epoch, and then the new pin does not keep it.)
pub(crate) fn repin(guard: &mut Guard) {
    unpinned(guard, || ());
}

#[cfg(not(any(binlock_loom, binlock_shuttle)))]
mod real {
    use std::sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use crossbeam_epoch::{Collector, LocalHandle};

    pub(crate) use crossbeam_epoch::Guard;

    fn collector() -> &'static Collector {
        static COLLECTOR: OnceLock<Collector> = OnceLock::new();
        COLLECTOR.get_or_init(Collector::new)
    }

    thread_local! {
        static HANDLE: LocalHandle = collector().register();
    }

    /// Pins the current thread: nothing retired from now on is freed while the guard
    /// lives. Pins nest, an inner one costs next to nothing.
    #[inline]
    pub(crate) fn pin() -> Guard {
        HANDLE.try_with(LocalHandle::pin).unwrap_or_else(|_| pin_without_handle())
    }

    /// In a destructor of another thread-local the handle may be gone already.
    #[cold]
    fn pin_without_handle() -> Guard {
        collector().register().pin()
    }

    /// Runs something without the pin (if it is the thread's only one), and pins anew.
    ///
    /// (Not by `Guard::repin_after`, which wants a handle, and there is none for a pin in a
    /// thread-local's destructor.)
    #[inline]
    pub(crate) fn unpinned<R>(guard: &mut Guard, f: impl FnOnce() -> R) -> R {
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
        guard.defer(move || {
            f();
            RUN.fetch_add(1, Ordering::Relaxed);
        });
        // Deferred functions are collected in a bag of the thread until it is full.
        // Each one here stands for a whole batch, so it is handed over at once.
        guard.flush();
    }

    /// How many deferred functions have been run. All that this collector ever gets come
    /// from `defer`.
    static RUN: AtomicUsize = AtomicUsize::new(0);

    /// Flushes without an effect: enough for two thousand threads that have ended. They take some
    /// tens of microseconds.
    const IDLE: usize = 256;

    /// Runs everything that was deferred before, unless some thread is pinned meanwhile
    /// that may still see it. Says whether no thread is: then all have been unpinned that were
    /// pinned when this was called, and what they did happens before it returns.
    pub(crate) fn advance() -> bool {
        let done = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&done);
        // What is deferred is run in the order in which it was handed over, some of it
        // at each flush, and two epochs later at the earliest. A flush can move the epoch
        // by one. So some flushes after which nothing has been run mean that the epoch
        // cannot be moved, or that there is nothing in front of it but what threads have left
        // that have ended: one bag each, and a flush goes through eight.
        // Release and acquire: another thread may run it, when it has seen the pins end.
        defer(&pin(), move || end.store(true, Ordering::Release));
        let mut idle = 0;
        while idle < IDLE && !done.load(Ordering::Acquire) {
            let before = RUN.load(Ordering::Relaxed);
            pin().flush();
            idle = if RUN.load(Ordering::Relaxed) == before { idle + 1 } else { 0 };
        }
        done.load(Ordering::Acquire)
    }
}

#[cfg(any(binlock_loom, binlock_shuttle))]
mod model {
    //! A model of epochs for loom and shuttle: what is deferred runs as soon as nobody is pinned any
    //! more who was pinned when it was deferred.
    //!
    //! It orders no more than the real thing does, or loom would not see what the map
    //! itself forgets to order. Pins and deferring are ordered as sequentially consistent
    //! fences are, and what a thread did before a pin ended happens before what is
    //! deferred runs, if that is later. What it did while it was pinned does *not* happen
    //! before a later pin of another thread.

    use std::{
        mem,
        sync::{Arc, Mutex},
    };

    #[cfg(binlock_loom)]
    use loom::{
        MAX_THREADS,
        sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    };
    // Without points at which shuttle could run another thread, of which there is one for each
    // pin: so many that are never different from each other would hide those that are.
    #[cfg(binlock_shuttle)]
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

    use crate::sync::thread_number;

    /// More than any scenario has.
    #[cfg(binlock_shuttle)]
    const MAX_THREADS: usize = 32;

    /// What is deferred runs when the last pin that it waits for lets go of it.
    type Deferred = Arc<Mutex<Box<dyn FnOnce() + Send>>>;

    /// A thread's pins.
    struct Pin {
        /// One while there is one, or zero. Written by read-modify-writes alone, which read
        /// what was written last.
        pinned: AtomicUsize,
        /// What loom and shuttle have no need to know of. (A lock of std's: their threads never
        /// meet there.)
        state: Mutex<State>,
    }

    #[derive(Default)]
    struct State {
        depth: usize,
        /// What waits for the end of the pin.
        waiting: Vec<Deferred>,
    }

    type Pins = [Pin; MAX_THREADS];

    fn unpinned_threads() -> Pins {
        std::array::from_fn(|_| Pin { pinned: AtomicUsize::new(0), state: Mutex::default() })
    }

    #[cfg(binlock_loom)]
    fn pins() -> &'static Pins {
        loom::lazy_static! {
            static ref PINS: Pins = unpinned_threads();
        }
        &PINS
    }

    /// Those of one thread of the system's, as other ones run other tests.
    #[cfg(binlock_shuttle)]
    fn pins() -> &'static Pins {
        thread_local! {
            static PINS: &'static Pins = Box::leak(Box::new(unpinned_threads()));
        }
        PINS.with(|pins| *pins)
    }

    impl Pin {
        fn mine() -> &'static Pin {
            &pins()[thread_number()]
        }

        /// What was written last, and with it what its thread has done before.
        fn is_pinned(&self) -> bool {
            #[cfg(binlock_loom)]
            if crate::sync::others() != crate::sync::Others::There {
                // It is written by read-modify-writes alone, so what was stored last is the newest.
                // SAFETY: nobody stores meanwhile. Loom checks it.
                return unsafe { self.pinned.unsync_load() } == 1;
            }
            self.pinned.fetch_add(0, Ordering::Acquire) == 1
        }

        fn depth(&self) -> usize {
            self.state.lock().unwrap().depth
        }

        fn begin(&self) {
            if self.depth() == 0 {
                #[cfg(binlock_shuttle)]
                crate::sync::scheduling_point();
                self.pinned.swap(1, Ordering::Relaxed);
                fence_if_others();
            }
            self.state.lock().unwrap().depth += 1;
        }

        fn end(&self) {
            if self.depth() == 1 {
                // Release: with the acquire in `run`.
                self.pinned.swap(0, Ordering::Release);
            }
            let mut state = self.state.lock().unwrap();
            state.depth -= 1;
            let over = if state.depth == 0 { mem::take(&mut state.waiting) } else { Vec::new() };
            drop(state);
            over.into_iter().filter_map(Arc::into_inner).for_each(run);
        }
    }

    fn fence_if_others() {
        // Loom takes its time for fences, and threads that are spawned later or have been joined are
        // in order with this one anyhow.
        #[cfg(binlock_loom)]
        if crate::sync::others() != crate::sync::Others::There {
            return;
        }
        fence(Ordering::SeqCst);
    }

    fn run(deferred: Mutex<Box<dyn FnOnce() + Send>>) {
        for pin in pins() {
            // What was done under pins that have ended is behind.
            pin.is_pinned();
        }
        deferred.into_inner().unwrap()();
    }

    pub struct Guard(());

    impl Drop for Guard {
        fn drop(&mut self) {
            Pin::mine().end();
        }
    }

    pub(crate) fn pin() -> Guard {
        Pin::mine().begin();
        Guard(())
    }

    pub(crate) fn unpinned<R>(_guard: &mut Guard, f: impl FnOnce() -> R) -> R {
        struct Again;
        impl Drop for Again {
            fn drop(&mut self) {
                Pin::mine().begin();
            }
        }
        Pin::mine().end();
        let _again = Again;
        f()
    }

    pub(crate) fn defer(_guard: &Guard, f: impl FnOnce() + Send + 'static) {
        let deferred: Deferred = Arc::new(Mutex::new(Box::new(f)));
        fence_if_others();
        for pin in pins() {
            if pin.is_pinned() {
                pin.state.lock().unwrap().waiting.push(Arc::clone(&deferred));
            }
        }
    }

    pub(crate) fn advance() -> bool {
        let done = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&done);
        defer(&pin(), move || end.store(true, Ordering::Release));
        done.load(Ordering::Acquire)
    }
}

#[cfg(any(binlock_loom, binlock_shuttle))]
pub(crate) use model::*;
#[cfg(not(any(binlock_loom, binlock_shuttle)))]
pub(crate) use real::*;
