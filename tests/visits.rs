//! An iteration reads a bin's header when it comes to the bin, and each slot when its turn comes:
//! what is in between, the caller's own writes among it, takes nothing from it that is present
//! throughout, and gives it nothing twice, and nothing that is not in the map.
//!
//! All memory that is given out or taken back is filled with what a bin or a slot would be taken
//! for one that is in use, with the address of nothing.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::{BTreeMap, HashMap as Std, HashSet},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use binlock::{HashMap, Pinned};
use common::{Hashers, Random, key_in_bin, race, within};

struct Spoiling;

/// As a header: all slots in use, neither locked nor forwarded. As a word: a node, at an address
/// that there is not.
const SPOILT: u8 = 0xD8;

// SAFETY: the system's allocator; what it hands out is filled, and what it gets back.
unsafe impl GlobalAlloc for Spoiling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on; the memory is that large.
        unsafe {
            let memory = System.alloc(layout);
            if !memory.is_null() {
                memory.write_bytes(SPOILT, layout.size());
            }
            memory
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: passed on; nobody uses the memory any more.
        unsafe {
            memory.write_bytes(SPOILT, layout.size());
            System.dealloc(memory, layout);
        }
    }
}

#[global_allocator]
static SPOILING: Spoiling = Spoiling;

type Map = HashMap<u64, u64, Hashers>;

/// A hasher, and how to make keys out of numbers that it has share bins.
type Crowd = (Hashers, fn(u64) -> u64);

/// Some keys that share a bin, or a few.
fn crowds() -> [Crowd; 5] {
    [
        (Hashers::Constant, |number| number),
        (Hashers::FewBits(1), |number| number),
        (Hashers::FewBits(3), |number| number),
        (Hashers::Identity, |number| key_in_bin(0x1234 + (number % 2) as u16 * 0x5000, number)),
        (Hashers::Good(5), |number| number),
    ]
}

/// What a map holds, and what an iteration has to yield of it. Every insertion and replacement has
/// a value of its own.
#[derive(Default)]
struct Model {
    present: BTreeMap<u64, u64>,
    values: u64,
    /// Keys that are present since the iteration has begun.
    throughout: HashSet<u64>,
    /// What has been present since then, by value.
    yieldable: Std<u64, u64>,
    yielded: HashSet<u64>,
    keys_yielded: Std<u64, u32>,
}

impl Model {
    fn value(&mut self) -> u64 {
        self.values += 1;
        self.values
    }

    fn put(&mut self, key: u64, value: u64) -> Option<u64> {
        self.yieldable.insert(value, key);
        self.present.insert(key, value)
    }

    fn take(&mut self, key: u64) -> Option<u64> {
        self.throughout.remove(&key);
        self.present.remove(&key)
    }

    fn begin(&mut self) {
        self.throughout = self.present.keys().copied().collect();
        self.yieldable = self.present.iter().map(|(key, value)| (*value, *key)).collect();
        self.yielded.clear();
        self.keys_yielded.clear();
    }

    fn meet(&mut self, key: u64, value: u64) {
        assert_eq!(self.yieldable.get(&value), Some(&key), "yielded, and never there");
        assert!(self.yielded.insert(value), "{key}: {value} twice");
        *self.keys_yielded.entry(key).or_default() += 1;
    }

    fn end(&self) {
        for key in &self.throughout {
            assert_eq!(self.keys_yielded.get(key), Some(&1), "{key}, present throughout");
        }
    }
}

/// A write, to one key or to all.
fn write(map: &Pinned<'_, u64, u64, Hashers>, model: &mut Model, random: &mut Random, key: u64) {
    let value = model.value();
    match random.below(40) {
        0..8 => assert_eq!(map.insert(key, value).copied(), model.put(key, value)),
        8..18 => assert_eq!(map.remove(&key).copied(), model.take(key)),
        18..21 => {
            let replaced = map.replace(key, value).copied();
            assert_eq!(replaced, model.present.get(&key).copied());
            if replaced.is_some() {
                model.put(key, value);
            }
        }
        21..24 => {
            let keeps = random.below(2) == 0;
            map.compute(key, |_, _| keeps.then_some(value)).unwrap();
            if keeps {
                model.put(key, value);
            } else {
                model.take(key);
            }
        }
        24..28 => {
            if *map.compute_if_absent(key, |_| value).unwrap() == value {
                model.put(key, value);
            }
        }
        28..30 => {
            // Cleared while it is claimed: what is computed of a present key comes before that.
            map.compute(key, |_, _| {
                map.clear();
                Some(value)
            })
            .unwrap();
            let was_present = model.present.contains_key(&key);
            for key in model.present.keys().copied().collect::<Vec<_>>() {
                model.take(key);
            }
            if !was_present {
                model.put(key, value);
            }
        }
        30..32 => {
            map.retain(|key, _| key % 5 != 1);
            for key in model.present.keys().copied().filter(|k| k % 5 == 1).collect::<Vec<_>>() {
                model.take(key);
            }
        }
        // What an iteration takes is proportional to the capacity.
        32..34 if map.capacity() < 2_000 => map.reserve(map.capacity() + 1 - map.len()),
        34 if map.capacity() < 500 => map.reserve(8 * map.capacity() + 20),
        35..38 => map.shrink_to_fit(),
        _ => map.map().flush(),
    }
}

#[test]
fn whatever_a_loop_does_to_the_bins_that_it_is_in_it_meets_what_it_leaves_alone_once() {
    within(120, || {
        for (hasher, key_of) in crowds() {
            for seed in 0..60 {
                let random = &mut Random::new(seed);
                let map = Map::with_hasher(hasher);
                let mut model = Model::default();
                let numbers = 8 << random.below(4);
                for number in 0..numbers {
                    let value = model.value();
                    map.insert(key_of(number), value);
                    model.put(key_of(number), value);
                }
                for _ in 0..4 {
                    let pinned = map.pin();
                    model.begin();
                    let mut entries = pinned.iter();
                    // Without an end of the writes there need not be one of the iteration.
                    let mut writes = random.below(300);
                    let at_once = random.below(6);
                    // The last keys are left alone, but by `clear` and `retain`.
                    let touched = 1 + random.below(numbers);
                    for (key, value) in entries.by_ref() {
                        model.meet(*key, *value);
                        let own = random.below(4) == 0;
                        if own && writes > 0 {
                            assert_eq!(pinned.remove(key).copied(), model.take(*key));
                        }
                        for _ in 0..writes.min(at_once) {
                            writes -= 1;
                            let key = key_of(random.below(touched));
                            write(&pinned, &mut model, random, key);
                        }
                    }
                    assert_eq!(entries.next(), None);
                    model.end();
                    let held: BTreeMap<_, _> = pinned.iter().map(|(k, v)| (*k, *v)).collect();
                    assert_eq!(held, model.present);
                }
            }
        }
    });
}

#[test]
fn an_iteration_in_the_middle_of_a_bin_meets_what_has_moved_to_an_overflow_block() {
    within(120, || {
        // At each step of a walk over a bin with so many entries, so many more come into it.
        for (entries, more) in (1..30).flat_map(|n| [1, 2, 6, 7, 13].map(|more| (n, more))) {
            for step in 0..entries {
                let map = Map::with_capacity_and_hasher(1_000, Hashers::Constant);
                for key in 0..entries {
                    map.insert(key, key);
                }
                let pinned = map.pin();
                let mut walk = pinned.iter();
                let mut seen: Vec<_> = walk.by_ref().take(step as usize).map(|(k, _)| *k).collect();
                for key in entries..entries + more {
                    map.insert(key, key);
                }
                seen.extend(walk.map(|(key, _)| *key));
                assert_eq!(seen.iter().collect::<HashSet<_>>().len(), seen.len(), "{seen:?}");
                assert!((0..entries).all(|key| seen.contains(&key)), "{entries}, {more}: {seen:?}");
            }
        }
    });
}

#[test]
fn an_iteration_ends_though_each_of_its_steps_inserts_a_key_of_the_same_hash() {
    within(120, || {
        for entries in [5_u64, 7, 8, 20, 100] {
            let map = Map::with_capacity_and_hasher(20_000, Hashers::Constant);
            for key in 0..entries {
                map.insert(key, key);
            }
            let pinned = map.pin();
            let mut yielded = 0_u64;
            for _ in &pinned {
                pinned.insert(entries + yielded, 0);
                yielded += 1;
            }
            // Those in the bin itself are met one by one, what is behind them all at once.
            assert!((entries..=entries + 7).contains(&yielded), "{yielded} of {entries}");
        }
    });
}

#[test]
fn others_that_write_to_the_same_bins_neither_hide_an_entry_nor_double_it() {
    within(120, || {
        for (hasher, key_of) in crowds() {
            let map = &Map::with_hasher(hasher);
            // The even numbers stay, with values that change.
            let numbers = 60;
            let values = &AtomicU64::new(0);
            let value = || values.fetch_add(1, Ordering::Relaxed);
            (0..numbers).for_each(|number| drop(map.insert(key_of(number), value())));
            race(
                3,
                |writer| {
                    let mut random = Random::new(writer as u64);
                    for _ in 0..4_000 {
                        let number = random.below(numbers);
                        let key = key_of(number);
                        match (random.below(200), number % 2) {
                            (0, _) => map.reserve(map.capacity() + 1),
                            (1, _) => map.reserve(3_000),
                            (2 | 3, _) => map.shrink_to_fit(),
                            (4, _) => map.flush(),
                            (..50, _) => drop(map.compute_if_present(&key, |_, _| Some(value()))),
                            (..120, 0) => drop(map.replace(key, value())),
                            (_, 0) => drop(map.insert(key, value())),
                            (..130, _) => drop(map.remove(&key)),
                            (..140, _) => drop(map.compute_if_absent(key, |_| {
                                thread::yield_now();
                                value()
                            })),
                            _ => drop(map.insert(key, value())),
                        }
                    }
                },
                2,
                |reader| {
                    let mut random = Random::new(1_000 + reader as u64);
                    let pinned = map.pin();
                    let mut seen = Std::<u64, u32>::new();
                    let mut met = HashSet::new();
                    for (key, value) in &pinned {
                        assert!(met.insert(*value), "an insertion was yielded twice");
                        *seen.entry(*key).or_default() += 1;
                        match random.below(8) {
                            0 => thread::yield_now(),
                            1 => drop(map.remove(&key_of(random.below(numbers) | 1))),
                            _ => {}
                        }
                    }
                    for number in (0..numbers).step_by(2) {
                        assert_eq!(seen.get(&key_of(number)), Some(&1), "{number} of {hasher:?}");
                    }
                },
            );
        }
    });
}

/// From so many entries on a map has a table whose nodes an iteration asks for in advance.
const LARGE: usize = 300_000;

/// What happens to a table, and how to make it happen.
type Change = (&'static str, fn(&Map));

/// Changes of the table of a large map.
const CHANGES: [Change; 6] = [
    ("a growth begins", |map| map.reserve(map.capacity() + 1 - map.len())),
    ("a growth, a part of it", |map| {
        map.reserve(map.capacity() + 1 - map.len());
        (0..1_000).for_each(|_| drop(map.remove(&u64::MAX)));
    }),
    ("a shrinking", |map| map.shrink_to_fit()),
    ("a shrinking and a growth that begins", |map| {
        map.shrink_to_fit();
        map.reserve(LARGE);
    }),
    ("a shrinking and a growth to the same size, and further", |map| {
        map.shrink_to_fit();
        map.reserve(LARGE);
        (0..100).for_each(|_| drop(map.remove(&u64::MAX)));
        map.reserve(map.capacity() + 1 - map.len());
    }),
    ("clearing of others", |map| map.retain(|key, _| key % 2 == 0)),
];

#[test]
fn a_large_map_yields_what_is_present_throughout_once_whatever_its_table_does() {
    within(120, || {
        let n = 4_000;
        for (name, change) in CHANGES {
            for step in [0, 1, 900, 1_999] {
                let map = Map::with_capacity_and_hasher(LARGE, Hashers::Good(3));
                assert!(map.capacity() > 5 << 16);
                (0..n).for_each(|key| drop(map.insert(key, key)));
                let mut seen = vec![0; n as usize];
                for (at, (key, value)) in map.pin().iter().enumerate() {
                    assert_eq!(key, value);
                    seen[*key as usize] += 1;
                    if at == step || at == step + 700 {
                        change(&map);
                    }
                }
                assert!(seen.iter().step_by(2).all(|times| *times == 1), "{name} at {step}");
                assert!(seen.iter().all(|times| *times <= 1), "{name} at {step}");
            }
        }
    });
}

#[cfg(feature = "rayon")]
#[test]
fn a_parallel_iteration_over_a_large_map_yields_what_is_present_throughout_once() {
    use rayon::prelude::*;

    within(120, || {
        let n = 4_000;
        for (name, change) in CHANGES {
            // Before there is anything to split, and in the middle.
            for step in [0, 1_000] {
                let map = &Map::with_capacity_and_hasher(LARGE, Hashers::Good(3));
                (0..n).for_each(|key| drop(map.insert(key, key)));
                let pinned = map.pin();
                let met = AtomicU64::new(0);
                let mut keys: Vec<_> = pinned
                    .par_iter()
                    .map(|(key, _)| {
                        if met.fetch_add(1, Ordering::Relaxed) == step {
                            change(map);
                        }
                        *key
                    })
                    .collect();
                keys.sort_unstable();
                let count = keys.len();
                keys.dedup();
                assert_eq!(keys.len(), count, "{name} at {step}");
                assert!((0..n).step_by(2).all(|key| keys.binary_search(&key).is_ok()), "{name}");
            }
        }
    });
}
