//! Traces: what was requested, in which order.

use std::{
    collections::HashMap,
    fmt,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use flate2::bufread::MultiGzDecoder;

/// The least capacity in entries; below that, a percentage of the keys says little.
const LEAST_ENTRIES: u64 = 16;
const SUFFIX: &str = ".txt.gz";

/// One request. The keys of a trace are numbered from zero, in the order they appear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request {
    pub key: u32,
    pub size: u64,
}

#[derive(PartialEq, Debug)]
pub struct Trace {
    pub name: String,
    pub requests: Vec<Request>,
    pub keys: usize,
    /// Whether sizes were given; otherwise all of them are 1.
    pub has_sizes: bool,
    /// The sizes of all keys, each as it was first requested.
    pub total: u64,
}

/// What is wrong with a folder or a file.
#[derive(Debug)]
pub struct Bad {
    path: PathBuf,
    line: Option<usize>,
    problem: String,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl Trace {
    /// A trace of keys that all have size 1.
    pub fn of_keys(name: &str, keys: impl IntoIterator<Item = u64>) -> Trace {
        let mut builder = Builder::default();
        keys.into_iter().for_each(|key| builder.add(key, 1));
        builder.finish(name.into(), false)
    }

    /// The capacity that is so many percent of the keys, or of their sizes.
    pub fn capacity(&self, percent: u64) -> u64 {
        let rounded = (u128::from(self.total) * u128::from(percent) + 50) / 100;
        let least = if self.has_sizes { 1 } else { LEAST_ENTRIES };
        u64::try_from(rounded).unwrap_or(u64::MAX).max(least)
    }
}

#[derive(Default)]
struct Builder {
    numbers: HashMap<u64, u32>,
    requests: Vec<Request>,
    total: u64,
}

impl Builder {
    fn add(&mut self, key: u64, size: u64) {
        let next = self.numbers.len() as u32;
        let key = *self.numbers.entry(key).or_insert(next);
        if key == next {
            self.total = self.total.saturating_add(size);
        }
        self.requests.push(Request { key, size });
    }

    fn finish(self, name: String, has_sizes: bool) -> Trace {
        let Builder { numbers, requests, total } = self;
        Trace { name, requests, keys: numbers.len(), has_sizes, total }
    }
}

/// The traces of a folder, by name.
pub fn find(folder: &Path) -> Result<Vec<PathBuf>, Bad> {
    let bad = |problem: String| Bad { path: folder.into(), line: None, problem };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| bad(error.to_string()))? {
        let path = entry.map_err(|error| bad(error.to_string()))?.path();
        if path.to_string_lossy().ends_with(SUFFIX) {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(bad(format!("no traces in there (files *{SUFFIX})")));
    }
    found.sort();
    Ok(found)
}

/// Reads a compressed trace.
pub fn read(path: &Path) -> Result<Trace, Bad> {
    let file = File::open(path).map_err(|error| Bad {
        path: path.into(),
        line: None,
        problem: error.to_string(),
    })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(SUFFIX).unwrap_or(&name).to_owned();
    let lines = BufReader::new(MultiGzDecoder::new(BufReader::new(file)));
    parse(name, lines).map_err(|(line, problem)| Bad { path: path.into(), line, problem })
}

fn parse(name: String, mut input: impl BufRead) -> Result<Trace, (Option<usize>, String)> {
    let mut builder = Builder::default();
    let mut has_sizes = None;
    let mut text = String::new();
    for line in 1.. {
        let at = |problem: String| (Some(line), problem);
        text.clear();
        match input.read_line(&mut text) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return Err(at(error.to_string())),
        }
        let (key, size) = request(&text).map_err(at)?;
        if *has_sizes.get_or_insert(size.is_some()) != size.is_some() {
            return Err(at("either all requests have a size, or none".into()));
        }
        if builder.requests.len() == u32::MAX as usize {
            return Err(at("too many requests".into()));
        }
        builder.add(key, size.unwrap_or(1));
    }
    let Some(has_sizes) = has_sizes else { return Err((None, "no requests in there".into())) };
    Ok(builder.finish(name, has_sizes))
}

fn request(line: &str) -> Result<(u64, Option<u64>), String> {
    let number = |word: &str, what: &str| {
        word.parse().map_err(|_| format!("{word:?} is not a {what}: a number from 0 to 2^64 - 1"))
    };
    let mut words = line.split_whitespace();
    let key = words.next().ok_or("an empty line")?;
    let size = words.next();
    if words.next().is_some() {
        return Err("more than a key and a size".into());
    }
    Ok((number(key, "key")?, size.map(|size| number(size, "size")).transpose()?))
}

#[cfg(test)]
mod tests {
    use std::{env, io::Write, process};

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn parsed(text: &str) -> Result<Trace, (Option<usize>, String)> {
        parse("test".into(), text.as_bytes())
    }

    fn gzipped(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).expect("into memory");
        encoder.finish().expect("into memory")
    }

    #[test]
    fn keys_are_numbered_in_their_order() {
        let trace = parsed("70\n5\n70\n").expect("a trace");
        assert_eq!(trace, Trace::of_keys("test", [70, 5, 70]));
        assert_eq!(trace.requests.iter().map(|r| r.key).collect::<Vec<_>>(), [0, 1, 0]);
        assert_eq!((trace.keys, trace.total, trace.has_sizes), (2, 2, false));
    }

    #[test]
    fn sizes_are_summed_over_the_keys() {
        let trace = parsed("1 100\n2 50\n1 100").expect("a trace");
        assert_eq!((trace.keys, trace.total, trace.has_sizes), (2, 150, true));
        assert_eq!(trace.capacity(10), 15);
    }

    #[test]
    fn capacities_are_rounded_to_the_nearest() {
        let trace = |keys| Trace::of_keys("test", 0..keys);
        assert_eq!(trace(1011).capacity(25), 253);
        assert_eq!(trace(7075).capacity(10), 708);
        assert_eq!(trace(2529).capacity(25), 632);
        assert_eq!(trace(1011).capacity(1), 16);
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, line) in [
            ("1\nx\n", Some(2)),
            ("1\n2 3\n", Some(2)),
            ("1 2 3\n", Some(1)),
            ("1\n\n2\n", Some(2)),
            ("-1\n", Some(1)),
            ("1 18446744073709551616\n", Some(1)),
            ("", None),
        ] {
            assert_eq!(parsed(text).expect_err(text).0, line, "{text:?}");
        }
    }

    #[test]
    fn files_that_are_cut_off_or_missing_are_named() {
        let folder = env::temp_dir().join(format!("hit_ratio-{}", process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let whole = gzipped(&(0..5000).map(|key| format!("{}\n", key * 7919)).collect::<String>());
        for (name, bytes) in [("a.txt.gz", &whole[..]), ("b.txt.gz", &whole[..whole.len() / 2])] {
            fs::write(folder.join(name), bytes).expect("a file");
        }
        let found = find(&folder).expect("two");
        assert_eq!(read(&found[0]).expect("whole").requests.len(), 5000);
        let cut = read(&found[1]).expect_err("cut off");
        assert!(cut.line.is_some_and(|line| line > 1), "{cut}");
        assert!(cut.to_string().contains("b.txt.gz, line "), "{cut}");
        fs::remove_dir_all(&folder).expect("it was there");
        assert!(find(&folder).expect_err("gone").to_string().contains("hit_ratio-"));
    }

    #[test]
    fn a_folder_without_traces_is_told() {
        let folder = env::temp_dir().join(format!("hit_ratio-none-{}", process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let error = find(&folder).expect_err("nothing there").to_string();
        fs::remove_dir_all(&folder).expect("it was there");
        assert!(error.contains("no traces"), "{error}");
    }
}
