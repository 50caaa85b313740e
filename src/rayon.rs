//! Feature `rayon`: parallel iteration, and collecting from parallel iterators.
//!
//! Parallel iteration over a shared map goes through a pinned view, because its items are
//! plain references, which may be collected: the view keeps them all, on whatever thread
//! they were found. A pin keeps everything that was in the map when it was made, or came
//! later, from being freed; it does not matter which thread follows the pointers.

use std::hash::{BuildHasher, Hash};

use rayon::iter::{
    FromParallelIterator, IntoParallelIterator, ParallelExtend, ParallelIterator,
    plumbing::{Folder, UnindexedConsumer, UnindexedProducer, bridge_unindexed},
};

use crate::{
    HashMap, HashSet, Iter, Pinned, PinnedSet,
    map::{Bulk, Present},
};

/// A parallel iterator over the entries of a map that others may be writing to. Made by
/// `par_iter` on [`Pinned`].
#[derive(Debug)]
pub struct ParIter<'p, K, V>(Iter<'p, K, V>);

impl<'p, K: Sync, V: Sync, S> IntoParallelIterator for &'p Pinned<'_, K, V, S> {
    type Item = (&'p K, &'p V);
    type Iter = ParIter<'p, K, V>;

    fn into_par_iter(self) -> ParIter<'p, K, V> {
        ParIter(self.iter())
    }
}

impl<'p, K: Sync, V: Sync> ParallelIterator for ParIter<'p, K, V> {
    type Item = (&'p K, &'p V);

    fn drive_unindexed<C: UnindexedConsumer<Self::Item>>(self, consumer: C) -> C::Result {
        bridge_unindexed(self, consumer)
    }
}

impl<'p, K: Sync, V: Sync> UnindexedProducer for ParIter<'p, K, V> {
    type Item = (&'p K, &'p V);

    fn split(mut self) -> (Self, Option<Self>) {
        let other = self.0.split().map(ParIter);
        (self, other)
    }

    fn fold_with<F: Folder<Self::Item>>(self, folder: F) -> F {
        folder.consume_iter(self.0)
    }
}

/// A parallel iterator over the keys of a set. Made by `par_iter` on [`PinnedSet`].
#[derive(Debug)]
pub struct ParKeys<'p, K>(ParIter<'p, K, ()>);

impl<'p, K: Sync, S> IntoParallelIterator for &'p PinnedSet<'_, K, S> {
    type Item = &'p K;
    type Iter = ParKeys<'p, K>;

    fn into_par_iter(self) -> ParKeys<'p, K> {
        ParKeys(self.map.into_par_iter())
    }
}

impl<'p, K: Sync> ParallelIterator for ParKeys<'p, K> {
    type Item = &'p K;

    fn drive_unindexed<C: UnindexedConsumer<Self::Item>>(self, consumer: C) -> C::Result {
        self.0.map(|(key, ())| key).drive_unindexed(consumer)
    }
}

impl<K: Send, V: Send, S> IntoParallelIterator for HashMap<K, V, S> {
    type Item = (K, V);
    type Iter = rayon::vec::IntoIter<(K, V)>;

    /// Consumes the map. Its entries are taken out first, by the calling thread.
    fn into_par_iter(self) -> Self::Iter {
        self.into_iter().collect::<Vec<_>>().into_par_iter()
    }
}

impl<K: Send, S> IntoParallelIterator for HashSet<K, S> {
    type Item = K;
    type Iter = rayon::vec::IntoIter<K>;

    /// Consumes the set. Its keys are taken out first, by the calling thread.
    fn into_par_iter(self) -> Self::Iter {
        self.into_iter().collect::<Vec<_>>().into_par_iter()
    }
}

impl<K, V, S> ParallelExtend<(K, V)> for &HashMap<K, V, S>
where
    K: Hash + Eq + Send + Sync,
    V: Send + Sync,
    S: BuildHasher + Sync,
{
    /// Inserts all entries, from all threads at once; a shared map can be extended.
    fn par_extend<I: IntoParallelIterator<Item = (K, V)>>(&mut self, entries: I) {
        let map = *self;
        entries.into_par_iter().for_each(|(key, value)| drop(map.insert(key, value)));
    }
}

impl<K, V, S> ParallelExtend<(K, V)> for HashMap<K, V, S>
where
    K: Hash + Eq + Send + Sync,
    V: Send + Sync,
    S: BuildHasher + Sync,
{
    /// Inserts all entries, from all threads at once, each of which waits for several parts of the
    /// table at a time.
    fn par_extend<I: IntoParallelIterator<Item = (K, V)>>(&mut self, entries: I) {
        let map = &*self;
        let bulk = || Bulk::new(map, Present::Replace);
        let push = |bulk: &mut Bulk<'_, K, V, S>, (key, value)| bulk.push(key, value);
        entries.into_par_iter().for_each_init(bulk, push);
    }
}

impl<K, V, S> FromParallelIterator<(K, V)> for HashMap<K, V, S>
where
    K: Hash + Eq + Send + Sync,
    V: Send + Sync,
    S: BuildHasher + Default + Sync,
{
    fn from_par_iter<I: IntoParallelIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        map.par_extend(entries);
        map
    }
}

impl<K, S> ParallelExtend<K> for &HashSet<K, S>
where
    K: Hash + Eq + Send + Sync,
    S: BuildHasher + Sync,
{
    /// Inserts all keys, from all threads at once; a shared set can be extended.
    fn par_extend<I: IntoParallelIterator<Item = K>>(&mut self, keys: I) {
        let set = *self;
        keys.into_par_iter().for_each(|key| {
            set.insert(key);
        });
    }
}

impl<K, S> ParallelExtend<K> for HashSet<K, S>
where
    K: Hash + Eq + Send + Sync,
    S: BuildHasher + Sync,
{
    /// Inserts all keys; see [`HashMap`]'s.
    fn par_extend<I: IntoParallelIterator<Item = K>>(&mut self, keys: I) {
        let map = &self.map;
        let bulk = || Bulk::new(map, Present::Keep);
        let push = |bulk: &mut Bulk<'_, K, (), S>, key| bulk.push(key, ());
        keys.into_par_iter().for_each_init(bulk, push);
    }
}

impl<K, S> FromParallelIterator<K> for HashSet<K, S>
where
    K: Hash + Eq + Send + Sync,
    S: BuildHasher + Default + Sync,
{
    fn from_par_iter<I: IntoParallelIterator<Item = K>>(keys: I) -> Self {
        let mut set = Self::default();
        set.par_extend(keys);
        set
    }
}
