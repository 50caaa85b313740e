//! What the command line asks for.

use std::ffi::OsString;

pub const HELP: &str = "\
Reads random files out of many ZIP archives, through a cache of open readers.

Usage: cargo run --release -p binlock-object-readers --example object_readers -- [OPTIONS] [WHERE]

Arguments:
  [WHERE]         A folder, or s3://BUCKET/PREFIX [default: a temporary folder,
                  with archives made for the purpose]

Options:
      --tasks N     How many tasks read at the same time [default: 16]
      --reads N     How many files are read in all [default: 20000]
      --max-open N  How many readers the cache may keep open [default: 64]
      --seed N      Which files are read, and what is in generated ones [default: 1]
      --generate N  Write so many archives to WHERE first [default: 300 without
                    WHERE, otherwise none]
  -h, --help        Print this text

Any S3-compatible server is described by the usual environment variables:
AWS_ENDPOINT_URL (http://... as well), AWS_REGION, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_SKIP_SIGNATURE=true for a public
bucket, and the others that the crate `object_store` knows.

Exit status: 0 if all could be read, 1 if not, 2 if the command line was wrong.
";

/// More than this is a typing error.
const MOST_TASKS: u64 = 10_000;
const MOST_READERS: u64 = 1_000_000;
const MOST_GENERATED: u64 = 100_000;

#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub location: Option<String>,
    pub tasks: usize,
    pub reads: u64,
    pub max_open: usize,
    pub seed: u64,
    pub generate: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Options { location: None, tasks: 16, reads: 20_000, max_open: 64, seed: 1, generate: None }
    }
}

#[derive(Debug, PartialEq)]
pub enum Request {
    Run(Options),
    Help,
}

/// Reads the command line (without the program's name).
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut args = args.into_iter().map(|arg| {
        arg.into_string().map_err(|arg| format!("{} is not Unicode", arg.to_string_lossy()))
    });
    let mut options = Options::default();
    while let Some(arg) = args.next().transpose()? {
        let (name, attached) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with('-') => (name, Some(value.to_owned())),
            _ => (&*arg, None),
        };
        let mut number = |from, to| {
            let value =
                attached.clone().map_or_else(|| args.next().transpose(), |v| Ok(Some(v)))?;
            number(name, value, from, to)
        };
        match name {
            "-h" | "--help" if attached.is_none() => return Ok(Request::Help),
            "--tasks" => options.tasks = number(1, MOST_TASKS)? as usize,
            "--reads" => options.reads = number(0, u64::MAX)?,
            "--max-open" => options.max_open = number(1, MOST_READERS)? as usize,
            "--seed" => options.seed = number(0, u64::MAX)?,
            "--generate" => options.generate = Some(number(1, MOST_GENERATED)? as usize),
            _ if name.starts_with('-') => return Err(format!("unknown option {arg}")),
            _ if options.location.is_some() => {
                return Err(format!("only one folder or URL can be read, and {arg} is another"));
            }
            _ => options.location = Some(arg),
        }
    }
    Ok(Request::Run(options))
}

fn number(name: &str, value: Option<String>, from: u64, to: u64) -> Result<u64, String> {
    let value = value.ok_or_else(|| format!("{name} needs a number"))?;
    let number = value.parse().map_err(|_| format!("{name} needs a number, not `{value}`"))?;
    if (from..=to).contains(&number) {
        Ok(number)
    } else {
        Err(format!("{name} must be from {from} to {to}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Request, String> {
        parse(args.iter().map(OsString::from))
    }

    #[test]
    fn the_location_and_options_mix_in_any_order() {
        let request = parsed(&["--tasks", "3", "s3://a/b=c", "--reads=0", "--max-open=9"]);
        let options = Options {
            location: Some("s3://a/b=c".to_owned()),
            tasks: 3,
            reads: 0,
            max_open: 9,
            ..Options::default()
        };
        assert_eq!(request, Ok(Request::Run(options)));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (args, word) in [
            (&["--tasks"][..], "--tasks needs"),
            (&["--tasks", "many"], "`many`"),
            (&["--tasks=0"], "from 1"),
            (&["--max-open=0"], "from 1"),
            (&["--seed", "-1"], "`-1`"),
            (&["--colour"], "--colour"),
            (&["--help=me"], "--help=me"),
            (&["here", "there"], "there"),
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
