//! The load: what one thread after another does, mixed at random.
//!
//! It comes in cycles. In the first half of each, there is more to insert, and the table grows; in
//! the second half there is less, and whoever draws it removes what is too much, and shrinks.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use binlock::{HashMap, HashSet};

use crate::{
    computations::Computations,
    latency::Kind,
    memory,
    readers::Readers,
    values::{Random, Value, made_and_dropped},
    verdict::Verdict,
};

/// A cycle of growing and shrinking.
pub const CYCLE: Duration = Duration::from_secs(3);

/// So many keys in its first half; and in the second.
const MANY: u64 = 100_000;
const FEW: u64 = 2_000;

pub struct World {
    start: Instant,
    map: HashMap<u64, Value>,
    set: HashSet<u64>,
    computations: Computations,
    readers: Readers,
    /// What was made and dropped before.
    before: (u64, u64),
    seeds: AtomicU64,
}

/// What a map with all keys takes.
pub fn bytes_of_full_map() -> usize {
    let before = memory::in_use();
    let map: HashMap<u64, Value> = (0..MANY).map(|key| (key, Value::new(key, 0))).collect();
    let full = memory::in_use().saturating_sub(before);
    assert_eq!(map.len() as u64, MANY);
    full
}

impl World {
    pub fn new(start: Instant) -> World {
        World {
            start,
            map: HashMap::new(),
            set: HashSet::new(),
            computations: Computations::new(),
            readers: Readers::new(),
            before: made_and_dropped(),
            seeds: AtomicU64::new(1),
        }
    }

    pub fn worker(&self, number: usize) -> Worker<'_> {
        let seed = self.seeds.fetch_add(1, Ordering::Relaxed);
        Worker { world: self, is_first: number == 0, random: Random(seed << 32) }
    }

    pub fn entries(&self) -> usize {
        self.map.len()
    }

    /// What holds at all times.
    pub fn check(&self, verdict: &mut Verdict) {
        self.readers.check(verdict);
        let (made, dropped) = made_and_dropped();
        if dropped > made {
            verdict.fail(format!("{made} values were made and {dropped} dropped"));
        }
    }

    /// What holds at the end.
    pub fn end(self, verdict: &mut Verdict) {
        let World { map, set, computations, readers, before, .. } = self;
        let pinned = map.pin();
        pinned.iter().for_each(|(key, value)| value.check(*key));
        if pinned.iter().count() != map.len() {
            verdict.fail(format!("{} entries are counted as {}", pinned.iter().count(), map.len()));
        }
        drop(pinned);
        if set.pin().iter().count() != set.len() {
            verdict.fail("the keys of the set are counted wrong".into());
        }
        computations.end(verdict);
        readers.end(verdict);
        drop((map, set));
        let (made, dropped) = made_and_dropped();
        if made - before.0 != dropped - before.1 {
            verdict.fail(format!(
                "of {} values that were made {} were dropped",
                made - before.0,
                dropped - before.1
            ));
        }
        // What the epochs still have of it.
        let map = HashMap::from([(0, 0)]);
        for _ in 0..10 {
            map.remove(&0);
            map.insert(0, 0);
            map.flush();
        }
    }

    /// How many keys there are to be now.
    fn keys(&self) -> u64 {
        let in_cycle = self.start.elapsed().as_micros() % CYCLE.as_micros();
        if in_cycle < CYCLE.as_micros() / 2 { MANY } else { FEW }
    }
}

/// One thread at work.
pub struct Worker<'w> {
    world: &'w World,
    is_first: bool,
    random: Random,
}

impl Worker<'_> {
    pub fn choose(&mut self) -> Kind {
        // What goes over a whole table, and takes long, is for one thread, and seldom.
        let draw = self.random.below(if self.is_first { 4_000 } else { 3_900 });
        match draw {
            0..900 => Kind::Get,
            900..1_000 => Kind::GetMany,
            1_000..1_600 => Kind::Insert,
            1_600..1_800 => Kind::TryInsert,
            1_800..2_000 => Kind::Replace,
            2_000..2_350 => Kind::Remove,
            2_350..2_450 => Kind::RemoveIf,
            2_450..2_650 => Kind::ComputeIfAbsent,
            2_650..2_800 => Kind::Compute,
            2_800..2_900 => Kind::Entry,
            2_900..3_100 => Kind::Sum,
            3_100..3_200 => Kind::Nested,
            3_200..3_350 => Kind::Async,
            3_350..3_400 => Kind::Cancelled,
            3_400..3_650 => Kind::Open,
            3_650..3_750 => Kind::OpenAsync,
            3_750..3_800 => Kind::RemoveReader,
            3_800..3_880 => Kind::Set,
            3_880..3_899 => Kind::Iterate,
            3_899 => Kind::Flush,
            _ => match self.random.below(400) {
                0 => Kind::Clear,
                1..4 => Kind::Reserve,
                4..10 => Kind::Shrink,
                10..20 => Kind::Retain,
                _ => Kind::Get,
            },
        }
    }

    pub fn perform(&mut self, kind: Kind) {
        let World { map, set, computations, readers, .. } = self.world;
        let random = &mut self.random;
        let keys = self.world.keys();
        let (key, number) = (random.below(keys), random.next());
        let check = |value: &Value| value.check(key);
        match kind {
            Kind::Get => {
                if let Some(value) = map.get(&key) {
                    value.check(*value.key());
                }
            }
            Kind::GetMany => {
                let pinned = map.pin();
                let others = [key, number % MANY, key / 2, key / 3];
                for (value, key) in pinned.get_many(others.each_ref()).into_iter().zip(others) {
                    value.into_iter().for_each(|value| value.check(key));
                }
            }
            Kind::Insert => {
                map.insert(key, Value::new(key, number)).into_iter().for_each(|value| check(&value))
            }
            Kind::TryInsert => match map.try_insert(key, Value::new(key, number)) {
                Ok(value) => check(&value),
                Err(error) => check(&error.current),
            },
            Kind::Replace => map
                .replace(key, Value::new(key, number))
                .into_iter()
                .for_each(|value| check(&value)),
            // What the second half has no room for goes by chance, too.
            Kind::Remove => {
                let key = if keys == FEW { number % MANY } else { key };
                map.remove(&key).into_iter().for_each(|value| value.check(key));
            }
            Kind::RemoveIf => {
                map.remove_if(&key, |key, value| {
                    value.check(*key);
                    value.number % 2 == 0
                });
            }
            Kind::ComputeIfAbsent => {
                let found = map.compute_if_absent(key, |key| Value::new(*key, number));
                check(&found.expect("a closure that uses no map"));
            }
            Kind::Compute => {
                let computed = map.compute(key, |key, value| {
                    value.into_iter().for_each(|value| value.check(*key));
                    (number % 4 != 0).then(|| Value::new(*key, number))
                });
                let computed = computed.expect("a closure that uses no map");
                computed.into_iter().for_each(|value| check(&value));
            }
            Kind::Entry => {
                let entry = map.entry(key).expect("it is held for a moment");
                let entry = entry.and_modify(|value| Value::new(value.key, number));
                let value = entry.or_insert_with(|| Value::new(key, number));
                check(&value.expect("nobody overtakes it"));
            }
            Kind::Sum => computations.sum(random),
            Kind::Nested => computations.nested(random),
            Kind::Async => computations.asynchronous(random, usize::MAX),
            Kind::Cancelled => computations.asynchronous(random, number as usize % 4),
            Kind::Open => readers.open(random),
            Kind::OpenAsync => readers.open_async(random),
            Kind::RemoveReader => readers.remove(random),
            Kind::Set => match number % 3 {
                0 => drop(set.remove(&key)),
                1 => drop(set.contains(&key)),
                _ => drop(set.insert(key)),
            },
            Kind::Iterate => {
                let pinned = map.pin();
                pinned.iter().take(500).for_each(|(key, value)| value.check(*key));
            }
            Kind::Flush => map.flush(),
            Kind::Clear => {
                map.clear();
                set.clear();
            }
            Kind::Reserve => map.reserve(2 * FEW as usize),
            Kind::Shrink => {
                map.shrink_to_fit();
                set.shrink_to_fit();
            }
            Kind::Retain => {
                map.retain(|key, _| *key < keys);
                set.retain(|key| *key < keys);
            }
        }
    }
}
