//! Insert and replace; and what they have in common with what removes (`remove`).
//!
//! Each write searches first, without a lock, running the user's `Eq`; then it locks
//! the bin, confirms that what it found still holds by comparing words, changes a slot,
//! and unlocks. If it does not hold any more, another writer has made progress in the
//! same bin, and the search is repeated.
//!
//! A claim in the way is waited for, or overtaken where that would never end; see `claim`.
//!
//! All that can panic or run user code happens before the bin is locked: a panic means
//! that nothing has happened.

use std::{
    alloc::{self, Layout},
    mem::ManuallyDrop,
    ptr::NonNull,
};

use super::{
    RawMap,
    bin::{Bin, Placed, Spares},
    hash,
    node::Node,
    retire::Retired,
    search::{Place, Seen},
    stripe::Stripe,
    striped::Mine,
    table::{MIN_BITS, Table, TableError},
    word::Word,
};
use crate::{
    claims::Verdict,
    epoch::{Guard, Pins},
    sync::Ordering,
};

/// The key is there already.
pub(crate) struct Occupied<K, V> {
    /// The node that is there.
    pub(crate) current: NonNull<Node<K, V>>,
    /// What was not inserted.
    pub(crate) key: K,
    pub(crate) value: V,
}

/// A key and a value on their way into a node.
///
/// Copies of them are in the node before it is published. They are not moved after that, not even to be
/// forgotten: to move a `Box` is to use what it owns as its only owner, by the rules that Miri checks
/// (Stacked Borrows), and others may be reading that by then.
pub(super) struct Given<K, V> {
    pub(super) key: ManuallyDrop<K>,
    pub(super) value: ManuallyDrop<V>,
    /// They are the node's.
    is_published: bool,
}

impl<K, V> Given<K, V> {
    #[inline(always)]
    pub(super) fn new(key: K, value: V) -> Given<K, V> {
        let (key, value) = (ManuallyDrop::new(key), ManuallyDrop::new(value));
        Given { key, value, is_published: false }
    }

    #[inline(always)]
    fn in_table(&self, hash: u64, table: Table) -> New<'_, K, V> {
        New { hash, key: &self.key, value: &self.value, table }
    }

    /// A node that is made of them has been published.
    #[inline(always)]
    pub(super) fn publish(&mut self) {
        self.is_published = true;
    }

    /// For who has not published them.
    #[inline(always)]
    fn take(self) -> (K, V) {
        debug_assert!(!self.is_published);
        let mut this = ManuallyDrop::new(self);
        // SAFETY: not published, so they are here, and what they are taken out of is not dropped.
        unsafe { (ManuallyDrop::take(&mut this.key), ManuallyDrop::take(&mut this.value)) }
    }
}

impl<K, V> Drop for Given<K, V> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.is_published {
            // SAFETY: they are here, and not used again.
            let (_key, _value) =
                unsafe { (ManuallyDrop::take(&mut self.key), ManuallyDrop::take(&mut self.value)) };
        }
    }
}

/// What a new node is made of.
pub(super) struct New<'a, K, V> {
    pub(super) hash: u64,
    pub(super) key: &'a K,
    pub(super) value: &'a V,
    /// The root table, as it was before the node's bin was looked for.
    pub(super) table: Table,
}

impl<'a, K, V> New<'a, K, V> {
    #[inline(always)]
    pub(super) fn tag(&self) -> u8 {
        hash::tag(self.hash)
    }

    /// Its bin in that table.
    #[inline(always)]
    pub(super) fn bin(&self) -> &'a Bin {
        self.table.bin_for(self.hash)
    }

    /// A node with copies of key and value.
    #[inline]
    pub(super) fn make(&self, spare: Option<Word>) -> Word {
        // SAFETY: spare nodes of a map are of its type, and empty.
        unsafe { Node::make(self.hash, self.key, self.value, self.table.bits(), spare) }
    }
}

/// What the methods here return lives as long as the guard that `pins` has when they return:
/// it is kept by that. They wait for claims of others without it, if it is their own.
impl<K, V> RawMap<K, V> {
    /// Inserts, replacing the key's node if there is one; returns that.
    #[inline]
    pub(crate) fn insert(
        &self,
        hash: u64,
        key: K,
        value: V,
        pins: &mut impl Pins,
    ) -> Option<NonNull<Node<K, V>>>
    where
        K: Eq,
    {
        let guard = pins.guard();
        let table = self.root();
        let Some(mine) = self.garbage.stripes.existing_mine() else {
            return self.insert_after_all(hash, key, value, pins);
        };
        if !Self::is_quiet(mine, table) {
            return self.insert_after_all(hash, key, value, pins);
        }
        // SAFETY: just seen, by a thread that is pinned.
        let mine = unsafe { mine.assume_biased(guard) };
        let mut given = Given::new(key, value);
        let new = given.in_table(hash, table);
        if let Some(replaced) = self.insert_usually(new, mine, guard) {
            given.publish();
            return replaced;
        }
        let (key, value) = given.take();
        self.insert_anyhow(hash, key, value, pins)
    }

    /// The same where something is to be done first, or where the thread has no stripe to itself.
    #[cold]
    #[inline(never)]
    fn insert_after_all(
        &self,
        hash: u64,
        key: K,
        value: V,
        pins: &mut impl Pins,
    ) -> Option<NonNull<Node<K, V>>>
    where
        K: Eq,
    {
        let guard = pins.guard();
        let (mine, table) = self.begin_write(guard);
        let mine = mine.shared(guard);
        let mut given = Given::new(key, value);
        let new = given.in_table(hash, table);
        if let Some(replaced) = self.insert_usually(new, mine, guard) {
            given.publish();
            return replaced;
        }
        let (key, value) = given.take();
        self.insert_anyhow(hash, key, value, pins)
    }

    /// The same whatever is there.
    #[inline(never)]
    fn insert_anyhow(
        &self,
        hash: u64,
        key: K,
        value: V,
        pins: &mut impl Pins,
    ) -> Option<NonNull<Node<K, V>>>
    where
        K: Eq,
    {
        let table = self.table_for_insertion(pins.guard());
        let guard = pins.guard();
        let mut given = Given::new(key, value);
        let new = given.in_table(hash, table);
        if self.add_crowded(new, self.garbage.stripes.mine(), guard).is_some() {
            given.publish();
            return None;
        }
        let mut seen = Seen::new();
        loop {
            let guard = pins.guard();
            let place = self.locate(hash, |other| *other == *given.key, &mut seen, guard);
            let new = given.in_table(hash, table);
            let found = place.found();
            let done = match found {
                Some(claim) if claim.is_claim() => match self.enlist(&place) {
                    Verdict::Wait(ticket) => {
                        pins.unpinned(|| ticket.sleep());
                        false
                    }
                    Verdict::Settled => false,
                    Verdict::Recursive(length) => self.overtake_with(&place, new, length),
                },
                Some(old) => self.replace_at(&place, old, new, guard),
                None => self.add_at(&place, new, &seen, guard).is_some(),
            };
            if done {
                given.publish();
                return found.filter(|old| !old.is_reserved()).map(Node::of);
            }
        }
    }

    /// Inserts if the key is absent. Where it is present, nothing is allocated or locked.
    #[inline]
    pub(crate) fn try_insert(
        &self,
        hash: u64,
        key: K,
        value: V,
        pins: &mut impl Pins,
    ) -> Result<NonNull<Node<K, V>>, Occupied<K, V>>
    where
        K: Eq,
    {
        if let Some(current) = self.get(hash, |other| *other == key, pins.guard()) {
            return Err(Occupied { current: current.into(), key, value });
        }
        let guard = pins.guard();
        let table = self.root();
        // Before anything else: see `usual`.
        let header = table.bin_for(hash).header();
        let Some(mine) = self.garbage.stripes.existing_mine() else {
            return self.try_insert_after_all(hash, key, value, pins);
        };
        if !Self::is_quiet(mine, table) {
            return self.try_insert_after_all(hash, key, value, pins);
        }
        // SAFETY: just seen, by a thread that is pinned.
        let mine = unsafe { mine.assume_biased(guard) };
        let mut given = Given::new(key, value);
        let new = given.in_table(hash, table);
        if let Some(node) = self.add_if_absent(new, header, mine, guard) {
            given.publish();
            return Ok(Node::of(node));
        }
        let (key, value) = given.take();
        self.try_insert_anyhow(hash, key, value, pins)
    }

    /// The same where something is to be done first, or where the thread has no stripe to itself.
    #[cold]
    #[inline(never)]
    fn try_insert_after_all(
        &self,
        hash: u64,
        key: K,
        value: V,
        pins: &mut impl Pins,
    ) -> Result<NonNull<Node<K, V>>, Occupied<K, V>>
    where
        K: Eq,
    {
        let guard = pins.guard();
        let (mine, table) = self.begin_write(guard);
        let mine = mine.shared(guard);
        let mut given = Given::new(key, value);
        let new = given.in_table(hash, table);
        let header = new.bin().header();
        if let Some(node) = self.add_if_absent(new, header, mine, guard) {
            given.publish();
            return Ok(Node::of(node));
        }
        let (key, value) = given.take();
        self.try_insert_anyhow(hash, key, value, pins)
    }

    /// The same whatever is there.
    #[inline(never)]
    fn try_insert_anyhow(
        &self,
        hash: u64,
        key: K,
        value: V,
        pins: &mut impl Pins,
    ) -> Result<NonNull<Node<K, V>>, Occupied<K, V>>
    where
        K: Eq,
    {
        let table = self.table_for_insertion(pins.guard());
        let guard = pins.guard();
        let mut given = Given::new(key, value);
        let new = given.in_table(hash, table);
        if let Some(node) = self.add_crowded(new, self.garbage.stripes.mine(), guard) {
            given.publish();
            return Ok(Node::of(node));
        }
        let mut seen = Seen::new();
        loop {
            let guard = pins.guard();
            let place = self.locate(hash, |other| *other == *given.key, &mut seen, guard);
            let new = given.in_table(hash, table);
            let added = match place.found() {
                Some(claim) if claim.is_reserved() => match self.enlist(&place) {
                    Verdict::Wait(ticket) => {
                        pins.unpinned(|| ticket.sleep());
                        None
                    }
                    Verdict::Settled => None,
                    Verdict::Recursive(length) => {
                        let new = new.make(None);
                        self.overtake_made(&place, new, length).then_some(new)
                    }
                },
                Some(word) => {
                    let (key, value) = given.take();
                    return Err(Occupied { current: Node::of(word), key, value });
                }
                None => self.add_at(&place, new, &seen, guard),
            };
            if let Some(node) = added {
                given.publish();
                return Ok(Node::of(node));
            }
        }
    }

    /// Replaces the key's node if there is one, and returns that.
    #[inline]
    pub(crate) fn replace(
        &self,
        hash: u64,
        key: K,
        value: V,
        pins: &mut impl Pins,
    ) -> Option<NonNull<Node<K, V>>>
    where
        K: Eq,
    {
        let guard = pins.guard();
        let table = self.root();
        // Before anything else: see `usual`.
        let header = table.bin_for(hash).header();
        let Some(mine) = self.garbage.stripes.existing_mine() else {
            return self.replace_after_all(hash, key, value, pins);
        };
        if !Self::is_quiet(mine, table) {
            return self.replace_after_all(hash, key, value, pins);
        }
        // SAFETY: just seen, by a thread that is pinned.
        let mine = unsafe { mine.assume_biased(guard) };
        let mut given = Given::new(key, value);
        let new = given.in_table(hash, table);
        if let Some(replaced) = self.replace_usually(new, header, mine, guard) {
            if replaced.is_some() {
                given.publish();
            }
            return replaced;
        }
        let (key, value) = given.take();
        self.replace_anyhow(hash, key, value, pins)
    }

    /// The same where something is to be done first, or where the thread has no stripe to itself.
    #[cold]
    #[inline(never)]
    fn replace_after_all(
        &self,
        hash: u64,
        key: K,
        value: V,
        pins: &mut impl Pins,
    ) -> Option<NonNull<Node<K, V>>>
    where
        K: Eq,
    {
        let guard = pins.guard();
        let (mine, table) = self.begin_write(guard);
        let mine = mine.shared(guard);
        let mut given = Given::new(key, value);
        let new = given.in_table(hash, table);
        let header = new.bin().header();
        if let Some(replaced) = self.replace_usually(new, header, mine, guard) {
            if replaced.is_some() {
                given.publish();
            }
            return replaced;
        }
        let (key, value) = given.take();
        self.replace_anyhow(hash, key, value, pins)
    }

    /// The same whatever is there.
    #[inline(never)]
    fn replace_anyhow(
        &self,
        hash: u64,
        key: K,
        value: V,
        pins: &mut impl Pins,
    ) -> Option<NonNull<Node<K, V>>>
    where
        K: Eq,
    {
        let mut given = Given::new(key, value);
        let mut seen = Seen::new();
        loop {
            // Before the search: the table that the key is found in is this or a later one.
            let table = self.root();
            let guard = pins.guard();
            let is_it = |other: &K| *other == *given.key;
            let (place, old) = self.locate_present(hash, is_it, &mut seen, guard)?;
            let new = given.in_table(hash, table);
            let done = if old.is_claim() {
                match self.enlist(&place) {
                    Verdict::Wait(ticket) => {
                        pins.unpinned(|| ticket.sleep());
                        false
                    }
                    Verdict::Settled => false,
                    Verdict::Recursive(length) if old.is_reserved() => {
                        // There is nothing to replace, and that is decided now.
                        if self.overtake(&place, None, length) {
                            return None;
                        }
                        false
                    }
                    Verdict::Recursive(length) => self.overtake_with(&place, new, length),
                }
            } else {
                self.replace_at(&place, old, new, guard)
            };
            if done {
                given.publish();
                return Some(Node::of(old));
            }
        }
    }

    /// Goes ahead of a claim with a new node. `false` if the claim is gone; otherwise the
    /// entry has been moved.
    #[cold]
    fn overtake_with(&self, place: &Place<'_>, new: New<'_, K, V>, length: usize) -> bool {
        self.overtake_made(place, new.make(None), length)
    }

    fn overtake_made(&self, place: &Place<'_>, new: Word, length: usize) -> bool {
        let done = self.overtake(place, Some(new), length);
        if !done {
            // SAFETY: not published, and the content is the caller's.
            unsafe { Node::<K, V>::dealloc(new) };
        }
        done
    }

    /// Puts a new node in the place of the old one that was found, and retires that.
    /// `false` if the place has changed; otherwise the entry has been moved.
    #[inline]
    fn replace_at(&self, place: &Place<'_>, old: Word, new: New<'_, K, V>, guard: &Guard) -> bool {
        let new = new.make(self.garbage.take_spare(guard));
        let Some(lock) = place.lock_found() else {
            // SAFETY: not published, and the content is the caller's.
            unsafe { Node::<K, V>::dealloc(new) };
            return false;
        };
        lock.replace(new);
        self.retire(Retired::node(old), guard);
        true
    }

    /// Adds a node to a bin in which its key was found to be absent. `None` if the place
    /// has changed; otherwise the entry has been moved.
    #[inline]
    fn add_at(
        &self,
        place: &Place<'_>,
        new: New<'_, K, V>,
        seen: &Seen,
        guard: &Guard,
    ) -> Option<Word> {
        let tag = hash::tag(new.hash);
        let mine = self.garbage.stripes.mine();
        let new = new.make(mine.take_spare(guard));
        let mut spares = Spares::new();
        loop {
            let Some(mut lock) = place.lock_absent(seen) else {
                // SAFETY: not published, and the content is the caller's.
                unsafe { Node::<K, V>::dealloc(new) };
                return None;
            };
            let placed = lock.place(tag, new, &mut spares);
            drop(lock);
            match placed {
                Placed::InBin => self.count_in(mine, 1),
                Placed::InOverflow => {
                    self.count_in(mine, 1);
                    self.grow_if_crowded_by(mine, guard);
                }
                Placed::NoRoom => {
                    if !spares.fill(1) {
                        alloc::handle_alloc_error(Layout::new::<Bin>());
                    }
                    continue;
                }
            }
            return Some(new);
        }
    }

    /// Whether a write has nothing to do first, and its thread's stripe is its own to open.
    #[inline(always)]
    pub(super) fn is_quiet(mine: Mine<'_, Stripe>, root: Table) -> bool {
        // (Not one after the other: it is hardly ever any of them, and one branch does for all.)
        !(mine.is_due() | root.next().is_some() | mine.bias().is_revoked())
    }

    /// What every write does before it begins: its share of housekeeping.
    ///
    /// That is because it can run the user's `Drop`: when that panics, the
    /// operation has not begun. Returns the thread's stripe, and the root table.
    #[inline]
    pub(super) fn begin_write(&self, guard: &Guard) -> (Mine<'_, Stripe>, Table) {
        let mine = self.garbage.stripes.mine_to_keep();
        if mine.is_due() {
            // SAFETY: the garbage is from this map, of `K` and `V`.
            unsafe { self.garbage.free_due::<K, V>(guard) };
        }
        let root = self.root();
        if let Some(next) = root.next() {
            // Threads that only insert have nothing due, and would leave alone what others have left.
            // SAFETY: as above.
            unsafe { self.garbage.free_in_growth::<K, V>(guard) };
            self.help_transfer(root, next, guard);
            return (mine, self.root());
        }
        (mine, root)
    }

    /// The same before an operation that retires very much, or tables, and may be all that a thread does.
    pub(super) fn begin_much(&self, guard: &Guard) {
        // SAFETY: the garbage is from this map, of `K` and `V`.
        unsafe { self.garbage.free_all_due::<K, V>(guard) };
    }

    /// The same before an insertion; the map has a table of its own then, the one
    /// returned or a later one.
    #[inline]
    pub(super) fn begin_insertion(&self, guard: &Guard) -> (Mine<'_, Stripe>, Table) {
        let (mine, root) = self.begin_write(guard);
        (mine, if root.is_empty_table() { self.first_table(root, guard) } else { root })
    }

    #[inline]
    fn table_for_insertion(&self, guard: &Guard) -> Table {
        let root = self.root();
        if root.is_empty_table() { self.first_table(root, guard) } else { root }
    }

    #[cold]
    fn first_table(&self, root: Table, guard: &Guard) -> Table {
        match self.install_first(root, MIN_BITS, guard) {
            Ok(()) => self.root(),
            Err(error) => error.handle(),
        }
    }

    /// Replaces the shared empty table by one with bins. Somebody else may be faster.
    pub(super) fn install_first(
        &self,
        empty: Table,
        bits: u32,
        guard: &Guard,
    ) -> Result<(), TableError> {
        let table = Table::alloc(bits)?;
        self.spread_out_for(bits);
        // Release: publishes the table. Acquire: somebody else's is published.
        match self.root.compare_exchange(
            empty.into_raw(),
            table.into_raw(),
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            // Under loom the empty table is not shared.
            Ok(_) if cfg!(binlock_loom) => self.garbage.retire_table(empty, guard),
            Ok(_) => {}
            // SAFETY: allocated here and not published.
            Err(_) => unsafe { table.dealloc() },
        }
        Ok(())
    }
}
