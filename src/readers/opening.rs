//! Opening a reader: one at a time for each key, for all who want it.
//!
//! Who opens a reader puts an entry for it into the map, if there is none: that is the whole
//! election. Then he opens it, in no lock, and publishes the reader, or fails. The rest is what
//! claims on keys of a map are: who holds which one is written down in the book of `claims`
//! (by the entry's address), and others sleep in its queue, which knows cycles when it sees
//! them.
//!
//! The claim is on the entry, and not on the key's slot in the map (as that of
//! `compute_if_absent` is), because an opening is not over when its key is removed: those who
//! wait get the reader all the same, and others may open another one meanwhile.

use std::{
    any::Any,
    ptr::NonNull,
    sync::{Arc, atomic::Ordering},
};

use super::{
    closing::CloseCause,
    entry::{Entry, EntryRef},
    error::OpenError,
    extra::Failure,
    handle::{Handle, Joined},
    inner::{Book, Inner, Look, Settings},
    limits::Permit,
    policy::Member,
    state::{FAILED, Flags, OPENING, OUT, Seen, TIMED, WAITED},
};
use crate::{
    RecursiveUpdate,
    claims::{self, Holder, ThreadHolder, Verdict},
    epoch,
};

/// A reader that the caller is to open: he publishes it, or fails.
pub(super) struct Opening<K, R, H: Holder> {
    inner: Arc<Inner<K, R>>,
    holder: H,
    /// He holds the entry. `None` when this is over.
    entry: Option<Joined<K, R>>,
}

impl<K, R, H: Holder> Opening<K, R, H> {
    /// Puts an entry for the key into the map, unless there is one; then the key is returned.
    pub(super) fn elect(
        inner: &Arc<Inner<K, R>>,
        hash: u64,
        key: K,
        holder: H,
        prepare: impl FnOnce(&Entry<K, R>),
    ) -> Result<Self, K>
    where
        K: Eq,
    {
        let (reference, mut opening) = Opening::begin(inner, hash, key, holder, prepare);
        match inner.map.try_insert(hash, reference, (), &mut epoch::pin()) {
            Ok(_) => Ok(opening),
            Err(occupied) => {
                opening.holder.release(opening.joined().address());
                std::mem::forget(opening.entry.take());
                // SAFETY: it has not come into the map, and the holder that is forgotten was
                // the only one.
                Err(unsafe { occupied.key.unshare() }.into_key())
            }
        }
    }

    /// An entry for the map, which the caller has to put there.
    pub(super) fn begin(
        inner: &Arc<Inner<K, R>>,
        hash: u64,
        key: K,
        mut holder: H,
        prepare: impl FnOnce(&Entry<K, R>),
    ) -> (EntryRef<K, R>, Self) {
        let new = Entry::opening(hash, key, Arc::clone(inner));
        prepare(new.entry());
        // Written down before anybody can see the entry, and be about to wait for it.
        holder.prepare(new.address());
        holder.hold(new.address());
        let (reference, entry) = new.share();
        // SAFETY: its one holder is this one.
        let entry = Some(unsafe { Joined::new(entry) });
        (reference, Opening { inner: Arc::clone(inner), holder, entry })
    }

    fn joined(&self) -> &Joined<K, R> {
        self.entry.as_ref().expect("an opening is ended by value")
    }

    pub(super) fn entry(&self) -> &Entry<K, R> {
        self.joined().entry()
    }

    pub(super) fn pointer(&self) -> NonNull<Entry<K, R>> {
        self.joined().pointer()
    }

    pub(super) fn holder(&self) -> &H {
        &self.holder
    }

    /// Puts the reader in, which nobody else knows yet, and asks the user about it; its weight.
    ///
    /// # Panics
    ///
    /// If the weigher does, or what else the user has to say about a reader. That is closed
    /// then, and there is none.
    pub(super) fn put(&mut self, reader: R) -> u64 {
        let entry = self.joined().entry();
        // SAFETY: the caller opens it, and does so once, or once more after a panic.
        unsafe { entry.write_reader(reader) };
        self.inner.assess(entry)
    }

    /// The reader, which has been put in, is open: from now on, look-ups find it, and those who
    /// wait have it.
    pub(super) fn publish(mut self, weight: u64, permit: Permit<K, R>) -> Handle<K, R> {
        self.holder.release(self.joined().address());
        let inner = Arc::clone(&self.inner);
        let mut book = inner.book();
        let _inner = permit.fill(&mut book);
        let entry = self.joined().entry();
        let pointer = self.joined().pointer();
        let was_out = entry.state.seen().has(OUT);
        // SAFETY: held by this opening.
        let is_out = !unsafe { inner.enter(&mut book, pointer, weight) };
        let before = entry.state.publish(inner.flags());
        let is_too_much = inner.settings.limits.are_exceeded(&book, 0).is_some();
        drop(book);

        if is_out && !was_out {
            inner.unmap(entry.hash(), pointer, &epoch::pin());
        }
        let handle = self.hand_out(before);
        if is_too_much {
            inner.balance();
        }
        handle
    }

    /// The same for a reader that has not been put into the map yet, nor is in any list: `enter`
    /// does that. `None` if the cache has been closed meanwhile, and the reader is detached.
    pub(super) fn publish_apart(mut self, permit: Permit<K, R>) -> Option<Handle<K, R>> {
        self.holder.release(self.joined().address());
        let inner = Arc::clone(&self.inner);
        let mut book = inner.book();
        let _inner = permit.fill(&mut book);
        let stopped = book.stopped;
        if stopped {
            // SAFETY: held by this opening.
            unsafe { inner.enter(&mut book, self.joined().pointer(), 0) };
        }
        let before = self.joined().entry().state.publish(inner.flags());
        drop(book);
        let handle = self.hand_out(before);
        (!stopped).then_some(handle)
    }

    /// Those who wait have the reader, and so has the caller.
    fn hand_out(&mut self, before: Seen) -> Handle<K, R> {
        let joined = self.entry.take().expect("an opening is ended by value");
        if before.has(WAITED) {
            claims::wake(joined.address());
        }
        end_flight(joined.entry());
        // SAFETY: it has been opened.
        unsafe { joined.into_handle() }
    }

    /// Takes the entry out of the map, so that the key is free, although the opening is not over.
    pub(super) fn free_key(&self) {
        self.inner.unmap(self.entry().hash(), self.pointer(), &epoch::pin());
    }

    /// The reader could not be opened, and all who wait are told so. The key is free by then. (So
    /// should be the place.)
    pub(super) fn fail(mut self, failure: Failure) {
        self.end(failure);
    }

    fn end(&mut self, failure: Failure) {
        let Some(joined) = self.entry.take() else { return };
        let entry = joined.entry();
        self.inner.unmap(entry.hash(), joined.pointer(), &epoch::pin());
        // It is set once, here.
        *entry.extra_or_new().failure() = Some(failure);
        self.holder.release(joined.address());
        self.inner.book().failed += 1;
        if entry.state.fail().has(WAITED) {
            claims::wake(joined.address());
        }
        end_flight(entry);
    }
}

/// The entry has no need of the future any more that opened its reader. (Those who wait for it
/// have it, too, until they notice.)
fn end_flight<K, R>(entry: &Entry<K, R>) {
    let Some(extra) = entry.extra() else { return };
    let flight = extra.flight().take();
    // Not under its lock.
    drop(flight);
}

/// Whoever was to open the reader panicked, or was dropped.
impl<K, R, H: Holder> Drop for Opening<K, R, H> {
    fn drop(&mut self) {
        self.end(Failure::GivenUp);
    }
}

impl<K, R> Inner<K, R> {
    /// The flags that open readers have.
    fn flags(&self) -> Flags {
        if self.settings.expiry.to_idle.is_some() { TIMED } else { 0 }
    }

    /// Has a reader enter the cache, which counts as open already; or has it detached if it must
    /// not, because of what has happened meanwhile, or what it weighs. Then it is to be taken
    /// out of the map, unless that has been done.
    ///
    /// # Safety
    ///
    /// Somebody holds the entry, which is in no list (or was detached by being taken out).
    pub(super) unsafe fn enter(
        &self,
        book: &mut Book<K, R>,
        pointer: NonNull<Entry<K, R>>,
        weight: u64,
    ) -> bool {
        // SAFETY: held.
        let entry = unsafe { pointer.as_ref() };
        let max_weight = self.settings.limits.max_weight;
        let seen = entry.state.seen();
        // Its weight is counted already if somebody has found it in the map, and set that.
        let (weight, counted) = match entry.weight() {
            0 => (weight, 0),
            set => (set, set),
        };
        let cause = if seen.has(OUT) {
            entry.cause()
        } else if book.stopped {
            CloseCause::Shutdown
        } else if max_weight.is_some_and(|max| weight > max) {
            CloseCause::TooHeavy
        } else {
            entry.set_weight(weight);
            book.weight += u128::from(weight - counted);
            // SAFETY: it leaves the lists before it is closed.
            unsafe { book.policy.insert(pointer) };
            return true;
        };
        if !seen.has(OUT) {
            entry.state.take_out();
            book.weight -= u128::from(counted);
            book.hits += u64::from(entry.state.seen().uses());
        }
        entry.set_cause(cause);
        book.detached += 1;
        book.left[cause as usize] += 1;
        // SAFETY: the same.
        unsafe { book.policy.detach(pointer) };
        false
    }

    /// Asks the user about a reader that has been opened, before anybody else knows it; its
    /// weight. If that panics, the reader is closed.
    pub(super) fn assess(&self, entry: &Entry<K, R>) -> u64 {
        struct Discard<'a, K, R>(&'a Inner<K, R>, &'a Entry<K, R>);
        impl<K, R> Drop for Discard<'_, K, R> {
            fn drop(&mut self) {
                let Discard(inner, entry) = self;
                // SAFETY: whoever opens it has written it, and it will not be published.
                let reader = unsafe { entry.take_reader() };
                let fine = inner.call_on_close(&entry.key, reader, CloseCause::Discarded);
                let mut book = inner.book();
                book.opened += 1;
                book.closed += 1;
                book.left[CloseCause::Discarded as usize] += 1;
                book.panics += u64::from(!fine);
            }
        }
        let discard = Discard(self, entry);
        // SAFETY: whoever opens it has written it.
        let reader = unsafe { entry.reader() };
        let Settings { weigher, expiry, .. } = &self.settings;
        let weight = weigher.as_ref().map_or(1, |weigh| weigh(&entry.key, reader));
        if expiry.needs_times() {
            let life = expiry.life_of.as_ref().and_then(|life_of| life_of(&entry.key, reader));
            entry.extra_or_new().times.begin(expiry.now(), life);
        }
        std::mem::forget(discard);
        weight
    }

    /// The reader of a key, opened by the calling thread if nobody else does so.
    pub(super) fn get_or_open<E>(
        self: &Arc<Self>,
        hash: u64,
        mut key: K,
        open: impl FnOnce(&K) -> Result<R, E>,
    ) -> Result<Handle<K, R>, OpenError<E>>
    where
        K: Eq,
        E: Any + Send + Sync,
    {
        let mut missed = Missed::new(self);
        let mut opening = loop {
            match self.look(hash, |other| *other == key, true) {
                Look::Open(handle) => {
                    // Before there is a result, which would leak if this panics.
                    drop((key, open));
                    return Ok(handle);
                }
                Look::Opening(entry) => {
                    missed.join();
                    // SAFETY: joined just now.
                    match unsafe { Joined::new(entry) }.wait() {
                        Waited::Open(handle) => {
                            drop((key, open));
                            return Ok(handle);
                        }
                        Waited::Failed(failure) => {
                            if let Some(error) = OpenError::shared(&failure) {
                                return Err(error);
                            }
                        }
                        Waited::Recursive(error) => return Err(error.into()),
                    }
                }
                Look::Absent => {
                    missed.count();
                    match Opening::elect(self, hash, key, ThreadHolder::closure(), |_| {}) {
                        Ok(opening) => break opening,
                        Err(unused) => key = unused,
                    }
                }
            }
        };
        let permit = match self.reserve_blocking() {
            Ok(permit) => permit,
            Err(failure) => {
                let error = OpenError::shared(&failure);
                opening.fail(failure);
                return Err(error.expect("a place is not given up"));
            }
        };
        match open(&opening.entry().key) {
            Ok(reader) => {
                let weight = opening.put(reader);
                let handle = opening.publish(weight, permit);
                // Not before that: others may wait for the reader, or for its place.
                self.sweep_now_and_then();
                Ok(handle)
            }
            Err(error) => {
                let error = Arc::new(error);
                // Before those wake who may want it.
                drop(permit);
                opening.fail(Failure::Error(Arc::clone(&error) as _));
                Err(OpenError::Failed(error))
            }
        }
    }
}

/// Counts a look-up that has found no open reader once, however often it is repeated.
pub(super) struct Missed<'a, K, R> {
    inner: &'a Inner<K, R>,
    counted: bool,
    joined: bool,
}

impl<'a, K, R> Missed<'a, K, R> {
    pub(super) fn new(inner: &'a Inner<K, R>) -> Self {
        Missed { inner, counted: false, joined: false }
    }

    /// Relaxed, here and below: statistics.
    pub(super) fn count(&mut self) {
        if !std::mem::replace(&mut self.counted, true) {
            self.inner.misses.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It waits for another one's opening.
    pub(super) fn join(&mut self) {
        self.count();
        if !std::mem::replace(&mut self.joined, true) {
            self.inner.joined.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What waiting for a reader came to.
pub(super) enum Waited<K, R> {
    Open(Handle<K, R>),
    Failed(Failure),
    Recursive(RecursiveUpdate),
}

impl<K, R> Joined<K, R> {
    /// Sleeps until the reader has been opened, or could not be.
    fn wait(self) -> Waited<K, R> {
        while self.entry().state.seen().has(OPENING) {
            let mark = || self.entry().state.mark_waited();
            match claims::enlist_thread(self.address(), mark) {
                Verdict::Wait(ticket) => ticket.sleep(),
                Verdict::Settled => {}
                Verdict::Recursive(length) => {
                    return Waited::Recursive(RecursiveUpdate::asked(length));
                }
            }
        }
        self.resolve()
    }

    /// What there is when the opening is over.
    pub(super) fn resolve(self) -> Waited<K, R> {
        let seen = self.entry().state.seen();
        debug_assert!(!seen.has(OPENING));
        if seen.has(FAILED) {
            let failure = self.entry().extra().and_then(|extra| extra.failure().clone());
            return Waited::Failed(failure.expect("it is set before the flag"));
        }
        // SAFETY: it is neither being opened, nor has it failed.
        Waited::Open(unsafe { self.into_handle() })
    }
}
