//! A model of epochs for loom and shuttle: what is deferred runs as soon as nobody is pinned any
//! more who was pinned when it was deferred.
//!
//! It orders no more than the real thing does, or loom would not see what the map
//! itself forgets to order. Pins and deferring are ordered as sequentially consistent
//! fences are, and what a thread did before a pin ended happens before what is
//! deferred runs, if that is later. What it did while it was pinned does *not* happen
//! before a later pin of another thread.
//!
//! Pins linger here, too: one that nothing waits for goes on, and the thread's next one is ordered with
//! nothing. It is revoked when something is deferred while the thread is not pinned. (That nobody takes
//! it from a thread that is pinned is what `linger` has models of its own for.)

use std::{
    cell::Cell,
    mem,
    sync::{Arc, Mutex, MutexGuard},
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
    /// What orders them. Accessed by read-modify-writes alone, which read what was written last.
    order: AtomicUsize,
    /// What loom and shuttle have no need to know of. (A lock of std's: their threads never
    /// meet there.)
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    depth: usize,
    is_pinned: bool,
    /// Whether it is because the last pin goes on though its operation has ended.
    lingers: bool,
    /// What waits for the end of the pin.
    waiting: Vec<Deferred>,
}

type Pins = [Pin; MAX_THREADS];

fn unpinned_threads() -> Pins {
    std::array::from_fn(|_| Pin { order: AtomicUsize::new(0), state: Mutex::default() })
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What the thread has done under pins that have ended is behind.
    fn acquire(&self) {
        #[cfg(binlock_loom)]
        if crate::sync::others() != crate::sync::Others::There {
            return;
        }
        self.order.fetch_add(0, Ordering::Acquire);
    }

    fn begin(&self) {
        if self.state().depth == 0 {
            #[cfg(binlock_shuttle)]
            crate::sync::scheduling_point();
            if !self.state().lingers {
                self.order.fetch_add(0, Ordering::Relaxed);
                self.state().is_pinned = true;
                fence_if_others();
            }
        }
        let mut state = self.state();
        state.lingers = false;
        state.depth += 1;
    }

    fn end(&self, has_written: bool) {
        if has_written {
            fence_if_others();
        }
        if self.state().depth == 1 {
            // Release: with the acquire in `acquire`.
            self.order.fetch_add(0, Ordering::Release);
        }
        let mut state = self.state();
        state.depth -= 1;
        if state.depth > 0 {
            return;
        }
        let over = mem::take(&mut state.waiting);
        state.lingers = over.is_empty();
        state.is_pinned = state.lingers;
        drop(state);
        over.into_iter().filter_map(Arc::into_inner).for_each(run);
    }

    /// Ends a pin that only lingers, and lets what is deferred wait for one that does more.
    fn let_wait(&self, deferred: &Deferred) {
        self.acquire();
        let mut state = self.state();
        if mem::take(&mut state.lingers) {
            state.is_pinned = false;
        }
        if state.is_pinned {
            state.waiting.push(Arc::clone(deferred));
        }
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
        pin.acquire();
    }
    deferred.into_inner().unwrap()();
}

/// Whether its end is a fence.
pub struct Guard(Cell<bool>);

impl Guard {
    pub(crate) fn into_writing(self) -> Guard {
        self.set_writing();
        self
    }

    pub(crate) fn set_writing(&self) {
        self.0.set(true);
    }

    pub(crate) fn keep(self) -> Kept {
        if self.0.get() {
            fence_if_others();
        }
        mem::forget(self);
        Kept(())
    }

    pub(super) fn set_reading(&mut self) {
        self.0.set(false);
    }
}

/// A guard whose end is none.
pub struct Kept(());

impl Drop for Kept {
    fn drop(&mut self) {
        Pin::mine().end(false);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        Pin::mine().end(self.0.get());
    }
}

pub(crate) fn pin() -> Guard {
    pin_to_read().into_writing()
}

pub(crate) fn pin_to_read() -> Guard {
    Pin::mine().begin();
    Guard(Cell::new(false))
}

pub(super) fn between_pins<R>(guard: &mut Guard, f: impl FnOnce() -> R) -> R {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            Pin::mine().begin();
        }
    }
    Pin::mine().end(guard.0.get());
    guard.set_writing();
    let _again = Again;
    f()
}

pub(crate) fn defer(_guard: &Guard, f: impl FnOnce() + Send + 'static) {
    let deferred: Deferred = Arc::new(Mutex::new(Box::new(f)));
    fence_if_others();
    for pin in pins() {
        pin.let_wait(&deferred);
    }
}

pub(crate) fn advance() -> bool {
    let done = Arc::new(AtomicBool::new(false));
    let end = Arc::clone(&done);
    defer(&pin(), move || end.store(true, Ordering::Release));
    done.load(Ordering::Acquire)
}
