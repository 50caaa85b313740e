//! How soon a circle is noticed.

use std::{
    sync::{
        Barrier,
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

/// The longest of some circles' time from the question to the refusal.
fn time_of_refusal(rounds: usize, mut circle: impl FnMut() -> Duration) -> Duration {
    (0..rounds).map(|_| circle()).max().unwrap()
}

#[test]
fn a_circle_is_noticed_at_once_while_a_crowd_waits() {
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
            let longest = time_of_refusal(20, || {
                let (barrier, time) = (Barrier::new(2), std::sync::Mutex::new(Duration::ZERO));
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
            println!("noticed within {longest:?}");
            assert!(longest > Duration::ZERO && longest < Duration::from_millis(100));
        });
        assert_eq!(map.len(), 1 + CROWD / 2);
    });
}

#[test]
fn a_circle_through_a_crowd_is_noticed_at_once() {
    within(120, || {
        let map: Map = HashMap::with_hasher(Hashers::Constant);
        let (barrier, last) = (Barrier::new(CROWD), Gate::default());
        together(CROWD, |thread| {
            let key = thread as u64;
            map.compute_if_absent(key, |_| {
                barrier.wait();
                if key == 0 {
                    last.pass();
                    let asked = Instant::now();
                    let error = map.compute_if_absent(CROWD as u64 - 1, |_| 0).unwrap_err();
                    let time = asked.elapsed();
                    assert_eq!(error.cycle_len(), Some(CROWD));
                    println!("noticed within {time:?}");
                    assert!(time < Duration::from_millis(100), "{time:?}");
                    return 0;
                }
                if key == 1 {
                    // All others sleep by then, and this one soon.
                    thread::sleep(Duration::from_millis(30));
                    thread::scope(|scope| {
                        scope.spawn(|| {
                            thread::sleep(Duration::from_millis(10));
                            last.open();
                        });
                        *map.compute_if_absent(0, |_| unreachable!()).unwrap() + 1
                    })
                } else {
                    *map.compute_if_absent(key - 1, |_| unreachable!()).unwrap() + 1
                }
            })
            .unwrap();
        });
        assert!((0..CROWD as u64).all(|key| *map.get(&key).unwrap() == key));
    });
}
