//! `Ref`: an entry and the pin that keeps it.

use std::{fmt, marker::PhantomData, ops::Deref, ptr::NonNull};

use crate::{
    epoch::{Guard, Kept},
    raw::Node,
};

/// An entry of a map, with a pin of its own. Derefs to the value.
///
/// It can be held as long as its map, without blocking anybody: the entry may be
/// replaced or removed meanwhile, and this stays what it was. Held for long it keeps
/// garbage (of all maps) from being dropped; clone what is needed for longer, or keep an
/// [`Arc`](std::sync::Arc) as the value.
///
/// Not `Send`: a pin belongs to its thread.
///
/// # Examples
///
/// ```
/// let map = binlock::HashMap::from([("key".to_string(), "value".to_string())]);
/// let entry = map.get("key").unwrap();
/// map.remove("key");
/// assert_eq!(entry.key(), "key");
/// assert_eq!(entry.len(), 5);
/// ```
pub struct Ref<'map, K, V> {
    // Not a reference: the node may be freed as soon as the guard is dropped, while
    // `self` is still an argument of some function, and references must not dangle there.
    node: NonNull<Node<K, V>>,
    _guard: Kept,
    marker: PhantomData<&'map (K, V)>,
}

impl<'map, K, V> Ref<'map, K, V> {
    /// The node, without the lifetime of the guard that it was found under. That guard
    /// must be moved into [`Ref::new`].
    #[inline]
    pub(super) fn node(node: &Node<K, V>) -> NonNull<Node<K, V>> {
        NonNull::from(node)
    }

    /// `guard` has been held since before `node` was found in the map. (Another guard of the
    /// thread does not do: where thread-locals are being destroyed they know nothing of
    /// each other.)
    #[inline(always)]
    pub(super) fn new(node: NonNull<Node<K, V>>, guard: Guard) -> Self {
        Ref { node, _guard: guard.keep(), marker: PhantomData }
    }

    #[inline]
    fn entry(&self) -> &Node<K, V> {
        // SAFETY: by the contract of `new` the node has been under a guard all the time,
        // and `'map` keeps the map, which frees garbage when it is dropped.
        unsafe { self.node.as_ref() }
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &K {
        &self.entry().key
    }

    /// The value. The same as dereferencing.
    #[inline]
    pub fn value(&self) -> &V {
        &self.entry().value
    }
}

impl<K, V> Deref for Ref<'_, K, V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        self.value()
    }
}

impl<K, V> AsRef<V> for Ref<'_, K, V> {
    fn as_ref(&self) -> &V {
        self.value()
    }
}

impl<K, V: fmt::Debug> fmt::Debug for Ref<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}

impl<K, V: fmt::Display> fmt::Display for Ref<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value().fmt(f)
    }
}

impl<K, V: PartialEq> PartialEq for Ref<'_, K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.value() == other.value()
    }
}

impl<K, V: Eq> Eq for Ref<'_, K, V> {}

impl<K, V: PartialEq> PartialEq<V> for Ref<'_, K, V> {
    fn eq(&self, other: &V) -> bool {
        self.value() == other
    }
}
