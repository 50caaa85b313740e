//! Many tasks read from many objects, and share the readers.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use binlock::readers::{OpenError, ReaderCache, Stats};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use object_store::path::Path;
use tokio::task::JoinSet;

use crate::error::ObjectError;
use crate::options::Options;
use crate::reader::ObjectReader;
use crate::source::Source;

/// The cache: readers by the paths of their objects.
pub type Readers = ReaderCache<String, ObjectReader>;

/// How many archives are generated for whoever names no place to read from.
const GENERATED: usize = 300;

/// How much memory the indexes of all readers may take.
const INDEX_BYTES: u64 = 256 << 20;

/// How long the end waits for readers that are still in use. There should be none.
const PATIENCE: Duration = Duration::from_secs(5);

/// Does what the command line asks for. The settings are the environment's.
pub async fn program(
    options: &Options,
    settings: impl IntoIterator<Item = (String, String)>,
) -> Result<Report, String> {
    let temporary;
    let (source, generate) = match &options.location {
        Some(location) => (Source::parse(location, settings)?, options.generate),
        None => {
            temporary = tempfile::tempdir()
                .map_err(|error| format!("cannot make a temporary folder: {error}"))?;
            (Source::folder(temporary.path())?, options.generate.or(Some(GENERATED)))
        }
    };
    if let Some(archives) = generate {
        let bar = progress_bar("writing", archives as u64);
        source.generate(options.seed, archives, &bar).await.map_err(|error| error.to_string())?;
        bar.finish_and_clear();
    }
    run(Arc::new(source), options).await
}

/// Reads, and closes all that it has opened.
pub async fn run(source: Arc<Source>, options: &Options) -> Result<Report, String> {
    let archives = source.archives().await.map_err(|error| error.to_string())?;
    if archives.is_empty() {
        let place = source.full_name(source.prefix());
        return Err(format!("{place}: no ZIP archives there; `--generate 300` writes some"));
    }

    // What the cache says of itself is compared with this in the end.
    let closed = Arc::new(AtomicU64::new(0));
    let readers = Readers::builder()
        .max_open(options.max_open)
        .max_weight(INDEX_BYTES)
        .weigher(|_, reader: &ObjectReader| reader.index_bytes())
        .on_close({
            let closed = Arc::clone(&closed);
            move |_, reader: ObjectReader, _| {
                // Nothing is left to do for an object: with another protocol, this would be the
                // place to say goodbye to the server.
                drop(reader);
                closed.fetch_add(1, Relaxed);
            }
        })
        .build()
        .map_err(|error| error.to_string())?;

    let bar = progress_bar("reading", options.reads);
    let reading = Arc::new(Reading {
        unreadable: archives.iter().map(|_| AtomicBool::new(false)).collect(),
        source,
        archives,
        readers: readers.clone(),
        reads: options.reads,
        begun: AtomicU64::new(0),
        done: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        stopped: AtomicBool::new(false),
        failures: Mutex::new(Vec::new()),
        bar: bar.clone(),
    });
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..options.tasks as u64 {
        let random = fastrand::Rng::with_seed(options.seed.wrapping_mul(1 << 20) ^ task);
        tasks.spawn(Arc::clone(&reading).work(random));
    }
    let mut panic = None;
    while let Some(task) = tasks.join_next().await {
        panic = panic.or(task.err());
    }
    let time = start.elapsed();
    bar.finish_and_clear();

    let left_open = readers.stats().open;
    // What it returns are the readers that are still held, if any; dropping it releases them.
    readers.close_async(tokio::time::sleep(PATIENCE)).await;
    if let Some(panic) = panic {
        return Err(panic.to_string());
    }
    let failures = reading.failures.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Report {
        archives: reading.archives.len(),
        tasks: options.tasks,
        max_open: options.max_open,
        reads: reading.done.load(Relaxed),
        bytes: reading.bytes.load(Relaxed),
        time,
        left_open,
        stats: readers.stats(),
        called_to_close: closed.load(Relaxed),
        failures,
    })
}

/// What the tasks share.
///
/// The numbers need no ordering: joining the tasks orders all they counted before whoever reads it.
struct Reading {
    source: Arc<Source>,
    archives: Vec<Path>,
    /// For each archive, whether it has failed: it is not tried again.
    unreadable: Vec<AtomicBool>,
    readers: Readers,
    /// How many reads there are to be, have been begun and have succeeded.
    reads: u64,
    begun: AtomicU64,
    done: AtomicU64,
    bytes: AtomicU64,
    /// Whether it makes no sense to go on.
    stopped: AtomicBool,
    failures: Mutex<Vec<Arc<Failure>>>,
    bar: ProgressBar,
}

impl Reading {
    /// What one task does.
    async fn work(self: Arc<Self>, mut random: fastrand::Rng) {
        while !self.stopped.load(Relaxed) && self.begun.fetch_add(1, Relaxed) < self.reads {
            let Some(object) = self.choose(&mut random) else { break };
            match self.read(&self.archives[object], &mut random).await {
                Ok(bytes) => {
                    self.bytes.fetch_add(bytes, Relaxed);
                    let done = self.done.fetch_add(1, Relaxed) + 1;
                    self.bar.inc(1);
                    if done.is_multiple_of(256) {
                        self.bar.set_message(format!("{} readers open", self.readers.len()));
                    }
                }
                Err(failure) => self.fail(object, failure),
            }
        }
    }

    /// Some are asked for much more often than others, as everywhere.
    fn choose(&self, random: &mut fastrand::Rng) -> Option<usize> {
        let objects = self.archives.len();
        let chosen = (random.f64().powi(3) * objects as f64) as usize;
        (chosen..objects).chain(0..chosen).find(|&object| !self.unreadable[object].load(Relaxed))
    }

    /// Reads any file of an archive. Returns its length.
    async fn read(&self, path: &Path, random: &mut fastrand::Rng) -> Result<u64, Failure> {
        let mut is_first = true;
        loop {
            // However many tasks come here for one path: one opens, the others wait for it.
            let opening = ObjectReader::open(Arc::clone(&self.source), path.clone());
            let reader = self.readers.get_or_open_async(path.to_string(), opening).await?;
            // The reader may be evicted or removed as soon as it is here: it is not closed before
            // `reader` is gone.
            let files = reader.entries().len();
            if files == 0 {
                return Ok(0);
            }
            match reader.read(random.usize(..files)).await {
                Err(error) if error.is_change() && is_first => {
                    // Who still reads from the old one will find out as well.
                    self.readers.remove(path.as_ref());
                    is_first = false;
                }
                contents => return Ok(contents?.len() as u64),
            }
        }
    }

    fn fail(&self, object: usize, failure: Failure) {
        // Tasks that waited for the same opening got the same error; it is told once.
        if self.unreadable[object].swap(true, Relaxed) {
            return;
        }
        if !failure.concerns_one_object() {
            self.stopped.store(true, Relaxed);
        }
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.push(Arc::new(failure));
    }
}

/// Why a read failed.
#[derive(Debug)]
pub enum Failure {
    Open(OpenError<ObjectError>),
    Read(ObjectError),
}

impl Failure {
    fn concerns_one_object(&self) -> bool {
        match self {
            Failure::Open(OpenError::Failed(error)) => error.concerns_one_object(),
            Failure::Open(_) => false,
            Failure::Read(error) => error.concerns_one_object(),
        }
    }
}

impl From<OpenError<ObjectError>> for Failure {
    fn from(error: OpenError<ObjectError>) -> Self {
        Failure::Open(error)
    }
}

impl From<ObjectError> for Failure {
    fn from(error: ObjectError) -> Self {
        Failure::Read(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The object's name comes first, as everywhere else.
            Failure::Open(OpenError::Failed(error)) => error.fmt(f),
            Failure::Open(error) => error.fmt(f),
            Failure::Read(error) => error.fmt(f),
        }
    }
}

/// What has happened.
#[derive(Debug)]
pub struct Report {
    pub archives: usize,
    pub tasks: usize,
    pub max_open: usize,
    pub reads: u64,
    pub bytes: u64,
    pub time: Duration,
    /// How many readers were open when the last task had ended.
    pub left_open: u64,
    /// What the cache says, after it was closed.
    pub stats: Stats,
    /// How many readers the cache has handed over to be closed.
    pub called_to_close: u64,
    /// One for each archive that could not be read.
    pub failures: Vec<Arc<Failure>>,
}

impl Report {
    /// Whether every reader that was opened has been closed, once.
    pub fn is_balanced(&self) -> bool {
        let stats = &self.stats;
        stats.open == 0 && stats.opened == stats.closed && stats.closed == self.called_to_close
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { stats, reads, archives, tasks, .. } = self;
        let seconds = self.time.as_secs_f64();
        let bytes = HumanBytes(self.bytes);
        let rate = *reads as f64 / seconds.max(1e-9);
        writeln!(
            f,
            "{reads} files ({bytes}) read from {archives} archives by {tasks} tasks in \
             {seconds:.1} s, {rate:.0} per second"
        )?;
        writeln!(f, "\nReaders, at most {} open:", self.max_open)?;
        for (number, what) in [
            (stats.hits, "times open already"),
            (stats.joined_opens, "times being opened by another task"),
            (stats.opened, "times opened"),
            (stats.failed_opens, "times not opened, for an error"),
            (stats.evictions(), "evicted"),
            (self.left_open, "open when all was read"),
            (stats.closed, "closed in all"),
            (stats.open, "still open"),
        ] {
            writeln!(f, "{number:10} {what}")?;
        }
        writeln!(f, "{:9.1}% of the look-ups found an open reader", 100.0 * stats.hit_ratio())
    }
}

/// Drawn on a terminal only, and on the standard error, so that a piped report stays clean.
fn progress_bar(doing: &'static str, steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{prefix} {bar:40} {pos} of {len} ({per_sec}), {eta} left  {msg}",
    )
    .expect("the template is a constant");
    ProgressBar::new(steps).with_style(style).with_prefix(doing)
}
