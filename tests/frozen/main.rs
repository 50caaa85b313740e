//! Readers never wait, not even for a writer that stops in the middle of anything.
//!
//! A signal stops the writers at whichever instruction they are: with a bin locked, half
//! through moving another, between two stores. While they stand still, readers read.

#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

mod common;

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::Cell,
    ptr,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use binlock::HashMap;
use common::{Hashers, Random, within};

unsafe extern "C" {
    fn signal(signal: i32, handler: extern "C" fn(i32)) -> usize;
    fn pthread_self() -> usize;
    fn pthread_kill(thread: usize, signal: i32) -> i32;
    fn sched_yield() -> i32;
    fn mmap(at: *mut u8, length: usize, access: i32, flags: i32, file: i32, from: i64) -> *mut u8;
}

/// An allocator without locks, as writers can be stopped inside of it as well: each
/// thread has its own lists of free blocks, by size, and gets new ones from a reserve
/// that all share.
struct LockFree;

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

#[global_allocator]
static ALLOCATOR: LockFree = LockFree;

const SIGUSR1: i32 = 10;

/// The round in which threads stand still; zero: none.
static ROUND: AtomicUsize = AtomicUsize::new(0);
/// How many of them do.
static STOPPED: AtomicUsize = AtomicUsize::new(0);

/// Stops the thread that it runs on until the round is over.
extern "C" fn stop(_: i32) {
    let round = ROUND.load(Ordering::Acquire);
    STOPPED.fetch_add(1, Ordering::AcqRel);
    while round != 0 && ROUND.load(Ordering::Acquire) == round {
        // SAFETY: it is allowed in signal handlers.
        unsafe { sched_yield() };
    }
}

const WRITERS: usize = 2;

/// Runs writers over and over, and stops them `rounds` times for `read`.
fn stop_and_read(rounds: usize, write: impl Fn(usize, &mut Random) + Sync, read: impl Fn()) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    // SAFETY: the handler does nothing that is not allowed in one.
    unsafe { signal(SIGUSR1, stop) };

    /// Lets everybody go, also if a reader panics.
    struct Release<'e>(&'e AtomicBool);
    impl Drop for Release<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
            ROUND.store(0, Ordering::Release);
        }
    }

    let (ended, write) = (&AtomicBool::new(false), &write);
    let threads: [AtomicUsize; WRITERS] = Default::default();
    thread::scope(|scope| {
        let _release = Release(ended);
        for (i, thread) in threads.iter().enumerate() {
            scope.spawn(move || {
                // SAFETY: it has no preconditions.
                thread.store(unsafe { pthread_self() }, Ordering::Release);
                let mut random = Random::new(i as u64);
                while !ended.load(Ordering::Acquire) {
                    write(i, &mut random);
                }
            });
        }
        let threads = threads.each_ref().map(|thread| {
            while thread.load(Ordering::Acquire) == 0 {
                thread::yield_now();
            }
            thread.load(Ordering::Acquire)
        });
        let mut random = Random::new(77);
        for round in 1..=rounds {
            for _ in 0..random.below(3_000) {
                std::hint::spin_loop();
            }
            // Lets the writers run where there is one processor only.
            thread::yield_now();
            STOPPED.store(0, Ordering::Release);
            ROUND.store(round, Ordering::Release);
            for thread in threads {
                // SAFETY: the thread runs until it is told to end, which is later.
                assert_eq!(unsafe { pthread_kill(thread, SIGUSR1) }, 0);
            }
            while STOPPED.load(Ordering::Acquire) < WRITERS {
                thread::yield_now();
            }
            read();
            ROUND.store(0, Ordering::Release);
        }
    });
}

/// Reads in all ways a map where keys `0..stable` are their own values and stay, and at
/// most so many others come and go.
fn read(map: &HashMap<u64, u64, Hashers>, stable: u64, others: u64) {
    let pinned = map.pin();
    for key in 0..stable {
        assert_eq!(map.get(&key).map(|value| *value), Some(key));
        assert_eq!(pinned.get_key_value(&key), Some((&key, &key)));
        assert!(map.contains_key(&key));
        let next = (key + 1) % stable;
        assert_eq!(pinned.get_many([&key, &u64::MAX, &next]), [Some(&key), None, Some(&next)]);
    }
    // What the writers were at is there or not, and nobody has to wait to know.
    for key in stable..stable + others {
        assert!(map.get(&key).is_none_or(|value| *value >= stable));
    }
    let mut seen = [0; 64];
    for key in pinned.keys().filter(|key| **key < stable) {
        seen[*key as usize] += 1;
    }
    assert!(seen[..stable as usize].iter().all(|times| *times == 1), "{seen:?}");
    assert!(map.len() as u64 <= stable + others + WRITERS as u64);
    assert_eq!(map.try_insert(0, 7).unwrap_err().value, 7);
}

#[test]
fn readers_read_on_while_writers_of_the_same_bin_stand_still_anywhere() {
    within(240, || {
        for hasher in [Hashers::Constant, Hashers::FewBits(1), Hashers::Good(1)] {
            let map = &HashMap::with_hasher(hasher);
            for key in 0..10 {
                map.insert(key, key);
            }
            stop_and_read(
                300,
                |_, random| {
                    let key = 10 + random.below(10);
                    match random.below(5) {
                        0 => drop(map.remove(&key)),
                        1 => drop(map.replace(key, key + 1)),
                        2 => drop(map.remove_if(&key, |_, value| value % 2 == 0)),
                        _ => drop(map.insert(key, random.next() | 1 << 60)),
                    }
                },
                || read(map, 10, 10),
            );
        }
    });
}

#[test]
fn readers_read_on_while_writers_stand_still_anywhere_in_growing_and_shrinking_the_map() {
    within(240, || {
        for hasher in [Hashers::Good(1), Hashers::FewBits(5)] {
            let map = &HashMap::with_hasher(hasher);
            for key in 0..50 {
                map.insert(key, key);
            }
            stop_and_read(
                300,
                |writer, _| {
                    let mine = |i| 50 + i * WRITERS as u64 + writer as u64;
                    for i in 0..300 {
                        map.insert(mine(i), 1_000);
                    }
                    map.reserve(2_000);
                    for i in 0..300 {
                        map.remove(&mine(i));
                    }
                    map.shrink_to_fit();
                },
                || read(map, 50, 600),
            );
        }
    });
}
