//! What is there before and after.

use crate::{LONG, api::Way, world::World};

pub fn long() -> Vec<(u64, u64)> {
    (1..=LONG).map(|key| (key, 10 * key)).collect()
}

pub fn with(mut entries: Vec<(u64, u64)>, more: &[(u64, u64)]) -> Vec<(u64, u64)> {
    entries.extend(more);
    entries
}

pub fn without(mut entries: Vec<(u64, u64)>, key: u64) -> Vec<(u64, u64)> {
    entries.retain(|entry| entry.0 != key);
    entries
}

/// The entries that `insert_many` makes.
pub fn many() -> Vec<(u64, u64)> {
    (1_000..1_200).map(|key| (key, key + 1)).collect()
}

pub fn insert_many(world: &World<'_>) {
    for (key, value) in many() {
        // Each way of writing has its turn.
        match key % 4 {
            0 => assert_eq!(world.api.insert(key, value), None),
            1 => assert_eq!(world.api.try_insert(key, value), Ok(value)),
            2 => assert_eq!(world.decide(Way::IfAbsent, key, value), Ok(Some(value))),
            _ => assert_eq!(world.decide(Way::Compute, key, value), Ok(Some(value))),
        }
    }
}
