//! Entries and what they are combined with, by the map and by a pinned view.

use binlock::{ComputeError, Entry, Pinned, RecursiveUpdate};

use crate::{
    common::{
        Hashers, Ledger, Probe, Tracked,
        fault::{self, Site},
        operations::TrackedMap,
        within,
    },
    sweep::{Leaves, filled, sweep},
};

const PRESENT: u64 = 3;
const ABSENT: u64 = 40;

type Value<'l> = Tracked<'l, u64>;

/// What is done with the entry of a key.
type Case = (&'static str, fn(&Ledger, bool));

/// Sweeps over what is done with an entry, by either way in, present and absent.
macro_rules! cases {
    ($($name:literal: |$entry:ident, $ledger:ident| $body:expr;)*) => {
        const CASES: &[Case] = &[$(($name, |ledger, pinned| {
            for key in [PRESENT, ABSENT] {
                let panics = sweep($name, ledger, filled, Leaves::Nothing, |map| {
                    let $ledger = ledger;
                    if pinned {
                        let view = map.pin();
                        let $entry = view.entry(ledger.track(key)).unwrap();
                        $body
                    } else {
                        let $entry = map.entry(ledger.track(key)).unwrap();
                        $body
                    }
                });
                assert!(panics > 0, "{}: no user code is called", $name);
            }
        })),*];
    };
}

/// What a closure does.
fn make(ledger: &Ledger, value: u64) -> Value<'_> {
    fault::point(Site::Closure);
    ledger.track(value)
}

/// Lets go of what was found, which is a reference or keeps a pin of its own.
fn done<T>(_: T) {}

/// Nothing is asked where there is something.
fn assert_failed<T>(result: Result<T, ComputeError<&str>>, is_present: bool) {
    match result {
        Ok(found) => {
            done(found);
            assert!(is_present);
        }
        Err(ComputeError::Closure(error)) => assert_eq!((error, is_present), ("no", false)),
        Err(ComputeError::Recursive(error)) => panic!("{error}"),
    }
}

cases! {
    "dropped": |entry, _ledger| drop(entry);
    "key": |entry, _ledger| assert!(entry.key().value == PRESENT || entry.key().value == ABSENT);
    "or_insert": |entry, ledger| done(entry.or_insert(ledger.track(7)).unwrap());
    "or_insert_with": |entry, ledger| done(entry.or_insert_with(|| make(ledger, 7)).unwrap());
    "or_insert_with_key": |entry, ledger| {
        done(entry.or_insert_with_key(|key| make(ledger, key.value + 7)).unwrap());
    };
    "or_try_insert_with": |entry, ledger| {
        let made = entry.or_try_insert_with(|_| Ok::<_, RecursiveUpdate>(make(ledger, 7)));
        done(made.unwrap());
    };
    "or_try_insert_with, failing": |entry, ledger| {
        let is_present = matches!(entry, Entry::Occupied(_));
        let fails = |_: &_| {
            drop(make(ledger, 7));
            Err("no")
        };
        assert_failed(entry.or_try_insert_with(fails), is_present);
    };
    "and_modify": |entry, ledger| drop(entry.and_modify(|value| make(ledger, value.value + 1)));
    "and_modify.or_insert": |entry, ledger| {
        let modified = entry.and_modify(|value| make(ledger, value.value + 1));
        done(modified.or_insert_with(|| ledger.track(8)).unwrap());
    };
    "insert": |entry, ledger| done(entry.insert(make(ledger, 9)).unwrap());
    "Occupied::get, Occupied::insert and Vacant::insert": |entry, ledger| match entry {
        Entry::Occupied(entry) => {
            let value = make(ledger, entry.get().value + entry.key().value);
            done(entry.insert(value).unwrap());
        }
        Entry::Vacant(entry) => {
            let value = make(ledger, entry.key().value);
            done(entry.insert(value).unwrap());
        }
    };
    "Occupied::remove": |entry, _ledger| match entry {
        Entry::Occupied(entry) => done(entry.remove().unwrap()),
        Entry::Vacant(entry) => drop(entry),
    };
    "Occupied::into_ref": |entry, _ledger| match entry {
        Entry::Occupied(entry) => done(entry.into_ref().unwrap()),
        Entry::Vacant(entry) => drop(entry),
    };
}

#[test]
fn a_panic_anywhere_in_what_is_done_with_an_entry_leaves_the_map_as_it_was() {
    within(240, || {
        let ledger = &Ledger::new(1_000_000);
        for (_, case) in CASES {
            case(ledger, false);
            case(ledger, true);
        }
    });
}

#[test]
fn a_panic_while_entries_of_other_keys_are_held_gives_up_the_one_and_not_the_others() {
    within(240, || {
        let ledger = &Ledger::new(1_000_000);
        let panics = sweep("two entries", ledger, filled, Leaves::Nothing, |map| {
            let before = map.entry(ledger.track(ABSENT)).unwrap();
            let inner = fault::caught(|| {
                let inner = map.entry(ledger.track(PRESENT)).unwrap();
                done(inner.insert(make(ledger, 1)).unwrap());
            });
            // The outer entry is of use still, whatever has become of the inner one.
            let passes_on = inner.is_none();
            fault::without(|| {
                assert_eq!(map.get(&Probe(ABSENT)).map(|value| value.value), None);
                drop(before);
            });
            if passes_on {
                std::panic::resume_unwind(fault::payload());
            }
        });
        assert!(panics > 0);
    });
}

#[test]
fn a_panic_in_a_batch_of_look_ups_leaves_no_pin_behind() {
    within(240, || {
        let ledger = &Ledger::new(1_000_000);
        let keys = [&Probe(1), &Probe(ABSENT), &Probe(PRESENT), &Probe(1)];
        let panics = sweep("get_many", ledger, filled, Leaves::Nothing, |map| {
            assert!(map.get_many(keys)[2].is_some());
            let pinned: Pinned<'_, Value<'_>, Value<'_>, Hashers> = map.pin();
            assert!(pinned.get_many(keys)[1].is_none());
        });
        assert!(panics > 8);
        // A pin that a panic left would keep this from being dropped.
        let map = TrackedMap::with_hasher(Hashers::Constant);
        for call in 0..4 {
            let (key, value) = (ledger.track(1), ledger.track(1));
            map.insert(key, value);
            fault::arm(Site::Eq, call);
            let _ = fault::caught(|| drop(map.get_many(keys)));
            fault::disarm();
            map.clear();
            // Other tests of this process are pinned now and then; what a panic left would be
            // for ever.
            while ledger.alive() > 0 {
                map.flush();
                std::thread::yield_now();
            }
        }
    });
}
