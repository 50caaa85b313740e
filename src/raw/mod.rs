//! The engine: a map from hashes to nodes, without a hasher, an API or any docs for
//! users. All `unsafe` code of the crate that is about the map is below here.
//!
//! One module, one protocol: `search` (readers, and writers before they lock), `write`
//! (insert, replace) and `remove`, `claim` and `claiming` (computations), `transfer` (growing and
//! shrinking), `walk` (iteration, `clear`), `exclusive` (`&mut` and drop), `many` (batches), over `table`, `bin`,
//! `word`, `node`, `hash`, and `striped`, `stripe` (with `share` and `open`) and `retire` for what is
//! not in the table. `usual` is the short way through most of this, `crowded` one beside it.
//!
//! The crate's design chapter has the pictures.

use std::{cell::Cell, marker::PhantomData};

mod bin;
mod claim;
mod claiming;
mod crowded;
mod exclusive;
mod hash;
mod many;
mod node;
#[cfg(not(any(binlock_loom, binlock_shuttle)))]
mod numbers;
mod open;
mod panicked;
mod prefetch;
mod remove;
mod retire;
mod search;
mod share;
mod stripe;
mod striped;
mod table;
mod transfer;
mod usual;
mod walk;
mod word;
mod write;

pub(crate) use self::panicked::Panicked;
use self::{
    bin::Bin,
    retire::{Garbage, Retired},
    stripe::Stripe,
    striped::Mine,
    table::Table,
};
pub(crate) use self::{
    claim::{Claim, Overtaken},
    claiming::Taken,
    exclusive::{IntoNodes, NodesMut},
    hash::spread,
    node::Node,
    table::TableError,
    walk::Cursor,
    write::Occupied,
};
use crate::{
    epoch::Guard,
    sync::{AtomicPtr, Ordering, const_unless_loom},
};

/// The map's state.
pub(crate) struct RawMap<K, V> {
    /// The table that every operation begins with. It is replaced when all of its bins
    /// have been forwarded to its successor, and retired then.
    root: AtomicPtr<Bin>,
    /// Garbage, and each thread's share of the count: what every write touches. Its parts
    /// are padded, so that they do not share a line with `root`.
    garbage: Garbage,
    /// Owns keys and values, and is invariant in both: a map is written through `&`.
    marker: PhantomData<Cell<(K, V)>>,
}

// SAFETY: the map owns its keys and values (retired ones, too), and no thread but those
// that use the map ever touches them.
unsafe impl<K: Send, V: Send> Send for RawMap<K, V> {}
// SAFETY: a shared map hands out `&K` and `&V` on all threads (hence `Sync`) and takes
// and drops keys and values on any of them (hence `Send`).
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for RawMap<K, V> {}

impl<K, V> RawMap<K, V> {
    const_unless_loom! {
        pub(crate) const fn new() -> RawMap<K, V> {
            RawMap {
                root: AtomicPtr::new(Table::empty().into_raw()),
                garbage: Garbage::new(),
                marker: PhantomData,
            }
        }
    }

    #[inline(always)]
    fn root(&self) -> Table {
        // Acquire: the table's bins are visible as its transfer left them.
        Table::from_raw(self.root.load(Ordering::Acquire))
    }

    /// How many entries there are; exact if nothing is being written.
    pub(crate) fn len(&self) -> usize {
        self.sum(Stripe::count)
    }

    /// How many there are, together with the claims on absent keys that are in overflow blocks.
    fn len_with_crowding(&self) -> usize {
        // Relaxed: as the count.
        self.sum(|stripe| stripe.count() + stripe.crowding.load(Ordering::Relaxed))
    }

    fn sum(&self, count: impl Fn(&Stripe) -> isize) -> usize {
        // An entry can be seen to leave one stripe before it is seen to enter another.
        let sum = self.garbage.stripes.all().map(count).fold(0isize, isize::wrapping_add);
        usize::try_from(sum).unwrap_or(0)
    }

    #[inline]
    fn count(&self, change: isize) {
        self.count_in(self.garbage.stripes.mine(), change);
    }

    #[inline]
    fn count_in(&self, mine: Mine<'_, Stripe>, change: isize) {
        if mine.add_to_count(change) {
            self.garbage.stripes.spread_out();
        }
    }

    fn retire(&self, piece: Retired, guard: &Guard) {
        self.garbage.retire(piece, guard);
    }

    /// Frees what may be freed: all of this thread's garbage, if nobody is pinned.
    pub(crate) fn flush(&self) {
        // SAFETY: the garbage is from this map, of `K` and `V`.
        unsafe { self.garbage.flush::<K, V>() };
    }
}
