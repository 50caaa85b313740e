//! mimalloc, counting the bytes that are live, and how often some were asked for.
//!
//! Only this binary counts: the counters would be part of what the others time.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering};

use mimalloc::MiMalloc;

pub struct Counting {
    requested: AtomicUsize,
    set_aside: AtomicUsize,
    allocations: AtomicUsize,
}

/// Live bytes.
#[derive(Clone, Copy)]
pub struct Bytes {
    /// What was asked for.
    pub requested: usize,
    /// What the allocator's blocks have room for.
    pub set_aside: usize,
}

impl Counting {
    pub const fn new() -> Self {
        Self {
            requested: AtomicUsize::new(0),
            set_aside: AtomicUsize::new(0),
            allocations: AtomicUsize::new(0),
        }
    }

    /// Exact where no other thread allocates.
    pub fn live(&self) -> Bytes {
        Bytes {
            requested: self.requested.load(Ordering::Relaxed),
            set_aside: self.set_aside.load(Ordering::Relaxed),
        }
    }

    /// How often memory has been asked for so far.
    pub fn allocations(&self) -> usize {
        self.allocations.load(Ordering::Relaxed)
    }

    fn add(&self, block: *mut u8, requested: usize) {
        self.allocations.fetch_add(1, Ordering::Relaxed);
        if !block.is_null() {
            self.requested.fetch_add(requested, Ordering::Relaxed);
            self.set_aside.fetch_add(usable(block), Ordering::Relaxed);
        }
    }

    fn subtract(&self, block: *mut u8, requested: usize) {
        self.requested.fetch_sub(requested, Ordering::Relaxed);
        self.set_aside.fetch_sub(usable(block), Ordering::Relaxed);
    }
}

/// The size of a live block of mimalloc's.
fn usable(block: *mut u8) -> usize {
    // SAFETY: the callers in this file pass blocks that mimalloc has given out and not got back.
    unsafe { MiMalloc.usable_size(block) }
}

// SAFETY: mimalloc is the allocator; counting touches neither blocks nor layouts, and does not
// allocate. `realloc` is left to the trait, which builds it from the methods here, so that it is
// counted as what it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on from the caller.
        let block = unsafe { MiMalloc.alloc(layout) };
        self.add(block, layout.size());
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on from the caller.
        let block = unsafe { MiMalloc.alloc_zeroed(layout) };
        self.add(block, layout.size());
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.subtract(block, layout.size());
        // SAFETY: passed on from the caller.
        unsafe { MiMalloc.dealloc(block, layout) }
    }
}
