//! A thread that is stopped in a closure, or while it waits for one, holds up nobody but those who
//! need its key.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use binlock::HashMap;

use crate::{
    common::{Gate, Hashers, futures::block_on, within},
    stopping::{Stopping, this_thread},
};

type Map = HashMap<u64, u64, Hashers>;

/// The key that is computed, absent at first, and one that is present.
const ABSENT: u64 = 1;
const PRESENT: u64 = 2;

/// What is stopped in the middle, and what is there afterwards. Each passes the gate in its
/// closure.
type Computation = (fn(&Map, &Gate), u64, Option<u64>);

fn passed(gate: &Gate, value: u64) -> u64 {
    gate.pass();
    value
}

const COMPUTATIONS: [Computation; 9] = [
    (
        |map, gate| drop(map.compute_if_absent(ABSENT, |_| passed(gate, 7)).unwrap()),
        ABSENT,
        Some(7),
    ),
    (
        |map, gate| {
            let failed = map.try_compute_if_absent(ABSENT, |_| Err(passed(gate, 7)));
            assert!(failed.is_err());
        },
        ABSENT,
        None,
    ),
    (
        |map, gate| {
            let compute = |_: &u64, value: &u64| Some(passed(gate, value + 1));
            assert!(map.compute_if_present(&PRESENT, compute).unwrap().is_some());
        },
        PRESENT,
        Some(21),
    ),
    (
        |map, gate| {
            let compute = |_: &u64, value: Option<&u64>| value.map(|value| passed(gate, value + 1));
            drop(map.compute(PRESENT, compute).unwrap());
        },
        PRESENT,
        Some(21),
    ),
    (
        |map, gate| drop(map.merge(PRESENT, 5, |a, b| Some(passed(gate, a + b))).unwrap()),
        PRESENT,
        Some(25),
    ),
    (
        |map, gate| {
            let entry = map.entry(ABSENT).unwrap();
            drop(entry.or_insert_with(|| passed(gate, 7)).unwrap());
        },
        ABSENT,
        Some(7),
    ),
    (
        |map, gate| {
            let entry = map.entry(PRESENT).unwrap();
            drop(entry.and_modify(|value| passed(gate, value + 1)).or_insert(0).unwrap());
        },
        PRESENT,
        Some(21),
    ),
    (
        |map, gate| {
            let removed = map.remove_if(&PRESENT, |_, value| passed(gate, *value) == 20);
            assert!(removed.is_some());
        },
        PRESENT,
        None,
    ),
    (
        |map, gate| {
            let computed = map.compute_if_absent_async(ABSENT, |_| async { passed(gate, 7) });
            assert_eq!(*block_on(computed).unwrap(), 7);
        },
        ABSENT,
        Some(7),
    ),
];

fn map(hasher: Hashers) -> Map {
    let map = Map::with_hasher(hasher);
    map.insert(PRESENT, 20);
    map
}

/// All that can be done without the key that is claimed.
fn use_other_keys(map: &Map, round: u64) {
    let key = |i| 1_000 * (round + 1) + i;
    for i in 0..300 {
        assert!(map.insert(key(i), i).is_none());
    }
    for i in 0..100 {
        assert_eq!(*map.compute_if_absent(key(i), |_| 0).unwrap(), i);
        let merged = map.merge(key(i), 1, |a, b| Some(a + b)).unwrap();
        assert_eq!(*merged.unwrap(), i + 1);
        assert!(map.entry(key(i)).unwrap().insert(i).is_ok());
        assert!(map.remove_if(&key(i), |_, value| *value == i).is_some());
        // In a computation of its own.
        let outer = map.compute_if_absent(key(i), |_| *map.get(&key(i + 100)).unwrap());
        assert_eq!(*outer.unwrap(), i + 100);
    }
    map.reserve(5_000);
    for i in 0..300 {
        assert!(map.remove(&key(i)).is_some());
    }
    map.shrink_to_fit();
    map.flush();
    assert!(map.pin().keys().all(|key| *key < 1_000));
}

#[test]
fn who_is_stopped_in_a_closure_holds_up_those_who_need_its_key_and_nobody_else() {
    within(240, || {
        for hasher in [Hashers::Good(1), Hashers::Constant] {
            for (compute, key, after) in COMPUTATIONS {
                let map = &map(hasher);
                let gate = &Gate::default();
                let waiting = &AtomicUsize::new(0);
                thread::scope(|scope| {
                    let _open = gate.open_at_end();
                    scope.spawn(move || compute(map, gate));
                    gate.wait_for(1);
                    for _ in 0..2 {
                        scope.spawn(move || {
                            drop(map.replace(key, 100));
                            waiting.fetch_add(1, Ordering::AcqRel);
                        });
                    }
                    let before = map.get(&key).map(|value| *value);
                    for round in 0..3 {
                        use_other_keys(map, round);
                    }
                    // It is read as it was, and decided by nobody.
                    assert_eq!(map.get(&key).map(|value| *value), before);
                    assert_eq!(waiting.load(Ordering::Acquire), 0, "somebody has not waited");
                    gate.open();
                });
                assert_eq!(waiting.load(Ordering::Acquire), 2);
                let replaced = after.map(|_| 100);
                assert_eq!(map.get(&key).map(|value| *value), replaced);
            }
        }
    });
}

/// A thread as the system knows it.
fn system_id() -> String {
    let link = fs::read_link("/proc/thread-self").unwrap();
    link.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Waits until a thread sleeps.
fn wait_for_sleep(id: &str) {
    let start = Instant::now();
    loop {
        let stat = fs::read_to_string(format!("/proc/self/task/{id}/stat")).unwrap();
        // The state comes after the name, which is in parentheses.
        if stat.rsplit_once(')').unwrap().1.trim_start().starts_with('S') {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "it does not wait");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn who_is_stopped_while_it_waits_for_a_key_holds_up_nobody_not_even_others_who_wait_for_it() {
    within(240, || {
        for hasher in [Hashers::Good(1), Hashers::Constant] {
            let stopping = Stopping::alone();
            for round in 0..5 {
                let map = &map(hasher);
                let gate = &Gate::default();
                thread::scope(|scope| {
                    let _open = gate.open_at_end();
                    let holder = scope.spawn(move || {
                        drop(map.compute_if_absent(ABSENT, |_| passed(gate, 7)).unwrap());
                    });
                    gate.wait_for(1);
                    let (send, threads) = std::sync::mpsc::channel();
                    let waiter = move |send: std::sync::mpsc::Sender<_>| {
                        send.send((this_thread(), system_id())).unwrap();
                        *map.compute_if_absent(ABSENT, |_| 0).unwrap()
                    };
                    let first = scope.spawn({
                        let send = send.clone();
                        move || waiter(send)
                    });
                    let (stopped, id) = threads.recv().unwrap();
                    wait_for_sleep(&id);
                    let standstill = stopping.stop(&[stopped]);

                    // It is the first in the queue, and stands still; the second comes after it.
                    let second = scope.spawn(move || waiter(send));
                    wait_for_sleep(&threads.recv().unwrap().1);
                    use_other_keys(map, round);
                    gate.open();
                    holder.join().unwrap();
                    assert_eq!(second.join().unwrap(), 7);
                    assert_eq!(*map.replace(ABSENT, 8).unwrap(), 7);
                    use_other_keys(map, round + 10);
                    assert!(!first.is_finished(), "it has not stood still");
                    drop(standstill);
                    assert_eq!(first.join().unwrap(), 8);
                });
            }
        }
    });
}
