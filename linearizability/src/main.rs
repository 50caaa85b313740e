//! Checks as many histories as one has time for.
//!
//! ```text
//! cargo run --release -p binlock-linearizability -- --histories 1000000
//! ```

use std::{io::IsTerminal, process::ExitCode, time::Instant};

use binlock_linearizability::{Crew, Map, Scenario, explore, repeat};
use indicatif::{ProgressBar, ProgressStyle};

const HELP: &str = "\
Records histories of operations on binlock's map and looks for an order that explains each.

Usage: cargo run --release -p binlock-linearizability -- [OPTIONS]

Options:
  --histories N  how many histories (100000 unless given)
  --seed N       the seed of the first scenario; the others have those that follow (0)
  --replay SEED  only the scenario with this seed, over and over
  --help         this
";

struct Options {
    histories: u64,
    seed: u64,
    replay: Option<u64>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("{problem}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    let bar = progress(options.histories);
    let start = Instant::now();
    let crew = Crew::new();
    let found = match options.replay {
        Some(seed) => {
            repeat::<Map>(&crew, &Scenario::from_seed(seed), options.histories, |n| bar.inc(n))
        }
        None => {
            let seeds = options.seed..options.seed.saturating_add(options.histories);
            explore::<Map>(&crew, seeds, |n| bar.inc(n))
        }
    };
    let checked = bar.position();
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    println!("{checked} histories in {seconds:.1} s, {:.0} a second", checked as f64 / seconds);
    match found {
        Ok(()) => {
            println!("all of them can be explained by an order");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("{violation}");
            if let Some(seed) = violation.seed {
                println!("\nMore histories of this scenario: --replay {seed}");
            }
            ExitCode::FAILURE
        }
    }
}

/// `None` when help is wanted.
fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { histories: 100_000, seed: 0, replay: None };
    while let Some(word) = words.next() {
        if word == "--help" || word == "-h" {
            return Ok(None);
        }
        let mut number = || {
            let value = words.next().ok_or_else(|| format!("{word} wants a number"))?;
            value.parse().map_err(|_| format!("{word} wants a number, not {value}"))
        };
        match word.as_str() {
            "--histories" => options.histories = number()?,
            "--seed" => options.seed = number()?,
            "--replay" => options.replay = Some(number()?),
            _ => return Err(format!("unknown option {word}")),
        }
    }
    Ok(Some(options))
}

fn progress(histories: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = "{bar:40} {human_pos} of {human_len} histories, {per_sec}, {eta} to go";
    ProgressBar::new(histories)
        .with_style(ProgressStyle::with_template(style).expect("a valid template"))
}
