//! Every operation is linearizable per key: short histories of threads that do things to
//! the same key at the same time are recorded, and an order is looked for that explains
//! what each operation returned (Wing and Gong, 1993).

mod common;

use std::{
    sync::{
        Barrier, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use binlock::HashMap;
use common::{Hashers, Random, together, within};

#[derive(Clone, Copy, Debug)]
enum Operation {
    Get,
    Iterate,
    Insert(u64),
    TryInsert(u64),
    Replace(u64),
    Remove,
    RemoveEven,
    Clear,
    ComputeIfAbsent(u64),
    /// Removes what is even, and adds to what is odd.
    Compute(u64),
    Merge(u64),
    /// An entry that is inserted into, held meanwhile.
    Entry(u64),
}

/// An operation with what it returned (a previous, found, removed or current value), and
/// when it was called and had returned.
#[derive(Clone, Copy, Debug)]
struct Event {
    operation: Operation,
    returned: Option<u64>,
    called: u64,
    ended: u64,
}

type Map = HashMap<u64, u64, Hashers>;

fn computed(current: Option<u64>, value: u64) -> Option<u64> {
    match current {
        Some(current) if current % 2 == 0 => None,
        Some(current) => Some(current + value),
        None => Some(value),
    }
}

impl Operation {
    fn random(random: &mut Random, value: u64) -> Operation {
        match random.below(24) {
            0..=2 => Operation::Get,
            3 => Operation::Iterate,
            4..=6 => Operation::Insert(value),
            7..=8 => Operation::TryInsert(value),
            9..=10 => Operation::Replace(value),
            11..=12 => Operation::Remove,
            13..=14 => Operation::RemoveEven,
            15 => Operation::Clear,
            16..=18 => Operation::ComputeIfAbsent(value),
            19..=20 => Operation::Compute(value),
            21..=22 => Operation::Merge(value),
            _ => Operation::Entry(value),
        }
    }

    fn perform(self, map: &Map, key: u64) -> Option<u64> {
        let pinned = map.pin();
        match self {
            Operation::Get => pinned.get(&key).copied(),
            Operation::Iterate => {
                let mut found = pinned.iter().filter(|(k, _)| **k == key).map(|(_, value)| *value);
                found.next()
            }
            Operation::Insert(value) => pinned.insert(key, value).copied(),
            Operation::TryInsert(value) => pinned.try_insert(key, value).err().map(|e| *e.current),
            Operation::Replace(value) => pinned.replace(key, value).copied(),
            Operation::Remove => pinned.remove(&key).copied(),
            Operation::RemoveEven => {
                pinned.remove_if(&key, |_, value| value % 2 == 0).map(|(_, value)| *value)
            }
            Operation::Clear => {
                pinned.clear();
                None
            }
            Operation::ComputeIfAbsent(value) => {
                let compute = |_: &u64| {
                    thread::yield_now();
                    value
                };
                Some(*pinned.compute_if_absent(key, compute).unwrap())
            }
            Operation::Compute(value) => {
                let compute = |_: &u64, current: Option<&u64>| {
                    thread::yield_now();
                    computed(current.copied(), value)
                };
                pinned.compute(key, compute).unwrap().copied()
            }
            Operation::Merge(value) => {
                pinned.merge(key, value, |current, value| Some(current + value)).unwrap().copied()
            }
            Operation::Entry(value) => {
                let entry = pinned.entry(key).unwrap();
                thread::yield_now();
                Some(*entry.insert(value).unwrap())
            }
        }
    }

    /// What it would return, and leave, if it came now. `None`: it would not return that.
    fn explain(self, state: Option<u64>, returned: Option<u64>) -> Option<Option<u64>> {
        let even = state.filter(|value| value % 2 == 0);
        let (expected, next) = match self {
            Operation::Get | Operation::Iterate => (state, state),
            Operation::Insert(value) => (state, Some(value)),
            Operation::TryInsert(value) => (state, state.or(Some(value))),
            Operation::Replace(value) => (state, state.and(Some(value))),
            Operation::Remove => (state, None),
            Operation::RemoveEven => (even, if even.is_some() { None } else { state }),
            Operation::Clear => (None, None),
            Operation::ComputeIfAbsent(value) => (state.or(Some(value)), state.or(Some(value))),
            Operation::Compute(value) => (computed(state, value), computed(state, value)),
            Operation::Merge(value) => {
                let sum = state.map_or(value, |state| state + value);
                (Some(sum), Some(sum))
            }
            Operation::Entry(value) => (Some(value), Some(value)),
        };
        (expected == returned).then_some(next)
    }
}

/// Whether the events that are left can be put in an order, from a state on to the last.
fn is_linearizable(events: &[Event], left: u32, state: Option<u64>, last: Option<u64>) -> bool {
    if left == 0 {
        return state == last;
    }
    let is_left = |i: &usize| left & 1 << i != 0;
    // Whatever has ended before another was called comes before it.
    let first_end = (0..events.len()).filter(is_left).map(|i| events[i].ended).min().unwrap();
    (0..events.len()).filter(is_left).filter(|i| events[*i].called < first_end).any(|i| {
        events[i]
            .operation
            .explain(state, events[i].returned)
            .is_some_and(|state| is_linearizable(events, left & !(1 << i), state, last))
    })
}

const THREADS: usize = 4;
const EACH: u64 = 4;

/// Records rounds of operations on one key, and checks each of them. There can be
/// `neighbours` in the map; the table grows and shrinks then, and nothing is cleared (a
/// `clear` promises little about what comes while the table shrinks).
fn check(hasher: Hashers, rounds: u64, neighbours: u64) {
    let map = &Map::with_hasher(hasher);
    let clock = &AtomicU64::new(0);
    let now = || clock.fetch_add(1, Ordering::SeqCst);
    let events = &Mutex::new(Vec::new());
    let round_start = &Barrier::new(THREADS);
    let round_end = &Barrier::new(THREADS);
    together(THREADS, |thread| {
        let mut random = Random::new(thread as u64);
        for key in 0..rounds {
            if thread == 0 {
                for neighbour in 0..neighbours {
                    map.insert(u64::MAX - neighbour, 1);
                }
            }
            round_start.wait();
            let mut mine = Vec::new();
            for i in 0..EACH {
                let value = thread as u64 * EACH + i;
                let operation = match Operation::random(&mut random, value) {
                    Operation::Clear if neighbours > 0 => Operation::Remove,
                    operation => operation,
                };
                let called = now();
                let returned = operation.perform(map, key);
                mine.push(Event { operation, returned, called, ended: now() });
                if neighbours > 0 && thread == 1 && i == 2 {
                    match key % 2 {
                        0 => map.reserve(2_000),
                        _ => map.shrink_to_fit(),
                    }
                }
            }
            events.lock().unwrap().append(&mut mine);
            if round_end.wait().is_leader() {
                let events = std::mem::take(&mut *events.lock().unwrap());
                let last = map.remove(&key).map(|value| *value);
                let all = (1 << events.len()) - 1;
                assert!(is_linearizable(&events, all, None, last), "{last:?} after {events:#?}");
            }
        }
    });
}

#[test]
fn operations_on_one_key_can_be_explained_by_an_order() {
    within(240, || {
        check(Hashers::Good(1), 1_500, 0);
        check(Hashers::Constant, 1_500, 0);
    });
}

#[test]
fn operations_on_a_key_in_a_full_bin_can_be_explained_by_an_order() {
    within(240, || {
        for neighbours in [5, 6, 7, 12, 13] {
            check(Hashers::Constant, 400, neighbours);
        }
    });
}

#[test]
fn operations_on_a_key_that_moves_can_be_explained_by_an_order() {
    within(240, || check(Hashers::FewBits(3), 800, 40));
}
