//! Computing new values from those that are present: increments, on one thread, on two and on many.

use std::time::Duration;

use super::comparison::Comparison;
use super::crowds::{name_of, time};
use super::groups::{Group, cost, in_groups};
use super::oversubscription::{self, Oversubscription};
use super::{Job, LARGEST_COMPUTED, Run, fill_cost, is_whole, workload};
use crate::args::Args;
use crate::common::keys::Stream;
use crate::common::maps::{
    Binlock, BinlockEach, BinlockEntry, BinlockMerge, DashMap, Flurry, FlurryEach, Moka, Papaya,
    PapayaEach, SccIndexEach, SccMap, Sharded, StdMutex,
};
use crate::contenders::Entry;
use crate::counters::Counter;
use crate::threads::Crowd;

const NAME: &str = "compute_increment";

const THREADS: [usize; 3] = [1, 2, 64];

fn contenders() -> Vec<Entry<dyn Counter>> {
    vec![
        Entry::counter::<Binlock>(),
        Entry::counter::<BinlockMerge>(),
        Entry::counter::<BinlockEntry>(),
        Entry::counter::<BinlockEach>(),
        Entry::counter::<Papaya>(),
        Entry::counter::<PapayaEach>(),
        Entry::counter::<Flurry>(),
        Entry::counter::<FlurryEach>(),
        Entry::counter::<SccIndexEach>(),
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
    let mut counts = args.threads.clone().unwrap_or_else(|| THREADS.to_vec());
    let mut alone =
        Comparison::if_wanted(args, workload(NAME, entries)).filter(|_| counts.contains(&1));
    // One thread is timed as in the workloads that have no more.
    counts.retain(|&threads| threads > 1);
    let oversubscription = oversubscription::name(NAME, entries);
    if !args.wants(&oversubscription) {
        counts.retain(|&threads| args.wants(&name_of(NAME, threads, entries)));
    }
    if alone.is_none() && counts.is_empty() {
        return None;
    }
    let of_crowds = counts.iter().map(|&threads| time(args, threads)).sum();
    let of_round = args.slice * u32::from(alone.is_some()) + of_crowds;
    let contenders = contenders();
    Some(Job {
        name: workload(NAME, entries),
        whole: is_whole(entries),
        cost: cost(args, &contenders, entries, fill_cost(entries), of_round, args.rounds),
        run: Box::new(move |run: &mut Run<'_>| {
            let stream = Stream::hits(entries);
            let mut crowds = Crowds::new(counts, entries, run.args.rounds, of_crowds);
            in_groups(run, &contenders, entries, |run, group| {
                if let Some(alone) = &mut alone {
                    alone.measure(run, group, &stream, |map, keys| map.increments(keys));
                }
                crowds.measure(run, group, &stream);
                group.check(|map| map.check());
            });
            if let Some(alone) = alone {
                alone.publish(run);
            }
            crowds.publish(run, oversubscription);
        }),
    })
}

/// With several threads.
struct Crowds {
    counts: Vec<usize>,
    comparisons: Vec<Comparison>,
    oversubscribed: Option<Oversubscription>,
    /// How long a map takes with all numbers of threads.
    cost: Duration,
}

impl Crowds {
    fn new(counts: Vec<usize>, entries: usize, rounds: usize, cost: Duration) -> Self {
        let comparison = |&threads| Comparison::new(name_of(NAME, threads, entries), rounds);
        Self {
            comparisons: counts.iter().map(comparison).collect(),
            oversubscribed: Oversubscription::of(&counts),
            counts,
            cost,
        }
    }

    fn measure(&mut self, run: &mut Run<'_>, group: &mut Group<dyn Counter>, keys: &Stream) {
        if self.counts.is_empty() {
            return;
        }
        let args = run.args;
        let samples = group.interleave(run, args.rounds, self.cost, |map, round| {
            let start = keys.start_of_round(round);
            let slice = |&threads: &usize| {
                let crowd = Crowd { threads, time: time(args, threads), keys, start };
                map.increments_of_crowd(&crowd).nanoseconds()
            };
            self.counts.iter().map(slice).collect::<Vec<_>>()
        });
        for (number, comparison) in self.comparisons.iter_mut().enumerate() {
            let of_count = |rounds: &Vec<Vec<f64>>| rounds.iter().map(|ns| ns[number]).collect();
            comparison.add(group.names(), samples.iter().map(of_count).collect());
        }
        if let Some(oversubscribed) = &mut self.oversubscribed {
            let names = group.names().into_iter();
            names.zip(&samples).for_each(|(name, rounds)| oversubscribed.add(name, rounds));
        }
    }

    fn publish(self, run: &mut Run<'_>, oversubscription: String) {
        for comparison in self.comparisons {
            comparison.publish(run);
        }
        if let Some(oversubscribed) = self.oversubscribed {
            run.publish(oversubscribed.table(oversubscription));
        }
    }
}
