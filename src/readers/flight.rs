//! Opening a reader by a future, which belongs to all who wait for the reader.
//!
//! Whoever waits polls the future when he is polled himself, unless somebody else is just doing
//! so. So it gets on as long as one of them is polled; when the last of them is dropped, it is
//! dropped, too, and the key is free.
//!
//! # No wake-up is lost
//!
//! The future's waker notes that it has been woken, and wakes all of the crew, since nobody knows
//! who will be polled. Whoever is polled and finds the note takes it away and polls the future;
//! without a note there is nothing to do. If another one is just polling it, he looks for a new
//! note when he is done, and wakes all once more. Who leaves the crew while there is a note wakes
//! one of the others, as he may have been the one who was about to come.
//!
//! (Std's atomics and locks, here and in `extra`: futures are polled by hand in the tests, in
//! hostile orders, and not by loom.)
//!
//! The note also ends cycles: two futures that wait for each other have each other's wakers,
//! until one of them learns about it.

use std::{
    any::Any,
    collections::BTreeMap,
    future::Future,
    mem,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use super::{
    entry::contained,
    extra::Failure,
    handle::Joined,
    limits::Permit,
    opening::{Opening, Waited},
    state::OPENING,
};
use crate::{
    RecursiveUpdate,
    claims::{self, TaskHolder, Ticket, Verdict},
};

/// What opens a reader, when there is a place for it.
pub(super) type OpeningFuture<K, R> =
    Pin<Box<dyn Future<Output = Result<(R, Permit<K, R>), Failure>> + Send>>;

/// A future that opens a reader, and all who wait for it.
pub(super) struct Flight<K, R> {
    cockpit: Mutex<Cockpit<K, R>>,
    crew: Arc<Crew>,
}

struct Cockpit<K, R> {
    work: Work<K, R>,
    /// Whether the one whose future it is still waits for it.
    has_creator: bool,
    /// What the future panicked with, for him.
    panic: Option<Box<dyn Any + Send>>,
}

enum Work<K, R> {
    /// Somebody has it, and polls it.
    Taken,
    Here(OpeningFuture<K, R>, Opening<K, R, TaskHolder>),
    Over,
}

/// Those who wait and have been polled.
struct Crew {
    roll: Mutex<Roll>,
    /// The future wants to be polled.
    is_woken: AtomicBool,
}

#[derive(Default)]
struct Roll {
    /// Their wakers, by number: there may be thousands, each of whom is looked for whenever he is
    /// polled. (In `Arc`s, because cloning a waker is somebody else's code.)
    wakers: BTreeMap<u64, Arc<Waker>>,
    last: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn call(waker: Arc<Waker>) {
    contained(|| waker.wake_by_ref());
    contained(|| drop(waker));
}

impl Crew {
    /// Sets the waker of one, who gets a number if he is new.
    fn set(&self, number: Option<u64>, waker: &Waker) -> u64 {
        // Wakers are cloned and dropped outside of the lock.
        let waker = Arc::new(waker.clone());
        let mut roll = lock(&self.roll);
        let number = number.unwrap_or_else(|| {
            roll.last += 1;
            roll.last
        });
        let before = roll.wakers.insert(number, waker);
        drop(roll);
        contained(|| drop(before));
        number
    }

    /// Strikes one out, and says whether he was the last.
    fn leave(&self, number: u64) -> bool {
        let mut roll = lock(&self.roll);
        let waker = roll.wakers.remove(&number);
        let is_last = roll.wakers.is_empty();
        drop(roll);
        contained(|| drop(waker));
        is_last
    }

    fn is_empty(&self) -> bool {
        lock(&self.roll).wakers.is_empty()
    }

    fn wake_all(&self) {
        let wakers: Vec<Arc<Waker>> = {
            let roll = lock(&self.roll);
            roll.wakers.values().map(Arc::clone).collect()
        };
        wakers.into_iter().for_each(call);
    }

    /// Has the future polled by one of those who are left, if it wants to be.
    fn pass_on(&self) {
        // Acquire: as in `put_back`; whoever takes the note sees why it is there by his own exchange.
        if self.is_woken.load(Ordering::Acquire) {
            let first = lock(&self.roll).wakers.values().next().map(Arc::clone);
            first.into_iter().for_each(call);
        }
    }
}

impl Wake for Crew {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // AcqRel: whoever finds the note sees why the future was woken.
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            self.wake_all();
        }
    }
}

impl<K, R> Flight<K, R> {
    /// A flight whose work is yet to come. Its creator is aboard.
    pub(super) fn new() -> Arc<Self> {
        let cockpit = Cockpit { work: Work::Taken, has_creator: true, panic: None };
        let crew = Crew { roll: Mutex::default(), is_woken: AtomicBool::new(true) };
        Arc::new(Flight { cockpit: Mutex::new(cockpit), crew: Arc::new(crew) })
    }

    pub(super) fn begin(&self, future: OpeningFuture<K, R>, opening: Opening<K, R, TaskHolder>) {
        self.put_back(Work::Here(future, opening));
    }

    fn put_back(&self, work: Work<K, R>) {
        lock(&self.cockpit).work = work;
        // Those who have come for it meanwhile went away again.
        if self.crew.is_woken.load(Ordering::Acquire) {
            self.crew.wake_all();
        }
    }

    /// Polls the future if it has been woken, unless somebody else does. If it is done, so is the
    /// opening.
    fn drive(&self) {
        let mut cockpit = lock(&self.cockpit);
        if !matches!(cockpit.work, Work::Here(..))
            || !self.crew.is_woken.swap(false, Ordering::AcqRel)
        {
            return;
        }
        let work = mem::replace(&mut cockpit.work, Work::Taken);
        drop(cockpit);
        let Work::Here(mut future, mut opening) = work else { unreachable!("looked at above") };
        // To the end: whatever runs here while the key is claimed belongs to the computation.
        let computation = Arc::clone(opening.holder().computation());
        let _frame = computation.enter_alone();
        let waker = Waker::from(Arc::clone(&self.crew));
        let poll = || match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => None,
            Poll::Ready(Ok((reader, permit))) => Some(Ok((opening.put(reader), permit))),
            Poll::Ready(Err(failure)) => Some(Err(failure)),
        };
        let mut payload = None;
        match panic::catch_unwind(AssertUnwindSafe(poll)) {
            Ok(None) => return self.put_back(Work::Here(future, opening)),
            Ok(Some(Ok((weight, permit)))) => drop(opening.publish(weight, permit)),
            Ok(Some(Err(failure))) => opening.fail(failure),
            Err(panicked) => {
                // Before anybody learns that it has failed, so that he whom it is for finds it.
                let mut cockpit = lock(&self.cockpit);
                if cockpit.has_creator {
                    cockpit.panic = Some(panicked);
                } else {
                    payload = Some(panicked);
                }
                drop(cockpit);
                opening.fail(Failure::GivenUp);
            }
        }
        lock(&self.cockpit).work = Work::Over;
        // The future's drop is the user's code, and may want the reader itself.
        contained(|| drop(future));
        if let Some(payload) = payload {
            panic::resume_unwind(payload);
        }
    }

    /// Somebody waits no longer. The last one takes the future with him.
    fn leave(&self, number: Option<u64>, is_creator: bool) {
        if is_creator {
            let mut cockpit = lock(&self.cockpit);
            cockpit.has_creator = false;
            let panic = cockpit.panic.take();
            drop(cockpit);
            contained(|| drop(panic));
        }
        let is_last = match number {
            Some(number) => self.crew.leave(number),
            // Never aboard; but if nobody else is, then nobody will come for the creator's future.
            None if is_creator => self.crew.is_empty(),
            None => return,
        };
        if !is_last {
            // It may have been he who was woken to poll the future.
            if !matches!(lock(&self.cockpit).work, Work::Over) {
                self.crew.pass_on();
            }
            return;
        }
        let mut cockpit = lock(&self.cockpit);
        // The creator may be about to come aboard, and others may have come since.
        if cockpit.has_creator || !self.crew.is_empty() {
            return;
        }
        let work = match mem::replace(&mut cockpit.work, Work::Over) {
            // Somebody polls it, or is about to begin, and has come aboard before that.
            Work::Taken => {
                cockpit.work = Work::Taken;
                return;
            }
            work => work,
        };
        drop(cockpit);
        if let Work::Here(future, opening) = work {
            let computation = Arc::clone(opening.holder().computation());
            let _frame = computation.enter_alone();
            // First, so that the future's drop finds the key free; last, so that those who wake find
            // its place free.
            opening.free_key();
            contained(|| drop(future));
            opening.fail(Failure::GivenUp);
        }
    }

    fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        lock(&self.cockpit).panic.take()
    }
}

/// Somebody who waits for a reader in a task.
pub(super) struct Passenger<K, R> {
    /// `None` when the wait is over.
    joined: Option<Joined<K, R>>,
    /// The future that opens it, if it is one.
    flight: Option<Arc<Flight<K, R>>>,
    /// His place in the queue of `claims`.
    ticket: Option<Ticket>,
    /// His number in the crew.
    number: Option<u64>,
    /// Whether the future is his own.
    is_creator: bool,
}

impl<K, R> Passenger<K, R> {
    pub(super) fn new(joined: Joined<K, R>, is_creator: bool) -> Self {
        let flight = joined.entry().extra().and_then(|extra| extra.flight().clone());
        Passenger { joined: Some(joined), flight, ticket: None, number: None, is_creator }
    }

    fn disembark(&mut self) {
        // With a waker, whose drop must not keep the rest from happening.
        contained(|| self.ticket = None);
        if let Some(flight) = self.flight.take() {
            flight.leave(self.number.take(), self.is_creator);
        }
    }
}

impl<K, R> Future for Passenger<K, R> {
    type Output = Waited<K, R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Waited<K, R>> {
        let this = &mut *self;
        loop {
            let joined = this.joined.as_ref().expect("polled after it was ready");
            if !joined.entry().state.seen().has(OPENING) {
                if let Some(payload) = this
                    .flight
                    .as_ref()
                    .filter(|_| this.is_creator)
                    .and_then(|flight| flight.take_panic())
                {
                    panic::resume_unwind(payload);
                }
                this.disembark();
                let joined = this.joined.take().expect("looked at above");
                return Poll::Ready(joined.resolve());
            }
            if let Some(flight) = &this.flight {
                // Before it is polled, so that he is woken whatever happens meanwhile.
                this.number = Some(flight.crew.set(this.number, context.waker()));
                flight.drive();
                if !joined.entry().state.seen().has(OPENING) {
                    continue;
                }
            }
            // Waiting is also written down where cycles are looked for. The future has been
            // polled before, and has written down what it waits for itself.
            if this.ticket.as_ref().is_some_and(|ticket| !ticket.is_over(context.waker())) {
                return Poll::Pending;
            }
            this.ticket = None;
            let mark = || joined.entry().state.mark_waited();
            match claims::enlist_task(joined.address(), context.waker(), mark) {
                Verdict::Wait(ticket) => {
                    this.ticket = Some(ticket);
                    return Poll::Pending;
                }
                Verdict::Settled => {}
                Verdict::Recursive(length) => {
                    return Poll::Ready(Waited::Recursive(RecursiveUpdate::asked(length)));
                }
            }
        }
    }
}

impl<K, R> Drop for Passenger<K, R> {
    fn drop(&mut self) {
        self.disembark();
    }
}
