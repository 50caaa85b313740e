//! A cache of readers: things that are expensive to open, hold a resource while they are open,
//! and must be closed exactly once and never under somebody who is using them.
//!
//! Open files, object-store readers with a parsed index, the table readers of a storage engine,
//! connections, memory maps. See [`ReaderCache`], and the chapter [on the reader
//! cache](crate::docs::readers).

use std::{
    any::Any,
    fmt,
    future::{Future, poll_fn},
    hash::{BuildHasher, Hash},
    panic::{RefUnwindSafe, UnwindSafe},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use ahash::RandomState;
use equivalent::Equivalent;

mod asynchronous;
mod builder;
mod closing;
mod entry;
mod error;
mod expiry;
mod extra;
mod flight;
mod handle;
mod inner;
mod iter;
mod limits;
mod loading;
mod opening;
mod policy;
mod state;
mod stats;
mod waiting;
mod weak;

pub use self::{
    asynchronous::BoxFuture,
    builder::Builder,
    closing::{CloseCause, Closed, Removed},
    error::{ConfigError, InsertError, LoadError, Loading, OpenError},
    handle::Handle,
    iter::Iter,
    limits::WhenFull,
    loading::Job,
    stats::Stats,
    weak::WeakReaderCache,
};
use self::{
    extra::Failure,
    inner::{Inner, Look, Out},
    opening::{Missed, Opening},
};
use crate::{claims::ThreadHolder, epoch};

/// A cache of readers. See the [module](crate::readers) and its
/// [chapter](crate::docs::readers).
///
/// A clone is another reference to the same cache. The drop of the last one closes what is
/// idle; what is in use is closed with its last handle.
///
/// # Consistency
///
/// Looking a reader up and retaining it are one step, so a reader that has been found is open,
/// and stays so while there is a [`Handle`]. Operations on one key are linearizable, but for
/// [`insert`](ReaderCache::insert) where there is a reader already: until that has been closed, there is
/// none. A reader
/// is being opened by one caller at a time for each key, and all who ask for it meanwhile share
/// what comes of it, also an error. (One that is removed or expires while it is opened anew is
/// opened beside that, and what comes of it first is not kept.)
///
/// # Waiting
///
/// A look-up takes no lock. Opening and closing take the cache's lock for some tens of
/// instructions; nobody's code runs under it. Who wants a reader that is being opened waits, asleep;
/// and with [`WhenFull::Wait`] whoever opens or inserts one waits for a place.
///
/// # Examples
///
/// ```
/// use std::{fs::File, path::PathBuf};
///
/// use binlock::ReaderCache;
///
/// let files: ReaderCache<PathBuf, File> = ReaderCache::builder().max_open(100).build()?;
/// let open = |path: &PathBuf| File::open(path);
///
/// let file = files.get_or_open("Cargo.toml".into(), open)?;
/// let length = file.metadata()?.len();
/// let again = files.get_or_open("Cargo.toml".into(), open)?;
/// assert_eq!(again.metadata()?.len(), length);
/// assert_eq!(files.stats().opened, 1);
///
/// let error = files.get_or_open("no such file".into(), open).unwrap_err();
/// assert_eq!(error.failed().unwrap().kind(), std::io::ErrorKind::NotFound);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ReaderCache<K, R, S = RandomState> {
    inner: Arc<Inner<K, R>>,
    owner: Arc<Owner<K, R, S>>,
}

/// What there is one of for all clones of a cache: its drop is the end of the cache.
struct Owner<K, R, S> {
    inner: Arc<Inner<K, R>>,
    hasher: S,
}

impl<K, R, S> Drop for Owner<K, R, S> {
    fn drop(&mut self) {
        self.inner.stop();
    }
}

impl<K, R> ReaderCache<K, R> {
    /// Begins to build a cache.
    pub fn builder() -> Builder<K, R> {
        Builder::new()
    }
}

impl<K, R, S> ReaderCache<K, R, S> {
    fn new(inner: Arc<Inner<K, R>>, hasher: S) -> Self {
        let owner = Arc::new(Owner { inner: Arc::clone(&inner), hasher });
        ReaderCache { inner, owner }
    }

    /// A reference that does not keep the cache, for closures that belong to it: see
    /// [`Builder`].
    pub fn downgrade(&self) -> WeakReaderCache<K, R, S> {
        WeakReaderCache::new(&self.owner)
    }

    /// The number of entries: readers that are open, also those that have expired and not been
    /// closed yet, and readers that are being opened. Exact when nothing is being opened or removed.
    /// What is open at the moment, [`stats`](ReaderCache::stats) say.
    pub fn len(&self) -> usize {
        self.inner.map.len()
    }

    /// Whether [`len`](ReaderCache::len) is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the readers in the cache weigh.
    pub fn weight(&self) -> u64 {
        self.inner.book().weight.try_into().unwrap_or(u64::MAX)
    }

    /// Handles to all readers in the cache. They count as no uses, but keep the readers open.
    ///
    /// Weakly consistent: a reader that is there throughout is found exactly once. (One that is
    /// replaced meanwhile is not, so its key may be missing.) The iterator
    /// pins the thread (see [`HashMap::pin`](crate::HashMap::pin)).
    pub fn iter(&self) -> Iter<'_, K, R> {
        Iter::new(&self.inner)
    }

    /// Takes the readers out for which `keep` is false. Those that come meanwhile may be
    /// missed, and those that are being opened are kept.
    ///
    /// # Panics
    ///
    /// If `keep` does; the readers that it was to be asked about are kept.
    pub fn retain(&self, mut keep: impl FnMut(&K, &R) -> bool) -> Removed {
        self.inner.retain(&mut keep)
    }

    /// Takes all readers out of the cache, also those that are being opened: whoever waits for
    /// one gets it, detached.
    pub fn clear(&self) -> Removed {
        self.inner.clear()
    }

    /// Closes what has expired, now. Takes time proportional to the number of readers.
    pub fn run_pending(&self) -> Removed {
        self.inner.sweep_expired()
    }

    /// What the cache has done so far. Takes time proportional to the number of readers.
    ///
    /// # Examples
    ///
    /// ```
    /// # use binlock::ReaderCache;
    /// let readers = ReaderCache::builder().max_open(1).build()?;
    /// for key in [1, 1, 2] {
    ///     drop(readers.get_or_open(key, |_| Ok::<_, std::io::Error>(key))?);
    /// }
    /// let stats = readers.stats();
    /// assert_eq!((stats.hits, stats.misses, stats.opened, stats.closed), (1, 2, 2, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }

    /// Shuts the cache down: refuses to open readers from now on, has callers that wait for a place
    /// fail, closes what is idle, and waits for the handles to the rest to be dropped, but no longer
    /// than this. What is still in use is reported, and closed with its last handle.
    ///
    /// All clones of the cache are closed by this. If the calling thread has handles itself, it
    /// waits for them in vain; so it does for a reader that it is just opening or closing, if this
    /// is called from there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use binlock::ReaderCache;
    ///
    /// let readers = ReaderCache::builder().max_open(10).build()?;
    /// drop(readers.get_or_open("a", |_| Ok::<_, std::io::Error>(1))?);
    /// let closed = readers.close(Duration::from_secs(1));
    /// assert!(closed.is_complete() && closed.closed == 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self, patience: Duration) -> Closed<K, R> {
        self.inner.shut_down(patience)
    }

    /// The same for a task, which waits until `deadline` is ready:
    /// `tokio::time::sleep(patience)`.
    pub async fn close_async(&self, deadline: impl Future<Output = ()>) -> Closed<K, R> {
        let closed = self.inner.stop().closed;
        let mut deadline = pin!(deadline);
        let mut quiet = pin!(self.inner.quiet());
        poll_fn(|context| match quiet.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => deadline.as_mut().poll(context),
        })
        .await;
        self.inner.report(closed)
    }
}

impl<K, R, S> ReaderCache<K, R, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        crate::map::hash(&self.owner.hasher, key)
    }

    /// A handle to the key's reader, if it is open. Counts as a use.
    ///
    /// A reader that is being opened is not found, and not waited for.
    ///
    /// # Examples
    ///
    /// ```
    /// # use binlock::ReaderCache;
    /// let readers = ReaderCache::builder().max_open(10).build()?;
    /// assert!(readers.get("a").is_none());
    /// drop(readers.get_or_open("a", |_| Ok::<_, std::io::Error>(1))?);
    /// assert_eq!(*readers.get("a").unwrap(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<Handle<K, R>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        match self.inner.look(self.hash(key), |other| key.equivalent(other), false) {
            Look::Open(handle) => Some(handle),
            Look::Opening(_) | Look::Absent => {
                Missed::new(&self.inner).count();
                None
            }
        }
    }

    /// Whether there is an open reader for the key. That is no use of it.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.inner.contains(self.hash(key), |other| key.equivalent(other))
    }

    /// A handle to the key's reader, which `open` opens if there is none.
    ///
    /// For each key, one caller at a time opens the reader, whichever method he came by; the
    /// others wait for it. What `open` returns, all of them get: the reader, or the error (if
    /// it is of the type that they expect; otherwise they try for themselves). Errors are not
    /// remembered.
    ///
    /// `open` runs outside of every lock, and may use the cache.
    ///
    /// If it costs something to make the key (a `PathBuf` of a `&Path`), [`get`](ReaderCache::get) it
    /// first; the statistics count one miss more then for each that is opened.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    ///
    /// # Panics
    ///
    /// If `open`, the weigher or the closure for `expire_after` panics. The key is free then,
    /// and those who waited try for themselves. (If the clock does, the reader may be there all the same.)
    ///
    /// # Examples
    ///
    /// See [there](ReaderCache#examples).
    #[inline]
    pub fn get_or_open<E>(
        &self,
        key: K,
        open: impl FnOnce(&K) -> Result<R, E>,
    ) -> Result<Handle<K, R>, OpenError<E>>
    where
        E: Any + Send + Sync,
    {
        self.inner.get_or_open(self.hash(&key), key, open)
    }

    /// Puts a reader into the cache that has been opened already. One that is there under the
    /// same key is taken out, and closed before the new one can be found, unless it is in use.
    ///
    /// If a reader is being opened for the key, those who wait for it get that one, detached. It
    /// is also a reader that is open: where the cache is full, this evicts another one, fails or
    /// *waits* for a place, as [`WhenFull`] says, and blocks the thread then.
    ///
    /// # Errors
    ///
    /// If the cache has been closed, or is full and [`WhenFull`] does not allow for another
    /// reader. The reader is in the error.
    ///
    /// # Panics
    ///
    /// If the [`weigher`](Builder::weigher), [`expire_after`](Builder::expire_after) or the
    /// [`clock`](Builder::clock) panics. Then the reader that was there is gone, and the new one may be
    /// closed already. If the key's `Hash` or `Eq` panics, the new reader is dropped, without
    /// [`on_close`](Builder::on_close), and nothing else has happened.
    ///
    /// # Examples
    ///
    /// ```
    /// # use binlock::ReaderCache;
    /// let readers = ReaderCache::builder().max_open(10).build()?;
    /// let held = readers.insert("a", 1).unwrap();
    /// drop(readers.insert("a", 2));
    /// // The first one is closed with its last handle.
    /// assert!(*held == 1 && held.is_detached());
    /// assert_eq!(*readers.get("a").unwrap(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn insert(&self, key: K, reader: R) -> Result<Handle<K, R>, InsertError<R>> {
        let permit = match self.inner.reserve_blocking() {
            Ok(permit) => permit,
            Err(failure) => {
                let is_closed = matches!(failure, Failure::Closed);
                return Err(InsertError { reader, is_closed });
            }
        };
        let hash = self.hash(&key);
        let inner = &self.inner;
        let (reference, mut opening) =
            Opening::begin(inner, hash, key, ThreadHolder::closure(), |_| {});
        let mut guard = epoch::pin();
        let before = inner.map.insert(hash, reference, (), &mut guard);
        // SAFETY: it was in the map, and the thread has been pinned since.
        let before = before.map(|node| unsafe { node.as_ref() }.key.pointer());
        // SAFETY: the same.
        let out = before.map(|before| unsafe { inner.take_out(before, CloseCause::Replaced) });
        drop(guard);
        if let (Some(before), Some(Out::Idle)) = (before, out) {
            // SAFETY: taken out just now, idle.
            unsafe { inner.close(before, CloseCause::Replaced, false) };
            // Before the weigher is asked, who may take his time.
            inner.grant();
        }
        let weight = opening.put(reader);
        let handle = opening.publish(weight, permit);
        inner.balance();
        inner.sweep_now_and_then();
        Ok(handle)
    }

    /// Takes the key's reader out of the cache: it is closed at once, or with its last handle.
    ///
    /// A reader that is being opened does not enter the cache any more: those who wait for it
    /// get it, detached.
    ///
    /// # Examples
    ///
    /// ```
    /// # use binlock::ReaderCache;
    /// let readers = ReaderCache::builder().max_open(10).build()?;
    /// let held = readers.get_or_open("a", |_| Ok::<_, std::io::Error>(1))?;
    /// assert_eq!(readers.remove("a").detached, 1);
    /// assert_eq!((readers.remove("a").count(), *held), (0, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove<Q>(&self, key: &Q) -> Removed
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let eq = |other: &K| key.equivalent(other);
        self.inner.remove(self.hash(key), eq, CloseCause::Removed)
    }
}

impl<K, R, S> ReaderCache<K, R, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    R: Send + Sync + 'static,
    S: BuildHasher,
{
    /// A handle to the key's reader, which `future` opens if there is none.
    ///
    /// As [`get_or_open`](ReaderCache::get_or_open), and with the same flight for all: threads
    /// and tasks may want the same key. The future belongs to all who wait for the reader: they
    /// all drive it, so one of them may be dropped, or never polled again, and the others get
    /// on. When all of them are gone, it is dropped, and the key is free. (A *thread* that
    /// waits does not drive it: it waits for the tasks to do so.)
    ///
    /// If there is a reader, the future is dropped without being polled.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    ///
    /// # Panics
    ///
    /// If the future does, in the task whose future it is (or, if that is gone, in the one that
    /// polled it); the others try for themselves.
    ///
    /// # Examples
    ///
    /// ```
    /// use binlock::ReaderCache;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let readers = ReaderCache::builder().max_open(10).build()?;
    /// let open = async { Ok::<_, std::io::Error>(String::from("contents")) };
    /// let reader = readers.get_or_open_async("object", open).await?;
    /// assert_eq!(*reader, "contents");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub async fn get_or_open_async<E>(
        &self,
        key: K,
        future: impl Future<Output = Result<R, E>> + Send + 'static,
    ) -> Result<Handle<K, R>, OpenError<E>>
    where
        E: Any + Send + Sync,
    {
        let hash = self.hash(&key);
        self.inner.get_or_open_async(hash, key, future).await
    }
}

/// # With a loader
impl<K, R, S> ReaderCache<K, R, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    R: Send + Sync + 'static,
    S: BuildHasher,
{
    /// A handle to the key's reader, which the [`loader`](Builder::loader) opens if there is
    /// none, as [`get_or_open`](ReaderCache::get_or_open) does, or opens anew if it is
    /// [old](Builder::refresh_after_write).
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    ///
    /// # Panics
    ///
    /// If there is no `loader`, or it panics.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{fs::File, path::PathBuf};
    ///
    /// use binlock::ReaderCache;
    ///
    /// let files = ReaderCache::builder().loader(|path: &PathBuf| File::open(path)).build()?;
    /// let file = files.get_or_load(&"Cargo.toml".into())?;
    /// assert!(file.metadata()?.is_file());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_load(&self, key: &K) -> Result<Handle<K, R>, OpenError<Loading>> {
        self.inner.get_or_load(self.hash(key), key)
    }

    /// The same with the [`async_loader`](Builder::async_loader).
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    ///
    /// # Panics
    ///
    /// If there is no `async_loader`, or its future panics.
    pub async fn get_or_load_async(&self, key: &K) -> Result<Handle<K, R>, OpenError<Loading>> {
        self.inner.get_or_load_async(self.hash(key), key).await
    }
}

impl<K, R, S> Clone for ReaderCache<K, R, S> {
    fn clone(&self) -> Self {
        ReaderCache { inner: Arc::clone(&self.inner), owner: Arc::clone(&self.owner) }
    }
}

// A panic in user code leaves a cache as it is documented there, so there is nothing broken to be seen
// after it is caught.
impl<K: RefUnwindSafe, R: RefUnwindSafe, S: RefUnwindSafe> UnwindSafe for ReaderCache<K, R, S> {}
impl<K: RefUnwindSafe, R: RefUnwindSafe, S: RefUnwindSafe> RefUnwindSafe for ReaderCache<K, R, S> {}

impl<K, R, S> fmt::Debug for ReaderCache<K, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderCache").field("len", &self.len()).finish_non_exhaustive()
    }
}
