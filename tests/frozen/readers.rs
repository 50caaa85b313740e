//! Readers read on while writers stand still anywhere.

use binlock::HashMap;

use crate::{
    common::{Hashers, within},
    stopping::{WRITERS, stop_and_read},
};

/// Reads in all ways a map where keys `0..stable` are their own values and stay, and at
/// most so many others come and go.
fn read(map: &HashMap<u64, u64, Hashers>, stable: u64, others: u64) {
    let pinned = map.pin();
    for key in 0..stable {
        assert_eq!(map.get(&key).map(|value| *value), Some(key));
        assert_eq!(pinned.get_key_value(&key), Some((&key, &key)));
        assert!(map.contains_key(&key));
        let next = (key + 1) % stable;
        assert_eq!(pinned.get_many([&key, &u64::MAX, &next]), [Some(&key), None, Some(&next)]);
    }
    // What the writers were at is there or not, and nobody has to wait to know.
    for key in stable..stable + others {
        assert!(map.get(&key).is_none_or(|value| *value >= stable));
    }
    let mut seen = [0; 64];
    for key in pinned.keys().filter(|key| **key < stable) {
        seen[*key as usize] += 1;
    }
    assert!(seen[..stable as usize].iter().all(|times| *times == 1), "{seen:?}");
    assert!(map.len() as u64 <= stable + others + WRITERS as u64);
    assert_eq!(map.try_insert(0, 7).unwrap_err().value, 7);
}

#[test]
fn readers_read_on_while_writers_of_the_same_bin_stand_still_anywhere() {
    within(240, || {
        for hasher in [Hashers::Constant, Hashers::FewBits(1), Hashers::Good(1)] {
            let map = &HashMap::with_hasher(hasher);
            for key in 0..10 {
                map.insert(key, key);
            }
            stop_and_read(
                300,
                |_, random| {
                    let key = 10 + random.below(10);
                    match random.below(5) {
                        0 => drop(map.remove(&key)),
                        1 => drop(map.replace(key, key + 1)),
                        2 => drop(map.remove_if(&key, |_, value| value % 2 == 0)),
                        _ => drop(map.insert(key, random.next() | 1 << 60)),
                    }
                },
                || read(map, 10, 10),
            );
        }
    });
}

#[test]
fn readers_read_on_while_writers_stand_still_anywhere_in_growing_and_shrinking_the_map() {
    within(240, || {
        for hasher in [Hashers::Good(1), Hashers::FewBits(5)] {
            let map = &HashMap::with_hasher(hasher);
            for key in 0..50 {
                map.insert(key, key);
            }
            stop_and_read(
                300,
                |writer, _| {
                    let mine = |i| 50 + i * WRITERS as u64 + writer as u64;
                    for i in 0..300 {
                        map.insert(mine(i), 1_000);
                    }
                    map.reserve(2_000);
                    for i in 0..300 {
                        map.remove(&mine(i));
                    }
                    map.shrink_to_fit();
                },
                || read(map, 50, 600),
            );
        }
    });
}
