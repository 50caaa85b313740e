//! Waiting leaves nothing behind, however often it is done. (One test, in a process of its own: it
//! counts what all threads allocate.)

mod common;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicIsize, Ordering},
    thread,
};

use binlock::HashMap;
use common::{Gate, within};

struct Counting;

static ALLOCATIONS: AtomicIsize = AtomicIsize::new(0);

// SAFETY: `System` does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        ALLOCATIONS.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A thread in the middle of a computation waits for a key that another one computes.
fn wait(map: &HashMap<u64, u64>, waits: usize) {
    for _ in 0..waits {
        let gate = &Gate::default();
        thread::scope(|scope| {
            let _open = gate.open_at_end();
            let other = scope.spawn(move || {
                gate.wait_for(1);
                // It is about to wait, and has held one key for as long.
                let held = map.entry(2).unwrap();
                drop(map.insert(1, 1));
                drop(held);
            });
            let computed = map.compute_if_absent(1, |_| {
                gate.open();
                gate.pass();
                // Long enough for the other one to fall asleep.
                thread::sleep(std::time::Duration::from_millis(2));
                7
            });
            assert_eq!(*computed.unwrap(), 7);
            other.join().unwrap();
        });
        map.clear();
        map.flush();
    }
}

#[test]
fn a_thread_that_waits_with_claims_of_its_own_leaves_nothing_behind() {
    within(120, || {
        let map = HashMap::new();
        // What is made once, and what grows a little.
        wait(&map, 20);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        wait(&map, 200);
        let left = ALLOCATIONS.load(Ordering::Relaxed) - before;
        assert!(left < 50, "{left} allocations are left of 200 waits");
    });
}
