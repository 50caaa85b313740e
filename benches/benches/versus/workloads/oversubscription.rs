//! What many more threads than cores do to the throughput: slices of the same map in the same round,
//! with few threads and with many.

use super::workload;
use crate::common::report::{Measure, Row, Table};
use crate::common::stats;

/// The numbers of threads whose throughputs are held against each other.
const THREADS: [usize; 2] = [2, 64];

/// Under what name it is reported.
pub fn name(load: &str, entries: usize) -> String {
    workload(&format!("oversubscription_{load}"), entries)
}

pub struct Oversubscription {
    /// Where among the numbers of threads the two stand.
    numbers: [usize; 2],
    /// Of each contender, million operations a second with either.
    rates: Vec<(String, [Vec<f64>; 2])>,
}

impl Oversubscription {
    /// `None` where there are no two to compare.
    pub fn of(counts: &[usize]) -> Option<Self> {
        let number = |threads| counts.iter().position(|&count| count == threads);
        let [few, many] = THREADS.map(number);
        Some(Self { numbers: [few?, many?], rates: Vec::new() })
    }

    /// Adds a contender's nanoseconds per operation, by round and number of threads.
    pub fn add(&mut self, contender: &str, rounds: &[Vec<f64>]) {
        let more = self.numbers.map(|number| {
            rounds.iter().map(|nanoseconds| 1e3 / nanoseconds[number]).collect::<Vec<_>>()
        });
        match self.rates.iter_mut().find(|(name, _)| name == contender) {
            Some((_, rates)) => rates.iter_mut().zip(more).for_each(|(all, more)| all.extend(more)),
            None => self.rates.push((contender.to_owned(), more)),
        }
    }

    pub fn table(self, workload: String) -> Table {
        let rounds = self.rates.iter().map(|(_, [few, _])| few.len()).min().unwrap_or(0);
        let row = |(contender, [few, many]): (String, [Vec<f64>; 2])| Row {
            contender,
            measures: vec![
                Measure::of("2 threads, M/s", &few),
                Measure::of("64 threads, M/s", &many),
                Measure::of("64 / 2", &stats::ratios(&few, &many)),
            ],
        };
        Table { workload, rounds, rows: self.rates.into_iter().map(row).collect() }
    }
}
