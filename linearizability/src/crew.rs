//! Threads that run scenarios, many one after another.

use std::{
    any::Any,
    hint,
    io::{self, Write},
    ops::Range,
    panic::{self, AssertUnwindSafe},
    process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use crate::{
    check::{Violation, check},
    jitter,
    record::{Event, Recorder},
    scenario::{MOST_THREADS, Operation, Scenario, Step},
    subject::{NEIGHBOURS, Subject},
};

/// As many threads as a scenario can have. They are made once: to start threads takes a hundred
/// times as long as most of what they are to do.
pub struct Crew {
    jobs: Vec<Sender<Job>>,
    done: Receiver<()>,
}

type Job = Arc<dyn Fn(usize) + Send + Sync>;

/// So many seconds are many times what any batch takes.
const PATIENCE: Duration = Duration::from_secs(120);

impl Default for Crew {
    fn default() -> Self {
        Crew::new()
    }
}

impl Crew {
    pub fn new() -> Crew {
        let (ended, done) = mpsc::channel();
        let jobs = (0..MOST_THREADS)
            .map(|i| {
                let (sender, jobs) = mpsc::channel::<Job>();
                let ended = ended.clone();
                thread::spawn(move || {
                    for job in jobs {
                        job(i);
                        // Whoever waits for this may own what the job does, and be about to
                        // drop it.
                        drop(job);
                        if ended.send(()).is_err() {
                            break;
                        }
                    }
                });
                sender
            })
            .collect();
        Crew { jobs, done }
    }

    /// Runs something on each thread, and ends the process if that takes too long: what hangs
    /// can be ended in no other way.
    fn all(&self, what: &dyn Fn() -> String, job: impl Fn(usize) + Send + Sync + 'static) {
        let job: Job = Arc::new(job);
        for thread in &self.jobs {
            thread.send(Arc::clone(&job)).expect("threads outlive the crew");
        }
        drop(job);
        for _ in &self.jobs {
            match self.done.recv_timeout(PATIENCE) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => {
                    // Not by a macro: in a test their output is captured, and lost.
                    let seconds = PATIENCE.as_secs();
                    let _ = writeln!(io::stderr(), "\nHANGS for {seconds} s: {}", what());
                    process::abort();
                }
                Err(RecvTimeoutError::Disconnected) => unreachable!("jobs do not panic"),
            }
        }
    }
}

/// Checks a history of the scenario of each seed. Calls `progress` with how many more it has
/// checked.
pub fn explore<S: Subject>(
    crew: &Crew,
    seeds: Range<u64>,
    mut progress: impl FnMut(u64),
) -> Result<(), Box<Violation>> {
    let mut next = seeds.start;
    while next < seeds.end {
        let end = seeds.end.min(next + BATCH);
        let trials = (next..end).map(|seed| Trial::new(Some(seed), Scenario::from_seed(seed)));
        batch::<S>(crew, trials.collect())?;
        progress(end - next);
        next = end;
    }
    Ok(())
}

/// Checks so many histories of one scenario.
pub fn repeat<S: Subject>(
    crew: &Crew,
    scenario: &Scenario,
    times: u64,
    mut progress: impl FnMut(u64),
) -> Result<(), Box<Violation>> {
    let mut left = times;
    while left > 0 {
        let now = left.min(BATCH);
        batch::<S>(crew, (0..now).map(|_| Trial::new(None, scenario.clone())).collect())?;
        progress(now);
        left -= now;
    }
    Ok(())
}

/// So many scenarios are handed to the threads at once: they wait for each other before each,
/// but only for those that take part.
const BATCH: u64 = 256;

/// A scenario, its map, and its history.
struct Trial<S> {
    seed: Option<u64>,
    scenario: Scenario,
    map: S,
    clock: AtomicU64,
    /// How many threads have come to the start.
    arrived: AtomicUsize,
    history: Mutex<History>,
}

#[derive(Default)]
struct History {
    events: Vec<Event>,
    broken: Vec<String>,
}

fn batch<S: Subject>(crew: &Crew, mut trials: Vec<Trial<S>>) -> Result<(), Box<Violation>> {
    // A thread that takes part in few scenarios does so first, and waits for no others.
    trials.sort_by_key(|trial| usize::MAX - trial.scenario.threads.len());
    let trials = Arc::new(trials);
    let what = || {
        let seeds: Vec<_> = trials.iter().filter_map(|trial| trial.seed).collect();
        match (seeds.iter().min(), seeds.iter().max()) {
            (Some(first), Some(last)) => format!("one of the scenarios {first} to {last}"),
            _ => format!("{:#?}", trials[0].scenario),
        }
    };

    let run = Arc::clone(&trials);
    crew.all(&what, move |thread| {
        for trial in run.iter().filter(|trial| thread < trial.scenario.threads.len()) {
            trial.run(thread);
        }
    });

    let violations = Arc::new(Mutex::new(Vec::new()));
    let next = AtomicUsize::new(0);
    let (check, found) = (Arc::clone(&trials), Arc::clone(&violations));
    crew.all(&what, move |_| {
        while let Some(trial) = check.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(what) = trial.check() {
                let scenario = trial.scenario.clone();
                found.lock().unwrap().push(Violation { seed: trial.seed, scenario, what });
            }
        }
    });
    let mut violations = violations.lock().unwrap();
    match violations.pop() {
        Some(violation) => Err(Box::new(violation)),
        None => Ok(()),
    }
}

impl<S: Subject> Trial<S> {
    fn new(seed: Option<u64>, scenario: Scenario) -> Self {
        let trial = Trial {
            seed,
            map: S::new(&scenario),
            clock: AtomicU64::new(0),
            arrived: AtomicUsize::new(0),
            history: Mutex::default(),
            scenario,
        };
        trial.prepare();
        trial
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
        // Half of the neighbours come before the keys that are watched, and take their places.
        let half = self.scenario.neighbours.div_ceil(2);
        let insert = |key: u64, value: u64, recorder: &mut Recorder<'_>| {
            let (operation, key) = (Operation::Insert, key as usize);
            self.map.perform(&Step { operation, key, value, pinned: true }, 0, recorder);
        };
        for i in 0..half {
            insert(NEIGHBOURS + i, 1, &mut unused);
        }
        for (key, value) in self.present().into_iter().enumerate() {
            if let Some(value) = value {
                insert(key as u64, value, &mut unused);
            }
        }
        for i in half..self.scenario.neighbours {
            insert(NEIGHBOURS + i, 1, &mut unused);
        }
    }

    /// Does what is one thread's share.
    fn run(&self, thread: usize) {
        let mut recorder = Recorder::new(&self.clock);
        self.start();
        let seed = self.seed.unwrap_or(0) + thread as u64 * 0x1000_0000;
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

    /// Waits until all threads are here. Two of them, on two cores, leave at the same moment.
    fn start(&self) {
        let threads = self.scenario.threads.len();
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut rounds = 0;
        while self.arrived.load(Ordering::Acquire) < threads {
            rounds += 1;
            if rounds % 64 == 0 {
                thread::yield_now();
            } else {
                hint::spin_loop();
            }
        }
    }

    /// To be called when all threads have ended.
    fn check(&self) -> Result<(), String> {
        let mut history = self.history.lock().unwrap();
        let History { events, broken } = &mut *history;
        if let Some(broken) = broken.first() {
            return Err(broken.clone());
        }
        let mut last = Recorder::new(&self.clock);
        for operation in [Operation::Iterate, Operation::GetMany] {
            self.map.perform(
                &Step { operation, key: 0, value: 0, pinned: true },
                self.keys(),
                &mut last,
            );
        }
        let (mut at_rest, broken) = last.into_parts();
        if let Some(broken) = broken.first() {
            return Err(format!("at rest: {broken}"));
        }
        events.append(&mut at_rest);
        check(events, &self.present(), self.scenario.clears_repeatedly())
    }
}

/// Steps have smaller values, and keys without a value have none.
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
