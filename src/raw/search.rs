//! Finding a key: what readers do, and what writers do before they lock a bin.
//!
//! # Why a reader may trust what it finds
//!
//! A reader loads the header of the key's bin once and then looks at the slots whose
//! tags match. Its answer is right for some moment between its begin and its end:
//!
//! * *It finds a node with its key.* The slot held the node after the header was
//!   loaded, in a bin that was not forwarded then. If the bin was forwarded since, the
//!   slot still holds what was moved to the next table at the time of forwarding, which
//!   also lies within the operation.
//! * *No tag matches, and the bin neither goes on nor is forwarded.* The key was absent
//!   when the header was loaded.
//! * *A tag matches, and the slot holds something else by now.* The node that the tag
//!   stood for was removed since, or replaced by one for the same key (which the slot
//!   then holds), or moved to an overflow block (then the slot holds a link, which the
//!   reader follows). If it was the key's and was removed, the key was absent at that
//!   moment; should it be elsewhere in the bin by now, it was inserted later.
//! * *The bin goes on.* Blocks are looked at one after another, each as above. A key
//!   that was in none of them at its turn was absent at some moment, because nodes
//!   never move between places that have been looked at (invariant 2 of `bin`).
//!
//! What one reader has found, everybody finds until it is removed: a node can be reached
//! as soon as its word is in the slot, by old headers and new (invariant 1).
//!
//! Every step to a next block is caused by an insertion, every step to a next table by a
//! growth: a reader waits for nobody, not even for a writer that was stopped in the
//! middle of a change.

use std::mem::MaybeUninit;

use super::{
    RawMap,
    bin::{Bin, BinLock, Header, node_of},
    hash,
    node::Node,
    table::Table,
    word::{Kind, Word},
};
use crate::{epoch::Guard, sync::Backoff};

impl<K, V> RawMap<K, V> {
    /// The node for which `eq` holds, among those with this hash.
    #[inline]
    pub(crate) fn get<'g>(
        &'g self,
        hash: u64,
        mut eq: impl FnMut(&K) -> bool,
        guard: &'g Guard,
    ) -> Option<&'g Node<K, V>> {
        let bin = self.root().bin_for::<'g>(hash);
        let header = bin.header();
        let mut matches = header.matches_of(hash);
        while let Some(slot) = matches.first() {
            let word = bin.word(slot);
            if word.is_special() {
                return self.get_again(hash, eq, guard);
            }
            // SAFETY: loaded from a bin, by a pinned thread.
            let node = unsafe { node_of::<'g, K, V>(word) };
            if eq(&node.key) {
                return Some(node);
            }
            matches.next();
        }
        if header.goes_on() { self.get_further(bin, header, hash, eq, guard) } else { None }
    }

    /// Goes on in the overflow blocks of a bin that does not hold the key itself.
    ///
    /// Not inlined, so that the common case stays small; and not by starting again,
    /// because one look-up in thirty comes here.
    #[cold]
    #[inline(never)]
    fn get_further<'g>(
        &'g self,
        bin: &'g Bin,
        header: Header,
        hash: u64,
        mut eq: impl FnMut(&K) -> bool,
        guard: &'g Guard,
    ) -> Option<&'g Node<K, V>> {
        if header.is_forwarded() {
            return self.get_again(hash, eq, guard);
        }
        let mut block = bin;
        loop {
            // SAFETY: the caller has seen the overflow bit, and the guard keeps blocks
            // from being freed.
            block = unsafe { block.next_block() };
            let header = block.header();
            for slot in header.matches_of(hash) {
                let word = block.word(slot);
                if word.is_special() {
                    return self.get_again(hash, eq, guard);
                }
                // SAFETY: loaded from a bin, by a pinned thread.
                let node = unsafe { node_of::<'g, K, V>(word) };
                if eq(&node.key) {
                    return Some(node);
                }
            }
            if !header.has_overflow() {
                return None;
            }
        }
    }

    /// A look-up that met something out of the ordinary, from the start: a bin that is
    /// forwarded, or a slot that is being emptied, filled or made a link.
    #[cold]
    #[inline(never)]
    pub(super) fn get_again<'g>(
        &'g self,
        hash: u64,
        mut eq: impl FnMut(&K) -> bool,
        _guard: &'g Guard,
    ) -> Option<&'g Node<K, V>> {
        let tag = hash::tag(hash);
        let (bin, header) = self.current_bin(hash);
        let mut next = Some((bin, header));
        while let Some((block, header)) = next {
            let mut link = None;
            for slot in header.matches(tag) {
                let word = block.word(slot);
                // SAFETY: the guard keeps overflow blocks from being freed.
                match unsafe { word.kind() } {
                    Kind::Node | Kind::Covered => {
                        // SAFETY: loaded from a bin, by a pinned thread.
                        let node = unsafe { node_of::<'g, K, V>(word) };
                        if eq(&node.key) {
                            return Some(node);
                        }
                    }
                    Kind::Vacant | Kind::Reserved => {}
                    Kind::Link(block) => link = Some(block),
                }
            }
            // SAFETY: as above.
            next = unsafe { block.after(header, link) };
        }
        None
    }

    /// The bin that a hash belongs to by now, with a header that is not forwarded.
    #[inline]
    fn current_bin<'g>(&'g self, hash: u64) -> (&'g Bin, Header) {
        let mut table = self.root();
        loop {
            let bin = table.bin_for::<'g>(hash);
            let header = bin.header();
            if !header.is_forwarded() {
                return (bin, header);
            }
            table = successor(table);
        }
    }

    /// Locks a claim if it is still where it was put: in this slot of its bin, as this word.
    #[inline]
    pub(super) fn lock_claim_at<'g>(
        &'g self,
        hash: u64,
        word: Word,
        slot: usize,
        _guard: &'g Guard,
    ) -> Option<FoundLock<'g>> {
        let bin = self.root().bin_for::<'g>(hash);
        let header = bin.header();
        if header.is_locked_or_forwarded() || bin.word(slot) != word {
            return None;
        }
        let lock = bin.try_lock_from(header).ok()?;
        (bin.word(slot) == word).then_some(FoundLock { lock, block: bin, slot })
    }

    /// Finds and locks a claim, by the node that it covers or that has its key.
    #[cold]
    pub(super) fn lock_claim<'g>(
        &'g self,
        hash: u64,
        node: Word,
        _guard: &'g Guard,
    ) -> Option<FoundLock<'g>> {
        let tag = hash::tag(hash);
        loop {
            let (bin, _) = self.current_bin(hash);
            let Some(lock) = bin.lock() else { continue };
            // SAFETY: the guard keeps blocks from being freed.
            for (block, header) in unsafe { lock.blocks() } {
                for slot in header.matches(tag) {
                    let word = block.word(slot);
                    if word.is_claim() && word.address() == node.address() {
                        return Some(FoundLock { lock, block, slot });
                    }
                }
            }
            return None;
        }
    }

    /// The same for a writer that has nothing to do if the key is absent, and does not lock the bin then.
    ///
    /// It waits for whoever has the bin locked: that one may be about to claim the key. From the moment on
    /// at which a claimant has locked the bin, all other writers of the key have to wait for what he computes.
    #[inline]
    pub(super) fn locate_present<'g>(
        &'g self,
        hash: u64,
        mut eq: impl FnMut(&K) -> bool,
        seen: &mut Seen,
        guard: &'g Guard,
    ) -> Option<(Place<'g>, Word)> {
        let mut backoff = Backoff::new();
        loop {
            let place = self.locate(hash, &mut eq, seen, guard);
            if let Some(word) = place.found() {
                return Some((place, word));
            }
            if !place.header.is_locked() {
                return None;
            }
            backoff.wait();
        }
    }

    /// Finds where a writer has to do its work. Nothing is locked; the answer must be
    /// confirmed under the lock ([`Place::lock_found`], [`Place::lock_absent`]).
    #[inline]
    pub(super) fn locate<'g>(
        &'g self,
        hash: u64,
        mut eq: impl FnMut(&K) -> bool,
        seen: &mut Seen,
        _guard: &'g Guard,
    ) -> Place<'g> {
        let tag = hash::tag(hash);
        let (bin, header) = self.current_bin(hash);
        seen.clear();
        let mut next = Some((bin, header));
        while let Some((block, block_header)) = next {
            let mut link = None;
            for slot in block_header.matches(tag) {
                let word = block.word(slot);
                // SAFETY: the guard keeps overflow blocks from being freed.
                match unsafe { word.kind() } {
                    Kind::Node | Kind::Covered | Kind::Reserved => {
                        // SAFETY: loaded from a bin, by a pinned thread.
                        if eq(unsafe { Node::<K, V>::key_of::<'g>(word) }) {
                            return Place { bin, header, tag, block, slot, word };
                        }
                        seen.push(word);
                    }
                    Kind::Vacant => {}
                    Kind::Link(block) => link = Some(block),
                }
            }
            // SAFETY: as above.
            next = unsafe { block.after(block_header, link) };
        }
        Place { bin, header, tag, block: bin, slot: 0, word: Word::NONE }
    }
}

/// The table that a table with a forwarded bin is being transferred to.
#[inline]
pub(super) fn successor(table: Table) -> Table {
    table.next().expect("a bin is forwarded only after its table has a successor")
}

/// Where a key is, or that it is nowhere in its bin, as seen without the lock.
pub(super) struct Place<'g> {
    bin: &'g Bin,
    header: Header,
    tag: u8,
    /// The word of the key's node or claim, or `NONE`.
    word: Word,
    /// Where the word is. (Fields instead of an `Option` of a tuple: copying that costs
    /// more than a cache miss, when it was just stored in pieces.)
    block: &'g Bin,
    slot: usize,
}

impl<'g> Place<'g> {
    /// The word of the key's node or claim, if it was found.
    #[inline]
    pub(super) fn found(&self) -> Option<Word> {
        if self.word == Word::NONE { None } else { Some(self.word) }
    }

    /// The address of the node that was found, or of the claim's.
    #[inline]
    pub(super) fn address(&self) -> usize {
        self.word.address().addr()
    }

    /// Which slot of the bin, or of its block, that is in.
    #[inline]
    pub(super) fn slot(&self) -> usize {
        self.slot
    }

    /// Whether what was found is still there.
    #[inline]
    pub(super) fn is_current(&self) -> bool {
        self.block.word(self.slot) == self.word && !self.bin.header().is_forwarded()
    }

    /// Has whoever settles the claim that was found wake those who wait for it; `false` if
    /// it is there no longer.
    pub(super) fn mark_waited(&self) -> bool {
        match self.lock_found() {
            Some(lock) => {
                lock.mark_waited();
                true
            }
            None => false,
        }
    }

    /// Locks the bin, and keeps it locked if the key is still where it was found.
    /// Otherwise (`None`) the search must be repeated.
    #[inline]
    pub(super) fn lock_found(&self) -> Option<FoundLock<'g>> {
        debug_assert!(self.word != Word::NONE);
        let lock = self.lock()?;
        // A word is unique as long as the caller is pinned: the node's address cannot
        // have been given out again. So it is the same node, and present.
        if self.block.word(self.slot) != self.word {
            return None;
        }
        Some(FoundLock { lock, block: self.block, slot: self.slot })
    }

    /// Locks the bin, and keeps it locked if the key is still absent. Otherwise (`None`)
    /// the search must be repeated.
    #[inline]
    pub(super) fn lock_absent(&self, seen: &Seen) -> Option<BinLock<'g>> {
        let lock = self.lock()?;
        self.is_still_absent(&lock, seen).then_some(lock)
    }

    #[inline]
    fn lock(&self) -> Option<BinLock<'g>> {
        if !self.header.is_locked() {
            if let Ok(lock) = self.bin.try_lock_from(self.header) {
                return Some(lock);
            }
        }
        self.bin.lock()
    }

    /// Whether every node that could have the key is one that has been compared.
    ///
    /// In a bin as good hashers make it there is no such node, and the loops do nothing.
    #[inline]
    fn is_still_absent(&self, lock: &BinLock<'g>, seen: &Seen) -> bool {
        let mut compared = seen.iter();
        // SAFETY: the guard that `self` was made under keeps blocks from being freed.
        for (block, header) in unsafe { lock.blocks() } {
            for slot in header.matches(self.tag) {
                // `matches` can err on some machines.
                let word = block.word(slot);
                if header.tag(slot) == self.tag && !compared.any(|w| w == word) {
                    // Nodes keep their order, so it is not one of the earlier ones.
                    return false;
                }
            }
        }
        true
    }
}

/// A locked bin, and the slot of a node in it.
pub(super) struct FoundLock<'g> {
    lock: BinLock<'g>,
    block: &'g Bin,
    slot: usize,
}

impl FoundLock<'_> {
    /// Replaces the node by one for the same key, and unlocks.
    #[inline]
    pub(super) fn replace(mut self, new: Word) {
        self.lock.replace(self.block, self.slot, new);
    }

    /// Removes the node, and unlocks.
    #[inline]
    pub(super) fn vacate(mut self) {
        self.lock.vacate(self.block, self.slot);
    }

    /// What is in the slot.
    #[inline]
    pub(super) fn word(&self) -> Word {
        self.block.word(self.slot)
    }

    /// Takes the claim out, and unlocks. Says whether somebody may be waiting for it.
    #[inline]
    #[must_use]
    pub(super) fn settle(mut self, new: Option<Word>) -> bool {
        self.lock.settle(self.block, self.slot, new)
    }

    /// Has whoever settles the claim wake those who wait for it, and unlocks.
    pub(super) fn mark_waited(mut self) {
        self.lock.mark_waited();
    }
}

/// The nodes whose keys were compared, in vain, in the order of their slots.
pub(super) struct Seen {
    first: MaybeUninit<[Word; Seen::INLINE]>,
    len: usize,
    /// Only with hashers that give many keys one hash.
    more: Vec<Word>,
}

impl Seen {
    const INLINE: usize = 8;

    #[inline]
    pub(super) fn new() -> Seen {
        Seen { first: MaybeUninit::uninit(), len: 0, more: Vec::new() }
    }

    #[inline]
    fn clear(&mut self) {
        self.len = 0;
        self.more.clear();
    }

    #[inline]
    fn push(&mut self, word: Word) {
        if self.len < Seen::INLINE {
            // SAFETY: in bounds.
            unsafe { self.first.as_mut_ptr().cast::<Word>().add(self.len).write(word) };
            self.len += 1;
        } else {
            self.more.push(word);
        }
    }

    #[inline]
    fn iter(&self) -> impl Iterator<Item = Word> {
        // SAFETY: `push` has initialised the first `len`.
        let first = unsafe { std::slice::from_raw_parts(self.first.as_ptr().cast(), self.len) };
        first.iter().chain(&self.more).copied()
    }
}
