//! What a measurement was made on, and of what.

use std::process::Command;
use std::{env, fs, thread};

use serde::{Deserialize, Serialize};

/// The crates whose versions matter.
const CRATES: [&str; 11] = [
    "binlock",
    "papaya",
    "flurry",
    "scc",
    "dashmap",
    "hashbrown",
    "moka",
    "quick_cache",
    "foyer-memory",
    "ahash",
    "mimalloc",
];

#[derive(Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    /// How many threads run at once.
    pub parallelism: usize,
    pub memory_gib: f64,
    pub system: String,
    pub rustc: String,
    /// Empty where it did not take part.
    #[serde(default)]
    pub java: String,
    /// What the benchmarks were started with.
    pub arguments: String,
    /// Names and versions.
    pub crates: Vec<(String, String)>,
}

impl Machine {
    /// This one; what the system does not tell is left empty.
    pub fn here() -> Self {
        let kibibytes = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse();
        let rustc = option_env!("RUSTC").unwrap_or("rustc");
        Self {
            processor: field("/proc/cpuinfo", "model name"),
            parallelism: thread::available_parallelism().map_or(1, Into::into),
            memory_gib: kibibytes.unwrap_or(0.0) / 1024.0 / 1024.0,
            system: output("uname", &["-srm"]),
            rustc: output(rustc, &["--version"]),
            java: String::new(),
            arguments: arguments(),
            crates: crates(),
        }
    }
}

/// The first `name : value` of a file.
fn field(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let field = fields.find(|(key, _)| key.trim() == name);
    field.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

/// Without those that say where files are.
fn arguments() -> String {
    let mut kept = Vec::new();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--json" | "--svg" | "--markdown" => _ = arguments.next(),
            _ => kept.push(argument),
        }
    }
    kept.join(" ")
}

/// From the lock file. Where a crate is there in several versions, the last is the one that the
/// benchmarks ask for, as they take current ones.
fn crates() -> Vec<(String, String)> {
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
    let lock = fs::read_to_string(lock).unwrap_or_default();
    let quoted = |line: &str, key: &str| {
        Some(line.strip_prefix(key)?.trim_start_matches(" = ").trim_matches('"').to_owned())
    };
    let mut lines = lock.lines().peekable();
    let mut found: Vec<(String, String)> = Vec::new();
    while let Some(line) = lines.next() {
        let Some(name) = quoted(line, "name") else { continue };
        let version = lines.peek().and_then(|line| quoted(line, "version"));
        if let (true, Some(version)) = (CRATES.contains(&name.as_str()), version) {
            found.retain(|(other, _)| *other != name);
            found.push((name, version));
        }
    }
    let place = |name: &str| CRATES.iter().position(|other| *other == name);
    found.sort_by_key(|(name, _)| place(name));
    found
}
