//! Texts of 24 bytes as keys, looked up and inserted; values of 200 bytes, read and replaced.

use std::time::Duration;

use super::comparison::Comparison;
use super::groups::{self, in_groups};
use super::{Job, Run, fill_cost, is_whole, workload};
use crate::args::Args;
use crate::common::keys::{self, Stream, Window, text};
use crate::common::maps::{
    Binlock, BinlockEach, DashMap, Flurry, Hashbrown, Large, Map, Papaya, SccIndex, SccIndexEach,
    SccMap, Sharded,
};
use crate::common::other_types as work;
use crate::contenders::Entry;
use crate::rounds;

/// Entries: what fits into caches, and what does not.
const SIZES: [usize; 2] = [1 << 16, 1 << 20];

/// Large values and texts take more than other entries.
const FILL: u32 = 2;

/// A map with texts as keys.
trait Texts {
    fn gets(&self, keys: Window<'_, String>) -> Duration;
}

impl<M: Map<String>> Texts for M {
    fn gets(&self, keys: Window<'_, String>) -> Duration {
        crate::common::work::gets(self, keys)
    }
}

/// A map of large values.
trait Larges {
    fn gets(&self, keys: Window<'_>) -> Duration;

    fn updates(&self, keys: Window<'_>) -> Duration;
}

impl<M: Map<u64, Large>> Larges for M {
    fn gets(&self, keys: Window<'_>) -> Duration {
        crate::common::work::gets(self, keys)
    }

    fn updates(&self, keys: Window<'_>) -> Duration {
        work::large_updates(self, keys)
    }
}

/// Fills a map with the texts of these keys.
struct TextFiller {
    name: &'static str,
    fill: fn(&[u64]) -> Duration,
}

/// Calls a function that is generic over the map, once for each that these workloads compare.
macro_rules! all_maps {
    ($function:ident, $key:ty, $value:ty) => {
        vec![
            $function::<Binlock<$key, $value>>(),
            $function::<BinlockEach<$key, $value>>(),
            $function::<Papaya<$key, $value>>(),
            $function::<Flurry<$key, $value>>(),
            $function::<SccIndex<$key, $value>>(),
            $function::<SccIndexEach<$key, $value>>(),
            $function::<SccMap<$key, $value>>(),
            $function::<DashMap<$key, $value>>(),
            $function::<Sharded<$key, $value>>(),
            $function::<Hashbrown<$key, $value>>(),
        ]
    };
}

pub fn jobs(args: &Args) -> Vec<Job> {
    let sizes = args.sizes.iter().filter(|entries| SIZES.contains(entries));
    let jobs = |&entries| [gets(args, entries), fills(args, entries), larges(args, entries)];
    sizes.flat_map(jobs).flatten().collect()
}

fn gets(args: &Args, entries: usize) -> Option<Job> {
    fn entry<M: Map<String>>() -> Entry<dyn Texts> {
        Entry::<dyn Texts>::new(M::NAME, |entries| Box::new(work::texts::<M>(entries)))
    }
    let name = workload("string_get", entries);
    let mut comparison = Comparison::if_wanted(args, name.clone())?;
    let contenders = all_maps!(entry, String, u64);
    Some(Job {
        name,
        whole: is_whole(entries),
        cost: groups::cost(
            args,
            &contenders,
            entries,
            fill_cost(entries) * FILL,
            args.slice,
            args.rounds,
        ),
        run: Box::new(move |run: &mut Run<'_>| {
            let stream = Stream::hits(entries).map(text);
            in_groups(run, &contenders, entries, |run, group| {
                comparison.measure(run, group, &stream, |map, keys| map.gets(keys));
            });
            comparison.publish(run);
        }),
    })
}

fn fills(args: &Args, entries: usize) -> Option<Job> {
    fn filler<M: Map<String>>() -> TextFiller {
        TextFiller { name: M::NAME, fill: work::fill_with_texts::<M> }
    }
    let name = workload("string_insert", entries);
    let mut fillers = all_maps!(filler, String, u64);
    fillers.retain(|filler| filler.name == Binlock::<String>::NAME || args.invites(filler.name));
    let fills = (args.long_rounds(entries) as u32 + 1) * fillers.len() as u32;
    args.wants(&name).then(|| Job {
        name: name.clone(),
        whole: is_whole(entries),
        cost: fill_cost(entries) * FILL * fills,
        run: Box::new(move |run: &mut Run<'_>| {
            let keys = keys::present(entries);
            let rounds = run.args.long_rounds(entries);
            let samples = rounds::interleave(fillers.len(), rounds, |filler, _| {
                let time = (fillers[filler].fill)(&keys);
                run.progress.advance(fill_cost(entries) * FILL);
                time.as_nanos() as f64 / entries as f64
            });
            let mut comparison = Comparison::new(name, rounds);
            comparison.add(fillers.iter().map(|filler| filler.name), samples);
            comparison.publish(run);
        }),
    })
}

fn larges(args: &Args, entries: usize) -> Option<Job> {
    fn entry<M: Map<u64, Large>>() -> Entry<dyn Larges> {
        Entry::<dyn Larges>::new(M::NAME, |entries| Box::new(work::large::<M>(entries)))
    }
    let mut gets = Comparison::if_wanted(args, workload("large_get", entries));
    let mut updates = Comparison::if_wanted(args, workload("large_update", entries));
    let outcomes = gets.iter().chain(&updates).count() as u32;
    if outcomes == 0 {
        return None;
    }
    let contenders = all_maps!(entry, u64, Large);
    let slices = args.slice * outcomes;
    Some(Job {
        name: workload("large_get", entries),
        whole: is_whole(entries),
        cost: groups::cost(
            args,
            &contenders,
            entries,
            fill_cost(entries) * FILL,
            slices,
            args.rounds,
        ),
        run: Box::new(move |run: &mut Run<'_>| {
            let stream = Stream::hits(entries);
            in_groups(run, &contenders, entries, |run, group| {
                if let Some(gets) = &mut gets {
                    gets.measure(run, group, &stream, |map, keys| map.gets(keys));
                }
                if let Some(updates) = &mut updates {
                    updates.measure(run, group, &stream, |map, keys| map.updates(keys));
                }
            });
            for comparison in [gets, updates].into_iter().flatten() {
                comparison.publish(run);
            }
        }),
    })
}
