//! Visiting all entries of a map that others are writing to: iteration and `clear`.
//!
//! # Why iteration yields what it must
//!
//! A bin of any table stands for a prefix of the hash (see `hash`). A walk goes over the
//! prefixes of the table that is the root when it begins, one after another. If the bin
//! of a prefix has been forwarded, its nodes are in bins of the next table that stand
//! for longer prefixes (after a growth), or for a shorter one (after a shrinking; the
//! nodes of other prefixes in there are passed over). So whatever growing and shrinking
//! goes on, every prefix is visited once, and an entry that is present all the time is
//! found at that visit, and only then.
//!
//! While a walk goes on, the table can be replaced any number of times. A walk that meets a
//! forwarded bin goes on with the first table that still has bins of its own
//! ([`Table::latest`]): to follow all those that have been left, one from the other and for
//! each prefix anew, would take time, and a stack, without limit.
//!
//! Within a bin a node never changes its place but from a last slot to the block that
//! the slot then links to; the slot is read once, and shows either the node or the link.
//! A bin's header is read when its visit begins, a slot when its turn comes, and anything may have
//! happened in between, the caller's own writes included: what is in the slots that the header
//! knows of has been there all the time, or is another entry, which has come meanwhile. If the
//! bin has been forwarded since, its slots show what was there then. (Overflow blocks, which few
//! bins have, are gone through at once.)

use std::{marker::PhantomData, ptr::NonNull};

use super::{
    RawMap,
    bin::{Bin, FAR, Header, LOOK_AHEAD, Slots, node_of},
    node::Node,
    retire::Retired,
    search::successor,
    table::Table,
    word::{Kind, Word},
};
use crate::epoch::Guard;

/// A hash's first `bits` bits.
#[derive(Clone, Copy)]
struct Prefix {
    bits: u32,
    index: usize,
}

/// A walk over the prefixes of a table, or over a part of them.
pub(crate) struct Cursor<K, V> {
    /// The table that the walk began with, or one that has replaced it.
    table: Table,
    /// The bits of the table that it began with: of its prefixes.
    bits: u32,
    next: usize,
    end: usize,
    /// Where among these prefixes to stop asking for nodes in advance.
    end_of_asking: usize,
    /// What is left of a bin that has the nodes of one prefix, and no others.
    rest: Rest,
    /// Words that have been collected, last to first: of a prefix whose nodes are not in a bin
    /// of its own, or not all of them. Overflow blocks are collected at once, because there is no end
    /// to them if each step of an iteration inserts a key of the same hash.
    words: Vec<Word>,
    marker: PhantomData<fn() -> (K, V)>,
}

/// The slots of a bin that are still to be visited.
struct Rest {
    /// Dangling if there are none.
    bin: NonNull<Bin>,
    slots: Slots,
    /// Where the bin goes on, if it has been extended since the visit began.
    link: Option<NonNull<Bin>>,
}

impl Rest {
    const NONE: Rest = Rest { bin: NonNull::dangling(), slots: Slots::NONE, link: None };
}

// SAFETY: a cursor is the addresses of a table, of a bin and of a block, and some words; it derefs
// them in `next` only, whose caller vouches for the lifetime. Bins are made of atomics, and keys and
// values are given out by reference, to whatever thread has the cursor: hence `Sync`.
unsafe impl<K: Sync, V: Sync> Send for Cursor<K, V> {}

impl<K, V> RawMap<K, V> {
    /// A walk over everything, from now on.
    pub(crate) fn cursor(&self, _guard: &Guard) -> Cursor<K, V> {
        let table = self.root();
        let (bits, end) = (table.bits(), table.len());
        let end_of_asking = if end < FAR { 0 } else { end - LOOK_AHEAD };
        let words = Vec::new();
        let marker = PhantomData;
        Cursor { table, bits, next: 0, end, end_of_asking, rest: Rest::NONE, words, marker }
    }

    /// Removes all entries that are there throughout.
    pub(crate) fn clear(&self, guard: &Guard) {
        self.begin_much(guard);
        self.begin_write(guard);
        let mut table = self.root();
        let bits = table.bits();
        let mut removed = Vec::with_capacity(REMOVED_AT_ONCE);
        for index in 0..table.len() {
            table = self.clear_prefix(table, Prefix { bits, index }, &mut removed, guard);
        }
    }

    /// Clears the bins of a prefix. A bin that has become the target of several ones is
    /// cleared as a whole: what else it holds is to be removed, too. Returns the
    /// table to go on with.
    fn clear_prefix(
        &self,
        table: Table,
        prefix: Prefix,
        removed: &mut Vec<Word>,
        guard: &Guard,
    ) -> Table {
        let mut go_on = table;
        for (prefix, bin) in bins(table, prefix) {
            loop {
                if bin.header() == Header::EMPTY {
                    break;
                }
                let mut covered = 0;
                let Some(mut lock) = bin.lock() else {
                    let next;
                    (next, go_on) = behind(table);
                    self.clear_prefix(next, prefix, removed, guard);
                    break;
                };
                // SAFETY: the guard keeps blocks from being freed.
                'fill: for (block, header) in unsafe { lock.blocks() } {
                    for slot in header.used() {
                        if removed.len() + covered == REMOVED_AT_ONCE {
                            break 'fill;
                        }
                        let word = block.word(slot);
                        if word.is_reserved() {
                            // The computation comes after the clearing.
                        } else if word.is_claim() {
                            // It comes before. Its holder will find out, and retires the
                            // node; those who wait for it go on waiting.
                            lock.replace(block, slot, word.reserved());
                            covered += 1;
                        } else {
                            removed.push(word);
                            lock.vacate(block, slot);
                        }
                    }
                }
                drop(lock);
                let all = removed.len() + covered < REMOVED_AT_ONCE;
                self.count(-((removed.len() + covered) as isize));
                for word in removed.drain(..) {
                    self.retire(Retired::node(word), guard);
                }
                if all {
                    break;
                }
            }
        }
        go_on
    }
}

/// `clear` holds a bin's lock for so many removals at the most.
const REMOVED_AT_ONCE: usize = 32;

impl<K, V> Cursor<K, V> {
    /// The next node.
    ///
    /// # Safety
    ///
    /// The cursor is from [`RawMap::cursor`], and since then, and as long as `'g`, the
    /// same guard has been held (on whatever thread).
    #[inline]
    pub(crate) unsafe fn next<'g>(&mut self) -> Option<&'g Node<K, V>>
    where
        K: 'g,
        V: 'g,
    {
        loop {
            for slot in self.rest.slots.by_ref() {
                // SAFETY: there are slots left, so it is a bin; the guard keeps its table.
                let word = unsafe { self.rest.bin.as_ref() }.word(slot);
                // SAFETY: the guard keeps overflow blocks from being freed.
                let found = !word.is_special()
                    || match unsafe { word.kind() } {
                        Kind::Node | Kind::Covered => true,
                        Kind::Vacant | Kind::Reserved => false,
                        Kind::Link(block) => {
                            self.rest.link = Some(block.into());
                            false
                        }
                    };
                if found {
                    // SAFETY: the word was in a bin since the guard was taken.
                    return Some(unsafe { node_of(word) });
                }
            }
            if let Some(word) = self.words.pop() {
                // SAFETY: as above.
                return Some(unsafe { node_of(word) });
            }
            // SAFETY: the caller's promise.
            if !unsafe { self.go_on() } {
                return None;
            }
        }
    }

    /// Goes on with the overflow blocks of the bin, or with the next prefix. `false` if there is
    /// none.
    ///
    /// # Safety
    ///
    /// As for [`Cursor::next`].
    #[inline]
    unsafe fn go_on(&mut self) -> bool {
        if let Some(block) = self.rest.link.take() {
            // SAFETY: passed on; the guard keeps the block.
            unsafe { self.collect_blocks(block.as_ref()) };
            return true;
        }
        if self.next == self.end {
            return false;
        }
        let prefix = Prefix { bits: self.bits, index: self.next };
        self.next += 1;
        if self.next < self.end_of_asking {
            self.table.bin(self.next + LOOK_AHEAD).ask_for_nodes();
        }
        if self.table.bits() == self.bits {
            let bin = self.table.bin(prefix.index);
            let header = bin.header();
            if !header.goes_on() {
                self.rest = Rest { bin: bin.into(), slots: header.used(), link: None };
                return true;
            }
        }
        // SAFETY: passed on.
        unsafe { self.collect(prefix) };
        true
    }

    /// Collects the words of a prefix that has not just a bin in this table.
    ///
    /// # Safety
    ///
    /// As for [`Cursor::next`].
    #[cold]
    unsafe fn collect(&mut self, prefix: Prefix) {
        // SAFETY: passed on.
        let go_on = unsafe { collect::<K, V>(self.table, prefix, &mut self.words) };
        if go_on != self.table {
            // Nothing is known of the bins in front.
            self.end_of_asking = 0;
            self.table = go_on;
        }
        self.words.reverse();
    }

    /// Collects the words of a bin's overflow blocks, from the first on.
    ///
    /// # Safety
    ///
    /// As for [`Cursor::next`].
    #[cold]
    unsafe fn collect_blocks(&mut self, first: &Bin) {
        // The blocks of a bin have nodes of its own prefix only, as the bin has.
        let prefix = Prefix { bits: self.bits, index: self.next - 1 };
        // SAFETY: passed on.
        unsafe {
            collect_bin::<K, V>(self.table, prefix, first, first.header(), &mut self.words);
        }
        self.words.reverse();
    }

    /// Splits off the second half of what has not been visited yet, if that is more
    /// than one prefix.
    #[cfg_attr(not(feature = "rayon"), allow(dead_code))]
    pub(crate) fn split(&mut self) -> Option<Cursor<K, V>> {
        let middle = self.next + (self.end - self.next) / 2;
        if middle == self.next || middle == self.end {
            return None;
        }
        let end = std::mem::replace(&mut self.end, middle);
        let end_of_asking = self.end_of_asking;
        self.end_of_asking = end_of_asking.min(middle.saturating_sub(LOOK_AHEAD));
        Some(Cursor {
            table: self.table,
            bits: self.bits,
            next: middle,
            end,
            end_of_asking,
            rest: Rest::NONE,
            words: Vec::new(),
            marker: PhantomData,
        })
    }
}

/// The bins of a table that hold the nodes of a prefix, each with the longer prefix that
/// it stands for, or with the same if the bin stands for a shorter one.
fn bins<'g>(table: Table, prefix: Prefix) -> impl Iterator<Item = (Prefix, &'g Bin)> {
    let (first, len, bits) = if table.bits() >= prefix.bits {
        let more = table.bits() - prefix.bits;
        (prefix.index << more, 1 << more, table.bits())
    } else {
        (prefix.index >> (prefix.bits - table.bits()), 1, prefix.bits)
    };
    (first..first + len).map(move |index| {
        let prefix = if bits == table.bits() { Prefix { bits, index } } else { prefix };
        (prefix, table.bin(index))
    })
}

/// Where the nodes of a forwarded bin are by now, and the table that a walk goes on with
/// after that: the same, if all bins of this one have been forwarded.
fn behind(table: Table) -> (Table, Table) {
    let next = successor(table);
    let latest = next.latest();
    // Only a root table is given a successor, and `next` is the root only when `table` has
    // been left. (If it has been left and is the last one that was, the next visit goes
    // through it once more.)
    (latest, if latest == next { table } else { latest })
}

/// Collects the words of all nodes of a prefix. Returns the table to go on with.
///
/// # Safety
///
/// A guard is held since before `table` was loaded from the map.
unsafe fn collect<K, V>(table: Table, prefix: Prefix, words: &mut Vec<Word>) -> Table {
    let mut go_on = table;
    for (prefix, bin) in bins(table, prefix) {
        let header = bin.header();
        if header.is_forwarded() {
            let next;
            (next, go_on) = behind(table);
            // SAFETY: passed on.
            unsafe { collect::<K, V>(next, prefix, words) };
        } else {
            // SAFETY: passed on.
            unsafe { collect_bin::<K, V>(table, prefix, bin, header, words) };
        }
    }
    go_on
}

/// Collects the words of the nodes of a prefix that are in a bin.
///
/// # Safety
///
/// As for [`collect`].
unsafe fn collect_bin<K, V>(
    table: Table,
    prefix: Prefix,
    bin: &Bin,
    header: Header,
    words: &mut Vec<Word>,
) {
    let mut next = Some((bin, header));
    while let Some((block, header)) = next {
        let mut link = None;
        for slot in header.used() {
            let word = block.word(slot);
            // SAFETY: the caller's guard keeps blocks from being freed.
            match unsafe { word.kind() } {
                Kind::Node | Kind::Covered => {
                    // SAFETY: the guard keeps the node from being freed; it is in a
                    // table of `table.bits()` bits.
                    if unsafe { belongs::<K, V>(word, header.tag(slot), table, prefix) } {
                        words.push(word);
                    }
                }
                Kind::Vacant | Kind::Reserved => {}
                Kind::Link(block) => link = Some(block),
            }
        }
        // SAFETY: as above.
        next = unsafe { block.after(header, link) };
    }
}

/// Whether a node in a bin of `table` that includes the prefix is of the prefix.
///
/// # Safety
///
/// The node is live and in a table of `table.bits()` bits.
#[inline]
unsafe fn belongs<K, V>(word: Word, tag: u8, table: Table, prefix: Prefix) -> bool {
    if table.bits() >= prefix.bits {
        return true;
    }
    // SAFETY: the caller's promise.
    let low = unsafe { Node::<K, V>::index_bits(word, tag, table.bits(), prefix.bits) };
    low == prefix.index & ((1 << (prefix.bits - table.bits())) - 1)
}
