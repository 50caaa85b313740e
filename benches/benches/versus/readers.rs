//! Caches of readers whose types are erased.

use crate::common::readers::{Binlock, Foyer, FoyerS3Fifo, Moka, QuickCache, Readers, work};
use crate::contenders::Entry;
use crate::threads::{self, Crowd, Work};

/// A cache in which all keys are open.
pub trait OpenReaders {
    fn hits(&self, crowd: &Crowd<'_>) -> Work;

    /// Panics if a reader has been evicted meanwhile.
    fn check(&self);
}

struct AllOpen<C> {
    cache: C,
    entries: usize,
}

impl<C: Readers> OpenReaders for AllOpen<C> {
    fn hits(&self, crowd: &Crowd<'_>) -> Work {
        let (work, _) = threads::drive_each(crowd, || (), |(), keys| work::hits(&self.cache, keys));
        work
    }

    fn check(&self) {
        work::check_all_open(&self.cache, self.entries);
    }
}

/// A cache that is full.
pub trait FullOfReaders {
    fn mixed(&self, crowd: &Crowd<'_>) -> Churn;
}

/// What the threads of a slice did.
pub struct Churn {
    pub work: Work,
    pub opened: u64,
}

struct Churned<C> {
    cache: C,
    unseen: work::Unseen,
}

impl<C: Readers> FullOfReaders for Churned<C> {
    fn mixed(&self, crowd: &Crowd<'_>) -> Churn {
        let mixed = |newcomers: &mut _, keys: &[u64]| work::mixed(&self.cache, newcomers, keys);
        let (work, newcomers) = threads::drive_each(crowd, || self.unseen.newcomers(), mixed);
        Churn { work, opened: newcomers.iter().map(|newcomers| newcomers.opened).sum() }
    }
}

impl Entry<dyn OpenReaders> {
    fn open_readers<C: Readers>() -> Self {
        Self::new(C::NAME, |entries| {
            Box::new(AllOpen { cache: work::all_open::<C>(entries), entries })
        })
    }

    pub fn all() -> Vec<Self> {
        vec![
            Self::open_readers::<Binlock>(),
            Self::open_readers::<QuickCache>(),
            Self::open_readers::<Moka>(),
            Self::open_readers::<Foyer>(),
            Self::open_readers::<FoyerS3Fifo>(),
        ]
    }
}

impl Entry<dyn FullOfReaders> {
    fn full_of_readers<C: Readers>() -> Self {
        Self::new(C::NAME, |_capacity| {
            let unseen = work::Unseen::default();
            Box::new(Churned { cache: work::churned::<C>(&work::stream_of_mix(), &unseen), unseen })
        })
    }

    /// Of [`work::CAPACITY`], whatever else is asked for.
    pub fn all() -> Vec<Self> {
        vec![
            Self::full_of_readers::<Binlock>(),
            Self::full_of_readers::<QuickCache>(),
            Self::full_of_readers::<Moka>(),
            Self::full_of_readers::<Foyer>(),
            Self::full_of_readers::<FoyerS3Fifo>(),
        ]
    }
}

/// `readers_hits_2_threads`; nothing is said of one thread.
pub fn name(kind: &str, threads: usize) -> String {
    match threads {
        1 => format!("readers_{kind}"),
        _ => format!("readers_{kind}_{threads}_threads"),
    }
}
