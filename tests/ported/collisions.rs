//! OpenJDK's `Collisions`, `InPlaceOpsCollisions` and `MapBinToFromTreeTest`: maps whose keys
//! have the same hash, all of them or all of a half, as numbers and as strings.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher},
};

use binlock::{ComputeError, HashMap, HashSet};

use crate::common::{Hashers, Random, within};

/// What Java hashes a string by, so that `Aa` and `BB` collide.
#[derive(Default)]
struct JavaHasher(u32);

impl Hasher for JavaHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(31).wrapping_add((*byte).into());
        }
    }

    /// (What ends a string is no part of it there.)
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0.into()
    }
}

/// All strings of so many of the two pairs.
fn colliding_strings(pairs: u32) -> Vec<String> {
    let pair = |bits: u32, i| if bits >> i & 1 == 0 { "Aa" } else { "BB" };
    (0..1 << pairs).map(|bits| (0..pairs).map(|i| pair(bits, i)).collect()).collect()
}

/// Does something with each set of keys, as numbers or as strings.
trait OnKeys {
    fn on<K, S>(&self, keys: &[K], hasher: S)
    where
        K: Hash + Ord + Clone + Debug,
        S: BuildHasher + Clone;
}

fn on_all_keys(test: impl OnKeys) {
    within(120, || {
        let numbers: Vec<u64> = (0..100).collect();
        test.on(&numbers, Hashers::Constant);
        test.on(&numbers, Hashers::FewBits(1));
        test.on(&numbers, Hashers::Good(1));
        let shifted: Vec<u64> =
            numbers.iter().map(|i| i << 57).collect::<BTreeSet<_>>().into_iter().collect();
        test.on(&shifted, Hashers::Identity);
        let java = BuildHasherDefault::<JavaHasher>::default();
        let strings = colliding_strings(7);
        let hash = java.hash_one(&strings[0]);
        assert!(strings.iter().all(|string| java.hash_one(string) == hash));
        test.on(&strings, java.clone());
        // One half collides, the other half does not.
        let mut half: Vec<String> = (0..64).map(|i| format!("unequal {i}")).collect();
        half.extend(colliding_strings(6));
        test.on(&half, java);
    });
}

fn filled<K: Hash + Eq + Clone, S: BuildHasher>(keys: &[K], hasher: S) -> HashMap<K, K, S> {
    let map = HashMap::with_hasher(hasher);
    for (i, key) in keys.iter().enumerate() {
        assert!(map.insert(key.clone(), key.clone()).is_none());
        assert_eq!(map.len(), i + 1);
    }
    map
}

/// The map has these keys and none of the others, in all ways of looking.
fn assert_has<K, S>(map: &HashMap<K, K, S>, keys: &[K], has: impl Fn(usize) -> bool)
where
    K: Hash + Ord + Clone + Debug,
    S: BuildHasher,
{
    let expected: BTreeSet<_> =
        keys.iter().enumerate().filter(|(i, _)| has(*i)).map(|(_, key)| key).collect();
    let pinned = map.pin();
    assert_eq!(map.len(), expected.len());
    assert_eq!(pinned.keys().count(), expected.len());
    assert_eq!(pinned.keys().collect::<BTreeSet<_>>(), expected);
    for key in keys {
        assert_eq!(pinned.get(key), expected.get(key).copied());
    }
}

#[test]
fn colliding_keys_are_removed_in_any_order_and_the_others_stay() {
    struct Test;
    impl OnKeys for Test {
        fn on<K, S>(&self, keys: &[K], hasher: S)
        where
            K: Hash + Ord + Clone + Debug,
            S: BuildHasher + Clone,
        {
            let mut random = Random::new(1);
            let shuffle = |random: &mut Random| {
                let mut order: Vec<usize> = (0..keys.len()).collect();
                for i in (1..order.len()).rev() {
                    order.swap(i, random.below(i as u64 + 1) as usize);
                }
                order
            };
            let orders = [
                (0..keys.len()).collect(),
                (0..keys.len()).rev().collect(),
                shuffle(&mut random),
                shuffle(&mut random),
            ];
            for order in orders {
                let map = filled(keys, hasher.clone());
                let mut left = vec![true; keys.len()];
                for (n, i) in order.into_iter().enumerate() {
                    assert_eq!(map.remove(&keys[i]).as_deref(), Some(&keys[i]));
                    assert!(map.remove(&keys[i]).is_none());
                    left[i] = false;
                    if n % 7 == 0 {
                        assert_has(&map, keys, |i| left[i]);
                    }
                }
                assert!(map.is_empty());
            }
            // In the order in which they are met.
            let map = filled(keys, hasher.clone());
            let pinned = map.pin();
            for key in pinned.keys() {
                assert_eq!(pinned.remove(key), Some(key));
            }
            assert_has(&map, keys, |_| false);
            // Every third, by being refused.
            let map = filled(keys, hasher.clone());
            let third: BTreeSet<_> = keys.iter().step_by(3).collect();
            map.retain(|key, _| !third.contains(key));
            assert_has(&map, keys, |i| i % 3 != 0);
            let set = HashSet::with_hasher(hasher);
            assert!(keys.iter().all(|key| set.insert(key.clone())));
            set.retain(|key| third.contains(key));
            assert_eq!(set.len(), third.len());
        }
    }
    on_all_keys(Test);
}

#[test]
fn a_bin_that_grows_and_shrinks_over_its_limits_has_all_its_keys_at_each_step() {
    struct Test;
    impl OnKeys for Test {
        fn on<K, S>(&self, keys: &[K], hasher: S)
        where
            K: Hash + Ord + Clone + Debug,
            S: BuildHasher + Clone,
        {
            let map = HashMap::with_hasher(hasher);
            // Over each limit several times, one way and the other.
            let mut entries = 0;
            for most in [8, 7, 15, 13, 22, 20, 45] {
                while entries < most.min(keys.len()) {
                    map.insert(keys[entries].clone(), keys[entries].clone());
                    entries += 1;
                    assert_has(&map, keys, |i| i < entries);
                }
                while entries > most / 2 {
                    entries -= 1;
                    assert!(map.remove(&keys[entries]).is_some());
                    assert_has(&map, keys, |i| i < entries);
                }
            }
        }
    }
    on_all_keys(Test);
}

#[test]
fn what_is_there_is_changed_in_place_among_keys_that_collide() {
    struct Test;
    impl OnKeys for Test {
        fn on<K, S>(&self, keys: &[K], hasher: S)
        where
            K: Hash + Ord + Clone + Debug,
            S: BuildHasher + Clone,
        {
            // What each operation does to key `i`, when every third is absent, and what it leaves.
            type Operation<K, S> = fn(&HashMap<K, K, S>, &K, &K) -> Option<K>;
            type Case<K, S> = (Operation<K, S>, fn(bool) -> Left);
            let other = &keys[0];
            let cases: [Case<K, S>; 11] = [
                (
                    |map, key, other| match map.try_insert(key.clone(), other.clone()) {
                        Ok(inserted) => Some(inserted.clone()),
                        Err(error) => Some(error.current.clone()),
                    },
                    |present| if present { Left::Same } else { Left::Other },
                ),
                (
                    |map, key, _| {
                        map.remove_if(key, |found, value| found == value);
                        None
                    },
                    |_| Left::Nothing,
                ),
                (
                    |map, key, other| {
                        let replaced = map.replace(key.clone(), other.clone());
                        replaced.map(|_| other.clone())
                    },
                    |present| if present { Left::Other } else { Left::Nothing },
                ),
                (
                    // Where the old value is another one, nothing is replaced.
                    |map, key, other| {
                        let replace = |_: &K, value: &K| {
                            Some(if value == other { other } else { value }.clone())
                        };
                        map.compute_if_present(key, replace).unwrap().as_deref().cloned()
                    },
                    |present| if present { Left::Same } else { Left::Nothing },
                ),
                (
                    |map, key, other| {
                        let found = map.compute_if_absent(key.clone(), |_| other.clone());
                        Some(found.unwrap().clone())
                    },
                    |present| if present { Left::Same } else { Left::Other },
                ),
                (
                    |map, key, _| match map.try_compute_if_absent(key.clone(), |_| Err(())) {
                        Ok(found) => Some(found.clone()),
                        Err(error) => {
                            assert!(matches!(error, ComputeError::Closure(())));
                            None
                        }
                    },
                    |present| if present { Left::Same } else { Left::Nothing },
                ),
                (
                    |map, key, other| {
                        let computed = map.compute_if_present(key, |_, _| Some(other.clone()));
                        computed.unwrap().as_deref().cloned()
                    },
                    |present| if present { Left::Other } else { Left::Nothing },
                ),
                (
                    |map, key, _| {
                        map.compute_if_present(key, |_, _| None).unwrap().as_deref().cloned()
                    },
                    |_| Left::Nothing,
                ),
                (
                    |map, key, other| {
                        let compute =
                            |_: &K, value: Option<&K>| value.is_none().then(|| other.clone());
                        map.compute(key.clone(), compute).unwrap().as_deref().cloned()
                    },
                    |present| if present { Left::Nothing } else { Left::Other },
                ),
                (
                    |map, key, other| {
                        let merged = map.merge(key.clone(), other.clone(), |_, new| Some(new));
                        merged.unwrap().as_deref().cloned()
                    },
                    |_| Left::Other,
                ),
                (
                    |map, key, other| {
                        let merged = map.merge(key.clone(), other.clone(), |_, _| None);
                        merged.unwrap().as_deref().cloned()
                    },
                    |present| if present { Left::Nothing } else { Left::Other },
                ),
            ];
            for (operation, left) in cases {
                let map = filled(keys, hasher.clone());
                keys.iter().skip(2).step_by(3).for_each(|key| drop(map.remove(key)));
                let mut entries = map.len();
                // (The first key's value is the other one in any case.)
                for (i, key) in keys.iter().enumerate().skip(1) {
                    let present = i % 3 != 2;
                    let left = match left(present) {
                        Left::Nothing => None,
                        Left::Same => Some(key.clone()),
                        Left::Other => Some(other.clone()),
                    };
                    assert_eq!(operation(&map, key, other), left, "{key:?}");
                    assert_eq!(map.get(key).as_deref(), left.as_ref(), "{key:?}");
                    entries = entries + usize::from(left.is_some()) - usize::from(present);
                    assert_eq!(map.len(), entries);
                }
                assert_eq!(map.pin().iter().count(), entries);
            }
        }
    }
    /// What a key is mapped to afterwards.
    enum Left {
        Nothing,
        Same,
        Other,
    }
    on_all_keys(Test);
}
