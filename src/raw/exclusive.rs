//! What is done with the whole map to oneself: `&mut`, `into_iter`, `drain`, drop.

use std::{marker::PhantomData, ptr::NonNull};

use super::{
    RawMap,
    bin::{FAR, LOOK_AHEAD, exclusive_words, free_blocks},
    node::Node,
    panicked::Panicked,
    stripe::Stripe,
    table::Table,
    word::Word,
};
use crate::{claims, sync::Ordering};

/// All words of a chain of tables, in the hands of one thread. (A table that is being
/// transferred has its successor behind it; forwarded bins are empty.)
struct Words {
    table: Option<Table>,
    next: usize,
    /// Where in the table to stop asking for nodes in advance.
    end_of_asking: usize,
    words: Vec<Word>,
    /// Whether the tables are freed when they are done with.
    owned: bool,
}

/// Nodes are asked for up to here, as a walk does it.
fn end_of_asking(table: Table) -> usize {
    if table.len() < FAR { 0 } else { table.len() - LOOK_AHEAD }
}

impl Words {
    /// # Safety
    ///
    /// The caller has exclusive access to the tables as long as this lives, and does
    /// not use them again if they are `owned`.
    unsafe fn new(table: Table, owned: bool) -> Words {
        // Bins that a transfer has not come to may not be initialised.
        if let Some(next) = table.next().filter(|next| next.bits() > table.bits()) {
            for index in (0..table.len()).filter(|&i| !table.bin(i).header().is_forwarded()) {
                // SAFETY: exclusive access, and the bin is not forwarded. (Its transfer, if
                // it ever goes on, will do the same again.)
                unsafe { table.vacate_targets(next, index) };
            }
        }
        let end_of_asking = end_of_asking(table);
        Words { table: Some(table), next: 0, end_of_asking, words: Vec::new(), owned }
    }

    #[inline]
    fn next(&mut self) -> Option<Word> {
        loop {
            if let Some(word) = self.words.pop() {
                return Some(word);
            }
            let table = self.table?;
            if self.next == table.len() {
                self.table = table.next();
                self.next = 0;
                self.end_of_asking = self.table.map_or(0, end_of_asking);
                if self.owned {
                    // SAFETY: nobody else has access, and it is not used again.
                    unsafe { table.dealloc() };
                }
                continue;
            }
            let bin = table.bin(self.next);
            self.next += 1;
            if self.next < self.end_of_asking {
                table.bin(self.next + LOOK_AHEAD).ask_for_nodes();
            }
            // SAFETY: exclusive access.
            unsafe {
                exclusive_words(bin, |_, word| {
                    if word.is_claim() {
                        self.words.extend(leaked_claim(word, self.owned));
                    } else {
                        self.words.push(word);
                    }
                });
                if self.owned {
                    free_blocks(bin);
                }
            }
        }
    }
}

/// What to do with a claim that is still there when somebody has the map to himself. Its
/// holder borrowed the map, and is no more: it has been leaked. A node that it covers goes
/// the way of the others, what it has reserved is leaked with it.
#[cold]
fn leaked_claim(word: Word, owned: bool) -> Option<Word> {
    if owned {
        // The address can be given out again, to be claimed by somebody else.
        claims::forget(word.address().addr());
    }
    (!word.is_reserved()).then(|| word.uncovered())
}

/// The nodes of a map, to be taken apart.
pub(crate) struct IntoNodes<K, V> {
    words: Words,
    remaining: usize,
    marker: PhantomData<(K, V)>,
}

// SAFETY: it owns keys and values, and nobody else has access.
unsafe impl<K: Send, V: Send> Send for IntoNodes<K, V> {}
// SAFETY: through `&IntoNodes` only a number can be read.
unsafe impl<K: Sync, V: Sync> Sync for IntoNodes<K, V> {}

impl<K, V> IntoNodes<K, V> {
    pub(crate) fn remaining(&self) -> usize {
        self.remaining
    }
}

impl<K, V> Iterator for IntoNodes<K, V> {
    type Item = (K, V);

    #[inline]
    fn next(&mut self) -> Option<(K, V)> {
        let word = self.words.next()?;
        self.remaining = self.remaining.saturating_sub(1);
        // SAFETY: each word is yielded once, and nobody else has access.
        Some(unsafe { Node::take(word) })
    }
}

impl<K, V> Drop for IntoNodes<K, V> {
    fn drop(&mut self) {
        let mut panicked = Panicked::default();
        let words = &mut self.words;
        let mut done = false;
        // One `catch` for all drops up to the first panic.
        while !done {
            panicked.catch(|| {
                while let Some(word) = words.next() {
                    // SAFETY: as in `next`.
                    unsafe { Node::<K, V>::drop(word) };
                }
                done = true;
            });
        }
        panicked.resume();
    }
}

/// The nodes of a map that is borrowed exclusively.
pub(crate) struct NodesMut<'a, K, V> {
    words: Words,
    remaining: usize,
    marker: PhantomData<&'a mut (K, V)>,
}

// SAFETY: it stands for exclusive borrows of values, and shared ones of keys.
unsafe impl<K: Sync, V: Send> Send for NodesMut<'_, K, V> {}
// SAFETY: through `&NodesMut` only a number can be read.
unsafe impl<K: Sync, V: Sync> Sync for NodesMut<'_, K, V> {}

impl<K, V> NodesMut<'_, K, V> {
    pub(crate) fn remaining(&self) -> usize {
        self.remaining
    }
}

impl<'a, K, V> Iterator for NodesMut<'a, K, V> {
    type Item = (&'a K, &'a mut V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let word = self.words.next()?;
        self.remaining = self.remaining.saturating_sub(1);
        // SAFETY: the map is borrowed exclusively for `'a`, and each node is yielded once.
        let node: &'a mut Node<K, V> = unsafe { Node::of(word).as_mut() };
        Some((&node.key, &mut node.value))
    }
}

impl<K, V> RawMap<K, V> {
    /// The value of the node for which `eq` holds.
    pub(crate) fn get_mut(
        &mut self,
        hash: u64,
        eq: impl FnMut(&K) -> bool,
    ) -> Option<(&K, &mut V)> {
        let guard = crate::epoch::pin();
        let node = NonNull::from(self.get(hash, eq, &guard)?);
        // SAFETY: the map is borrowed exclusively: no reference to the node is left, and
        // nobody retires it while the result lives. The word that `get` read carries
        // the provenance of the allocation, and `NonNull::from` of a shared reference
        // would not; hence the way through the word.
        let node = unsafe { &mut *self.exclusive_node(hash, node) };
        Some((&node.key, &mut node.value))
    }

    /// The same node, by a pointer that may be written through.
    fn exclusive_node(&mut self, hash: u64, node: NonNull<Node<K, V>>) -> *mut Node<K, V> {
        let mut table = self.root();
        loop {
            let mut found = None;
            // SAFETY: exclusive access.
            unsafe {
                exclusive_words(table.bin_for(hash), |_, word| {
                    if Node::of(word) == node {
                        found = Some(Node::<K, V>::of(word).as_ptr());
                    }
                });
            }
            match found {
                Some(node) => return node,
                None => table = super::search::successor(table),
            }
        }
    }

    /// All nodes, for writing to their values.
    pub(crate) fn nodes_mut(&mut self) -> NodesMut<'_, K, V> {
        let remaining = self.len();
        // SAFETY: borrowed exclusively.
        let words = unsafe { Words::new(self.root(), false) };
        NodesMut { words, remaining, marker: PhantomData }
    }

    /// Takes everything out and leaves an empty map.
    pub(crate) fn take_nodes(&mut self) -> IntoNodes<K, V> {
        let remaining = self.len();
        let table = self.root();
        // (No claims are left but those that have been leaked.)
        self.garbage.stripes.all_mut().for_each(Stripe::reset_counts);
        self.root.store(Table::empty().into_raw(), Ordering::Relaxed);
        // SAFETY: borrowed exclusively, and the map has no longer anything to do with
        // the tables.
        let words = unsafe { Words::new(table, true) };
        IntoNodes { words, remaining, marker: PhantomData }
    }
}

impl<K, V> Drop for RawMap<K, V> {
    fn drop(&mut self) {
        let mut panicked = Panicked::default();
        let nodes = self.take_nodes();
        panicked.catch(|| drop(nodes));
        // SAFETY: the garbage is from this map, and nobody has access any more: guards
        // that readers still hold were lent out by maps or by other uses of this one
        // that have ended, as it is borrowed exclusively.
        panicked.merge(unsafe { self.garbage.free_all::<K, V>() });
        // Under loom the empty table that `take_nodes` left is not shared. Otherwise
        // this does nothing.
        // SAFETY: not used again.
        unsafe { self.root().dealloc() };
        panicked.resume();
    }
}
