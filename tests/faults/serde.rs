//! Feature `serde`: a panic, or an error, at any entry that is written or read.

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
};

use binlock::{HashMap, HashSet};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::common::fault::{self, Site};

const ENTRIES: u64 = 20;

thread_local! {
    /// Of `Part`.
    static ALIVE: Cell<i64> = const { Cell::new(0) };
    /// Fails, instead of panicking, at this call.
    static FAILS_AT: Cell<u64> = const { Cell::new(u64::MAX) };
}

/// A key or a value, which is counted.
#[derive(PartialEq, Eq)]
struct Part(u64);

impl Part {
    fn new(number: u64) -> Part {
        ALIVE.set(ALIVE.get() + 1);
        Part(number)
    }
}

impl Hash for Part {
    fn hash<H: Hasher>(&self, state: &mut H) {
        fault::point(Site::Hash);
        self.0.hash(state);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
    }
}

/// Whether this call is to fail.
fn fails() -> bool {
    fault::point(Site::Closure);
    let left = FAILS_AT.get();
    FAILS_AT.set(left.wrapping_sub(1));
    left == 0
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if fails() { Err(ser::Error::custom("not this one")) } else { self.0.serialize(to) }
    }
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(from)?;
        if fails() { Err(de::Error::custom("not this one")) } else { Ok(Part::new(number)) }
    }
}

type Parts = HashMap<Part, Part>;

/// Runs `f` with each call panicking, then with each failing, until none does.
fn sweep(f: impl Fn() -> serde_json::Result<()>) {
    let alive = ALIVE.get();
    for site in [Site::Closure, Site::Hash] {
        for call in 0.. {
            fault::arm(site, call);
            let panicked = fault::caught(&f).is_none();
            assert_eq!(panicked, !fault::disarm());
            assert_eq!(ALIVE.get(), alive, "leaked");
            if !panicked {
                assert!(call >= ENTRIES || site == Site::Hash);
                break;
            }
        }
    }
    for call in 0.. {
        FAILS_AT.set(call);
        let result = f();
        FAILS_AT.set(u64::MAX);
        assert_eq!(ALIVE.get(), alive, "leaked");
        match result {
            Ok(()) => {
                assert!(call >= ENTRIES);
                break;
            }
            Err(error) => assert!(error.to_string().contains("not this one"), "{error}"),
        }
    }
}

#[test]
fn a_panic_or_an_error_at_any_entry_that_is_read_leaks_none_of_those_before() {
    let map = serde_json::to_string(&(0..ENTRIES).map(|i| (i, i)).collect::<HashMap<_, _>>());
    let map = map.unwrap();
    sweep(|| serde_json::from_str::<HashMap<u64, Part>>(&map).map(drop));
    let set = serde_json::to_string(&(0..ENTRIES).collect::<Vec<_>>()).unwrap();
    sweep(|| serde_json::from_str::<HashSet<Part>>(&set).map(drop));
}

#[test]
fn a_panic_or_an_error_at_any_entry_that_is_written_leaves_the_map_as_it_was() {
    let map: Parts = (0..ENTRIES).map(|i| (Part::new(i), Part::new(i))).collect();
    sweep(|| serde_json::to_string(&map).map(drop));
    assert_eq!(map.len() as u64, ENTRIES);
    map.pin().retain(|key, value| key.0 != value.0);
    assert!(map.is_empty());
    drop(map);
    assert_eq!(ALIVE.get(), 0);
}
