//! Scenarios of several threads, many times over.

use std::sync::{
    Barrier,
    atomic::{AtomicUsize, Ordering},
};

use binlock::{ComputeError, HashMap, RecursiveUpdate};

use crate::{
    FILLER, Map,
    common::{Hashers, together},
};

/// How keys lie, and whether the table grows while closures run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    Spread,
    Colliding,
    Growing,
}

pub const VARIANTS: [Variant; 3] = [Variant::Spread, Variant::Colliding, Variant::Growing];

impl Variant {
    pub fn map(self) -> Map {
        match self {
            Variant::Spread => HashMap::with_capacity_and_hasher(60, Hashers::Good(3)),
            Variant::Colliding => HashMap::with_capacity_and_hasher(60, Hashers::Constant),
            Variant::Growing => HashMap::with_hasher(Hashers::Good(3)),
        }
    }
}

/// What the threads of one round share.
pub struct Round<'b> {
    pub index: usize,
    variant: Variant,
    pub maps: [Map; 3],
    pub barrier: &'b Barrier,
    pub runs: AtomicUsize,
    errors: AtomicUsize,
    fillers: AtomicUsize,
}

impl Round<'_> {
    pub fn map(&self) -> &Map {
        &self.maps[0]
    }

    /// What a closure does when all others are in theirs.
    pub fn run(&self) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.barrier.wait();
        self.grow(self.map(), 4);
    }

    /// In the variant that grows, inserts so many fillers.
    pub fn grow(&self, map: &Map, fillers: usize) {
        if self.variant == Variant::Growing {
            for _ in 0..fillers {
                let filler = self.fillers.fetch_add(1, Ordering::Relaxed) as u64;
                assert!(map.insert(FILLER + filler, 0).is_none());
            }
        }
    }

    /// Counts an error that must be one of a cycle of so many.
    pub fn count_error<T>(
        &self,
        result: Result<T, RecursiveUpdate>,
        length: usize,
        overtaken: bool,
    ) {
        if let Err(error) = result {
            assert_eq!((error.cycle_len(), error.is_overtaken()), (Some(length), overtaken));
            assert!(!error.is_own_key());
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[track_caller]
    pub fn assert_was(&self, runs: usize, errors: usize) {
        assert_eq!(self.errors.load(Ordering::Relaxed), errors, "errors, round {}", self.index);
        assert_eq!(self.runs.load(Ordering::Relaxed), runs, "runs, round {}", self.index);
    }

    /// All maps together have these entries, fillers aside, each once.
    #[track_caller]
    pub fn assert_is(&self, expected: &[(u64, u64)]) {
        let mut found = Vec::new();
        for map in &self.maps {
            let pinned = map.pin();
            assert_eq!(pinned.len(), pinned.iter().count());
            found.extend(pinned.iter().map(|(key, value)| (*key, *value)));
        }
        let all = found.len();
        found.retain(|(key, _)| *key < FILLER);
        found.sort();
        assert_eq!(found, expected, "round {}", self.index);
        assert_eq!(all - found.len(), self.fillers.load(Ordering::Relaxed), "fillers");
    }
}

/// Runs `work` on so many threads in each of so many rounds, in all variants. In a round all
/// threads are given the same maps, which are checked in the end.
pub fn rounds(
    rounds: usize,
    threads: usize,
    work: impl Fn(&Round<'_>, usize) + Sync,
    check: impl Fn(&Round<'_>),
) {
    for variant in VARIANTS {
        let barrier = &Barrier::new(threads);
        let round = |index| Round {
            index,
            variant,
            maps: [(); 3].map(|()| variant.map()),
            barrier,
            runs: AtomicUsize::new(0),
            errors: AtomicUsize::new(0),
            fillers: AtomicUsize::new(0),
        };
        let rounds: Vec<_> = (0..rounds).map(round).collect();
        together(threads, |thread| rounds.iter().for_each(|round| work(round, thread)));
        rounds.iter().for_each(&check);
    }
}

/// Some method that claims a key; keeps the value that is there.
pub fn claim(
    map: &Map,
    way: usize,
    key: u64,
    f: impl FnOnce() -> u64,
) -> Result<u64, RecursiveUpdate> {
    match way % 4 {
        0 => map.compute_if_absent(key, |_| f()).map(|value| *value),
        1 => map.entry(key)?.or_insert_with(f).map(|value| *value),
        2 => match map.pin().try_compute_if_absent(key, |_| Ok::<_, ()>(f())) {
            Ok(value) => Ok(*value),
            Err(ComputeError::Recursive(error)) => Err(error),
            Err(ComputeError::Closure(())) => unreachable!("it does not fail"),
        },
        _ => {
            let f = |_: &_, value: Option<&u64>| Some(value.copied().unwrap_or_else(f));
            map.compute(key, f).map(|value| *value.unwrap())
        }
    }
}
