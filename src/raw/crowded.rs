//! Adding where `usual` does not: in a bin that is full or has nodes in an overflow block, or beside
//! a node that has the key's tag and another key.
//!
//! In a map that is near its limit one insertion in fourteen comes here. What `write` does then,
//! which is prepared for any number of blocks and of nodes with other keys, takes 330 instructions where
//! this and what is still left to that take 250; more than one of either is left to that.
//!
//! # Why nothing is searched again under the lock
//!
//! The bin is locked from the header that was looked at, so it has the same tags. If its one block
//! has the same header still, so has that. Only a node with the key's tag can have the key, and of
//! those there is at most one in each: the one that was found to have another key, if the word in
//! its slot is the same. (A word is unique as long as the caller is pinned.)

use super::{
    RawMap,
    bin::{Bin, Header, Placed, Spares},
    node::Node,
    stripe::Stripe,
    striped::Mine,
    usual::Found,
    word::Word,
    write::New,
};
use crate::epoch::Guard;

/// A bin, or its block, in which the key is not.
struct Part<'g> {
    block: &'g Bin,
    header: Header,
    /// A node with the key's tag.
    other: Option<Found>,
}

impl<'g> Part<'g> {
    /// `None` if the key may be there, or if there are several nodes with its tag.
    #[inline(always)]
    fn without<K, V>(
        block: &'g Bin,
        header: Header,
        hash: u64,
        eq: impl Fn(&K) -> bool,
        _guard: &'g Guard,
    ) -> Option<Part<'g>> {
        let mut other = None;
        for slot in header.matches_of(hash) {
            let word = block.word(slot);
            // SAFETY: loaded from a bin, by a pinned thread.
            if other.is_some() || word.is_special() || eq(unsafe { Node::<K, V>::key_of(word) }) {
                return None;
            }
            other = Some(Found { slot, word });
        }
        Some(Part { block, header, other })
    }

    /// Whether the key cannot have come, if the header is the same.
    #[inline(always)]
    fn is_same(&self) -> bool {
        self.other.is_none_or(|other| self.block.word(other.slot) == other.word)
    }
}

impl<K: Eq, V> RawMap<K, V> {
    /// Adds a node if the key is absent, to a map that has a table of its own. `None` if it may be
    /// present, or if this is not for here; nothing has happened then.
    pub(super) fn add_crowded(
        &self,
        new: New<'_, K, V>,
        mine: Mine<'_, Stripe>,
        guard: &Guard,
    ) -> Option<Word> {
        let bin = new.bin();
        let header = bin.header();
        if header.is_locked_or_forwarded() {
            return None;
        }
        let eq = |key: &K| *key == *new.key;
        let part = Part::without::<K, V>(bin, header, new.hash, eq, guard)?;
        let mut has_room = header.first_vacant().is_some();
        let mut behind = None;
        if header.is_linked() {
            // SAFETY: the header has the bit, and the guard keeps blocks from being freed.
            let block = unsafe { bin.next_block() };
            let header = block.header();
            if header.is_linked() {
                return None;
            }
            has_room |= header.first_vacant().is_some();
            behind = Some(Part::without::<K, V>(block, header, new.hash, eq, guard)?);
        }
        if !has_room {
            return None;
        }
        let node = new.make(mine.take_spare(guard));
        let lock = bin.try_lock_from(header).ok().filter(|_| {
            let is_same = |part: &Part| part.block.header() == part.header && part.is_same();
            part.is_same() && behind.as_ref().is_none_or(is_same)
        });
        let Some(mut lock) = lock else {
            // SAFETY: not published, and the content is the caller's.
            unsafe { Node::<K, V>::dealloc(node) };
            return None;
        };
        // There is room, so none of these is needed.
        let placed = lock.place(new.tag(), node, &mut Spares::new());
        drop(lock);
        debug_assert_ne!(placed, Placed::NoRoom);
        self.count_in(mine, 1);
        if placed == Placed::InOverflow {
            self.grow_if_crowded_by(mine, guard);
        }
        Some(node)
    }
}
