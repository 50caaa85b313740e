//! An entry: a key, its reader, and what the cache knows about them.
//!
//! # Who keeps an entry in memory
//!
//! Two parties: the map, by way of an [`EntryRef`], until its epochs have passed; and the
//! reader, until it has been closed (or could not be opened) and nobody holds it. The one that
//! goes last frees the entry (`State::let_go`). So look-ups may read the key and the state of
//! what they find under a pin, and holders may read everything without one.

use std::{
    cell::UnsafeCell,
    mem::{ManuallyDrop, MaybeUninit},
    panic::{self, AssertUnwindSafe},
    ptr::NonNull,
    sync::Arc,
};

use super::{
    closing::CloseCause,
    extra::Extra,
    inner::Inner,
    policy::{Member, Seat},
    state::{GONE, State, UNMAPPED},
};
use crate::sync::{AtomicPtr, AtomicU64, Ordering};

/// What a hit touches comes first: it fits into a line, if the key and the reader are small.
#[repr(C)]
pub(super) struct Entry<K, R> {
    pub(super) state: State,
    hash: u64,
    pub(super) key: K,
    /// There while the state says neither `OPENING` nor `FAILED`, until whoever set `CLOSED`
    /// takes it.
    reader: UnsafeCell<MaybeUninit<R>>,
    /// In the cache: what the reader's weight is taken to be. Out of it: why, as a
    /// `CloseCause`. Written under the cache's lock.
    weight_or_cause: AtomicU64,
    /// The policy's, under the cache's lock.
    seat: Seat<Entry<K, R>>,
    /// Null, or a box that lives as long as the entry does.
    extra: AtomicPtr<Extra<K, R>>,
    /// There until whoever ends the reader's life takes it: the map refers to the entry, so
    /// this would be a cycle.
    inner: UnsafeCell<ManuallyDrop<Arc<Inner<K, R>>>>,
}

impl<K, R> Entry<K, R> {
    fn boxed(hash: u64, key: K, state: State, inner: Arc<Inner<K, R>>) -> Box<Self> {
        Box::new(Entry {
            state,
            hash,
            key,
            reader: UnsafeCell::new(MaybeUninit::uninit()),
            weight_or_cause: AtomicU64::new(0),
            seat: Seat::default(),
            extra: AtomicPtr::new(std::ptr::null_mut()),
            inner: UnsafeCell::new(ManuallyDrop::new(inner)),
        })
    }

    /// An entry whose reader is being opened, and is held by who opens it. Nobody else knows
    /// it yet.
    pub(super) fn opening(hash: u64, key: K, inner: Arc<Inner<K, R>>) -> Unshared<K, R> {
        Unshared(Some(Entry::boxed(hash, key, State::opening(), inner)))
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// The cache's inside.
    ///
    /// # Safety
    ///
    /// The caller is a holder, or has set `CLOSED` and not yet called `end`.
    pub(super) unsafe fn inner(&self) -> &Arc<Inner<K, R>> {
        // SAFETY: it is there until `end`; written nowhere else.
        unsafe { &*self.inner.get() }
    }

    /// The open reader.
    ///
    /// # Safety
    ///
    /// The caller is a holder and the reader is open, or he opens it and has written it.
    #[inline]
    pub(super) unsafe fn reader(&self) -> &R {
        // SAFETY: it has been written, and is not taken while it has holders.
        unsafe { (*self.reader.get()).assume_init_ref() }
    }

    /// Puts the reader in.
    ///
    /// # Safety
    ///
    /// The caller is the one who opens it, and does so once.
    pub(super) unsafe fn write_reader(&self, reader: R) {
        // SAFETY: nobody else looks before the state says that it is open.
        unsafe { (*self.reader.get()).write(reader) };
    }

    /// Takes the reader out.
    ///
    /// # Safety
    ///
    /// The caller has set `CLOSED` on an open reader, and does so once; or he opens it, has
    /// written it and not published.
    pub(super) unsafe fn take_reader(&self) -> R {
        // SAFETY: there are no holders (or none that know of it), and there will be none.
        unsafe { (*self.reader.get()).assume_init_read() }
    }

    /// The reader is no more, and has no holders: lets go of the entry, which is freed now or
    /// when the map lets go of it, too. The cache's inside is handed out, to be dropped where
    /// that does no harm.
    ///
    /// # Safety
    ///
    /// The caller has set `CLOSED`, has taken the reader if there was one, and does so once;
    /// nothing uses the entry any more but look-ups under a pin.
    pub(super) unsafe fn end(this: NonNull<Self>) -> Arc<Inner<K, R>> {
        // SAFETY: the entry is there, and the inside is, by the caller's promise.
        let (inner, is_last) = unsafe {
            let entry = this.as_ref();
            (ManuallyDrop::take(&mut *entry.inner.get()), entry.state.let_go(GONE))
        };
        if is_last {
            // SAFETY: both have let go of it.
            unsafe { Entry::free(this) };
        }
        inner
    }

    /// # Safety
    ///
    /// Both the map and the reader have let go.
    unsafe fn free(this: NonNull<Self>) {
        // SAFETY: made by `Unshared::share` from a box, and nobody refers to it.
        let entry = unsafe { Box::from_raw(this.as_ptr()) };
        let extra = entry.extra.load(Ordering::Acquire);
        // The map drops entries in the middle of operations of others, and a key that panics
        // when it is dropped is not their business.
        contained(move || {
            if !extra.is_null() {
                // SAFETY: made from a box by `extra_or_new`.
                drop(unsafe { Box::from_raw(extra) });
            }
        });
        contained(move || drop(entry));
    }

    /// What most entries have no need of, if there is any yet.
    #[inline]
    pub(super) fn extra(&self) -> Option<&Extra<K, R>> {
        // Acquire: with whoever made it.
        // SAFETY: null, or a box that lives as long as the entry.
        unsafe { self.extra.load(Ordering::Acquire).as_ref() }
    }

    pub(super) fn extra_or_new(&self) -> &Extra<K, R> {
        if let Some(extra) = self.extra() {
            return extra;
        }
        let new = Box::into_raw(Box::default());
        let null = std::ptr::null_mut();
        // AcqRel: publishes this one, or sees the other.
        match self.extra.compare_exchange(null, new, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: as above.
            Ok(_) => unsafe { &*new },
            Err(other) => {
                // SAFETY: made above, and not published; the other as above.
                unsafe {
                    drop(Box::from_raw(new));
                    &*other
                }
            }
        }
    }

    // Relaxed, all of these: written under the cache's lock, and read there, or after whoever
    // reads it had the lock.

    pub(super) fn set_weight(&self, weight: u64) {
        self.weight_or_cause.store(weight, Ordering::Relaxed);
    }

    pub(super) fn set_cause(&self, cause: CloseCause) {
        self.weight_or_cause.store(cause as u64, Ordering::Relaxed);
    }

    pub(super) fn cause(&self) -> CloseCause {
        let cause = self.weight_or_cause.load(Ordering::Relaxed);
        CloseCause::ALL[cause as usize]
    }
}

/// Runs code of the user's whose panic must not reach who happens to run it; whether there was
/// none. (The panic hook has reported it.)
pub(super) fn contained(f: impl FnOnce()) -> bool {
    match panic::catch_unwind(AssertUnwindSafe(f)) {
        Ok(()) => true,
        Err(payload) => {
            // Its drop may panic in turn.
            std::mem::forget(payload);
            false
        }
    }
}

/// An entry that nobody but its maker knows.
pub(super) struct Unshared<K, R>(Option<Box<Entry<K, R>>>);

impl<K, R> Unshared<K, R> {
    pub(super) fn entry(&self) -> &Entry<K, R> {
        self.0.as_ref().expect("it is taken out by value")
    }

    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self.entry()).addr()
    }

    /// An entry for the map and one for who made it, who holds it.
    pub(super) fn share(mut self) -> (EntryRef<K, R>, NonNull<Entry<K, R>>) {
        let entry = self.0.take().expect("it is taken out by value");
        let entry = NonNull::from(Box::leak(entry));
        (EntryRef(entry), entry)
    }

    /// The key, of an entry that is not needed.
    pub(super) fn into_key(mut self) -> K {
        let entry = self.0.take().expect("it is taken out by value");
        let Entry { key, inner, extra, .. } = *entry;
        drop(ManuallyDrop::into_inner(inner.into_inner()));
        // Relaxed: nobody else has known the entry.
        let extra = extra.load(Ordering::Relaxed);
        if !extra.is_null() {
            // SAFETY: made from a box by `extra_or_new`.
            drop(unsafe { Box::from_raw(extra) });
        }
        key
    }
}

impl<K, R> Drop for Unshared<K, R> {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            drop(Unshared(Some(entry)).into_key());
        }
    }
}

/// The map's reference to an entry.
pub(super) struct EntryRef<K, R>(NonNull<Entry<K, R>>);

// SAFETY: as a shared reference to an entry, and one of its two owners: what is in it may be
// dropped with it on any thread.
unsafe impl<K: Send + Sync, R: Send + Sync> Send for EntryRef<K, R> {}
// SAFETY: the same.
unsafe impl<K: Send + Sync, R: Send + Sync> Sync for EntryRef<K, R> {}

impl<K, R> EntryRef<K, R> {
    pub(super) fn entry(&self) -> &Entry<K, R> {
        // SAFETY: the map has not let go of it while this is there.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn pointer(&self) -> NonNull<Entry<K, R>> {
        self.0
    }

    pub(super) fn is(&self, entry: NonNull<Entry<K, R>>) -> bool {
        self.0 == entry
    }

    /// The entry of a reference that did not get into the map, whose maker wants it back.
    ///
    /// # Safety
    ///
    /// Nobody else knows the entry.
    pub(super) unsafe fn unshare(self) -> Unshared<K, R> {
        let entry = ManuallyDrop::new(self).0;
        // SAFETY: made by `share` from a box, and known to the caller alone.
        Unshared(Some(unsafe { Box::from_raw(entry.as_ptr()) }))
    }
}

impl<K: PartialEq, R> PartialEq for EntryRef<K, R> {
    fn eq(&self, other: &Self) -> bool {
        self.entry().key == other.entry().key
    }
}

impl<K: Eq, R> Eq for EntryRef<K, R> {}

impl<K, R> Drop for EntryRef<K, R> {
    fn drop(&mut self) {
        if self.entry().state.let_go(UNMAPPED) {
            // SAFETY: both have let go of it.
            unsafe { Entry::free(self.0) };
        }
    }
}

// SAFETY: the seat is the entry's own, and entries do not move.
unsafe impl<K, R> Member for Entry<K, R> {
    fn seat(&self) -> &Seat<Self> {
        &self.seat
    }

    fn hash(&self) -> u64 {
        self.hash
    }

    fn weight(&self) -> u64 {
        self.weight_or_cause.load(Ordering::Relaxed)
    }

    fn uses(&self) -> u32 {
        self.state.seen().uses()
    }

    fn try_claim(&self) -> bool {
        self.state.claim()
    }

    fn try_park(&self) -> bool {
        self.state.park()
    }
}
