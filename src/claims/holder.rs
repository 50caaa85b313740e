//! Writing down who holds which claim.

use std::{
    cell::Cell,
    collections::HashMap,
    hash::BuildHasherDefault,
    rc::Rc,
    sync::{Arc, Mutex},
};

use super::{
    actor::{Actor, Computation, Map, lock},
    context::Local,
};

/// Somebody who can hold one claim.
///
/// A claim has a holder in the book whenever it is in its slot, but for the moments right
/// before it is settled (when it is as good as settled: there is nothing that its holder
/// could wait for).
pub(crate) trait Holder {
    /// Called before a bin is locked to put a claim there, whose address is known.
    fn prepare(&mut self, address: usize);

    /// Called instead of `hold` if the claim could not be put into its slot. The holder can be prepared
    /// for another one then.
    fn withdraw(&mut self, address: usize);

    /// Called when the claim is in its slot, while the bin is locked.
    fn hold(&mut self, address: usize);

    /// Called before a claim is settled.
    fn release(&mut self, address: usize);
}

/// A thread that runs a closure, or holds an entry.
pub(crate) struct ThreadHolder {
    local: Rc<Local>,
    /// Where the claim is written down, or is going to be, or `NOWHERE`.
    cell: usize,
    /// The poll within which it was taken, or zero.
    frame: Cell<u64>,
    /// Whether it can be kept beyond the function that takes it.
    kept: Cell<bool>,
}

const NOWHERE: usize = usize::MAX;

impl ThreadHolder {
    /// For a closure.
    #[inline]
    pub(crate) fn closure() -> ThreadHolder {
        ThreadHolder::new(false)
    }

    /// For an entry.
    #[inline]
    pub(crate) fn entry() -> ThreadHolder {
        ThreadHolder::new(true)
    }

    #[inline(always)]
    fn new(kept: bool) -> ThreadHolder {
        let (frame, kept) = (Cell::new(0), Cell::new(kept));
        ThreadHolder { local: Local::mine(), cell: NOWHERE, frame, kept }
    }

    /// The claim is no part any more of the poll in which it was taken.
    #[inline]
    fn settle_within(&self, address: usize) {
        if self.frame.get() != 0 {
            self.local.settle_within(address, self.kept.get(), self.frame.get());
            self.frame.set(0);
        }
    }

    /// Has the claim of an entry count as that of a closure, as long as the result lives: a
    /// closure of the entry's runs, which ends before the entry does anything else.
    pub(crate) fn run(&self) -> Running<'_> {
        let address = self.local.address_in(self.cell);
        let taken = self.frame.replace(self.local.frame());
        let within = if taken == 0 { None } else { self.local.thread.within().remove(&address) };
        self.local.count_as(false);
        self.kept.set(false);
        if self.frame.get() != 0 {
            self.local.take_within(address, false);
        }
        Running { holder: self, address, taken, within }
    }
}

/// See [`ThreadHolder::run`].
pub(crate) struct Running<'h> {
    holder: &'h ThreadHolder,
    address: usize,
    /// The poll within which the entry was taken, and of which computation.
    taken: u64,
    within: Option<Arc<Computation>>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let ThreadHolder { local, frame, kept, .. } = self.holder;
        if frame.get() != 0 {
            local.settle_within(self.address, false, frame.get());
        }
        local.count_as(true);
        kept.set(true);
        // It is a part of what it was a part of before.
        frame.set(self.taken);
        if let Some(computation) = self.within.take() {
            local.thread.within().insert(self.address, computation);
        }
    }
}

impl Holder for ThreadHolder {
    #[inline]
    fn prepare(&mut self, address: usize) {
        // So that nothing is allocated when the claim is held.
        self.cell = self.local.make_room();
        self.frame.set(self.local.frame());
        if self.frame.get() != 0 {
            self.local.take_within(address, self.kept.get());
        }
    }

    #[inline]
    fn withdraw(&mut self, address: usize) {
        self.settle_within(address);
        self.cell = NOWHERE;
    }

    #[inline]
    fn hold(&mut self, address: usize) {
        self.local.hold(self.cell, address, self.kept.get());
    }

    #[inline]
    fn release(&mut self, address: usize) {
        self.settle_within(address);
        if self.cell != NOWHERE {
            self.local.release(self.cell, self.kept.get());
            self.cell = NOWHERE;
        }
    }
}

/// A task that drives a future. It claims absent keys alone: their nodes are new, so the
/// address can be written down before the claim is to be seen.
pub(crate) struct TaskHolder(Arc<Computation>);

impl TaskHolder {
    /// A computation in the context of the calling code.
    pub(crate) fn new() -> TaskHolder {
        TaskHolder(Computation::begin())
    }

    /// A computation that is no part of any other, and must be polled with `enter_alone`.
    pub(crate) fn alone() -> TaskHolder {
        TaskHolder(Computation::alone())
    }

    pub(crate) fn computation(&self) -> &Arc<Computation> {
        &self.0
    }
}

impl Holder for TaskHolder {
    fn prepare(&mut self, address: usize) {
        lock(shard(address)).insert(address, Arc::clone(&self.0));
    }

    fn withdraw(&mut self, address: usize) {
        self.release(address);
    }

    fn hold(&mut self, _address: usize) {}

    fn release(&mut self, address: usize) {
        // Dropped after the lock.
        let _computation = lock(shard(address)).remove(&address);
    }
}

impl Drop for TaskHolder {
    fn drop(&mut self) {
        self.0.end();
    }
}

type Shard = Mutex<Map<Arc<Computation>>>;

/// The claims of tasks. Locks of std's also under loom, whose threads are never switched
/// while one is held.
static TASKS: [Shard; 64] =
    [const { Mutex::new(HashMap::with_hasher(BuildHasherDefault::new())) }; 64];

fn shard(address: usize) -> &'static Shard {
    // Nodes are some 16 to 256 bytes apart.
    &TASKS[(address >> 4 ^ address >> 10) % TASKS.len()]
}

/// The task that holds a claim.
pub(super) fn task(address: usize) -> Option<Actor> {
    lock(shard(address)).get(&address).map(|computation| Actor::Task(Arc::clone(computation)))
}

/// Strikes out a claim that has been leaked.
pub(super) fn forget_task(address: usize) {
    let _computation = lock(shard(address)).remove(&address);
}
