//! Building a cache, with all that can be said about it.

use std::{fmt, future::Future, hash::BuildHasher, sync::Arc, time::Duration};

use ahash::RandomState;

use super::{
    ReaderCache,
    asynchronous::{BoxFuture, finished},
    closing::CloseCause,
    error::{ConfigError, LoadError},
    expiry::Expiry,
    inner::{Inner, Settings},
    limits::{Limits, WhenFull},
    loading::{Job, Loader, Runners},
};

/// Builds a [`ReaderCache`]. Made by [`ReaderCache::builder`].
///
/// Whatever is left out is not there: no limit, no expiry, no callback.
///
/// Closures may use the cache that they belong to, by a [`WeakReaderCache`] (with a clone of
/// it, it would never be dropped); no lock is held while they run.
///
/// # Examples
///
/// Files that are closed when fifty others are open, or when nobody has wanted them for a minute:
///
/// ```
/// use std::{fs::File, path::PathBuf, time::Duration};
///
/// use binlock::{ReaderCache, readers::CloseCause};
///
/// let files = ReaderCache::builder()
///     .max_open(50)
///     .time_to_idle(Duration::from_secs(60))
///     .on_close(|path: &PathBuf, file: File, cause: CloseCause| {
///         println!("{} is closed: {cause:?}", path.display());
///         drop(file);
///     })
///     .build()?;
/// let file = files.get_or_open("Cargo.toml".into(), |path| File::open(path))?;
/// assert!(file.metadata()?.is_file());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A loader that loads other readers:
///
/// ```
/// use std::sync::{Arc, OnceLock};
///
/// use binlock::{
///     ReaderCache,
///     readers::{LoadError, WeakReaderCache},
/// };
///
/// let known: Arc<OnceLock<WeakReaderCache<u32, String>>> = Arc::default();
/// let own = Arc::clone(&known);
/// let cache = ReaderCache::builder()
///     .loader(move |level: &u32| {
///         if *level == 0 {
///             return Ok(String::from("root"));
///         }
///         let cache = own.get().and_then(WeakReaderCache::upgrade).ok_or("it is gone")?;
///         let below = cache.get_or_load(&(level - 1))?;
///         Ok::<_, LoadError>(format!("{}/{level}", *below))
///     })
///     .build()?;
/// assert!(known.set(cache.downgrade()).is_ok());
/// assert_eq!(*cache.get_or_load(&2)?, "root/1/2");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// [`WeakReaderCache`]: super::WeakReaderCache
#[must_use]
pub struct Builder<K, R, S = RandomState> {
    settings: Settings<K, R>,
    hasher: S,
}

impl<K, R> Builder<K, R> {
    pub(super) fn new() -> Self {
        let settings = Settings {
            limits: Limits { max_open: None, max_weight: None, when_full: WhenFull::default() },
            weigher: None,
            on_close: None,
            expiry: Expiry::default(),
            loader: Loader::None,
            runners: Runners { run: None, spawn: None },
            sleep: None,
        };
        Builder { settings, hasher: RandomState::new() }
    }
}

impl<K, R, S> Builder<K, R, S> {
    /// The most readers that may be open at once: in the cache (in use or not), detached, and being
    /// opened. When that is reached, an idle reader is closed before another one is opened;
    /// [`when_full`](Builder::when_full) says what happens if there is none.
    pub fn max_open(mut self, readers: usize) -> Self {
        self.settings.limits.max_open = Some(readers);
        self
    }

    /// What happens when `max_open` is reached and all readers are in use.
    ///
    /// # Examples
    ///
    /// ```
    /// use binlock::{OpenError, ReaderCache, readers::WhenFull};
    ///
    /// let readers = ReaderCache::builder().max_open(1).when_full(WhenFull::Fail).build()?;
    /// let open = |key: &u32| Ok::<_, std::io::Error>(*key);
    /// let one = readers.get_or_open(1, open)?;
    /// assert!(matches!(readers.get_or_open(2, open), Err(OpenError::Full)));
    /// drop(one);
    /// assert_eq!(*readers.get_or_open(2, open)?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.settings.limits.when_full = when_full;
        self
    }

    /// The readers in the cache weigh so much at most, as the [`weigher`](Builder::weigher)
    /// says; more if they are all in use.
    ///
    /// A reader that is heavier alone is opened, handed out, and not kept. Needs a `weigher`, be it
    /// `|_, _| 1`, if weights are [set later](super::Handle::set_weight).
    pub fn max_weight(mut self, weight: u64) -> Self {
        self.settings.limits.max_weight = Some(weight);
        self
    }

    /// What a reader weighs when it has been opened: its bytes, say. See also
    /// [`Handle::set_weight`](super::Handle::set_weight). Without one, each weighs 1, and there can be
    /// no `max_weight`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use binlock::ReaderCache;
    /// let pages = ReaderCache::builder()
    ///     .max_weight(10)
    ///     .weigher(|_: &u32, page: &Vec<u8>| page.len() as u64)
    ///     .build()?;
    /// for page in 0..100 {
    ///     pages.get_or_open(page, |_| Ok::<_, std::io::Error>(vec![0; 4]))?;
    /// }
    /// assert_eq!((pages.len(), pages.weight()), (2, 8));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn weigher(mut self, weigh: impl Fn(&K, &R) -> u64 + Send + Sync + 'static) -> Self {
        self.settings.weigher = Some(Box::new(weigh));
        self
    }

    /// What is done with a reader that is closed; without this, it is dropped.
    ///
    /// Called exactly once for each reader that was opened or inserted (but for a panic of a key: see
    /// [`insert`](ReaderCache::insert)), after it has been taken out of the
    /// cache and its last handle has been dropped, at once, on the thread that did the one or
    /// the other. A panic in it is contained (and counted, see [`Stats`](super::Stats)).
    pub fn on_close(mut self, close: impl Fn(&K, R, CloseCause) + Send + Sync + 'static) -> Self {
        self.settings.on_close = Some(Box::new(close));
        self
    }

    /// A reader expires, so that it is not found any more, this long after it was opened. (Caffeine's
    /// `expireAfterWrite`.)
    ///
    /// Such a reader is closed when somebody wants it, when others are opened or inserted (within a
    /// quarter of the time or so), and by [`run_pending`](ReaderCache::run_pending).
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.settings.expiry.to_live = Some(time);
        self
    }

    /// A reader expires after this long without a use and without a handle. (Caffeine's
    /// `expireAfterAccess`.) Closed as with [`time_to_live`](Builder::time_to_live).
    pub fn time_to_idle(mut self, time: Duration) -> Self {
        self.settings.expiry.to_idle = Some(time);
        self
    }

    /// How long a reader lives, asked when it has been opened; `None` is for ever. The other
    /// times hold as well. Closed as with [`time_to_live`](Builder::time_to_live), but how often all
    /// readers are looked at depends on the other times, and is once a second if there are none.
    pub fn expire_after(
        mut self,
        life: impl Fn(&K, &R) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.settings.expiry.life_of = Some(Box::new(life));
        self
    }

    /// Where the time comes from: some time since a fixed moment. For tests; by default it is
    /// the system's monotonic clock. It is not asked unless readers can expire or be refreshed.
    pub fn clock(mut self, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.settings.expiry.clock = Box::new(clock);
        self
    }

    /// What opens readers for [`get_or_load`](ReaderCache::get_or_load). Takes the place of an
    /// [`async_loader`](Builder::async_loader).
    pub fn loader<E>(mut self, load: impl Fn(&K) -> Result<R, E> + Send + Sync + 'static) -> Self
    where
        E: Into<LoadError>,
    {
        self.settings.loader = Loader::Blocking(Box::new(move |key| load(key).map_err(E::into)));
        self
    }

    /// What opens readers for [`get_or_load_async`](ReaderCache::get_or_load_async). Takes the
    /// place of a [`loader`](Builder::loader).
    ///
    /// `load` is called by each who does not find the reader, and the future of the one who opens it
    /// is polled; others' futures are dropped. So it should do nothing before it is polled.
    ///
    /// # Examples
    ///
    /// Readers that are opened anew, in tasks of tokio's, a minute after they were opened:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use binlock::ReaderCache;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let objects = ReaderCache::builder()
    ///     .max_open(10)
    ///     .async_loader(|name: &String| {
    ///         let name = name.clone();
    ///         async move { Ok::<_, std::io::Error>(format!("contents of {name}")) }
    ///     })
    ///     .refresh_after_write(Duration::from_secs(60))
    ///     .spawn_with(|future| drop(tokio::spawn(future)))
    ///     .build()?;
    /// let object = objects.get_or_load_async(&"a".to_string()).await?;
    /// assert_eq!(*object, "contents of a");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn async_loader<E, F, Fut>(mut self, load: F) -> Self
    where
        F: Fn(&K) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        E: Into<LoadError>,
    {
        self.settings.loader = Loader::Async(Box::new(move |key| {
            let future = load(key);
            Box::pin(async move { finished(future).await.map_err(E::into) })
        }));
        self
    }

    /// A reader that was opened so long ago is opened anew by the loader when it is next
    /// loaded, while the old one serves; then they are swapped. One at a time does that for a
    /// reader. If it fails, the old reader stays, and the next attempt is made after the same
    /// time.
    ///
    /// It happens where [`refresh_on`](Builder::refresh_on) or
    /// [`spawn_with`](Builder::spawn_with) say, or else within the call that notices the age,
    /// which then returns the new reader.
    pub fn refresh_after_write(mut self, time: Duration) -> Self {
        self.settings.expiry.refresh_after = Some(time);
        self
    }

    /// Runs what opens a reader anew with a blocking loader: on a thread of a pool, say. (Means nothing
    /// for an asynchronous one.)
    pub fn refresh_on(mut self, run: impl Fn(Job) + Send + Sync + 'static) -> Self {
        self.settings.runners.run = Some(Box::new(run));
        self
    }

    /// Spawns what opens a reader anew with an asynchronous loader, as a task of a runtime:
    /// `|future| drop(tokio::spawn(future))`. (Means nothing for a blocking one.)
    pub fn spawn_with(mut self, spawn: impl Fn(BoxFuture<()>) + Send + Sync + 'static) -> Self {
        self.settings.runners.spawn = Some(Box::new(spawn));
        self
    }

    /// A timer, for tasks that wait for a place ([`WhenFull::Wait`]):
    /// `|time| Box::pin(tokio::time::sleep(time))`. Without one, each such task has a thread that
    /// sleeps for it.
    pub fn sleep_with(
        mut self,
        sleep: impl Fn(Duration) -> BoxFuture<()> + Send + Sync + 'static,
    ) -> Self {
        self.settings.sleep = Some(Box::new(sleep));
        self
    }

    /// Another hasher. The default is `ahash`, randomly seeded.
    pub fn hasher<T: BuildHasher>(self, hasher: T) -> Builder<K, R, T> {
        Builder { settings: self.settings, hasher }
    }

    /// The cache. It allocates nothing for readers before there are some.
    ///
    /// # Errors
    ///
    /// If limits or times are zero or cannot be counted, or something is missing that something
    /// else needs.
    ///
    /// # Examples
    ///
    /// ```
    /// use binlock::{ReaderCache, readers::ConfigError};
    ///
    /// let built = ReaderCache::<u32, u32>::builder().max_open(0).build();
    /// assert_eq!(built.err(), Some(ConfigError::ZeroLimit("max_open")));
    /// ```
    pub fn build(self) -> Result<ReaderCache<K, R, S>, ConfigError> {
        let Settings { limits, expiry, weigher, loader, .. } = &self.settings;
        match limits.max_open {
            Some(0) => return Err(ConfigError::ZeroLimit("max_open")),
            Some(readers) if readers > MOST => return Err(ConfigError::TooLarge("max_open")),
            _ => {}
        }
        match limits.max_weight {
            Some(0) => return Err(ConfigError::ZeroLimit("max_weight")),
            Some(_) if weigher.is_none() => return Err(ConfigError::NoWeigher),
            _ => {}
        }
        let waiting = match limits.when_full {
            WhenFull::Wait(time) => Some(time),
            _ => None,
        };
        let times = [
            ("time_to_live", expiry.to_live),
            ("time_to_idle", expiry.to_idle),
            ("refresh_after_write", expiry.refresh_after),
            ("when_full", waiting),
        ];
        for (name, time) in times {
            let Some(time) = time else { continue };
            if time.is_zero() {
                return Err(ConfigError::ZeroTime(name));
            }
            if u64::try_from(time.as_nanos()).is_err() {
                return Err(ConfigError::TooLarge(name));
            }
        }
        if expiry.refresh_after.is_some() && matches!(loader, Loader::None) {
            return Err(ConfigError::NoLoader);
        }
        Ok(ReaderCache::new(Arc::new(Inner::new(self.settings)), self.hasher))
    }
}

/// The most readers that can be a limit.
const MOST: usize = isize::MAX as usize / 256;

impl<K, R, S> fmt::Debug for Builder<K, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits { max_open, max_weight, when_full } = &self.settings.limits;
        f.debug_struct("Builder")
            .field("max_open", max_open)
            .field("max_weight", max_weight)
            .field("when_full", when_full)
            .finish_non_exhaustive()
    }
}
