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
    let jobs = Jobs::of(args)?;
    if args.plan {
        jobs.print();
        return Ok(Report::default());
    }
    let mut progress = Progress::new(jobs.in_turn().map(|turn| turn.job.cost).sum());
    let mut report = Report {
        machine: Some(Machine { java: java_of(args), ..Machine::here() }),
        ..Report::default()
    };
    for Turn { number, job, words, is_last } in jobs.in_turn() {
        progress.begin(&job.name, job.cost);
        let done = one_job::run(number, words, |news| match news {
            News::Advance(milliseconds) => progress.advance(Duration::from_millis(milliseconds)),
            News::Table(mut table) => {
                if !args.builds.is_empty() {
                    table.workload.insert_str(0, render::BUILDS);
                }
                let table = report.pool(table);
                if is_last {
                    progress.print(&table.text());
                }
                keep(args, &report);
            }
        });
        done.map_err(|error| format!("{}: {error}", job.name))?;
        progress.end();
    }
    progress.finish();
    Ok(report)
}

/// What is to be run, and in what parts.
struct Jobs {
    /// With all of their rounds.
    whole: Vec<Job>,
    /// The same with those of a pass.
    parts: Vec<Job>,
    passes: usize,
    /// What makes the one of the other.
    words: Vec<String>,
}

/// One job, or a part of it.
struct Turn<'a> {
    number: usize,
    job: &'a Job,
    words: &'a [String],
    /// Whether nothing of the same job comes after it.
    is_last: bool,
}

impl Jobs {
    fn of(args: &Args) -> Result<Self, String> {
        let words = args.of_pass();
        let all = env::args().skip(1).chain(words.iter().cloned());
        let of_pass = Args::parse(all)?.ok_or("no benchmarks were asked for")?;
        let (whole, parts) = (workloads::jobs(args), workloads::jobs(&of_pass));
        Ok(Self { whole, parts, passes: args.passes, words })
    }

    /// A noisy phase of the machine is to be in a part of many comparisons' rounds, and not in all of one's.
    /// So all of them have their turns in each pass.
    fn in_turn(&self) -> impl Iterator<Item = Turn<'_>> {
        (0..self.passes).flat_map(move |pass| {
            let jobs = self.whole.iter().zip(&self.parts).enumerate();
            jobs.filter_map(move |(number, (whole, part))| match whole.whole {
                true if pass > 0 => None,
                true => Some(Turn { number, job: whole, words: &[], is_last: true }),
                false => {
                    let is_last = pass + 1 == self.passes;
                    Some(Turn { number, job: part, words: &self.words, is_last })
                }
            })
        })
    }

    /// What would be run, and about how long each takes.
    fn print(&self) {
        for (whole, part) in self.whole.iter().zip(&self.parts) {
            let cost = if whole.whole { whole.cost } else { part.cost * self.passes as u32 };
            println!("{:7.1} s  {}", cost.as_secs_f64(), whole.name);
        }
        let total: Duration = self.in_turn().map(|turn| turn.job.cost).sum();
        println!("{:7.1} min", total.as_secs_f64() / 60.0);
    }
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
