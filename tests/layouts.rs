//! Keys and values of any size and alignment: nothing, a byte, a cache line, a page.

mod common;

use std::hash::Hash;

use binlock::HashMap;
use common::{Hashers, race, within};

/// Something made from a number, in all its bytes.
trait Made: Eq + Hash + Clone + Send + Sync {
    fn made(number: u64) -> Self;

    /// Whether all bytes are as they should be, at an address that is allowed.
    fn is(&self, number: u64) -> bool;
}

macro_rules! made {
    ($($name:ident: [$of:ty; $len:literal], aligned to $align:literal;)*) => {$(
        #[derive(PartialEq, Eq, Hash, Clone, Debug)]
        #[repr(align($align))]
        struct $name([$of; $len]);

        impl Made for $name {
            fn made(number: u64) -> Self {
                $name([number as $of; $len])
            }

            fn is(&self, number: u64) -> bool {
                assert_eq!(std::ptr::from_ref(self).addr() % align_of::<Self>(), 0, "not aligned");
                self.0 == [number as $of; $len]
            }
        }
    )*};
}

made! {
    Nothing: [u8; 0], aligned to 1;
    NothingAligned: [u8; 0], aligned to 64;
    NothingOnAPage: [u8; 0], aligned to 4096;
    Byte: [u8; 1], aligned to 1;
    Odd: [u8; 3], aligned to 1;
    Half: [u32; 1], aligned to 4;
    Word: [u64; 1], aligned to 8;
    Vector: [u64; 2], aligned to 16;
    Line: [u64; 8], aligned to 64;
    TwoLines: [u64; 1], aligned to 128;
    Page: [u64; 1], aligned to 4096;
    Kibibyte: [u64; 128], aligned to 8;
    Large: [u64; 8192], aligned to 8;
}

/// Does everything with a map of these types, over several growths.
fn check<K: Made, V: Made>() {
    // As many keys as can be told apart; 300 take several tables.
    let keys = match size_of::<K>() {
        0 => 1,
        1..4 => 256,
        _ => 300,
    };
    for hasher in [Hashers::Good(1), Hashers::FewBits(5)] {
        let mut map = HashMap::<K, V, Hashers>::with_hasher(hasher);
        for i in 0..keys {
            assert!(map.insert(K::made(i), V::made(i)).is_none());
            assert!(map.insert(K::made(i), V::made(i + 1)).unwrap().is(i));
            assert!(map.try_insert(K::made(i), V::made(0)).is_err_and(|e| e.current.is(i + 1)));
        }
        assert_eq!(map.len() as u64, keys);
        map.reserve(2_000);
        for i in 0..keys {
            let entry = map.get(&K::made(i)).unwrap();
            assert!(entry.key().is(i) && entry.value().is(i + 1));
            assert!(map.replace(K::made(i), V::made(i + 2)).unwrap().is(i + 1));
        }
        map.shrink_to_fit();
        let pinned = map.pin();
        assert_eq!(
            pinned.iter().filter(|(key, _)| (0..keys).any(|i| key.is(i))).count() as u64,
            keys
        );
        let [first, again] = pinned.get_many([&K::made(0), &K::made(0)]);
        assert!(first.unwrap().is(2) && std::ptr::eq(first.unwrap(), again.unwrap()));
        drop(pinned);

        for (i, value) in map.values_mut().enumerate() {
            *value = V::made(i as u64);
        }
        for i in 0..keys {
            *map.get_mut(&K::made(i)).unwrap() = V::made(i + 3);
        }
        let clone = map.clone();
        for i in 0..keys / 2 {
            assert!(map.remove(&K::made(i)).unwrap().is(i + 3));
            assert!(map.get(&K::made(i)).is_none());
        }
        map.retain(|key, value| {
            let i = (0..keys).find(|i| key.is(*i) && value.is(*i + 3)).unwrap();
            i % 2 == 0
        });
        assert!((keys / 2..keys).all(|i| map.contains_key(&K::made(i)) == (i % 2 == 0)));
        assert_eq!(clone.len() as u64, keys);
        let is_one = |(key, value): &(K, V)| (0..keys).any(|i| key.is(i) && value.is(i + 3));
        assert_eq!(clone.into_iter().filter(is_one).count() as u64, keys);
        map.clear();
        assert_eq!((map.len(), map.iter_mut().count(), map.drain().count()), (0, 0, 0));
    }
}

#[test]
fn keys_and_values_may_be_of_size_zero() {
    check::<Nothing, Nothing>();
    check::<Nothing, Word>();
    check::<Word, Nothing>();
    check::<NothingAligned, Nothing>();
    check::<NothingAligned, Byte>();
    check::<Byte, NothingAligned>();
    check::<Word, NothingOnAPage>();
    check::<NothingOnAPage, NothingAligned>();
}

#[test]
fn keys_and_values_may_be_smaller_than_a_word() {
    check::<Byte, Byte>();
    check::<Odd, Nothing>();
    check::<Odd, Odd>();
    check::<Half, Odd>();
    check::<Byte, Half>();
}

#[test]
fn keys_and_values_may_be_aligned_to_more_than_a_word() {
    check::<Vector, Byte>();
    check::<Word, Vector>();
    check::<Line, Byte>();
    check::<Word, Line>();
    check::<TwoLines, TwoLines>();
    check::<Byte, TwoLines>();
    check::<Page, Word>();
    check::<Half, Page>();
    check::<NothingOnAPage, Page>();
}

#[test]
fn keys_and_values_may_be_large() {
    check::<Word, Kibibyte>();
    check::<Kibibyte, Word>();
    check::<Kibibyte, Page>();
    // In debug builds each of the calls on the way copies what it is given.
    let with_a_large_stack = std::thread::Builder::new().stack_size(64 << 20);
    with_a_large_stack.spawn(check::<Half, Large>).unwrap().join().unwrap();
}

#[test]
fn a_value_of_a_kibibyte_is_seen_whole_or_not_at_all() {
    within(240, || {
        let map = &HashMap::<u64, Kibibyte>::new();
        race(
            4,
            |writer| {
                for i in 0..2_000 {
                    match i % 8 {
                        0 => drop(map.remove(&(i % 5))),
                        _ => drop(map.insert(i % 5, Kibibyte::made(i * 4 + writer as u64))),
                    }
                }
            },
            4,
            |_| {
                for key in 0..5 {
                    if let Some(value) = map.get(&key) {
                        assert!(value.is(value.0[0]), "torn");
                    }
                }
                assert!(map.pin().values().all(|value| value.is(value.0[0])), "torn");
            },
        );
    });
}

#[test]
fn keys_may_be_unsized_behind_a_pointer_and_looked_up_by_what_they_point_to() {
    let strings: HashMap<Box<str>, Box<[u8]>> = HashMap::new();
    let vectors: HashMap<Vec<u64>, ()> = HashMap::new();
    for i in 0..100_u8 {
        strings.insert(i.to_string().into(), vec![i; i.into()].into());
        vectors.insert(vec![i.into(); i.into()], ());
    }
    for i in 0..100_u8 {
        assert_eq!(strings.get(i.to_string().as_str()).unwrap().len(), i.into());
        assert!(vectors.remove(vec![u64::from(i); i.into()].as_slice()).is_some());
    }
    assert!(strings.get("100").is_none() && vectors.is_empty());
}
