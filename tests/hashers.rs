//! Any hasher will do: the default one cannot be guessed, one with poor bits does not pile
//! keys up, and one that gives all keys the same hash is slow and nothing else.

mod common;

use std::{
    cell::Cell,
    collections::{BTreeMap, hash_map::DefaultHasher},
    hash::{BuildHasher, BuildHasherDefault, Hash, Hasher},
};

use binlock::HashMap;
use common::{Hashers, Ledger, Probe, Random, operations::Operation, together, within};

#[test]
fn the_default_hasher_has_another_seed_in_every_map() {
    let hashes = |new: fn() -> HashMap<u64, u64>| -> Vec<u64> {
        let mut hashes: Vec<_> = (0..8).map(|_| new().hasher().hash_one(1_u64)).collect();
        hashes.sort();
        hashes.dedup();
        hashes
    };
    assert_eq!(hashes(HashMap::new).len(), 8);
    assert_eq!(hashes(HashMap::default).len(), 8);
    assert_eq!(hashes(|| HashMap::with_capacity(100)).len(), 8);
    assert_eq!(hashes(|| HashMap::from([(1, 2)])).len(), 8);
    assert_eq!(hashes(|| (0..3).map(|i| (i, i)).collect()).len(), 8);
}

#[test]
fn a_clone_has_the_hasher_of_what_it_was_cloned_from() {
    let map: HashMap<u64, u64> = (0..100).map(|i| (i, i)).collect();
    let clone = map.clone();
    assert_eq!(map.hasher().hash_one(7_u64), clone.hasher().hash_one(7_u64));
    assert_eq!(map, clone);
}

#[test]
fn the_hasher_that_a_map_is_given_is_the_one_that_it_uses() {
    /// Counts how often it is asked.
    #[derive(Default)]
    struct Counting(Cell<usize>);

    impl BuildHasher for Counting {
        type Hasher = DefaultHasher;

        fn build_hasher(&self) -> DefaultHasher {
            self.0.set(self.0.get() + 1);
            DefaultHasher::new()
        }
    }

    let map = HashMap::with_capacity_and_hasher(10, Counting::default());
    assert_eq!(map.hasher().0.get(), 0);
    map.insert(1, 'a');
    assert_eq!(map.hasher().0.get(), 1);
    assert!(map.contains_key(&1));
    assert_eq!(map.hasher().0.get(), 2);
    map.get_many([&1, &2, &3]);
    assert_eq!(map.hasher().0.get(), 5);
    // Growing does not hash.
    map.reserve(10_000);
    map.shrink_to_fit();
    assert_eq!(map.hasher().0.get(), 5);
}

#[test]
fn the_hashers_of_std_and_ahash_will_do() {
    fn check<S: BuildHasher>(hasher: S) {
        let map = HashMap::with_hasher(hasher);
        for i in 0..1_000 {
            assert!(map.insert(i.to_string(), i).is_none());
        }
        assert!((0..1_000).all(|i| *map.get(i.to_string().as_str()).unwrap() == i));
        assert!(map.get("1000").is_none());
    }
    check(std::hash::RandomState::new());
    check(BuildHasherDefault::<DefaultHasher>::default());
    check(ahash::RandomState::new());
    check(ahash::RandomState::with_seeds(0, 0, 0, 0));
}

thread_local! {
    static COMPARISONS: Cell<u64> = const { Cell::new(0) };
}

/// Counts its comparisons.
#[derive(Clone, Copy)]
struct Counted(u64);

impl PartialEq for Counted {
    fn eq(&self, other: &Self) -> bool {
        COMPARISONS.set(COMPARISONS.get() + 1);
        self.0 == other.0
    }
}

impl Eq for Counted {}

impl Hash for Counted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// How many comparisons it takes to look up the first half of the keys in a map of that
/// half, and how many the second half, if each key is its own hash.
fn comparisons(keys: &[u64]) -> (u64, u64) {
    let map = HashMap::with_hasher(Hashers::Identity);
    let (present, absent) = keys.split_at(keys.len() / 2);
    for key in present {
        map.insert(Counted(*key), ());
    }
    assert_eq!(map.len(), present.len());
    let count = |keys: &[u64], found: bool| {
        let before = COMPARISONS.get();
        assert!(keys.iter().all(|key| map.contains_key(&Counted(*key)) == found));
        COMPARISONS.get() - before
    };
    (count(present, true), count(absent, false))
}

#[test]
fn keys_with_poor_bits_under_the_identity_do_not_pile_up_in_few_bins() {
    const N: u64 = 4_000;

    let mut patterns: Vec<(String, Vec<u64>)> = Vec::new();
    for k in 0..=51 {
        patterns.push((format!("multiples of 2^{k}"), (0..N).map(|i| i << k).collect()));
    }
    let address = 0x7F3A_5C00_1000;
    patterns.push(("addresses".into(), (0..N).map(|i| address + 48 * i).collect()));
    patterns.push(("pages".into(), (0..N).map(|i| address + 4096 * i).collect()));
    patterns.push(("multiples of 1000".into(), (0..N).map(|i| 1000 * i).collect()));
    patterns.push(("bits reversed".into(), (0..N).map(|i| i.reverse_bits()).collect()));
    patterns.push(("downwards".into(), (0..N).map(|i| u64::MAX - i).collect()));
    patterns.push(("floats".into(), (0..N).map(|i| (i as f64).to_bits()).collect()));
    patterns.push(("grid".into(), (0..N).map(|i| (i % 64) << 32 | (i / 64)).collect()));
    for (name, keys) in patterns {
        let (present, absent) = comparisons(&keys);
        // At most what else is in a bin of average size, even if their tags are all alike;
        // were the keys in a quarter of the bins only, it would be more.
        assert!(present <= 4 * N / 2, "{name}: {present} comparisons for present keys");
        assert!(absent <= 6 * N / 2, "{name}: {absent} comparisons for absent keys");
    }
}

#[test]
fn many_threads_with_keys_of_their_own_get_exact_results_with_any_hasher() {
    within(240, || {
        for hasher in Hashers::ALL {
            let ledger = &Ledger::new(100_000);
            let map = &common::operations::TrackedMap::with_hasher(hasher);
            together(6, |thread| {
                let mut random = Random::new(thread as u64);
                let mine = |key| (key * 6 + thread as u64) << 40;
                let mut model = BTreeMap::new();
                for _ in 0..1_500 {
                    let operation = Operation::random(&mut random, 8).with_keys(mine);
                    let outcome = operation.on_map(map, ledger, random.below(2) == 0);
                    assert_eq!(outcome, operation.on_model(&mut model));
                }
                for key in (0..8).map(mine) {
                    let found = map.get(&Probe(key)).map(|value| value.value);
                    assert_eq!(found, model.get(&key).copied());
                }
                map.retain(|key, _| (key.value >> 40) % 6 != thread as u64);
            });
            assert!(map.is_empty());
        }
    });
}
