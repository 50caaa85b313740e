//! Claims that are settled where they were put, and where they are by then: whatever the closure has
//! done to its key's bin, its table, or its key.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use binlock::{Entry, HashMap};
use common::{Hashers, Ledger, Tracked, key_in_bin, within};

type Value<'l> = Tracked<'l, u64>;

/// A map, the number of whose bins tells whether its nodes have their hashes (below `2^10`), and a
/// bin of it.
struct World<'m, 'l> {
    map: &'m HashMap<u64, Value<'l>, Hashers>,
    ledger: &'l Ledger,
}

const BIN: u16 = 0x1234;

/// The key with a number of those that are in one bin. Its tag is its own up to 128.
fn key(number: u64) -> u64 {
    key_in_bin(BIN, number << 31)
}

/// A key of the same bin and of the same tag.
fn like(number: u64) -> u64 {
    key_in_bin(BIN, number << 31 | 1)
}

/// The key that is computed.
const OWN: u64 = 60;

impl World<'_, '_> {
    fn insert(&self, key: u64, value: u64) {
        self.map.insert(key, self.ledger.track(value));
    }

    fn own(&self) -> Option<u64> {
        self.map.get(&key(OWN)).map(|value| value.value)
    }
}

/// What is done while the key is claimed, and what becomes of the claim by that.
#[derive(Clone, Copy)]
struct Meanwhile {
    name: &'static str,
    act: fn(&World<'_, '_>),
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    /// It is decided by the computation.
    Stands,
    /// What was there has been cleared away.
    Cleared,
    /// Somebody has gone ahead, and this is there now.
    Overtaken(Option<u64>),
}
use Fate::*;

const MEANWHILE: [Meanwhile; 17] = [
    Meanwhile { name: "nothing", act: |_| {}, fate: Stands },
    Meanwhile {
        name: "growth",
        act: |world| world.map.reserve(3 * world.map.capacity()),
        fate: Stands,
    },
    Meanwhile {
        name: "growth by insertions",
        act: |world| {
            let enough = 1 + world.map.capacity() as u64;
            (0..enough).for_each(|i| world.insert(key_in_bin((i * 7) as u16, 1 << 40 | i), i));
            (0..enough).for_each(|i| {
                drop(world.map.remove(&key_in_bin((i * 7) as u16, 1 << 40 | i)));
            });
        },
        fate: Stands,
    },
    Meanwhile { name: "shrinking", act: |world| world.map.shrink_to_fit(), fate: Stands },
    Meanwhile {
        name: "shrinking and growth",
        act: |world| {
            world.map.shrink_to_fit();
            world.map.reserve(3 * world.map.capacity());
        },
        fate: Stands,
    },
    Meanwhile {
        // The last slot's node, or claim, moves to the overflow block.
        name: "a long bin",
        act: |world| (0..9).for_each(|i| world.insert(key(i), i)),
        fate: Stands,
    },
    Meanwhile {
        name: "a bin that was long",
        act: |world| {
            (0..9).for_each(|i| world.insert(key(i), i));
            (0..9).for_each(|i| drop(world.map.remove(&key(i))));
        },
        fate: Stands,
    },
    Meanwhile {
        name: "another claim of this tag",
        act: |world| {
            world.insert(like(OWN), 1);
            let entry = world.map.entry(like(OWN)).unwrap();
            drop(world.map.remove(&key(0)));
            entry.insert(world.ledger.track(2)).map(drop).unwrap();
        },
        fate: Stands,
    },
    Meanwhile { name: "clearing", act: |world| world.map.clear(), fate: Cleared },
    Meanwhile {
        name: "clearing and growth",
        act: |world| {
            world.map.clear();
            world.map.reserve(3 * world.map.capacity());
        },
        fate: Cleared,
    },
    Meanwhile {
        name: "growth and clearing",
        act: |world| {
            world.map.reserve(3 * world.map.capacity());
            world.map.clear();
        },
        fate: Cleared,
    },
    Meanwhile {
        name: "clearing and overtaking",
        act: |world| {
            world.map.clear();
            world.insert(key(OWN), 7);
        },
        fate: Overtaken(Some(7)),
    },
    Meanwhile {
        name: "overtaken by an insertion",
        act: |world| world.insert(key(OWN), 7),
        fate: Overtaken(Some(7)),
    },
    Meanwhile {
        name: "overtaken by a removal",
        act: |world| drop(world.map.remove(&key(OWN))),
        fate: Overtaken(None),
    },
    Meanwhile {
        name: "overtaken, and its slot used again",
        act: |world| {
            drop(world.map.remove(&key(OWN)));
            world.map.flush();
            world.insert(like(OWN), 1);
            world.insert(key(OWN), 7);
        },
        fate: Overtaken(Some(7)),
    },
    Meanwhile {
        name: "overtaken, and computed again",
        act: |world| {
            drop(world.map.remove(&key(OWN)));
            world.map.flush();
            let computed = world.map.compute(key(OWN), |_, _| Some(world.ledger.track(7)));
            assert!(computed.map(drop).is_ok());
            let computed = world.map.compute(key(OWN), |_, _| Some(world.ledger.track(8)));
            assert!(computed.map(drop).is_ok());
        },
        fate: Overtaken(Some(8)),
    },
    Meanwhile {
        name: "overtaken, and moved",
        act: |world| {
            world.insert(key(OWN), 7);
            world.map.reserve(3 * world.map.capacity());
        },
        fate: Overtaken(Some(7)),
    },
];

/// A way to decide a key: what it stores, `Ok(None)` if that is nothing, and `Err` if it fails and
/// leaves the key as it was. It says whether it was told that it had been overtaken.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    /// Whether the key has to be there, or not to be there; otherwise it does not act.
    present: Option<bool>,
    decide: fn(&World<'_, '_>, &dyn Fn()) -> Option<bool>,
    outcome: Result<Option<u64>, ()>,
}

const WAYS: [Way; 12] = [
    Way {
        name: "compute",
        present: None,
        decide: |world, act| {
            let computed = world.map.compute(key(OWN), |_, _| {
                act();
                Some(world.ledger.track(5))
            });
            Some(computed.map(|value| assert_eq!(value.unwrap().value, 5)).is_err())
        },
        outcome: Ok(Some(5)),
    },
    Way {
        name: "compute nothing",
        present: None,
        decide: |world, act| {
            let computed = world.map.compute(key(OWN), |_, _| {
                act();
                None
            });
            Some(computed.map(|value| assert!(value.is_none())).is_err())
        },
        outcome: Ok(None),
    },
    Way {
        name: "compute_if_absent",
        present: Some(false),
        decide: |world, act| {
            let computed = world.map.compute_if_absent(key(OWN), |_| {
                act();
                world.ledger.track(5)
            });
            Some(computed.map(|value| assert_eq!(value.value, 5)).is_err())
        },
        outcome: Ok(Some(5)),
    },
    Way {
        name: "try_compute_if_absent that fails",
        present: Some(false),
        decide: |world, act| {
            let failed = world.map.try_compute_if_absent(key(OWN), |_| {
                act();
                Err(())
            });
            assert!(failed.is_err());
            None
        },
        outcome: Err(()),
    },
    Way {
        name: "a panic",
        present: None,
        decide: |world, act| {
            let panic = catch_unwind(AssertUnwindSafe(|| {
                let computed = world.map.compute(key(OWN), |_, _| {
                    act();
                    std::panic::resume_unwind(Box::new("as arranged"))
                });
                drop(computed);
            }));
            assert!(panic.is_err());
            None
        },
        outcome: Err(()),
    },
    Way {
        name: "compute_if_present",
        present: Some(true),
        decide: |world, act| {
            let computed = world.map.compute_if_present(&key(OWN), |_, value| {
                act();
                // It lives until the claim is settled.
                assert_eq!(value.value, 1);
                Some(world.ledger.track(5))
            });
            Some(computed.map(|value| assert_eq!(value.unwrap().value, 5)).is_err())
        },
        outcome: Ok(Some(5)),
    },
    Way {
        name: "compute_if_present to nothing",
        present: Some(true),
        decide: |world, act| {
            let computed = world.map.compute_if_present(&key(OWN), |_, _| {
                act();
                None
            });
            Some(computed.is_err())
        },
        outcome: Ok(None),
    },
    Way {
        name: "remove_if",
        present: Some(true),
        decide: |world, act| {
            let removed = world.map.remove_if(&key(OWN), |_, value| {
                act();
                value.value == 1
            });
            assert!(removed.is_none_or(|removed| removed.value == 1));
            None
        },
        outcome: Ok(None),
    },
    Way {
        name: "remove_if that does not",
        present: Some(true),
        decide: |world, act| {
            let removed = world.map.remove_if(&key(OWN), |_, _| {
                act();
                false
            });
            assert!(removed.is_none());
            None
        },
        outcome: Err(()),
    },
    Way {
        name: "an entry's insertion",
        present: None,
        decide: |world, act| {
            let entry = world.map.entry(key(OWN)).unwrap();
            act();
            Some(entry.insert(world.ledger.track(5)).is_err())
        },
        outcome: Ok(Some(5)),
    },
    Way {
        name: "an entry's removal",
        present: Some(true),
        decide: |world, act| {
            let Entry::Occupied(entry) = world.map.entry(key(OWN)).unwrap() else {
                panic!("it is there")
            };
            act();
            Some(entry.remove().is_err())
        },
        outcome: Ok(None),
    },
    Way {
        name: "an entry that is dropped",
        present: None,
        decide: |world, act| {
            let entry = world.map.entry(key(OWN)).unwrap();
            act();
            drop(entry);
            None
        },
        outcome: Err(()),
    },
];

/// Decides the key of a map with room for so many entries, in a bin with so many others.
fn settle(room: usize, others: u64, present: bool, way: Way, meanwhile: Meanwhile) {
    let ledger = Ledger::new(1 << 16);
    let map = HashMap::with_capacity_and_hasher(room, Hashers::Identity);
    let world = World { map: &map, ledger: &ledger };
    // As many slots before the key's, some of them vacant again.
    (0..others).for_each(|i| world.insert(key(20 + i), i));
    if present {
        world.insert(key(OWN), 1);
    }
    if others > 2 {
        drop(map.remove(&key(21)));
    }
    let overtaken = (way.decide)(&world, &|| (meanwhile.act)(&world));
    let before = present.then_some(1);
    let expected = match (meanwhile.fate, way.outcome) {
        (Overtaken(value), _) => value,
        (Cleared, _) if present => None,
        (_, Ok(value)) => value,
        (_, Err(())) => before,
    };
    assert_eq!(world.own(), expected);
    let is_overtaken = matches!(meanwhile.fate, Overtaken(_));
    assert!(overtaken.is_none_or(|overtaken| overtaken == is_overtaken), "{overtaken:?}");
    // It is counted once, and nothing of the claim is left.
    assert_eq!(map.len(), map.pin().iter().count());
    assert_eq!(
        map.entry(key(OWN)).map(|entry| matches!(entry, Entry::Occupied(_))),
        Ok(expected.is_some())
    );
    map.clear();
    assert_eq!(map.len(), 0);
    assert!(map.pin().iter().next().is_none());
    drop(map);
    ledger.assert_all_dropped_once();
}

fn settle_all(room: usize) {
    for way in WAYS {
        for meanwhile in MEANWHILE {
            for present in [false, true] {
                if way.present.is_some_and(|needed| needed != present) {
                    continue;
                }
                // In the first slot, in another, in the last, in an overflow block.
                for others in [0, 4, 6, 7, 12] {
                    let what = format!(
                        "{} with {} meanwhile, {present}, {others} others, room for {room}",
                        way.name, meanwhile.name
                    );
                    let settled = catch_unwind(AssertUnwindSafe(|| {
                        settle(room, others, present, way, meanwhile);
                    }));
                    assert!(settled.is_ok(), "{what}");
                }
            }
        }
    }
}

#[test]
fn a_claim_in_a_table_whose_nodes_have_their_hashes_is_settled_whatever_happened_meanwhile() {
    within(300, || settle_all(200));
}

#[test]
fn a_claim_in_a_table_whose_nodes_have_no_hashes_is_settled_whatever_happened_meanwhile() {
    within(300, || settle_all(6000));
}
