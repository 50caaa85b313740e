//! `flush` drops what was removed, all of it, unless somebody may still see it.
//!
//! Who is pinned matters for the whole process, so these tests run one after another. That
//! is not all: a thread that ends is pinned once more for a moment, *after* it can be seen
//! to have ended. So nearly everything here is tried several times.

mod common;

use std::{
    cell::RefCell,
    ops::Range,
    sync::{
        Arc, Barrier, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use binlock::HashMap;
use common::{
    Gate, Hashers, Ledger, Probe, Random, Tracked,
    fault::{self, Site},
    operations::TrackedMap,
    race, together, within,
};

/// As long as the guard lives, no other test of this file runs.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Tries something until it succeeds, for up to some seconds.
fn eventually(attempt: impl Fn() -> Result<(), String>) {
    let end = Instant::now() + Duration::from_secs(10);
    while let Err(error) = attempt() {
        assert!(Instant::now() < end, "{error}, again and again");
        // Whoever is in the way needs the processor.
        thread::sleep(Duration::from_millis(1));
    }
}

fn expect_alive(ledger: &Ledger, expected: u64) -> Result<(), String> {
    let alive = ledger.alive() as u64;
    if alive == expected { Ok(()) } else { Err(format!("{alive} are alive, not {expected}")) }
}

/// A map with so many entries.
fn filled(ledger: &Ledger, entries: u64) -> TrackedMap<'_> {
    let map = TrackedMap::with_hasher(Hashers::Good(1));
    insert(&map, ledger, 0..entries);
    map
}

fn insert<'l>(map: &TrackedMap<'l>, ledger: &'l Ledger, keys: Range<u64>) {
    for key in keys {
        map.insert(ledger.track(key), ledger.track(key));
    }
}

#[test]
fn flush_drops_all_that_was_removed_when_nobody_is_pinned() {
    let _alone = alone();
    within(240, || {
        // Up to many batches of garbage.
        for entries in [1, 10, 100, 1_000, 10_000] {
            eventually(|| {
                let ledger = &Ledger::new(40_010);
                let map = filled(ledger, entries);
                for key in 0..entries {
                    assert!(map.replace(ledger.track(key), ledger.track(key + 1)).is_some());
                }
                map.flush();
                expect_alive(ledger, 2 * entries)?;
                map.clear();
                map.flush();
                expect_alive(ledger, 0)
            });
        }
    });
}

#[test]
fn flush_drops_what_a_map_has_removed_whatever_other_maps_have() {
    let _alone = alone();
    within(240, || {
        eventually(|| {
            let ledger = &Ledger::new(20);
            let others = &Ledger::new(150_000);
            let (map, other) = (filled(ledger, 10), filled(others, 50_000));
            // While a thread is pinned, much is retired elsewhere, also by a map that is
            // dropped.
            let pinned = other.pin();
            let dropped = filled(others, 20_000);
            dropped.clear();
            drop(dropped);
            other.clear();
            drop(pinned);
            map.clear();
            map.flush();
            expect_alive(ledger, 0)
        });
    });
}

#[test]
fn flush_drops_what_threads_have_left_that_are_gone() {
    let _alone = alone();
    within(240, || {
        eventually(|| {
            let ledger = &Ledger::new(1_000);
            let map = &filled(ledger, 500);
            for thread in 0..10 {
                thread::scope(|scope| {
                    scope.spawn(move || {
                        for key in (0..500).filter(|key| key % 10 == thread) {
                            assert!(map.remove(&Probe(key)).is_some());
                        }
                    });
                });
            }
            map.flush();
            expect_alive(ledger, 0)
        });
    });
}

/// Each thread that ends leaves something to the epochs as well.
#[test]
fn flush_drops_what_hundreds_of_threads_have_left_in_one_call() {
    let _alone = alone();
    within(240, || {
        eventually(|| {
            let ledger = &Ledger::new(800);
            let map = &filled(ledger, 400);
            let all_are_there = &Barrier::new(400);
            thread::scope(|scope| {
                for key in 0..400 {
                    scope.spawn(move || {
                        assert!(map.remove(&Probe(key)).is_some());
                        all_are_there.wait();
                    });
                }
            });
            map.flush();
            expect_alive(ledger, 0)
        });
    });
}

#[test]
fn flush_drops_what_threads_have_left_that_wait_for_something_else() {
    let _alone = alone();
    within(240, || {
        eventually(|| {
            let ledger = &Ledger::new(40_000);
            // Large enough that each thread has a share of the garbage of its own.
            let map = &filled(ledger, 10_000);
            let (removed, flushed) = (&Barrier::new(21), &Barrier::new(21));
            thread::scope(|scope| {
                for thread in 0..20 {
                    scope.spawn(move || {
                        for key in (0..1_000).filter(|key| key % 20 == thread) {
                            assert!(map.remove(&Probe(key)).is_some());
                        }
                        removed.wait();
                        flushed.wait();
                        // It goes on as if nothing had happened.
                        for key in (1_000..10_000).filter(|key| key % 20 == thread) {
                            assert!(map.remove(&Probe(key)).is_some());
                        }
                    });
                }
                removed.wait();
                map.flush();
                let alive = expect_alive(ledger, 18_000);
                flushed.wait();
                alive
            })?;
            map.flush();
            expect_alive(ledger, 0)
        });
    });
}

#[test]
fn threads_that_write_are_not_disturbed_by_others_that_flush() {
    let _alone = alone();
    within(240, || {
        let ledger = &Ledger::new(200_000);
        {
            let map = &filled(ledger, 5_000);
            race(
                8,
                |thread| {
                    let mut random = Random::new(thread as u64);
                    for _ in 0..5_000 {
                        let key = random.below(5_000);
                        match random.below(3) {
                            0 => drop(map.remove(&Probe(key))),
                            _ => drop(map.insert(ledger.track(key), ledger.track(key))),
                        }
                    }
                },
                3,
                |_| map.flush(),
            );
            assert_eq!(map.len(), map.pin().iter().count());
        }
        assert_eq!(ledger.alive(), 0);
    });
}

#[test]
fn flush_drops_nothing_that_a_ref_or_a_pinned_view_of_any_map_may_still_see() {
    let _alone = alone();
    within(240, || {
        let ledger = &Ledger::new(2_000);
        let map = &filled(ledger, 200);
        let elsewhere = &HashMap::from([(1, 1)]);
        // The pin is held by another thread, of this map or another one.
        type Holder = fn(&TrackedMap<'_>, &HashMap<i32, i32>, &Gate);
        let holders: [Holder; 4] = [
            |map, _, gate| {
                let held = map.get(&Probe(0)).unwrap();
                gate.pass();
                assert_eq!(held.value, 0);
            },
            |map, _, gate| {
                let pinned = map.pin();
                let held: Vec<_> = pinned.values().collect();
                gate.pass();
                assert_eq!(held.iter().map(|value| value.value).sum::<u64>(), 199 * 100);
            },
            |_, elsewhere, gate| {
                let held = elsewhere.get(&1).unwrap();
                gate.pass();
                assert_eq!(*held, 1);
            },
            |_, elsewhere, gate| {
                let pinned = elsewhere.pin();
                gate.pass();
                assert_eq!(pinned.len(), 1);
            },
        ];
        for holder in holders {
            assert_eq!((ledger.alive(), map.len()), (400, 200));
            let gate = &Gate::default();
            thread::scope(|scope| {
                let _open = gate.open_at_end();
                let holder = scope.spawn(move || holder(map, elsewhere, gate));
                gate.wait_for(1);
                for key in 0..200 {
                    map.insert(ledger.track(key), ledger.track(key));
                }
                map.flush();
                assert_eq!(ledger.alive(), 800, "dropped under a pin");
                gate.open();
                holder.join().unwrap();
            });
            eventually(|| {
                map.flush();
                expect_alive(ledger, 400)
            });
        }
    });
}

#[test]
fn each_ref_of_a_batch_keeps_its_own_entry() {
    let _alone = alone();
    within(240, || {
        let ledger = &Ledger::new(10);
        let map = filled(ledger, 3);
        let [first, second, third] = map.get_many([&Probe(0), &Probe(1), &Probe(2)]);
        map.clear();
        for held in [first, second, third] {
            map.flush();
            assert_eq!(ledger.alive(), 6, "dropped under a ref");
            assert!(held.is_some_and(|held| held.key().value == held.value().value));
        }
        eventually(|| {
            map.flush();
            expect_alive(ledger, 0)
        });
    });
}

#[test]
fn repin_lets_go_of_what_was_seen() {
    let _alone = alone();
    let ledger = &Ledger::new(100);
    let map = filled(ledger, 10);
    let pinned = map.pin();
    pinned.clear();
    map.flush();
    assert_eq!(ledger.alive(), 20, "dropped under a pin");
    let pinned = RefCell::new(pinned);
    eventually(|| {
        pinned.borrow_mut().repin();
        map.flush();
        expect_alive(ledger, 0)
    });
    assert!(pinned.into_inner().is_empty());
}

#[test]
fn later_writes_drop_what_was_removed_without_a_flush() {
    let _alone = alone();
    eventually(|| {
        let ledger = &Ledger::new(200_020);
        let map = filled(ledger, 10);
        let mut random = Random::new(1);
        let mut most = 0;
        for i in 0..100_000 {
            map.insert(ledger.track(random.below(10)), ledger.track(i));
            most = most.max(ledger.alive());
        }
        // Some hundreds of entries wait for company, of two things that are counted.
        if most < 4_000 { Ok(()) } else { Err(format!("{most} were alive at a time")) }
    });
}

#[test]
fn what_is_replaced_while_a_map_is_extended_is_dropped_on_the_way() {
    let _alone = alone();
    eventually(|| {
        let ledger = &Ledger::new(50_000);
        let mut map = HashMap::<u64, Tracked<'_, u64>>::new();
        let mut most = 0;
        map.extend((0..50_000).map(|i| {
            most = most.max(ledger.alive());
            (i % 3, ledger.track(i))
        }));
        assert_eq!(map.len(), 3);
        drop(map);
        ledger.assert_all_dropped_once();
        if most < 4_000 { Ok(()) } else { Err(format!("{most} were alive at a time")) }
    });
}

#[test]
fn values_are_dropped_while_their_map_is_used_by_threads_that_come_and_go() {
    let _alone = alone();
    within(240, || {
        eventually(|| {
            let ledger = &Ledger::new(30_000);
            let map: HashMap<u64, Tracked<'_, u64>> = HashMap::new();
            for round in 0..30 {
                together(5, |thread| {
                    for i in 0..200 {
                        map.insert((i + thread as u64) % 50, ledger.track(round));
                    }
                });
                assert!(map.pin().values().all(|value| value.value == round));
            }
            // Most of the 30,000 are gone by now, with no flush.
            let alive = ledger.alive();
            if alive < 15_000 { Ok(()) } else { Err(format!("{alive} are alive")) }
        });
    });
}

#[test]
fn a_panic_in_the_drop_of_a_rejected_key_leaks_neither_the_value_nor_the_pin() {
    let _alone = alone();
    let ledger = &Ledger::new(10);
    let map = filled(ledger, 1);
    let (key, value) = (ledger.track(0), ledger.track(11));
    fault::arm(Site::Drop, 0);
    assert!(fault::caught(|| map.try_insert(key, value).is_ok()).is_none());
    assert_eq!(ledger.alive(), 2, "the value that was not inserted has leaked");
    map.remove(&Probe(0));
    eventually(|| {
        map.flush();
        expect_alive(ledger, 0).map_err(|_| "the thread is still pinned".to_string())
    });
}

#[test]
fn a_panic_in_a_drop_of_flush_is_passed_on_after_all_others_have_been_dropped() {
    let _alone = alone();
    for call in [0, 1, 7, 199] {
        eventually(|| {
            let ledger = &Ledger::new(200);
            let map = filled(ledger, 100);
            map.clear();
            fault::arm(Site::Drop, call);
            let panicked = fault::caught(|| map.flush()).is_none();
            fault::disarm();
            expect_alive(ledger, 0)?;
            assert!(panicked, "the panic was not passed on");
            Ok(())
        });
    }
}

#[test]
fn values_that_write_to_their_map_when_they_are_dropped_do_not_overflow_the_stack() {
    /// Removes a key of the map that it was in, which is not there.
    struct Writing<'m>(&'m Mutex<Option<Arc<Map>>>, &'m AtomicUsize);

    type Map = HashMap<u64, Writing<'static>>;

    impl Drop for Writing<'_> {
        fn drop(&mut self) {
            let map = self.0.lock().unwrap().clone();
            map.unwrap().remove(&u64::MAX);
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    static MAP: Mutex<Option<Arc<Map>>> = Mutex::new(None);
    static DROPS: AtomicUsize = AtomicUsize::new(0);

    const ENTRIES: u64 = 100_000;

    let _alone = alone();
    within(240, || {
        let map = Arc::new(Map::new());
        *MAP.lock().unwrap() = Some(map.clone());
        // A reader elsewhere keeps all the garbage for a while.
        let elsewhere = HashMap::from([(1, 1)]);
        let held = elsewhere.get(&1);
        for key in 0..ENTRIES {
            map.insert(key, Writing(&MAP, &DROPS));
        }
        map.clear();
        drop(held);
        // Time passes, as others flush.
        for _ in 0..1_000 {
            elsewhere.flush();
        }
        // A small stack, as many thread pools have.
        let flushing = thread::Builder::new().stack_size(256 << 10);
        let flushed = flushing.spawn(move || {
            map.remove(&0);
            eventually(|| {
                map.flush();
                match DROPS.load(Ordering::Relaxed) as u64 {
                    ENTRIES => Ok(()),
                    drops => Err(format!("{drops} were dropped of {ENTRIES}")),
                }
            });
        });
        flushed.unwrap().join().unwrap();
    });
}

#[test]
fn what_is_replaced_by_itself_over_and_over_is_dropped_as_often() {
    let _alone = alone();
    let ledger = &Ledger::new(3_000);
    let map: HashMap<u8, Tracked<'_, u8>> = HashMap::new();
    for i in 0..3_000 {
        map.insert(0, ledger.track(i as u8));
    }
    eventually(|| {
        map.flush();
        expect_alive(ledger, 1)
    });
}

/// What it removes at a time is more than a write frees, and those who only insert free nothing.
#[test]
fn a_thread_that_only_clears_drops_what_it_has_cleared_before() {
    const ENTRIES: u64 = 2_000;
    const ROUNDS: u64 = 20;
    let _alone = alone();
    within(240, || {
        eventually(|| {
            let ledger = &Ledger::new(2 * (ENTRIES * ROUNDS) as usize);
            // Large enough for threads to have what they retire to themselves.
            let map = TrackedMap::with_capacity_and_hasher(20_000, Hashers::Good(1));
            let (most, barrier) = (AtomicUsize::new(0), Barrier::new(2));
            thread::scope(|scope| {
                scope.spawn(|| {
                    for round in 0..ROUNDS {
                        insert(&map, ledger, round * ENTRIES..(round + 1) * ENTRIES);
                        barrier.wait();
                        barrier.wait();
                    }
                });
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        barrier.wait();
                        map.clear();
                        most.fetch_max(ledger.alive(), Ordering::Relaxed);
                        barrier.wait();
                    }
                });
            });
            let most = most.into_inner() as u64;
            // Of one round, and what the epochs have not passed of those before.
            if most <= 2 * ENTRIES * 6 { Ok(()) } else { Err(format!("{most} were alive at once")) }
        });
    });
}

/// Threads that only insert have nothing of their own to be freed, but come to a growth.
#[test]
fn a_growth_drops_what_a_thread_has_left_that_has_ended() {
    const LEFT: u64 = 10_000;
    const FRESH: u64 = 150_000;
    let _alone = alone();
    within(240, || {
        eventually(|| {
            let ledger = &Ledger::new(2 * (LEFT + FRESH) as usize);
            let map = TrackedMap::with_capacity_and_hasher(20_000, Hashers::Good(1));
            insert(&map, ledger, 0..LEFT);
            thread::scope(|scope| drop(scope.spawn(|| map.clear())));
            insert(&map, ledger, LEFT..LEFT + FRESH);
            let left = ledger.alive() as u64 - 2 * FRESH;
            if left <= LEFT / 5 { Ok(()) } else { Err(format!("{left} are left of {}", 2 * LEFT)) }
        });
    });
}
