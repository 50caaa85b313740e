//! Garbage: what has been taken out of a map while readers may still hold it.
//!
//! ```text
//!   retire(x) ──> open batch of the thread's stripe ──(full, or flush)──> sealed batch
//!                                                                           │
//!             epochs: nobody is pinned any more who was when it was sealed ─┤
//!                                                                           v
//!                  freed at the start of some later write, or by the map's drop
//!                                       │
//!   a later insertion  <── spare memory ┘ (of small nodes, kept in the stripe)
//! ```
//!
//! # Invariants
//!
//! 1. What is retired cannot be reached any more by threads that pin from now on.
//! 2. Garbage belongs to its map until it is freed. The epochs get a flag to raise and
//!    nothing else, so a map that is dropped frees all it ever held, keys and values
//!    need not be `'static`, and their `Drop` runs only on threads that use the map
//!    (which is why a map of `Rc` is fine on one thread).
//! 3. No lock is held while anything of the user's is dropped; a panic there does not
//!    keep the rest of the batch from being freed.
//! 4. A thread that is freeing does not begin to free again: a `Drop` that writes to a map
//!    would otherwise lead to another, and so on, until the stack is full.
//!
//! A batch stays with the stripe that it was filled in, so that the threads that retire
//! get the memory back, and do not meet here. A thread that frees its own garbage also looks
//! after another stripe now and then, whose threads may have left; so does one that helps a growth
//! (a thread that only inserts has no garbage). And operations that retire very much at a time, or
//! tables, free all that is due before: they may be all that a thread does, and a write would not
//! free as much as they retire.

use std::{cell::Cell, collections::LinkedList, mem, ptr};

use super::{
    bin::Bin,
    node::Node,
    open::Open,
    panicked::Panicked,
    share::Share,
    stripe::{Bias, KEEPS_SPARE, Stripe},
    striped::Striped,
    table::Table,
    word::Word,
};
use crate::{
    epoch::{self, Guard},
    sync::{Arc, AtomicBool, Ordering, const_unless_loom},
};

/// A write frees at most so many batches.
const FREED_BY_ONE_WRITE: usize = 2;

/// One in so many of these also frees a batch of another stripe.
///
/// If each did, threads that take turns on a processor would always have freed what the others had
/// retired, and those would have to allocate: 64 threads on two processors, inserting and removing,
/// took a sixth longer.
const OTHERS_ONCE_IN: u32 = 8;

/// With more than so many batches of a stripe waiting, whoever adds one lets other threads run, and
/// again when there are so many more.
///
/// An epoch lasts until all who are pinned have had their turn. Where there are more threads than
/// processors, most of those have been preempted, and a turn takes milliseconds: 64 threads on two
/// processors have a million nodes waiting, and write to memory that no cache knows any more.
/// With this they come round in less than a millisecond. With 8 batches instead of 4, inserting and
/// removing took 16 or 64 threads a tenth longer; with 3 also two threads, who yielded in vain.
#[cfg(not(any(binlock_loom, binlock_shuttle)))]
const PATIENCE: usize = 4;

/// The memory of larger nodes goes back to the allocator at once.
const SPARE_SIZE: usize = 256;

/// A stripe keeps the memory of so many nodes, if it comes to no more than so many bytes.
///
/// Enough for what comes at once when threads that have been preempted let an epoch pass. With 256
/// nodes, 8 threads on two processors went to the allocator for a good part of them: inserting and
/// removing took an eighth longer.
const SPARE: usize = 2048;
const SPARE_BYTES: usize = 64 << 10;

/// How many nodes of this type a stripe keeps.
const fn most_spare<K, V>() -> usize {
    // Of the larger layout.
    let size = Node::<K, V>::most_size();
    if size > SPARE_SIZE {
        0
    } else if size * SPARE > SPARE_BYTES {
        SPARE_BYTES / size
    } else {
        SPARE
    }
}

/// A piece of garbage: a node by its own word, one that has a key and no value by the word of a
/// claim that covers it, or an overflow block by a link to it.
pub(super) struct Retired(Word);

impl Retired {
    /// A node with its key and value.
    #[inline(always)]
    pub(super) fn node(word: Word) -> Retired {
        debug_assert!(!word.is_special());
        Retired(word)
    }

    /// A node that has a key and no value.
    pub(super) fn reserved(word: Word) -> Retired {
        Retired(word.covered())
    }

    /// An overflow block; what it held has moved.
    pub(super) fn block(block: *mut Bin) -> Retired {
        Retired(Word::link(block))
    }
}

/// Pieces of garbage that are freed together.
#[derive(Default)]
pub(super) struct Batch {
    pieces: Vec<Retired>,
    /// A table; what its bins held has moved.
    table: Option<Table>,
}

/// A batch that waits for its epoch to pass.
pub(super) struct Sealed {
    passed: Arc<AtomicBool>,
    batch: Batch,
}

/// The garbage of a map.
pub(super) struct Garbage {
    pub(super) stripes: Striped<Stripe>,
}

impl Garbage {
    const_unless_loom! {
        pub(super) const fn new() -> Garbage {
            Garbage { stripes: Striped::new(Stripe::new(false)) }
        }
    }

    /// Adds a piece to the open batch of the thread's stripe. It never waits for a thread
    /// that has been preempted there: it goes to another stripe.
    #[inline]
    pub(super) fn retire(&self, piece: Retired, guard: &Guard) {
        let mine = self.stripes.mine();
        match mine.biased(guard) {
            Some(mine) => self.retire_by(mine, piece, guard),
            None => self.retire_by(mine.shared(guard), piece, guard),
        }
    }

    /// The same where it is known how to use the thread's stripe.
    #[inline(always)]
    pub(super) fn retire_by(&self, share: impl Share, piece: Retired, guard: &Guard) {
        if let Err(piece) = share.retire(piece) {
            self.retire_slowly(piece, guard);
        }
    }

    /// The same where there is no room, or another thread.
    #[cold]
    #[inline(never)]
    fn retire_slowly(&self, piece: Retired, guard: &Guard) {
        let mine = self.stripes.mine();
        let Err(mut piece) = self.retire_making_room(piece, guard, |f| mine.open(guard, f)) else {
            return;
        };
        self.stripes.spread_out();
        for stripe in self.stripes.shared() {
            let open =
                |f: &mut dyn FnMut(&mut Open)| stripe.open_shared().map(|mut open| f(&mut open));
            match self.retire_making_room(piece, guard, open) {
                Ok(()) => return,
                Err(back) => piece = back,
            }
        }
        // All are busy: more threads are here at once than the machine has cores.
        self.seal_pieces(vec![piece], guard);
    }

    /// Adds a piece to a batch, for which there is made room. Gives it back if another thread is
    /// there: then the stripe does not `open`.
    fn retire_making_room(
        &self,
        piece: Retired,
        guard: &Guard,
        open: impl Fn(&mut dyn FnMut(&mut Open)) -> Option<()>,
    ) -> Result<(), Retired> {
        let mut piece = Some(piece);
        while piece.is_some() {
            let mut larger = 0;
            if open(&mut |open| larger = open.larger()).is_none() {
                break;
            }
            // Made and dropped while the stripe is not open. Meanwhile others may be there, and
            // this thread, too, from within its allocator: hence the loop.
            let mut larger = Vec::with_capacity(larger);
            let mut replaced = [Vec::new(), Vec::new()];
            let retire = &mut |open: &mut Open| {
                replaced[0] = open.make_room(mem::take(&mut larger));
                piece = piece.take().and_then(|piece| open.retire(piece).err());
                if open.is_full() {
                    replaced[1] = open.take_batch();
                }
            };
            if open(retire).is_none() {
                break;
            }
            for pieces in replaced {
                self.seal_pieces(pieces, guard);
            }
        }
        piece.map_or(Ok(()), Err)
    }

    /// Hands over a table at once: it is large, and insertions, which are what follows
    /// when a map grows, retire nothing that would fill a batch.
    pub(super) fn retire_table(&self, table: Table, guard: &Guard) {
        self.seal(Batch { pieces: Vec::new(), table: Some(table) }, guard);
    }

    /// Hands pieces to the epochs, if there are some.
    fn seal_pieces(&self, pieces: Vec<Retired>, guard: &Guard) {
        if !pieces.is_empty() {
            self.seal(Batch { pieces, table: None }, guard);
        }
    }

    /// Hands a batch to the epochs. It stays with the thread's stripe, or with another one if
    /// somebody is there who may have been preempted.
    #[cold]
    fn seal(&self, batch: Batch, guard: &Guard) {
        let passed = Arc::new(AtomicBool::new(false));
        let mut piece = LinkedList::from([Sealed { passed: Arc::clone(&passed), batch }]);
        let mine = self.stripes.mine().stripe();
        let vacant = [mine].into_iter().chain(self.stripes.all());
        let (stripe, mut sealed) = vacant
            .filter_map(|stripe| Some((stripe, stripe.try_sealed()?)))
            .next()
            .unwrap_or_else(|| (mine, mine.sealed()));
        sealed.append(&mut piece);
        let waiting = sealed.len();
        drop(sealed);
        let count = stripe.passed();
        epoch::defer(guard, move || {
            // Release: with the acquire load before the batch is freed, whatever the readers of
            // its nodes did happens before they are freed.
            passed.store(true, Ordering::Release);
            // Relaxed: a hint.
            count.fetch_add(1, Ordering::Relaxed);
        });
        // Not for each that comes then: an operation that retires very much (`clear`) does so under
        // one pin, for which all have to wait, however often it yields.
        #[cfg(not(any(binlock_loom, binlock_shuttle)))]
        if waiting > PATIENCE && waiting % PATIENCE == 1 {
            std::thread::yield_now();
        }
        #[cfg(any(binlock_loom, binlock_shuttle))]
        let _ = waiting;
    }

    /// Frees batches of the thread's stripe whose epoch has passed, and now and then one of
    /// another stripe, if there is one.
    ///
    /// # Panics
    ///
    /// When a key's or a value's `Drop` panics, after everything else in the batch has
    /// been freed.
    ///
    /// # Safety
    ///
    /// The garbage is from a map of `K` and `V`.
    #[cold]
    pub(super) unsafe fn free_due<K, V>(&self, guard: &Guard) {
        let Some(freeing) = Freeing::begin() else { return };
        let mine = self.stripes.mine().stripe();
        for _ in 0..FREED_BY_ONE_WRITE {
            let Some(batch) = take_due(mine) else { break };
            // SAFETY: its epoch has passed, so no reader holds any of it.
            unsafe { self.free_and_keep::<K, V>(batch, guard) }.resume();
        }
        if freeing.is_turn_of_others() {
            // SAFETY: as above.
            unsafe { self.free_one_of_others::<K, V>(&freeing, guard) };
        }
    }

    /// In the middle of a growth, to which threads come that do nothing but insert: now and then frees
    /// a batch of another stripe.
    ///
    /// # Panics
    ///
    /// As [`Garbage::free_due`].
    ///
    /// # Safety
    ///
    /// As there.
    #[cold]
    pub(super) unsafe fn free_in_growth<K, V>(&self, guard: &Guard) {
        // Models have the same above.
        if cfg!(any(binlock_loom, binlock_shuttle)) {
            return;
        }
        let Some(freeing) = Freeing::begin() else { return };
        if freeing.is_turn_of_others() {
            // SAFETY: passed on.
            unsafe { self.free_one_of_others::<K, V>(&freeing, guard) };
        }
    }

    /// # Safety
    ///
    /// As for [`Garbage::free_due`].
    unsafe fn free_one_of_others<K, V>(&self, freeing: &Freeing, guard: &Guard) {
        let mine = self.stripes.mine().stripe();
        // Another one is the first each time, or those in front would have all the turns.
        let start = freeing.0 as usize % self.stripes.all().count();
        let all = self.stripes.all().skip(start).chain(self.stripes.all().take(start));
        let mut due = all.filter(|stripe| !ptr::eq(*stripe, mine) && stripe.is_due());
        if let Some(batch) = due.find_map(take_due) {
            // SAFETY: its epoch has passed, so no reader holds any of it.
            unsafe { self.free_and_keep::<K, V>(batch, guard) }.resume();
        }
    }

    /// Frees all batches whose epoch has passed.
    ///
    /// # Panics
    ///
    /// As [`Garbage::free_due`].
    ///
    /// # Safety
    ///
    /// As there.
    #[cold]
    pub(super) unsafe fn free_all_due<K, V>(&self, guard: &Guard) {
        // Models with reservations would take four times as long, for the same as above.
        if cfg!(any(binlock_loom, binlock_shuttle)) {
            return;
        }
        let Some(_freeing) = Freeing::begin() else { return };
        for stripe in self.stripes.all() {
            while stripe.is_due() {
                let Some(batch) = take_due(stripe) else { break };
                // SAFETY: its epoch has passed, so no reader holds any of it.
                unsafe { self.free_and_keep::<K, V>(batch, guard) }.resume();
            }
        }
    }

    /// The memory of a node that has been freed, if there is some at hand.
    #[inline]
    pub(super) fn take_spare(&self, guard: &Guard) -> Option<Word> {
        self.stripes.mine().take_spare(guard)
    }

    /// Frees a batch, and keeps the memory of its nodes in the thread's stripe if there is use
    /// for it.
    ///
    /// # Safety
    ///
    /// As for [`free`].
    unsafe fn free_and_keep<K, V>(&self, batch: Batch, guard: &Guard) -> Panicked {
        // SAFETY: passed on.
        let (mut emptied, panicked) = unsafe { free::<K, V>(batch) };
        let most = const { most_spare::<K, V>() };
        if KEEPS_SPARE && most > 0 {
            let mine = self.stripes.mine();
            let wanted = mine.open(guard, |open| open.room_to_keep(emptied.len(), most));
            if let Some(wanted) = wanted {
                // (So many at once take an instruction each, one by one three.)
                emptied.iter_mut().for_each(|node| *node = node.unhashed());
                // Made and dropped while the stripe is not open. If there is no memory for it, there is
                // less room.
                let mut room = Vec::new();
                let _ = room.try_reserve_exact(wanted);
                mine.open(guard, |open| open.keep(&mut emptied, &mut room));
                mine.set_has_spare(true);
            }
        }
        // SAFETY: emptied by `free`, and not among those that were kept.
        unsafe { dealloc_all::<K, V>(emptied) };
        panicked
    }

    /// Seals what is in open batches and frees all whose epoch passes at once.
    ///
    /// # Safety
    ///
    /// As for [`Garbage::free_due`].
    pub(super) unsafe fn flush<K, V>(&self) {
        let revoked = self.seal_own_and_shared();
        if epoch::advance() && self.seal_revoked(revoked) {
            epoch::advance();
        }
        let Some(_freeing) = Freeing::begin() else { return };
        let mut panicked = Panicked::default();
        let due = self.stripes.all().flat_map(|stripe| std::iter::from_fn(|| take_due(stripe)));
        for batch in due {
            // SAFETY: its epoch has passed; what was emptied is not used again.
            unsafe {
                let (emptied, more) = free::<K, V>(batch);
                panicked.merge(more);
                dealloc_all::<K, V>(emptied);
            }
        }
        panicked.resume();
    }

    /// Seals the open batches that this thread can get at, and takes the bias from the stripes
    /// of all others, so that it can get at theirs when the epochs have passed.
    fn seal_own_and_shared(&self) -> Vec<(&Stripe, Bias)> {
        let guard = epoch::pin();
        let mine = self.stripes.mine();
        if mine.is_own() {
            let pieces = mine.open(&guard, |open| open.take_batch());
            self.seal_pieces(pieces.unwrap_or_default(), &guard);
        }
        // A thread that is just filling a batch will seal it in its own time.
        for mut open in self.stripes.shared().filter_map(Stripe::open_shared) {
            let pieces = open.take_batch();
            drop(open);
            self.seal_pieces(pieces, &guard);
        }
        let others = self.stripes.own().filter(|stripe| !ptr::eq(*stripe, mine.stripe()));
        others.map(|stripe| (stripe, stripe.revoke())).collect()
    }

    /// Seals what others have left, whose stripes were revoked before the epochs passed. Says
    /// whether there was anything.
    fn seal_revoked(&self, revoked: Vec<(&Stripe, Bias)>) -> bool {
        let mut found = false;
        for (stripe, revoked) in revoked {
            // SAFETY: the epochs have passed.
            let Some(mut open) = (unsafe { stripe.open_revoked(revoked) }) else { continue };
            let pieces = open.take_batch();
            drop(open);
            found |= !pieces.is_empty();
            self.seal_pieces(pieces, &epoch::pin());
        }
        found
    }

    /// Frees everything.
    ///
    /// # Safety
    ///
    /// As for [`Garbage::free_due`]; and nobody has access to anything of the map any
    /// more.
    pub(super) unsafe fn free_all<K, V>(&mut self) -> Panicked {
        let mut panicked = Panicked::default();
        for stripe in self.stripes.all_mut() {
            // Batches are taken out before they are freed. Nothing new can come: what is
            // dropped here has no way to a map that is being dropped.
            let sealed = mem::take(&mut *stripe.sealed());
            let mut open = stripe.open_exclusively();
            let last = Batch { pieces: open.take_batch(), table: None };
            let spares = open.take_spares();
            drop(open);
            // SAFETY: spare nodes have no content, and nobody can reach them.
            unsafe { dealloc_all::<K, V>(spares) };
            for batch in sealed.into_iter().map(|sealed| sealed.batch).chain([last]) {
                // SAFETY: nobody has access, so no reader holds any of it; what was emptied is
                // not used again.
                unsafe {
                    let (emptied, more) = free::<K, V>(batch);
                    panicked.merge(more);
                    dealloc_all::<K, V>(emptied);
                }
            }
        }
        panicked
    }
}

/// The mark of a thread that is freeing garbage of some map: with the number of times before.
struct Freeing(u32);

impl Freeing {
    /// `None` if the thread is doing that already.
    fn begin() -> Option<Freeing> {
        FREEING.with(|freeing| {
            let (is_freeing, times) = freeing.get();
            if is_freeing {
                return None;
            }
            freeing.set((true, times.wrapping_add(1)));
            Some(Freeing(times))
        })
    }

    fn is_turn_of_others(&self) -> bool {
        // Models are not that long.
        // (Not each eighth: a thread that frees for several maps by turns would have the turns of others
        // in the same of them always.)
        const GOLDEN: u32 = 0x9e37_79b9;
        cfg!(any(binlock_loom, binlock_shuttle))
            || self.0.wrapping_mul(GOLDEN) < u32::MAX / OTHERS_ONCE_IN
    }
}

impl Drop for Freeing {
    fn drop(&mut self) {
        FREEING.with(|freeing| freeing.set((false, freeing.get().1)));
    }
}

#[cfg(not(any(binlock_loom, binlock_shuttle)))]
thread_local! {
    // Without a destructor, so that it works in other thread-locals' destructors.
    static FREEING: Cell<(bool, u32)> = const { Cell::new((false, 0)) };
}

#[cfg(binlock_loom)]
loom::thread_local! {
    static FREEING: Cell<(bool, u32)> = Cell::new((false, 0));
}

#[cfg(binlock_shuttle)]
shuttle::thread_local! {
    static FREEING: Cell<(bool, u32)> = Cell::new((false, 0));
}

/// Takes a batch whose epoch has passed out of a stripe.
fn take_due(stripe: &Stripe) -> Option<Batch> {
    let mut sealed = stripe.try_sealed()?;
    // Batches can pass in another order than they came, if several threads seal them.
    let first = sealed.iter().position(|sealed| sealed.passed.load(Ordering::Acquire))?;
    let mut due = sealed.split_off(first);
    let mut later = due.split_off(1);
    sealed.append(&mut later);
    drop(sealed);
    stripe.take_passed();
    due.pop_front().map(|sealed| sealed.batch)
}

/// Frees a batch, but for the memory of its nodes, which are emptied only: they are returned.
///
/// # Safety
///
/// Nobody can reach any of it, and its nodes are of `K` and `V`.
unsafe fn free<K, V>(batch: Batch) -> (Vec<Word>, Panicked) {
    let mut panicked = Panicked::default();
    if let Some(table) = batch.table {
        // SAFETY: the caller's promise; its blocks are pieces of their own.
        unsafe { table.dealloc() };
    }
    // (In place, as the allocation is the same.)
    let mut words: Vec<Word> = batch.pieces.into_iter().map(|Retired(word)| word).collect();
    if !mem::needs_drop::<Node<K, V>>() && !Word::any_is_special(&words) {
        return (words, panicked);
    }
    let (mut next, mut emptied) = (0, 0);
    // One `catch` for all pieces up to the first panic: it is not free.
    while next < words.len() {
        panicked.catch(|| {
            while let Some(&piece) = words.get(next) {
                next += 1;
                if piece.is_link() {
                    // SAFETY: the caller's promise; each piece is owned by the batch alone.
                    unsafe { Bin::dealloc_block(piece.address().cast()) };
                    continue;
                }
                let word = piece.uncovered();
                // First, so that it is not lost if the drop panics.
                words[emptied] = word;
                emptied += 1;
                let node = Node::<K, V>::of(word).as_ptr();
                // SAFETY: as above.
                unsafe {
                    if word == piece {
                        node.drop_in_place();
                    } else {
                        (&raw mut (*node).key).drop_in_place();
                    }
                }
            }
        });
    }
    words.truncate(emptied);
    (words, panicked)
}

/// Gives the memory of nodes back to the allocator.
///
/// # Safety
///
/// The nodes are of `K` and `V`, have no content, and nobody can reach them.
unsafe fn dealloc_all<K, V>(emptied: Vec<Word>) {
    for word in emptied {
        // SAFETY: passed on.
        unsafe { Node::<K, V>::dealloc(word) };
    }
}
