//! The loops that are timed, one copy for each map.
//!
//! Every loop takes the same keys in the same order whatever the map, makes its results needed
//! (`black_box` of a sum) and leaves building and dropping a map outside.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::keys::{self, Window};
use super::maps::{Bulk, Key, Map, Session, Sum, Value};

/// How many writes share a session. One session for millions of writes would keep an epoch- or
/// hazard-based map from freeing anything, which no program would do.
pub const WRITES_PER_SESSION: usize = 64;

/// How many keys a batched look-up takes.
pub const BATCH: usize = 16;

/// Looks every key up under one session.
pub fn gets<K: Key, V: Value, M: Map<K, V>>(map: &M, keys: Window<'_, K>) -> Duration {
    let start = Instant::now();
    let session = map.session();
    let mut sum = 0_u64;
    for key in keys.parts().flatten() {
        sum = sum.wrapping_add(session.get(key).unwrap_or(1));
    }
    black_box(sum);
    start.elapsed()
}

/// Looks every key up, [`BATCH`] at a time, under one session.
pub fn batches<M: Map>(map: &M, keys: Window<'_>) -> Duration {
    let start = Instant::now();
    let session = map.session();
    let mut sum = 0_u64;
    for part in keys.parts() {
        let (batches, rest) = part.as_chunks();
        assert!(rest.is_empty(), "windows and streams are whole batches long");
        for batch in batches {
            sum = sum.wrapping_add(session.sum_of_batch(batch));
        }
    }
    black_box(sum);
    start.elapsed()
}

/// Gives every key, all present, a new value.
pub fn replacements<M: Map>(map: &M, keys: Window<'_>) -> Duration {
    let start = Instant::now();
    keys.parts().for_each(|part| insert_all(map, part));
    start.elapsed()
}

/// The same by what each map has for keys that it knows to be there.
pub fn updates<M: Map>(map: &M, keys: Window<'_>) -> Duration {
    let start = Instant::now();
    let mut updated = 0;
    for chunk in keys.parts().flat_map(|part| part.chunks(WRITES_PER_SESSION)) {
        let session = map.session();
        updated += chunk.iter().filter(|&key| session.update(key, !*key)).count();
    }
    let time = start.elapsed();
    assert_eq!(updated, keys.len(), "{} lost a key", M::NAME);
    time
}

/// Removes every key of a map that holds `keys`, in another order than they came in; filling and
/// dropping it are not timed.
pub fn drain<M: Map>(keys: &[u64]) -> Duration {
    let map = M::new();
    insert_all_new(&map, keys);
    settle(&map, keys);
    let order = (0..keys.len()).map(|index| keys[keys::scattered(index, keys.len())]);
    let order: Vec<_> = order.collect();
    let start = Instant::now();
    let mut removed = 0;
    for chunk in order.chunks(WRITES_PER_SESSION) {
        let session = map.session();
        removed += chunk.iter().filter(|key| session.remove(key)).count();
    }
    let time = start.elapsed();
    assert_eq!(removed, keys.len(), "{} lost a key", M::NAME);
    assert_eq!(map.session().sum_of_all(), Sum::default(), "{} kept a key", M::NAME);
    time
}

/// Visits every entry of a map of [`keys::present`]`(entries)`.
pub fn iterate<M: Map>(map: &M, entries: usize) -> Duration {
    let start = Instant::now();
    let sum = black_box(map.session().sum_of_all());
    let time = start.elapsed();
    assert_eq!(sum.entries, entries, "{} lost an entry, or showed one twice", M::NAME);
    time
}

/// Removes every key, all present, and inserts it again.
pub fn removals<M: Map>(map: &M, keys: Window<'_>) -> Duration {
    let start = Instant::now();
    for chunk in keys.parts().flat_map(|part| part.chunks(WRITES_PER_SESSION)) {
        let session = map.session();
        for &key in chunk {
            black_box(session.remove(&key));
            black_box(session.insert(key, !key));
        }
    }
    start.elapsed()
}

/// Fills an empty map with `keys`. Dropping the map is not timed.
pub fn fill<M: Map>(keys: &[u64]) -> Duration {
    fill_new(M::new, keys)
}

/// The same with room for all from the start.
pub fn fill_with_room<M: Map>(keys: &[u64]) -> Duration {
    fill_new(|| M::with_capacity(keys.len()), keys)
}

fn fill_new<M: Map>(new: impl Fn() -> M, keys: &[u64]) -> Duration {
    let start = Instant::now();
    let map = new();
    insert_all_new(&map, keys);
    let time = start.elapsed();
    drop(map);
    time
}

/// Drops a map that holds `keys`, after it has freed what it has retired on the way, or as much of
/// that as there is a way to ask for.
pub fn drop_filled<M: Map>(keys: &[u64]) -> Duration {
    let map = M::new();
    insert_all_new(&map, keys);
    settle(&map, keys);
    let start = Instant::now();
    drop(map);
    start.elapsed()
}

/// Fills an empty map by an iterator that knows how many there are.
pub fn extend<M: Bulk>(keys: &[u64]) -> Duration {
    let start = Instant::now();
    let mut map = M::new();
    map.extend(keys.iter().map(|&key| (key, !key)));
    let time = start.elapsed();
    assert_eq!(map.session().sum_of_all().entries, keys.len(), "{} lost a key", M::NAME);
    time
}

/// Inserts every key, none of which is there, a new session every [`WRITES_PER_SESSION`].
pub fn insert_all_new<M: Map>(map: &M, keys: &[u64]) {
    write_all(map, keys, |session, key| session.insert_new(key, !key));
}

/// Inserts every key or replaces its value, a new session every [`WRITES_PER_SESSION`].
pub fn insert_all<M: Map>(map: &M, keys: &[u64]) {
    write_all(map, keys, |session, key| session.insert(key, !key));
}

#[inline(always)]
fn write_all<'m, M: Map>(map: &'m M, keys: &[u64], write: impl Fn(&M::Session<'m>, u64) -> bool) {
    for chunk in keys.chunks(WRITES_PER_SESSION) {
        let session = map.session();
        for &key in chunk {
            black_box(write(&session, key));
        }
    }
}

/// A map that holds [`keys::present`]`(entries)`, settled.
pub fn filled<M: Map>(entries: usize) -> M {
    let map = M::new();
    let keys = keys::present(entries);
    insert_all_new(&map, &keys);
    settle(&map, &keys);
    check(&map, entries);
    map
}

/// Brings a map to rest after it has been filled with `keys`.
///
/// Some maps move entries to a larger table little by little, as part of later writes. Replacing a
/// sixteenth of the values is enough for each of them to finish (the slowest moves 64 slots of its
/// table with each write), and makes those that batch their garbage hand old tables over.
pub fn settle<M: Map>(map: &M, keys: &[u64]) {
    let some = (keys.len() / 16).max(4096).min(keys.len());
    insert_all(map, &keys[..some]);
    map.flush();
}

/// A benchmark of wrong answers is worth nothing.
fn check<M: Map>(map: &M, entries: usize) {
    // The ends of the streams, so that what is asked for first is not in the caches.
    const ASKED: usize = 1000;
    let session = map.session();
    let hits = keys::Stream::hits(entries);
    let misses = keys::Stream::misses(entries);
    for &key in hits.window(hits.len() - ASKED, ASKED).parts().flatten() {
        assert_eq!(session.get(&key), Some(!key), "{} lost a key", M::NAME);
    }
    for &key in misses.window(misses.len() - ASKED, ASKED).parts().flatten() {
        assert_eq!(session.get(&key), None, "{} holds a key that nobody inserted", M::NAME);
    }
}
