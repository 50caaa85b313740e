//! One run of a scenario: its map, and its history.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    sync::{Mutex, atomic::AtomicU64},
};

use crate::{
    check::check,
    jitter,
    record::{Event, Recorder},
    scenario::{Operation, Scenario, Step},
    subject::{NEIGHBOURS, Subject},
};

/// A scenario that threads, of whatever kind, are about to run, are running or have run.
pub struct Trial<S> {
    scenario: Scenario,
    map: S,
    clock: AtomicU64,
    history: Mutex<History>,
}

#[derive(Default)]
struct History {
    events: Vec<Event>,
    broken: Vec<String>,
}

impl<S: Subject> Trial<S> {
    pub fn new(scenario: Scenario) -> Self {
        let trial = Trial {
            map: S::new(&scenario),
            clock: AtomicU64::new(0),
            history: Mutex::default(),
            scenario,
        };
        trial.prepare();
        trial
    }

    pub fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Does what is one thread's share, with pauses by this seed.
    pub fn perform(&self, thread: usize, seed: u64) {
        let mut recorder = Recorder::new(&self.clock);
        jitter::begin(seed, self.scenario.jitter);
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
            for step in &self.scenario.threads[thread] {
                self.map.perform(step, self.keys(), &mut recorder);
            }
        }));
        jitter::end();
        let (mut events, mut broken) = recorder.into_parts();
        if let Err(payload) = outcome {
            broken.push(format!("panic: {}", message(&*payload)));
        }
        let mut history = self.history.lock().unwrap();
        history.events.append(&mut events);
        history.broken.append(&mut broken);
    }

    /// Says what is wrong with what has happened. To be called when all threads have ended.
    pub fn check(&self) -> Result<(), String> {
        let mut history = self.history.lock().unwrap();
        let History { events, broken } = &mut *history;
        if let Some(broken) = broken.first() {
            return Err(broken.clone());
        }
        let mut last = Recorder::new(&self.clock);
        for operation in [Operation::Iterate, Operation::GetMany] {
            let step = Step { operation, key: 0, value: 0, pinned: true };
            self.map.perform(&step, self.keys(), &mut last);
        }
        let (mut at_rest, broken) = last.into_parts();
        if let Some(broken) = broken.first() {
            return Err(format!("at rest: {broken}"));
        }
        events.append(&mut at_rest);
        check(events, &self.present(), self.scenario.clears_repeatedly())
    }

    fn keys(&self) -> usize {
        self.scenario.present.len()
    }

    /// What the keys have before anything is done to them.
    fn present(&self) -> Vec<Option<u64>> {
        let value = |key| FIRST_VALUES + key as u64;
        let present = self.scenario.present.iter().enumerate();
        present.map(|(key, present)| present.then(|| value(key))).collect()
    }

    fn prepare(&self) {
        let mut unused = Recorder::new(&self.clock);
        let mut insert = |key: u64, value: u64| {
            let (operation, key) = (Operation::Insert, key as usize);
            self.map.perform(&Step { operation, key, value, pinned: true }, 0, &mut unused);
        };
        // Half of the neighbours come before the keys that are watched, and take their places.
        let half = self.scenario.neighbours.div_ceil(2);
        for i in 0..half {
            insert(NEIGHBOURS + i, 1);
        }
        for (key, value) in self.present().into_iter().enumerate() {
            if let Some(value) = value {
                insert(key as u64, value);
            }
        }
        for i in half..self.scenario.neighbours {
            insert(NEIGHBOURS + i, 1);
        }
    }
}

/// Steps have smaller values.
const FIRST_VALUES: u64 = 1_000_000;

fn message(payload: &(dyn Any + Send)) -> &str {
    if let Some(message) = payload.downcast_ref::<&str>() {
        message
    } else if let Some(message) = payload.downcast_ref::<String>() {
        message
    } else {
        "without a message"
    }
}
