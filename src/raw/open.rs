//! What a stripe keeps for its thread: garbage that is being collected, and spare memory.
//!
//! Nothing here allocates or frees. The allocator may be one that uses a map itself, and would find
//! what it came from in the middle of a change. What is needed is made before a stripe is opened,
//! and what is left over is dropped when it is closed.

use std::mem;

use super::{retire::Retired, word::Word};

/// So many pieces make a batch that is sealed. Handing a batch to the epochs costs
/// about as much as ten replacements; garbage lives for two or three more batches.
#[cfg(not(any(loom, shuttle)))]
const BATCH: usize = 128;
#[cfg(shuttle)]
const BATCH: usize = 4;
#[cfg(loom)]
const BATCH: usize = 1;

/// The part of a stripe that has to be opened.
pub(super) struct Open {
    /// Garbage that has not been handed to the epochs yet.
    batch: Vec<Retired>,
    /// Nodes without content, for insertions to come. Replacing values goes round in circles with
    /// them, in memory that is still in the cache, instead of through an allocator that has to find
    /// each node's page.
    spare: Vec<Word>,
}

impl Open {
    pub(super) const fn new() -> Open {
        Open { batch: Vec::new(), spare: Vec::new() }
    }

    /// Adds a piece to the batch, or gives it back if there is no room for it.
    #[inline(always)]
    pub(super) fn retire(&mut self, piece: Retired) -> Result<(), Retired> {
        if self.batch.len() == self.batch.capacity() {
            return Err(piece);
        }
        self.batch.push(piece);
        Ok(())
    }

    /// What is to be made for [`Open::make_room`]: the first batch grows as it is filled, so that
    /// small maps stay small.
    pub(super) fn larger(&self) -> usize {
        if self.is_full() { BATCH } else { (2 * self.batch.len()).clamp(BATCH.min(4), BATCH) }
    }

    /// Goes on with an empty batch that is larger. Returns what it takes the place of, with pieces
    /// that are to be sealed if there were so many, or more than there is room for.
    pub(super) fn make_room(&mut self, mut larger: Vec<Retired>) -> Vec<Retired> {
        debug_assert!(larger.is_empty());
        if !self.is_full() && self.batch.len() < larger.capacity() {
            larger.append(&mut self.batch);
        }
        mem::replace(&mut self.batch, larger)
    }

    pub(super) fn is_full(&self) -> bool {
        self.batch.len() >= BATCH
    }

    /// Takes the batch out.
    pub(super) fn take_batch(&mut self) -> Vec<Retired> {
        mem::take(&mut self.batch)
    }

    /// The memory of a node that has been freed, if there is some.
    #[inline(always)]
    pub(super) fn take_spare(&mut self) -> Option<Word> {
        self.spare.pop()
    }

    /// All such memory.
    pub(super) fn take_spares(&mut self) -> Vec<Word> {
        mem::take(&mut self.spare)
    }

    /// How much room is to be made for [`Open::keep`], if there is use for so many, and at most for
    /// so many in all; zero if there is enough.
    pub(super) fn room_to_keep(&self, emptied: usize, most: usize) -> usize {
        let room = (self.spare.len() + emptied).min(most);
        if room <= self.spare.capacity() { 0 } else { room.next_power_of_two().min(most) }
    }

    /// Takes over nodes without content, as many as there is room for, and the room, if there has
    /// been less.
    pub(super) fn keep(&mut self, emptied: &mut Vec<Word>, room: &mut Vec<Word>) {
        if self.spare.capacity() < room.capacity() {
            mem::swap(&mut self.spare, room);
            self.spare.append(room);
        }
        let room = self.spare.capacity() - self.spare.len();
        self.spare.extend(emptied.drain(emptied.len() - room.min(emptied.len())..));
    }
}
