//! The iterators.

use std::{fmt, iter::FusedIterator, marker::PhantomData};

use super::HashMap;
use crate::{
    epoch::Guard,
    raw::{Cursor, IntoNodes, Node, NodesMut, RawMap},
};

/// An iterator over the entries of a map that others may be writing to. Made by
/// [`Pinned::iter`](crate::Pinned::iter).
pub struct Iter<'p, K, V> {
    cursor: Cursor<K, V>,
    marker: PhantomData<&'p (K, V)>,
}

impl<'p, K, V> Iter<'p, K, V> {
    pub(crate) fn new(raw: &'p RawMap<K, V>, guard: &'p Guard) -> Self {
        Iter { cursor: raw.cursor(guard), marker: PhantomData }
    }

    /// Splits off about a half of what is left.
    #[cfg(feature = "rayon")]
    pub(crate) fn split(&mut self) -> Option<Self> {
        Some(Iter { cursor: self.cursor.split()?, marker: PhantomData })
    }
}

impl<'p, K, V> Iterator for Iter<'p, K, V> {
    type Item = (&'p K, &'p V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the cursor was made under a guard that is borrowed for `'p`.
        let node: &'p Node<K, V> = unsafe { self.cursor.next() }?;
        Some((&node.key, &node.value))
    }
}

impl<K, V> FusedIterator for Iter<'_, K, V> {}

impl<K, V> fmt::Debug for Iter<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}

/// An iterator over keys. Made by [`Pinned::keys`](crate::Pinned::keys).
#[derive(Debug)]
pub struct Keys<'p, K, V>(pub(super) Iter<'p, K, V>);

impl<'p, K, V> Iterator for Keys<'p, K, V> {
    type Item = &'p K;

    #[inline]
    fn next(&mut self) -> Option<&'p K> {
        self.0.next().map(|(key, _)| key)
    }
}

impl<K, V> FusedIterator for Keys<'_, K, V> {}

/// An iterator over values. Made by [`Pinned::values`](crate::Pinned::values).
#[derive(Debug)]
pub struct Values<'p, K, V>(pub(super) Iter<'p, K, V>);

impl<'p, K, V> Iterator for Values<'p, K, V> {
    type Item = &'p V;

    #[inline]
    fn next(&mut self) -> Option<&'p V> {
        self.0.next().map(|(_, value)| value)
    }
}

impl<K, V> FusedIterator for Values<'_, K, V> {}

/// An iterator over entries with exclusively borrowed values. Made by
/// [`HashMap::iter_mut`].
pub struct IterMut<'a, K, V>(pub(super) NodesMut<'a, K, V>);

impl<'a, K, V> Iterator for IterMut<'a, K, V> {
    type Item = (&'a K, &'a mut V);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.remaining(), Some(self.0.remaining()))
    }
}

impl<K, V> ExactSizeIterator for IterMut<'_, K, V> {}
impl<K, V> FusedIterator for IterMut<'_, K, V> {}

/// An iterator over exclusively borrowed values. Made by [`HashMap::values_mut`].
pub struct ValuesMut<'a, K, V>(pub(super) IterMut<'a, K, V>);

impl<'a, K, V> Iterator for ValuesMut<'a, K, V> {
    type Item = &'a mut V;

    #[inline]
    fn next(&mut self) -> Option<&'a mut V> {
        self.0.next().map(|(_, value)| value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<K, V> ExactSizeIterator for ValuesMut<'_, K, V> {}
impl<K, V> FusedIterator for ValuesMut<'_, K, V> {}

/// An iterator over the entries of a map that it has consumed.
pub struct IntoIter<K, V>(pub(crate) IntoNodes<K, V>);

impl<K, V> Iterator for IntoIter<K, V> {
    type Item = (K, V);

    #[inline]
    fn next(&mut self) -> Option<(K, V)> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.remaining(), Some(self.0.remaining()))
    }
}

impl<K, V> ExactSizeIterator for IntoIter<K, V> {}
impl<K, V> FusedIterator for IntoIter<K, V> {}

/// An iterator over the entries that it has taken out of a map. Made by
/// [`HashMap::drain`].
pub struct Drain<'a, K, V> {
    nodes: IntoNodes<K, V>,
    // Exclusive, as for the standard map: it leaves room to give the table back.
    marker: PhantomData<&'a mut (K, V)>,
}

impl<K, V> Drain<'_, K, V> {
    pub(super) fn new(nodes: IntoNodes<K, V>) -> Self {
        Drain { nodes, marker: PhantomData }
    }
}

impl<K, V> Iterator for Drain<'_, K, V> {
    type Item = (K, V);

    #[inline]
    fn next(&mut self) -> Option<(K, V)> {
        self.nodes.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.nodes.remaining(), Some(self.nodes.remaining()))
    }
}

impl<K, V> ExactSizeIterator for Drain<'_, K, V> {}
impl<K, V> FusedIterator for Drain<'_, K, V> {}

macro_rules! debug_by_remaining {
    ($($name:ident<$($parameter:tt),*>)*) => {$(
        impl<$($parameter),*> fmt::Debug for $name<$($parameter),*> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("remaining", &self.size_hint().0)
                    .finish_non_exhaustive()
            }
        }
    )*};
}

debug_by_remaining! {
    IterMut<'a, K, V>
    ValuesMut<'a, K, V>
    IntoIter<K, V>
    Drain<'a, K, V>
}

impl<K, V, S> IntoIterator for HashMap<K, V, S> {
    type Item = (K, V);
    type IntoIter = IntoIter<K, V>;

    /// Consumes the map. What was removed from it earlier is dropped now.
    fn into_iter(mut self) -> IntoIter<K, V> {
        let nodes = self.raw.take_nodes();
        // Before there is a result, which would leak if a drop in here panics.
        drop(self);
        IntoIter(nodes)
    }
}

impl<'a, K, V, S> IntoIterator for &'a mut HashMap<K, V, S> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = IterMut<'a, K, V>;

    fn into_iter(self) -> IterMut<'a, K, V> {
        self.iter_mut()
    }
}
