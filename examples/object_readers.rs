//! Many tasks read from many objects, and share a cache of open readers.
//!
//! ```text
//! cargo run --release -p binlock-object-readers --example object_readers
//! cargo run --release -p binlock-object-readers --example object_readers -- ~/.m2
//! AWS_ENDPOINT_URL=http://localhost:9000 AWS_ACCESS_KEY_ID=... AWS_SECRET_ACCESS_KEY=... \
//!     cargo run --release -p binlock-object-readers --example object_readers -- s3://bucket/prefix
//! ```
//!
//! The objects are ZIP archives, in a folder or in any S3-compatible store. To read one file out of
//! an archive, a reader needs the archive's directory, which is at its end: opening a reader takes
//! two or three requests and reading from it takes one. So readers are kept open, as many as there
//! may be, and whoever reads holds on to the reader while another may be evicting it.
//!
//! `object_readers/run.rs` is where the cache is; `object_readers/lib.rs` says where all the rest
//! is. Nothing is read from the store that is not checked.

use std::env;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use object_readers::options::{self, HELP, Request};
use object_readers::run::program;

fn main() -> ExitCode {
    let options = match options::parse(env::args_os().skip(1)) {
        Ok(Request::Run(options)) => options,
        Ok(Request::Help) => return show(HELP),
        Err(problem) => {
            eprintln!("object_readers: {problem}\nTry `object_readers --help`.");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start the runtime: {error}")),
    };

    let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let report = match runtime.block_on(program(&options, env::vars_os().filter_map(unicode))) {
        Ok(report) => report,
        Err(problem) => return fail(&problem),
    };
    for failure in &report.failures {
        eprintln!("object_readers: {failure}");
    }
    let shown = show(&report.to_string());
    if !report.is_balanced() {
        return fail("not every reader was closed exactly once");
    }
    if report.failures.is_empty() { shown } else { ExitCode::FAILURE }
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("object_readers: {problem}");
    ExitCode::FAILURE
}

/// Prints to the standard output, whose reader may have seen enough (`object_readers | head`).
fn show(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            fail(&format!("cannot write the report: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}
