//! A key that is being computed: who waits, and what the others see.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use binlock::{Entry, HashMap};

use crate::{
    A, B, D, Map,
    common::{Gate, Hashers, within},
};

/// Holds an entry of A, computing 10, while `meanwhile` runs on another thread, which is told
/// by a flag whether the claim is settled. `waits`: until `meanwhile` is done, or for a while.
pub fn while_claimed(map: &Map, waits: bool, meanwhile: impl FnOnce(&AtomicBool) + Send) {
    let (claimed, settled) = (Gate::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let (claimed, settled) = (&claimed, &settled);
        let other = scope.spawn(move || {
            claimed.pass();
            meanwhile(settled);
        });
        let entry = map.entry(A).unwrap();
        claimed.open();
        if waits {
            thread::sleep(Duration::from_millis(3));
            assert!(!other.is_finished());
        } else {
            other.join().unwrap();
        }
        settled.store(true, Ordering::SeqCst);
        assert_eq!(*entry.insert(10).unwrap(), 10);
    });
}

#[test]
fn writers_of_a_claimed_key_wait_and_then_do_what_they_would() {
    // What is there afterwards.
    const WRITES: [fn(&Map) -> Option<u64>; 13] = [
        |map| {
            assert_eq!(map.insert(A, 5).as_deref(), Some(&10));
            Some(5)
        },
        |map| {
            assert_eq!(map.pin().insert(A, 5), Some(&10));
            Some(5)
        },
        |map| {
            assert_eq!(map.replace(A, 5).as_deref(), Some(&10));
            Some(5)
        },
        |map| {
            assert_eq!(map.remove(&A).as_deref(), Some(&10));
            None
        },
        |map| {
            assert!(map.remove_if(&A, |_, value| *value == 10).is_some());
            None
        },
        |map| {
            assert!(map.remove_if(&A, |_, value| *value != 10).is_none());
            Some(10)
        },
        |map| {
            assert_eq!(
                map.compute(A, |_, value| value.map(|v| v + 1)).unwrap().as_deref(),
                Some(&11)
            );
            Some(11)
        },
        |map| {
            assert_eq!(map.compute_if_present(&A, |_, v| Some(v + 1)).unwrap().unwrap(), 11);
            Some(11)
        },
        |map| {
            assert_eq!(map.pin().merge(A, 7, |a, b| Some(a + b)), Ok(Some(&17)));
            Some(17)
        },
        |map| {
            let Ok(Entry::Occupied(entry)) = map.entry(A) else { panic!("it is present") };
            assert_eq!(*entry.remove().unwrap(), 10);
            None
        },
        |map| {
            assert_eq!(*map.entry(A).unwrap().or_insert(0).unwrap(), 10);
            Some(10)
        },
        // These two wait where the key is absent.
        |map| {
            assert_eq!(*map.try_insert(A, 5).unwrap_err().current, 10);
            Some(10)
        },
        |map| {
            assert_eq!(*map.compute_if_absent(A, |_| unreachable!()).unwrap(), 10);
            Some(10)
        },
    ];
    within(120, || {
        for hasher in [Hashers::Good(1), Hashers::Constant] {
            for present in [false, true] {
                for write in &WRITES[..if present { 11 } else { 13 }] {
                    for _ in 0..5 {
                        let map: Map = HashMap::with_hasher(hasher);
                        map.insert(D, 30);
                        if present {
                            map.insert(A, 1);
                        }
                        let mut after = None;
                        while_claimed(&map, true, |settled| {
                            after = write(&map);
                            assert!(settled.load(Ordering::SeqCst), "it has not waited");
                        });
                        assert_eq!(map.get(&A).map(|value| *value), after);
                        assert_eq!(map.len(), 1 + usize::from(after.is_some()));
                    }
                }
            }
        }
    });
}

#[test]
fn readers_of_a_claimed_key_see_what_was_there_and_do_not_wait() {
    within(120, || {
        for hasher in [Hashers::Good(1), Hashers::Constant] {
            for before in [None, Some(1)] {
                let map: Map = HashMap::with_hasher(hasher);
                map.insert(D, 30);
                before.map(|value| map.insert(A, value));
                while_claimed(&map, false, |_| {
                    let len = 1 + usize::from(before.is_some());
                    let pinned = map.pin();
                    assert_eq!(pinned.get(&A).copied(), before);
                    assert_eq!(map.contains_key(&A), before.is_some());
                    assert_eq!(pinned.get_many([&A, &D]).map(|v| v.copied()), [before, Some(30)]);
                    assert_eq!((map.len(), pinned.iter().count()), (len, len));
                    assert_eq!(pinned.keys().any(|key| *key == A), before.is_some());
                    assert_eq!(map.clone().get(&A).map(|value| *value), before);
                    if before.is_some() {
                        assert_eq!(*map.compute_if_absent(A, |_| unreachable!()).unwrap(), 1);
                        assert_eq!(*map.try_insert(A, 5).unwrap_err().current, 1);
                    }
                    map.reserve(500);
                    map.flush();
                    assert_eq!(pinned.get(&A).copied(), before);
                });
                assert_eq!((map.len(), *map.get(&A).unwrap()), (2, 10));
            }
        }
    });
}

#[test]
fn clear_does_not_wait_and_takes_what_is_claimed_with_it() {
    within(120, || {
        for hasher in [Hashers::Good(1), Hashers::Constant] {
            for present in [false, true] {
                let map: Map = HashMap::with_hasher(hasher);
                map.insert(D, 30);
                if present {
                    map.insert(A, 1);
                }
                while_claimed(&map, false, |_| {
                    map.clear();
                    assert!(map.is_empty() && map.get(&A).is_none());
                    assert_eq!(map.pin().iter().count(), 0);
                    map.insert(B, 20);
                });
                // What was computed for an absent key comes after it.
                assert_eq!(map.get(&A).is_some(), !present);
                assert_eq!(map.len(), 1 + usize::from(!present));
            }
        }
    });
}

#[test]
fn whoever_waits_for_a_claim_that_is_cleared_waits_on_and_finds_the_key_absent() {
    within(120, || {
        for _ in 0..20 {
            let map: Map = HashMap::with_hasher(Hashers::Constant);
            map.insert(A, 1);
            while_claimed(&map, true, |settled| {
                map.clear();
                assert!(map.insert(A, 5).is_none());
                assert!(settled.load(Ordering::SeqCst), "it has not waited");
            });
            assert_eq!((map.len(), *map.get(&A).unwrap()), (1, 5));
        }
    });
}
