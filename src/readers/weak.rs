//! References to a cache that do not keep it.

use std::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::{Arc, Weak},
};

use ahash::RandomState;

use super::{Owner, ReaderCache};

/// A reference to a cache that does not keep it, for the closures that belong to the cache: those
/// that held a clone of it would keep it for ever. Made by
/// [`downgrade`](ReaderCache::downgrade); there is an example at [`Builder`](super::Builder).
pub struct WeakReaderCache<K, R, S = RandomState> {
    owner: Weak<Owner<K, R, S>>,
}

impl<K, R, S> WeakReaderCache<K, R, S> {
    pub(super) fn new(owner: &Arc<Owner<K, R, S>>) -> Self {
        WeakReaderCache { owner: Arc::downgrade(owner) }
    }

    /// The cache, unless the last clone of it has been dropped. (One that has been
    /// [closed](ReaderCache::close) is there, and opens nothing any more.)
    pub fn upgrade(&self) -> Option<ReaderCache<K, R, S>> {
        let owner = self.owner.upgrade()?;
        Some(ReaderCache { inner: Arc::clone(&owner.inner), owner })
    }
}

impl<K, R, S> Clone for WeakReaderCache<K, R, S> {
    fn clone(&self) -> Self {
        WeakReaderCache { owner: Weak::clone(&self.owner) }
    }
}

impl<K, R, S> fmt::Debug for WeakReaderCache<K, R, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(WeakReaderCache)")
    }
}

// As the cache itself, whose locks nothing panics under.
impl<K: RefUnwindSafe, R: RefUnwindSafe, S: RefUnwindSafe> UnwindSafe for WeakReaderCache<K, R, S> {}
impl<K: RefUnwindSafe, R: RefUnwindSafe, S: RefUnwindSafe> RefUnwindSafe
    for WeakReaderCache<K, R, S>
{
}
