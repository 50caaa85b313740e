//! A cache of readers that are booked: each is opened once, closed once, and not used after that.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    fmt,
    ops::Deref,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use binlock::{
    ReaderCache,
    readers::{Builder, CloseCause, OpenError, WeakReaderCache},
};

use crate::{
    Cache, Held,
    common::{Hashers, blank},
};

const OPEN: u8 = 1;
const CLOSING: u8 = 2;
const CLOSED: u8 = 3;

/// A book of so many readers at most. It outlives them, so that a reader that is used after it
/// was closed is still found in it.
pub struct Book {
    states: Box<[AtomicU8]>,
    opened: AtomicUsize,
    closed: AtomicUsize,
    wrongs: Mutex<Vec<String>>,
    closings: Mutex<Vec<Closing>>,
}

/// One closing, as `on_close` saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closing {
    /// Of the reader.
    pub number: usize,
    pub key: u64,
    pub cause: CloseCause,
    pub thread: ThreadId,
}

/// A reader. Numbered from 0 in the order of opening.
pub struct Reader {
    pub number: usize,
    pub key: u64,
    book: Arc<Book>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book {
    pub fn new(readers: usize) -> Arc<Book> {
        Arc::new(Book {
            states: blank(readers),
            opened: AtomicUsize::new(0),
            closed: AtomicUsize::new(0),
            wrongs: Mutex::default(),
            closings: Mutex::default(),
        })
    }

    /// A new reader.
    pub fn reader(self: &Arc<Self>, key: u64) -> Reader {
        let number = self.opened.fetch_add(1, Ordering::SeqCst);
        self.states[number].store(OPEN, Ordering::SeqCst);
        Reader { number, key, book: Arc::clone(self) }
    }

    /// What `on_close` calls first.
    pub fn begin_closing(&self, key: u64, reader: &Reader) {
        let state = self.states[reader.number].swap(CLOSING, Ordering::SeqCst);
        if state != OPEN || reader.key != key {
            self.note(format!("{reader:?} is closed for {key} in state {state}"));
        }
    }

    fn note(&self, wrong: String) {
        lock(&self.wrongs).push(wrong);
    }

    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }

    pub fn closed(&self) -> usize {
        self.closed.load(Ordering::SeqCst)
    }

    /// All closings since this was last called.
    pub fn take_closings(&self) -> Vec<Closing> {
        std::mem::take(&mut *lock(&self.closings))
    }

    /// No reader has been used or closed when it was closed already.
    #[track_caller]
    pub fn assert_sound(&self) {
        let wrongs = lock(&self.wrongs);
        assert!(wrongs.is_empty(), "{} wrongs: {:?}", wrongs.len(), &wrongs[..wrongs.len().min(5)]);
    }

    /// And all have been closed.
    #[track_caller]
    pub fn assert_all_closed(&self) {
        self.assert_sound();
        let is_closed = |n: &usize| self.states[*n].load(Ordering::SeqCst) == CLOSED;
        let open: Vec<_> = (0..self.opened()).filter(|n| !is_closed(n)).take(5).collect();
        assert_eq!((self.opened() - self.closed(), &open[..]), (0, &[][..]), "never closed");
    }
}

impl Reader {
    /// Uses the reader.
    pub fn read(&self) -> u64 {
        let state = self.book.states[self.number].load(Ordering::SeqCst);
        if state != OPEN {
            self.book.note(format!("{self:?} is used in state {state}"));
        }
        self.key
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reader {} of key {}", self.number, self.key)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let state = self.book.states[self.number].swap(CLOSED, Ordering::SeqCst);
        if state == CLOSED || state == 0 {
            self.book.note(format!("{self:?} is closed in state {state}"));
        }
        self.book.closed.fetch_add(1, Ordering::SeqCst);
    }
}

/// What the panics carry that tests arrange: nothing, so that nothing is leaked where the cache
/// forgets it, and no message is printed.
pub struct Thrown;

pub fn throw() -> ! {
    panic::resume_unwind(Box::new(Thrown))
}

/// Whether this ends by a panic that was arranged.
pub fn throws<R>(f: impl FnOnce() -> R) -> bool {
    match panic::catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => false,
        Err(payload) if payload.is::<Thrown>() => true,
        Err(payload) => panic::resume_unwind(payload),
    }
}

/// Waits until it is so. (Under the watchdog of the test.)
pub fn until(mut is_so: impl FnMut() -> bool) {
    while !is_so() {
        thread::yield_now();
    }
}

/// A time that is set by hand.
#[derive(Clone, Default)]
pub struct Clock {
    now: Arc<Mutex<Duration>>,
    asked: Arc<AtomicUsize>,
}

impl Clock {
    pub fn advance(&self, seconds: u64) {
        *lock(&self.now) += Duration::from_secs(seconds);
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub fn hook(&self) -> impl Fn() -> Duration + Send + Sync + 'static {
        let this = self.clone();
        move || {
            this.asked.fetch_add(1, Ordering::SeqCst);
            *lock(&this.now)
        }
    }
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// How long something took.
pub fn timed<R>(f: impl FnOnce() -> R) -> (R, Duration) {
    let start = Instant::now();
    let result = f();
    (result, start.elapsed())
}

/// A cache that its own callbacks know.
#[derive(Default)]
pub struct Known(Arc<Mutex<Option<WeakReaderCache<u64, Reader, Hashers>>>>);

impl Known {
    /// What callbacks have: the cache, unless it is at its end.
    pub fn cache(&self) -> impl Fn() -> Option<Cache> + Clone + Send + Sync + 'static {
        let known = Arc::clone(&self.0);
        move || lock(&known).as_ref().and_then(WeakReaderCache::upgrade)
    }

    pub fn set(&self, cache: &Cache) {
        *lock(&self.0) = Some(cache.downgrade());
    }
}

/// A cache, and the book of its readers.
#[derive(Clone)]
pub struct Shelf {
    pub cache: Cache,
    pub book: Arc<Book>,
}

/// A cache with `on_close` for this book.
pub fn builder(book: &Arc<Book>) -> Builder<u64, Reader> {
    closing(book, |_, _| {})
}

/// The same, with something to be done in `on_close` when the closing has been noted.
pub fn closing(
    book: &Arc<Book>,
    then: impl Fn(&Reader, CloseCause) + Send + Sync + 'static,
) -> Builder<u64, Reader> {
    let book = Arc::clone(book);
    ReaderCache::builder().on_close(move |key, reader: Reader, cause| {
        book.begin_closing(*key, &reader);
        let thread = thread::current().id();
        lock(&book.closings).push(Closing { number: reader.number, key: *key, cause, thread });
        // The cache contains panics, and a test that fails in here would not be noticed.
        if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| then(&reader, cause))) {
            if !payload.is::<Thrown>() {
                book.note(format!("on_close of {reader:?} panicked"));
            }
            panic::resume_unwind(payload);
        }
    })
}

impl Shelf {
    /// All keys hash alike, unless the test says otherwise: that is no easier.
    pub fn new(with: impl FnOnce(Builder<u64, Reader>) -> Builder<u64, Reader>) -> Shelf {
        let book = Book::new(10_000);
        Shelf::of(&book, with(builder(&book)))
    }

    pub fn of(book: &Arc<Book>, builder: Builder<u64, Reader>) -> Shelf {
        let cache = builder.hasher(Hashers::Constant).build().unwrap();
        Shelf { cache, book: Arc::clone(book) }
    }

    /// With this many readers at most.
    pub fn with_room(readers: usize) -> Shelf {
        Shelf::new(|builder| builder.max_open(readers))
    }

    pub fn reader(&self, key: u64) -> Reader {
        self.book.reader(key)
    }

    /// The key's reader, which is opened if need be.
    #[track_caller]
    pub fn open(&self, key: u64) -> Held {
        self.try_open(key).unwrap_or_else(|error| panic!("{key}: {error}"))
    }

    pub fn try_open(&self, key: u64) -> Result<Held, OpenError<Infallible>> {
        let held = self.cache.get_or_open(key, |key| Ok(self.reader(*key)))?;
        assert_eq!((held.read(), *held.key()), (key, key));
        Ok(held)
    }

    /// The same for a task.
    pub async fn open_async(&self, key: u64) -> Result<Held, OpenError<Infallible>> {
        let book = Arc::clone(&self.book);
        let open = async move { Ok(book.reader(key)) };
        let held = self.cache.get_or_open_async(key, open).await?;
        assert_eq!((held.read(), *held.key()), (key, key));
        Ok(held)
    }

    /// Opens readers, and lets go of them.
    #[track_caller]
    pub fn open_idle(&self, keys: impl IntoIterator<Item = u64>) {
        keys.into_iter().for_each(|key| drop(self.open(key)));
    }

    /// What can be found.
    pub fn keys(&self) -> BTreeSet<u64> {
        self.cache.iter().map(|held| held.read()).collect()
    }

    /// Which keys' readers have been closed since this was last asked, and why.
    pub fn closed(&self) -> Vec<(u64, CloseCause)> {
        self.book.take_closings().iter().map(|closing| (closing.key, closing.cause)).collect()
    }

    /// What the statistics say is what has happened. When nothing goes on.
    #[track_caller]
    pub fn assert_adds_up(&self) {
        self.book.assert_sound();
        let stats = self.cache.stats();
        assert_eq!(stats.opened, stats.closed + stats.open, "{stats:?}");
        assert_eq!((stats.opening, stats.waiting), (0, 0), "{stats:?}");
        let booked = (self.book.opened() as u64, self.book.closed() as u64);
        assert_eq!((stats.opened, stats.closed), booked, "{stats:?}");
        let left: u64 = ALL_CAUSES.iter().map(|cause| stats.left(*cause)).sum();
        assert_eq!(left, stats.closed + stats.detached, "{stats:?}");
        assert_eq!(stats.open - stats.detached, self.cache.len() as u64, "{stats:?}");
        assert_eq!(stats.weight, self.cache.weight());
    }
}

impl Deref for Shelf {
    type Target = Cache;

    fn deref(&self) -> &Cache {
        &self.cache
    }
}

pub const ALL_CAUSES: [CloseCause; 9] = [
    CloseCause::MaxOpen,
    CloseCause::Weight,
    CloseCause::TooHeavy,
    CloseCause::Expired,
    CloseCause::Removed,
    CloseCause::Replaced,
    CloseCause::Refreshed,
    CloseCause::Shutdown,
    CloseCause::Discarded,
];
