//! Collecting, extending and cloning: entries are inserted in groups where nobody else can see the
//! map meanwhile, and nobody can tell.

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
    mem,
    panic::{self, AssertUnwindSafe},
};

use binlock::{HashMap, HashSet};
use common::{
    Hashers, Ledger, Random, Tracked,
    fault::{self, Site},
    within,
};

/// More than two groups, whatever their size (16).
const LENGTHS: std::ops::Range<u64> = 0..50;

type Map<'l> = HashMap<Tracked<'l, u64>, Tracked<'l, u64>, Hashers>;

fn contents(map: &Map<'_>) -> BTreeMap<u64, u64> {
    map.pin().iter().map(|(key, value)| (key.value, value.value)).collect()
}

/// Entries of which some have equal keys, with values that tell them apart.
fn entries(length: u64, random: &mut Random) -> Vec<(u64, u64)> {
    let keys = length.max(2) / 2;
    (0..length).map(|i| (random.below(keys), i)).collect()
}

#[test]
fn of_equal_keys_the_last_value_counts_wherever_groups_end() {
    within(240, || {
        let mut random = Random::new(1);
        for hasher in Hashers::ALL {
            for length in LENGTHS {
                let ledger = &Ledger::new(1_000);
                let track = |(key, value): &(u64, u64)| (ledger.track(*key), ledger.track(*value));
                let first = entries(length, &mut random);
                let second = entries(length, &mut random);
                let mut map = Map::with_hasher(hasher);
                map.extend(first.iter().map(track));
                assert_eq!(contents(&map), first.iter().copied().collect());
                map.extend(second.iter().map(track));
                let expected = first.iter().chain(&second).copied().collect();
                assert_eq!(contents(&map), expected, "{hasher:?}, {length}");
                assert_eq!(map.len(), expected.len());
                assert_eq!(contents(&map.clone()), expected);
                drop(map);
                ledger.assert_all_dropped_once();
            }
        }
    });
}

/// Equal to all with the same number; the letter is not looked at.
#[derive(Clone, Copy, Debug)]
struct Named(u64, char);

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Named {}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn a_set_keeps_the_first_of_equal_keys_and_a_map_takes_the_last() {
    for length in LENGTHS {
        let keys = || ('a'..='c').flat_map(|name| (0..length).map(move |i| Named(i, name)));
        let set: HashSet<Named> = keys().collect();
        assert_eq!(set.len() as u64, length);
        assert!(set.pin().iter().all(|key| key.1 == 'a'));
        let mut set = set;
        set.extend((0..length + 20).map(|i| Named(i, 'd')));
        let kept = |key: &Named| (key.1 == 'a') == (key.0 < length);
        assert!(set.len() as u64 == length + 20 && set.pin().iter().all(kept));
        let map: HashMap<Named, ()> = keys().map(|key| (key, ())).collect();
        assert!(map.len() as u64 == length && map.pin().keys().all(|key| key.1 == 'c'));
    }
}

#[test]
fn what_an_iterator_has_yielded_before_it_panics_is_in_the_map() {
    for done in LENGTHS {
        let ledger = &Ledger::new(1_000);
        let mut map = Map::default();
        let entries = (0..60).map(|i| {
            assert!(i < done, "enough");
            (ledger.track(i), ledger.track(i + 1))
        });
        panic::catch_unwind(AssertUnwindSafe(|| map.extend(entries))).unwrap_err();
        assert_eq!(contents(&map), (0..done).map(|i| (i, i + 1)).collect());
        let mut set = HashSet::<u64>::default();
        let keys = (0..60).inspect(|i| assert!(*i < done, "enough"));
        panic::catch_unwind(AssertUnwindSafe(|| set.extend(keys))).unwrap_err();
        assert_eq!(set.pin().iter().copied().collect::<BTreeSet<_>>(), (0..done).collect());
        drop(map);
        ledger.assert_all_dropped_once();
    }
}

#[test]
fn what_comes_before_a_panic_of_a_key_is_in_the_map_and_nothing_leaks() {
    within(240, || {
        for (site, hasher) in [
            (Site::Hash, Hashers::Good(3)),
            (Site::Hash, Hashers::Constant),
            (Site::Eq, Hashers::Constant),
            (Site::Clone, Hashers::Good(3)),
        ] {
            let mut call = 0;
            loop {
                let ledger = &Ledger::new(1_000);
                let mut map = Map::with_hasher(hasher);
                let all = || (0..40).map(|i| (ledger.track(i), ledger.track(i)));
                if site == Site::Clone {
                    map.extend(all());
                }
                fault::arm(site, call);
                let result = fault::caught(|| match site {
                    Site::Clone => drop(map.clone()),
                    _ => map.extend(all()),
                });
                let over = fault::disarm();
                assert_eq!(result.is_some(), over, "{site:?}, {call}");
                let present: BTreeSet<u64> = contents(&map).into_keys().collect();
                let absent = (0..40).filter(|key| !present.contains(key)).collect::<Vec<_>>();
                if over || site == Site::Clone {
                    assert_eq!(absent, []);
                } else if site == Site::Hash {
                    assert_eq!(absent, (call..40).collect::<Vec<_>>());
                } else {
                    // The one that could not be compared, and those that have not come.
                    let come = (absent[0] / 16 + 1) * 16;
                    let expected = [absent[0]].into_iter().chain(come..40);
                    assert_eq!(absent, expected.collect::<Vec<_>>());
                }
                // And it is as good as before.
                map.extend(all());
                assert_eq!(map.len(), 40);
                drop(map);
                ledger.assert_all_dropped_once();
                if over {
                    break;
                }
                call += 1;
            }
            assert!(call >= 40, "{site:?} has been called {call} times");
        }
    });
}

/// Cannot be compared.
struct Angry;

impl PartialEq for Angry {
    fn eq(&self, _: &Self) -> bool {
        panic!("no two are alike");
    }
}

impl Eq for Angry {}

impl Hash for Angry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        1.hash(state);
    }
}

#[test]
fn a_comparison_that_panics_while_an_iterator_panics_does_not_abort() {
    for yielded in 0..20 {
        let mut map = HashMap::<Angry, u64>::new();
        let entries = (0..60).map(|i| {
            assert!(i < yielded, "enough");
            (Angry, i)
        });
        panic::catch_unwind(AssertUnwindSafe(|| map.extend(entries))).unwrap_err();
        assert_eq!(map.len() as u64, yielded.min(1));
    }
}

#[test]
fn a_shared_map_has_each_entry_before_the_next_is_asked_for() {
    let map = &HashMap::<u64, u64>::new();
    let entries = (0..100).map(|i| {
        assert_eq!(map.len() as u64, i);
        assert!(i == 0 || map.contains_key(&(i - 1)));
        (i, i)
    });
    let mut shared = map;
    shared.extend(entries);
    assert_eq!(map.len(), 100);
    let set = &HashSet::<u64>::new();
    let mut shared = set;
    shared.extend((0..100).inspect(|i| assert_eq!(set.len() as u64, *i)));
    assert_eq!(set.len(), 100);
}

#[test]
fn large_entries_and_empty_ones_are_collected_as_others_are() {
    let large: HashMap<u64, [u64; 100]> = (0..100).map(|i| (i % 60, [i; 100])).collect();
    assert_eq!(large.len(), 60);
    let last = |i: u64| if i < 40 { i + 60 } else { i };
    assert!(large.pin().iter().all(|(key, value)| *value == [last(*key); 100]));
    let empty: HashMap<(), ()> = (0..100).map(|_| ((), ())).collect();
    assert_eq!(empty.len(), 1);
    let none: HashMap<u64, ()> = (0..100).map(|i| (i, ())).collect();
    assert!(none.len() == 100 && none.clone() == none);
}

#[test]
fn an_entry_that_was_leaked_does_not_keep_a_map_from_being_extended() {
    within(240, || {
        let mut map: HashMap<u64, u64> = (0..5).map(|i| (i, i)).collect();
        for key in [3, 7] {
            mem::forget(map.entry(key).unwrap());
        }
        map.extend((0..40).map(|i| (i, i + 1)));
        assert_eq!(map.len(), 40);
        assert!(map.pin().iter().all(|(key, value)| *value == *key + 1));
    });
}
