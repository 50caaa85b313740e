//! Readers that the cache knows how to open, and opens anew when they are old.

use std::sync::Arc;

use super::{
    asynchronous::BoxFuture,
    closing::CloseCause,
    entry::{EntryRef, contained},
    error::{LoadError, Loading, OpenError},
    handle::Handle,
    inner::{Inner, Look},
    limits::{Permit, Reserved},
    opening::Opening,
};
use crate::{claims::ThreadHolder, epoch, raw::Claim};

/// A function of a key.
type OfKey<K, T> = Box<dyn Fn(&K) -> T + Send + Sync>;

/// What opens readers.
pub(super) enum Loader<K, R> {
    None,
    Blocking(OfKey<K, Result<R, LoadError>>),
    Async(OfKey<K, BoxFuture<Result<R, LoadError>>>),
}

/// Work to be done on some other thread.
pub type Job = Box<dyn FnOnce() + Send>;

/// Where readers are opened anew; without one, by whoever notices that they are old.
pub(super) struct Runners {
    pub(super) run: Option<Box<dyn Fn(Job) + Send + Sync>>,
    pub(super) spawn: Option<Box<dyn Fn(BoxFuture<()>) + Send + Sync>>,
}

/// The right to open a reader anew, which one at a time has.
struct Refresh<K, R> {
    inner: Arc<Inner<K, R>>,
    stale: Handle<K, R>,
    /// For the new one.
    key: Option<K>,
    /// How often the cache had been cleared when this began.
    clears: u64,
}

impl<K, R> Drop for Refresh<K, R> {
    fn drop(&mut self) {
        // Contained, because there may be a handle to be returned, which would be leaked.
        contained(|| self.key = None);
        let Some(extra) = self.stale.entry().extra() else { return };
        let mut now = None;
        contained(|| now = Some(self.inner.settings.expiry.now()));
        extra.times.refreshed(now);
    }
}

impl<K, R> Refresh<K, R> {
    /// A place for the new reader. A refresh does not wait for one: the old reader serves.
    fn place(&self) -> Option<Permit<K, R>> {
        match self.inner.reserve(false) {
            Reserved::Place(permit) => Some(permit),
            Reserved::Refused(_) | Reserved::Later(..) => None,
        }
    }

    /// Swaps the readers, if the old one is in the cache still; the reader to go on with.
    fn finish(mut self, result: Result<R, LoadError>, permit: Permit<K, R>) -> Handle<K, R> {
        let stale = self.stale.clone();
        let reader = match result {
            Ok(reader) => reader,
            Err(error) => {
                self.inner.book().failed += 1;
                // While the handle is an ordinary local: it would be leaked otherwise if this
                // panics.
                contained(|| drop(error));
                return stale;
            }
        };
        let Some(key) = self.key.take() else { return stale };
        let inner = &self.inner;
        let hash = stale.entry().hash();
        let (reference, mut opening) =
            Opening::begin(inner, hash, key, ThreadHolder::closure(), |_| {});
        let weight = opening.put(reader);
        // It is open before it is in the map, so that there is one in there all the time; and in
        // no list before the old one is out, so that they do not count both.
        let Some(fresh) = opening.publish_apart(permit) else { return stale };
        if !inner.swap(&stale, reference) {
            // SAFETY: it is held, and not in the map.
            unsafe { inner.take_out(fresh.pointer(), CloseCause::Discarded) };
            return stale;
        }
        let mut book = inner.book();
        // SAFETY: it is held, and not in the map any more.
        unsafe { inner.take_out_of(&mut book, stale.pointer(), CloseCause::Refreshed) };
        // Whoever closes or clears the cache has either found the new one in the map, and taken it
        // out, or has said so in the book before. (He may have met the old one, which was gone
        // when he was about to take it out.)
        if fresh.entry().state.seen().is_found() {
            let entered = if book.clears == self.clears {
                // SAFETY: it is held.
                unsafe { inner.enter(&mut book, fresh.pointer(), weight) }
            } else {
                // SAFETY: it is held.
                unsafe { inner.take_out_of(&mut book, fresh.pointer(), CloseCause::Removed) };
                false
            };
            drop(book);
            if !entered {
                inner.unmap(hash, fresh.pointer(), &epoch::pin());
            }
        } else {
            drop(book);
        }
        inner.balance();
        fresh
    }
}

impl<K, R> Inner<K, R> {
    /// Puts an entry into the map in the place of exactly this one; whether that was there.
    fn swap(&self, old: &Handle<K, R>, new: EntryRef<K, R>) -> bool {
        let guard = epoch::pin();
        let mut claim = Claim::new(&self.map, old.entry().hash(), ThreadHolder::closure());
        let is_there = claim.take_present(|other| other.is(old.pointer()), &mut &guard);
        matches!(is_there, Ok(true)) && claim.replace(new, (), &guard).is_ok()
    }
}

impl<K, R> Inner<K, R>
where
    K: Eq + Clone,
{
    fn refresh_of(self: &Arc<Self>, handle: &Handle<K, R>) -> Option<Refresh<K, R>> {
        let times = &handle.entry().extra()?.times;
        if !times.begin_refresh(&self.settings.expiry) {
            return None;
        }
        let (inner, stale, clears) = (Arc::clone(self), handle.clone(), self.book().clears);
        let mut refresh = Refresh { inner, stale, key: None, clears };
        refresh.key = Some(handle.key().clone());
        Some(refresh)
    }
}

impl<K, R> Inner<K, R>
where
    K: Eq + Clone + Send + Sync + 'static,
    R: Send + Sync + 'static,
{
    /// The reader of a key, opened by the blocking loader.
    pub(super) fn get_or_load(
        self: &Arc<Self>,
        hash: u64,
        key: &K,
    ) -> Result<Handle<K, R>, OpenError<Loading>> {
        let Loader::Blocking(load) = &self.settings.loader else {
            panic!("`get_or_load` on a reader cache that was built without a `loader`");
        };
        let Look::Open(handle) = self.look(hash, |other| other == key, false) else {
            let load = |key: &K| load(key).map_err(Loading);
            return self.get_or_open(hash, key.clone(), load);
        };
        let Some(refresh) = self.refresh_of(&handle) else { return Ok(handle) };
        let Some(permit) = refresh.place() else { return Ok(handle) };
        match &self.settings.runners.run {
            None => {
                let result = load(key);
                Ok(refresh.finish(result, permit))
            }
            Some(run) => {
                run(Box::new(move || {
                    let inner = Arc::clone(&refresh.inner);
                    if let Loader::Blocking(load) = &inner.settings.loader {
                        let result = load(refresh.stale.key());
                        drop(refresh.finish(result, permit));
                    }
                }));
                Ok(handle)
            }
        }
    }

    /// The reader of a key, opened by the asynchronous loader.
    pub(super) async fn get_or_load_async(
        self: &Arc<Self>,
        hash: u64,
        key: &K,
    ) -> Result<Handle<K, R>, OpenError<Loading>> {
        let Loader::Async(load) = &self.settings.loader else {
            panic!(
                "`get_or_load_async` on a reader cache that was built without an `async_loader`"
            );
        };
        let Look::Open(handle) = self.look(hash, |other| other == key, false) else {
            let future = load(key);
            let future = async move { future.await.map_err(Loading) };
            return self.get_or_open_async(hash, key.clone(), future).await;
        };
        let Some(refresh) = self.refresh_of(&handle) else { return Ok(handle) };
        let Some(permit) = refresh.place() else { return Ok(handle) };
        let future = load(key);
        match &self.settings.runners.spawn {
            None => Ok(refresh.finish(future.await, permit)),
            Some(spawn) => {
                spawn(Box::pin(async move {
                    let result = future.await;
                    drop(refresh.finish(result, permit));
                }));
                Ok(handle)
            }
        }
    }
}
