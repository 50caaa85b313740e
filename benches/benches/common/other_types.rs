//! Loops over maps of other types than `u64` to `u64`: keys that are texts, values that are large.

use std::hint::black_box;
use std::time::{Duration, Instant};

use super::keys::{self, Window, text};
use super::maps::{Key, Large, Map, Session, Value};
use super::work::WRITES_PER_SESSION;

/// A map of `entries` texts, each of them with the value of the key that it spells.
pub fn texts<M: Map<String>>(entries: usize) -> M {
    let map = M::new();
    for chunk in keys::present(entries).chunks(WRITES_PER_SESSION) {
        let session = map.session();
        chunk.iter().for_each(|&key| _ = session.insert(text(key), !key));
    }
    settle(&map, entries, text, |key| !key);
    map
}

/// Fills an empty map with texts. Allocating them is not timed, nor is dropping the map.
pub fn fill_with_texts<M: Map<String>>(keys: &[u64]) -> Duration {
    let mut texts: Vec<_> = keys.iter().copied().map(text).collect();
    let start = Instant::now();
    let map = M::new();
    let mut texts = texts.drain(..);
    while !texts.as_slice().is_empty() {
        let session = map.session();
        for text in texts.by_ref().take(WRITES_PER_SESSION) {
            black_box(session.insert_new(text, 1));
        }
    }
    let time = start.elapsed();
    let sum = map.session().sum_of_all();
    assert_eq!(sum.digests, keys.len() as u64, "{} lost a key", M::NAME);
    time
}

/// A map of `entries` large values.
pub fn large<M: Map<u64, Large>>(entries: usize) -> M {
    let map = M::new();
    for chunk in keys::present(entries).chunks(WRITES_PER_SESSION) {
        let session = map.session();
        chunk.iter().for_each(|&key| _ = session.insert_new(key, Large::of(key)));
    }
    settle(&map, entries, |key| key, Large::of);
    map
}

/// Brings a map to rest, as [`work::settle`](super::work::settle) does, and makes sure that it has
/// what it should.
fn settle<K: Key, V: Value, M: Map<K, V>>(
    map: &M,
    entries: usize,
    key_of: impl Fn(u64) -> K,
    value_of: impl Fn(u64) -> V,
) {
    let keys = keys::present(entries);
    let some = (entries / 16).max(4096).min(entries);
    for chunk in keys[..some].chunks(WRITES_PER_SESSION) {
        let session = map.session();
        chunk.iter().for_each(|&key| _ = session.insert(key_of(key), value_of(key)));
    }
    map.flush();
    let session = map.session();
    for &key in keys.iter().rev().take(1000) {
        let found = session.get(&key_of(key));
        assert_eq!(found, Some(value_of(key).digest()), "{} lost a key", M::NAME);
    }
    for absent in (entries..).take(1000).map(|index| key_of(keys::mix(index))) {
        assert_eq!(session.get(&absent), None, "{} holds what nobody inserted", M::NAME);
    }
}

/// Gives every key, all present, a large value, by what the map has for keys that it knows to be
/// there.
pub fn large_updates<M: Map<u64, Large>>(map: &M, keys: Window<'_>) -> Duration {
    let start = Instant::now();
    let mut updated = 0;
    for chunk in keys.parts().flat_map(|part| part.chunks(WRITES_PER_SESSION)) {
        let session = map.session();
        updated += chunk.iter().filter(|&key| session.update(key, Large::of(*key))).count();
    }
    let time = start.elapsed();
    assert_eq!(updated, keys.len(), "{} lost a key", M::NAME);
    let Some(&key) = keys.parts().flatten().next() else { return time };
    let digest = map.session().get(&key);
    assert_eq!(digest, Some(Large::of(key).digest()), "{} changed a value", M::NAME);
    time
}
