//! What somebody can see is not dropped, whatever eight threads remove, replace and free.
#![cfg(binlock_shuttle)]

use binlock_shuttle_tests::{HASHINGS, THREADS, Tracked, Value, explore, together};
use shuttle::thread::yield_now;

const KEYS: u64 = 4;

/// Looks at a value for as long as somebody else may drop it.
fn hold(value: &Value) {
    let number = value.read();
    for _ in 0..3 {
        yield_now();
        assert_eq!(value.read(), number, "another value in its place");
    }
}

#[test]
fn values_in_hand_outlive_their_replacement_and_removal() {
    explore(|| {
        for hashing in HASHINGS {
            let tracked = Tracked::new(0, hashing);
            for key in 0..KEYS {
                tracked.map.insert(key, tracked.value(key));
            }
            together(&tracked, THREADS, |tracked, thread| {
                let map = &tracked.map;
                match thread {
                    0..3 => {
                        for i in 0..6 {
                            let key = (thread as u64 + i) % KEYS;
                            match i % 3 {
                                0 => drop(map.remove(&key)),
                                _ => drop(map.insert(key, tracked.value(100 + i))),
                            }
                        }
                        map.flush();
                    }
                    3 => {
                        map.reserve(40);
                        map.clear();
                        map.flush();
                    }
                    4 => map.pin().iter().for_each(|(_, value)| hold(value)),
                    5 => {
                        let pinned = map.pin();
                        let held: Vec<_> = (0..KEYS).filter_map(|key| pinned.get(&key)).collect();
                        held.into_iter().for_each(hold);
                    }
                    6 => {
                        for key in 0..KEYS {
                            // Its own is covered by its claim, and not pinned.
                            let computed = map.compute_if_present(&key, |_, value| {
                                hold(value);
                                Some(tracked.value(7))
                            });
                            if let Some(value) = computed.unwrap() {
                                hold(&value);
                            }
                        }
                    }
                    _ => {
                        for key in 0..KEYS {
                            if let Some(value) = map.get(&key) {
                                hold(&value);
                            }
                        }
                    }
                }
            });
            tracked.settled();
            tracked.end();
        }
    });
}
