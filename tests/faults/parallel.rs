//! Feature `rayon`: a panic on any thread of a pool, at any entry.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicUsize, Ordering},
};

use binlock::{HashMap, HashSet};
use rayon::{ThreadPoolBuilder, prelude::*};

use crate::common::{Hashers, Ledger, Probe, Tracked, operations::TrackedMap, within};

const ENTRIES: u64 = 200;

/// Panics at the call with a number, on whichever thread that is.
struct Fuse {
    at: usize,
    calls: AtomicUsize,
}

impl Fuse {
    fn new(at: usize) -> Fuse {
        Fuse { at, calls: AtomicUsize::new(0) }
    }

    fn point(&self) {
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.at {
            panic::resume_unwind(Box::new("to order"));
        }
    }
}

/// Runs what panics to order.
fn assert_panics(f: impl FnOnce()) {
    let payload = panic::catch_unwind(AssertUnwindSafe(f)).expect_err("it should have panicked");
    assert_eq!(payload.downcast_ref(), Some(&"to order"));
}

/// For calls here and there.
fn fuses() -> impl Iterator<Item = Fuse> {
    (0..ENTRIES as usize).step_by(13).map(Fuse::new)
}

fn on_pool(test: impl Fn(&Fuse) + Sync) {
    within(240, || {
        let pool = ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        pool.install(|| fuses().for_each(|fuse| test(&fuse)));
    });
}

#[test]
fn a_panic_in_a_parallel_iteration_is_passed_on_and_the_map_is_as_it_was() {
    let map: HashMap<u64, u64> = (0..ENTRIES).map(|i| (i, i)).collect();
    map.reserve(10_000);
    let map = &map;
    on_pool(|fuse| {
        assert_panics(|| map.pin().par_iter().for_each(|_| fuse.point()));
        assert_eq!(map.len() as u64, ENTRIES);
        // No thread of the pool has been left pinned: what is replaced is dropped.
        let ledger = Ledger::new(2);
        let other = HashMap::from([(1, ledger.track(1))]);
        other.remove(&1);
        while ledger.alive() > 0 {
            other.flush();
        }
    });
}

#[test]
fn a_panic_while_a_map_is_extended_in_parallel_leaves_entries_that_were_made_and_leaks_none() {
    on_pool(|fuse| {
        let ledger = &Ledger::new(4 * ENTRIES as usize);
        let made = |i: u64| -> (Tracked<'_, u64>, Tracked<'_, u64>) {
            fuse.point();
            (ledger.track(i), ledger.track(i))
        };
        let mut map = TrackedMap::with_hasher(Hashers::Good(1));
        assert_panics(|| map.par_extend((0..ENTRIES).into_par_iter().map(made)));
        assert!((map.len() as u64) < ENTRIES);
        for (key, value) in &map.pin() {
            assert_eq!(key.value, value.value);
        }
        // It works: no key is claimed, and what is missing can be put in.
        map.par_extend((0..ENTRIES).into_par_iter().map(|i| (ledger.track(i), ledger.track(i))));
        assert!((0..ENTRIES).all(|key| map.contains_key(&Probe(key))));
        drop(map);
        ledger.assert_all_dropped_once();
    });
}

#[test]
fn a_panic_while_a_set_is_collected_in_parallel_leaks_none_of_its_keys() {
    on_pool(|fuse| {
        let ledger = &Ledger::new(ENTRIES as usize);
        assert_panics(|| {
            let keys = (0..ENTRIES).into_par_iter().map(|i| {
                fuse.point();
                ledger.track(i)
            });
            drop(keys.collect::<HashSet<_>>());
        });
        ledger.assert_all_dropped_once();
    });
}

#[test]
fn a_panic_while_a_map_is_consumed_in_parallel_drops_the_rest() {
    on_pool(|fuse| {
        let ledger = &Ledger::new(2 * ENTRIES as usize);
        let map: TrackedMap<'_> =
            (0..ENTRIES).map(|i| (ledger.track(i), ledger.track(i))).collect();
        assert_panics(|| map.into_par_iter().for_each(|_| fuse.point()));
        ledger.assert_all_dropped_once();
    });
}
