//! Some objects, a cache for their readers, and a server if there is to be one.

use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use binlock::readers::{Handle, OpenError};
use object_readers::error::ObjectError;
use object_readers::generate;
use object_readers::reader::ObjectReader;
use object_readers::run::Readers;
use object_readers::source::Source;
use tempfile::TempDir;

use crate::server::{ACCESS_KEY, Reserved, SECRET_KEY, Server};

/// What all contents follow from.
pub const SEED: u64 = 5;
/// More than the cache keeps open.
pub const OBJECTS: usize = 8;
pub const MAX_OPEN: usize = 3;

/// Far more than anything here takes, even where other programs want the processor as well.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a test, and fails it if it hangs.
pub fn within_patience(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let result = runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await });
    runtime.shutdown_background();
    result.expect("the test hangs");
}

/// Waits until this is so.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE / 2, "it does not come about");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// See the module.
pub struct Stand {
    /// Holds a folder that is a bucket for the server.
    pub root: TempDir,
    pub source: Arc<Source>,
    pub readers: Readers,
    pub server: Option<Server>,
    /// How many readers the cache has handed over to be closed.
    closings: Arc<AtomicU64>,
}

pub type Opened = Result<Handle<String, ObjectReader>, OpenError<ObjectError>>;

impl Stand {
    pub async fn on_files() -> Stand {
        Stand::new(|root| Source::folder(&root.path().join("bucket")).unwrap(), None)
    }

    pub async fn on_s3() -> Stand {
        let place = Reserved::new();
        let settings = settings(&place);
        let source = |_: &TempDir| Source::parse("s3://bucket", settings).unwrap();
        Stand::new(source, Some(place))
    }

    /// With objects and, if there is a place for it, a server.
    pub fn new(source: impl FnOnce(&TempDir) -> Source, place: Option<Reserved>) -> Stand {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("bucket")).unwrap();
        let source = Arc::new(source(&root));
        let closings = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&closings);
        let readers = Readers::builder()
            .max_open(MAX_OPEN)
            .max_weight(1 << 20)
            .weigher(|_, reader: &ObjectReader| reader.index_bytes())
            .on_close(move |_, _, _| {
                counted.fetch_add(1, Relaxed);
            })
            .build()
            .unwrap();
        let server = place.map(|place| place.serve(root.path()));
        let stand = Stand { root, source, readers, server, closings };
        for object in 0..OBJECTS {
            stand.write(object, &generate::archive(SEED, object));
        }
        stand
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("this is for stands with a server")
    }

    /// Writes the object behind the store's back: a server that wrote it would remember more of it
    /// than what is in the file.
    pub fn write(&self, object: usize, contents: &[u8]) {
        fs::write(self.file(object), contents).unwrap();
    }

    pub fn file(&self, object: usize) -> PathBuf {
        self.root.path().join("bucket").join(generate::archive_name(object))
    }

    /// What the object's reader is called in the cache.
    pub fn key(&self, object: usize) -> String {
        self.source.path(&generate::archive_name(object)).to_string()
    }

    /// What the object is called in messages.
    pub fn full_name(&self, object: usize) -> String {
        self.source.full_name(&self.source.path(&generate::archive_name(object)))
    }

    pub async fn open(&self, object: usize) -> Opened {
        self.open_from(&self.source, object).await
    }

    pub async fn open_from(&self, source: &Arc<Source>, object: usize) -> Opened {
        open(&self.readers, source, object).await
    }

    /// The object cannot be opened, for which the error names it and gives this reason; and nothing
    /// remains of that.
    pub async fn assert_not_opened(&self, object: usize, reason: &str) {
        self.assert_not_opened_from(&self.source, object, reason).await;
    }

    pub async fn assert_not_opened_from(&self, source: &Arc<Source>, object: usize, reason: &str) {
        let failed = self.readers.stats().failed_opens;
        let Err(OpenError::Failed(error)) = self.open_from(source, object).await else {
            panic!("object {object} should be refused: {reason}");
        };
        let error = error.to_string();
        let name = source.full_name(&source.path(&generate::archive_name(object)));
        assert!(error.starts_with(&format!("{name}: ")), "{error:?} does not name {name}");
        assert!(error.contains(reason), "{error:?} is not for {reason:?}");
        assert_eq!(self.readers.stats().failed_opens, failed + 1);
        assert!(!self.readers.contains_key(&self.key(object)));
        self.assert_nothing_is_open();
    }

    pub fn assert_nothing_is_open(&self) {
        let stats = self.readers.stats();
        assert_eq!(self.readers.len(), 0);
        assert_eq!((stats.open, stats.opening, stats.in_use, stats.detached), (0, 0, 0, 0));
        assert_eq!((stats.weight, stats.waiting), (0, 0));
        assert_eq!(stats.opened, stats.closed);
        assert_eq!(stats.closed, self.closings.load(Relaxed));
    }

    /// The object can be opened, and has in it what it should. It is closed again.
    pub async fn assert_readable(&self, object: usize) {
        let reader = self.open(object).await.unwrap();
        assert!(self.readers.contains_key(&self.key(object)));
        assert_contents(&reader, object).await;
        drop(reader);
        assert_eq!(self.readers.remove(&self.key(object)).closed, 1);
    }

    /// Closes the cache: nothing may be in use.
    pub async fn finish(self) {
        let closed = self.readers.close_async(tokio::time::sleep(PATIENCE / 4)).await;
        assert!(closed.is_complete(), "{closed:?}");
        self.assert_nothing_is_open();
        let opened = self.open(0).await;
        assert!(matches!(opened, Err(OpenError::Closed)), "{:?}", opened.err());
    }
}

/// The environment in which the server is found.
pub fn settings(place: &Reserved) -> Vec<(String, String)> {
    [
        ("AWS_ENDPOINT_URL", &*format!("http://{}", place.address)),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

pub async fn open(readers: &Readers, source: &Arc<Source>, object: usize) -> Opened {
    let path = source.path(&generate::archive_name(object));
    let key = path.to_string();
    readers.get_or_open_async(key, ObjectReader::open(Arc::clone(source), path)).await
}

/// All files of an object are as they were written.
pub async fn assert_contents(reader: &ObjectReader, object: usize) {
    assert_eq!(reader.entries().len(), generate::files_of(SEED, object));
    for nth in 0..reader.entries().len() {
        assert_eq!(reader.entries()[nth].name(), generate::file_name(nth));
        let contents = reader.read(nth).await.unwrap();
        assert_eq!(contents, generate::contents(SEED, object, nth), "file {nth} of {object}");
    }
}
