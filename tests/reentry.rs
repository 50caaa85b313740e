//! User code may use the very map that calls it, in all ways: it runs with nothing locked,
//! so nothing hangs and nothing is lost. (Scenario n of the recursion rules.)

mod common;

use std::{collections::BTreeMap, thread};

use common::{
    Hashers, Ledger,
    fault::{self, Site},
    operations::{Operation, Outcome, TrackedMap},
    within,
};

const KEYS: u64 = 8;

/// A map of all keys but one, 0, most of them after the key that the tests are about, 3.
fn new_map(ledger: &Ledger, hasher: Hashers) -> (TrackedMap<'_>, BTreeMap<u64, u64>) {
    new_map_with_room(ledger, hasher, 0)
}

fn new_map_with_room(
    ledger: &Ledger,
    hasher: Hashers,
    room: usize,
) -> (TrackedMap<'_>, BTreeMap<u64, u64>) {
    let map = TrackedMap::with_capacity_and_hasher(room, hasher);
    for key in 1..KEYS {
        map.insert(ledger.track(key), ledger.track(10 * key));
    }
    (map, (1..KEYS).map(|key| (key, 10 * key)).collect())
}

/// Makes so much garbage that writes find some of it due.
fn litter<'l>(map: &TrackedMap<'l>, ledger: &'l Ledger) {
    let other = TrackedMap::default();
    for _ in 0..4 {
        for _ in 0..70 {
            map.replace(ledger.track(1), ledger.track(10));
        }
        other.flush();
    }
}

/// What is called back: an operation on one key, or one on all of the map.
#[derive(Clone, Copy, Debug)]
enum Back {
    Single(Operation),
    Clear,
    Retain,
    Iterate,
    Reserve,
    ShrinkToFit,
    Flush,
    /// By another thread, which has the first one lose the right to do without locks what it does
    /// in what it has of its own.
    FlushElsewhere,
    Clone,
    /// Makes the table grow.
    Fill,
}

impl Back {
    /// Same key, another one, one that is absent, in the same bin.
    const ALL: [Back; 25] = [
        Back::Single(Operation::Get(3)),
        Back::Single(Operation::GetMany([3, 0, 1, 7])),
        Back::Single(Operation::Insert(3, 33)),
        Back::Single(Operation::Insert(5, 55)),
        Back::Single(Operation::Insert(0, 100)),
        Back::Single(Operation::TryInsert(3, 33)),
        Back::Single(Operation::TryInsert(0, 100)),
        Back::Single(Operation::Replace(3, 33)),
        Back::Single(Operation::Replace(1, 11)),
        Back::Single(Operation::Remove(3)),
        Back::Single(Operation::Remove(7)),
        Back::Single(Operation::RemoveIf(3, 0)),
        // What becomes of computations of the very key is said in `recursion`.
        Back::Single(Operation::ComputeIfAbsent(0, 100)),
        Back::Single(Operation::Compute(5, 55)),
        Back::Single(Operation::Merge(1, 11)),
        Back::Single(Operation::Entry(7, 77)),
        Back::Clear,
        Back::Retain,
        Back::Iterate,
        Back::Reserve,
        Back::ShrinkToFit,
        Back::Flush,
        Back::FlushElsewhere,
        Back::Clone,
        Back::Fill,
    ];

    fn on_map<'l>(self, map: &TrackedMap<'l>, ledger: &'l Ledger) -> Option<Outcome> {
        match self {
            Back::Single(operation) => return Some(operation.on_map(map, ledger, true)),
            Back::Clear => map.clear(),
            Back::Retain => map.retain(|key, _| key.value % 2 == 0),
            Back::Iterate => {
                let pinned = map.pin();
                let mut keys: Vec<_> = pinned.keys().map(|key| key.value).collect();
                assert_eq!(keys.len(), map.len());
                keys.sort();
                keys.dedup();
                assert_eq!(keys.len(), map.len(), "twice");
            }
            Back::Reserve => map.reserve(2_000),
            Back::ShrinkToFit => map.shrink_to_fit(),
            Back::Flush => map.flush(),
            Back::FlushElsewhere => thread::scope(|scope| {
                scope.spawn(|| map.flush());
            }),
            Back::Clone => assert_eq!(map.clone().len(), map.len()),
            Back::Fill => {
                for key in 100..140 {
                    map.insert(ledger.track(key), ledger.track(key));
                }
            }
        }
        None
    }

    fn on_model(self, model: &mut BTreeMap<u64, u64>) -> Option<Outcome> {
        match self {
            Back::Single(operation) => return Some(operation.on_model(model)),
            Back::Clear => model.clear(),
            Back::Retain => model.retain(|key, _| key % 2 == 0),
            Back::Fill => model.extend((100..140).map(|key| (key, key))),
            _ => {}
        }
        None
    }
}

fn contents(map: &TrackedMap<'_>) -> BTreeMap<u64, u64> {
    let pinned = map.pin();
    let all: Vec<_> = pinned.iter().map(|(key, value)| (key.value, value.value)).collect();
    let contents: BTreeMap<_, _> = all.iter().copied().collect();
    assert_eq!((all.len(), map.len()), (contents.len(), contents.len()), "{all:?}");
    contents
}

/// An operation calls back `times` times, and what comes of both is what would have come
/// of doing them one after another in some order. How often it has called back.
fn check(outer: Operation, site: Site, back: Back, times: usize, hasher: Hashers) -> usize {
    let ledger = &Ledger::new(2_000);
    let (map, model) = new_map(ledger, hasher);
    if site == Site::Drop {
        litter(&map, ledger);
    }
    check_in((map, model), ledger, outer, site, back, times, hasher)
}

/// The same in a map that has been made.
fn check_in<'l>(
    (map, model): (TrackedMap<'l>, BTreeMap<u64, u64>),
    ledger: &'l Ledger,
    outer: Operation,
    site: Site,
    back: Back,
    times: usize,
    hasher: Hashers,
) -> usize {
    let mut outcomes = Vec::new();
    let calls_back = || {
        outcomes.push(back.on_map(&map, ledger));
        outcomes.len() < times
    };
    let outcome = fault::hooked(site, calls_back, || outer.on_map(&map, ledger, true));
    let actual = contents(&map);

    let in_some_order = |outer: Operation, outcome: &Outcome| {
        (0..=outcomes.len()).any(|before| {
            let mut model = model.clone();
            let (before, after) = outcomes.split_at(before);
            before.iter().all(|outcome| back.on_model(&mut model) == *outcome)
                && outer.on_model(&mut model) == *outcome
                && after.iter().all(|outcome| back.on_model(&mut model) == *outcome)
                && model == actual
        })
    };
    let right = match (outer, &outcome) {
        // Each key is looked up for itself.
        (Operation::GetMany(keys), Outcome::Values(values)) => keys
            .into_iter()
            .zip(values)
            .all(|(key, value)| in_some_order(Operation::Get(key), &Outcome::Value(*value))),
        _ => in_some_order(outer, &outcome),
    };
    assert!(
        right,
        "{hasher:?}: {outer:?} is {outcome:?}, while {site:?} called back {back:?}, which is \
         {outcomes:?}; now {actual:?}"
    );
    drop(map);
    ledger.assert_all_dropped_once();
    outcomes.len()
}

/// All operations on one key, with all that can be called back. How often that was.
fn check_all(site: Site) -> usize {
    use Operation::*;

    const OUTER: [Operation; 12] = [
        Get(3),
        GetKeyValue(0),
        GetMany([3, 0, 3, 1]),
        Insert(3, 30),
        Insert(0, 100),
        TryInsert(3, 30),
        TryInsert(0, 100),
        Replace(3, 30),
        Replace(0, 100),
        Remove(3),
        Remove(0),
        RemoveIf(3, 0),
    ];
    let mut called_back = 0;
    for outer in OUTER {
        for back in Back::ALL {
            for times in [1, 5] {
                for hasher in [Hashers::Constant, Hashers::FewBits(1), Hashers::Good(1)] {
                    called_back += check(outer, site, back, times, hasher);
                }
            }
        }
    }
    called_back
}

#[test]
fn a_hash_may_use_the_map_that_calls_it() {
    within(240, || assert!(check_all(Site::Hash) > 720));
}

#[test]
fn an_eq_may_use_the_map_that_calls_it() {
    within(240, || assert!(check_all(Site::Eq) > 720));
}

/// In a map so large that its thread has something of its own there: garbage, and the memory of freed
/// nodes, from which a node has been taken by then.
#[test]
fn an_eq_may_use_a_large_map_that_calls_it() {
    use Operation::*;

    within(240, || {
        let mut called_back = 0;
        for outer in [Insert(3, 30), Insert(0, 100), TryInsert(3, 30), Replace(3, 30), Remove(3)] {
            for back in Back::ALL {
                for times in [1, 5] {
                    for hasher in [Hashers::Constant, Hashers::FewBits(1), Hashers::Good(1)] {
                        let ledger = &Ledger::new(4_000);
                        let made = new_map_with_room(ledger, hasher, 6_000);
                        litter(&made.0, ledger);
                        made.0.insert(ledger.track(1), ledger.track(10));
                        called_back += check_in(made, ledger, outer, Site::Eq, back, times, hasher);
                    }
                }
            }
        }
        assert!(called_back > 400, "{called_back}");
    });
}

#[test]
fn a_condition_may_use_the_map_that_calls_it() {
    within(240, || assert!(check_all(Site::Closure) > 60));
}

#[test]
fn a_drop_may_use_the_map_that_calls_it() {
    within(240, || assert!(check_all(Site::Drop) > 60));
}

/// An operation on the whole map.
type Whole = for<'l> fn(&TrackedMap<'l>, &'l Ledger);

const WHOLE: [(&str, Whole); 8] = [
    ("retain", |map, _| {
        map.retain(|key, _| {
            fault::point(Site::Closure);
            key.value != 6
        });
    }),
    ("extend", |map, ledger| {
        let mut map = map;
        map.extend((200..230).map(|key| (ledger.track(key), ledger.track(key))));
    }),
    ("clone", |map, _| assert!(map.clone().len() <= 200)),
    ("==", |map, _| {
        let _ = PartialEq::eq(map, map);
    }),
    ("flush", |map, _| map.flush()),
    ("reserve", |map, _| map.reserve(10_000)),
    ("shrink_to_fit", |map, _| map.shrink_to_fit()),
    ("clear", |map, _| map.clear()),
];

#[test]
fn user_code_may_use_the_map_in_the_middle_of_an_operation_on_all_of_it() {
    within(240, || {
        let mut called_back = 0;
        for (name, whole) in WHOLE {
            for site in Site::ALL {
                for back in Back::ALL {
                    for (times, hasher) in
                        [(1, Hashers::Constant), (9, Hashers::Constant), (9, Hashers::Good(1))]
                    {
                        let ledger = &Ledger::new(6_000);
                        let (map, model) = new_map(ledger, hasher);
                        litter(&map, ledger);
                        let mut calls = 0;
                        let calls_back = || {
                            back.on_map(&map, ledger);
                            calls += 1;
                            calls < times
                        };
                        fault::hooked(site, calls_back, || whole(&map, ledger));
                        called_back += calls;
                        // What nobody has touched is there, and what is there is right.
                        let actual = contents(&map);
                        let untouched = |key: u64| match back {
                            Back::Clear | Back::Retain => false,
                            Back::Single(_) => ![0, 1, 3, 5, 7].contains(&key),
                            _ => true,
                        };
                        for (key, value) in model.iter().filter(|(key, _)| untouched(**key)) {
                            let gone = name == "clear" || name == "retain" && *key == 6;
                            assert!(
                                gone || actual.get(key) == Some(value),
                                "{name}, {back:?} by {site:?}: {actual:?}"
                            );
                        }
                        if name == "extend" && !matches!(back, Back::Clear | Back::Retain) {
                            assert!((200..230).all(|key| actual.get(&key) == Some(&key)));
                        }
                        drop(map);
                        ledger.assert_all_dropped_once();
                    }
                }
            }
        }
        assert!(called_back > 2_500, "{called_back}");
    });
}

/// A writer that finds its bin changed searches again. User code that changes the bin at
/// every call would go on for ever; the limitations say so. As soon as it lets go, the
/// operation ends.
const CALLS_BACK: u64 = 1_000;

#[test]
fn an_eq_that_writes_to_its_bin_keeps_an_operation_from_ending_only_as_long_as_it_does() {
    use Operation::*;

    within(20, || {
        // The absent key 0 is compared with all others, one of which changes meanwhile.
        for outer in [Get(0), Insert(0, 1), TryInsert(0, 1), Replace(0, 1), Remove(0)] {
            for back in [Replace(2, 7), Insert(2, 7)] {
                let ledger = &Ledger::new(100_000);
                let (map, _) = new_map(ledger, Hashers::Constant);
                let mut calls = 0;
                let calls_back = || {
                    back.on_map(&map, ledger, true);
                    calls += 1;
                    calls < CALLS_BACK
                };
                fault::hooked(Site::Eq, calls_back, || outer.on_map(&map, ledger, true));
                let expected = 7 + usize::from(matches!(outer, Insert(..) | TryInsert(..)));
                assert_eq!(contents(&map).len(), expected, "{outer:?}");
            }
        }
    });
}

#[test]
fn remove_if_asks_once_and_a_condition_that_replaces_its_key_keeps_it() {
    within(20, || {
        let map = binlock::HashMap::from([(1, 0)]);
        let mut asked = 0;
        let removed = map.remove_if(&1, |_, value| {
            asked += 1;
            map.insert(1, value + 1);
            true
        });
        assert!(removed.is_none());
        assert_eq!((asked, map.get(&1).map(|value| *value), map.len()), (1, Some(1), 1));
    });
}
