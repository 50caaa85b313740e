//! Slices with several threads: a fixed time, operations counted, or fixed work, time taken.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::keys::Stream;
use crate::common::maps::{Map, Session};
use crate::common::work::WRITES_PER_SESSION;

/// What each thread does.
#[derive(Clone, Copy)]
pub enum Load {
    Reads,
    Replacements,
    /// Reads and replacements by turns.
    Mixed,
}

/// A slice of several threads.
pub struct Crowd<'s> {
    pub threads: usize,
    pub time: Duration,
    pub keys: &'s Stream,
    /// Where in the stream the first thread begins; the others are spread over the stream.
    pub start: usize,
}

/// What the threads of a slice came to.
pub struct Work {
    pub time: Duration,
    pub operations: usize,
}

impl Work {
    /// Of one operation, all threads taken together.
    pub fn nanoseconds(&self) -> f64 {
        assert!(self.operations > 0, "a slice is too short for any operation");
        self.time.as_nanos() as f64 / self.operations as f64
    }
}

/// What one thread did.
struct Shift {
    begin: Instant,
    end: Instant,
    operations: usize,
}

/// Runs the slice.
pub fn run<M: Map + Sync>(map: &M, load: Load, crowd: &Crowd<'_>) -> Work {
    match load {
        Load::Reads => drive(map, crowd, |session, keys| {
            keys.iter().filter_map(|key| session.get(key)).fold(0, u64::wrapping_add)
        }),
        Load::Replacements => drive(map, crowd, |session, keys| {
            keys.iter().map(|&key| u64::from(session.insert(key, !key))).sum()
        }),
        Load::Mixed => drive(map, crowd, |session, keys| {
            let mut sum = 0;
            for (turn, &key) in keys.iter().enumerate() {
                sum ^= match turn % 2 {
                    0 => session.get(&key).unwrap_or(1),
                    _ => u64::from(session.insert(key, !key)),
                };
            }
            sum
        }),
    }
}

/// Runs a slice of `work`, which gets a session and its keys, and returns something that depends
/// on all results.
pub fn drive<'m, M: Map + Sync>(
    map: &'m M,
    crowd: &Crowd<'_>,
    work: impl Fn(&M::Session<'m>, &[u64]) -> u64 + Sync,
) -> Work {
    let (total, _) = drive_each(crowd, || (), |(), keys| work(&map.session(), keys));
    total
}

/// The same without sessions: each thread has a state of its own, which is returned.
pub fn drive_each<S: Send>(
    crowd: &Crowd<'_>,
    new: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, &[u64]) -> u64 + Sync,
) -> (Work, Vec<S>) {
    let prepare =
        |number: usize| (crowd.start + number * (crowd.keys.len() / crowd.threads), new());
    let shift = |(position, state): &mut (usize, S), over: &AtomicBool| {
        let mut operations = 0;
        while !over.load(Ordering::Relaxed) {
            for keys in crowd.keys.window(*position, WRITES_PER_SESSION).parts() {
                black_box(work(state, keys));
            }
            *position += WRITES_PER_SESSION;
            operations += WRITES_PER_SESSION;
        }
        operations
    };
    let (work, states) = shifts(crowd.threads, Some(crowd.time), prepare, shift);
    (work, states.into_iter().map(|(_, state)| state).collect())
}

/// Has each thread `prepare` a state, by its number, and then do its `shift`, all of them at the
/// same time; a shift gives the number of its operations. Where there is a `time`, the shifts are
/// told when it is over.
pub fn shifts<S: Send>(
    threads: usize,
    time: Option<Duration>,
    prepare: impl Fn(usize) -> S + Sync,
    shift: impl Fn(&mut S, &AtomicBool) -> usize + Sync,
) -> (Work, Vec<S>) {
    let barrier = Barrier::new(threads + 1);
    let over = AtomicBool::new(false);

    let thread = |number: usize| {
        let mut state = prepare(number);
        barrier.wait();
        let begin = Instant::now();
        let operations = shift(&mut state, &over);
        (Shift { begin, end: Instant::now(), operations }, state)
    };

    let (shifts, states): (Vec<Shift>, Vec<S>) = thread::scope(|scope| {
        let thread = &thread;
        let handles: Vec<_> =
            (0..threads).map(|number| scope.spawn(move || thread(number))).collect();
        barrier.wait();
        if let Some(time) = time {
            thread::sleep(time);
            over.store(true, Ordering::Relaxed);
        }
        handles.into_iter().map(|handle| handle.join().expect("no map panics")).unzip()
    });

    // From the first to begin to the last to end: with more threads than cores some notice late
    // that it is over, and what they did until then counts, as does the time.
    let begin = shifts.iter().map(|shift| shift.begin).min().expect("there are threads");
    let end = shifts.iter().map(|shift| shift.end).max().expect("there are threads");
    let operations: usize = shifts.iter().map(|shift| shift.operations).sum();
    (Work { time: end - begin, operations }, states)
}
