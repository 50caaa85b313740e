//! Soak: everything at once, for as long as one likes, and what must hold all the while.
//!
//! ```text
//! cargo run --release --example soak -- --seconds 3600
//! ```
//!
//! Threads do everything that maps and reader caches can do, mixed, while tables grow and shrink.
//! Each second the memory in use is looked at; the time of every operation is recorded. At the
//! end:
//!
//! * every value has been dropped once, every sum is right, every reader was closed once;
//! * memory has not grown after the warm-up, and is given back when all is dropped;
//! * no operation has taken longer than what the machine's scheduling explains (see `latency`).

mod computations;
mod latency;
mod load;
mod memory;
mod options;
mod plot;
mod readers;
mod values;
mod verdict;

use std::{
    env, fs,
    process::{self, ExitCode},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

use crate::{
    latency::{Control, Kind, Latencies},
    load::World,
    memory::{Counting, Sample},
    options::{HELP, Options, Request},
    verdict::Verdict,
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A thread that has been at one operation for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match options::parse(env::args_os().skip(1)) {
        Ok(Request::Help) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Request::Run(options)) => run(&options),
        Err(error) => {
            eprintln!("soak: {error}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> ExitCode {
    // What is made once, by the first use of anything.
    drop(soak(options, Duration::from_millis(300), &ProgressBar::hidden()));
    let baseline = memory::in_use();
    let progress = ProgressBar::new(options.seconds).with_style(
        ProgressStyle::with_template("{elapsed_precise} {wide_bar} {msg}").expect("it is right"),
    );
    let time = Duration::from_secs(options.seconds);
    let Soaked { samples, latencies, control, full, mut verdict } = soak(options, time, &progress);
    progress.finish_and_clear();

    println!("{}", latencies.table(&control));
    verdict.latencies_are_bounded(&latencies, &control);
    verdict.memory_is_bounded(&samples, full);
    // What is left is the samples, and what should not be.
    drop((latencies, control));
    verdict.memory_is_given_back(baseline, memory::in_use_without(&samples));
    let drawn = options.svg.parent().map_or(Ok(()), fs::create_dir_all);
    match drawn.and_then(|()| fs::write(&options.svg, plot::svg(&samples))) {
        Ok(()) => println!("memory over time: {}", options.svg.display()),
        Err(error) => verdict.fail(format!("{}: {error}", options.svg.display())),
    }
    verdict.print()
}

/// What a run has brought.
struct Soaked {
    samples: Vec<Sample>,
    latencies: Latencies,
    control: Control,
    /// What a map with all keys takes.
    full: usize,
    verdict: Verdict,
}

/// Where a thread is: how many operations it has done, and the one that it is at.
#[derive(Default)]
struct Position {
    done: AtomicU64,
    kind: AtomicU64,
}

fn soak(options: &Options, time: Duration, progress: &ProgressBar) -> Soaked {
    let mut verdict = Verdict::default();
    let full = load::bytes_of_full_map();
    let start = Instant::now();
    let (world, over) = (World::new(start), AtomicBool::new(false));
    let positions: Vec<Position> = (0..options.threads).map(|_| Position::default()).collect();
    let (mut latencies, mut control, mut samples) = (Latencies::new(), Control::new(), Vec::new());
    thread::scope(|scope| {
        let (world, over) = (&world, &over);
        let workers: Vec<_> = positions
            .iter()
            .enumerate()
            .map(|(number, position)| scope.spawn(move || work(world, number, position, over)))
            .collect();
        // Few, for they take from the workers what these can use.
        let controls: Vec<_> = (0..options.threads.div_ceil(8))
            .map(|_| scope.spawn(move || Control::measure(over)))
            .collect();
        let watched = Watched { world, positions: &positions, start, time, progress };
        watched.watch(
            over,
            || workers.iter().all(|worker| worker.is_finished()),
            |sample| {
                samples.push(sample);
                world.check(&mut verdict);
            },
        );
        for worker in workers {
            match worker.join() {
                Ok(mine) => latencies.add(&mine),
                Err(_) => verdict.fail("a thread has panicked".into()),
            }
        }
        for thread in controls {
            control.add(&thread.join().expect("it only looks at the clock"));
        }
    });
    world.end(&mut verdict);
    Soaked { samples, latencies, control, full, verdict }
}

fn work(world: &World, number: usize, position: &Position, over: &AtomicBool) -> Latencies {
    let (mut worker, mut latencies) = (world.worker(number), Latencies::new());
    while !over.load(Ordering::Acquire) {
        let kind = worker.choose();
        position.kind.store(kind as u64, Ordering::Relaxed);
        latencies.time(kind, || worker.perform(kind));
        position.done.fetch_add(1, Ordering::Relaxed);
    }
    latencies
}

/// A run that is watched.
struct Watched<'w> {
    world: &'w World,
    positions: &'w [Position],
    start: Instant,
    time: Duration,
    progress: &'w ProgressBar,
}

impl Watched<'_> {
    /// Samples memory each second, or oftener in a short run, until all threads have ended, which
    /// they are told to when it is time. Ends the process if one of them hangs.
    fn watch(&self, over: &AtomicBool, ended: impl Fn() -> bool, mut look: impl FnMut(Sample)) {
        let step = (self.time / 60).clamp(Duration::from_millis(20), Duration::from_secs(1));
        let done = |position: &Position| position.done.load(Ordering::Relaxed);
        let now = Instant::now();
        let mut last: Vec<(u64, Instant)> =
            self.positions.iter().map(|position| (done(position), now)).collect();
        while !ended() {
            let left = self.time.saturating_sub(self.start.elapsed());
            if left.is_zero() {
                over.store(true, Ordering::Release);
            }
            thread::sleep(if left.is_zero() { step } else { step.min(left) });
            look(Sample::take(self.start));
            for (position, (count, since)) in self.positions.iter().zip(&mut last) {
                if done(position) != *count {
                    (*count, *since) = (done(position), Instant::now());
                } else if since.elapsed() > PATIENCE && !ended() {
                    let kind = Kind::ALL[position.kind.load(Ordering::Relaxed) as usize];
                    eprintln!("\nHANGS: a thread is at {kind:?} for {:?}", since.elapsed());
                    process::exit(1);
                }
            }
            let operations: u64 = self.positions.iter().map(done).sum();
            self.progress.set_position(self.start.elapsed().as_secs());
            self.progress.set_message(format!(
                "{} operations, {} entries, {}",
                HumanCount(operations),
                HumanCount(self.world.entries() as u64),
                HumanBytes(memory::in_use() as u64),
            ));
        }
    }
}
