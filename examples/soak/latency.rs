//! How long operations take, and how long they may.
//!
//! With more threads than cores, the longest that anything takes is a matter of the scheduler: a
//! thread that is preempted in the middle of an operation of 100 ns comes back after some
//! milliseconds, or after many if other programs want the machine. Two things are measured to tell
//! that from waiting for each other:
//!
//! * *Control threads* do nothing but look at the clock. The longest gap between two looks is what
//!   the scheduler takes from a thread that needs nobody. An operation may meet such a gap itself,
//!   and those of the threads whose lock or closure it waits for: [`Kind::gaps`] of them at most.
//! * The *processor time* of an operation, which has no gaps in it (where the system tells: it is
//!   asked for one operation in 16). It is bounded outright, by [`Kind::most_work`].

use std::{
    fmt::Write,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

/// What is done, and timed as one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Get,
    GetMany,
    Iterate,
    Insert,
    TryInsert,
    Replace,
    Remove,
    Set,
    RemoveIf,
    ComputeIfAbsent,
    Compute,
    Entry,
    Sum,
    Nested,
    Async,
    Cancelled,
    Open,
    OpenAsync,
    RemoveReader,
    Flush,
    Clear,
    Retain,
    Reserve,
    Shrink,
}

impl Kind {
    pub const ALL: [Kind; 24] = [
        Kind::Get,
        Kind::GetMany,
        Kind::Iterate,
        Kind::Insert,
        Kind::TryInsert,
        Kind::Replace,
        Kind::Remove,
        Kind::Set,
        Kind::RemoveIf,
        Kind::ComputeIfAbsent,
        Kind::Compute,
        Kind::Entry,
        Kind::Sum,
        Kind::Nested,
        Kind::Async,
        Kind::Cancelled,
        Kind::Open,
        Kind::OpenAsync,
        Kind::RemoveReader,
        Kind::Flush,
        Kind::Clear,
        Kind::Retain,
        Kind::Reserve,
        Kind::Shrink,
    ];

    /// How many of the scheduler's longest gaps can come together in one operation, in the worst
    /// case that is still taken for chance. (That a run of many gaps falls into one operation
    /// gets less likely by orders of magnitude with each. Who waits for ever waits longer.)
    pub fn gaps(self) -> u32 {
        match self {
            // Nobody is waited for: two are bad luck already.
            Kind::Get | Kind::GetMany => 4,
            // Bins' locks, one after another, each of whose holders can be preempted.
            Kind::Insert | Kind::TryInsert | Kind::Replace | Kind::Remove | Kind::Set => 8,
            // Closures that are waited for, in turn, by many who want the same key; and what
            // takes milliseconds by itself, and so meets some gaps in any case.
            _ => 24,
        }
    }

    /// The most processor time, where one operation is bounded: what it costs to move a few bins,
    /// to free two batches, to give memory for a table, with page faults and interrupts.
    pub fn most_work(self) -> Option<Duration> {
        match self {
            Kind::Get | Kind::GetMany => Some(Duration::from_millis(5)),
            Kind::Insert
            | Kind::TryInsert
            | Kind::Replace
            | Kind::Remove
            | Kind::Set
            | Kind::RemoveIf
            | Kind::ComputeIfAbsent
            | Kind::Compute
            | Kind::Entry => Some(Duration::from_millis(20)),
            // Those that spin or poll while others work, and those that go over a whole table.
            _ => None,
        }
    }
}

fn histogram() -> Histogram<u64> {
    // From a nanosecond to a quarter of an hour, with two digits.
    Histogram::new_with_bounds(1, 1 << 40, 2).expect("the bounds are right")
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos().clamp(1, 1 << 40) as u64
}

/// The processor time of this thread, where the system tells.
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn processor_time() -> Option<Duration> {
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
    }
    const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
    let mut time = [0; 2];
    // SAFETY: `timespec` is two words on this target, which are valid for the call.
    let done = unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) } == 0;
    done.then(|| Duration::new(time[0] as u64, time[1] as u32))
}

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
fn processor_time() -> Option<Duration> {
    None
}

/// How long one kind of operation took.
struct Times {
    all: Histogram<u64>,
    work: Histogram<u64>,
}

pub struct Latencies {
    kinds: Vec<Times>,
    count: u64,
}

impl Latencies {
    pub fn new() -> Latencies {
        let times = |_| Times { all: histogram(), work: histogram() };
        Latencies { kinds: Kind::ALL.iter().map(times).collect(), count: 0 }
    }

    pub fn time(&mut self, kind: Kind, operation: impl FnOnce()) {
        self.count += 1;
        let work = if self.count % 16 == 0 { processor_time() } else { None };
        let start = Instant::now();
        operation();
        let time = start.elapsed();
        let times = &mut self.kinds[kind as usize];
        times.all.saturating_record(nanoseconds(time));
        if let (Some(before), Some(after)) = (work, work.and_then(|_| processor_time())) {
            times.work.saturating_record(nanoseconds(after - before));
        }
    }

    pub fn add(&mut self, other: &Latencies) {
        for (mine, other) in self.kinds.iter_mut().zip(&other.kinds) {
            mine.all.add(&other.all).expect("all have the same bounds");
            mine.work.add(&other.work).expect("all have the same bounds");
        }
    }

    /// The longest time of a kind, and the most work, if there was any.
    pub fn longest(&self, kind: Kind) -> (Duration, Option<Duration>) {
        let Times { all, work } = &self.kinds[kind as usize];
        let most_work = (!work.is_empty()).then(|| Duration::from_nanos(work.max()));
        (Duration::from_nanos(all.max()), most_work)
    }

    /// As text.
    pub fn table(&self, control: &Control) -> String {
        let mut table = String::from(
            "                       count   median     99 %   99.9 %  longest  allowed  most work\n",
        );
        for kind in Kind::ALL {
            let Times { all, .. } = &self.kinds[kind as usize];
            let at = |quantile| show(Duration::from_nanos(all.value_at_quantile(quantile)));
            let (longest, work) = self.longest(kind);
            let _ = writeln!(
                table,
                "{:<16} {:>11} {} {} {} {} {} {}",
                format!("{kind:?}"),
                all.len(),
                at(0.5),
                at(0.99),
                at(0.999),
                show(longest),
                show(control.allowed(kind)),
                work.map_or("         -".into(), |work| format!("  {}", show(work))),
            );
        }
        let _ = write!(table, "{}", control.line());
        table
    }
}

/// Eight characters.
fn show(time: Duration) -> String {
    let nanoseconds = time.as_nanos() as f64;
    match nanoseconds {
        0.0..1e4 => format!("{nanoseconds:>5.0} ns"),
        1e4..1e7 => format!("{:>5.0} us", nanoseconds / 1e3),
        1e7..1e10 => format!("{:>5.0} ms", nanoseconds / 1e6),
        _ => format!("{:>5.0}  s", nanoseconds / 1e9),
    }
}

/// What the scheduler takes from threads that need nobody.
pub struct Control(Histogram<u64>);

impl Control {
    pub fn new() -> Control {
        Control(histogram())
    }

    /// Looks at the clock until it is over.
    pub fn measure(over: &AtomicBool) -> Control {
        let mut control = Control::new();
        let mut last = Instant::now();
        while !over.load(Ordering::Acquire) {
            let now = Instant::now();
            control.0.saturating_record(nanoseconds(now - last));
            last = now;
        }
        control
    }

    pub fn add(&mut self, other: &Control) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// The longest gap. Where there is a core for everybody, there are none to speak of; then
    /// it is what a scheduler may do any time.
    fn gap(&self) -> Duration {
        Duration::from_nanos(self.0.max()).max(Duration::from_millis(10))
    }

    /// How long an operation of a kind may take.
    pub fn allowed(&self, kind: Kind) -> Duration {
        self.gap() * kind.gaps()
    }

    fn line(&self) -> String {
        let at = |quantile| show(Duration::from_nanos(self.0.value_at_quantile(quantile)));
        format!(
            "{:<16} {:>11} {} {} {} {}\n",
            "(only scheduling)",
            self.0.len(),
            at(0.5),
            at(0.99),
            at(0.999),
            show(Duration::from_nanos(self.0.max())),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_where_its_number_says() {
        for (i, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, i);
        }
    }

    #[test]
    fn the_longest_of_all_threads_is_the_longest() {
        let (mut one, mut other) = (Latencies::new(), Latencies::new());
        one.time(Kind::Get, || {});
        other.time(Kind::Get, || std::thread::sleep(Duration::from_millis(3)));
        one.add(&other);
        assert!(one.longest(Kind::Get).0 >= Duration::from_millis(3));
        assert!(one.longest(Kind::Insert).0 < Duration::from_millis(3));
    }
}
