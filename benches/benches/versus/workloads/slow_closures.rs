//! Closures that sleep, on several threads that want different keys: whose closures run at the
//! same time, where keys are spread and where all collide.

use super::{Job, Run};
use crate::args::Args;
use crate::common::report::{Measure, Row, Table};
use crate::common::slow_closures::{CONTENDERS, Contender, IDEAL, NO_MAP, compute_all};
use crate::common::stats;
use crate::rounds;

/// A map whose closures run one by one takes that many times the ideal.
const TYPICAL: u32 = 4;

pub fn jobs(args: &Args) -> Vec<Job> {
    [("slow_closures", false), ("slow_closures_colliding", true)]
        .into_iter()
        .filter_map(|(name, colliding)| job(args, name, colliding))
        .collect()
}

fn job(args: &Args, name: &'static str, colliding: bool) -> Option<Job> {
    let slices = (args.rounds + 1) * CONTENDERS.len();
    args.wants(name).then(|| Job {
        name: name.to_owned(),
        whole: false,
        cost: IDEAL * TYPICAL * slices as u32,
        run: Box::new(move |run: &mut Run<'_>| measure(run, name, colliding)),
    })
}

fn measure(run: &mut Run<'_>, name: &str, colliding: bool) {
    let invited = |&(number, contender): &(usize, &Contender)| {
        number == 0 || contender.name == NO_MAP || run.args.invites(contender.name)
    };
    let contenders: Vec<_> = CONTENDERS.iter().enumerate().filter(invited).collect();
    let samples = rounds::interleave(contenders.len(), run.args.rounds, |contender, _| {
        let (_, Contender { spread, colliding: collide, .. }) = contenders[contender];
        let time = compute_all(&if colliding { collide() } else { spread() });
        run.progress.advance(IDEAL * TYPICAL);
        time.as_secs_f64() * 1e3
    });

    let ideal = IDEAL.as_secs_f64() * 1e3;
    let row = |(contender, milliseconds): (&str, &Vec<f64>)| {
        let of_ideal: Vec<f64> = milliseconds.iter().map(|time| time / ideal).collect();
        Row {
            contender: contender.to_owned(),
            measures: vec![
                Measure::of("ms", milliseconds),
                Measure::of("time / ideal", &of_ideal),
                Measure::of("time / ours", &stats::ratios(&samples[0], milliseconds)),
            ],
        }
    };
    let names = contenders.iter().map(|(_, contender)| contender.name);
    run.publish(Table {
        workload: name.to_owned(),
        rounds: run.args.rounds,
        rows: names.zip(&samples).map(row).collect(),
    });
}
