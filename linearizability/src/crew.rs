//! Threads that run scenarios, many one after another.

use std::{
    hint,
    io::{self, Write},
    ops::Range,
    process,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use crate::{
    check::Violation,
    scenario::{MOST_THREADS, Scenario},
    subject::Subject,
    trial::Trial,
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
        let runs = (next..end).map(|seed| Run::<S>::new(Some(seed), Scenario::from_seed(seed)));
        batch(crew, runs.collect())?;
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
        batch(crew, (0..now).map(|_| Run::<S>::new(None, scenario.clone())).collect())?;
        progress(now);
        left -= now;
    }
    Ok(())
}

/// So many scenarios are handed to the threads at once: they wait for each other before each,
/// but only for those that take part.
const BATCH: u64 = 256;

struct Run<S> {
    seed: Option<u64>,
    trial: Trial<S>,
    /// How many threads have come to the start.
    arrived: AtomicUsize,
}

fn batch<S: Subject>(crew: &Crew, mut runs: Vec<Run<S>>) -> Result<(), Box<Violation>> {
    // A thread that takes part in few scenarios does so first, and waits for no others.
    runs.sort_by_key(|run| usize::MAX - run.threads());
    let runs = Arc::new(runs);
    let what = || {
        let seeds: Vec<_> = runs.iter().filter_map(|run| run.seed).collect();
        match (seeds.iter().min(), seeds.iter().max()) {
            (Some(first), Some(last)) => format!("one of the scenarios {first} to {last}"),
            _ => format!("{:#?}", runs[0].trial.scenario()),
        }
    };

    let performed = Arc::clone(&runs);
    crew.all(&what, move |thread| {
        for (i, run) in performed.iter().enumerate().filter(|(_, run)| thread < run.threads()) {
            run.start();
            run.trial.perform(thread, run.seed.unwrap_or(i as u64) << 3 | thread as u64);
        }
    });

    let violations = Arc::new(Mutex::new(Vec::new()));
    let next = AtomicUsize::new(0);
    let (checked, found) = (Arc::clone(&runs), Arc::clone(&violations));
    crew.all(&what, move |_| {
        while let Some(run) = checked.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(what) = run.trial.check() {
                let scenario = run.trial.scenario().clone();
                found.lock().unwrap().push(Violation { seed: run.seed, scenario, what });
            }
        }
    });
    let mut violations = violations.lock().unwrap();
    match violations.pop() {
        Some(violation) => Err(Box::new(violation)),
        None => Ok(()),
    }
}

impl<S: Subject> Run<S> {
    fn new(seed: Option<u64>, scenario: Scenario) -> Self {
        Run { seed, trial: Trial::new(scenario), arrived: AtomicUsize::new(0) }
    }

    fn threads(&self) -> usize {
        self.trial.scenario().threads.len()
    }

    /// Waits until all threads are here. Two of them, on two cores, leave at the same moment.
    fn start(&self) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut rounds = 0;
        while self.arrived.load(Ordering::Acquire) < self.threads() {
            rounds += 1;
            if rounds % 64 == 0 {
                thread::yield_now();
            } else {
                hint::spin_loop();
            }
        }
    }
}
