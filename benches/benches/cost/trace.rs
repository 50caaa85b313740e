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
    /// Lines written that the second thread touches as well. A line that this one touches less
    /// often counts by how often: for an epoch that it looks at once in a hundred operations, a
    /// hundredth.
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

/// What an operation did.
#[derive(Default)]
struct Done {
    instructions: usize,
    touched: Set,
    written: Set,
}

#[derive(Default)]
struct Counts {
    /// Of both threads.
    operations: [Vec<Done>; 2],
}

fn read(mut trace: impl BufRead, places: &OnceLock<Places>, counts: &mut Counts) -> io::Result<()> {
    // Whose turn it is.
    let mut thread = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        if trace.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let Some((kind, address, size)) = access(&line) else { continue };
        let Some(places) = places.get() else { continue };
        match places.mark(address) {
            // An exchange, which is shown as a load and a store.
            Some(_) if kind == Kind::Load => continue,
            Some(Mark::First) => thread = Some(0),
            Some(Mark::Second) => thread = Some(1),
            Some(Mark::End) => thread = None,
            Some(Mark::Operation) => {
                if let Some(thread) = thread {
                    counts.operations[thread].push(Done::default());
                }
            }
            None => {
                let operation = thread.and_then(|thread| counts.operations[thread].last_mut());
                let Some(done) = operation else { continue };
                if kind == Kind::Instruction {
                    done.instructions += 1;
                } else if !places.ignores(address) {
                    for line in address / LINE..=(address + size - 1) / LINE {
                        done.touched.insert(line);
                        if kind == Kind::Store {
                            done.written.insert(line);
                        }
                    }
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Instruction,
    Load,
    /// Or both at once.
    Store,
}

/// An access as lackey writes it: `I  04001000,3`, ` L 1ffeffe7e0,8`, and `S`, `M`.
fn access(line: &[u8]) -> Option<(Kind, u64, u64)> {
    let text = std::str::from_utf8(line).ok()?.trim();
    let (kind, rest) = text.split_once(' ')?;
    let (address, size) = rest.trim().split_once(',')?;
    let kind = match kind {
        "I" => Kind::Instruction,
        "L" => Kind::Load,
        "S" | "M" => Kind::Store,
        _ => return None,
    };
    Some((kind, u64::from_str_radix(address, 16).ok()?, size.parse().ok()?))
}

impl Counts {
    fn cost(mut self) -> Cost {
        for operations in &mut self.operations {
            // The last one goes on beyond the operations, to the end of the session.
            operations.pop();
        }
        let [first, second] = &self.operations;
        let [by_first, by_second] = [first, second].map(|operations| how_often(operations));
        let mean = |count: &dyn Fn(&Done) -> f64| {
            first.iter().map(count).sum::<f64>() / first.len() as f64
        };
        let is_rare = |line: &&u64| by_first[*line] * RARELY < first.len();
        let shared = |line: &u64| {
            let theirs = by_second.get(line).copied().unwrap_or(0);
            (theirs as f64 / by_first[line] as f64).min(1.0)
        };
        Cost {
            instructions: mean(&|done| done.instructions as f64),
            lines: mean(&|done| done.touched.len() as f64),
            rare_lines: mean(&|done| done.touched.iter().filter(is_rare).count() as f64),
            written: mean(&|done| done.written.len() as f64),
            shared_written: mean(&|done| done.written.iter().map(shared).sum()),
        }
    }
}

/// How many of the operations touch each line.
fn how_often(operations: &[Done]) -> HashMap<u64, usize, RandomState> {
    let mut touched: HashMap<_, _, _> = HashMap::default();
    for line in operations.iter().flat_map(|done| &done.touched) {
        *touched.entry(*line).or_default() += 1;
    }
    touched
}
