//! New values for keys that are present, on one thread and on two.

use super::comparison::Comparison;
use super::crowds::warm_up;
use super::groups::{Group, cost, in_groups};
use super::{Job, Run, fill_cost, is_whole, workload};
use crate::args::Args;
use crate::common::keys::Stream;
use crate::common::maps::{
    Binlock, BinlockEach, DashMap, Flurry, FlurryEach, Papaya, PapayaBatches, PapayaEach, SccMap,
    Sharded,
};
use crate::contenders::{Entry, Shared};
use crate::threads::{Crowd, Load};

/// Who writes, under what names.
struct Replacements {
    one_thread: &'static str,
    two_threads: &'static str,
    contenders: Vec<Entry<dyn Shared>>,
}

/// A guard for every 64 writes, where there are guards.
fn pinned() -> Replacements {
    Replacements {
        one_thread: "replace",
        two_threads: "replace_2_threads",
        contenders: vec![
            Entry::shared::<Binlock>(),
            Entry::shared::<Papaya>(),
            Entry::shared::<PapayaBatches>(),
            Entry::shared::<Flurry>(),
            Entry::shared::<SccMap>(),
            Entry::shared::<DashMap>(),
            Entry::shared::<Sharded>(),
        ],
    }
}

fn pin_each() -> Replacements {
    Replacements {
        one_thread: "replace_pin_each",
        two_threads: "replace_pin_each_2_threads",
        contenders: vec![
            Entry::shared::<BinlockEach>(),
            Entry::shared::<PapayaEach>(),
            Entry::shared::<FlurryEach>(),
            Entry::shared::<SccMap>(),
            Entry::shared::<DashMap>(),
            Entry::shared::<Sharded>(),
        ],
    }
}

pub fn jobs(args: &Args) -> Vec<Job> {
    let mut jobs = Vec::new();
    for &entries in &args.sizes {
        jobs.extend(job(args, entries, pinned()));
        jobs.extend(job(args, entries, pin_each()));
    }
    jobs
}

fn job(args: &Args, entries: usize, replacements: Replacements) -> Option<Job> {
    let mut one = Comparison::if_wanted(args, workload(replacements.one_thread, entries));
    let mut two = Comparison::if_wanted(args, workload(replacements.two_threads, entries));
    if one.is_none() && two.is_none() {
        return None;
    }
    let mut round = args.slice * u32::from(one.is_some());
    round += args.threads_slice * u32::from(two.is_some());
    Some(Job {
        name: workload(replacements.one_thread, entries),
        whole: is_whole(entries),
        cost: cost(args, &replacements.contenders, entries, fill_cost(entries), round, args.rounds),
        run: Box::new(move |run: &mut Run<'_>| {
            let stream = Stream::hits(entries);
            in_groups(run, &replacements.contenders, entries, |run, group| {
                if let Some(one) = &mut one {
                    one.measure(run, group, &stream, |map, keys| map.replacements(keys));
                }
                if let Some(two) = &mut two {
                    on_two_threads(run, two, group, &stream, entries);
                }
            });
            for comparison in [one, two].into_iter().flatten() {
                comparison.publish(run);
            }
        }),
    })
}

fn on_two_threads(
    run: &mut Run<'_>,
    comparison: &mut Comparison,
    group: &mut Group<dyn Shared>,
    keys: &Stream,
    entries: usize,
) {
    let slice = run.args.threads_slice;
    let samples = group.interleave(run, run.args.rounds, slice, |map, round| {
        let time = slice * warm_up(entries, round);
        let start = keys.start_of_round(round);
        let work = map.crowd(Load::Replacements, &Crowd { threads: 2, time, keys, start });
        work.nanoseconds()
    });
    comparison.add(group.names(), samples);
}
