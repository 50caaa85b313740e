//! The histories of binlock's map can be explained. (For many more of them, see the binary.)

use binlock_linearizability::{
    Crew, Decision, Hashing, Map, Operation, Scenario, Step, Use, explore, repeat,
};

/// With debug assertions, in the map too, this takes some seconds.
const HISTORIES: u64 = 10_000;

#[test]
fn histories_can_be_explained_by_an_order() {
    if let Err(violation) = explore::<Map>(&Crew::new(), 0..HISTORIES, |_| {}) {
        panic!("{violation}");
    }
}

/// Each thread does one thing, to one key, over and over.
fn everybody(operation: Operation, hashing: Hashing) -> Scenario {
    let step = |value| Step { operation, key: 0, value, pinned: value % 2 == 0 };
    let steps = |thread: u64| (1..=4).map(|i| step(10 * thread + i)).collect();
    Scenario {
        hashing,
        room: 0,
        neighbours: 7,
        present: vec![false],
        jitter: 30,
        threads: (0..3).map(steps).collect(),
    }
}

#[test]
fn operations_that_meet_none_but_their_like_can_be_explained_by_an_order() {
    let crew = Crew::new();
    for operation in [
        Operation::Insert,
        Operation::TryInsert,
        Operation::ComputeIfAbsent,
        Operation::ComputeIfAbsentAsync,
        Operation::Compute(Decision::Opposite),
        Operation::Merge(Decision::Value),
        Operation::Entry(Use::ModifyOrInsert),
    ] {
        for hashing in [Hashing::Good, Hashing::Constant] {
            let scenario = everybody(operation, hashing);
            if let Err(violation) = repeat::<Map>(&crew, &scenario, 500, |_| {}) {
                panic!("{violation}");
            }
        }
    }
}
