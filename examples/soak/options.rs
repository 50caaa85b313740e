//! What the command line asks for.

use std::{ffi::OsString, path::PathBuf};

pub const HELP: &str = "\
Everything that binlock's maps and reader caches can do, mixed, for some time; with
what must hold: counts, bounded memory, bounded latency.

Usage: cargo run --release --example soak -- [OPTIONS]

Options:
      --seconds N  How long [default: 60]
      --threads N  How many threads share the maps [default: 8]
      --svg FILE   Where to draw memory over time [default: target/soak/memory.svg]
  -h, --help       Print this text

Exit status: 0 if all held, 1 if not, 2 if the command line was wrong.
";

#[derive(Debug, PartialEq)]
pub struct Options {
    pub seconds: u64,
    pub threads: usize,
    pub svg: PathBuf,
}

#[derive(Debug, PartialEq)]
pub enum Request {
    Run(Options),
    Help,
}

/// Reads the command line (without the program's name).
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut options = Options { seconds: 60, threads: 8, svg: "target/soak/memory.svg".into() };
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy().into_owned();
        let (name, inline) = match text.split_once('=') {
            Some((name, value)) => (name, Some(OsString::from(value))),
            None => (text.as_str(), None),
        };
        if matches!(name, "-h" | "--help") {
            return Ok(Request::Help);
        }
        if !matches!(name, "--seconds" | "--threads" | "--svg") {
            return Err(format!("there is no option {name}"));
        }
        let value = inline.or_else(|| args.next()).ok_or(format!("{name} needs a value"))?;
        let number = || match value.to_string_lossy().parse::<u64>() {
            Ok(number) if (1..1 << 30).contains(&number) => Ok(number),
            _ => Err(format!("{name} needs a number from 1 on")),
        };
        match name {
            "--seconds" => options.seconds = number()?,
            "--threads" => options.threads = number()?.min(1_024) as usize,
            _ if value.is_empty() => return Err("--svg needs the name of a file".into()),
            _ => options.svg = value.into(),
        }
    }
    Ok(Request::Run(options))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Request, String> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn options_are_read_in_either_form() {
        let expected = Options { seconds: 5, threads: 3, svg: "a.svg".into() };
        for args in [
            &["--seconds", "5", "--threads=3", "--svg", "a.svg"][..],
            &["--svg=a.svg", "--threads", "3", "--seconds=5"],
        ] {
            match parsed(args) {
                Ok(Request::Run(options)) => assert_eq!(options, expected),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(parsed(&["--seconds", "5", "-h"]), Ok(Request::Help));
    }

    #[test]
    fn mistakes_are_told() {
        for args in [
            &["--seconds"][..],
            &["--seconds", "0"],
            &["--threads=many"],
            &["--svg="],
            &["--speed=9"],
            &["here"],
        ] {
            assert!(parsed(args).is_err(), "{args:?}");
        }
    }
}
