//! libcuckoo's `stress_checked`: threads of each kind insert, remove, change and find in two
//! maps. One thread at a time is at a key, and so knows exactly what is to come of it.

use std::{hash::Hash, sync::Mutex};

use binlock::HashMap;

use crate::common::{Hashers, Random, together, within};

/// What is in the two maps under a key, for whoever has the lock.
type Slots = Vec<Mutex<Option<(u64, i64)>>>;

struct Maps<K> {
    keys: Vec<K>,
    slots: Slots,
    first: HashMap<K, u64, Hashers>,
    second: HashMap<K, i64, Hashers>,
}

impl<K: Hash + Eq + Clone + Send + Sync> Maps<K> {
    fn new(keys: Vec<K>, hasher: Hashers) -> Maps<K> {
        let slots = keys.iter().map(|_| Mutex::default()).collect();
        Maps {
            keys,
            slots,
            first: HashMap::with_hasher(hasher),
            second: HashMap::with_hasher(hasher),
        }
    }

    /// Does something with a random key that nobody else is at.
    fn on_one(&self, random: &mut Random, f: impl FnOnce(&K, &mut Option<(u64, i64)>)) {
        let i = random.below(self.keys.len() as u64) as usize;
        if let Ok(mut slot) = self.slots[i].try_lock() {
            f(&self.keys[i], &mut slot);
        }
    }

    fn insert(&self, random: &mut Random) {
        let (a, b) = (random.next(), random.next() as i64);
        self.on_one(random, |key, slot| {
            assert_eq!(self.first.try_insert(key.clone(), a).is_ok(), slot.is_none());
            assert_eq!(self.second.try_insert(key.clone(), b).is_ok(), slot.is_none());
            self.assert_is(key, *slot.get_or_insert((a, b)));
        });
    }

    fn remove(&self, random: &mut Random) {
        self.on_one(random, |key, slot| {
            assert_eq!(self.first.remove(key).as_deref(), slot.map(|(a, _)| a).as_ref());
            assert_eq!(self.second.remove(key).as_deref(), slot.map(|(_, b)| b).as_ref());
            assert!(!self.first.contains_key(key) && !self.second.contains_key(key));
            *slot = None;
        });
    }

    fn change(&self, random: &mut Random) {
        let (way, a, b) = (random.below(4), random.next(), random.next() as i64);
        self.on_one(random, |key, slot| {
            let present = slot.is_some();
            let (found_first, found_second) = match way {
                0 => {
                    *slot = slot.map(|_| (a, b));
                    (
                        self.first.replace(key.clone(), a).is_some(),
                        self.second.replace(key.clone(), b).is_some(),
                    )
                }
                1 => {
                    *slot = slot.map(|(a, b)| (a.wrapping_add(3), b.wrapping_add(10)));
                    let first = self.first.compute_if_present(key, |_, a| Some(a.wrapping_add(3)));
                    let second =
                        self.second.compute_if_present(key, |_, b| Some(b.wrapping_add(10)));
                    (first.unwrap().is_some(), second.unwrap().is_some())
                }
                2 => {
                    let merged = |(x, y): (u64, i64)| (x.wrapping_add(a), y.wrapping_sub(b));
                    *slot = Some(slot.map_or((a, b), merged));
                    let first = self.first.merge(key.clone(), a, |x, a| Some(x.wrapping_add(a)));
                    let second = self.second.merge(key.clone(), b, |y, b| Some(y.wrapping_sub(b)));
                    assert!(first.unwrap().is_some() && second.unwrap().is_some());
                    (present, present)
                }
                _ => {
                    *slot = Some(slot.map_or((a, b), |(x, y)| (!x, !y)));
                    let first = self.first.entry(key.clone()).unwrap();
                    first.and_modify(|x| !x).or_insert(a).unwrap();
                    let second = self.second.entry(key.clone()).unwrap();
                    second.and_modify(|y| !y).or_insert(b).unwrap();
                    (present, present)
                }
            };
            assert_eq!((found_first, found_second), (present, present));
            slot.iter().for_each(|values| self.assert_is(key, *values));
        });
    }

    fn find(&self, random: &mut Random) {
        self.on_one(random, |key, slot| match *slot {
            Some(values) => self.assert_is(key, values),
            None => assert!(self.first.get(key).is_none() && self.second.get(key).is_none()),
        });
    }

    fn assert_is(&self, key: &K, (a, b): (u64, i64)) {
        assert_eq!(self.first.get(key).as_deref(), Some(&a));
        assert_eq!(self.second.pin().get(key), Some(&b));
    }

    fn stress(&self, operations: usize) {
        together(8, |thread| {
            let mut random = Random::new(thread as u64);
            for i in 0..operations {
                match thread % 4 {
                    0 => self.insert(&mut random),
                    1 => self.remove(&mut random),
                    2 => self.change(&mut random),
                    _ => self.find(&mut random),
                }
                // What is no matter of one key goes on besides.
                match (thread, i % 1_500) {
                    (3, 500) => self.first.reserve(5_000),
                    (3, 1_000) => self.first.shrink_to_fit(),
                    (7, 700) => assert!(self.second.pin().keys().count() <= self.keys.len()),
                    (7, 1_400) => self.second.flush(),
                    _ => {}
                }
            }
        });
        let filled = self.slots.iter().filter(|slot| slot.lock().unwrap().is_some()).count();
        assert_eq!((self.first.len(), self.second.len()), (filled, filled));
        assert!(filled > 0, "nothing is left to compare");
    }
}

#[test]
fn whoever_has_a_key_to_himself_gets_exact_results_from_two_maps_that_all_use() {
    within(120, || {
        for hasher in [Hashers::Good(4), Hashers::FewBits(5)] {
            Maps::new((0..1_500_u64).collect(), hasher).stress(6_000);
            let names = (0..400).map(|i| format!("key number {i}")).collect();
            Maps::<String>::new(names, hasher).stress(3_000);
        }
    });
}
