//! Hit ratios of the reader cache, next to those of LRU.
//!
//! ```text
//! cargo run --release --example hit_ratio [-- DIR]
//! ```
//!
//! With the traces of a folder, or with workloads made up here. See `--help`.

mod cache;
mod chart;
mod lru;
mod options;
mod table;
mod trace;
mod workload;

use std::{
    fs,
    io::{self, ErrorKind, Write},
    path::Path,
    process::ExitCode,
};

use indicatif::{ProgressBar, ProgressStyle};

use options::{HELP, Options, Request};
use table::{Curve, Point};
use trace::Trace;

/// The sizes of the table, in percent.
const IN_TABLE: [u64; 4] = [1, 5, 10, 25];
/// The sizes of the curves.
const IN_CHART: [u64; 10] = [1, 2, 5, 10, 15, 20, 25, 30, 40, 50];

fn main() -> ExitCode {
    let options = match options::parse(std::env::args_os().skip(1)) {
        Ok(Request::Run(options)) => options,
        Ok(Request::Help) => return show(HELP),
        Err(problem) => {
            eprintln!("hit_ratio: {problem}\nTry `hit_ratio --help`.");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(report) => show(&report),
        Err(problem) => {
            eprintln!("hit_ratio: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<String, String> {
    let traces = traces(options.folder.as_deref())?;
    let requests: usize = traces.iter().map(|trace| trace.requests.len()).sum();
    let bar = progress((requests * IN_CHART.len()) as u64);
    let mut curves = Vec::new();
    for trace in &traces {
        bar.set_message(trace.name.clone());
        curves.push(measure(trace, &bar)?);
    }
    bar.finish_and_clear();
    let drawn = save(&options.svg, &chart::svg(&curves))
        .map(|()| format!("Curves: {}\n", options.svg.display()))
        .map_err(|error| format!("cannot write {}: {error}", options.svg.display()))?;
    Ok(table::text(&curves, &IN_TABLE) + &drawn)
}

fn traces(folder: Option<&Path>) -> Result<Vec<Trace>, String> {
    let Some(folder) = folder else { return Ok(workload::all()) };
    let files = trace::find(folder).map_err(|bad| bad.to_string())?;
    files.iter().map(|file| trace::read(file).map_err(|bad| bad.to_string())).collect()
}

fn measure(trace: &Trace, bar: &ProgressBar) -> Result<Curve, String> {
    let share = |hits: u64| 100.0 * hits as f64 / trace.requests.len() as f64;
    let mut points = Vec::new();
    for percent in IN_CHART {
        let capacity = trace.capacity(percent);
        let lru = share(lru::hits(trace, capacity));
        let ours = cache::hits(trace, capacity);
        let ours = share(ours.map_err(|problem| format!("{}: {problem}", trace.name))?);
        points.push(Point { percent, capacity, lru, ours });
        bar.inc(trace.requests.len() as u64);
    }
    Ok(Curve { name: trace.name.clone(), has_sizes: trace.has_sizes, points })
}

/// A bar on the terminal, if there is one.
fn progress(requests: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} % {msg} {eta}")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(requests).with_style(style)
}

fn save(path: &Path, svg: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, svg)
}

/// Prints to the standard output, whose reader may have seen enough (`hit_ratio | head`).
fn show(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("hit_ratio: cannot write the report: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
