//! Computations by futures.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    hash::{BuildHasher, Hash},
    pin::{Pin, pin},
    ptr::NonNull,
    sync::Arc,
    task::{Context, Poll},
};

use super::{ComputeError, HashMap, RecursiveUpdate, Ref};
use crate::{
    claims::{TaskHolder, Ticket},
    epoch::{self, Guard},
    raw::{Claim, Node, Taken},
};

/// # Computations by futures
///
/// What is said of [computations](HashMap#computations) holds for these, too, where "thread"
/// is to be read as "task". Threads and tasks may want the same key: there is one flight
/// for all. No runtime is needed, and none is disturbed: nothing here blocks a thread but
/// the lock of a bin.
///
/// * The future that computes is the one whose caller came first. **Dropping it cancels the
///   computation**: the claim is released, and the next one who waits computes for himself.
///   A future that is neither polled nor dropped keeps the others waiting.
/// * Recursion is noticed through `.await` within one task, and in cycles of tasks and
///   threads. The branches of a `join!` inside one computation wait for each other as
///   strangers do. What is spawned as a task of its own is a stranger, too: a computation
///   that awaits a *spawned* task that wants the same key waits for ever.
impl<K, V, S> HashMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// The entry of a key, computed by the future that `f` returns if the key is absent.
    ///
    /// See [`compute_if_absent`](HashMap::compute_if_absent). The returned [`Ref`] is not
    /// `Send`: to keep the value across an `.await`, clone it.
    ///
    /// # Errors
    ///
    /// [`RecursiveUpdate`] if the computation needs itself or was overtaken.
    ///
    /// # Panics
    ///
    /// If `f` or its future does; the key is absent then.
    ///
    /// # Examples
    ///
    /// ```
    /// use binlock::HashMap;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let pages: HashMap<&str, String> = HashMap::new();
    /// let fetch = |url: &&str| {
    ///     let url = url.to_string();
    ///     async move { format!("the page at {url}") }
    /// };
    /// let page = pages.compute_if_absent_async("/about", fetch).await?;
    /// assert_eq!(*page, "the page at /about");
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// # }).unwrap();
    /// ```
    pub async fn compute_if_absent_async<F, Fut>(
        &self,
        key: K,
        f: F,
    ) -> Result<Ref<'_, K, V>, RecursiveUpdate>
    where
        F: FnOnce(&K) -> Fut,
        Fut: Future<Output = V>,
    {
        match self.compute_async(key, f, Ok::<V, Infallible>).await {
            Ok(entry) => Ok(entry),
            Err(ComputeError::Recursive(error)) => Err(error),
        }
    }

    /// The entry of a key, computed by the future that `f` returns if the key is absent,
    /// unless it fails.
    ///
    /// As [`compute_if_absent_async`](HashMap::compute_if_absent_async). A failure is not
    /// remembered: whoever was waiting for the value tries for himself.
    ///
    /// # Errors
    ///
    /// [`ComputeError::Closure`] with what the future returned, or
    /// [`ComputeError::Recursive`].
    ///
    /// # Panics
    ///
    /// As there.
    pub async fn try_compute_if_absent_async<F, Fut, E>(
        &self,
        key: K,
        f: F,
    ) -> Result<Ref<'_, K, V>, ComputeError<E>>
    where
        F: FnOnce(&K) -> Fut,
        Fut: Future<Output = Result<V, E>>,
    {
        self.compute_async(key, f, |result| result).await
    }

    /// Both of the above, with what makes a result of the future's output. (Not by a future
    /// around the future: if its drop panics when it is ready, `await` leaks what it returned.)
    async fn compute_async<F, Fut, E>(
        &self,
        key: K,
        f: F,
        into_result: impl FnOnce(Fut::Output) -> Result<V, E>,
    ) -> Result<Ref<'_, K, V>, ComputeError<E>>
    where
        F: FnOnce(&K) -> Fut,
        Fut: Future,
    {
        let hash = self.hash(&key);
        if let Some((node, guard)) = self.find(hash, &key) {
            // Before there is a result, which would leak, pin and all, if this panics.
            drop((key, f));
            return Ok(Ref::new(node, guard));
        }
        let mut future = pin!(None);
        let claim = Claim::new(&self.raw, hash, TaskHolder::new());
        let mut own = Own { claim, future: future.as_mut() };
        let mut key = Some(key);
        loop {
            let mut ticket = None;
            let turn = poll_fn(|context| poll_turn(&mut own.claim, &mut key, &mut ticket, context));
            if turn.await? == Turn::Claimed {
                break;
            }
            // None if it has been removed again.
            if let Some((node, guard)) = key.as_ref().and_then(|key| self.find(hash, key)) {
                drop((key, f));
                return Ok(Ref::new(node, guard));
            }
        }
        let computation = Arc::clone(own.claim.holder().computation());
        {
            let _frame = computation.enter();
            own.future.set(Some(f(own.claim.key())));
        }
        let output = poll_fn(|context| {
            let _frame = computation.enter();
            match own.future.as_mut().as_pin_mut() {
                Some(future) => future.poll(context),
                None => unreachable!("it was set above, and is taken out below"),
            }
        });
        let output = output.await;
        {
            // Before anything has happened, because it can panic. It is a part of the
            // computation: if it writes the key, it does not wait for the claim.
            let _frame = computation.enter();
            own.future.set(None);
        }
        let value = into_result(output).map_err(ComputeError::Closure)?;
        let guard = epoch::pin();
        let node = own.claim.fill(value, &guard).map_err(super::computing::overtaken)?;
        Ok(Ref::new(node, guard))
    }

    /// A node, and the guard that it was found under. (A function of its own, so that no guard
    /// is ever a part of a future.)
    fn find(&self, hash: u64, key: &K) -> Option<(NonNull<Node<K, V>>, Guard)> {
        let guard = epoch::pin_to_read();
        let node = self.raw.get(hash, |other| other == key, &guard).map(Ref::node)?;
        Some((node, guard))
    }
}

/// A claim, and the future that computes its value, as long as there is one.
struct Own<'a, K, V, Fut> {
    claim: Claim<'a, K, V, TaskHolder>,
    future: Pin<&'a mut Option<Fut>>,
}

impl<K, V, Fut> Drop for Own<'_, K, V, Fut> {
    /// The computation is cancelled in the middle, if there is a future.
    fn drop(&mut self) {
        if self.future.is_none() {
            return;
        }
        // First, so that the future's drop does not wait for the claim.
        self.claim.abandon();
        // It is a part of the computation to the end: what its drop writes does not wait for what else
        // is computed in it, and is dropped after that. (Alone: whoever drops it waits for nothing.)
        let computation = Arc::clone(self.claim.holder().computation());
        let _frame = computation.enter_alone();
        self.future.set(None);
    }
}

/// What became of the wish to claim an absent key.
#[derive(PartialEq, Eq)]
enum Turn {
    Claimed,
    /// It was present.
    Present,
}

fn poll_turn<K: Eq, V>(
    claim: &mut Claim<'_, K, V, TaskHolder>,
    key: &mut Option<K>,
    ticket: &mut Option<Ticket>,
    context: &mut Context<'_>,
) -> Poll<Result<Turn, RecursiveUpdate>> {
    if ticket.as_ref().is_some_and(|ticket| !ticket.is_over(context.waker())) {
        return Poll::Pending;
    }
    *ticket = None;
    let guard = epoch::pin();
    Poll::Ready(match claim.try_take_absent(key, context.waker(), &guard) {
        Ok(Taken::Present(_)) => Ok(Turn::Present),
        Ok(Taken::Claimed) => Ok(Turn::Claimed),
        Ok(Taken::Recursive(length)) => Err(RecursiveUpdate::asked(length)),
        Err(place) => {
            *ticket = Some(place);
            return Poll::Pending;
        }
    })
}
