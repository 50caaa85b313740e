//! Chapter "words": many threads count into one map.
//!
//! The map's values are atomics: a word that is known, and nearly every word soon is, costs a `get`
//! and a `fetch_add`, so the threads meet only where they count the same word at the same moment.

mod check;
mod report;

use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use binlock::{HashMap, Pinned};
use indicatif::{ProgressBar, ProgressStyle};

use crate::files::{self, Skipped};
use crate::options::Options;

/// The map that all threads share. Relaxed counting is enough: joining the threads orders all they
/// counted before whoever reads it.
type Counts = HashMap<String, AtomicU64>;

/// A file that was counted, and how much of it, so that a second count can tell whether it read the
/// same text.
struct CountedFile {
    path: PathBuf,
    bytes: u64,
    words: u64,
}

/// Counts, checks and reports.
pub fn run(options: &Options) -> Result<String, String> {
    let found = files::find(&options.paths);
    let mut skipped = found.skipped;

    let bar = progress_bar(found.bytes);
    let counts = Counts::new();
    let start = Instant::now();
    let (mut counted, unreadable) = count(&counts, &found.files, options.threads, &bar);
    let time = start.elapsed();
    bar.finish_and_clear();

    skipped.extend(unreadable);
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    for file in &skipped {
        eprintln!("tour: skipped {file}");
    }
    if counted.is_empty() {
        return Err("nothing to count: none of the paths leads to a readable text file".to_owned());
    }

    counted.sort_by(|a, b| a.path.cmp(&b.path));
    let start = Instant::now();
    check::check(&counts, &counted)?;
    let check_time = start.elapsed();

    Ok(report::report(&report::Run {
        counts: &counts,
        files: &counted,
        skipped: skipped.len(),
        threads: options.threads,
        top: options.top,
        time,
        check_time,
    }))
}

/// Has the threads take the files one by one, each the next that nobody has taken yet.
fn count(
    counts: &Counts,
    files: &[PathBuf],
    threads: usize,
    bar: &ProgressBar,
) -> (Vec<CountedFile>, Vec<Skipped>) {
    let next = AtomicUsize::new(0);
    let results = Mutex::new((Vec::new(), Vec::new()));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let (mut counted, mut skipped) = (Vec::new(), Vec::new());
                while let Some(path) = files.get(next.fetch_add(1, Relaxed)) {
                    match count_file(counts, path) {
                        Ok(file) => {
                            bar.inc(file.bytes);
                            counted.push(file);
                        }
                        Err(file) => skipped.push(file),
                    }
                }
                let mut results = results.lock().expect("no thread panics while it holds this");
                results.0.append(&mut counted);
                results.1.append(&mut skipped);
            });
        }
    });
    results.into_inner().expect("a panic in a thread has left the scope already")
}

fn count_file(counts: &Counts, path: &Path) -> Result<CountedFile, Skipped> {
    let text = files::read(path)?;
    let bytes = text.len() as u64;
    // Pinned once for all the words of a file, and not for longer: what other threads remove while
    // a thread stays pinned cannot be freed.
    let counts = counts.pin();
    let mut words = 0;
    for_each_word(&text, |word| {
        add(&counts, word);
        words += 1;
    });
    Ok(CountedFile { path: path.to_owned(), bytes, words })
}

fn add<S: BuildHasher>(counts: &Pinned<'_, String, AtomicU64, S>, word: &str) {
    if let Some(count) = counts.get(word) {
        count.fetch_add(1, Relaxed);
    } else if let Err(taken) = counts.try_insert(word.to_owned(), AtomicU64::new(1)) {
        // Another thread met the word first, between this one's two calls.
        taken.current.fetch_add(1, Relaxed);
    }
}

/// Calls `use_word` with every run of letters and digits, in lower case.
fn for_each_word(text: &str, mut use_word: impl FnMut(&str)) {
    // The whole text at once: lower-casing word by word would allocate for every word.
    let text = text.to_lowercase();
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).for_each(|word| {
        use_word(word);
    });
}

/// Drawn on a terminal only, and on the standard error, so that a piped report stays clean.
fn progress_bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "counting {bar:40} {bytes} of {total_bytes} ({bytes_per_sec}), {eta} left",
    )
    .expect("the template is a constant");
    ProgressBar::new(bytes).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        for_each_word(text, |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_in_lower_case() {
        assert_eq!(
            words("Bins are locked, readers aren't: x2."),
            ["bins", "are", "locked", "readers", "aren", "t", "x2"]
        );
        assert_eq!(words("Straße – ÉTÉ\n\t字"), ["straße", "été", "字"]);
        assert!(words(" --- ").is_empty());
    }

    #[test]
    fn threads_that_meet_a_new_word_together_lose_no_count() {
        const ROUNDS: u64 = 1000;
        let counts = Counts::new();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..ROUNDS).for_each(|i| add(&counts.pin(), &i.to_string())));
            }
        });
        assert_eq!(counts.len(), ROUNDS as usize);
        assert!(counts.pin().values().all(|count| count.load(Relaxed) == 4));
    }
}
