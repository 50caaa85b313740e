//! Computing keys that are present, on one thread, beside the map's own `get`: what it costs to
//! ask for a value that somebody else has computed.

use super::comparison::Comparison;
use super::groups::{Group, cost, in_groups};
use super::pairs::{self, Columns, Pair, Which};
use super::{Job, LARGEST_COMPUTED, Run, fill_cost, is_whole, workload};
use crate::args::Args;
use crate::common::keys::Stream;
use crate::common::maps::{
    Binlock, BinlockEach, BinlockEntry, DashMap, Flurry, FlurryEach, Moka, Papaya, PapayaEach,
    SccIndexEach, SccMap, Sharded, StdMutex,
};
use crate::contenders::{Computer, Entry};
use crate::rounds;

const COLUMNS: Columns = Columns { plain: "get, ns/op", ratio: "time / get" };

/// Who computes, under what name.
struct Computers {
    name: &'static str,
    contenders: Vec<Entry<dyn Computer>>,
}

fn pinned_once() -> Computers {
    Computers {
        name: "compute_present",
        contenders: vec![
            Entry::computer::<Binlock>(),
            Entry::computer::<BinlockEntry>(),
            Entry::computer::<Papaya>(),
            Entry::computer::<Flurry>(),
            Entry::computer::<SccIndexEach>(),
            Entry::computer::<SccMap>(),
            Entry::computer::<DashMap>(),
            Entry::computer::<Sharded>(),
            Entry::computer::<Moka>(),
            Entry::computer::<StdMutex>(),
        ],
    }
}

fn pin_each() -> Computers {
    Computers {
        name: "compute_present_pin_each",
        contenders: vec![
            Entry::computer::<BinlockEach>(),
            Entry::computer::<PapayaEach>(),
            Entry::computer::<FlurryEach>(),
            Entry::computer::<SccIndexEach>(),
            Entry::computer::<SccMap>(),
            Entry::computer::<DashMap>(),
            Entry::computer::<Sharded>(),
            Entry::computer::<Moka>(),
            Entry::computer::<StdMutex>(),
        ],
    }
}

pub fn jobs(args: &Args) -> Vec<Job> {
    let mut jobs = Vec::new();
    for &entries in args.sizes.iter().filter(|&&entries| entries <= LARGEST_COMPUTED) {
        jobs.extend(job(args, entries, pinned_once()));
        jobs.extend(job(args, entries, pin_each()));
    }
    jobs
}

fn job(args: &Args, entries: usize, computers: Computers) -> Option<Job> {
    let name = workload(computers.name, entries);
    let mut comparison = Comparison::if_wanted(args, name.clone())?;
    Some(Job {
        name,
        whole: is_whole(entries),
        cost: cost(
            args,
            &computers.contenders,
            entries,
            fill_cost(entries),
            args.slice,
            args.rounds,
        ),
        run: Box::new(move |run: &mut Run<'_>| {
            let stream = Stream::hits(entries);
            in_groups(run, &computers.contenders, entries, |run, group| {
                measure(run, &mut comparison, group, &stream);
            });
            comparison.publish(run);
        }),
    })
}

fn measure(
    run: &mut Run<'_>,
    comparison: &mut Comparison,
    group: &mut Group<dyn Computer>,
    stream: &Stream,
) {
    // A slice is for both.
    let slice = run.args.slice / 2;
    let operations = group.of_ours(|ours| {
        rounds::operations(slice, |operations| ours.computations(stream.window(0, operations)))
    });
    let samples = group.interleave(run, run.args.rounds, run.args.slice, |map, round| {
        Pair::measure(round, |which| {
            // Not the same keys for both: the first to ask for them would warm the caches.
            let (turn, time): (_, fn(&dyn Computer, _) -> _) = match which {
                Which::Plain => (0, |map, keys| map.gets(keys)),
                Which::Computed => (1, |map, keys| map.computations(keys)),
            };
            let time = time(map, stream.window((2 * round + turn) * operations, operations));
            time.as_nanos() as f64 / operations as f64
        })
    });
    pairs::add(comparison, &COLUMNS, &group.names(), &samples);
}
