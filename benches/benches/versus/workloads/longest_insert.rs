//! How long single inserts take on the way from empty to full: what growing does to those who
//! happen to be there. Three tables come of the same passes: the inserts' quantiles
//! (`insert_latency`), the histogram that these are from (`insert_histogram`), and the longest of them.
//!
//! The clock is read after each insert, so the total of such a pass is not the time of a fill;
//! `fill` has that. The longest insert of a pass is often one that the system interrupted, and so
//! there are three answers:
//!
//! - the longest insert of each pass, their median and quartiles;
//! - the least of these;
//! - the longest that repeats. Passes do the same inserts in the same order, so a map grows at the
//!   same ones, while interrupts hit others: for each insert the least time of all passes is taken,
//!   and of these the longest. It is blind to what a map does at a different insert each time.
//!
//! A contender that only reads the clock shows what the machine does by itself.
//!
//! Each pass has a process of its own (see `one_pass`).

use std::hint::black_box;
use std::time::Instant;

use hdrhistogram::Histogram;

use super::fillers::{Filler, fillers};
use super::{Job, Run, fill_cost, one_pass, workload};
use crate::args::Args;
use crate::common::maps::{Map, Session};
use crate::common::report::{Measure, Row, Table};
use crate::common::work::WRITES_PER_SESSION;
use crate::render::HALVED;
use crate::rounds;

/// Below, growing takes no longer than an interrupt.
const SMALLEST: usize = 1 << 20;

const LATENCY: &str = "insert_latency";
const HISTOGRAM: &str = "insert_histogram";

pub const CLOCK_ALONE: &str = "(the clock alone)";

/// Inserts the keys into an empty map and notes for each how many nanoseconds it took.
pub type Pass = fn(&[u64], &mut [u32]);

/// What the passes of one contender came to.
struct Passes {
    name: &'static str,
    /// The least time of each insert.
    least: Vec<u32>,
    /// Of each pass, the nanoseconds that so much of the inserts stayed within.
    quantiles: [Vec<f64>; QUANTILES.len()],
    /// Of each pass, the nanoseconds that one insert in two took longer than, one in four, and so on.
    halves: Vec<Vec<f64>>,
}

/// What part of the inserts, and how their column is called.
const QUANTILES: [(f64, &str); 5] = [
    (0.5, "p50, ns"),
    (0.99, "p99, ns"),
    (0.999, "p99.9, ns"),
    (0.9999, "p99.99, ns"),
    (1.0, "max, ns"),
];

pub fn jobs(args: &Args) -> Vec<Job> {
    let sizes = args.sizes.iter().filter(|&&entries| entries >= SMALLEST);
    sizes.filter_map(|&entries| job(args, entries)).collect()
}

fn job(args: &Args, entries: usize) -> Option<Job> {
    let name = workload("longest_insert", entries);
    let fillers = fillers(args);
    let passes = (args.long_rounds(entries) as u32 + 1) * (fillers.len() as u32 + 1);
    let latency = workload(LATENCY, entries);
    let histogram = workload(HISTOGRAM, entries);
    let wanted = args.wants(&name) || args.wants(&latency) || args.wants(&histogram);
    wanted.then(|| Job {
        name,
        whole: true,
        cost: fill_cost(entries) * passes,
        run: Box::new(move |run: &mut Run<'_>| measure(run, &fillers, entries)),
    })
}

fn measure(run: &mut Run<'_>, fillers: &[Filler], entries: usize) {
    let names = fillers.iter().map(|filler| filler.name).chain([CLOCK_ALONE]);
    let mut contenders: Vec<Passes> = names.map(|name| Passes::new(name, entries)).collect();

    let rounds = run.args.long_rounds(entries);
    let samples = rounds::interleave(contenders.len(), rounds, |contender, round| {
        let passes = &mut contenders[contender];
        let times = one_pass::run(passes.name, entries);
        run.progress.advance(fill_cost(entries));
        if round > 0 {
            passes.add(&times);
        }
        microseconds(times.iter().copied().max().expect("there are inserts"))
    });

    let rows = contenders.iter().map(Passes::latency_row).collect();
    run.publish(Table { workload: workload(LATENCY, entries), rounds, rows });
    let rows = contenders.iter().map(Passes::histogram_row).collect();
    run.publish(Table { workload: workload(HISTOGRAM, entries), rounds, rows });
    let rows = contenders.iter().zip(&samples).map(|(passes, longest)| passes.row(longest));
    let rows = rows.collect();
    run.publish(Table { workload: workload("longest_insert", entries), rounds, rows });
}

impl Passes {
    fn new(name: &'static str, entries: usize) -> Self {
        Self {
            name,
            least: vec![u32::MAX; entries],
            quantiles: Default::default(),
            halves: vec![Vec::new(); entries.ilog2() as usize],
        }
    }

    fn add(&mut self, times: &[u32]) {
        self.least.iter_mut().zip(times).for_each(|(least, &time)| *least = time.min(*least));
        // Three digits, of times up to the longest that are told apart.
        let mut histogram =
            Histogram::<u64>::new_with_max(u32::MAX.into(), 3).expect("the bounds are in order");
        for &time in times {
            histogram.record(time.into()).expect("no time is longer than the longest");
        }
        for (samples, (quantile, _)) in self.quantiles.iter_mut().zip(QUANTILES) {
            samples.push(histogram.value_at_quantile(quantile) as f64);
        }
        for (samples, halved) in self.halves.iter_mut().zip(1..) {
            let quantile = 1.0 - 0.5_f64.powi(halved);
            samples.push(histogram.value_at_quantile(quantile) as f64);
        }
    }

    fn latency_row(&self) -> Row {
        let measure =
            |((_, name), samples): (&(f64, &'static str), &Vec<f64>)| Measure::of(name, samples);
        Row {
            contender: self.name.to_owned(),
            measures: QUANTILES.iter().zip(&self.quantiles).map(measure).collect(),
        }
    }

    fn histogram_row(&self) -> Row {
        let measure = |(samples, halved): (&Vec<f64>, usize)| {
            Measure::of(&format!("{HALVED}{halved}"), samples)
        };
        Row {
            contender: self.name.to_owned(),
            measures: self.halves.iter().zip(1..).map(measure).collect(),
        }
    }

    fn row(&self, longest: &[f64]) -> Row {
        let least_longest = longest.iter().copied().fold(f64::INFINITY, f64::min);
        let (index, repeating) = self
            .least
            .iter()
            .enumerate()
            .max_by_key(|(_, time)| **time)
            .expect("there are inserts");
        Row {
            contender: self.name.to_owned(),
            measures: vec![
                Measure::of("longest, us", longest),
                Measure::of("least of these, us", &[least_longest]),
                Measure::of("longest that repeats, us", &[microseconds(*repeating)]),
                Measure::of("at entry", &[(index + 1) as f64]),
            ],
        }
    }
}

fn microseconds(nanoseconds: u32) -> f64 {
    f64::from(nanoseconds) / 1e3
}

pub fn time_inserts<M: Map>(keys: &[u64], times: &mut [u32]) {
    let map = M::new();
    let chunks = keys.chunks(WRITES_PER_SESSION).zip(times.chunks_mut(WRITES_PER_SESSION));
    let mut last = Instant::now();
    for (keys, times) in chunks {
        let session = map.session();
        for (&key, time) in keys.iter().zip(times) {
            session.insert_new(key, !key);
            // One reading ends an insert and begins the next, so nothing happens unseen: what a
            // session does at its end counts for the insert after it.
            *time = lap(&mut last);
        }
    }
}

/// Several readings for an insert, so that a pass is as long, and as exposed, as that of a map.
pub fn clock_alone(_: &[u64], times: &mut [u32]) {
    let mut last = Instant::now();
    times.fill_with(|| {
        for _ in 0..8 {
            black_box(Instant::now());
        }
        lap(&mut last)
    });
}

/// Nanoseconds since `last`, which becomes now.
#[inline(always)]
fn lap(last: &mut Instant) -> u32 {
    let now = Instant::now();
    let nanoseconds = (now - *last).as_nanos();
    *last = now;
    // Four seconds and more all count as long.
    u32::try_from(nanoseconds).unwrap_or(u32::MAX)
}
