//! Who does what to which key, made up from a seed.

use crate::{keys::Hashing, random::Random};

/// So many threads take part in a scenario at the most.
pub const MOST_THREADS: usize = 8;

/// What some threads do to a map.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub hashing: Hashing,
    /// How many entries the map has room for at first.
    pub room: usize,
    /// How many keys the map has beside those that are watched.
    pub neighbours: u64,
    /// Which of the keys that are watched are present at first.
    pub present: Vec<bool>,
    /// Of the points at which a thread may pause, it does so at so many percent.
    pub jitter: u64,
    /// The steps of each thread.
    pub threads: Vec<Vec<Step>>,
}

/// An operation, on one of the keys that are watched unless it is one on all.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub operation: Operation,
    pub key: usize,
    /// What it inserts, if it does: no two steps insert the same.
    pub value: u64,
    /// Whether it goes through a pinned view.
    pub pinned: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Get,
    GetKeyValue,
    ContainsKey,
    Insert,
    TryInsert,
    Replace,
    Remove,
    RemoveEntry,
    RemoveIfEven,
    ComputeIfAbsent,
    /// The same by a future, polled to its end. (Not through a pinned view.)
    ComputeIfAbsentAsync,
    /// Fails, or computes a value.
    TryComputeIfAbsent {
        fails: bool,
    },
    ComputeIfPresent(Decision),
    Compute(Decision),
    Merge(Decision),
    /// A computation that panics.
    Panic,
    Entry(Use),

    // All keys at once.
    GetMany,
    Iterate,
    Clear,
    RetainOdd,

    // The table.
    Reserve(u16),
    InsertNeighbours(u8),
    RemoveNeighbours(u8),
    Shrink,
    Flush,
}

impl Operation {
    /// One of all, by two bytes that somebody else has made up: which, and how many of what it
    /// moves, if it does. (New operations come last, or what fuzzers have found means something else.)
    pub fn from_bytes(which: u8, amount: u8) -> Operation {
        let on_keys = ON_A_KEY.iter().chain(ON_ALL_KEYS).copied();
        let on_table = [
            Operation::Reserve(4 * u16::from(amount)),
            Operation::InsertNeighbours(amount % 48),
            Operation::RemoveNeighbours(amount % 48),
            Operation::Shrink,
            Operation::Flush,
        ];
        let all = on_keys.chain(on_table);
        let count = ON_A_KEY.len() + ON_ALL_KEYS.len() + on_table.len();
        all.cycle().nth(usize::from(which) % count).expect("it goes round")
    }
}

/// What a computation decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The key is to have the step's value.
    Value,
    /// The key is to be absent.
    Nothing,
    /// One or the other, whichever it is not.
    Opposite,
}

impl Decision {
    pub fn decide(self, current: Option<u64>, value: u64) -> Option<u64> {
        match self {
            Decision::Value => Some(value),
            Decision::Nothing => None,
            Decision::Opposite => current.is_none().then_some(value),
        }
    }
}

/// What is done to an entry that has been held for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    OrInsert,
    Insert,
    /// Where the key is present.
    Remove,
    ModifyOrInsert,
    Drop,
}

const ON_A_KEY: &[Operation] = &[
    Operation::Get,
    Operation::GetKeyValue,
    Operation::ContainsKey,
    Operation::Insert,
    Operation::TryInsert,
    Operation::Replace,
    Operation::Remove,
    Operation::RemoveEntry,
    Operation::RemoveIfEven,
    Operation::ComputeIfAbsent,
    Operation::ComputeIfAbsentAsync,
    Operation::TryComputeIfAbsent { fails: false },
    Operation::TryComputeIfAbsent { fails: true },
    Operation::ComputeIfPresent(Decision::Value),
    Operation::ComputeIfPresent(Decision::Nothing),
    Operation::Compute(Decision::Value),
    Operation::Compute(Decision::Nothing),
    Operation::Compute(Decision::Opposite),
    Operation::Merge(Decision::Value),
    Operation::Merge(Decision::Nothing),
    Operation::Panic,
    Operation::Entry(Use::OrInsert),
    Operation::Entry(Use::Insert),
    Operation::Entry(Use::Remove),
    Operation::Entry(Use::ModifyOrInsert),
    Operation::Entry(Use::Drop),
];

const ON_ALL_KEYS: &[Operation] =
    &[Operation::GetMany, Operation::Iterate, Operation::Clear, Operation::RetainOdd];

/// Of a table that has 2^10 bins and more.
const LARGE_ROOM: u16 = 6_000;

impl Scenario {
    /// The same for the same seed.
    pub fn from_seed(seed: u64) -> Scenario {
        let mut random = Random::new(seed);
        // Two threads on two cores meet most often; more of them overtake each other more.
        let threads = random.one_of(&[2, 2, 2, 2, 2, 3, 3, 3, 4, 4, 5, 6, 7, 8]);
        let keys = random.one_of(&[1, 1, 1, 2, 2, 3]);
        let hashing = random.one_of(&[Hashing::Good, Hashing::Poor, Hashing::Constant]);
        // Bins have seven slots.
        let neighbours = match random.below(4) {
            0 => 0,
            1 | 2 => random.below(9),
            _ => random.below(60),
        };
        let room = match random.below(40) {
            0 => LARGE_ROOM,
            1..=4 => 700,
            5..=14 => 40,
            _ => 0,
        };
        let palette = palette(&mut random, room);
        // Long histories take longer to check and show no more.
        let most_steps = (20 / threads as u64).clamp(2, 6);
        let mut value = 0;
        let mut step = |random: &mut Random| {
            value += 1;
            Step {
                operation: random.one_of(&palette),
                key: random.below(keys) as usize,
                value,
                pinned: random.percent(50),
            }
        };
        let threads = (0..threads)
            .map(|_| {
                let steps = 1 + random.below(most_steps);
                (0..steps).map(|_| step(&mut random)).collect()
            })
            .collect();
        Scenario {
            hashing,
            room: room.into(),
            neighbours,
            present: (0..keys).map(|_| random.percent(50)).collect(),
            jitter: random.one_of(&[0, 5, 30, 80]),
            threads,
        }
    }

    /// Whether a `clear` may come to a bin more than once, and remove what was inserted in
    /// between: a bin that others are joined to while the table shrinks, and a long one.
    pub fn clears_repeatedly(&self) -> bool {
        let steps = || self.threads.iter().flatten();
        let added: u64 = steps()
            .map(|step| match step.operation {
                Operation::InsertNeighbours(count) => count.into(),
                _ => 0,
            })
            .sum();
        let shrinks = steps().any(|step| step.operation == Operation::Shrink);
        shrinks || self.neighbours + added + self.present.len() as u64 >= 32
    }
}

/// The operations of a scenario: a few, so that each meets each.
fn palette(random: &mut Random, room: u16) -> Vec<Operation> {
    let mut palette: Vec<Operation> =
        (0..2 + random.below(5)).map(|_| random.one_of(ON_A_KEY)).collect();
    // Something to see the others by.
    palette.push(random.one_of(&[Operation::Get, Operation::Insert, Operation::Remove]));
    if random.percent(30) {
        palette.push(random.one_of(ON_ALL_KEYS));
    }
    if random.percent(40) {
        let growth = match room {
            LARGE_ROOM => 2 * LARGE_ROOM,
            room => (20 << random.below(4)) + room,
        };
        let neighbours = 8 + random.below(25) as u8;
        palette.push(
            random.one_of(&[Operation::Reserve(growth), Operation::InsertNeighbours(neighbours)]),
        );
        if random.percent(50) {
            palette.push(Operation::Shrink);
            palette.push(Operation::RemoveNeighbours(20));
        }
    }
    if random.percent(10) {
        palette.push(Operation::Flush);
    }
    palette
}
