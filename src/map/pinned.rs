//! `Pinned`: the map seen by a pinned thread.

use std::{
    fmt,
    hash::{BuildHasher, Hash},
    ptr::NonNull,
};

use equivalent::Equivalent;

use super::{HashMap, Iter, Keys, OccupiedError, Values};
use crate::{
    epoch::{self, Guard},
    raw::{self, Node},
};

/// A view of a [`HashMap`] by a pinned thread: the map's operations on keys, returning plain `&K`
/// and `&V` that live as long as the view, and iteration.
///
/// Made by [`HashMap::pin`]. Each method does what its namesake there does; only what
/// differs is said here. Not `Send`: a pin belongs to its thread.
///
/// While the view lives, nothing that is removed from any map (by any thread) after it
/// was made can be dropped. For a long run of operations call [`repin`](Pinned::repin)
/// now and then.
pub struct Pinned<'map, K, V, S> {
    map: &'map HashMap<K, V, S>,
    guard: Guard,
}

impl<'map, K, V, S> Pinned<'map, K, V, S> {
    #[inline]
    pub(super) fn new(map: &'map HashMap<K, V, S>, guard: Guard) -> Self {
        Pinned { map, guard }
    }

    #[inline]
    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// The guard, for what may write.
    #[inline]
    fn to_write(&self) -> &Guard {
        self.guard.set_writing();
        &self.guard
    }

    /// An entry that was found in the map under the guard.
    #[inline]
    fn entry_of(&self, node: NonNull<Node<K, V>>) -> (&K, &V) {
        // SAFETY: all callers have just got the node from the map, under the guard, which is
        // held as long as `self` is borrowed.
        let node = unsafe { node.as_ref() };
        (&node.key, &node.value)
    }

    #[inline]
    fn value(&self, node: NonNull<Node<K, V>>) -> &V {
        self.entry_of(node).1
    }

    /// The map.
    pub fn map(&self) -> &'map HashMap<K, V, S> {
        self.map
    }

    /// Lets go of everything that was seen so far, as if the view were made anew, so that
    /// garbage can be dropped. References obtained before must be gone, which the
    /// compiler checks. Does nothing while the thread is pinned elsewhere, too.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::new();
    /// let mut pinned = map.pin();
    /// for i in 0..10_000 {
    ///     pinned.insert(0, i);
    ///     if i % 100 == 0 {
    ///         pinned.repin();
    ///     }
    /// }
    /// ```
    pub fn repin(&mut self) {
        epoch::repin(&mut self.guard);
    }

    /// See [`HashMap::len`].
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// See [`HashMap::is_empty`].
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// See [`HashMap::capacity`].
    pub fn capacity(&self) -> usize {
        self.map.raw.capacity(&self.guard)
    }

    /// See [`HashMap::hasher`].
    pub fn hasher(&self) -> &'map S {
        self.map.hasher()
    }

    /// See [`HashMap::clear`].
    pub fn clear(&self) {
        self.map.raw.clear(self.to_write());
    }

    /// See [`HashMap::reserve`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn reserve(&self, additional: usize) {
        self.map.reserve(additional);
    }

    /// See [`HashMap::try_reserve`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_reserve(&self, additional: usize) -> Result<(), super::TryReserveError> {
        self.map.try_reserve(additional)
    }

    /// See [`HashMap::shrink_to_fit`].
    pub fn shrink_to_fit(&self) {
        self.map.shrink_to_fit();
    }

    /// An iterator over all entries, in no particular order.
    ///
    /// Weakly consistent: an entry that is present from the iteration's start to its end
    /// is yielded exactly once, whether the map grows, shrinks or neither; one that is
    /// inserted or removed meanwhile may be yielded or not; no insertion is yielded
    /// twice. It waits for nobody and keeps nobody waiting. The whole iteration takes
    /// time proportional to the capacity.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a'), (2, 'b')]);
    /// let pinned = map.pin();
    /// for (key, value) in pinned.iter() {
    ///     // The map may be written to here.
    ///     pinned.insert(key + 10, *value);
    /// #   if pinned.len() > 3 { break }
    /// }
    /// ```
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(&self.map.raw, &self.guard)
    }

    /// An iterator over all keys, consistent as [`iter`](Pinned::iter).
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a'), (2, 'b')]);
    /// assert_eq!(map.pin().keys().sum::<i32>(), 3);
    /// ```
    pub fn keys(&self) -> Keys<'_, K, V> {
        Keys(self.iter())
    }

    /// An iterator over all values, consistent as [`iter`](Pinned::iter).
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 10), (2, 20)]);
    /// assert_eq!(map.pin().values().sum::<i32>(), 30);
    /// ```
    pub fn values(&self) -> Values<'_, K, V> {
        Values(self.iter())
    }
}

impl<K, V, S> Pinned<'_, K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// See [`HashMap::get`].
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([("one".to_string(), 1)]);
    /// assert_eq!(map.pin().get("one"), Some(&1));
    /// ```
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.map.hash(key);
        Some(&self.map.raw.get(hash, |k| key.equivalent(k), &self.guard)?.value)
    }

    /// See [`HashMap::get_key_value`].
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([("one".to_string(), 1)]);
    /// assert_eq!(map.pin().get_key_value("one"), Some((&"one".to_string(), &1)));
    /// ```
    #[inline]
    pub fn get_key_value<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.map.hash(key);
        let node = self.map.raw.get(hash, |k| key.equivalent(k), &self.guard)?;
        Some((&node.key, &node.value))
    }

    /// See [`HashMap::contains_key`].
    #[inline]
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.get(key).is_some()
    }

    /// The values of `N` keys, looked up together so that their cache misses overlap.
    ///
    /// In a map that does not fit into the processor's caches, a batch of 16 takes about
    /// half of the time of 16 single look-ups; in a small map it is no faster. Each
    /// key is looked up atomically, the batch is not. (Group prefetching; DLHT, HPDC
    /// 2024, shows what it does for a concurrent map.)
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a'), (2, 'b')]);
    /// assert_eq!(map.pin().get_many([&1, &2, &3]), [Some(&'a'), Some(&'b'), None]);
    /// ```
    #[inline]
    pub fn get_many<Q, const N: usize>(&self, keys: [&Q; N]) -> [Option<&V>; N]
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let nodes = self.map.raw.get_many(
            |i| self.map.hash(keys[i]),
            |i, k| keys[i].equivalent(k),
            &self.guard,
        );
        nodes.map(|node| node.map(|node| &node.value))
    }

    /// See [`HashMap::insert`]; returns the value that was replaced.
    ///
    /// # Panics
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::new();
    /// assert_eq!(map.pin().insert(1, 'a'), None);
    /// assert_eq!(map.pin().insert(1, 'b'), Some(&'a'));
    /// ```
    #[inline]
    pub fn insert(&self, key: K, value: V) -> Option<&V> {
        let hash = self.map.hash(&key);
        self.map.raw.ask_for_bin(hash);
        self.insert_hashed(hash, key, value)
    }

    /// The same as `insert`, and returns the key that was replaced, too.
    pub(crate) fn insert_entry(&self, key: K, value: V) -> Option<(&K, &V)> {
        let hash = self.map.hash(&key);
        self.map.raw.ask_for_bin(hash);
        Some(self.entry_of(self.map.raw.insert(hash, key, value, &mut self.to_write())?))
    }

    /// Out of line, so that nothing has to be saved before the bin is asked for.
    #[inline(never)]
    fn insert_hashed(&self, hash: u64, key: K, value: V) -> Option<&V> {
        Some(self.value(self.map.raw.insert(hash, key, value, &mut self.to_write())?))
    }

    /// See [`HashMap::try_insert`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a')]);
    /// let error = map.pin().try_insert(1, 'b').map(|_| ()).map_err(|e| (*e.current, e.value));
    /// assert_eq!(error, Err(('a', 'b')));
    /// ```
    #[inline]
    pub fn try_insert(&self, key: K, value: V) -> Result<&V, OccupiedError<&V, V>> {
        let hash = self.map.hash(&key);
        match self.map.raw.try_insert(hash, key, value, &mut &self.guard) {
            Ok(node) => {
                // (Now: where the key is there, this is a look-up.)
                self.guard.set_writing();
                Ok(self.value(node))
            }
            Err(raw::Occupied { current, value, key }) => {
                // Before there is a result, which would leak if this panics.
                drop(key);
                Err(OccupiedError { current: self.value(current), value })
            }
        }
    }

    /// See [`HashMap::replace`]; returns the value that was replaced.
    ///
    /// # Panics
    ///
    /// As there.
    #[inline]
    pub fn replace(&self, key: K, value: V) -> Option<&V> {
        let hash = self.map.hash(&key);
        Some(self.value(self.map.raw.replace(hash, key, value, &mut self.to_write())?))
    }

    /// See [`HashMap::remove`]; returns the value that was removed.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a')]);
    /// assert_eq!(map.pin().remove(&1), Some(&'a'));
    /// ```
    #[inline]
    pub fn remove<Q>(&self, key: &Q) -> Option<&V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }

    /// See [`HashMap::remove_entry`].
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a')]);
    /// assert_eq!(map.pin().remove_entry(&1), Some((&1, &'a')));
    /// ```
    #[inline]
    pub fn remove_entry<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.map.hash(key);
        let node = self.map.raw.remove(hash, |k| key.equivalent(k), &mut self.to_write())?;
        Some(self.entry_of(node))
    }

    /// See [`HashMap::remove_if`].
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 10)]);
    /// let pinned = map.pin();
    /// assert_eq!(pinned.remove_if(&1, |_, value| *value > 10), None);
    /// assert_eq!(pinned.remove_if(&1, |_, value| *value <= 10), Some((&1, &10)));
    /// ```
    pub fn remove_if<Q, F>(&self, key: &Q, condition: F) -> Option<(&K, &V)>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        F: FnOnce(&K, &V) -> bool,
    {
        let hash = self.map.hash(key);
        let mut guard = self.to_write();
        let node = self.map.raw.remove_if(hash, |k| key.equivalent(k), condition, &mut guard)?;
        Some(self.entry_of(node))
    }

    /// See [`HashMap::retain`].
    pub fn retain<F>(&self, mut keep: F)
    where
        F: FnMut(&K, &V) -> bool,
    {
        let mut cursor = self.map.raw.cursor(&self.guard);
        // SAFETY: the cursor was made under this guard, which is held all the time.
        while let Some(node) = unsafe { cursor.next() } {
            if !keep(&node.key, &node.value) {
                self.map.raw.remove_node(self.map.hash(&node.key), node, self.to_write());
            }
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug, S> fmt::Debug for Pinned<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<'p, K, V, S> IntoIterator for &'p Pinned<'_, K, V, S> {
    type Item = (&'p K, &'p V);
    type IntoIter = Iter<'p, K, V>;

    fn into_iter(self) -> Iter<'p, K, V> {
        self.iter()
    }
}
