//! The map's public face. All the `unsafe` is in the engine, `raw`.

use std::{
    fmt,
    hash::{BuildHasher, Hash, Hasher},
};

use ahash::RandomState;
use equivalent::Equivalent;

use crate::{
    epoch,
    raw::{self, RawMap},
    sync::const_unless_loom,
};

mod asynchronous;
mod bulk;
mod compute;
mod computing;
mod entry;
mod error;
mod iter;
mod pinned;
mod pinning;
mod reference;
mod traits;

pub(crate) use self::bulk::{Bulk, Present};
pub use self::{
    entry::{Entry, OccupiedEntry, VacantEntry},
    error::{ComputeError, OccupiedError, RecursiveUpdate, TryReserveError},
    iter::{Drain, IntoIter, Iter, IterMut, Keys, Values, ValuesMut},
    pinned::Pinned,
    pinning::{LentPin, OwnPin, Pinning},
    reference::Ref,
};

/// A concurrent hash map: readers take no lock and get plain references.
///
/// Share it as `&HashMap` among scoped threads, in an [`Arc`](std::sync::Arc), or in a
/// `static`. All operations on keys take `&self`; what wants the map to itself (`iter_mut`, `drain`)
/// says so by `&mut self`.
///
/// There are two ways in, with one meaning. The methods here pin the current thread for
/// themselves and return a [`Ref`], a smart pointer that keeps its own pin.
/// [`pin`](HashMap::pin) gives a [`Pinned`] view with the same operations on keys returning plain
/// `&K` and `&V`; it is the faster way for several operations in a row, and the one to iterate
/// over a map that is shared: `map.pin().iter()`.
///
/// # Consistency
///
/// Every operation on a key is linearizable: it takes effect at one moment between its
/// call and its return, for all threads. (Only as to *another* key, of this or of another map, may a
/// look-up be ahead of an earlier write of the same thread, as a load may be ahead of a store: as long as
/// the [`Pinned`] lives through which that write was made, or until it is [repinned](Pinned::repin).
/// A write that finds nothing to do, as `remove` of an absent key, is a look-up.) Operations on many keys ([`clear`], [`retain`],
/// iteration, [`clone`]) are *weakly consistent*: what is present throughout is found
/// exactly once, what comes or goes meanwhile may be found or not. [`len`] is exact when
/// nothing is being written.
///
/// # Waiting
///
/// Reading never waits, neither for writers nor for growth. Writing locks one bin (a
/// cache line with some seven keys) for some tens of nanoseconds; no user code runs
/// then. Growth is incremental: while it goes on, each write moves up to 32 bins. Only a key
/// that somebody is computing (see [Computations](#computations)) makes its writers wait for
/// user code, asleep.
///
/// # Reclamation
///
/// Removed and replaced entries are dropped when no thread can hold a reference to them
/// any more, by some later write to the same map, by [`flush`](HashMap::flush), or by the
/// map's drop, which leaves nothing behind. A pin that is held for long (a [`Ref`] kept
/// in a struct, a [`Pinned`] across a whole loop) delays that for all maps, and nothing
/// else: see the chapter on [limitations](crate::docs::limitations).
///
/// # Hashing
///
/// The default hasher is `ahash`, randomly seeded for each map, so that nobody can choose
/// keys that collide. Any other [`BuildHasher`] works; poor ones, such as the identity, are
/// compensated for by one extra multiplication.
///
/// It is a logic error for a key's hash or equality to change while it is in the map, or
/// for `Hash`, `Eq` and [`Equivalent`] to disagree; the map's behaviour is then
/// unspecified (entries may be missing), but it stays memory safe and does not hang.
///
/// # Panics
///
/// When `Hash`, `Eq`, `Clone` or a closure panics in an operation on a key, the operation has
/// not happened, and the map goes on working. (Of one on many keys, as [`retain`] and `extend`,
/// what it has done before stays done.) When a `Drop` of an entry that was removed
/// earlier panics, that surfaces in a later write, which takes no effect then, or in the map's
/// drop, after everything else has been dropped.
///
/// # Examples
///
/// ```
/// use binlock::HashMap;
///
/// let visits = HashMap::new();
/// std::thread::scope(|scope| {
///     scope.spawn(|| drop(visits.insert("/", 1)));
///     scope.spawn(|| drop(visits.insert("/about", 2)));
/// });
/// assert_eq!(visits.len(), 2);
/// assert_eq!(*visits.get("/about").unwrap(), 2);
/// ```
///
/// [`clear`]: HashMap::clear
/// [`retain`]: HashMap::retain
/// [`clone`]: HashMap::clone
/// [`len`]: HashMap::len
pub struct HashMap<K, V, S = RandomState> {
    pub(crate) raw: RawMap<K, V>,
    hasher: S,
}

impl<K, V> HashMap<K, V> {
    /// An empty map with a randomly seeded hasher. It allocates nothing yet.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::<String, u64>::new();
    /// assert_eq!(map.capacity(), 0);
    /// ```
    pub fn new() -> Self {
        Self::with_hasher(RandomState::new())
    }

    /// An empty map that can hold at least `capacity` entries before it grows.
    ///
    /// # Panics
    ///
    /// If so many entries cannot be addressed. Aborts when out of memory.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::<u64, u64>::with_capacity(1000);
    /// assert!(map.capacity() >= 1000);
    /// ```
    pub fn with_capacity(capacity: usize) -> Self {
        Self::with_capacity_and_hasher(capacity, RandomState::new())
    }
}

impl<K, V, S> HashMap<K, V, S> {
    const_unless_loom! {
        /// An empty map that hashes with `hasher`. It allocates nothing yet.
        ///
        /// # Examples
        ///
        /// A map in a `static`, with fixed seeds, which give up the protection against keys that are
        /// chosen to collide. Where keys come from strangers, use
        /// `LazyLock<HashMap<..>>` and [`HashMap::new`].
        ///
        /// ```
        /// use binlock::{HashMap, RandomState};
        ///
        /// static PORTS: HashMap<&str, u16, RandomState> =
        ///     HashMap::with_hasher(RandomState::with_seeds(1, 2, 3, 4));
        ///
        /// PORTS.insert("https", 443);
        /// assert_eq!(*PORTS.get("https").unwrap(), 443);
        /// ```
        pub const fn with_hasher(hasher: S) -> Self {
            HashMap { raw: RawMap::new(), hasher }
        }
    }

    /// An empty map that can hold at least `capacity` entries before it grows, and
    /// hashes with `hasher`.
    ///
    /// # Panics
    ///
    /// If so many entries cannot be addressed. Aborts when out of memory.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::hash::RandomState;
    ///
    /// let map = binlock::HashMap::with_capacity_and_hasher(100, RandomState::new());
    /// map.insert(1, 'a');
    /// ```
    pub fn with_capacity_and_hasher(capacity: usize, hasher: S) -> Self {
        let map = Self::with_hasher(hasher);
        if capacity > 0 {
            map.reserve(capacity);
        }
        map
    }

    /// The hasher.
    pub fn hasher(&self) -> &S {
        &self.hasher
    }

    /// The number of entries; exact when nothing is being written.
    ///
    /// Takes time proportional to the machine's parallelism: the count is striped (as
    /// Java's `LongAdder`), so that writers do not meet at it.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a'), (2, 'b')]);
    /// assert_eq!(map.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.raw.len()
    }

    /// Whether there are no entries; exact when nothing is being written.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::<u8, u8>::new();
    /// assert!(map.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries the map is meant for at its present size. Beyond that it grows, but not
    /// at exactly that count: it may hold somewhat more before.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::<u64, ()>::with_capacity(10);
    /// assert!(map.capacity() >= 10);
    /// ```
    pub fn capacity(&self) -> usize {
        self.raw.capacity(&epoch::pin_to_read())
    }

    /// Pins the current thread and gives a view of the map whose methods return plain
    /// references.
    ///
    /// Costs a few nanoseconds. What is removed from any map while the view lives is not
    /// dropped before it is gone; nobody waits for it.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([("one", 1), ("two", 2)]);
    /// let pinned = map.pin();
    /// let one: &i32 = pinned.get("one").unwrap();
    /// pinned.remove("one");
    /// assert_eq!((*one, pinned.get("one")), (1, None));
    /// ```
    #[inline]
    pub fn pin(&self) -> Pinned<'_, K, V, S> {
        // Its methods that write say so.
        Pinned::new(self, epoch::pin_to_read())
    }

    /// Removes all entries. Takes time proportional to the capacity.
    ///
    /// Weakly consistent: an entry that is inserted meanwhile may stay. Nobody is kept
    /// waiting, and the map keeps its capacity.
    ///
    /// # Panics
    ///
    /// If the `Drop` of an entry that was removed earlier does, as in any write.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a'), (2, 'b')]);
    /// map.clear();
    /// assert!(map.is_empty());
    /// ```
    pub fn clear(&self) {
        self.raw.clear(&epoch::pin());
    }

    /// Makes room for `additional` more entries, so that inserting them does not make
    /// the map grow.
    ///
    /// The larger table is allocated here; the entries are moved by this call and by
    /// later writes, a few each. If the map is growing already, that is completed first.
    ///
    /// # Panics
    ///
    /// If so many entries cannot be addressed; or if the `Drop` of an entry that was removed earlier
    /// does, as in any write. Aborts when out of memory; [`try_reserve`](HashMap::try_reserve) says so,
    /// and also if they cannot be addressed.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a')]);
    /// map.reserve(1000);
    /// assert!(map.capacity() >= 1001);
    /// ```
    pub fn reserve(&self, additional: usize) {
        if let Err(error) = self.raw.reserve(additional, &epoch::pin()) {
            error.handle();
        }
    }

    /// Makes room for `additional` more entries, as [`reserve`](HashMap::reserve) does,
    /// or says why it cannot.
    ///
    /// # Errors
    ///
    /// If so many entries cannot be addressed, or the allocator has no memory for the
    /// table. The map is as it was.
    ///
    /// # Panics
    ///
    /// If the `Drop` of an entry that was removed earlier does, as in any write.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::<u64, u64>::new();
    /// assert!(map.try_reserve(1000).is_ok());
    /// assert!(map.try_reserve(usize::MAX).is_err());
    /// ```
    pub fn try_reserve(&self, additional: usize) -> Result<(), TryReserveError> {
        Ok(self.raw.reserve(additional, &epoch::pin())?)
    }

    /// Moves the entries to the smallest table that has room for them, within this call.
    ///
    /// A map that has had a table of 64 KiB or more, as from some 2,700 entries on, keeps one
    /// of that size; [`clone`](HashMap::clone) makes the smallest map. Out of memory, the map
    /// keeps what table it has. Takes time proportional to the capacity.
    ///
    /// # Panics
    ///
    /// If the `Drop` of an entry that was removed earlier does, as in any write.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a')]);
    /// map.reserve(1000);
    /// map.shrink_to_fit();
    /// assert!(map.capacity() < 1000);
    /// ```
    pub fn shrink_to_fit(&self) {
        // Shrinking is a favour; without memory for a second table there is none.
        let _ = self.raw.shrink_to_fit(&epoch::pin());
    }

    /// Drops what was removed or replaced and is still waiting for readers, as far as no
    /// thread is pinned (by a [`Ref`], a [`Pinned`] or an operation in progress) that
    /// may still see it.
    ///
    /// Takes some microseconds to some tens of them even if there is nothing to drop, and has the next
    /// operation of each other thread take a little longer. It never waits for a thread that is pinned. So
    /// call it now and then, and not after each removal.
    ///
    /// What other threads that are alive have removed of late, up to 127 entries each, is
    /// dropped as well if no thread is pinned at all, and stays otherwise.
    ///
    /// There is no need to call it: later writes do the same bit by bit, and the map's
    /// drop does the rest. It is for values that should be dropped soon although nothing
    /// is written any more. If the calling thread itself is pinned, it drops only what was free to
    /// be dropped before;
    /// called in the `Drop` of something that a map is dropping, it leaves the rest to that.
    ///
    /// # Panics
    ///
    /// If a key's or value's `Drop` panics, after everything else has been dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// let file = Arc::new("contents");
    /// let map = binlock::HashMap::from([(1, file.clone())]);
    /// map.remove(&1);
    /// map.flush();
    /// assert_eq!(Arc::strong_count(&file), 1);
    /// ```
    pub fn flush(&self) {
        self.raw.flush();
    }

    /// An iterator over all entries, with the values exclusively borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut map = binlock::HashMap::from([(1, 10), (2, 20)]);
    /// for (_, value) in map.iter_mut() {
    ///     *value += 1;
    /// }
    /// assert_eq!(*map.get(&2).unwrap(), 21);
    /// ```
    pub fn iter_mut(&mut self) -> IterMut<'_, K, V> {
        IterMut(self.raw.nodes_mut())
    }

    /// An iterator over all values, exclusively borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut map = binlock::HashMap::from([(1, 10), (2, 20)]);
    /// map.values_mut().for_each(|value| *value *= 2);
    /// assert_eq!(*map.get(&1).unwrap(), 20);
    /// ```
    pub fn values_mut(&mut self) -> ValuesMut<'_, K, V> {
        ValuesMut(self.iter_mut())
    }

    /// Takes all entries out of the map, which is empty at once (and without capacity).
    ///
    /// What is left in the iterator when it is dropped is dropped, too; if the iterator
    /// is leaked, so is that.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut map = binlock::HashMap::from([(1, 'a'), (2, 'b')]);
    /// let mut entries: Vec<_> = map.drain().collect();
    /// entries.sort();
    /// assert_eq!(entries, [(1, 'a'), (2, 'b')]);
    /// assert!(map.is_empty());
    /// ```
    pub fn drain(&mut self) -> Drain<'_, K, V> {
        Drain::new(self.raw.take_nodes())
    }
}

/// The hash of a key, as the engine wants it.
#[inline]
#[allow(clippy::manual_hash_one)] // For the reason below.
pub(crate) fn hash<Q: Hash + ?Sized>(hasher: &impl BuildHasher, key: &Q) -> u64 {
    // Not `hash_one`: a hasher may have shortcuts in there for certain types (ahash does, on
    // nightly compilers), and a key and what is equivalent to it can be of two types.
    let mut state = hasher.build_hasher();
    key.hash(&mut state);
    raw::spread(state.finish())
}

impl<K, V, S> HashMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        hash(&self.hasher, key)
    }

    /// The value of a key. Takes no lock and waits for nobody; expected constant time.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([("one".to_string(), 1)]);
    /// assert_eq!(*map.get("one").unwrap(), 1);
    /// assert!(map.get("two").is_none());
    /// ```
    // Always: what a call needs of its own, with the guard to be returned, is a sixth of the
    // instructions of a look-up, and as much of its time where entries have to be fetched. The bin is
    // asked for before the pin, because later loads may have to wait for that.
    #[inline(always)]
    pub fn get<Q>(&self, key: &Q) -> Option<Ref<'_, K, V>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        self.raw.ask_for_bin(hash);
        let guard = epoch::pin_to_read();
        let node = self.raw.get(hash, |k| key.equivalent(k), &guard).map(Ref::node)?;
        Some(Ref::new(node, guard))
    }

    /// The entry of a key, the same as [`get`](HashMap::get): a [`Ref`] knows its key.
    /// It is here for the name that the standard map has for it.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([("one".to_string(), 1)]);
    /// let entry = map.get_key_value("one").unwrap();
    /// assert_eq!((entry.key().as_str(), *entry.value()), ("one", 1));
    /// ```
    #[inline(always)]
    pub fn get_key_value<Q>(&self, key: &Q) -> Option<Ref<'_, K, V>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.get(key)
    }

    /// Whether a key is present. Takes no lock and waits for nobody; expected constant
    /// time.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a')]);
    /// assert!(map.contains_key(&1) && !map.contains_key(&2));
    /// ```
    #[inline(always)]
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        self.raw.ask_for_bin(hash);
        let guard = epoch::pin_to_read();
        self.raw.get(hash, |k| key.equivalent(k), &guard).is_some()
    }

    /// The values of `N` keys, looked up together so that their cache misses overlap: in
    /// a large map about twice as fast as one by one. See [`Pinned::get_many`].
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a'), (2, 'b')]);
    /// let [one, three] = map.get_many([&1, &3]);
    /// assert_eq!(*one.unwrap(), 'a');
    /// assert!(three.is_none());
    /// ```
    #[inline]
    pub fn get_many<Q, const N: usize>(&self, keys: [&Q; N]) -> [Option<Ref<'_, K, V>>; N]
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let guard = epoch::pin_to_read();
        // All before the look-up: a pin protects what is found under it.
        let mut guards: [Option<epoch::Guard>; N] =
            std::array::from_fn(|_| Some(epoch::pin_to_read()));
        let nodes: [_; N] =
            self.raw.get_many(|i| self.hash(keys[i]), |i, k| keys[i].equivalent(k), &guard);
        let nodes = nodes.map(|node| node.map(Ref::node));
        std::array::from_fn(|i| Some(Ref::new(nodes[i]?, guards[i].take()?)))
    }

    /// Inserts, and returns the entry that was replaced, if there was one.
    ///
    /// Key *and* value are replaced: entries are immutable, because readers hold
    /// references to them. (The standard map keeps the old key. It matters only for
    /// keys that are equal and yet can be told apart.) Expected constant time.
    ///
    /// # Panics
    ///
    /// Aborts when out of memory for the entry. If there is no memory for a larger
    /// table, the map goes on with the one that it has.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::new();
    /// assert!(map.insert(1, 'a').is_none());
    /// assert_eq!(*map.insert(1, 'b').unwrap(), 'a');
    /// ```
    #[inline]
    pub fn insert(&self, key: K, value: V) -> Option<Ref<'_, K, V>> {
        let hash = self.hash(&key);
        self.raw.ask_for_bin(hash);
        self.insert_hashed(hash, key, value)
    }

    /// Out of line, so that nothing has to be saved before the bin is asked for.
    #[inline(never)]
    fn insert_hashed(&self, hash: u64, key: K, value: V) -> Option<Ref<'_, K, V>> {
        let mut guard = epoch::pin();
        let previous = self.raw.insert(hash, key, value, &mut guard)?;
        Some(Ref::new(previous, guard))
    }

    /// Inserts if the key is absent, and returns the new entry.
    ///
    /// Where the key is present this costs a [`get`](HashMap::get): it takes no lock and
    /// allocates nothing. Expected constant time.
    ///
    /// # Errors
    ///
    /// If the key is present: the error has the current entry and gives `value` back.
    ///
    /// # Panics
    ///
    /// As [`insert`](HashMap::insert).
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::new();
    /// assert_eq!(*map.try_insert(1, 'a').unwrap(), 'a');
    /// let error = map.try_insert(1, 'b').unwrap_err();
    /// assert_eq!((*error.current, error.value), ('a', 'b'));
    /// ```
    #[inline]
    pub fn try_insert(
        &self,
        key: K,
        value: V,
    ) -> Result<Ref<'_, K, V>, OccupiedError<Ref<'_, K, V>, V>> {
        let mut guard = epoch::pin_to_read();
        let hash = self.hash(&key);
        match self.raw.try_insert(hash, key, value, &mut guard) {
            Ok(node) => Ok(Ref::new(node, guard.into_writing())),
            Err(raw::Occupied { current, value, key }) => {
                // Before there is a result, which would leak, pin and all, if this panics.
                drop(key);
                Err(OccupiedError { current: Ref::new(current, guard), value })
            }
        }
    }

    /// Replaces the value of a key that is present, and returns the entry that was
    /// replaced. If the key is absent, nothing happens and the value is dropped.
    ///
    /// The key is replaced, too, as by [`insert`](HashMap::insert). Expected constant
    /// time.
    ///
    /// # Panics
    ///
    /// Aborts when out of memory.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a')]);
    /// assert_eq!(*map.replace(1, 'b').unwrap(), 'a');
    /// assert!(map.replace(2, 'c').is_none());
    /// assert_eq!(map.len(), 1);
    /// ```
    #[inline]
    pub fn replace(&self, key: K, value: V) -> Option<Ref<'_, K, V>> {
        let mut guard = epoch::pin();
        let hash = self.hash(&key);
        let previous = self.raw.replace(hash, key, value, &mut guard)?;
        Some(Ref::new(previous, guard))
    }

    /// Removes a key and returns its entry. Expected constant time.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a')]);
    /// assert_eq!(*map.remove(&1).unwrap(), 'a');
    /// assert!(map.remove(&1).is_none());
    /// ```
    #[inline]
    pub fn remove<Q>(&self, key: &Q) -> Option<Ref<'_, K, V>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let mut guard = epoch::pin();
        let removed = self.raw.remove(self.hash(key), |k| key.equivalent(k), &mut guard)?;
        Some(Ref::new(removed, guard))
    }

    /// Removes a key and returns its entry, the same as [`remove`](HashMap::remove): a
    /// [`Ref`] knows its key. It is here for the name that the standard map has for it.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a')]);
    /// assert_eq!(*map.remove_entry(&1).unwrap().key(), 1);
    /// ```
    #[inline]
    pub fn remove_entry<Q>(&self, key: &Q) -> Option<Ref<'_, K, V>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        self.remove(key)
    }

    /// Removes a key if its entry satisfies `condition`, and returns the entry.
    ///
    /// The key is claimed while the condition runs, as by a computation: other writers of
    /// the key wait, and what is removed is exactly what the condition has approved. If the
    /// condition itself writes the key, that write stands, and nothing is removed.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 10)]);
    /// assert!(map.remove_if(&1, |_, value| *value > 10).is_none());
    /// assert_eq!(*map.remove_if(&1, |_, value| *value <= 10).unwrap(), 10);
    /// ```
    pub fn remove_if<Q, F>(&self, key: &Q, condition: F) -> Option<Ref<'_, K, V>>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        F: FnOnce(&K, &V) -> bool,
    {
        let mut guard = epoch::pin();
        let hash = self.hash(key);
        let removed = self.raw.remove_if(hash, |k| key.equivalent(k), condition, &mut guard)?;
        Some(Ref::new(removed, guard))
    }

    /// Keeps the entries for which `keep` holds and removes the others. Takes time
    /// proportional to the capacity.
    ///
    /// Weakly consistent: an entry that is inserted, or whose value is replaced,
    /// meanwhile may stay unasked. What is removed is exactly what `keep` has refused.
    /// It runs without any lock, and may use the map. If it panics, what it has refused before
    /// is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a'), (2, 'b'), (3, 'c')]);
    /// map.retain(|key, _| key % 2 == 1);
    /// assert_eq!(map.len(), 2);
    /// ```
    pub fn retain<F>(&self, keep: F)
    where
        F: FnMut(&K, &V) -> bool,
    {
        self.pin().retain(keep);
    }

    /// The value of a key, exclusively borrowed. Expected constant time.
    ///
    /// # Examples
    ///
    /// ```
    /// let mut map = binlock::HashMap::from([(1, 10)]);
    /// *map.get_mut(&1).unwrap() += 1;
    /// assert_eq!(*map.get(&1).unwrap(), 11);
    /// ```
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        Q: Hash + Equivalent<K> + ?Sized,
    {
        let hash = self.hash(key);
        self.raw.get_mut(hash, |k| key.equivalent(k)).map(|(_, value)| value)
    }
}

impl<K: fmt::Debug, V: fmt::Debug, S> fmt::Debug for HashMap<K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pin().fmt(f)
    }
}
