//! What the chapter prints.

use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::{CountedFile, Counts};
use crate::format::{counted, grouped, millions_per_second};

pub struct Run<'a> {
    pub counts: &'a Counts,
    pub files: &'a [CountedFile],
    pub skipped: usize,
    pub threads: usize,
    pub top: usize,
    pub time: Duration,
    pub check_time: Duration,
}

pub fn report(run: &Run<'_>) -> String {
    let mut text = String::new();
    write_report(&mut text, run).expect("a String takes all that is written to it");
    text
}

fn write_report(out: &mut impl Write, run: &Run<'_>) -> std::fmt::Result {
    let bytes = run.files.iter().map(|file| file.bytes).sum();
    let words = run.files.iter().map(|file| file.words).sum();

    writeln!(out, "Words: one map, {}\n", counted(run.threads, "thread"))?;
    for (word, count) in top(run.counts, run.top) {
        writeln!(out, "{:>13}  {word}", grouped(count))?;
    }
    if run.top > 0 {
        writeln!(out)?;
    }
    let skipped = match run.skipped {
        0 => String::new(),
        skipped => format!("  ({} skipped)", grouped(skipped as u64)),
    };
    writeln!(out, "files    {:>13}{skipped}", grouped(run.files.len() as u64))?;
    writeln!(out, "bytes    {:>13}", grouped(bytes))?;
    writeln!(out, "words    {:>13}", grouped(words))?;
    writeln!(out, "distinct {:>13}\n", grouped(run.counts.len() as u64))?;
    writeln!(
        out,
        "counted in {:.1?}: {:.1} MB/s, {:.1} million words/s",
        run.time,
        millions_per_second(bytes, run.time),
        millions_per_second(words, run.time),
    )?;
    writeln!(
        out,
        "checked in {:.1?}: every count agrees with one thread's and std's HashMap",
        run.check_time
    )
}

/// The most frequent words, and of equally frequent ones the first in the alphabet.
fn top(counts: &Counts, most: usize) -> Vec<(String, u64)> {
    let counts = counts.pin();
    let mut words: Vec<_> =
        counts.iter().map(|(word, count)| (word, count.load(Relaxed))).collect();
    words.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    words.truncate(most);
    words.into_iter().map(|(word, count)| (word.clone(), count)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn frequent_words_come_first_and_ties_by_the_alphabet() {
        let counts = Counts::new();
        for (word, count) in [("c", 1), ("a", 1), ("b", 7)] {
            counts.insert(word.to_owned(), AtomicU64::new(count));
        }
        let expected = [("b".to_owned(), 7), ("a".to_owned(), 1)];
        assert_eq!(top(&counts, 2), expected);
        assert_eq!(top(&counts, 9).len(), 3);
    }
}
