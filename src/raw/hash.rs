//! What the engine does with the 64 bits of a hash.
//!
//! ```text
//!   63 ......... 54 53 ................ 38 37 ...... 31 30 ......... 0
//!  | index bits 0-9 | index bits 10-25    | 26-32      |   not used   |
//!  |                | packed in the word  | the tag    |              |
//! ```
//!
//! A table of `2^b` bins uses the `b` most significant bits as the bin's index, so bin
//! `i` of one table becomes bins `2i` and `2i + 1` of the next: neighbours stay
//! neighbours, a transfer reads and writes memory in order, and every bin of every
//! table stands for a *prefix* of the hash, which is what iteration relies on.
//!
//! The tag is seven bits below the index bits of any table up to `2^26` bins (some
//! 350 million entries); in larger tables it loses one bit of its power per doubling,
//! and nothing else.

/// Index bits that a node's word in a bin carries, where words are packed
/// (`word::PACKED`): `PACKED_FROM..PACKED_TO`.
pub(super) const PACKED_FROM: u32 = 10;
const PACKED_TO: u32 = PACKED_FROM + 16;
/// The tag carries `PACKED_TO..MAX_BITS`; no table has more bits than that.
pub(super) const MAX_BITS: u32 = PACKED_TO + 7;

/// Makes a hash whose upper bits depend on all bits that the hasher produced.
///
/// Users bring hashers with poor bits: the identity over multiples of `2^k`, or sums of
/// few bytes. Multiplying by `2^64` divided by the golden ratio (Fibonacci hashing, Knuth)
/// spreads any arithmetic progression evenly over the index bits, in one instruction.
/// The lower bits stay as poor as they were, but only the tag's power suffers from that.
#[inline(always)]
pub(crate) fn spread(hash: u64) -> u64 {
    hash.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The tag that stands for the hash in a bin's header. Its top bit is always set, so
/// that zero can stand for a vacant slot.
#[inline(always)]
pub(super) fn tag(hash: u64) -> u8 {
    0x80 | (hash >> (64 - MAX_BITS)) as u8 & 0x7f
}

/// Index bits 10 to 25, as they are packed into a word.
#[inline(always)]
pub(super) fn packed(hash: u64) -> u16 {
    (hash >> (64 - PACKED_TO)) as u16
}

/// Which of the packed bits is the index bit `bit`, if one of them is.
#[inline(always)]
pub(super) fn packed_bit(bit: u32) -> Option<u32> {
    (PACKED_FROM..PACKED_TO).contains(&bit).then(|| PACKED_TO - 1 - bit)
}

/// Index bits `from..to`, from the whole hash.
#[inline(always)]
pub(super) fn index_bits(hash: u64, from: u32, to: u32) -> usize {
    debug_assert!(from < to && to <= MAX_BITS);
    (hash >> (64 - to)) as usize & ((1 << (to - from)) - 1)
}

/// Index bits `from..to`, from a word's packed bits and its tag.
/// `from` is at least `PACKED_FROM`.
#[inline(always)]
pub(super) fn index_bits_packed(packed: u16, tag: u8, from: u32, to: u32) -> usize {
    debug_assert!(PACKED_FROM <= from && from < to && to <= MAX_BITS);
    let known = usize::from(packed) << 7 | usize::from(tag & 0x7f);
    known >> (MAX_BITS - to) & ((1 << (to - from)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_bits_and_tag_know_what_the_whole_hash_knows() {
        let mut hash = 0x0123_4567_89ab_cdef_u64;
        for _ in 0..1000 {
            hash = spread(hash ^ 0x5555).rotate_left(11);
            for from in PACKED_FROM..MAX_BITS {
                for to in from + 1..=MAX_BITS {
                    assert_eq!(
                        index_bits(hash, from, to),
                        index_bits_packed(packed(hash), tag(hash), from, to),
                    );
                    if let Some(bit) = packed_bit(from).filter(|_| to == from + 1) {
                        let bit = usize::from(packed(hash) >> bit & 1);
                        assert_eq!(index_bits(hash, from, to), bit);
                    }
                }
            }
        }
    }

    #[test]
    fn spreading_fills_the_index_evenly_from_poor_hashes() {
        // 4096 multiples of 2^k, as an identity hasher delivers them, over 1024 bins:
        // the fullest bin stays near the average of four.
        for shift in 0..=52 {
            let mut bins = vec![0u32; 1024];
            for i in 0..4096u64 {
                bins[index_bits(spread(i << shift), 0, 10)] += 1;
            }
            let fullest = bins.iter().max().unwrap();
            assert!(*fullest <= 8, "shift {shift}: a bin of {fullest}");
        }
    }
}
