//! Insertions beside keys with the same tag, and into bins with overflow blocks: whatever is in the
//! bin, and whatever happens to it while the key is being compared.

mod common;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Arc,
};

use binlock::HashMap;
use common::{Hashers, key_in_bin, within};

/// A key of a bin, with a tag of seven bits. The number tells keys with one hash apart in all that
/// the map knows of it.
fn key(bin: u16, tag: u64, number: u64) -> u64 {
    assert!(tag < 1 << 7 && number < 1 << 31);
    key_in_bin(bin, tag << 31 | number)
}

type Entries = BTreeMap<u64, u64>;

/// Fills a bin with keys of which those at two places have one tag, or one of them, or
/// none; takes one out; and inserts another one with that tag, three times. A key
/// that is found is not always the first one with its tag.
fn check(map: &HashMap<u64, u64, Hashers>, bin: u16, case: [usize; 4], attempt: bool) {
    const TAG: u64 = 100;
    let [filled, first, second, removed] = case;
    let keys: Vec<u64> = (0..filled)
        .map(|i| {
            if i == first || i == second { key(bin, TAG, i as u64) } else { key(bin, i as u64, 0) }
        })
        .collect();
    let mut model = Entries::new();
    for (i, &key) in keys.iter().enumerate() {
        assert!(map.insert(key, i as u64).is_none());
        model.insert(key, i as u64);
    }
    if let Some(key) = keys.get(removed) {
        assert_eq!(map.remove(key).map(|value| *value), model.remove(key));
    }
    let new = key(bin, TAG, 1_000);
    for (value, key) in [new, key(bin, TAG, 2_000), new].into_iter().enumerate() {
        let value = 50 + value as u64;
        if attempt {
            let outcome = map.try_insert(key, value).map(|value| *value);
            match model.get(&key) {
                Some(&current) => assert_eq!(*outcome.unwrap_err().current, current),
                None => assert_eq!(outcome.ok(), Some(value)),
            }
            model.entry(key).or_insert(value);
        } else {
            assert_eq!(map.insert(key, value).map(|value| *value), model.insert(key, value));
        }
    }
    for key in keys.iter().chain([&new]) {
        assert_eq!(map.get(key).map(|value| *value), model.get(key).copied(), "{case:?}");
    }
    let before = map.len();
    assert!(model.keys().all(|key| map.remove(key).is_some()), "{case:?}");
    assert_eq!(map.len() + model.len(), before, "{case:?}");
    assert!(model.keys().all(|key| map.get(key).is_none()), "twice: {case:?}");
}

fn cases() -> impl Iterator<Item = [usize; 4]> {
    const NONE: usize = 99;
    (0..=15).flat_map(|filled| {
        let places = move || (0..filled).chain([NONE]);
        places().flat_map(move |first| {
            let seconds = (first.min(filled)..filled).chain([NONE]);
            seconds.flat_map(move |second| {
                // All places that are next to one of the two, and some others.
                let removed = places().filter(move |&i| {
                    i == NONE || i % 6 == 0 || i.abs_diff(first) < 2 || i.abs_diff(second) < 2
                });
                removed.map(move |removed| [filled, first, second, removed])
            })
        })
    })
}

#[test]
fn an_insertion_finds_its_place_whatever_is_in_a_bin_of_a_small_map() {
    within(240, || {
        for (i, case) in cases().enumerate() {
            let map = HashMap::with_capacity_and_hasher(21, Hashers::Identity);
            check(&map, 0, case, i % 2 == 0);
            check(&map, 0, case, i % 2 != 0);
            assert_eq!(map.len(), 0);
        }
    });
}

#[test]
fn an_insertion_finds_its_place_whatever_is_in_a_bin_of_a_large_map() {
    within(240, || {
        let new = || HashMap::with_capacity_and_hasher(6_000, Hashers::Identity);
        let mut map = new();
        for (i, case) in cases().enumerate() {
            // A bin for each, until there are no more: later ones would have blocks already.
            let bin = (i % 1_000) as u16;
            if bin == 0 {
                map = new();
            }
            check(&map, bin << 6, case, i / 1_000 % 2 == 0);
        }
    });
}

#[test]
fn a_map_grows_when_it_is_full_and_all_that_comes_finds_room_in_blocks() {
    let map = HashMap::with_capacity_and_hasher(21, Hashers::Identity);
    let before = map.capacity();
    let key = |bin: u64, number| key((bin << 14) as u16, number, 0);
    for number in 0..8 {
        map.insert(key(0, number), ());
    }
    for number in 0..7 {
        (1..4).for_each(|bin| drop(map.insert(key(bin, number), ())));
    }
    assert_eq!(map.capacity(), before, "nothing has been put in a block beyond the limit");
    map.insert(key(0, 8), ());
    assert!(map.capacity() > before);
    assert_eq!(map.len(), 30);
}

thread_local! {
    /// After how many comparisons what is to happen does.
    static COUNTDOWN: Cell<usize> = const { Cell::new(usize::MAX) };
    static HOOK: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

fn after(comparisons: usize, hook: impl FnOnce() + 'static) {
    COUNTDOWN.set(comparisons);
    HOOK.set(Some(Box::new(hook)));
}

/// Whether it has not happened.
fn cancel() -> bool {
    COUNTDOWN.set(usize::MAX);
    HOOK.take().is_some()
}

/// A key during whose comparison something happens.
#[derive(Debug)]
struct Hooked {
    key: u64,
    _part: Arc<()>,
}

impl PartialEq for Hooked {
    fn eq(&self, other: &Hooked) -> bool {
        COUNTDOWN.set(COUNTDOWN.get().wrapping_sub(1));
        let hook = if COUNTDOWN.get() == 0 { HOOK.take() } else { None };
        if let Some(hook) = hook {
            hook();
        }
        self.key == other.key
    }
}

impl Eq for Hooked {}

impl Hash for Hooked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.key);
    }
}

type Map = HashMap<Hooked, (u64, Arc<()>), Hashers>;

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u64),
    Remove(u64),
    Reserve,
}

/// A map, what should be in it, and what its keys and values have a part of.
struct Both {
    map: Map,
    model: RefCell<Entries>,
    part: Arc<()>,
}

impl Both {
    fn new(keys: &[u64]) -> Both {
        let map = Map::with_capacity_and_hasher(21, Hashers::Identity);
        let both = Both { map, model: RefCell::default(), part: Arc::new(()) };
        keys.iter().for_each(|&key| both.step(Step::Insert(key), 1));
        both
    }

    fn part(&self) -> Arc<()> {
        Arc::clone(&self.part)
    }

    fn key(&self, key: u64) -> Hooked {
        Hooked { key, _part: self.part() }
    }

    fn step(&self, step: Step, value: u64) {
        match step {
            Step::Insert(key) => {
                let before = self.map.insert(self.key(key), (value, self.part()));
                let expected = self.model.borrow_mut().insert(key, value);
                assert_eq!(before.map(|before| before.0), expected);
            }
            Step::Remove(key) => {
                let before = self.map.remove(&self.key(key));
                assert_eq!(before.map(|before| before.0), self.model.borrow_mut().remove(&key));
            }
            Step::Reserve => self.map.reserve(200),
        }
    }

    /// The map is as the model, and nothing has been lost or dropped twice.
    fn check(self, context: impl Fn() -> String) {
        let model = self.model.into_inner();
        let mut entries: Vec<_> =
            self.map.pin().iter().map(|(key, value)| (key.key, value.0)).collect();
        entries.sort();
        assert!(entries.iter().copied().eq(model), "{}: {entries:?}", context());
        assert_eq!(self.map.len(), entries.len(), "{}", context());
        drop(self.map);
        assert_eq!(Arc::strong_count(&self.part), 1, "{}", context());
    }
}

const TAG: u64 = 100;

/// Keys that are in a bin when another one with the tag is inserted: few, and as many as go into
/// two blocks, and some of them with the tag, in the bin, in its block, or in both.
fn bins() -> impl Iterator<Item = Vec<u64>> {
    let with_tag: [&[usize]; 8] = [&[0], &[2], &[6], &[8], &[0, 2], &[2, 8], &[7, 8], &[2, 7, 8]];
    let filled = [3, 7, 8, 9, 12, 13, 14];
    filled.into_iter().flat_map(move |filled| {
        with_tag.into_iter().map(move |with_tag| {
            let key =
                |i: usize| key(0, if with_tag.contains(&i) { TAG } else { i as u64 }, i as u64);
            (0..filled).map(key).collect()
        })
    })
}

#[test]
fn an_insertion_notices_what_its_comparisons_do_to_the_bin() {
    within(240, || {
        let new = key(0, TAG, 1_000);
        let mut interfered = 0;
        for keys in bins() {
            let mut steps = vec![vec![Step::Reserve], vec![Step::Insert(new)]];
            for &key in &keys {
                steps.push(vec![Step::Remove(key)]);
                // The key, or another one, or the same one again, in that place.
                for next in [new, self::key(0, TAG, 2_000), key] {
                    steps.push(vec![Step::Remove(key), Step::Insert(next)]);
                }
                steps.push(vec![Step::Remove(key), Step::Insert(new), Step::Reserve]);
            }
            for (steps, comparisons) in
                steps.iter().flat_map(|steps| (1..=5).map(move |n| (steps, n)))
            {
                for attempt in [false, true] {
                    let both = Rc::new(Both::new(&keys));
                    let (hooked, hook) = (Rc::clone(&both), steps.clone());
                    after(comparisons, move || {
                        hook.into_iter().for_each(|step| hooked.step(step, 2));
                    });
                    let context = || format!("{keys:?}, {steps:?} after {comparisons}, {attempt}");
                    let entry = (both.key(new), (3, both.part()));
                    if attempt {
                        // What the comparisons have done comes first: all before the key is there.
                        let found = both.map.try_insert(entry.0, entry.1).err();
                        let found = found.map(|error| error.current.0);
                        let mut model = both.model.borrow_mut();
                        assert_eq!(found, model.get(&new).copied(), "{}", context());
                        model.entry(new).or_insert(3);
                    } else {
                        let found = both.map.insert(entry.0, entry.1).map(|before| before.0);
                        let expected = both.model.borrow_mut().insert(new, 3);
                        assert_eq!(found, expected, "{}", context());
                    }
                    interfered += usize::from(!cancel());
                    Rc::into_inner(both).expect("the hook is gone").check(context);
                }
            }
        }
        assert!(interfered > 1000, "{interfered}");
    });
}

#[test]
fn a_comparison_that_panics_leaves_a_crowded_bin_as_it_was() {
    within(240, || {
        let new = key(0, TAG, 1_000);
        let mut all = 0;
        for keys in bins() {
            let panics = (1..=8).filter(|&comparisons| {
                let both = Both::new(&keys);
                let attempt = comparisons % 2 == 0;
                after(comparisons, || std::panic::resume_unwind(Box::new("on purpose")));
                let (key, value) = (both.key(new), (3, both.part()));
                let outcome = catch_unwind(AssertUnwindSafe(|| {
                    if attempt {
                        assert!(both.map.try_insert(key, value).is_ok());
                    } else {
                        assert!(both.map.insert(key, value).is_none());
                    }
                }));
                assert_eq!(cancel(), outcome.is_ok());
                if outcome.is_ok() {
                    both.model.borrow_mut().insert(new, 3);
                }
                // The bin is not locked, nor in disorder.
                both.step(Step::Insert(new), 4);
                both.step(Step::Remove(keys[0]), 0);
                both.check(|| format!("{keys:?}, {comparisons}"));
                outcome.is_err()
            });
            all += panics.count();
        }
        assert!(all > 100, "{all}");
    });
}

#[test]
fn memory_that_is_kept_is_used_again_in_tables_of_all_sizes() {
    // What has been freed in a small map has its hash in front of it, what is made later has not.
    let both = Both::new(&[]);
    for round in 0..6 {
        for i in 0..2_000_u64 {
            let key = key(((i % 64) << 10) as u16, i % 3, i % 400);
            let step = if i % 5 == 4 { Step::Remove(key) } else { Step::Insert(key) };
            both.step(step, round * 10_000 + i);
        }
        both.map.flush();
        if round == 1 {
            both.map.reserve(8_000);
        }
    }
    both.check(|| "at the end".to_owned());
}
