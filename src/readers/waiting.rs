//! The queue of those who wait for a place: first come, first served.

use std::{
    collections::BTreeMap,
    sync::Arc,
    task::Waker,
    thread,
    time::{Duration, Instant},
};

use crate::sync::{Condvar, Mutex, MutexGuard};

/// The queue. It is a part of the book, and under its lock.
#[derive(Default)]
pub(super) struct Waiting {
    /// By number, in the order in which they came: any of thousands may leave.
    places: BTreeMap<u64, Place>,
    last: u64,
}

/// Where somebody will be in the queue: behind all who have come before.
pub(super) struct Turn(u64);

/// Somebody's place in the queue.
#[derive(Clone)]
pub(super) struct Place(Arc<Spot>);

struct Spot {
    number: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

/// What the wait came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// There is a place, and it is his: counted as opening.
    Granted,
    /// The cache has been closed.
    Closed,
    /// He waits no longer.
    Left,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn turn(&mut self) -> Turn {
        self.last += 1;
        Turn(self.last)
    }

    /// How many in the queue have come before.
    pub(super) fn in_front_of(&self, turn: &Turn) -> usize {
        self.places.range(..turn.0).count()
    }

    pub(super) fn enter(&mut self, Turn(number): Turn) -> Place {
        let state = Mutex::new(State::default());
        let place = Place(Arc::new(Spot { number, state, changed: Condvar::new() }));
        self.places.insert(number, place.clone());
        place
    }

    /// Answers the first one, who is to be woken when the lock has been released.
    pub(super) fn answer(&mut self, answer: Answer) -> Option<Place> {
        let (_, place) = self.places.pop_first()?;
        place.state().answer = Some(answer);
        Some(place)
    }

    /// Leaves the queue, unless there has been an answer.
    pub(super) fn leave(&mut self, place: &Place) -> Option<Answer> {
        let mut state = place.state();
        let answer = state.answer;
        if answer.is_none() {
            // For a thread that keeps the time for somebody.
            state.answer = Some(Answer::Left);
            place.0.changed.notify_one();
            self.places.remove(&place.0.number);
        }
        answer
    }
}

impl Place {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics under the lock, so it is not poisoned.
        self.0.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Tells whoever sleeps here that there is an answer. This calls a waker, which is
    /// somebody else's code.
    pub(super) fn wake(&self) {
        let waker = self.state().waker.take();
        self.0.changed.notify_one();
        if let Some(waker) = waker {
            super::entry::contained(|| waker.wake());
        }
    }

    /// Sleeps until there is an answer, or it is too late.
    pub(super) fn sleep(&self, time: Duration) {
        // A time beyond the end of all times is none.
        let deadline = Instant::now().checked_add(time);
        let mut state = self.state();
        while state.answer.is_none() {
            state = match deadline {
                None => self.0.changed.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner()),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return;
                    }
                    let waited = self.0.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
                }
            };
        }
    }

    /// Has a thread call the waker when there is an answer, or it is too late; `false` if there
    /// is no thread to be had.
    pub(super) fn keep_time(&self, time: Duration) -> bool {
        let place = self.clone();
        let keep = move || {
            place.sleep(time);
            place.wake();
        };
        thread::Builder::new().name("binlock-timer".into()).spawn(keep).is_ok()
    }

    /// Whether there is an answer; if not, this waker will be called.
    pub(super) fn is_answered(&self, waker: &Waker) -> bool {
        // Wakers are cloned and dropped outside of the lock.
        let waker = waker.clone();
        let mut state = self.state();
        let answered = state.answer.is_some();
        let before = state.waker.replace(waker);
        drop(state);
        drop(before);
        answered
    }
}
