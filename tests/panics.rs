//! A panic in user code is contained: the operation has not happened, nothing leaks, and
//! the map goes on.
//!
//! A script of all operations is run again and again, each time with another call of one
//! kind of user code panicking, and the map is compared with a model after every step.

mod common;

use std::{
    collections::BTreeMap,
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use binlock::HashMap;
use common::{
    Hashers, Ledger, Probe, Random,
    fault::{self, Site},
    operations::{Operation, TrackedMap},
    together, within,
};

/// Operations on the whole map. If they panic, they can have happened in part.
#[derive(Clone, Copy, Debug)]
enum Whole {
    Extend,
    Clone,
    Retain,
    Flush,
    Reserve,
    Eq,
    ShrinkToFit,
    Drain,
    IntoIter,
    Clear,
}

impl Whole {
    const ALL: [Whole; 10] = [
        Whole::Extend,
        Whole::Clone,
        Whole::Retain,
        Whole::Flush,
        Whole::Reserve,
        Whole::Eq,
        Whole::ShrinkToFit,
        Whole::Drain,
        Whole::IntoIter,
        Whole::Clear,
    ];
}

/// A map and what should be in it.
struct Run<'l> {
    ledger: &'l Ledger,
    map: TrackedMap<'l>,
    model: BTreeMap<u64, u64>,
    /// How often user code has panicked.
    panics: usize,
}

impl<'l> Run<'l> {
    fn new(ledger: &'l Ledger, hasher: Hashers) -> Run<'l> {
        let map = TrackedMap::with_hasher(hasher);
        Run { ledger, map, model: BTreeMap::new(), panics: 0 }
    }

    /// Runs some code; `None` if it panicked to order.
    fn caught<R>(&mut self, f: impl FnOnce(&mut TrackedMap<'l>) -> R) -> Option<R> {
        let result = fault::caught(|| f(&mut self.map));
        self.panics += usize::from(result.is_none());
        result
    }

    fn single(&mut self, operation: Operation, pinned: bool) {
        let ledger = self.ledger;
        let panics = self.panics;
        if let Some(outcome) = self.caught(|map| operation.on_map(map, ledger, pinned)) {
            assert_eq!(outcome, operation.on_model(&mut self.model), "{operation:?}");
        }
        // Otherwise it has not happened: the model stays as it is.
        self.check(&operation, panics != self.panics);
    }

    fn whole(&mut self, whole: Whole) {
        let ledger = self.ledger;
        let panics = self.panics;
        match whole {
            Whole::Extend => {
                let mut taken = 0;
                let entries = (0..30).map(|i| {
                    taken = i;
                    fault::without(|| (ledger.track(10 + i), ledger.track(i)))
                });
                let happened = self.caught(|map| (&*map).extend(entries)).is_some();
                // All that it took are there, but for the one that it panicked at.
                let done = if happened { 30 } else { taken };
                self.model.extend((0..done).map(|i| (10 + i, i)));
            }
            Whole::Clone => {
                if let Some(clone) = self.caught(|map| map.clone()) {
                    fault::without(|| assert!(clone == self.map));
                    // What it drops can panic as well.
                    self.caught(|_| drop(clone));
                }
            }
            Whole::Retain => {
                let mut refused = Vec::new();
                let happened = self.caught(|map| {
                    map.retain(|key, _| {
                        fault::point(Site::Closure);
                        if key.value % 3 == 0 {
                            refused.push(key.value);
                        }
                        key.value % 3 != 0
                    });
                });
                // The last one that was refused can be there still, if it panicked.
                let last = refused.pop();
                for key in refused {
                    assert!(self.model.remove(&key).is_some());
                }
                if let Some(last) = last {
                    let left = fault::without(|| self.map.contains_key(&Probe(last)));
                    assert!(!left || happened.is_none());
                    if !left {
                        self.model.remove(&last);
                    }
                }
                if happened.is_some() {
                    assert!(self.model.keys().all(|key| key % 3 != 0));
                }
            }
            Whole::Flush => drop(self.caught(|map| map.flush())),
            Whole::Reserve => drop(self.caught(|map| map.reserve(500))),
            Whole::Eq => drop(self.caught(|map| assert!(PartialEq::eq(map, map)))),
            Whole::ShrinkToFit => drop(self.caught(|map| map.shrink_to_fit())),
            Whole::Drain => {
                self.caught(|map| {
                    let mut drain = map.drain();
                    let entry = drain.next();
                    fault::without(|| drop(entry));
                    drop(drain);
                });
                // Everything is out of the map, also if dropping it panicked.
                self.model.clear();
            }
            Whole::IntoIter => {
                let hasher = *self.map.hasher();
                self.caught(|map| {
                    let map = std::mem::replace(map, TrackedMap::with_hasher(hasher));
                    let mut entries = map.into_iter();
                    let entry = entries.next();
                    fault::without(|| drop(entry));
                    drop(entries);
                });
                self.model.clear();
            }
            Whole::Clear => {
                if self.caught(|map| map.clear()).is_some() {
                    self.model.clear();
                }
            }
        }
        self.check(&whole, panics != self.panics);
    }

    /// The map is as the model says; after a panic that is looked at in all ways.
    fn check(&self, step: &dyn std::fmt::Debug, panicked: bool) {
        fault::without(|| {
            let pinned = self.map.pin();
            let mut entries: Vec<_> = pinned.iter().map(|(k, v)| (k.value, v.value)).collect();
            entries.sort();
            assert!(entries.iter().copied().eq(self.model.clone()), "{step:?}: {entries:?}");
            assert_eq!(self.map.len(), self.model.len(), "{step:?}");
            if panicked {
                for key in 0..50 {
                    let found = pinned.get(&Probe(key)).map(|value| value.value);
                    assert_eq!(found, self.model.get(&key).copied(), "{step:?}");
                }
            }
        });
    }
}

/// Runs the script once; how often it panicked.
fn run(hasher: Hashers, site: Site, call: u64) -> usize {
    let ledger = &Ledger::new(4_000);
    let mut run = Run::new(ledger, hasher);
    let mut random = Random::new(2026);
    fault::arm(site, call);
    for whole in Whole::ALL {
        for _ in 0..16 {
            let pinned = random.below(2) == 0;
            run.single(Operation::random(&mut random, 12), pinned);
        }
        run.whole(whole);
    }
    let Run { map, mut panics, .. } = run;
    panics += usize::from(fault::caught(|| drop(map)).is_none());
    fault::disarm();
    ledger.assert_all_dropped_once();
    panics
}

/// Lets each call of a kind panic, one after another.
fn sweep(site: Site) {
    within(240, || {
        for hasher in [Hashers::Good(1), Hashers::FewBits(2), Hashers::Constant] {
            let mut call = 0;
            while run(hasher, site, call) > 0 {
                // Where there are thousands of calls, not all of them.
                call += 1 + call / 60;
            }
            assert!(call > 10, "{site:?} is hardly called");
        }
    });
}

#[test]
fn a_panic_at_any_call_of_hash_leaves_the_map_as_it_was_and_working() {
    sweep(Site::Hash);
}

#[test]
fn a_panic_at_any_call_of_eq_leaves_the_map_as_it_was_and_working() {
    sweep(Site::Eq);
}

#[test]
fn a_panic_at_any_call_of_clone_leaves_the_map_as_it_was_and_working() {
    sweep(Site::Clone);
}

#[test]
fn a_panic_at_any_call_of_a_closure_leaves_the_map_as_it_was_and_working() {
    sweep(Site::Closure);
}

#[test]
fn a_panic_at_any_drop_leaves_the_map_as_it_was_and_working() {
    sweep(Site::Drop);
}

#[test]
fn a_panic_on_one_thread_is_nothing_to_the_others() {
    within(240, || {
        for hasher in [Hashers::Good(1), Hashers::FewBits(3), Hashers::Constant] {
            let ledger = &Ledger::new(60_000);
            let mut map = TrackedMap::with_hasher(hasher);
            let shared = &map;
            let total = &AtomicUsize::new(0);
            let panics = &AtomicUsize::new(0);
            together(6, |thread| {
                let mut random = Random::new(thread as u64);
                // Each thread has keys of its own, and knows exactly what is to be there.
                let mine = |key| key * 6 + thread as u64;
                let mut model = BTreeMap::new();
                for _ in 0..1_000 {
                    let site = Site::ALL[random.below(5) as usize];
                    let operation = Operation::random(&mut random, 8).with_keys(mine);
                    fault::arm(site, random.below(6));
                    let outcome = fault::caught(|| operation.on_map(shared, ledger, true));
                    fault::disarm();
                    match outcome {
                        Some(outcome) => assert_eq!(outcome, operation.on_model(&mut model)),
                        None => drop(panics.fetch_add(1, Ordering::Relaxed)),
                    }
                }
                for key in (0..8).map(mine) {
                    let found = shared.get(&Probe(key)).map(|value| value.value);
                    assert_eq!(found, model.get(&key).copied());
                }
                total.fetch_add(model.len(), Ordering::Relaxed);
            });
            assert!(panics.load(Ordering::Relaxed) > 100);
            assert_eq!(map.len(), total.load(Ordering::Relaxed));
            assert_eq!(map.pin().iter().count(), map.len());
            assert_eq!(map.drain().count(), total.load(Ordering::Relaxed));
            drop(map);
            ledger.assert_all_dropped_once();
        }
    });
}

/// Its drop always panics.
struct Vicious<'a>(&'a AtomicUsize);

impl Drop for Vicious<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        if !thread::panicking() {
            panic::resume_unwind(Box::new("vicious"));
        }
    }
}

#[test]
fn when_every_drop_panics_all_are_dropped_all_the_same_and_one_panic_is_passed_on() {
    // What is there, what was removed, how it comes to be dropped.
    let ends: [fn(HashMap<u64, Vicious<'_>>); 5] = [
        |map| drop(map),
        |map| {
            map.clear();
            map.flush();
        },
        |map| drop(map.into_iter()),
        |mut map| drop(map.drain()),
        |map| {
            map.retain(|key, _| key % 2 == 0);
            drop(map);
        },
    ];
    for end in ends {
        let drops = AtomicUsize::new(0);
        let map = HashMap::new();
        for key in 0..30 {
            map.insert(key, Vicious(&drops));
        }
        let result = panic::catch_unwind(AssertUnwindSafe(|| end(map)));
        let payload = result.expect_err("no panic was passed on");
        assert_eq!(payload.downcast_ref(), Some(&"vicious"));
        assert_eq!(drops.into_inner(), 30);
    }
}

#[test]
fn panics_whose_payloads_panic_when_they_are_dropped_keep_nothing_from_being_dropped() {
    /// What is thrown, which throws again.
    struct Payload;

    impl Drop for Payload {
        fn drop(&mut self) {
            if !thread::panicking() {
                panic::resume_unwind(Box::new("again"));
            }
        }
    }

    struct Throwing<'a>(&'a AtomicUsize);

    impl Drop for Throwing<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
            if !thread::panicking() {
                panic::resume_unwind(Box::new(Payload));
            }
        }
    }

    let drops = AtomicUsize::new(0);
    let map = HashMap::new();
    for key in 0..30 {
        map.insert(key, Throwing(&drops));
    }
    map.retain(|key, _| key % 2 == 0);
    let payload = panic::catch_unwind(AssertUnwindSafe(|| drop(map))).unwrap_err();
    assert!(payload.is::<Payload>());
    std::mem::forget(payload);
    assert_eq!(drops.into_inner(), 30);
}

#[test]
fn a_panic_of_the_iterator_that_a_map_is_extended_from_leaves_what_it_gave() {
    let map = HashMap::<u64, u64>::new();
    let entries = (0..10).map(|i| {
        if i == 7 {
            panic::resume_unwind(Box::new("no more"));
        }
        (i, i)
    });
    assert!(panic::catch_unwind(AssertUnwindSafe(|| (&map).extend(entries))).is_err());
    assert_eq!(map.len(), 7);
    assert!((0..7).all(|key| map.contains_key(&key)));
}

/// What an insertion has made before a comparison panics goes back to where it came from: in a large
/// map that is what the thread keeps for itself, from which the next one is made.
#[test]
fn an_insertion_whose_comparison_panics_gives_back_what_it_had_made() {
    const KEYS: u64 = 20;
    const ROUNDS: u64 = 2_000;

    within(240, || {
        for (hasher, room) in [
            (Hashers::Good(1), 0),
            (Hashers::Constant, 0),
            (Hashers::Good(1), 10_000),
            (Hashers::FewBits(2), 10_000),
            (Hashers::Constant, 10_000),
        ] {
            let ledger = &Ledger::new(8_000);
            let map = TrackedMap::with_capacity_and_hasher(room, hasher);
            let mut model = BTreeMap::new();
            let mut panics = 0;
            for round in 0..ROUNDS {
                let (key, value) = (round % KEYS, round);
                fault::arm(Site::Eq, round % 3);
                let entry = (ledger.track(key), ledger.track(value));
                match fault::caught(|| map.insert(entry.0, entry.1).map(|value| value.value)) {
                    Some(replaced) => assert_eq!(replaced, model.insert(key, value)),
                    None => panics += 1,
                }
                fault::disarm();
                // Other nodes have not been made of the same memory.
                if round % 64 == 0 {
                    let pinned = map.pin();
                    let entries = pinned.iter().map(|(key, value)| (key.value, value.value));
                    assert_eq!(entries.collect::<BTreeMap<_, _>>(), model, "{hasher:?}, {room}");
                    assert_eq!(map.len(), model.len());
                }
            }
            assert!(panics > ROUNDS / 4, "{panics}");
            drop(map);
            ledger.assert_all_dropped_once();
        }
    });
}
