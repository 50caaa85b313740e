//! What cannot do without memory aborts, as the standard collections do, and does not hang.
//! Each of these ends its process, which is therefore one of its own.

use std::{env, process::Command};

use crate::{
    Map,
    common::{Hashers, futures::block_on, within},
    counting::{Failing, failing},
};

const CASE: &str = "BINLOCK_TEST_ABORTS";

/// A full bin, with a first overflow block that is full as well.
fn crowded() -> Map {
    let map = Map::with_hasher(Hashers::Constant);
    // Seven, one of which makes room for the link, and six more.
    (0..13).for_each(|key| drop(map.insert(key, key)));
    map
}

/// What needs memory, and what is refused then.
type Case = (&'static str, Failing, fn(&Map));

const CASES: [Case; 6] = [
    ("node", Failing::From(1), |map| drop(map.insert(50, 50))),
    ("block", Failing::Blocks, |map| drop(map.insert(50, 50))),
    ("block for a claim", Failing::Blocks, |map| drop(map.compute_if_absent(50, |_| 50))),
    ("block for an entry", Failing::Blocks, |map| drop(map.entry(50))),
    ("block for a future", Failing::Blocks, |map| {
        drop(block_on(map.compute_if_absent_async(50, |_| async { 50 })));
    }),
    ("table", Failing::From(1 << 10), |map| map.reserve(50_000)),
];

#[test]
fn an_operation_that_cannot_do_without_memory_aborts_and_says_how_much_it_wanted() {
    // The children run this same test, and get no further than this.
    if let Ok(case) = env::var(CASE) {
        let (_, which, run) = CASES.into_iter().find(|(name, ..)| *name == case).unwrap();
        let map = crowded();
        failing(which, || run(&map));
        return;
    }
    within(120, || {
        for (case, ..) in CASES {
            let name = "aborts::an_operation_that_cannot_do_without_memory_aborts_and_says_how_much_it_wanted";
            let child = Command::new(env::current_exe().unwrap())
                .args(["--exact", name, "--nocapture", "--test-threads=1"])
                .env(CASE, case)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&child.stderr);
            assert!(!child.status.success(), "{case}: it goes on");
            assert!(said.contains("memory allocation of"), "{case}: {said}");
        }
    });
}
