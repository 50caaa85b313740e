//! binlock against its peers in one process, their slices interleaved.
//!
//! Machines are noisy, in phases that last longer than a benchmark. So no time stands alone here:
//! all maps of a comparison are built first, and then, round after round, each of them runs for a
//! few milliseconds, in an order drawn anew. A ratio is taken within a round, and what is reported
//! is the median of the rounds' ratios, with its quartiles.

#[path = "../common/mod.rs"]
mod common;

mod args;
mod contenders;
mod counters;
mod crowded;
mod memory_budget;
mod progress;
mod readers;
mod report;
mod rounds;
mod stats;
mod threads;
mod workloads;

use std::process::ExitCode;

use mimalloc::MiMalloc;

use crate::args::Args;
use crate::progress::Progress;
use crate::report::Report;
use crate::workloads::Run;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let args = match Args::from_env() {
        Ok(Some(args)) => args,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}\n\n{}", args::USAGE);
            return ExitCode::FAILURE;
        }
    };

    let jobs = workloads::jobs(&args);
    let mut run = Run {
        progress: Progress::new(jobs.iter().map(|job| job.cost).sum()),
        report: Report::default(),
        args: &args,
    };
    for job in jobs {
        run.progress.begin(&job.name, job.cost);
        (job.run)(&mut run);
    }
    run.progress.finish();

    if let Some(file) = &args.json
        && let Err(error) = run.report.write_json(file)
    {
        eprintln!("{}: {error}", file.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
