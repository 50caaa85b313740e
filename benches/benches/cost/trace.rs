//! A traced process, and what its trace comes to.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{env, thread};

use ahash::RandomState;

use crate::child::Mark;

const LINE: u64 = 64;

/// A line is touched rarely if fewer operations than one in so many touch it: that depends on the
/// key, and such lines are those that miss the caches in large maps.
const RARELY: usize = 10;

type Set = HashSet<u64, RandomState>;

/// Of one operation of the first thread, on average.
pub struct Cost {
    pub instructions: f64,
    pub lines: f64,
    pub rare_lines: f64,
    pub written: f64,
    /// Lines written that the second thread touches as well.
    pub shared_written: f64,
}

/// What a process says of itself before it is traced.
struct Places {
    marks: u64,
    /// Stacks and keys.
    ignored: Vec<(u64, u64)>,
}

/// Traces the operation on the map.
pub fn of(map: &str, operation: &str) -> io::Result<Cost> {
    let mut process = Command::new("valgrind")
        .args(["--tool=lackey", "--trace-mem=yes", "--log-fd=2"])
        .arg(env::current_exe()?)
        .args(["--child", map, operation])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut go = process.stdin.take().expect("it is piped");
    let said = BufReader::new(process.stdout.take().expect("it is piped"));
    let trace = BufReader::with_capacity(1 << 20, process.stderr.take().expect("it is piped"));

    let places = OnceLock::new();
    let mut counts = Counts::default();
    thread::scope(|scope| -> io::Result<()> {
        // Beside the trace, which flows all the time. The process goes on when it is told that its
        // places are known.
        let listener = scope.spawn(|| -> io::Result<()> {
            let _ = places.set(Places::hear(said)?);
            writeln!(go)
        });
        read(trace, &places, &mut counts)?;
        listener.join().expect("it does not panic")
    })?;
    let status = process.wait()?;
    if !status.success() {
        return Err(io::Error::other(format!("{operation} on {map} failed: {status}")));
    }
    Ok(counts.cost())
}

impl Places {
    fn hear(said: impl BufRead) -> io::Result<Self> {
        let mut places = Self { marks: 0, ignored: Vec::new() };
        for line in said.lines() {
            let line = line?;
            let hex = |word: &str| u64::from_str_radix(word, 16).map_err(io::Error::other);
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["marks", address] => places.marks = hex(address)?,
                ["ignore", start, end] => places.ignored.push((hex(start)?, hex(end)?)),
                _ => break,
            }
        }
        Ok(places)
    }

    fn mark(&self, address: u64) -> Option<Mark> {
        Mark::ALL.into_iter().find(|mark| self.marks + *mark as u64 * LINE == address)
    }

    fn ignores(&self, address: u64) -> bool {
        self.ignored.iter().any(|(start, end)| (*start..*end).contains(&address))
    }
}

/// What an operation of the first thread did.
#[derive(Default)]
struct Done {
    instructions: usize,
    touched: Set,
    written: Set,
}

#[derive(Default)]
struct Counts {
    operations: Vec<Done>,
    /// By the second thread.
    touched_by_other: Set,
}

/// Which thread is at it.
enum Phase {
    Neither,
    First,
    Second,
}

fn read(mut trace: impl BufRead, places: &OnceLock<Places>, counts: &mut Counts) -> io::Result<()> {
    let mut phase = Phase::Neither;
    let mut line = Vec::new();
    loop {
        line.clear();
        if trace.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let Some((kind, address, size)) = access(&line) else { continue };
        let Some(places) = places.get() else { continue };
        if kind == b'I' {
            if let (Phase::First, Some(done)) = (&phase, counts.operations.last_mut()) {
                done.instructions += 1;
            }
            continue;
        }
        match places.mark(address) {
            Some(Mark::First) => phase = Phase::First,
            Some(Mark::Operation) if matches!(phase, Phase::First) => {
                counts.operations.push(Done::default());
            }
            Some(Mark::Second) => phase = Phase::Second,
            Some(Mark::End) => phase = Phase::Neither,
            Some(Mark::Operation) => {}
            None if places.ignores(address) => {}
            None => {
                for touched in address / LINE..=(address + size - 1) / LINE {
                    match (&phase, counts.operations.last_mut()) {
                        (Phase::First, Some(done)) => {
                            done.touched.insert(touched);
                            if kind != b'L' {
                                done.written.insert(touched);
                            }
                        }
                        (Phase::Second, _) => _ = counts.touched_by_other.insert(touched),
                        _ => {}
                    }
                }
            }
        }
    }
}

/// An access as lackey writes it: `I  04001000,3`, ` L 1ffeffe7e0,8`, and `S`, `M`.
fn access(line: &[u8]) -> Option<(u8, u64, u64)> {
    let text = std::str::from_utf8(line).ok()?.trim();
    let (kind, rest) = text.split_once(' ')?;
    let (address, size) = rest.trim().split_once(',')?;
    match kind {
        "I" | "L" | "S" | "M" => {
            Some((kind.as_bytes()[0], u64::from_str_radix(address, 16).ok()?, size.parse().ok()?))
        }
        _ => None,
    }
}

impl Counts {
    fn cost(mut self) -> Cost {
        // The last one goes on beyond the operations, to the end of the session.
        self.operations.pop();
        let operations = self.operations.len();
        let mut touched: HashMap<u64, usize, RandomState> = HashMap::default();
        for line in self.operations.iter().flat_map(|done| &done.touched) {
            *touched.entry(*line).or_default() += 1;
        }
        let mean = |count: &dyn Fn(&Done) -> usize| {
            self.operations.iter().map(count).sum::<usize>() as f64 / operations as f64
        };
        let is_rare = |line: &&u64| touched[*line] * RARELY < operations;
        let is_shared = |line: &&u64| self.touched_by_other.contains(*line);
        Cost {
            instructions: mean(&|done| done.instructions),
            lines: mean(&|done| done.touched.len()),
            rare_lines: mean(&|done| done.touched.iter().filter(is_rare).count()),
            written: mean(&|done| done.written.len()),
            shared_written: mean(&|done| done.written.iter().filter(is_shared).count()),
        }
    }
}
