//! Reports for readers: tables in Markdown, charts.

mod aims;
pub mod charts;
pub mod markdown;

use crate::common::report::Row;

/// What columns of an histogram are called, before how often two is multiplied with itself: those of the
/// inserts that one in so many took longer than.
pub const HALVED: &str = "1 in 2^";

/// The column that compares with us.
const RATIO: &str = "time / ours";

/// The column of those who gave any, with all numbers of threads together.
pub const WRONG: &str = "wrong answers";

/// The column that it is computed from.
const TIME: &str = "ns/op";

/// What the name of a workload begins with where builds of ours are compared. They are nobody's
/// rivals: only tables that ask for them by that name show them.
pub const BUILDS: &str = "builds:";

/// What we are called, and what all of our variants begin with.
pub const OURS: &str = "binlock";

/// Is there to show what synchronisation costs, and is no choice for those who need any.
const NO_RIVAL: &str = "hashbrown (unsync)";

/// Whether a row is that of a peer that can be shared between threads, and has answered rightly.
fn is_rival(row: &Row) -> bool {
    let name = &row.contender;
    let is_shared = !name.starts_with(NO_RIVAL) && !name.starts_with('(');
    is_shared && !name.starts_with(OURS) && row.measure(WRONG).is_none()
}

/// A workload's name in its parts: `exchange_2_threads/2^20` is exchange, 2 and 2^20.
struct Parts<'w> {
    load: &'w str,
    threads: usize,
    size: &'w str,
}

impl<'w> Parts<'w> {
    fn of(workload: &'w str) -> Self {
        let (name, size) = workload.split_once('/').unwrap_or((workload, ""));
        let threads = name.strip_suffix("_threads").and_then(|rest| rest.rsplit_once('_'));
        match threads.and_then(|(load, count)| Some((load, count.parse().ok()?))) {
            Some((load, threads)) => Self { load, threads, size },
            None => Self { load: name, threads: 1, size },
        }
    }
}
