//! What each method returns, through the map and through a pinned view, where random
//! sequences (`model.rs`) do not look: keys that can be told apart, references, errors.

mod common;

use std::{
    error::Error,
    fmt::Write,
    hash::{BuildHasher, Hash, Hasher},
};

use binlock::{ComputeError, HashMap, OccupiedError, RecursiveUpdate, Ref};
use common::Hashers;
use equivalent::Equivalent;

/// Equal if the number is.
#[derive(Clone, Debug)]
struct Key(u32, &'static str);

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[test]
fn insert_and_replace_replace_the_key_and_try_insert_does_not() {
    for hasher in Hashers::ALL {
        let map = HashMap::with_hasher(hasher);
        assert!(map.insert(Key(1, "first"), 10).is_none());
        let old = map.insert(Key(1, "second"), 20).unwrap();
        assert_eq!((old.key().1, *old), ("first", 10));
        assert_eq!(map.get(&Key(1, "")).unwrap().key().1, "second");
        let old = map.replace(Key(1, "third"), 30).unwrap();
        assert_eq!((old.key().1, *old), ("second", 20));
        let error = map.try_insert(Key(1, "fourth"), 40).unwrap_err();
        assert_eq!((error.current.key().1, *error.current, error.value), ("third", 30, 40));
        assert_eq!(map.pin().get_key_value(&Key(1, "")).unwrap().0.1, "third");
        assert!(map.replace(Key(2, "absent"), 50).is_none());
        assert_eq!(map.len(), 1);
        let removed = map.remove_entry(&Key(1, "")).unwrap();
        assert_eq!((removed.key().1, *removed), ("third", 30));
    }
}

#[test]
fn a_pinned_view_returns_plain_references_to_the_same() {
    let map = HashMap::with_hasher(Hashers::FewBits(1));
    let pinned = map.pin();
    assert_eq!(pinned.insert(Key(1, "first"), 10), None);
    assert_eq!(pinned.insert(Key(1, "second"), 20), Some(&10));
    assert_eq!(pinned.replace(Key(1, "third"), 30), Some(&20));
    assert_eq!(pinned.replace(Key(2, "absent"), 50), None);
    let OccupiedError { current, value } = pinned.try_insert(Key(1, "fourth"), 40).unwrap_err();
    assert_eq!((current, value), (&30, 40));
    assert_eq!(pinned.try_insert(Key(3, "new"), 60).ok(), Some(&60));
    assert!(std::ptr::eq(current, pinned.get(&Key(1, "")).unwrap()));
    assert!(pinned.contains_key(&Key(3, "")) && !pinned.contains_key(&Key(2, "")));
    assert_eq!(
        pinned.get_key_value(&Key(1, "")).map(|(key, value)| (key.1, value)),
        Some(("third", &30))
    );
    assert_eq!(pinned.remove_if(&Key(1, ""), |key, value| key.1 == "first" || *value < 30), None);
    assert_eq!(
        pinned.remove_if(&Key(1, ""), |key, value| key.1 == "third" && *value == 30).unwrap().1,
        &30
    );
    assert_eq!(
        pinned.remove_entry(&Key(3, "")).map(|(key, value)| (key.1, value)),
        Some(("new", &60))
    );
    assert_eq!(pinned.remove(&Key(3, "")), None);
    assert_eq!((pinned.is_empty(), pinned.len()), (true, 0));
    assert!(std::ptr::eq(pinned.map(), &map));
}

#[test]
fn keys_are_looked_up_by_anything_that_is_equivalent() {
    /// A key's parts, without the key.
    #[derive(Hash)]
    struct Parts<'a>(&'a str, u32);

    impl Equivalent<(String, u32)> for Parts<'_> {
        fn equivalent(&self, key: &(String, u32)) -> bool {
            (self.0, self.1) == (key.0.as_str(), key.1)
        }
    }

    let mut map = HashMap::from([(("one".to_string(), 1), 'a'), (("two".to_string(), 2), 'b')]);
    assert_eq!(*map.get(&Parts("one", 1)).unwrap(), 'a');
    assert!(map.contains_key(&Parts("two", 2)) && !map.contains_key(&Parts("two", 1)));
    let found = map.get_many([&Parts("two", 2), &Parts("one", 2)]);
    assert!(found[0].as_ref().is_some_and(|value| *value == 'b') && found[1].is_none());
    drop(found);
    *map.get_mut(&Parts("one", 1)).unwrap() = 'c';
    assert_eq!(map.pin().get_key_value(&Parts("one", 1)).map(|(_, value)| *value), Some('c'));
    assert!(map.remove_if(&Parts("one", 1), |_, value| *value == 'a').is_none());
    assert_eq!(*map.remove(&Parts("one", 1)).unwrap(), 'c');
    assert_eq!(map.pin().remove_entry(&Parts("two", 2)).map(|(key, _)| key.1), Some(2));
    // By what a key borrows as, too.
    let map = HashMap::from([("one".to_string(), 1)]);
    assert!(map.contains_key("one") && map.get(&"one".to_string()).is_some());
}

#[test]
fn get_many_finds_each_key_of_a_batch_of_any_size() {
    for hasher in Hashers::ALL {
        let map: HashMap<u64, u64, Hashers> = HashMap::with_hasher(hasher);
        for key in 0..100 {
            map.insert(2 * key, key);
        }
        let none: [&u64; 0] = [];
        assert!(map.get_many(none).is_empty() && map.pin().get_many(none).is_empty());
        let keys: [u64; 64] = std::array::from_fn(|i| i as u64 * 3);
        let found = map.get_many(keys.each_ref());
        let pinned = map.pin();
        let found_too = pinned.get_many(keys.each_ref());
        for (key, (found, found_too)) in keys.into_iter().zip(found.into_iter().zip(found_too)) {
            let expected = (key % 2 == 0).then_some(key / 2);
            assert_eq!((found.map(|v| *v), found_too.copied()), (expected, expected));
        }
        // The same one over and over.
        assert_eq!(pinned.get_many([&4; 20]), [Some(&2); 20]);
        // In the middle of a transfer, and after it.
        for reserve in [1_000, 100_000] {
            map.reserve(reserve);
            assert_eq!(map.pin().get_many([&0, &1, &198, &200]), [Some(&0), None, Some(&99), None]);
        }
    }
    assert_eq!(HashMap::<u64, u64>::new().pin().get_many([&1, &2]), [None, None]);
}

#[test]
fn a_ref_stands_for_its_value() {
    let map = HashMap::from([("key", "value".to_string())]);
    let entry: Ref<'_, &str, String> = map.get("key").unwrap();
    assert_eq!((entry.key(), entry.value()), (&"key", &"value".to_string()));
    assert_eq!(entry.len(), 5);
    assert_eq!(AsRef::<String>::as_ref(&entry), "value");
    assert_eq!(entry, "value".to_string());
    assert_eq!(entry, map.get_key_value("key").unwrap());
    assert_eq!((format!("{entry}"), format!("{entry:?}")), ("value".into(), "\"value\"".into()));
    assert_eq!(format!("{entry:>7}"), "  value");
}

#[test]
fn errors_say_what_happened() {
    fn message(error: impl Error) -> String {
        assert!(error.source().is_none());
        error.to_string()
    }
    let map = HashMap::from([(1, 'a')]);
    let error = map.try_insert(1, 'b').unwrap_err();
    assert_eq!(format!("{error:?}"), "OccupiedError { current: 'a', value: 'b' }");
    assert!(message(error).contains("the key is present"));
    let error = map.try_reserve(usize::MAX).unwrap_err();
    assert!(!format!("{error:?}").is_empty());
    assert!(message(error).contains("cannot be addressed"));
}

#[test]
fn values_are_changed_in_place_where_the_map_is_borrowed_exclusively() {
    for hasher in Hashers::ALL {
        let mut map = HashMap::with_hasher(hasher);
        for key in 0..40 {
            map.insert(key, String::new());
        }
        for key in 0..40 {
            write!(map.get_mut(&key).unwrap(), "{key}").unwrap();
        }
        assert!(map.get_mut(&40).is_none());
        map.iter_mut().for_each(|(key, value)| write!(value, "-{key}").unwrap());
        map.values_mut().for_each(|value| value.push('!'));
        for (key, value) in &mut map {
            assert_eq!(*value, format!("{key}-{key}!"));
        }
        assert_eq!(*map.get(&7).unwrap(), "7-7!");
        assert_eq!(map.len(), 40);
    }
}

#[test]
fn retain_asks_about_every_entry_once_and_keeps_those_that_it_should() {
    for hasher in Hashers::ALL {
        let map = HashMap::with_hasher(hasher);
        for key in 0..60 {
            map.insert(key, key * 10);
        }
        let mut asked = Vec::new();
        map.retain(|key, value| {
            assert_eq!(*value, key * 10);
            asked.push(*key);
            key % 3 == 0
        });
        asked.sort();
        assert!(asked.into_iter().eq(0..60));
        assert_eq!(map.len(), 20);
        map.pin().retain(|key, _| *key == 3);
        assert_eq!(map.pin().iter().collect::<Vec<_>>(), [(&3, &30)]);
    }
}

#[test]
fn an_entry_computes_a_value_only_where_there_is_none() {
    let map = HashMap::from([(1, 10)]);
    let fresh = || unreachable!("the key is present");
    assert_eq!(*map.entry(1).unwrap().or_insert_with(fresh).unwrap(), 10);
    assert_eq!(*map.entry(1).unwrap().or_insert_with_key(|_| unreachable!()).unwrap(), 10);
    let refused: Result<_, ComputeError<()>> =
        map.entry(1).unwrap().or_try_insert_with(|_| unreachable!());
    assert_eq!(*refused.unwrap(), 10);
    assert_eq!(*map.entry(1).unwrap().or_default().unwrap(), 10);

    assert_eq!(*map.entry(2).unwrap().or_insert_with(|| 20).unwrap(), 20);
    assert_eq!(*map.entry(3).unwrap().or_insert_with_key(|key| key * 10).unwrap(), 30);
    let made = map.entry(4).unwrap().or_try_insert_with(|key| Ok::<_, ()>(key * 10));
    assert_eq!(*made.unwrap(), 40);
    assert_eq!(*map.entry(5).unwrap().or_default().unwrap(), 0);
    match map.entry(6).unwrap().or_try_insert_with(|key| Err(key + 1)) {
        Err(ComputeError::Closure(error)) => assert_eq!(error, 7),
        other => panic!("{:?}", other.map(|value| *value)),
    }
    assert!(!map.contains_key(&6));

    let pinned = map.pin();
    assert_eq!(pinned.entry(1).unwrap().or_default().unwrap(), &10);
    assert_eq!(pinned.entry(7).unwrap().or_insert_with_key(|key| key * 10).unwrap(), &70);
    assert_eq!(pinned.entry(8).unwrap().or_default().unwrap(), &0);
    assert_eq!(map.len(), 7);
}

#[test]
fn entries_show_their_key_and_their_value() {
    let map = HashMap::from([(1, 'a')]);
    let shown = format!("{:?}", map.entry(1).unwrap());
    assert_eq!(shown, "Entry(OccupiedEntry { key: 1, value: 'a' })");
    assert_eq!(format!("{:?}", map.pin().entry(2).unwrap()), "Entry(VacantEntry(2))");
    assert_eq!(map.len(), 1);
}

/// An error with a cause.
#[derive(Debug)]
struct Chained(std::num::ParseIntError);

impl std::fmt::Display for Chained {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no number")
    }
}

impl Error for Chained {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn a_computation_that_failed_says_why() {
    let map = HashMap::new();
    let failed = map.try_compute_if_absent(1, |_| "x".parse::<u32>()).map(|value| *value);
    let failed = failed.unwrap_err();
    let cause = failed.closure().expect("what the closure returned");
    assert!(failed.to_string().ends_with(&cause.to_string()), "{failed}");
    // What is in the message is no source as well: a report of all would tell it twice.
    assert!(failed.source().is_none());
    let chained = ComputeError::Closure(Chained(failed.closure().unwrap().clone()));
    assert_eq!(chained.source().unwrap().to_string(), cause.to_string());

    // In itself: the inner one is refused, and the outer one passes that on.
    let refused = map.try_compute_if_absent(1, |_| {
        let inner = map.try_compute_if_absent(1, |_| Ok::<_, RecursiveUpdate>(1));
        inner.map(|value| *value).map_err(RecursiveUpdate::from)
    });
    let refused = refused.map(|value| *value).unwrap_err();
    assert!(matches!(&refused, ComputeError::Closure(RecursiveUpdate { .. })));
    assert!(refused.source().is_none() && refused.closure().is_some());
    assert_eq!(refused.clone().flatten().to_string(), recursive(&map).to_string());
    let asked = ComputeError::<Box<dyn Error>>::from(recursive(&map));
    assert!(asked.closure().is_none() && asked.flatten().is::<RecursiveUpdate>());
    assert_eq!(RecursiveUpdate::from(refused).to_string(), recursive(&map).to_string());
    assert!(map.is_empty());
}

/// What a computation that needs itself is told.
fn recursive(map: &HashMap<i32, u32>) -> RecursiveUpdate {
    let mut told = None;
    map.compute_if_absent(2, |_| {
        told = map.compute_if_absent(2, |_| 1).map(drop).err();
        0
    })
    .unwrap();
    map.remove(&2);
    told.expect("it is refused")
}

#[test]
fn a_pinned_view_hashes_as_its_map_does() {
    let map = HashMap::<i32, i32, Hashers>::with_hasher(Hashers::Good(7));
    assert_eq!(map.pin().hasher().hash_one(1), map.hasher().hash_one(1));
    assert_eq!(map.hasher().hash_one(1), Hashers::Good(7).hash_one(1));
}

/// So that functions return it in registers.
#[test]
fn an_entry_with_its_pin_is_two_words() {
    type Entry = Ref<'static, u64, u64>;
    let sizes = [size_of::<Entry>(), size_of::<Option<Entry>>()];
    assert_eq!(sizes, [2 * size_of::<usize>(); 2]);
}
