//! Maps under the load of any number of threads, their types erased. Each checks what it was
//! answered when the clock has stopped.

use std::cell::LazyCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::common::keys::{self, Stream};
use crate::common::lanes::{LANES, Lane, Mix, Order, TURN};
use crate::common::maps::{
    Binlock, BinlockEach, DashMap, Flurry, Map, Papaya, PapayaBatches, PapayaEach, SccIndex,
    SccIndexEach, SccMap, Session, Sharded, Sum,
};
use crate::common::work::{self, WRITES_PER_SESSION};
use crate::contenders::Entry;
use crate::render::OURS;
use crate::threads::{self, Crowd, Work};

/// A stream that is drawn when it is needed.
pub type Keys = Rc<LazyCell<Stream, Box<dyn FnOnce() -> Stream>>>;

/// What maps are loaded with.
#[derive(Clone)]
pub enum Load {
    /// A mix on a map that keeps its size; entries are its capacity.
    Steady(&'static Mix),
    /// A mix on an empty map, which has been asked for room for as many entries as there are
    /// operations.
    Growing(&'static Mix),
    /// The insertion of all entries into a new map.
    Growth,
    /// Reads of a stream's keys, and for one in so many of them an update.
    Hot { keys: Keys, one_update_in: usize },
    /// Reads of a stream's keys, which are there or are not.
    Reads { keys: Keys, present: bool },
}

impl Load {
    /// Whether `HashIndex` takes part: not where keys are hot, as its readers at times do not find
    /// a key that is being updated, which the workload would take for a lost entry.
    fn is_for_an_index(&self) -> bool {
        !matches!(self, Self::Hot { .. })
    }

    /// Whether a guard for each look-up is beside one for many.
    fn is_of_reads(&self) -> bool {
        matches!(self, Self::Reads { .. })
    }

    /// How long a slice takes, if it is not one of a fixed time.
    pub fn work(&self, entries: usize) -> Option<Duration> {
        match self {
            Self::Growing(_) | Self::Growth => Some(Duration::from_nanos(200) * entries as u32),
            _ => None,
        }
    }
}

/// A map under load.
pub trait Crowded {
    fn slice(&self, slice: &Slice) -> Work;

    /// Panics if entries were lost: for what is too costly after each slice.
    fn check(&self) {}
}

pub struct Slice {
    pub threads: usize,
    /// Of no meaning where the work is fixed.
    pub time: Duration,
    pub round: usize,
}

impl Entry<dyn Crowded> {
    /// All maps that many threads can share, ours the first.
    pub fn all(load: &Load) -> Vec<Self> {
        let mut all = vec![
            Self::crowded::<Binlock>(load),
            Self::crowded::<BinlockEach>(load),
            Self::crowded::<Papaya>(load),
        ];
        all.push(match load.is_of_reads() {
            true => Self::crowded::<PapayaEach>(load),
            false => Self::crowded::<PapayaBatches>(load),
        });
        all.push(Self::crowded::<Flurry>(load));
        if load.is_for_an_index() {
            // Its writes need no guard, and find room that removals have left only when no guard is
            // old; its readers need one.
            all.extend([Self::crowded::<SccIndex>(load), Self::crowded::<SccIndexEach>(load)]);
        }
        all.extend([
            Self::crowded::<SccMap>(load),
            Self::crowded::<DashMap>(load),
            Self::crowded::<Sharded>(load),
        ]);
        all
    }

    fn crowded<M: Map + Sync>(load: &Load) -> Self {
        let load = load.clone();
        Self::new(M::NAME, move |entries| match &load {
            Load::Steady(mix) => Box::new(Steady::<M>::new(mix, entries)),
            Load::Growing(mix) => Box::new(Growing { mix, entries, new: M::with_capacity }),
            Load::Growth => Box::new(Growth { keys: keys::present(entries), new: M::new }),
            Load::Hot { keys, one_update_in } => Box::new(Hot {
                map: work::filled::<M>(entries),
                keys: Rc::clone(keys),
                one_update_in: *one_update_in,
            }),
            Load::Reads { keys, present } => Box::new(Reads {
                map: work::filled::<M>(entries),
                keys: Rc::clone(keys),
                present: *present,
            }),
        })
    }
}

/// A map that keeps its size, however often it is loaded.
struct Steady<M> {
    order: Order,
    map: M,
    lanes: Vec<Mutex<Lane>>,
}

impl<M: Map + Sync> Steady<M> {
    fn new(mix: &'static Mix, capacity: usize) -> Self {
        let map = M::with_capacity(capacity);
        let mut lanes = Lane::all(mix, capacity);
        Lane::fill(&mut lanes, &map, capacity / 4 * mix.prefill / LANES);
        map.flush();
        let lanes = lanes.into_iter().map(Mutex::new).collect();
        Self { order: Order::of(mix), map, lanes }
    }
}

impl<M: Map + Sync> Crowded for Steady<M> {
    fn slice(&self, slice: &Slice) -> Work {
        let shift = |number: &mut usize, over: &AtomicBool| {
            let mut lanes = lanes_of(&self.lanes, *number, slice.threads);
            let mut turns = 0;
            while !over.load(Ordering::Relaxed) {
                let lane = turns % lanes.len();
                lanes[lane].turn::<M>(&self.map.session(), &self.order);
                turns += 1;
            }
            turns * TURN
        };
        let (work, _) = threads::shifts(slice.threads, Some(slice.time), |number| number, shift);
        tidied(work, &self.map)
    }

    fn check(&self) {
        check(&self.map, &self.lanes);
    }
}

/// A map that exists for a slice.
struct Growing<M> {
    mix: &'static Mix,
    entries: usize,
    new: fn(usize) -> M,
}

impl<M: Map + Sync> Crowded for Growing<M> {
    fn slice(&self, slice: &Slice) -> Work {
        let order = Order::of(self.mix);
        let map = (self.new)(self.entries);
        let lanes: Vec<_> = Lane::all(self.mix, self.entries).into_iter().map(Mutex::new).collect();
        let turns = self.entries / LANES / TURN;
        let shift = |number: &mut usize, _: &AtomicBool| {
            let mut lanes = lanes_of(&lanes, *number, slice.threads);
            for _ in 0..turns {
                for lane in &mut lanes {
                    lane.turn::<M>(&map.session(), &order);
                }
            }
            turns * lanes.len() * TURN
        };
        let (work, _) = threads::shifts(slice.threads, None, |number| number, shift);
        check(&map, &lanes);
        work
    }
}

/// Wrong answers of the map of this process, so far.
static WRONG: AtomicUsize = AtomicUsize::new(0);

/// Ours must be right. A peer that is not is reported, rather than have half an hour of measuring
/// come to nothing; what stands in its row is then worth nothing, and says so.
pub fn account(contender: &str, wrong: usize) {
    assert!(wrong == 0 || !contender.starts_with(OURS), "{wrong} wrong answers of {contender}");
    WRONG.fetch_add(wrong, Ordering::Relaxed);
}

/// What has been accounted for.
pub fn wrong_answers() -> usize {
    WRONG.load(Ordering::Relaxed)
}

/// What a slice comes to with the time that it takes to free what it has left behind. 64 threads that
/// take turns on two cores retire more than they find the time to free, and it would be paid for by
/// the next slice otherwise, whose threads are fewer.
pub fn tidied<M: Map>(work: Work, map: &M) -> Work {
    let begin = Instant::now();
    map.flush();
    Work { time: work.time + begin.elapsed(), ..work }
}

/// The lanes that a thread serves.
fn lanes_of(lanes: &[Mutex<Lane>], number: usize, threads: usize) -> Vec<MutexGuard<'_, Lane>> {
    let own = lanes.iter().skip(number).step_by(threads);
    own.map(|lane| lane.lock().unwrap_or_else(PoisonError::into_inner)).collect()
}

fn check<M: Map>(map: &M, lanes: &[Mutex<Lane>]) {
    let lanes = lanes_of(lanes, 0, 1);
    account(M::NAME, lanes.iter().map(|lane| lane.wrong).sum());
    let there: usize = lanes.iter().map(|lane| lane.len()).sum();
    let Sum { entries, .. } = map.session().sum_of_all();
    account(M::NAME, entries.abs_diff(there));
}

/// A map that exists for a slice, which fills it.
struct Growth<M> {
    keys: Vec<u64>,
    new: fn() -> M,
}

impl<M: Map + Sync> Crowded for Growth<M> {
    fn slice(&self, slice: &Slice) -> Work {
        let map = (self.new)();
        let shift = |number: &mut usize, _: &AtomicBool| {
            let sessions = self.keys.chunks(WRITES_PER_SESSION).skip(*number);
            let own = sessions.step_by(slice.threads);
            own.map(|keys| {
                work::insert_all_new(&map, keys);
                keys.len()
            })
            .sum()
        };
        let (work, _) = threads::shifts(slice.threads, None, |number| number, shift);
        let digests = self.keys.iter().fold(0, |sum: u64, key| sum.wrapping_add(!key));
        let all = Sum { entries: self.keys.len(), digests };
        assert_eq!(map.session().sum_of_all(), all, "{} lost a key", M::NAME);
        work
    }
}

/// A filled map of which some keys are hot.
struct Hot<M> {
    map: M,
    keys: Keys,
    one_update_in: usize,
}

impl<M: Map + Sync> Crowded for Hot<M> {
    fn slice(&self, slice: &Slice) -> Work {
        // An `Rc` does not go to other threads, what it holds does.
        let Self { map, one_update_in, .. } = self;
        /// What a thread has come to.
        #[derive(Default)]
        struct Turns {
            since_update: usize,
            wrong: usize,
        }
        let (work, turns) =
            threads::drive_each(&crowd(slice, &self.keys), Turns::default, |turns, keys| {
                let session = map.session();
                for key in keys {
                    turns.since_update += 1;
                    let right = if turns.since_update == *one_update_in {
                        turns.since_update = 0;
                        session.update(key, !key)
                    } else {
                        session.get(key) == Some(!key)
                    };
                    turns.wrong += usize::from(!right);
                }
                0
            });
        account(M::NAME, turns.iter().map(|turns| turns.wrong).sum());
        tidied(work, map)
    }
}

/// A filled map that is only read.
struct Reads<M> {
    map: M,
    keys: Keys,
    present: bool,
}

impl<M: Map + Sync> Crowded for Reads<M> {
    fn slice(&self, slice: &Slice) -> Work {
        let Self { map, present, .. } = self;
        let (work, wrong) =
            threads::drive_each(&crowd(slice, &self.keys), usize::default, |wrong, keys| {
                let session = map.session();
                let is_wrong = |key: &&u64| session.get(key) != present.then_some(!*key);
                *wrong += keys.iter().filter(is_wrong).count();
                0
            });
        account(M::NAME, wrong.iter().sum());
        work
    }
}

fn crowd<'s>(slice: &Slice, keys: &'s Stream) -> Crowd<'s> {
    let start = keys.start_of_round(slice.round);
    Crowd { threads: slice.threads, time: slice.time, keys, start }
}
