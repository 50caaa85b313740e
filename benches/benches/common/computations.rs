//! The loops of the compute family that are timed, in the manner of [`work`](super::work). Each
//! checks its results when the clock has stopped.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use super::keys::{self, Stream, Window};
use super::maps::{Compute, Map, Session};
use super::work::WRITES_PER_SESSION;

/// Computes every key, all present, under one session: no closure runs.
pub fn present<M: Compute>(map: &M, keys: Window<'_>) -> Duration {
    let start = Instant::now();
    let session = map.session();
    let mut sum = 0_u64;
    for &key in keys.parts().flatten() {
        // Not the value that is there, so that a closure that runs is found out.
        sum = sum.wrapping_add(M::compute_if_absent(&session, key, || key));
    }
    black_box(sum);
    let time = start.elapsed();
    assert_eq!(sum, sum_of_values(keys.parts().flatten()), "{} ran a closure", M::NAME);
    time
}

/// Fills an empty map with `keys`, each computed. Dropping the map is not timed.
pub fn fill<M: Compute>(keys: &[u64]) -> Duration {
    let start = Instant::now();
    let map = M::new();
    let mut sum = 0_u64;
    for chunk in keys.chunks(WRITES_PER_SESSION) {
        let session = map.session();
        for &key in chunk {
            sum = sum.wrapping_add(M::compute_if_absent(&session, key, || !key));
        }
    }
    black_box(sum);
    let time = start.elapsed();
    assert_eq!(sum, sum_of_values(keys), "{} computed something else", M::NAME);
    let session = map.session();
    for &key in keys.iter().step_by(keys.len().div_ceil(1000)) {
        assert_eq!(session.get(&key), Some(!key), "{} lost a key", M::NAME);
    }
    time
}

/// Increments the value of every key, a new session every [`WRITES_PER_SESSION`]. Whoever calls
/// this compares the [`total`]s before and after.
pub fn increments<M: Compute>(map: &M, keys: Window<'_>) -> Duration {
    let start = Instant::now();
    let mut sum = 0_u64;
    for chunk in keys.parts().flat_map(|part| part.chunks(WRITES_PER_SESSION)) {
        sum = sum.wrapping_add(increment_all::<M>(&map.session(), chunk));
    }
    black_box(sum);
    start.elapsed()
}

/// The same on several threads, with so many keys for each, taken from all over the stream.
pub fn increments_of_threads<M: Compute + Sync>(
    map: &M,
    threads: usize,
    stream: &Stream,
    start: usize,
    length: usize,
) -> Duration {
    let barrier = Barrier::new(threads);
    let times = thread::scope(|scope| {
        let barrier = &barrier;
        let work = |number: usize| {
            let position = start + number * (stream.len() / threads);
            move || {
                barrier.wait();
                let begin = Instant::now();
                increments(map, stream.window(position, length));
                (begin, Instant::now())
            }
        };
        let handles: Vec<_> = (0..threads).map(|number| scope.spawn(work(number))).collect();
        let join = |handle: thread::ScopedJoinHandle<'_, _>| handle.join().expect("no map panics");
        handles.into_iter().map(join).collect::<Vec<_>>()
    });
    let begin = times.iter().map(|(begin, _)| *begin).min().expect("there are threads");
    let end = times.iter().map(|(_, end)| *end).max().expect("there are threads");
    end - begin
}

/// Increments the value of every key; gives a sum of all results.
#[inline(always)]
pub fn increment_all<M: Compute>(session: &M::Session<'_>, keys: &[u64]) -> u64 {
    keys.iter().map(|&key| M::increment(session, key)).fold(0, u64::wrapping_add)
}

/// The sum of the values of a map that holds [`keys::present`]`(entries)`. Each increment adds 1.
pub fn total<M: Map>(map: &M, entries: usize) -> u64 {
    let session = map.session();
    let value = |key| session.get(&key).unwrap_or_else(|| panic!("{} lost a key", M::NAME));
    keys::present(entries).into_iter().map(value).fold(0, u64::wrapping_add)
}

/// The sum of the values that benchmarks give to these keys.
fn sum_of_values<'k>(keys: impl IntoIterator<Item = &'k u64>) -> u64 {
    keys.into_iter().fold(0, |sum, &key| sum.wrapping_add(!key))
}
