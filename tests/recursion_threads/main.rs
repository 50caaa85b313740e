//! Computations of several threads: who waits for whom, who does not, and that no cycle is
//! ever waited in. The scenarios of the recursion rules that need more than one thread, each
//! many times, with keys spread and colliding, in tables that stay and that grow meanwhile.

#[path = "../common/mod.rs"]
mod common;

mod claimed_keys;
mod crowds;
mod cycles;
mod endings;
mod forgotten;
mod independence;
mod latency;
mod rounds;

use binlock::HashMap;
use common::Hashers;

type Map = HashMap<u64, u64, Hashers>;

const ROUNDS: usize = 1_000;
const A: u64 = 1;
const B: u64 = 2;
const D: u64 = 3;
/// What makes tables grow.
const FILLER: u64 = 1_000_000;

const CROWD: usize = 64;
