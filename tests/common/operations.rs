//! Operations on one key, as data, so that a map and a model can be given the same.

use std::collections::BTreeMap;

use binlock::{ComputeError, HashMap, Pinned, Ref};

use super::{
    Hashers, Ledger, Probe, Random, Tracked,
    fault::{self, Site},
};

/// What the operations are about.
pub type TrackedMap<'l> = HashMap<Tracked<'l, u64>, Tracked<'l, u64>, Hashers>;

/// An operation on a key, or on four. Numbers are keys, then values.
#[derive(Clone, Copy, Debug)]
pub enum Operation {
    Get(u64),
    GetKeyValue(u64),
    ContainsKey(u64),
    GetMany([u64; 4]),
    Insert(u64, u64),
    TryInsert(u64, u64),
    Replace(u64, u64),
    Remove(u64),
    RemoveEntry(u64),
    /// If the value's lowest bit is as given.
    RemoveIf(u64, u64),
    ComputeIfAbsent(u64, u64),
    /// The closure fails if the value is odd.
    TryComputeIfAbsent(u64, u64),
    /// The closures of this one and those below make `combined` of the two values.
    ComputeIfPresent(u64, u64),
    Compute(u64, u64),
    Merge(u64, u64),
    /// An entry that is given the value, or the sum of both if it is present.
    Entry(u64, u64),
}

/// What becomes of a value that another one is merged into: nothing, once in a while.
fn combined(current: u64, value: u64) -> Option<u64> {
    let sum = current.wrapping_add(value);
    (sum % 4 != 0).then_some(sum)
}

/// What an operation returned.
#[derive(PartialEq, Eq, Debug)]
pub enum Outcome {
    Value(Option<u64>),
    Entry(Option<(u64, u64)>),
    Is(bool),
    Values([Option<u64>; 4]),
    /// The new value, or the current one and the one that was given back.
    Inserted(Result<u64, (u64, u64)>),
    /// The new value, or what the closure failed with.
    Computed(Result<u64, u64>),
}

impl Operation {
    /// Some operation on one of the keys `0..keys`.
    pub fn random(random: &mut Random, keys: u64) -> Operation {
        use Operation::*;

        let (key, value) = (random.below(keys), random.below(1_000_000));
        match random.below(28) {
            0 => Get(key),
            1 => GetKeyValue(key),
            2 => ContainsKey(key),
            3 => GetMany([key, random.below(keys), random.below(keys), key]),
            4..=8 => Insert(key, value),
            9..=11 => TryInsert(key, value),
            12..=13 => Replace(key, value),
            14..=15 => Remove(key),
            16 => RemoveEntry(key),
            17..=19 => RemoveIf(key, value & 1),
            20..=21 => ComputeIfAbsent(key, value),
            22 => TryComputeIfAbsent(key, value),
            23 => ComputeIfPresent(key, value),
            24 => Compute(key, value),
            25 => Merge(key, value),
            _ => Entry(key, value),
        }
    }

    /// The same with other keys.
    pub fn with_keys(self, to: impl Fn(u64) -> u64) -> Operation {
        use Operation::*;

        match self {
            Get(key) => Get(to(key)),
            GetKeyValue(key) => GetKeyValue(to(key)),
            ContainsKey(key) => ContainsKey(to(key)),
            GetMany(keys) => GetMany(keys.map(to)),
            Insert(key, value) => Insert(to(key), value),
            TryInsert(key, value) => TryInsert(to(key), value),
            Replace(key, value) => Replace(to(key), value),
            Remove(key) => Remove(to(key)),
            RemoveEntry(key) => RemoveEntry(to(key)),
            RemoveIf(key, lowest) => RemoveIf(to(key), lowest),
            ComputeIfAbsent(key, value) => ComputeIfAbsent(to(key), value),
            TryComputeIfAbsent(key, value) => TryComputeIfAbsent(to(key), value),
            ComputeIfPresent(key, value) => ComputeIfPresent(to(key), value),
            Compute(key, value) => Compute(to(key), value),
            Merge(key, value) => Merge(to(key), value),
            Entry(key, value) => Entry(to(key), value),
        }
    }

    /// Performs the operation on a model that is certainly right.
    pub fn on_model(self, model: &mut BTreeMap<u64, u64>) -> Outcome {
        use Operation::*;

        let get = |key: u64| model.get(&key).copied();
        match self {
            Get(key) => Outcome::Value(get(key)),
            GetKeyValue(key) => Outcome::Entry(get(key).map(|value| (key, value))),
            ContainsKey(key) => Outcome::Is(get(key).is_some()),
            GetMany(keys) => Outcome::Values(keys.map(get)),
            Insert(key, value) => Outcome::Value(model.insert(key, value)),
            TryInsert(key, value) => Outcome::Inserted(match get(key) {
                Some(current) => Err((current, value)),
                None => {
                    model.insert(key, value);
                    Ok(value)
                }
            }),
            Replace(key, value) => Outcome::Value(model.get_mut(&key).map(|current| {
                let previous = *current;
                *current = value;
                previous
            })),
            Remove(key) => Outcome::Value(model.remove(&key)),
            RemoveEntry(key) => Outcome::Entry(model.remove_entry(&key)),
            RemoveIf(key, lowest) => Outcome::Entry(match get(key) {
                Some(value) if value & 1 == lowest => model.remove_entry(&key),
                _ => None,
            }),
            ComputeIfAbsent(key, value) => Outcome::Value(Some(*model.entry(key).or_insert(value))),
            TryComputeIfAbsent(key, value) => Outcome::Computed(match get(key) {
                Some(current) => Ok(current),
                None if value & 1 == 1 => Err(value),
                None => Ok(*model.entry(key).or_insert(value)),
            }),
            ComputeIfPresent(key, value) | Compute(key, value) | Merge(key, value) => {
                let new = match (self, get(key)) {
                    (_, Some(current)) => combined(current, value),
                    (Merge(..), None) => Some(value),
                    (Compute(..), None) => combined(0, value),
                    (_, None) => None,
                };
                match new {
                    Some(new) => model.insert(key, new),
                    None => model.remove(&key),
                };
                Outcome::Value(new)
            }
            Entry(key, value) => {
                let new = get(key).map_or(value, |current| current.wrapping_add(value));
                model.insert(key, new);
                Outcome::Value(Some(new))
            }
        }
    }

    /// Performs the operation on a map, through a pinned view or not.
    pub fn on_map<'l>(self, map: &TrackedMap<'l>, ledger: &'l Ledger, pinned: bool) -> Outcome {
        if pinned {
            through_pinned(self, &map.pin(), ledger)
        } else {
            through_map(self, map, ledger)
        }
    }
}

/// A key and its value, as a pinned view and a map return them.
trait Entry {
    fn numbers(&self) -> (u64, u64);
}

impl Entry for (&Tracked<'_, u64>, &Tracked<'_, u64>) {
    fn numbers(&self) -> (u64, u64) {
        (self.0.value, self.1.value)
    }
}

impl Entry for Ref<'_, Tracked<'_, u64>, Tracked<'_, u64>> {
    fn numbers(&self) -> (u64, u64) {
        (self.key().value, self.value().value)
    }
}

/// A map and a pinned view have the same methods, but no trait for them.
macro_rules! through {
    ($name:ident, $map:ty) => {
        fn $name<'l>(operation: Operation, map: &$map, ledger: &'l Ledger) -> Outcome {
            use Operation::*;

            let track = |key, value| fault::without(|| (ledger.track(key), ledger.track(value)));
            match operation {
                Get(key) => Outcome::Value(map.get(&Probe(key)).map(|value| value.value)),
                GetKeyValue(key) => {
                    Outcome::Entry(map.get_key_value(&Probe(key)).map(|entry| entry.numbers()))
                }
                ContainsKey(key) => Outcome::Is(map.contains_key(&Probe(key))),
                GetMany(keys) => {
                    let [a, b, c, d] = &keys.map(Probe);
                    let found = map.get_many([a, b, c, d]);
                    Outcome::Values(found.map(|value| value.map(|value| value.value)))
                }
                Insert(key, value) => {
                    let (key, value) = track(key, value);
                    Outcome::Value(map.insert(key, value).map(|value| value.value))
                }
                TryInsert(key, value) => {
                    let (key, value) = track(key, value);
                    Outcome::Inserted(match map.try_insert(key, value) {
                        Ok(value) => Ok(value.value),
                        Err(error) => {
                            let numbers = (error.current.value, error.value.value);
                            fault::without(|| drop(error.value));
                            Err(numbers)
                        }
                    })
                }
                Replace(key, value) => {
                    let (key, value) = track(key, value);
                    Outcome::Value(map.replace(key, value).map(|value| value.value))
                }
                Remove(key) => Outcome::Value(map.remove(&Probe(key)).map(|value| value.value)),
                RemoveEntry(key) => {
                    Outcome::Entry(map.remove_entry(&Probe(key)).map(|entry| entry.numbers()))
                }
                RemoveIf(key, lowest) => {
                    let removed = map.remove_if(&Probe(key), |found, value| {
                        fault::point(Site::Closure);
                        assert_eq!(found.value, key);
                        value.value & 1 == lowest
                    });
                    Outcome::Entry(removed.map(|entry| entry.numbers()))
                }
                ComputeIfAbsent(key, value) => {
                    let (key, value) = track(key, value);
                    let computed = map.compute_if_absent(key, |_| {
                        fault::point(Site::Closure);
                        value
                    });
                    Outcome::Value(Some(computed.unwrap().value))
                }
                TryComputeIfAbsent(key, value) => {
                    let (key, tracked) = track(key, value);
                    let computed = map.try_compute_if_absent(key, |_| {
                        fault::point(Site::Closure);
                        if value & 1 == 1 { Err(value) } else { Ok(tracked) }
                    });
                    Outcome::Computed(match computed {
                        Ok(value) => Ok(value.value),
                        Err(ComputeError::Closure(error)) => Err(error),
                        Err(ComputeError::Recursive(error)) => panic!("{error}"),
                    })
                }
                ComputeIfPresent(key, value) => {
                    let computed = map.compute_if_present(&Probe(key), |_, current| {
                        fault::point(Site::Closure);
                        combined(current.value, value).map(|value| ledger.track(value))
                    });
                    Outcome::Value(computed.unwrap().map(|value| value.value))
                }
                Compute(key, value) => {
                    let key = fault::without(|| ledger.track(key));
                    let computed = map.compute(key, |_, current| {
                        fault::point(Site::Closure);
                        let current = current.map_or(0, |current| current.value);
                        combined(current, value).map(|value| ledger.track(value))
                    });
                    Outcome::Value(computed.unwrap().map(|value| value.value))
                }
                Merge(key, value) => {
                    let (key, value) = track(key, value);
                    let computed = map.merge(key, value, |current, value| {
                        fault::point(Site::Closure);
                        let new = combined(current.value, value.value);
                        // Before there is a result, which would leak if this panics.
                        drop(value);
                        new.map(|new| ledger.track(new))
                    });
                    Outcome::Value(computed.unwrap().map(|value| value.value))
                }
                Entry(key, value) => {
                    let key = fault::without(|| ledger.track(key));
                    let entry = map.entry(key).unwrap();
                    let new = match &entry {
                        binlock::Entry::Occupied(entry) => entry.get().value.wrapping_add(value),
                        binlock::Entry::Vacant(_) => value,
                    };
                    fault::point(Site::Closure);
                    Outcome::Value(Some(entry.insert(ledger.track(new)).unwrap().value))
                }
            }
        }
    };
}

through!(through_map, TrackedMap<'l>);
through!(through_pinned, Pinned<'_, Tracked<'l, u64>, Tracked<'l, u64>, Hashers>);
