//! binlock against its peers, each in a process of its own, their slices interleaved.
//!
//! Machines are noisy, in phases that last longer than a benchmark. So no time stands alone here:
//! all maps of a comparison are built first, each in a process that has not done anything else, and then,
//! round after round, each of them runs for a few milliseconds, in an order drawn anew, while the others
//! wait. A ratio is taken within a round, and what is reported is the median of the rounds' ratios, with
//! its quartiles.

#[path = "../common/mod.rs"]
mod common;

mod args;
mod contenders;
mod counters;
mod crowded;
mod java;
mod memory_budget;
mod one_job;
mod one_map;
mod progress;
mod readers;
mod render;
mod rounds;
mod threads;
mod workloads;

use std::env;
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use mimalloc::MiMalloc;

use crate::args::Args;
use crate::common::machine::Machine;
use crate::common::report::Report;
use crate::one_job::News;
use crate::progress::Progress;
use crate::workloads::Job;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    if let Some(code) = workloads::one_pass::serve().or_else(one_job::serve) {
        return code;
    }
    let args = match Args::parse(env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => return ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}\n\n{}", args::USAGE);
            return ExitCode::FAILURE;
        }
    };

    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let report = match args.from.as_slice() {
        [] => measure(args)?,
        files => {
            let mut all = Report::default();
            for file in files {
                all.append(Report::read_json(file).map_err(|error| of_file(file, &error))?);
            }
            all
        }
    };
    if let Some(file) = &args.json {
        report.write_json(file).map_err(|error| of_file(file, &error))?;
    }
    if let Some(folder) = &args.svg {
        render::charts::write(&report, folder).map_err(|error| of_file(folder, &*error))?;
    }
    if let Some(file) = &args.markdown {
        render::markdown::update(&report, file).map_err(|error| of_file(file, &error))?;
    }
    Ok(())
}

fn of_file(file: &Path, error: &dyn Error) -> String {
    format!("{}: {error}", file.display())
}

fn measure(args: &Args) -> Result<Report, String> {
    let jobs = workloads::jobs(args);
    if args.plan {
        plan(&jobs);
        return Ok(Report::default());
    }
    let mut progress = Progress::new(jobs.iter().map(|job| job.cost).sum());
    let mut report = Report {
        machine: Some(Machine { java: java_of(args), ..Machine::here() }),
        ..Report::default()
    };
    for (number, job) in jobs.iter().enumerate() {
        progress.begin(&job.name, job.cost);
        let done = one_job::run(number, |news| match news {
            News::Advance(milliseconds) => progress.advance(Duration::from_millis(milliseconds)),
            News::Table(mut table) => {
                if !args.builds.is_empty() {
                    table.workload.insert_str(0, render::BUILDS);
                }
                progress.print(&table.text());
                report.add(table);
                keep(args, &report);
            }
        });
        done.map_err(|error| format!("{}: {error}", job.name))?;
        progress.end();
    }
    progress.finish();
    Ok(report)
}

/// Writes the report each time that there is something new in it, so that a run that is broken off
/// has not been for nothing.
fn keep(args: &Args, report: &Report) {
    if let Some(file) = &args.json
        && let Err(error) = report.write_json(file)
    {
        eprintln!("{}: {error}", file.display());
    }
}

fn java_of(args: &Args) -> String {
    if !args.java {
        return String::new();
    }
    java::version().unwrap_or_else(|reason| {
        eprintln!("Java is left out: {reason}");
        String::new()
    })
}

/// What would be run, and about how long each takes.
fn plan(jobs: &[Job]) {
    for Job { name, cost, .. } in jobs {
        println!("{:7.1} s  {name}", cost.as_secs_f64());
    }
    let total: Duration = jobs.iter().map(|job| job.cost).sum();
    println!("{:7.1} min", total.as_secs_f64() / 60.0);
}
