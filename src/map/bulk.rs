//! Inserting many entries, one after another, with their cache misses overlapped.
//!
//! An insertion into a large map waits for its bin. Entries that come from an iterator are put into
//! groups: each is hashed when it comes, and its bin asked for; by the time that the group is full
//! and is inserted, most of the bins are there. (Group prefetching, from hash joins in databases, as
//! `raw::many` has it for look-ups.) A group shares a pin, too, which nobody holds while the
//! iterator is asked for more.
//!
//! It is for maps that nobody else can see meanwhile. An entry waits here for others to come, and
//! an iterator may take its time: what a channel has yielded is to be in a shared map before
//! the channel is asked for the next.

use std::hash::{BuildHasher, Hash};

use super::HashMap;
use crate::{
    epoch::{self, Guard},
    raw::Panicked,
};

/// As many cache lines as a core asks for at a time, about.
const GROUP: usize = 16;
/// Larger entries are not moved once more than they have to be.
const LARGEST: usize = 256;

/// What is done with an entry whose key is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Present {
    Replace,
    Keep,
}

/// Inserts what it is given into a map, in that order, at the latest when it is dropped: also if
/// whoever gives it panics, so that what came before is in the map. If an insertion panics, those
/// that wait with it are made all the same.
pub(crate) struct Bulk<'map, K: Hash + Eq, V, S: BuildHasher> {
    map: &'map HashMap<K, V, S>,
    present: Present,
    /// With their hashes.
    waiting: Vec<(u64, K, V)>,
}

impl<'map, K: Hash + Eq, V, S: BuildHasher> Bulk<'map, K, V, S> {
    pub(crate) fn new(map: &'map HashMap<K, V, S>, present: Present) -> Self {
        Bulk { map, present, waiting: Vec::new() }
    }

    #[inline]
    pub(crate) fn push(&mut self, key: K, value: V) {
        let hash = self.map.hash(&key);
        self.map.raw.ask_for_bin(hash);
        if size_of::<(K, V)>() > LARGEST {
            return insert(self.map, self.present, hash, key, value, &mut epoch::pin());
        }
        if self.waiting.capacity() == 0 {
            self.waiting.reserve_exact(GROUP);
        }
        self.waiting.push((hash, key, value));
        if self.waiting.len() >= GROUP {
            self.insert_waiting().resume_anyway();
        }
    }

    /// Inserts what is still waiting. (A drop does so, too, but must keep a panic to itself if the
    /// thread is unwinding, for whatever reason.)
    pub(crate) fn finish(mut self) {
        self.insert_waiting().resume_anyway();
    }

    #[inline(never)]
    fn insert_waiting(&mut self) -> Panicked {
        let mut panicked = Panicked::default();
        if self.waiting.is_empty() {
            return panicked;
        }
        let mut guard = epoch::pin();
        let map = self.map;
        let present = self.present;
        let mut waiting = self.waiting.drain(..);
        let mut done = false;
        // One `catch` for all insertions up to the first panic.
        while !done {
            panicked.catch(|| {
                for (hash, key, value) in waiting.by_ref() {
                    insert(map, present, hash, key, value, &mut guard);
                }
                done = true;
            });
        }
        panicked
    }
}

#[inline(always)]
fn insert<K: Hash + Eq, V, S>(
    map: &HashMap<K, V, S>,
    present: Present,
    hash: u64,
    key: K,
    value: V,
    guard: &mut Guard,
) {
    match present {
        Present::Replace => {
            map.raw.insert(hash, key, value, guard);
        }
        Present::Keep => drop(map.raw.try_insert(hash, key, value, guard)),
    }
}

impl<K: Hash + Eq, V, S: BuildHasher> Drop for Bulk<'_, K, V, S> {
    fn drop(&mut self) {
        self.insert_waiting().resume();
    }
}
