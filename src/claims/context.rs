//! In what context code runs: what is not settled while it waits.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    rc::Rc,
    sync::Arc,
};

use super::{
    actor::{Actor, Computation, Thread},
    waits,
};
use crate::sync::Ordering;

/// What a thread knows about itself.
pub(super) struct Local {
    pub(super) thread: Arc<Thread>,
    /// How many closures are running that compute values.
    closures: Cell<usize>,
    /// How many entries the thread holds.
    entries: Cell<usize>,
    /// A cell that is likely to be vacant: claims are most often settled last to first.
    next: Cell<usize>,
    /// The computations whose futures are being polled, the outermost first.
    frames: RefCell<Vec<Polled>>,
    /// The number of the last of these, or zero.
    frame: Cell<u64>,
    frames_ever: Cell<u64>,
    /// Computations that the thread has begun to drive in the middle of something.
    driven: RefCell<Vec<Drive>>,
    /// The largest number of closures that were running at that.
    driving: Cell<usize>,
    /// Whether entries were held at that.
    driving_under_entries: Cell<bool>,
}

/// A computation that is driven, and in the middle of what.
struct Drive {
    computation: Arc<Computation>,
    busy: Busy,
}

impl Drive {
    /// The computation goes on in another context, unless it has done so by now, driven by
    /// somebody else or by another closure.
    fn hand_over(&self, to: Context) {
        let is_on = |context: &Context| match context {
            Context::Thread(busy) => {
                Arc::ptr_eq(&busy.thread, &self.busy.thread) && busy.closures == self.busy.closures
            }
            Context::Free | Context::Task(_) => false,
        };
        self.computation.move_to(to, is_on);
    }
}

/// One poll of a computation's future.
struct Polled {
    computation: Arc<Computation>,
    number: u64,
    /// Closures that have begun during the poll and are running.
    closures: usize,
}

impl Local {
    fn new() -> Local {
        let thread = Arc::new(Thread::new());
        waits::register(&thread);
        Local {
            thread,
            closures: Cell::new(0),
            entries: Cell::new(0),
            next: Cell::new(0),
            frames: RefCell::default(),
            frame: Cell::new(0),
            frames_ever: Cell::new(0),
            driven: RefCell::default(),
            driving: Cell::new(0),
            driving_under_entries: Cell::new(false),
        }
    }

    fn holds_nothing(&self) -> bool {
        self.closures.get() == 0 && self.entries.get() == 0
    }

    /// Sees to it that one more claim can be written down without allocating, and says where.
    #[inline]
    pub(super) fn make_room(&self) -> usize {
        let next = self.next.get();
        if self.read(next) == 0 { next } else { self.find_room() }
    }

    #[cold]
    fn find_room(&self) -> usize {
        (0..).find(|&index| self.read(index) == 0).expect("memory ends before numbers do")
    }

    #[inline]
    fn read(&self, index: usize) -> usize {
        // Relaxed: the thread's own.
        self.thread.cell(index).load(Ordering::Relaxed)
    }

    /// Writes a claim down, where `make_room` has said.
    ///
    /// Relaxed stores here and in `release`: see `Thread::holds`.
    #[inline]
    pub(super) fn hold(&self, index: usize, address: usize, kept: bool) {
        self.thread.cell(index).store(address, Ordering::Relaxed);
        self.next.set(index + 1);
        let count = if kept { &self.entries } else { &self.closures };
        count.set(count.get() + 1);
    }

    #[inline]
    pub(super) fn release(&self, index: usize, kept: bool) {
        let entry = if kept { self.read(index) } else { 0 };
        self.thread.cell(index).store(0, Ordering::Relaxed);
        self.next.set(index);
        let count = if kept { &self.entries } else { &self.closures };
        count.set(count.get() - 1);
        if kept && self.driving_under_entries.get() {
            self.let_go_of_entry(entry);
        }
        if self.driving.get() > self.closures.get() {
            self.let_go();
        }
    }

    /// The claim that is written down there.
    pub(super) fn address_in(&self, index: usize) -> usize {
        self.read(index)
    }

    /// Counts the claim of an entry as that of a closure, or again as that of an entry.
    pub(super) fn count_as(&self, kept: bool) {
        let (less, more) = match kept {
            true => (&self.closures, &self.entries),
            false => (&self.entries, &self.closures),
        };
        less.set(less.get() - 1);
        more.set(more.get() + 1);
        // It has not counted while other entries were settled.
        if kept && !self.driven.borrow().is_empty() {
            self.driving_under_entries.set(true);
        }
        if self.driving.get() > self.closures.get() {
            self.let_go();
        }
    }

    /// The poll that the thread is in: its number, or zero.
    #[inline]
    pub(super) fn frame(&self) -> u64 {
        self.frame.get()
    }

    /// Notes that a claim is taken within the poll that the thread is in: by a closure, which
    /// ends before the poll does, or by an entry, which can be kept in the future.
    #[cold]
    pub(super) fn take_within(&self, address: usize, kept: bool) {
        if let Some(frame) = self.frames.borrow_mut().last_mut() {
            if kept {
                self.thread.within().insert(address, Arc::clone(&frame.computation));
            } else {
                frame.closures += 1;
            }
        }
    }

    /// Notes that such a claim is settled, in whatever poll.
    #[cold]
    pub(super) fn settle_within(&self, address: usize, kept: bool, number: u64) {
        if kept {
            let _computation = self.thread.within().remove(&address);
            return;
        }
        let mut frames = self.frames.borrow_mut();
        if let Some(frame) = frames.iter_mut().find(|frame| frame.number == number) {
            frame.closures -= 1;
        }
    }

    /// Notes that the thread drives a computation in the middle of this.
    fn drive(&self, computation: &Arc<Computation>, busy: &Busy) {
        let mut driven = self.driven.borrow_mut();
        // A closure can drive a great many, one after another.
        if driven.len() == driven.capacity() {
            let mut known = HashSet::new();
            let mut all = driven.drain(..).rev().collect::<Vec<_>>();
            all.retain(|drive| {
                let id = (Arc::as_ptr(&drive.computation), drive.busy.closures);
                // Others have it, too, unless it has ended.
                Arc::strong_count(&drive.computation) > 1 && known.insert(id)
            });
            driven.extend(all.into_iter().rev());
        }
        driven.push(Drive { computation: Arc::clone(computation), busy: busy.clone() });
        self.driving.set(self.driving.get().max(busy.closures));
        if self.entries.get() > 0 {
            self.driving_under_entries.set(true);
        }
    }

    /// What closures have driven that are running no longer, they do not wait for any more.
    #[cold]
    fn let_go(&self) {
        let closures = self.closures.get();
        let (over, still): (Vec<_>, Vec<_>) =
            self.driven.take().into_iter().partition(|drive| drive.busy.closures > closures);
        self.driving.set(still.iter().map(|drive| drive.busy.closures).max().unwrap_or(0));
        for drive in over {
            // A closure around the one that has ended may have driven it before.
            let around = still
                .iter()
                .rfind(|other| Arc::ptr_eq(&other.computation, &drive.computation))
                .map_or(Context::Free, |other| Context::Thread(other.busy.clone()));
            drive.hand_over(around);
        }
        self.driven.replace(still);
    }

    /// An entry that has been settled waits for nothing any more.
    #[cold]
    fn let_go_of_entry(&self, address: usize) {
        let mut all = self.driven.take();
        all.retain_mut(|drive| {
            if !drive.busy.claims.contains(&address) {
                return true;
            }
            drive.busy.claims.retain(|claim| *claim != address);
            let is_over = drive.busy.claims.is_empty();
            let busy = || Context::Thread(drive.busy.clone());
            drive.hand_over(if is_over { Context::Free } else { busy() });
            !is_over
        });
        self.driving_under_entries.set(self.entries.get() > 0 && !all.is_empty());
        self.driven.replace(all);
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // Loom ends its statics before the locals of its threads, so there they stay registered.
        if !cfg!(binlock_loom) {
            waits::unregister(&self.thread);
        }
        #[cfg(not(any(binlock_loom, binlock_shuttle)))]
        if std::ptr::eq(LATE.get(), self) {
            LATE.set(std::ptr::null());
        }
    }
}

#[cfg(not(any(binlock_loom, binlock_shuttle)))]
thread_local! {
    static LOCAL: Mine = Mine(Rc::new(Local::new()));
    /// What stands in for that when it has been destroyed, as long as somebody uses it: the
    /// same, if a claim is left, or another one. From `Rc::as_ptr`. Without a destructor, so
    /// that it is there in others' destructors.
    static LATE: Cell<*const Local> = const { Cell::new(std::ptr::null()) };
}

#[cfg(not(any(binlock_loom, binlock_shuttle)))]
struct Mine(Rc<Local>);

#[cfg(not(any(binlock_loom, binlock_shuttle)))]
impl Drop for Mine {
    fn drop(&mut self) {
        // Claims are left, in other thread-locals.
        if Rc::strong_count(&self.0) > 1 {
            LATE.set(Rc::as_ptr(&self.0));
        }
    }
}

#[cfg(not(any(binlock_loom, binlock_shuttle)))]
impl Local {
    #[inline]
    pub(super) fn mine() -> Rc<Local> {
        LOCAL.try_with(|mine| Rc::clone(&mine.0)).unwrap_or_else(|_| Local::late())
    }

    #[cold]
    fn late() -> Rc<Local> {
        let late = LATE.get();
        if late.is_null() {
            let local = Rc::new(Local::new());
            LATE.set(Rc::as_ptr(&local));
            return local;
        }
        // SAFETY: from `Rc::as_ptr`, on this thread, and the drop of what it points to would
        // have cleared it: so there is still an `Rc` to it.
        unsafe {
            Rc::increment_strong_count(late);
            Rc::from_raw(late)
        }
    }
}

#[cfg(binlock_loom)]
loom::thread_local! {
    static LOCAL: Rc<Local> = Rc::new(Local::new());
}

#[cfg(binlock_shuttle)]
shuttle::thread_local! {
    static LOCAL: Rc<Local> = Rc::new(Local::new());
}

#[cfg(any(binlock_loom, binlock_shuttle))]
impl Local {
    pub(super) fn mine() -> Rc<Local> {
        LOCAL.with(Rc::clone)
    }
}

impl Computation {
    /// Marks the calling thread as polling this computation's future, as long as the result
    /// lives.
    pub(crate) fn enter(self: &Arc<Self>) -> Frame {
        // It may be polled by others than before.
        self.adopt(&Context::of_task());
        self.enter_alone()
    }

    /// The same for a computation that belongs to all who wait for it: it is no part of what
    /// polls it just now, which waits for it as the others do.
    pub(crate) fn enter_alone(self: &Arc<Self>) -> Frame {
        let local = Local::mine();
        let number = local.frames_ever.get() + 1;
        local.frames_ever.set(number);
        local.frame.set(number);
        let computation = Arc::clone(self);
        local.frames.borrow_mut().push(Polled { computation, number, closures: 0 });
        Frame(local)
    }
}

/// See [`Computation::enter`].
pub(crate) struct Frame(Rc<Local>);

impl Drop for Frame {
    fn drop(&mut self) {
        let mut frames = self.0.frames.borrow_mut();
        // Dropped after the borrow.
        let _frame = frames.pop();
        self.0.frame.set(frames.last().map_or(0, |frame| frame.number));
        drop(frames);
    }
}

/// What cannot go on while something is waited for.
#[derive(Clone)]
pub(super) enum Context {
    /// Nothing that anybody waits for.
    Free,
    /// What a thread does.
    Thread(Busy),
    /// One computation. Others of the same task go on.
    Task(Arc<Computation>),
}

/// A thread in the middle of something.
#[derive(Clone)]
pub(super) struct Busy {
    pub(super) thread: Arc<Thread>,
    /// How many closures are running. The last of them waits, or what it polls to get its
    /// value.
    pub(super) closures: usize,
    /// The claims that it holds, none of which is settled before this is over.
    pub(super) claims: Vec<usize>,
    /// The computations whose futures it is polling, the outermost first.
    polled: Vec<Arc<Computation>>,
    /// Whether it is about to sleep. Otherwise it is in a closure, and what it polls in there
    /// to get its value waits.
    sleeps: bool,
}

/// Tells contexts apart, and the same context before and after it became a part of another
/// one, or there were more claims that wait for it.
#[derive(PartialEq)]
pub(super) struct ContextId {
    actor: usize,
    stamp: u64,
    closures: usize,
    claims: Vec<usize>,
}

/// Whether the calling thread is in the middle of something.
pub(super) fn is_busy() -> bool {
    let local = Local::mine();
    !local.holds_nothing() || local.frame.get() != 0
}

impl Context {
    /// For code that is about to block the thread.
    pub(super) fn of_thread() -> Context {
        if !is_busy() {
            return Context::Free;
        }
        Context::Thread(Busy::new(&Local::mine(), true))
    }

    /// For a future that is about to return `Pending`.
    ///
    /// If a closure is running that has begun since the thread began to poll, it is taken to
    /// be driving the future to its end: it computes with `block_on`.
    pub(super) fn of_task() -> Context {
        let local = Local::mine();
        let frames = local.frames.borrow();
        match frames.last() {
            Some(frame) if frame.closures == 0 => Context::Task(Arc::clone(&frame.computation)),
            None if local.holds_nothing() => Context::Free,
            _ => {
                drop(frames);
                Context::Thread(Busy::new(&local, false))
            }
        }
    }

    /// Who is not done before a computation is that runs here: the thread whose closure drives
    /// it, and the computations in whose polls that closure runs; or the one that it is polled
    /// in.
    pub(super) fn parents(&self) -> Vec<Actor> {
        match self {
            Context::Free => Vec::new(),
            Context::Thread(busy) => {
                let polled = busy.polled.iter().cloned().map(Actor::Task);
                std::iter::once(Actor::Thread(Arc::clone(&busy.thread))).chain(polled).collect()
            }
            Context::Task(task) => vec![Actor::Task(Arc::clone(task))],
        }
    }

    /// The computation that a computation is a part of that runs here.
    pub(super) fn task(&self) -> Option<Arc<Computation>> {
        match self {
            Context::Free => None,
            Context::Thread(busy) => busy.polled.last().cloned(),
            Context::Task(task) => Some(Arc::clone(task)),
        }
    }

    pub(super) fn is_same(&self, other: &Context) -> bool {
        match (self, other) {
            (Context::Free, Context::Free) => true,
            (Context::Thread(one), Context::Thread(other)) => {
                let same = |(one, other)| Arc::ptr_eq(one, other);
                Arc::ptr_eq(&one.thread, &other.thread)
                    && (one.closures, &one.claims) == (other.closures, &other.claims)
                    && one.polled.len() == other.polled.len()
                    && one.polled.iter().zip(&other.polled).all(same)
            }
            (Context::Task(one), Context::Task(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    pub(super) fn id(&self) -> ContextId {
        match self {
            Context::Free => ContextId { actor: 0, stamp: 0, closures: 0, claims: Vec::new() },
            Context::Thread(busy) => ContextId {
                actor: Arc::as_ptr(&busy.thread).addr(),
                stamp: busy.polled.iter().map(Computation::stamp).max().unwrap_or(0),
                closures: busy.closures,
                claims: busy.claims.clone(),
            },
            Context::Task(task) => ContextId {
                actor: Arc::as_ptr(task).addr(),
                stamp: task.stamp(),
                closures: 0,
                claims: Vec::new(),
            },
        }
    }

    /// Notes that the closure that is running, if there is one, drives a computation.
    pub(super) fn note(&self, computation: &Arc<Computation>) {
        if let Context::Thread(busy) = self {
            Local::mine().drive(computation, busy);
        }
    }
}

impl Busy {
    fn new(local: &Local, sleeps: bool) -> Busy {
        let frames = local.frames.borrow();
        Busy {
            thread: Arc::clone(&local.thread),
            closures: local.closures.get(),
            claims: local.thread.claims(),
            polled: frames.iter().map(|frame| Arc::clone(&frame.computation)).collect(),
            sleeps,
        }
    }

    /// Whether a computation gets nowhere meanwhile: it is being polled, or is part of what is,
    /// or is driven by this thread's closures. If the thread does not sleep, the innermost
    /// closure goes on driving others.
    pub(super) fn stops(&self, computation: &Arc<Computation>) -> bool {
        let mut next = Some(Arc::clone(computation));
        while let Some(computation) = next {
            if self.polled.iter().any(|polled| Arc::ptr_eq(polled, &computation)) {
                return true;
            }
            let context = computation.context();
            if let Context::Thread(driver) = &context {
                if Arc::ptr_eq(&driver.thread, &self.thread) {
                    return self.sleeps || driver.closures < self.closures;
                }
            }
            next = context.task();
        }
        false
    }
}
