//! Memory: what allocates and what does not, what becomes of it, and what happens when
//! there is none. With an allocator that counts, and fails where it is told to.

#[path = "../common/mod.rs"]
mod common;

mod aborts;
mod counting;
mod refusals;

use std::{thread, time::Duration};

use binlock::HashMap;
use common::{Hashers, Random, within};
use counting::{BLOCKS, Failing, LIVE, TABLES, TABLES_OF_4096, failing, fewest_allocations};

type Map = HashMap<u64, u64, Hashers>;

fn check(map: &Map, entries: u64) {
    assert_eq!(map.len() as u64, entries);
    assert!((0..entries).all(|key| *map.get(&key).unwrap() == key));
    assert_eq!(map.pin().keys().count() as u64, entries);
}

#[test]
fn a_map_allocates_nothing_before_the_first_insertion() {
    // The seeds, and what the thread is pinned by, are made once.
    drop(HashMap::<u64, u64>::new().pin());
    let count = fewest_allocations(|| {
        let map = HashMap::<u64, u64>::new();
        assert!(map.get(&1).is_none() && map.remove(&1).is_none() && map.replace(1, 1).is_none());
        assert_eq!((map.pin().iter().count(), map.len()), (0, 0));
        map.retain(|_, _| true);
        map.shrink_to_fit();
        let _ = map.into_iter().next();
    });
    assert_eq!(count, 0);
}

#[test]
fn a_look_up_and_a_try_insert_of_what_is_there_allocate_nothing() {
    let map: Map = (0..1_000).map(|i| (i, i)).collect();
    // What a thread writes down its claims in is made once.
    assert!(map.remove_if(&0, |_, _| false).is_none());
    // Not so many that each time it is the thread's turn.
    let mut keys = (0..1_000).cycle();
    let count = fewest_allocations(|| {
        for key in keys.by_ref().take(50) {
            assert!(map.contains_key(&key) && map.get(&key).is_some());
            assert_eq!(map.try_insert(key, 7).unwrap_err().value, 7);
            assert!(map.remove_if(&key, |_, _| false).is_none());
            assert!(map.pin().get_many([&key, &(key + 1_000)])[0].is_some());
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn insertions_that_make_a_node_for_nothing_keep_no_more_memory_than_others() {
    // In one bin, most of them in overflow blocks, where an insertion finds nothing out before it has
    // its node. Nodes are made with their hash in front, then without it; in stripes that threads
    // share, and in those that they have of their own.
    const KEYS: u64 = 20;
    for room in [0, 3_000, 10_000] {
        let before = LIVE.get();
        let map = Map::with_capacity_and_hasher(room, Hashers::Constant);
        let insert = |times: u64| {
            for i in 0..times {
                map.insert(i % KEYS, i);
            }
            LIVE.get() - before
        };
        // The memory of some thousand nodes is kept, and garbage waits for other tests' threads:
        // for long, if one is not given a processor while it is pinned.
        let mut in_use = insert(60_000);
        for _ in 0..100 {
            if in_use < 10_000 {
                break;
            }
            thread::sleep(Duration::from_millis(20));
            in_use = insert(3 * KEYS);
        }
        assert!(in_use < 10_000, "{room}: {in_use}");
        assert_eq!(map.len() as u64, KEYS);
        assert!((0..KEYS).all(|key| *map.get(&key).unwrap() % KEYS == key));
        drop(map);
        // (What is handed to the epochs, two pieces for each batch, may be freed by other threads.)
        let left = LIVE.get() - before;
        assert!(left < 5_000, "{room}: {left}");
    }
}

#[test]
fn try_reserve_without_memory_says_so_and_leaves_the_map_as_it_was() {
    within(240, || {
        for hasher in [Hashers::Good(1), Hashers::FewBits(5)] {
            for entries in [0, 1, 300] {
                let map = Map::with_hasher(hasher);
                for key in 0..entries {
                    map.insert(key, key);
                }
                let before = map.capacity();
                failing(Failing::From(32 << 10), || {
                    for _ in 0..3 {
                        let error = map.try_reserve(50_000).unwrap_err();
                        let message = error.to_string();
                        assert!(message.contains("no") && message.contains("bytes"), "{message}");
                        assert_ne!(map.try_reserve(usize::MAX), Err(error));
                    }
                });
                assert_eq!(map.capacity(), before);
                check(&map, entries);
                assert_eq!(map.try_reserve(50_000), Ok(()));
                assert!(map.capacity() >= 50_000);
                for key in entries..2_000 {
                    map.insert(key, key);
                }
                check(&map, 2_000);
            }
        }
    });
}

#[test]
fn a_map_that_has_no_memory_to_grow_goes_on_and_grows_when_there_is_some() {
    within(240, || {
        for hasher in [Hashers::Good(1), Hashers::FewBits(7)] {
            let map = Map::with_hasher(hasher);
            let small = failing(Failing::From(4 << 10), || {
                for key in 0..3_000 {
                    assert!(map.insert(key, key).is_none());
                    assert_eq!(*map.get(&key).unwrap(), key);
                }
                assert!(map.capacity() < 1_000, "the table was not to be had");
                check(&map, 3_000);
                for key in 0..1_000 {
                    assert_eq!(*map.insert(key, key).unwrap(), key);
                    assert_eq!(*map.remove(&key).unwrap(), key);
                    assert_eq!(*map.try_insert(key, key).unwrap(), key);
                }
                map.capacity()
            });
            check(&map, 3_000);
            for key in 3_000..6_000 {
                map.insert(key, key);
            }
            assert!(map.capacity() >= 8 * small, "it does not grow any more");
            check(&map, 6_000);
        }
    });
}

#[test]
fn shrink_to_fit_without_memory_leaves_the_map_as_it_was() {
    within(240, || {
        let map = Map::with_capacity_and_hasher(100_000, Hashers::Good(1));
        for key in 0..2_000 {
            map.insert(key, key);
        }
        let before = map.capacity();
        failing(Failing::From(1 << 10), || map.shrink_to_fit());
        assert_eq!(map.capacity(), before);
        check(&map, 2_000);
        map.shrink_to_fit();
        assert!(map.capacity() < before);
        check(&map, 2_000);
    });
}

#[test]
fn shrink_to_fit_ends_when_bins_cannot_be_moved_for_want_of_memory() {
    within(20, || {
        // Into few bins, where the nodes have room only in overflow blocks.
        let map = Map::with_capacity_and_hasher(100_000, Hashers::Good(1));
        for key in 0..6_400 {
            map.insert(key, key);
        }
        failing(Failing::Blocks, || map.shrink_to_fit());
        check(&map, 6_400);
        map.shrink_to_fit();
        for key in 6_400..20_000 {
            map.insert(key, key);
        }
        check(&map, 20_000);
    });
}

#[test]
fn try_reserve_ends_when_bins_cannot_be_moved_for_want_of_memory() {
    within(20, || {
        // All nodes are in one bin, and moving it takes overflow blocks. A growth is
        // under way, and has to end before another can begin.
        let map = Map::with_capacity_and_hasher(2_000, Hashers::Constant);
        for key in 0..100 {
            map.insert(key, key);
        }
        map.reserve(10_000);
        // Whatever it says, it says it.
        let _ = failing(Failing::Blocks, || map.try_reserve(1_000_000));
        check(&map, 100);
        assert_eq!(map.try_reserve(1_000_000), Ok(()));
        check(&map, 100);
    });
}

#[test]
fn a_thread_that_only_reserves_and_shrinks_frees_the_tables_that_it_has_left() {
    let map = Map::with_hasher(Hashers::Good(1));
    map.insert(1, 1);
    let by_turns = || {
        map.reserve(100_000);
        map.shrink_to_fit();
        TABLES.get()
    };
    (0..100).for_each(|_| _ = by_turns());
    let mut tables = by_turns();
    // Some may wait for other tests' threads.
    for _ in 0..500 {
        if tables < 20 {
            break;
        }
        thread::sleep(Duration::from_millis(20));
        tables = by_turns();
    }
    assert!(tables < 20, "{tables} tables are in memory");
    assert_eq!((map.len(), *map.get(&1).unwrap()), (1, 1));
}

#[test]
fn all_tables_and_overflow_blocks_are_freed_with_the_map() {
    for hasher in [Hashers::Good(1), Hashers::FewBits(7), Hashers::Constant] {
        let (blocks, tables) = (BLOCKS.get(), TABLES.get());
        let entries = if hasher == Hashers::Constant { 300 } else { 10_000 };
        let mut map = Map::with_hasher(hasher);
        for key in 0..entries {
            map.insert(key, key);
        }
        map.reserve(50_000);
        for key in 0..entries {
            map.remove(&key);
        }
        map.shrink_to_fit();
        map.extend((0..entries).map(|key| (key, key)));
        drop(map.drain());
        map.extend((0..entries).map(|key| (key, key)));
        assert!(BLOCKS.get() > blocks && (TABLES.get() > tables || entries == 300));
        // A half consumed iterator frees the rest as well.
        let mut entries = map.into_iter();
        assert!(entries.nth(100).is_some());
        drop(entries);
        assert_eq!((BLOCKS.get(), TABLES.get()), (blocks, tables));
    }
}

#[test]
fn multiples_of_any_power_of_two_under_the_identity_do_not_crowd_into_few_bins() {
    const N: u64 = 5_000;

    let blocks = |keys: &mut dyn Iterator<Item = u64>| {
        let before = BLOCKS.get();
        let map = Map::with_capacity_and_hasher(N as usize, Hashers::Identity);
        keys.for_each(|key| drop(map.insert(key, key)));
        assert_eq!(map.len() as u64, N);
        BLOCKS.get() - before
    };
    let mut random = Random::new(1);
    let by_chance = blocks(&mut (0..N).map(|_| random.next()));
    for k in 0..=51 {
        let multiples = blocks(&mut (0..N).map(|i| i << k));
        assert!(
            multiples <= by_chance * 5 / 2,
            "{multiples} instead of {by_chance} for multiples of 2^{k}"
        );
    }
}

#[test]
fn no_write_moves_more_than_a_few_bins() {
    within(240, || {
        let map = Map::with_hasher(Hashers::Good(1));
        // Until a table of 2^12 bins is to be left for one of 2^13.
        const BINS: usize = 1 << 12;
        let limit = BINS * 5 + BINS / 4;
        let mut key = 0;
        while map.capacity() <= limit {
            map.insert(key, key);
            key += 1;
        }
        assert_eq!(map.capacity(), 2 * limit);
        // The old table is freed when all its bins have been moved. No operation, not
        // even the one that began it, moves more than 32.
        assert_eq!(TABLES_OF_4096.get(), 1);
        let mut writes = 0;
        while TABLES_OF_4096.get() == 1 {
            // By so many all bins have been moved.
            if writes < 2 * BINS / 32 {
                map.remove(&u64::MAX);
                writes += 1;
            }
            // Other tests can be pinned for a moment.
            for _ in 0..100 {
                map.flush();
            }
        }
        assert!(writes >= BINS / 32 - 2, "all bins were moved by {writes} writes");
        check(&map, key);
    });
}
