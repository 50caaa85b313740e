//! Computations inside computations, and entries beside entries.

use binlock::{ComputeError, Entry, HashMap, RecursiveUpdate};

use crate::{
    A, B,
    common::{Hashers, within},
};

/// `map[n] = map[n - 1] + 1`, computed from the end.
fn chain(map: &HashMap<u64, u64, Hashers>, n: u64) -> u64 {
    *map.compute_if_absent(n, |_| if n == 0 { 0 } else { chain(map, n - 1) + 1 }).unwrap()
}

#[test]
fn a_hundred_computations_may_be_nested() {
    within(60, || {
        for hasher in Hashers::ALL {
            let map = HashMap::with_hasher(hasher);
            assert_eq!(chain(&map, 99), 99);
            assert_eq!(map.len(), 100);
            assert!((0..100).all(|n| map.get(&n).is_some_and(|value| *value == n)));
        }
    });
}

#[test]
fn a_hundred_entries_may_be_held_and_settled_in_any_order() {
    within(60, || {
        for hasher in Hashers::ALL {
            let map = HashMap::with_hasher(hasher);
            let mut entries: Vec<_> = (0..100).map(|key| map.entry(key).unwrap()).collect();
            assert!((0..100).all(|key| map.entry(key).is_err_and(|error| error.is_own_key())));
            assert!(map.is_empty());
            let mut at = 0;
            while !entries.is_empty() {
                at = (at + 37) % entries.len();
                let entry = entries.swap_remove(at);
                let key = *entry.key();
                entry.insert(key).unwrap();
                assert_eq!(map.entry(key).unwrap().or_insert(1_000).as_deref(), Ok(&key));
            }
            assert_eq!(map.len(), 100);
        }
    });
}

#[test]
fn two_computations_that_need_each_other_are_refused_and_either_may_go_on() {
    fn ping(map: &HashMap<u64, u64, Hashers>, key: u64) -> Result<u64, RecursiveUpdate> {
        let pong = |_: &_| Ok::<_, RecursiveUpdate>(ping(map, A + B - key)? + 1);
        match map.try_compute_if_absent(key, pong) {
            Ok(value) => Ok(*value),
            Err(ComputeError::Recursive(error) | ComputeError::Closure(error)) => Err(error),
        }
    }
    within(60, || {
        for hasher in Hashers::ALL {
            let map = HashMap::with_hasher(hasher);
            let error = ping(&map, A).unwrap_err();
            assert!(error.is_own_key() && !error.is_overtaken());
            assert!(map.is_empty());

            // Whoever handles the error has both.
            let value = map.compute_if_absent(A, |_| {
                *map.compute_if_absent(B, |_| {
                    map.compute_if_absent(A, |_| unreachable!()).map_or(5, |value| *value)
                })
                .unwrap()
                    + 1
            });
            assert_eq!(*value.unwrap(), 6);
            assert_eq!((map.len(), *map.get(&B).unwrap()), (2, 5));
        }
    });
}

#[test]
fn computations_in_other_maps_are_no_recursion() {
    within(60, || {
        for hasher in Hashers::ALL {
            let maps: [HashMap<u64, u64, Hashers>; 3] =
                std::array::from_fn(|_| HashMap::with_hasher(hasher));
            let value = maps[0].compute_if_absent(A, |_| {
                *maps[1]
                    .compute_if_absent(A, |_| *maps[2].entry(A).unwrap().or_insert(1).unwrap())
                    .unwrap()
            });
            assert_eq!(*value.unwrap(), 1);
            assert!(maps.iter().all(|map| map.len() == 1));
        }
    });
}

#[test]
fn and_modify_is_overtaken_by_a_write_to_its_key_however_the_entry_ends() {
    within(60, || {
        let map = HashMap::from([(A, 1)]);
        let entry = map.entry(A).unwrap().and_modify(|value| value + 1);
        assert_eq!(*map.insert(A, 7).unwrap(), 1);
        assert!(entry.or_insert(9).is_err_and(|error| error.is_overtaken()));
        let entry = map.entry(A).unwrap().and_modify(|value| value + 1);
        assert_eq!(*map.remove(&A).unwrap(), 7);
        drop(entry);
        assert!(map.is_empty());
        let Ok(Entry::Vacant(entry)) = map.entry(A) else { panic!("it is absent") };
        map.insert(A, 8);
        drop(entry);
        assert_eq!((map.len(), *map.get(&A).unwrap()), (1, 8));
        let Ok(Entry::Occupied(entry)) = map.entry(A) else { panic!("it is present") };
        map.insert(A, 9);
        assert!(entry.into_ref().is_err_and(|error| error.is_overtaken()));
        assert_eq!((map.len(), *map.get(&A).unwrap()), (1, 9));
    });
}
