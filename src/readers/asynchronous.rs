//! Opening readers in tasks.

use std::{
    any::Any,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Instant,
};

use super::{
    entry::contained,
    error::OpenError,
    extra::Failure,
    flight::{Flight, Passenger},
    handle::{Handle, Joined},
    inner::{Inner, Look},
    limits::{Permit, Reserved},
    opening::{Missed, Opening, Waited},
};
use crate::claims::TaskHolder;

/// What is polled for somebody else, as runtimes take it.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<K, R> Inner<K, R>
where
    K: Eq + Send + Sync + 'static,
    R: Send + Sync + 'static,
{
    /// The reader of a key, opened by the future if nobody else does so.
    pub(super) async fn get_or_open_async<E>(
        self: &Arc<Self>,
        hash: u64,
        key: K,
        future: impl Future<Output = Result<R, E>> + Send + 'static,
    ) -> Result<Handle<K, R>, OpenError<E>>
    where
        E: Any + Send + Sync,
    {
        let mut missed = Missed::new(self);
        let mut wanted = Some((key, future));
        loop {
            let passenger = match self.board(hash, &mut wanted, &mut missed) {
                Boarded::Open(handle) => return Ok(handle),
                Boarded::Wait(passenger) => passenger,
            };
            match passenger.await {
                Waited::Open(handle) => {
                    // Whoever has opened the reader. As in `get_or_open`.
                    if wanted.is_none() {
                        self.sweep_now_and_then();
                    }
                    // As in `board`.
                    drop(wanted.take());
                    return Ok(handle);
                }
                Waited::Recursive(error) => return Err(error.into()),
                Waited::Failed(failure) => {
                    if let Some(error) = OpenError::shared(&failure) {
                        return Err(error);
                    }
                    // Given up by somebody else, whom this one has waited for.
                    assert!(wanted.is_some(), "the opening of a reader panicked in another task");
                }
            }
        }
    }

    /// Finds the reader, or those who wait for it, or begins to open it. (Not `async`, so that
    /// no pin is ever part of a future.)
    fn board<E>(
        self: &Arc<Self>,
        hash: u64,
        wanted: &mut Option<(K, impl Future<Output = Result<R, E>> + Send + 'static)>,
        missed: &mut Missed<'_, K, R>,
    ) -> Boarded<K, R>
    where
        E: Any + Send + Sync,
    {
        loop {
            let (key, future) = wanted.take().expect("who opens the reader asks but once");
            match self.look(hash, |other| *other == key, true) {
                Look::Open(handle) => {
                    // Before there is a result, which would leak if this panics.
                    drop((key, future));
                    return Boarded::Open(handle);
                }
                Look::Opening(entry) => {
                    missed.join();
                    *wanted = Some((key, future));
                    // SAFETY: joined just now.
                    let joined = unsafe { Joined::new(entry) };
                    return Boarded::Wait(Passenger::new(joined, false));
                }
                Look::Absent => {}
            }
            missed.count();
            let flight = Flight::new();
            let prepare = |entry: &super::entry::Entry<K, R>| {
                *entry.extra_or_new().flight() = Some(Arc::clone(&flight));
            };
            match Opening::elect(self, hash, key, TaskHolder::alone(), prepare) {
                Ok(opening) => {
                    opening.entry().state.hold_again();
                    // SAFETY: one holder more, beside the flight's.
                    let joined = unsafe { Joined::new(opening.pointer()) };
                    let passenger = Passenger::new(joined, true);
                    flight.begin(Box::pin(open(Arc::clone(self), future)), opening);
                    return Boarded::Wait(passenger);
                }
                Err(key) => *wanted = Some((key, future)),
            }
        }
    }

    /// Asks for a place, and waits for it as the settings say.
    pub(super) async fn reserve_async(self: &Arc<Self>) -> Result<Permit<K, R>, Failure> {
        let (queued, time) = match self.reserve(true) {
            Reserved::Place(permit) => return Ok(permit),
            Reserved::Refused(failure) => return Err(failure),
            Reserved::Later(queued, time) => (queued, time),
        };
        let deadline = Instant::now().checked_add(time);
        let mut timer = self.settings.sleep.as_ref().map(|sleep| sleep(time));
        if timer.is_none() && !queued.place().keep_time(time) {
            return queued.leave();
        }
        poll_fn(|context| {
            // First, so that whoever keeps the time finds the waker, or is found to be late.
            let is_answered = queued.place().is_answered(context.waker());
            let is_late = timer.as_mut().is_some_and(|it| it.as_mut().poll(context).is_ready())
                || deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if is_answered || is_late { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        // Before there is a place, which would be leaked if this panics.
        contained(|| timer = None);
        queued.leave()
    }
}

enum Boarded<K, R> {
    Open(Handle<K, R>),
    Wait(Passenger<K, R>),
}

/// The whole of what opens a reader.
async fn open<K, R, E>(
    inner: Arc<Inner<K, R>>,
    future: impl Future<Output = Result<R, E>> + Send + 'static,
) -> Result<(R, Permit<K, R>), Failure>
where
    K: Eq + Send + Sync + 'static,
    R: Send + Sync + 'static,
    E: Any + Send + Sync,
{
    let permit = inner.reserve_async().await?;
    let result = finished(future).await;
    match result {
        Ok(reader) => Ok((reader, permit)),
        Err(error) => Err(Failure::Error(Arc::new(error))),
    }
}

/// Awaits a future, and drops it while its result is an ordinary local: a result that is on its
/// way to its place, as that of an `.await` is then, would be leaked if the drop panics.
pub(super) async fn finished<F: Future>(future: F) -> F::Output {
    let mut future = pin!(Some(future));
    let result = poll_fn(|context| match future.as_mut().as_pin_mut() {
        Some(future) => future.poll(context),
        None => unreachable!("it is taken out below"),
    });
    let result = result.await;
    contained(|| future.set(None));
    result
}
