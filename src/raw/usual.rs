//! Inserting, replacing, removing and claiming in a bin as almost all are: neither locked nor
//! forwarded, with room for what is inserted, and with what is replaced, removed or claimed in the
//! bin itself.
//!
//! What `write` and `claiming` do in any bin, this does with less: one look at the header, and one
//! exchange that locks the bin if its header is still the same. Whatever else is the case is left to
//! them; nothing has happened then.
//!
//! It is not for the sake of the instructions. In a map larger than the caches a write waits for
//! memory most of its time, for its bin and for its node, and a core that looks some 500
//! instructions ahead asks for the next operation's bin meanwhile - if that is not too many
//! instructions away, and if not too many of those between have to wait for this bin.
//!
//! For the same reason the four plain writes look at the header before they find their thread's
//! stripe and ask whether there is anything to do first, and hand it over here: a core does that
//! while it waits for the bin. (On x86-64, 3 % of the time of insertions and removals by turns. It
//! was not measured where loads after an acquire load may have to wait for it.)
//!
//! # Why one look at the header is enough
//!
//! *The key is absent:* No tag in the header is the key's, nor is there anything in overflow blocks,
//! and the bin has been locked from this very header. So it has the same tags, and no node with the
//! key's (invariants 1 and 3 of `bin`), whatever may have come and gone between the look and the
//! lock.
//!
//! *The key is present:* The word in its slot is still the same under the lock. A word is unique
//! as long as the caller is pinned, so it is the same node, and present.
//!
//! Only nodes with the key's tag that have other keys have to be remembered until the bin is
//! locked, as `crowded` and `search` do: they may have made room for the key.

use std::ptr::NonNull;

use super::{
    RawMap,
    bin::{Bin, Header},
    node::Node,
    retire::Retired,
    share::Share,
    word::Word,
    write::New,
};
use crate::epoch::Guard;

/// What a look at a key's bin comes to.
pub(super) enum Look {
    /// No tag is the key's, and there are no other nodes.
    Absent,
    Present(Found),
    /// Something else, or a claim.
    Unusual,
}

/// Where a node is.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) slot: usize,
    pub(super) word: Word,
}

impl Look {
    #[inline(always)]
    pub(super) fn at<K, V>(
        bin: &Bin,
        header: Header,
        hash: u64,
        eq: &mut impl FnMut(&K) -> bool,
        _guard: &Guard,
    ) -> Look {
        if header.is_locked_or_forwarded() {
            return Look::Unusual;
        }
        let mut look = if header.has_overflow() { Look::Unusual } else { Look::Absent };
        for slot in header.matches_of(hash) {
            let word = bin.word(slot);
            if word.is_special() {
                return Look::Unusual;
            }
            // SAFETY: loaded from a bin, by a pinned thread.
            if eq(unsafe { Node::<K, V>::key_of(word) }) {
                return Look::Present(Found { slot, word });
            }
            look = Look::Unusual;
        }
        look
    }
}

/// `None`, from all of these: the case is not a usual one, or was not when the bin was to be locked.
impl<K, V> RawMap<K, V> {
    /// Inserts, or replaces, and returns the node that was replaced.
    #[inline(always)]
    pub(super) fn insert_usually(
        &self,
        new: New<'_, K, V>,
        header: Header,
        mine: impl Share,
        guard: &Guard,
    ) -> Option<Option<NonNull<Node<K, V>>>>
    where
        K: Eq,
    {
        let bin = new.bin();
        match Look::at::<K, V>(bin, header, new.hash, &mut |k| *k == *new.key, guard) {
            Look::Absent => self.add_usually(bin, header, new, mine).map(|_| None),
            Look::Present(found) => {
                self.replace_found(bin, header, found, new, mine, guard).map(Some)
            }
            Look::Unusual => None,
        }
    }

    /// Adds a node if the bin has no tag like its own, nor anything in overflow blocks.
    #[inline(always)]
    pub(super) fn add_if_absent(
        &self,
        new: New<'_, K, V>,
        header: Header,
        mine: impl Share,
        guard: &Guard,
    ) -> Option<Word> {
        let bin = new.bin();
        match Look::at::<K, V>(bin, header, new.hash, &mut |_| false, guard) {
            Look::Absent => self.add_usually(bin, header, new, mine),
            _ => None,
        }
    }

    /// Replaces, and returns the node that was replaced, if there was one.
    #[inline(always)]
    pub(super) fn replace_usually(
        &self,
        new: New<'_, K, V>,
        header: Header,
        mine: impl Share,
        guard: &Guard,
    ) -> Option<Option<NonNull<Node<K, V>>>>
    where
        K: Eq,
    {
        let bin = new.bin();
        match Look::at::<K, V>(bin, header, new.hash, &mut |k| *k == *new.key, guard) {
            Look::Absent => Some(None),
            Look::Present(found) => {
                self.replace_found(bin, header, found, new, mine, guard).map(Some)
            }
            Look::Unusual => None,
        }
    }

    /// Removes, and returns what was removed, if there was something.
    #[inline(always)]
    pub(super) fn remove_usually(
        &self,
        bin: &Bin,
        header: Header,
        hash: u64,
        eq: &mut impl FnMut(&K) -> bool,
        mine: impl Share,
        guard: &Guard,
    ) -> Option<Option<NonNull<Node<K, V>>>> {
        let found = match Look::at::<K, V>(bin, header, hash, eq, guard) {
            Look::Absent => return Some(None),
            Look::Present(found) => found,
            Look::Unusual => return None,
        };
        let mut lock = bin.try_lock_from(header).ok()?;
        if bin.word(found.slot) != found.word {
            return None;
        }
        lock.vacate_own(found.slot);
        drop(lock);
        self.count_by(mine, -1);
        self.garbage.retire_by(mine, Retired::node(found.word), guard);
        Some(Some(Node::of(found.word)))
    }

    /// Adds a node in a bin whose header says that its key is absent.
    #[inline(always)]
    fn add_usually(
        &self,
        bin: &Bin,
        header: Header,
        new: New<'_, K, V>,
        mine: impl Share,
    ) -> Option<Word> {
        // Nobody can place anything in the table that all maps share.
        let bits = new.table.bits();
        // (In large maps the first is what the node will ask as well.)
        if !Node::<K, V>::is_narrow_in(bits) && new.table.is_empty_table() {
            return None;
        }
        let slot = header.first_vacant()?;
        let node = new.make(mine.take_spare());
        let Ok(mut lock) = bin.try_lock_from(header) else {
            // SAFETY: not published, and the content is the caller's.
            unsafe { discard::<K, V>(node) };
            return None;
        };
        lock.fill(slot, new.tag(), node);
        drop(lock);
        self.count_by(mine, 1);
        Some(node)
    }

    /// Puts a new node in the place of the one that was found, and retires and returns that.
    #[inline(always)]
    fn replace_found(
        &self,
        bin: &Bin,
        header: Header,
        old: Found,
        new: New<'_, K, V>,
        mine: impl Share,
        guard: &Guard,
    ) -> Option<NonNull<Node<K, V>>> {
        let node = new.make(mine.take_spare());
        let lock = bin.try_lock_from(header).ok().filter(|_| bin.word(old.slot) == old.word);
        let Some(mut lock) = lock else {
            // SAFETY: not published, and the content is the caller's.
            unsafe { discard::<K, V>(node) };
            return None;
        };
        lock.replace(bin, old.slot, node);
        drop(lock);
        self.garbage.retire_by(mine, Retired::node(old.word), guard);
        Some(Node::of(old.word))
    }

    #[inline(always)]
    fn count_by(&self, mine: impl Share, change: isize) {
        if mine.add_to_count(change) {
            self.garbage.stripes.spread_out();
        }
    }
}

/// Frees a node that has not come to anything.
///
/// # Safety
///
/// Nobody can reach it, and its content is somebody else's.
#[cold]
unsafe fn discard<K, V>(node: Word) {
    // SAFETY: passed on.
    unsafe { Node::<K, V>::dealloc(node) };
}
