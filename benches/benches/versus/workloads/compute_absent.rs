//! Computing keys that are absent, on one thread: a map is filled from empty, by computations and
//! then, beside that, by the map's own `insert`.

use std::time::Duration;

use super::comparison::Comparison;
use super::pairs::{self, Columns, Pair, Which};
use super::{Job, LARGEST_COMPUTED, Run, fill_cost, is_whole, workload};
use crate::args::Args;
use crate::common::maps::{
    Binlock, BinlockEach, BinlockEntry, Compute, DashMap, Flurry, FlurryEach, Moka, Papaya,
    PapayaEach, SccIndexEach, SccMap, Sharded, StdMutex,
};
use crate::common::{computations, keys, work};
use crate::rounds;

/// Below, one fill is too short to be timed by itself; the criterion bench `compute` has that.
const SMALLEST: usize = 1 << 16;

const COLUMNS: Columns = Columns { plain: "insert, ns/op", ratio: "time / insert" };

/// A map that does not exist before it is filled, nor after.
struct Filler {
    name: &'static str,
    insert: fn(&[u64]) -> Duration,
    compute: fn(&[u64]) -> Duration,
}

impl Filler {
    fn of<M: Compute>() -> Self {
        Self { name: M::NAME, insert: work::fill::<M>, compute: computations::fill::<M> }
    }
}

/// Ours and the peers that the command line invites.
fn fillers(args: &Args) -> Vec<Filler> {
    let peers = [
        Filler::of::<BinlockEach>(),
        Filler::of::<BinlockEntry>(),
        Filler::of::<Papaya>(),
        Filler::of::<PapayaEach>(),
        Filler::of::<Flurry>(),
        Filler::of::<FlurryEach>(),
        Filler::of::<SccIndexEach>(),
        Filler::of::<SccMap>(),
        Filler::of::<DashMap>(),
        Filler::of::<Sharded>(),
        Filler::of::<Moka>(),
        Filler::of::<StdMutex>(),
    ];
    let invited = peers.into_iter().filter(|peer| args.invites(peer.name));
    [Filler::of::<Binlock>()].into_iter().chain(invited).collect()
}

pub fn jobs(args: &Args) -> Vec<Job> {
    let sizes = args.sizes.iter().filter(|entries| (SMALLEST..=LARGEST_COMPUTED).contains(entries));
    sizes.filter_map(|&entries| job(args, entries)).collect()
}

fn job(args: &Args, entries: usize) -> Option<Job> {
    let name = workload("compute_absent", entries);
    let fillers = fillers(args);
    let fills = (args.long_rounds(entries) as u32 + 1) * 2 * fillers.len() as u32;
    args.wants(&name).then(|| Job {
        name,
        whole: is_whole(entries),
        cost: fill_cost(entries) * fills,
        run: Box::new(move |run: &mut Run<'_>| compare(run, &fillers, entries)),
    })
}

/// One map at a time, as in `fill`.
fn compare(run: &mut Run<'_>, fillers: &[Filler], entries: usize) {
    let keys = keys::present(entries);
    let rounds = run.args.long_rounds(entries);
    let samples = rounds::interleave(fillers.len(), rounds, |filler, round| {
        Pair::measure(round, |which| {
            let fill = match which {
                Which::Plain => fillers[filler].insert,
                Which::Computed => fillers[filler].compute,
            };
            let time = fill(&keys);
            run.progress.advance(fill_cost(entries));
            time.as_nanos() as f64 / entries as f64
        })
    });
    let mut comparison = Comparison::new(workload("compute_absent", entries), rounds);
    let names: Vec<_> = fillers.iter().map(|filler| filler.name).collect();
    pairs::add(&mut comparison, &COLUMNS, &names, &samples);
    comparison.publish(run);
}
