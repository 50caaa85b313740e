//! A thread's pin lingers when an operation ends. Nobody notices: what others remove is dropped as if it
//! had been unpinned, whatever the thread does then, or does not.

mod common;

use std::{
    cell::RefCell,
    collections::HashSet,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use binlock::{HashMap, Ref};
use common::{Gate, Hashers, Ledger, Probe, operations::TrackedMap, race, within};

/// As long as the guard lives, no other test of this file runs: who is pinned matters for all maps.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

const REPLACEMENTS: u64 = 60_000;

/// So many keys and values are far less than all that are replaced, and more than what waits in some
/// dozen batches.
const FEW: usize = 2 * 128 * 80;

/// Replaces an entry over and over, and says how many keys and values there were at the most.
fn most_alive_in_replacements<'l>(map: &TrackedMap<'l>, ledger: &'l Ledger) -> usize {
    let mut most = 0;
    for i in 0..REPLACEMENTS {
        map.insert(ledger.track(0), ledger.track(i));
        if i % 128 == 0 {
            most = most.max(ledger.alive());
        }
    }
    most
}

fn ledger() -> Ledger {
    Ledger::new(4 * REPLACEMENTS as usize + 1_000_000)
}

#[test]
fn threads_that_rest_after_a_look_up_keep_nothing_from_being_dropped() {
    let _alone = alone();
    within(240, || {
        let ledger = &ledger();
        let map = &TrackedMap::with_hasher(Hashers::Good(1));
        map.insert(ledger.track(0), ledger.track(0));
        for resting in [1, 20] {
            let rest = &Gate::default();
            let most = thread::scope(|scope| {
                let _end = rest.open_at_end();
                for _ in 0..resting {
                    scope.spawn(move || {
                        assert!(map.contains_key(&Probe(0)));
                        assert_eq!(map.get(&Probe(0)).map(|entry| entry.key().value), Some(0));
                        rest.pass();
                    });
                }
                rest.wait_for(resting);
                most_alive_in_replacements(map, ledger)
            });
            assert!(most < FEW, "{most} keys and values wait for {resting} threads");
        }
    });
}

/// They pin themselves for each of them, and so are never seen unpinned for long.
#[test]
fn threads_that_look_up_without_end_keep_nothing_from_being_dropped() {
    let _alone = alone();
    within(240, || {
        let ledger = &ledger();
        let map = &TrackedMap::with_hasher(Hashers::Good(1));
        map.insert(ledger.track(0), ledger.track(0));
        let replace = |_| {
            most_alive_in_replacements(map, ledger);
            let end = Instant::now() + Duration::from_secs(60);
            while ledger.alive() > FEW {
                assert!(Instant::now() < end, "{} keys and values wait", ledger.alive());
                map.insert(ledger.track(0), ledger.track(0));
                // One that looks up may have been preempted in the middle of it.
                thread::sleep(Duration::from_millis(1));
            }
        };
        race(1, replace, 2, |_| assert!(map.contains_key(&Probe(0))));
    });
}

/// Nothing more is handed over then: operations that retire nothing have to bring the epochs on.
#[test]
fn what_is_left_of_a_map_that_was_cleared_is_dropped_while_it_is_filled_anew() {
    const ENTRIES: u64 = 10_000;

    let _alone = alone();
    within(240, || {
        let ledger = &Ledger::new(20 * ENTRIES as usize);
        for resting in [false, true] {
            let map = &TrackedMap::with_hasher(Hashers::Good(1));
            for key in 0..ENTRIES {
                map.insert(ledger.track(key), ledger.track(key));
            }
            let rest = &Gate::default();
            thread::scope(|scope| {
                let _end = rest.open_at_end();
                if resting {
                    scope.spawn(move || {
                        assert!(map.contains_key(&Probe(1)));
                        rest.pass();
                    });
                    rest.wait_for(1);
                }
                map.clear();
                for key in 0..ENTRIES {
                    assert!(map.try_insert(ledger.track(key), ledger.track(key)).is_ok());
                }
                let alive = ledger.alive();
                // All that were cleared away, but for a batch or two.
                assert!(alive < 2 * ENTRIES as usize + FEW / 8, "{alive} are alive; {resting}");
            });
            flush_all(map, ledger);
        }
    });
}

static MAP: HashMap<u64, u64, Hashers> = HashMap::with_hasher(Hashers::Good(7));

/// What is in a thread-local that is dropped before the map's, or after, as the thread touches it after
/// it has used a map, or before.
#[derive(Default)]
struct Kept(RefCell<Option<Ref<'static, u64, u64>>>);

impl Drop for Kept {
    fn drop(&mut self) {
        // Other pins of the thread's end as well, the first one of which may be its last.
        assert_eq!(MAP.get(&1).map(|value| *value), Some(1));
        if let Some(entry) = self.0.take() {
            assert_eq!(*entry, 2);
        }
        assert_eq!(MAP.get(&1).map(|value| *value), Some(1));
        MAP.insert(3, 3);
        ENDED.fetch_add(1, Ordering::Relaxed);
    }
}

static ENDED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static BEFORE: Kept = Kept::default();
    static AFTER: Kept = Kept::default();
}

#[test]
fn a_ref_in_a_thread_local_is_kept_to_the_end_and_no_longer() {
    let _alone = alone();
    within(240, || {
        MAP.insert(1, 1);
        for round in 0..200 {
            MAP.insert(2, 2);
            thread::spawn(move || {
                // Their destructors run in the opposite order.
                if round % 4 != 0 {
                    BEFORE.with(|_| ());
                }
                let keep = |kept: &Kept| kept.0.replace(MAP.get(&2));
                if round % 2 == 0 {
                    AFTER.with(keep);
                }
                if round % 4 != 0 {
                    BEFORE.with(keep);
                }
                MAP.remove(&2);
            })
            .join()
            .unwrap();
        }
        assert!(ENDED.load(Ordering::Relaxed) >= 200);
        // Nobody keeps anything any more.
        let ledger = Ledger::new(2);
        let map = TrackedMap::with_hasher(Hashers::Good(1));
        map.insert(ledger.track(1), ledger.track(1));
        map.clear();
        map.flush();
        assert_eq!(ledger.alive(), 0);
    });
}

#[test]
fn threads_come_and_go_while_others_look_after_what_they_left() {
    let _alone = alone();
    within(240, || {
        let ledger = &Ledger::new(400_000);
        let map = &TrackedMap::with_hasher(Hashers::Good(1));
        for key in 0..64 {
            map.insert(ledger.track(key), ledger.track(key));
        }
        let come_and_go = |thread| {
            for round in 0..200 {
                thread::scope(|scope| {
                    let seen = scope.spawn(|| {
                        let here = |i: u64| Some(map.get(&Probe(8 * i))?.value().value);
                        (0..8).filter_map(here).collect::<HashSet<_>>()
                    });
                    let key = (thread as u64 * 7 + round) % 64;
                    for _ in 0..50 {
                        map.insert(ledger.track(key), ledger.track(key));
                    }
                    assert_eq!(seen.join().unwrap().len(), 8);
                });
            }
        };
        race(3, come_and_go, 1, |_| map.flush());
        flush_all(map, ledger);
    });
}

/// The epochs have nothing to do with them, or all that they had would be in front of what is flushed.
#[test]
fn thousands_of_threads_leave_nothing_behind_beside_one_that_only_looks_up() {
    let _alone = alone();
    within(240, || {
        let ledger = &Ledger::new(10);
        let map = &TrackedMap::with_hasher(Hashers::Good(1));
        map.insert(ledger.track(1), ledger.track(1));
        for _ in 0..5_000 {
            assert!(map.contains_key(&Probe(1)));
            thread::scope(|scope| {
                scope.spawn(|| assert!(map.contains_key(&Probe(1)))).join().unwrap();
            });
        }
        // Once, or twice if the last one is still about to end.
        assert!(map.remove(&Probe(1)).is_some());
        map.flush();
        if ledger.alive() > 0 {
            thread::sleep(Duration::from_millis(100));
            map.flush();
        }
        assert_eq!(ledger.alive(), 0);
    });
}

/// Clears a map, and drops all that was in it. (Threads that have just ended are seen to have done so before
/// their last pins end.)
fn flush_all(map: &TrackedMap<'_>, ledger: &Ledger) {
    let end = Instant::now() + Duration::from_secs(60);
    map.clear();
    map.flush();
    while ledger.alive() > 0 {
        assert!(Instant::now() < end, "{} are alive", ledger.alive());
        thread::sleep(Duration::from_millis(1));
        map.flush();
    }
}
