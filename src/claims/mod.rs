//! Who computes what, and who waits for whom: one book for all maps of the process.
//!
//! A claim is known by the address of its node (see `raw::claim`). Whoever computes is an
//! *actor*: a thread, or an asynchronous computation. `context` knows which of them the
//! running code belongs to, `holder` which claims each of them holds, `waits` who sleeps
//! until which claim is settled, and `cycle` finds the cycles in all that before anybody
//! falls asleep.
//!
//! Taking a claim writes to a line of the thread's own and settling one reads a bit that
//! is at hand; only who is about to sleep, or has somebody to wake, comes to the one lock
//! in `waits`.

mod actor;
mod context;
mod cycle;
mod holder;
mod signal;
mod waits;

pub(crate) use self::{
    holder::{Holder, TaskHolder, ThreadHolder},
    waits::{
        Ticket, Verdict, enlist_task, enlist_thread, forget, is_nested, overtaken_through,
        overtaking, wake,
    },
};
