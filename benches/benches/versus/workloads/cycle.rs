//! How soon a thread is told that its wait would end in a cycle, among many that wait and alone.
//! A latency: no peer has anything like it.

use std::time::Duration;

use super::{Job, Run};
use crate::args::Args;
use crate::common::cycles::times_of_refusal;
use crate::common::report::{Measure, Row, Table};
use crate::rounds;

const NAME: &str = "cycle";

const CIRCLES: usize = 10;

/// How many others wait, and what that is called.
const CROWDS: [(usize, &str); 2] =
    [(64, "binlock, 64 others wait"), (0, "binlock, nobody else waits")];

/// Of one slice: most of it are sleeps.
const COST: Duration = Duration::from_millis(50);

pub fn jobs(args: &Args) -> Vec<Job> {
    let slices = (args.rounds + 1) * CROWDS.len();
    let job = args.wants(NAME).then(|| Job {
        name: NAME.to_owned(),
        whole: true,
        cost: COST * slices as u32,
        run: Box::new(measure),
    });
    job.into_iter().collect()
}

fn measure(run: &mut Run<'_>) {
    let samples = rounds::interleave(CROWDS.len(), run.args.rounds, |crowd, _| {
        let times = times_of_refusal(CROWDS[crowd].0, CIRCLES);
        run.progress.advance(COST);
        times
    });
    let row = |(contender, rounds): (&str, Vec<Vec<Duration>>)| {
        let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
        let times: Vec<f64> = rounds.into_iter().flatten().map(microseconds).collect();
        let longest = times.iter().copied().fold(0.0, f64::max);
        Row {
            contender: contender.to_owned(),
            measures: vec![
                Measure::of("refused after, us", &times),
                Measure::of("longest, us", &[longest]),
            ],
        }
    };
    let names = CROWDS.iter().map(|(_, name)| *name);
    run.publish(Table {
        workload: NAME.to_owned(),
        rounds: run.args.rounds,
        rows: names.zip(samples).map(row).collect(),
    });
}
