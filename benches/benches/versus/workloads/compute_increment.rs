//! Computing new values from those that are present: increments, on one thread and on two.

use super::comparison::Comparison;
use super::groups::{Group, cost, in_groups};
use super::{Job, LARGEST_COMPUTED, Run, fill_cost, workload};
use crate::args::Args;
use crate::common::keys::Stream;
use crate::common::maps::{
    Binlock, BinlockEach, BinlockMerge, DashMap, Moka, Papaya, PapayaEach, SccMap, Sharded,
    StdMutex,
};
use crate::contenders::Entry;
use crate::counters::Counter;
use crate::threads::Crowd;

fn contenders() -> Vec<Entry<dyn Counter>> {
    vec![
        Entry::counter::<Binlock>(),
        Entry::counter::<BinlockMerge>(),
        Entry::counter::<BinlockEach>(),
        Entry::counter::<Papaya>(),
        Entry::counter::<PapayaEach>(),
        Entry::counter::<SccMap>(),
        Entry::counter::<DashMap>(),
        Entry::counter::<Sharded>(),
        Entry::counter::<Moka>(),
        Entry::counter::<StdMutex>(),
    ]
}

pub fn jobs(args: &Args) -> Vec<Job> {
    let sizes = args.sizes.iter().filter(|&&entries| entries <= LARGEST_COMPUTED);
    sizes.filter_map(|&entries| job(args, entries)).collect()
}

fn job(args: &Args, entries: usize) -> Option<Job> {
    let mut one = Comparison::if_wanted(args, workload("compute_increment", entries));
    let mut two = Comparison::if_wanted(args, workload("compute_increment_2_threads", entries));
    if one.is_none() && two.is_none() {
        return None;
    }
    let mut round = args.slice * u32::from(one.is_some());
    round += args.threads_slice * u32::from(two.is_some());
    let contenders = contenders();
    Some(Job {
        name: workload("compute_increment", entries),
        cost: cost(args, &contenders, entries, fill_cost(entries), round, args.rounds),
        run: Box::new(move |run: &mut Run<'_>| {
            let stream = Stream::hits(entries);
            in_groups(run, &contenders, entries, |run, group| {
                if let Some(one) = &mut one {
                    one.measure(run, group, &stream, |map, keys| map.increments(keys));
                }
                if let Some(two) = &mut two {
                    on_two_threads(run, two, group, &stream);
                }
                group.check(|map| map.check());
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
    group: &mut Group<dyn Counter>,
    keys: &Stream,
) {
    let time = run.args.threads_slice;
    let samples = group.interleave(run, run.args.rounds, time, |map, round| {
        let start = keys.start_of_round(round);
        map.increments_of_crowd(&Crowd { threads: 2, time, keys, start }).nanoseconds()
    });
    comparison.add(group.names(), samples);
}
