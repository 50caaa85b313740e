//! A bar with the time left, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Counts in milliseconds of estimated cost, since a slice takes milliseconds and filling a large
/// map takes seconds: a bar that counted steps would promise nonsense.
pub struct Progress {
    bar: ProgressBar,
    /// The estimated cost of the jobs before the current one, and of that as well.
    done: Duration,
    until: Duration,
}

impl Progress {
    pub fn new(cost: Duration) -> Self {
        let bar = ProgressBar::new(cost.as_millis() as u64);
        let style = "{elapsed_precise} {wide_bar} {percent}% ETA {eta_precise} {msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is well-formed"));
        Self { bar, done: Duration::ZERO, until: Duration::ZERO }
    }

    /// The next job begins.
    pub fn begin(&mut self, name: &str, cost: Duration) {
        self.done = self.until;
        self.until += cost;
        self.bar.set_message(name.to_owned());
        self.show();
    }

    /// A part of the current job is done that was estimated at `cost`.
    pub fn advance(&mut self, cost: Duration) {
        self.done = (self.done + cost).min(self.until);
        self.show();
    }

    fn show(&self) {
        self.bar.set_position(self.done.as_millis() as u64);
    }

    /// The current job is done.
    pub fn end(&mut self) {
        self.done = self.until;
        self.show();
    }

    /// Prints without tearing the bar.
    pub fn print(&self, text: &str) {
        self.bar.suspend(|| println!("{text}"));
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
