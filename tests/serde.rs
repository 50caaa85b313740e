//! Feature `serde`: maps as maps, sets as sequences, both ways.

#![cfg(feature = "serde")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use binlock::{HashMap, HashSet};
use common::{Hashers, race, within};
use serde::{Deserialize, Serialize};

#[test]
fn a_map_is_written_as_the_standard_map_is() {
    let map = HashMap::from([("key".to_string(), vec![1, 2])]);
    assert_eq!(serde_json::to_string(&map).unwrap(), r#"{"key":[1,2]}"#);
    let many: HashMap<u32, String> = (0..500).map(|i| (i, i.to_string())).collect();
    let written = serde_json::to_value(&many).unwrap();
    let expected: BTreeMap<u32, String> = (0..500).map(|i| (i, i.to_string())).collect();
    assert_eq!(written, serde_json::to_value(expected).unwrap());
    assert_eq!(serde_json::to_string(&HashMap::<u8, u8>::new()).unwrap(), "{}");
}

#[test]
fn a_map_that_was_written_is_read_again() {
    let map: HashMap<String, Vec<u64>, Hashers> =
        (0..5_000).map(|i| (i.to_string(), vec![i; 3])).collect();
    let written = serde_json::to_string(&map).unwrap();
    let read: HashMap<String, Vec<u64>, Hashers> = serde_json::from_str(&written).unwrap();
    assert_eq!(read, map);
    let read: HashMap<u8, u8> = serde_json::from_str("{}").unwrap();
    assert!(read.is_empty());
}

#[test]
fn of_a_key_that_comes_twice_the_last_value_is_kept() {
    let read: HashMap<String, u8> = serde_json::from_str(r#"{"a":1,"b":2,"a":3}"#).unwrap();
    assert_eq!(read, HashMap::from([("a".to_string(), 3), ("b".to_string(), 2)]));
}

#[test]
fn keys_and_values_may_borrow_from_what_is_read() {
    let text = r#"{"key":"value"}"#.to_string();
    let read: HashMap<&str, &str> = serde_json::from_str(&text).unwrap();
    let value: &str = read.pin().get("key").unwrap();
    assert!(text.as_bytes().as_ptr_range().contains(&value.as_ptr()));
}

#[test]
fn what_is_no_map_is_refused_with_what_was_expected() {
    for (text, expected) in [("[1]", "a map"), (r#"{"a":"b"}"#, "u8"), (r#"{"a":1"#, "EOF")] {
        let error = serde_json::from_str::<HashMap<String, u8>>(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = serde_json::from_str::<HashSet<u8>>("{}").unwrap_err();
    assert!(error.to_string().contains("a sequence of keys"), "{error}");
}

#[test]
fn a_set_is_written_as_a_sequence_and_read_again() {
    assert_eq!(serde_json::to_string(&HashSet::from(["key"])).unwrap(), r#"["key"]"#);
    let set: HashSet<u32, Hashers> = (0..3_000).collect();
    let written = serde_json::to_string(&set).unwrap();
    let keys: BTreeSet<u32> =
        serde_json::from_str::<Vec<u32>>(&written).unwrap().into_iter().collect();
    assert!(keys.into_iter().eq(0..3_000));
    let read: HashSet<u32, Hashers> = serde_json::from_str(&written).unwrap();
    assert_eq!(read, set);
    let twice: HashSet<u8> = serde_json::from_str("[1,2,1]").unwrap();
    assert_eq!(twice, HashSet::from([1, 2]));
}

#[test]
fn maps_and_sets_may_be_fields() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct State {
        sessions: HashMap<u64, String>,
        seen: HashSet<String>,
    }
    let state = State {
        sessions: HashMap::from([(1, "one".to_string())]),
        seen: HashSet::from(["a".to_string(), "b".to_string()]),
    };
    let written = serde_json::to_value(&state).unwrap();
    assert_eq!(serde_json::from_value::<State>(written).unwrap(), state);
}

#[test]
fn a_length_that_an_input_claims_is_not_believed() {
    use serde::de::{
        IntoDeserializer,
        value::{Error, MapDeserializer, SeqDeserializer},
    };

    /// Says that it is as long as can be.
    struct Boasting<I>(I);
    impl<I: Iterator> Iterator for Boasting<I> {
        type Item = I::Item;

        fn next(&mut self) -> Option<I::Item> {
            self.0.next()
        }

        fn size_hint(&self) -> (usize, Option<usize>) {
            (usize::MAX, Some(usize::MAX))
        }
    }
    // `deserialize` of these asks the iterator for its length; `end`, which would find out,
    // is not called.
    let entries = Boasting([(1_u8, 2_u8)].into_iter());
    let map = HashMap::<u8, u8>::deserialize(MapDeserializer::<_, Error>::new(entries));
    assert!(map.is_ok_and(|map| map.len() == 1 && map.capacity() < 100_000));
    let keys = Boasting([1_u8].into_iter().map(IntoDeserializer::<Error>::into_deserializer));
    let set = HashSet::<u8>::deserialize(SeqDeserializer::<_, Error>::new(keys));
    assert!(set.is_ok_and(|set| set.len() == 1 && set.capacity() < 100_000));
}

#[test]
fn a_map_may_be_written_while_others_write_to_it() {
    within(240, || {
        let map = &HashMap::<u64, u64>::new();
        for key in 0..100 {
            map.insert(key, key);
        }
        race(
            3,
            |writer| {
                for i in 0..3_000 {
                    map.insert(1_000 + i * 3 + writer as u64, 0);
                    map.remove(&(1_000 + i));
                }
            },
            2,
            |_| {
                let written = serde_json::to_string(map).unwrap();
                let read: BTreeMap<u64, u64> = serde_json::from_str(&written).unwrap();
                assert!((0..100).all(|key| read.get(&key) == Some(&key)));
            },
        );
    });
}
