//! The command line.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use crate::java;
use crate::render::OURS;

pub const USAGE: &str = "\
usage: cargo bench -p binlock-benches --bench versus -- [OPTIONS]
  --quick            fewer and shorter rounds, maps up to 2^20
  --only TEXT,...    only workloads with one of the TEXTs in their name, as in get_hit or 2^20 or
                     fill/2^24
  --peers TEXT,...   only peers with one of the TEXTs in their name (binlock is always there)
  --builds NAME=PROGRAM,...
                     in place of peers, binlock as other builds of this program have it (but where
                     maps have no process of their own): see benches/gains
  --java             Java's ConcurrentHashMap as well, where several threads are compared
  --rounds N         rounds of each comparison
  --passes N         in so many parts, each of which is of all comparisons, one after another (default: 3;
                     maps of more than 2^21 entries, and what is of all rounds together, are in the first)
  --buildings N      how often maps are built anew in the course of these (default: 3 times, maps of
                     more than 2^21 entries once)
  --slice-ms N       how long a map runs before the next has its turn; short slices and many
                     rounds help where others use the machine, as most slices are undisturbed
  --sizes N,...      maps of 2^N entries, as in 10,16,20,24
  --threads N,...    with so many threads, where a workload is there for several numbers of them
                     (in place of its own numbers; up to 64)
  --mix-capacity N   the mixes' maps of a capacity of 2^N (conc-map-bench has 25)
  --memory-gib N     how much the maps of one comparison may take (default: half of what is free)
  --json FILE        write the results to FILE as well
  --svg FOLDER       draw charts of the results into FOLDER
  --markdown FILE    bring the tables in FILE up to the results (benches/README.md says how)
  --from FILE,...    take the results from files that --json wrote, and run nothing
  --plan             only say what would be run, and about how long it takes";

/// How often maps are built in a run, unless it is told.
pub const BUILDINGS: usize = 3;

pub struct Args {
    pub rounds: usize,
    pub passes: usize,
    /// In place of what the size says.
    pub buildings: Option<usize>,
    /// Entries, not their logarithms.
    pub sizes: Vec<usize>,
    /// How long one map runs on one thread before the next has its turn.
    pub slice: Duration,
    /// The same with two threads, who first have to be started.
    pub threads_slice: Duration,
    pub memory: Option<usize>,
    pub json: Option<PathBuf>,
    pub svg: Option<PathBuf>,
    pub markdown: Option<PathBuf>,
    /// Results to take instead of running anything.
    pub from: Vec<PathBuf>,
    /// Run nothing, and say what would be run.
    pub plan: bool,
    /// In place of the workloads' own numbers of threads.
    pub threads: Option<Vec<usize>>,
    pub mix_capacity: usize,
    pub java: bool,
    pub builds: Vec<Build>,
    only: Option<Vec<String>>,
    peers: Option<Vec<String>>,
}

/// Another build of this program, and what its binlock is called.
pub struct Build {
    pub name: &'static str,
    pub program: PathBuf,
}

impl Args {
    /// `None` where `cargo test` rather than `cargo bench` started the program, or where it was
    /// asked for help.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut bench = false;
        let mut quick = false;
        let (mut rounds, mut passes, mut buildings) = (None, None, None);
        let mut sizes = None;
        let mut slices = None;
        let mut java = false;
        let (mut svg, mut markdown, mut from, mut plan) = (None, None, Vec::new(), false);
        let (mut threads, mut mix_capacity) = (None, None);
        let (mut memory, mut json, mut only, mut peers) = (None, None, None, None);
        let mut builds = Vec::new();

        while let Some(option) = words.next() {
            let mut value = || words.next().ok_or(format!("{option} needs a value"));
            match option.as_str() {
                "--bench" => bench = true,
                "--help" | "-h" => {
                    println!("{USAGE}");
                    return Ok(None);
                }
                "--quick" => quick = true,
                "--only" => only = Some(value()?.split(',').map(str::to_owned).collect()),
                "--builds" => {
                    builds = value()?.split(',').map(build).collect::<Result<Vec<Build>, _>>()?;
                    let mut names: Vec<_> = builds.iter().map(|build| build.name).collect();
                    names.sort_unstable();
                    if let Some(two) = names.windows(2).find(|two| two[0] == two[1]) {
                        return Err(format!("two builds are called {:?}", two[0]));
                    }
                }
                "--peers" => peers = Some(value()?.split(',').map(str::to_owned).collect()),
                "--rounds" => rounds = Some(number(&value()?)?),
                "--passes" => passes = Some(number::<NonZero<usize>>(&value()?)?.get()),
                "--buildings" => buildings = Some(number::<NonZero<usize>>(&value()?)?.get()),
                "--slice-ms" => {
                    let time = number::<NonZero<u64>>(&value()?)?.get();
                    slices = Some((time, time));
                }
                "--sizes" => sizes = Some(value()?.split(',').map(size).collect::<Result<_, _>>()?),
                "--threads" => {
                    threads = Some(value()?.split(',').map(threads_of).collect::<Result<_, _>>()?);
                }
                "--mix-capacity" => mix_capacity = Some(size(&value()?)?),
                "--memory-gib" => memory = Some(number::<usize>(&value()?)? << 30),
                "--json" => json = Some(PathBuf::from(value()?)),
                "--svg" => svg = Some(PathBuf::from(value()?)),
                "--markdown" => markdown = Some(PathBuf::from(value()?)),
                "--from" => from = value()?.split(',').map(PathBuf::from).collect(),
                "--java" => java = true,
                "--plan" => plan = true,
                _ => return Err(format!("unknown option {option}")),
            }
        }
        if !bench {
            return Ok(None);
        }

        let (slice, threads_slice) = slices.unwrap_or(if quick { (8, 25) } else { (30, 100) });
        let default_sizes: &[usize] = if quick {
            &[1 << 10, 1 << 16, 1 << 20]
        } else {
            &[1 << 10, 1 << 16, 1 << 20, 1 << 24]
        };
        Ok(Some(Self {
            rounds: rounds.unwrap_or(if quick { 5 } else { 21 }).max(1),
            passes: passes.unwrap_or(if quick { 1 } else { 3 }),
            buildings,
            sizes: sizes.unwrap_or_else(|| default_sizes.to_vec()),
            slice: Duration::from_millis(slice),
            threads_slice: Duration::from_millis(threads_slice),
            memory,
            json,
            svg,
            markdown,
            from,
            plan,
            java,
            threads,
            mix_capacity: mix_capacity.unwrap_or(if quick { 1 << 16 } else { 1 << 21 }),
            // Whoever compares builds asks for peers if he wants them, too.
            peers: peers.or((!builds.is_empty()).then(Vec::new)),
            builds,
            only,
        }))
    }

    /// Whether the workload of this name is to be run.
    pub fn wants(&self, workload: &str) -> bool {
        let asked_for = |only: &Vec<String>| only.iter().any(|text| workload.contains(text));
        self.only.as_ref().is_none_or(asked_for)
    }

    /// Whether this map is to take part.
    pub fn invites(&self, name: &str) -> bool {
        let asked_for = |peers: &Vec<String>| peers.iter().any(|text| name.contains(text));
        // Java is there only when it has been asked for already.
        name == java::NAME || self.peers.as_ref().is_none_or(asked_for)
    }

    /// What is added to the command line for one pass of several.
    pub fn of_pass(&self) -> Vec<String> {
        let part = |number: usize| number.div_ceil(self.passes).to_string();
        let words =
            [("--rounds", self.rounds), ("--buildings", self.buildings.unwrap_or(BUILDINGS))];
        words.iter().flat_map(|&(option, number)| [option.to_owned(), part(number)]).collect()
    }

    /// Rounds of what is compared at many numbers of threads.
    pub fn crowd_rounds(&self) -> usize {
        self.rounds.div_ceil(2).max(3)
    }

    /// Rounds of what takes a good part of a second, and of what takes several.
    pub fn long_rounds(&self, entries: usize) -> usize {
        let of_rounds = if entries > 1 << 21 { 5 } else { 3 };
        self.rounds.div_ceil(of_rounds).max(2)
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not a number that fits here"))
}

fn build(text: &str) -> Result<Build, String> {
    let (name, program) =
        text.split_once('=').ok_or_else(|| format!("{text} is not NAME=PROGRAM"))?;
    // Else one without a folder would be looked for elsewhere than here.
    let program =
        Path::new(program).canonicalize().map_err(|error| format!("{program}: {error}"))?;
    if !program.is_file() {
        return Err(format!("{} is not a program", program.display()));
    }
    // There are few, and names of contenders are for ever.
    let name = Box::leak(format!("{OURS}, {name}").into_boxed_str());
    Ok(Build { name, program })
}

fn threads_of(text: &str) -> Result<usize, String> {
    match number(text)? {
        threads @ 1..=64 => Ok(threads),
        _ => Err(format!("{text} threads: the benchmarks take 1 to 64")),
    }
}

fn size(logarithm: &str) -> Result<usize, String> {
    match number(logarithm)? {
        bits @ 4..=28 => Ok(1 << bits),
        _ => Err(format!("2^{logarithm} entries: the benchmarks take 2^4 to 2^28")),
    }
}
