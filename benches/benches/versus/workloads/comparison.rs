//! Times of several maps and their ratios to ours, collected group by group.

use std::time::Duration;

use super::Run;
use super::groups::Group;
use crate::args::Args;
use crate::common::keys::{Stream, Window};
use crate::common::report::{Measure, Row, Table};
use crate::common::stats;
use crate::rounds;

pub struct Comparison {
    workload: String,
    rounds: usize,
    rows: Vec<Times>,
}

struct Times {
    contender: &'static str,
    /// Of one operation, round by round.
    nanoseconds: Vec<f64>,
    /// To ours in the same round.
    ratios: Vec<f64>,
    /// Columns that stand behind these.
    more: Vec<(&'static str, Vec<f64>)>,
}

impl Comparison {
    pub fn new(workload: String, rounds: usize) -> Self {
        Self { workload, rounds, rows: Vec::new() }
    }

    /// `None` where the command line does not ask for this workload.
    pub fn if_wanted(args: &Args, workload: String) -> Option<Self> {
        args.wants(&workload).then(|| Self::new(workload, args.rounds))
    }

    /// Times `work` on one thread, for each map of the group and with the same keys for each.
    pub fn measure<C: ?Sized, K>(
        &mut self,
        run: &mut Run<'_>,
        group: &mut Group<C>,
        stream: &Stream<K>,
        work: impl Fn(&C, Window<'_, K>) -> Duration,
    ) {
        let slice = run.args.slice;
        let operations = group.of_ours(|ours| {
            // As in the round that does not count; what is still slow would make slices short.
            work(ours, stream.window(0, stream.len()));
            rounds::operations(slice, |operations| work(ours, stream.window(0, operations)))
        });
        let samples = group.interleave(run, self.rounds, slice, |map, round| {
            // In the round that does not count, all keys: maps have been built one after another, and
            // a system (or the one that it is a guest of) may have taken memory for unused since.
            let operations = if round == 0 { operations.max(stream.len()) } else { operations };
            let time = work(map, stream.window(round * operations, operations));
            time.as_nanos() as f64 / operations as f64
        });
        self.add(group.names(), samples);
    }

    /// Adds nanoseconds per operation, of each contender by round, ours the first.
    pub fn add(
        &mut self,
        contenders: impl IntoIterator<Item = &'static str>,
        samples: Vec<Vec<f64>>,
    ) {
        let ours = samples[0].clone();
        for (contender, nanoseconds) in contenders.into_iter().zip(samples) {
            let ratios = stats::ratios(&ours, &nanoseconds);
            // We are in every group.
            match self.rows.iter_mut().find(|times| times.contender == contender) {
                Some(times) => {
                    times.nanoseconds.extend(nanoseconds);
                    times.ratios.extend(ratios);
                }
                None => self.rows.push(Times { contender, nanoseconds, ratios, more: Vec::new() }),
            }
        }
    }

    /// Adds samples of another column for a contender that has been added.
    pub fn add_column(&mut self, contender: &str, column: &'static str, samples: Vec<f64>) {
        let mut rows = self.rows.iter_mut();
        let times = rows.find(|times| times.contender == contender).expect("it has been added");
        match times.more.iter_mut().find(|(name, _)| *name == column) {
            Some((_, all)) => all.extend(samples),
            None => times.more.push((column, samples)),
        }
    }

    pub fn publish(self, run: &mut Run<'_>) {
        let row = |times: Times| {
            let own = [("ns/op", times.nanoseconds), ("time / ours", times.ratios)];
            let columns = own.into_iter().chain(times.more);
            Row {
                contender: times.contender.to_owned(),
                measures: columns.map(|(name, samples)| Measure::of(name, &samples)).collect(),
            }
        };
        // Ours is in every group, and each building of the maps has a whole number of rounds.
        let rounds = self.rows.iter().map(|times| times.ratios.len()).min();
        run.publish(Table {
            workload: self.workload,
            rounds: rounds.unwrap_or(self.rounds),
            rows: self.rows.into_iter().map(row).collect(),
        });
    }
}
