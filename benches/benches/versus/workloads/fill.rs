//! Filling a map from empty: the total time.

use super::comparison::Comparison;
use super::fillers::{Filler, fillers};
use super::{Job, Run, fill_cost, workload};
use crate::args::Args;
use crate::common::keys;
use crate::rounds;

/// Below, one fill is too short to be timed by itself; `map` covers those sizes.
const SMALLEST: usize = 1 << 16;

pub fn jobs(args: &Args) -> Vec<Job> {
    let sizes = args.sizes.iter().filter(|&&entries| entries >= SMALLEST);
    sizes.filter_map(|&entries| job(args, entries)).collect()
}

fn job(args: &Args, entries: usize) -> Option<Job> {
    let name = workload("fill", entries);
    let fillers = fillers(args);
    let fills = (args.long_rounds(entries) as u32 + 1) * fillers.len() as u32;
    args.wants(&name).then(|| Job {
        name,
        cost: fill_cost(entries) * fills,
        run: Box::new(move |run: &mut Run<'_>| compare(run, &fillers, entries)),
    })
}

/// One map at a time: the time to drop each is not measured, and they need not fit side by side.
fn compare(run: &mut Run<'_>, fillers: &[Filler], entries: usize) {
    let keys = keys::present(entries);
    let rounds = run.args.long_rounds(entries);
    let samples = rounds::interleave(fillers.len(), rounds, 0, |filler, _| {
        let time = (fillers[filler].fill)(&keys);
        run.progress.advance(fill_cost(entries));
        time.as_nanos() as f64 / entries as f64
    });
    let mut comparison = Comparison::new(workload("fill", entries), rounds);
    comparison.add(fillers.iter().map(|filler| filler.name), samples);
    comparison.publish(run);
}
