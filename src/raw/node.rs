//! Nodes: a key and its value, immutable once published.
//!
//! A *narrow* node is just that; a *wide* one has the key's hash in front. Which of the
//! two it is, its [`Word`] says (see there for the reasons).

use std::ptr::{self, NonNull};

use super::{
    hash::{self, PACKED_FROM},
    word::{ALIGN, PACKED, Word},
};
use crate::sync::alloc::{self, Layout};

/// A key and its value.
#[repr(C)]
pub struct Node<K, V> {
    pub(crate) key: K,
    pub(crate) value: V,
}

impl<K, V> Node<K, V> {
    /// At least a word, so that nodes of zero-sized types have addresses of their own.
    const NARROW: Layout = {
        let node = Layout::new::<Node<K, V>>();
        let align = if node.align() < ALIGN { ALIGN } else { node.align() };
        let size = if node.size() < ALIGN { ALIGN } else { node.size() };
        match Layout::from_size_align(size, align) {
            Ok(layout) => layout.pad_to_align(),
            Err(_) => panic!("the node of this key and value type is too large"),
        }
    };

    /// Where the node begins behind its hash: the hash ends just before it.
    const HASH_ROOM: usize = Self::NARROW.align();

    const WIDE: Layout = {
        match Layout::from_size_align(Self::NARROW.size() + Self::HASH_ROOM, Self::NARROW.align()) {
            Ok(layout) => layout,
            Err(_) => panic!("the node of this key and value type is too large"),
        }
    };

    /// What a node takes at the most.
    pub(super) const fn most_size() -> usize {
        Self::WIDE.size()
    }

    /// Makes a node for a table of `2^bits` bins, or of more, in the memory of another
    /// one if there is a `spare`.
    ///
    /// Key and value are *copied*: whoever publishes the node leaves the originals alone (see `Given`),
    /// whoever does not goes on with them. That keeps large ones from being moved around
    /// while writers retry. Whoever shows the original key to user code in between copies it once
    /// more ([`Node::copy_key`]): it may have a `Cell`. Aborts when out of memory, as `Box::new` does.
    ///
    /// # Safety
    ///
    /// `spare` was a node of this type, has no content and no hash bits
    /// ([`Word::unhashed`]), and nobody can reach it.
    ///
    /// # Panics
    ///
    /// When the allocator returns an address that a [`Word`] cannot hold; key and
    /// value are dropped.
    #[inline]
    pub(super) unsafe fn make(
        hash: u64,
        key: &K,
        value: &V,
        bits: u32,
        spare: Option<Word>,
    ) -> Word {
        // SAFETY: passed on; the memory has room for a value.
        unsafe {
            Self::make_with(hash, key, bits, spare, |node| {
                (&raw mut (*node).value).copy_from_nonoverlapping(value, 1);
            })
        }
    }

    /// Copies a key over the one that a node was made with.
    ///
    /// # Safety
    ///
    /// The word is from [`Node::make`], and the node not published.
    #[inline(always)]
    pub(super) unsafe fn copy_key(node: Word, key: &K) {
        // SAFETY: the caller's promise.
        unsafe { (&raw mut (*Self::of(node).as_ptr()).key).copy_from_nonoverlapping(key, 1) };
    }

    /// The same without a value: what a `ReservationNode` is. The word is the one that the
    /// node will have when it has a value.
    ///
    /// # Safety
    ///
    /// As for [`Node::make`].
    ///
    /// # Panics
    ///
    /// As there.
    #[inline]
    pub(super) unsafe fn make_reserved(hash: u64, key: &K, bits: u32, spare: Option<Word>) -> Word {
        // SAFETY: passed on.
        unsafe { Self::make_with(hash, key, bits, spare, |_| ()) }
    }

    /// # Safety
    ///
    /// As for [`Node::make`].
    #[inline(always)]
    unsafe fn make_with(
        hash: u64,
        key: &K,
        bits: u32,
        spare: Option<Word>,
        rest: impl FnOnce(*mut Node<K, V>),
    ) -> Word {
        // (Two branches that differ in little: in large maps it is always the first, and there
        // each instruction counts. So what says that there is no spare is a wide one.)
        let spare = spare.unwrap_or(Word::NO_SPARE);
        if Self::is_narrow_in(bits) {
            let node = if spare.is_wide() {
                // SAFETY: passed on.
                unsafe { Self::alloc_instead_of(spare, false) }
            } else {
                spare.unhashed_address().cast()
            };
            // SAFETY: the memory has room for a node.
            unsafe { (&raw mut (*node).key).copy_from_nonoverlapping(key, 1) };
            rest(node);
            Word::narrow(node.cast(), hash)
        } else {
            let node = if spare.is_wide() && spare != Word::NO_SPARE {
                Self::of(spare).as_ptr()
            } else {
                // SAFETY: passed on.
                unsafe { Self::alloc_instead_of(spare, true) }
            };
            // SAFETY: the memory has room for a node, and for eight bytes in front of it, which
            // are aligned as the node is.
            unsafe {
                (&raw mut (*node).key).copy_from_nonoverlapping(key, 1);
                node.cast::<u64>().sub(1).write(hash);
            }
            rest(node);
            Word::wide(node.cast(), hash)
        }
    }

    /// Whether nodes that are made for a table of `2^bits` bins go without their hash.
    #[inline(always)]
    pub(super) fn is_narrow_in(bits: u32) -> bool {
        PACKED && bits >= PACKED_FROM
    }

    /// Memory for a node, where there is none, or where the table was smaller when it was one.
    ///
    /// # Safety
    ///
    /// As for [`Node::make`].
    #[inline(never)]
    unsafe fn alloc_instead_of(spare: Word, wide: bool) -> *mut Node<K, V> {
        if spare != Word::NO_SPARE {
            // SAFETY: the caller's promise.
            unsafe { Self::dealloc(spare) };
        }
        Self::alloc(wide)
    }

    /// Memory for a node: where the node itself is to be.
    #[inline]
    fn alloc(wide: bool) -> *mut Node<K, V> {
        let layout = if wide { Self::WIDE } else { Self::NARROW };
        // SAFETY: neither layout is of size zero.
        let base = unsafe { alloc::alloc(layout) };
        if base.is_null() {
            alloc::handle_alloc_error(layout);
        }
        if !Word::fits(base.cast()) {
            address_out_of_range(base, layout);
        }
        if wide {
            // SAFETY: a wide layout is that much longer. It is a multiple of the node's
            // alignment, which is at least eight.
            unsafe { base.add(Self::HASH_ROOM).cast() }
        } else {
            base.cast()
        }
    }

    /// The node that a word stands for.
    #[inline(always)]
    pub(super) fn of(word: Word) -> NonNull<Node<K, V>> {
        debug_assert!(!word.is_special() || word.is_claim());
        // SAFETY: words of nodes are made from the addresses of allocations, never null.
        unsafe { NonNull::new_unchecked(word.address().cast()) }
    }

    /// The key of a node, or of a claim's.
    ///
    /// # Safety
    ///
    /// The node is live during `'g`. Its value need not be initialised.
    #[inline(always)]
    pub(super) unsafe fn key_of<'g>(word: Word) -> &'g K {
        // SAFETY: nodes have their key from the start.
        unsafe { &(*Self::of(word).as_ptr()).key }
    }

    /// Where the value of a node is.
    #[inline]
    pub(super) fn value_of(word: Word) -> *mut V {
        // SAFETY: in bounds of the node's allocation, which is live as long as the word
        // is of any use.
        unsafe { &raw mut (*Self::of(word).as_ptr()).value }
    }

    /// The index bits `from..to` of the hash of a node's key.
    ///
    /// # Safety
    ///
    /// `word` stands for a live node, or for a claim on one or with one, that is in a bin
    /// of a table of `from` bits, under `tag`.
    #[inline]
    pub(super) unsafe fn index_bits(word: Word, tag: u8, from: u32, to: u32) -> usize {
        if PACKED && from >= PACKED_FROM {
            hash::index_bits_packed(word.packed(), tag, from, to)
        } else {
            debug_assert!(word.is_claim() || word.is_wide());
            // SAFETY: a node in a table under `PACKED_FROM` bits is wide (tables never
            // shrink below that once they have reached it), and so is every node
            // where nothing is packed; a wide node has its hash right in front.
            let hash = unsafe { Self::of(word).as_ptr().cast::<u64>().sub(1).read() };
            hash::index_bits(hash, from, to)
        }
    }

    /// Frees the node's memory after its content has been moved out.
    ///
    /// # Safety
    ///
    /// `word` is from [`Node::make`], nobody else can reach the node any more, and its
    /// content is not used again.
    #[inline]
    pub(super) unsafe fn dealloc(word: Word) {
        let node = Self::of(word).as_ptr().cast::<u8>();
        // SAFETY: the layouts and the offset are those of `alloc`.
        unsafe {
            if word.is_wide() {
                alloc::dealloc(node.sub(Self::HASH_ROOM), Self::WIDE);
            } else {
                alloc::dealloc(node, Self::NARROW);
            }
        }
    }

    /// Moves key and value out and frees the node.
    ///
    /// # Safety
    ///
    /// As for [`Node::dealloc`].
    #[inline]
    pub(super) unsafe fn take(word: Word) -> (K, V) {
        // SAFETY: the node is live and the caller's alone; it is not used again.
        unsafe {
            let Node { key, value } = Self::of(word).read();
            Self::dealloc(word);
            (key, value)
        }
    }

    /// Drops key and value and frees the node, its memory also when a drop panics.
    ///
    /// # Safety
    ///
    /// As for [`Node::dealloc`].
    #[inline]
    pub(super) unsafe fn drop(word: Word) {
        struct Dealloc<K, V>(Word, std::marker::PhantomData<(K, V)>);
        impl<K, V> Drop for Dealloc<K, V> {
            fn drop(&mut self) {
                // SAFETY: the content has been dropped in place, or its drop panicked;
                // it is not touched again either way.
                unsafe { Node::<K, V>::dealloc(self.0) }
            }
        }
        let _dealloc = Dealloc::<K, V>(word, std::marker::PhantomData);
        // SAFETY: the node is live and the caller's alone.
        unsafe { ptr::drop_in_place(Self::of(word).as_ptr()) };
    }
}

/// No word can hold the address that the allocator has just returned.
#[cold]
pub(super) fn address_out_of_range(base: *mut u8, layout: Layout) -> ! {
    // SAFETY: allocated just now with this layout, and not used.
    unsafe { alloc::dealloc(base, layout) };
    panic!(
        "binlock: the allocator returned the address {base:p}, which has more than 48 bits; \
         build with RUSTFLAGS=\"--cfg binlock_wide\""
    );
}
