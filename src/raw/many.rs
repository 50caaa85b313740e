//! Looking up several keys at once, with their cache misses overlapped.
//!
//! A look-up in a large map is two cache misses, one after the other: the bin, the node.
//! A batch asks for all bins first, then for all candidate nodes, and compares keys last.
//! So the misses of one round are under way together (the idea of group prefetching,
//! from hash joins in databases; DLHT applies it to a concurrent map). One look-up in
//! thirty needs an overflow block in between: those have a round of their own, because
//! two misses one by one cost as much as the whole batch.

use super::{
    RawMap,
    bin::{Bin, Header, node_of},
    node::Node,
    prefetch::prefetch,
    word::{Kind, Word},
};
use crate::epoch::Guard;

impl<K, V> RawMap<K, V> {
    /// Looks up `N` keys by their hashes; `eq(i, key)` compares with the `i`th.
    #[inline]
    pub(crate) fn get_many<'g, const N: usize>(
        &'g self,
        hash: impl Fn(usize) -> u64,
        mut eq: impl FnMut(usize, &K) -> bool,
        guard: &'g Guard,
    ) -> [Option<&'g Node<K, V>>; N] {
        let root = self.root();
        let hashes: [u64; N] = std::array::from_fn(|i| {
            let hash = hash(i);
            prefetch(std::ptr::from_ref(root.bin_for::<'g>(hash)));
            hash
        });
        let mut words: [Word; N] = std::array::from_fn(|i| {
            let bin = root.bin_for::<'g>(hashes[i]);
            candidate(bin, bin.header(), hashes[i])
        });
        for (i, word) in words.iter_mut().enumerate() {
            if !word.is_link() {
                continue;
            }
            // SAFETY: the guard keeps blocks from being freed.
            if let Kind::Link(block) = unsafe { word.kind::<'g>() } {
                let header = block.header();
                *word = if header.has_overflow() {
                    Word::NONE
                } else {
                    candidate(block, header, hashes[i])
                };
            }
        }
        std::array::from_fn(|i| {
            let word = words[i];
            if word == Word::VACANT {
                return None;
            }
            if word != Word::NONE {
                // SAFETY: loaded from a bin, by a pinned thread.
                let node = unsafe { node_of::<'g, K, V>(word) };
                if eq(i, &node.key) {
                    return Some(node);
                }
            }
            // A tag that matched by chance, an overflow, a transfer.
            self.get_again(hashes[i], |key| eq(i, key), guard)
        })
    }
}

/// Where to look next for a key, which is asked for already: the node that the first
/// matching tag of the bin or block stands for, or the link to the next block. `VACANT`
/// if the key is surely absent; `NONE` if it takes an ordinary look-up to say.
#[inline(always)]
fn candidate(bin: &Bin, header: Header, hash: u64) -> Word {
    let word = match header.matches_of(hash).first() {
        Some(slot) => match bin.word(slot) {
            // The slot has changed since the header was loaded.
            word if word.is_special() => return Word::NONE,
            word => word,
        },
        None if header.is_forwarded() => return Word::NONE,
        None if header.has_overflow() => bin.link(),
        None => return Word::VACANT,
    };
    prefetch(word.address());
    word
}
