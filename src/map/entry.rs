//! Entries: a key that is claimed until its entry is dropped.

use std::fmt;

use super::{ComputeError, OwnPin, Pinning, RecursiveUpdate, computing::settle};
use crate::{epoch, raw::Claim};

/// A key that is claimed, present or absent: what [`HashMap::entry`](crate::HashMap::entry)
/// and [`Pinned::entry`](crate::Pinned::entry) return.
///
/// The key is claimed as long as the entry lives: others who want to write it wait, readers
/// see what was there before. No lock is held, no other key is concerned, and the thread is
/// not kept pinned. Dropping the entry leaves the key as it was (but for what `and_modify` has
/// changed). Not `Send`: the claim is the thread's, which is how recursion is noticed; nor is
/// it meant to be held across an `.await`, where it would be taken for the claim of whatever
/// the thread does next.
///
/// Where a plain write of this thread, or of one that waits for it, overtakes the claim,
/// the method that ends it returns [`RecursiveUpdate`], and the plain write stands.
///
/// What the methods return is a [`Ref`](crate::Ref) of an entry from `HashMap::entry`, and a plain `&V` of
/// one from `Pinned::entry`: that is `P::Found<K, V>` in their signatures.
///
/// # Leaking
///
/// An entry may be leaked (with [`mem::forget`](std::mem::forget)), and so leak its key. The
/// key remains claimed then: it reads as before, and whoever wants to write it waits until
/// the map is gone; but for this thread, whose plain writes overtake the claim. What is cleared or
/// overtaken then is leaked, too: it was the entry's to drop. From then on, the thread counts as one
/// in the middle of something: futures that it polls outside of others are taken for a part of that.
///
/// # Examples
///
/// ```
/// use binlock::{Entry, HashMap};
///
/// let map = HashMap::new();
/// map.entry("visits")?.or_insert(1)?;
/// map.entry("visits")?.and_modify(|visits| visits + 1).or_insert(1)?;
/// match map.entry("visits")? {
///     Entry::Occupied(entry) if *entry.get() > 1 => drop(entry.remove()?),
///     _ => {}
/// }
/// assert!(map.is_empty());
/// # Ok::<(), binlock::RecursiveUpdate>(())
/// ```
#[must_use = "the key is claimed for as long as its entry lives"]
pub enum Entry<'a, K, V, P: Pinning<'a> = OwnPin> {
    /// The key is present.
    Occupied(OccupiedEntry<'a, K, V, P>),
    /// The key is absent.
    Vacant(VacantEntry<'a, K, V, P>),
}

// In either entry the claim comes first, for two reasons. Fields are dropped in their order, and the key may want
// to use the map. (Methods that settle the claim drop the key before: if that panics, there must be no result yet.)
// And an entry is moved out of its result and into a method right after it was made: what is
// written last, the key, is to be where it does not hold up the loads of the claim (see `claiming`).

/// The claim on a key that is present. See [`Entry`].
#[must_use = "the key is claimed for as long as its entry lives"]
#[repr(C)]
pub struct OccupiedEntry<'a, K, V, P: Pinning<'a> = OwnPin> {
    claim: Claim<'a, K, V>,
    pinning: P,
    /// As it was given to `entry`. `None` when the claim has been settled.
    key: Option<K>,
    /// What is to be stored when the entry is given up.
    modified: Option<V>,
}

/// The claim on a key that is absent. See [`Entry`].
#[must_use = "the key is claimed for as long as its entry lives"]
#[repr(C)]
pub struct VacantEntry<'a, K, V, P: Pinning<'a> = OwnPin> {
    claim: Claim<'a, K, V>,
    pinning: P,
}

const UNSETTLED: &str = "only methods that consume the entry settle its claim";

impl<'a, K, V, P: Pinning<'a>> Entry<'a, K, V, P> {
    /// The key, as it was given to `entry`.
    pub fn key(&self) -> &K {
        match self {
            Entry::Occupied(entry) => entry.key(),
            Entry::Vacant(entry) => entry.key(),
        }
    }

    /// The entry, with `value` if the key is absent.
    ///
    /// # Errors
    ///
    /// If the claim was overtaken.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::new();
    /// assert_eq!(*map.entry(1)?.or_insert('a')?, 'a');
    /// assert_eq!(*map.entry(1)?.or_insert('b')?, 'a');
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    #[inline]
    pub fn or_insert(mut self, value: V) -> Result<P::Found<K, V>, RecursiveUpdate> {
        match &mut self {
            Entry::Occupied(entry) => {
                // Before there is a result, which would leak, pin and all, if this panics.
                drop(value);
                entry.end()
            }
            Entry::Vacant(entry) => entry.fill(value),
        }
    }

    /// The entry, with the value that `f` computes if the key is absent.
    ///
    /// To take no claim where the key is present, which is the faster way, use
    /// [`compute_if_absent`](crate::HashMap::compute_if_absent).
    ///
    /// # Errors
    ///
    /// If the claim was overtaken.
    ///
    /// # Panics
    ///
    /// If `f` does; the key is as it was then.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, "one".to_string())]);
    /// assert_eq!(*map.entry(1)?.or_insert_with(|| unreachable!())?, "one");
    /// assert_eq!(*map.entry(2)?.or_insert_with(|| "two".to_string())?, "two");
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    #[inline]
    pub fn or_insert_with(self, f: impl FnOnce() -> V) -> Result<P::Found<K, V>, RecursiveUpdate> {
        self.or_insert_with_key(|_| f())
    }

    /// The entry, with the value that `f` computes from the key if it is absent.
    ///
    /// # Errors
    ///
    /// If the claim was overtaken.
    ///
    /// # Panics
    ///
    /// If `f` does; the key is as it was then.
    ///
    /// # Examples
    ///
    /// ```
    /// let lengths = binlock::HashMap::new();
    /// assert_eq!(*lengths.entry("four")?.or_insert_with_key(|key| key.len())?, 4);
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    #[inline]
    pub fn or_insert_with_key(
        mut self,
        f: impl FnOnce(&K) -> V,
    ) -> Result<P::Found<K, V>, RecursiveUpdate> {
        match &mut self {
            Entry::Occupied(entry) => {
                // Before there is a result, which would leak, pin and all, if this panics.
                drop(f);
                entry.end()
            }
            Entry::Vacant(entry) => {
                let value = entry.run(f);
                entry.fill(value)
            }
        }
    }

    /// The entry, with the value that `f` computes if the key is absent, unless it fails.
    ///
    /// # Errors
    ///
    /// What `f` returned, or that the claim was overtaken.
    ///
    /// # Panics
    ///
    /// If `f` does; the key is as it was then.
    ///
    /// # Examples
    ///
    /// ```
    /// use binlock::ComputeError;
    ///
    /// let numbers = binlock::HashMap::new();
    /// let seven = numbers.entry("7")?.or_try_insert_with(|text| text.parse::<u32>());
    /// assert_eq!(*seven.unwrap(), 7);
    /// let none = numbers.entry("seven")?.or_try_insert_with(|text| text.parse());
    /// assert!(matches!(none, Err(ComputeError::Closure(_))));
    /// assert_eq!(numbers.len(), 1);
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    #[inline]
    pub fn or_try_insert_with<E>(
        mut self,
        f: impl FnOnce(&K) -> Result<V, E>,
    ) -> Result<P::Found<K, V>, ComputeError<E>> {
        match &mut self {
            Entry::Occupied(entry) => {
                drop(f);
                Ok(entry.end()?)
            }
            Entry::Vacant(entry) => {
                let value = entry.run(f).map_err(ComputeError::Closure)?;
                Ok(entry.fill(value)?)
            }
        }
    }

    /// The entry, with the default value if the key is absent.
    ///
    /// # Errors
    ///
    /// If the claim was overtaken.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    ///
    /// let counts = binlock::HashMap::<_, AtomicU64>::new();
    /// for word in ["to", "be", "or", "not", "to", "be"] {
    ///     counts.entry(word)?.or_default()?.fetch_add(1, Relaxed);
    /// }
    /// assert_eq!(counts.get("be").unwrap().load(Relaxed), 2);
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    #[inline]
    pub fn or_default(self) -> Result<P::Found<K, V>, RecursiveUpdate>
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    /// Computes a new value from the present one, if there is one. It is stored when the
    /// entry is dropped, or by the method that is called next.
    ///
    /// Unlike the closure of the standard map's, this one returns the new value, as values do not
    /// change in place. If the claim has been overtaken, dropping the entry drops the new value and says
    /// nothing: end with [`or_insert`](Entry::or_insert) or the like to be told.
    ///
    /// # Panics
    ///
    /// If `f` does; the key is as it was then.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 10)]);
    /// drop(map.entry(1)?.and_modify(|value| value + 1));
    /// assert_eq!(*map.get(&1).unwrap(), 11);
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    pub fn and_modify(mut self, f: impl FnOnce(&V) -> V) -> Self {
        if let Entry::Occupied(entry) = &mut self {
            let value = {
                let _running = entry.claim.holder().run();
                f(entry.get())
            };
            // The old one is dropped at the end.
            let _before = entry.modified.replace(value);
        }
        self
    }

    /// Stores a value, whether the key is present or not, and returns the new entry.
    ///
    /// # Errors
    ///
    /// If the claim was overtaken; the value is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// let map = binlock::HashMap::from([(1, 'a')]);
    /// assert_eq!(*map.entry(1)?.insert('b')?, 'b');
    /// assert_eq!(*map.entry(2)?.insert('c')?, 'c');
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    #[inline]
    pub fn insert(mut self, value: V) -> Result<P::Found<K, V>, RecursiveUpdate> {
        match &mut self {
            Entry::Occupied(entry) => {
                // Before anything has happened, because it can panic.
                drop(entry.modified.take());
                entry.modified = Some(value);
                entry.end()
            }
            Entry::Vacant(entry) => entry.fill(value),
        }
    }
}

impl<'a, K, V, P: Pinning<'a>> OccupiedEntry<'a, K, V, P> {
    #[inline]
    pub(super) fn new(claim: Claim<'a, K, V>, key: K, pinning: P) -> Self {
        OccupiedEntry { claim, key: Some(key), modified: None, pinning }
    }

    /// The key, for who settles the claim.
    #[inline]
    fn take_key(&mut self) -> K {
        self.key.take().expect(UNSETTLED)
    }

    /// Settles the claim.
    #[inline]
    fn end(&mut self) -> Result<P::Found<K, V>, RecursiveUpdate> {
        let key = self.take_key();
        let claim = &mut self.claim;
        match self.modified.take() {
            Some(value) => settle(self.pinning, |guard| claim.replace(key, value, guard)),
            None => {
                // Before there is a result, which would leak, pin and all, if this panics.
                drop(key);
                let node = claim.node();
                settle(self.pinning, |guard| claim.give_up(guard).map(|_| node))
            }
        }
    }

    /// The key, as it was given to `entry`.
    pub fn key(&self) -> &K {
        self.key.as_ref().expect(UNSETTLED)
    }

    /// The value.
    pub fn get(&self) -> &V {
        let covered = || self.claim.value().expect("the key is present");
        self.modified.as_ref().unwrap_or_else(covered)
    }

    /// Replaces the value, and returns the entry that was there.
    ///
    /// # Errors
    ///
    /// If the claim was overtaken; the value is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use binlock::{Entry, HashMap};
    ///
    /// let map = HashMap::from([(1, 'a')]);
    /// let Entry::Occupied(entry) = map.entry(1)? else { panic!("it is present") };
    /// assert_eq!(*entry.insert('b')?, 'a');
    /// assert_eq!(*map.get(&1).unwrap(), 'b');
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    #[inline]
    pub fn insert(mut self, value: V) -> Result<P::Found<K, V>, RecursiveUpdate> {
        drop(self.modified.take());
        let key = self.take_key();
        let before = self.claim.node();
        settle(self.pinning, |guard| self.claim.replace(key, value, guard).map(|_| before))
    }

    /// Removes the key, and returns the entry that was there.
    ///
    /// # Errors
    ///
    /// If the claim was overtaken.
    ///
    /// # Examples
    ///
    /// ```
    /// use binlock::{Entry, HashMap};
    ///
    /// let map = HashMap::from([(1, "one")]);
    /// if let Entry::Occupied(entry) = map.entry(1)? {
    ///     assert_eq!(*entry.get(), "one");
    ///     assert_eq!(*entry.remove()?, "one");
    /// }
    /// assert!(map.is_empty());
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    pub fn remove(mut self) -> Result<P::Found<K, V>, RecursiveUpdate> {
        // Before anything has happened, because it can panic.
        drop((self.modified.take(), self.take_key()));
        settle(self.pinning, |guard| self.claim.remove(guard))
    }

    /// Ends the claim, and returns the entry.
    ///
    /// # Errors
    ///
    /// If the claim was overtaken.
    #[inline]
    pub fn into_ref(mut self) -> Result<P::Found<K, V>, RecursiveUpdate> {
        self.end()
    }
}

impl<'a, K, V, P: Pinning<'a>> Drop for OccupiedEntry<'a, K, V, P> {
    #[inline]
    fn drop(&mut self) {
        let Some(value) = self.modified.take() else {
            // The key is dropped after the claim: it may want to use the map.
            return;
        };
        if let Some(key) = self.key.take() {
            // If it was overtaken, there is nobody to be told, and the write stands.
            let _ = self.claim.replace(key, value, &epoch::pin());
        }
    }
}

impl<'a, K, V, P: Pinning<'a>> VacantEntry<'a, K, V, P> {
    #[inline]
    pub(super) fn new(claim: Claim<'a, K, V>, pinning: P) -> Self {
        VacantEntry { claim, pinning }
    }

    /// Settles the claim.
    #[inline]
    fn fill(&mut self, value: V) -> Result<P::Found<K, V>, RecursiveUpdate> {
        settle(self.pinning, |guard| self.claim.fill(value, guard))
    }

    /// Runs a closure that computes the value.
    fn run<R>(&self, f: impl FnOnce(&K) -> R) -> R {
        let _running = self.claim.holder().run();
        f(self.key())
    }

    /// The key.
    pub fn key(&self) -> &K {
        self.claim.key()
    }

    /// Inserts the value, and returns the new entry.
    ///
    /// # Errors
    ///
    /// If the claim was overtaken; the value is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use binlock::{Entry, HashMap};
    ///
    /// let map = HashMap::new();
    /// if let Entry::Vacant(entry) = map.entry(1)? {
    ///     entry.insert('a')?;
    /// }
    /// assert_eq!(*map.get(&1).unwrap(), 'a');
    /// # Ok::<(), binlock::RecursiveUpdate>(())
    /// ```
    #[inline]
    pub fn insert(mut self, value: V) -> Result<P::Found<K, V>, RecursiveUpdate> {
        self.fill(value)
    }
}

impl<'a, K: fmt::Debug, V: fmt::Debug, P: Pinning<'a>> fmt::Debug for Entry<'a, K, V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Occupied(entry) => f.debug_tuple("Entry").field(entry).finish(),
            Entry::Vacant(entry) => f.debug_tuple("Entry").field(entry).finish(),
        }
    }
}

impl<'a, K: fmt::Debug, V: fmt::Debug, P: Pinning<'a>> fmt::Debug for OccupiedEntry<'a, K, V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OccupiedEntry").field("key", self.key()).field("value", self.get()).finish()
    }
}

impl<'a, K: fmt::Debug, V, P: Pinning<'a>> fmt::Debug for VacantEntry<'a, K, V, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VacantEntry").field(self.key()).finish()
    }
}
