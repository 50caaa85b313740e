//! Our look-ups in batches against hashbrown's one by one: what overlapping the cache misses is
//! worth, with synchronisation paid.

use super::comparison::Comparison;
use super::{Job, Run, fill_cost, is_whole, workload};
use crate::args::Args;
use crate::common::keys::Stream;
use crate::common::maps::{Binlock, Hashbrown};
use crate::common::work;
use crate::rounds;

/// Below, maps fit into caches and there are no misses to overlap.
const SMALLEST: usize = 1 << 20;

const WAYS: [&str; 3] =
    ["binlock, batches of 16", "binlock, one by one", "hashbrown (unsync), one by one"];

pub fn jobs(args: &Args) -> Vec<Job> {
    let sizes = args.sizes.iter().filter(|&&entries| entries >= SMALLEST);
    sizes.filter_map(|&entries| job(args, entries)).collect()
}

fn job(args: &Args, entries: usize) -> Option<Job> {
    let name = workload("get_many", entries);
    let comparison = Comparison::if_wanted(args, name.clone())?;
    Some(Job {
        name,
        whole: is_whole(entries),
        cost: fill_cost(entries) * 2 + args.slice * (args.rounds as u32 + 1) * 3,
        run: Box::new(move |run: &mut Run<'_>| compare(run, comparison, entries)),
    })
}

/// Two maps and three ways to read: too few for groups.
fn compare(run: &mut Run<'_>, mut comparison: Comparison, entries: usize) {
    let binlock: Binlock = work::filled(entries);
    let hashbrown: Hashbrown = work::filled(entries);
    run.progress.advance(fill_cost(entries) * 2);

    let stream = Stream::hits(entries);
    let slice = run.args.slice;
    // Memory may have been taken for unused meanwhile, see `Comparison::measure`.
    work::gets(&binlock, stream.window(0, stream.len()));
    work::gets(&hashbrown, stream.window(0, stream.len()));
    let operations = rounds::operations(slice, |operations| {
        work::batches(&binlock, stream.window(0, operations))
    });
    let samples = rounds::interleave(WAYS.len(), run.args.rounds, |contender, round| {
        // Not the same keys for all: two of them are about the same map, and the first to ask would
        // warm the caches.
        let turn = round * WAYS.len() + contender;
        let keys = stream.window(turn * operations, operations);
        let time = match contender {
            0 => work::batches(&binlock, keys),
            1 => work::gets(&binlock, keys),
            _ => work::gets(&hashbrown, keys),
        };
        run.progress.advance(slice);
        time.as_nanos() as f64 / operations as f64
    });
    comparison.add(WAYS, samples);
    comparison.publish(run);
}
