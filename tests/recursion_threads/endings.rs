//! Random computations, one inside another, on several threads: all ends that they can come to.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use binlock::{ComputeError, Entry};

use crate::common::{Hashers, Ledger, Probe, Random, operations::TrackedMap, together, within};

const KEYS: u64 = 6;

/// Computes some key in some way, and others inside of that, and counts how all of them end:
/// in success, refused, overtaken, failed or panicked; the last ones, in a cycle of threads.
fn some_computation<'l>(
    map: &TrackedMap<'l>,
    ledger: &'l Ledger,
    ends: &[AtomicUsize; 5],
    random: &mut Random,
    depth: u32,
) {
    let key = random.below(KEYS);
    let way = random.below(6);
    let mut ran = false;
    let random = &mut *random;
    let compute = || {
        let mut f = || {
            ran = true;
            if depth < 3 {
                match random.below(6) {
                    0 => drop(map.insert(ledger.track(random.below(KEYS)), ledger.track(2))),
                    1 => drop(map.remove(&Probe(random.below(KEYS)))),
                    2 => drop(map.replace(ledger.track(random.below(KEYS)), ledger.track(3))),
                    3 => thread::yield_now(),
                    _ => some_computation(map, ledger, ends, random, depth + 1),
                }
            }
            match random.below(8) {
                0 => panic::resume_unwind(Box::new("thrown")),
                1 => None,
                _ => Some(ledger.track(7)),
            }
        };
        let key = ledger.track(key);
        match way {
            0 => match map.try_compute_if_absent(key, |_| f().ok_or(())) {
                Ok(_) => Ok(true),
                Err(ComputeError::Closure(())) => Ok(false),
                Err(ComputeError::Recursive(error)) => Err(error),
            },
            1 => map.compute(key, |_, _| f()).map(|value| value.is_some()),
            2 => map.compute_if_present(&key, |_, _| f()).map(|value| value.is_some()),
            3 => map.merge(key, ledger.track(1), |_, _| f()).map(|value| value.is_some()),
            4 => map.entry(key).and_then(|entry| match (f(), entry) {
                (Some(value), entry) => entry.insert(value).map(|_| true),
                (None, Entry::Occupied(entry)) => entry.remove().map(|_| false),
                (None, Entry::Vacant(_)) => Ok(false),
            }),
            _ => map.entry(key).map(|entry| {
                let entry = entry.and_modify(|_| ledger.track(9));
                f();
                drop(entry);
                true
            }),
        }
    };
    let end = match panic::catch_unwind(AssertUnwindSafe(compute)) {
        Ok(Ok(true)) => 0,
        Ok(Err(error)) if error.cycle_len().is_some() => 4,
        Ok(Err(error)) if error.is_overtaken() => 2,
        Ok(Err(_)) => 1,
        Ok(Ok(false)) => 3,
        Err(payload) => {
            assert!(payload.is::<&str>());
            3
        }
    };
    // Not if the key was just found.
    if ran || end == 1 || end == 4 {
        ends[end].fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn however_computations_end_everything_is_dropped_once() {
    within(240, || {
        const THREADS: usize = 6;
        for hasher in [Hashers::Good(1), Hashers::Constant] {
            let ledger = &Ledger::new(2_000_000);
            let map = TrackedMap::with_hasher(hasher);
            let ends: [AtomicUsize; 5] = Default::default();
            together(THREADS, |thread| {
                let mut random = Random::new(thread as u64);
                for _ in 0..6_000 {
                    some_computation(&map, ledger, &ends, &mut random, 0);
                    if random.below(200) == 0 {
                        map.clear();
                    }
                }
            });
            println!("succeeded, refused, overtaken, failed, in a cycle: {ends:?}");
            assert!(ends.iter().all(|end| end.load(Ordering::Relaxed) > 0), "{ends:?}");
            let entries = map.pin().iter().count();
            assert_eq!(map.len(), entries);
            // Nothing is claimed any more.
            for key in 0..KEYS {
                map.compute(ledger.track(key), |_, _| Some(ledger.track(1))).unwrap();
            }
            drop(map);
            ledger.assert_all_dropped_once();
        }
    });
}
