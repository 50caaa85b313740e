//! What more threads are worth where few keys are hot (Zipf 0.99): readers on one core and on two,
//! and then, with half of the operations replacing values, many more threads than cores.

use super::groups::{self, all_at_once};
use super::{Job, Run, fill_cost, is_whole, workload};
use crate::args::Args;
use crate::common::keys::Stream;
use crate::common::maps::{Binlock, DashMap, Flurry, Papaya, SccIndex, SccMap, Sharded};
use crate::common::report::{Measure, Row, Table};
use crate::common::stats;
use crate::contenders::{Entry, Shared};
use crate::threads::{Crowd, Load};

const ENTRIES: usize = 1 << 20;

struct Scaling {
    name: &'static str,
    load: Load,
    few: Threads,
    many: Threads,
    contenders: Vec<Entry<dyn Shared>>,
}

struct Threads {
    count: usize,
    column: &'static str,
}

fn reads() -> Scaling {
    Scaling {
        name: "zipf_reads",
        load: Load::Reads,
        few: Threads { count: 1, column: "1 thread, M/s" },
        many: Threads { count: 2, column: "2 threads, M/s" },
        contenders: vec![
            Entry::shared::<Binlock>(),
            Entry::shared::<Papaya>(),
            Entry::shared::<Flurry>(),
            Entry::shared::<SccIndex>(),
            Entry::shared::<SccMap>(),
            Entry::shared::<DashMap>(),
            Entry::shared::<Sharded>(),
        ],
    }
}

/// `HashIndex` is no map for writing and stays out.
fn mixed() -> Scaling {
    Scaling {
        name: "zipf_mixed",
        load: Load::Mixed,
        few: Threads { count: 2, column: "2 threads, M/s" },
        many: Threads { count: 16, column: "16 threads, M/s" },
        contenders: vec![
            Entry::shared::<Binlock>(),
            Entry::shared::<Papaya>(),
            Entry::shared::<Flurry>(),
            Entry::shared::<SccMap>(),
            Entry::shared::<DashMap>(),
            Entry::shared::<Sharded>(),
        ],
    }
}

pub fn jobs(args: &Args) -> Vec<Job> {
    [reads(), mixed()].into_iter().filter_map(|scaling| job(args, scaling)).collect()
}

fn job(args: &Args, scaling: Scaling) -> Option<Job> {
    let name = workload(scaling.name, ENTRIES);
    let pair = args.threads_slice * 2;
    args.wants(&name).then(|| Job {
        name,
        whole: is_whole(ENTRIES),
        cost: groups::cost(
            args,
            &scaling.contenders,
            ENTRIES,
            fill_cost(ENTRIES),
            pair,
            args.rounds,
        ),
        run: Box::new(move |run: &mut Run<'_>| measure(run, &scaling)),
    })
}

fn measure(run: &mut Run<'_>, scaling: &Scaling) {
    let Scaling { load, few, many, .. } = scaling;
    let keys = Stream::zipf(ENTRIES);
    let time = run.args.threads_slice;
    let mut samples: Vec<(&str, Vec<[f64; 2]>)> = Vec::new();
    all_at_once(run, &scaling.contenders, ENTRIES, |run, group| {
        let more = group.interleave(run, run.args.rounds, time * 2, |map, round| {
            let start = keys.start_of_round(round);
            // Both slices of a pair follow each other at once, as they are to be compared.
            [few, many].map(|Threads { count, .. }| {
                let crowd = Crowd { threads: *count, time, keys: &keys, start };
                1e3 / map.crowd(*load, &crowd).nanoseconds()
            })
        });
        for (name, more) in group.names().into_iter().zip(more) {
            match samples.iter_mut().find(|(contender, _)| *contender == name) {
                Some((_, all)) => all.extend(more),
                None => samples.push((name, more)),
            }
        }
    });

    let row = |(contender, pairs): (&str, Vec<[f64; 2]>)| {
        let (with_few, with_many): (Vec<f64>, Vec<f64>) = pairs.into_iter().map(Into::into).unzip();
        Row {
            contender: contender.to_owned(),
            measures: vec![
                Measure::of(few.column, &with_few),
                Measure::of(many.column, &with_many),
                Measure::of("many / few", &stats::ratios(&with_few, &with_many)),
            ],
        }
    };
    run.publish(Table {
        workload: workload(scaling.name, ENTRIES),
        rounds: samples.iter().map(|(_, pairs)| pairs.len()).min().unwrap_or(run.args.rounds),
        rows: samples.into_iter().map(row).collect(),
    });
}
