//! Entries that are never dropped.

use std::{mem, thread};

use binlock::HashMap;

use crate::{
    A, B, Map,
    claimed_keys::while_claimed,
    common::{Hashers, Ledger, Probe, operations::TrackedMap, together, within},
};

#[test]
fn an_entry_that_is_leaked_keeps_its_key_as_it_was_and_nothing_else() {
    within(120, || {
        for hasher in [Hashers::Good(1), Hashers::Constant] {
            for present in [false, true] {
                for elsewhere in [false, true] {
                    let ledger = &Ledger::new(1_000);
                    let map = TrackedMap::with_hasher(hasher);
                    if present {
                        map.insert(ledger.track(A), ledger.track(10));
                    }
                    let leak = || mem::forget(map.entry(ledger.track(A)).unwrap());
                    if elsewhere {
                        thread::scope(|scope| drop(scope.spawn(leak).join()));
                    } else {
                        leak();
                        assert!(map.entry(ledger.track(A)).is_err_and(|error| error.is_own_key()));
                    }
                    for key in 100..200 {
                        map.merge(ledger.track(key), ledger.track(1), |_, one| Some(one)).unwrap();
                        map.insert(ledger.track(key), ledger.track(2));
                    }
                    let found = map.get(&Probe(A)).map(|value| value.value);
                    assert_eq!(found, present.then_some(10));
                    assert_eq!(map.len(), 100 + usize::from(present));
                    assert_eq!(map.pin().iter().count(), map.len());
                    drop(map);
                    // The key that the entry was given.
                    assert_eq!(ledger.alive(), 1);
                }
            }
        }
    });
}

#[test]
fn claims_that_are_leaked_on_purpose_are_not_taken_for_new_ones_at_their_address() {
    within(120, || {
        for round in 0..20_u64 {
            let map: Map = HashMap::with_hasher(Hashers::Constant);
            map.insert(B, 20);
            mem::forget(map.entry(A));
            mem::forget(map.entry(B));
            drop(map);
            let map: Map = HashMap::with_hasher(Hashers::Constant);
            together(2, |_| {
                assert_eq!(*map.compute_if_absent(round, |_| round).unwrap(), round);
            });
            // This thread, whose claims were leaked, waits for others as before.
            while_claimed(&map, true, |_| drop(map.insert(A, 1)));
        }
    });
}
