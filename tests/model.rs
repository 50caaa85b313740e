//! The map does what the standard one does: random sequences of all operations, with all
//! hashers and from all sizes of table, compared with a `BTreeMap` after every step.

mod common;

use std::{collections::BTreeMap, fmt::Debug, mem, panic};

use common::{
    Hashers, Ledger, Random,
    operations::{Operation, TrackedMap},
    within,
};

/// An operation on one key or on the whole map.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Through a pinned view or not.
    Single(Operation, bool),
    /// Keeps keys by their remainder.
    Retain(u64, u64, bool),
    Clear(bool),
    /// With so many entries from a key on.
    Extend(u64, u64, u64),
    Reserve(usize),
    ShrinkToFit,
    Flush,
    /// Goes on with the clone.
    Clone,
    /// Goes on with what a map of the entries makes.
    Collect,
    /// Takes so many out and drops the rest.
    Drain(usize),
    AddToValues(u64),
    AddToValue(u64),
}

impl Step {
    fn random(random: &mut Random, keys: u64) -> Step {
        let pinned = random.below(2) == 0;
        match random.below(60) {
            0 => Step::Retain(1 + random.below(4), random.below(4), pinned),
            1 => Step::Clear(pinned),
            2..=3 => Step::Extend(random.below(keys), random.below(2 * keys), random.next() >> 8),
            4 => Step::Reserve(random.below(2_000) as usize),
            5 => Step::ShrinkToFit,
            6 => Step::Flush,
            7 => Step::Clone,
            8 => Step::Collect,
            9 => Step::Drain(random.below(keys) as usize),
            10 => Step::AddToValues(random.below(100)),
            11 => Step::AddToValue(random.below(keys)),
            _ => Step::Single(Operation::random(random, keys), pinned),
        }
    }

    fn perform<'l>(
        self,
        map: &mut TrackedMap<'l>,
        model: &mut BTreeMap<u64, u64>,
        ledger: &'l Ledger,
    ) {
        let hasher = *map.hasher();
        match self {
            Step::Single(operation, pinned) => {
                let outcome = operation.on_map(map, ledger, pinned);
                assert_eq!(outcome, operation.on_model(model));
            }
            Step::Retain(modulus, rest, pinned) => {
                let keep = |key: u64| key % modulus != rest;
                if pinned {
                    map.pin().retain(|key, _| keep(key.value));
                } else {
                    map.retain(|key, _| keep(key.value));
                }
                model.retain(|key, _| keep(*key));
            }
            Step::Clear(pinned) => {
                if pinned {
                    map.pin().clear();
                } else {
                    map.clear();
                }
                model.clear();
            }
            Step::Extend(first, count, value) => {
                let entries = (0..count).map(|i| (first + i, value + i));
                map.extend(
                    entries.clone().map(|(key, value)| (ledger.track(key), ledger.track(value))),
                );
                model.extend(entries);
            }
            Step::Reserve(additional) => {
                map.reserve(additional);
                assert!(map.capacity() >= map.len() + additional);
            }
            Step::ShrinkToFit => {
                let before = map.capacity();
                map.shrink_to_fit();
                assert!(map.capacity() <= before);
            }
            Step::Flush => map.flush(),
            Step::Clone => *map = map.clone(),
            Step::Collect => {
                let entries = mem::replace(map, TrackedMap::with_hasher(hasher)).into_iter();
                assert_eq!(entries.len(), model.len());
                map.extend(entries);
            }
            Step::Drain(taken) => {
                for (key, value) in map.drain().take(taken) {
                    assert_eq!(model.remove(&key.value), Some(value.value));
                }
                model.clear();
            }
            Step::AddToValues(sum) => {
                map.iter_mut().for_each(|(_, value)| value.value += sum);
                model.values_mut().for_each(|value| *value += sum);
            }
            Step::AddToValue(key) => {
                let value = map.get_mut(&common::Probe(key)).map(|value| {
                    value.value += 1;
                    value.value
                });
                let expected = model.get_mut(&key).map(|value| {
                    *value += 1;
                    *value
                });
                assert_eq!(value, expected);
            }
        }
        check(map, model);
    }
}

fn check(map: &TrackedMap<'_>, model: &BTreeMap<u64, u64>) {
    let pinned = map.pin();
    let mut entries: Vec<_> = pinned.iter().map(|(k, v)| (k.value, v.value)).collect();
    entries.sort();
    assert!(entries.iter().copied().eq(model.clone()), "{entries:?} instead of {model:?}");
    assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
}

/// Performs steps from an empty map of some capacity; with a panic if anything is wrong,
/// or if more is born than the ledger has room for.
fn run(hasher: Hashers, capacity: usize, births: usize, steps: &[Step]) {
    let ledger = Ledger::new(births);
    let mut map = TrackedMap::with_capacity_and_hasher(capacity, hasher);
    let mut model = BTreeMap::new();
    for step in steps {
        step.perform(&mut map, &mut model, &ledger);
    }
    drop(map);
    ledger.assert_all_dropped_once();
}

/// Runs random sequences. One that fails is run again without each of its steps, as long
/// as it fails, so that what is reported is short.
fn compare(sequences: u64, length: u64, keys: u64) {
    within(240, || {
        for hasher in Hashers::ALL {
            for seed in 0..sequences {
                let mut random = Random::new(seed ^ keys << 32);
                let capacity = [0, 1, 100, 10_000][random.below(4) as usize];
                let mut steps: Vec<_> =
                    (0..random.below(length)).map(|_| Step::random(&mut random, keys)).collect();
                let fails = |steps: &[Step]| {
                    panic::catch_unwind(|| run(hasher, capacity, 40_000, steps)).is_err()
                };
                if !fails(&steps) {
                    continue;
                }
                // One message is enough.
                panic::set_hook(Box::new(|_| {}));
                for i in (0..steps.len()).rev() {
                    let step = steps.remove(i);
                    if !fails(&steps) {
                        steps.insert(i, step);
                    }
                }
                let _ = panic::take_hook();
                panic!("{hasher:?} with capacity {capacity}: {steps:#?}");
            }
        }
    });
}

#[test]
fn short_sequences_of_operations_on_few_keys_do_what_the_standard_map_does() {
    compare(150, 60, 10);
}

#[test]
fn long_sequences_of_operations_on_more_keys_do_what_the_standard_map_does() {
    compare(12, 500, 60);
}

#[test]
fn sequences_that_make_the_table_grow_and_shrink_do_what_the_standard_map_does() {
    within(240, || {
        for hasher in Hashers::SPREADING {
            for seed in 0..4 {
                let mut random = Random::new(seed);
                let steps: Vec<_> = (0..60)
                    .map(|_| match random.below(3) {
                        0 => Step::Extend(random.below(10_000), random.below(4_000), seed),
                        _ => Step::random(&mut random, 10_000),
                    })
                    .collect();
                run(hasher, 0, 1_000_000, &steps);
            }
        }
    });
}

#[test]
fn results_do_not_depend_on_hashes_or_the_size_of_the_table() {
    within(240, || {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let operations: Vec<_> = (0..300).map(|_| Operation::random(&mut random, 40)).collect();
            let results = |hasher, capacity| -> Vec<Box<dyn Debug>> {
                let ledger = Ledger::new(2_000);
                let map = TrackedMap::with_capacity_and_hasher(capacity, hasher);
                operations
                    .iter()
                    .map(|operation| -> Box<dyn Debug> {
                        Box::new(operation.on_map(&map, &ledger, true))
                    })
                    .collect()
            };
            let expected = format!("{:?}", results(Hashers::Good(1), 0));
            for hasher in Hashers::ALL {
                for capacity in [0, 20, 50, 8_000] {
                    assert_eq!(format!("{:?}", results(hasher, capacity)), expected);
                }
            }
        }
    });
}
