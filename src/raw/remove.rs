//! Removing: by the protocol of all writes, see `write`.

use std::ptr::NonNull;

use super::{RawMap, claim::Claim, node::Node, retire::Retired, search::Seen, word::Word};
use crate::{
    claims::{ThreadHolder, Verdict},
    epoch::{Guard, Pins},
};

impl<K, V> RawMap<K, V> {
    /// Removes the node for which `eq` holds, and returns it.
    #[inline]
    pub(crate) fn remove(
        &self,
        hash: u64,
        mut eq: impl FnMut(&K) -> bool,
        pins: &mut impl Pins,
    ) -> Option<NonNull<Node<K, V>>> {
        let guard = pins.guard();
        let table = self.root();
        let bin = table.bin_for(hash);
        // Before anything else: see `usual`.
        let header = bin.header();
        let Some(mine) = self.garbage.stripes.existing_mine() else {
            return self.remove_after_all(hash, eq, pins);
        };
        if !Self::is_quiet(mine, table) {
            return self.remove_after_all(hash, eq, pins);
        }
        // SAFETY: just seen, by a thread that is pinned.
        let mine = unsafe { mine.assume_biased(guard) };
        if let Some(removed) = self.remove_usually(bin, header, hash, &mut eq, mine, guard) {
            return removed;
        }
        self.remove_anyhow(hash, eq, |_| true, pins)
    }

    /// The same where something is to be done first, or where the thread has no stripe to itself.
    #[cold]
    #[inline(never)]
    fn remove_after_all(
        &self,
        hash: u64,
        mut eq: impl FnMut(&K) -> bool,
        pins: &mut impl Pins,
    ) -> Option<NonNull<Node<K, V>>> {
        let guard = pins.guard();
        let (mine, table) = self.begin_write(guard);
        let mine = mine.shared(guard);
        let bin = table.bin_for(hash);
        if let Some(removed) = self.remove_usually(bin, bin.header(), hash, &mut eq, mine, guard) {
            return removed;
        }
        self.remove_anyhow(hash, eq, |_| true, pins)
    }

    /// Removes exactly this node, if it is still in the map.
    pub(crate) fn remove_node(
        &self,
        hash: u64,
        node: &Node<K, V>,
        mut guard: &Guard,
    ) -> Option<NonNull<Node<K, V>>> {
        // A key has its node's address, even one of size zero. If the node has been cleared
        // away under a claim, the address is that of a reserved key, which is absent.
        let eq = |key: &K| std::ptr::eq(key, &node.key);
        self.begin_write(guard);
        self.remove_anyhow(hash, eq, |word| !word.is_reserved(), &mut guard)
    }

    /// Removes what is meant, whatever is there.
    #[inline(never)]
    fn remove_anyhow(
        &self,
        hash: u64,
        mut eq: impl FnMut(&K) -> bool,
        is_meant: impl Fn(Word) -> bool,
        pins: &mut impl Pins,
    ) -> Option<NonNull<Node<K, V>>> {
        let mut seen = Seen::new();
        loop {
            let guard = pins.guard();
            let (place, word) = self.locate_present(hash, &mut eq, &mut seen, guard)?;
            if !is_meant(word) {
                return None;
            }
            if word.is_claim() {
                match self.enlist(&place) {
                    Verdict::Wait(ticket) => pins.unpinned(|| ticket.sleep()),
                    Verdict::Settled => {}
                    Verdict::Recursive(length) => {
                        if self.overtake(&place, None, length) {
                            return (!word.is_reserved()).then(|| Node::of(word));
                        }
                    }
                }
            } else if let Some(lock) = place.lock_found() {
                lock.vacate();
                self.count(-1);
                self.retire(Retired::node(word), guard);
                return Some(Node::of(word));
            }
        }
    }

    /// Removes the node for which `eq` holds, if `condition` does, too, which is asked once.
    ///
    /// The key is claimed meanwhile. Should the condition itself write the key, or have a
    /// thread do so that it waits for, then what it was asked about is gone, and this
    /// removes nothing.
    pub(crate) fn remove_if(
        &self,
        hash: u64,
        mut eq: impl FnMut(&K) -> bool,
        condition: impl FnOnce(&K, &V) -> bool,
        pins: &mut impl Pins,
    ) -> Option<NonNull<Node<K, V>>> {
        let mut claim = Claim::new(self, hash, ThreadHolder::closure());
        let mut seen = Seen::new();
        loop {
            match claim.take_present(&mut eq, pins) {
                Ok(false) => return None,
                Ok(true) => {
                    let remove = pins.unpinned(|| {
                        claim.value().is_some_and(|value| condition(claim.key(), value))
                    });
                    return if remove { claim.remove(pins.guard()).ok() } else { None };
                }
                // The key is being computed by this very thread, or in a cycle.
                Err(_) => {}
            }
            let guard = pins.guard();
            let place = self.locate(hash, &mut eq, &mut seen, guard);
            let Some(word) = place.found().filter(|word| word.is_claim()) else { continue };
            let Verdict::Recursive(length) = self.enlist(&place) else { continue };
            if word.is_reserved() {
                // There is nothing to remove, and that is decided now.
                if self.overtake(&place, None, length) {
                    return None;
                }
                continue;
            }
            // The claim is not this operation's: the pin keeps what the condition looks at, and
            // its address from meaning something else.
            // SAFETY: found under the guard, which is held.
            let node: &Node<K, V> = unsafe { Node::of(word).as_ref() };
            if !condition(&node.key, &node.value) {
                return None;
            }
            return self.remove_node(hash, node, guard);
        }
    }
}
