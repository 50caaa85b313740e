//! Tables in a Markdown file, brought up to a report. The prose around them is left alone.
//!
//! A table stands between two comments, the first of which says what it is made of:
//!
//! ```text
//! <!-- ratios get_hit/2^10 get_hit/2^20 -->     each workload a column, each map a row
//! <!-- column [64 / 2] oversubscription_* -->   the same of another column
//! <!-- table insert_latency/2^20 -->            all columns of one workload
//! <!-- aims -->                                 what was aimed at, and what came of it
//! <!-- losses -->                               where a peer is faster
//! <!-- machine -->                              where all this was measured
//! <!-- end -->
//! ```
//!
//! A `*` at the end of a workload's name stands for anything. Names of what was measured with `--builds`
//! begin with `builds:`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

use super::{BUILDS, Parts, RATIO, TIME, WRONG, aims, is_rival};
use crate::common::machine::Machine;
use crate::common::report::{Report, Table, three_digits};

const END: &str = "<!-- end -->";

/// Writes the tables of `file` anew.
pub fn update(report: &Report, file: &Path) -> io::Result<()> {
    let old = fs::read_to_string(file)?;
    let mut new = String::new();
    let mut lines = old.lines();
    while let Some(line) = lines.next() {
        new += line;
        new.push('\n');
        let Some(directive) = Directive::parse(line) else { continue };
        // What was there, which may be nothing.
        if !lines.by_ref().any(|line| line.trim() == END) {
            return Err(io::Error::other(format!("{line} has no {END}")));
        }
        let _ = write!(new, "\n{}\n{END}\n", directive.render(report));
    }
    fs::write(file, new)
}

enum Directive<'l> {
    Ratios(Vec<&'l str>),
    Column(&'l str, Vec<&'l str>),
    Table(&'l str),
    Aims,
    Losses,
    Machine,
}

impl<'l> Directive<'l> {
    fn parse(line: &'l str) -> Option<Self> {
        let text = line.trim().strip_prefix("<!-- ")?.strip_suffix(" -->")?;
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        match word {
            "ratios" => Some(Self::Ratios(rest.split_whitespace().collect())),
            "column" => {
                let (column, workloads) = rest.strip_prefix('[')?.split_once(']')?;
                Some(Self::Column(column, workloads.split_whitespace().collect()))
            }
            "table" => Some(Self::Table(rest.trim())),
            "aims" => Some(Self::Aims),
            "losses" => Some(Self::Losses),
            "machine" => Some(Self::Machine),
            _ => None,
        }
    }

    fn render(&self, report: &Report) -> String {
        match self {
            Self::Ratios(workloads) => columns(&tables(report, workloads), RATIO),
            Self::Column(column, workloads) => columns(&tables(report, workloads), column),
            Self::Table(workload) => {
                tables(report, &[workload]).into_iter().map(whole).collect::<Vec<_>>().join("\n")
            }
            Self::Aims => aims::render(report),
            Self::Losses => losses(report),
            Self::Machine => report.machine.as_ref().map(machine).unwrap_or_default(),
        }
    }
}

/// The report's tables of these workloads, in that order.
fn tables<'r>(report: &'r Report, workloads: &[&str]) -> Vec<&'r Table> {
    let mut found = Vec::new();
    for workload in workloads {
        let before = found.len();
        match workload.strip_suffix('*') {
            Some(prefix) => {
                let all = report.tables.iter();
                found.extend(all.filter(|table| table.workload.starts_with(prefix)));
            }
            None => found.extend(report.table(workload)),
        }
        if found.len() == before {
            eprintln!("nothing was measured of {workload}: its column is left out");
        }
    }
    found
}

/// One column of each table, side by side.
fn columns(tables: &[&Table], column: &str) -> String {
    if tables.is_empty() {
        return "Nothing of this was measured.\n".to_owned();
    }
    let mut contenders: Vec<&str> = Vec::new();
    for row in tables.iter().flat_map(|table| &table.rows) {
        if !contenders.contains(&row.contender.as_str()) && row.measure(column).is_some() {
            contenders.push(&row.contender);
        }
    }
    let header: Vec<String> = tables.iter().map(|table| title(&table.workload)).collect();
    let mut text = line("", &header);
    text += &rule(header.len());
    for contender in contenders {
        let cell = |table: &&Table| {
            let row = table.row(contender)?;
            if row.measure(WRONG).is_some() {
                return Some("wrong answers".to_owned());
            }
            // Ours, which is the first, would be 1: what it is 1 of says more.
            let is_first = table.rows.first().is_some_and(|first| first.contender == contender);
            match row.measure(TIME) {
                Some(time) if column == RATIO && is_first => {
                    Some(format!("{} ns", three_digits(time.spread.median)))
                }
                _ => Some(row.measure(column)?.text()),
            }
        };
        let cells: Vec<_> = tables.iter().map(|table| cell(table).unwrap_or_default()).collect();
        text += &line(contender, &cells);
    }
    text
}

/// `exchange, 2 threads, 2^20`
pub fn title(workload: &str) -> String {
    let workload = workload.strip_prefix(BUILDS).unwrap_or(workload);
    let Parts { load, threads, size } = Parts::of(workload);
    let mut title = load.to_owned();
    if threads > 1 {
        let _ = write!(title, ", {threads} threads");
    }
    if !size.is_empty() {
        let _ = write!(title, ", {size}");
    }
    title
}

/// All of one table.
fn whole(table: &Table) -> String {
    let Some(first) = table.rows.first() else { return String::new() };
    let header: Vec<_> = first.measures.iter().map(|measure| measure.name.clone()).collect();
    let mut text = line(&title(&table.workload), &header);
    text += &rule(header.len());
    for row in &table.rows {
        let cells: Vec<_> = row.measures.iter().map(|measure| measure.text()).collect();
        text += &line(&row.contender, &cells);
    }
    text
}

/// Where a peer is faster: the least and the largest median of each load, over its sizes and numbers
/// of threads. In a column of their own those whose quartiles are on both sides of 1.
fn losses(report: &Report) -> String {
    let mut losses: BTreeMap<&str, [BTreeMap<&str, Vec<f64>>; 2]> = BTreeMap::new();
    for table in report.tables.iter().filter(|table| !table.workload.starts_with(BUILDS)) {
        for row in table.rows.iter().filter(|row| is_rival(row)) {
            let Some(ratio) = row.measure(RATIO) else { continue };
            if ratio.spread.median < 1.0 {
                let of_load = losses.entry(Parts::of(&table.workload).load).or_default();
                let column = usize::from(ratio.spread.upper_quartile >= 1.0);
                let of_peer = of_load[column].entry(&row.contender).or_default();
                of_peer.push(ratio.spread.median);
            }
        }
    }
    if losses.is_empty() {
        return "Nowhere in this run.\n".to_owned();
    }
    let header =
        [format!("faster, and its {RATIO}"), "the same, with quartiles around 1".to_owned()];
    let mut text = line("", &header) + &rule(header.len());
    for (load, columns) in losses {
        let peer = |(peer, ratios): (&str, Vec<f64>)| {
            let least = three_digits(ratios.iter().copied().fold(f64::INFINITY, f64::min));
            let largest = three_digits(ratios.iter().copied().fold(0.0, f64::max));
            if least == largest {
                format!("{peer} {least}")
            } else {
                format!("{peer} {least} to {largest}")
            }
        };
        let column = |peers: BTreeMap<&str, Vec<f64>>| {
            let peers: Vec<_> = peers.into_iter().map(peer).collect();
            peers.join("; ")
        };
        text += &line(load, &columns.map(column));
    }
    text
}

fn machine(machine: &Machine) -> String {
    let crates: Vec<_> =
        machine.crates.iter().map(|(name, version)| format!("{name} {version}")).collect();
    let mut text = line("", &["this run".to_owned()]) + &rule(1);
    for (name, value) in [
        ("processor", &machine.processor),
        ("threads at once", &machine.parallelism.to_string()),
        ("memory", &format!("{:.0} GiB", machine.memory_gib)),
        ("system", &machine.system),
        ("compiler", &machine.rustc),
        ("Java", &machine.java),
        ("crates", &crates.join(", ")),
        ("arguments", &format!("`{}`", machine.arguments)),
    ] {
        if value.is_empty() {
            continue;
        }
        text += &line(name, &[value.as_str().to_owned()]);
    }
    text
}

pub fn line(first: &str, cells: &[String]) -> String {
    // What is in angle brackets, as in `RwLock<hashbrown>`, would be taken for HTML.
    format!("| {first} | {} |\n", cells.join(" | ")).replace('<', "\\<")
}

fn rule(columns: usize) -> String {
    format!("|---|{}\n", "---:|".repeat(columns))
}
