//! What a slot of a bin holds: one word, a pointer and what is known about it.
//!
//! ```text
//!   63 ........ 48 47 ............................... 3 2 1 0
//!  | packed hash  |  address                         | kind  |
//!
//!   kind  .00  a node without its hash (narrow)
//!         .10  a node with its hash in front (wide)
//!         001  a link to an overflow block; without an address: vacant (the slot held
//!              something once)
//!         011  a claim that covers a narrow node
//!         111  a claim that covers a wide node
//!         101  a claim on an absent key: a `ReservationNode`
//! ```
//!
//! The word of a claim has the address of a node, too. A covered node is what readers
//! see until the claim is settled. A `ReservationNode` is a node that has its key and no
//! value yet: readers pass it over.
//!
//! # Why words are packed
//!
//! A transfer must know one hash bit more than the table before it, and must not run
//! the user's `Hash` to learn it. Storing the hash in every node costs 8 bytes (16 in
//! most allocators, for two-word entries) and a cache miss per node moved. User space
//! addresses have 48 bits at most on the targets below, so 16 hash bits fit above them.
//! Together with the seven bits of the tag they are enough for every table that starts
//! from `2^10` bins. Nodes that come while the table is smaller carry their whole hash,
//! as all nodes do where words are not packed.
//!
//! On targets where the upper bits are not free (32 bits, tagged heap pointers), or
//! with `--cfg binlock_wide`, nothing is packed and every node is wide.

use std::{fmt, ptr};

use super::{bin::Bin, hash};

/// Whether words carry hash bits above the address.
pub(super) const PACKED: bool = cfg!(all(
    not(binlock_wide),
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64"),
    // Android tags the top byte of heap pointers.
    not(target_os = "android"),
));

const KIND_BITS: usize = 0b111;
const SPECIAL: usize = 0b001;
const WIDE: usize = 0b010;
/// Also `VACANT`, with the address zero.
const LINK: usize = 0b001;
const COVERING: usize = 0b011;
const COVERING_WIDE: usize = 0b111;
const RESERVED: usize = 0b101;

#[cfg(target_pointer_width = "64")]
const PACKED_SHIFT: u32 = 48;
// Never used to shift: nothing is packed on these targets.
#[cfg(not(target_pointer_width = "64"))]
const PACKED_SHIFT: u32 = 0;

const ADDRESS: usize = if PACKED { (1 << PACKED_SHIFT) - 1 - KIND_BITS } else { !KIND_BITS };

/// The alignment that leaves room for the kind.
pub(super) const ALIGN: usize = KIND_BITS + 1;

/// The content of a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(*mut ());

/// A word, taken apart.
pub(super) enum Kind<'g> {
    /// A node, live as long as its holder is pinned.
    Node,
    /// Nothing.
    Vacant,
    /// The bin goes on there.
    Link(&'g Bin),
    /// A node whose key is claimed; otherwise as `Node`.
    Covered,
    /// A node that has a claimed key and no value, live as long as its holder is pinned.
    Reserved,
}

impl Word {
    /// What no slot with a tag ever holds.
    pub(super) const NONE: Word = Word(ptr::null_mut());
    pub(super) const VACANT: Word = Word(ptr::without_provenance_mut(LINK));

    /// What stands for the memory of a node, of either kind, where there is none: wide, and
    /// without an address.
    pub(super) const NO_SPARE: Word = Word(ptr::without_provenance_mut(WIDE));

    /// A word for a node without a hash of its own.
    ///
    /// # Panics
    ///
    /// Where words are packed and the address does not leave room for the bits.
    #[inline]
    pub(super) fn narrow(node: *mut (), hash: u64) -> Word {
        Word::node(node, hash, 0)
    }

    /// A word for a node with its hash in front.
    #[inline]
    pub(super) fn wide(node: *mut (), hash: u64) -> Word {
        Word::node(node, hash, WIDE)
    }

    #[inline]
    fn node(node: *mut (), hash: u64, kind: usize) -> Word {
        debug_assert_eq!(node.addr() & KIND_BITS, 0);
        if PACKED {
            debug_assert!(Word::fits(node));
            let packed = usize::from(hash::packed(hash)) << PACKED_SHIFT;
            // (The bits are free. Adding them is one instruction, setting them five, as they are
            // added to a pointer even so.)
            Word(node.wrapping_byte_add(packed | kind))
        } else {
            Word(node.map_addr(|address| address | kind))
        }
    }

    /// Whether a word can hold the address.
    #[inline]
    pub(super) fn fits(node: *mut ()) -> bool {
        node.addr() & !ADDRESS == 0
    }

    #[inline]
    pub(super) fn link(block: *mut Bin) -> Word {
        Word(block.cast::<()>().map_addr(|address| address | LINK))
    }

    #[inline(always)]
    pub(super) fn from_raw(raw: *mut ()) -> Word {
        Word(raw)
    }

    #[inline(always)]
    pub(super) fn into_raw(self) -> *mut () {
        self.0
    }

    /// The word of a claim that covers this node.
    #[inline]
    pub(super) fn covered(self) -> Word {
        debug_assert!(!self.is_special());
        const { assert!(COVERING == SPECIAL | 0b010 && COVERING_WIDE == COVERING | 0b100) };
        let kind = if self.is_wide() { COVERING_WIDE } else { COVERING };
        self.with_kind(kind)
    }

    /// The word of the node that a claim's word stands for, or of the node itself.
    #[inline]
    pub(super) fn uncovered(self) -> Word {
        match self.0.addr() & KIND_BITS {
            COVERING => self.with_kind(0),
            COVERING_WIDE => self.with_kind(WIDE),
            _ => self,
        }
    }

    /// The word of a claim on the key of this node, or of the node that this claim covers:
    /// the key counts as absent from now on.
    #[inline]
    pub(super) fn reserved(self) -> Word {
        self.with_kind(RESERVED)
    }

    #[inline]
    fn with_kind(self, kind: usize) -> Word {
        Word(self.0.map_addr(|address| address & !KIND_BITS | kind))
    }

    /// Whether the word stands for a claim.
    #[inline(always)]
    pub(super) fn is_claim(self) -> bool {
        self.is_special() && self.0.addr() & KIND_BITS != LINK
    }

    /// Whether the word stands for a claim on an absent key.
    #[inline(always)]
    pub(super) fn is_reserved(self) -> bool {
        self.0.addr() & KIND_BITS == RESERVED
    }

    /// Whether the word stands for anything but a node.
    #[inline(always)]
    pub(super) fn is_special(self) -> bool {
        self.0.addr() & SPECIAL != 0
    }

    /// The same of any of them. (Without a branch for each, several are looked at at once.)
    pub(super) fn any_is_special(words: &[Word]) -> bool {
        words.iter().fold(0, |bits, word| bits | word.0.addr()) & SPECIAL != 0
    }

    #[inline(always)]
    pub(super) fn is_link(self) -> bool {
        self.0.addr() & KIND_BITS == LINK && self != Word::VACANT
    }

    #[inline(always)]
    pub(super) fn is_wide(self) -> bool {
        debug_assert!(!self.is_special());
        self.0.addr() & WIDE != 0
    }

    /// The address that the word was made from: of a node or of an overflow block (zero
    /// if it is vacant).
    #[inline(always)]
    pub(super) fn address(self) -> *mut () {
        self.0.map_addr(|address| address & ADDRESS)
    }

    /// The word of a node without the hash bits, for the time when it is none.
    #[inline(always)]
    pub(super) fn unhashed(self) -> Word {
        Word(self.0.map_addr(|address| address & (ADDRESS | KIND_BITS)))
    }

    /// The address that the word of a narrow node without hash bits was made from.
    #[inline(always)]
    pub(super) fn unhashed_address(self) -> *mut () {
        debug_assert!(self.0.addr() & !ADDRESS == 0);
        self.0
    }

    /// The hash bits above the address, of a node or a claim.
    #[inline(always)]
    pub(super) fn packed(self) -> u16 {
        debug_assert!(PACKED && (!self.is_special() || self.is_claim()));
        // On 32 bits nothing is packed, and the shift is by zero.
        (self.0.addr() >> PACKED_SHIFT) as u16
    }

    /// Takes the word apart.
    ///
    /// # Safety
    ///
    /// A link must have been loaded (with acquire ordering, or under the bin's lock)
    /// from a bin whose overflow blocks are not freed during `'g`: the caller is
    /// pinned, or owns the table.
    #[inline]
    pub(super) unsafe fn kind<'g>(self) -> Kind<'g> {
        match self.0.addr() & KIND_BITS {
            LINK if self == Word::VACANT => Kind::Vacant,
            // SAFETY: links are made by `Word::link` from valid blocks, which the
            // caller keeps alive. Bins are only ever accessed through shared
            // references.
            LINK => Kind::Link(unsafe { &*self.address().cast::<Bin>() }),
            COVERING | COVERING_WIDE => Kind::Covered,
            RESERVED => Kind::Reserved,
            _ => Kind::Node,
        }
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word({:#x})", self.0.addr())
    }
}
