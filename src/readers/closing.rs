//! Taking readers out of the cache, many at a time, and shutting it down.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    ptr::NonNull,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    entry::Entry,
    handle::Handle,
    inner::{Book, Inner, Out},
    limits::Within,
    policy::Member,
    waiting::{Answer, Place},
};
use crate::{epoch, sync::MutexGuard};

/// Why a reader was taken out of the cache.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum CloseCause {
    /// It was idle, and there had to be a place for another one.
    MaxOpen,
    /// It was idle, and the cache was too heavy.
    Weight,
    /// It alone was heavier than the cache may be.
    TooHeavy,
    /// Its time was over.
    Expired,
    /// It was removed, by `remove`, `retain` or `clear`.
    Removed,
    /// Another one was inserted under its key.
    Replaced,
    /// It was opened anew, because it was old.
    Refreshed,
    /// The cache was closed or dropped.
    Shutdown,
    /// It never came into the cache: the weigher panicked, or it was opened to replace one that
    /// was gone when it was there.
    Discarded,
}

impl CloseCause {
    pub(super) const ALL: [CloseCause; 9] = [
        CloseCause::MaxOpen,
        CloseCause::Weight,
        CloseCause::TooHeavy,
        CloseCause::Expired,
        CloseCause::Removed,
        CloseCause::Replaced,
        CloseCause::Refreshed,
        CloseCause::Shutdown,
        CloseCause::Discarded,
    ];
    pub(super) const COUNT: usize = CloseCause::ALL.len();
}

impl fmt::Display for CloseCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseCause::MaxOpen => "evicted to open another one",
            CloseCause::Weight => "evicted to make the cache lighter",
            CloseCause::TooHeavy => "heavier than the whole cache may be",
            CloseCause::Expired => "expired",
            CloseCause::Removed => "removed",
            CloseCause::Replaced => "replaced",
            CloseCause::Refreshed => "opened anew",
            CloseCause::Shutdown => "the cache was shut down",
            CloseCause::Discarded => "not wanted any more when it was open",
        })
    }
}

/// What became of the readers that were taken out of the cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Removed {
    /// They were idle, and have been closed.
    pub closed: usize,
    /// They are in use, or being opened, and will be closed by the drop of their last handles.
    pub detached: usize,
}

impl Removed {
    /// How many there were.
    pub fn count(&self) -> usize {
        self.closed + self.detached
    }

    fn add(&mut self, out: Out) {
        match out {
            Out::Idle => self.closed += 1,
            Out::InUse => self.detached += 1,
            Out::ByOthers => {}
        }
    }
}

/// What came of shutting a cache down.
#[non_exhaustive]
pub struct Closed<K, R> {
    /// The readers that were idle, and have been closed.
    pub closed: usize,
    /// The readers that are still in use after the deadline, with one more handle to each: they will be
    /// closed by the drop of their last handles, these included.
    pub held: Vec<Handle<K, R>>,
    /// How many readers are open: those, and what others are closing just now.
    pub open: usize,
    /// How many readers are still being opened; they are handed out when they are open, and are
    /// detached then.
    pub opening: usize,
}

impl<K, R> Closed<K, R> {
    /// Whether nothing is open any more.
    pub fn is_complete(&self) -> bool {
        self.open == 0 && self.opening == 0
    }
}

impl<K: fmt::Debug, R> fmt::Debug for Closed<K, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held: Vec<_> = self.held.iter().map(Handle::key).collect();
        f.debug_struct("Closed")
            .field("closed", &self.closed)
            .field("held", &held)
            .field("open", &self.open)
            .field("opening", &self.opening)
            .finish()
    }
}

/// A reader that has been taken out idle, and has to be closed.
struct Idle<K, R>(NonNull<Entry<K, R>>);

impl<K, R> Inner<K, R> {
    /// Takes the reader of a key out of the cache.
    pub(super) fn remove(
        self: &Arc<Self>,
        hash: u64,
        mut eq: impl FnMut(&K) -> bool,
        cause: CloseCause,
    ) -> Removed {
        let mut removed = Removed::default();
        let mut guard = epoch::pin();
        let node = self.map.remove(
            hash,
            |other| other.entry().hash() == hash && eq(&other.entry().key),
            &mut guard,
        );
        let Some(node) = node else { return removed };
        // SAFETY: it was in the map, and the thread has been pinned since.
        let entry = unsafe { node.as_ref() }.key.pointer();
        // SAFETY: the same.
        let out = unsafe { self.take_out(entry, cause) };
        drop(guard);
        removed.add(out);
        if out == Out::Idle {
            // SAFETY: taken out just now, idle.
            unsafe { self.close(entry, cause, false) };
        }
        self.balance();
        removed
    }

    /// Takes out all readers that are not wanted any more. Those that come meanwhile may be
    /// missed.
    pub(super) fn sweep(
        self: &Arc<Self>,
        cause: CloseCause,
        is_unwanted: impl FnMut(&Entry<K, R>) -> bool,
    ) -> Removed {
        let (removed, idle) = self.take_out_all(cause, is_unwanted);
        self.close_all(idle, cause);
        removed
    }

    /// The same, but for those that were idle: they are the caller's to close.
    fn take_out_all(
        self: &Arc<Self>,
        cause: CloseCause,
        mut is_unwanted: impl FnMut(&Entry<K, R>) -> bool,
    ) -> (Removed, Vec<Idle<K, R>>) {
        let mut removed = Removed::default();
        let mut idle = Vec::new();
        let guard = epoch::pin();
        let mut cursor = self.map.cursor(&guard);
        // SAFETY: the cursor was made under this guard, which is never given up.
        while let Some(node) = unsafe { cursor.next() } {
            let entry = node.key.pointer();
            // SAFETY: found under the guard.
            let found = unsafe { entry.as_ref() };
            if !is_unwanted(found) {
                continue;
            }
            let taken = self.map.remove(found.hash(), |other| other.is(entry), &mut &guard);
            if taken.is_some() {
                // SAFETY: it was in the map, and the thread has been pinned since.
                let out = unsafe { self.take_out(entry, cause) };
                removed.add(out);
                if out == Out::Idle {
                    idle.push(Idle(entry));
                }
            }
        }
        (removed, idle)
    }

    /// Closes readers that have been taken out. (Not while it is pinned: closing is the user's code, and
    /// may take its time.)
    fn close_all(self: &Arc<Self>, idle: Vec<Idle<K, R>>, cause: CloseCause) {
        // None of them goes on while this thread waits within the closing of one.
        let mut within = Within::close(self, idle.len());
        for Idle(entry) in idle {
            within.one_less();
            // SAFETY: taken out by the caller, idle; its reader keeps the entry.
            unsafe { self.close(entry, cause, false) };
            // The next one may take long to close, and some wait for a time only.
            self.grant();
        }
        self.balance();
    }

    /// Takes out all readers, also those that are being opened, or opened anew.
    pub(super) fn clear(self: &Arc<Self>) -> Removed {
        self.book().clears += 1;
        self.sweep(CloseCause::Removed, |_| true)
    }

    /// Takes out what the user does not want to keep. He is asked about readers that are held,
    /// so that they are not closed meanwhile.
    pub(super) fn retain(self: &Arc<Self>, mut keep: impl FnMut(&K, &R) -> bool) -> Removed {
        let mut removed = Removed::default();
        let (mut taken, mut kept) = (Vec::new(), Vec::new());
        let guard = epoch::pin();
        let mut cursor = self.map.cursor(&guard);
        // SAFETY: the cursor was made under this guard, which is never given up.
        while let Some(node) = unsafe { cursor.next() } {
            let entry = node.key.pointer();
            if !self.is_found(node.key.entry()) || node.key.entry().state.acquire(false).is_err() {
                continue;
            }
            // SAFETY: one holder more.
            let handle = unsafe { Handle::new(entry) };
            if !keep(handle.key(), &handle) && self.take_out_held(&handle, CloseCause::Removed) {
                taken.push(handle);
            } else if let Err(handle) = handle.release_simply() {
                kept.push(handle);
            }
        }
        // Closing is the user's code, and may take its time.
        drop(guard);
        drop(kept);
        for handle in taken {
            if handle.release_taken() {
                removed.closed += 1;
            } else {
                removed.detached += 1;
            }
        }
        self.balance();
        removed
    }

    /// Closes what has expired.
    pub(super) fn sweep_expired(self: &Arc<Self>) -> Removed {
        let expiry = &self.settings.expiry;
        if !expiry.is_on() {
            return Removed::default();
        }
        let (removed, idle) = self.take_out_expired();
        self.close_all(idle, CloseCause::Expired);
        removed
    }

    fn take_out_expired(self: &Arc<Self>) -> (Removed, Vec<Idle<K, R>>) {
        let now = self.settings.expiry.now();
        let taken = self.take_out_all(CloseCause::Expired, |entry| self.is_over(entry, now));
        self.swept.fetch_max(now, Relaxed);
        taken
    }

    /// Sees to it that what has expired is closed in a while also if nobody asks for it.
    pub(super) fn sweep_now_and_then(self: &Arc<Self>) {
        struct Sweeping<'a>(&'a AtomicBool);
        impl Drop for Sweeping<'_> {
            fn drop(&mut self) {
                self.0.store(false, Relaxed);
            }
        }
        let expiry = &self.settings.expiry;
        let Some(every) = expiry.sweep_every() else { return };
        // What is closed there may open others, and so on.
        if Within::is_closing(self) {
            return;
        }
        // Relaxed: it does not matter who does so, as long as it is about once.
        if expiry.now().saturating_sub(self.swept.load(Relaxed)) >= every
            && !self.sweeping.swap(true, Relaxed)
        {
            let sweeping = Sweeping(&self.sweeping);
            let (_, idle) = self.take_out_expired();
            drop(sweeping);
            self.close_all(idle, CloseCause::Expired);
        }
    }

    /// Refuses to open readers from now on, tells those who wait for a place, and takes all
    /// readers out.
    pub(super) fn stop(self: &Arc<Self>) -> Removed {
        let mut book = self.book();
        book.stopped = true;
        while let Some(place) = book.waiting.answer(Answer::Closed) {
            drop(book);
            place.wake();
            book = self.book();
        }
        drop(book);
        // What is published after this finds the cache stopped, and does not enter it.
        self.sweep(CloseCause::Shutdown, |_| true)
    }

    /// Shuts the cache down, and waits until nothing is open any more, but not for ever.
    pub(super) fn shut_down(self: &Arc<Self>, time: Duration) -> Closed<K, R> {
        let closed = self.stop().closed;
        let deadline = Instant::now().checked_add(time);
        let mut book = self.book();
        while !book.is_quiet() {
            let left = match deadline {
                Some(deadline) => deadline.saturating_duration_since(Instant::now()),
                None => Duration::from_secs(1 << 20),
            };
            if left.is_zero() {
                break;
            }
            let waited = self.closed.wait_timeout(book, left);
            book = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
        book.report(closed)
    }

    pub(super) fn report(&self, closed: usize) -> Closed<K, R> {
        self.book().report(closed)
    }

    /// Waits in a task until nothing is open any more.
    pub(super) fn quiet(&self) -> Quiet<'_, K, R> {
        let mut book = self.book();
        let turn = book.shutters.turn();
        let place = (!book.is_quiet()).then(|| book.shutters.enter(turn));
        Quiet { inner: self, place }
    }

    /// Wakes those who wait for the last reader to be closed, if that has happened.
    pub(super) fn tell_shutters(&self, mut book: MutexGuard<'_, Book<K, R>>) {
        if !book.stopped || !book.is_quiet() {
            return;
        }
        let mut shutters = Vec::new();
        while let Some(place) = book.shutters.answer(Answer::Granted) {
            shutters.push(place);
        }
        drop(book);
        self.closed.notify_all();
        shutters.iter().for_each(Place::wake);
    }

    /// See `Handle::set_weight`.
    pub(super) fn set_weight(self: &Arc<Self>, handle: &Handle<K, R>, weight: u64) {
        let entry = handle.entry();
        let max = self.settings.limits.max_weight;
        let mut book = self.book();
        // Taking out is done under the lock, so this holds until it is released.
        if !entry.state.seen().is_found() {
            return;
        }
        if max.is_some_and(|max| weight > max) {
            drop(book);
            self.take_out_held(handle, CloseCause::TooHeavy);
            return;
        }
        book.weight = book.weight - u128::from(entry.weight()) + u128::from(weight);
        entry.set_weight(weight);
        // SAFETY: it has not been taken out, so it is in the lists.
        unsafe { book.policy.reweigh(handle.pointer()) };
        drop(book);
        self.balance();
    }

    /// Takes a reader out that the caller holds; `false` if somebody else has done so.
    pub(super) fn take_out_held(
        self: &Arc<Self>,
        handle: &Handle<K, R>,
        cause: CloseCause,
    ) -> bool {
        self.unmap(handle.entry().hash(), handle.pointer(), &epoch::pin())
            // SAFETY: a holder's.
            && unsafe { self.take_out(handle.pointer(), cause) } == Out::InUse
    }
}

impl<K, R> Book<K, R> {
    /// Whether nothing is open, and nothing will be.
    fn is_quiet(&self) -> bool {
        self.open == 0 && self.opening == 0
    }

    fn report(&self, closed: usize) -> Closed<K, R> {
        Closed { closed, held: self.held(), open: self.open, opening: self.opening }
    }

    /// Handles to the readers that are in use, although they are out of the cache.
    fn held(&self) -> Vec<Handle<K, R>> {
        let detached = self.policy.detached();
        let held = detached.filter(|entry| {
            // SAFETY: in the lists, under the lock, it is alive.
            unsafe { entry.as_ref() }.state.hold_if_held()
        });
        // SAFETY: each has one holder more.
        held.map(|entry| unsafe { Handle::new(entry) }).collect()
    }
}

/// See [`Inner::quiet`].
pub(super) struct Quiet<'a, K, R> {
    inner: &'a Inner<K, R>,
    /// Where this waits, if it has to.
    place: Option<Place>,
}

impl<K, R> Future for Quiet<'_, K, R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &self.place {
            Some(place) if !place.is_answered(context.waker()) => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

impl<K, R> Drop for Quiet<'_, K, R> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.inner.book().shutters.leave(&place);
            // With its waker, which is somebody else's, and so not under the lock.
            drop(place);
        }
    }
}
