//! Chapter "readers": many threads read the files that were counted through a cache of open files.
//!
//! The cache may have eight files open. Each thread reads blocks here and there, some files far more
//! often than others, and some files are removed from the cache under the readers' hands. In the end,
//! all that was read is compared with the files themselves, and every file that was opened has been
//! closed once.

use std::{
    fmt::Write,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use binlock::{ReaderCache, readers::WhenFull};

use crate::{files, format, options::Options};

/// So many files are open at a time.
const MOST_OPEN: usize = 8;
/// So many blocks each thread reads.
const READS: usize = 2_000;
const BLOCK: u64 = 512;

/// An open file, and how many of them there are.
struct Reader {
    file: Mutex<File>,
    length: u64,
}

static OPEN: AtomicUsize = AtomicUsize::new(0);

impl Reader {
    fn open(path: &PathBuf) -> io::Result<Reader> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let open = OPEN.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(open <= MOST_OPEN, "{open} files are open");
        Ok(Reader { file: Mutex::new(file), length })
    }

    fn block(&self, number: u64) -> io::Result<Vec<u8>> {
        let mut file = self.file.lock().map_err(|_| io::Error::other("a reader has panicked"))?;
        file.seek(SeekFrom::Start(number * BLOCK))?;
        let mut block = Vec::new();
        Read::by_ref(&mut *file).take(BLOCK).read_to_end(&mut block)?;
        Ok(block)
    }
}

/// Closing is counted, too.
impl Drop for Reader {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::SeqCst);
    }
}

type Files = ReaderCache<PathBuf, Reader>;

/// Reads, checks and reports.
pub fn run(options: &Options) -> Result<String, String> {
    let paths = files::find(&options.paths).files;
    if paths.is_empty() {
        return Err("there is no file to read".to_owned());
    }
    let readers: Files = ReaderCache::builder()
        .max_open(MOST_OPEN)
        .when_full(WhenFull::Wait(Duration::from_secs(30)))
        .build()
        .map_err(|error| error.to_string())?;
    let start = Instant::now();
    let threads = 2 * MOST_OPEN;
    let read: u64 = thread::scope(|scope| {
        let (readers, paths) = (&readers, &paths);
        let threads: Vec<_> = (0..threads as u64)
            .map(|seed| scope.spawn(move || read_here_and_there(readers, paths, seed)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread panicked".to_owned())?)
            .sum::<Result<u64, String>>()
    })?;
    let time = start.elapsed();

    let before = readers.stats();
    let closed = readers.close(Duration::from_secs(10));
    let stats = readers.stats();
    if !closed.is_complete() || stats.open != 0 || stats.opened != stats.closed {
        return Err(format!("files are left open: {stats:?}"));
    }
    if OPEN.load(Ordering::SeqCst) != 0 {
        return Err("files were opened and not closed".to_owned());
    }
    let mut report = String::from("\nReaders: open files in a cache\n");
    let _ = writeln!(
        report,
        "  {threads} threads read {} in {} from {}, in {:.1} ms, at most {MOST_OPEN} of them open",
        format::counted(read as usize, "byte"),
        format::counted(threads * READS, "block"),
        format::counted(paths.len(), "file"),
        time.as_secs_f64() * 1e3,
    );
    let _ = writeln!(
        report,
        "  {:.1} % found open; {} opened, {} waited for another's opening, {} evicted; all closed once",
        100.0 * before.hit_ratio(),
        format::grouped(stats.opened),
        format::grouped(stats.joined_opens),
        format::grouped(stats.evictions()),
    );
    Ok(report)
}

/// What one thread does: reads blocks, most of them of few files, and compares them with what it
/// reads without the cache.
fn read_here_and_there(readers: &Files, paths: &[PathBuf], seed: u64) -> Result<u64, String> {
    let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = 0;
    for round in 0..READS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // A high power of a fraction: near zero more often than not.
        let fraction = (random >> 40) as f64 / (1u64 << 24) as f64;
        let path = &paths[(fraction.powi(8) * paths.len() as f64) as usize];
        let reader = match readers.get_or_open(path.clone(), Reader::open) {
            Ok(reader) => reader,
            // Such a file was named by the chapter before.
            Err(error) if error.failed().is_some() => continue,
            Err(error) => return Err(format!("{}: {error}", path.display())),
        };
        if round % 64 == 0 {
            // Whoever reads the file goes on doing so.
            readers.remove(path);
        }
        let number = (random & 0xffff) % (reader.length / BLOCK + 1);
        let block = reader.block(number).map_err(|error| format!("{}: {error}", path.display()))?;
        if round % 16 == 0 {
            drop(reader);
            compare(path, number, &block)?;
        }
        bytes += block.len() as u64;
    }
    Ok(bytes)
}

fn compare(path: &PathBuf, number: u64, block: &[u8]) -> Result<(), String> {
    let problem = |error: io::Error| format!("{}: {error}", path.display());
    let mut file = File::open(path).map_err(problem)?;
    file.seek(SeekFrom::Start(number * BLOCK)).map_err(problem)?;
    let mut right = Vec::new();
    file.take(BLOCK).read_to_end(&mut right).map_err(problem)?;
    if right != block {
        return Err(format!("{}: block {number} was not read right", path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_right_and_closed() {
        let src = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
        let options = Options { paths: vec![src], threads: 2, top: 1 };
        let report = run(&options).unwrap();
        assert!(report.contains("all closed once"), "{report}");
    }
}
