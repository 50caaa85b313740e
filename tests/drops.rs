//! When a map is dropped, every key and value that it ever held has been dropped exactly
//! once by the time `drop` returns.

mod common;

use std::{
    mem,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use binlock::HashMap;
use common::{
    Gate, Hashers, Ledger, Probe, Random,
    operations::{Operation, TrackedMap},
    race, together, within,
};

fn filled(ledger: &Ledger, hasher: Hashers, entries: u64) -> TrackedMap<'_> {
    let map = TrackedMap::with_hasher(hasher);
    for key in 0..entries {
        map.insert(ledger.track(key), ledger.track(key));
    }
    map
}

#[test]
fn a_dropped_map_has_dropped_everything_once_after_any_operations() {
    within(240, || {
        for hasher in Hashers::ALL {
            for seed in 0..20 {
                let ledger = &Ledger::new(4_000);
                let map = TrackedMap::with_hasher(hasher);
                let mut random = Random::new(seed);
                for _ in 0..random.below(1_500) {
                    let pinned = random.below(2) == 0;
                    Operation::random(&mut random, 30).on_map(&map, ledger, pinned);
                }
                drop(map);
                ledger.assert_all_dropped_once();
            }
        }
    });
}

#[test]
fn a_dropped_map_has_dropped_everything_once_after_any_operations_of_many_threads() {
    within(240, || {
        for hasher in [Hashers::Good(5), Hashers::FewBits(3), Hashers::Constant] {
            let ledger = &Ledger::new(200_000);
            let map = TrackedMap::with_hasher(hasher);
            race(
                6,
                |writer| {
                    let mut random = Random::new(writer as u64);
                    for _ in 0..3_000 {
                        // The same keys for all, so that they race.
                        Operation::random(&mut random, 16).on_map(&map, ledger, writer % 2 == 0);
                    }
                },
                1,
                |_| {
                    map.retain(|key, _| key.value % 5 != 0);
                    map.shrink_to_fit();
                    map.clear();
                    map.flush();
                    map.reserve(100);
                },
            );
            drop(map);
            ledger.assert_all_dropped_once();
        }
    });
}

#[test]
fn a_dropped_map_has_dropped_everything_once_while_other_threads_are_pinned_by_other_maps() {
    within(240, || {
        let gate = &Gate::default();
        let ledger = &Ledger::new(20_000);
        thread::scope(|scope| {
            let _open = gate.open_at_end();
            // The epoch cannot advance beyond these, which are here from the beginning.
            for kind in 0..3 {
                scope.spawn(move || {
                    let other = HashMap::from([(1, 1)]);
                    let pinned = (kind == 0).then(|| other.pin());
                    let held = (kind == 1).then(|| other.get(&1).unwrap());
                    let removed = (kind == 2).then(|| other.remove(&1).unwrap());
                    gate.pass();
                    drop((pinned, held, removed));
                });
            }
            gate.wait_for(3);
            let map = filled(ledger, Hashers::Good(1), 1_000);
            for key in 0..500 {
                map.remove(&Probe(key));
                map.replace(ledger.track(key + 500), ledger.track(0));
            }
            // Pins of the thread itself do not matter either.
            let other = HashMap::from([(1, 1)]);
            let pinned = other.pin();
            assert!(ledger.alive() > 1_000);
            drop(map);
            assert_eq!(ledger.alive(), 0);
            drop(pinned);
        });
        ledger.assert_all_dropped_once();
    });
}

#[test]
fn a_dropped_map_has_dropped_everything_once_that_threads_had_retired_which_are_gone() {
    within(240, || {
        let ledger = &Ledger::new(20_000);
        let map = filled(ledger, Hashers::Good(1), 2_000);
        for round in 0..5 {
            together(4, |thread| {
                let first = round * 400 + thread as u64 * 100;
                for key in first..first + 100 {
                    assert!(map.replace(ledger.track(key), ledger.track(0)).is_some());
                    assert!(map.remove(&Probe(key)).is_some());
                }
            });
        }
        assert!(map.is_empty());
        drop(map);
        ledger.assert_all_dropped_once();
    });
}

#[test]
fn a_map_may_be_dropped_on_another_thread_than_any_that_used_it() {
    within(240, || {
        let ledger = &Ledger::new(4_000);
        let (send, receive) = mpsc::channel::<TrackedMap<'_>>();
        thread::scope(|scope| {
            scope.spawn(move || {
                for map in receive {
                    drop(map);
                }
            });
            for _ in 0..3 {
                let send = send.clone();
                scope.spawn(move || {
                    let map = filled(ledger, Hashers::Good(1), 300);
                    map.retain(|key, _| key.value % 2 == 0);
                    send.send(map).unwrap();
                });
            }
            drop(send);
        });
        ledger.assert_all_dropped_once();
    });
}

#[test]
fn a_map_that_is_dropped_in_the_middle_of_a_transfer_drops_everything_once() {
    for hasher in [Hashers::Good(1), Hashers::FewBits(5)] {
        for writes in [0, 1, 2, 10, 100] {
            let ledger = &Ledger::new(4_000);
            let map = filled(ledger, hasher, 400);
            map.reserve(20_000);
            for key in 0..writes {
                map.remove(&Probe(key));
            }
            drop(map);
            ledger.assert_all_dropped_once();
        }
    }
}

#[test]
fn into_iter_and_drain_drop_once_what_they_yielded_and_what_they_did_not() {
    for hasher in Hashers::ALL {
        for taken in [0, 1, 50, 99, 100] {
            let ledger = &Ledger::new(1_000);
            let map = filled(ledger, hasher, 120);
            for key in 0..20 {
                map.remove(&Probe(key));
            }
            let mut entries = map.into_iter();
            let yielded: Vec<_> = entries.by_ref().take(taken).collect();
            assert_eq!((yielded.len(), entries.len()), (taken, 100 - taken));
            drop(entries);
            assert_eq!(ledger.alive(), 2 * taken);
            drop(yielded);
            ledger.assert_all_dropped_once();

            let ledger = &Ledger::new(1_000);
            let mut map = filled(ledger, hasher, 100);
            let mut entries = map.drain();
            let yielded: Vec<_> = entries.by_ref().take(taken).collect();
            assert_eq!((yielded.len(), entries.len()), (taken, 100 - taken));
            drop(entries);
            assert_eq!(ledger.alive(), 2 * taken);
            // The map is as good as new.
            assert_eq!((map.len(), map.capacity(), map.pin().iter().count()), (0, 0, 0));
            map.insert(ledger.track(1), ledger.track(2));
            assert_eq!(map.get(&Probe(1)).unwrap().value, 2);
            drop((map, yielded));
            ledger.assert_all_dropped_once();
        }
    }
}

#[test]
fn a_drain_that_is_leaked_leaks_what_it_had_left_and_nothing_more() {
    let ledger = &Ledger::new(1_000);
    let mut map = filled(ledger, Hashers::Good(1), 100);
    map.remove(&Probe(0));
    let mut entries = map.drain();
    assert!(entries.next().is_some());
    mem::forget(entries);
    assert_eq!(map.len(), 0);
    map.insert(ledger.track(1), ledger.track(1));
    drop(map);
    assert_eq!(ledger.alive(), 2 * 98);
}

#[test]
fn clone_and_what_it_was_cloned_from_each_drop_their_own() {
    let ledger = &Ledger::new(1_000);
    let map = filled(ledger, Hashers::FewBits(4), 100);
    let clone = map.clone();
    assert_eq!(ledger.alive(), 400);
    drop(map);
    assert_eq!(ledger.alive(), 200);
    assert_eq!(clone.len(), 100);
    assert!((0..100).all(|key| clone.get(&Probe(key)).unwrap().value == key));
    drop(clone);
    ledger.assert_all_dropped_once();
}

#[test]
fn what_a_map_does_not_take_is_dropped_or_given_back_at_once() {
    for hasher in Hashers::ALL {
        let ledger = &Ledger::new(1_000);
        let map = filled(ledger, hasher, 10);
        assert!(map.replace(ledger.track(100), ledger.track(100)).is_none());
        assert_eq!(ledger.alive(), 20);
        let error = map.try_insert(ledger.track(5), ledger.track(50)).unwrap_err();
        assert_eq!((error.current.value().value, error.value.value), (5, 50));
        assert_eq!(ledger.alive(), 21);
        drop(error);
        assert_eq!(ledger.alive(), 20);
        drop(map);
        ledger.assert_all_dropped_once();
    }
}

/// Counts itself.
struct Counted<'c>(u64, &'c AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_large_map_is_taken_apart_in_the_middle_of_a_growth_as_at_any_other_time() {
    type Apart = fn(HashMap<u64, Counted<'_>>) -> u64;
    let ways: [(&str, Apart); 5] = [
        ("drop", |map| {
            let entries = map.len() as u64;
            drop(map);
            entries
        }),
        ("into_iter", |map| map.into_iter().filter(|(key, value)| *key == value.0).count() as u64),
        ("part of into_iter", |map| {
            let entries = map.len() as u64;
            assert_eq!(map.into_iter().take(1_000).count(), 1_000);
            entries
        }),
        ("drain", |mut map| map.drain().filter(|(key, value)| *key == value.0).count() as u64),
        ("iter_mut", |mut map| {
            map.iter_mut().map(|(key, value)| u64::from(*key == value.0)).sum::<u64>()
        }),
    ];
    within(240, || {
        for (name, apart) in ways {
            let dropped = &AtomicUsize::new(0);
            let map = HashMap::new();
            let pinned = map.pin();
            let mut entries = 0;
            let mut capacity = 0;
            // To the growth of a table of 2^16 bins, which takes two thousand insertions.
            while entries < 300_000 || capacity == pinned.capacity() {
                capacity = pinned.capacity();
                pinned.insert(entries, Counted(entries, dropped));
                entries += 1;
            }
            for _ in 0..500 {
                pinned.insert(entries, Counted(entries, dropped));
                entries += 1;
            }
            drop(pinned);
            assert_eq!(apart(map), entries, "{name}");
            assert_eq!(dropped.load(Ordering::Relaxed) as u64, entries, "{name}");
        }
    });
}
