//! Finding and reading the files to count.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};

/// The files below the paths asked for, and what stood in the way of finding more.
pub struct Found {
    pub files: Vec<PathBuf>,
    /// Their sizes added up, as far as known: what the progress bar measures itself against.
    pub bytes: u64,
    pub skipped: Vec<Skipped>,
}

/// A path that is not counted, and why.
#[derive(Debug)]
pub struct Skipped {
    pub path: PathBuf,
    pub why: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.why)
    }
}

/// Walks the paths in the order given.
pub fn find(paths: &[PathBuf]) -> Found {
    let mut found = Found { files: Vec::new(), bytes: 0, skipped: Vec::new() };
    for path in paths {
        let walk = WalkBuilder::new(path)
            // A source tree unpacked from an archive has a .gitignore but no .git.
            .require_git(false)
            .filter_entry(|entry| entry.depth() == 0 || !is_cache(entry))
            .sort_by_file_path(Path::cmp)
            .build();
        for entry in walk {
            match entry {
                Ok(entry) => found.add(entry),
                Err(error) => {
                    let (at, why) = explain(&error);
                    found.skipped.push(Skipped { path: at.unwrap_or(path).to_owned(), why });
                }
            }
        }
    }
    found
}

impl Found {
    fn add(&mut self, entry: DirEntry) {
        // A path given by name may be a link; links met on the way are left alone, because they
        // lead to files counted elsewhere, or round in circles.
        let metadata = match entry.depth() {
            0 => fs::metadata(entry.path()).map_err(|error| error.to_string()),
            _ => entry.metadata().map_err(|error| explain(&error).1),
        };
        let path = entry.into_path();
        match metadata {
            Ok(metadata) if metadata.is_file() => {
                self.bytes += metadata.len();
                self.files.push(path);
            }
            Ok(metadata) if metadata.is_dir() || metadata.is_symlink() => {}
            Ok(_) => self.skipped.push(Skipped { path, why: "not a regular file".to_owned() }),
            Err(why) => self.skipped.push(Skipped { path, why }),
        }
    }
}

/// The text of a file.
pub fn read(path: &Path) -> Result<String, Skipped> {
    fs::read_to_string(path).map_err(|error| Skipped {
        path: path.to_owned(),
        why: match error.kind() {
            ErrorKind::InvalidData => "not UTF-8 text".to_owned(),
            _ => error.to_string(),
        },
    })
}

/// Build and tool caches mark themselves (<https://bford.info/cachedir/>), cargo's `target` too.
fn is_cache(entry: &DirEntry) -> bool {
    let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
    is_folder && entry.path().join("CACHEDIR.TAG").is_file()
}

/// Takes an error of the walk apart, whose own text repeats the path.
fn explain(error: &ignore::Error) -> (Option<&Path>, String) {
    match error {
        ignore::Error::WithPath { path, err } => (Some(path), explain(err).1),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => {
            explain(err)
        }
        ignore::Error::Io(error) if error.kind() == ErrorKind::NotFound => {
            (None, "no such file or folder".to_owned())
        }
        ignore::Error::Io(error) => (None, error.to_string()),
        other => (None, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_path_is_named_once_and_the_others_are_found() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = find(&[here.join("no such thing"), here.join("Cargo.toml")]);
        assert_eq!(found.files, [here.join("Cargo.toml")]);
        assert!(found.bytes > 0);
        let [skipped] = &found.skipped[..] else { panic!("{:?}", found.skipped) };
        assert_eq!(skipped.path, here.join("no such thing"));
        assert_eq!(skipped.why, "no such file or folder");
    }

    #[test]
    fn a_folder_is_walked_in_a_fixed_order() {
        let tour = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tour");
        let found = find(std::slice::from_ref(&tour));
        assert!(found.files.contains(&tour.join("files.rs")));
        assert!(found.files.is_sorted());
    }
}
