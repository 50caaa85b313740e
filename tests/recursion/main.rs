//! Computations that use the map that runs them, on one thread: every scenario of the
//! recursion rules that needs no second one, each with keys spread and colliding, in tables
//! that stay and that grow meanwhile, through the map and a pinned view, and by every method
//! that claims a key.

#[path = "../common/mod.rs"]
mod common;

mod api;
mod entries;
mod errors;
mod failures;
mod nesting;
mod row;
mod rows_other_keys;
mod rows_own_key;
mod rows_whole_map;
mod thread_locals;
mod user_code;
mod world;

const A: u64 = 1;
const B: u64 = 2;
const D: u64 = 3;
/// A key of the long bin, and one that is not there.
const T: u64 = 20;
const X: u64 = 50;
/// So many keys, from 1, make a long bin where all hash alike.
const LONG: u64 = 40;
/// What makes tables grow; rows have other keys.
const FILLER: u64 = 1_000_000;
