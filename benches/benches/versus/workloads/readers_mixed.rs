//! Full caches of readers: nine hits on Zipf(0.99) keys for each key that nobody has asked for
//! before, whose reader is opened in the place of another one.

use super::comparison::Comparison;
use super::groups::{self, all_at_once};
use super::{Job, Run, fill_cost, is_whole, workload};
use crate::args::Args;
use crate::common::readers::work::{CAPACITY, THREADS, stream_of_mix};
use crate::contenders::Entry;
use crate::readers::{Churn, FullOfReaders, name};
use crate::threads::Crowd;

pub fn jobs(args: &Args) -> Option<Job> {
    let wanted = THREADS.map(|threads| {
        let workload = workload(&name("mixed", threads), CAPACITY);
        Some((threads, Comparison::if_wanted(args, workload)?))
    });
    let mut wanted: Vec<_> = wanted.into_iter().flatten().collect();
    if wanted.is_empty() {
        return None;
    }
    let contenders = Entry::<dyn FullOfReaders>::all();
    let slices = args.threads_slice * wanted.len() as u32;
    Some(Job {
        name: workload("readers_mixed", CAPACITY),
        whole: is_whole(CAPACITY),
        cost: groups::cost(args, &contenders, CAPACITY, fill_cost(CAPACITY), slices, args.rounds),
        run: Box::new(move |run: &mut Run<'_>| {
            let keys = stream_of_mix();
            let time = run.args.threads_slice;
            all_at_once(run, &contenders, CAPACITY, |run, group| {
                for &mut (threads, ref mut comparison) in &mut wanted {
                    let rounds = run.args.rounds;
                    let samples = group.interleave(run, rounds, time, |cache, round| {
                        let start = keys.start_of_round(round);
                        let Churn { work, opened } =
                            cache.mixed(&Crowd { threads, time, keys: &keys, start });
                        (work.nanoseconds(), 100.0 * opened as f64 / work.operations as f64)
                    });
                    let (times, opened): (Vec<_>, Vec<_>) =
                        samples.into_iter().map(|samples| samples.into_iter().unzip()).unzip();
                    comparison.add(group.names(), times);
                    for (contender, opened) in group.names().into_iter().zip(opened) {
                        comparison.add_column(contender, "opened, %", opened);
                    }
                }
            });
            wanted.into_iter().for_each(|(_, comparison)| comparison.publish(run));
        }),
    })
}
