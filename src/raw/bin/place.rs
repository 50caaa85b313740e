//! Putting words into bins: into a vacant slot, into an overflow block, or into a new one.

use super::{Bin, Header, LAST, LINKED, OVERFLOW, SLOTS, WAITED, Word};
use crate::sync::Ordering;

/// Overflow blocks allocated ahead of locking a bin, because nothing is allocated while
/// a bin is locked. What is not used is freed.
pub(in crate::raw) struct Spares(Vec<*mut Bin>);

impl Spares {
    pub(in crate::raw) fn new() -> Spares {
        Spares(Vec::new())
    }

    pub(in crate::raw) fn len(&self) -> usize {
        self.0.len()
    }

    /// Sees to it that there are at least `count`; `false` when out of memory.
    #[cold]
    pub(in crate::raw) fn fill(&mut self, count: usize) -> bool {
        if self.0.try_reserve_exact(count.saturating_sub(self.0.len())).is_err() {
            return false;
        }
        while self.0.len() < count {
            match Bin::alloc_block() {
                Some(block) => self.0.push(block),
                None => return false,
            }
        }
        true
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        for block in self.0.drain(..) {
            // SAFETY: made by `fill`, and not linked to anything.
            unsafe { Bin::dealloc_block(block) };
        }
    }
}

/// Where a word was placed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::raw) enum Placed {
    /// In the bin itself.
    InBin,
    /// In an overflow block: the bin is crowded.
    InOverflow,
    /// Nowhere: everything is full and there was no spare block.
    NoRoom,
}

/// Puts a word into the first vacant slot of a bin with this header, which is changed
/// accordingly. Where it has to be stored at once, it is stored with the `control` bits;
/// the last change is left to the caller.
///
/// # Safety
///
/// The caller has the bin locked (and gives `LOCKED`), or is the only one who can reach it.
#[inline]
pub(super) unsafe fn place(
    bin: &Bin,
    header: &mut Header,
    control: u64,
    tag: u8,
    word: Word,
    spares: &mut Spares,
) -> Placed {
    if let Some(slot) = header.first_vacant() {
        put(bin, header, control, slot, tag, word);
        return Placed::InBin;
    }
    // SAFETY: passed on.
    unsafe { place_in_overflow(bin, header, control, tag, word, spares) }
}

/// Fills a vacant slot, in the order that invariant 1 asks for.
#[inline]
pub(super) fn put(bin: &Bin, header: &mut Header, control: u64, slot: usize, tag: u8, word: Word) {
    header.set_tag(slot, tag);
    // Relaxed: only the lock's holder writes to slots.
    if bin.slots[slot].load(Ordering::Relaxed) == Word::VACANT.into_raw() {
        bin.header.store(header.0 | control, Ordering::Release);
    }
    bin.set_word(slot, word);
}

/// # Safety
///
/// As for [`place`].
#[cold]
unsafe fn place_in_overflow(
    bin: &Bin,
    header: &mut Header,
    control: u64,
    tag: u8,
    word: Word,
    spares: &mut Spares,
) -> Placed {
    if !header.is_linked() {
        return extend(bin, header, control, tag, word, spares);
    }
    if !header.has_overflow() {
        // The blocks are empty, so there is room. Announced first (invariant 3).
        header.0 |= OVERFLOW;
        bin.header.store(header.0 | control, Ordering::Release);
    }
    // SAFETY: the bin is locked or the caller's alone, so its blocks stay.
    let mut block: &Bin = unsafe { bin.next_block() };
    loop {
        // Relaxed: only the lock's holder writes to it, and that is the caller.
        let mut header = Header(block.header.load(Ordering::Relaxed));
        if let Some(slot) = header.first_vacant() {
            put(block, &mut header, 0, slot, tag, word);
            block.header.store(header.0, Ordering::Release);
            return Placed::InOverflow;
        }
        if !header.is_linked() {
            return extend(block, &mut header, 0, tag, word, spares);
        }
        // SAFETY: as above.
        block = unsafe { block.next_block() };
    }
}

/// Gives a full bin or block its next block: the last slot's node moves there, the last
/// slot becomes the link (invariant 2), and then the new word moves in.
///
/// Each step is complete before the next: at no time does one way to a node show what
/// another does not.
fn extend(
    bin: &Bin,
    header: &mut Header,
    control: u64,
    tag: u8,
    word: Word,
    spares: &mut Spares,
) -> Placed {
    let Some(block) = spares.0.pop() else {
        return Placed::NoRoom;
    };
    // SAFETY: a spare block is valid and nobody else's.
    let next = unsafe { &*block };
    let mut next_header = Header::EMPTY;
    put(next, &mut next_header, 0, 0, header.tag(LAST), bin.word(LAST));
    next.header.store(next_header.0, Ordering::Release);
    bin.set_word(LAST, Word::link(block));
    header.clear_tag(LAST);
    header.0 |= LINKED | OVERFLOW;
    bin.header.store(header.0 | control, Ordering::Release);
    put(next, &mut next_header, 0, 1, tag, word);
    next.header.store(next_header.0, Ordering::Release);
    Placed::InOverflow
}

/// A bin of a table that is being filled by a transfer and that nobody else can reach
/// yet.
pub(in crate::raw) struct UnsharedBin<'g>(&'g Bin);

impl<'g> UnsharedBin<'g> {
    /// # Safety
    ///
    /// Nobody else can reach the bin until the caller publishes it.
    #[inline]
    pub(in crate::raw) unsafe fn new(bin: &'g Bin) -> Self {
        UnsharedBin(bin)
    }

    /// `waited` is whether the word is a claim that somebody may be waiting for.
    #[inline]
    pub(in crate::raw) fn place(
        &self,
        tag: u8,
        word: Word,
        waited: bool,
        spares: &mut Spares,
    ) -> Placed {
        // Relaxed, both: the bin is the caller's alone; forwarding the bin that its
        // nodes come from publishes it.
        let mut header = Header(self.0.header.load(Ordering::Relaxed));
        // SAFETY: nobody else can reach the bin.
        let placed = unsafe { place(self.0, &mut header, 0, tag, word, spares) };
        if waited {
            header.0 |= WAITED;
        }
        self.0.header.store(header.0, Ordering::Relaxed);
        placed
    }
}

/// Whether two bins have room for what is in these, bins or blocks with their headers.
#[inline]
pub(in crate::raw) fn can_halve<const N: usize>(
    parts: [(&Bin, Header); N],
    is_upper: impl Fn(u8, Word) -> bool,
) -> bool {
    let (mut all, mut upper) = (0, 0);
    for (block, header) in parts {
        all += header.used().len();
        upper += header.used().filter(|&slot| is_upper(header.tag(slot), block.word(slot))).count();
    }
    upper <= SLOTS && all - upper <= SLOTS
}

/// Copies what is in these, bins or blocks with their headers, to two bins.
///
/// # Safety
///
/// All of it is locked. The two bins are vacant, have never held anything, have room for it, and
/// nobody else can reach them until the caller publishes them.
#[inline(always)]
pub(in crate::raw) unsafe fn halve<const N: usize>(
    parts: [(&Bin, Header); N],
    targets: [&Bin; 2],
    is_upper: impl Fn(u8, Word) -> bool,
) {
    let (mut headers, mut lens) = ([Header::EMPTY; 2], [0; 2]);
    for (block, header) in parts {
        for slot in header.used() {
            let (tag, word) = (header.tag(slot), block.word(slot));
            // (By an index: a branch would be mispredicted every other time.)
            let half = usize::from(is_upper(tag, word));
            let len = lens[half];
            headers[half].set_tag(len, tag);
            // Relaxed, here and below: the bins are the caller's alone; forwarding the bin that
            // their nodes come from publishes them.
            targets[half].slots[len].store(word.into_raw(), Ordering::Relaxed);
            lens[half] = len + 1;
        }
    }
    for (target, header) in targets.into_iter().zip(headers) {
        target.header.store(header.0, Ordering::Relaxed);
    }
}
