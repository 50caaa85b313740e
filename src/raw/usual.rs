//! Inserting, replacing, removing and claiming in a bin as almost all are: neither locked nor
//! forwarded, with room for what is inserted, and with what is replaced, removed or claimed in the
//! bin itself.
//!
//! What `write` and `claiming` do in any bin, this does with less: one look at the header, and one
//! exchange that locks the bin if its header is still the same. Whatever else is the case is left to
//! them; nothing has happened then.
//!
//! It is not for the sake of the instructions. In a map larger than the caches a write waits for
//! memory most of its time, for its bin and for its node, and meanwhile a core goes on with what
//! does not need them, up to the next operation's bin, if that is not too far away. `cargo bench
//! --bench lookahead` says how far that is: on a Zen 4 some hundred instructions behind the one
//! that waits, fewer if all of them set flags, and fewer still if they need what is waited for. With
//! so many, two bins are on their way at a time, and one takes 51 to 57 ns; with twenty more it
//! is one at a time, and 70 to 77 ns.
//!
//! Hence:
//!
//! * *Insertions ask for their bin*, with an instruction that nothing waits for (a prefetch), as
//!   soon as there is a hash, make their node, and only then look at the bin. Instructions before
//!   that look do not stand between it and the next operation. Insertions of new keys into a
//!   map of some 60 MB take 6 to 18 % less time. (Replacing and removing have no such work. They look at
//!   the header before they find their thread's stripe and ask whether there is anything to do first,
//!   and hand it over here: 3 % of the time of insertions and removals by turns, when
//!   insertions did so as well. That was not measured where loads after an acquire load may have to
//!   wait for it.)
//! * *Of what comes after the look, little needs the header*, and of branches that depend on it
//!   there are few: a wrong guess throws away all that a core has done ahead.
//! * *What is seldom is somewhere else*, so that few registers are saved and restored.
//!
//! With `--cfg binlock_no_usual` nothing is usual, so that `benches/gains` can tell what that costs.
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

use std::{marker::PhantomData, mem, ptr::NonNull};

use super::{
    RawMap,
    bin::{Bin, Header, Slots},
    node::Node,
    retire::Retired,
    share::Share,
    table::Table,
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
    /// `matches` are those of the header for the key's tag.
    #[inline(always)]
    pub(super) fn at<K, V>(
        bin: &Bin,
        header: Header,
        matches: Slots,
        eq: &mut impl FnMut(&K) -> bool,
        _guard: &Guard,
    ) -> Look {
        if cfg!(binlock_no_usual) {
            return Look::Unusual;
        }
        if matches.is_empty() {
            return if header.is_all() { Look::Absent } else { Look::Unusual };
        }
        for slot in matches {
            let word = bin.word(slot);
            if word.is_special() {
                return Look::Unusual;
            }
            // SAFETY: loaded from a bin, by a pinned thread.
            if eq(unsafe { Node::<K, V>::key_of(word) }) {
                if header.is_locked_or_forwarded() {
                    return Look::Unusual;
                }
                return Look::Present(Found { slot, word });
            }
        }
        Look::Unusual
    }
}

/// `None`, from all of these: the case is not a usual one, or was not when the bin was to be locked.
impl<K, V> RawMap<K, V> {
    /// Inserts, or replaces, and returns the node that was replaced.
    ///
    /// The node is made before anybody looks at the bin, which has been asked for: see above.
    #[inline(always)]
    pub(super) fn insert_usually<S: Share>(
        &self,
        new: New<'_, K, V>,
        mine: S,
        guard: &Guard,
    ) -> Option<Option<NonNull<Node<K, V>>>>
    where
        K: Eq,
    {
        if cfg!(binlock_no_usual) || !Self::has_own_bins(new.table) {
            return None;
        }
        let bin = new.bin();
        let tag = new.tag();
        let node = Made::new(&new, mine);
        let header = bin.header();
        let matches = header.matches(tag);
        match Look::at::<K, V>(bin, header, matches, &mut |k| *k == *new.key, guard) {
            Look::Absent => self.add_made(bin, header, tag, node).map(|_| None),
            Look::Present(found) => {
                // An `Eq` has had the key to itself since it was copied, and a key can be changed by
                // reference. (The value cannot be reached from there.)
                node.copy_again(new.key);
                self.replace_found(bin, header, found, node, guard).map(Some)
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
        let matches = header.matches_of(new.hash);
        match Look::at::<K, V>(bin, header, matches, &mut |_| false, guard) {
            Look::Absent if Self::has_own_bins(new.table) => {
                self.add_made(bin, header, new.tag(), Made::new(&new, mine))
            }
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
        let matches = header.matches_of(new.hash);
        match Look::at::<K, V>(bin, header, matches, &mut |k| *k == *new.key, guard) {
            Look::Absent => Some(None),
            Look::Present(found) => {
                self.replace_found(bin, header, found, Made::new(&new, mine), guard).map(Some)
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
        let found = match Look::at::<K, V>(bin, header, header.matches_of(hash), eq, guard) {
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

    /// Whether nodes can be placed in a table: not in the one that all maps share.
    #[inline(always)]
    fn has_own_bins(table: Table) -> bool {
        // (In large maps the first is what a new node will ask as well.)
        Node::<K, V>::is_narrow_in(table.bits()) || !table.is_empty_table()
    }

    /// Adds a node in a bin whose header says that its key is absent.
    #[inline(always)]
    fn add_made<S: Share>(
        &self,
        bin: &Bin,
        header: Header,
        tag: u8,
        node: Made<K, V, S>,
    ) -> Option<Word> {
        let slot = header.first_vacant()?;
        let mut lock = bin.try_lock_from(header).ok()?;
        let mine = node.mine;
        let node = node.publish();
        lock.fill(slot, tag, node);
        drop(lock);
        self.count_by(mine, 1);
        Some(node)
    }

    /// Puts a new node in the place of the one that was found, and retires and returns that.
    #[inline(always)]
    fn replace_found<S: Share>(
        &self,
        bin: &Bin,
        header: Header,
        old: Found,
        node: Made<K, V, S>,
        guard: &Guard,
    ) -> Option<NonNull<Node<K, V>>> {
        let lock = bin.try_lock_from(header).ok();
        let mut lock = lock.filter(|_| bin.word(old.slot) == old.word)?;
        let mine = node.mine;
        lock.replace(bin, old.slot, node.publish());
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

/// A node that has not been published. If it never is, its memory is for the next one, or given back;
/// its content is still the caller's, and a copy that is as old as the node.
struct Made<K, V, S: Share> {
    node: Word,
    mine: S,
    marker: PhantomData<*mut Node<K, V>>,
}

impl<K, V, S: Share> Made<K, V, S> {
    #[inline(always)]
    fn new(new: &New<'_, K, V>, mine: S) -> Made<K, V, S> {
        Made { node: new.make(mine.take_spare()), mine, marker: PhantomData }
    }

    /// For who has run user code since.
    #[inline(always)]
    fn copy_again(&self, key: &K) {
        // SAFETY: the node is as `Node::make` has left it, and nobody else's.
        unsafe { Node::<K, V>::copy_key(self.node, key) };
    }

    /// For who puts it where others see it; key and value are the node's from then on.
    #[inline(always)]
    fn publish(self) -> Word {
        let node = self.node;
        mem::forget(self);
        node
    }

    /// To the stripe, if it has room: the next node is made from there, and that is soon if this one
    /// was made for nothing.
    #[cold]
    #[inline(never)]
    fn give_back(node: Word, mine: S) {
        if let Err(node) = mine.give_spare(node.unhashed()) {
            // SAFETY: not published, and the content is the caller's.
            unsafe { Node::<K, V>::dealloc(node) };
        }
    }
}

impl<K, V, S: Share> Drop for Made<K, V, S> {
    #[inline(always)]
    fn drop(&mut self) {
        Self::give_back(self.node, self.mine);
    }
}
