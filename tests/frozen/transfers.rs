//! A thread that stops in the middle of a transfer, between two bins, keeps nobody from anything:
//! others complete the transfer without it, and begin the next one.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use binlock::HashMap;

use crate::{
    common::{Hashers, within},
    stopping::{Allocation, Stopping, passed_by, stop_at},
};

type Map = HashMap<u64, u64, Hashers>;

/// Crowded, so that each bin has overflow blocks, and moving it takes some.
fn crowded(hasher: Hashers, capacity: usize) -> Map {
    let map = Map::with_capacity_and_hasher(capacity, hasher);
    for key in 0..400 {
        map.insert(key, key);
    }
    map
}

fn assert_has_all(map: &Map) {
    let pinned = map.pin();
    assert!((0..400).all(|key| pinned.get(&key) == Some(&key)));
    assert_eq!((map.len(), pinned.iter().count()), (400, 400));
}

/// One thread does `stopped`, and stops at each allocation of a kind in turn; meanwhile another
/// one does `other`. Says how often it did stop.
fn stop_at_each(
    allocation: Allocation,
    make: impl Fn() -> Map,
    stopped: impl Fn(&Map) + Sync,
    other: impl Fn(&Map) + Sync,
) -> usize {
    let stopping = Stopping::alone();
    let (mut number, mut stops) = (0, 0);
    loop {
        let map = &make();
        let done = &AtomicBool::new(false);
        stopping.reset_pause();
        let mut has_stopped = false;
        thread::scope(|scope| {
            let stopped = &stopped;
            scope.spawn(move || {
                stop_at(allocation, number);
                stopped(map);
                passed_by();
                done.store(true, Ordering::Release);
            });
            has_stopped = stopping.while_paused(done, || {
                other(map);
                assert!(!done.load(Ordering::Acquire), "it has not stood still");
            });
        });
        assert_has_all(map);
        // Whatever the one who was stopped has done afterwards: it all works.
        map.reserve(3_000);
        map.shrink_to_fit();
        assert_has_all(map);
        if !has_stopped {
            return stops;
        }
        // Where there are many, not all of them.
        number += 1 + number / 3;
        stops += 1;
    }
}

#[test]
fn who_stops_between_two_bins_of_a_growth_keeps_nobody_from_completing_it_and_growing_on() {
    within(240, || {
        for hasher in [Hashers::FewBits(3), Hashers::Constant] {
            let stops = stop_at_each(
                Allocation::Block,
                || crowded(hasher, 2_000),
                |map| {
                    map.reserve(10_000);
                    map.reserve(30_000);
                },
                |map| {
                    let before = map.capacity();
                    // Each of these completes the transfer before it begins another.
                    map.reserve(2 * before);
                    map.reserve(4 * before);
                    assert!(map.capacity() >= 4 * before);
                    map.shrink_to_fit();
                    assert!(map.capacity() < 4 * before);
                    for key in 1_000..1_400 {
                        assert!(map.insert(key, key).is_none());
                    }
                    map.retain(|key, _| *key < 1_000);
                    map.clear();
                    map.flush();
                    assert!(map.is_empty());
                    (0..400).for_each(|key| drop(map.insert(key, key)));
                    assert_has_all(map);
                },
            );
            assert!(stops >= 5, "{hasher:?}: it stopped {stops} times only");
        }
    });
}

#[test]
fn who_stops_between_two_bins_of_a_shrinking_keeps_nobody_from_completing_it() {
    within(240, || {
        for hasher in [Hashers::FewBits(3), Hashers::Constant] {
            let stops = stop_at_each(
                Allocation::Block,
                || crowded(hasher, 20_000),
                |map| map.shrink_to_fit(),
                |map| {
                    map.reserve(10_000);
                    map.shrink_to_fit();
                    map.reserve(20_000);
                    assert!(map.capacity() >= 20_000);
                    assert_has_all(map);
                },
            );
            assert!(stops >= 5, "{hasher:?}: it stopped {stops} times only");
        }
    });
}

#[test]
fn who_stops_as_it_begins_a_growth_keeps_nobody_from_writing() {
    within(240, || {
        // With the right to begin it, and without a table yet.
        let stops = stop_at_each(
            Allocation::Table,
            || crowded(Hashers::Good(1), 500),
            |map| {
                (400..2_000).for_each(|key| drop(map.insert(key, key)));
                (400..2_000).for_each(|key| drop(map.remove(&key)));
            },
            |map| {
                let before = map.capacity();
                for key in 10_000..14_000 {
                    assert!(map.insert(key, key).is_none());
                    assert_eq!(*map.compute_if_absent(key, |_| 0).unwrap(), key);
                }
                assert_eq!(map.capacity(), before, "the growth that was begun is not the first");
                assert_eq!(map.pin().keys().filter(|key| **key >= 10_000).count(), 4_000);
                map.retain(|key, _| *key < 10_000);
                map.shrink_to_fit();
                assert!((10_000..14_000).all(|key| !map.contains_key(&key)));
            },
        );
        assert!(stops >= 1, "it stopped {stops} times only");
    });
}
