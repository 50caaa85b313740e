//! The set is a map without values, with all the map's guarantees.

mod common;

use std::{
    collections::BTreeSet,
    hash::{Hash, Hasher},
    panic::UnwindSafe,
    sync::atomic::{AtomicUsize, Ordering},
};

use binlock::{HashSet, SetDrain, SetIntoIter, SetRef};
use common::{Hashers, Ledger, Probe, Random, Tracked, race, together, within};

type Set<'l> = HashSet<Tracked<'l, u64>, Hashers>;

fn keys(set: &Set<'_>) -> BTreeSet<u64> {
    let pinned = set.pin();
    let keys: BTreeSet<u64> = pinned.iter().map(|key| key.value).collect();
    assert_eq!((keys.len(), pinned.iter().count()), (set.len(), set.len()));
    keys
}

#[test]
fn random_sequences_of_operations_do_what_the_standard_set_does() {
    within(240, || {
        for hasher in Hashers::ALL {
            for seed in 0..60 {
                let ledger = &Ledger::new(20_000);
                let mut set = Set::with_hasher(hasher);
                let mut model = BTreeSet::new();
                let mut random = Random::new(seed);
                for _ in 0..120 {
                    let key = random.below(20);
                    let new = || ledger.track(key);
                    match random.below(24) {
                        0..=4 => assert_eq!(set.insert(new()), model.insert(key)),
                        5..=7 => assert_eq!(set.pin().insert(new()), model.insert(key)),
                        8 => {
                            let replaced = set.replace(new()).map(|key| key.value);
                            assert_eq!(replaced, model.replace(key));
                        }
                        9..=10 => assert_eq!(set.remove(&Probe(key)), model.remove(&key)),
                        11 => assert_eq!(set.pin().remove(&Probe(key)), model.remove(&key)),
                        12 => {
                            let taken = set.take(&Probe(key)).map(|key| key.value);
                            assert_eq!(taken, model.take(&key));
                        }
                        13 => {
                            let taken = set.pin().take(&Probe(key)).map(|key| key.value);
                            assert_eq!(taken, model.take(&key));
                        }
                        14 => assert_eq!(set.contains(&Probe(key)), model.contains(&key)),
                        15 => assert_eq!(set.pin().contains(&Probe(key)), model.contains(&key)),
                        16 => {
                            let found = set.get(&Probe(key)).map(|key| key.value);
                            assert_eq!(found, model.get(&key).copied());
                            let found = set.pin().get(&Probe(key)).map(|key| key.value);
                            assert_eq!(found, model.get(&key).copied());
                        }
                        17 => {
                            set.retain(|found| found.value % 3 != key % 3);
                            model.retain(|found| found % 3 != key % 3);
                        }
                        18 => {
                            set.pin().retain(|found| found.value != key);
                            model.remove(&key);
                        }
                        19 => {
                            set.extend((key..key + 5).map(|key| ledger.track(key)));
                            model.extend(key..key + 5);
                        }
                        20 => {
                            set.reserve(200);
                            assert!(set.capacity() >= set.len() + 200);
                            assert!(set.try_reserve(10).is_ok());
                        }
                        21 => {
                            set.shrink_to_fit();
                            set.flush();
                        }
                        22 => set = set.clone(),
                        _ if key < 3 => {
                            match key {
                                0 => set.clear(),
                                1 => set.pin().clear(),
                                _ => assert_eq!(set.drain().len(), model.len()),
                            }
                            model.clear();
                        }
                        _ => {}
                    }
                    assert_eq!(keys(&set), model);
                }
                assert!(set.into_iter().map(|key| key.value).collect::<BTreeSet<_>>() == model);
                ledger.assert_all_dropped_once();
            }
        }
    });
}

#[test]
fn insert_keeps_the_key_that_is_there_and_replace_does_not() {
    #[derive(Debug)]
    struct Key(u32, &'static str);
    impl PartialEq for Key {
        fn eq(&self, other: &Key) -> bool {
            self.0 == other.0
        }
    }
    impl Eq for Key {}
    impl Hash for Key {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }
    let set = HashSet::new();
    assert!(set.insert(Key(1, "first")) && !set.insert(Key(1, "second")));
    assert_eq!(set.get(&Key(1, "")).unwrap().1, "first");
    assert_eq!(set.replace(Key(1, "third")).unwrap().1, "first");
    assert_eq!(set.pin().get(&Key(1, "")).unwrap().1, "third");
    assert!(set.replace(Key(2, "new")).is_none());
    assert_eq!(format!("{:?}", set.take(&Key(2, "")).unwrap()), "Key(2, \"new\")");
    assert_eq!(set.len(), 1);
}

#[test]
fn of_many_threads_that_insert_a_key_one_is_told_that_it_was_new() {
    within(240, || {
        for hasher in [Hashers::Good(1), Hashers::FewBits(3)] {
            let set = &HashSet::with_hasher(hasher);
            let news = &AtomicUsize::new(0);
            race(
                6,
                |_| {
                    for key in 0..2_000_u64 {
                        if set.insert(key % 500) {
                            news.fetch_add(1, Ordering::Relaxed);
                        }
                        assert!(set.contains(&(key % 500)));
                    }
                },
                2,
                |_| {
                    let pinned = set.pin();
                    let mut seen: Vec<_> = pinned.iter().copied().collect();
                    seen.sort();
                    seen.dedup();
                    // An insertion is to be seen before it is counted, by each of the six.
                    assert!(seen.len() <= set.len() + 6);
                },
            );
            assert_eq!((news.load(Ordering::Relaxed), set.len()), (500, 500));
            // And of many that remove one, one is told that it was there.
            let gone = &AtomicUsize::new(0);
            together(6, |_| {
                for key in 0..500_u64 {
                    if set.remove(&key) {
                        gone.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            assert_eq!(gone.load(Ordering::Relaxed), 500);
            assert!(set.is_empty());
        }
    });
}

#[test]
fn a_key_is_replaced_through_a_view_as_through_the_set_and_results_compare_as_keys() {
    let set = HashSet::<String>::new();
    let pinned = set.pin();
    assert!(pinned.replace("a".into()).is_none());
    let old: *const String = pinned.get("a").unwrap();
    assert!(std::ptr::eq(pinned.replace("a".into()).unwrap(), old));
    assert!(!std::ptr::eq(pinned.get("a").unwrap(), old) && pinned.len() == 1);
    assert!(pinned.capacity() >= 1 && pinned.capacity() == set.capacity());
    let (one, other) = (set.get("a").unwrap(), set.replace("a".into()).unwrap());
    assert!(one == other && one == "a".to_string() && one.as_ref() == "a");
    assert_eq!(format!("{one}, {other:?}"), "a, \"a\"");
}

#[test]
fn sets_are_compared_with_each_other() {
    let make = |keys: &[u64]| -> HashSet<u64> { keys.iter().copied().collect() };
    let (small, large, other) = (make(&[1, 2]), make(&[1, 2, 3]), make(&[7, 8]));
    let (s, l, o) = (small.pin(), large.pin(), other.pin());
    assert!(s.is_subset(&l) && l.is_superset(&s) && s.is_subset(&s) && s.is_superset(&s));
    assert!(!l.is_subset(&s) && !s.is_superset(&l) && !s.is_subset(&o));
    assert!(s.is_disjoint(&o) && o.is_disjoint(&l) && !s.is_disjoint(&l));
    let none = make(&[]);
    assert!(none.pin().is_subset(&s) && none.pin().is_disjoint(&s) && s.is_superset(&none.pin()));
    assert!(small == make(&[2, 1]) && small != large && small != make(&[1, 3]));
}

#[test]
fn sets_are_made_extended_shown_and_taken_apart_as_all_collections_are() {
    let mut set = HashSet::from(["a", "b", "a"]);
    assert_eq!(set.len(), 2);
    set.extend(["c"]);
    set.extend(&["d", "a"]);
    let mut shared = &set;
    shared.extend(["e"]);
    assert_eq!(set, ["a", "b", "c", "d", "e"].into_iter().collect());
    assert_eq!(format!("{:?} {:?}", HashSet::from([1]), HashSet::from([2]).pin()), "{1} {2}");
    let mut borrowed: Vec<_> = set.pin().into_iter().copied().collect();
    borrowed.sort();
    assert_eq!(borrowed, ["a", "b", "c", "d", "e"]);
    let clone = set.clone();
    let mut drained = set.drain();
    assert_eq!((drained.len(), drained.size_hint()), (5, (5, Some(5))));
    assert!(drained.next().is_some());
    assert_eq!(drained.len(), 4);
    drop(drained);
    assert!(set.is_empty() && set.capacity() == 0);
    let owned: SetIntoIter<&str> = clone.into_iter();
    assert_eq!(owned.len(), 5);
    let mut owned: Vec<_> = owned.collect();
    owned.sort();
    assert_eq!(owned, ["a", "b", "c", "d", "e"]);
    assert!(
        HashSet::<u8>::default().is_empty() && HashSet::<u8>::with_capacity(100).capacity() >= 100
    );
    assert!(HashSet::<u8, Hashers>::with_capacity_and_hasher(9, Hashers::Constant).capacity() >= 9);
    assert_eq!(*HashSet::<u8, Hashers>::default().hasher(), Hashers::default());
}

#[test]
fn a_set_is_as_send_and_sync_as_its_keys_and_may_be_used_after_a_panic() {
    fn check<T: Send + Sync + UnwindSafe>() {}
    fn sendable<T: Send>() {}
    check::<HashSet<String>>();
    check::<HashSet<&str>>();
    sendable::<HashSet<std::cell::Cell<u8>>>();
    sendable::<SetIntoIter<std::cell::Cell<u8>>>();
    sendable::<SetDrain<'_, std::cell::Cell<u8>>>();
}

#[test]
fn keys_of_a_set_stay_readable_after_they_are_gone_from_it() {
    let set: HashSet<String> = (0..100).map(|i| i.to_string()).collect();
    let held: SetRef<'_, String> = set.get("7").unwrap();
    let mut pinned = set.pin();
    let seven = pinned.take("7").unwrap();
    assert!(pinned.get("7").is_none() && pinned.len() == 99 && !pinned.is_empty());
    set.clear();
    set.flush();
    assert_eq!((held.as_str(), seven.as_str()), ("7", "7"));
    pinned.repin();
    assert!(pinned.is_empty());
}

#[test]
fn every_key_is_dropped_once() {
    within(240, || {
        let ledger = &Ledger::new(100_000);
        let set = Set::with_hasher(Hashers::FewBits(4));
        together(5, |thread| {
            let mut random = Random::new(thread as u64);
            for _ in 0..2_000 {
                let key = random.below(40);
                match random.below(4) {
                    0 => drop(set.replace(ledger.track(key))),
                    1 => drop(set.remove(&Probe(key))),
                    _ => drop(set.insert(ledger.track(key))),
                }
            }
        });
        drop(set);
        ledger.assert_all_dropped_once();
    });
}

#[test]
fn a_view_makes_room_and_compares_with_a_set_of_another_hasher() {
    let (few, more) =
        (HashSet::from([1, 2]), HashSet::<u64, Hashers>::with_hasher(Hashers::Good(1)));
    more.pin().reserve(1_000);
    assert!(more.capacity() >= 1_000 && more.pin().try_reserve(usize::MAX).is_err());
    (0..10).for_each(|key| assert!(more.insert(key)));
    let view = more.pin();
    assert!(few.pin().is_subset(&view) && view.is_superset(&few.pin()));
    assert!(!view.is_subset(&few.pin()) && !few.pin().is_superset(&view));
    assert!(!view.is_disjoint(&few.pin()) && view.is_disjoint(&HashSet::from([10]).pin()));
    let before = view.capacity();
    view.shrink_to_fit();
    assert!(view.capacity() < before);
    assert!(std::ptr::eq(view.hasher(), more.hasher()));
}
