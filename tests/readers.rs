//! Readers never wait, and keep nobody waiting: nor does anybody who is stuck in code of
//! the user's own, or who holds on to what was found.

mod common;

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use binlock::HashMap;
use common::{Gate, Hashers, race, within};

/// Where in a user's code a thread gets stuck.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Hash,
    Eq,
    Closure,
}

thread_local! {
    static STUCK_AT: Cell<Option<Stage>> = const { Cell::new(None) };
}

/// A key with a gate in its user code, which only threads that were told to stop at.
struct Key<'g> {
    id: u64,
    gate: &'g Gate,
}

fn pass(gate: &Gate, stage: Stage) {
    if STUCK_AT.get() == Some(stage) {
        STUCK_AT.set(None);
        gate.pass();
    }
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        pass(self.gate, Stage::Hash);
        self.id.hash(state);
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        pass(self.gate, Stage::Eq);
        self.id == other.id
    }
}

impl Eq for Key<'_> {}

type Map<'g> = HashMap<Key<'g>, u64, Hashers>;

/// What a thread does when it gets stuck, to key 5 of a map that has 0 to 9.
type Operation = for<'g> fn(&Map<'g>, &'g Gate);

fn key(id: u64, gate: &Gate) -> Key<'_> {
    Key { id, gate }
}

/// With all keys in one bin, a thread gets stuck in its operation on key 5. Others do
/// everything to all other keys meanwhile. Then it goes on.
fn others_go_on_while_one_is_stuck(stage: Stage, operation: Operation, left: Option<u64>) {
    for hasher in [Hashers::Constant, Hashers::Good(3)] {
        let gate = &Gate::default();
        let map = &Map::with_hasher(hasher);
        for id in 0..10 {
            map.insert(key(id, gate), id);
        }
        thread::scope(|scope| {
            let _open = gate.open_at_end();
            let stuck = scope.spawn(move || {
                STUCK_AT.set(Some(stage));
                operation(map, gate);
                assert_eq!(STUCK_AT.get(), None, "{stage:?} was not called");
            });
            gate.wait_for(1);

            let other = scope.spawn(|| {
                let key = |id| key(id, gate);
                for id in (0..10).filter(|id| *id != 5) {
                    assert_eq!(*map.get(&key(id)).unwrap(), id);
                }
                assert_eq!(*map.get(&key(5)).unwrap(), 5);
                assert_eq!(*map.insert(key(0), 100).unwrap(), 0);
                assert_eq!(*map.replace(key(1), 101).unwrap(), 1);
                assert_eq!(*map.remove(&key(2)).unwrap(), 2);
                assert_eq!(*map.try_insert(key(2), 102).unwrap(), 102);
                assert_eq!(*map.remove_if(&key(3), |_, value| *value == 3).unwrap(), 3);
                map.retain(|key, _| key.id != 4);
                // Growth, and shrinking: neither needs the thread that is stuck.
                for id in 10..200 {
                    assert!(map.insert(key(id), id).is_none());
                }
                for id in 10..200 {
                    assert_eq!(*map.remove(&key(id)).unwrap(), id);
                }
                map.reserve(1000);
                map.shrink_to_fit();
                map.flush();
                let mut all: Vec<_> = map.pin().iter().map(|(key, v)| (key.id, *v)).collect();
                all.sort();
                let expected =
                    [(0, 100), (1, 101), (2, 102), (5, 5), (6, 6), (7, 7), (8, 8), (9, 9)];
                assert_eq!(all, expected);
                assert_eq!(map.len(), 8);
            });
            other.join().unwrap();
            gate.open();
            stuck.join().unwrap();
        });
        assert_eq!(map.get(&key(5, gate)).map(|value| *value), left, "{hasher:?}");
        assert_eq!(map.len(), 7 + usize::from(left.is_some()));
    }
}

#[test]
fn a_reader_that_is_stuck_in_its_hash_or_eq_keeps_nobody_from_its_bin() {
    const READS: [Operation; 3] = [
        |map, gate| assert_eq!(*map.get(&key(5, gate)).unwrap(), 5),
        |map, gate| assert!(map.contains_key(&key(5, gate))),
        |map, gate| {
            let [five, none] = map.get_many([&key(5, gate), &key(1000, gate)]);
            assert_eq!(*five.unwrap(), 5);
            assert!(none.is_none());
        },
    ];
    within(240, || {
        for read in READS {
            others_go_on_while_one_is_stuck(Stage::Hash, read, Some(5));
            others_go_on_while_one_is_stuck(Stage::Eq, read, Some(5));
        }
    });
}

#[test]
fn a_writer_that_is_stuck_in_its_hash_or_eq_keeps_nobody_from_its_bin() {
    const WRITES: [(Operation, Option<u64>); 5] = [
        (|map, gate| assert_eq!(*map.insert(key(5, gate), 50).unwrap(), 5), Some(50)),
        (|map, gate| assert_eq!(map.try_insert(key(5, gate), 50).unwrap_err().value, 50), Some(5)),
        (|map, gate| assert_eq!(*map.replace(key(5, gate), 50).unwrap(), 5), Some(50)),
        (|map, gate| assert_eq!(*map.remove(&key(5, gate)).unwrap(), 5), None),
        (|map, gate| assert!(map.remove_if(&key(5, gate), |_, v| *v == 5).is_some()), None),
    ];
    within(240, || {
        for (write, left) in WRITES {
            others_go_on_while_one_is_stuck(Stage::Hash, write, left);
            others_go_on_while_one_is_stuck(Stage::Eq, write, left);
        }
    });
}

#[test]
fn a_writer_that_is_stuck_in_its_closure_keeps_nobody_from_its_bin() {
    const WRITES: [(Operation, Option<u64>); 2] = [
        (
            |map, gate| {
                let removed = map.remove_if(&key(5, gate), |key, _| {
                    pass(key.gate, Stage::Closure);
                    true
                });
                assert_eq!(*removed.unwrap(), 5);
            },
            None,
        ),
        (
            |map, _| {
                map.retain(|key, _| {
                    if key.id == 5 {
                        pass(key.gate, Stage::Closure);
                    }
                    key.id != 5
                });
            },
            None,
        ),
    ];
    within(240, || {
        for (write, left) in WRITES {
            others_go_on_while_one_is_stuck(Stage::Closure, write, left);
        }
    });
}

#[test]
fn a_ref_that_is_held_forever_stops_neither_writers_nor_growth_nor_flush() {
    within(240, || {
        let map = &HashMap::<u64, u64>::new();
        map.insert(0, 0);
        let gate = &Gate::default();
        thread::scope(|scope| {
            let _open = gate.open_at_end();
            for _ in 0..3 {
                scope.spawn(|| {
                    let held = map.get(&0).unwrap();
                    let pinned = map.pin();
                    let seen = pinned.get(&0).unwrap();
                    gate.pass();
                    // The entry is long gone from the map, and still there to be read.
                    assert_eq!((*held.key(), *held.value(), *seen), (0, 0, 0));
                });
            }
            gate.wait_for(3);
            race(
                4,
                |writer| {
                    for round in 0..3 {
                        for i in 0..5_000 {
                            map.insert(i * 4 + writer as u64, round);
                        }
                        map.flush();
                    }
                },
                0,
                |_| {},
            );
            assert_eq!(map.len(), 20_000);
            map.retain(|key, _| key % 2 == 0);
            assert_eq!(map.len(), 10_000);
            map.shrink_to_fit();
            map.clear();
            map.flush();
            assert!(map.is_empty());
        });
    });
}

#[test]
fn readers_make_progress_while_writers_never_rest() {
    within(240, || {
        let map = &HashMap::<u64, u64>::new();
        for key in 0..7 {
            map.insert(key, key);
        }
        let reads = AtomicUsize::new(0);
        // More threads than cores, all at the same few bins, until every reader has had
        // its reads: it is the readers that end this.
        race(
            2,
            |reader| {
                for i in 0..20_000 {
                    let key = (i + reader as u64) % 7;
                    assert_eq!(map.get(&key).map(|value| *value % 7), Some(key));
                    assert_eq!(map.pin().get_many([&key, &7]).map(|v| v.is_some()), [true, false]);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            },
            6,
            |writer| {
                for key in 0..7 {
                    map.insert(key, key + 7 * writer as u64);
                }
            },
        );
        assert_eq!(reads.into_inner(), 40_000);
        assert_eq!(map.len(), 7);
    });
}
