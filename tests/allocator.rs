//! A global allocator may use a map itself, as one that keeps statistics does: wherever a
//! write of the map allocates or frees, other writes may come in between, and flushes.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr,
    sync::Barrier,
    thread,
};

use binlock::HashMap;
use common::{Hashers, within};

type Map = HashMap<u64, u64, Hashers>;

const KEYS: u64 = 15;

/// Writes to a map when it is called for the nth time by a thread, or does something else to it.
struct Writing;

thread_local! {
    // Without destructors, and so always at hand.
    static CALLS_UNTIL_THEN: Cell<usize> = const { Cell::new(0) };
    static MAP: Cell<*const Map> = const { Cell::new(ptr::null()) };
    static THEN: Cell<fn(&Map)> = const { Cell::new(|map| replace(map, 150)) };
}

fn called() {
    let calls = CALLS_UNTIL_THEN.get();
    CALLS_UNTIL_THEN.set(calls.saturating_sub(1));
    if calls == 1 {
        // SAFETY: the test keeps the map as long as calls are counted.
        THEN.get()(unsafe { &*MAP.get() });
    }
}

// SAFETY: `System` does the work.
unsafe impl GlobalAlloc for Writing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        called();
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        called();
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Writing = Writing;

/// So many replacements retire as many nodes: more than a batch.
fn replace(map: &Map, times: u64) {
    for i in 0..times {
        assert!(map.replace(i % KEYS, i).is_some());
    }
}

/// Replaces values, and does so once more from within each call of the allocator in turn.
fn write_in_the_middle(room: usize) {
    within(240, || {
        let mut calls = 0;
        loop {
            calls += 1;
            let map = Map::with_capacity_and_hasher(room, Hashers::Good(1));
            for key in 0..KEYS {
                map.insert(key, key);
            }
            MAP.set(&map);
            CALLS_UNTIL_THEN.set(calls);
            replace(&map, 400);
            map.flush();
            let all_were_made = CALLS_UNTIL_THEN.replace(0) != 0;
            assert_eq!(map.len() as u64, KEYS);
            assert_eq!(map.pin().iter().count() as u64, KEYS);
            if all_were_made {
                break;
            }
        }
        // Until there is memory of freed nodes, each replacement allocates.
        assert!(calls > 128, "{calls}");
    });
}

#[test]
fn writes_in_the_middle_of_an_allocation_of_another_do_not_hang() {
    write_in_the_middle(0);
}

/// So large that each thread has garbage of its own, and adds to it without a lock.
#[test]
fn writes_in_the_middle_of_an_allocation_of_another_do_not_tread_on_it() {
    write_in_the_middle(10_000);
}

/// The first write of a thread to a large map makes what that thread has of its own there.
#[test]
fn writes_in_the_middle_of_a_threads_first_write_do_not_tread_on_it() {
    within(240, || {
        let mut calls = 0;
        loop {
            calls += 1;
            // Made by another thread, so that this one has nothing there yet.
            let make = || {
                let map = Map::with_capacity_and_hasher(10_000, Hashers::Good(1));
                (0..KEYS).for_each(|key| drop(map.insert(key, key)));
                map
            };
            let map = thread::spawn(make).join().unwrap();
            MAP.set(&map);
            CALLS_UNTIL_THEN.set(calls);
            for key in KEYS..KEYS + 3 {
                assert!(map.insert(key, key).is_none());
            }
            replace(&map, 3);
            let all_were_made = CALLS_UNTIL_THEN.replace(0) != 0;
            assert_eq!(map.len() as u64, KEYS + 3);
            assert_eq!(map.pin().iter().count() as u64, KEYS + 3);
            if all_were_made {
                break;
            }
        }
        // What the thread has of its own, and a node for each key.
        assert!(calls > 4, "{calls}");
    });
}

/// A map grows until its threads have something of their own.
#[test]
fn writes_in_the_middle_of_an_insertion_into_a_growing_map_do_not_tread_on_it() {
    const MORE: u64 = 800;
    within(240, || {
        let mut calls = 0;
        loop {
            calls += 1;
            let map = Map::with_hasher(Hashers::Good(1));
            (0..KEYS).for_each(|key| drop(map.insert(key, key)));
            MAP.set(&map);
            CALLS_UNTIL_THEN.set(calls);
            for key in KEYS..KEYS + MORE {
                assert!(map.insert(key, key).is_none());
            }
            let all_were_made = CALLS_UNTIL_THEN.replace(0) != 0;
            assert_eq!(map.len() as u64, KEYS + MORE);
            assert!((0..KEYS + MORE).all(|key| map.contains_key(&key)));
            if all_were_made {
                break;
            }
        }
        assert!(calls as u64 > MORE, "{calls}");
    });
}

/// Garbage that is just being put into a batch, or whose memory is just being kept, is handed over
/// in between.
#[test]
fn flushes_in_the_middle_of_an_allocation_do_not_tread_on_it() {
    for room in [0, 10_000] {
        THEN.set(|map| {
            map.flush();
            replace(map, 150);
            map.flush();
        });
        write_in_the_middle(room);
    }
}

/// A flush collects what it has to open, and meanwhile there comes to be more: what its own thread
/// has there, which is made by its first write.
#[test]
fn writes_in_the_middle_of_a_flush_do_not_tread_on_it() {
    const OTHERS: usize = 9;
    within(240, || {
        let mut calls = 0;
        loop {
            calls += 1;
            let map = &Map::with_capacity_and_hasher(10_000, Hashers::Good(1));
            let (written, flushed) = (&Barrier::new(OTHERS + 1), &Barrier::new(OTHERS + 1));
            let all_were_made = thread::scope(|scope| {
                for thread in 0..OTHERS as u64 {
                    scope.spawn(move || {
                        for i in 0..50 {
                            map.insert(100 + thread, i);
                        }
                        written.wait();
                        flushed.wait();
                        for i in 0..50 {
                            assert!(map.insert(100 + thread, i).is_some());
                        }
                    });
                }
                written.wait();
                MAP.set(map);
                THEN.set(|map| {
                    (0..KEYS).for_each(|key| drop(map.insert(key, key)));
                    replace(map, 150);
                });
                CALLS_UNTIL_THEN.set(calls);
                map.flush();
                let all_were_made = CALLS_UNTIL_THEN.replace(0) != 0;
                flushed.wait();
                all_were_made
            });
            let expected = OTHERS + if all_were_made { 0 } else { KEYS as usize };
            assert_eq!((map.len(), map.pin().iter().count()), (expected, expected));
            if all_were_made {
                break;
            }
        }
        // A list of what others have, and what the epochs want.
        assert!(calls > 3, "{calls}");
    });
}

/// Several threads do all that at once, to garbage that they share or that each has of its own,
/// while another one takes that away from them.
#[test]
fn writes_in_the_middle_of_an_allocation_do_not_tread_on_others() {
    within(240, || {
        for room in [0, 10_000] {
            for calls in (1..600).step_by(13) {
                let map = &Map::with_capacity_and_hasher(room, Hashers::Good(1));
                (0..KEYS).for_each(|key| drop(map.insert(key, key)));
                thread::scope(|scope| {
                    for thread in 0..3 {
                        scope.spawn(move || {
                            MAP.set(map);
                            CALLS_UNTIL_THEN.set(calls + thread);
                            replace(map, 400);
                            CALLS_UNTIL_THEN.set(0);
                        });
                    }
                    scope.spawn(move || (0..5).for_each(|_| map.flush()));
                });
                assert_eq!(map.len() as u64, KEYS);
                assert_eq!(map.pin().iter().count() as u64, KEYS);
            }
        }
    });
}
