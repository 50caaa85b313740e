//! The scenarios of `binlock-linearizability`, in schedules that can be had again: all
//! operations, up to eight threads, growth and shrinking, and a checker of what came of it.
#![cfg(shuttle)]

use std::sync::Arc;

use binlock_linearizability::{Map, Operation, Scenario, Trial};
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
        let threads = scenario.threads.len();
        let trial = Arc::new(Trial::<Map>::new(scenario));
        together(&trial, threads, |trial, thread| trial.perform(thread, 0));
        if let Err(what) = trial.check() {
            panic!("scenario {seed}: {what}\n{:#?}", trial.scenario());
        }
    });
}
