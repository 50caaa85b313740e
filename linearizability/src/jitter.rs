//! Pauses of random length, in the middle of operations.
//!
//! Operations take less than a microsecond, and most machines have fewer cores than a scenario has
//! threads: left alone, they would hardly ever meet. So what the map calls (`Hash`, `Eq`,
//! closures) pauses now and then: it spins, or gives its core to another thread.

use std::{cell::RefCell, hint, thread};

use crate::random::Random;

thread_local! {
    static JITTER: RefCell<Jitter> = RefCell::new(Jitter { random: Random::new(0), chance: 0 });
}

struct Jitter {
    random: Random,
    /// In percent.
    chance: u64,
}

/// Makes this thread pause at so many percent of the points where it can.
pub(crate) fn begin(seed: u64, chance: u64) {
    JITTER.set(Jitter { random: Random::new(seed), chance });
}

pub(crate) fn end() {
    begin(0, 0);
}

/// A point at which the thread may pause.
pub fn pause() {
    let (spins, yields) = JITTER.with_borrow_mut(|jitter| {
        if !jitter.random.percent(jitter.chance) {
            return (0, false);
        }
        (jitter.random.below(64), jitter.random.percent(40))
    });
    for _ in 0..spins {
        hint::spin_loop();
    }
    if yields {
        thread::yield_now();
    }
}
