//! The compatibility tests of JSR 166: `ConcurrentHashMapTest.testReentrantComputeIfAbsent`,
//! which Java's map fails on purpose, and the families of keys of several types.

use std::hash::{Hash, Hasher};

use binlock::HashMap;
use equivalent::Equivalent;

use crate::{
    Map,
    common::{Hashers, futures::block_on, together, within},
};

/// The next multiple of five, through computations of all numbers before it.
fn next_five(map: &Map, key: u64) -> u64 {
    if key % 5 == 0 {
        return key;
    }
    *map.compute_if_absent(key + 1, |key| next_five(map, *key)).unwrap()
}

fn assert_all(map: &Map, keys: u64) {
    for key in 0..keys {
        assert_eq!(*map.get(&key).unwrap(), key.div_ceil(5) * 5);
    }
    assert_eq!(map.len() as u64, (keys - 1).div_ceil(5) * 5 + 1);
}

#[test]
fn reentrant_computations_of_other_keys_succeed_while_they_make_the_table_grow() {
    within(60, || {
        for hasher in Hashers::ALL {
            let map = Map::with_capacity_and_hasher(16, hasher);
            for key in 0..100 {
                map.compute_if_absent(key, |key| next_five(&map, *key)).unwrap();
            }
            assert_all(&map, 100);
        }
    });
}

#[test]
fn reentrant_computations_of_the_same_keys_by_many_threads_succeed_as_they_form_no_cycle() {
    within(60, || {
        for hasher in Hashers::ALL {
            for _ in 0..20 {
                let map = &Map::with_hasher(hasher);
                // All want what needs what is wanted next: they wait for each other, upwards.
                together(6, |thread| {
                    for key in 0..100 {
                        let key = (key + 17 * thread as u64) % 100;
                        let computed = map.compute_if_absent(key, |key| next_five(map, *key));
                        assert_eq!(*computed.unwrap(), key.div_ceil(5) * 5);
                    }
                });
                assert_all(map, 100);
            }
        }
    });
}

#[test]
fn reentrant_computations_by_futures_succeed_while_they_make_the_table_grow() {
    async fn next_five(map: &Map, key: u64) -> u64 {
        if key % 5 == 0 {
            return key;
        }
        let next = map.compute_if_absent_async(key + 1, |key| Box::pin(next_five(map, *key)));
        *next.await.unwrap()
    }

    within(60, || {
        for hasher in Hashers::ALL {
            let map = Map::with_capacity_and_hasher(16, hasher);
            for key in 0..100 {
                let computed = map.compute_if_absent_async(key, |key| next_five(&map, *key));
                block_on(computed).unwrap();
            }
            assert_all(&map, 100);
        }
    });
}

/// Keys of two kinds that hash alike and are never equal, and a kind of their own that
/// only stands for one of them.
#[derive(PartialEq, Eq, Debug)]
enum Key {
    Number(u32),
    Text(String),
}

struct Digits(u32);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        42_u32.hash(state);
    }
}

impl Hash for Digits {
    fn hash<H: Hasher>(&self, state: &mut H) {
        42_u32.hash(state);
    }
}

impl Equivalent<Key> for Digits {
    fn equivalent(&self, key: &Key) -> bool {
        matches!(key, Key::Text(text) if *text == self.0.to_string())
    }
}

#[test]
fn mixed_kinds_of_keys_that_hash_alike_are_told_apart_and_found_by_what_is_equivalent() {
    within(60, || {
        let map = HashMap::new();
        for i in 0..120 {
            assert!(map.insert(Key::Number(i), i).is_none());
            assert!(map.try_insert(Key::Text(i.to_string()), 1_000 + i).is_ok());
        }
        assert_eq!(map.len(), 240);
        for i in 0..120 {
            assert_eq!(*map.get(&Key::Number(i)).unwrap(), i);
            assert_eq!(*map.get(&Digits(i)).unwrap(), 1_000 + i);
            assert_eq!(*map.get(&Key::Text(i.to_string())).unwrap(), 1_000 + i);
        }
        for i in 0..120 {
            assert_eq!(*map.remove(&Digits(i)).unwrap(), 1_000 + i);
            assert!(!map.contains_key(&Digits(i)) && map.contains_key(&Key::Number(i)));
        }
        assert_eq!(map.len(), 120);
    });
}
