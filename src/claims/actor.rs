//! Actors: threads and asynchronous computations.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, DefaultHasher},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::{
    context::{Busy, Context},
    waits,
};
use crate::sync::{AtomicUsize, Ordering};

/// Who holds claims and waits for others: while an actor waits, its claims are not settled.
#[derive(Clone)]
pub(super) enum Actor {
    /// All that a thread holds, it cannot settle while it sleeps.
    Thread(Arc<Thread>),
    /// A future: tasks can have several at once.
    Task(Arc<Computation>),
}

impl Actor {
    /// Tells actors apart.
    pub(super) fn id(&self) -> usize {
        match self {
            Actor::Thread(thread) => Arc::as_ptr(thread).addr(),
            Actor::Task(computation) => Arc::as_ptr(computation).addr(),
        }
    }

    /// The asynchronous computations that this actor drives: it is not done before they are.
    pub(super) fn children(&self) -> MutexGuard<'_, Map<Arc<Computation>>> {
        lock(match self {
            Actor::Thread(thread) => &thread.children,
            Actor::Task(computation) => &computation.children,
        })
    }
}

/// By addresses.
pub(super) type Map<V> = HashMap<usize, V, BuildHasherDefault<DefaultHasher>>;

/// Nothing panics under these locks, and what they guard is whole at any time.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What others may know about a thread.
pub(super) struct Thread {
    /// The claims that the thread holds: addresses, or zero. Only the thread writes here.
    first: [AtomicUsize; FIRST],
    /// More of them. Bucket `n` has `FIRST << n` cells, so that cells stay where they are.
    buckets: [OnceLock<Box<[AtomicUsize]>>; BUCKETS],
    /// Those that it has taken while it polled a computation's future. They can be kept in
    /// there (an entry), and are not settled before the computation goes on.
    within: Mutex<Map<Arc<Computation>>>,
    /// Computations that it drives to their end from within a closure (`block_on`).
    children: Mutex<Map<Arc<Computation>>>,
}

#[cfg(not(binlock_loom))]
const FIRST: usize = 8;
#[cfg(binlock_loom)]
const FIRST: usize = 2;
/// Enough for more nested computations than there is memory.
const BUCKETS: usize = 48;

impl Thread {
    pub(super) fn new() -> Thread {
        Thread {
            first: std::array::from_fn(|_| AtomicUsize::new(0)),
            buckets: [const { OnceLock::new() }; BUCKETS],
            within: Mutex::default(),
            children: Mutex::default(),
        }
    }

    /// Where the thread's claim number `index` is written down.
    #[inline(always)]
    pub(super) fn cell(&self, index: usize) -> &AtomicUsize {
        match self.first.get(index) {
            Some(cell) => cell,
            None => self.further_cell(index - FIRST),
        }
    }

    #[cold]
    fn further_cell(&self, index: usize) -> &AtomicUsize {
        let bucket = (index / FIRST + 1).ilog2();
        let len = FIRST << bucket;
        let cells = self.buckets[bucket as usize]
            .get_or_init(|| (0..len).map(|_| AtomicUsize::new(0)).collect());
        &cells[index - (len - FIRST)]
    }

    fn cells(&self) -> impl Iterator<Item = &AtomicUsize> {
        self.first.iter().chain(self.buckets.iter().map_while(OnceLock::get).flatten())
    }

    /// Whether the thread holds the claim.
    pub(super) fn holds(&self, address: usize) -> bool {
        // Relaxed: whoever asks has been told of the claim by way of a bin's lock or the
        // lock of `waits`, in which its holder was after writing the cell.
        self.cells().any(|cell| cell.load(Ordering::Relaxed) == address)
    }

    /// All that the thread holds. (For the thread itself, or while it does nothing else.)
    pub(super) fn claims(&self) -> Vec<usize> {
        let claims = self.cells().map(|cell| cell.load(Ordering::Relaxed));
        claims.filter(|claim| *claim != 0).collect()
    }

    /// Strikes out a claim that has been leaked.
    pub(super) fn forget(&self, address: usize) {
        for cell in self.cells().filter(|cell| cell.load(Ordering::Relaxed) == address) {
            // Fails if the owner is just writing the cell, which is then another claim's.
            let _ = cell.compare_exchange(address, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
        let _computation = self.within().remove(&address);
    }

    pub(super) fn within(&self) -> MutexGuard<'_, Map<Arc<Computation>>> {
        lock(&self.within)
    }
}

/// An asynchronous computation: a claim whose value a future computes.
pub(crate) struct Computation {
    place: Mutex<Place>,
    children: Mutex<Map<Arc<Computation>>>,
}

/// Where a computation goes on.
struct Place {
    /// The context that it was last polled in.
    context: Context,
    /// Differs from all other places that any computation has ever had, and is later than
    /// those before.
    stamp: u64,
}

fn next_stamp() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    // Relaxed: nothing but the number is read.
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Computation {
    /// A computation in the context of the calling code.
    pub(super) fn begin() -> Arc<Computation> {
        let computation = Computation::alone();
        computation.adopt(&Context::of_task());
        computation
    }

    /// A computation that is no part of any other.
    pub(super) fn alone() -> Arc<Computation> {
        let place = Place { context: Context::Free, stamp: next_stamp() };
        Arc::new(Computation { place: Mutex::new(place), children: Mutex::default() })
    }

    /// It has no claim any more.
    pub(super) fn end(self: &Arc<Self>) {
        self.move_to(Context::Free, |_| true);
    }

    /// Makes it a part of what the context is a part of, and of nothing else.
    pub(super) fn adopt(self: &Arc<Self>, context: &Context) {
        if !self.move_to(context.clone(), |_| true) {
            return;
        }
        context.note(self);
        if !matches!(context, Context::Free) {
            // What it waits for, it has to ask for again: it may have closed a cycle.
            waits::disturb(self);
        }
    }

    /// The same, and no more: for contexts in which nothing more depends on it than before.
    /// `false` if it has been there already, or is not where it is to be moved from.
    pub(super) fn move_to(
        self: &Arc<Self>,
        context: Context,
        from: impl FnOnce(&Context) -> bool,
    ) -> bool {
        let mut place = lock(&self.place);
        if !from(&place.context) || place.context.is_same(&context) {
            return false;
        }
        place.stamp = next_stamp();
        let before = std::mem::replace(&mut place.context, context.clone());
        drop(place);
        let id = Arc::as_ptr(self).addr();
        for parent in before.parents() {
            let _computation = parent.children().remove(&id);
        }
        for parent in context.parents() {
            parent.children().insert(id, Arc::clone(self));
        }
        true
    }

    pub(super) fn context(&self) -> Context {
        lock(&self.place).context.clone()
    }

    /// Whether a thread drives it, in the middle of such a thing.
    pub(super) fn is_driven(&self, within: impl FnOnce(&Busy) -> bool) -> bool {
        match &lock(&self.place).context {
            Context::Thread(busy) => within(busy),
            Context::Free | Context::Task(_) => false,
        }
    }

    /// A number that gets larger whenever the computation, or one that it is part of, becomes
    /// part of another one.
    pub(super) fn stamp(self: &Arc<Self>) -> u64 {
        let lineage = std::iter::successors(Some(Arc::clone(self)), |one| one.context().task());
        lineage.map(|computation| lock(&computation.place).stamp).max().unwrap_or(0)
    }

    /// This computation and all that run inside it.
    pub(super) fn descendants(self: &Arc<Self>) -> Vec<Arc<Computation>> {
        let mut all = vec![Arc::clone(self)];
        let mut seen = 0;
        while let Some(computation) = all.get(seen).cloned() {
            seen += 1;
            all.extend(lock(&computation.children).values().cloned());
        }
        all
    }
}
