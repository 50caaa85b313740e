//! How many readers may be open, how much they may weigh, and what happens when that is
//! reached.

use std::{
    cell::RefCell,
    mem::ManuallyDrop,
    ptr::{self, NonNull},
    sync::Arc,
    time::Duration,
};

use super::{
    closing::CloseCause,
    entry::Entry,
    extra::Failure,
    inner::{Book, Inner},
    policy,
    waiting::{Answer, Place},
};
use crate::sync::MutexGuard;

/// What happens when a reader is to be opened, but [`max_open`](super::Builder::max_open) is
/// reached and all readers are in use, or being closed (which count as open until they are).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is opened all the same. The cache shrinks as soon as readers are released.
    #[default]
    Exceed,
    /// It is not opened: [`OpenError::Full`](super::OpenError::Full).
    Fail,
    /// Whoever wants to open it waits until there is a place, for so long at most, and fails
    /// after that. First come, first served.
    Wait(Duration),
}

pub(super) struct Limits {
    pub(super) max_open: Option<usize>,
    pub(super) max_weight: Option<u64>,
    pub(super) when_full: WhenFull,
}

impl Limits {
    pub(super) fn for_policy(&self) -> policy::Limits {
        policy::Limits { max_open: self.max_open, max_weight: self.max_weight }
    }

    fn allow_one_more<K, R>(&self, book: &Book<K, R>) -> bool {
        self.max_open.is_none_or(|max| book.open + book.opening < max)
    }

    /// Whether something has to be evicted, although nobody opens anything right now.
    pub(super) fn are_exceeded<K, R>(&self, book: &Book<K, R>) -> Option<CloseCause> {
        if self.max_weight.is_some_and(|max| book.weight > u128::from(max)) {
            return Some(CloseCause::Weight);
        }
        // What is being closed already will make places, which count here.
        let staying = book.open - book.closing + book.opening;
        let over = self.max_open.is_some_and(|max| staying > max);
        (over || book.waiting.len() > book.closing).then_some(CloseCause::MaxOpen)
    }
}

/// A place for one more open reader. It is given back on drop.
pub(super) struct Permit<K, R>(Arc<Inner<K, R>>);

impl<K, R> Permit<K, R> {
    /// For a place that has been counted.
    fn new(inner: &Arc<Inner<K, R>>) -> Self {
        Permit(Arc::clone(inner))
    }

    /// The place is a reader's now. (Under the lock, so the reference to the cache's inside
    /// must not be dropped here.)
    pub(super) fn fill(self, book: &mut Book<K, R>) -> Arc<Inner<K, R>> {
        book.opening -= 1;
        book.open += 1;
        book.opened += 1;
        let this = ManuallyDrop::new(self);
        // SAFETY: moved out of what is not dropped.
        unsafe { ptr::read(&this.0) }
    }
}

impl<K, R> Drop for Permit<K, R> {
    fn drop(&mut self) {
        let mut book = self.0.book();
        book.opening -= 1;
        self.0.tell_shutters(book);
        self.0.balance();
    }
}

/// What came of the wish for a place.
pub(super) enum Reserved<K, R> {
    Place(Permit<K, R>),
    Refused(Failure),
    /// There will be one within this time, or not.
    Later(Queued<K, R>, Duration),
}

impl<K, R> Inner<K, R> {
    /// Asks for a place. Evicts an idle reader if that makes one.
    pub(super) fn reserve(self: &Arc<Self>) -> Reserved<K, R> {
        let limits = &self.settings.limits;
        let mut book = self.book();
        if book.stopped {
            return Reserved::Refused(Failure::Closed);
        }
        // Whoever waits comes first.
        if book.waiting.is_empty() {
            if limits.allow_one_more(&book) {
                book.opening += 1;
                return Reserved::Place(Permit::new(self));
            }
            if let Some(victim) = self.evict(&mut book, CloseCause::MaxOpen) {
                drop(book);
                // SAFETY: evicted just now.
                unsafe { self.close(victim, CloseCause::MaxOpen, true) };
                return Reserved::Place(Permit::new(self));
            }
        }
        match limits.when_full {
            WhenFull::Exceed => {
                book.opening += 1;
                Reserved::Place(Permit::new(self))
            }
            WhenFull::Fail => Reserved::Refused(Failure::Full),
            WhenFull::Wait(time) => {
                let place = book.waiting.enter();
                drop(book);
                Reserved::Later(Queued { inner: Arc::clone(self), place: Some(place) }, time)
            }
        }
    }

    /// Asks for a place, and waits for it as the settings say.
    pub(super) fn reserve_blocking(self: &Arc<Self>) -> Result<Permit<K, R>, Failure> {
        match self.reserve() {
            Reserved::Place(permit) => Ok(permit),
            Reserved::Refused(failure) => Err(failure),
            Reserved::Later(queued, time) => {
                queued.place().sleep(time);
                queued.leave()
            }
        }
    }

    /// Picks an idle reader to close. Bounded, also if all are in use: see `policy`.
    fn evict(&self, book: &mut Book<K, R>, cause: CloseCause) -> Option<NonNull<Entry<K, R>>> {
        let victim = book.policy.victim()?;
        // SAFETY: claimed just now, so the reader's share of it is the caller's.
        let entry = unsafe { victim.as_ref() };
        book.leave(entry, cause);
        Some(victim)
    }

    /// Evicts while there is too much and something idle, and hands out places to those who
    /// wait for them. Called whenever there may be one more idle reader or one more place.
    pub(super) fn balance(self: &Arc<Self>) {
        let limits = &self.settings.limits;
        loop {
            let Some(mut book) = self.grant_one(self.book()) else { continue };
            let Some(cause) = limits.are_exceeded(&book) else { return };
            let Some(_evicting) = Evicting::begin(self) else { return };
            let Some(victim) = self.evict(&mut book, cause) else { return };
            book.closing += 1;
            drop(book);
            // SAFETY: evicted just now.
            unsafe { self.close(victim, cause, false) };
        }
    }

    /// Hands out the places that are free: for who closes many readers, one after another, before
    /// he balances.
    pub(super) fn grant(&self) {
        while self.grant_one(self.book()).is_none() {}
    }

    /// Hands a free place to who has waited longest. If there is no place, or nobody waits, the
    /// lock is given back.
    fn grant_one<'b>(
        &'b self,
        mut book: MutexGuard<'b, Book<K, R>>,
    ) -> Option<MutexGuard<'b, Book<K, R>>> {
        if book.waiting.is_empty() || !self.settings.limits.allow_one_more(&book) {
            return Some(book);
        }
        book.opening += 1;
        let granted = book.waiting.answer(Answer::Granted);
        drop(book);
        if let Some(place) = granted {
            place.wake();
        }
        None
    }
}

thread_local! {
    /// The caches that the thread is evicting from, the outermost first. (Models of loom and shuttle have
    /// one for all of their threads, which is enough for the few evictions there.)
    static EVICTING: RefCell<Vec<*const ()>> = const { RefCell::new(Vec::new()) };
}

/// This thread evicts from a cache.
///
/// What it closes there is the user's code, and may use the cache. It may hold handles of others, whose
/// release evicts in turn, and what is closed then may release more: no stack suffices for that.
struct Evicting {
    /// Not where the thread ends, and its thread-locals are gone.
    is_noted: bool,
}

impl Evicting {
    /// So many of the same cache within one another. Then the rest is left to the innermost of them, which
    /// goes on when what it is closing is closed.
    const MOST: usize = 64;

    fn begin<K, R>(cache: &Inner<K, R>) -> Option<Evicting> {
        let cache = ptr::from_ref(cache).cast();
        let note = |caches: &RefCell<Vec<*const ()>>| {
            let mut caches = caches.borrow_mut();
            let within = caches.iter().filter(|other| **other == cache).count();
            (within < Self::MOST).then(|| {
                caches.push(cache);
                Evicting { is_noted: true }
            })
        };
        EVICTING.try_with(note).unwrap_or(Some(Evicting { is_noted: false }))
    }
}

impl Drop for Evicting {
    fn drop(&mut self) {
        if self.is_noted {
            // The last one that has begun is the first to end.
            let _ = EVICTING.try_with(|caches| caches.borrow_mut().pop());
        }
    }
}

/// Somebody in the queue. He leaves it on drop.
pub(super) struct Queued<K, R> {
    inner: Arc<Inner<K, R>>,
    place: Option<Place>,
}

impl<K, R> Queued<K, R> {
    pub(super) fn place(&self) -> &Place {
        self.place.as_ref().expect("it is taken out when the queue is left")
    }

    /// What the wait has come to.
    pub(super) fn leave(mut self) -> Result<Permit<K, R>, Failure> {
        match self.step_out() {
            Some(Answer::Granted) => Ok(Permit::new(&self.inner)),
            Some(Answer::Closed) => Err(Failure::Closed),
            Some(Answer::Left) | None => Err(Failure::Full),
        }
    }

    fn step_out(&mut self) -> Option<Answer> {
        let place = self.place.take()?;
        let answer = self.inner.book().waiting.leave(&place);
        // Maybe with its waker, which is somebody else's, and so not under the lock.
        drop(place);
        answer
    }
}

impl<K, R> Drop for Queued<K, R> {
    fn drop(&mut self) {
        if self.step_out() == Some(Answer::Granted) {
            drop(Permit::new(&self.inner));
        }
    }
}
