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
    /// How many waits the circle has (or would have).
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

    /// How many threads or tasks waited in a circle, one for the next, if it was not a key
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
                "the computation of a key asked for the same key again, in the same thread or \
                 task, and would have waited for itself. The inner closure has not run. Let the \
                 outer one use what it has already, or another key",
            ),
            (false, Some(n)) => write!(
                f,
                "{n} computations were about to wait for each other in a circle, each holding \
                 a key that the one before it needs. This one was refused, so that the others \
                 go on; its closure has not run. Try again when they are done, or have all ask \
                 for the keys in one order",
            ),
            (true, None) => f.write_str(
                "the closure that computes a key wrote to the same key (insert, remove, ...). \
                 That write stands, and what the closure returned was dropped. Let the closure \
                 return the value instead of writing it",
            ),
            (true, Some(n)) => write!(
                f,
                "a plain write (insert, remove, ...) of a key that was being computed could \
                 not wait for the computation, because {n} were waiting for each other in a \
                 circle. The write stands, and what the closure returned was dropped",
            ),
        }
    }
}

impl Error for RecursiveUpdate {}

/// The error of a fallible computation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ComputeError<E> {
    /// It needs itself.
    Recursive(RecursiveUpdate),
    /// What the closure returned. The key is as it was.
    Closure(E),
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
            ComputeError::Recursive(error) => Some(error),
            ComputeError::Closure(error) => Some(error),
        }
    }
}
