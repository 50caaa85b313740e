//! What can go wrong, told so that it can be acted on.

use std::{error::Error, fmt};

use crate::raw::TableError;

/// The error of `try_insert`: the key is present.
pub struct OccupiedError<C, V> {
    /// The entry that is there: a [`Ref`](crate::Ref) or a plain `&V`.
    pub current: C,
    /// The value that was not inserted.
    pub value: V,
}

impl<C: fmt::Debug, V: fmt::Debug> fmt::Debug for OccupiedError<C, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OccupiedError")
            .field("current", &self.current)
            .field("value", &self.value)
            .finish()
    }
}

impl<C, V> fmt::Display for OccupiedError<C, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the key is present already: its value is in `current`, \
             the one that was not inserted in `value`",
        )
    }
}

impl<C: fmt::Debug, V: fmt::Debug> Error for OccupiedError<C, V> {}

/// The error of `try_reserve`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TryReserveError(TableError);

impl From<TableError> for TryReserveError {
    fn from(error: TableError) -> Self {
        TryReserveError(error)
    }
}

impl fmt::Display for TryReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            TableError::CapacityOverflow => {
                f.write_str("a table for so many entries cannot be addressed; reserve fewer")
            }
            TableError::OutOfMemory { layout } => write!(
                f,
                "the allocator has no {} bytes for a table; the map is as it was",
                layout.size()
            ),
        }
    }
}

impl Error for TryReserveError {}

/// The error of a computation that needs itself, so that it could only wait for ever.
///
/// Which of two things has happened, [`is_overtaken`](RecursiveUpdate::is_overtaken) says:
///
/// * A computation (`compute_if_absent`, `entry`, ...) *asked* for a key that it would have to
///   wait for in vain: it is being computed by the same thread or task further out, or by
///   others that wait, one for the next, until the last one waits for this one. Its closure has
///   not run, and nothing has changed.
/// * A computation was *overtaken*: while its closure ran, a plain write of its key (`insert`,
///   `remove`, ...) could not wait for it for the same reasons, and went ahead. That write
///   stands; what the closure returned has been dropped.
///
/// What to do: compute the inner value before the outer one, or under another key; let the
/// closure return its value instead of inserting it; and let computations that need each
/// other's keys ask for them in one order.
#[derive(Clone, PartialEq, Eq)]
pub struct RecursiveUpdate {
    /// How many waits the cycle has (or would have).
    length: usize,
    overtaken: bool,
}

impl RecursiveUpdate {
    pub(crate) fn asked(length: usize) -> RecursiveUpdate {
        RecursiveUpdate { length, overtaken: false }
    }

    pub(crate) fn overtaken(length: usize) -> RecursiveUpdate {
        RecursiveUpdate { length, overtaken: true }
    }

    /// Whether a thread or task met a key that it was computing itself.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::new();
    /// let mut inner = None;
    /// map.compute_if_absent(1, |_| {
    ///     inner = map.compute_if_absent(1, |_| 'b').err();
    ///     'a'
    /// })?;
    /// let error = inner.unwrap();
    /// assert!(error.is_own_key() && error.cycle_len().is_none() && !error.is_overtaken());
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    pub fn is_own_key(&self) -> bool {
        self.length == 1
    }

    /// How many threads or tasks waited in a cycle, one for the next, if it was not a key
    /// of the same thread or task.
    pub fn cycle_len(&self) -> Option<usize> {
        (self.length > 1).then_some(self.length)
    }

    /// Whether a plain write has gone ahead of the computation, so that its result was
    /// dropped.
    pub fn is_overtaken(&self) -> bool {
        self.overtaken
    }
}

impl fmt::Debug for RecursiveUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecursiveUpdate")
            .field("own_key", &self.is_own_key())
            .field("cycle_len", &self.cycle_len())
            .field("overtaken", &self.overtaken)
            .finish()
    }
}

impl fmt::Display for RecursiveUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("recursive update: ")?;
        match (self.overtaken, self.cycle_len()) {
            (false, None) => f.write_str(
                "a thread or task asked for a key that it is computing already, or whose entry it \
                 holds, and would have waited for itself. Nothing was run or changed. Use the \
                 value at hand, settle the entry first, or use another key",
            ),
            (false, Some(n)) => write!(
                f,
                "{n} computations were about to wait for each other in a cycle, each holding \
                 a key that the one before it needs. This one was refused, so that the others \
                 go on; nothing was run or changed. Try again when they are done, or have all \
                 ask for the keys in one order",
            ),
            (true, None) => f.write_str(
                "a key was written to (insert, remove, ...) by the thread or task that was \
                 computing it, or held its entry. That write stands, and the computed value was \
                 dropped. Return the value from the closure, or use the entry's own methods, \
                 instead of writing to the map",
            ),
            (true, Some(n)) => write!(
                f,
                "a plain write (insert, remove, ...) of a key that was being computed could \
                 not wait for the computation, because {n} were waiting for each other in a \
                 cycle. The write stands, and the computed value was dropped",
            ),
        }
    }
}

impl Error for RecursiveUpdate {}

/// The error of a fallible computation.
///
/// Its message contains that of the error within, and its `source` is that one's `source`, so that
/// a report of the whole chain tells each once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ComputeError<E> {
    /// It needs itself.
    Recursive(RecursiveUpdate),
    /// What the closure returned. The key is as it was.
    Closure(E),
}

impl<E> ComputeError<E> {
    /// The closure's error, if that is what it failed with.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::num::ParseIntError;
    ///
    /// let map = binlock::HashMap::<_, i32>::new();
    /// let error = map.try_compute_if_absent("x", |text| text.parse()).unwrap_err();
    /// let closure: Option<&ParseIntError> = error.closure();
    /// assert!(closure.is_some());
    /// ```
    pub fn closure(&self) -> Option<&E> {
        match self {
            ComputeError::Recursive(_) => None,
            ComputeError::Closure(error) => Some(error),
        }
    }

    /// The closure's error, or one of its type that is made of the recursion: for closures that
    /// fail with an `anyhow::Error` or a `Box<dyn Error>`, which are not themselves
    /// [`Error`]s, so that `?` cannot convert a `ComputeError` of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::error::Error;
    ///
    /// use binlock::{ComputeError, HashMap};
    ///
    /// fn port(map: &HashMap<String, u16>, name: &str) -> Result<u16, Box<dyn Error>> {
    ///     let port = map.try_compute_if_absent(name.to_string(), |name| match &**name {
    ///         "http" => Ok(80),
    ///         other => Err(Box::<dyn Error>::from(format!("no service {other}"))),
    ///     });
    ///     Ok(*port.map_err(ComputeError::flatten)?)
    /// }
    ///
    /// let map = HashMap::new();
    /// assert_eq!(port(&map, "http")?, 80);
    /// assert_eq!(port(&map, "httq").unwrap_err().to_string(), "no service httq");
    /// # Ok::<(), Box<dyn Error>>(())
    /// ```
    pub fn flatten(self) -> E
    where
        E: From<RecursiveUpdate>,
    {
        match self {
            ComputeError::Recursive(error) => error.into(),
            ComputeError::Closure(error) => error,
        }
    }
}

impl<E> From<RecursiveUpdate> for ComputeError<E> {
    fn from(error: RecursiveUpdate) -> Self {
        ComputeError::Recursive(error)
    }
}

/// For computations that are nested: whichever of them needed itself.
impl From<ComputeError<RecursiveUpdate>> for RecursiveUpdate {
    fn from(error: ComputeError<RecursiveUpdate>) -> Self {
        match error {
            ComputeError::Recursive(error) | ComputeError::Closure(error) => error,
        }
    }
}

impl<E: fmt::Display> fmt::Display for ComputeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ComputeError::Recursive(error) => error.fmt(f),
            ComputeError::Closure(error) => write!(f, "the value could not be computed: {error}"),
        }
    }
}

impl<E: Error + 'static> Error for ComputeError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // Nothing that is in the message as well.
            ComputeError::Recursive(error) => error.source(),
            ComputeError::Closure(error) => error.source(),
        }
    }
}
