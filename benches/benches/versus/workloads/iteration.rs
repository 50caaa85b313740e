//! Going through all entries, by oneself and while another thread gives random keys new values.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::comparison::Comparison;
use super::groups::{self, in_groups};
use super::{Job, Run, fill_cost, is_whole, workload};
use crate::args::Args;
use crate::common::keys::Stream;
use crate::common::maps::{
    Binlock, DashMap, Flurry, Map, Papaya, SccIndex, SccIndexEach, SccMap, Session, Sharded,
};
use crate::common::work::{self, WRITES_PER_SESSION};
use crate::contenders::Entry;

/// One iteration below takes no longer than the writer's start.
const SMALLEST: usize = 1 << 16;
const LARGEST: usize = 1 << 20;

/// About how long one entry takes.
const ENTRY: Duration = Duration::from_nanos(20);

/// A filled map to go through.
trait Iterable {
    /// How many nanoseconds an entry takes, in passes one after another for about that long.
    fn iterate(&self, time: Duration) -> f64;

    /// The same in the middle of writes, for about that long.
    fn iterate_during_writes(&self, time: Duration, keys: &Stream, round: usize) -> DuringWrites;
}

#[derive(Serialize, Deserialize)]
struct DuringWrites {
    nanoseconds_of_entry: f64,
    writes_per_microsecond: f64,
    /// In percent of those that were there.
    seen: f64,
}

struct Filled<M> {
    map: M,
    entries: usize,
}

impl<M: Map + Sync> Iterable for Filled<M> {
    fn iterate(&self, time: Duration) -> f64 {
        let (mut spent, mut seen) = (Duration::ZERO, 0);
        while spent < time {
            spent += work::iterate(&self.map, self.entries);
            seen += self.entries;
        }
        spent.as_nanos() as f64 / seen as f64
    }

    fn iterate_during_writes(&self, time: Duration, keys: &Stream, round: usize) -> DuringWrites {
        let (started, over) = (AtomicBool::new(false), AtomicBool::new(false));
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let (mut position, mut writes) = (keys.start_of_round(round), 0);
                let begin = Instant::now();
                while !over.load(Ordering::Relaxed) {
                    let session = self.map.session();
                    for key in keys.window(position, WRITES_PER_SESSION).parts().flatten() {
                        writes += usize::from(session.update(key, !key));
                    }
                    position += WRITES_PER_SESSION;
                    started.store(true, Ordering::Relaxed);
                }
                writes as f64 / begin.elapsed().as_secs_f64() / 1e6
            });
            while !started.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            let (mut seen, mut iterations) = (0, 0);
            let begin = Instant::now();
            while begin.elapsed() < time {
                // All of it, or values would not be read by those who know how many there are.
                seen += black_box(self.map.session().sum_of_all()).entries;
                iterations += 1;
            }
            let time = begin.elapsed();
            over.store(true, Ordering::Relaxed);
            DuringWrites {
                nanoseconds_of_entry: time.as_nanos() as f64 / seen as f64,
                writes_per_microsecond: writer.join().expect("no map panics"),
                seen: 100.0 * seen as f64 / (iterations * self.entries) as f64,
            }
        })
    }
}

fn entry<M: Map + Sync>() -> Entry<dyn Iterable> {
    Entry::<dyn Iterable>::new(M::NAME, |entries| {
        Box::new(Filled { map: work::filled::<M>(entries), entries })
    })
}

pub fn jobs(args: &Args) -> Vec<Job> {
    let sizes = args.sizes.iter().filter(|entries| (SMALLEST..=LARGEST).contains(entries));
    sizes.filter_map(|&entries| job(args, entries)).collect()
}

fn job(args: &Args, entries: usize) -> Option<Job> {
    let mut alone = Comparison::if_wanted(args, workload("iterate", entries));
    let mut during = Comparison::if_wanted(args, workload("iterate_during_writes", entries));
    if alone.is_none() && during.is_none() {
        return None;
    }
    let contenders = [
        entry::<Binlock>(),
        entry::<Papaya>(),
        entry::<Flurry>(),
        entry::<SccIndex>(),
        entry::<SccIndexEach>(),
        entry::<SccMap>(),
        entry::<DashMap>(),
        entry::<Sharded>(),
    ];
    let one = ENTRY * entries as u32;
    let mut round = args.slice.max(one) * u32::from(alone.is_some());
    round += args.threads_slice.max(one) * u32::from(during.is_some());
    Some(Job {
        name: workload("iterate", entries),
        whole: is_whole(entries),
        cost: groups::cost(args, &contenders, entries, fill_cost(entries), round, args.rounds),
        run: Box::new(move |run: &mut Run<'_>| {
            let keys = Stream::hits(entries);
            let rounds = run.args.rounds;
            in_groups(run, &contenders, entries, |run, group| {
                let names = group.names();
                if let Some(alone) = &mut alone {
                    let time = run.args.slice;
                    let samples =
                        group.interleave(run, rounds, time.max(one), |map, _| map.iterate(time));
                    alone.add(names.iter().copied(), samples);
                }
                if let Some(during) = &mut during {
                    let time = run.args.threads_slice;
                    let samples = group.interleave(run, rounds, time.max(one), |map, round| {
                        map.iterate_during_writes(time, &keys, round)
                    });
                    let times = |slices: &Vec<DuringWrites>| {
                        slices.iter().map(|slice| slice.nanoseconds_of_entry).collect()
                    };
                    during.add(names.iter().copied(), samples.iter().map(times).collect());
                    for (name, slices) in names.into_iter().zip(&samples) {
                        let writes = slices.iter().map(|slice| slice.writes_per_microsecond);
                        during.add_column(name, "writes, M/s", writes.collect());
                        let seen = slices.iter().map(|slice| slice.seen);
                        during.add_column(name, "seen, %", seen.collect());
                    }
                }
            });
            for comparison in [alone, during].into_iter().flatten() {
                comparison.publish(run);
            }
        }),
    })
}
