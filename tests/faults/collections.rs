//! What a map is as a collection: made from others, extended, compared, printed, changed in
//! place, emptied.

use std::fmt;

use binlock::HashMap;

use crate::{
    common::{
        Hashers, Ledger, Probe, Tracked,
        fault::{self, Site},
        operations::TrackedMap,
        within,
    },
    sweep::{KEYS, Leaves, filled, sweep},
};

/// Entries that are there and others that are not, from an iterator that can panic itself.
fn more(ledger: &Ledger) -> impl Iterator<Item = (Tracked<'_, u64>, Tracked<'_, u64>)> {
    (KEYS - 4..KEYS + 20).map(|i| {
        fault::point(Site::Closure);
        (ledger.track(i), ledger.track(1_000 + i))
    })
}

fn sweep_map<'l>(
    name: &str,
    ledger: &'l Ledger,
    leaves: Leaves,
    run: impl Fn(&mut TrackedMap<'l>),
) {
    assert!(sweep(name, ledger, filled, leaves, run) > 0, "{name}: no user code is called");
}

#[test]
fn a_panic_anywhere_while_a_map_is_filled_or_emptied_leaves_each_key_as_before_or_after() {
    within(240, || {
        let ledger = &Ledger::new(2_000_000);
        sweep_map("extend", ledger, Leaves::APart, |map| map.extend(more(ledger)));
        sweep_map("extend, shared", ledger, Leaves::APart, |map| (&*map).extend(more(ledger)));
        let keep = |key: &Tracked<'_, u64>, value: &Tracked<'_, u64>| {
            fault::point(Site::Closure);
            key.value % 2 == 0 && value.value != 104
        };
        sweep_map("retain", ledger, Leaves::APart, |map| map.retain(keep));
        sweep_map("retain, pinned", ledger, Leaves::APart, |map| map.pin().retain(keep));
        sweep_map("iter_mut", ledger, Leaves::APart, |map| {
            for (_, value) in map.iter_mut() {
                fault::point(Site::Closure);
                value.value += 1;
            }
        });
        sweep_map("values_mut", ledger, Leaves::APart, |map| {
            map.values_mut().for_each(|value| *value = ledger.track(value.value + 1));
        });
    });
}

#[test]
fn a_panic_anywhere_while_a_map_is_read_or_copied_leaves_it_as_it_was_and_leaks_no_copy() {
    /// Says that it is printed.
    struct Shown<'m, 'l>(&'m TrackedMap<'l>);
    impl fmt::Display for Shown<'_, '_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            for (key, value) in &self.0.pin() {
                fault::point(Site::Closure);
                write!(f, "{key:?}: {value:?} ")?;
            }
            Ok(())
        }
    }

    within(240, || {
        let ledger = &Ledger::new(2_000_000);
        sweep_map("clone", ledger, Leaves::Nothing, |map| drop(map.clone()));
        sweep_map("clone and compare", ledger, Leaves::Nothing, |map| {
            assert!(*map == map.clone());
        });
        sweep_map("from_iter", ledger, Leaves::Nothing, |map| {
            let made: TrackedMap<'_> = more(ledger).collect();
            assert!(made != *map);
        });
        sweep_map("into_iter and from_iter", ledger, Leaves::Nothing, |map| {
            let clone = fault::without(|| map.clone());
            let odd = clone.into_iter().filter(|(key, _)| {
                fault::point(Site::Closure);
                key.value % 2 == 1
            });
            assert_eq!(odd.collect::<TrackedMap<'_>>().len() as u64, KEYS / 2);
        });
        sweep_map("drain of another", ledger, Leaves::Nothing, |map| {
            let mut clone = fault::without(|| map.clone());
            let drained = clone.drain().inspect(|_| fault::point(Site::Closure));
            assert_eq!(drained.take(5).count(), 5);
            assert!(clone.is_empty());
        });
        sweep_map("print", ledger, Leaves::Nothing, |map| {
            assert!(!Shown(map).to_string().is_empty());
        });
        sweep_map("get_mut", ledger, Leaves::Nothing, |map| {
            assert!(map.get_mut(&Probe(5)).is_some() && map.get_mut(&Probe(99)).is_none());
        });
        sweep_map("reads", ledger, Leaves::Nothing, |map| {
            assert!(map.contains_key(&Probe(1)) && map.get_key_value(&Probe(2)).is_some());
            let pinned = map.pin();
            assert!(pinned.contains_key(&Probe(1)) && pinned.get(&Probe(99)).is_none());
            assert_eq!(pinned.keys().count(), pinned.values().count());
        });
    });
}

#[test]
fn a_hasher_that_panics_when_it_is_made_or_cloned_leaves_the_map_as_it_was() {
    use std::hash::BuildHasher;

    #[derive(Debug)]
    struct Moody(Hashers);
    impl Clone for Moody {
        fn clone(&self) -> Self {
            fault::point(Site::Clone);
            Moody(self.0)
        }
    }
    impl BuildHasher for Moody {
        type Hasher = <Hashers as BuildHasher>::Hasher;

        fn build_hasher(&self) -> Self::Hasher {
            fault::point(Site::Hash);
            self.0.build_hasher()
        }
    }

    let map = HashMap::with_hasher(Moody(Hashers::Constant));
    for key in 0..20_u64 {
        map.insert(key, key);
    }
    type Operation = fn(&HashMap<u64, u64, Moody>);
    let operations: [Operation; 7] = [
        |map| drop(map.get(&3)),
        |map| drop(map.insert(3, 4)),
        |map| drop(map.remove(&3)),
        |map| drop(map.compute(3, |_, _| Some(4)).unwrap()),
        |map| drop(map.entry(30).unwrap().or_insert(4).unwrap()),
        |map| drop(map.get_many([&1, &2])),
        |map| drop(map.clone()),
    ];
    for site in [Site::Hash, Site::Clone] {
        for operation in operations {
            fault::arm(site, 0);
            let panicked = fault::caught(|| operation(&map)).is_none();
            assert_eq!(panicked, !fault::disarm());
            if panicked {
                assert_eq!(map.len(), 20);
                assert!((0..20).all(|key| *map.get(&key).unwrap() == key));
            } else {
                // It has happened; the next one begins anew.
                assert_eq!(site, Site::Clone);
                drop(map.remove(&30));
                map.insert(3, 3);
            }
        }
    }
}
