//! The scenarios of `binlock-linearizability`, in schedules that can be had again: all
//! operations, up to eight threads, growth and shrinking, and a checker of what came of it.
#![cfg(binlock_shuttle)]

use std::sync::Arc;

use binlock_linearizability::{Hashing, Map, Operation, Random, Scenario, Trial};
use binlock_shuttle_tests::{explore_times, together};
use shuttle::rand::{RngCore, thread_rng};

/// What is possible in a schedule: a thread of shuttle's cannot be parked by std, and while one
/// unwinds, std takes all others for panicking.
fn possible(operation: Operation) -> Operation {
    match operation {
        Operation::ComputeIfAbsentAsync => Operation::ComputeIfAbsent,
        Operation::Panic => Operation::TryComputeIfAbsent { fails: true },
        // Large tables take too many steps, which are all alike.
        Operation::Reserve(room) => Operation::Reserve(room.min(200)),
        operation => operation,
    }
}

#[test]
fn histories_can_be_explained_by_an_order() {
    explore_times(5.0, || {
        // A part of the schedule, and repeated with it.
        let seed = thread_rng().next_u64();
        let mut scenario = Scenario::from_seed(seed);
        scenario.room = scenario.room.min(200);
        scenario.jitter = 0;
        for step in scenario.threads.iter_mut().flatten() {
            step.operation = possible(step.operation);
        }
        try_out(seed, scenario);
    });
}

/// All keys in a bin or a few, with as many as there is just no room for without overflow blocks:
/// what comes and goes is what empties these and fills them again.
#[test]
fn histories_of_bins_whose_overflow_blocks_are_emptied_and_filled_can_be_explained_by_an_order() {
    explore_times(5.0, || {
        let seed = thread_rng().next_u64();
        let mut scenario = Scenario::from_seed(seed);
        let mut random = Random::new(!seed);
        scenario.hashing = random.one_of(&[Hashing::Constant, Hashing::Constant, Hashing::Poor]);
        scenario.neighbours = match scenario.hashing {
            Hashing::Constant => 4 + random.below(5),
            _ => 20 + random.below(12),
        };
        scenario.room = random.one_of(&[0, 40, 100]);
        scenario.jitter = 0;
        for step in scenario.threads.iter_mut().flatten() {
            step.operation = match random.below(8) {
                0 => Operation::InsertNeighbours(1 + random.below(3) as u8),
                1 => Operation::RemoveNeighbours(1 + random.below(3) as u8),
                2 => Operation::Insert,
                3 => Operation::Remove,
                _ => possible(step.operation),
            };
        }
        try_out(seed, scenario);
    });
}

/// Performs a scenario in the schedule that is being explored.
fn try_out(seed: u64, scenario: Scenario) {
    let threads = scenario.threads.len();
    let trial = Arc::new(Trial::<Map>::new(scenario));
    together(&trial, threads, |trial, thread| trial.perform(thread, 0));
    if let Err(what) = trial.check() {
        panic!("scenario {seed}: {what}\n{:#?}", trial.scenario());
    }
}
