//! What the integration tests share: threads under a watchdog, hashers from good to
//! constant, keys and values whose drops are counted and whose user code panics to order.
#![allow(dead_code, unused_imports)] // Each test uses a part of it.

pub mod fault;
pub mod futures;
mod hashers;
mod ledger;
pub mod operations;
mod random;
mod threads;

pub use self::{
    hashers::{Hashers, UNSPREAD, key_in_bin},
    ledger::{Ledger, Probe, Tracked, blank},
    random::Random,
    threads::{Gate, Until, race, together, within},
};
