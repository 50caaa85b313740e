//! Mixes of operations on keys that come and go, after conc-map-bench (and its engine, bustle, and
//! the benchmark of libcuckoo that both descend from).
//!
//! Its threads own their keys: each inserts its own, removes the oldest of those, and asks for keys
//! that are still there, and for others. So each knows what every operation should answer, whatever
//! the rest do, and here as there each answer is checked.
//!
//! Unlike there, keys belong to one of [`LANES`] lanes, and a thread serves one lane or several. A
//! filled map can so be handed from one number of threads to another. Keys are computed, not read
//! from an array. And what is asked for is drawn at random: the generator that is used there goes
//! through the keys in two streams, in the order in which they were inserted, and for a quarter of a
//! million operations at a time asks for keys none of which is there, or all.

use std::array;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use super::keys::{self, scattered};
use super::maps::{Map, Session};

/// As many threads as can share the work.
pub const LANES: usize = 64;

/// What happens, in percent.
#[derive(Debug)]
pub struct Mix {
    pub name: &'static str,
    pub read: usize,
    pub insert: usize,
    pub remove: usize,
    pub update: usize,
    /// How many quarters of the capacity are filled in advance.
    pub prefill: usize,
}

pub const READ_HEAVY: Mix =
    Mix { name: "read_heavy", read: 98, insert: 1, remove: 1, update: 0, prefill: 3 };

pub const EXCHANGE: Mix =
    Mix { name: "exchange", read: 10, insert: 40, remove: 40, update: 10, prefill: 3 };

pub const RAPID_GROW: Mix =
    Mix { name: "rapid_grow", read: 5, insert: 80, remove: 5, update: 10, prefill: 0 };

/// None of theirs: nothing but inserting new keys and removing the oldest.
pub const CHURN: Mix =
    Mix { name: "churn", read: 0, insert: 50, remove: 50, update: 0, prefill: 4 };

impl Mix {
    /// Its order, for a program in another language.
    pub fn letters(&self) -> String {
        let letter = |operation| match operation {
            Operation::Read => 'r',
            Operation::Insert => 'i',
            Operation::Remove => 'd',
            Operation::Update => 'u',
        };
        Order::of(self).0.into_iter().map(letter).collect()
    }
}

#[derive(Clone, Copy)]
enum Operation {
    Read,
    Insert,
    Remove,
    Update,
}

/// How many operations are done in a row, under one session: the mix once, in an order that is
/// drawn once and the same for all.
pub const TURN: usize = 100;

/// The order of a mix's operations.
pub struct Order([Operation; TURN]);

impl Order {
    pub fn of(mix: &Mix) -> Self {
        let Mix { read, insert, remove, update, .. } = *mix;
        assert_eq!(read + insert + remove + update, TURN, "{} is not of 100", mix.name);
        let mut order = array::from_fn(|i| match i {
            i if i < read => Operation::Read,
            i if i < read + insert => Operation::Insert,
            i if i < read + insert + remove => Operation::Remove,
            _ => Operation::Update,
        });
        order.shuffle(&mut SmallRng::seed_from_u64(100));
        Self(order)
    }
}

/// Keys of which one thread at a time disposes.
pub struct Lane {
    number: usize,
    /// The keys that are there: those from `removed` on, and below `inserted`.
    removed: usize,
    inserted: usize,
    /// A congruential generator of 64 bits, whose highest bits say where among the keys to look.
    find: u64,
    /// How many bits these are: a power of two of keys is asked for.
    bits: u32,
    /// Whether these follow the keys that are there, where the map keeps its size; where it grows
    /// they are always the same.
    follows: bool,
    /// Answers that were wrong.
    pub wrong: usize,
}

impl Lane {
    /// All lanes of an empty map.
    pub fn all(mix: &Mix, capacity: usize) -> Vec<Self> {
        let follows = mix.prefill > 0;
        // As there: all keys that the capacity and the prefill come to, and up to a power of two.
        // So where three quarters are filled, three of eight keys that are asked for are there.
        let asked_for = (capacity / LANES) << usize::from(follows);
        assert!(asked_for.is_power_of_two() && asked_for >= 8, "{capacity} is too small");
        let lane = |number| Self {
            number,
            removed: 0,
            inserted: 0,
            find: keys::mix(number),
            bits: asked_for.ilog2(),
            follows,
            wrong: 0,
        };
        (0..LANES).map(lane).collect()
    }

    fn key(&self, index: usize) -> u64 {
        keys::mix(self.number << 40 | index)
    }

    /// The next key to ask for, and whether it is there.
    #[inline(always)]
    fn next(&mut self) -> (u64, bool) {
        // Knuth's constants.
        const FACTOR: u64 = 6_364_136_223_846_793_005;
        const STEP: u64 = 1_442_695_040_888_963_407;
        self.find = self.find.wrapping_mul(FACTOR).wrapping_add(STEP);
        let found = (self.find >> (u64::BITS - self.bits)) as usize;
        let index = found + if self.follows { self.removed } else { 0 };
        (self.key(index), (self.removed..self.inserted).contains(&index))
    }

    /// Inserts that many keys of each lane, in another order than they will be removed in: nodes that
    /// are allocated one after another are next to each other in memory.
    pub fn fill<M: Map>(lanes: &mut [Self], map: &M, each: usize) {
        let all = lanes.len() * each;
        for first in (0..all).step_by(TURN) {
            let session = map.session();
            for number in first..all.min(first + TURN) {
                let place = scattered(number, all);
                let lane = &mut lanes[place / each];
                let key = lane.key(place % each);
                lane.wrong += usize::from(!session.insert_new(key, !key));
            }
        }
        lanes.iter_mut().for_each(|lane| lane.inserted = each);
    }

    #[inline(always)]
    fn insert<M: Map>(&mut self, session: &M::Session<'_>) {
        let key = self.key(self.inserted);
        self.inserted += 1;
        self.wrong += usize::from(!session.insert_new(key, !key));
    }

    /// Does a turn of the mix.
    #[inline(always)]
    pub fn turn<M: Map>(&mut self, session: &M::Session<'_>, order: &Order) {
        for operation in &order.0 {
            match operation {
                Operation::Read => {
                    let (key, there) = self.next();
                    self.wrong += usize::from(session.get(&key) != there.then_some(!key));
                }
                Operation::Insert => self.insert::<M>(session),
                Operation::Remove => {
                    let there = self.removed < self.inserted;
                    let key = self.key(self.removed);
                    self.removed += usize::from(there);
                    self.wrong += usize::from(session.remove(&key) != there);
                }
                Operation::Update => {
                    let (key, there) = self.next();
                    self.wrong += usize::from(session.update(&key, !key) != there);
                }
            }
        }
    }

    /// How many keys are there.
    pub fn len(&self) -> usize {
        self.inserted - self.removed
    }
}
