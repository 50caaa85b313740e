//! Headers: what a bin says about its slots in one word.

/// Slots in a bin.
pub(in crate::raw) const SLOTS: usize = 7;
/// The slot that becomes the link to an overflow block.
pub(super) const LAST: usize = SLOTS - 1;

/// The lowest bit of each of the seven tags.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2", not(binlock_no_sse2))))]
const ONES: u64 = 0x0001_0101_0101_0101;
/// The top bit of each tag: set where the slot is in use.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2", not(binlock_no_sse2))))]
const USED: u64 = ONES << 7;

pub(super) const LOCKED: u64 = 1 << 56;
pub(super) const FORWARDED: u64 = 1 << 57;
/// There is something in overflow blocks: whoever does not find a key in the bin goes on there.
pub(super) const OVERFLOW: u64 = 1 << 58;
/// Somebody sleeps until a claim in this bin is settled: whoever takes one out of its slot
/// has to wake those who wait for it (see `claim`).
pub(super) const WAITED: u64 = 1 << 59;
/// The last slot is a link. Once it is, it stays one until the bin is forwarded, so `OVERFLOW`
/// implies it; the reverse holds for blocks, but not for a bin whose blocks are empty again.
pub(super) const LINKED: u64 = 1 << 62;

/// The content of a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::raw) struct Header(pub(super) u64);

impl Header {
    pub(in crate::raw) const EMPTY: Header = Header(0);

    /// The slots in use whose tag is `tag`, and on some machines, but seldom, one whose tag is
    /// another. Whoever asks compares keys anyway.
    #[inline(always)]
    pub(in crate::raw) fn matches(self, tag: u8) -> Slots {
        Slots(sets::with_tag(self.0, tag))
    }

    /// The slots in use that have the tag of a hash, and seldom others, as [`Header::matches`].
    #[inline(always)]
    pub(in crate::raw) fn matches_of(self, hash: u64) -> Slots {
        Slots(sets::with_tag_of(self.0, hash))
    }

    /// The slots in use.
    #[inline(always)]
    pub(in crate::raw) fn used(self) -> Slots {
        Slots(sets::used(self.0))
    }

    #[inline(always)]
    pub(in crate::raw) fn tag(self, slot: usize) -> u8 {
        (self.0 >> (8 * slot)) as u8
    }

    /// Whether a look-up that found no match in the bin has to go on elsewhere.
    #[inline(always)]
    pub(in crate::raw) fn goes_on(self) -> bool {
        self.0 & (FORWARDED | OVERFLOW) != 0
    }

    /// Whether nobody has the bin locked or waits there, and it is not forwarded.
    #[inline(always)]
    pub(in crate::raw) fn is_plain(self) -> bool {
        self.0 & (LOCKED | FORWARDED | WAITED) == 0
    }

    #[inline(always)]
    pub(in crate::raw) fn is_locked_or_forwarded(self) -> bool {
        self.0 & (LOCKED | FORWARDED) != 0
    }

    /// Whether nobody has the bin locked, it is not forwarded, and there is nothing in overflow
    /// blocks.
    #[inline(always)]
    pub(in crate::raw) fn is_all(self) -> bool {
        self.0 & (LOCKED | FORWARDED | OVERFLOW) == 0
    }

    #[inline(always)]
    pub(in crate::raw) fn is_forwarded(self) -> bool {
        self.0 & FORWARDED != 0
    }

    #[inline(always)]
    pub(in crate::raw) fn is_locked(self) -> bool {
        self.0 & LOCKED != 0
    }

    #[inline(always)]
    pub(in crate::raw) fn has_overflow(self) -> bool {
        self.0 & OVERFLOW != 0
    }

    /// Whether there are overflow blocks, if only empty ones.
    #[inline(always)]
    pub(in crate::raw) fn is_linked(self) -> bool {
        self.0 & LINKED != 0
    }

    /// Whether somebody waits for a claim in the bin.
    #[inline(always)]
    pub(super) fn is_waited(self) -> bool {
        self.0 & WAITED != 0
    }

    /// The first slot that a node can be put in.
    #[inline(always)]
    pub(in crate::raw) fn first_vacant(self) -> Option<usize> {
        let first = sets::first_vacant(self.0);
        if first < SLOTS { Some(first) } else { None }
    }

    #[inline]
    pub(super) fn set_tag(&mut self, slot: usize, tag: u8) {
        debug_assert_eq!(self.tag(slot), 0);
        self.0 |= u64::from(tag) << (8 * slot);
    }

    #[inline]
    pub(super) fn clear_tag(&mut self, slot: usize) {
        self.0 &= !(0xff << (8 * slot));
    }
}

/// A set of slots, iterated in order.
#[derive(Clone, Copy)]
pub(in crate::raw) struct Slots(sets::Set);

impl Slots {
    pub(in crate::raw) const NONE: Slots = Slots(0);

    #[inline(always)]
    pub(in crate::raw) fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    #[inline(always)]
    pub(in crate::raw) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The first slot without taking it out.
    #[inline(always)]
    pub(in crate::raw) fn first(self) -> Option<usize> {
        if self.0 == 0 { None } else { Some(self.0.trailing_zeros() as usize / sets::SPACING) }
    }
}

impl Iterator for Slots {
    type Item = usize;

    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let slot = self.first()?;
        self.0 &= self.0 - 1;
        Some(slot)
    }
}

/// Sets of slots out of headers.
///
/// With SSE2, which is part of the architecture, because of what it saves: of each instruction that
/// waits for the header a core must keep book, and its book has a hundred lines or so. With sixteen
/// of them in each look-up, of which the next can begin before the first has its header, it was full
/// before memory was busy. With ten, look-ups in `2^24` entries take 59 ns instead of 72.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2", not(binlock_no_sse2)))]
mod sets {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_cvtsi32_si128, _mm_cvtsi64_si128, _mm_movemask_epi8,
        _mm_set1_epi8, _mm_shufflelo_epi16, _mm_unpacklo_epi8,
    };

    use super::{LAST, LINKED};
    use crate::raw::hash::MAX_BITS;

    pub(super) type Set = u32;
    /// A slot is a bit.
    pub(super) const SPACING: usize = 1;
    pub(super) const ALL: Set = 0x7f;

    /// The slots whose tag is `tag`. (The control byte is no tag, but its top bit is clear, and so
    /// is never found.)
    #[inline(always)]
    pub(super) fn with_tag(header: u64, tag: u8) -> Set {
        // SAFETY: SSE2 is there.
        equal(header, unsafe { _mm_set1_epi8(tag as i8) })
    }

    /// The same for the tag of a hash, which is not made first: the bits in front of it, which a
    /// tag has not, do not matter here, and to clear them would be one instruction more.
    #[inline(always)]
    pub(super) fn with_tag_of(header: u64, hash: u64) -> Set {
        let tag = (hash >> (64 - MAX_BITS)) as i32 | 0x80;
        // SAFETY: SSE2 is there.
        let tags = unsafe {
            let tag = _mm_cvtsi32_si128(tag);
            _mm_shufflelo_epi16::<0>(_mm_unpacklo_epi8(tag, tag))
        };
        equal(header, tags)
    }

    /// The slots whose tag is the one in the lower half of `tags`.
    #[inline(always)]
    fn equal(header: u64, tags: __m128i) -> Set {
        // SAFETY: SSE2 is there.
        let equal =
            unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_cvtsi64_si128(header as i64), tags)) };
        equal as Set & ALL
    }

    #[inline(always)]
    pub(super) fn used(header: u64) -> Set {
        all_used(header) & ALL
    }

    /// The first slot without a tag that is no link, or a number that is no slot's.
    ///
    /// Without a branch for links: of the bins that have been crowded once, which are not few in
    /// a map that has been written to for long, each would be a guess of its own.
    #[inline(always)]
    pub(super) fn first_vacant(header: u64) -> usize {
        let link = (header >> (LINKED.trailing_zeros() as usize - LAST)) as Set & 1 << LAST;
        (!(all_used(header) | link)).trailing_zeros() as usize
    }

    /// With the top bit of the control byte, which is clear, and no others.
    #[inline(always)]
    fn all_used(header: u64) -> Set {
        // SAFETY: SSE2 is there.
        unsafe { _mm_movemask_epi8(_mm_cvtsi64_si128(header as i64)) as Set }
    }
}

/// Sets of slots out of headers, a byte for each slot ("SIMD within a register").
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2", not(binlock_no_sse2))))]
mod sets {
    use super::{LAST, LINKED, ONES, USED};
    use crate::raw::hash;

    pub(super) type Set = u64;
    /// A slot is the top bit of a byte.
    pub(super) const SPACING: usize = 8;
    pub(super) const ALL: Set = USED;

    /// The slots whose tag is `tag`, and seldom one that is not: the carry of a true match can run
    /// into the next tag.
    #[inline(always)]
    pub(super) fn with_tag(header: u64, tag: u8) -> Set {
        let differing = header ^ (ONES * u64::from(tag));
        differing.wrapping_sub(ONES) & !differing & USED
    }

    #[inline(always)]
    pub(super) fn with_tag_of(header: u64, hash: u64) -> Set {
        with_tag(header, hash::tag(hash))
    }

    #[inline(always)]
    pub(super) fn used(header: u64) -> Set {
        header & USED
    }

    /// The first slot without a tag that is no link, or a number that is no slot's. (Without a
    /// branch for links, as above.)
    #[inline(always)]
    pub(super) fn first_vacant(header: u64) -> usize {
        const LINK: u64 = 0x80 << (8 * LAST);
        let link = header >> (LINKED.trailing_zeros() - LINK.trailing_zeros()) & LINK;
        (!(header | link) & ALL).trailing_zeros() as usize / SPACING
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::hash;

    #[test]
    fn a_tag_is_found_by_its_hash_in_every_slot_and_nowhere_else() {
        for bits in 0..1_u64 << 9 {
            // The bits of the tag, one more on each side, and others around them.
            let hash = bits << (64 - hash::MAX_BITS - 1) | 0xffff << 48 | 0x5555;
            let tag = hash::tag(hash);
            assert!(Header(u64::MAX >> 8 & !0x0080_8080_8080_8080).matches_of(hash).is_empty());
            for slot in 0..SLOTS {
                let mut header = Header(LOCKED | WAITED);
                header.set_tag(slot, tag);
                let other = (slot + 1) % SLOTS;
                header.set_tag(other, 0x80 | tag.wrapping_add(0x11));
                let matches: Vec<usize> = header.matches_of(hash).collect();
                assert!(matches.contains(&slot), "{tag:#x} in {slot}: {matches:?}");
                assert_eq!(matches, header.matches(tag).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn the_first_vacant_slot_has_no_tag_and_is_no_link() {
        for used in 0..1_u32 << SLOTS {
            for control in 0..1_u64 << 7 {
                let mut header = Header(control << 56);
                // The last slot of a bin that is linked has no tag.
                let last = if header.is_linked() { LAST } else { SLOTS };
                let is_used = |slot: &usize| used >> slot & 1 != 0;
                (0..last).filter(is_used).for_each(|slot| header.set_tag(slot, 0x80));
                assert_eq!(header.first_vacant(), (0..last).find(|slot| !is_used(slot)));
            }
        }
    }
}
