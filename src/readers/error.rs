//! What can go wrong, told so that it can be acted on.

use std::{any::Any, error::Error, fmt, sync::Arc};

use super::extra::Failure;
use crate::RecursiveUpdate;

/// Why there is no reader.
///
/// Its message contains that of the error within, and its `source` is that one's `source`, so that
/// a report of the whole chain tells each once. It is an [`Error`] if `E` is one; what is not, as
/// `anyhow::Error`, can be wrapped in a [`Loading`].
#[non_exhaustive]
pub enum OpenError<E> {
    /// Opening it failed, with this error. All who waited for the reader get the same one; it
    /// is not remembered, so the next one to ask tries again.
    Failed(Arc<E>),
    /// The reader was asked for from within its own opening, or in a cycle of openings that
    /// wait for each other. It would never have been opened.
    Recursive(RecursiveUpdate),
    /// As many readers are open as may be, and all of them in use: see
    /// [`WhenFull`](super::WhenFull).
    Full,
    /// The cache has been closed.
    Closed,
}

impl<E> OpenError<E> {
    /// The error of the opening itself, if that is what failed.
    pub fn failed(&self) -> Option<&E> {
        match self {
            OpenError::Failed(error) => Some(error),
            _ => None,
        }
    }
}

impl<E: Any + Send + Sync> OpenError<E> {
    /// The error for somebody who waited, unless he is to try for himself.
    pub(super) fn shared(failure: &Failure) -> Option<Self> {
        match failure {
            Failure::Error(error) => Arc::downcast(Arc::clone(error)).ok().map(OpenError::Failed),
            Failure::Full => Some(OpenError::Full),
            Failure::Closed => Some(OpenError::Closed),
            Failure::GivenUp => None,
        }
    }
}

impl<E> Clone for OpenError<E> {
    fn clone(&self) -> Self {
        match self {
            OpenError::Failed(error) => OpenError::Failed(Arc::clone(error)),
            OpenError::Recursive(error) => OpenError::Recursive(error.clone()),
            OpenError::Full => OpenError::Full,
            OpenError::Closed => OpenError::Closed,
        }
    }
}

impl<E> From<RecursiveUpdate> for OpenError<E> {
    fn from(error: RecursiveUpdate) -> Self {
        OpenError::Recursive(error)
    }
}

impl<E: fmt::Debug> fmt::Debug for OpenError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
            OpenError::Recursive(error) => f.debug_tuple("Recursive").field(error).finish(),
            OpenError::Full => f.write_str("Full"),
            OpenError::Closed => f.write_str("Closed"),
        }
    }
}

impl<E: fmt::Display> fmt::Display for OpenError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Failed(error) => write!(f, "the reader could not be opened: {error}"),
            OpenError::Recursive(error) => {
                write!(f, "the reader was asked for while it was being opened: {error}")
            }
            OpenError::Full => f.write_str(
                "as many readers are open as the cache may have, and all of them are in use",
            ),
            OpenError::Closed => f.write_str("the reader cache has been closed"),
        }
    }
}

impl<E: Error + 'static> Error for OpenError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Nothing that is in the message as well.
            OpenError::Failed(error) => error.source(),
            OpenError::Recursive(error) => error.source(),
            _ => None,
        }
    }
}

/// Why a reader was not inserted. It is in here.
#[non_exhaustive]
pub struct InsertError<R> {
    /// The reader, as it was.
    pub reader: R,
    /// Whether the cache has been closed; otherwise there was no place for one more reader.
    pub is_closed: bool,
}

impl<R> fmt::Debug for InsertError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InsertError").field("is_closed", &self.is_closed).finish_non_exhaustive()
    }
}

impl<R> fmt::Display for InsertError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_closed {
            "the reader cache has been closed; the reader is in `reader`"
        } else {
            "as many readers are open as the cache may have, and all of them are in use; \
             the one that was not inserted is in `reader`"
        })
    }
}

impl<R> Error for InsertError<R> {}

/// Why a cache cannot be built.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The limit, named here, is zero: nothing could ever be kept.
    ZeroLimit(&'static str),
    /// The limit is beyond what can be counted.
    TooLarge(&'static str),
    /// The time, named here, is zero: it would be over as soon as it begins.
    ZeroTime(&'static str),
    /// There is a limit for the weight and nothing that weighs readers.
    NoWeigher,
    /// Readers are to be refreshed, and there is no loader to do so.
    NoLoader,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::ZeroLimit(name) => {
                write!(f, "`{name}` is zero: no reader could be kept open; leave it out for none")
            }
            ConfigError::TooLarge(name) => {
                write!(f, "`{name}` is too large to be counted; leave it out for no limit")
            }
            ConfigError::ZeroTime(name) => {
                write!(f, "the time of `{name}` is zero: it would be over as soon as it begins")
            }
            ConfigError::NoWeigher => {
                f.write_str("`max_weight` needs a `weigher`; to count readers there is `max_open`")
            }
            ConfigError::NoLoader => f.write_str(
                "`refresh_after_write` needs a `loader` or an `async_loader` to open readers anew",
            ),
        }
    }
}

impl Error for ConfigError {}

/// Any error of a loader.
pub type LoadError = Box<dyn Error + Send + Sync>;

/// The error of a loader as it is shared: boxed errors are no [`Error`]s themselves.
///
/// # Examples
///
/// ```
/// use std::error::Error;
///
/// use binlock::{Handle, ReaderCache, readers::Loading};
///
/// // Such as what fails with an `anyhow::Error`.
/// fn parse(text: &str) -> Result<i32, Box<dyn Error + Send + Sync>> {
///     Ok(text.parse()?)
/// }
///
/// type Numbers = ReaderCache<&'static str, i32>;
///
/// fn get(cache: &Numbers) -> Result<Handle<&'static str, i32>, Box<dyn Error>> {
///     Ok(cache.get_or_open("x", |text| parse(text).map_err(Loading::new))?)
/// }
///
/// let error = get(&Numbers::builder().build()?).unwrap_err();
/// assert!(error.to_string().contains("invalid digit"));
/// # Ok::<(), Box<dyn Error>>(())
/// ```
pub struct Loading(pub(super) LoadError);

impl Loading {
    /// Wraps an error, also one that is not an [`Error`] itself.
    pub fn new(error: impl Into<LoadError>) -> Loading {
        Loading(error.into())
    }

    /// The error as it was.
    pub fn into_inner(self) -> LoadError {
        self.0
    }
}

impl fmt::Debug for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Loading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Loading {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
