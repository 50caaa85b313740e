//! What the command line asks for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread;

pub const HELP: &str = "\
A tour of binlock: several threads count the words of text files in one shared
map, and the result is compared with a single-threaded count of the same files.
Then, what becomes of computations that need each other, or themselves. At last,
the same files are read through a cache of open files.

Usage: cargo run --release --example tour -- [OPTIONS] [PATH...]

Arguments:
  [PATH...]      Files and folders to count [default: this crate's sources and docs]
                 Within folders, hidden files, symbolic links, what .gitignore
                 names and cache folders (such as target) are left out.

Options:
      --threads N  How many threads count [default: one per core, at least 2]
      --top N      How many of the most frequent words to print [default: 10]
  -h, --help       Print this text

Exit status: 0 if all is as it should be, 1 if not or if there was nothing to
count, 2 if the command line was wrong.
";

/// More threads than this are a typing error.
const MOST_THREADS: usize = 1024;

#[derive(Debug, PartialEq)]
pub struct Options {
    pub paths: Vec<PathBuf>,
    pub threads: usize,
    pub top: usize,
}

#[derive(Debug, PartialEq)]
pub enum Request {
    Tour(Options),
    Help,
}

/// Reads the command line (without the program's name).
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut args = args.into_iter();
    let mut options = Options { paths: Vec::new(), threads: default_threads(), top: 10 };

    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (&*text, None),
        };
        match name {
            "-h" | "--help" if attached.is_none() => return Ok(Request::Help),
            "--threads" => {
                options.threads = number(name, attached.or_else(|| args.next()))?;
                if !(1..=MOST_THREADS).contains(&options.threads) {
                    return Err(format!("--threads must be from 1 to {MOST_THREADS}"));
                }
            }
            "--top" => options.top = number(name, attached.or_else(|| args.next()))?,
            "--" => {
                options.paths.extend(args.by_ref().map(PathBuf::from));
            }
            _ if text.starts_with('-') => return Err(format!("unknown option {text}")),
            _ => options.paths.push(PathBuf::from(arg)),
        }
    }

    if options.paths.is_empty() {
        options.paths = own_files();
    }
    Ok(Request::Tour(options))
}

fn number(name: &str, value: Option<OsString>) -> Result<usize, String> {
    let value = value.ok_or_else(|| format!("{name} needs a number"))?;
    let value = value.to_string_lossy();
    value.parse().map_err(|_| format!("{name} needs a number, not `{value}`"))
}

/// One thread would share the map with nobody, so there are always two.
fn default_threads() -> usize {
    thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, MOST_THREADS))
}

/// What the crate itself consists of, for whoever has no files at hand. A published crate holds
/// fewer of these than the repository does.
fn own_files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["src", "docs", "examples", "tests", "benches", "loom-tests", "README.md", "CHANGELOG.md"]
        .iter()
        .map(|name| root.join(name))
        .filter(|path| path.exists())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Request, String> {
        parse(args.iter().map(OsString::from))
    }

    fn options(args: &[&str]) -> Options {
        match parsed(args) {
            Ok(Request::Tour(options)) => options,
            other => panic!("{args:?} gave {other:?}"),
        }
    }

    #[test]
    fn paths_and_options_mix_in_any_order() {
        let options = options(&["a", "--threads", "3", "b", "--top=0", "--", "--c"]);
        assert_eq!(options.paths, ["a", "b", "--c"].map(PathBuf::from));
        assert_eq!((options.threads, options.top), (3, 0));
    }

    #[test]
    fn without_paths_the_crate_counts_itself_on_at_least_two_threads() {
        let options = options(&[]);
        assert!(options.paths.iter().any(|path| path.ends_with("src")));
        assert!(options.threads >= 2);
    }

    #[test]
    fn a_path_may_hold_an_equals_sign() {
        assert_eq!(options(&["a=b"]).paths, [PathBuf::from("a=b")]);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (args, word) in [
            (&["--threads"][..], "--threads needs"),
            (&["--threads", "many"], "`many`"),
            (&["--threads=0"], "from 1"),
            (&["--top", "-1"], "`-1`"),
            (&["--colour"], "--colour"),
            (&["--help=me"], "--help=me"),
        ] {
            let problem = parsed(args).unwrap_err();
            assert!(problem.contains(word), "{args:?} gave {problem:?}");
        }
    }

    #[test]
    fn help_wins_over_what_follows() {
        assert_eq!(parsed(&["-h", "--nonsense"]), Ok(Request::Help));
    }
}
