//! The same count again, by one thread into std's map, and the comparison.

use std::collections::HashMap as StdHashMap;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use super::{CountedFile, Counts, for_each_word};
use crate::files;
use crate::format::counted;

/// How many differences are worth printing: the first ones tell what is wrong.
const SHOWN: usize = 10;

/// Fails with what differs, where anything does.
pub fn check(counts: &Counts, files: &[CountedFile]) -> Result<(), String> {
    let expected = count_alone(files)?;
    let differences = differences(counts, &expected);
    if differences.is_empty() {
        return Ok(());
    }
    let mut problem =
        format!("the shared map is wrong, {}:", counted(differences.len(), "difference"));
    for difference in differences.iter().take(SHOWN) {
        write!(problem, "\n  {difference}").expect("a String takes all that is written to it");
    }
    if differences.len() > SHOWN {
        problem.push_str("\n  ...");
    }
    Err(problem)
}

fn count_alone(files: &[CountedFile]) -> Result<StdHashMap<String, u64>, String> {
    let mut counts = StdHashMap::<String, u64>::new();
    for file in files {
        let text = files::read(&file.path).map_err(|now| changed(file, &now.why))?;
        let mut words = 0;
        for_each_word(&text, |word| {
            words += 1;
            match counts.get_mut(word) {
                Some(count) => *count += 1,
                None => _ = counts.insert(word.to_owned(), 1),
            }
        });
        if (text.len() as u64, words) != (file.bytes, file.words) {
            return Err(changed(file, "its size is another now"));
        }
    }
    Ok(counts)
}

/// A file that somebody writes to is no evidence against the map.
fn changed(file: &CountedFile, how: &str) -> String {
    format!(
        "{} changed between the two counts ({how}), so they cannot be compared: run again",
        file.path.display()
    )
}

fn differences(counts: &Counts, expected: &StdHashMap<String, u64>) -> Vec<String> {
    let mut differences = Vec::new();
    let mut differ = |what: &str, found: u64, expected: u64| {
        if found != expected {
            differences.push(format!("{what}: counted {found}, expected {expected}"));
        }
    };

    let counts = counts.pin();
    differ("distinct words, by len()", counts.len() as u64, expected.len() as u64);
    differ("distinct words, by iter()", counts.iter().count() as u64, expected.len() as u64);
    let words = counts.values().map(|count| count.load(Relaxed)).sum();
    differ("words", words, expected.values().sum());

    // Both ways, because each map may hold words that the other lacks.
    let mut sorted: Vec<_> = expected.iter().collect();
    sorted.sort_unstable();
    for (word, &count) in sorted {
        let found = counts.get(word).map_or(0, |count| count.load(Relaxed));
        differ(&format!("`{word}`"), found, count);
    }
    for (word, count) in &counts {
        if !expected.contains_key(word) {
            differ(&format!("`{word}`, in no file"), count.load(Relaxed), 0);
        }
    }
    differences
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn expected(words: &[(&str, u64)]) -> StdHashMap<String, u64> {
        words.iter().map(|&(word, count)| (word.to_owned(), count)).collect()
    }

    fn shared(words: &[(&str, u64)]) -> Counts {
        let counts = Counts::new();
        for &(word, count) in words {
            counts.insert(word.to_owned(), AtomicU64::new(count));
        }
        counts
    }

    #[test]
    fn equal_counts_differ_in_nothing() {
        let words = [("bin", 3), ("lock", 1)];
        assert!(differences(&shared(&words), &expected(&words)).is_empty());
    }

    #[test]
    fn a_lost_word_a_foreign_word_and_a_wrong_count_are_each_named() {
        let found = differences(
            &shared(&[("bin", 3), ("foreign", 1), ("same", 5)]),
            &expected(&[("bin", 4), ("lost", 2), ("same", 5)]),
        );
        assert_eq!(
            found,
            [
                "words: counted 9, expected 11",
                "`bin`: counted 3, expected 4",
                "`lost`: counted 0, expected 2",
                "`foreign`, in no file: counted 1, expected 0",
            ]
        );
    }

    #[test]
    fn a_file_that_changed_is_not_blamed_on_the_map() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let file = CountedFile { path, bytes: 1, words: 1 };
        let problem = check(&Counts::new(), &[file]).unwrap_err();
        assert!(problem.contains("Cargo.toml changed between"), "{problem}");
    }
}
