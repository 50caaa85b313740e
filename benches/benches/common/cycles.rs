//! Two threads that would wait for each other's computations for ever: how soon the one that
//! closes the cycle is told. Nothing but binlock notices.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use ahash::RandomState;

use super::maps::hasher;

type Map = binlock::HashMap<u64, u64, RandomState>;

const A: u64 = 1;
const B: u64 = 2;
/// What the others wait for, and from where on their own keys are.
const AWAITED: u64 = 3;
const OWN: u64 = 100;

/// Long enough for a thread to fall asleep, mostly.
const UNTIL_ASLEEP: Duration = Duration::from_millis(2);
const UNTIL_ALL_SLEEP: Duration = Duration::from_millis(20);

/// The times from closing a cycle to the refusal, of so many cycles one after the other, while
/// so many other threads wait. Every second one of these is in a computation of its own.
pub fn times_of_refusal(others: usize, cycles: usize) -> Vec<Duration> {
    let map = Map::with_hasher(hasher());
    let others = others as u64;
    let times = thread::scope(|scope| {
        let map = &map;
        let awaited = map.entry(AWAITED).expect("nothing else is being computed");
        let wait = || *map.compute_if_absent(AWAITED, |_| 0).expect("it is not in a cycle");
        let waiting: Vec<_> = (OWN..OWN + others)
            .map(|own| {
                scope.spawn(move || match own % 2 {
                    0 => *map.compute_if_absent(own, |_| wait()).expect("nor is this"),
                    _ => wait(),
                })
            })
            .collect();
        thread::sleep(UNTIL_ALL_SLEEP);
        let mut times = Vec::with_capacity(cycles);
        while times.len() < cycles {
            times.extend(time_of_refusal(map));
        }
        assert!(!waiting.iter().any(|thread| thread.is_finished()), "somebody has not waited");
        awaited.insert(7).expect("nobody else writes it");
        assert!(waiting.into_iter().all(|thread| thread.join().is_ok_and(|value| value == 7)));
        times
    });
    assert_eq!(map.len() as u64, 1 + others.div_ceil(2));
    times
}

/// `None` if the first thread was so late that it was the one to close the cycle.
fn time_of_refusal(map: &Map) -> Option<Duration> {
    let both_compute = Barrier::new(2);
    let first = || {
        let value = map.compute_if_absent(A, |_| {
            both_compute.wait();
            let inner = map.compute_if_absent(B, |_| unreachable!("it is being computed"));
            inner.map_or(0, |inner| *inner / 2)
        });
        *value.expect("what is refused is the inner computation")
    };
    let second = || {
        let mut time = None;
        let value = map.compute_if_absent(B, |_| {
            both_compute.wait();
            thread::sleep(UNTIL_ASLEEP);
            let asked = Instant::now();
            let inner = map.compute_if_absent(A, |_| unreachable!("it is being computed"));
            let elapsed = asked.elapsed();
            if let Err(error) = inner {
                assert_eq!((error.cycle_len(), error.is_overtaken()), (Some(2), false));
                time = Some(elapsed);
            }
            20
        });
        assert_eq!(value.as_deref(), Ok(&20));
        time
    };
    let (first, time) = thread::scope(|scope| {
        let (first, second) = (scope.spawn(first), scope.spawn(second));
        (first.join().expect("no map panics"), second.join().expect("no map panics"))
    });
    // The first one got the second one's value, unless it was refused that.
    assert_eq!(first, if time.is_some() { 10 } else { 0 });
    assert!(map.remove(&A).is_some() && map.remove(&B).is_some());
    time
}
