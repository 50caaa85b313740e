//! Growing and shrinking: moving the bins of one table to the next, a few at a time.
//!
//! ```text
//!   root ──> table (16 bins)                 next ──> table (32 bins)
//!            ┌──────────┬──────────┬───────┐          ┌──────┬──────┬──────┬──────┬───
//!            │forwarded │forwarded │ bin 2 │          │ 0    │ 1    │ 2    │ 3    │ vacant
//!            └──────────┴──────────┴───────┘          └──────┴──────┴──────┴──────┴───
//!              0 ──────────────────────────────────────> 0, 1
//!                         1 ─────────────────────────────────────────> 2, 3
//! ```
//!
//! # Protocol
//!
//! 1. Whoever finds the root table crowded sets its `growing` flag, allocates the next
//!    table and publishes it. Only the root table is ever given a successor, so there
//!    are two tables at most that an operation beginning now can meet, and no transfer
//!    begins before the one before it has ended.
//! 2. Every write that finds the root table being transferred claims one *stride* of
//!    bins from the cursor and moves those that have not moved yet. No write moves more.
//! 3. A bin is moved under its lock: its nodes' words are copied to bins of the next
//!    table, then its header becomes `FORWARDED`, which unlocks it. Before that nobody
//!    looks for its keys in the next table, after that nobody changes it.
//! 4. The cursor goes round: when all strides have been claimed, writes go over them
//!    again and move what is left. So a thread that stops in the middle of a stride
//!    holds up nothing but the bin that it has locked. A locked bin is passed over.
//! 5. Each bin is counted once, by the thread that forwarded it, when it is through with
//!    its stride. Whoever counts the last one makes the next table the root and retires
//!    the old one. Those who go over the bins again and find nothing to move look
//!    whether all are forwarded, some of them not counted; then they do that. So does who
//!    finds all counted.
//!
//! *Growing*, the bins of the next table that a bin's nodes go to are a range of their
//! own, which nobody can reach before the bin is forwarded: they are filled without a
//! lock. *Shrinking*, several bins go to one, which others may use already: it is locked
//! as well, or, if somebody else has it locked, the bin is passed over. Nobody waits for a
//! second lock, so there is no cycle, and no chain of those who wait for a thread that stopped.

use std::{alloc::Layout, mem};

use super::{
    RawMap,
    bin::{Bin, BinLock, Header, Placed, Spares, UnsharedBin, can_halve, count, halve},
    hash::{self, PACKED_FROM},
    node::Node,
    retire::Retired,
    stripe::Stripe,
    striped::Mine,
    table::{MIN_BITS, Table, TableError, bits_for},
    word::{PACKED, Word},
};
use crate::{
    epoch::Guard,
    sync::{Backoff, Ordering},
};

/// Bins that one write moves: a page of the next table.
#[cfg(not(any(binlock_loom, binlock_shuttle)))]
const STRIDE: usize = 32;
#[cfg(binlock_shuttle)]
const STRIDE: usize = 4;
#[cfg(binlock_loom)]
const STRIDE: usize = 1;

/// How often a helper looks again at a bin that others are changing before it passes on.
#[cfg(not(binlock_loom))]
const TRIES: usize = 4;
#[cfg(binlock_loom)]
const TRIES: usize = 1;

/// Maps with tables of so many bits have a stripe for each thread (256 bins are 16 KiB).
const SPREAD_FROM: u32 = if cfg!(any(binlock_loom, binlock_shuttle)) { 3 } else { 8 };

/// In tables of so many bits, one in so many of those who find a bin crowded asks whether all are.
const SUMMED_SELDOM_FROM: u32 = 12;
const ONE_SUM_IN: isize = 8;

/// What an attempt to move bins has brought.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// At least one bin was moved.
    Moved,
    /// All had been moved already, or were too busy.
    Nothing,
    /// There was no memory for overflow blocks, and nothing was moved.
    OutOfMemory,
}

/// What moving a bin can take, at the most.
struct Needs {
    /// Overflow blocks for the targets.
    spares: usize,
    /// Overflow blocks of the bin itself, to be retired.
    emptied: usize,
}

impl Needs {
    #[inline]
    fn of(from: Table, to: Table, bin: &Bin, header: Header) -> Needs {
        let growing = to.bits() > from.bits();
        if growing && !header.is_linked() {
            // At most seven nodes go to bins that are vacant.
            return Needs { spares: 0, emptied: 0 };
        }
        // SAFETY: all callers are pinned.
        let (nodes, blocks) = unsafe { count(bin, header) };
        // Growing, all targets together need no more blocks than the bin has: `b` blocks
        // let a bin hold `6b + 7` nodes. Shrinking, the target may be full already, and
        // each new block gives it room for six more.
        Needs { spares: if growing { blocks } else { nodes.div_ceil(6) }, emptied: blocks }
    }
}

/// Memory for moving a bin, which must be there before the bin is locked.
struct Supplies {
    spares: Spares,
    emptied: Vec<*mut Bin>,
}

impl Supplies {
    /// `false` when out of memory.
    #[inline]
    fn fill(&mut self, needs: Needs) -> bool {
        (needs.spares == 0 || self.spares.fill(needs.spares))
            && self.emptied.try_reserve_exact(needs.emptied).is_ok()
    }

    #[inline]
    fn suffice(&self, needs: Needs) -> bool {
        needs.spares <= self.spares.len() && needs.emptied <= self.emptied.capacity()
    }
}

impl TableError {
    /// Panics or aborts, as the standard collections do.
    #[cold]
    pub(crate) fn handle(self) -> ! {
        match self {
            TableError::CapacityOverflow => panic!("binlock: capacity overflow"),
            TableError::OutOfMemory { layout } => std::alloc::handle_alloc_error(layout),
        }
    }
}

impl<K, V> RawMap<K, V> {
    /// How many entries the map can hold before it grows.
    ///
    /// Pinned, because the table that says so can be replaced, and freed, meanwhile.
    pub(crate) fn capacity(&self, _guard: &Guard) -> usize {
        let root = self.root();
        root.next().unwrap_or(root).limit()
    }

    /// Starts to grow if there are more entries than the root table is meant for.
    ///
    /// Called when an entry had to be put into an overflow block: that happens often
    /// enough near the limit, and seldom far from it, so that the stripes of the count
    /// are not summed up by every insertion.
    #[cold]
    pub(super) fn grow_if_crowded(&self, guard: &Guard) {
        let root = self.root();
        if root.next().is_some() || self.len_with_crowding() <= root.limit() {
            return;
        }
        // Out of memory (or of bits): the map goes on with longer bins, and the next
        // insertion that finds it crowded tries again.
        let _ = self.start_transfer(root, root.bits() + 1, guard);
    }

    /// The same after an insertion that has been counted in this stripe. In large tables, only
    /// some of those ask that are called here: if the map grows, then so do the counts of those
    /// who insert, and they come here with one remainder after another.
    #[cold]
    pub(super) fn grow_if_crowded_by(&self, mine: Mine<'_, Stripe>, guard: &Guard) {
        let is_large = self.root().bits() >= SUMMED_SELDOM_FROM;
        if !is_large || mine.count() % ONE_SUM_IN == 0 {
            self.grow_if_crowded(guard);
        }
    }

    /// Gives the root table a successor, unless somebody else is doing so or has.
    ///
    /// # Panics
    ///
    /// When the successor would have less than `PACKED_FROM` bits, and `root` has not: nodes that
    /// are in `root` need not know the index bits of such a table.
    fn start_transfer(&self, root: Table, bits: u32, guard: &Guard) -> Result<(), TableError> {
        // Not for debug builds only: what follows would read a hash that is not there.
        assert!(
            bits >= PACKED_FROM || root.bits() < PACKED_FROM,
            "a table shrinks below what nodes know"
        );
        // Acquire: if an earlier owner of the flag has failed, it is done. Nothing is
        // published by setting it.
        if root.head().growing.swap(true, Ordering::Acquire) {
            return Ok(());
        }
        // A few target bins for each bin can be vacated as the transfer goes on. More, as
        // after `reserve`, would make single writes slow.
        let next = if bits > root.bits() && bits <= root.bits() + 2 {
            Table::alloc_for_growth(bits)
        } else {
            Table::alloc(bits)
        };
        match next {
            Ok(next) => {
                self.spread_out_for(bits);
                root.set_next(next);
                self.help_transfer(root, next, guard);
                Ok(())
            }
            Err(error) => {
                root.head().growing.store(false, Ordering::Release);
                Err(error)
            }
        }
    }

    /// Gives the threads stripes of their own, if the map has got a table that is as large as
    /// those are, so that they make no difference.
    pub(super) fn spread_out_for(&self, bits: u32) {
        if bits >= SPREAD_FROM {
            self.garbage.stripes.spread_out();
        }
    }

    /// Moves one stride of bins.
    #[cold]
    #[inline(never)]
    pub(super) fn help_transfer(&self, from: Table, to: Table, guard: &Guard) -> Outcome {
        let progress = &from.head().progress;
        let mut outcome = Outcome::Nothing;
        // Acquire: as for whoever counts the last bin, below.
        if progress.forwarded.load(Ordering::Acquire) == from.len() {
            // Who has counted the last one may be long in coming to the rest.
            self.finish_transfer(from, to, guard);
            return outcome;
        }
        // Relaxed: the cursor only spreads the work; bins are guarded by their locks.
        let stride = progress.cursor.fetch_add(1, Ordering::Relaxed);
        let start = stride.wrapping_mul(STRIDE) & (from.len() - 1);
        let end = from.len().min(start + STRIDE);
        let mut moved = 0;
        for index in start..end {
            if self.move_plain(from, to, index, guard) {
                moved += 1;
                continue;
            }
            match self.move_bin(from, to, index, guard) {
                Outcome::Moved => moved += 1,
                Outcome::Nothing => {}
                Outcome::OutOfMemory => outcome = Outcome::OutOfMemory,
            }
        }
        if moved == 0 {
            if stride.saturating_mul(STRIDE) >= from.len() {
                self.finish_for_others(from, to, guard);
            }
            return outcome;
        }
        // Release: what was moved is visible to whoever counts the last bin (acquire),
        // and through `root` to everybody.
        let before = progress.forwarded.fetch_add(moved, Ordering::AcqRel);
        if before + moved == from.len() {
            self.finish_transfer(from, to, guard);
        }
        Outcome::Moved
    }

    /// Finishes a transfer that is over but for somebody's counting, which he may be long in
    /// coming to. Looks at a few bins more.
    #[cold]
    fn finish_for_others(&self, from: Table, to: Table, guard: &Guard) {
        let seen = &from.head().progress.seen;
        // Acquire, and release below: what others saw moved is visible to whoever sees the last
        // bin, and through `root` to everybody. (A header is loaded with acquire as well.)
        let mut index = seen.load(Ordering::Acquire);
        let end = from.len().min(index + 4 * STRIDE);
        while index < end && from.bin(index).header().is_forwarded() {
            index += 1;
        }
        seen.fetch_max(index, Ordering::AcqRel);
        if index == from.len() {
            self.finish_transfer(from, to, guard);
        }
    }

    /// All bins are forwarded. Called by whoever counts the last one, and by those who see that all
    /// are counted, or that all are forwarded.
    #[cold]
    fn finish_transfer(&self, from: Table, to: Table, guard: &Guard) {
        // Release: publishes what was moved. The table cannot become the root again as long
        // as anybody is pinned who takes it for that, so one of those who come here succeeds.
        let swapped = self.root.compare_exchange(
            from.into_raw(),
            to.into_raw(),
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        if swapped.is_ok() {
            self.garbage.retire_table(from, guard);
        }
    }

    /// Moves a bin unless it has been moved already, or is too busy.
    fn move_bin(&self, from: Table, to: Table, index: usize, guard: &Guard) -> Outcome {
        let bin = from.bin(index);
        let mut supplies = Supplies { spares: Spares::new(), emptied: Vec::new() };
        for _ in 0..TRIES {
            let header = bin.header();
            if header.is_forwarded() {
                return Outcome::Nothing;
            }
            if header.is_locked() {
                std::hint::spin_loop();
                continue;
            }
            if !supplies.fill(Needs::of(from, to, bin, header)) {
                return Outcome::OutOfMemory;
            }
            let Ok(lock) = bin.try_lock_from(header) else { continue };
            // The header is the same, but overflow blocks may have come meanwhile.
            if !supplies.suffice(Needs::of(from, to, bin, header)) {
                continue;
            }
            // As the bin is not forwarded, `to` is not the root yet, and none of its bins is.
            let target = match to.bits() < from.bits() {
                true => match to.bin(index >> (from.bits() - to.bits())).try_lock() {
                    Some(target) => Some(target),
                    None => continue,
                },
                false => None,
            };
            // SAFETY: `to` is the successor of `from`, the locks are on the bin with this index
            // and on its target, and the supplies suffice.
            unsafe { self.move_locked(from, to, index, lock, target, &mut supplies) };
            for block in supplies.emptied {
                self.retire(Retired::block(block), guard);
            }
            return Outcome::Moved;
        }
        Outcome::Nothing
    }

    /// Moves the nodes of a locked bin and forwards it.
    ///
    /// # Safety
    ///
    /// `to` is the successor of `from`, the lock is on bin `index` of `from`, the target is
    /// the bin of `to` that its nodes go to if that is smaller, the supplies suffice, and the
    /// caller is pinned.
    unsafe fn move_locked(
        &self,
        from: Table,
        to: Table,
        index: usize,
        lock: BinLock<'_>,
        mut target: Option<BinLock<'_>>,
        supplies: &mut Supplies,
    ) {
        let Supplies { spares, emptied } = supplies;
        if let Some(target) = &mut target {
            // SAFETY: the caller is pinned.
            for (block, header) in unsafe { lock.blocks() } {
                for slot in header.used() {
                    let placed = target.place(header.tag(slot), block.word(slot), spares);
                    debug_assert_ne!(placed, Placed::NoRoom);
                }
            }
            if lock.is_waited() {
                target.mark_waited();
            }
            target.publish();
        } else {
            // SAFETY: the bin is locked, and not forwarded yet.
            unsafe { from.vacate_targets(to, index) };
            let first_target = index << (to.bits() - from.bits());
            // SAFETY: the caller is pinned.
            for (block, header) in unsafe { lock.blocks() } {
                for slot in header.used() {
                    let (tag, word) = (header.tag(slot), block.word(slot));
                    // SAFETY: the node is in a table of `from.bits()` bits, and live, as
                    // the bin is locked.
                    let low =
                        unsafe { Node::<K, V>::index_bits(word, tag, from.bits(), to.bits()) };
                    // SAFETY: whoever looks for a key of the target comes by way of the
                    // bin that is locked here and not forwarded yet.
                    let target = unsafe { UnsharedBin::new(to.bin(first_target | low)) };
                    let waited = lock.is_waited() && word.is_claim();
                    let placed = target.place(tag, word, waited, spares);
                    debug_assert_ne!(placed, Placed::NoRoom);
                }
            }
        }
        // SAFETY: the caller is pinned.
        let overflow = unsafe { lock.overflow_blocks() };
        emptied.extend(overflow.map(|block| std::ptr::from_ref(block).cast_mut()));
        lock.forward();
        // Locked until the bin is forwarded: what is taken out of the target must not be found
        // in the bin any more.
        drop(target);
    }

    /// Moves a bin as almost all are when a map grows by itself: one that nobody has locked or
    /// waits at, with one overflow block at most, to two bins that have room for what it holds.
    /// `false` if it is another one, or was when it was to be locked.
    ///
    /// What [`RawMap::move_bin`] does with any bin, this does with six tenths of the instructions.
    #[inline(always)]
    fn move_plain(&self, from: Table, to: Table, index: usize, guard: &Guard) -> bool {
        if to.bits() != from.bits() + 1 {
            return false;
        }
        match hash::packed_bit(from.bits()) {
            Some(bit) if PACKED => {
                self.move_plain_by(from, to, index, |_, word| word.packed() >> bit & 1 != 0, guard)
            }
            _ => {
                // SAFETY: the node is in a table of `from.bits()` bits, and live: this is asked
                // only while the bin is locked.
                let is_upper = |tag, word| unsafe {
                    Node::<K, V>::index_bits(word, tag, from.bits(), to.bits()) != 0
                };
                self.move_plain_by(from, to, index, is_upper, guard)
            }
        }
    }

    /// The same; `is_upper` says of a tag and a word in the bin, while that is locked, whether they
    /// go to the second of the two bins.
    #[inline(always)]
    fn move_plain_by(
        &self,
        from: Table,
        to: Table,
        index: usize,
        is_upper: impl Copy + Fn(u8, Word) -> bool,
        guard: &Guard,
    ) -> bool {
        let bin = from.bin(index);
        let header = bin.header();
        if !header.is_plain() {
            return false;
        }
        let Ok(lock) = bin.try_lock_from(header) else { return false };
        // Only when they are vacated: a new table's bins are not written before.
        let targets = || [to.bin(2 * index), to.bin(2 * index + 1)];
        if !header.is_linked() {
            // SAFETY: the bin is locked, and not forwarded yet: whoever looks for a key of the
            // targets comes by way of it. They are vacated first.
            unsafe {
                from.vacate_targets(to, index);
                halve([(bin, header)], targets(), is_upper);
            }
            lock.forward();
            return true;
        }
        // SAFETY: the bin is locked, so its blocks stay.
        let Some(block) = (unsafe { lock.only_block() }) else { return false };
        let parts = [(bin, header), (block, block.header())];
        if !can_halve(parts, is_upper) {
            return false;
        }
        // SAFETY: as above.
        unsafe {
            from.vacate_targets(to, index);
            halve(parts, targets(), is_upper);
        }
        lock.forward();
        self.retire(Retired::block(std::ptr::from_ref(block).cast_mut()), guard);
        true
    }

    /// Makes room for so many entries beyond those that are there.
    ///
    /// Out of memory, a transfer that was going on may still be going on; everything is
    /// in the map all the same.
    pub(crate) fn reserve(&self, additional: usize, guard: &Guard) -> Result<(), TableError> {
        let mut has_begun = false;
        loop {
            let wanted = self.len().checked_add(additional).ok_or(TableError::CapacityOverflow)?;
            // One root for the question and for the answer: a table that is too small for
            // `wanted` is given a larger successor. If others have replaced it meanwhile, the
            // one that they brought must not be replaced by what this one was to become.
            let root = self.root();
            let next = root.next();
            if wanted <= next.unwrap_or(root).limit() {
                return Ok(());
            }
            if !mem::replace(&mut has_begun, true) {
                self.begin_much(guard);
                // That may have run the user's code, which may have changed all of this.
                continue;
            }
            let bits = bits_for(wanted)?;
            if root.is_empty_table() {
                self.install_first(root, bits, guard)?;
            } else if let Some(next) = next {
                self.complete_transfer(root, next, guard)?;
            } else {
                self.start_transfer(root, bits, guard)?;
                // Whoever else may be starting one is past the allocation soon.
                let mut backoff = Backoff::new();
                while self.root() == root
                    && root.next().is_none()
                    && root.head().growing.load(Ordering::Relaxed)
                {
                    backoff.wait();
                }
            }
        }
    }

    /// Moves to the smallest table that is large enough, now.
    pub(crate) fn shrink_to_fit(&self, guard: &Guard) -> Result<(), TableError> {
        let mut has_begun = false;
        loop {
            let root = self.root();
            if let Some(next) = root.next() {
                self.complete_transfer(root, next, guard)?;
                continue;
            }
            // Narrow nodes know only the index bits from `PACKED_FROM` on.
            let least = if root.bits() < PACKED_FROM { MIN_BITS } else { PACKED_FROM };
            let bits = bits_for(self.len_with_crowding())?.max(least);
            if root.is_empty_table() || bits >= root.bits() {
                return Ok(());
            }
            if !mem::replace(&mut has_begun, true) {
                self.begin_much(guard);
                // That may have run the user's code, which may have changed all of this.
                continue;
            }
            self.start_transfer(root, bits, guard)?;
            return match root.next() {
                Some(next) => self.complete_transfer(root, next, guard),
                // Somebody else is about to grow the table; no reason to wait for that.
                None => Ok(()),
            };
        }
    }

    /// Moves strides until the transfer has ended.
    fn complete_transfer(&self, from: Table, to: Table, guard: &Guard) -> Result<(), TableError> {
        let mut backoff = Backoff::new();
        let mut in_vain = 0;
        while self.root() == from {
            match self.help_transfer(from, to, guard) {
                Outcome::Moved => in_vain = 0,
                // The cursor may be anywhere: wait after a whole lap. (Loom explores every
                // lap, and has to be told at once that it is waiting.)
                Outcome::Nothing if in_vain * STRIDE < from.len() && !cfg!(binlock_loom) => {
                    in_vain += 1
                }
                Outcome::Nothing => {
                    in_vain = 0;
                    backoff.wait();
                }
                Outcome::OutOfMemory => {
                    return Err(TableError::OutOfMemory { layout: Layout::new::<Bin>() });
                }
            }
        }
        Ok(())
    }
}

#[cfg(all(test, not(any(binlock_loom, binlock_shuttle))))]
mod tests;
