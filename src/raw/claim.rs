//! Claims: the right to decide one key, held while a closure or a future computes.
//!
//! ```text
//!                       claim                            settle
//!   absent   (no slot)  ────>  reserved: key, no value   ────>  node, or no slot
//!   present  node       ────>  covered: the same node    ────>  new node, the same, or no slot
//!                                     │ clear
//!                                     v
//!                              reserved: the node counts as absent
//! ```
//!
//! A claim is a word in the key's slot, put there and taken out under the bin's lock, and
//! nothing else is locked in between. It has the address of a node: of the one that it
//! covers, or of a `ReservationNode`, which has the key and gets its value when the claim is
//! settled (so the key never moves, and others can compare with it all the time). A word is
//! moved by a transfer as any other.
//!
//! # Who may do what with a claim's slot
//!
//! * Readers see the covered node; they pass over what is reserved.
//! * `clear` makes a covering claim a reserved one.
//! * Other writers wait (see `claims`). If that would never end, they *overtake* the claim:
//!   they replace or remove its word.
//! * The holder settles it: finds its word (by its address, in whatever bin it is by now)
//!   and replaces or removes it. If it is not there, it has been overtaken.
//!
//! Whoever takes a claim's word out of its slot wakes those who wait for it.
//!
//! # Who frees the node
//!
//! The holder, whatever has happened: clearing and overtaking leave the node alone. So the
//! closure's references are valid without a pin, and the address means this claim and no
//! other until it is settled.

use std::ptr::NonNull;

use super::{RawMap, node::Node, retire::Retired, word::Word, write::Given};
use crate::{
    claims::{self, Holder, ThreadHolder},
    epoch::{self, Guard},
};

/// A claim on one key, or the place for one: it is taken (see `claiming`) and settled where it
/// is, because moving it would cost more than either.
pub(crate) struct Claim<'map, K, V, H: Holder = ThreadHolder> {
    pub(super) map: &'map RawMap<K, V>,
    pub(super) hash: u64,
    /// The node: covered, or reserved. This is its word when it is no part of a claim.
    pub(super) node: Word,
    pub(super) kind: Kind,
    /// The slot where it was put in a usual bin (see there), which is a hint.
    pub(super) slot: usize,
    pub(super) holder: H,
}

/// What is known about a claim.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// There is none: it has not been taken, or it has been settled.
    Nothing,
    /// The key was absent.
    Reserves,
    /// The same, and the bin is crowded: the claim is in an overflow block.
    Crowds,
    /// The key was present.
    Covers,
}

// SAFETY: a claim is a reference to the map, and the one owner of a key (and maybe a value)
// of the map's.
unsafe impl<K: Send + Sync, V: Send + Sync, H: Holder + Send> Send for Claim<'_, K, V, H> {}
// SAFETY: through a shared claim, keys and values can be read.
unsafe impl<K: Send + Sync, V: Send + Sync, H: Holder + Sync> Sync for Claim<'_, K, V, H> {}

/// Overtaken, through so many waits.
pub(crate) struct Overtaken(pub(crate) usize);

impl<'map, K, V, H: Holder> Claim<'map, K, V, H> {
    /// A claim on nothing yet.
    #[inline]
    pub(crate) fn new(map: &'map RawMap<K, V>, hash: u64, holder: H) -> Self {
        Claim { map, hash, node: Word::NONE, kind: Kind::Nothing, slot: 0, holder }
    }

    /// The claimed key, as it is in the map or will be.
    ///
    /// # Panics
    ///
    /// If there is no claim.
    #[inline]
    pub(crate) fn key(&self) -> &K {
        assert!(self.kind != Kind::Nothing);
        // SAFETY: the node is not freed before the claim is settled.
        unsafe { Node::<K, V>::key_of(self.node) }
    }

    /// The value that was there when the key was claimed.
    #[inline]
    pub(crate) fn value(&self) -> Option<&V> {
        // SAFETY: as above; and a covered node has a value.
        (self.kind == Kind::Covers).then(|| unsafe { &*Node::<K, V>::value_of(self.node) })
    }

    /// The node that is covered, or has been reserved.
    ///
    /// # Panics
    ///
    /// If there is no claim.
    pub(crate) fn node(&self) -> NonNull<Node<K, V>> {
        assert!(self.kind != Kind::Nothing);
        Node::of(self.node)
    }

    /// Whose the claim is.
    pub(crate) fn holder(&self) -> &H {
        &self.holder
    }

    /// Gives the reserved key its value, and settles the claim, as the methods below do. (They
    /// take it by reference, so that it need not be moved.)
    ///
    /// # Panics
    ///
    /// If the claim covers a node, or is none. If it was overtaken, and the value's drop panics.
    #[inline(always)]
    pub(crate) fn fill(
        &mut self,
        value: V,
        guard: &Guard,
    ) -> Result<NonNull<Node<K, V>>, Overtaken> {
        let kind = self.kind;
        assert!(matches!(kind, Kind::Reserves | Kind::Crowds));
        // SAFETY: the node has room for a value, and has none; others look at its key only.
        unsafe { Node::<K, V>::value_of(self.node).write(value) };
        if self.take_out(Some(self.node), guard).is_some() {
            self.map.count(1);
            if kind == Kind::Crowds {
                self.map.grow_if_crowded(guard);
            }
            return Ok(Node::of(self.node));
        }
        // SAFETY: written above, and not published.
        let value = unsafe { Node::<K, V>::value_of(self.node).read() };
        self.map.retire(Retired::reserved(self.node), guard);
        let overtaken = self.overtaken();
        drop(value);
        Err(overtaken)
    }

    /// Puts a new node in the place of the covered one. If that was cleared away meanwhile,
    /// the new one is as well: it lives as long as the guard.
    ///
    /// # Panics
    ///
    /// If the claim covers nothing, or is none. If it was overtaken, and a drop panics.
    #[inline(always)]
    pub(crate) fn replace(
        &mut self,
        key: K,
        value: V,
        guard: &Guard,
    ) -> Result<NonNull<Node<K, V>>, Overtaken> {
        assert!(self.kind == Kind::Covers);
        // Before the bin is looked for: the node's table is this one or a later one.
        let bits = self.map.root().bits();
        let mut given = Given::new(key, value);
        let spare = self.map.garbage.take_spare(guard);
        // SAFETY: spare nodes of a map are of its type, and empty.
        let new = unsafe { Node::make(self.hash, &*given.key, &*given.value, bits, spare) };
        let out = self.take_out(Some(new), guard);
        self.map.retire(Retired::node(self.node), guard);
        match out {
            Some(was_present) => {
                given.publish();
                if !was_present {
                    self.map.retire(Retired::node(new), guard);
                }
                Ok(Node::of(new))
            }
            None => {
                // SAFETY: not published, and the content is here.
                unsafe { Node::<K, V>::dealloc(new) };
                Err(self.overtaken())
            }
        }
    }

    /// Removes the covered node and returns it.
    ///
    /// # Panics
    ///
    /// If the claim covers nothing, or is none.
    pub(crate) fn remove(&mut self, guard: &Guard) -> Result<NonNull<Node<K, V>>, Overtaken> {
        assert!(self.kind == Kind::Covers);
        let out = self.take_out(None, guard);
        self.map.retire(Retired::node(self.node), guard);
        match out {
            Some(was_present) => {
                self.map.count(-isize::from(was_present));
                Ok(Node::of(self.node))
            }
            None => Err(self.overtaken()),
        }
    }

    /// Leaves the key as it was, and says whether the claim has been overtaken. What is
    /// returned is the covered node.
    pub(crate) fn give_up(
        &mut self,
        guard: &Guard,
    ) -> Result<Option<NonNull<Node<K, V>>>, Overtaken> {
        let covers = self.kind == Kind::Covers;
        if self.restore(guard) {
            Ok(covers.then(|| Node::of(self.node)))
        } else {
            Err(self.overtaken())
        }
    }

    /// Leaves the key as it was; `false` if the claim has been overtaken.
    #[inline(never)]
    fn restore(&mut self, guard: &Guard) -> bool {
        let covers = self.kind == Kind::Covers;
        let out = self.take_out(covers.then_some(self.node), guard);
        if !covers {
            self.map.retire(Retired::reserved(self.node), guard);
        } else if out != Some(true) {
            self.map.retire(Retired::node(self.node), guard);
        }
        out.is_some()
    }

    #[cold]
    fn overtaken(&self) -> Overtaken {
        Overtaken(claims::overtaken_through(self.node.address().addr()))
    }

    /// Takes the claim out of its slot, in favour of a node or of nothing, and wakes those
    /// who wait for it. If the covered node was cleared away, in favour of nothing.
    ///
    /// `None` if the claim was overtaken, otherwise whether the key was present until now.
    #[inline(always)]
    fn take_out(&mut self, new: Option<Word>, guard: &Guard) -> Option<bool> {
        let covers = self.kind == Kind::Covers;
        if self.kind == Kind::Crowds {
            self.map.crowd(-1, guard);
        }
        self.kind = Kind::Nothing;
        self.holder.release(self.node.address().addr());
        let word = if covers { self.node.covered() } else { self.node.reserved() };
        match self.map.lock_claim_at(self.hash, word, self.slot, guard) {
            // (As it was put there, so it has not been cleared.)
            Some(lock) => {
                if lock.settle(new) {
                    claims::wake(self.node.address().addr());
                }
                Some(covers)
            }
            None => Self::take_out_anywhere(self.map, self.hash, self.node, covers, new, guard),
        }
    }

    /// The same wherever it is, if it is anywhere.
    #[cold]
    #[inline(never)]
    fn take_out_anywhere(
        map: &RawMap<K, V>,
        hash: u64,
        node: Word,
        covers: bool,
        new: Option<Word>,
        guard: &Guard,
    ) -> Option<bool> {
        let lock = map.lock_claim(hash, node, guard)?;
        let was_present = !lock.word().is_reserved();
        let new = if was_present == covers { new } else { None };
        if lock.settle(new) {
            claims::wake(node.address().addr());
        }
        Some(was_present)
    }
}

impl<K, V, H: Holder> Claim<'_, K, V, H> {
    /// Leaves the key as it was, if there is a claim.
    #[inline]
    pub(crate) fn abandon(&mut self) {
        if self.kind != Kind::Nothing {
            self.abandon_taken();
        }
    }

    #[cold]
    #[inline(never)]
    fn abandon_taken(&mut self) {
        let guard = epoch::pin();
        if !self.restore(&guard) {
            self.overtaken();
        }
    }
}

impl<K, V, H: Holder> Drop for Claim<'_, K, V, H> {
    #[inline]
    fn drop(&mut self) {
        self.abandon();
    }
}
