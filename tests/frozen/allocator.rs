//! What writers allocate from who can be stopped anywhere.

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    ptr,
};

use crate::stopping;

unsafe extern "C" {
    fn mmap(at: *mut u8, length: usize, access: i32, flags: i32, file: i32, from: i64) -> *mut u8;
}

/// An allocator without locks, as writers can be stopped inside of it as well: each
/// thread has its own lists of free blocks, by size, and gets new ones from a reserve
/// that all share.
pub struct LockFree;

/// Sizes are powers of two from 16 bytes.
const CLASSES: usize = 18;

/// So much is taken from the system at a time, at least.
const CHUNK: usize = 1 << 20;

thread_local! {
    // Without destructors, and so always at hand.
    static FREE: Cell<[*mut u8; CLASSES]> = const { Cell::new([ptr::null_mut(); CLASSES]) };
    static CHUNK_LEFT: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

impl LockFree {
    fn size_and_class(layout: Layout) -> (usize, usize) {
        let size = layout.size().max(layout.align()).max(16).next_power_of_two();
        (size, size.trailing_zeros() as usize - 4)
    }

    fn new_block(size: usize) -> *mut u8 {
        let align = size.min(4096);
        let (mut start, mut end) = CHUNK_LEFT.get();
        start = start.next_multiple_of(align);
        if start + size > end {
            let length = size.max(CHUNK);
            // PROT_READ | PROT_WRITE, and MAP_PRIVATE | MAP_ANONYMOUS.
            // SAFETY: new memory, wherever there is some.
            let chunk =
                unsafe { mmap(ptr::null_mut(), length, 3, 0x22, -1, 0) }.expose_provenance();
            if chunk == usize::MAX {
                return ptr::null_mut();
            }
            (start, end) = (chunk, chunk + length);
        }
        CHUNK_LEFT.set((start + size, end));
        ptr::with_exposed_provenance_mut(start)
    }
}

// SAFETY: a block belongs to who allocated it until it is freed, and then to the list of
// the thread that freed it, which gives it out again. It is as large as its class, and
// aligned to that, up to a page.
unsafe impl GlobalAlloc for LockFree {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        stopping::on_allocation(layout);
        let (size, class) = Self::size_and_class(layout);
        let mut free = FREE.get();
        if class >= CLASSES || free[class].is_null() {
            return Self::new_block(size);
        }
        let block = free[class];
        // SAFETY: a free block begins with the address of the next one.
        free[class] = unsafe { block.cast::<*mut u8>().read() };
        FREE.set(free);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let (_, class) = Self::size_and_class(layout);
        let mut free = FREE.get();
        if class < CLASSES {
            // SAFETY: the block is at least as large as an address, and no longer used.
            unsafe { block.cast::<*mut u8>().write(free[class]) };
            free[class] = block;
            FREE.set(free);
        }
    }
}
