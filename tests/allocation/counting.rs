//! An allocator that counts, and fails where it is told to.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr,
};

/// Counts and fails by thread, so that tests do not disturb each other. So large that it
/// counts as one is nothing here but tables, those of at least 1024 bins.
pub struct Counting;

thread_local! {
    // Without destructors, and so always at hand.
    pub static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    /// What there is of anything, but for what other threads have freed.
    pub static LIVE: Cell<isize> = const { Cell::new(0) };
    pub static BLOCKS: Cell<isize> = const { Cell::new(0) };
    pub static TABLES: Cell<isize> = const { Cell::new(0) };
    pub static TABLES_OF_4096: Cell<isize> = const { Cell::new(0) };
    /// So many have been asked for that `Failing::Nth` counts.
    static REFUSABLE: Cell<usize> = const { Cell::new(0) };
    static FAILING: Cell<Failing> = const { Cell::new(Failing::Nothing) };
}

/// Which allocations fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failing {
    Nothing,
    /// Those of at least so many bytes.
    From(usize),
    /// Those of overflow blocks: a bin's layout, which nothing else here has.
    Blocks,
    /// Of those that may be refused, the one with this number (from 0) and perhaps others.
    Nth(usize, Refused),
}

const BLOCK: Layout = match Layout::from_size_align(64, 64) {
    Ok(layout) => layout,
    Err(_) => unreachable!(),
};

/// What a map can be refused while it reserves, shrinks or moves bins: tables and overflow blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// And those that are asked for afterwards.
    pub all_after: bool,
    /// And lists of blocks, which are made ahead of locking a bin. Where other things happen, there
    /// may be allocations of that size that cannot be refused.
    pub lists: bool,
}

impl Refused {
    fn concerns(self, layout: Layout) -> bool {
        // Of one block or two; other lists begin with more.
        let is_list = layout.align() == 8 && [8, 16].contains(&layout.size());
        layout == BLOCK || layout.align() == 16 || self.lists && is_list
    }
}

impl Counting {
    fn count(layout: Layout, change: isize) {
        LIVE.set(LIVE.get() + change);
        if layout == BLOCK {
            BLOCKS.set(BLOCKS.get() + change);
        }
        if layout.size() >= 64 * 1024 {
            TABLES.set(TABLES.get() + change);
        }
        if layout.size() / 64 / 4096 == 1 {
            TABLES_OF_4096.set(TABLES_OF_4096.get() + change);
        }
    }

    fn may_have(layout: Layout) -> bool {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        match FAILING.get() {
            Failing::Nothing => true,
            Failing::From(bytes) => layout.size() < bytes,
            Failing::Blocks => layout != BLOCK,
            Failing::Nth(n, refused) if refused.concerns(layout) => {
                let number = REFUSABLE.get();
                REFUSABLE.set(number + 1);
                number != n && !(refused.all_after && number > n)
            }
            Failing::Nth(..) => true,
        }
    }
}

// SAFETY: `System` does the work; null is an answer that is always allowed.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !Self::may_have(layout) {
            return ptr::null_mut();
        }
        Self::count(layout, 1);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !Self::may_have(layout) {
            return ptr::null_mut();
        }
        Self::count(layout, 1);
        // SAFETY: passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        Self::count(layout, -1);
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Runs `f` while some allocations of this thread fail.
pub fn failing<R>(which: Failing, f: impl FnOnce() -> R) -> R {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            FAILING.set(Failing::Nothing);
        }
    }
    let _restore = Restore;
    REFUSABLE.set(0);
    FAILING.set(which);
    f()
}

/// How many allocations `f` makes on this thread, but for those that the epochs make when it is the
/// thread's turn to see whether others' garbage can be freed: once in 128 pins of those that may write.
pub fn fewest_allocations(mut f: impl FnMut()) -> usize {
    let mut once = || {
        let before = ALLOCATIONS.get();
        f();
        ALLOCATIONS.get() - before
    };
    (0..20).map(|_| once()).min().unwrap_or_default()
}

/// Runs `f` while the allocation with a number fails, of those that may be refused. Says whether
/// there was one.
pub fn refusing(n: usize, refused: Refused, f: impl FnOnce()) -> bool {
    failing(Failing::Nth(n, refused), f);
    REFUSABLE.get() > n
}
