//! Caches of readers, each behind the same interface, all with `u64` keys and with the same
//! hasher.
//!
//! A reader is shared in an `Arc` where the cache has no handles of its own. Every cache has the
//! settings that its own crate starts with, but for its capacity.

mod binlock;
mod foyer;
mod moka;
mod quick_cache;
pub mod work;

pub use self::binlock::Binlock;
pub use self::foyer::{Foyer, FoyerS3Fifo};
pub use self::moka::Moka;
pub use self::quick_cache::QuickCache;

/// What is opened: as little as a reader can be, so that what is measured is the cache.
pub struct Reader {
    length: u64,
}

impl Reader {
    #[inline(always)]
    pub fn open(key: u64) -> Self {
        Self { length: !key }
    }

    #[inline(always)]
    fn length(&self) -> u64 {
        self.length
    }
}

/// A cache of readers under test.
pub trait Readers: Send + Sync + Sized + 'static {
    /// What reports call it.
    const NAME: &'static str;

    /// An empty cache, which keeps so many readers open.
    fn with_capacity(readers: usize) -> Self;

    /// Looks an open reader up, reads its length and lets it go.
    fn read(&self, key: u64) -> Option<u64>;

    /// The same with a reader that is opened if it is not open, by the method that the cache's
    /// users would call for that.
    fn read_or_open(&self, key: u64, open: impl FnOnce(u64) -> Reader) -> u64;

    /// How many readers are open; exact where nobody uses the cache.
    fn len(&self) -> usize;

    /// Has the cache do what it has put off, where it has a way to ask for that.
    fn catch_up(&self) {}
}
