//! Filled maps whose values are incremented, and which are held to account for that.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::common::computations;
use crate::common::keys::Window;
use crate::common::maps::Compute;
use crate::common::work;
use crate::contenders::Entry;
use crate::crowded::tidied;
use crate::threads::{self, Crowd, Work};

/// A filled map to count in, from one thread or several.
pub trait Counter {
    fn increments(&self, keys: Window<'_>) -> Duration;

    fn increments_of_crowd(&self, crowd: &Crowd<'_>) -> Work;

    /// Panics unless every increment has been counted once.
    fn check(&self);
}

struct Counting<M> {
    map: M,
    entries: usize,
    /// What the total of all values should be.
    total: AtomicU64,
}

impl<M: Compute + Sync> Counter for Counting<M> {
    fn increments(&self, keys: Window<'_>) -> Duration {
        let time = computations::increments(&self.map, keys);
        self.total.fetch_add(keys.len() as u64, Ordering::Relaxed);
        time
    }

    fn increments_of_crowd(&self, crowd: &Crowd<'_>) -> Work {
        let work = threads::drive(&self.map, crowd, computations::increment_all::<M>);
        self.total.fetch_add(work.operations as u64, Ordering::Relaxed);
        tidied(work, &self.map)
    }

    fn check(&self) {
        let total = computations::total(&self.map, self.entries);
        assert_eq!(total, self.total.load(Ordering::Relaxed), "{} miscounts", M::NAME);
    }
}

impl Entry<dyn Counter> {
    pub fn counter<M: Compute + Sync>() -> Self {
        Self::new(M::NAME, |entries| {
            let map = work::filled::<M>(entries);
            let total = AtomicU64::new(computations::total(&map, entries));
            Box::new(Counting { map, entries, total })
        })
    }
}
