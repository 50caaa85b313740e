//! The compute family's public methods, over `computing`.

use std::hash::{BuildHasher, Hash};

use equivalent::Equivalent;

use super::{
    ComputeError, Entry, HashMap, LentPin, OwnPin, Pinned, RecursiveUpdate, Ref, computing,
};

/// # Computations
///
/// These methods run a closure to decide what becomes of a key. Meanwhile the key is
/// *claimed*, and nothing else is: no lock is held, every other key can be read and written
/// (by the closure, too), the map can grow, be iterated over and be cleared. Readers of the
/// key see what was there before. Other writers of the key sleep until it is decided, all
/// are woken then, in the order in which they came, and try for themselves.
///
/// * The closure runs at most once.
/// * If it panics or fails, the key is as it was, and somebody else may try.
/// * The thread is not pinned by the map while the closure runs or while it waits.
/// * A computation that would wait for itself, directly or through a cycle of threads,
///   tasks and maps, gets [`RecursiveUpdate`] at once instead of a deadlock. A plain write
///   (`insert`, `remove`, ...) that would wait for ever goes ahead, and the computation that
///   it overtakes gets the error.
/// * The claim is there for all writers before the closure runs. So who changes what a closure looks
///   at, and then removes the key, does not find nothing to remove while the closure has looked already:
///   he waits for it. (If the change is there for all by then: one of a map, when the call has returned, or the
///   [`Pinned`] is gone through which it was made, see [Consistency](HashMap#consistency); one under a lock
///   that the closure takes, too; one of an atomic, with a sequentially consistent
///   [`fence`](std::sync::atomic::fence) behind it.)
/// * `clear` does not wait. What is being computed for an absent key comes after it (and after `retain`),
///   what is being computed from a present value comes before: the computation returns its result
///   and stores nothing.
///
/// What the map cannot see is a closure that waits outside of it (for a channel, a lock, a
/// `join`) for a thread that wants the same key: see the
/// [limitations](crate::docs::limitations).
///
/// (The names and meanings are those of Java's `ConcurrentHashMap`, where such a closure runs
/// under the lock of its bin. That a key is claimed by a `ReservationNode` is from there, too.)
impl<K, V, S> HashMap<K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    /// The entry of a key, computed by `f` if the key is absent.
    ///
    /// Where the key is present this costs a [`get`](HashMap::get): it takes no lock and
    /// waits for nobody. Otherwise at most one thread or task computes the value, and the
    /// others that want it sleep meanwhile. Expected constant time beside `f`.
    ///
    /// If it costs something to make the key (a `String` of a `&str`), [`get`](HashMap::get) it first.
    ///
    /// # Errors
    ///
    /// [`RecursiveUpdate`] if the computation needs itself or was overtaken; see
    /// [there](RecursiveUpdate).
    ///
    /// # Panics
    ///
    /// If `f` does; the key is absent then. Aborts when out of memory, as
    /// [`insert`](HashMap::insert).
    ///
    /// # Examples
    ///
    /// ```
    /// use binlock::HashMap;
    ///
    /// let lengths: HashMap<String, usize> = HashMap::new();
    /// let length = lengths.compute_if_absent("binlock".to_string(), |key| key.len())?;
    /// assert_eq!(*length, 7);
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    ///
    /// Closures may use the map. A recursive function that remembers its results:
    ///
    /// ```
    /// use binlock::{HashMap, RecursiveUpdate};
    ///
    /// fn fibonacci(n: u64, known: &HashMap<u64, u64>) -> Result<u64, RecursiveUpdate> {
    ///     if n < 2 {
    ///         return Ok(n);
    ///     }
    ///     let value = known.try_compute_if_absent(n, |_| {
    ///         Ok::<_, RecursiveUpdate>(fibonacci(n - 1, known)? + fibonacci(n - 2, known)?)
    ///     });
    ///     Ok(*value?)
    /// }
    /// assert_eq!(fibonacci(80, &HashMap::new())?, 23_416_728_348_467_685);
    /// # Ok::<(), RecursiveUpdate>(())
    /// ```
    #[inline]
    pub fn compute_if_absent<F>(&self, key: K, f: F) -> Result<Ref<'_, K, V>, RecursiveUpdate>
    where
        F: FnOnce(&K) -> V,
    {
        computing::if_absent(self, OwnPin::new(), key, f)
    }

    /// The entry of a key, computed by `f` if the key is absent, unless `f` fails.
    ///
    /// As [`compute_if_absent`](HashMap::compute_if_absent). A failure is not remembered:
    /// whoever was waiting for the value tries for himself.
    ///
    /// # Errors
    ///
    /// [`ComputeError::Closure`] with what `f` returned, or [`ComputeError::Recursive`].
    ///
    /// # Panics
    ///
    /// As `compute_if_absent`.
    ///
    /// # Examples
    ///
    /// ```
    /// use binlock::{ComputeError, HashMap};
    ///
    /// let numbers: HashMap<&str, i32> = HashMap::new();
    /// let parse = |key: &&str| key.parse::<i32>();
    /// assert_eq!(*numbers.try_compute_if_absent("12", parse).unwrap(), 12);
    /// let error = numbers.try_compute_if_absent("twelve", parse).unwrap_err();
    /// assert!(matches!(error, ComputeError::Closure(_)));
    /// assert!(!numbers.contains_key("twelve"));
    /// ```
    #[inline]
    pub fn try_compute_if_absent<F, E>(
        &self,
        key: K,
        f: F,
    ) -> Result<Ref<'_, K, V>, ComputeError<E>>
    where
        F: FnOnce(&K) -> Result<V, E>,
    {
        computing::try_if_absent(self, OwnPin::new(), key, f)
    }

    /// Computes a new value from the present one, and returns the new entry. `None` from `f`
    /// removes the key. If the key is absent, nothing happens.
    ///
    /// Expected constant time beside `f`.
    ///
    /// # Errors
    ///
    /// [`RecursiveUpdate`] if the computation needs itself or was overtaken.
    ///
    /// # Panics
    ///
    /// If `f` does, or `K`'s `Clone`; the entry is as it was then. Aborts when out of memory.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([("visits", 1)]);
    /// assert_eq!(*map.compute_if_present("visits", |_, n| Some(n + 1))?.unwrap(), 2);
    /// assert!(map.compute_if_present("visits", |_, _| None)?.is_none());
    /// assert!(map.is_empty());
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    pub fn compute_if_present<Q, F>(
        &self,
        key: &Q,
        f: F,
    ) -> Result<Option<Ref<'_, K, V>>, RecursiveUpdate>
    where
        K: Clone,
        Q: Hash + Equivalent<K> + ?Sized,
        F: FnOnce(&K, &V) -> Option<V>,
    {
        computing::if_present(self, OwnPin::new(), key, f)
    }

    /// Computes a value from the present one, or from `None` if the key is absent, and
    /// returns the new entry. `None` from `f` removes the key, or leaves it absent.
    ///
    /// Key and value are replaced, as by [`insert`](HashMap::insert). Expected constant time
    /// beside `f`.
    ///
    /// # Errors
    ///
    /// [`RecursiveUpdate`] if the computation needs itself or was overtaken.
    ///
    /// # Panics
    ///
    /// If `f` does; the key is as it was then. Aborts when out of memory.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::new();
    /// let count = |_: &_, n: Option<&i32>| Some(n.map_or(1, |n| n + 1));
    /// assert_eq!(*map.compute("visits", count)?.unwrap(), 1);
    /// assert_eq!(*map.compute("visits", count)?.unwrap(), 2);
    /// assert!(map.compute("visits", |_, _| None)?.is_none());
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    pub fn compute<F>(&self, key: K, f: F) -> Result<Option<Ref<'_, K, V>>, RecursiveUpdate>
    where
        F: FnOnce(&K, Option<&V>) -> Option<V>,
    {
        computing::compute(self, OwnPin::new(), key, f)
    }

    /// Inserts `value` if the key is absent, or else what `f` makes of the present value and
    /// `value`, and returns the new entry. `None` from `f` removes the key.
    ///
    /// Key and value are replaced, as by [`insert`](HashMap::insert). Expected constant time
    /// beside `f`.
    ///
    /// # Errors
    ///
    /// [`RecursiveUpdate`] if the computation needs itself or was overtaken.
    ///
    /// # Panics
    ///
    /// If `f` does; the entry is as it was then. Aborts when out of memory.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::new();
    /// for word in ["to", "be", "or", "not", "to", "be"] {
    ///     map.merge(word, 1, |n, one| Some(n + one))?;
    /// }
    /// assert_eq!(*map.get("be").unwrap(), 2);
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    pub fn merge<F>(&self, key: K, value: V, f: F) -> Result<Option<Ref<'_, K, V>>, RecursiveUpdate>
    where
        F: FnOnce(&V, V) -> Option<V>,
    {
        computing::merge(self, OwnPin::new(), key, value, f)
    }

    /// Claims a key until the [`Entry`] is dropped or used up.
    ///
    /// Waits for others who have claimed the key. Unlike
    /// [`compute_if_absent`](HashMap::compute_if_absent) it locks the bin (for a moment)
    /// where the key is present, too, because nobody else may change it meanwhile.
    /// Expected constant time.
    ///
    /// # Errors
    ///
    /// [`RecursiveUpdate`] if this thread has claimed the key already, or would wait for
    /// itself in a cycle.
    ///
    /// # Panics
    ///
    /// Aborts when out of memory.
    ///
    /// # Examples
    ///
    /// See [`Entry`].
    #[inline]
    pub fn entry(&self, key: K) -> Result<Entry<'_, K, V>, RecursiveUpdate> {
        computing::entry(self, OwnPin::new(), key)
    }
}

/// # Computations
///
/// What is said of [`HashMap`'s computations](HashMap#computations) holds here, too, with one
/// difference: the thread stays pinned by the view while a closure runs and while it waits
/// for other computations. A slow closure holds up the dropping of garbage.
impl<'map, K, V, S> Pinned<'map, K, V, S>
where
    K: Hash + Eq,
    S: BuildHasher,
{
    fn lent(&self) -> LentPin<'_> {
        LentPin::new(self.guard())
    }

    /// See [`HashMap::compute_if_absent`].
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
    /// let map = binlock::HashMap::new();
    /// let pinned = map.pin();
    /// assert_eq!(pinned.compute_if_absent(2, |key| key * key), Ok(&4));
    /// assert_eq!(pinned.compute_if_absent(2, |_| 0), Ok(&4));
    /// ```
    #[inline]
    pub fn compute_if_absent<F>(&self, key: K, f: F) -> Result<&V, RecursiveUpdate>
    where
        F: FnOnce(&K) -> V,
    {
        computing::if_absent(self.map(), self.lent(), key, f)
    }

    /// See [`HashMap::try_compute_if_absent`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    #[inline]
    pub fn try_compute_if_absent<F, E>(&self, key: K, f: F) -> Result<&V, ComputeError<E>>
    where
        F: FnOnce(&K) -> Result<V, E>,
    {
        computing::try_if_absent(self.map(), self.lent(), key, f)
    }

    /// See [`HashMap::compute_if_present`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn compute_if_present<Q, F>(&self, key: &Q, f: F) -> Result<Option<&V>, RecursiveUpdate>
    where
        K: Clone,
        Q: Hash + Equivalent<K> + ?Sized,
        F: FnOnce(&K, &V) -> Option<V>,
    {
        computing::if_present(self.map(), self.lent(), key, f)
    }

    /// See [`HashMap::compute`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn compute<F>(&self, key: K, f: F) -> Result<Option<&V>, RecursiveUpdate>
    where
        F: FnOnce(&K, Option<&V>) -> Option<V>,
    {
        computing::compute(self.map(), self.lent(), key, f)
    }

    /// See [`HashMap::merge`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    pub fn merge<F>(&self, key: K, value: V, f: F) -> Result<Option<&V>, RecursiveUpdate>
    where
        F: FnOnce(&V, V) -> Option<V>,
    {
        computing::merge(self.map(), self.lent(), key, value, f)
    }

    /// See [`HashMap::entry`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// # Panics
    ///
    /// As there.
    #[inline]
    pub fn entry(&self, key: K) -> Result<Entry<'_, K, V, LentPin<'_>>, RecursiveUpdate> {
        computing::entry(self.map(), self.lent(), key)
    }
}
