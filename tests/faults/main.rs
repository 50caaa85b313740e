//! A panic at each call of each kind of user code, in the methods and traits that the script of
//! `tests/panics.rs` does not go through: entries, sets, collecting and comparing, futures,
//! parallel iterators, serde, and the callbacks of the reader cache.

#[path = "../common/mod.rs"]
mod common;

mod collections;
mod entries;
#[allow(dead_code)] // What is used here is a part of it.
#[path = "../common/executor.rs"]
mod executor;
mod futures;
#[cfg(feature = "rayon")]
mod parallel;
mod readers;
#[cfg(feature = "serde")]
mod serde;
mod sets;
mod sweep;
