//! Numbers for threads: small, and no two live threads have the same one.
//!
//! What belongs to a number belongs to the thread that has it, and to the next one that gets
//! it: a thread that ends gives its number back under a lock, under which another one takes
//! it, so that whatever the first did with it happens before anything the second does.
//!
//! Small, so that they can index arrays: a new thread takes the smallest number there is. (The
//! `thread_local` crate hands out its ids likewise.)

use super::striped::Seat;

use std::{
    cell::Cell,
    cmp::Reverse,
    collections::BinaryHeap,
    sync::{Mutex, MutexGuard},
};

/// Of a thread that has no number yet.
const UNKNOWN: usize = usize::MAX;
/// Of a thread that has given its number back, as its last thread-locals are being destroyed.
const GONE: usize = usize::MAX - 1;

struct Numbers {
    /// All numbers from here on are free.
    next: usize,
    /// And so are these.
    returned: BinaryHeap<Reverse<usize>>,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: 0, returned: BinaryHeap::new() });

fn numbers() -> MutexGuard<'static, Numbers> {
    // Nothing panics under this lock (out of memory aborts).
    NUMBERS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Gives the thread's number back when the thread ends.
struct Return;

impl Drop for Return {
    fn drop(&mut self) {
        let number = MINE.replace(GONE);
        Seat::forget();
        if number < GONE {
            numbers().returned.push(Reverse(number));
        }
    }
}

thread_local! {
    // Without a destructor, so that it can be read at any time.
    static MINE: Cell<usize> = const { Cell::new(UNKNOWN) };
    static RETURN: Return = const { Return };
}

/// The number of this thread: not that of any other that is alive, or, while its thread-locals
/// are being destroyed, larger than any of them.
#[inline]
pub(super) fn mine() -> usize {
    let number = MINE.get();
    if number == UNKNOWN { take() } else { number }
}

#[cold]
fn take() -> usize {
    // Before the number is taken: what cannot be given back must not be.
    if RETURN.try_with(|_| ()).is_err() {
        MINE.set(GONE);
        return GONE;
    }
    let mut numbers = numbers();
    let number = match numbers.returned.pop() {
        Some(Reverse(number)) => number,
        None => {
            numbers.next += 1;
            numbers.next - 1
        }
    };
    MINE.set(number);
    number
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Barrier, Mutex},
        thread,
    };

    use super::*;

    #[test]
    fn threads_that_live_at_once_have_different_numbers_and_keep_them() {
        let barrier = &Barrier::new(20);
        let taken = &Mutex::new(vec![mine()]);
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(move || {
                    let number = mine();
                    taken.lock().unwrap().push(number);
                    barrier.wait();
                    assert_eq!(mine(), number);
                });
            }
        });
        let mut taken = taken.lock().unwrap();
        taken.sort();
        assert!(taken.windows(2).all(|pair| pair[0] != pair[1]), "{taken:?}");
    }

    #[test]
    fn numbers_are_used_again() {
        let numbers: Vec<usize> = (0..1_000).map(|_| thread::spawn(mine).join().unwrap()).collect();
        // Other tests run at the same time, on a few threads.
        assert!(numbers.iter().all(|&number| number < 900), "{numbers:?}");
    }

    #[test]
    fn a_thread_whose_locals_are_destroyed_has_a_number_of_nobody() {
        thread_local! {
            static LAST: Last = const { Last };
        }
        struct Last;
        impl Drop for Last {
            fn drop(&mut self) {
                // Destructors run in no particular order: either still the number or none.
                let number = mine();
                SEEN.lock().unwrap().push(number);
            }
        }
        static SEEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());
        let (before, after) = thread::spawn(|| {
            // Once with the thread's number taken before the other local, once after.
            LAST.with(|_| ());
            mine()
        })
        .join()
        .map(|first| {
            let second = thread::spawn(|| {
                let number = mine();
                LAST.with(|_| ());
                number
            });
            (first, second.join().unwrap())
        })
        .unwrap();
        let seen = SEEN.lock().unwrap();
        assert_eq!(seen.len(), 2);
        assert!(seen[0] == before || seen[0] == GONE);
        assert!(seen[1] == after || seen[1] == GONE);
    }
}
