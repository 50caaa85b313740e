//! Iteration is weakly consistent: what is present throughout is yielded exactly once,
//! no insertion is yielded twice, whatever the table does meanwhile.

mod common;

use std::{
    collections::{BTreeMap, HashSet},
    sync::atomic::{AtomicU64, Ordering},
};

use binlock::HashMap;
use common::{Hashers, Random, race, within};

type Map = HashMap<u64, u64, Hashers>;

/// Keys from here on are not among those that the tests look for.
const OTHERS: u64 = 1 << 40;

/// Ends any transfer that is going on: each write moves some bins, and there are at most
/// some 16,000 in these tests.
fn settle(map: &Map) {
    for _ in 0..600 {
        map.remove(&u64::MAX);
    }
}

/// What can happen to a map in the middle of an iteration, while keys `0..n` stay.
type Event = fn(&Map, u64);

const EVENTS: [(&str, Event); 11] = [
    ("nothing", |_, _| {}),
    ("a transfer begins", |map, _| map.reserve(4 * map.capacity())),
    ("a growth", |map, _| {
        map.reserve(map.capacity());
        settle(map);
    }),
    ("two growths", |map, _| {
        map.reserve(map.capacity());
        settle(map);
        map.reserve(map.capacity());
        settle(map);
    }),
    ("a growth at one go to 16 times the size", |map, _| {
        map.reserve(16 * map.capacity());
        settle(map);
    }),
    ("a shrinking", |map, _| map.shrink_to_fit()),
    ("a shrinking and a growth", |map, _| {
        map.shrink_to_fit();
        map.reserve(3 * map.capacity());
        settle(map);
    }),
    ("a growth and a shrinking", |map, _| {
        map.reserve(8 * map.capacity());
        settle(map);
        map.shrink_to_fit();
    }),
    ("insertions of other keys", |map, n| {
        for key in 0..2 * n {
            map.insert(OTHERS + key, key);
        }
    }),
    ("removal of other keys", |map, _| map.retain(|key, _| *key < OTHERS)),
    ("replacement of all values", |map, n| {
        for key in 0..n {
            map.insert(key, key);
        }
    }),
];

/// Entries, and the capacity that the table begins with.
const SIZES: [(u64, usize); 4] = [(20, 20), (300, 300), (40, 6_000), (300, 60_000)];

#[test]
fn an_entry_that_is_present_throughout_is_yielded_once_whatever_happens_at_whichever_step() {
    within(240, || {
        for hasher in [Hashers::Good(3), Hashers::Identity, Hashers::FewBits(4)] {
            for (n, capacity) in SIZES {
                for (name, event) in EVENTS {
                    for step in [0, 1, 7, n / 2, n - 1] {
                        let map = Map::with_capacity_and_hasher(capacity, hasher);
                        for key in 0..n {
                            map.insert(key, key);
                            map.insert(OTHERS + key, key);
                        }
                        let pinned = map.pin();
                        let mut entries = pinned.iter();
                        let mut seen = vec![0; n as usize];
                        let mut others = HashSet::new();
                        for at in 0.. {
                            if at == step {
                                event(&map, n);
                            }
                            let Some((key, value)) = entries.next() else { break };
                            if *key < OTHERS {
                                assert_eq!(key, value);
                                seen[*key as usize] += 1;
                            } else {
                                assert!(others.insert(*key), "{key} twice: {name}");
                            }
                        }
                        assert!(
                            seen.iter().all(|times| *times == 1),
                            "{name} at step {step} of {n} in {capacity}, {hasher:?}: {seen:?}"
                        );
                        assert_eq!(entries.next(), None);
                    }
                }
            }
        }
    });
}

/// Iterates in all ways over a map of which keys `0..n` are known to stay, with values
/// that are equal to them.
fn iterate(map: &Map, n: u64) {
    let check = |keys: &mut dyn Iterator<Item = u64>| {
        let mut seen = vec![0; n as usize];
        for key in keys.filter(|key| *key < n) {
            seen[key as usize] += 1;
        }
        assert!(seen.iter().all(|times| *times == 1), "{seen:?}");
    };
    let pinned = map.pin();
    check(&mut pinned.iter().map(|(key, _)| *key));
    check(&mut pinned.keys().copied());
    check(&mut pinned.values().copied());
    check(&mut map.clone().into_iter().map(|(key, _)| key));
    let mut asked = Vec::new();
    map.retain(|key, _| {
        asked.push(*key);
        true
    });
    check(&mut asked.into_iter());
}

#[test]
fn an_entry_that_is_present_throughout_is_yielded_once_while_others_grow_the_map() {
    within(240, || {
        for (hasher, n, more) in [
            (Hashers::Good(8), 500, 20_000),
            (Hashers::Identity, 500, 20_000),
            (Hashers::FewBits(9), 200, 2_000),
            (Hashers::Constant, 20, 60),
        ] {
            let map = &Map::with_hasher(hasher);
            for key in 0..n {
                map.insert(key, key);
            }
            race(
                4,
                |writer| {
                    for i in 0..more {
                        map.insert(OTHERS + i * 4 + writer as u64, u64::MAX);
                    }
                },
                4,
                |_| iterate(map, n),
            );
            assert_eq!(map.len() as u64, n + 4 * more);
        }
    });
}

#[test]
fn an_entry_that_is_present_throughout_is_yielded_once_while_others_shrink_and_grow_the_map() {
    within(240, || {
        // Below and above the size that shrinking does not go below.
        for (hasher, n, capacity) in [
            (Hashers::Good(8), 100, 3_000),
            (Hashers::Good(8), 500, 100_000),
            (Hashers::FewBits(5), 100, 20_000),
        ] {
            let map = &Map::with_hasher(hasher);
            for key in 0..n {
                map.insert(key, key);
            }
            race(
                3,
                |resizer| {
                    for round in 0..30 {
                        match (resizer + round) % 3 {
                            0 => map.reserve(capacity),
                            1 => map.shrink_to_fit(),
                            _ => settle(map),
                        }
                    }
                },
                3,
                |_| iterate(map, n),
            );
            map.shrink_to_fit();
            iterate(map, n);
        }
    });
}

#[test]
fn an_iteration_ends_however_often_the_table_is_replaced_meanwhile() {
    within(240, || {
        let n = 20;
        let map = &Map::with_hasher(Hashers::Good(8));
        for key in 0..n {
            map.insert(key, key);
        }
        let walk = || {
            let pinned = map.pin();
            let mut entries = pinned.iter();
            let mut seen = vec![*entries.next().unwrap().0];
            for _ in 0..5_000 {
                map.reserve(100);
                map.shrink_to_fit();
            }
            seen.extend(entries.map(|(key, _)| *key));
            seen.sort_unstable();
            assert!(seen.into_iter().eq(0..n));
        };
        // A stack that is large enough for everything else.
        std::thread::scope(|scope| {
            let walker = std::thread::Builder::new().stack_size(128 << 10);
            walker.spawn_scoped(scope, walk).unwrap().join().unwrap();
        });
    });
}

#[test]
fn no_insertion_is_yielded_twice() {
    within(240, || {
        for hasher in [Hashers::Good(8), Hashers::FewBits(3), Hashers::Constant] {
            let map = &Map::with_hasher(hasher);
            let keys = if hasher == Hashers::Constant { 20 } else { 100 };
            // Every insertion, a replacement too, has a value of its own.
            let stamps = &AtomicU64::new(0);
            let stamp = || stamps.fetch_add(1, Ordering::Relaxed);
            race(
                4,
                |writer| {
                    let mut random = Random::new(writer as u64);
                    for round in 0..3_000 {
                        let key = random.below(keys);
                        match random.below(4) {
                            0 => drop(map.remove(&key)),
                            1 => drop(map.replace(key, stamp())),
                            2 => drop(map.try_insert(key, stamp())),
                            _ => drop(map.insert(key, stamp())),
                        }
                        match round % 500 {
                            100 => map.reserve(20_000),
                            400 => map.shrink_to_fit(),
                            _ => {}
                        }
                    }
                },
                4,
                |_| {
                    let pinned = map.pin();
                    let mut yielded: Vec<_> = pinned.values().copied().collect();
                    let count = yielded.len();
                    yielded.sort_unstable();
                    yielded.dedup();
                    assert_eq!(yielded.len(), count, "an insertion was yielded twice");
                },
            );
        }
    });
}

#[test]
fn what_was_removed_before_an_iteration_is_not_yielded_and_what_was_yielded_stays_readable() {
    let map = HashMap::<u64, String>::new();
    for key in 0..100 {
        map.insert(key, key.to_string());
    }
    map.retain(|key, _| key % 3 == 0);
    let pinned = map.pin();
    let entries: Vec<_> = pinned.iter().collect();
    assert_eq!(entries.len(), 34);
    map.clear();
    map.shrink_to_fit();
    map.flush();
    for (key, value) in entries {
        assert!(key % 3 == 0 && *value == key.to_string());
    }
    assert_eq!(pinned.iter().next(), None);
}

#[test]
fn a_map_may_be_written_to_in_the_middle_of_iterating_over_it() {
    for hasher in Hashers::ALL {
        let map = Map::with_hasher(hasher);
        for key in 0..50 {
            map.insert(key, key);
        }
        let pinned = map.pin();
        let mut removed = 0;
        for (key, value) in &pinned {
            // The entry itself, and another one.
            assert_eq!(pinned.remove(key), Some(value));
            pinned.insert(OTHERS + removed, 0);
            removed += 1;
            if removed > 10_000 {
                panic!("the iteration does not end");
            }
        }
        assert!(removed >= 50);
        assert!((0..50).all(|key| !pinned.contains_key(&key)));
    }
}

#[test]
fn all_ways_to_iterate_agree() {
    for hasher in Hashers::ALL {
        for n in [0, 1, 6, 7, 8, 100] {
            let mut map = Map::with_hasher(hasher);
            for key in 0..n {
                map.insert(key, key * 10);
            }
            let expected: BTreeMap<_, _> = (0..n).map(|key| (key, key * 10)).collect();
            let pinned = map.pin();
            let copied = |(key, value): (&u64, &u64)| (*key, *value);
            assert_eq!(pinned.iter().map(copied).collect::<BTreeMap<_, _>>(), expected);
            assert_eq!((&pinned).into_iter().map(copied).collect::<BTreeMap<_, _>>(), expected);
            assert!(pinned.iter().map(|(key, _)| key).eq(pinned.keys()));
            assert!(pinned.iter().map(|(_, value)| value).eq(pinned.values()));
            drop(pinned);
            let mutably: BTreeMap<_, _> = map.iter_mut().map(|(k, v)| (*k, *v)).collect();
            assert_eq!(mutably, expected);
            let by_ref: BTreeMap<_, _> = (&mut map).into_iter().map(|(k, v)| (*k, *v)).collect();
            assert_eq!(by_ref, expected);
            assert_eq!(map.values_mut().map(|v| *v).sum::<u64>(), expected.values().sum());
            assert_eq!(map.clone().drain().collect::<BTreeMap<_, _>>(), expected);
            assert_eq!(map.into_iter().collect::<BTreeMap<_, _>>(), expected);
        }
    }
}

#[test]
fn iterators_that_own_the_map_know_how_much_is_left_and_stay_ended() {
    for n in [0, 1, 7, 1_000] {
        let new = || (0..n).map(|i| (i, i)).collect::<HashMap<usize, usize>>();
        fn check(mut iterator: impl ExactSizeIterator, n: usize) {
            for left in (1..=n).rev() {
                assert_eq!((iterator.len(), iterator.size_hint()), (left, (left, Some(left))));
                assert!(iterator.next().is_some());
            }
            assert_eq!(iterator.len(), 0);
            assert!(iterator.next().is_none() && iterator.next().is_none());
        }
        check(new().into_iter(), n);
        check(new().drain(), n);
        check(new().iter_mut(), n);
        check(new().values_mut(), n);
        let (map, mut ended) = (new(), 0);
        let pinned = map.pin();
        let mut entries = pinned.iter();
        while entries.next().is_some() {
            ended += 1;
        }
        assert_eq!((ended, entries.next()), (n, None));
    }
}

#[test]
fn iter_mut_in_the_middle_of_a_transfer_reaches_every_value_once() {
    for writes in [0, 1, 5, 20] {
        let mut map = Map::with_capacity_and_hasher(5_000, Hashers::Good(1));
        for key in 0..1_000 {
            map.insert(key, 0);
        }
        map.reserve(50_000);
        for key in 0..writes {
            map.insert(key, 0);
        }
        assert_eq!(map.iter_mut().map(|(_, value)| *value += 1).count(), 1_000);
        map.values_mut().for_each(|value| *value += 1);
        for key in 0..1_000 {
            *map.get_mut(&key).unwrap() += key;
        }
        assert!((0..1_000).all(|key| *map.get(&key).unwrap() == key + 2));
        assert_eq!(map.drain().count(), 1_000);
        assert_eq!((map.len(), map.capacity()), (0, 0));
    }
}
