//! The set: a map without values.

use std::{
    fmt,
    hash::{BuildHasher, Hash},
    iter::FusedIterator,
    ops::Deref,
};

use ahash::RandomState;
use equivalent::Equivalent;

use crate::{HashMap, IntoIter as MapIntoIter, Keys, Pinned, Ref, TryReserveError, map};

mod traits;

/// A concurrent hash set, with all the guarantees of [`HashMap`]: readers take no lock
/// and get plain references, nothing hangs, nothing leaks.
///
/// As there, the methods here pin for themselves and return a [`SetRef`], and
/// [`pin`](HashSet::pin) gives a view whose methods return plain `&K`.
///
/// # Examples
///
/// ```
/// use binlock::HashSet;
///
/// let seen = HashSet::new();
/// assert!(seen.insert("a"));
/// assert!(!seen.insert("a"));
/// assert!(seen.contains("a"));
/// ```
pub struct HashSet<K, S = RandomState> {
    pub(crate) map: HashMap<K, (), S>,
}

impl<K> HashSet<K> {
    /// An empty set with a randomly seeded hasher. It allocates nothing yet.
    pub fn new() -> Self {
        HashSet { map: HashMap::new() }
    }

    /// An empty set that can hold at least `capacity` keys before it grows.
    ///
    /// # Panics
    ///
    /// As [`HashMap::with_capacity`].
    pub fn with_capacity(capacity: usize) -> Self {
        HashSet { map: HashMap::with_capacity(capacity) }
    }
}

impl<K, S> HashSet<K, S> {
    crate::sync::const_unless_loom! {
        /// An empty set that hashes with `hasher`. It allocates nothing yet.
        pub const fn with_hasher(hasher: S) -> Self {
            HashSet { map: HashMap::with_hasher(hasher) }
        }
    }

    /// An empty set that can hold at least `capacity` keys before it grows, and hashes
    /// with `hasher`.
    ///
    /// # Panics
    ///
    /// As [`HashMap::with_capacity`].
    pub fn with_capacity_and_hasher(capacity: usize, hasher: S) -> Self {
        HashSet { map: HashMap::with_capacity_and_hasher(capacity, hasher) }
    }

    /// The hasher.
    pub fn hasher(&self) -> &S {
        self.map.hasher()
    }

    /// The number of keys; see [`HashMap::len`].
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there are no keys; see [`HashMap::is_empty`].
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// How many keys the set is meant for at its present size; see
    /// [`HashMap::capacity`].
    pub fn capacity(&self) -> usize {
        self.map.capacity()
    }

    /// Pins the current thread and gives a view whose methods return plain references;
    /// see [`HashMap::pin`].
    ///
    /// # Examples
    ///
    /// ```
    /// let set = binlock::HashSet::from(["one".to_string()]);
    /// let pinned = set.pin();
    /// let one: Option<&String> = pinned.get("one");
    /// assert!(one.is_some());
    /// ```
    #[inline]
    pub fn pin(&self) -> PinnedSet<'_, K, S> {
        PinnedSet { map: self.map.pin() }
    }

    /// Removes all keys; see [`HashMap::clear`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn clear(&self) {
        self.map.clear();
    }

    /// Makes room for `additional` more keys; see [`HashMap::reserve`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn reserve(&self, additional: usize) {
        self.map.reserve(additional);
    }

    /// Makes room for `additional` more keys, or says why it cannot; see
    /// [`HashMap::try_reserve`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_reserve(&self, additional: usize) -> Result<(), TryReserveError> {
        self.map.try_reserve(additional)
    }

    /// Moves the keys to the smallest table that has room for them; see
    /// [`HashMap::shrink_to_fit`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn shrink_to_fit(&self) {
        self.map.shrink_to_fit();
    }

    /// Drops what was removed and is still waiting for readers; see [`HashMap::flush`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn flush(&self) {
        self.map.flush();
    }

    /// Takes all keys out of the set, which is empty at once; see [`HashMap::drain`].
    pub fn drain(&mut self) -> SetDrain<'_, K> {
        SetDrain(self.map.drain())
    }
}

impl<K, S> HashSet<K, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// Whether a key is present; see [`HashMap::contains_key`].
    #[inline(always)]
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.map.contains_key(key)
    }

    /// The key of the set that is equivalent to this one; see [`HashMap::get`].
    #[inline(always)]
    pub fn get<Q>(&self, key: &Q) -> Option<SetRef<'_, K>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.map.get(key).map(SetRef)
    }

    /// Inserts a key if it is absent. Returns whether it was; otherwise the set keeps the
    /// key that it has. See [`HashMap::try_insert`].
    ///
    /// # Panics
    ///
    /// As there.
    #[inline]
    pub fn insert(&self, key: K) -> bool {
        self.map.try_insert(key, ()).is_ok()
    }

    /// Inserts a key in any case, and returns the one that it replaced; see
    /// [`HashMap::insert`].
    ///
    /// # Panics
    ///
    /// As there.
    #[inline]
    pub fn replace(&self, key: K) -> Option<SetRef<'_, K>> {
        self.map.insert(key, ()).map(SetRef)
    }

    /// Removes a key, and returns whether it was present; see [`HashMap::remove`].
    #[inline]
    pub fn remove<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.map.remove(key).is_some()
    }

    /// Removes a key and returns it; see [`HashMap::remove`].
    #[inline]
    pub fn take<Q>(&self, key: &Q) -> Option<SetRef<'_, K>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.map.remove(key).map(SetRef)
    }

    /// Keeps the keys for which `keep` holds; see [`HashMap::retain`].
    pub fn retain<F>(&self, mut keep: F)
    where
        F: FnMut(&K) -> bool,
    {
        self.map.retain(|key, ()| keep(key));
    }
}

/// A key of a set, with a pin of its own. Derefs to the key. See [`Ref`].
pub struct SetRef<'set, K>(Ref<'set, K, ()>);

impl<K> Deref for SetRef<'_, K> {
    type Target = K;

    #[inline]
    fn deref(&self) -> &K {
        self.0.key()
    }
}

impl<K> AsRef<K> for SetRef<'_, K> {
    fn as_ref(&self) -> &K {
        self
    }
}

impl<K: fmt::Display> fmt::Display for SetRef<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<K: PartialEq> PartialEq for SetRef<'_, K> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<K: Eq> Eq for SetRef<'_, K> {}

impl<K: PartialEq> PartialEq<K> for SetRef<'_, K> {
    fn eq(&self, other: &K) -> bool {
        **self == *other
    }
}

impl<K: fmt::Debug> fmt::Debug for SetRef<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// A view of a [`HashSet`] by a pinned thread; see [`Pinned`]. Methods that the set has as well
/// do the same here.
///
/// There is no `union` and the like: of a set that changes meanwhile there is none. Iterate, and ask the
/// other set: `a.iter().filter(|key| b.contains(*key))`.
pub struct PinnedSet<'set, K, S> {
    pub(crate) map: Pinned<'set, K, (), S>,
}

impl<'set, K, S> PinnedSet<'set, K, S> {
    /// See [`Pinned::repin`].
    pub fn repin(&mut self) {
        self.map.repin();
    }

    /// See [`HashSet::len`].
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// See [`HashSet::is_empty`].
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// See [`HashSet::capacity`].
    pub fn capacity(&self) -> usize {
        self.map.capacity()
    }

    /// See [`HashSet::hasher`].
    pub fn hasher(&self) -> &'set S {
        self.map.hasher()
    }

    /// See [`HashSet::reserve`].
    ///
    /// # Panics
    ///
    /// As there.
    pub fn reserve(&self, additional: usize) {
        self.map.reserve(additional);
    }

    /// See [`HashSet::try_reserve`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn try_reserve(&self, additional: usize) -> Result<(), TryReserveError> {
        self.map.try_reserve(additional)
    }

    /// See [`HashSet::shrink_to_fit`].
    pub fn shrink_to_fit(&self) {
        self.map.shrink_to_fit();
    }

    /// See [`HashSet::clear`].
    pub fn clear(&self) {
        self.map.clear();
    }

    /// An iterator over all keys, weakly consistent as [`Pinned::iter`].
    ///
    /// # Examples
    ///
    /// ```
    /// let set = binlock::HashSet::from([1, 2]);
    /// assert_eq!(set.pin().iter().sum::<i32>(), 3);
    /// ```
    pub fn iter(&self) -> Keys<'_, K, ()> {
        self.map.keys()
    }
}

impl<K, S> PinnedSet<'_, K, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// See [`HashSet::contains`].
    #[inline]
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.map.contains_key(key)
    }

    /// See [`HashSet::get`].
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<&K>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.map.get_key_value(key).map(|(key, ())| key)
    }

    /// See [`HashSet::insert`].
    ///
    /// # Panics
    ///
    /// As there.
    #[inline]
    pub fn insert(&self, key: K) -> bool {
        self.map.try_insert(key, ()).is_ok()
    }

    /// See [`HashSet::replace`].
    ///
    /// # Panics
    ///
    /// As there.
    #[inline]
    pub fn replace(&self, key: K) -> Option<&K> {
        self.map.insert_entry(key, ()).map(|(key, ())| key)
    }

    /// See [`HashSet::remove`].
    #[inline]
    pub fn remove<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.map.remove(key).is_some()
    }

    /// See [`HashSet::take`].
    #[inline]
    pub fn take<Q>(&self, key: &Q) -> Option<&K>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.map.remove_entry(key).map(|(key, ())| key)
    }

    /// See [`HashSet::retain`].
    pub fn retain<F>(&self, mut keep: F)
    where
        F: FnMut(&K) -> bool,
    {
        self.map.retain(|key, ()| keep(key));
    }

    /// Whether no key is in both sets. Weakly consistent, as iteration is.
    ///
    /// # Examples
    ///
    /// ```
    /// let (even, odd) = (binlock::HashSet::from([0, 2]), binlock::HashSet::from([1, 3]));
    /// assert!(even.pin().is_disjoint(&odd.pin()));
    /// ```
    pub fn is_disjoint<T: BuildHasher>(&self, other: &PinnedSet<'_, K, T>) -> bool {
        self.iter().all(|key| !other.contains(key))
    }

    /// Whether all keys are in the other set, too. Weakly consistent, as iteration is.
    pub fn is_subset<T: BuildHasher>(&self, other: &PinnedSet<'_, K, T>) -> bool {
        self.iter().all(|key| other.contains(key))
    }

    /// Whether all keys of the other set are in this one. Weakly consistent, as iteration
    /// is.
    pub fn is_superset<T: BuildHasher>(&self, other: &PinnedSet<'_, K, T>) -> bool {
        other.is_subset(self)
    }
}

impl<K: fmt::Debug, S> fmt::Debug for PinnedSet<'_, K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<'p, K, S> IntoIterator for &'p PinnedSet<'_, K, S> {
    type Item = &'p K;
    type IntoIter = Keys<'p, K, ()>;

    fn into_iter(self) -> Keys<'p, K, ()> {
        self.iter()
    }
}

macro_rules! keys_of {
    ($(#[$meta:meta])* $name:ident<$($parameter:tt),*>, $inner:ty) => {
        $(#[$meta])*
        #[derive(Debug)]
        pub struct $name<$($parameter),*>($inner);

        impl<$($parameter),*> Iterator for $name<$($parameter),*> {
            type Item = K;

            #[inline]
            fn next(&mut self) -> Option<K> {
                self.0.next().map(|(key, ())| key)
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }
        }

        impl<$($parameter),*> ExactSizeIterator for $name<$($parameter),*> {}
        impl<$($parameter),*> FusedIterator for $name<$($parameter),*> {}
    };
}

keys_of! {
    /// An iterator over the keys of a set that it has consumed.
    SetIntoIter<K>, MapIntoIter<K, ()>
}

keys_of! {
    /// An iterator over the keys that it has taken out of a set. Made by
    /// [`HashSet::drain`].
    SetDrain<'a, K>, map::Drain<'a, K, ()>
}

impl<K, S> IntoIterator for HashSet<K, S> {
    type Item = K;
    type IntoIter = SetIntoIter<K>;

    fn into_iter(self) -> SetIntoIter<K> {
        SetIntoIter(self.map.into_iter())
    }
}
