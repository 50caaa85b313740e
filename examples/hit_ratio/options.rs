//! What the command line asks for.

use std::{ffi::OsString, path::PathBuf};

pub const HELP: &str = "\
Hit ratios of binlock's ReaderCache, next to those of a cache that evicts what was
used least recently (LRU), for traces of what real programs read.

Usage: cargo run --release --example hit_ratio -- [OPTIONS] [DIR]

Arguments:
  [DIR]        A folder with traces, *.txt.gz: one request a line, \"key\" or
               \"key size\", both numbers. [default: workloads made up here]

Options:
      --svg FILE  Where to draw the curves [default: target/hit_ratio.svg]
  -h, --help      Print this text

Exit status: 0 if all went well, 1 if not, 2 if the command line was wrong.
";

#[derive(Debug, PartialEq)]
pub struct Options {
    pub folder: Option<PathBuf>,
    pub svg: PathBuf,
}

#[derive(Debug, PartialEq)]
pub enum Request {
    Run(Options),
    Help,
}

/// Reads the command line (without the program's name).
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Request, String> {
    let mut args = args.into_iter();
    let mut options = Options { folder: None, svg: "target/hit_ratio.svg".into() };
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        if text == "-h" || text == "--help" {
            return Ok(Request::Help);
        } else if let Some(file) = text.strip_prefix("--svg=") {
            options.svg = file.into();
        } else if text == "--svg" {
            options.svg = args.next().ok_or("--svg needs the name of a file")?.into();
        } else if text.starts_with('-') {
            return Err(format!("there is no option {text}"));
        } else if options.folder.replace(PathBuf::from(&arg)).is_some() {
            return Err("there can be one folder only".into());
        }
    }
    if options.svg.as_os_str().is_empty() {
        return Err("--svg needs the name of a file".into());
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
    fn options_are_read_in_any_order() {
        let options = Options { folder: Some("traces".into()), svg: "a.svg".into() };
        for args in [&["--svg", "a.svg", "traces"][..], &["traces", "--svg=a.svg"]] {
            assert_eq!(parsed(args), Ok(Request::Run(options_like(&options))));
        }
        assert_eq!(parsed(&["x", "--help"]), Ok(Request::Help));
    }

    fn options_like(other: &Options) -> Options {
        Options { folder: other.folder.clone(), svg: other.svg.clone() }
    }

    #[test]
    fn mistakes_are_told() {
        for args in [&["--svg"][..], &["--svg="], &["a", "b"], &["--size", "1"]] {
            assert!(parsed(args).is_err(), "{args:?}");
        }
    }
}
