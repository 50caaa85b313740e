#![doc = include_str!("../docs/crate.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod claims;
mod epoch;
mod map;
mod raw;
#[cfg(feature = "rayon")]
mod rayon;
#[cfg(feature = "serde")]
mod serde;
mod set;
mod sync;

pub mod docs;
pub mod readers;

/// The README's code is tested, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(feature = "rayon")]
pub use self::rayon::{ParIter, ParKeys};
pub use self::{
    map::{
        ComputeError, Drain, Entry, HashMap, IntoIter, Iter, IterMut, Keys, LentPin, OccupiedEntry,
        OccupiedError, OwnPin, Pinned, Pinning, RecursiveUpdate, Ref, TryReserveError, VacantEntry,
        Values, ValuesMut,
    },
    readers::{Handle, OpenError, ReaderCache},
    set::{HashSet, PinnedSet, SetDrain, SetIntoIter, SetRef},
};
/// The default hasher of the maps.
#[doc(no_inline)]
pub use ahash::RandomState;
/// For the models of `loom-tests`.
#[cfg(binlock_loom)]
#[doc(hidden)]
pub use epoch::linger::{Cover, Lingering, Participant};
/// What keys can be looked up by: whatever has the same hash, and can be compared with them.
#[doc(no_inline)]
pub use equivalent::Equivalent;
/// For the models of `loom-tests`.
#[cfg(binlock_loom)]
#[doc(hidden)]
pub use sync::{Others, set_others};
