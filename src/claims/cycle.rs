//! Finding out whether somebody would wait for himself.
//!
//! The edges of the graph are: an actor waits for a claim, and so for its holder; a
//! computation is not done before those inside it are; an entry that a thread has taken while
//! it polled a computation is not settled before that goes on; and what a thread is in the
//! middle of polling, or drives from within a closure, cannot go on while the thread sleeps.
//! Every circle is closed by a wait, and every wait is checked, under one lock, before it
//! begins, and again when it has become part of another computation. So there is none, but
//! for what is invisible: see the chapter on limitations.
//!
//! A computation that runs beside another one inside of a third (the branches of a `join!`)
//! is nobody's parent or child there: it is waited for as any other.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use super::{actor::Actor, context::Context, waits::Waits};

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

impl Waits {
    /// The shortest circle that a wait of `context` for the claim would close: how many
    /// waits it has, this one included.
    pub(super) fn circle(&self, context: &Context, address: usize) -> Option<usize> {
        if matches!(context, Context::Free) {
            return None;
        }
        let mut seen = HashSet::new();
        // Breadth first; steps that are no waits come before those that are.
        let mut next = VecDeque::new();
        next.extend(self.holders(address).into_iter().map(|holder| (holder, 1)));
        while let Some((actor, length)) = next.pop_front() {
            if context.stops(&actor) {
                return Some(length);
            }
            if !seen.insert(actor.id()) {
                continue;
            }
            for child in actor.children().values() {
                next.push_front((Actor::Task(Arc::clone(child)), length));
            }
            if let Actor::Task(computation) = &actor {
                for (_, busy) in self.busy.iter().filter(|(_, busy)| busy.stops(computation)) {
                    next.push_front((Actor::Thread(Arc::clone(&busy.thread)), length));
                }
            }
            for claim in self.edges.get(&actor.id()).into_iter().flatten() {
                next.extend(self.holders(*claim).into_iter().map(|holder| (holder, length + 1)));
            }
        }
        None
    }
}
