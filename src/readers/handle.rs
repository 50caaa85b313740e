//! Handles: what keeps a reader open.

use std::{
    fmt,
    marker::PhantomData,
    mem,
    ops::Deref,
    panic::{RefUnwindSafe, UnwindSafe},
    ptr::NonNull,
};

use super::{entry::Entry, inner::Inner, state::TIMED};

/// An open reader, which is not closed while there is a handle to it.
///
/// Cloning and dropping a handle is one atomic instruction. It may be kept across an `.await`,
/// sent to other threads, and outlive the cache. If the reader has been taken out of the cache
/// meanwhile (it is *detached* then), the drop of the last handle closes it, there and then, on
/// that thread: this is when [`on_close`](super::Builder::on_close) is called.
///
/// A handle that is leaked ([`mem::forget`]) keeps its reader open for ever. One reader can have
/// some four million handles, those that wait for it included; with more, the process is aborted.
///
/// # Examples
///
/// ```
/// use binlock::ReaderCache;
///
/// let readers = ReaderCache::builder().max_open(10).build()?;
/// let reader = readers.get_or_open("a", |_| Ok::<_, std::io::Error>(String::from("text")))?;
/// readers.remove("a");
/// assert_eq!((*reader.key(), reader.len()), ("a", 4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Handle<K, R> {
    entry: NonNull<Entry<K, R>>,
    /// As an `Arc` of both.
    owns: PhantomData<(K, R)>,
}

// SAFETY: keys and readers can be used through handles on several threads, and are dropped by
// the last of them.
unsafe impl<K: Send + Sync, R: Send + Sync> Send for Handle<K, R> {}
// SAFETY: the same.
unsafe impl<K: Send + Sync, R: Send + Sync> Sync for Handle<K, R> {}

// A reference to both, as an `Arc` is: what is counted in the entry is never seen half-changed.
impl<K: RefUnwindSafe, R: RefUnwindSafe> UnwindSafe for Handle<K, R> {}
impl<K: RefUnwindSafe, R: RefUnwindSafe> RefUnwindSafe for Handle<K, R> {}

impl<K, R> Handle<K, R> {
    /// # Safety
    ///
    /// The reader is open, and the handle stands for one of its holders.
    #[inline]
    pub(super) unsafe fn new(entry: NonNull<Entry<K, R>>) -> Self {
        Handle { entry, owns: PhantomData }
    }

    #[inline]
    pub(super) fn entry(&self) -> &Entry<K, R> {
        // SAFETY: a holder's.
        unsafe { self.entry.as_ref() }
    }

    pub(super) fn pointer(&self) -> NonNull<Entry<K, R>> {
        self.entry
    }

    /// Drops the handle to a reader that is out of the cache; whether that has closed it.
    pub(super) fn release_taken(self) -> bool {
        let entry = self.entry;
        mem::forget(self);
        // SAFETY: a holder's, who ends here.
        unsafe { Inner::release(entry) }
    }

    /// Drops the handle, unless that would be for somebody to close a reader, or to look for one to evict.
    pub(super) fn release_simply(self) -> Result<(), Self> {
        // SAFETY: a holder's, who ends here if it is so.
        if unsafe { !Inner::release_simply(self.entry) } {
            return Err(self);
        }
        mem::forget(self);
        Ok(())
    }

    /// The reader's key.
    pub fn key(&self) -> &K {
        &self.entry().key
    }

    /// Sets the reader's weight, which is known only now: an index has been loaded, say.
    ///
    /// The cache's weight changes by the difference. If that makes it too heavy, other readers
    /// are evicted before this returns (where evictions of this cache are nested 64 deep, each in the
    /// `on_close` of the one before, the innermost of those does the rest); if this one alone is heavier than
    /// [`max_weight`](super::Builder::max_weight), it is taken out of the cache itself. Has no
    /// effect on a reader that is out of the cache.
    ///
    /// # Examples
    ///
    /// ```
    /// # use binlock::ReaderCache;
    /// let readers = ReaderCache::builder().max_weight(100).weigher(|_, _| 1).build()?;
    /// let reader = readers.get_or_open(1, |_| Ok::<_, std::io::Error>(()))?;
    /// reader.set_weight(60);
    /// assert_eq!(readers.weight(), 60);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_weight(&self, weight: u64) {
        // SAFETY: a holder's.
        unsafe { self.entry().inner() }.set_weight(self, weight);
    }

    /// Whether the reader has been taken out of the cache, so that look-ups do not find it.
    pub fn is_detached(&self) -> bool {
        !self.entry().state.seen().is_found()
    }
}

impl<K, R> Clone for Handle<K, R> {
    fn clone(&self) -> Self {
        self.entry().state.hold_again();
        // SAFETY: one holder more.
        unsafe { Handle::new(self.entry) }
    }
}

impl<K, R> Drop for Handle<K, R> {
    #[inline]
    fn drop(&mut self) {
        if !self.entry().state.release_now() {
            // SAFETY: a holder's, who ends here.
            unsafe { Inner::release(self.entry) };
        }
    }
}

impl<K, R> Deref for Handle<K, R> {
    type Target = R;

    #[inline]
    fn deref(&self) -> &R {
        // SAFETY: a handle's reader is open, and has a holder.
        unsafe { self.entry().reader() }
    }
}

impl<K, R> AsRef<R> for Handle<K, R> {
    fn as_ref(&self) -> &R {
        self
    }
}

impl<K: fmt::Debug, R: fmt::Debug> fmt::Debug for Handle<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("key", self.key()).field("reader", &**self).finish()
    }
}

/// Somebody who waits for a reader that is being opened, and holds it already: so it is not
/// evicted between being opened and being handed to him.
pub(super) struct Joined<K, R>(NonNull<Entry<K, R>>);

// SAFETY: as a handle's.
unsafe impl<K: Send + Sync, R: Send + Sync> Send for Joined<K, R> {}
// SAFETY: the same.
unsafe impl<K: Send + Sync, R: Send + Sync> Sync for Joined<K, R> {}

impl<K, R> Joined<K, R> {
    /// # Safety
    ///
    /// It stands for one of the entry's holders.
    pub(super) unsafe fn new(entry: NonNull<Entry<K, R>>) -> Self {
        Joined(entry)
    }

    pub(super) fn entry(&self) -> &Entry<K, R> {
        // SAFETY: a holder's.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn pointer(&self) -> NonNull<Entry<K, R>> {
        self.0
    }

    pub(super) fn address(&self) -> usize {
        self.0.addr().get()
    }

    /// The handle.
    ///
    /// # Safety
    ///
    /// The reader has been opened.
    pub(super) unsafe fn into_handle(self) -> Handle<K, R> {
        let entry = self.0;
        mem::forget(self);
        // SAFETY: the holder is the handle's now.
        unsafe { Handle::new(entry) }
    }
}

impl<K, R> Drop for Joined<K, R> {
    fn drop(&mut self) {
        if !self.entry().state.release(TIMED) {
            // SAFETY: a holder's, who ends here.
            unsafe { Inner::release(self.0) };
        }
    }
}
