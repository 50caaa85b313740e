//! Bins whose overflow blocks become empty and are filled again: what is present throughout is
//! found whichever way one asks, and the blocks are freed in the end, though there be nothing in
//! them.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicIsize, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use binlock::{Entry, HashMap};
use common::{Hashers, Ledger, Probe, Random, Tracked, Until, key_in_bin, together, within};

/// Counts overflow blocks: what has a bin's layout, which nothing else here has.
struct Counting;

static BLOCKS: AtomicIsize = AtomicIsize::new(0);
static BLOCKS_MADE: AtomicUsize = AtomicUsize::new(0);

fn is_block(layout: Layout) -> bool {
    layout.size() == 64 && layout.align() == 64
}

// SAFETY: `System` does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_block(layout) {
            BLOCKS.fetch_add(1, Ordering::Relaxed);
            BLOCKS_MADE.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if is_block(layout) {
            BLOCKS.fetch_sub(1, Ordering::Relaxed);
        }
        // SAFETY: passed on.
        unsafe { System.dealloc(memory, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// One test after the other, because all count the blocks of the whole process. At the end of
/// each there are none left, and there have been some.
fn counting_blocks(seconds: u64, test: impl FnOnce()) {
    static ONE: Mutex<()> = Mutex::new(());
    let _one: MutexGuard<'_, ()> = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    within(seconds, || {
        let made = BLOCKS_MADE.load(Ordering::Relaxed);
        assert_eq!(BLOCKS.load(Ordering::Relaxed), 0);
        test();
        assert!(BLOCKS_MADE.load(Ordering::Relaxed) > made, "nothing has overflown");
        assert_eq!(BLOCKS.load(Ordering::Relaxed), 0, "overflow blocks have leaked");
    });
}

type Map = HashMap<u64, u64, Hashers>;

/// A hasher, and how to make keys out of numbers that it has share bins.
type Crowd = (Hashers, fn(u64) -> u64);

/// Numbers make keys of one bin (with one tag for all, or with tags of their own), or of a few.
fn crowds() -> [Crowd; 5] {
    [
        (Hashers::Constant, |number| number),
        (Hashers::FewBits(1), |number| number),
        (Hashers::FewBits(3), |number| number),
        (Hashers::Identity, |number| key_in_bin(0x1234, number << 31)),
        (Hashers::Identity, |number| {
            key_in_bin(0x1234 + (number % 3) as u16 * 0x4000, number << 31)
        }),
    ]
}

/// Small enough for each number to come and go often, and for three blocks.
const NUMBERS: u64 = 21;

#[test]
fn one_thread_finds_what_it_has_put_in_whatever_has_been_emptied() {
    counting_blocks(120, || {
        for (hasher, key) in crowds() {
            for seed in 0..15 {
                let mut random = Random::new(seed);
                let mut map = Map::with_hasher(hasher);
                let mut model = BTreeMap::new();
                // Now filling, now emptying.
                for step in 0..2_000_u64 {
                    let filling = (step / 40 + seed) % 3;
                    let key = key(random.below(NUMBERS));
                    match random.below(16) {
                        0..4 if filling != 0 => {
                            assert_eq!(map.insert(key, step).as_deref(), model.get(&key));
                            model.insert(key, step);
                        }
                        4 if filling != 0 => {
                            let found = map.try_insert(key, step).err().map(|e| *e.current);
                            assert_eq!(found, model.get(&key).copied());
                            model.entry(key).or_insert(step);
                        }
                        5 if filling != 0 => {
                            let found = map.compute_if_absent(key, |_| step).unwrap();
                            assert_eq!(*found, *model.entry(key).or_insert(step));
                        }
                        6 => {
                            assert_eq!(map.replace(key, step).as_deref(), model.get(&key));
                            model.entry(key).and_modify(|value| *value = step);
                        }
                        7 => match map.entry(key).unwrap() {
                            Entry::Occupied(entry) => {
                                assert_eq!(Some(entry.get()), model.get(&key));
                                entry.remove().unwrap();
                                model.remove(&key);
                            }
                            Entry::Vacant(_) => assert!(!model.contains_key(&key)),
                        },
                        8 => {
                            assert!(map.compute(key, |_, _| None).unwrap().is_none());
                            model.remove(&key);
                        }
                        9 if step % 7 == 0 => {
                            map.reserve(random.below(200) as usize);
                        }
                        10 if step % 5 == 0 => map.shrink_to_fit(),
                        11 if step % 20 == 0 => {
                            map.clear();
                            model.clear();
                        }
                        12 if step % 10 == 0 => {
                            map.retain(|key, _| key % 3 != 0);
                            model.retain(|key, _| key % 3 != 0);
                        }
                        13 if step % 30 == 0 => {
                            let drained: BTreeMap<_, _> = map.drain().collect();
                            assert_eq!(drained, std::mem::take(&mut model));
                        }
                        14 => {
                            assert_eq!(map.get_mut(&key), model.get_mut(&key));
                            map.values_mut().for_each(|value| *value += 1);
                            model.values_mut().for_each(|value| *value += 1);
                        }
                        _ => {
                            let found = map.remove_entry(&key).map(|entry| *entry);
                            assert_eq!(found, model.remove(&key));
                        }
                    }
                    agree(&map, &model, key);
                }
                if seed % 2 == 0 {
                    assert_eq!(map.into_iter().collect::<BTreeMap<_, _>>(), model);
                }
            }
        }
    });
}

/// The map has what the model has, and the key if that has.
#[track_caller]
fn agree(map: &Map, model: &BTreeMap<u64, u64>, key: u64) {
    assert_eq!(map.len(), model.len());
    let pinned = map.pin();
    assert_eq!(pinned.get(&key), model.get(&key));
    let mut listed: Vec<_> = pinned.iter().map(|(key, value)| (*key, *value)).collect();
    listed.sort();
    assert!(listed.iter().copied().eq(model.iter().map(|(key, value)| (*key, *value))));
    for (key, value) in model {
        assert_eq!(pinned.get(key), Some(value));
        assert_eq!(pinned.get_many([key, &u64::MAX, key]), [Some(value), None, Some(value)]);
    }
}

/// What goes on while some keys stay.
const WRITERS: u64 = 3;
/// Numbers that a writer has to himself.
const OWN: u64 = 5;

#[test]
fn what_stays_is_found_while_blocks_are_emptied_and_filled() {
    counting_blocks(240, || {
        for (hasher, key) in crowds() {
            // With none in overflow blocks, with one or some, and with nearly all.
            for staying in [2, 6, 7, 9, 14] {
                what_stays_is_found(hasher, key, staying);
            }
        }
    });
}

fn what_stays_is_found(hasher: Hashers, key: fn(u64) -> u64, staying: u64) {
    let ledger = Ledger::new(3_000_000);
    let end = Instant::now() + Duration::from_millis(160);
    {
        let map = &HashMap::with_hasher(hasher);
        let stays = |i: u64| key(1_000 + i);
        // Others come first, so that what stays is not in the bins' first slots always.
        for i in 0..staying {
            map.insert(ledger.track(key(2_000 + i)), ledger.track(0));
            map.insert(ledger.track(stays(i)), ledger.track(i));
        }
        for i in 0..staying {
            assert!(map.remove(&Probe(key(2_000 + i))).is_some());
        }
        let until = &Until::new(WRITERS as usize + 1);
        let ledger = &ledger;
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let part = until.end_of_one();
                scope.spawn(move || {
                    let _part = part;
                    write_own(map, ledger, key, writer, end);
                });
            }
            let part = until.end_of_one();
            scope.spawn(move || {
                let _part = part;
                let mut random = Random::new(staying);
                while Instant::now() < end {
                    match random.below(8) {
                        0..3 => map.reserve(random.below(300) as usize),
                        3..6 => map.shrink_to_fit(),
                        6 => map.flush(),
                        _ => thread::yield_now(),
                    }
                }
            });
            scope.spawn(move || {
                // Bounded, for the ledger's sake.
                let rounds = (0..200_000).take_while(|_| !until.ended());
                for _ in rounds {
                    for i in 0..staying {
                        let pinned = map.pin();
                        assert_eq!(pinned.get(&Probe(stays(i))).unwrap().value, i);
                        let both = pinned.get_many([&Probe(stays(i)), &Probe(stays(staying + 1))]);
                        assert_eq!(both[0].unwrap().value, i);
                        assert!(both[1].is_none());
                    }
                    // What stays can be replaced, by what is as good.
                    let i = staying - 1;
                    let old = map.replace(ledger.track(stays(i)), ledger.track(i));
                    assert_eq!(old.unwrap().value, i);
                    let old = map
                        .compute_if_present(&Probe(stays(0)), |_, value| {
                            Some(ledger.track(value.value))
                        })
                        .unwrap();
                    assert_eq!(old.unwrap().value, 0);
                }
            });
            scope.spawn(move || {
                while !until.ended() {
                    let pinned = map.pin();
                    let mut seen: Vec<u64> = pinned
                        .iter()
                        .filter(|(key, _)| (0..staying).any(|i| key.value == stays(i)))
                        .map(|(_, value)| value.value)
                        .collect();
                    seen.sort();
                    assert!(seen.iter().copied().eq(0..staying), "{seen:?} of {staying}");
                }
            });
        });
        assert_eq!(map.len() as u64, staying);
        let found: usize = map.pin().iter().count();
        assert_eq!(found as u64, staying);
    }
    ledger.assert_all_dropped_once();
}

/// Numbers of a thread's own: it knows what it finds there.
fn write_own<'l>(
    map: &HashMap<Tracked<'l, u64>, Tracked<'l, u64>, Hashers>,
    ledger: &'l Ledger,
    key: fn(u64) -> u64,
    writer: u64,
    end: Instant,
) {
    let mut random = Random::new(writer);
    let mut own = BTreeMap::new();
    let mut step = 0;
    while Instant::now() < end && step < 100_000 {
        step += 1;
        let key = key(writer * OWN + random.below(OWN));
        let made = || (ledger.track(key), ledger.track(step));
        let (new_key, new) = made();
        let before = own.get(&key).copied();
        let value = |found: &Tracked<'_, u64>| found.value;
        match random.below(9) {
            0 | 1 => {
                assert_eq!(map.insert(new_key, new).as_deref().map(value), before);
                own.insert(key, step);
            }
            2 => {
                let found = map.try_insert(new_key, new).err().map(|e| e.current.value);
                assert_eq!(found, before);
                own.entry(key).or_insert(step);
            }
            3 => {
                assert_eq!(map.replace(new_key, new).as_deref().map(value), before);
                own.entry(key).and_modify(|value| *value = step);
            }
            4 => {
                let found = map.compute_if_absent(new_key, |_| new).unwrap().value;
                assert_eq!(found, *own.entry(key).or_insert(step));
            }
            5 => {
                let found = map.compute(new_key, |_, found| {
                    assert_eq!(found.map(value), before);
                    None
                });
                assert!(found.unwrap().is_none());
                own.remove(&key);
            }
            _ => {
                assert_eq!(map.remove(&Probe(key)).as_deref().map(value), before);
                own.remove(&key);
            }
        }
        assert_eq!(map.get(&Probe(key)).as_deref().map(value), own.get(&key).copied());
    }
    for key in own.keys() {
        assert!(map.remove(&Probe(*key)).is_some());
    }
}

#[test]
fn who_is_told_that_a_key_has_come_to_an_emptied_block_finds_it() {
    counting_blocks(120, || {
        for (hasher, key) in crowds() {
            for before in [6, 7, 12, 13] {
                let map = &Map::with_hasher(hasher);
                map.reserve(40);
                for number in 0..before {
                    map.insert(key(number), 0);
                }
                let coming = key(100);
                // Odd: it is there, with this value.
                let told = &AtomicU64::new(0);
                let until = &Until::new(1);
                thread::scope(|scope| {
                    let part = until.end_of_one();
                    scope.spawn(move || {
                        let _part = part;
                        let end = Instant::now() + Duration::from_millis(60);
                        for round in (0..).take_while(|_| Instant::now() < end) {
                            map.insert(coming, 2 * round + 1);
                            told.store(2 * round + 1, Ordering::Release);
                            if round % 64 == 0 {
                                thread::yield_now();
                            }
                            told.store(2 * round + 2, Ordering::Release);
                            map.remove(&coming);
                        }
                    });
                    for reader in 0..2 {
                        scope.spawn(move || {
                            while !until.ended() {
                                let earlier = told.load(Ordering::Acquire);
                                let pinned = map.pin();
                                let found = if reader == 0 {
                                    pinned.get(&coming)
                                } else {
                                    pinned.get_many([&coming])[0]
                                };
                                let later = told.load(Ordering::Acquire);
                                if earlier == later && earlier % 2 == 1 {
                                    assert_eq!(found, Some(&earlier));
                                }
                                if let Some(&found) = found {
                                    assert!(found >= earlier.saturating_sub(1));
                                }
                            }
                        });
                    }
                });
            }
        }
    });
}

#[test]
fn all_is_cleared_and_filled_again_by_threads_that_meet() {
    counting_blocks(120, || {
        for (hasher, key) in crowds() {
            let ledger = Ledger::new(1_000_000);
            {
                let map = HashMap::with_hasher(hasher);
                together(4, |i| {
                    let mut random = Random::new(i as u64);
                    for step in 0..8_000 {
                        match random.below(40) {
                            0 => map.clear(),
                            1 => map.shrink_to_fit(),
                            2 => map.reserve(100),
                            3 => map.retain(|key: &Tracked<'_, u64>, _| key.value % 2 == 0),
                            n => {
                                let key = key(random.below(NUMBERS));
                                if n % 2 == 0 {
                                    map.insert(ledger.track(key), ledger.track(step));
                                } else {
                                    map.remove(&Probe(key));
                                }
                            }
                        }
                    }
                });
                assert_eq!(map.len(), map.pin().iter().count());
                map.clear();
                assert_eq!(map.len(), 0);
                assert_eq!(map.pin().iter().count(), 0);
                map.flush();
                assert_eq!(ledger.alive(), 0);
            }
            ledger.assert_all_dropped_once();
        }
    });
}
