//! A pass of inserts in a process of its own: this program, started anew.
//!
//! How long an insertion takes depends on what the heap has been used for. After a map of `2^24`
//! entries has been filled and dropped, the allocator gives its memory back during the next filling,
//! some 50 µs at a time, and that meets three to seven times as many page faults. In one process
//! with all maps, binlock's 99.99th percentile was twice what it is in one of its own.

use std::env;
use std::io::{self, Write};
use std::process::{Command, ExitCode, Stdio};

use super::fillers;
use super::longest_insert::{CLOCK_ALONE, Pass, clock_alone};
use crate::common::keys;

/// What the command line begins with when it is not a user's.
const ONE_PASS: &str = "one-pass";

/// Has `contender` insert into an empty map. Returns how many nanoseconds each insert took.
pub fn run(contender: &str, entries: usize) -> Vec<u32> {
    let program = env::current_exe().expect("the program is still there");
    let mut child = Command::new(program);
    child.args([ONE_PASS, contender, &entries.to_string()]);
    let output = child.stderr(Stdio::inherit()).output().expect("processes can be started");
    assert!(output.status.success(), "a pass of {contender}: {}", output.status);
    let (times, rest) = output.stdout.as_chunks();
    assert!(times.len() == entries && rest.is_empty(), "a pass of {contender}: times are missing");
    times.iter().map(|&bytes| u32::from_ne_bytes(bytes)).collect()
}

/// Does what [`run`] wants, if that has started this process.
pub fn serve() -> Option<ExitCode> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [ONE_PASS, contender, entries] = &words.iter().map(String::as_str).collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let (Some(pass), Ok(entries)) = (pass_of(contender), entries.parse()) else {
        eprintln!("{ONE_PASS} is for this program itself, and takes a map and a number of entries");
        return Some(ExitCode::FAILURE);
    };
    match write_times(pass, entries) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("{error}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn pass_of(contender: &str) -> Option<Pass> {
    let maps = fillers::all().map(|filler| (filler.name, filler.time_inserts));
    let mut passes = maps.chain([(CLOCK_ALONE, clock_alone as Pass)]);
    passes.find(|(name, _)| *name == contender).map(|(_, pass)| pass)
}

fn write_times(pass: Pass, entries: usize) -> io::Result<()> {
    let keys = keys::present(entries);
    // Written to, so that no insert is the first to touch a page of it.
    let mut times = vec![u32::MAX; entries];
    pass(&keys, &mut times);
    let mut stdout = io::stdout().lock();
    for times in times.chunks(1 << 16) {
        let bytes: Vec<u8> = times.iter().flat_map(|time| time.to_ne_bytes()).collect();
        stdout.write_all(&bytes)?;
    }
    stdout.flush()
}
