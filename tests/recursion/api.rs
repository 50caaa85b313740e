//! The methods that claim a key, and all others, of a map and of a pinned view.

use binlock::{ComputeError, Entry, HashMap, Pinned, RecursiveUpdate};

use crate::common::Hashers;

/// The methods that claim a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    IfAbsent,
    TryIfAbsent,
    IfPresent,
    Compute,
    Merge,
    Entry,
}

pub const ABSENT: &[Way] = &[Way::IfAbsent, Way::TryIfAbsent, Way::Compute, Way::Entry];
pub const PRESENT: &[Way] = &[Way::IfPresent, Way::Compute, Way::Merge, Way::Entry];

/// Computes a value, or none, from the present one.
pub type Closure<'a> = &'a mut dyn FnMut(Option<u64>) -> Option<u64>;

/// What a map and a pinned view have in common.
pub trait Api {
    /// The value that is there afterwards.
    fn decide(&self, way: Way, key: u64, f: Closure<'_>) -> Result<Option<u64>, RecursiveUpdate>;
    fn get(&self, key: u64) -> Option<u64>;
    fn insert(&self, key: u64, value: u64) -> Option<u64>;
    fn try_insert(&self, key: u64, value: u64) -> Result<u64, u64>;
    fn replace(&self, key: u64, value: u64) -> Option<u64>;
    fn remove(&self, key: u64) -> Option<u64>;
    fn remove_if(&self, key: u64, condition: bool) -> bool;
    fn retain(&self, keep: &mut dyn FnMut(u64) -> bool);
    fn clear(&self);
}

macro_rules! api {
    ($map:ty) => {
        impl Api for $map {
            fn decide(
                &self,
                way: Way,
                key: u64,
                f: Closure<'_>,
            ) -> Result<Option<u64>, RecursiveUpdate> {
                match way {
                    Way::IfAbsent => {
                        let f = |_: &u64| f(None).expect("there is no way to fail");
                        self.compute_if_absent(key, f).map(|value| Some(*value))
                    }
                    Way::TryIfAbsent => {
                        match self.try_compute_if_absent(key, |_| f(None).ok_or("failed")) {
                            Ok(value) => Ok(Some(*value)),
                            Err(ComputeError::Closure("failed")) => Ok(None),
                            Err(ComputeError::Closure(other)) => panic!("{other}"),
                            Err(ComputeError::Recursive(error)) => Err(error),
                        }
                    }
                    Way::IfPresent => {
                        let value = self.compute_if_present(&key, |_, value| f(Some(*value)))?;
                        Ok(value.map(|value| *value))
                    }
                    Way::Compute => {
                        let value = self.compute(key, |_, value| f(value.copied()))?;
                        Ok(value.map(|value| *value))
                    }
                    Way::Merge => {
                        let value = self.merge(key, 1_234, |value, given| {
                            assert_eq!(given, 1_234);
                            f(Some(*value))
                        })?;
                        Ok(value.map(|value| *value))
                    }
                    Way::Entry => {
                        let entry = self.entry(key)?;
                        let current = match &entry {
                            Entry::Occupied(entry) => Some(*entry.get()),
                            Entry::Vacant(_) => None,
                        };
                        match (entry, f(current)) {
                            (entry, Some(value)) => Ok(Some(*entry.insert(value)?)),
                            (Entry::Occupied(entry), None) => {
                                entry.remove()?;
                                Ok(None)
                            }
                            (Entry::Vacant(_), None) => Ok(None),
                        }
                    }
                }
            }

            fn get(&self, key: u64) -> Option<u64> {
                self.get(&key).map(|value| *value)
            }

            fn insert(&self, key: u64, value: u64) -> Option<u64> {
                self.insert(key, value).map(|value| *value)
            }

            fn try_insert(&self, key: u64, value: u64) -> Result<u64, u64> {
                self.try_insert(key, value).map(|value| *value).map_err(|error| *error.current)
            }

            fn replace(&self, key: u64, value: u64) -> Option<u64> {
                self.replace(key, value).map(|value| *value)
            }

            fn remove(&self, key: u64) -> Option<u64> {
                self.remove(&key).map(|value| *value)
            }

            fn remove_if(&self, key: u64, condition: bool) -> bool {
                self.remove_if(&key, |_, _| condition).is_some()
            }

            fn retain(&self, keep: &mut dyn FnMut(u64) -> bool) {
                self.retain(|key, _| keep(*key));
            }

            fn clear(&self) {
                self.clear();
            }
        }
    };
}
api!(HashMap<u64, u64, Hashers>);
api!(Pinned<'_, u64, u64, Hashers>);
