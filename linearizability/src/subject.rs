//! What is tested: binlock's map, or something that claims to be one.

use std::{
    cell::Cell,
    future::poll_fn,
    panic::{self, AssertUnwindSafe},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use binlock::{ComputeError, HashMap, Pinned, Ref};

use crate::{
    jitter::pause,
    keys::{Hashing, Key},
    record::{Event, Fact, Recorder},
    scenario::{Operation, Scenario, Step, Use},
};

pub type Map = HashMap<Key, u64, Hashing>;

/// A map as the threads of a scenario see it.
pub trait Subject: Send + Sync + 'static {
    fn new(scenario: &Scenario) -> Self;

    /// Does a step, with so many keys to be watched, and notes down what came of it.
    fn perform(&self, step: &Step, keys: usize, recorder: &mut Recorder<'_>);
}

impl Subject for Map {
    fn new(scenario: &Scenario) -> Map {
        Map::with_capacity_and_hasher(scenario.room, scenario.hashing)
    }

    fn perform(&self, step: &Step, keys: usize, recorder: &mut Recorder<'_>) {
        use Operation::*;

        match step.operation {
            Iterate => iterate(self, keys, recorder),
            Clear => {
                let called = recorder.now();
                if step.pinned {
                    self.pin().clear()
                } else {
                    self.clear()
                }
                let ended = recorder.now();
                for key in 0..keys {
                    recorder.event(Event { key, fact: Fact::Cleared, called, ended });
                }
            }
            RetainOdd => retain_odd(self, keys, recorder),
            GetMany => {
                let called = recorder.now();
                let asked: [Key; 4] = std::array::from_fn(|key| Key(key as u64));
                let asked = asked.each_ref();
                let found: [Option<u64>; 4] = if step.pinned {
                    self.pin().get_many(asked).map(|value| value.copied())
                } else {
                    self.get_many(asked).map(|value| value.map(|value| *value))
                };
                let ended = recorder.now();
                for (key, value) in found.into_iter().enumerate().take(keys) {
                    recorder.event(Event { key, fact: Fact::found(value), called, ended });
                }
            }
            Reserve(room) => self.reserve(room.into()),
            InsertNeighbours(count) => {
                for i in 0..u64::from(count) {
                    self.insert(Key(NEIGHBOURS + 64 * step.value + i), 1);
                }
            }
            RemoveNeighbours(count) => {
                for i in 0..u64::from(count) {
                    self.remove(&Key(NEIGHBOURS + i));
                }
            }
            Shrink => self.shrink_to_fit(),
            Flush => self.flush(),
            ComputeIfAbsentAsync => recorder.record(step.key, |recorder| {
                let mut computed = false;
                let future = self.compute_if_absent_async(Key(step.key as u64), |_| {
                    computed = true;
                    async {
                        give_way().await;
                        step.value
                    }
                });
                let value = *block_on(future).expect(CIRCLE);
                if !computed {
                    return Fact::found(Some(value));
                }
                recorder.demand(value == step.value, || format!("computed {value}: {step:?}"));
                Fact::put(None, value)
            }),
            _ if step.pinned => {
                recorder.record(step.key, |recorder| through_view(&self.pin(), step, recorder));
            }
            _ => recorder.record(step.key, |recorder| through_map(self, step, recorder)),
        }
    }
}

/// Keys from here on are not watched.
pub(crate) const NEIGHBOURS: u64 = 1_000;

const CIRCLE: &str = "nobody waits for himself";

/// The number of a key that is watched.
fn watched(key: &Key, keys: usize) -> Option<usize> {
    ((key.0 as usize) < keys).then_some(key.0 as usize)
}

/// What a walk met, in the order in which it did: at a visit of a key, and not at all.
struct Visits {
    called: u64,
    seen: Vec<Vec<u64>>,
}

impl Visits {
    fn begin(keys: usize, recorder: &Recorder<'_>) -> Visits {
        Visits { called: recorder.now(), seen: vec![Vec::new(); keys] }
    }

    /// Returns when that was.
    fn visit(&mut self, key: usize, value: u64, recorder: &mut Recorder<'_>) -> u64 {
        recorder.demand(!self.seen[key].contains(&value), || {
            format!("{value} of key {key} comes twice")
        });
        self.seen[key].push(value);
        let ended = recorder.now();
        recorder.event(Event { key, fact: Fact::found(Some(value)), called: self.called, ended });
        ended
    }

    fn end(self, recorder: &mut Recorder<'_>) {
        let ended = recorder.now();
        for (key, seen) in self.seen.iter().enumerate() {
            if seen.is_empty() {
                let fact = Fact::found(None);
                recorder.event(Event { key, fact, called: self.called, ended });
            }
        }
    }
}

fn iterate(map: &Map, keys: usize, recorder: &mut Recorder<'_>) {
    let mut visits = Visits::begin(keys, recorder);
    for (key, value) in &map.pin() {
        pause();
        if let Some(key) = watched(key, keys) {
            visits.visit(key, *value, recorder);
        }
    }
    visits.end(recorder);
}

fn retain_odd(map: &Map, keys: usize, recorder: &mut Recorder<'_>) {
    let mut visits = Visits::begin(keys, recorder);
    let mut refused = Vec::new();
    map.retain(|key, value| {
        pause();
        let keep = value % 2 == 1;
        if let Some(key) = watched(key, keys) {
            let called = visits.visit(key, *value, recorder);
            if !keep {
                refused.push((key, Fact::RemovedIf(*value), called));
            }
        }
        keep
    });
    visits.end(recorder);
    let ended = recorder.now();
    for (key, fact, called) in refused {
        recorder.event(Event { key, fact, called, ended });
    }
}

/// A key and its value, as a pinned view and a map return them.
trait Pair {
    fn pair(&self) -> (u64, u64);
}

impl Pair for (&Key, &u64) {
    fn pair(&self) -> (u64, u64) {
        (self.0.0, *self.1)
    }
}

impl Pair for Ref<'_, Key, u64> {
    fn pair(&self) -> (u64, u64) {
        (self.key().0, *self.value())
    }
}

/// What an operation's closure was called with. It must be once, and with the right key.
struct Asked<'s> {
    step: &'s Step,
    times: Cell<usize>,
    right_key: Cell<bool>,
    current: Cell<Option<u64>>,
}

impl<'s> Asked<'s> {
    fn about(step: &'s Step) -> Self {
        Asked { step, times: Cell::new(0), right_key: Cell::new(true), current: Cell::new(None) }
    }

    /// To be called by the closure, which holds its claim for a while.
    fn ask(&self, key: Option<&Key>, current: Option<u64>) {
        self.times.set(self.times.get() + 1);
        self.right_key.set(key.is_none_or(|key| key.0 == self.step.key as u64));
        self.current.set(current);
        pause();
        pause();
    }

    /// What it was called with, if it was.
    fn answer(&self, recorder: &mut Recorder<'_>) -> Option<Option<u64>> {
        let (step, times) = (self.step, self.times.get());
        recorder.demand(times <= 1, || format!("{times} calls of a closure: {step:?}"));
        recorder.demand(self.right_key.get(), || format!("asked about another key: {step:?}"));
        (times > 0).then(|| self.current.get())
    }
}

/// A map and a pinned view have the same methods, but no trait for them.
macro_rules! through {
    ($name:ident, $map:ty) => {
        fn $name(map: &$map, step: &Step, recorder: &mut Recorder<'_>) -> Fact {
            use Operation::*;

            let key = || Key(step.key as u64);
            let value = step.value;
            let asked = Asked::about(step);
            let copy = |pair: (u64, u64)| {
                assert_eq!(pair.0, step.key as u64, "another key");
                pair.1
            };
            match step.operation {
                Get => Fact::found(map.get(&key()).map(|value| *value)),
                GetKeyValue => {
                    Fact::found(map.get_key_value(&key()).map(|found| copy(found.pair())))
                }
                ContainsKey if map.contains_key(&key()) => Fact::Present,
                ContainsKey => Fact::found(None),
                Insert => Fact::put(map.insert(key(), value).map(|previous| *previous), value),
                TryInsert => match map.try_insert(key(), value) {
                    Ok(inserted) => {
                        recorder.demand(*inserted == value, || format!("inserted: {step:?}"));
                        Fact::put(None, value)
                    }
                    Err(error) => {
                        recorder.demand(error.value == value, || format!("given back: {step:?}"));
                        Fact::found(Some(*error.current))
                    }
                },
                Replace => match map.replace(key(), value).map(|previous| *previous) {
                    Some(previous) => Fact::put(Some(previous), value),
                    None => Fact::found(None),
                },
                Remove => Fact::removed(map.remove(&key()).map(|previous| *previous)),
                RemoveEntry => {
                    Fact::removed(map.remove_entry(&key()).map(|removed| copy(removed.pair())))
                }
                RemoveIfEven => {
                    let removed = map.remove_if(&key(), |key, current| {
                        asked.ask(Some(key), Some(*current));
                        current % 2 == 0
                    });
                    let removed = removed.map(|removed| copy(removed.pair()));
                    let current = asked.answer(recorder).flatten();
                    let expected = current.filter(|current| current % 2 == 0);
                    recorder.demand(removed == expected, || format!("{removed:?}: {step:?}"));
                    Fact::Changed { before: current, after: current.filter(|_| removed.is_none()) }
                }
                ComputeIfAbsent => {
                    let found = map.compute_if_absent(key(), |key| {
                        asked.ask(Some(key), None);
                        value
                    });
                    let found = *found.expect(CIRCLE);
                    computed_if_absent(&asked, found, recorder)
                }
                TryComputeIfAbsent { fails } => {
                    let found = map.try_compute_if_absent(key(), |key| {
                        asked.ask(Some(key), None);
                        if fails { Err(value) } else { Ok(value) }
                    });
                    match found.map(|found| *found) {
                        Ok(found) => computed_if_absent(&asked, found, recorder),
                        Err(ComputeError::Closure(error)) => {
                            recorder.demand(error == value, || format!("{error}: {step:?}"));
                            let called = asked.answer(recorder).is_some();
                            recorder.demand(called, || format!("not called: {step:?}"));
                            Fact::found(None)
                        }
                        Err(ComputeError::Recursive(error)) => panic!("{CIRCLE}: {error}"),
                    }
                }
                ComputeIfPresent(decision) => {
                    let found = map.compute_if_present(&key(), |key, current| {
                        asked.ask(Some(key), Some(*current));
                        decision.decide(Some(*current), value)
                    });
                    let found = found.expect(CIRCLE).map(|found| *found);
                    let before = asked.answer(recorder).flatten();
                    let expected = before.and_then(|before| decision.decide(Some(before), value));
                    recorder.demand(found == expected, || format!("{found:?}: {step:?}"));
                    Fact::Changed { before, after: expected }
                }
                Compute(decision) => {
                    let found = map.compute(key(), |key, current| {
                        asked.ask(Some(key), current.copied());
                        decision.decide(current.copied(), value)
                    });
                    let found = found.expect(CIRCLE).map(|found| *found);
                    let answer = asked.answer(recorder);
                    recorder.demand(answer.is_some(), || format!("not called: {step:?}"));
                    let before = answer.flatten();
                    let expected = decision.decide(before, value);
                    recorder.demand(found == expected, || format!("{found:?}: {step:?}"));
                    Fact::Changed { before, after: expected }
                }
                Merge(decision) => {
                    let found = map.merge(key(), value, |current, value| {
                        asked.ask(None, Some(*current));
                        decision.decide(Some(*current), value)
                    });
                    let found = found.expect(CIRCLE).map(|found| *found);
                    let before = asked.answer(recorder).flatten();
                    let expected = match before {
                        Some(_) => decision.decide(before, value),
                        None => Some(value),
                    };
                    recorder.demand(found == expected, || format!("{found:?}: {step:?}"));
                    Fact::Changed { before, after: expected }
                }
                Panic => {
                    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
                        map.compute(key(), |key, current| {
                            asked.ask(Some(key), current.copied());
                            // Not `panic!`, for the sake of whoever reads the output.
                            panic::resume_unwind(Box::new(OnPurpose))
                        })
                        .map(drop)
                    }));
                    match outcome {
                        Err(payload) if payload.is::<OnPurpose>() => {}
                        Err(payload) => panic::resume_unwind(payload),
                        Ok(_) => recorder.demand(false, || format!("did not panic: {step:?}")),
                    }
                    Fact::found(asked.answer(recorder).flatten())
                }
                Entry(usage) => {
                    let entry = map.entry(key()).expect(CIRCLE);
                    let before = match &entry {
                        binlock::Entry::Occupied(entry) => Some(*entry.get()),
                        binlock::Entry::Vacant(_) => None,
                    };
                    pause();
                    pause();
                    let mut after = Some(value);
                    let returned = match usage {
                        Use::OrInsert => {
                            after = before.or(after);
                            Some(*entry.or_insert(value).expect(CIRCLE))
                        }
                        Use::Insert => Some(*entry.insert(value).expect(CIRCLE)),
                        Use::ModifyOrInsert => {
                            let modify = |current: &u64| {
                                asked.ask(None, Some(*current));
                                value
                            };
                            Some(*entry.and_modify(modify).or_insert(value).expect(CIRCLE))
                        }
                        Use::Remove => {
                            after = None;
                            match entry {
                                binlock::Entry::Occupied(entry) => {
                                    let removed = Some(*entry.remove().expect(CIRCLE));
                                    recorder.demand(removed == before, || {
                                        format!("{removed:?} for {before:?}: {step:?}")
                                    });
                                }
                                binlock::Entry::Vacant(entry) => drop(entry),
                            }
                            None
                        }
                        Use::Drop => {
                            after = before;
                            drop(entry);
                            before
                        }
                    };
                    recorder.demand(returned == after, || format!("{returned:?}: {step:?}"));
                    Fact::Changed { before, after }
                }
                _ => unreachable!("not on one key: {step:?}"),
            }
        }
    };
}

through!(through_map, Map);
through!(through_view, Pinned<'_, Key, u64, Hashing>);

struct OnPurpose;

fn computed_if_absent(asked: &Asked<'_>, found: u64, recorder: &mut Recorder<'_>) -> Fact {
    let step = asked.step;
    if asked.answer(recorder).is_none() {
        return Fact::found(Some(found));
    }
    recorder.demand(found == step.value, || format!("computed {found}: {step:?}"));
    Fact::put(None, found)
}

/// Is ready when it is polled for the second time.
async fn give_way() {
    let mut polled = false;
    poll_fn(|context| {
        pause();
        if std::mem::replace(&mut polled, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
