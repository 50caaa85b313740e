//! What the tests of other concurrent maps check, where no other test here did: their ideas,
//! in terms of this map. `tests/README.md` has the list, with those that were covered.

#[path = "../common/mod.rs"]
mod common;

mod collisions;
mod flurry;
mod jdk;
mod libcuckoo;
mod papaya;
mod scc;
mod tck;

use binlock::HashMap;
use common::Hashers;

type Map = HashMap<u64, u64, Hashers>;
