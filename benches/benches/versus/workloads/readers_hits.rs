//! Caches of readers that are all open: hits on Zipf(0.99) keys, on one thread and more.

use super::comparison::Comparison;
use super::groups::{self, all_at_once};
use super::{Job, Run, fill_cost, is_whole, workload};
use crate::args::Args;
use crate::common::keys::Stream;
use crate::common::readers::work::{ALL_OPEN, THREADS};
use crate::contenders::Entry;
use crate::readers::{OpenReaders, name};
use crate::threads::Crowd;

pub fn jobs(args: &Args) -> Vec<Job> {
    ALL_OPEN.iter().filter_map(|&entries| job(args, entries)).collect()
}

fn job(args: &Args, entries: usize) -> Option<Job> {
    let wanted = THREADS.map(|threads| {
        let workload = workload(&name("hits", threads), entries);
        Some((threads, Comparison::if_wanted(args, workload)?))
    });
    let mut wanted: Vec<_> = wanted.into_iter().flatten().collect();
    if wanted.is_empty() {
        return None;
    }
    let contenders = Entry::<dyn OpenReaders>::all();
    let slices = args.threads_slice * wanted.len() as u32;
    Some(Job {
        name: workload("readers_hits", entries),
        whole: is_whole(entries),
        cost: groups::cost(args, &contenders, entries, fill_cost(entries), slices, args.rounds),
        run: Box::new(move |run: &mut Run<'_>| {
            let keys = Stream::zipf(entries);
            let time = run.args.threads_slice;
            all_at_once(run, &contenders, entries, |run, group| {
                for &mut (threads, ref mut comparison) in &mut wanted {
                    let rounds = run.args.rounds;
                    let samples = group.interleave(run, rounds, time, |cache, round| {
                        let start = keys.start_of_round(round);
                        cache.hits(&Crowd { threads, time, keys: &keys, start }).nanoseconds()
                    });
                    comparison.add(group.names(), samples);
                }
                group.check(|cache| cache.check());
            });
            wanted.into_iter().for_each(|(_, comparison)| comparison.publish(run));
        }),
    })
}
