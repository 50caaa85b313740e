//! Code of keys and values that a computation calls, and that calls the map back.

use std::collections::BTreeMap;

use crate::{
    A, B, D, T,
    common::{
        Hashers, Ledger, Probe,
        fault::{self, Site},
        operations::TrackedMap,
        within,
    },
};

/// Row n: user code of a computation's key and value calls the map back.
#[test]
fn row_n_user_code_that_a_computation_calls_may_use_the_map() {
    type Outer = for<'l> fn(&TrackedMap<'l>, &'l Ledger, u64) -> bool;
    type Back = for<'l> fn(&TrackedMap<'l>, &'l Ledger);

    // Whether the computation says that it has stored 11.
    const OUTER: [Outer; 5] = [
        |map, ledger, key| {
            let result = map.compute_if_absent(ledger.track(key), |_| {
                fault::point(Site::Closure);
                ledger.track(11)
            });
            result.is_ok_and(|value| value.value == 11)
        },
        |map, ledger, key| {
            let f = |_: &_, _: Option<&_>| {
                fault::point(Site::Closure);
                Some(ledger.track(11))
            };
            map.compute(ledger.track(key), f).is_ok()
        },
        |map, ledger, key| {
            let f = |_: &_, _: &_| {
                fault::point(Site::Closure);
                Some(ledger.track(11))
            };
            map.compute_if_present(&Probe(key), f).is_ok_and(|value| value.is_some())
        },
        |map, ledger, key| {
            let f = |_: &_, given| {
                fault::point(Site::Closure);
                Some(given)
            };
            map.merge(ledger.track(key), ledger.track(11), f).is_ok()
        },
        |map, ledger, key| {
            let Ok(entry) = map.entry(ledger.track(key)) else { return false };
            fault::point(Site::Closure);
            entry.insert(ledger.track(11)).is_ok()
        },
    ];
    // Of another key; the last two of the key itself.
    const BACK: [Back; 8] = [
        |map, ledger| drop(map.insert(ledger.track(D), ledger.track(33))),
        |map, _| drop(map.remove(&Probe(D))),
        |map, ledger| {
            let value = map.compute_if_absent(ledger.track(T), |_| ledger.track(200));
            assert_eq!(value.unwrap().value, 200);
        },
        |map, ledger| {
            for key in 100..140 {
                map.insert(ledger.track(key), ledger.track(key));
            }
        },
        |map, _| map.retain(|key, _| key.value != D),
        |map, _| map.flush(),
        |map, ledger| drop(map.insert(ledger.track(A), ledger.track(77))),
        // Inside a computation of the key this is refused, outside of one it is not.
        |map, ledger| drop(map.compute(ledger.track(A), |_, _| Some(ledger.track(77)))),
    ];
    within(120, || {
        let mut calls = 0;
        for hasher in [Hashers::Good(1), Hashers::Constant] {
            for present in [false, true] {
                for (outer_index, outer) in OUTER.into_iter().enumerate() {
                    for (back_index, back) in BACK.into_iter().enumerate() {
                        for site in Site::ALL {
                            println!("{hasher:?} {present} {outer_index} {back_index} {site:?}");
                            let ledger = &Ledger::new(2_000);
                            let map = TrackedMap::with_hasher(hasher);
                            map.insert(ledger.track(D), ledger.track(30));
                            map.insert(ledger.track(B), ledger.track(20));
                            if present {
                                map.insert(ledger.track(A), ledger.track(10));
                            }
                            let calls_back = || {
                                calls += 1;
                                back(&map, ledger);
                                false
                            };
                            let stored = fault::hooked(site, calls_back, || outer(&map, ledger, A));
                            let found = map.get(&Probe(A)).map(|value| value.value);
                            match found {
                                Some(11) => assert!(stored),
                                Some(77) => assert!(back_index >= 6),
                                // The only one that may have stored nothing.
                                None => assert!(!present && outer_index == 2),
                                Some(other) => assert!(present && !stored, "{other}"),
                            }
                            assert_eq!(map.get(&Probe(B)).unwrap().value, 20);
                            assert_consistent(&map);
                            drop(map);
                            ledger.assert_all_dropped_once();
                        }
                    }
                }
            }
        }
        assert!(calls > 400, "{calls}");
    });
}

fn assert_consistent(map: &TrackedMap<'_>) {
    let pinned = map.pin();
    let entries: Vec<_> = pinned.iter().map(|(key, value)| (key.value, value.value)).collect();
    let distinct: BTreeMap<_, _> = entries.iter().copied().collect();
    assert_eq!((entries.len(), map.len()), (distinct.len(), distinct.len()), "{entries:?}");
}
