//! The traits that every collection has.

use std::{
    hash::{BuildHasher, Hash},
    panic::{RefUnwindSafe, UnwindSafe},
};

use ahash::RandomState;

use super::{Bulk, HashMap, Present};

impl<K, V, S: Default> Default for HashMap<K, V, S> {
    /// An empty map with a default hasher.
    fn default() -> Self {
        Self::with_hasher(S::default())
    }
}

impl<K, V, S> Clone for HashMap<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher + Clone,
{
    /// A map with clones of the entries, of the size that they need. Weakly consistent,
    /// as iteration is.
    fn clone(&self) -> Self {
        let clone = Self::with_capacity_and_hasher(self.len(), self.hasher.clone());
        let pinned = self.pin();
        let mut bulk = Bulk::new(&clone, Present::Replace);
        pinned.iter().for_each(|(key, value)| bulk.push(key.clone(), value.clone()));
        bulk.finish();
        clone
    }
}

impl<K, V, S> PartialEq for HashMap<K, V, S>
where
    K: Hash + Eq,
    V: PartialEq,
    S: BuildHasher,
{
    /// Whether both have the same keys with equal values. Weakly consistent, as iteration
    /// is.
    fn eq(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.pin(), other.pin());
        self.len() == other.len()
            && mine.iter().all(|(key, value)| theirs.get(key).is_some_and(|v| *v == *value))
    }
}

impl<K, V, S> Eq for HashMap<K, V, S>
where
    K: Hash + Eq,
    V: Eq,
    S: BuildHasher,
{
}

impl<K, V, S> Extend<(K, V)> for &HashMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// Inserts all entries; a shared map can be extended. Each is in the map before the next is
    /// asked for, so the iterator may be one that waits (for a channel, say).
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        let entries = entries.into_iter();
        self.make_room(entries.size_hint());
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K, V, S> Extend<(K, V)> for HashMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// Inserts all entries. Faster than one by one, if the map is large: it waits for several parts of
    /// the table at a time.
    ///
    /// # Panics
    ///
    /// If the iterator, a `Hash`, an `Eq` or an overdue `Drop` panics. The entry in question is dropped,
    /// and those that have come by then are in the map.
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        let entries = entries.into_iter();
        self.make_room(entries.size_hint());
        let mut bulk = Bulk::new(self, Present::Replace);
        entries.for_each(|(key, value)| bulk.push(key, value));
        bulk.finish();
    }
}

impl<K, V, S> HashMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// Makes room for what an iterator will yield at least.
    pub(crate) fn make_room(&self, (lower, _): (usize, Option<usize>)) {
        // Half of them may be present already, if any is, as the standard map assumes.
        self.reserve(if self.is_empty() { lower } else { lower.div_ceil(2) });
    }
}

impl<'a, K, V, S> Extend<(&'a K, &'a V)> for HashMap<K, V, S>
where
    K: Hash + Eq + Copy,
    V: Copy,
    S: BuildHasher,
{
    fn extend<I: IntoIterator<Item = (&'a K, &'a V)>>(&mut self, entries: I) {
        self.extend(entries.into_iter().map(|(key, value)| (*key, *value)));
    }
}

impl<K, V, S> FromIterator<(K, V)> for HashMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher + Default,
{
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.extend(entries);
        map
    }
}

impl<K, V, const N: usize> From<[(K, V); N]> for HashMap<K, V, RandomState>
where
    K: Hash + Eq,
{
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

// A panic in user code leaves every map as it was before the operation (see the map's
// documentation), so there is nothing broken to be seen after it is caught.
impl<K, V, S> UnwindSafe for HashMap<K, V, S>
where
    K: UnwindSafe,
    V: UnwindSafe,
    S: UnwindSafe,
{
}

impl<K, V, S> RefUnwindSafe for HashMap<K, V, S>
where
    K: RefUnwindSafe,
    V: RefUnwindSafe,
    S: RefUnwindSafe,
{
}
