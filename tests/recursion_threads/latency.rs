//! How soon a cycle is noticed.

use std::{
    sync::{
        Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use binlock::HashMap;

use crate::{
    A, B, CROWD, Map,
    common::{Gate, Hashers, together, within},
};

/// The shortest of some cycles' time from the question to the refusal: of the others, the
/// scheduler may have had its share.
fn time_of_refusal(rounds: usize, cycle: impl FnMut() -> Duration) -> Duration {
    std::iter::repeat_with(cycle).take(rounds).min().unwrap()
}

#[test]
fn a_cycle_is_noticed_at_once_while_a_crowd_waits() {
    within(120, || {
        let map: Map = HashMap::with_hasher(Hashers::Constant);
        let (gate, waiting) = (Gate::default(), AtomicUsize::new(0));
        thread::scope(|scope| {
            let _open = gate.open_at_end();
            let (map, gate, waiting) = (&map, &gate, &waiting);
            scope.spawn(move || {
                map.compute_if_absent(100, |_| {
                    gate.pass();
                    1
                })
                .is_ok()
            });
            gate.wait_for(1);
            for thread in 0..CROWD as u64 {
                // Half of them are in a computation of their own.
                scope.spawn(move || {
                    waiting.fetch_add(1, Ordering::Relaxed);
                    let wait = || *map.compute_if_absent(100, |_| unreachable!()).unwrap();
                    if thread % 2 == 0 {
                        map.compute_if_absent(200 + thread, |_| wait()).unwrap();
                    } else {
                        wait();
                    }
                });
            }
            while waiting.load(Ordering::Relaxed) < CROWD {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(20));
            let shortest = time_of_refusal(20, || {
                let (barrier, time) = (Barrier::new(2), Mutex::new(Duration::ZERO));
                together(2, |thread| {
                    let (mine, other) = if thread == 0 { (A, B) } else { (B, A) };
                    map.compute_if_absent(mine, |_| {
                        barrier.wait();
                        let asked = Instant::now();
                        if map.compute_if_absent(other, |_| unreachable!()).is_err() {
                            *time.lock().unwrap() = asked.elapsed();
                        }
                        0
                    })
                    .unwrap();
                });
                map.remove(&A);
                map.remove(&B);
                time.into_inner().unwrap()
            });
            println!("noticed within {shortest:?}");
            assert!(shortest > Duration::ZERO && shortest < Duration::from_millis(100));
        });
        assert_eq!(map.len(), 1 + CROWD / 2);
    });
}

#[test]
fn a_cycle_through_a_crowd_is_noticed_at_once() {
    within(120, || {
        let shortest = time_of_refusal(5, || {
            let map: Map = HashMap::with_hasher(Hashers::Constant);
            let (barrier, refused) = (Barrier::new(CROWD), Mutex::new(None));
            together(CROWD, |thread| {
                let before = (thread + CROWD - 1) % CROWD;
                map.compute_if_absent(thread as u64, |_| {
                    barrier.wait();
                    if thread == 0 {
                        // Most likely, all others sleep by then, and this one closes the cycle.
                        thread::sleep(Duration::from_millis(30));
                    }
                    let asked = Instant::now();
                    match map.compute_if_absent(before as u64, |_| unreachable!()) {
                        Ok(value) => *value + 1,
                        Err(error) => {
                            let time = asked.elapsed();
                            assert_eq!(error.cycle_len(), Some(CROWD));
                            assert_eq!(refused.lock().unwrap().replace(time), None);
                            0
                        }
                    }
                })
                .unwrap();
            });
            let mut values: Vec<_> = map.pin().values().copied().collect();
            values.sort_unstable();
            assert!(values.into_iter().eq(0..CROWD as u64));
            refused.into_inner().unwrap().expect("it is a cycle")
        });
        println!("noticed within {shortest:?}");
        assert!(shortest < Duration::from_millis(100), "{shortest:?}");
    });
}
