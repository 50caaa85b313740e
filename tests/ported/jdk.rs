//! OpenJDK's `MapLoops`, `ConcurrentAssociateTest` and `ToArray`.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use binlock::HashSet;

use crate::{
    Map,
    common::{Hashers, Random, futures::block_on, race, together, within},
};

#[test]
fn threads_that_walk_at_random_over_keys_find_each_mapped_to_itself_and_count_exactly() {
    const KEYS: usize = 300;

    within(120, || {
        for hasher in [Hashers::Good(1), Hashers::Identity, Hashers::FewBits(5)] {
            // From one to many more than there are cores.
            for threads in [1, 2, 3, 8, 48] {
                let map = &Map::with_hasher(hasher);
                let mut random = Random::new(threads as u64);
                let keys: &Vec<u64> = &(0..KEYS).map(|_| random.next()).collect();
                let entries = &AtomicI64::new(0);
                together(threads, |thread| {
                    let mut random = Random::new(thread as u64);
                    let mut position = KEYS / 2;
                    let mut mine = 0;
                    for _ in 0..12_000 / threads {
                        // Small steps, so that accesses of one thread are close together.
                        position = (position + KEYS + random.below(8) as usize - 3) % KEYS;
                        let key = keys[position];
                        match map.get(&key) {
                            Some(value) => {
                                assert_eq!((*value.key(), *value), (key, key));
                                if random.below(100) < 20 && map.remove(&key).is_some() {
                                    mine -= 1;
                                    position = random.below(KEYS as u64) as usize;
                                }
                            }
                            None if random.below(100) < 60 => {
                                mine += i64::from(map.insert(key, key).is_none());
                            }
                            None => {}
                        }
                    }
                    entries.fetch_add(mine, Ordering::Relaxed);
                });
                assert_eq!(map.len() as i64, entries.load(Ordering::Relaxed));
                assert_eq!(map.pin().iter().count(), map.len());
            }
        }
    });
}

/// All ways for a key to come into a map.
const ASSOCIATIONS: [fn(&Map, u64); 9] = [
    |map, key| assert!(map.insert(key, key).is_none()),
    |map, key| assert!(map.try_insert(key, key).is_ok()),
    |map, key| assert!(map.compute(key, |key, _| Some(*key)).unwrap().is_some()),
    |map, key| assert_eq!(*map.compute_if_absent(key, |key| *key).unwrap(), key),
    |map, key| assert!(map.merge(key, key, |_, new| Some(new)).unwrap().is_some()),
    |map, key| assert_eq!(*map.entry(key).unwrap().or_insert(key).unwrap(), key),
    |map, key| assert_eq!(*map.entry(key).unwrap().insert(key).unwrap(), key),
    |mut map, key| map.extend([(key, key)]),
    |map, key| {
        let computed = map.compute_if_absent_async(key, |key| std::future::ready(*key));
        assert_eq!(*block_on(computed).unwrap(), key);
    },
];

#[test]
fn a_thread_finds_what_it_has_just_put_in_by_whatever_way() {
    const THREADS: usize = 4;
    const EACH: u64 = 100;

    within(120, || {
        for associate in ASSOCIATIONS {
            // Eight hashes for all keys, as there; then so many that the table grows.
            for hasher in [Hashers::FewBits(3), Hashers::Good(2)] {
                for _ in 0..6 {
                    let map = &Map::with_hasher(hasher);
                    together(THREADS, |thread| {
                        for i in 0..EACH {
                            let key = i * THREADS as u64 + thread as u64;
                            associate(map, key);
                            assert!(map.contains_key(&key));
                            assert_eq!(map.pin().get(&key), Some(&key));
                        }
                    });
                    assert_eq!(map.len() as u64, EACH * THREADS as u64);
                }
            }
        }
    });
}

#[test]
fn snapshots_only_grow_while_others_only_insert() {
    const WORKERS: usize = 3;
    const EACH: u64 = 1_024;

    within(120, || {
        for hasher in [Hashers::Good(3), Hashers::FewBits(6)] {
            let map = &Map::with_hasher(hasher);
            let set = &HashSet::with_hasher(hasher);
            // Whatever a snapshot has was there before the next one began.
            let sizes: [AtomicUsize; 5] = Default::default();
            race(
                WORKERS,
                |worker| {
                    for i in 0..EACH {
                        let key = worker as u64 * EACH + i;
                        map.insert(key, i);
                        set.insert(key);
                    }
                },
                1,
                |_| {
                    let pinned = map.pin();
                    let now = [
                        pinned.keys().count(),
                        pinned.values().count(),
                        pinned.iter().collect::<Vec<_>>().len(),
                        map.clone().len(),
                        set.pin().iter().count(),
                    ];
                    for (size, now) in sizes.iter().zip(now) {
                        let before = size.swap(now, Ordering::Relaxed);
                        assert!(before <= now && now <= WORKERS * EACH as usize);
                    }
                },
            );
            let all = WORKERS * EACH as usize;
            assert!(sizes.iter().all(|size| size.load(Ordering::Relaxed) == all));
        }
    });
}
