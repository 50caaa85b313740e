//! Walking over the readers of a cache.

use std::{fmt, iter::FusedIterator, marker::PhantomData};

use super::{handle::Handle, inner::Inner};
use crate::{
    epoch::{self, Guard},
    raw::Cursor,
};

use super::entry::EntryRef;

/// An iterator over handles to the readers of a cache. Made by
/// [`ReaderCache::iter`](super::ReaderCache::iter).
pub struct Iter<'a, K, R> {
    inner: &'a Inner<K, R>,
    cursor: Cursor<EntryRef<K, R>, ()>,
    /// Keeps what the cursor sees.
    _guard: Guard,
    marker: PhantomData<&'a (K, R)>,
}

impl<'a, K, R> Iter<'a, K, R> {
    pub(super) fn new(inner: &'a Inner<K, R>) -> Self {
        let guard = epoch::pin_to_read();
        Iter { inner, cursor: inner.map.cursor(&guard), _guard: guard, marker: PhantomData }
    }
}

impl<K, R> Iterator for Iter<'_, K, R> {
    type Item = Handle<K, R>;

    fn next(&mut self) -> Option<Handle<K, R>> {
        loop {
            // SAFETY: the cursor was made under this guard, which is kept.
            let node = unsafe { self.cursor.next() }?;
            let entry = node.key.entry();
            if self.inner.is_found(entry) && entry.state.acquire(false).is_ok() {
                // SAFETY: one holder more.
                return Some(unsafe { Handle::new(node.key.pointer()) });
            }
        }
    }
}

impl<K, R> FusedIterator for Iter<'_, K, R> {}

impl<K, R> fmt::Debug for Iter<'_, K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
