//! The traits that every collection has: made from what, equal to what, shown how.

mod common;

use std::collections::{BTreeMap, HashMap as StdMap};

use binlock::HashMap;
use common::Hashers;

#[test]
fn maps_are_made_of_arrays_and_iterators_and_the_last_of_equal_keys_counts() {
    let expected = StdMap::from([(1, 'c'), (2, 'b')]);
    let entries = [(1, 'a'), (2, 'b'), (1, 'c')];
    let from_array = HashMap::from(entries);
    let collected: HashMap<_, _> = entries.into_iter().collect();
    let with_hasher: HashMap<_, _, Hashers> = entries.into_iter().collect();
    assert_eq!(from_array, collected);
    assert_eq!(from_array.into_iter().collect::<StdMap<_, _>>(), expected);
    assert_eq!(with_hasher.into_iter().collect::<StdMap<_, _>>(), expected);
    assert!(HashMap::<u8, u8>::from([]).is_empty() && HashMap::<u8, u8>::default().is_empty());
    assert_eq!(*HashMap::<u8, u8, Hashers>::default().hasher(), Hashers::default());
}

#[test]
fn maps_are_extended_by_entries_and_by_references_and_while_they_are_shared() {
    let mut map = HashMap::from([(1, 10)]);
    map.extend([(2, 20), (1, 11)]);
    map.extend(&StdMap::from([(3, 30)]));
    map.extend([(&4, &40)]);
    let shared = &map;
    let mut shared_too = shared;
    shared_too.extend([(5, 50), (2, 21)]);
    assert_eq!(shared.len(), 5);
    assert_eq!(map, HashMap::from([(1, 11), (2, 21), (3, 30), (4, 40), (5, 50)]));
    // From an iterator that does not know how long it is.
    map.extend((0..).map(|i| (i, i)).take_while(|(i, _)| *i < 1_000));
    assert_eq!(map.len(), 1_000);
}

#[test]
fn many_threads_may_extend_a_map_at_once() {
    common::within(240, || {
        let map = &HashMap::new();
        common::together(6, |thread| {
            let mut map = map;
            map.extend((0..1_000).map(|i| (i * 6 + thread, thread)));
        });
        assert_eq!(map.len(), 6_000);
        assert!(map.pin().iter().all(|(key, thread)| key % 6 == *thread));
    });
}

#[test]
fn maps_are_equal_if_they_have_the_same_entries_whatever_their_hashers_and_sizes() {
    for (mine, others) in [
        (Hashers::Good(1), Hashers::Good(2)),
        (Hashers::Constant, Hashers::Identity),
        (Hashers::FewBits(2), Hashers::Good(1)),
    ] {
        let fill = |map: HashMap<u64, u64, Hashers>| {
            (0..50).for_each(|i| drop(map.insert(i, i)));
            map
        };
        let map = fill(HashMap::with_hasher(mine));
        let other = fill(HashMap::with_capacity_and_hasher(5_000, others));
        assert_eq!((map == other, other == map, map == map.clone()), (true, true, true));
        other.insert(50, 50);
        assert_eq!((map == other, other == map), (false, false), "one has more");
        other.remove(&49);
        assert_eq!((map == other, other == map), (false, false), "one has others");
        map.remove(&49);
        map.insert(50, 51);
        assert_eq!((map == other, other == map), (false, false), "one has another value");
        map.insert(50, 50);
        assert!(map == other);
    }
    assert_eq!(HashMap::<u8, u8>::new(), HashMap::with_capacity(100));
    // Values need not be `Eq`.
    assert_ne!(HashMap::from([(1, f64::NAN)]), HashMap::from([(1, f64::NAN)]));
}

#[test]
fn a_clone_is_equal_and_independent() {
    for hasher in Hashers::ALL {
        let map: HashMap<String, Vec<u64>, Hashers> = HashMap::with_hasher(hasher);
        for i in 0..100 {
            map.insert(i.to_string(), vec![i]);
        }
        let clone = map.clone();
        assert_eq!(map, clone);
        assert_eq!(clone.hasher(), &hasher);
        clone.remove("7");
        map.insert("8".into(), vec![]);
        assert_eq!((map.len(), clone.len()), (100, 99));
        assert_eq!(*map.get("7").unwrap(), [7]);
        assert_eq!(*clone.get("8").unwrap(), [8]);
    }
}

#[test]
fn maps_and_views_are_shown_as_the_standard_map_is() {
    let map = HashMap::from([("key", Some(1))]);
    let expected = StdMap::from([("key", Some(1))]);
    assert_eq!(format!("{map:?}"), format!("{expected:?}"));
    assert_eq!(format!("{map:#?}"), format!("{expected:#?}"));
    assert_eq!(format!("{:?}", map.pin()), format!("{expected:?}"));
    assert_eq!(format!("{:?}", HashMap::<u8, u8>::new()), "{}");
    let many: HashMap<u32, u32> = (0..30).map(|i| (i, i)).collect();
    let shown = format!("{many:?}");
    let entries: BTreeMap<&str, &str> = shown[1..shown.len() - 1]
        .split(", ")
        .map(|entry| entry.split_once(": ").unwrap())
        .collect();
    assert!(entries.len() == 30 && entries.iter().all(|(key, value)| key == value));
}

#[test]
fn iterators_are_shown_without_being_consumed() {
    let mut map = HashMap::from([(1, 'a'), (2, 'b')]);
    {
        let pinned = map.pin();
        let shown = format!("{:?} {:?} {:?}", pinned.iter(), pinned.keys(), pinned.values());
        assert!(shown.contains("Iter") && shown.contains("Keys") && shown.contains("Values"));
    }
    let mut mutably = map.iter_mut();
    assert!(format!("{mutably:?}").contains("remaining: 2"));
    mutably.next();
    assert!(format!("{mutably:?}").contains("remaining: 1"));
    assert!(format!("{:?}", map.values_mut()).contains("remaining: 2"));
    assert!(format!("{:?}", map.clone().drain()).contains("remaining: 2"));
    assert!(format!("{:?}", map.into_iter()).contains("remaining: 2"));
}
