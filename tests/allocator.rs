//! A global allocator may use a map itself, as one that keeps statistics does: wherever a
//! write of the map allocates or frees, other writes may come in between.

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr, thread,
};

use binlock::HashMap;
use common::{Hashers, within};

type Map = HashMap<u64, u64, Hashers>;

const KEYS: u64 = 15;

/// Writes to a map when it is called for the nth time by a thread.
struct Writing;

thread_local! {
    // Without destructors, and so always at hand.
    static CALLS_UNTIL_THEN: Cell<usize> = const { Cell::new(0) };
    static MAP: Cell<*const Map> = const { Cell::new(ptr::null()) };
}

fn called() {
    let calls = CALLS_UNTIL_THEN.get();
    CALLS_UNTIL_THEN.set(calls.saturating_sub(1));
    if calls == 1 {
        // SAFETY: the test keeps the map as long as calls are counted.
        replace(unsafe { &*MAP.get() }, 150);
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
