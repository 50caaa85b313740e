//! What is compared. A job is one kind of workload at one size; it may have several outcomes (hits
//! and misses, one thread and two), since building its maps is what takes the time.

mod batches;
mod comparison;
mod compute_absent;
mod compute_increment;
mod compute_present;
mod crowds;
mod cycle;
mod fill;
mod fillers;
mod groups;
mod iteration;
mod longest_insert;
pub mod one_pass;
mod other_types;
mod oversubscription;
mod pairs;
mod readers_hits;
mod readers_mixed;
mod reads;
mod replacements;
mod scaling;
mod slow_closures;

use std::time::Duration;

use crate::args::Args;
use crate::common::report::Table;
use crate::one_job::{News, Teller};

/// Above, nothing is computed: moka takes three times the memory of the others, and the filling of
/// it minutes.
const LARGEST_COMPUTED: usize = 1 << 20;

/// A job to run.
pub struct Job {
    pub name: String,
    /// Whether all of its rounds are in one pass.
    pub whole: bool,
    /// About how long it takes: for the progress bar.
    pub cost: Duration,
    pub run: Box<dyn FnOnce(&mut Run<'_>)>,
}

/// What jobs run with: in processes of their own, of which one tells the user's what there is to tell.
pub struct Run<'a> {
    pub args: &'a Args,
    pub progress: Teller,
    pub role: Role,
    /// Its name, and what is estimated for it, which tells of its threads and rounds: the same in all of
    /// its processes.
    pub job: String,
}

/// What this process does in the job.
#[derive(Clone, Copy)]
pub enum Role {
    /// It gives the orders, and all that has to do with no map. The job has this number.
    Referee { job: usize },
    /// It has the map of the contender with this number, and waits for orders.
    Map { contender: usize },
}

impl Run<'_> {
    fn publish(&mut self, table: Table) {
        self.progress.tell(&News::Table(table));
    }
}

/// The jobs that the command line asks for.
pub fn jobs(args: &Args) -> Vec<Job> {
    let mut jobs = Vec::new();
    jobs.extend(reads::jobs(args));
    jobs.extend(batches::jobs(args));
    jobs.extend(replacements::jobs(args));
    jobs.extend(scaling::jobs(args));
    jobs.extend(crowds::jobs(args));
    jobs.extend(iteration::jobs(args));
    jobs.extend(other_types::jobs(args));
    jobs.extend(fill::jobs(args));
    jobs.extend(longest_insert::jobs(args));
    jobs.extend(compute_present::jobs(args));
    jobs.extend(compute_absent::jobs(args));
    jobs.extend(compute_increment::jobs(args));
    jobs.extend(slow_closures::jobs(args));
    jobs.extend(cycle::jobs(args));
    jobs.extend(readers_hits::jobs(args));
    jobs.extend(readers_mixed::jobs(args));
    jobs
}

/// Whether a map of so many entries takes too long to be built more than once in a run.
fn is_whole(entries: usize) -> bool {
    const LARGEST: usize = 1 << 21;
    entries > LARGEST
}

/// `get_hit/2^20`
fn workload(name: &str, entries: usize) -> String {
    format!("{name}/2^{}", entries.ilog2())
}

/// About how long it takes to fill a map: most of them miss the caches more often the larger they
/// are.
fn fill_cost(entries: usize) -> Duration {
    let of_entry = match entries.ilog2() {
        ..17 => 120,
        17..22 => 250,
        _ => 400,
    };
    Duration::from_nanos(of_entry) * entries as u32
}
