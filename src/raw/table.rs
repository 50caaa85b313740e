//! Tables: an array of bins with a head in front, and the word that stands for one.
//!
//! ```text
//!    root word                allocation
//!  +------------------+     +-----------------------------+-------+-------+-- ... --+
//!  | address | shift  | --> | head: next, cursor, done... | bin 0 | bin 1 |         |
//!  +------------------+     +-----------------------------+-------+-------+-- ... --+
//!                                                         ^ the address points here
//! ```
//!
//! Bins are aligned to 64 bytes, so the low six bits of the address of bin 0 are free;
//! they hold what turns a hash into the offset of a bin. One load therefore gives a
//! reader all it needs to know about the table: no head is read, no mask is loaded.

use std::ptr;

use super::{
    bin::{Bin, SLOTS},
    hash::MAX_BITS,
};
use crate::sync::{
    AtomicBool, AtomicPtr, AtomicUsize, Ordering,
    alloc::{self, Layout},
    const_unless_loom,
};

/// `64 = 2^6` bytes in a bin: a hash shifted right by `64 - 6 - bits` and rounded down to
/// a multiple of 64 is the offset of its bin.
const MAX_SHIFT: u32 = 64 - 6;
const SHIFT_BITS: usize = 63;

/// The smallest table that is ever allocated: 4 bins.
#[cfg(not(binlock_loom))]
pub(super) const MIN_BITS: u32 = 2;
#[cfg(binlock_loom)]
pub(super) const MIN_BITS: u32 = 1;

/// What a table knows beside its bins.
#[repr(C, align(64))]
pub(super) struct Head {
    /// The table that this one is being transferred to, once there is one. Written once.
    next: AtomicPtr<Bin>,
    /// Set by the one who is to provide `next`; cleared again if that fails.
    pub(super) growing: AtomicBool,
    /// The start of the allocation, and its size; null for the shared empty table.
    base: *mut u8,
    size: usize,
    /// Whether each bin is vacated only when the transfer comes to it. Until then it is
    /// not initialised, and nobody looks at it: the bin whose nodes go there has not been
    /// forwarded.
    bins_to_come: bool,
    /// Where transfer stands. On a line of its own: writers read `next` all the time.
    pub(super) progress: Progress,
}

/// The state of a transfer out of a table.
#[repr(align(64))]
pub(super) struct Progress {
    /// The next stride to be claimed; it goes round, see `transfer`.
    pub(super) cursor: AtomicUsize,
    /// How many bins have been forwarded, as far as those who did it have come to count them.
    pub(super) forwarded: AtomicUsize,
    /// So many bins, from the first on, were seen to be forwarded by threads that had nothing
    /// left to move. Only grows.
    pub(super) seen: AtomicUsize,
}

// SAFETY: `base` and `size` are written before the table is shared; the rest is atomic.
unsafe impl Sync for Head {}

impl Head {
    const_unless_loom! {
        const fn new(base: *mut u8, size: usize, bins_to_come: bool) -> Head {
            Head {
                bins_to_come,
                next: AtomicPtr::new(ptr::null_mut()),
                growing: AtomicBool::new(false),
                base,
                size,
                progress: Progress {
                    cursor: AtomicUsize::new(0),
                    forwarded: AtomicUsize::new(0),
                    seen: AtomicUsize::new(0),
                },
            }
        }
    }
}

/// The table of all maps that have never held anything: one bin, always empty.
#[cfg(not(binlock_loom))]
#[repr(C)]
struct EmptyTable {
    head: Head,
    bin: Bin,
}

#[cfg(not(binlock_loom))]
static EMPTY: EmptyTable =
    EmptyTable { head: Head::new(ptr::null_mut(), 0, false), bin: Bin::new() };

/// A table: the address of its first bin, and in the low bits the shift.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Table(*mut Bin);

/// Why there is no table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TableError {
    /// More bins than can be addressed.
    CapacityOverflow,
    /// The allocator returned null.
    OutOfMemory {
        /// What was asked for.
        layout: Layout,
    },
}

impl Table {
    /// The table without entries that needs no memory (under loom: a small one, as
    /// loom's atomics cannot be static).
    #[cfg(not(binlock_loom))]
    pub(super) const fn empty() -> Table {
        let first = (&raw const EMPTY).cast::<u8>().wrapping_add(size_of::<Head>());
        Table(first.wrapping_add(MAX_SHIFT as usize).cast_mut().cast::<Bin>())
    }

    #[cfg(binlock_loom)]
    pub(super) fn empty() -> Table {
        Table::alloc(0).expect("the tables of a model are small")
    }

    /// Allocates a table of `2^bits` vacant bins.
    pub(super) fn alloc(bits: u32) -> Result<Table, TableError> {
        Table::alloc_with(bits, true)
    }

    /// Allocates a table of `2^bits` bins for a growth, which vacates a bin when it comes
    /// to it ([`Table::vacate_targets`]).
    ///
    /// Most allocators have to fill large memory with zeros when it has been used before;
    /// the one insertion that starts the growth would pay for all bins.
    pub(super) fn alloc_for_growth(bits: u32) -> Result<Table, TableError> {
        Table::alloc_with(bits, false)
    }

    fn alloc_with(bits: u32, vacant: bool) -> Result<Table, TableError> {
        if bits > MAX_BITS.min(usize::BITS - 8) {
            return Err(TableError::CapacityOverflow);
        }
        let bins = 1_usize << bits;
        // Aligned by hand: for alignments that `malloc` does not give, the system
        // allocator would fill the memory with zeros instead of mapping fresh pages,
        // and one unlucky insertion would pay for hundreds of megabytes.
        let size = size_of::<Bin>()
            .checked_mul(bins)
            .and_then(|size| size.checked_add(size_of::<Head>() + align_of::<Head>()))
            .ok_or(TableError::CapacityOverflow)?;
        let layout = Layout::from_size_align(size, 16).map_err(|_| TableError::CapacityOverflow)?;
        // SAFETY: the size is not zero.
        let base =
            unsafe { if vacant { alloc::alloc_zeroed(layout) } else { alloc::alloc(layout) } };
        if base.is_null() {
            return Err(TableError::OutOfMemory { layout });
        }
        let head = base.map_addr(|address| address.next_multiple_of(align_of::<Head>()));
        let table =
            Table(head.wrapping_add(size_of::<Head>() + (MAX_SHIFT - bits) as usize).cast::<Bin>());
        // SAFETY: aligning takes at most `align_of::<Head>()` bytes, which were added to
        // the size; head and bins follow. All-zero bytes are valid, vacant bins.
        unsafe {
            head.cast::<Head>().write(Head::new(base, size, !vacant));
            if cfg!(binlock_loom) {
                for i in 0..bins {
                    table.first().add(i).write(Bin::new());
                }
            }
        }
        Ok(table)
    }

    /// Frees the table, not what its bins hold.
    ///
    /// # Safety
    ///
    /// Nobody can reach the table any more; its overflow blocks have been taken care of.
    pub(super) unsafe fn dealloc(self) {
        let (base, size) = (self.head().base, self.head().size);
        if base.is_null() {
            return;
        }
        if cfg!(binlock_loom) {
            // SAFETY: exclusive access. Loom's atomics own memory.
            unsafe {
                for i in 0..self.len() {
                    self.first().add(i).drop_in_place();
                }
                self.first().cast::<Head>().sub(1).drop_in_place();
            }
        }
        // SAFETY: the base and the layout are those of `alloc`.
        unsafe { alloc::dealloc(base, Layout::from_size_align_unchecked(size, 16)) };
    }

    #[inline(always)]
    pub(super) fn from_raw(raw: *mut Bin) -> Table {
        Table(raw)
    }

    #[inline(always)]
    pub(super) const fn into_raw(self) -> *mut Bin {
        self.0
    }

    #[inline(always)]
    fn shift(self) -> u32 {
        (self.0.addr() & SHIFT_BITS) as u32
    }

    #[inline(always)]
    fn first(self) -> *mut Bin {
        self.0.map_addr(|address| address & !SHIFT_BITS)
    }

    /// The binary logarithm of the number of bins.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        let shift = self.shift();
        // SAFETY: what is in the low bits of the address comes from a number of bits. (So it need
        // not be taken from anything to be compared with one.)
        unsafe { std::hint::assert_unchecked(shift <= MAX_SHIFT) };
        MAX_SHIFT - shift
    }

    #[inline(always)]
    pub(super) fn len(self) -> usize {
        1 << self.bits()
    }

    /// Whether this is the shared empty table, in which nothing may be placed.
    #[inline(always)]
    pub(super) fn is_empty_table(self) -> bool {
        self.bits() < MIN_BITS
    }

    /// The bin that a hash belongs to.
    ///
    /// The lifetime is the caller's choice: tables live until they are retired and no
    /// thread is pinned that may have seen them, or until their map is dropped.
    #[cfg(not(binlock_loom))]
    #[inline(always)]
    pub(super) fn bin_for<'g>(self, hash: u64) -> &'g Bin {
        let offset = (hash >> self.shift()) as usize & !SHIFT_BITS;
        // SAFETY: the upper `bits` bits of the hash are the index of a bin, and the
        // offset is 64 times that: inside the allocation.
        unsafe { &*self.first().byte_add(offset) }
    }

    /// The same for loom's bins, which are larger.
    #[cfg(binlock_loom)]
    pub(super) fn bin_for<'g>(self, hash: u64) -> &'g Bin {
        self.bin((hash >> self.shift() >> (64 - MAX_SHIFT)) as usize)
    }

    /// Where that bin is, for who may not look at it, as the table may have been freed.
    #[inline(always)]
    pub(super) fn address_for(self, hash: u64) -> *const Bin {
        // (Loom's bins are larger. Nobody asks for them.)
        let offset = (hash >> self.shift()) as usize & !SHIFT_BITS;
        self.first().wrapping_byte_add(offset)
    }

    /// The bin with an index less than `len()`.
    #[inline(always)]
    pub(super) fn bin<'g>(self, index: usize) -> &'g Bin {
        debug_assert!(index < self.len());
        // SAFETY: indexes come from loops over `0..len()` or from `bits` bits of a hash.
        unsafe { &*self.first().add(index) }
    }

    #[inline(always)]
    pub(super) fn head<'g>(self) -> &'g Head {
        // SAFETY: a head stands in front of the bins of every table.
        unsafe { &*self.first().cast::<Head>().sub(1) }
    }

    /// Vacates the bins of the next table that the nodes of bin `index` go to, unless
    /// they are vacant already.
    ///
    /// # Safety
    ///
    /// `next` is this table's successor and larger. Bin `index` has not been forwarded,
    /// and the caller is the only one who can do that: nobody else can reach the bins.
    #[inline]
    pub(super) unsafe fn vacate_targets(self, next: Table, index: usize) {
        if next.head().bins_to_come {
            let targets = 1 << (next.bits() - self.bits());
            #[cfg(not(binlock_loom))]
            // SAFETY: in bounds; the bins are the caller's alone, and all-zero bytes are
            // a vacant bin.
            unsafe {
                next.first().add(index * targets).write_bytes(0, targets);
            }
            // Loom's bins have been made with the table. It checks that they are the
            // caller's alone.
            #[cfg(binlock_loom)]
            for target in index * targets..(index + 1) * targets {
                // SAFETY: in bounds, and the caller's alone.
                unsafe { (*next.first().add(target)).vacate_all() };
            }
        }
    }

    /// The table that this one is being transferred to.
    #[inline(always)]
    pub(super) fn next(self) -> Option<Table> {
        // Acquire: the next table's head and vacant bins are visible.
        let next = self.head().next.load(Ordering::Acquire);
        if next.is_null() { None } else { Some(Table(next)) }
    }

    /// The first table that has bins of its own: this one, or, if all of its bins have been
    /// forwarded, the first of those that have replaced it.
    #[inline]
    pub(super) fn latest(self) -> Table {
        let mut table = self;
        // Acquire: who goes on from here has not read the headers of all forwarded bins, and is
        // to see what those who counted them have moved.
        while table.head().progress.forwarded.load(Ordering::Acquire) == table.len() {
            match table.next() {
                Some(next) => table = next,
                None => unreachable!("bins are forwarded only after there is a successor"),
            }
        }
        table
    }

    /// Publishes the next table. Only who has set `growing` may do that, once.
    pub(super) fn set_next(self, next: Table) {
        debug_assert!(self.next().is_none());
        self.head().next.store(next.0, Ordering::Release);
    }

    /// How many entries make the table grow: five and a quarter per bin, three quarters
    /// of its slots.
    ///
    /// More would crowd the bins (at this load one in six has overflown), less would
    /// cost memory: right after a growth a cache line of the table has 2.6 entries.
    pub(super) fn limit(self) -> usize {
        if self.is_empty_table() { 0 } else { limit_of(self.bits()) }
    }
}

const fn limit_of(bits: u32) -> usize {
    let bins = 1_usize << bits;
    bins * (SLOTS - 2) + bins / 4
}

/// The size of the smallest table with room for `entries`.
pub(super) fn bits_for(entries: usize) -> Result<u32, TableError> {
    (MIN_BITS..=MAX_BITS.min(usize::BITS - 8))
        .find(|&bits| limit_of(bits) >= entries)
        .ok_or(TableError::CapacityOverflow)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_knows_its_size_from_its_word_alone() {
        for bits in 0..12 {
            let table = Table::alloc(bits).unwrap();
            assert_eq!(table.bits(), bits);
            assert_eq!(table.len(), 1 << bits);
            let hash = 0xfedc_ba98_7654_3210_u64;
            let index = if bits == 0 { 0 } else { (hash >> (64 - bits)) as usize };
            assert!(ptr::eq(table.bin_for(hash), table.bin(index)));
            assert!(ptr::eq(table.bin_for(u64::MAX), table.bin(table.len() - 1)));
            // SAFETY: made here, and not used again.
            unsafe { table.dealloc() };
        }
    }

    #[test]
    fn too_many_bins_are_an_error() {
        assert_eq!(Table::alloc(60).err(), Some(TableError::CapacityOverflow));
        assert_eq!(bits_for(usize::MAX), Err(TableError::CapacityOverflow));
        assert_eq!(bits_for(0), Ok(MIN_BITS));
    }
}
