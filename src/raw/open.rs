//! What a stripe keeps for its thread: garbage that is being collected, and spare memory.
//!
//! Nothing here allocates or frees. The allocator may be one that uses a map itself, and would find
//! what it came from in the middle of a change. What is needed is made before a stripe is opened,
//! and what is left over is dropped when it is closed.

use std::mem;

use super::{retire::Retired, word::Word};

/// So many pieces make a batch that is sealed. Handing a batch to the epochs costs
/// about as much as ten replacements; garbage lives for two or three more batches.
#[cfg(not(any(binlock_loom, binlock_shuttle)))]
const BATCH: usize = 128;
#[cfg(binlock_shuttle)]
const BATCH: usize = 4;
/// (With `--cfg binlock_pairs` pieces stay behind in models, too, for others to find.)
#[cfg(binlock_loom)]
const BATCH: usize = if cfg!(binlock_pairs) { 2 } else { 1 };

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

    /// Takes it back, or gives it to the caller if there is no room for it.
    #[inline(always)]
    pub(super) fn give_spare(&mut self, spare: Word) -> Result<(), Word> {
        if self.spare.len() == self.spare.capacity() {
            return Err(spare);
        }
        self.spare.push(spare);
        Ok(())
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

#[cfg(all(test, not(any(binlock_loom, binlock_shuttle))))]
mod tests {
    use std::{cell::Cell, ptr};

    use super::*;
    use crate::raw::bin::Bin;

    const SPARE: usize = 2 * BATCH;

    fn piece() -> Retired {
        Retired::block(ptr::without_provenance_mut::<Bin>(64))
    }

    #[test]
    fn a_batch_of_one_thread_grows_until_it_is_full_and_is_sealed_then() {
        let mut open = Open::new();
        let mut sealed = Vec::new();
        for _ in 0..3 * BATCH {
            if open.retire(piece()).is_err() {
                sealed.push(open.make_room(Vec::with_capacity(open.larger())).len());
                assert!(open.retire(piece()).is_ok());
            }
        }
        sealed.retain(|&pieces| pieces != 0);
        assert_eq!(sealed, [BATCH, BATCH]);
        assert_eq!(open.take_batch().len(), BATCH);
    }

    /// Whatever others have done between the two times that the stripe is opened.
    #[test]
    fn there_is_room_for_a_piece_and_none_is_lost_whatever_was_made_for_what_was_there_before() {
        for before in 0..=BATCH {
            for larger in [1, 2, 4, 8, 64, BATCH] {
                for capacity in [before, before + 1, BATCH].into_iter().filter(|&n| n <= BATCH) {
                    let mut open = Open::new();
                    open.batch = Vec::with_capacity(capacity);
                    (0..before).for_each(|_| open.batch.push(piece()));
                    let larger = Vec::with_capacity(larger);
                    let memory = [open.batch.as_ptr(), larger.as_ptr()];
                    let replaced = open.make_room(larger);
                    // Neither has been allocated anew.
                    assert_eq!([replaced.as_ptr(), open.batch.as_ptr()], memory);
                    assert!(open.retire(piece()).is_ok());
                    assert_eq!(open.batch.as_ptr(), memory[1]);
                    assert_eq!(replaced.len() + open.batch.len(), before + 1);
                    assert!(open.batch.len() <= BATCH);
                }
            }
        }
    }

    #[test]
    fn room_is_made_for_what_there_is_use_for_and_for_no_more() {
        let mut open = Open::new();
        assert_eq!(open.room_to_keep(0, SPARE), 0);
        for emptied in [1, BATCH, SPARE, 2 * SPARE] {
            let room = open.room_to_keep(emptied, SPARE);
            assert!((emptied.min(SPARE)..=SPARE).contains(&room), "{room}");
        }
        open.spare = Vec::with_capacity(BATCH);
        assert_eq!(open.room_to_keep(BATCH, SPARE), 0);
        assert_eq!(open.room_to_keep(BATCH + 1, SPARE), SPARE);
        open.spare = Vec::with_capacity(SPARE);
        assert_eq!(open.room_to_keep(2 * SPARE, SPARE), 0);
    }

    #[test]
    fn memory_that_was_not_used_is_taken_back_if_there_is_room_for_it() {
        let mut open = Open::new();
        let word = |address| Word::narrow(ptr::without_provenance_mut(address), 0);
        assert!(open.give_spare(word(8)) == Err(word(8)));
        open.spare = Vec::with_capacity(2);
        let room = open.spare.capacity();
        for n in 1..=room {
            assert!(open.give_spare(word(8 * n)) == Ok(()));
        }
        let too_many = word(8 * (room + 1));
        assert!(open.give_spare(too_many) == Err(too_many));
        assert_eq!(open.spare.capacity(), room, "allocated");
        for n in (1..=room).rev() {
            assert!(open.take_spare() == Some(word(8 * n)));
        }
    }

    #[test]
    fn as_much_memory_is_kept_as_there_is_room_for_and_the_rest_is_given_back() {
        let number = Cell::new(0_usize);
        let word = || {
            number.set(number.get() + 8);
            Word::narrow(ptr::without_provenance_mut(number.get()), 0)
        };
        for kept in [0, 1, SPARE - 1, SPARE] {
            for emptied in [0, 1, BATCH, 3 * SPARE] {
                for room in [0, 1, SPARE, 2 * SPARE] {
                    let mut open = Open::new();
                    if kept != 0 {
                        open.spare = Vec::with_capacity(SPARE);
                        open.spare.extend((0..kept).map(|_| word()));
                    }
                    let mut emptied: Vec<Word> = (0..emptied).map(|_| word()).collect();
                    let mut room = Vec::with_capacity(room);
                    let mut all = [open.spare.as_slice(), emptied.as_slice()].concat();
                    let most = open.spare.capacity().max(room.capacity());
                    let memory = [open.spare.as_ptr(), room.as_ptr()];
                    open.keep(&mut emptied, &mut room);
                    assert!(memory.contains(&open.spare.as_ptr()), "allocated");
                    assert!(room.is_empty() && open.spare.capacity() == most);
                    assert_eq!(open.spare.len(), most.min(all.len()));
                    let mut now = [open.take_spares().as_slice(), emptied.as_slice()].concat();
                    [&mut all, &mut now]
                        .into_iter()
                        .for_each(|words| words.sort_by_key(|word| word.address()));
                    assert!(all == now, "lost or doubled");
                }
            }
        }
    }
}
