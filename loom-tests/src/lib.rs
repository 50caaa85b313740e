//! What the models share: maps whose keys lie where a model wants them, and entries that
//! notice when they are used before they are there or after they are gone.
#![cfg(binlock_loom)]
// Loom's threads are one thread, and its cells are not `Sync`; the models share maps of them
// all the same.
#![allow(clippy::arc_with_non_send_sync)]

use std::{
    backtrace::Backtrace,
    collections::BTreeMap,
    hash::{BuildHasher, Hash, Hasher},
    io::{self, Write},
    panic::{self, AssertUnwindSafe},
    pin::{Pin, pin},
    process,
    sync::{
        Arc, Once,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread,
};

use binlock::{ComputeError, Entry, HashMap, Others, set_others};
use equivalent::Equivalent;
use loom::{
    alloc::Track,
    cell::UnsafeCell,
    model::Builder,
    sync::{Condvar, Mutex},
    thread::JoinHandle,
};

/// The map of the models.
pub type Map = HashMap<Key, Value, Exact>;

/// Explores all interleavings of a model, with `LOOM_MAX_PREEMPTIONS` at the most, or two.
pub fn model(f: impl Fn() + Send + Sync + 'static) {
    model_within(2, f);
}

/// The same with another bound than two, for models with many steps; a longer run adds as
/// many preemptions to it as to the others.
pub fn model_within(preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    end_with_the_first_panic();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let mut builder = Builder::new();
    builder.preemption_bound =
        Some(builder.preemption_bound.map_or(preemptions, |given| given.max(2) - 2 + preemptions));
    // No model comes near it, unless it does not end.
    builder.max_branches = 5_000;
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        set_others(Others::ToCome);
        f();
    });
    let count = count.load(Ordering::Relaxed);
    // (With batches of two pieces, what a thread retires may go nowhere, and meet nobody.)
    assert!(count > 1 || cfg!(binlock_pairs), "the threads do not meet");
    println!("{count} interleavings");
}

/// Loom's objects cannot be dropped by unwinding (what they belong to is gone then), so the
/// first failure is the last thing that a file of models reports.
fn end_with_the_first_panic() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        panic::set_hook(Box::new(|panic| {
            let thread = thread::current();
            let model = thread.name().unwrap_or("a model");
            // Not `eprintln`, whose output would be kept until the test ends.
            let _ = writeln!(io::stderr(), "\n{model}: {panic}\n{}", Backtrace::capture());
            process::exit(101);
        }));
    });
}

/// An empty map with one table of the smallest size, two bins.
pub fn map() -> Arc<Map> {
    map_for(1)
}

/// An empty map with room for some entries.
pub fn map_for(entries: usize) -> Arc<Map> {
    Arc::new(Map::with_capacity_and_hasher(entries, Exact))
}

/// Runs something with the map on a thread of its own.
pub fn spawn<R: 'static>(map: &Arc<Map>, f: impl FnOnce(&Map) -> R + 'static) -> JoinHandle<R> {
    let map = Arc::clone(map);
    start(move || f(&map))
}

/// Loom's `spawn`, for models.
pub fn start<R: 'static>(f: impl FnOnce() -> R + 'static) -> JoinHandle<R> {
    set_others(Others::There);
    loom::thread::spawn(f)
}

/// What a key is called by: its hash, as the map sees it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Name(u64);

impl Name {
    /// A key whose hash begins with these eight bits, which choose its bin, and has this tag
    /// (of seven bits). The number tells keys with one hash apart.
    pub const fn new(prefix: u8, tag: u8, number: u8) -> Name {
        assert!(tag < 1 << 7);
        Name((prefix as u64) << 56 | (tag as u64) << 31 | number as u64)
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

impl Equivalent<Key> for Name {
    fn equivalent(&self, key: &Key) -> bool {
        key.content.read() == self.0
    }
}

/// A key. Comparing it is reading it, which loom watches.
pub struct Key {
    name: Name,
    content: Canary,
}

impl Key {
    pub fn name(&self) -> Name {
        assert_eq!(self.content.read(), self.name.0, "half a key");
        self.name
    }
}

impl From<Name> for Key {
    fn from(name: Name) -> Key {
        Key { name, content: Canary::new(name.0) }
    }
}

impl Clone for Key {
    fn clone(&self) -> Key {
        self.name().into()
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.name.equivalent(other)
    }
}

impl Eq for Key {}

/// A value. Reading it is what loom watches.
pub struct Value {
    number: u64,
    content: Canary,
}

impl Value {
    pub fn read(&self) -> u64 {
        assert_eq!(self.content.read(), self.number, "half a value");
        self.number
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value { number, content: Canary::new(number) }
    }
}

/// A number that notices when it is read before it was written or after it was dropped,
/// dropped twice, or never.
struct Canary {
    content: UnsafeCell<u64>,
    _not_leaked: Track<()>,
}

impl Canary {
    /// What is left after a drop.
    const DEAD: u64 = 0xdead_dead_dead_dead;

    fn new(content: u64) -> Canary {
        let cell = UnsafeCell::new(Canary::DEAD);
        // Written here and not by `new`, which loom takes for a part of what came before.
        // SAFETY: loom sees to it that nobody else is there.
        cell.with_mut(|cell| unsafe { *cell = content });
        Canary { content: cell, _not_leaked: Track::new(()) }
    }

    fn read(&self) -> u64 {
        // SAFETY: loom sees to it that nobody is writing.
        let content = self.content.with(|content| unsafe { *content });
        assert_ne!(content, Canary::DEAD, "used after it was dropped");
        content
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        // SAFETY: loom sees to it that nobody else is there.
        let content = self.content.with_mut(|content| unsafe { content.replace(Canary::DEAD) });
        assert_ne!(content, Canary::DEAD, "dropped twice");
    }
}

/// A hasher that gives a key the hash that its name is.
#[derive(Clone, Copy)]
pub struct Exact;

/// The map multiplies hashes by this (`raw::hash::spread`)...
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
/// ... and this is what undoes it.
const INVERSE: u64 = 0xF1DE_83E1_9937_733D;
const _: () = assert!(FACTOR.wrapping_mul(INVERSE) == 1);

impl BuildHasher for Exact {
    type Hasher = ExactHasher;

    fn build_hasher(&self) -> ExactHasher {
        ExactHasher(0)
    }
}

pub struct ExactHasher(u64);

impl Hasher for ExactHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("names hash as one number");
    }

    fn write_u64(&mut self, name: u64) {
        self.0 = name.wrapping_mul(INVERSE);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// An operation on a map. Its outcome is the value that it found, replaced or removed.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Get(Name),
    Insert(Name, u64),
    /// Does nothing if the key is there.
    TryInsert(Name, u64),
    /// Does nothing unless the key is there.
    Replace(Name, u64),
    Remove(Name),
    /// Removes the key if it has this value.
    RemoveIf(Name, u64),
    /// Asks for room for so many more entries.
    Reserve(usize),
    Shrink,
    /// Drops what may be dropped.
    Flush,
    Clear,
    /// Computes a value if the key is absent.
    ComputeIfAbsent(Name, u64),
    /// Computes a new value if the key is present.
    ComputeIfPresent(Name, u64),
    /// Adds to the value, or to nothing.
    Add(Name, u64),
    /// A computation whose result is that the key is to be absent.
    ComputeNothing(Name),
    /// A computation that fails, if the key is absent.
    Fail(Name),
    /// A computation that panics.
    Panic(Name),
    /// Claims a key by its entry, and drops that.
    Touch(Name),
}

impl Op {
    /// Does it to a map.
    pub fn run(self, map: &Map) -> Option<u64> {
        let found = match self {
            Op::Get(name) => map.get(&name),
            Op::Insert(name, number) => map.insert(name.into(), number.into()),
            Op::TryInsert(name, number) => match map.try_insert(name.into(), number.into()) {
                Ok(inserted) => {
                    assert_eq!((inserted.key().name(), inserted.read()), (name, number));
                    None
                }
                Err(error) => {
                    assert_eq!(error.value.read(), number);
                    Some(error.current)
                }
            },
            Op::Replace(name, number) => map.replace(name.into(), number.into()),
            Op::Remove(name) => map.remove(&name),
            Op::RemoveIf(name, number) => map.remove_if(&name, |_, value| value.read() == number),
            Op::Reserve(additional) => {
                map.reserve(additional);
                None
            }
            Op::Shrink => {
                map.shrink_to_fit();
                None
            }
            Op::Flush => {
                map.flush();
                None
            }
            Op::Clear => {
                map.clear();
                None
            }
            _ => return self.compute(map),
        };
        found.map(|found| {
            assert_eq!(Some(found.key().name()), self.name());
            found.read()
        })
    }

    /// The same for what claims a key.
    fn compute(self, map: &Map) -> Option<u64> {
        const CIRCLE: &str = "nobody waits for himself";
        let mut found = None;
        match self {
            Op::ComputeIfAbsent(name, number) => {
                let mut computed = false;
                let entry = map.compute_if_absent(name.into(), |key| {
                    assert_eq!(key.name(), name);
                    computed = true;
                    number.into()
                });
                let entry = entry.expect(CIRCLE);
                assert_eq!(entry.key().name(), name);
                if computed {
                    assert_eq!(entry.read(), number);
                } else {
                    found = Some(entry.read());
                }
            }
            Op::ComputeIfPresent(name, number) => {
                let entry = map.compute_if_present(&name, |key, value| {
                    assert_eq!(key.name(), name);
                    found = Some(value.read());
                    Some(number.into())
                });
                let entry = entry.expect(CIRCLE).map(|entry| (entry.key().name(), entry.read()));
                assert_eq!(entry, found.map(|_| (name, number)));
            }
            Op::Add(name, number) => {
                let sum = map.merge(name.into(), number.into(), |before, number| {
                    found = Some(before.read());
                    Some((before.read() + number.read()).into())
                });
                let sum = sum.expect(CIRCLE).expect("it has been computed").read();
                assert_eq!(sum, found.unwrap_or(0) + number);
            }
            Op::ComputeNothing(name) => {
                let entry = map.compute(name.into(), |key, value| {
                    assert_eq!(key.name(), name);
                    found = value.map(Value::read);
                    None
                });
                assert!(entry.expect(CIRCLE).is_none());
            }
            Op::Fail(name) => match map.try_compute_if_absent(name.into(), |_| Err(())) {
                Ok(entry) => found = Some(entry.read()),
                Err(error) => assert!(matches!(error, ComputeError::Closure(())), "{CIRCLE}"),
            },
            Op::Panic(name) => {
                let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
                    map.compute(name.into(), |_, value| {
                        found = value.map(Value::read);
                        // Past the panic hook, for which every panic is a failure.
                        panic::resume_unwind(Box::new("on purpose"))
                    })
                    .map(drop)
                }));
                assert!(outcome.is_err(), "{CIRCLE}");
            }
            Op::Touch(name) => match map.entry(name.into()).expect(CIRCLE) {
                Entry::Occupied(entry) => found = Some(entry.get().read()),
                Entry::Vacant(entry) => assert_eq!(entry.key().name(), name),
            },
            _ => unreachable!("it claims nothing"),
        }
        found
    }

    /// Does it to what stands for a map.
    fn simulate(self, map: &mut BTreeMap<Name, u64>) -> Option<u64> {
        match self {
            Op::Get(name) => map.get(&name).copied(),
            Op::Insert(name, number) => map.insert(name, number),
            Op::TryInsert(name, number) => {
                let found = map.get(&name).copied();
                map.entry(name).or_insert(number);
                found
            }
            Op::Replace(name, number) => {
                map.get_mut(&name).map(|value| std::mem::replace(value, number))
            }
            Op::Remove(name) => map.remove(&name),
            Op::RemoveIf(name, number) => {
                if map.get(&name) == Some(&number) {
                    map.remove(&name)
                } else {
                    None
                }
            }
            Op::ComputeIfAbsent(name, number) => Op::TryInsert(name, number).simulate(map),
            Op::ComputeIfPresent(name, number) => Op::Replace(name, number).simulate(map),
            Op::Add(name, number) => {
                let found = map.get(&name).copied();
                map.insert(name, found.unwrap_or(0) + number);
                found
            }
            Op::ComputeNothing(name) => map.remove(&name),
            Op::Fail(name) | Op::Panic(name) | Op::Touch(name) => map.get(&name).copied(),
            Op::Clear => {
                map.clear();
                None
            }
            Op::Reserve(_) | Op::Shrink | Op::Flush => None,
        }
    }

    fn name(self) -> Option<Name> {
        match self {
            Op::Get(name)
            | Op::Insert(name, _)
            | Op::TryInsert(name, _)
            | Op::Replace(name, _)
            | Op::Remove(name)
            | Op::RemoveIf(name, _)
            | Op::ComputeIfAbsent(name, _)
            | Op::ComputeIfPresent(name, _)
            | Op::Add(name, _)
            | Op::ComputeNothing(name)
            | Op::Fail(name)
            | Op::Panic(name)
            | Op::Touch(name) => Some(name),
            Op::Reserve(_) | Op::Shrink | Op::Flush | Op::Clear => None,
        }
    }
}

/// A model in which each thread does some operations to a map that `before` has made:
/// whatever the interleaving, all outcomes and the final entries are as if the operations
/// had been done one after another.
pub fn linearizable<const N: usize>(
    before: impl Fn() -> Arc<Map> + Send + Sync + 'static,
    threads: [&'static [Op]; N],
) {
    linearizable_within(2, before, threads);
}

/// The same with another bound, as for [`model_within`].
pub fn linearizable_within<const N: usize>(
    preemptions: usize,
    before: impl Fn() -> Arc<Map> + Send + Sync + 'static,
    threads: [&'static [Op]; N],
) {
    model_within(preemptions, move || {
        let map = before();
        let entries_before = entries(&map).into_iter().collect();
        let run = |ops: &[Op], map: &Map| ops.iter().map(|op| op.run(map)).collect::<Vec<_>>();
        let (last, others) = threads.split_last().expect("at least one thread");
        let others: Vec<_> =
            others.iter().map(|&ops| spawn(&map, move |map| run(ops, map))).collect();
        let last = run(last, &map);
        let mut outcomes: Vec<_> =
            others.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        outcomes.push(last);
        set_others(Others::Ended);
        let entries_after = settled_entries(&map);
        assert!(
            could_be(&threads, &outcomes, &entries_before, &entries_after),
            "no order of the operations explains {outcomes:?} and then {entries_after:?}"
        );
    });
}

/// Whether some order of the operations, with each thread's own in their order, gives these
/// outcomes and these entries.
fn could_be(
    threads: &[&[Op]],
    outcomes: &[Vec<Option<u64>>],
    before: &BTreeMap<Name, u64>,
    after: &BTreeMap<Name, u64>,
) -> bool {
    /// `done` says how many operations of each thread are behind.
    fn search(
        threads: &[&[Op]],
        outcomes: &[Vec<Option<u64>>],
        done: &mut [usize],
        map: &BTreeMap<Name, u64>,
        after: &BTreeMap<Name, u64>,
    ) -> bool {
        if threads.iter().zip(&*done).all(|(ops, &done)| done == ops.len()) {
            return map == after;
        }
        (0..threads.len()).any(|thread| {
            let next = done[thread];
            let Some(op) = threads[thread].get(next) else { return false };
            let mut map = map.clone();
            if op.simulate(&mut map) != outcomes[thread][next] {
                return false;
            }
            done[thread] += 1;
            let found = search(threads, outcomes, done, &map, after);
            done[thread] -= 1;
            found
        })
    }
    search(threads, outcomes, &mut vec![0; threads.len()], before, after)
}

/// All entries that an iteration yields, in order of their names.
pub fn entries(map: &Map) -> Vec<(Name, u64)> {
    let mut entries: Vec<_> =
        map.pin().iter().map(|(key, value)| (key.name(), value.read())).collect();
    entries.sort();
    entries
}

/// The entries of a map that nobody writes to any more: the same, whichever way one asks.
pub fn settled_entries(map: &Map) -> BTreeMap<Name, u64> {
    let listed = entries(map);
    let entries: BTreeMap<_, _> = listed.iter().copied().collect();
    assert_eq!(listed.len(), entries.len(), "a key twice: {listed:?}");
    assert_eq!(map.len(), entries.len());
    for (&name, &number) in &entries {
        assert_eq!(Op::Get(name).run(map), Some(number));
    }
    entries
}

/// A map with room for so many entries that has these.
pub fn map_with(room: usize, entries: &[(Name, u64)]) -> Arc<Map> {
    let map = map_for(room);
    for &(name, number) in entries {
        assert_eq!(Op::Insert(name, number).run(&map), None);
    }
    map
}

/// A waker that a thread can wait for.
pub struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    pub fn new() -> Arc<Bell> {
        Arc::new(Bell { rung: Mutex::new(false), changed: Condvar::new() })
    }

    /// Returns when the waker has been called since the last time.
    pub fn wait(&self) {
        let mut rung = self.rung.lock().expect("no panic");
        while !*rung {
            rung = self.changed.wait(rung).expect("no panic");
        }
        *rung = false;
    }

    /// Polls a future with this waker.
    pub fn poll<F: Future + ?Sized>(self: &Arc<Self>, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }

    /// Polls a future, whenever this waker is called, until it is ready.
    pub fn finish<F: Future + ?Sized>(self: &Arc<Self>, mut future: Pin<&mut F>) -> F::Output {
        loop {
            if let Poll::Ready(output) = self.poll(future.as_mut()) {
                return output;
            }
            self.wait();
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().expect("no panic") = true;
        self.changed.notify_one();
    }
}

/// Runs a future to its end.
pub fn block_on<F: Future>(future: F) -> F::Output {
    Bell::new().finish(pin!(future))
}
