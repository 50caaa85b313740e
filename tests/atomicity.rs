//! Each operation on a key takes effect at one moment, for all threads: who wins wins
//! alone, nothing that was put in is taken out twice, nothing goes back in time.

mod common;

use std::{
    cell::Cell,
    sync::{
        Barrier, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering, fence},
    },
};

use binlock::{HashMap, Pinned, Ref};
use common::{Hashers, Random, race, together, within};

type Map = HashMap<u64, u64, Hashers>;

const HASHERS: [Hashers; 3] = [Hashers::Good(3), Hashers::FewBits(2), Hashers::Constant];

#[test]
fn of_many_threads_that_try_to_insert_a_key_one_wins_and_all_see_its_value() {
    const THREADS: usize = 6;

    within(240, || {
        for hasher in HASHERS {
            let map = &Map::with_hasher(hasher);
            let wins = &AtomicUsize::new(0);
            let rounds = &Barrier::new(THREADS);
            let keys = if hasher == Hashers::Constant { 60 } else { 300 };
            together(THREADS, |thread| {
                let mine = thread as u64;
                for key in 0..keys {
                    rounds.wait();
                    let seen = match map.try_insert(key, mine) {
                        Ok(value) => {
                            assert_eq!(*value, mine);
                            wins.fetch_add(1, Ordering::Relaxed);
                            *value
                        }
                        Err(error) => {
                            assert_eq!(error.value, mine);
                            assert_ne!(*error.current, mine);
                            *error.current
                        }
                    };
                    // It stays the winner's.
                    assert_eq!(*map.get(&key).unwrap(), seen);
                    let again = map.try_insert(key, mine).map_err(|error| *error.current);
                    assert_eq!(again.err(), Some(seen));
                }
            });
            assert_eq!((wins.load(Ordering::Relaxed), map.len()), (keys as usize, keys as usize));
        }
    });
}

/// What a thread has written is there for the others before it looks for what they have. (A processor can
/// let a load overtake a store, and then both would find nothing. Without optimisations there is so much
/// between the two that it does not.)
#[test]
fn of_two_that_each_insert_a_key_and_look_for_the_others_one_finds_it() {
    within(240, || {
        insert_and_look_for_the_other_one(|_, insert, look| {
            insert();
            look()
        });
    });
}

#[test]
fn of_two_that_each_insert_a_key_while_they_hold_another_entry_one_finds_the_others() {
    within(240, || {
        insert_and_look_for_the_other_one(|map, insert, look| {
            let held = map.get(&u64::MAX);
            insert();
            assert!(held.is_some());
            drop(held);
            look()
        });
    });
}

#[test]
fn of_two_that_hold_another_entry_all_the_time_one_finds_the_others_key() {
    within(240, || {
        insert_and_look_for_the_other_one(|map, insert, look| {
            let held = map.get(&u64::MAX);
            insert();
            let found = look();
            assert!(held.is_some());
            found
        });
    });
}

/// What a write returns keeps its pin; what it has written is there nevertheless.
#[test]
fn of_two_that_keep_the_entries_that_they_insert_one_finds_the_others() {
    within(240, || {
        keep_and_look_for_the_other_one(|map, key| map.try_insert(key, 1).ok());
    });
}

#[test]
fn of_two_that_keep_the_entries_that_they_compute_one_finds_the_others() {
    within(240, || {
        keep_and_look_for_the_other_one(|map, key| map.compute_if_absent(key, |_| 1).ok());
    });
}

#[test]
fn of_two_that_keep_the_entries_that_they_have_claimed_and_filled_one_finds_the_others() {
    within(240, || {
        keep_and_look_for_the_other_one(|map, key| map.entry(key).ok()?.or_insert(1).ok());
    });
}

fn keep_and_look_for_the_other_one(
    insert: impl for<'m> Fn(&'m Map, u64) -> Option<Ref<'m, u64, u64>> + Sync,
) {
    let map = &large();
    let [one, other] = in_step(|thread, key| {
        let kept = insert(map, 2 * key + thread as u64);
        let found = map.contains_key(&(2 * key + 1 - thread as u64));
        assert_eq!(kept.as_deref(), Some(&1));
        !found
    });
    assert_eq!(in_both(&one, &other), 0, "of {} and {}", one.len(), other.len());
}

#[test]
fn of_two_that_keep_what_they_have_replaced_one_sees_what_the_other_has_put_there() {
    within(240, || {
        let map = &large();
        for key in 0..2 * KEYS {
            map.insert(key, 0);
        }
        let [one, other] = in_step(|thread, key| {
            let replaced = map.insert(2 * key + thread as u64, 1);
            let seen = *map.get(&(2 * key + 1 - thread as u64)).unwrap();
            assert_eq!(*replaced.unwrap(), 0);
            seen == 0
        });
        assert_eq!(in_both(&one, &other), 0, "of {} and {}", one.len(), other.len());
    });
}

/// A view ends with a fence if it has written, by whatever method.
#[test]
fn of_two_whose_views_have_written_one_sees_what_the_other_has_done() {
    type View<'m> = Pinned<'m, u64, u64, Hashers>;
    type Write = fn(View<'_>, u64);
    let ways: [(&str, Write); 11] = [
        ("insert", |view, key| _ = view.insert(key, 1)),
        ("try_insert", |view, key| _ = view.try_insert(key, 1)),
        ("compute_if_absent", |view, key| _ = view.compute_if_absent(key, |_| 1)),
        ("entry", |view, key| _ = view.entry(key).unwrap().or_insert(1)),
        ("replace", |view, key| _ = view.replace(key, 1)),
        ("merge", |view, key| _ = view.merge(key, 1, |_, new| Some(new))),
        ("compute_if_present", |view, key| _ = view.compute_if_present(&key, |_, _| Some(1))),
        ("and_modify", |view, key| _ = view.entry(key).unwrap().and_modify(|_| 1)),
        ("remove", |view, key| _ = view.remove(&key)),
        ("remove_if", |view, key| _ = view.remove_if(&key, |_, _| true)),
        ("compute", |view, key| _ = view.compute(key, |_, _| None)),
    ];

    for (number, (name, write)) in ways.into_iter().enumerate() {
        within(240, move || {
            let map = &large();
            let (before, after) = match number {
                0..4 => (None, Some(1)),
                4..8 => (Some(0), Some(1)),
                _ => (Some(0), None),
            };
            const KEYS: u64 = self::KEYS / 8;
            if let Some(value) = before {
                for key in 0..2 * KEYS {
                    map.insert(key, value);
                }
            }
            let [one, other] = in_step_for(KEYS, |thread, key| {
                write(map.pin(), 2 * key + thread as u64);
                let seen = map.get(&(2 * key + 1 - thread as u64)).map(|value| *value);
                assert!([before, after].contains(&seen), "{name}: {seen:?}");
                seen == before
            });
            assert_eq!(in_both(&one, &other), 0, "{name}, of {} and {}", one.len(), other.len());
        });
    }
}

#[test]
fn of_two_that_repin_their_views_after_an_insertion_one_finds_the_others_key() {
    within(240, || {
        let map = &large();
        let [one, other] = in_step(|thread, key| {
            let mut view = map.pin();
            view.insert(2 * key + thread as u64, 1);
            view.repin();
            view.get(&(2 * key + 1 - thread as u64)).is_none()
        });
        assert_eq!(in_both(&one, &other), 0, "of {} and {}", one.len(), other.len());
    });
}

fn insert_and_look_for_the_other_one(
    turn: impl Fn(&Map, &dyn Fn(), &dyn Fn() -> bool) -> bool + Sync,
) {
    let map = &large();
    map.insert(u64::MAX, 0);
    let [one, other] = in_step(|thread, key| {
        let insert = || drop(map.insert(2 * key + thread as u64, 0));
        !turn(map, &insert, &|| map.contains_key(&(2 * key + 1 - thread as u64)))
    });
    assert_eq!(in_both(&one, &other), 0, "of {} and {}", one.len(), other.len());
}

fn in_both(one: &[u64], other: &[u64]) -> usize {
    one.iter().filter(|key| other.binary_search(key).is_ok()).count()
}

/// Whoever changes what a value is computed of, and removes that value then, has removed it, or it is
/// computed of what he has changed.
#[test]
fn what_is_removed_after_its_source_has_changed_is_not_computed_from_what_was_there_before() {
    within(240, || {
        compute_while_the_source_changes(|map, key, source| {
            map.compute_if_absent(key, |_| source()).unwrap();
        });
    });
}

#[test]
fn what_is_removed_is_not_put_there_by_an_entry_that_has_seen_its_source_before_it_changed() {
    within(240, || {
        compute_while_the_source_changes(|map, key, source| {
            let entry = map.entry(key).unwrap();
            let value = source();
            entry.or_insert(value).unwrap();
        });
    });
}

#[test]
fn what_is_removed_is_not_put_there_by_a_view_that_has_seen_its_source_before_it_changed() {
    within(240, || {
        compute_while_the_source_changes(|map, key, source| {
            map.pin().compute(key, |_, _| Some(source())).unwrap();
        });
    });
}

fn compute_while_the_source_changes(compute: impl Fn(&Map, u64, &dyn Fn() -> u64) + Sync) {
    let map = &large();
    let sources: &Vec<AtomicU64> = &(0..KEYS).map(|_| AtomicU64::new(0)).collect();
    in_step(|thread, key| {
        let source = &sources[key as usize];
        if thread == 0 {
            compute(map, key, &|| source.load(Ordering::Relaxed));
        } else {
            source.store(1, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            map.remove(&key);
        }
        false
    });
    assert_nothing_is_of_the_old_source(map);
}

/// The same with what another map has: a write that has returned needs no fence.
#[test]
fn what_is_removed_after_an_entry_of_another_map_has_changed_is_not_computed_from_the_old_one() {
    within(240, || {
        compute_while_another_map_changes(|map, sources, key| {
            drop(sources.insert(key, 1));
            map.remove(&key);
        });
    });
}

#[test]
fn what_is_removed_while_the_old_entry_of_another_map_is_kept_is_not_computed_from_that() {
    within(240, || {
        compute_while_another_map_changes(|map, sources, key| {
            let old = sources.insert(key, 1).unwrap();
            map.remove(&key);
            assert_eq!(*old, 0);
        });
    });
}

fn compute_while_another_map_changes(change: impl Fn(&Map, &Map, u64) + Sync) {
    let (map, sources) = (&large(), &large());
    for key in 0..KEYS {
        sources.insert(key, 0);
    }
    in_step(|thread, key| {
        if thread == 0 {
            map.compute_if_absent(key, |_| *sources.get(&key).unwrap()).unwrap();
        } else {
            change(map, sources, key);
        }
        false
    });
    assert_nothing_is_of_the_old_source(map);
}

fn assert_nothing_is_of_the_old_source(map: &Map) {
    let old: Vec<_> = map.pin().iter().filter(|(_, value)| **value == 0).map(|(k, _)| *k).collect();
    assert_eq!(old, [0; 0]);
}

/// Without optimisations, what is wrong with the order of two instructions does not show anyhow.
const KEYS: u64 = if cfg!(debug_assertions) { 20_000 } else { 100_000 };

/// So large that each thread counts for itself: it changes nothing that another one changes but the bins.
fn large() -> Map {
    Map::with_capacity_and_hasher(4 * KEYS as usize, Hashers::Good(3))
}

/// Two threads come to one key after another at the same time. Returns which ones each has noted.
fn in_step(turn: impl Fn(usize, u64) -> bool + Sync) -> [Vec<u64>; 2] {
    in_step_for(KEYS, turn)
}

fn in_step_for(keys: u64, turn: impl Fn(usize, u64) -> bool + Sync) -> [Vec<u64>; 2] {
    let rounds = &[AtomicU64::new(0), AtomicU64::new(0)];
    let noted = [Mutex::new(Vec::new()), Mutex::new(Vec::new())];
    together(2, |thread| {
        let mut mine = Vec::new();
        for key in 0..keys {
            rounds[thread].store(key, Ordering::Release);
            let mut waited = 0;
            while rounds[1 - thread].load(Ordering::Acquire) < key {
                // With both on one processor.
                waited += 1;
                if waited % 1_000 == 0 {
                    std::thread::yield_now();
                }
                std::hint::spin_loop();
            }
            if turn(thread, key) {
                mine.push(key);
            }
        }
        *noted[thread].lock().unwrap() = mine;
    });
    noted.map(|noted| noted.into_inner().unwrap())
}

#[test]
fn of_many_threads_that_remove_what_they_saw_one_gets_it() {
    within(240, || {
        for hasher in HASHERS {
            let map = &Map::with_hasher(hasher);
            let wins = &AtomicU64::new(0);
            for key in 0..4 {
                map.insert(key, 0);
            }
            together(6, |thread| {
                let mut random = Random::new(thread as u64);
                for _ in 0..2_000 {
                    let key = random.below(4);
                    let Some(seen) = map.get(&key).map(|value| *value) else { continue };
                    // As compare-and-swap: only one thread can remove each value.
                    if map.remove_if(&key, |_, value| *value == seen).is_some() {
                        wins.fetch_add(1, Ordering::Relaxed);
                        assert_eq!(
                            map.try_insert(key, seen + 1).map(|value| *value).ok(),
                            Some(seen + 1)
                        );
                    }
                }
            });
            assert_eq!(map.pin().values().sum::<u64>(), wins.load(Ordering::Relaxed));
            assert_eq!(map.len(), 4);
        }
    });
}

#[test]
fn what_a_condition_approved_is_what_is_removed() {
    within(240, || {
        for hasher in HASHERS {
            let map = &Map::with_hasher(hasher);
            race(
                2,
                |_| {
                    for i in 0..5_000 {
                        map.insert(i % 3, i);
                    }
                },
                3,
                |_| {
                    for key in 0..3 {
                        let approved = Cell::new(None);
                        let removed = map.remove_if(&key, |found, value| {
                            assert_eq!(*found, key);
                            approved.set(Some(*value));
                            value % 2 == 0
                        });
                        // `None` may come after an approval, too: somebody else removed it.
                        if let Some(removed) = removed {
                            assert_eq!(Some(*removed), approved.get());
                            assert!(*removed % 2 == 0);
                        }
                    }
                },
            );
        }
    });
}

#[test]
fn retain_removes_nothing_but_what_it_has_refused() {
    within(240, || {
        for hasher in HASHERS {
            let map = &Map::with_hasher(hasher);
            race(
                3,
                |writer| {
                    for i in 0..2_000 {
                        let key = writer as u64 * 4 + i % 4;
                        // Odd values are removed at any time, even ones are not, although
                        // they come to where an odd one was.
                        map.insert(key, 2 * i + 1);
                        map.insert(key, 2 * i);
                        assert_eq!(map.get(&key).map(|value| *value), Some(2 * i));
                    }
                },
                2,
                |_| map.retain(|_, value| value % 2 == 0),
            );
            assert_eq!(map.len(), 12);
        }
    });
}

#[test]
fn everything_that_was_put_in_comes_out_once() {
    within(240, || {
        for hasher in HASHERS {
            let map = &Map::with_hasher(hasher);
            let stamps = &AtomicU64::new(0);
            let out = Mutex::new(Vec::new());
            together(6, |thread| {
                let mut random = Random::new(thread as u64);
                let mut mine = Vec::new();
                for i in 0..3_000 {
                    let key = random.below(10);
                    let stamp = stamps.fetch_add(1, Ordering::Relaxed);
                    match random.below(6) {
                        0 | 1 => mine.extend(map.insert(key, stamp).map(|value| *value)),
                        2 => match map.replace(key, stamp) {
                            Some(replaced) => mine.push(*replaced),
                            None => mine.push(stamp),
                        },
                        3 => mine.extend(map.try_insert(key, stamp).err().map(|e| e.value)),
                        4 => {
                            mine.extend(map.remove(&key).map(|value| *value));
                            mine.push(stamp);
                        }
                        _ => {
                            let removed = map.remove_if(&key, |_, value| value % 3 != 0);
                            mine.extend(removed.map(|value| *value));
                            mine.push(stamp);
                        }
                    }
                    match i % 700 {
                        300 => map.reserve(4_000),
                        600 => map.shrink_to_fit(),
                        _ => {}
                    }
                }
                out.lock().unwrap().extend(mine);
            });
            let mut out = out.into_inner().unwrap();
            out.extend(map.pin().values());
            out.sort();
            assert!(out.into_iter().eq(0..stamps.load(Ordering::Relaxed)));
        }
    });
}

#[test]
fn a_value_that_only_grows_is_never_seen_to_go_back() {
    within(240, || {
        for hasher in HASHERS {
            let map = &Map::with_hasher(hasher);
            for key in 0..4 {
                map.insert(key, 0);
            }
            race(
                2,
                |writer| {
                    // One writes two of the keys each, and lets the table grow and shrink.
                    let writer = writer as u64;
                    for i in 1..=4_000 {
                        let key = writer * 2 + i % 2;
                        match i % 3 {
                            0 => assert!(map.replace(key, i).is_some_and(|value| *value < i)),
                            _ => assert!(map.insert(key, i).is_some_and(|value| *value < i)),
                        }
                        match i % 400 {
                            100 => map.reserve(3_000),
                            300 => map.shrink_to_fit(),
                            _ => {}
                        }
                    }
                },
                5,
                |reader| {
                    let mut last = [0; 4];
                    for _ in 0..100 {
                        let pinned = map.pin();
                        let seen: [u64; 4] = match reader % 3 {
                            0 => [0, 1, 2, 3].map(|key| *pinned.get(&key).unwrap()),
                            1 => pinned.get_many([&0, &1, &2, &3]).map(|value| *value.unwrap()),
                            _ => {
                                let mut seen = [None; 4];
                                pinned
                                    .iter()
                                    .for_each(|(key, value)| seen[*key as usize] = Some(*value));
                                seen.map(|value| value.expect("not yielded"))
                            }
                        };
                        for (last, seen) in last.iter_mut().zip(seen) {
                            assert!(*last <= seen, "{last} after {seen}");
                            *last = seen;
                        }
                    }
                },
            );
        }
    });
}

#[test]
fn what_one_reader_has_found_all_find_by_any_way_of_reading() {
    const WAYS: [fn(&Map, u64) -> bool; 4] = [
        |map, key| map.get(&key).is_some(),
        |map, key| map.pin().get_many([&u64::MAX, &key])[1].is_some(),
        |map, key| map.pin().keys().any(|found| *found == key),
        // What a writer finds, which asks and leaves it.
        |map, key| {
            let mut is_found = false;
            map.remove_if(&key, |_, _| {
                is_found = true;
                false
            });
            is_found
        },
    ];

    within(240, || {
        // With and without overflow blocks; slots are used again and again.
        for neighbours in [0, 5, 6, 7, 12, 14] {
            let map = &Map::with_hasher(Hashers::Constant);
            for neighbour in 0..neighbours {
                map.insert(u64::MAX - 1 - neighbour, 0);
            }
            // The last keys that may be there, that were found, that may be gone again.
            let (next, found, removed) = (AtomicU64::new(1), AtomicU64::new(0), AtomicU64::new(0));
            race(
                1,
                |_| {
                    for key in 1..=1_500 {
                        next.store(key, Ordering::SeqCst);
                        map.insert(key, key);
                        removed.store(key, Ordering::SeqCst);
                        map.remove(&key);
                    }
                },
                4,
                |_| {
                    let key = next.load(Ordering::SeqCst);
                    for way in WAYS {
                        let expected = found.load(Ordering::SeqCst) >= key;
                        let is_found = way(map, key);
                        if removed.load(Ordering::SeqCst) >= key {
                            break;
                        }
                        assert!(is_found || !expected, "{key} was found before");
                        if is_found {
                            found.fetch_max(key, Ordering::SeqCst);
                            // Whatever way it was, all others find it from now on.
                            for way in WAYS {
                                assert!(way(map, key) || removed.load(Ordering::SeqCst) >= key);
                            }
                        }
                    }
                },
            );
        }
    });
}

#[test]
fn what_was_written_later_is_not_seen_before_what_was_written_earlier() {
    within(240, || {
        for hasher in HASHERS {
            let map = &Map::with_hasher(hasher);
            map.insert(1, 0);
            map.insert(2, 0);
            race(
                1,
                |_| {
                    // In this order: 3 appears, 1 is written, 2 is written, 3 disappears.
                    for i in 1..=5_000 {
                        assert!(map.insert(3, i).is_none());
                        map.insert(1, i);
                        map.insert(2, i);
                        assert_eq!(map.remove(&3).map(|value| *value), Some(i));
                    }
                },
                4,
                |_| {
                    for _ in 0..50 {
                        let second = *map.get(&2).unwrap();
                        let first = *map.get(&1).unwrap();
                        assert!(first >= second, "the later write was seen first");
                        if let Some(third) = map.get(&3) {
                            // So the round of that number has begun, and its end is later.
                            assert!(*third >= first && *map.get(&1).unwrap() + 1 >= *third);
                        }
                    }
                },
            );
        }
    });
}

#[test]
fn a_thread_finds_what_it_has_just_written_and_not_what_it_has_just_removed() {
    within(240, || {
        for hasher in HASHERS {
            let map = &Map::with_hasher(hasher);
            together(8, |thread| {
                let mut random = Random::new(thread as u64);
                for i in 0..1_500 {
                    let key = random.below(10) * 8 + thread as u64;
                    map.insert(key, i);
                    assert_eq!(map.get(&key).map(|value| *value), Some(i));
                    assert_eq!(map.pin().get_many([&key]), [Some(&i)]);
                    assert_eq!(map.remove(&key).map(|value| *value), Some(i));
                    assert!(!map.contains_key(&key));
                }
            });
            assert!(map.is_empty());
        }
    });
}
