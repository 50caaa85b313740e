//! Keys whose `Hash` and `Eq` are wrong, or change: entries may be missing, but the map
//! does not hang, crash, leak or drop anything twice.

mod common;

use std::{
    cell::{Cell, RefCell},
    hash::{Hash, Hasher},
};

use binlock::HashMap;
use common::{Hashers, Ledger, Random, Tracked, within};

/// What is wrong with a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wrong {
    /// Hashes at random.
    Hash,
    /// Compares at random.
    Eq,
    /// Is equal to nothing, as NaN.
    Never,
    /// Is equal to everything.
    Always,
    Both,
}

struct Key<'l>(Tracked<'l, u64>, Wrong);

fn anything() -> u64 {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    LAST.set(LAST.get() + 1);
    Random::new(LAST.get()).next()
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.1 {
            Wrong::Hash | Wrong::Both => (anything() % 64).hash(state),
            _ => self.0.hash(state),
        }
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        match self.1 {
            Wrong::Eq | Wrong::Both => anything() % 2 == 0,
            Wrong::Never => false,
            Wrong::Always => true,
            Wrong::Hash => self.0 == other.0,
        }
    }
}

impl Eq for Key<'_> {}

#[test]
fn wrong_keys_do_no_harm_beyond_missing_entries() {
    within(240, || {
        for wrong in [Wrong::Hash, Wrong::Eq, Wrong::Never, Wrong::Always, Wrong::Both] {
            for hasher in [Hashers::Good(1), Hashers::FewBits(2), Hashers::Constant] {
                let ledger = &Ledger::new(20_000);
                let mut map = HashMap::with_hasher(hasher);
                let mut random = Random::new(3);
                for i in 0..1_500 {
                    let key = || Key(ledger.track(random_key(i)), wrong);
                    match random.below(12) {
                        0..=4 => drop(map.insert(key(), ledger.track(i))),
                        5 => drop(map.try_insert(key(), ledger.track(i))),
                        6 => drop(map.replace(key(), ledger.track(i))),
                        7 => drop(map.remove(&key())),
                        8 => drop(map.remove_if(&key(), |_, value| value.value % 2 == 0)),
                        9 => drop(map.get_many([&key(), &key()])),
                        10 => assert!(map.get_mut(&key()).is_none_or(|value| value.value <= i)),
                        _ if i % 7 == 0 => map.retain(|_, value| value.value % 8 != i % 8),
                        _ if i % 7 == 1 => map.reserve(400),
                        _ if i % 7 == 2 => map.shrink_to_fit(),
                        _ => drop(map.get(&key())),
                    }
                    if i % 50 == 0 {
                        assert_eq!(map.len(), map.pin().iter().count(), "{wrong:?}, {hasher:?}");
                    }
                }
                assert_eq!(map.iter_mut().count(), map.len());
                drop(map);
                ledger.assert_all_dropped_once();
            }
        }
    });
}

fn random_key(i: u64) -> u64 {
    Random::new(i).below(40)
}

#[test]
fn a_key_that_changes_while_it_is_in_the_map_does_no_harm() {
    #[derive(PartialEq, Eq)]
    struct Changing(Cell<u64>);

    impl Hash for Changing {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.get().hash(state);
        }
    }

    within(240, || {
        for hasher in Hashers::ALL {
            let map = HashMap::with_hasher(hasher);
            for i in 0..200 {
                map.insert(Changing(Cell::new(i)), i);
            }
            for key in map.pin().keys() {
                key.0.set(key.0.get() ^ 64);
            }
            // Growth goes by the hashes that it remembers, so nothing is lost.
            map.reserve(10_000);
            for i in 1_000..3_000 {
                map.insert(Changing(Cell::new(i)), i);
            }
            assert_eq!(map.pin().iter().count(), 2_200);
            map.retain(|_, value| value % 2 == 0);
            assert_eq!(map.pin().iter().count(), map.len());
            map.clear();
            assert!(map.is_empty());
        }
    });
}

/// A key that owns something, which is another thing after each comparison: what a `RefCell` of a
/// string that grows does, or a `Cell` whose content is taken.
struct Shedding<'l> {
    number: u64,
    owned: RefCell<Tracked<'l, u64>>,
    ledger: &'l Ledger,
}

impl<'l> Shedding<'l> {
    fn new(number: u64, ledger: &'l Ledger) -> Self {
        Shedding { number, owned: RefCell::new(ledger.track(number)), ledger }
    }

    fn shed(&self) {
        let new = self.ledger.track(self.owned.borrow().value + 1_000);
        drop(self.owned.replace(new));
    }
}

impl Hash for Shedding<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl PartialEq for Shedding<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.shed();
        other.shed();
        self.number == other.number
    }
}

impl Eq for Shedding<'_> {}

/// Keys are copied bit by bit, so what is copied has to be what the last comparison has left.
#[test]
fn a_key_that_changes_while_it_is_compared_is_dropped_once() {
    const KEYS: u64 = 20;

    // (Nodes have their hash in front in small tables, in large ones they have not; and larger ones
    // have a stripe for each thread.)
    within(240, || {
        for hasher in [Hashers::Good(1), Hashers::FewBits(2), Hashers::Constant] {
            for room in [0, 2_000, 10_000] {
                for operation in 0..6 {
                    let ledger = &Ledger::new(20_000);
                    let map = HashMap::with_capacity_and_hasher(room, hasher);
                    for i in 0..3 * KEYS {
                        let key = || Shedding::new(i % KEYS, ledger);
                        match operation {
                            0 => drop(map.insert(key(), ledger.track(i))),
                            1 => drop(map.pin().insert(key(), ledger.track(i))),
                            2 => drop(map.try_insert(key(), ledger.track(i))),
                            3 if i < KEYS => drop(map.insert(key(), ledger.track(i))),
                            3 => drop(map.replace(key(), ledger.track(i))),
                            4 => drop(map.compute_if_absent(key(), |_| ledger.track(i))),
                            _ => drop(map.compute(key(), |_, _| Some(ledger.track(i)))),
                        }
                    }
                    assert_eq!(map.len() as u64, KEYS);
                    for key in map.pin().keys() {
                        // (What was dropped is still legible, but another than the last.)
                        assert_eq!(key.owned.borrow().value % 1_000, key.number);
                    }
                    drop(map);
                    ledger.assert_all_dropped_once();
                }
            }
        }
    });
}
