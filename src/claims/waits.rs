//! The queue of those who sleep until a claim is settled: threads and tasks alike.
//!
//! # No wake-up is lost
//!
//! Who wants to wait takes the lock of the queue first. Holding that he locks the claim's
//! bin, sees that the claim is still in its slot, and sets the bin's `WAITED` bit. Then he
//! enters the queue, and only then lets go of it. Who takes a claim out of its slot (under
//! the bin's lock, without the queue's) sees the bit if that comes second, and goes to the
//! queue afterwards; he gets there when the other has entered. If it comes first, the other
//! does not find the claim and does not wait.
//!
//! # Fairness
//!
//! All who wait for a claim are woken when it is settled, in the order in which they came,
//! and start again with what they wanted. Most find a value then. Those who need a claim of
//! their own compete for it, with each other and with newcomers.

use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasherDefault,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    task::Waker,
};

use super::{
    actor::{Actor, Computation, Map, Thread},
    context::{self, Busy, Context, ContextId},
    holder,
    signal::Signal,
};
use crate::sync::{Mutex, MutexGuard};

/// Somebody who waits.
struct Wait {
    /// Whose claims are not settled meanwhile.
    actor: Option<Actor>,
    waker: Waker,
}

/// The queue, by the address of what is waited for, and what is asked about it.
pub(super) struct Waits {
    /// Of each, those who wait, in the order in which they came. There may be thousands, each of
    /// whom is looked for whenever he is polled.
    queues: Map<BTreeMap<u64, Wait>>,
    /// What each asynchronous computation waits for: the same as in `queues`.
    pub(super) edges: Map<Vec<usize>>,
    /// What threads wait for in the middle of something: the same.
    pub(super) busy: Vec<BusyWait>,
    /// Claims that plain writes have overtaken, with the length of the cycle, until their
    /// holders learn about it.
    overtaken: Map<usize>,
    /// All threads that have ever claimed or waited, and live.
    pub(super) threads: Vec<Arc<Thread>>,
    next_id: u64,
}

/// A wait of a thread that is in the middle of something.
pub(super) struct BusyWait {
    id: u64,
    /// The claim that it waits for.
    pub(super) address: usize,
    pub(super) busy: Busy,
}

impl Waits {
    const fn new() -> Waits {
        Waits {
            queues: HashMap::with_hasher(BuildHasherDefault::new()),
            edges: HashMap::with_hasher(BuildHasherDefault::new()),
            busy: Vec::new(),
            overtaken: HashMap::with_hasher(BuildHasherDefault::new()),
            threads: Vec::new(),
            next_id: 0,
        }
    }

    /// Who must go on for a claim to be settled; nobody, if it is being settled.
    pub(super) fn holders(&self, address: usize) -> Vec<Actor> {
        if let Some(task) = holder::task(address) {
            return vec![task];
        }
        let Some(thread) = self.threads.iter().find(|thread| thread.holds(address)) else {
            return Vec::new();
        };
        let within = thread.within().get(&address).cloned();
        let thread = Actor::Thread(Arc::clone(thread));
        [thread].into_iter().chain(within.map(Actor::Task)).collect()
    }

    /// Takes somebody out of the book who waits no longer.
    fn leave(&mut self, address: usize, id: u64, wait: &Wait) {
        match &wait.actor {
            None => {}
            Some(Actor::Thread(_)) => self.busy.retain(|other| other.id != id),
            Some(actor) => {
                if let Some(edges) = self.edges.get_mut(&actor.id()) {
                    if let Some(edge) = edges.iter().position(|edge| *edge == address) {
                        edges.swap_remove(edge);
                    }
                    if edges.is_empty() {
                        self.edges.remove(&actor.id());
                    }
                }
            }
        }
    }
}

#[cfg(not(any(binlock_loom, binlock_shuttle)))]
static WAITS: Mutex<Waits> = Mutex::new(Waits::new());
#[cfg(binlock_loom)]
loom::lazy_static! {
    static ref WAITS: Mutex<Waits> = Mutex::new(Waits::new());
}
#[cfg(binlock_shuttle)]
shuttle::lazy_static! {
    static ref WAITS: Mutex<Waits> = Mutex::new(Waits::new());
}

/// The book. While it is held, no user code is run, wakers included, and nothing waited for
/// but bins' locks.
fn waits() -> MutexGuard<'static, Waits> {
    // Nothing panics under the lock (out of memory aborts), so it is not poisoned.
    WAITS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// What becomes of somebody who wants to wait.
pub(crate) enum Verdict {
    /// He is in the queue.
    Wait(Ticket),
    /// There is nothing to wait for any more.
    Settled,
    /// He would wait for himself, through so many waits: one, if the claim is his own.
    Recursive(usize),
}

/// A place in the queue.
pub(crate) struct Ticket {
    address: usize,
    id: u64,
    /// The bed, if it is a thread's place.
    signal: Option<Arc<Signal>>,
    /// In what context it was taken.
    context: ContextId,
    /// Somebody has taken it out of the queue.
    is_over: bool,
}

/// Whether the thread is in the middle of a computation.
pub(crate) fn is_nested() -> bool {
    context::is_busy()
}

/// Has the calling thread wait for a claim, unless that would never end. `mark` makes sure
/// that whoever settles it will come to [`wake`], and is false if it is settled already.
pub(crate) fn enlist_thread(address: usize, mark: impl FnOnce() -> bool) -> Verdict {
    let signal = Signal::new();
    let waker = signal.waker();
    enlist(address, Context::of_thread(), waker, Some(signal), mark)
}

/// The same for a task, whose waker will be called.
pub(crate) fn enlist_task(address: usize, waker: &Waker, mark: impl FnOnce() -> bool) -> Verdict {
    enlist(address, Context::of_task(), waker.clone(), None, mark)
}

fn enlist(
    address: usize,
    context: Context,
    waker: Waker,
    signal: Option<Arc<Signal>>,
    mark: impl FnOnce() -> bool,
) -> Verdict {
    let context_id = context.id();
    let mut waits = waits();
    if !mark() {
        return Verdict::Settled;
    }
    if let Some(length) = waits.cycle(&context, address) {
        return Verdict::Recursive(length);
    }
    let id = waits.next_id;
    waits.next_id += 1;
    let actor = match context {
        Context::Free => None,
        Context::Thread(busy) => {
            let thread = Arc::clone(&busy.thread);
            waits.busy.push(BusyWait { id, address, busy });
            Some(Actor::Thread(thread))
        }
        Context::Task(computation) => {
            let actor = Actor::Task(computation);
            waits.edges.entry(actor.id()).or_default().push(address);
            Some(actor)
        }
    };
    waits.queues.entry(address).or_default().insert(id, Wait { actor, waker });
    Verdict::Wait(Ticket { address, id, signal, context: context_id, is_over: false })
}

impl Ticket {
    /// Sleeps until the claim has been settled.
    pub(crate) fn sleep(mut self) {
        if let Some(signal) = self.signal.take() {
            signal.sleep();
        }
        // By whoever woke the thread.
        self.is_over = true;
    }

    /// Whether the claim has been settled, or the future is polled in another context by now,
    /// in which it has to ask anew; if not, this waker will be called.
    pub(crate) fn is_over(&self, waker: &Waker) -> bool {
        if self.context != Context::of_task().id() {
            return true;
        }
        // Wakers are cloned and dropped outside of the lock.
        let mut waker = waker.clone();
        let mut waits = waits();
        let queue = waits.queues.get_mut(&self.address);
        match queue.and_then(|queue| queue.get_mut(&self.id)) {
            Some(wait) => {
                std::mem::swap(&mut wait.waker, &mut waker);
                drop(waits);
                false
            }
            None => {
                drop(waits);
                true
            }
        }
    }
}

/// Leaves the queue without having been woken.
impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut waits = waits();
        let Some(queue) = waits.queues.get_mut(&self.address) else { return };
        let Some(wait) = queue.remove(&self.id) else { return };
        if queue.is_empty() {
            waits.queues.remove(&self.address);
        }
        waits.leave(self.address, self.id, &wait);
        drop(waits);
        drop(wait);
    }
}

/// Wakes all who wait for a claim that is not in its slot any more.
#[cold]
pub(crate) fn wake(address: usize) {
    let mut waits = waits();
    let Some(queue) = waits.queues.remove(&address) else { return };
    for (id, wait) in &queue {
        waits.leave(address, *id, wait);
    }
    drop(waits);
    for wait in queue.into_values() {
        call(wait.waker);
    }
}

/// Calls a waker, which is somebody else's code. If it panics, the others are called all the
/// same, and the panic, which is about a task of that somebody, has been reported by the panic
/// hook.
fn call(waker: Waker) {
    if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        std::mem::forget(payload);
    }
}

/// Has all that a computation and those inside it wait for be asked for again.
pub(super) fn disturb(computation: &Arc<Computation>) {
    let descendants = computation.descendants();
    let mut wakers = Vec::new();
    let mut waits = waits();
    let Waits { edges, queues, .. } = &mut *waits;
    for id in descendants.iter().map(|one| Arc::as_ptr(one).addr()) {
        for address in edges.get(&id).into_iter().flatten() {
            for wait in queues.get_mut(address).into_iter().flat_map(BTreeMap::values_mut) {
                if wait.actor.as_ref().is_some_and(|actor| actor.id() == id) {
                    // They stay in the queue, and leave another waker when they are polled.
                    wakers.push(std::mem::replace(&mut wait.waker, Waker::noop().clone()));
                }
            }
        }
    }
    drop(waits);
    wakers.into_iter().for_each(call);
}

/// Goes ahead of a claim by `overtake`, which says whether the claim was still there. Its
/// holder, when he finds it gone, finds the length here.
pub(crate) fn overtaking(address: usize, length: usize, overtake: impl FnOnce() -> bool) -> bool {
    let mut waits = waits();
    let overtaken = overtake();
    if overtaken {
        waits.overtaken.insert(address, length);
    }
    overtaken
}

/// Through how many waits the claim, which is gone, was overtaken.
#[cold]
pub(crate) fn overtaken_through(address: usize) -> usize {
    waits().overtaken.remove(&address).unwrap_or(1)
}

/// Strikes out a claim that has been leaked: its address may be another's tomorrow.
pub(crate) fn forget(address: usize) {
    let mut waits = waits();
    for thread in &waits.threads {
        thread.forget(address);
    }
    holder::forget_task(address);
    waits.overtaken.remove(&address);
    // Who waited for it has been leaked, too.
    let queue = waits.queues.remove(&address).unwrap_or_default();
    for (id, wait) in &queue {
        waits.leave(address, *id, wait);
    }
    drop(waits);
    drop(queue);
}

pub(super) fn register(thread: &Arc<Thread>) {
    waits().threads.push(Arc::clone(thread));
}

pub(super) fn unregister(thread: &Arc<Thread>) {
    let mut waits = waits();
    let at = waits.threads.iter().position(|other| Arc::ptr_eq(other, thread));
    // Dropped after the lock.
    let _thread = at.map(|at| waits.threads.swap_remove(at));
    drop(waits);
}
