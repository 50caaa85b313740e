//! Growth while everything else goes on: nothing is lost, nothing is doubled, nobody
//! finds less than there is.

mod common;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use binlock::HashMap;
use common::{Hashers, Random, key_in_bin, race, together, within};

const WRITERS: usize = 8;

/// What a key of the growing part maps to.
fn value_of(key: u64) -> u64 {
    common::Random::new(key).next()
}

/// `WRITERS` threads insert their keys, `per_writer` each, and publish how far they are.
struct Growing {
    per_writer: u64,
    progress: [AtomicU64; WRITERS],
    /// What keys are multiples of.
    step: u64,
}

impl Growing {
    fn new(per_writer: u64, step: u64) -> Growing {
        Growing { per_writer, progress: Default::default(), step }
    }

    fn key(&self, writer: usize, i: u64) -> u64 {
        (i * WRITERS as u64 + writer as u64) * self.step
    }

    fn write(&self, map: &HashMap<u64, u64, Hashers>, writer: usize) {
        for i in 0..self.per_writer {
            let key = self.key(writer, i);
            // Each way of inserting has its turn.
            match i % 3 {
                0 => assert!(map.insert(key, value_of(key)).is_none()),
                1 => assert!(map.pin().insert(key, value_of(key)).is_none()),
                _ => assert_eq!(*map.try_insert(key, value_of(key)).unwrap(), value_of(key)),
            }
            self.progress[writer].store(i + 1, Ordering::Release);
        }
    }

    /// One key that is present by now, if there is one.
    fn present(&self, random: &mut Random) -> Option<u64> {
        let writer = random.below(WRITERS as u64) as usize;
        match self.progress[writer].load(Ordering::Acquire) {
            0 => None,
            inserted => Some(self.key(writer, random.below(inserted))),
        }
    }

    fn total(&self) -> u64 {
        self.progress.iter().map(|inserted| inserted.load(Ordering::Acquire)).sum()
    }

    fn look_up_some(&self, map: &HashMap<u64, u64, Hashers>, random: &mut Random) {
        for _ in 0..500 {
            let (Some(a), Some(b)) = (self.present(random), self.present(random)) else { return };
            let absent = u64::MAX - a;
            assert_eq!(map.get(&a).map(|value| *value), Some(value_of(a)));
            assert!(map.contains_key(&b));
            let pinned = map.pin();
            assert_eq!(pinned.get_key_value(&b), Some((&b, &value_of(b))));
            let found = pinned.get_many([&a, &absent, &b, &a]);
            let (in_a, in_b) = (value_of(a), value_of(b));
            assert_eq!(found, [Some(&in_a), None, Some(&in_b), Some(&in_a)]);
        }
    }

    /// Iterates once: what was present before is found, each key once.
    fn iterate(&self, map: &HashMap<u64, u64, Hashers>) {
        let before: [u64; WRITERS] =
            std::array::from_fn(|writer| self.progress[writer].load(Ordering::Acquire));
        let len_before = map.len() as u64;
        let mut seen = vec![false; WRITERS * self.per_writer as usize];
        let pinned = map.pin();
        for (key, value) in &pinned {
            if *key >= CHURN {
                continue;
            }
            assert_eq!(*value, value_of(*key));
            let seen = &mut seen[(key / self.step) as usize];
            assert!(!*seen, "{key} twice");
            *seen = true;
        }
        for (writer, inserted) in before.into_iter().enumerate() {
            for i in 0..inserted {
                let key = self.key(writer, i);
                assert!(seen[(key / self.step) as usize], "{key} was not yielded");
            }
        }
        // Nothing of the growing part is ever removed; the rest is small.
        assert!(len_before + CHURN_KEYS * CHURNERS as u64 >= before.iter().sum());
    }
}

/// Keys from here on come and go; each of the threads that see to that has its own.
const CHURN: u64 = 1 << 62;
const CHURN_KEYS: u64 = 64;
const CHURNERS: usize = 3;

/// All kinds of writes on keys that nobody else writes to, with exact results.
fn churn(map: &HashMap<u64, u64, Hashers>, churner: usize, random: &mut Random) {
    let key = |i: u64| CHURN + churner as u64 * CHURN_KEYS + i;
    let i = random.below(CHURN_KEYS);
    let (key, value) = (key(i), random.next());
    assert!(map.insert(key, value).is_none());
    assert_eq!(map.try_insert(key, 0).unwrap_err().value, 0);
    assert_eq!(*map.replace(key, value ^ 1).unwrap(), value);
    assert_eq!(map.pin().get(&key), Some(&(value ^ 1)));
    assert!(map.remove_if(&key, |_, found| *found == value).is_none());
    match random.below(3) {
        0 => assert_eq!(*map.remove(&key).unwrap(), value ^ 1),
        1 => assert_eq!(map.pin().remove_entry(&key), Some((&key, &(value ^ 1)))),
        _ => assert!(map.remove_if(&key, |_, found| *found == value ^ 1).is_some()),
    }
    assert!(!map.contains_key(&key));
    assert!(map.replace(key, value).is_none());
    assert!(map.remove(&key).is_none());
}

/// Removes keys of one churner only, by a walk over all.
fn retain(map: &HashMap<u64, u64, Hashers>, churner: usize) {
    let mine = CHURN + churner as u64 * CHURN_KEYS..CHURN + (churner as u64 + 1) * CHURN_KEYS;
    for key in mine.clone() {
        assert!(map.insert(key, key).is_none());
    }
    map.retain(|key, _| !mine.contains(key));
    for key in mine {
        assert!(!map.contains_key(&key));
    }
}

/// `WRITERS` threads let the map grow while others do everything else.
fn grow(map: &HashMap<u64, u64, Hashers>, per_writer: u64, step: u64) {
    let growing = &Growing::new(per_writer, step);
    race(
        WRITERS,
        |writer| growing.write(map, writer),
        2 + CHURNERS,
        |other| match other {
            0 => growing.look_up_some(map, &mut Random::new(growing.total())),
            1 => growing.iterate(map),
            _ => {
                let mut random = Random::new(growing.total() + other as u64);
                for _ in 0..100 {
                    churn(map, other - 2, &mut random);
                }
                retain(map, other - 2);
            }
        },
    );
    assert_eq!(growing.total(), per_writer * WRITERS as u64);
    assert_eq!(map.len() as u64, growing.total());
    growing.iterate(map);
    for writer in 0..WRITERS {
        let pinned = map.pin();
        for i in 0..per_writer {
            let key = growing.key(writer, i);
            assert_eq!(pinned.get(&key), Some(&value_of(key)));
        }
    }
}

#[test]
fn every_access_is_right_while_eight_writers_grow_the_map_from_16_to_a_million() {
    within(240, || {
        let map = HashMap::with_capacity_and_hasher(16, Hashers::Good(5));
        grow(&map, 1_000_000 / WRITERS as u64, 1);
        assert!(map.capacity() >= 1_000_000);
    });
}

#[test]
fn every_access_is_right_while_a_map_of_multiples_under_the_identity_grows() {
    within(240, || {
        for k in [3, 16, 32, 45] {
            let map = HashMap::with_capacity_and_hasher(16, Hashers::Identity);
            grow(&map, 5_000, 1 << k);
        }
    });
}

#[test]
fn every_access_is_right_while_a_map_with_few_hashes_grows() {
    within(240, || {
        grow(&HashMap::with_hasher(Hashers::FewBits(9)), 1_000, 1);
        grow(&HashMap::with_hasher(Hashers::FewBits(3)), 60, 1);
        grow(&HashMap::with_hasher(Hashers::Constant), 20, 1);
    });
}

#[test]
fn every_access_is_right_while_others_reserve_and_shrink() {
    within(240, || {
        for hasher in [Hashers::Good(9), Hashers::FewBits(8)] {
            let map = &HashMap::with_hasher(hasher);
            let growing = &Growing::new(2_000, 1);
            race(
                WRITERS,
                |writer| growing.write(map, writer),
                4,
                |other| match other {
                    0 => growing.look_up_some(map, &mut Random::new(growing.total())),
                    1 => growing.iterate(map),
                    2 => {
                        map.reserve(growing.total() as usize * 3);
                        assert!(map.try_reserve(100).is_ok());
                    }
                    _ => map.shrink_to_fit(),
                },
            );
            assert_eq!(map.len(), 16_000);
            growing.iterate(map);
            map.shrink_to_fit();
            growing.iterate(map);
        }
    });
}

#[test]
fn a_reservation_takes_no_room_from_a_larger_one_made_at_once() {
    within(240, || {
        for round in 0..300 {
            let map = &HashMap::with_hasher(Hashers::Good(round));
            map.insert(u64::MAX, 0);
            let keys = 40;
            // The smaller ones begin with a map that is small, and may come to act on a large one.
            together(3, |thread| match thread {
                0 => {
                    for room in [1_000, 20_000] {
                        map.reserve(room);
                        for key in 0..keys {
                            map.insert(key, value_of(key));
                        }
                        assert!(map.capacity() >= room);
                    }
                }
                _ => {
                    for room in (20..2_000).step_by(60) {
                        map.reserve(room);
                        assert!(map.capacity() >= room);
                    }
                }
            });
            assert!(map.capacity() >= 20_000);
            for key in 0..keys {
                assert_eq!(map.get(&key).map(|value| *value), Some(value_of(key)));
            }
        }
    });
}

#[test]
fn the_capacity_may_be_asked_for_while_one_table_after_another_is_freed() {
    within(240, || {
        let map = &HashMap::with_hasher(Hashers::Good(3));
        map.insert(0, 0);
        race(
            1,
            |_| {
                for _ in 0..150 {
                    map.reserve(8_000);
                    map.shrink_to_fit();
                    // What was retired is freed as soon as may be.
                    map.flush();
                }
            },
            3,
            |_| {
                for _ in 0..100 {
                    assert!((1..40_000).contains(&map.capacity()));
                    assert!((1..40_000).contains(&map.pin().capacity()));
                }
            },
        );
    });
}

#[test]
fn clear_during_growth_removes_what_was_there_and_counts_exactly() {
    within(240, || {
        for hasher in [Hashers::Good(2), Hashers::FewBits(7)] {
            let map = &HashMap::with_hasher(hasher);
            for round in 0..4u64 {
                // What a writer inserts is found by itself unless it has been cleared; so
                // each entry is either there at the end or was removed, once.
                race(
                    4,
                    |writer| {
                        for i in 0..2_000 {
                            let key = (round * 4 + writer as u64) * 2_000 + i;
                            assert!(map.insert(key, key).is_none());
                        }
                    },
                    2,
                    |_| map.clear(),
                );
                // The last `clear` of each clearing thread began after all insertions.
                assert_eq!(map.len(), 0);
                assert_eq!(map.pin().iter().next(), None);
            }
            // What comes after the clearing stays.
            together(4, |writer| {
                for i in 0..1_000 {
                    map.insert(writer as u64 * 1_000 + i, i);
                }
            });
            assert_eq!(map.len(), 4_000);
            assert_eq!(map.pin().keys().count(), 4_000);
        }
    });
}

#[test]
fn a_growing_map_works_while_its_transfer_is_anywhere() {
    // One thread; every state between the beginning of a transfer and its end is met,
    // as each write moves a few bins more.
    for hasher in [Hashers::Good(4), Hashers::FewBits(7)] {
        for steps in 0..40 {
            let map = HashMap::with_capacity_and_hasher(6_000, hasher);
            for key in 0..2_000u64 {
                map.insert(key, key);
            }
            let small = map.capacity();
            map.reserve(20_000);
            assert!(map.capacity() > small);
            for key in 0..steps {
                assert_eq!(*map.insert(key, key + 1).unwrap(), key);
            }
            let expected = |key| if key < steps { key + 1 } else { key };
            let pinned = map.pin();
            for key in 0..2_000 {
                assert_eq!(pinned.get(&key), Some(&expected(key)));
            }
            let mut keys: Vec<_> = pinned.keys().copied().collect();
            keys.sort();
            assert_eq!(keys, (0..2_000).collect::<Vec<_>>());
            assert_eq!(map.len(), 2_000);
            pinned.retain(|key, _| key % 2 == 0);
            assert_eq!(map.len(), 1_000);
            assert_eq!(pinned.keys().filter(|key| **key % 2 == 0).count(), 1_000);
            map.clear();
            assert_eq!((map.len(), pinned.iter().count()), (0, 0));
        }
    }
}

/// What becomes of a bin of a table of `2^bits` bins, with so many keys for each of the two bins that
/// it is parted into, when some of the keys have been removed again and some are claimed.
fn part(bits: u32, index: u16, halves: [u64; 2], random: &mut Random) {
    let bins = 1_usize << bits;
    let map = HashMap::with_capacity_and_hasher(bins * 5 + bins / 4, Hashers::Identity);
    let key = |half: u64, i: u64| {
        // The bits behind those of the larger table are to make no difference.
        let rest = random_bits(half, i) >> (bits + 1);
        let prefix = index << (16 - bits) | (half as u16) << (15 - bits) | rest;
        key_in_bin(prefix, (2 * i + half) << 31)
    };
    let value = Arc::new(());
    let mut model = BTreeMap::new();
    let mut keys: Vec<u64> =
        (0..2).flat_map(|half| (0..halves[half as usize]).map(move |i| key(half, i))).collect();
    keys.sort_by_cached_key(|_| random.next());
    for (i, &key) in keys.iter().enumerate() {
        assert!(map.insert(key, (i, Arc::clone(&value))).is_none());
        model.insert(key, i);
    }
    // None, some, or all but few: then its blocks are empty.
    let removed = [0, 0, 3, 7][random.below(4) as usize];
    for key in &keys {
        if random.below(8) < removed {
            assert_eq!(map.remove(key).map(|found| found.0), model.remove(key));
        }
    }
    let claimed = [0, 2][random.below(2) as usize];
    let mut claims = Vec::new();
    for key in &keys {
        if random.below(8) < claimed {
            claims.push(map.entry(*key).unwrap());
        }
    }
    let check = |model: &BTreeMap<u64, usize>| {
        let pinned = map.pin();
        for key in &keys {
            assert_eq!(pinned.get(key).map(|found| &found.0), model.get(key));
        }
        let mut seen: Vec<_> = pinned.iter().map(|(key, found)| (*key, found.0)).collect();
        seen.sort();
        assert!(seen.into_iter().eq(model.iter().map(|(key, i)| (*key, *i))));
        assert_eq!(map.len(), model.len());
    };
    let small = map.capacity();
    map.reserve(small + 1 - map.len());
    assert!((small + 1..3 * small).contains(&map.capacity()));
    check(&model);
    // Each write helps, by a stride of 32 bins.
    for _ in 0..=bins / 32 {
        assert!(map.remove(&key_in_bin(!(index << (16 - bits)), 1)).is_none());
    }
    check(&model);
    for (i, claim) in claims.into_iter().enumerate() {
        model.insert(*claim.key(), 100 + i);
        claim.insert((100 + i, Arc::clone(&value))).unwrap();
    }
    check(&model);
    // There is room where nothing has been before.
    for (i, &key) in keys.iter().enumerate() {
        let replaced = map.insert(key, (200 + i, Arc::clone(&value)));
        assert_eq!(replaced.map(|replaced| replaced.0), model.insert(key, 200 + i));
    }
    check(&model);
    drop(map);
    assert_eq!(Arc::strong_count(&value), 1);
}

/// The bits of a hash that no table of the test knows.
fn random_bits(half: u64, i: u64) -> u16 {
    Random::new(2 * i + half).next() as u16
}

#[test]
fn a_bin_is_parted_right_whatever_is_in_it() {
    within(240, || {
        let random = &mut Random::new(1);
        // The nodes of smaller tables than `2^10` have their hashes in front.
        for bits in [3, 9, 10, 12] {
            for index in [0, (1 << bits) - 1] {
                for halves in (0..10).flat_map(|lower| (0..10).map(move |upper| [lower, upper])) {
                    part(bits, index, halves, random);
                }
            }
        }
    });
}
