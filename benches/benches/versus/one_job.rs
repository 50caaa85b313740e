//! A job in a process of its own: this program, started anew.
//!
//! So a workload does not depend on which others have been run before it: the allocator has nothing
//! that other maps have left, in pieces or in pages of another size. (See `one_pass` for where that has
//! been seen to matter.) Where maps are filled first and then compared, this is the process of their
//! referee, and each of them has one more, see `one_map`.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::args::Args;
use crate::common::report::Table;
use crate::one_map::ONE_MAP;
use crate::workloads::{self, Job, Role, Run};

/// What the command line begins with when it is not a user's.
const ONE_JOB: &str = "one-job";

/// What a job tells of itself, each in a line of JSON on standard output.
#[derive(Serialize, Deserialize)]
pub enum News {
    /// A part is done that was estimated at so many milliseconds.
    Advance(u64),
    Table(Table),
}

/// Tells the process that has started this one.
pub struct Teller {
    /// What has not been told yet, as it was less than a millisecond.
    rest: Duration,
    /// Whether there is nobody to be told: a map's process has a referee, who tells of the job.
    silent: bool,
}

impl Teller {
    fn new(role: Role) -> Self {
        Self { rest: Duration::ZERO, silent: matches!(role, Role::Map { .. }) }
    }

    /// A part of the job is done that was estimated at `cost`.
    pub fn advance(&mut self, cost: Duration) {
        self.rest += cost;
        let milliseconds = self.rest.as_millis() as u64;
        if milliseconds > 0 {
            self.rest -= Duration::from_millis(milliseconds);
            self.tell(&News::Advance(milliseconds));
        }
    }

    pub fn tell(&mut self, news: &News) {
        if self.silent {
            return;
        }
        let text = serde_json::to_string(news).expect("it is numbers and text");
        writeln!(io::stdout(), "{text}").expect("somebody listens");
    }
}

/// Runs the job with this number of those that the command line asks for, with more words at its end.
pub fn run(job: usize, more: &[String], mut hear: impl FnMut(News)) -> Result<(), String> {
    let program = env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
    let mut child = Command::new(program)
        .args([ONE_JOB, &job.to_string()])
        .args(env::args_os().skip(1))
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("no process can be started: {error}"))?;
    let told = BufReader::new(child.stdout.take().expect("it is piped"));
    for line in told.lines() {
        let line = line.map_err(|error| error.to_string())?;
        match serde_json::from_str(&line) {
            Ok(news) => hear(news),
            Err(_) => eprintln!("{line}"),
        }
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    if status.success() { Ok(()) } else { Err(format!("{status}")) }
}

/// Does what [`run`] or the referee of a job wants, if one of them has started this process.
pub fn serve() -> Option<ExitCode> {
    let mut words = env::args().skip(1);
    let first = words.next()?;
    let is_map = first == ONE_MAP;
    if !is_map && first != ONE_JOB {
        return None;
    }
    let mut number = || words.next()?.parse().ok();
    let job = number();
    let role = match is_map {
        true => number().map(|contender| Role::Map { contender }),
        false => job.map(|job| Role::Referee { job }),
    };
    let (Some(job), Some(role), Ok(Some(args))) = (job, role, Args::parse(words)) else {
        eprintln!("{first} is for this program itself, and takes numbers and its arguments");
        return Some(ExitCode::FAILURE);
    };
    let Some(job) = workloads::jobs(&args).into_iter().nth(job) else {
        eprintln!("there are not so many jobs");
        return Some(ExitCode::FAILURE);
    };
    let Job { name, cost, run, .. } = job;
    let job = format!("{name}, {} ms", cost.as_millis());
    run(&mut Run { args: &args, progress: Teller::new(role), role, job });
    Some(ExitCode::SUCCESS)
}
