//! Memory in use: an allocator that counts, the process's resident memory, samples of both.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    fs,
    sync::atomic::{AtomicIsize, AtomicUsize, Ordering},
    time::Instant,
};

/// Counts bytes, spread over cache lines: one counter would be what all threads meet at.
pub struct Counting;

#[repr(align(128))]
struct Counter(AtomicIsize);

const COUNTERS: usize = 32;
static BYTES: [Counter; COUNTERS] = [const { Counter(AtomicIsize::new(0)) }; COUNTERS];

fn count(bytes: isize) {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        // Without a destructor, and so always at hand.
        static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    let mine = MINE.with(|mine| {
        if mine.get() == usize::MAX {
            mine.set(NEXT.fetch_add(1, Ordering::Relaxed) % COUNTERS);
        }
        mine.get()
    });
    BYTES[mine].0.fetch_add(bytes, Ordering::Relaxed);
}

// SAFETY: `System` does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            count(layout.size() as isize);
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            count(layout.size() as isize);
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: passed on.
        let block = unsafe { System.realloc(block, layout, size) };
        if !block.is_null() {
            count(size as isize - layout.size() as isize);
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) };
    }
}

/// Bytes that are allocated.
pub fn in_use() -> usize {
    BYTES.iter().map(|counter| counter.0.load(Ordering::Relaxed)).sum::<isize>().max(0) as usize
}

/// The same without what the samples themselves take.
pub fn in_use_without(samples: &Vec<Sample>) -> usize {
    in_use().saturating_sub(samples.capacity() * size_of::<Sample>())
}

/// The process's resident memory, where the system tells.
fn resident() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? << 10)
}

/// What was in use at some moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Since the start, in seconds.
    pub time: f64,
    pub bytes: usize,
    pub resident: Option<usize>,
}

impl Sample {
    pub fn take(start: Instant) -> Sample {
        let time = start.elapsed().as_secs_f64();
        Sample { time, bytes: in_use(), resident: resident() }
    }
}
