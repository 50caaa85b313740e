//! The compute family: `HashMap`'s and `Pinned`'s methods are these with a way to pin.

use std::{
    convert::Infallible,
    hash::{BuildHasher, Hash},
    ptr::NonNull,
};

use equivalent::Equivalent;

use super::{
    ComputeError, Entry, HashMap, OccupiedEntry, RecursiveUpdate, VacantEntry, pinning::Style,
};
use crate::{
    claims::ThreadHolder,
    epoch::Pins,
    raw::{Claim, Node, Overtaken, Taken},
};

/// `try_compute_if_absent`.
#[inline]
pub(super) fn try_if_absent<'a, K, V, S, P, E>(
    map: &'a HashMap<K, V, S>,
    pinning: P,
    key: K,
    f: impl FnOnce(&K) -> Result<V, E>,
) -> Result<P::Found<K, V>, ComputeError<E>>
where
    K: Hash + Eq,
    S: BuildHasher,
    P: Style<'a>,
{
    let pins = pinning.pins_to_read();
    let hash = map.hash(&key);
    if let Some(node) = map.raw.get(hash, |other| *other == key, pins.guard()) {
        let node = NonNull::from(node);
        // Before there is a result, which would leak, pin and all, if this panics.
        drop((key, f));
        // SAFETY: found under these pins just now.
        return Ok(unsafe { P::found(pins, node) });
    }
    try_if_absent_claimed::<K, V, S, P, E>(map, pins.into_writing(), hash, key, f)
}

#[inline(never)]
fn try_if_absent_claimed<'a, K, V, S, P, E>(
    map: &'a HashMap<K, V, S>,
    mut pins: P::Pins,
    hash: u64,
    key: K,
    f: impl FnOnce(&K) -> Result<V, E>,
) -> Result<P::Found<K, V>, ComputeError<E>>
where
    K: Hash + Eq,
    P: Style<'a>,
{
    let mut key = Some(key);
    let mut claim = Claim::new(&map.raw, hash, ThreadHolder::closure());
    let node = match claim.take_absent(&mut key, &mut pins) {
        Taken::Present(node) => {
            drop((key, f));
            node
        }
        Taken::Claimed => {
            let value = pins.unpinned(|| f(claim.key())).map_err(ComputeError::Closure)?;
            claim.fill(value, pins.guard()).map_err(overtaken)?
        }
        Taken::Recursive(length) => return Err(RecursiveUpdate::asked(length).into()),
    };
    // SAFETY: found, or published, under these pins as they are since.
    Ok(unsafe { P::found(pins, node) })
}

/// `compute_if_absent`.
#[inline]
pub(super) fn if_absent<'a, K, V, S, P>(
    map: &'a HashMap<K, V, S>,
    pinning: P,
    key: K,
    f: impl FnOnce(&K) -> V,
) -> Result<P::Found<K, V>, RecursiveUpdate>
where
    K: Hash + Eq,
    S: BuildHasher,
    P: Style<'a>,
{
    match try_if_absent(map, pinning, key, |key| Ok::<V, Infallible>(f(key))) {
        Ok(found) => Ok(found),
        Err(ComputeError::Recursive(error)) => Err(error),
    }
}

/// `compute_if_present`.
pub(super) fn if_present<'a, K, V, S, P, Q>(
    map: &'a HashMap<K, V, S>,
    pinning: P,
    key: &Q,
    f: impl FnOnce(&K, &V) -> Option<V>,
) -> Result<Option<P::Found<K, V>>, RecursiveUpdate>
where
    K: Hash + Eq + Clone,
    S: BuildHasher,
    P: Style<'a>,
    Q: Hash + Equivalent<K> + ?Sized,
{
    let mut pins = pinning.pins();
    let mut claim = Claim::new(&map.raw, map.hash(key), ThreadHolder::closure());
    let present = claim.take_present(|other| key.equivalent(other), &mut pins);
    if !present.map_err(RecursiveUpdate::asked)? {
        return Ok(None);
    }
    let entry = pins.unpinned(|| {
        let value = f(claim.key(), claim.value()?)?;
        Some((claim.key().clone(), value))
    });
    let guard = pins.guard();
    let node = match entry {
        Some((key, value)) => Some(claim.replace(key, value, guard).map_err(overtaken)?),
        None => {
            claim.remove(guard).map_err(overtaken)?;
            None
        }
    };
    // SAFETY: published under these pins as they are since.
    Ok(node.map(|node| unsafe { P::found(pins, node) }))
}

/// `compute`.
#[inline]
pub(super) fn compute<'a, K, V, S, P>(
    map: &'a HashMap<K, V, S>,
    pinning: P,
    key: K,
    f: impl FnOnce(&K, Option<&V>) -> Option<V>,
) -> Result<Option<P::Found<K, V>>, RecursiveUpdate>
where
    K: Hash + Eq,
    S: BuildHasher,
    P: Style<'a>,
{
    let mut pins = pinning.pins();
    let hash = map.hash(&key);
    let mut key = Some(key);
    let mut claim = Claim::new(&map.raw, hash, ThreadHolder::closure());
    claim.take_any(&mut key, &mut pins).map_err(RecursiveUpdate::asked)?;
    let value = pins.unpinned(|| f(key.as_ref().unwrap_or(claim.key()), claim.value()));
    let guard = pins.guard();
    let node = match (key, value) {
        (Some(key), Some(value)) => Some(claim.replace(key, value, guard).map_err(overtaken)?),
        (None, Some(value)) => Some(claim.fill(value, guard).map_err(overtaken)?),
        (Some(key), None) => {
            // Before anything has happened, because it can panic.
            drop(key);
            claim.remove(guard).map_err(overtaken)?;
            None
        }
        (None, None) => claim.give_up(guard).map_err(overtaken)?,
    };
    // SAFETY: published under these pins as they are since.
    Ok(node.map(|node| unsafe { P::found(pins, node) }))
}

/// `merge`.
#[inline]
pub(super) fn merge<'a, K, V, S, P>(
    map: &'a HashMap<K, V, S>,
    pinning: P,
    key: K,
    value: V,
    f: impl FnOnce(&V, V) -> Option<V>,
) -> Result<Option<P::Found<K, V>>, RecursiveUpdate>
where
    K: Hash + Eq,
    S: BuildHasher,
    P: Style<'a>,
{
    compute(map, pinning, key, |_, current| match current {
        Some(current) => f(current, value),
        None => Some(value),
    })
}

/// `entry`.
#[inline]
pub(super) fn entry<'a, K, V, S, P>(
    map: &'a HashMap<K, V, S>,
    pinning: P,
    key: K,
) -> Result<Entry<'a, K, V, P>, RecursiveUpdate>
where
    K: Hash + Eq,
    S: BuildHasher,
    P: super::Pinning<'a>,
{
    let hash = map.hash(&key);
    let mut key = Some(key);
    let mut claim = Claim::new(&map.raw, hash, ThreadHolder::entry());
    // (To read: see `Pins::unpinned`.)
    claim.take_any(&mut key, &mut pinning.pins_to_read()).map_err(RecursiveUpdate::asked)?;
    Ok(match key {
        Some(key) => Entry::Occupied(OccupiedEntry::new(claim, key, pinning)),
        None => Entry::Vacant(VacantEntry::new(claim, pinning)),
    })
}

/// Settles a claim with a pin of its own.
#[inline]
pub(super) fn settle<'a, K, V, P>(
    pinning: P,
    settle: impl FnOnce(&crate::epoch::Guard) -> Result<NonNull<Node<K, V>>, Overtaken>,
) -> Result<P::Found<K, V>, RecursiveUpdate>
where
    P: Style<'a>,
    K: 'a,
    V: 'a,
{
    let pins = pinning.pins();
    let node = settle(pins.guard()).map_err(overtaken)?;
    // SAFETY: published, or taken out of the map, under these pins.
    Ok(unsafe { P::found(pins, node) })
}

#[cold]
pub(super) fn overtaken(Overtaken(length): Overtaken) -> RecursiveUpdate {
    RecursiveUpdate::overtaken(length)
}
