//! Java's `ConcurrentHashMap` as one more contender: a virtual machine beside its process here, which
//! runs a slice when it is asked for one. `benches/java/Versus.java` is the other end.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;
use std::{env, process};

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::common::keys::Stream;
use crate::contenders::Entry;
use crate::crowded::{Crowded, Load, Slice, account};
use crate::threads::Work;

pub const NAME: &str = "Java ConcurrentHashMap";

/// The first version that the program is written for.
const OLDEST: u32 = 17;

/// About how long it takes to be ready, most of it warming up.
pub const START: Duration = Duration::from_secs(5);

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/java/Versus.java");

/// The JDK that would be started, or why there is none.
pub fn version() -> Result<String, String> {
    // Each job that has Java among its contenders asks, and each of them starts a virtual machine.
    static ANSWER: OnceLock<Result<String, String>> = OnceLock::new();
    ANSWER.get_or_init(ask_for_version).clone()
}

fn ask_for_version() -> Result<String, String> {
    let output = Command::new("java").arg("--version").output();
    let output = output.map_err(|error| format!("no java: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default().to_owned();
    let major = first.split([' ', '.']).find_map(|word| word.parse::<u32>().ok());
    match major {
        Some(OLDEST..) if has_compiler() => Ok(first),
        Some(OLDEST..) => Err(format!("{first} has no compiler: a JDK is needed")),
        _ => Err(format!("java {OLDEST} or later is needed, not {first:?}")),
    }
}

fn has_compiler() -> bool {
    let modules = Command::new("java").arg("--list-modules").output();
    modules.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("jdk.compiler"))
}

impl Entry<dyn Crowded> {
    pub fn java(load: &Load) -> Self {
        let load = load.clone();
        Self::new(NAME, move |entries| Box::new(Java::start(&load, entries)))
    }
}

/// A virtual machine with a map under load.
struct Java {
    child: Child,
    talk: RefCell<Talk>,
}

struct Talk {
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Done {
    nanoseconds: u64,
    operations: usize,
    wrong: usize,
}

#[derive(Deserialize)]
struct Count {
    entries: usize,
    expected: usize,
}

impl Java {
    fn start(load: &Load, entries: usize) -> Self {
        // Several times of what the map takes, so that it is not the collector that is measured.
        let mebibytes = ((entries * 512) >> 20).max(1024);
        let mut child = Command::new("java")
            .args([format!("-Xms{mebibytes}m"), format!("-Xmx{mebibytes}m")])
            // As mimalloc gives the other maps, where the system has some for who asks.
            .args(["-XX:+UseTransparentHugePages", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("java has answered before");
        let commands = child.stdin.take().expect("it is piped");
        let answers = BufReader::new(child.stdout.take().expect("it is piped"));
        let java = Self { child, talk: RefCell::new(Talk { commands, answers }) };
        java.load(load, entries);
        java
    }

    fn load(&self, load: &Load, entries: usize) {
        let _: IgnoredAny = match load {
            Load::Steady(mix) => {
                self.ask(&format!("steady {entries} {} {}", mix.prefill, mix.letters()))
            }
            Load::Growing(mix) => self.ask(&format!("growing {entries} {}", mix.letters())),
            Load::Growth => self.ask(&format!("growth {entries}")),
            Load::Hot { keys, one_update_in } => {
                self.hand_over(keys);
                self.ask(&format!("hot {entries} {one_update_in}"))
            }
            Load::Reads { keys, present } => {
                self.hand_over(keys);
                self.ask(&format!("reads {entries} {present}"))
            }
        };
    }

    fn hand_over(&self, keys: &Stream) {
        let file = env::temp_dir().join(format!("binlock-versus-{}.keys", process::id()));
        let bytes: Vec<u8> = keys.keys().iter().flat_map(|key| key.to_le_bytes()).collect();
        fs::write(&file, bytes).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let _: IgnoredAny = self.ask(&format!("stream {}", file.display()));
        // It has been read; what cannot be removed is the system's to clean up.
        let _ = fs::remove_file(file);
    }

    fn ask<A: DeserializeOwned>(&self, command: &str) -> A {
        let mut talk = self.talk.borrow_mut();
        let mut answer = String::new();
        writeln!(talk.commands, "{command}").expect("java listens");
        talk.answers.read_line(&mut answer).expect("java speaks UTF-8");
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("java answered {answer:?} to {command}: {error}"))
    }
}

impl Crowded for Java {
    fn slice(&self, slice: &Slice) -> Work {
        let Slice { threads, time, round } = slice;
        let start = round * Stream::STEP_OF_ROUND;
        let done: Done = self.ask(&format!("run {threads} {} {start}", time.as_millis()));
        account(NAME, done.wrong);
        Work { time: Duration::from_nanos(done.nanoseconds), operations: done.operations }
    }

    fn check(&self) {
        let count: Count = self.ask("check");
        account(NAME, count.entries.abs_diff(count.expected));
    }
}

impl Drop for Java {
    fn drop(&mut self) {
        // It holds nothing that would have to be saved.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
