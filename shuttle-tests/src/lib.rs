//! What the scenarios share: random schedules that can be had again, threads, and values that
//! notice when they are used after they are gone.
//!
//! Loom tries all interleavings of two or three threads that do two or three things. Here eight
//! threads do dozens, in tables that grow through several sizes, and shuttle picks what runs next:
//! at random, or by priorities that change a few times (PCT), which finds what needs few
//! preemptions in a long run.
//!
//! Every access to an atomic counts as sequentially consistent here, whatever the code says:
//! orderings that are too weak are for loom to find. In exchange tables and bins are those that
//! users have, but for a shorter stride and smaller batches of garbage, so that threads meet there.
#![cfg(binlock_shuttle)]

use std::{
    env,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use binlock_linearizability::Hashing;
use shuttle::{
    Config, FailurePersistence, MaxSteps, Runner,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
};

/// The map of the scenarios.
pub type Map = binlock::HashMap<u64, Value, Hashing>;

pub const HASHINGS: [Hashing; 3] = [Hashing::Good, Hashing::Poor, Hashing::Constant];

/// How many threads a scenario has beside the one that sets it up.
pub const THREADS: usize = 8;

/// A seed stands for so many schedules. (PCT learns from the first how long they are.)
const CHUNK: usize = 20;

/// Preemptions that PCT looks for.
const DEPTH: usize = 4;

/// Runs a scenario in random schedules: `BINLOCK_SHUTTLE_ITERATIONS` (200) of each kind, from the
/// seed `BINLOCK_SHUTTLE_SEED` (1) on.
pub fn explore(scenario: impl Fn() + Send + Sync + 'static) {
    explore_times(1.0, scenario);
}

/// The same in so many times as many schedules: fewer of what takes many steps.
pub fn explore_times(factor: f64, scenario: impl Fn() + Send + Sync + 'static) {
    let iterations = factor * from_environment("BINLOCK_SHUTTLE_ITERATIONS", 200) as f64;
    let first_seed = from_environment("BINLOCK_SHUTTLE_SEED", 1);
    let scenario = Arc::new(scenario);
    for seed in (first_seed..).take((iterations as usize / CHUNK).max(1)) {
        run("random", seed, RandomScheduler::new_from_seed(seed, CHUNK), &scenario);
        run("PCT", seed, PctScheduler::new_from_seed(seed, DEPTH, CHUNK), &scenario);
    }
}

fn run(
    kind: &str,
    seed: u64,
    scheduler: impl Scheduler + 'static,
    scenario: &Arc<impl Fn() + Send + Sync + 'static>,
) {
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    // Shuttle's own description of a schedule is as long as the schedule; the seed is shorter.
    config.failure_persistence = FailurePersistence::None;
    // The watchdog: nothing here comes near it, unless it does not end.
    config.max_steps = MaxSteps::FailAfter(2_000_000);
    // About orderings, see above.
    config.silence_warnings = true;
    let scenario = Arc::clone(scenario);
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        Runner::new(scheduler, config).run(move || scenario());
    }));
    if let Err(payload) = outcome {
        eprintln!(
            "in one of {CHUNK} {kind} schedules with the seed {seed}: \
             BINLOCK_SHUTTLE_SEED={seed} BINLOCK_SHUTTLE_ITERATIONS={CHUNK} repeats them"
        );
        panic::resume_unwind(payload);
    }
}

fn from_environment(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")),
        Err(_) => default,
    }
}

/// Runs something on as many threads, each with its number, and waits for them.
pub fn together<T: Send + Sync + 'static>(
    shared: &Arc<T>,
    threads: usize,
    work: impl Fn(&T, usize) + Send + Sync + 'static,
) {
    let work = Arc::new(work);
    let handles: Vec<_> = (0..threads)
        .map(|i| {
            let (shared, work) = (Arc::clone(shared), Arc::clone(&work));
            shuttle::thread::spawn(move || work(&shared, i))
        })
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
}

/// A map, and how many of its values have not been dropped.
pub struct Tracked {
    pub map: Map,
    alive: Arc<AtomicUsize>,
}

impl Tracked {
    pub fn new(room: usize, hashing: Hashing) -> Arc<Tracked> {
        let map = Map::with_capacity_and_hasher(room, hashing);
        Arc::new(Tracked { map, alive: Arc::default() })
    }

    pub fn value(&self, number: u64) -> Value {
        self.alive.fetch_add(1, Ordering::Relaxed);
        Value { number, state: AtomicU64::new(ALIVE), alive: Arc::clone(&self.alive) }
    }

    /// The entries, each found once, of a map that nobody writes to any more.
    pub fn settled(&self) -> Vec<(u64, u64)> {
        let mut entries: Vec<_> =
            self.map.pin().iter().map(|(key, value)| (*key, value.read())).collect();
        entries.sort_unstable();
        assert!(entries.windows(2).all(|pair| pair[0].0 < pair[1].0), "twice: {entries:?}");
        assert_eq!(self.map.len(), entries.len());
        for (key, number) in &entries {
            assert_eq!(self.map.get(key).map(|value| value.read()), Some(*number));
        }
        entries
    }

    /// Ends a scenario: what the map has ever held is dropped with it.
    pub fn end(self: Arc<Self>) {
        let Tracked { map, alive } = Arc::into_inner(self).expect("all threads have ended");
        drop(map);
        assert_eq!(alive.load(Ordering::Relaxed), 0, "values outlive their map");
    }
}

const ALIVE: u64 = 0xa11e_a11e_a11e_a11e;
const DROPPED: u64 = 0xdead_dead_dead_dead;

/// A number that notices when it is read after it was dropped, and when it is dropped twice.
pub struct Value {
    number: u64,
    state: AtomicU64,
    alive: Arc<AtomicUsize>,
}

impl Value {
    #[track_caller]
    pub fn read(&self) -> u64 {
        assert_eq!(self.state.load(Ordering::Relaxed), ALIVE, "used after it was dropped");
        self.number
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        let state = self.state.swap(DROPPED, Ordering::Relaxed);
        assert_eq!(state, ALIVE, "dropped twice");
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}
