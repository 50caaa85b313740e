//! Capacity: what is reserved suffices, what cannot be addressed is refused, shrinking
//! and clearing do what they say.

mod common;

use std::{error::Error, panic};

use binlock::HashMap;
use common::Hashers;

#[test]
fn a_new_map_has_no_capacity_and_grows_from_there() {
    let map = HashMap::<u64, u64>::new();
    assert_eq!((map.capacity(), map.len(), map.is_empty()), (0, 0, true));
    assert_eq!(HashMap::<u64, u64>::with_capacity(0).capacity(), 0);
    let mut capacities = Vec::new();
    for key in 0..10_000 {
        map.insert(key, key);
        capacities.push(map.capacity());
    }
    assert!(capacities.is_sorted());
    assert!(map.capacity() >= 10_000 * 9 / 10);
    // At most twice what is needed, and a bit.
    assert!(map.capacity() <= 25_000);
    capacities.dedup();
    assert!(capacities.windows(2).all(|pair| pair[1] == 2 * pair[0]), "{capacities:?}");
}

#[test]
fn a_map_does_not_grow_before_it_holds_what_it_was_made_for() {
    for hasher in Hashers::SPREADING {
        for capacity in [1, 10, 25, 26, 100, 1_000, 30_000] {
            let map = HashMap::with_capacity_and_hasher(capacity, hasher);
            let at_first = map.capacity();
            assert!(at_first >= capacity);
            for key in 0..capacity {
                map.insert(key, ());
            }
            assert_eq!(map.capacity(), at_first, "grew although {capacity} were reserved");
        }
    }
}

#[test]
fn a_map_grows_on_however_it_was_made_and_whatever_the_hasher() {
    for hasher in Hashers::ALL {
        for capacity in [0, 1, 50] {
            let map = HashMap::with_capacity_and_hasher(capacity, hasher);
            for key in 0..400_u64 {
                map.insert(key, key);
            }
            assert!(map.capacity() >= 300, "{hasher:?}: {} for 400", map.capacity());
            assert_eq!(map.len(), 400);
        }
    }
}

/// A way to add an entry to a map.
type Add = fn(&HashMap<u64, u64, Hashers>, u64);

#[test]
fn a_large_map_grows_about_when_it_is_full_by_whatever_way_its_entries_come() {
    let ways: [Add; 5] = [
        |map, key| drop(map.insert(key, key)),
        |map, key| assert!(map.compute_if_absent(key, |key| *key).is_ok()),
        |map, key| assert!(map.entry(key).and_then(|entry| entry.or_insert(key)).is_ok()),
        // Others come and go meanwhile.
        |map, key| {
            map.insert(key, key);
            map.insert(!key, key);
            map.insert(!key - (1 << 40), key);
            map.insert(!key - (1 << 41), key);
            map.remove(&!key);
            map.remove(&(!key - (1 << 40)));
            map.remove(&(!key - (1 << 41)));
        },
        // By threads that come and go.
        |map, key| {
            std::thread::scope(|scope| {
                (0..4).for_each(|i| {
                    if key % 512 == i {
                        scope
                            .spawn(move || (0..128).for_each(|j| drop(map.insert(key + 4 * j, j))));
                    }
                });
            });
        },
    ];
    for (number, add) in ways.into_iter().enumerate() {
        let map = HashMap::with_capacity_and_hasher(20_000, Hashers::Good(7));
        let at_first = map.capacity();
        let mut key = 0;
        while map.capacity() == at_first && key < 40_000 {
            add(&map, key);
            key += 1;
        }
        let full = map.len();
        assert!(full >= at_first * 49 / 50, "way {number} grows at {full} of {at_first}");
        assert!(full <= at_first * 21 / 20, "way {number} grows at {full} of {at_first}");
    }
}

#[test]
fn a_large_map_grows_though_keys_come_in_groups_of_one_hash() {
    // The last of each eight is the one that has no room in its bin, with one remainder of the count.
    for before in 0..8 {
        let map = HashMap::with_capacity_and_hasher(20_000, Hashers::Identity);
        let at_first = map.capacity();
        let key = |number: u64| Group { hash: number / 8, number };
        (0..before).for_each(|i| drop(map.insert(key((1 << 50) + 8 * i), ())));
        let full = (0..80_000).find(|&i| {
            map.insert(key(i), ());
            map.capacity() > at_first
        });
        assert!(full.is_some_and(|full| full < 2 * at_first as u64), "{full:?} of {at_first}");
    }
}

/// A number whose hash it shares with some others.
#[derive(PartialEq, Eq)]
struct Group {
    hash: u64,
    number: u64,
}

impl std::hash::Hash for Group {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

#[test]
fn reserve_makes_room_for_so_many_more() {
    let map = HashMap::<usize, usize>::new();
    for additional in [0, 1, 100, 100, 5_000, 4_000, 60_000] {
        for key in map.len()..map.len() + additional / 2 {
            map.insert(key, key);
        }
        map.reserve(additional);
        let reserved = map.capacity();
        assert!(reserved >= map.len() + additional);
        // Reserving it again changes nothing.
        map.reserve(additional);
        assert!(map.try_reserve(additional).is_ok());
        map.pin().reserve(additional);
        assert_eq!(map.capacity(), reserved);
        for key in map.len()..map.len() + additional {
            map.insert(key, key);
        }
        assert_eq!(map.capacity(), reserved, "grew although {additional} were reserved");
    }
    assert!((0..map.len()).all(|key| *map.get(&key).unwrap() == key));
}

#[test]
fn more_than_can_be_addressed_is_refused_and_the_map_is_as_it_was() {
    for entries in [0, 1, 500] {
        let map: HashMap<u64, u64> = (0..entries).map(|i| (i, i)).collect();
        let before = map.capacity();
        for additional in [usize::MAX, usize::MAX / 2, isize::MAX as usize, 1 << 60] {
            let error = map.try_reserve(additional).unwrap_err();
            assert_eq!(map.pin().try_reserve(additional), Err(error.clone()));
            let message = error.to_string();
            assert!(message.contains("reserve fewer"), "{message}");
            assert!(error.source().is_none());
            assert!(panic::catch_unwind(|| map.reserve(additional)).is_err());
            assert_eq!((map.capacity(), map.len() as u64), (before, entries));
        }
        assert!((0..entries).all(|key| *map.get(&key).unwrap() == key));
        map.insert(1_000, 1_000);
        assert!(map.try_reserve(10_000).is_ok());
        assert_eq!(map.len() as u64, entries + 1);
    }
    let too_large = || drop(HashMap::<u64, u64>::with_capacity(usize::MAX));
    assert!(panic::catch_unwind(too_large).is_err());
}

#[test]
fn shrink_to_fit_gives_back_what_is_not_needed() {
    for hasher in [Hashers::Good(1), Hashers::FewBits(6)] {
        // The documented exception: once beyond some 5,000 entries, it stays at that.
        for (capacity, most) in [(100, 30), (2_000, 30), (7_000, 5_400), (200_000, 5_400)] {
            let map = HashMap::with_capacity_and_hasher(capacity, hasher);
            for key in 0..20_u64 {
                map.insert(key, key);
            }
            map.shrink_to_fit();
            assert!(map.capacity() <= most, "{} of {capacity}", map.capacity());
            assert!((0..20).all(|key| *map.get(&key).unwrap() == key));
            let smallest = map.capacity();
            map.shrink_to_fit();
            assert_eq!((map.capacity(), map.len()), (smallest, 20));
            // It grows again.
            for key in 0..2_000 {
                map.insert(key, key);
            }
            assert_eq!(map.len(), 2_000);
            assert!((0..2_000).all(|key| *map.get(&key).unwrap() == key));
        }
    }
    let empty = HashMap::<u8, u8>::new();
    empty.shrink_to_fit();
    assert_eq!(empty.capacity(), 0);
}

#[test]
fn shrink_to_fit_takes_away_no_capacity_that_is_needed() {
    for entries in [1, 25, 26, 400, 3_000, 20_000] {
        let map = HashMap::with_capacity(10 * entries);
        for key in 0..entries {
            map.insert(key, key);
        }
        map.pin().shrink_to_fit();
        assert!(map.capacity() >= entries);
        assert!(map.capacity() <= (3 * entries).max(6_400));
        assert!((0..entries).all(|key| *map.get(&key).unwrap() == key));
    }
}

#[test]
fn a_map_of_any_size_shrinks_to_what_it_needs_and_grows_again_from_there() {
    // On both sides of the size from which on nodes know only a part of their hashes.
    for capacity in (0..15).map(|doublings| 20 << doublings) {
        for entries in [0, 1, 30, 700, 6_000] {
            let map = HashMap::with_capacity_and_hasher(capacity, Hashers::Good(3));
            for key in 0..entries {
                map.insert(key, key);
            }
            let before = map.capacity();
            map.shrink_to_fit();
            assert!(map.capacity() <= before);
            assert!(map.capacity() >= entries);
            for key in 0..8_000 {
                map.insert(key, key);
            }
            assert_eq!(map.len(), 8_000);
            assert!((0..8_000).all(|key| *map.get(&key).unwrap() == key));
        }
    }
}

#[test]
fn clear_and_retain_keep_the_capacity_and_drain_and_clone_do_not() {
    let mut map: HashMap<u64, u64> = (0..5_000).map(|i| (i, i)).collect();
    let before = map.capacity();
    map.retain(|key, _| *key < 10);
    assert_eq!((map.capacity(), map.len()), (before, 10));
    let clone = map.clone();
    assert_eq!(clone, map);
    assert!(clone.capacity() <= 25, "a clone is as large as it needs to be");
    map.clear();
    assert_eq!((map.capacity(), map.len()), (before, 0));
    map.insert(1, 1);
    assert_eq!(map.drain().collect::<Vec<_>>(), [(1, 1)]);
    assert_eq!((map.capacity(), map.len()), (0, 0));
}

#[test]
fn extending_reserves_what_the_iterator_promises() {
    let mut map = HashMap::<u64, u64>::new();
    map.extend((0..800).map(|i| (i, i)));
    assert!(map.capacity() >= 800 && map.capacity() < 2_000);
    // Half of it, where there is something already: they may be the same keys.
    let reserved = map.capacity();
    map.extend((0..800).map(|i| (i, i + 1)));
    assert_eq!((map.len(), map.capacity()), (800, reserved));
}
