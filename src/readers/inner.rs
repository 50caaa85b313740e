//! The cache's inside, which its handles keep alive: the map of entries, and the book.
//!
//! # One lock
//!
//! Look-ups take no lock. Whatever else there is to be known about the cache (which readers are
//! to be evicted in what order, how many there are, who waits for a place) is in one book under
//! one lock. It is held for some tens of instructions, and never while code of the user's
//! runs: neither his callbacks nor the drop of a key or a waker; nor while the map is written
//! to, because that may drop keys that were removed earlier.
//!
//! # Where an entry is
//!
//! | its life (see `state`) | in the map | in the policy's lists |
//! |---|---|---|
//! | being opened | yes | no |
//! | open | yes | yes: in a queue, or with the parked ones |
//! | detached: out of the cache, and in use | no | yes: with the detached ones |
//! | being closed | no | no |
//!
//! `OUT` is set under the lock (but for openings that fail, which no list knows of), together
//! with the change of lists. Who sets it owns the rest: to take the entry out of the map if it
//! is there still, and, if it was idle, to close it.

use std::{
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    asynchronous::BoxFuture,
    closing::CloseCause,
    entry::{Entry, EntryRef, contained},
    expiry::Expiry,
    extra::Extra,
    handle::Handle,
    limits::{Limits, Within},
    loading::{Loader, Runners},
    policy::{Member, Policy},
    state::{MANY_USES, OPENING, OUT, Released, TIMED},
    waiting::Waiting,
};
use crate::{
    epoch::{self, Guard},
    raw::RawMap,
    sync::{Condvar, Mutex, MutexGuard},
};

type OnClose<K, R> = Box<dyn Fn(&K, R, CloseCause) + Send + Sync>;
type Weigher<K, R> = Box<dyn Fn(&K, &R) -> u64 + Send + Sync>;

/// What the cache was built with.
pub(super) struct Settings<K, R> {
    pub(super) limits: Limits,
    pub(super) weigher: Option<Weigher<K, R>>,
    pub(super) on_close: Option<OnClose<K, R>>,
    pub(super) expiry: Expiry<K, R>,
    pub(super) loader: Loader<K, R>,
    pub(super) runners: Runners,
    /// A timer, for tasks that wait for a place.
    pub(super) sleep: Option<Box<dyn Fn(Duration) -> BoxFuture<()> + Send + Sync>>,
}

pub(super) struct Inner<K, R> {
    pub(super) map: RawMap<EntryRef<K, R>, ()>,
    pub(super) settings: Settings<K, R>,
    /// Whether readers can expire: what each look-up has to know.
    expires: bool,
    // Statistics, here and below: std's atomics, for there is nothing in them for loom to vary.
    /// Look-ups that did not find an open reader.
    pub(super) misses: AtomicU64,
    /// Those of them that waited for another one's opening.
    pub(super) joined: AtomicU64,
    /// Uses that have been taken out of the counts of readers in the cache.
    pub(super) hits_before: AtomicU64,
    /// The most hits that were ever reported: see `stats`.
    pub(super) hits_reported: AtomicU64,
    /// When all readers were last looked at for those that have expired, and whether somebody is just
    /// doing so.
    pub(super) swept: AtomicU64,
    pub(super) sweeping: AtomicBool,
    book: Mutex<Book<K, R>>,
    /// Something has been closed. For who shuts the cache down.
    pub(super) closed: Condvar,
}

// SAFETY: the map and the book own keys and readers, which may be used and dropped by any
// thread that uses the cache or a handle.
unsafe impl<K: Send + Sync, R: Send + Sync> Send for Inner<K, R> {}
// SAFETY: the same; the book is under a lock, and the callbacks are `Send` and `Sync`.
unsafe impl<K: Send + Sync, R: Send + Sync> Sync for Inner<K, R> {}

/// What is under the lock.
pub(super) struct Book<K, R> {
    pub(super) policy: Policy<Entry<K, R>>,
    /// Readers that are open: in the cache, detached, or being closed.
    pub(super) open: usize,
    /// Those of them that are being closed, whose places will be free then.
    pub(super) closing: usize,
    /// Those of them whose closing waits for a place itself: it makes none for anybody.
    pub(super) stalled: usize,
    /// Places for readers that are being opened.
    pub(super) opening: usize,
    /// Readers out of the cache that are still in use.
    pub(super) detached: usize,
    /// Of those in the cache.
    pub(super) weight: u128,
    /// Who waits for a place.
    pub(super) waiting: Waiting,
    /// The cache is shut down.
    pub(super) stopped: bool,
    /// How often all readers have been taken out, or begun to be.
    pub(super) clears: u64,
    /// Tasks that wait for the last reader to be closed.
    pub(super) shutters: Waiting,
    pub(super) opened: u64,
    pub(super) failed: u64,
    pub(super) closed: u64,
    /// Closings that panicked.
    pub(super) panics: u64,
    /// Hits on readers that are no longer in the cache.
    pub(super) hits: u64,
    /// Readers that left the cache, by cause.
    pub(super) left: [u64; CloseCause::COUNT],
}

/// What a look-up found.
pub(super) enum Look<K, R> {
    Open(Handle<K, R>),
    /// It is being opened, and the caller has joined those who wait for it: one holder more.
    Opening(NonNull<Entry<K, R>>),
    Absent,
}

impl<K, R> Inner<K, R> {
    pub(super) fn new(settings: Settings<K, R>) -> Inner<K, R> {
        let policy = Policy::new(settings.limits.for_policy());
        Inner {
            map: RawMap::new(),
            expires: settings.expiry.is_on(),
            settings,
            misses: AtomicU64::new(0),
            joined: AtomicU64::new(0),
            hits_before: AtomicU64::new(0),
            hits_reported: AtomicU64::new(0),
            swept: AtomicU64::new(0),
            sweeping: AtomicBool::new(false),
            book: Mutex::new(Book {
                policy,
                open: 0,
                closing: 0,
                stalled: 0,
                opening: 0,
                detached: 0,
                weight: 0,
                waiting: Waiting::default(),
                stopped: false,
                clears: 0,
                shutters: Waiting::default(),
                opened: 0,
                failed: 0,
                closed: 0,
                panics: 0,
                hits: 0,
                left: [0; CloseCause::COUNT],
            }),
            closed: Condvar::new(),
        }
    }

    /// The book. See the module for what must not be done meanwhile.
    pub(super) fn book(&self) -> MutexGuard<'_, Book<K, R>> {
        // Nothing panics under the lock (out of memory aborts), so it is not poisoned.
        self.book.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The entry in the map for which `eq` holds, whatever has become of its reader.
    fn find<'g>(
        &'g self,
        hash: u64,
        mut eq: impl FnMut(&K) -> bool,
        guard: &'g Guard,
    ) -> Option<NonNull<Entry<K, R>>> {
        let eq = |other: &EntryRef<K, R>| other.entry().hash() == hash && eq(&other.entry().key);
        Some(self.map.get(hash, eq, guard)?.key.pointer())
    }

    /// Looks a reader up and retains it.
    #[inline]
    pub(super) fn look(
        self: &Arc<Self>,
        hash: u64,
        mut eq: impl FnMut(&K) -> bool,
        join: bool,
    ) -> Look<K, R> {
        // What is most likely, and nothing else, so that it is small.
        if !self.expires {
            let guard = epoch::pin_to_read();
            let Some(entry) = self.find(hash, &mut eq, &guard) else { return Look::Absent };
            // SAFETY: found in the map by a pinned thread.
            if unsafe { entry.as_ref() }.state.acquire_now() {
                // SAFETY: one holder more, whom this stands for.
                return Look::Open(unsafe { Handle::new(entry) });
            }
        }
        self.look_again(hash, eq, join)
    }

    /// The same for all cases.
    #[inline(never)]
    fn look_again(
        self: &Arc<Self>,
        hash: u64,
        mut eq: impl FnMut(&K) -> bool,
        join: bool,
    ) -> Look<K, R> {
        loop {
            let guard = epoch::pin();
            let Some(entry) = self.find(hash, &mut eq, &guard) else { return Look::Absent };
            // SAFETY: found in the map by a pinned thread.
            let found = unsafe { entry.as_ref() };
            if self.expires && self.touch(found) {
                self.take_expired(hash, entry, guard);
                continue;
            }
            match found.state.acquire(true) {
                Ok(seen) => {
                    if seen.uses() >= MANY_USES {
                        self.hits_before.fetch_add(found.state.take_uses(), Ordering::Relaxed);
                    }
                    // SAFETY: one holder more, whom this stands for.
                    return Look::Open(unsafe { Handle::new(entry) });
                }
                Err(seen) if seen.has(OUT) => {
                    // Somebody is about to take it out of the map. The key is free if we do.
                    self.unmap(hash, entry, &guard);
                }
                Err(_) if !join => return Look::Absent,
                Err(_) => {
                    if found.state.join() {
                        return Look::Opening(entry);
                    }
                }
            }
        }
    }

    /// Whether there is a reader; that is no use of it.
    pub(super) fn contains(self: &Arc<Self>, hash: u64, eq: impl FnMut(&K) -> bool) -> bool {
        let guard = epoch::pin_to_read();
        // SAFETY: found in the map by a pinned thread.
        let entry = self.find(hash, eq, &guard).map(|entry| unsafe { &*entry.as_ptr() });
        entry.is_some_and(|entry| self.is_found(entry))
    }

    /// Whether look-ups find what is in the entry.
    pub(super) fn is_found(&self, entry: &Entry<K, R>) -> bool {
        entry.state.seen().is_found()
            && !(self.expires && self.is_over(entry, self.settings.expiry.now()))
    }

    /// Whether an open reader has expired.
    pub(super) fn is_over(&self, entry: &Entry<K, R>, now: u64) -> bool {
        let seen = entry.state.seen();
        let Some(extra) = entry.extra().filter(|_| seen.is_found()) else { return false };
        extra.times.is_over(&self.settings.expiry, now, seen.holders() > 0)
    }

    /// Notes the time of a use; or says that the reader has expired.
    #[inline(never)]
    fn touch(&self, entry: &Entry<K, R>) -> bool {
        let expiry = &self.settings.expiry;
        let now = expiry.now();
        if self.is_over(entry, now) {
            return true;
        }
        if expiry.to_idle.is_some() {
            if let Some(extra) = entry.extra() {
                extra.times.touch(now);
            }
        }
        false
    }

    /// Takes exactly this entry out of the map, if it is there still; whether it was. Nothing
    /// of the entry is looked at, but its key may be dropped, by way of the map. The pin is kept
    /// throughout, so that the address means this entry and no later one.
    pub(super) fn unmap(&self, hash: u64, entry: NonNull<Entry<K, R>>, mut guard: &Guard) -> bool {
        self.map.remove(hash, |other| other.is(entry), &mut guard).is_some()
    }

    /// Takes an expired reader out, which has been found under this guard.
    #[cold]
    fn take_expired(self: &Arc<Self>, hash: u64, entry: NonNull<Entry<K, R>>, guard: Guard) {
        // Who takes it out of the map takes it out of the cache.
        if self.unmap(hash, entry, &guard) {
            // SAFETY: it was in the map, and the thread has been pinned since.
            if unsafe { self.take_out(entry, CloseCause::Expired) } == Out::Idle {
                drop(guard);
                // SAFETY: taken out just now, idle.
                unsafe { self.close(entry, CloseCause::Expired, false) };
                self.balance();
            }
        }
    }

    /// Takes an entry out of the cache that is not in the map any more. If it was idle, it is
    /// the caller's to close, who then need not be pinned any more.
    ///
    /// # Safety
    ///
    /// The entry has been in the map since the thread was pinned, or the caller is a holder.
    pub(super) unsafe fn take_out(&self, entry: NonNull<Entry<K, R>>, cause: CloseCause) -> Out {
        // SAFETY: the caller's.
        unsafe { self.take_out_of(&mut self.book(), entry, cause) }
    }

    /// The same, under the lock.
    ///
    /// # Safety
    ///
    /// As there.
    pub(super) unsafe fn take_out_of(
        &self,
        book: &mut Book<K, R>,
        entry: NonNull<Entry<K, R>>,
        cause: CloseCause,
    ) -> Out {
        // SAFETY: the map's reference to it lives as long as the pin; or the caller's hold does.
        let taken = unsafe { entry.as_ref() };
        let Some(seen) = taken.state.take_out() else { return Out::ByOthers };
        if seen.has(OPENING) {
            // In no list, and no reader yet: whoever opens it finds it out.
            taken.set_cause(cause);
            return Out::InUse;
        }
        if seen.holders() > 0 {
            // SAFETY: it lives until its last holder takes it out of the lists.
            unsafe { book.policy.detach(entry) };
            book.detached += 1;
        } else {
            // SAFETY: it is in the lists, and alive.
            unsafe { book.policy.remove(entry) };
            book.closing += 1;
        }
        book.leave(taken, cause);
        if seen.holders() > 0 { Out::InUse } else { Out::Idle }
    }

    /// One holder less, if all that there is to do is to note the time; whether it was so.
    ///
    /// # Safety
    ///
    /// The caller is a holder, and is none from now on if it was so.
    pub(super) unsafe fn release_simply(entry: NonNull<Entry<K, R>>) -> bool {
        // SAFETY: a holder's.
        let held = unsafe { entry.as_ref() };
        if held.state.release(TIMED) {
            return true;
        }
        let seen = held.state.seen();
        if !seen.has(TIMED) {
            return false;
        }
        let is_end =
            |extra: &&Extra<K, R>| extra.times.is_end_of_use(seen.uses(), seen.holders() == 1);
        if let Some(extra) = held.extra().filter(is_end) {
            // SAFETY: the same.
            let expiry = unsafe { &held.inner().settings.expiry };
            // A clock that panics must not keep the reader from being released.
            contained(|| extra.times.touch(expiry.now()));
        }
        held.state.release(0)
    }

    /// One holder less of a reader with a flag; whether that has closed it.
    ///
    /// # Safety
    ///
    /// The caller is a holder, and is none from now on.
    #[cold]
    pub(super) unsafe fn release(entry: NonNull<Entry<K, R>>) -> bool {
        // SAFETY: passed on.
        if unsafe { Inner::release_simply(entry) } {
            return false;
        }
        // SAFETY: a holder's.
        let held = unsafe { entry.as_ref() };
        // SAFETY: the same. A clone, because the entry may be gone, and with it the cache, when
        // there is one holder less.
        let inner = Arc::clone(unsafe { held.inner() });
        let mut book = inner.book();
        let released = held.state.release_locked();
        match released {
            Released::Done => {}
            Released::Unparked => {
                // SAFETY: it was parked in the lists, and lives while the lock is held: it takes
                // that to evict it.
                unsafe { book.policy.unpark(entry) };
                drop(book);
                inner.balance();
            }
            Released::Close => {
                // SAFETY: the caller has to close it.
                unsafe { book.policy.remove(entry) };
                book.detached -= 1;
                book.closing += 1;
                drop(book);
                let cause = held.cause();
                // SAFETY: no holder is left, and it is out of the map and the lists.
                unsafe { inner.close(entry, cause, false) };
                inner.balance();
            }
            Released::PutAway => {
                drop(book);
                // An error of the user's, which may own what others wait for.
                let failure = held.extra().and_then(|extra| extra.failure().take());
                contained(|| drop(failure));
                // SAFETY: no holder is left, and there is no reader.
                drop(unsafe { Entry::end(entry) });
            }
        }
        released == Released::Close
    }

    /// Closes a reader that has been taken out idle. Its place is handed over to somebody who
    /// opens another one, or was counted as `closing`, and is free then.
    ///
    /// # Safety
    ///
    /// The caller has set `CLOSED`, and the entry is in none of the policy's lists.
    pub(super) unsafe fn close(
        &self,
        entry: NonNull<Entry<K, R>>,
        cause: CloseCause,
        hand_over: bool,
    ) {
        // SAFETY: the reader's share of the entry is let go of below.
        let closing = unsafe { entry.as_ref() };
        self.unmap(closing.hash(), entry, &epoch::pin());
        // SAFETY: the caller has set `CLOSED`.
        let reader = unsafe { closing.take_reader() };
        let fine = {
            let _noted = (!hand_over).then(|| Within::close(self, 1));
            self.call_on_close(&closing.key, reader, cause)
        };
        let mut book = self.book();
        book.open -= 1;
        book.closed += 1;
        if hand_over {
            book.opening += 1;
        } else {
            book.closing -= 1;
        }
        book.panics += u64::from(!fine);
        self.tell_shutters(book);
        // SAFETY: the reader has been taken. (The caller has the inside as well, so this is not
        // the last reference to it.)
        drop(unsafe { Entry::end(entry) });
    }
}

impl<K, R> Inner<K, R> {
    /// Gives a reader back to the user; whether he took it without a panic.
    pub(super) fn call_on_close(&self, key: &K, reader: R, cause: CloseCause) -> bool {
        contained(|| match &self.settings.on_close {
            Some(on_close) => on_close(key, reader, cause),
            None => drop(reader),
        })
    }
}

impl<K, R> Book<K, R> {
    /// A reader is out of the cache, and its uses are all that there will be.
    pub(super) fn leave(&mut self, entry: &Entry<K, R>, cause: CloseCause) {
        self.weight -= u128::from(entry.weight());
        self.hits += u64::from(entry.state.seen().uses());
        self.left[cause as usize] += 1;
        entry.set_cause(cause);
    }
}

/// What taking an entry out of the cache came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Out {
    /// It is the caller's to close.
    Idle,
    /// Its last holder closes it; or it is being opened, and will be closed then.
    InUse,
    /// Somebody else takes it out.
    ByOthers,
}
