//! What was aimed at, and what came of it.
//!
//! An aim is that all of some peers take longer than binlock in all of some workloads. What came of it
//! is read off the same tables that are shown, so that nobody has to believe what the prose says.

use super::{OURS, Parts, RATIO, is_rival, markdown};
use crate::common::report::{Measure, Report, Row, Table, three_digits};

/// Which numbers of threads, sizes and peers an aim is about.
struct Scope {
    loads: &'static [&'static str],
    threads: fn(usize) -> bool,
    /// Any, where none is named.
    sizes: &'static [&'static str],
    /// All that can be shared, where none is named.
    peers: &'static [&'static str],
    /// Whether ours is the one that pins for each operation, beside those that do, or need not.
    pins_each: bool,
}

const ANY: Scope =
    Scope { loads: &[], threads: |_| true, sizes: &[], peers: &[], pins_each: false };

const IN_CACHE: &[&str] = &["2^10", "2^16"];
const WITHOUT_LOCKS: &[&str] = &["papaya", "flurry", "scc HashIndex"];
const SCC: &[&str] = &["papaya", "flurry", "scc HashIndex", "scc HashMap"];
const LOCKS: &[&str] = &["scc HashMap", "dashmap"];
const MIXES: &[&str] = &["exchange", "rapid_grow"];

/// Peers that take longer, by the ratio of times.
fn faster() -> Vec<(&'static str, Scope)> {
    let reads = |loads| Scope { loads, ..ANY };
    vec![
        (
            "look-ups of maps in the caches, one guard for many: ahead of all",
            Scope { sizes: IN_CACHE, ..reads(&["get_hit", "get_miss", "reads", "reads_absent"]) },
        ),
        (
            "the same in every size, from two threads on, keys that are there",
            Scope { threads: |threads| threads > 1, ..reads(&["reads"]) },
        ),
        (
            "the same, keys that are absent",
            Scope { threads: |threads| threads > 1, ..reads(&["reads_absent"]) },
        ),
        (
            "a guard for each look-up, keys that are there: ahead of papaya, flurry and scc's maps",
            Scope { peers: SCC, pins_each: true, ..reads(&["get_hit_pin_each", "reads"]) },
        ),
        (
            "the same, keys that are absent",
            Scope { peers: SCC, pins_each: true, ..reads(&["get_miss_pin_each", "reads_absent"]) },
        ),
        (
            "a guard for each look-up, from two threads on: ahead of dashmap",
            Scope {
                threads: |threads| threads > 1,
                peers: &["dashmap"],
                pins_each: true,
                ..reads(&["reads", "reads_absent"])
            },
        ),
        (
            "98 % reads, from two threads on: ahead of all",
            Scope { loads: &["read_heavy"], threads: |threads| threads > 1, ..ANY },
        ),
        (
            "exchange and rapid growth: ahead of papaya, flurry and HashIndex",
            Scope { loads: MIXES, peers: WITHOUT_LOCKS, ..ANY },
        ),
        (
            "the same, from eight threads on: ahead of scc's HashMap and dashmap",
            Scope { loads: MIXES, threads: |threads| threads >= 8, peers: LOCKS, ..ANY },
        ),
        (
            "hot keys, 10 % updates, from two threads on: ahead of all",
            Scope {
                loads: &["hot_99_updates_10", "hot_50_updates_10"],
                threads: |threads| threads > 1,
                ..ANY
            },
        ),
        (
            "iteration of 2^20 entries: ahead of papaya and flurry",
            Scope { loads: &["iterate"], sizes: &["2^20"], peers: &["papaya", "flurry"], ..ANY },
        ),
    ]
}

/// One peer in one workload: by how much more it takes.
struct Case<'r> {
    peer: &'r str,
    title: String,
    ratio: f64,
    /// Whether the quartiles are on both sides of 1.
    is_level: bool,
}

pub fn render(report: &Report) -> String {
    let mut text = "| aim | what came of it |\n|---|---|\n".to_owned();
    let mut line = |aim: &str, verdict: String| text += &markdown::line(aim, &[verdict]);
    for (aim, scope) in faster() {
        line(aim, verdict(cases(report, &scope)));
    }
    let alone = Scope { loads: MIXES, threads: |threads| threads == 1, ..ANY };
    line(
        "the same mixes on one thread: within 1.5 times of the best",
        within(cases(report, &alone), 1.5),
    );
    for (quantile, aim) in [
        ("p99.99, ns", "inserts up to 2^24: the least 99.99th percentile"),
        ("max, ns", "inserts up to 2^24: the shortest longest one"),
    ] {
        let table = report.table("insert_latency/2^24");
        line(aim, verdict(table.map(|table| columns(table, quantile)).unwrap_or_default()));
    }
    line("64 threads on two cores: 0.7 of the throughput of two", oversubscribed(report));
    let table = report.table("memory/2^20");
    let memory = table.map(|table| columns(table, "settled, requested")).unwrap_or_default();
    let papaya = memory.into_iter().filter(|case| case.peer == "papaya").collect();
    line("memory for each of 2^20 entries: at most papaya's", verdict(papaya));
    text
}

fn cases<'r>(report: &'r Report, scope: &Scope) -> Vec<Case<'r>> {
    let mut cases = Vec::new();
    for table in &report.tables {
        let Parts { load, threads, size } = Parts::of(&table.workload);
        let is_in = scope.loads.contains(&load)
            && (scope.threads)(threads)
            && (scope.sizes.is_empty() || scope.sizes.contains(&size));
        if is_in {
            cases.extend(table.rows.iter().filter_map(|row| case(table, row, scope)));
        }
    }
    cases
}

fn case<'r>(table: &Table, row: &'r Row, scope: &Scope) -> Option<Case<'r>> {
    const EACH: &str = ", pin each";
    const BATCHES: &str = ", batches of 2000";
    let peer = row.contender.as_str();
    let name = peer.strip_suffix(EACH).or(peer.strip_suffix(BATCHES)).unwrap_or(peer);
    if !is_rival(row) || !(scope.peers.is_empty() || scope.peers.contains(&name)) {
        return None;
    }
    let is_ours = |row: &&Row| {
        row.contender.starts_with(OURS) && row.contender.ends_with(EACH) == scope.pins_each
    };
    let ours = table.rows.iter().find(is_ours)?;
    // Of those who read in both ways, the one who does as ours.
    let has_both = table.row(&format!("{name}{EACH}")).is_some() && table.row(name).is_some();
    let reads = Parts::of(&table.workload).load.starts_with("reads");
    if reads && has_both && peer.ends_with(EACH) != scope.pins_each {
        return None;
    }
    let spread = row.measure(RATIO)?.spread;
    // The ratios in a table are over its first row.
    let unit = ours.measure(RATIO)?.spread.median;
    Some(Case {
        peer,
        title: markdown::title(&table.workload),
        ratio: spread.median / unit,
        is_level: spread.lower_quartile < unit && spread.upper_quartile >= unit,
    })
}

/// What others have in a column of times or sizes, over what we have.
fn columns<'r>(table: &'r Table, column: &str) -> Vec<Case<'r>> {
    let Some(ours) = table.row(OURS).and_then(|row| row.measure(column)) else { return Vec::new() };
    let case = |row: &'r Row| {
        let Measure { spread, .. } = row.measure(column)?;
        Some(Case {
            peer: &row.contender,
            title: markdown::title(&table.workload),
            ratio: spread.median / ours.spread.median,
            is_level: spread.lower_quartile <= ours.spread.upper_quartile
                && spread.upper_quartile >= ours.spread.lower_quartile,
        })
    };
    table.rows.iter().filter(|row| is_rival(row)).filter_map(case).collect()
}

fn verdict(mut cases: Vec<Case<'_>>) -> String {
    cases.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    let Some(closest) = cases.first() else { return "not measured".to_owned() };
    let list = |is_ahead: bool, is_level: bool| {
        let such = |case: &&Case| (case.ratio < 1.0) == is_ahead && case.is_level == is_level;
        cases.iter().filter(such).map(named).collect::<Vec<_>>().join("; ")
    };
    if closest.ratio >= 1.0 {
        // Those behind in the median, and not in three of four rounds.
        let level = list(false, true);
        return match level.is_empty() {
            true => format!("met; the closest is {}", named(closest)),
            false => format!("met, though level with {level}"),
        };
    }
    let list = |is_level| list(true, is_level);
    let (behind, level) = (list(false), list(true));
    match (behind.is_empty(), level.is_empty()) {
        (true, _) => format!("met but for what is level: {level}"),
        (false, true) => format!("**missed**: {behind}"),
        (false, false) => format!("**missed**: {behind}; level: {level}"),
    }
}

fn within(mut cases: Vec<Case<'_>>, times: f64) -> String {
    cases.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
    match cases.first() {
        None => "not measured".to_owned(),
        Some(best) if best.ratio * times >= 1.0 => format!("met; the best is {}", named(best)),
        Some(best) => format!("**missed**: {}", named(best)),
    }
}

fn oversubscribed(report: &Report) -> String {
    const LOAD: &str = "oversubscription_";
    let part = |table: &Table| {
        let load = Parts::of(&table.workload).load.strip_prefix(LOAD)?.to_owned();
        let part = table.row(OURS)?.measure("64 / 2")?.spread.median;
        Some((part, load))
    };
    let parts = report.tables.iter().filter_map(part);
    match parts.min_by(|a, b| a.0.total_cmp(&b.0)) {
        None => "not measured".to_owned(),
        Some((part, load)) => {
            let verdict = if part >= 0.7 { "met; the least is" } else { "**missed**:" };
            format!("{verdict} {} ({load})", three_digits(part))
        }
    }
}

fn named(case: &Case<'_>) -> String {
    format!("{} {} ({})", case.peer, three_digits(case.ratio), case.title)
}
