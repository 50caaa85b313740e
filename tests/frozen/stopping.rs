//! Stops threads: by a signal, wherever they are, or when they allocate what they were told to
//! stop at.

use std::{
    alloc::Layout,
    cell::Cell,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use crate::common::Random;

unsafe extern "C" {
    fn signal(signal: i32, handler: extern "C" fn(i32)) -> usize;
    fn pthread_self() -> usize;
    fn pthread_kill(thread: usize, signal: i32) -> i32;
    fn sched_yield() -> i32;
}

const SIGUSR1: i32 = 10;

/// The round in which threads stand still; zero: none.
static ROUND: AtomicUsize = AtomicUsize::new(0);
/// How many of them do.
static STOPPED: AtomicUsize = AtomicUsize::new(0);

/// Stops the thread that it runs on until the round is over.
extern "C" fn stop(_: i32) {
    let round = ROUND.load(Ordering::Acquire);
    STOPPED.fetch_add(1, Ordering::AcqRel);
    while round != 0 && ROUND.load(Ordering::Acquire) == round {
        // SAFETY: it is allowed in signal handlers.
        unsafe { sched_yield() };
    }
}

/// What the thread is called in `Stopping::stop`.
pub fn this_thread() -> usize {
    // SAFETY: it has no preconditions.
    unsafe { pthread_self() }
}

/// The right to stop threads, which one test at a time has.
pub struct Stopping {
    _alone: MutexGuard<'static, ()>,
    rounds: AtomicUsize,
}

/// Threads that stand still as long as this lives.
pub struct Standstill(());

impl Stopping {
    pub fn alone() -> Stopping {
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // SAFETY: the handler does nothing that is not allowed in one.
        unsafe { signal(SIGUSR1, stop) };
        Stopping { _alone, rounds: AtomicUsize::new(0) }
    }

    /// Stops threads that run until they are told to end, which is later. One standstill at a time.
    pub fn stop(&self, threads: &[usize]) -> Standstill {
        let round = 1 + self.rounds.fetch_add(1, Ordering::Relaxed);
        STOPPED.store(0, Ordering::Release);
        ROUND.store(round, Ordering::Release);
        let standstill = Standstill(());
        for thread in threads {
            // SAFETY: the thread has not ended.
            assert_eq!(unsafe { pthread_kill(*thread, SIGUSR1) }, 0);
        }
        while STOPPED.load(Ordering::Acquire) < threads.len() {
            thread::yield_now();
        }
        standstill
    }
}

impl Drop for Standstill {
    /// Lets everybody go, also if whoever stopped them panics.
    fn drop(&mut self) {
        ROUND.store(0, Ordering::Release);
    }
}

/// What a thread can be told to stop at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Allocation {
    /// An overflow block: a bin's layout.
    Block,
    /// A table.
    Table,
}

thread_local! {
    // Without destructors, and so at hand in an allocator.
    static STOPS_AT: Cell<Option<(Allocation, usize)>> = const { Cell::new(None) };
}

/// A place where a thread stands still that was told to stop at an allocation.
#[derive(Default)]
pub struct Pause {
    stands: AtomicBool,
    is_over: AtomicBool,
}

static PAUSE: Pause = Pause { stands: AtomicBool::new(false), is_over: AtomicBool::new(false) };

/// From now on, this thread stops at the allocation of a kind with this number, from 0.
pub fn stop_at(allocation: Allocation, number: usize) {
    STOPS_AT.set(Some((allocation, number)));
}

/// Whether the thread has not come so far; it does not stop any more.
pub fn passed_by() -> bool {
    STOPS_AT.take().is_some()
}

/// Called for each allocation.
pub fn on_allocation(layout: Layout) {
    let Some((allocation, number)) = STOPS_AT.get() else { return };
    let is_meant = match allocation {
        Allocation::Block => (layout.size(), layout.align()) == (64, 64),
        Allocation::Table => layout.align() == 16 && layout.size() > 1_024,
    };
    match (is_meant, number) {
        (false, _) => {}
        (true, 0) => {
            STOPS_AT.set(None);
            PAUSE.stands.store(true, Ordering::Release);
            while !PAUSE.is_over.load(Ordering::Acquire) {
                thread::yield_now();
            }
        }
        (true, number) => STOPS_AT.set(Some((allocation, number - 1))),
    }
}

impl Stopping {
    /// Runs `f` when the thread that was told to stop has, or `done` says that it has not come so
    /// far, and lets it go then. Whether it has stopped.
    pub fn while_paused(&self, done: &AtomicBool, f: impl FnOnce()) -> bool {
        struct Over;
        impl Drop for Over {
            fn drop(&mut self) {
                PAUSE.is_over.store(true, Ordering::Release);
            }
        }
        let over = Over;
        while !PAUSE.stands.load(Ordering::Acquire) && !done.load(Ordering::Acquire) {
            thread::yield_now();
        }
        let stands = PAUSE.stands.load(Ordering::Acquire);
        if stands {
            f();
        }
        drop(over);
        stands
    }

    /// Makes ready for the next one to stop.
    pub fn reset_pause(&self) {
        PAUSE.stands.store(false, Ordering::Release);
        PAUSE.is_over.store(false, Ordering::Release);
    }
}

pub const WRITERS: usize = 2;

/// Runs writers over and over, and stops them `rounds` times for `read`.
pub fn stop_and_read(rounds: usize, write: impl Fn(usize, &mut Random) + Sync, read: impl Fn()) {
    let stopping = Stopping::alone();

    /// Lets everybody end, also if a reader panics.
    struct End<'e>(&'e AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }

    let (ended, write) = (&AtomicBool::new(false), &write);
    let threads: [AtomicUsize; WRITERS] = Default::default();
    thread::scope(|scope| {
        let _end = End(ended);
        for (i, thread) in threads.iter().enumerate() {
            scope.spawn(move || {
                thread.store(this_thread(), Ordering::Release);
                let mut random = Random::new(i as u64);
                while !ended.load(Ordering::Acquire) {
                    write(i, &mut random);
                }
            });
        }
        let threads = threads.each_ref().map(|thread| {
            while thread.load(Ordering::Acquire) == 0 {
                thread::yield_now();
            }
            thread.load(Ordering::Acquire)
        });
        let mut random = Random::new(77);
        for _ in 0..rounds {
            for _ in 0..random.below(3_000) {
                std::hint::spin_loop();
            }
            // Lets the writers run where there is one processor only.
            thread::yield_now();
            let _standstill = stopping.stop(&threads);
            read();
        }
    });
}
