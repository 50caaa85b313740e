//! Several threads that do things to the same few keys at once: whatever the fuzzer makes up, there is
//! an order of the operations that explains what each of them saw.
//!
//! How the threads meet is not the fuzzer's to say. So each input is run several times, and one that
//! has failed need not do so again at once: run it often.

use arbitrary::Arbitrary;
use binlock_linearizability::{Crew, Hashing, Map, Operation, Scenario, Step, repeat};

/// How often an input is run.
const TIMES: u64 = 8;

/// More threads wait for each other more than they meet, and longer histories take long to check.
const MOST_THREADS: usize = 4;
const MOST_STEPS: usize = 6;
const MOST_KEYS: u8 = 3;

#[derive(Arbitrary, Debug)]
pub struct Input {
    hashing: u8,
    room: u8,
    neighbours: u8,
    jitter: u8,
    keys: u8,
    present: [bool; MOST_KEYS as usize],
    threads: [Vec<Act>; MOST_THREADS],
}

#[derive(Arbitrary, Debug)]
struct Act {
    which: u8,
    amount: u8,
    key: u8,
    pinned: bool,
}

pub fn run(input: &Input) {
    thread_local! {
        static CREW: Crew = Crew::new();
    }

    let Some(scenario) = scenario(input) else { return };
    let outcome = CREW.with(|crew| repeat::<Map>(crew, &scenario, TIMES, |_| {}));
    if let Err(violation) = outcome {
        panic!("{violation}");
    }
}

/// `None` where nobody meets anybody.
fn scenario(input: &Input) -> Option<Scenario> {
    let hashings = [Hashing::Good, Hashing::Poor, Hashing::Constant];
    let keys = 1 + input.keys % MOST_KEYS;
    let mut value = 0;
    let mut step = |act: &Act| {
        value += 1;
        Step {
            operation: Operation::from_bytes(act.which, act.amount),
            key: usize::from(act.key % keys),
            value,
            pinned: act.pinned,
        }
    };
    let threads: Vec<Vec<Step>> = input
        .threads
        .iter()
        .filter(|acts| !acts.is_empty())
        .map(|acts| acts.iter().take(MOST_STEPS).map(&mut step).collect())
        .collect();
    (threads.len() > 1).then(|| Scenario {
        hashing: hashings[usize::from(input.hashing) % hashings.len()],
        room: input.room.into(),
        neighbours: u64::from(input.neighbours % 40),
        present: input.present[..keys.into()].to_vec(),
        jitter: u64::from(input.jitter % 100),
        threads,
    })
}
