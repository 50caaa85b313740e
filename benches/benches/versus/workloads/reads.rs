//! Hits and misses on one thread, with one guard for all and with one for each.

use super::comparison::Comparison;
use super::groups::{self, in_groups};
use super::{Job, Run, fill_cost, is_whole, workload};
use crate::args::Args;
use crate::common::keys::Stream;
use crate::common::maps::{
    Binlock, BinlockEach, DashMap, Flurry, FlurryEach, Hashbrown, Papaya, PapayaEach, SccIndex,
    SccIndexEach, SccMap, Sharded,
};
use crate::contenders::{Entry, Reader};

/// Who reads, under what names.
struct Reads {
    hit: &'static str,
    miss: &'static str,
    contenders: Vec<Entry<dyn Reader>>,
}

fn pinned_once() -> Reads {
    Reads {
        hit: "get_hit",
        miss: "get_miss",
        contenders: vec![
            Entry::reader::<Binlock>(),
            Entry::reader::<Papaya>(),
            Entry::reader::<Flurry>(),
            Entry::reader::<SccIndex>(),
            Entry::reader::<SccMap>(),
            Entry::reader::<DashMap>(),
            Entry::reader::<Sharded>(),
            Entry::reader::<Hashbrown>(),
        ],
    }
}

/// Beside the maps with guards those that never had any: they are what our methods without `pin`
/// replace.
fn pin_each() -> Reads {
    Reads {
        hit: "get_hit_pin_each",
        miss: "get_miss_pin_each",
        contenders: vec![
            Entry::reader::<BinlockEach>(),
            Entry::reader::<PapayaEach>(),
            Entry::reader::<FlurryEach>(),
            Entry::reader::<SccIndexEach>(),
            Entry::reader::<SccMap>(),
            Entry::reader::<DashMap>(),
            Entry::reader::<Sharded>(),
        ],
    }
}

pub fn jobs(args: &Args) -> Vec<Job> {
    let mut jobs = Vec::new();
    for &entries in &args.sizes {
        jobs.extend(job(args, entries, pinned_once()));
        jobs.extend(job(args, entries, pin_each()));
    }
    jobs
}

fn job(args: &Args, entries: usize, reads: Reads) -> Option<Job> {
    let mut hits = Comparison::if_wanted(args, workload(reads.hit, entries));
    let mut misses = Comparison::if_wanted(args, workload(reads.miss, entries));
    let outcomes = hits.iter().chain(&misses).count() as u32;
    if outcomes == 0 {
        return None;
    }
    let slices = args.slice * outcomes;
    Some(Job {
        name: workload(reads.hit, entries),
        whole: is_whole(entries),
        cost: groups::cost(
            args,
            &reads.contenders,
            entries,
            fill_cost(entries),
            slices,
            args.rounds,
        ),
        run: Box::new(move |run: &mut Run<'_>| {
            let present = Stream::hits(entries);
            let absent = Stream::misses(entries);
            in_groups(run, &reads.contenders, entries, |run, group| {
                for (comparison, stream) in [(&mut hits, &present), (&mut misses, &absent)] {
                    if let Some(comparison) = comparison {
                        comparison.measure(run, group, stream, |map, keys| map.gets(keys));
                    }
                }
            });
            for comparison in [hits, misses].into_iter().flatten() {
                comparison.publish(run);
            }
        }),
    })
}
