//! Taking claims, waiting for those of others, and overtaking them. See `claim`.
//!
//! Each attempt searches as a writer does, without a lock, then locks the bin, confirms what
//! was found, and puts the claim's word into the slot.
//!
//! # From when on others have to wait
//!
//! What a closure looks at, somebody may be about to change, who removes after that what has been computed of
//! it. He must not find that there is nothing to remove, while the closure has looked already. So the claim on an
//! absent key is there for all writers before anything runs under it: it is from the moment on at which
//! the bin has been locked, as nobody finds a key absent in a bin that somebody else has locked and leaves it
//! at that (`locate_present`, and `Look::Absent`). Locking is an exchange, behind which a fence costs nothing on x86.
//!
//! A claim on a key that is present has no such fence. Others cannot write the key without locking its bin; and
//! who found it absent did so before somebody inserted it, whose insertion the claimant has seen. So he sees what
//! came before that look, too, on all machines where a store is seen by all others at once. On POWER, where it
//! is not, a pin has a fence at its start (see `epoch`), and so have look-ups in the closure; only what it
//! looks at outside of maps, or through a `Pinned`, may be older.

use std::{
    ptr::{self, NonNull},
    task::Waker,
};

use super::{
    RawMap,
    bin::{Bin, Header, Placed, Spares},
    claim::{Claim, Kind},
    hash,
    node::Node,
    search::{Place, Seen},
    stripe::Stripe,
    striped::Mine,
    table::Table,
    usual::{Found, Look},
    word::Word,
};
use crate::{
    claims::{self, Holder, TaskHolder, Ticket, Verdict},
    epoch::{Guard, Pins},
    sync::{Backoff, Ordering, fence_after_exchange},
};

/// What came of the wish to claim an absent key.
pub(crate) enum Taken<K, V> {
    /// It is not absent.
    Present(NonNull<Node<K, V>>),
    /// It is claimed, and has been moved out of the option.
    Claimed,
    /// The claim on it is the caller's own, or that of somebody who waits for him, through so
    /// many waits.
    Recursive(usize),
}

/// A single attempt at an absent key.
enum Attempt<'g> {
    Present(Word),
    Claimed,
    Blocked(Place<'g>),
    /// The bin has changed.
    Again,
}

impl<K: Eq, V> Claim<'_, K, V> {
    /// Claims a key if it is absent, waiting for others who have claimed it.
    #[inline(always)]
    pub(crate) fn take_absent(&mut self, key: &mut Option<K>, pins: &mut impl Pins) -> Taken<K, V> {
        let (mine, table) = self.map.begin_insertion(pins.guard());
        let bin = table.bin_for(self.hash);
        let header = bin.header();
        match self.look(bin, header, |k| key.as_ref() == Some(k), pins.guard()) {
            Look::Present(found) => Taken::Present(Node::of(found.word)),
            Look::Absent if self.reserve_usually(bin, header, key, table, mine, pins.guard()) => {
                Taken::Claimed
            }
            _ => self.take_absent_anyhow(key, table, pins),
        }
    }

    /// The same whatever is there.
    #[inline(never)]
    fn take_absent_anyhow(
        &mut self,
        key: &mut Option<K>,
        table: Table,
        pins: &mut impl Pins,
    ) -> Taken<K, V> {
        let mut seen = Seen::new();
        loop {
            match self.attempt_absent(key, table, &mut seen, pins.guard()) {
                Attempt::Present(word) => return Taken::Present(Node::of(word)),
                Attempt::Claimed => return Taken::Claimed,
                Attempt::Blocked(place) => match self.map.enlist(&place) {
                    Verdict::Wait(ticket) => pins.unpinned(|| ticket.sleep()),
                    Verdict::Settled => {}
                    Verdict::Recursive(length) => return Taken::Recursive(length),
                },
                Attempt::Again => {}
            }
        }
    }

    /// Claims a key, waiting for others who have claimed it; `Err` with the number of waits if
    /// that would never end. If the key is absent, it is moved out of the option.
    #[inline(always)]
    pub(crate) fn take_any(
        &mut self,
        key: &mut Option<K>,
        pins: &mut impl Pins,
    ) -> Result<(), usize> {
        let guard = pins.guard();
        let (mine, table) = self.map.begin_insertion(guard);
        let bin = table.bin_for(self.hash);
        let header = bin.header();
        let done = match self.look(bin, header, |k| key.as_ref() == Some(k), guard) {
            Look::Present(found) => self.cover_usually(bin, header, found),
            Look::Absent => self.reserve_usually(bin, header, key, table, mine, guard),
            Look::Unusual => false,
        };
        if done { Ok(()) } else { self.take_any_anyhow(key, table, pins) }
    }

    /// The same whatever is there.
    #[inline(never)]
    fn take_any_anyhow(
        &mut self,
        key: &mut Option<K>,
        table: Table,
        pins: &mut impl Pins,
    ) -> Result<(), usize> {
        let mut seen = Seen::new();
        loop {
            let guard = pins.guard();
            let place = self.map.locate(self.hash, |k| key.as_ref() == Some(k), &mut seen, guard);
            match place.found() {
                None => {
                    if self.reserve_at(&place, key, table, &seen, guard) {
                        return Ok(());
                    }
                }
                Some(word) if word.is_claim() => match self.map.enlist(&place) {
                    Verdict::Wait(ticket) => pins.unpinned(|| ticket.sleep()),
                    Verdict::Settled => {}
                    Verdict::Recursive(length) => return Err(length),
                },
                Some(word) => {
                    if self.cover_at(&place, word) {
                        return Ok(());
                    }
                }
            }
        }
    }
}

impl<K, V> Claim<'_, K, V> {
    /// Claims a key if it is present, and says so, waiting for others who have claimed it.
    /// `Err` with the number of waits if that would never end.
    pub(crate) fn take_present(
        &mut self,
        mut eq: impl FnMut(&K) -> bool,
        pins: &mut impl Pins,
    ) -> Result<bool, usize> {
        let (_, table) = self.map.begin_write(pins.guard());
        let bin = table.bin_for(self.hash);
        let header = bin.header();
        match self.look(bin, header, &mut eq, pins.guard()) {
            Look::Present(found) if self.cover_usually(bin, header, found) => return Ok(true),
            Look::Absent => return Ok(false),
            _ => {}
        }
        let mut seen = Seen::new();
        loop {
            let found = self.map.locate_present(self.hash, &mut eq, &mut seen, pins.guard());
            let Some((place, word)) = found else { return Ok(false) };
            if word.is_claim() {
                match self.map.enlist(&place) {
                    Verdict::Wait(ticket) => pins.unpinned(|| ticket.sleep()),
                    Verdict::Settled => {}
                    Verdict::Recursive(length) => return Err(length),
                }
            } else if self.cover_at(&place, word) {
                return Ok(true);
            }
        }
    }

    /// Claims the key of a node that was found; `false` if the place has changed.
    #[inline(always)]
    fn cover_at(&mut self, place: &Place<'_>, node: Word) -> bool {
        self.prepare(node, place.slot());
        let Some(lock) = place.lock_found() else {
            self.withdraw();
            return false;
        };
        self.kind = Kind::Covers;
        self.hold();
        lock.replace(node.covered());
        true
    }
}

/// In a bin as almost all are, see `usual`; `false` where it is none, or was none when it was to be
/// locked.
impl<K, V, H: Holder> Claim<'_, K, V, H> {
    #[inline(always)]
    fn look(
        &self,
        bin: &Bin,
        header: Header,
        mut eq: impl FnMut(&K) -> bool,
        guard: &Guard,
    ) -> Look {
        Look::at::<K, V>(bin, header, header.matches_of(self.hash), &mut eq, guard)
    }

    /// Claims the key of a node.
    #[inline(always)]
    fn cover_usually(&mut self, bin: &Bin, header: Header, found: Found) -> bool {
        let Found { slot, word } = found;
        self.prepare(word, slot);
        self.kind = Kind::Covers;
        let lock = bin.try_lock_from(header).ok().filter(|_| bin.word(slot) == word);
        let Some(mut lock) = lock else {
            self.withdraw();
            return false;
        };
        self.hold();
        lock.replace(bin, slot, word.covered());
        true
    }

    /// Claims an absent key, and moves it into the claim.
    #[inline(always)]
    fn reserve_usually(
        &mut self,
        bin: &Bin,
        header: Header,
        key: &mut Option<K>,
        table: Table,
        mine: Mine<'_, Stripe>,
        guard: &Guard,
    ) -> bool {
        let Some(slot) = header.first_vacant() else { return false };
        let copied = key.as_ref().expect("an absent key is not claimed twice");
        let spare = mine.take_spare(guard);
        // SAFETY: spare nodes of a map are of its type, and empty.
        let node = unsafe { Node::<K, V>::make_reserved(self.hash, copied, table.bits(), spare) };
        self.prepare(node, slot);
        self.kind = Kind::Reserves;
        let Ok(mut lock) = bin.try_lock_from(header) else {
            // SAFETY: made above, and not published.
            unsafe { self.take_back(node) };
            return false;
        };
        fence_after_exchange();
        lock.fill(slot, hash::tag(self.hash), node.reserved());
        self.hold();
        drop(lock);
        // SAFETY: a valid place, whose key is the node's by now, of which it has a copy: so it is neither
        // dropped here nor (see `Given`) moved.
        unsafe { ptr::write(key, None) };
        true
    }
}

/// What comes before and after a claim's word is put into a slot.
///
/// In a usual bin all of it that concerns the claim itself comes before, for speed: locking a bin waits
/// until all the writes before have left the core. An entry is moved around right after that, sixteen bytes at a
/// time, and each load of what has just been written in pieces of eight would wait in the same way.
impl<K, V, H: Holder> Claim<'_, K, V, H> {
    /// Writes down what is going to be claimed.
    #[inline(always)]
    fn prepare(&mut self, node: Word, slot: usize) {
        debug_assert!(self.kind == Kind::Nothing);
        self.holder.prepare(node.address().addr());
        (self.node, self.slot) = (node, slot);
    }

    /// It could not be claimed.
    #[inline(always)]
    fn withdraw(&mut self) {
        self.kind = Kind::Nothing;
        self.holder.withdraw(self.node.address().addr());
    }

    /// The same of an absent key. (The key in the node is a copy of the caller's, who still has it.)
    ///
    /// # Safety
    ///
    /// The node was made to be reserved, and is not published.
    unsafe fn take_back(&mut self, node: Word) {
        self.withdraw();
        // SAFETY: as the caller promises.
        unsafe { Node::<K, V>::dealloc(node) };
    }

    /// It is claimed. The bin is locked.
    #[inline(always)]
    fn hold(&mut self) {
        debug_assert!(self.kind != Kind::Nothing);
        self.holder.hold(self.node.address().addr());
    }
}

impl<K: Eq, V> Claim<'_, K, V, TaskHolder> {
    /// Claims a key if it is absent; `Err` with a place in the queue if somebody else has.
    pub(crate) fn try_take_absent(
        &mut self,
        key: &mut Option<K>,
        waker: &Waker,
        guard: &Guard,
    ) -> Result<Taken<K, V>, Ticket> {
        let (_, table) = self.map.begin_insertion(guard);
        let mut seen = Seen::new();
        loop {
            match self.attempt_absent(key, table, &mut seen, guard) {
                Attempt::Present(word) => return Ok(Taken::Present(Node::of(word))),
                Attempt::Claimed => return Ok(Taken::Claimed),
                Attempt::Blocked(place) => {
                    match claims::enlist_task(place.address(), waker, || place.mark_waited()) {
                        Verdict::Wait(ticket) => return Err(ticket),
                        Verdict::Settled => {}
                        Verdict::Recursive(length) => return Ok(Taken::Recursive(length)),
                    }
                }
                Attempt::Again => {}
            }
        }
    }
}

impl<'map, K: Eq, V, H: Holder> Claim<'map, K, V, H> {
    #[inline(always)]
    fn attempt_absent<'g>(
        &mut self,
        key: &mut Option<K>,
        table: Table,
        seen: &mut Seen,
        guard: &'g Guard,
    ) -> Attempt<'g>
    where
        'map: 'g,
    {
        let place = self.map.locate(self.hash, |k| key.as_ref() == Some(k), seen, guard);
        match place.found() {
            Some(word) if word.is_reserved() => Attempt::Blocked(place),
            Some(word) => Attempt::Present(word),
            None if self.reserve_at(&place, key, table, seen, guard) => Attempt::Claimed,
            None => Attempt::Again,
        }
    }

    /// Places a claim where its key was found to be absent, and moves the key into it;
    /// `false` if the place has changed.
    #[inline(always)]
    fn reserve_at(
        &mut self,
        place: &Place<'_>,
        key: &mut Option<K>,
        table: Table,
        seen: &Seen,
        guard: &Guard,
    ) -> bool {
        let mut spares = Spares::new();
        loop {
            let copied = key.as_ref().expect("an absent key is not claimed twice");
            let spare = self.map.garbage.take_spare(guard);
            let bits = table.bits();
            // SAFETY: spare nodes of a map are of its type, and empty.
            let node = unsafe { Node::<K, V>::make_reserved(self.hash, copied, bits, spare) };
            self.prepare(node, 0);
            let Some(mut lock) = place.lock_absent(seen) else {
                // SAFETY: made above, and not published.
                unsafe { self.take_back(node) };
                return false;
            };
            fence_after_exchange();
            self.kind = match lock.place(hash::tag(self.hash), node.reserved(), &mut spares) {
                Placed::InBin => Kind::Reserves,
                Placed::InOverflow => Kind::Crowds,
                Placed::NoRoom => {
                    drop(lock);
                    // Before something is allocated: an allocator that panics would leave the node behind.
                    // SAFETY: made above, and not published.
                    unsafe { self.take_back(node) };
                    if !spares.fill(1) {
                        std::alloc::handle_alloc_error(std::alloc::Layout::new::<Bin>());
                    }
                    continue;
                }
            };
            self.hold();
            break;
        }
        // SAFETY: a valid place, whose key is the node's by now, of which it has a copy: so it is neither
        // dropped here nor (see `Given`) moved.
        unsafe { ptr::write(key, None) };
        if self.kind == Kind::Crowds {
            self.map.crowd(1, guard);
        }
        true
    }
}

impl<K, V> RawMap<K, V> {
    /// Counts claims in overflow blocks: if there are many, the table has to grow, although
    /// they are no entries yet.
    #[cold]
    pub(super) fn crowd(&self, change: isize, guard: &Guard) {
        // Relaxed, as for the count of entries.
        self.garbage.stripes.mine().crowding.fetch_add(change, Ordering::Relaxed);
        if change > 0 {
            self.grow_if_crowded(guard);
        }
    }

    /// Puts the thread into the queue of those who wait for the claim that was found.
    #[cold]
    pub(super) fn enlist(&self, place: &Place<'_>) -> Verdict {
        // Most closures are short. A thread in the middle of a computation may be waiting
        // in a cycle, and is to know at once.
        if !claims::is_nested() {
            let mut backoff = Backoff::new();
            for _ in 0..patience() {
                backoff.wait();
                if !place.is_current() {
                    return Verdict::Settled;
                }
            }
        }
        claims::enlist_thread(place.address(), || place.mark_waited())
    }

    /// Goes ahead of a claim that was found: puts a node in its place, or nothing. The
    /// covered node, if there is one, is left to the claim's holder. `false` if the claim is
    /// there no longer.
    #[cold]
    pub(super) fn overtake(&self, place: &Place<'_>, new: Option<Word>, length: usize) -> bool {
        let address = place.address();
        let (mut waited, mut change) = (false, 0);
        // (A cycle can dissolve, by a future's being dropped, and the same node be claimed by
        // somebody else before this: he is overtaken in place of the other, and told so.)
        let done = claims::overtaking(address, length, || {
            let Some(lock) = place.lock_found() else { return false };
            let was_present = !lock.word().is_reserved();
            waited = lock.settle(new);
            change = isize::from(new.is_some()) - isize::from(was_present);
            true
        });
        // Afterwards: it can allocate, and an allocator that uses the map could meet a claim.
        if change != 0 {
            self.count(change);
        }
        if waited {
            claims::wake(address);
        }
        done
    }
}

/// So many rounds of waiting come before a thread goes to sleep.
fn patience() -> usize {
    if cfg!(binlock_loom) { 0 } else { 10 }
}
