//! What is compared at several numbers of threads: the mixes of conc-map-bench, hot keys, growth.
//!
//! In each round, a map runs with all numbers of threads, one right after the other, so that they
//! can be held against each other as well: what many more threads than cores cost is a ratio of two
//! slices of the same round.

use std::cell::LazyCell;
use std::rc::Rc;
use std::time::Duration;

use super::comparison::Comparison;
use super::groups::{self, in_groups};
use super::oversubscription::{self, Oversubscription};
use super::{Job, Run, fill_cost, is_whole, workload};
use crate::args::Args;
use crate::common::keys::Stream;
use crate::common::lanes::{CHURN, EXCHANGE, RAPID_GROW, READ_HEAVY};
use crate::contenders::Entry;
use crate::crowded::{self, Crowded, Keys, Load, Slice};
use crate::java;
use crate::render::WRONG;

/// Where hot keys are measured, and reads with most threads.
const ENTRIES: usize = 1 << 20;

/// Of the growth from an empty map.
const GROWN: usize = 1 << 20;

/// A system switches between threads every few milliseconds. From so many of them on, a slice is
/// twice as long, so that each has its turn.
const MANY: usize = 16;

/// One load with several numbers of threads.
struct Crowds {
    name: &'static str,
    load: Load,
    entries: usize,
    threads: Vec<usize>,
    rounds: usize,
}

pub fn jobs(args: &Args) -> Vec<Job> {
    all(args).into_iter().filter_map(|crowds| job(args, crowds)).collect()
}

fn all(args: &Args) -> Vec<Crowds> {
    const MIXES: &[usize] = &[1, 2, 4, 8, 16, 64];
    const SOME: &[usize] = &[1, 2, 8, 64];
    const FEW: &[usize] = &[1, 2, 8];

    let mut all = Vec::new();
    let mut add = |name, load: Load, entries: usize, threads: &[usize]| {
        let threads = args.threads.clone().unwrap_or_else(|| threads.to_vec());
        let fixed_work = load.work(entries).is_some();
        let rounds = if fixed_work { args.long_rounds(entries) } else { args.crowd_rounds() };
        all.push(Crowds { name, load, entries, threads, rounds });
    };

    for mix in [&READ_HEAVY, &EXCHANGE, &CHURN] {
        let threads = if mix.name == CHURN.name { SOME } else { MIXES };
        add(mix.name, Load::Steady(mix), args.mix_capacity, threads);
    }
    add(RAPID_GROW.name, Load::Growing(&RAPID_GROW), args.mix_capacity, MIXES);
    add("growth", Load::Growth, GROWN, SOME);
    for &entries in &args.sizes {
        let threads = if entries == ENTRIES { SOME } else { FEW };
        let keys = lazily(move || Stream::hits(entries));
        add("reads", Load::Reads { keys, present: true }, entries, threads);
    }
    for &entries in &args.sizes {
        let keys = lazily(move || Stream::misses(entries));
        add("reads_absent", Load::Reads { keys, present: false }, entries, FEW);
    }
    for (name, exponent, one_update_in) in [
        ("hot_99_updates_10", 0.99, 10),
        ("hot_99_updates_50", 0.99, 2),
        ("hot_50_updates_10", 0.5, 10),
        ("hot_50_updates_50", 0.5, 2),
    ] {
        let keys = lazily(move || Stream::zipf_of(ENTRIES, exponent));
        add(name, Load::Hot { keys, one_update_in }, ENTRIES, SOME);
    }
    all
}

/// Streams take a while to draw, and most are not asked for.
fn lazily(stream: impl FnOnce() -> Stream + 'static) -> Keys {
    Rc::new(LazyCell::new(Box::new(stream)))
}

fn job(args: &Args, mut crowds: Crowds) -> Option<Job> {
    let Crowds { name, entries, .. } = crowds;
    // Throughputs at other numbers of threads are needed for the one that is asked for.
    let oversubscription = oversubscription::name(name, entries);
    if !args.wants(&oversubscription) {
        crowds.threads.retain(|&threads| args.wants(&name_of(name, threads, entries)));
    }
    if crowds.threads.is_empty() {
        return None;
    }
    let mut contenders = Entry::<dyn Crowded>::all(&crowds.load);
    if args.java && java::version().is_ok() {
        contenders.push(Entry::java(&crowds.load));
    }
    let of_round = crowds.round_cost(args);
    let fill =
        if crowds.load.work(entries).is_some() { Duration::ZERO } else { fill_cost(entries) };
    let maps = groups::cost(args, &contenders, entries, fill, of_round, crowds.rounds);
    Some(Job {
        name: workload(name, entries),
        whole: is_whole(entries),
        cost: maps + java::START * u32::from(args.java),
        run: Box::new(move |run: &mut Run<'_>| {
            measure(run, &crowds, &contenders, oversubscription)
        }),
    })
}

impl Crowds {
    /// About how long a map takes with all numbers of threads.
    fn round_cost(&self, args: &Args) -> Duration {
        let slice = |&threads| self.load.work(self.entries).unwrap_or(time(args, threads));
        self.threads.iter().map(slice).sum()
    }
}

pub fn time(args: &Args, threads: usize) -> Duration {
    args.threads_slice * if threads < MANY { 1 } else { 2 }
}

/// How much longer a slice takes in the round that does not count, so that all of a large map has been
/// used in it: see `Comparison::measure`.
pub fn warm_up(entries: usize, round: usize) -> u32 {
    const LARGE: usize = 1 << 22;
    if round == 0 && entries > LARGE { 10 } else { 1 }
}

/// `exchange_2_threads/2^21`; nothing is said of one thread.
pub fn name_of(name: &str, threads: usize, entries: usize) -> String {
    match threads {
        1 => workload(name, entries),
        _ => workload(&format!("{name}_{threads}_threads"), entries),
    }
}

fn measure(
    run: &mut Run<'_>,
    crowds: &Crowds,
    contenders: &[Entry<dyn Crowded>],
    oversubscription: String,
) {
    let Crowds { name, entries, threads: counts, rounds, .. } = crowds;
    let comparison = |&threads: &usize| Comparison::new(name_of(name, threads, *entries), *rounds);
    let mut comparisons: Vec<_> = counts.iter().map(comparison).collect();
    let mut oversubscribed = Oversubscription::of(counts);
    let cost = crowds.round_cost(run.args);
    in_groups(run, contenders, *entries, |run, group| {
        let args = run.args;
        let samples = group.interleave(run, *rounds, cost, |map, round| {
            // Few threads first: not all maps can be told to free what very many have left, which would
            // be paid for by few otherwise.
            counts
                .iter()
                .map(|&threads| {
                    let time = time(args, threads) * warm_up(*entries, round);
                    map.slice(&Slice { threads, time, round }).nanoseconds()
                })
                .collect::<Vec<_>>()
        });
        let wrong = group.check(|map| {
            map.check();
            crowded::wrong_answers()
        });
        for (number, comparison) in comparisons.iter_mut().enumerate() {
            let of_count = |rounds: &Vec<Vec<f64>>| rounds.iter().map(|ns| ns[number]).collect();
            comparison.add(group.names(), samples.iter().map(of_count).collect());
            for (name, &wrong) in
                group.names().into_iter().zip(&wrong).filter(|(_, wrong)| **wrong > 0)
            {
                comparison.add_column(name, WRONG, vec![wrong as f64]);
            }
        }
        if let Some(oversubscribed) = &mut oversubscribed {
            let names = group.names().into_iter();
            let right = names.zip(&samples).zip(&wrong).filter(|(_, wrong)| **wrong == 0);
            right.for_each(|((name, rounds), _)| oversubscribed.add(name, rounds));
        }
    });
    for comparison in comparisons {
        comparison.publish(run);
    }
    if let Some(oversubscribed) = oversubscribed {
        run.publish(oversubscribed.table(oversubscription));
    }
}
