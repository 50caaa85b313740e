//! Filling a map from empty, one by one and from an iterator, as `collect` does, and dropping it:
//! the total times.

use std::time::Duration;

use super::comparison::Comparison;
use super::fillers::{Filler, fillers};
use super::{Job, Run, fill_cost, is_whole, workload};
use crate::args::Args;
use crate::common::maps::{Binlock, Bulk, DashMap, Flurry, Hashbrown, Papaya};
use crate::common::{keys, work};
use crate::rounds;

/// Below, one fill is too short to be timed by itself; `map` covers those sizes.
const SMALLEST: usize = 1 << 16;

/// Above, `extend` and `drop` would take longer than they tell.
const LARGEST_OF_OTHERS: usize = 1 << 20;

/// A map that does not exist before, nor after, and how long what it is about takes.
struct Contender {
    name: &'static str,
    time: fn(&[u64]) -> Duration,
}

impl Contender {
    fn extended<M: Bulk>() -> Self {
        Self { name: M::NAME, time: work::extend::<M> }
    }
}

/// Maps that are extended by an iterator: ours, and those peers that have `Extend`.
fn extended(args: &Args) -> Vec<Contender> {
    let peers = [
        Contender { name: "binlock, one by one", time: work::fill_with_room::<Binlock> },
        Contender::extended::<Papaya>(),
        Contender::extended::<Flurry>(),
        Contender::extended::<DashMap>(),
        Contender::extended::<Hashbrown>(),
    ];
    let invited = peers.into_iter().filter(|peer| args.invites(peer.name));
    [Contender::extended::<Binlock>()].into_iter().chain(invited).collect()
}

/// Maps that grow by one insertion after the other.
fn filled(args: &Args) -> Vec<Contender> {
    let contender = |filler: Filler| Contender { name: filler.name, time: filler.fill };
    fillers(args).into_iter().map(contender).collect()
}

/// The same, when they are dropped.
fn dropped(args: &Args) -> Vec<Contender> {
    let contender = |filler: Filler| Contender { name: filler.name, time: filler.drop };
    fillers(args).into_iter().map(contender).collect()
}

pub fn jobs(args: &Args) -> Vec<Job> {
    let sizes = args.sizes.iter().copied().filter(|&entries| entries >= SMALLEST);
    let jobs = sizes.flat_map(|entries| {
        let others = entries <= LARGEST_OF_OTHERS;
        [
            job(args, "fill", entries, filled(args)),
            others.then(|| job(args, "extend", entries, extended(args))).flatten(),
            others.then(|| job(args, "drop", entries, dropped(args))).flatten(),
        ]
    });
    jobs.flatten().collect()
}

fn job(args: &Args, name: &str, entries: usize, contenders: Vec<Contender>) -> Option<Job> {
    let name = workload(name, entries);
    let fills = (args.long_rounds(entries) as u32 + 1) * contenders.len() as u32;
    args.wants(&name).then(|| Job {
        name: name.clone(),
        whole: is_whole(entries),
        cost: fill_cost(entries) * fills,
        run: Box::new(move |run: &mut Run<'_>| compare(run, name, &contenders, entries)),
    })
}

/// One map at a time: they need not fit side by side.
fn compare(run: &mut Run<'_>, name: String, contenders: &[Contender], entries: usize) {
    let keys = keys::present(entries);
    let rounds = run.args.long_rounds(entries);
    let samples = rounds::interleave(contenders.len(), rounds, |contender, _| {
        let time = (contenders[contender].time)(&keys);
        run.progress.advance(fill_cost(entries));
        time.as_nanos() as f64 / entries as f64
    });
    let mut comparison = Comparison::new(name, rounds);
    comparison.add(contenders.iter().map(|contender| contender.name), samples);
    comparison.publish(run);
}
