//! What did not hold.

use std::process::ExitCode;

use crate::{
    latency::{Control, Kind, Latencies},
    load::CYCLE,
    memory::Sample,
};

#[derive(Default)]
pub struct Verdict {
    violations: Vec<String>,
    notes: Vec<String>,
}

/// What may be left behind: what threads and the epochs keep of their own.
const LEFT: usize = 256 << 10;

impl Verdict {
    pub fn fail(&mut self, violation: String) {
        // What is wrong all the time is told once.
        if !self.violations.contains(&violation) && self.violations.len() < 50 {
            self.violations.push(violation);
        }
    }

    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub fn memory_is_given_back(&mut self, before: usize, after: usize) {
        self.note(format!("{before} bytes were in use before, {after} are afterwards"));
        if after > before + LEFT {
            self.fail(format!("{} bytes have not been given back", after - before));
        }
    }

    /// After the warm-up, the peaks of the last cycles are no higher than those of the first, and
    /// none is out of proportion to what a map with all keys takes.
    pub fn memory_is_bounded(&mut self, samples: &[Sample], full: usize) {
        let peak = samples.iter().map(|sample| sample.bytes).max().unwrap_or(0);
        self.note(format!("at most {peak} bytes were in use; a full map takes {full}"));
        // A growing map has two tables, and garbage waits while threads are preempted in the
        // middle of reading.
        if peak > 4 * full + (32 << 20) {
            self.fail(format!("{peak} bytes were in use, where {full} hold everything"));
        }
        self.no_upward_trend(samples);
        // How much of what it was given back an allocator keeps, in pieces and for each thread, is
        // its own affair, and goes up by steps; but it stays in proportion.
        let resident = samples.iter().filter_map(|sample| sample.resident).max().unwrap_or(0);
        self.note(format!("at most {resident} bytes were resident"));
        if resident > 5 * peak + (64 << 20) {
            self.fail(format!("{resident} bytes were resident, and {peak} in use"));
        }
    }

    fn no_upward_trend(&mut self, samples: &[Sample]) {
        let Some((first, last)) = first_and_last_peaks(samples) else {
            return self.note("too short for a trend of memory".into());
        };
        let growth = 100.0 * (last as f64 / first as f64 - 1.0);
        self.note(format!("peaks of {first} bytes in use at first, {growth:+.1} % at last"));
        if last as f64 > first as f64 * 1.15 + f64::from(1 << 20) {
            self.fail(format!("memory in use grows: from {first} to {last} bytes"));
        }
    }

    pub fn latencies_are_bounded(&mut self, latencies: &Latencies, control: &Control) {
        for kind in Kind::ALL {
            let (longest, work) = latencies.longest(kind);
            let allowed = control.allowed(kind);
            if longest > allowed {
                self.fail(format!("{kind:?} took {longest:?}, more than {allowed:?}"));
            }
            match (work, kind.most_work()) {
                (Some(work), Some(most)) if work > most => {
                    self.fail(format!("{kind:?} worked for {work:?}, more than {most:?}"));
                }
                _ => {}
            }
        }
    }

    /// Tells the result.
    pub fn print(&self) -> ExitCode {
        self.notes.iter().for_each(|note| println!("{note}"));
        for violation in &self.violations {
            eprintln!("VIOLATED: {violation}");
        }
        if self.violations.is_empty() {
            println!("all has held");
            return ExitCode::SUCCESS;
        }
        ExitCode::FAILURE
    }
}

/// The median peak of the first third of the cycles after the warm-up, and of the last third;
/// `None` if there are too few cycles to tell.
fn first_and_last_peaks(samples: &[Sample]) -> Option<(usize, usize)> {
    let cycle = |sample: &Sample| (sample.time / CYCLE.as_secs_f64()) as usize;
    let cycles = samples.last().map_or(0, cycle);
    // A fifth, and two cycles at least. The last one may be cut short.
    let warm_up = (cycles / 5).max(2);
    let peaks: Vec<usize> = (warm_up..cycles)
        .filter_map(|number| {
            samples.iter().filter(|sample| cycle(sample) == number).map(|sample| sample.bytes).max()
        })
        .collect();
    let third = peaks.len() / 3;
    if third == 0 {
        return None;
    }
    let median = |peaks: &[usize]| {
        let mut peaks = peaks.to_vec();
        peaks.sort_unstable();
        peaks[peaks.len() / 2]
    };
    Some((median(&peaks[..third]), median(&peaks[peaks.len() - third..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(bytes: impl Fn(f64) -> f64) -> Vec<Sample> {
        let at = |time: f64| Sample { time, bytes: bytes(time) as usize, resident: None };
        (0..240).map(|i| at(f64::from(i) / 4.0)).collect()
    }

    fn violations(samples: &[Sample]) -> usize {
        let mut verdict = Verdict::default();
        verdict.memory_is_bounded(samples, 10_000_000);
        verdict.violations.len()
    }

    #[test]
    fn memory_that_goes_up_and_down_is_bounded_and_a_leak_is_noticed() {
        let wave = |time: f64| 8e6 + 6e6 * (time * std::f64::consts::TAU / 3.0).sin();
        assert_eq!(violations(&samples(wave)), 0);
        // It takes more in the beginning, and something happens once.
        let warm = |time: f64| if time < 5.0 { 30e6 } else { wave(time) };
        assert_eq!(violations(&samples(warm)), 0);
        assert_eq!(violations(&samples(|time| if time == 40.0 { 60e6 } else { wave(time) })), 0);
        // Two hundred thousand bytes a second, of some millions.
        assert_eq!(violations(&samples(|time| wave(time) + 2e5 * time)), 1);
        assert_eq!(violations(&samples(|time| wave(time) * 10.0)), 1);
    }

    #[test]
    fn of_a_short_run_no_trend_is_told() {
        assert_eq!(first_and_last_peaks(&samples(|_| 1.0)[..20]), None);
    }
}
