//! How many readers may be open, how much they may weigh, and what happens when that is
//! reached.

use std::{
    cell::RefCell,
    mem::ManuallyDrop,
    ptr::{self, NonNull},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    closing::CloseCause,
    entry::Entry,
    extra::Failure,
    inner::{Book, Inner},
    policy,
    waiting::{Answer, Place, Turn},
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
    /// after that. First come, first served. (In the closing of a reader that is evicted in that of
    /// another one, and so on, 64 deep, it fails at once.)
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
    /// If so many more waited for a place.
    pub(super) fn are_exceeded<K, R>(&self, book: &Book<K, R>, more: usize) -> Option<CloseCause> {
        if self.max_weight.is_some_and(|max| book.weight > u128::from(max)) {
            return Some(CloseCause::Weight);
        }
        // What is being closed already will make places, which count here.
        let staying = book.open - book.closing + book.opening;
        let over = self.max_open.is_some_and(|max| staying > max);
        // (A task that has come to wait within a closing can outlive that.)
        let to_come = book.closing.saturating_sub(book.stalled);
        (over || book.waiting.len() + more > to_come).then_some(CloseCause::MaxOpen)
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
    /// Asks for a place. Evicts an idle reader if that makes one. There is none for later, unless the
    /// caller would wait.
    pub(super) fn reserve(self: &Arc<Self>, would_wait: bool) -> Reserved<K, R> {
        let limits = &self.settings.limits;
        // His turn, and the time that he would wait for it, begin when he comes.
        let mut came: Option<(Turn, Instant)> = None;
        loop {
            let Some(mut book) = self.grant_one(self.book()) else { continue };
            if book.stopped {
                return Reserved::Refused(Failure::Closed);
            }
            // Whoever waits comes first.
            let in_front = match &came {
                None => book.waiting.len(),
                Some((turn, _)) => book.waiting.in_front_of(turn),
            };
            if in_front == 0 && limits.allow_one_more(&book) {
                book.opening += 1;
                return Reserved::Place(Permit::new(self));
            }
            let evicting = Within::evict(self);
            if let Some(_evicting) = evicting.as_ref().filter(|_| in_front == 0) {
                if let Some(victim) = self.evict(&mut book, CloseCause::MaxOpen) {
                    drop(book);
                    // SAFETY: evicted just now.
                    unsafe { self.close(victim, CloseCause::MaxOpen, true) };
                    return Reserved::Place(Permit::new(self));
                }
            }
            let time = match limits.when_full {
                WhenFull::Exceed => {
                    book.opening += 1;
                    return Reserved::Place(Permit::new(self));
                }
                // In too many evictions, the readers that this thread is closing are in its own way.
                WhenFull::Wait(time) if would_wait && evicting.is_some() => time,
                _ => return Reserved::Refused(Failure::Full),
            };
            let (turn, since) = match came.take() {
                Some((turn, since)) => (turn, Some(since)),
                None => (book.waiting.turn(), None),
            };
            // Those in front may be fewer than readers on their way out, and one more may not. Not when he
            // is in the queue himself: he could be given a place while he is closing a reader.
            let stalled = Within::count(self, What::Closing);
            book.stalled += stalled;
            let cause = limits.are_exceeded(&book, 1).filter(|_| in_front > 0);
            let victim = cause.and_then(|cause| Some((self.evict(&mut book, cause)?, cause)));
            let Some((victim, cause)) = victim else {
                let place = Some(book.waiting.enter(turn));
                drop(book);
                let queued = Queued { inner: Arc::clone(self), place, stalled };
                let spent = since.map_or(Duration::ZERO, |since| since.elapsed());
                return Reserved::Later(queued, time.saturating_sub(spent));
            };
            let since = since.unwrap_or_else(Instant::now);
            book.stalled -= stalled;
            book.closing += 1;
            drop(book);
            // SAFETY: evicted just now.
            unsafe { self.close(victim, cause, false) };
            came = Some((turn, since));
        }
    }

    /// Asks for a place, and waits for it as the settings say.
    pub(super) fn reserve_blocking(self: &Arc<Self>) -> Result<Permit<K, R>, Failure> {
        match self.reserve(true) {
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
            let Some(cause) = limits.are_exceeded(&book, 0) else { return };
            let Some(_evicting) = Within::evict(self) else { return };
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

/// What a thread is doing with caches, the outermost first.
type Doing = RefCell<Vec<Note>>;

struct Note {
    cache: *const (),
    what: What,
    times: usize,
}

#[cfg(not(any(binlock_loom, binlock_shuttle)))]
thread_local! {
    static WITHIN: Doing = const { RefCell::new(Vec::new()) };
}

#[cfg(binlock_loom)]
loom::thread_local! {
    static WITHIN: Doing = RefCell::new(Vec::new());
}

#[cfg(binlock_shuttle)]
shuttle::thread_local! {
    static WITHIN: Doing = RefCell::new(Vec::new());
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// It evicts readers.
    Evicting,
    /// It closes readers that are counted as `closing`, or is about to.
    Closing,
}

/// This thread does something with a cache.
///
/// What it closes there is the user's code, and may use the cache. It may hold handles of others, whose
/// release evicts in turn, and what is closed then may release more, or open others, for which something
/// has to be evicted: no stack suffices for that.
pub(super) struct Within {
    /// Not where the thread ends, and its thread-locals are gone.
    is_noted: bool,
}

impl Within {
    /// So many evictions from one cache within one another. Then the rest is left to the innermost of
    /// them, when it goes on; and who opens a reader finds no place.
    const MOST: usize = 64;

    fn evict<K, R>(cache: &Inner<K, R>) -> Option<Within> {
        (Within::count(cache, What::Evicting) < Self::MOST)
            .then(|| Within::begin(cache, What::Evicting, 1))
    }

    /// So many are being closed, one after another.
    pub(super) fn close<K, R>(cache: &Inner<K, R>, readers: usize) -> Within {
        Within::begin(cache, What::Closing, readers)
    }

    fn begin<K, R>(cache: &Inner<K, R>, what: What, times: usize) -> Within {
        let note = Note { cache: ptr::from_ref(cache).cast(), what, times };
        let noted = WITHIN.try_with(|within| within.borrow_mut().push(note));
        Within { is_noted: noted.is_ok() }
    }

    /// One less, for who is doing nothing else within this.
    pub(super) fn one_less(&mut self) {
        if self.is_noted {
            let _ = WITHIN.try_with(|within| {
                if let Some(note) = within.borrow_mut().last_mut() {
                    note.times -= 1;
                }
            });
        }
    }

    /// Whether the thread is closing a reader of the cache, be it for its place.
    pub(super) fn is_closing<K, R>(cache: &Inner<K, R>) -> bool {
        [What::Evicting, What::Closing].iter().any(|what| Within::count(cache, *what) > 0)
    }

    /// How often the thread is doing that.
    fn count<K, R>(cache: &Inner<K, R>, what: What) -> usize {
        let cache = ptr::from_ref(cache).cast();
        let count = |within: &Doing| {
            let within = within.borrow();
            let such = within.iter().filter(|note| (note.cache, note.what) == (cache, what));
            such.map(|note| note.times).sum()
        };
        WITHIN.try_with(count).unwrap_or(0)
    }
}

impl Drop for Within {
    fn drop(&mut self) {
        if self.is_noted {
            // The last one that has begun is the first to end.
            let _ = WITHIN.try_with(|within| within.borrow_mut().pop());
        }
    }
}

/// Somebody in the queue. He leaves it on drop.
pub(super) struct Queued<K, R> {
    inner: Arc<Inner<K, R>>,
    place: Option<Place>,
    /// How many closings do not go on before there is the place: he is within them.
    stalled: usize,
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
        let mut book = self.inner.book();
        book.stalled -= self.stalled;
        let answer = book.waiting.leave(&place);
        drop(book);
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
