//! Finding out whether somebody would wait for himself.
//!
//! The edges of the graph are: an actor waits for a claim, and so for its holder; a
//! computation is not done before those inside it are; an entry that a thread has taken while
//! it polled a computation is not settled before that goes on; and what a thread is in the
//! middle of polling, or drives from within a closure, cannot go on while the thread sleeps,
//! or before a closure that it has begun since has got what it drives or waits for.
//!
//! A thread's claims are told apart: what it waits for or drives holds up those that it has
//! at that time, and not one that a closure beside that takes later, and settles.
//!
//! Every cycle is closed by a wait, and every wait is checked, under one lock, before it
//! begins, and again when more depends on it: when it has become part of another computation,
//! or is polled under more claims. So there is none, but for what is invisible: see the chapter
//! on limitations.
//!
//! A computation that runs beside another one inside of a third (the branches of a `join!`)
//! is nobody's parent or child there: it is waited for as any other.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use super::{
    actor::{Actor, Computation},
    context::{Busy, Context},
    waits::{BusyWait, Waits},
};

impl Context {
    /// Whether an actor gets nowhere while this context waits.
    fn stops(&self, actor: &Actor) -> bool {
        match (self, actor) {
            (Context::Free, _) => false,
            (Context::Thread(busy), Actor::Thread(other)) => Arc::ptr_eq(&busy.thread, other),
            (Context::Thread(busy), Actor::Task(other)) => busy.stops(other),
            (Context::Task(computation), Actor::Task(other)) => Arc::ptr_eq(computation, other),
            (Context::Task(_), Actor::Thread(_)) => false,
        }
    }
}

impl Actor {
    /// The computations inside it for which this holds.
    fn children_that(&self, f: impl Fn(&Computation) -> bool) -> Vec<Arc<Computation>> {
        self.children().values().filter(|child| f(child)).cloned().collect()
    }
}

/// A search for a cycle.
struct Search {
    /// Who has to go on, for which claim (of a task: for any), and after how many waits. Breadth
    /// first: steps that are no waits come before those that are.
    next: VecDeque<(Actor, usize, usize)>,
    /// Where it has been.
    seen: HashSet<(usize, usize)>,
    /// Of whose children those have been looked at that threads drive.
    seen_driving: HashSet<(usize, usize)>,
}

impl Search {
    fn step(&mut self, to: impl IntoIterator<Item = Arc<Computation>>, length: usize) {
        to.into_iter().for_each(|to| self.next.push_front((Actor::Task(to), 0, length)));
    }

    fn wait(&mut self, waits: &Waits, claim: usize, length: usize) {
        let holders = waits.holders(claim).into_iter();
        self.next.extend(holders.map(|holder| (holder, claim, length)));
    }

    /// Goes to those that keep a computation from going on although they are no part of it:
    /// closures that its thread has begun since and is in the middle of drive them.
    fn step_above(&mut self, computation: &Arc<Computation>, length: usize) {
        let mut context = computation.context();
        loop {
            let (parent, closures) = match &context {
                Context::Free => return,
                Context::Task(parent) => (Actor::Task(Arc::clone(parent)), 0),
                Context::Thread(driver) => {
                    (Actor::Thread(Arc::clone(&driver.thread)), driver.closures)
                }
            };
            if !self.seen_driving.insert((parent.id(), closures)) {
                return;
            }
            let above = match &context {
                // While it has such children, the thread is in the middle of a poll of it.
                Context::Task(_) => parent.children_that(|child| child.is_driven(|_| true)),
                _ => parent.children_that(|child| child.is_driven(|it| it.closures > closures)),
            };
            self.step(above, length);
            context = match context {
                Context::Task(parent) => parent.context(),
                _ => return,
            };
        }
    }
}

impl Waits {
    /// The shortest cycle that a wait of `context` for the claim would close: how many
    /// waits it has, this one included.
    pub(super) fn cycle(&self, context: &Context, address: usize) -> Option<usize> {
        if matches!(context, Context::Free) {
            return None;
        }
        let mut search =
            Search { next: VecDeque::new(), seen: HashSet::new(), seen_driving: HashSet::new() };
        search.wait(self, address, 1);
        while let Some((actor, claim, length)) = search.next.pop_front() {
            if context.stops(&actor) {
                return Some(length);
            }
            match &actor {
                // What the thread does beside a claim has nothing to do with that: each claim
                // is looked at for itself.
                Actor::Thread(thread) => {
                    if !search.seen.insert((actor.id(), claim)) {
                        continue;
                    }
                    let holds_up = |busy: &Busy| busy.claims.contains(&claim);
                    search.step(actor.children_that(|child| child.is_driven(holds_up)), length);
                    for BusyWait { busy, address, .. } in &self.busy {
                        if Arc::ptr_eq(&busy.thread, thread) && holds_up(busy) {
                            search.wait(self, *address, length + 1);
                        }
                    }
                }
                Actor::Task(computation) => {
                    if !search.seen.insert((actor.id(), 0)) {
                        continue;
                    }
                    search.step(actor.children_that(|_| true), length);
                    search.step_above(computation, length);
                    for wait in self.busy.iter().filter(|wait| wait.busy.stops(computation)) {
                        search.wait(self, wait.address, length + 1);
                    }
                    for claim in self.edges.get(&actor.id()).into_iter().flatten() {
                        search.wait(self, *claim, length + 1);
                    }
                }
            }
        }
        None
    }
}
