//! `Send`, `Sync`, `UnwindSafe` and lifetimes are exact: what is sound compiles and works.
//! (What must not compile is in `compile_fail.rs`.)

mod common;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    panic::{RefUnwindSafe, UnwindSafe},
    rc::Rc,
    sync::{Arc, atomic::AtomicU64, mpsc},
    thread,
};

use binlock::{
    Drain, Handle, HashMap, IntoIter, Iter, IterMut, Keys, OccupiedError, Pinned, ReaderCache, Ref,
    TryReserveError, Values, ValuesMut, readers::WeakReaderCache,
};
use common::{Hashers, within};

/// What a property of types holds for, shown by this file compiling.
fn send<T: Send + ?Sized>() {}
fn sync<T: Sync + ?Sized>() {}
fn unwind_safe<T: UnwindSafe + ?Sized>() {}
fn ref_unwind_safe<T: RefUnwindSafe + ?Sized>() {}

#[test]
fn a_map_is_as_send_and_sync_as_what_is_in_it() {
    send::<HashMap<String, Vec<u8>>>();
    sync::<HashMap<String, Vec<u8>>>();
    send::<HashMap<&str, &str>>();
    sync::<HashMap<&str, &str>>();
    // To be sent, entries need not be `Sync`.
    send::<HashMap<Cell<u8>, RefCell<u8>>>();
    sync::<HashMap<u8, AtomicU64>>();
    send::<&HashMap<u8, AtomicU64>>();
    send::<Arc<HashMap<u8, u8>>>();
}

#[test]
fn iterators_are_as_send_and_sync_as_references_to_entries() {
    send::<Iter<'_, u8, String>>();
    send::<Keys<'_, u8, String>>();
    send::<Values<'_, u8, String>>();
    send::<IterMut<'_, u8, Cell<u8>>>();
    send::<ValuesMut<'_, u8, Cell<u8>>>();
    sync::<IterMut<'_, u8, String>>();
    send::<IntoIter<Cell<u8>, Cell<u8>>>();
    sync::<IntoIter<u8, String>>();
    send::<Drain<'_, Cell<u8>, Cell<u8>>>();
    sync::<Drain<'_, u8, String>>();
    send::<TryReserveError>();
    sync::<TryReserveError>();
    send::<OccupiedError<&u8, String>>();
}

#[test]
fn a_map_may_be_used_after_a_panic_has_been_caught() {
    unwind_safe::<HashMap<String, Vec<u8>>>();
    ref_unwind_safe::<HashMap<String, Vec<u8>>>();
    unwind_safe::<&HashMap<String, Vec<u8>>>();
    unwind_safe::<Arc<HashMap<String, String>>>();
    unwind_safe::<IntoIter<String, String>>();
    unwind_safe::<Iter<'_, String, String>>();
    ref_unwind_safe::<Iter<'_, String, String>>();
    unwind_safe::<ReaderCache<String, String>>();
    ref_unwind_safe::<ReaderCache<String, String>>();
    unwind_safe::<WeakReaderCache<String, String>>();
    unwind_safe::<Handle<String, String>>();
    ref_unwind_safe::<Handle<String, String>>();

    let map = HashMap::new();
    // No `AssertUnwindSafe`.
    let panicked = std::panic::catch_unwind(|| {
        map.insert(1, 'a');
        map.remove_if(&1, |_, _| std::panic::resume_unwind(Box::new(())));
    });
    assert!(panicked.is_err());
    assert_eq!(*map.get(&1).unwrap(), 'a');
}

#[test]
fn what_a_map_lends_may_take_a_shorter_lifetime() {
    fn shorten_ref<'s>(long: Ref<'s, &'static str, &'static str>) -> Ref<'s, &'s str, &'s str> {
        long
    }
    fn shorten_iter<'s>(long: Iter<'s, &'static str, &'static str>) -> Iter<'s, &'s str, &'s str> {
        long
    }
    fn shorten_keys<'s>(long: Keys<'s, &'static str, u8>) -> Keys<'s, &'s str, u8> {
        long
    }
    fn shorten_values<'s>(long: Values<'s, u8, &'static str>) -> Values<'s, u8, &'s str> {
        long
    }
    fn shorten_into_iter<'s>(long: IntoIter<&'static str, u8>) -> IntoIter<&'s str, u8> {
        long
    }
    let map = HashMap::from([("a", "b")]);
    let entry = shorten_ref(map.get("a").unwrap());
    let pinned = map.pin();
    assert_eq!(shorten_iter(pinned.iter()).next(), Some((entry.key(), entry.value())));
    let map = HashMap::from([("a", 1)]);
    assert_eq!(shorten_keys(map.pin().keys()).next(), Some(&"a"));
    let map = HashMap::from([(1, "a")]);
    assert_eq!(shorten_values(map.pin().values()).next(), Some(&"a"));
    let map = HashMap::from([("a", 1)]);
    assert_eq!(shorten_into_iter(map.into_iter()).next(), Some(("a", 1)));
}

#[test]
fn references_from_a_pinned_view_live_as_long_as_the_view() {
    let map = HashMap::from([("one".to_string(), 1), ("two".to_string(), 2)]);
    let pinned = map.pin();
    let (one, key);
    {
        let name = String::from("one");
        // The key that is looked up need not live on.
        one = pinned.get(&name).unwrap();
        key = pinned.get_key_value(name.as_str()).unwrap().0;
    }
    let removed = pinned.remove("one").unwrap();
    let replaced = pinned.insert("two".to_string(), 22).unwrap();
    map.clear();
    map.flush();
    assert_eq!((*one, key.as_str(), *removed, *replaced), (1, "one", 1, 2));
}

#[test]
fn a_ref_lives_as_long_as_its_map_and_longer_than_any_view() {
    fn longest<'m>(map: &'m HashMap<u8, String>) -> Option<Ref<'m, u8, String>> {
        let longest = {
            let pinned = map.pin();
            *pinned.iter().max_by_key(|(_, value)| value.len())?.0
        };
        map.get(&longest)
    }
    /// Can be kept with what it belongs to.
    struct Holder<'m> {
        _map: &'m HashMap<u8, String>,
        entry: Ref<'m, u8, String>,
        pinned: Pinned<'m, u8, String, ahash::RandomState>,
    }
    let map = HashMap::from([(1, "a".to_string()), (2, "abc".to_string())]);
    let holder = Holder { _map: &map, entry: longest(&map).unwrap(), pinned: map.pin() };
    map.clear();
    map.flush();
    assert_eq!(*holder.entry, "abc");
    assert!(holder.pinned.is_empty());
}

#[test]
fn keys_and_values_may_be_borrowed_and_come_from_many_threads() {
    within(240, || {
        let text: String = (0..2_000).map(|i| format!("word{} ", i % 500)).collect();
        let lengths: Vec<usize> = (0..20).collect();
        // Everything below borrows from `text` and `lengths`, and nothing is `'static`.
        let map: HashMap<&str, &usize> = HashMap::new();
        let words: Vec<&str> = text.split_whitespace().collect();
        thread::scope(|scope| {
            for part in words.chunks(250) {
                let (map, lengths) = (&map, &lengths);
                scope.spawn(move || {
                    for word in part {
                        map.insert(word, &lengths[word.len()]);
                        assert_eq!(map.get(word).map(|length| **length), Some(word.len()));
                    }
                });
            }
        });
        assert_eq!(map.len(), 500);
        let sorted: BTreeMap<_, _> = map.into_iter().collect();
        assert_eq!(sorted["word499"], &7);
    });
}

#[test]
fn values_that_are_dropped_with_their_map_may_use_what_they_borrow() {
    struct Log<'l>(&'l RefCell<Vec<u32>>, u32);
    impl Drop for Log<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }
    let log = RefCell::new(Vec::new());
    let map = HashMap::new();
    for i in 0..20 {
        map.insert(i, Log(&log, i));
    }
    map.remove(&3);
    map.insert(4, Log(&log, 104));
    drop(map);
    let mut log = log.into_inner();
    log.sort();
    assert_eq!(log, (0..20).chain([104]).collect::<Vec<_>>());
}

#[test]
fn on_one_thread_a_map_may_hold_what_cannot_be_sent() {
    let value = Rc::new(());
    let map = HashMap::new();
    for i in 0..1_000 {
        map.insert(Rc::new(i % 100), value.clone());
    }
    map.retain(|key, _| **key % 2 == 0);
    map.flush();
    assert_eq!(map.len(), 50);
    drop(map);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn a_map_of_what_is_not_sync_may_be_sent_with_its_garbage() {
    within(240, || {
        let (send, receive) = mpsc::channel();
        let last = thread::spawn(move || {
            let mut map: HashMap<u8, Cell<u32>, Hashers> = receive.recv().unwrap();
            for value in map.values_mut() {
                value.set(value.get() + 1);
            }
            assert!(map.remove(&0).is_some_and(|value| value.get() == 10));
            map.flush();
            map.len()
        });
        let map = HashMap::with_hasher(Hashers::Constant);
        for i in 0..10 {
            map.insert(i, Cell::new(0));
            map.insert(i, Cell::new(9));
        }
        send.send(map).unwrap();
        assert_eq!(last.join().unwrap(), 9);
    });
}

#[test]
fn a_map_may_be_a_static() {
    static MAP: HashMap<u64, String, Hashers> = HashMap::with_hasher(Hashers::Good(1));

    within(240, || {
        common::together(4, |thread| {
            for i in 0..100 {
                MAP.insert(i * 4 + thread as u64, i.to_string());
            }
        });
        assert_eq!(MAP.len(), 400);
        let held: Ref<'static, u64, String> = MAP.get(&0).unwrap();
        MAP.clear();
        MAP.flush();
        assert_eq!(*held, "0");
    });
}

#[test]
fn a_map_works_in_the_destructors_of_thread_locals() {
    static MAP: HashMap<u64, u64, Hashers> = HashMap::with_hasher(Hashers::Good(1));

    /// Does everything when its thread ends, before or after the crate's own thread-local
    /// is gone.
    struct AtEnd(u64);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            let first = self.0 * 1_000;
            for i in first..first + 300 {
                MAP.insert(i, i);
                assert_eq!(MAP.get(&i).map(|value| *value), Some(i));
            }
            for i in first..first + 200 {
                assert_eq!(MAP.pin().remove(&i), Some(&i));
            }
            let found = MAP.get_many([&(first + 200), &first, &(first + 299)]);
            assert_eq!(
                found.map(|value| value.map(|v| *v)),
                [Some(first + 200), None, Some(first + 299)]
            );
            assert!(MAP.pin().iter().count() >= 100);
            MAP.flush();
        }
    }
    thread_local! {
        static EARLY: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
        static LATE: RefCell<Option<AtEnd>> = const { RefCell::new(None) };
    }
    within(240, || {
        for round in 0..10 {
            // A scope ends before its threads' destructors have run; `join` does not.
            let thread = thread::spawn(move || {
                // Destructors run in one order or the other.
                EARLY.set(Some(AtEnd(2 * round)));
                MAP.insert(0, 0);
                LATE.set(Some(AtEnd(2 * round + 1)));
            });
            thread.join().unwrap();
        }
        assert_eq!(MAP.pin().keys().filter(|key| **key >= 200).count(), 2_000);
    });
}
