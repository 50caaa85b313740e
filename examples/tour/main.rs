//! A tour of `binlock`, one chapter per thing that a program does with a shared map.
//!
//! ```text
//! cargo run --release --example tour [PATH...]
//! ```
//!
//! Every chapter checks its own results, and the tour fails where one is wrong.

mod files;
mod format;
mod options;
mod readers;
mod recursion;
mod words;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use options::{HELP, Request};

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Request::Tour(options)) => options,
        Ok(Request::Help) => return show(HELP),
        Err(problem) => {
            eprintln!("tour: {problem}\nTry `tour --help`.");
            return ExitCode::from(2);
        }
    };

    let report = words::run(&options)
        .and_then(|report| Ok(report + &recursion::run()?))
        .and_then(|report| Ok(report + &readers::run(&options)?));
    match report {
        Ok(report) => show(&report),
        Err(problem) => {
            eprintln!("tour: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Prints to the standard output, whose reader may have seen enough (`tour | head`).
fn show(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("tour: cannot write the report: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
