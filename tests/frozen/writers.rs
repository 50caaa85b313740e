//! Writers of other keys write on while writers stand still anywhere.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use binlock::HashMap;

use crate::{
    common::{Hashers, Random, key_in_bin, within},
    stopping::{Stopping, this_thread},
};

type Map = HashMap<u64, u64, Hashers>;

/// Threads that are stopped.
const STOPPED: usize = 2;

/// Threads that are not, each with a bin of its own in any table.
const GROUPS: u16 = 6;

/// The key with a number that belongs to a group of writers.
fn key_of(group: u16, number: u64) -> u64 {
    key_in_bin(group * (u16::MAX / GROUPS), number)
}

/// A key in no bin of theirs, for those who are stopped.
fn key_between(thread: usize, number: u64) -> u64 {
    let between = u16::MAX / GROUPS / 2 + 64 * (number % 40) as u16;
    key_in_bin(between, number * STOPPED as u64 + thread as u64)
}

/// All kinds of writes on keys that nobody else writes to, with exact results.
fn write(map: &Map, key: impl Fn(u64) -> u64, random: &mut Random) {
    let (key, value) = (key(random.below(4)), random.next());
    assert!(map.insert(key, value).is_none());
    assert_eq!(map.try_insert(key, 0).unwrap_err().value, 0);
    assert_eq!(*map.replace(key, value ^ 1).unwrap(), value);
    assert_eq!(*map.compute_if_absent(key, |_| 0).unwrap(), value ^ 1);
    assert_eq!(*map.merge(key, 2, |value, two| Some(value ^ two)).unwrap().unwrap(), value ^ 3);
    match random.below(3) {
        0 => assert_eq!(*map.remove(&key).unwrap(), value ^ 3),
        1 => assert!(map.compute(key, |_, _| None).unwrap().is_none()),
        _ => assert!(map.remove_if(&key, |_, found| *found == value ^ 3).is_some()),
    }
    assert_eq!(*map.entry(key).unwrap().or_insert(value).unwrap(), value);
    assert_eq!(*map.remove(&key).unwrap(), value);
}

/// Stops those who do `stopped` over and over, so many times; each time all groups go on but for
/// `most_held_up`, which those who are stopped can have locked the bins of.
fn others_go_on(
    map: &Map,
    rounds: usize,
    most_held_up: usize,
    stopped: impl Fn(usize, &mut Random) + Sync,
) {
    let stopping = Stopping::alone();
    let threads: [AtomicUsize; STOPPED] = Default::default();
    let progress: [AtomicU64; GROUPS as usize] = Default::default();
    let ended = &AtomicBool::new(false);
    struct End<'e>(&'e AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }

    thread::scope(|scope| {
        let _end = End(ended);
        for (group, progress) in progress.iter().enumerate() {
            scope.spawn(move || {
                let mut random = Random::new(group as u64);
                while !ended.load(Ordering::Acquire) {
                    write(map, |i| key_of(group as u16, i), &mut random);
                    progress.fetch_add(1, Ordering::Release);
                }
            });
        }
        for (i, thread) in threads.iter().enumerate() {
            let stopped = &stopped;
            scope.spawn(move || {
                thread.store(this_thread(), Ordering::Release);
                let mut random = Random::new(100 + i as u64);
                while !ended.load(Ordering::Acquire) {
                    stopped(i, &mut random);
                }
            });
        }
        let threads = threads.each_ref().map(|thread| {
            while thread.load(Ordering::Acquire) == 0 {
                thread::yield_now();
            }
            thread.load(Ordering::Acquire)
        });
        let mut random = Random::new(7);
        for round in 0..rounds {
            thread::sleep(Duration::from_micros(random.below(1_500)));
            let _standstill = stopping.stop(&threads);
            let before = progress.each_ref().map(|progress| progress.load(Ordering::Acquire));
            let start = Instant::now();
            loop {
                // So many that each has helped with whatever transfer there is.
                let goes_on =
                    |group: &usize| progress[*group].load(Ordering::Acquire) >= before[*group] + 20;
                let going_on = (0..GROUPS as usize).filter(goes_on).count();
                if going_on + most_held_up >= GROUPS as usize {
                    break;
                }
                assert!(
                    start.elapsed() < Duration::from_secs(20),
                    "in round {round}, {} of {GROUPS} are held up by {STOPPED}",
                    GROUPS as usize - going_on,
                );
                thread::sleep(Duration::from_micros(100));
            }
        }
    });
    for group in 0..GROUPS {
        assert!((0..4).all(|i| !map.contains_key(&key_of(group, i))));
    }
}

/// A map whose table does not become so small that the groups would share bins.
fn map() -> Map {
    Map::with_capacity_and_hasher(6_000, Hashers::Identity)
}

#[test]
fn writers_of_other_bins_write_on_while_writers_stand_still_anywhere() {
    within(240, || {
        let map = &map();
        others_go_on(map, 60, 0, |thread, random| {
            // All in few bins, with overflow blocks that come and go.
            let key = key_between(thread, 40 * random.below(20));
            match random.below(6) {
                0 => drop(map.remove(&key)),
                1 => drop(map.replace(key, 1)),
                2 => drop(map.remove_if(&key, |_, value| value % 2 == 0)),
                3 => drop(map.compute_if_absent(key, |_| 2).unwrap()),
                4 => drop(map.entry(key).unwrap().insert(3).unwrap()),
                _ => drop(map.insert(key, random.next())),
            }
        });
    });
}

#[test]
fn a_writer_that_stands_still_anywhere_in_a_growth_holds_up_at_most_one_bin() {
    within(240, || {
        let map = &map();
        // One group each: those whose bin it is just moving.
        others_go_on(map, 60, STOPPED, |thread, random| {
            if thread == 0 {
                map.reserve(20_000);
                map.reserve(60_000);
                map.shrink_to_fit();
            } else {
                for _ in 0..50 {
                    let key = key_between(thread, random.below(5_000));
                    map.insert(key, 0);
                    map.remove(&key);
                }
            }
        });
    });
}
