//! Bins: one cache line with a header and seven slots, locked as one.
//!
//! ```text
//!   header, 8 bytes                                      slots, 7 words
//!  +------+------+------+------+------+------+------+---------+--------+-- ... --+--------+
//!  | tag0 | tag1 | tag2 | tag3 | tag4 | tag5 | tag6 | control | word 0 |         | word 6 |
//!  +------+------+------+------+------+------+------+---------+--------+-- ... --+--------+
//! ```
//!
//! One load of the header gives a consistent view of the whole bin: which slots are in
//! use, seven bits of each one's hash, whether the bin goes on in overflow blocks, and
//! whether it has been forwarded to the next table.
//!
//! # Invariants
//!
//! Only the holder of the lock (control bit `LOCKED`) changes header and slots, of the
//! bin and of its overflow blocks. Then:
//!
//! 1. While the bin is not locked, slot `i` has a tag if and only if it holds a node or a
//!    claim, and the tag is the one of the node's hash. Whoever sees a tag (acquire) finds
//!    a word that the slot held at that moment or later: a node, a claim, `VACANT`, or, in
//!    the last slot, a link. Never null: a slot that is used for the first time is written before
//!    its tag. A slot that has been used before gets its tag first, and its word then:
//!    readers may hold an old header with the same tag, and what they find must be found
//!    by everybody from then on. (That is also why `VACANT` is not null.)
//! 2. A node does not move while its key is present, with one exception: the last
//!    slot's node goes to slot 0 of a new overflow block when the slot becomes the link
//!    to it. A reader on its way to the node finds the link and follows it.
//! 3. Overflow blocks are appended and never unlinked before the bin is forwarded. A bin that
//!    has had many nodes once, by chance, would have its look-ups go there ever after; so
//!    `OVERFLOW` says whether there is something in them, while the bin is not locked. Whoever
//!    puts something there says so before (or a reader with an old header could find what others
//!    do not find after him), whoever takes the last out, afterwards.
//! 4. A forwarded bin never changes again. Its header has no tags; its slots still hold
//!    what they held, for readers that loaded the header earlier.
//! 5. No user code runs, nothing is allocated and nothing can panic while the lock is
//!    held.

mod header;
mod place;

use self::header::{FORWARDED, LAST, LINKED, LOCKED, OVERFLOW, WAITED};
pub(super) use self::{
    header::{Header, SLOTS, Slots},
    place::{Placed, Spares, UnsharedBin, can_halve, halve},
};
use super::{
    node::{Node, address_out_of_range},
    prefetch::prefetch,
    word::{Kind, Word},
};
use crate::sync::{
    AtomicPtr, AtomicU64, Backoff, Ordering,
    alloc::{self, Layout},
    const_unless_loom, load_to_exchange,
};

/// So many bins in front of its visit, a bin's nodes are asked for.
pub(super) const LOOK_AHEAD: usize = 8;
/// With fewer bins than that, nodes are so near that asking for them takes longer than waiting.
pub(super) const FAR: usize = 1 << 16;

/// A bin of a table, or an overflow block (which has the same form; of its control bits
/// only `LINKED` and `OVERFLOW` are used, always together, and the lock of the bin that it hangs
/// on covers it).
#[repr(C, align(64))]
pub(super) struct Bin {
    header: AtomicU64,
    slots: [AtomicPtr<()>; SLOTS],
}

// One cache line, and room for the table's size in the low bits of a bin's address.
#[cfg(not(binlock_loom))]
const _: () = assert!(size_of::<Bin>() == 64 && align_of::<Bin>() == 64);

impl Bin {
    const_unless_loom! {
        pub(super) const fn new() -> Bin {
            Bin {
                header: AtomicU64::new(0),
                slots: [
                    AtomicPtr::new(std::ptr::null_mut()),
                    AtomicPtr::new(std::ptr::null_mut()),
                    AtomicPtr::new(std::ptr::null_mut()),
                    AtomicPtr::new(std::ptr::null_mut()),
                    AtomicPtr::new(std::ptr::null_mut()),
                    AtomicPtr::new(std::ptr::null_mut()),
                    AtomicPtr::new(std::ptr::null_mut()),
                ],
            }
        }
    }

    /// The header; what it says is in the slots is visible (invariant 1).
    #[inline(always)]
    pub(super) fn header(&self) -> Header {
        Header(self.header.load(Ordering::Acquire))
    }

    /// The word in a slot; the node or block that it points to is visible.
    #[inline(always)]
    pub(super) fn word(&self, slot: usize) -> Word {
        Word::from_raw(self.slots[slot].load(Ordering::Acquire))
    }

    /// The word in the last slot, where a header with the overflow bit says that there is
    /// a link.
    #[inline(always)]
    pub(super) fn link(&self) -> Word {
        self.word(LAST)
    }

    #[inline(always)]
    fn set_word(&self, slot: usize, word: Word) {
        self.slots[slot].store(word.into_raw(), Ordering::Release);
    }

    /// The overflow block behind a bin or block whose header says that there is one.
    ///
    /// # Safety
    ///
    /// As for [`Word::kind`]; and the caller has loaded a header with either bit.
    #[inline]
    pub(super) unsafe fn next_block<'g>(&self) -> &'g Bin {
        // SAFETY: the caller's promise.
        match unsafe { self.word(LAST).kind() } {
            Kind::Link(block) => block,
            // The link is stored before the header that announces it, and is final.
            _ => unreachable!("a header that announces a link without one"),
        }
    }

    /// The block after one with this header, if there is one, with its own header. `link`
    /// is what was found in a slot that the header still takes for a node's: the last
    /// slot's node has moved there since.
    ///
    /// # Safety
    ///
    /// As for [`Word::kind`].
    #[inline]
    pub(super) unsafe fn after<'g>(
        &self,
        header: Header,
        link: Option<&'g Bin>,
    ) -> Option<(&'g Bin, Header)> {
        let block = if header.has_overflow() {
            // SAFETY: the caller's promise, and the header has the bit.
            unsafe { self.next_block() }
        } else {
            link?
        };
        Some((block, block.header()))
    }

    /// Asks for the bin's nodes, which are wherever they are: whoever visits bin after bin would wait
    /// for each one's anew. What a visit finds is not decided here.
    #[inline(always)]
    pub(super) fn ask_for_nodes(&self) {
        for slot in self.header().used() {
            prefetch(self.word(slot).address());
        }
    }

    /// Locks the bin, waiting for whoever holds it; `None` if it has been forwarded.
    #[inline]
    pub(super) fn lock(&self) -> Option<BinLock<'_>> {
        let mut backoff = Backoff::new();
        let mut seen = load_to_exchange!(self.header);
        loop {
            if seen & FORWARDED != 0 {
                // The relaxed load said so; what the forwarding published is needed.
                self.header.load(Ordering::Acquire);
                return None;
            }
            if seen & LOCKED == 0 {
                match self.try_lock_from(Header(seen)) {
                    Ok(lock) => return Some(lock),
                    Err(now) => seen = now.0,
                }
            } else {
                backoff.wait();
                seen = load_to_exchange!(self.header);
            }
        }
    }

    /// Locks the bin unless somebody else has it locked; it must not be forwarded.
    #[inline]
    pub(super) fn try_lock(&self) -> Option<BinLock<'_>> {
        let header = self.header();
        if header.is_locked() {
            return None;
        }
        self.try_lock_from(header).ok()
    }

    /// Locks the bin if its header is (still) the given one, which must be neither
    /// locked nor forwarded; otherwise returns the header found.
    #[inline]
    pub(super) fn try_lock_from(&self, header: Header) -> Result<BinLock<'_>, Header> {
        debug_assert!(!header.is_locked() && !header.is_forwarded());
        // Acquire: the lock's holder sees what earlier holders did. Release is not
        // needed, as nothing was written yet.
        match self.header.compare_exchange_weak(
            header.0,
            header.0 | LOCKED,
            Ordering::Acquire,
            Ordering::Relaxed,
        ) {
            Ok(_) => Ok(BinLock { bin: self, header }),
            Err(now) => Err(Header(now)),
        }
    }

    /// Allocates an overflow block; `None` when out of memory.
    ///
    /// # Panics
    ///
    /// If no word can hold the address.
    pub(super) fn alloc_block() -> Option<*mut Bin> {
        let layout = Layout::new::<Bin>();
        // SAFETY: a bin is not of size zero.
        let block = unsafe { alloc::alloc(layout) };
        if block.is_null() {
            return None;
        }
        if !Word::fits(block.cast()) {
            address_out_of_range(block, layout);
        }
        let block = block.cast::<Bin>();
        // SAFETY: just allocated with a bin's layout.
        unsafe { block.write(Bin::new()) };
        Some(block)
    }

    /// Frees an overflow block, not what it holds.
    ///
    /// # Safety
    ///
    /// The block is from [`Bin::alloc_block`] and nobody can reach it any more.
    pub(super) unsafe fn dealloc_block(block: *mut Bin) {
        // SAFETY: allocated with this layout. The drop is needed for loom's atomics,
        // which own memory; std's do not.
        unsafe {
            block.drop_in_place();
            alloc::dealloc(block.cast(), Layout::new::<Bin>());
        }
    }
}

#[cfg(binlock_loom)]
impl Bin {
    /// Makes a bin vacant that is the caller's alone.
    pub(super) fn vacate_all(&mut self) {
        self.header.with_mut(|header| *header = 0);
        for slot in &mut self.slots {
            slot.with_mut(|word| *word = std::ptr::null_mut());
        }
    }
}

/// Lets loom check that nobody uses a bin any more that is freed.
#[cfg(binlock_loom)]
impl Drop for Bin {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.vacate_all();
        }
    }
}

/// The right to change a bin. Dropping it unlocks, publishing the changes.
pub(super) struct BinLock<'g> {
    bin: &'g Bin,
    /// The header to be published, without the lock bit.
    header: Header,
}

impl<'g> BinLock<'g> {
    /// Puts a word into the first vacant slot.
    #[inline]
    pub(super) fn place(&mut self, tag: u8, word: Word, spares: &mut Spares) -> Placed {
        // SAFETY: the bin is locked.
        unsafe { place::place(self.bin, &mut self.header, LOCKED, tag, word, spares) }
    }

    /// Puts a word into a vacant slot of the bin itself.
    #[inline(always)]
    pub(super) fn fill(&mut self, slot: usize, tag: u8, word: Word) {
        place::put(self.bin, &mut self.header, LOCKED, slot, tag, word);
    }

    /// Replaces the word in a slot by one for the same hash.
    #[inline]
    pub(super) fn replace(&mut self, block: &Bin, slot: usize, word: Word) {
        block.set_word(slot, word);
    }

    /// Takes a claim out of its slot, in favour of a node for the same key or of nothing.
    /// Says whether there may be somebody who waits for it.
    #[inline]
    #[must_use]
    pub(super) fn settle(&mut self, block: &Bin, slot: usize, new: Option<Word>) -> bool {
        match new {
            Some(word) => block.set_word(slot, word),
            None => self.vacate(block, slot),
        }
        self.header.is_waited() && self.settle_waited()
    }

    #[cold]
    fn settle_waited(&mut self) -> bool {
        // SAFETY: the bin is locked, so its blocks stay.
        let mut blocks = unsafe { self.blocks() };
        if !blocks.any(|(block, header)| header.used().any(|slot| block.word(slot).is_claim())) {
            self.header.0 &= !WAITED;
        }
        true
    }

    /// Has whoever settles a claim in this bin wake those who wait for it.
    pub(super) fn mark_waited(&mut self) {
        self.header.0 |= WAITED;
    }

    /// Whether claims in the bin may have somebody who waits for them.
    #[inline]
    pub(super) fn is_waited(&self) -> bool {
        self.header.is_waited()
    }

    /// Empties a slot of the bin itself.
    #[inline(always)]
    pub(super) fn vacate_own(&mut self, slot: usize) {
        self.bin.set_word(slot, Word::VACANT);
        self.header.clear_tag(slot);
    }

    /// Empties a slot of this bin, or of one of its blocks.
    #[inline]
    pub(super) fn vacate(&mut self, block: &Bin, slot: usize) {
        if std::ptr::eq(block, self.bin) {
            self.vacate_own(slot);
        } else {
            block.set_word(slot, Word::VACANT);
            // Relaxed: only the lock's holder writes to the block's header.
            let mut header = Header(block.header.load(Ordering::Relaxed));
            header.clear_tag(slot);
            block.header.store(header.0, Ordering::Release);
            let is_empty = |(_, header): (&Bin, Header)| header.used().is_empty();
            // First those behind it: whoever empties one block after another, from the first on,
            // is not to pass all that are empty again for each node.
            let mut behind = Blocks { next: Some((block, header)), by: OVERFLOW };
            // SAFETY: the bin is locked, so its blocks stay.
            if behind.all(is_empty) && unsafe { self.blocks() }.skip(1).all(is_empty) {
                self.header.0 &= !OVERFLOW;
            }
        }
    }

    /// The bin with its header, then each overflow block with its own, if there is something
    /// in them.
    ///
    /// # Safety
    ///
    /// No block of the bin is freed during `'g`.
    pub(super) unsafe fn blocks(&self) -> Blocks<'g> {
        Blocks { next: Some((self.bin, self.header)), by: OVERFLOW }
    }

    /// The overflow blocks, also if they are empty.
    ///
    /// # Safety
    ///
    /// As for [`BinLock::blocks`].
    pub(super) unsafe fn overflow_blocks(&self) -> impl Iterator<Item = &'g Bin> {
        let blocks = Blocks { next: Some((self.bin, self.header)), by: LINKED };
        blocks.skip(1).map(|(block, _)| block)
    }

    /// The overflow block of a bin that has just one.
    ///
    /// # Safety
    ///
    /// As for [`BinLock::blocks`].
    #[inline]
    pub(super) unsafe fn only_block(&self) -> Option<&'g Bin> {
        // SAFETY: the caller's promise; the bin is linked.
        let block: &'g Bin = self.header.is_linked().then(|| unsafe { self.bin.next_block() })?;
        (!block.header().is_linked()).then_some(block)
    }

    /// Publishes the changes, and keeps the lock.
    pub(super) fn publish(&self) {
        self.bin.header.store(self.header.0 | LOCKED, Ordering::Release);
    }

    /// Unlocks and marks the bin as forwarded: its nodes are in the next table.
    #[inline]
    pub(super) fn forward(mut self) {
        self.header = Header(FORWARDED);
    }
}

impl Drop for BinLock<'_> {
    #[inline]
    fn drop(&mut self) {
        // A plain store, not a read-modify-write: nobody else writes to the header of
        // a locked bin. Release: publishes the changes to the next holder and to readers.
        self.bin.header.store(self.header.0, Ordering::Release);
    }
}

/// A bin and its overflow blocks.
pub(super) struct Blocks<'g> {
    next: Option<(&'g Bin, Header)>,
    /// The bit that says whether there is one more: `OVERFLOW` or `LINKED`.
    by: u64,
}

impl<'g> Blocks<'g> {
    /// All blocks, also empty ones, of a bin whose header was loaded as `header`.
    ///
    /// # Safety
    ///
    /// No block of the bin is freed during `'g`.
    unsafe fn all(bin: &'g Bin, header: Header) -> Blocks<'g> {
        Blocks { next: Some((bin, header)), by: LINKED }
    }
}

impl<'g> Iterator for Blocks<'g> {
    type Item = (&'g Bin, Header);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let (bin, header) = self.next.take()?;
        if header.0 & self.by != 0 {
            // SAFETY: whoever made the iterator promised that the blocks live on, and
            // the header says that there is one.
            let block: &'g Bin = unsafe { bin.next_block() };
            self.next = Some((block, block.header()));
        }
        Some((bin, header))
    }
}

/// The nodes of a bin, at a time when nobody else has access: words and tags.
///
/// # Safety
///
/// The caller has exclusive access to the bin and its blocks.
pub(super) unsafe fn exclusive_words(bin: &Bin, mut each: impl FnMut(u8, Word)) {
    // SAFETY: exclusive access, so blocks are not freed meanwhile.
    for (block, header) in unsafe { Blocks::all(bin, bin.header()) } {
        for slot in header.used() {
            each(header.tag(slot), block.word(slot));
        }
    }
}

/// Frees the overflow blocks of a bin, not what they hold.
///
/// # Safety
///
/// The caller has exclusive access to the bin, and it is not used again.
pub(super) unsafe fn free_blocks(bin: &Bin) {
    // SAFETY: exclusive access; each block is reached once and left before it is freed.
    let blocks = unsafe { Blocks::all(bin, bin.header()) };
    for (block, _) in blocks.skip(1) {
        // SAFETY: `next` has already read the link to the block after this one.
        unsafe { Bin::dealloc_block(std::ptr::from_ref(block).cast_mut()) };
    }
}

/// How many nodes are in a bin and its blocks, and how many blocks hang on it.
///
/// # Safety
///
/// No block of the bin is freed meanwhile.
pub(super) unsafe fn count(bin: &Bin, header: Header) -> (usize, usize) {
    let (mut nodes, mut blocks) = (0, 0);
    // SAFETY: the caller's promise.
    for (i, (_, header)) in unsafe { Blocks::all(bin, header) }.enumerate() {
        nodes += header.used().len();
        blocks = i;
    }
    (nodes, blocks)
}

/// The key of a node word that a pinned or locking caller has loaded.
///
/// # Safety
///
/// The word was loaded from a bin, and the caller is pinned since before that.
#[inline(always)]
pub(super) unsafe fn node_of<'g, K, V>(word: Word) -> &'g Node<K, V> {
    // SAFETY: nodes are published with release and loaded with acquire ordering, are
    // immutable from then on, and freed only when no pinned thread can hold them.
    unsafe { Node::of(word).as_ref() }
}
