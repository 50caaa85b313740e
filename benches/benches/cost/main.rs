//! What an operation costs beyond time: instructions, cache lines, and lines that it writes while
//! others use them. Counted, not timed, so that the numbers hold for machines with more cores than
//! the one at hand: it is the writes to shared lines that do not scale.
//!
//! Valgrind's lackey traces each access of a process of ours in which one thread does so many
//! operations, and then another thread the same ones, in another order. A line is *shared* if both
//! touch it. Stacks are left out, and the keys that are asked for. Needs Valgrind (on Linux, say
//! `apt-get install valgrind`).
//!
//! Both threads run one after the other, so nobody waits for a lock or tries twice: this is what
//! operations cost at least.

#[path = "../common/mod.rs"]
mod common;

mod child;
mod trace;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::{env, io};

use indicatif::{ProgressBar, ProgressStyle};
use mimalloc::MiMalloc;

use crate::child::{CONTENDERS, OPERATIONS, Operation};
use crate::common::machine::Machine;
use crate::common::report::{Measure, Report, Row, Table};
use crate::trace::Cost;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const USAGE: &str = "\
usage: cargo bench -p binlock-benches --bench cost -- [OPTIONS]
  --only TEXT        only operations with TEXT in their name
  --json FILE        write the results to FILE as well";

fn main() -> ExitCode {
    let (mut bench, mut only, mut json) = (false, String::new(), None);
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        match (word.as_str(), words.by_ref()) {
            ("--bench", _) => bench = true,
            ("--child", words) => {
                let [map, operation] = [words.next(), words.next()].map(Option::unwrap_or_default);
                child::run(&map, &operation);
                return ExitCode::SUCCESS;
            }
            ("--only", words) => only = words.next().unwrap_or_default(),
            ("--json", words) => json = words.next(),
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::FAILURE;
            }
        }
    }
    // `cargo test` starts benchmarks without this.
    if !bench {
        return ExitCode::SUCCESS;
    }
    if !has_valgrind() {
        // Not a failure, for which `cargo bench` would not run what comes next.
        eprintln!("SKIPPED: nothing is counted without valgrind, which is not there");
        return ExitCode::SUCCESS;
    }
    let report = match measure(&only) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(file) = json
        && let Err(error) = report.write_json(Path::new(&file))
    {
        eprintln!("{file}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn has_valgrind() -> bool {
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn measure(only: &str) -> io::Result<Report> {
    let mut report = Report { machine: Some(Machine::here()), tables: Vec::new() };
    let operations: Vec<_> = OPERATIONS.iter().filter(|o| o.name.contains(only)).collect();
    let bar = ProgressBar::new((operations.len() * (CONTENDERS.len() + 1)) as u64);
    let style = "{elapsed_precise} {wide_bar} {pos}/{len} ETA {eta_precise} {msg}";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is well-formed"));
    for Operation { name, .. } in operations {
        let cost = |map: &str| {
            bar.set_message(format!("{name}, {map}"));
            let cost = trace::of(map, name);
            bar.inc(1);
            cost
        };
        // The loop around the operations, which is everybody's.
        let nothing = cost(child::NOTHING)?;
        let mut rows = Vec::new();
        for contender in &CONTENDERS {
            rows.push(row(contender.name, &cost(contender.name)?, &nothing));
        }
        let table = Table { workload: format!("cost_{name}"), rounds: 1, rows };
        bar.suspend(|| println!("{}", table.text()));
        report.tables.push(table);
    }
    bar.finish_and_clear();
    Ok(report)
}

fn row(name: &str, cost: &Cost, nothing: &Cost) -> Row {
    Row {
        contender: name.to_owned(),
        measures: vec![
            Measure::of("instructions", &[cost.instructions - nothing.instructions]),
            Measure::of("lines touched", &[cost.lines - nothing.lines]),
            Measure::of("of these rarely", &[cost.rare_lines]),
            Measure::of("lines written", &[cost.written - nothing.written]),
            Measure::of("shared lines written", &[cost.shared_written]),
        ],
    }
}
