//! What only some entries have a need of: times, and how an opening is shared.

use std::{
    any::Any,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{expiry::Times, flight::Flight};

/// See the module.
pub(super) struct Extra<K, R> {
    pub(super) times: Times,
    /// Why the reader could not be opened. Set before the state says so, and taken when nobody is left
    /// who waits: the entry may stay in the map's garbage for long.
    pub(super) failure: Mutex<Option<Failure>>,
    /// The future that opens the reader, if it is one, and as long as it does. Set before the
    /// entry is shared.
    pub(super) flight: Mutex<Option<Arc<Flight<K, R>>>>,
}

impl<K, R> Default for Extra<K, R> {
    fn default() -> Self {
        Extra { times: Times::default(), failure: Mutex::default(), flight: Mutex::default() }
    }
}

impl<K, R> Extra<K, R> {
    pub(super) fn flight(&self) -> MutexGuard<'_, Option<Arc<Flight<K, R>>>> {
        // Nothing panics under the lock.
        self.flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failure(&self) -> MutexGuard<'_, Option<Failure>> {
        // Nor under this.
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a reader could not be opened, as all are told who waited for it.
#[derive(Clone)]
pub(super) enum Failure {
    /// Opening it returned an error. Who expects another type of error tries for himself.
    Error(Arc<dyn Any + Send + Sync>),
    /// There was no place for one more.
    Full,
    /// The cache has been closed.
    Closed,
    /// Opening it panicked, or nobody wanted it any more: those who do try for themselves.
    GivenUp,
}
