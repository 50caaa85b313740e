//! A reader cache with anything in its callbacks, against a model that follows the cache's choice
//! of victims, and knows all else beforehand.

mod model;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    time::Duration,
};

use arbitrary::{Arbitrary, Unstructured};
use binlock::{
    Handle, ReaderCache,
    readers::{CloseCause, OpenError, WhenFull},
};

use crate::{Id, hashing::Hashing};
use model::{Limits, Model, Number};

type Cache = ReaderCache<u16, Reader, Hashing>;
type Held = Handle<u16, Reader>;

/// More steps than this make a run slow and find nothing that fewer do not.
const MOST_STEPS: usize = 300;
/// Openings and closings within each other: more would only fill the stack.
const DEEPEST: usize = 12;

#[derive(Arbitrary, Clone, Debug)]
pub struct Input {
    hashing: Hashing,
    /// Few keys, so that steps meet.
    narrow: bool,
    max_open: Option<u8>,
    when_full: Full,
    max_weight: Option<u8>,
    time_to_live: Option<u8>,
    time_to_idle: Option<u8>,
    /// Whether the cache ends before the handles do.
    cache_first: bool,
    /// What is done within closings, one after another.
    closings: Many<Many<Step, 3>, 10>,
    steps: Many<Step, 80>,
}

/// A list whose length is so many on average. (That of a `Vec` is one.)
#[derive(Clone, Debug)]
struct Many<T, const MEAN: u8>(Vec<T>);

impl<'a, T: Arbitrary<'a>, const MEAN: u8> Arbitrary<'a> for Many<T, MEAN> {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let mut all = Vec::new();
        while !input.is_empty() && u8::arbitrary(input)? % MEAN != 0 {
            all.push(T::arbitrary(input)?);
        }
        Ok(Self(all))
    }
}

#[derive(Arbitrary, Clone, Copy, PartialEq, Debug)]
enum Full {
    Exceed,
    Fail,
    /// For no time to speak of.
    Wait,
}

#[derive(Arbitrary, Clone, Debug)]
enum Step {
    Get(Id),
    Contains(Id),
    Open {
        id: Id,
        kind: Kind,
        body: Many<Step, 4>,
        end: End,
    },
    Insert(Id, Kind),
    Remove(Id),
    /// Takes those out that weigh an even number.
    RetainOdd,
    Clear,
    CloneHandle(u8),
    DropHandle(u8),
    SetWeight(u8, u8),
    Advance(u8),
    RunPending,
    /// Closes the cache, if it is zero.
    Close(u8),
    Walk,
}

/// What a reader is like.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Kind {
    weight: u8,
    /// Its closing panics.
    bomb: bool,
}

#[derive(Arbitrary, Clone, Copy, PartialEq, Debug)]
enum End {
    Open,
    Fail,
    Panic,
    /// It is opened, and then its weigher panics.
    Discard,
}

struct Reader {
    number: Number,
    weight: u64,
    bomb: bool,
    /// The weigher panics.
    discard: bool,
}

impl Drop for Reader {
    fn drop(&mut self) {
        current(|run| run.model().dropped(self.number));
    }
}

/// What a panic carries that was arranged. (It prints nothing, and does not end the fuzzer.)
struct Arranged;

struct Run {
    cache: RefCell<Option<Cache>>,
    handles: RefCell<Vec<Held>>,
    model: RefCell<Model>,
    closings: RefCell<VecDeque<Many<Step, 3>>>,
    narrow: bool,
    steps: Cell<usize>,
    depth: Cell<usize>,
    /// Closings that have done something, for which sums are not exact.
    nested: Cell<usize>,
    /// The key that was looked up last. If it is found expired, nothing is done in its closing,
    /// after which it is looked up again.
    looked_up: Cell<u16>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<Run>>> = const { RefCell::new(None) };
}

fn current<T>(f: impl FnOnce(&Run) -> T) -> T {
    let run = CURRENT.with_borrow(|run| run.clone()).expect("a callback after the end of the run");
    f(&run)
}

pub fn run(input: &Input) {
    let small = |limit: Option<u8>, most: u8| limit.map(|limit| u64::from(limit % most) + 1);
    let limits = Limits {
        max_open: small(input.max_open, 8),
        fails_when_full: input.when_full != Full::Exceed,
        max_weight: small(input.max_weight, 48),
        time_to_live: small(input.time_to_live, 8),
        time_to_idle: small(input.time_to_idle, 8),
    };
    let mut builder = ReaderCache::builder()
        .when_full(match input.when_full {
            Full::Exceed => WhenFull::Exceed,
            Full::Fail => WhenFull::Fail,
            Full::Wait => WhenFull::Wait(Duration::from_nanos(1)),
        })
        .weigher(weigh)
        .on_close(close)
        .clock(|| Duration::from_secs(current(|run| run.model().now)));
    if let Some(readers) = limits.max_open {
        builder = builder.max_open(readers as usize);
    }
    if let Some(weight) = limits.max_weight {
        builder = builder.max_weight(weight);
    }
    if let Some(time) = limits.time_to_live {
        builder = builder.time_to_live(Duration::from_secs(time));
    }
    if let Some(time) = limits.time_to_idle {
        builder = builder.time_to_idle(Duration::from_secs(time));
    }
    let run = Rc::new(Run {
        cache: RefCell::default(),
        handles: RefCell::default(),
        model: RefCell::new(Model::new(limits)),
        closings: RefCell::new(input.closings.0.iter().cloned().collect()),
        narrow: input.narrow,
        steps: Cell::new(0),
        depth: Cell::new(0),
        nested: Cell::new(0),
        looked_up: Cell::new(0),
    });
    CURRENT.set(Some(Rc::clone(&run)));
    run.cache.replace(Some(builder.hasher(input.hashing).build().unwrap()));

    run.steps(&input.steps.0);
    run.closings.borrow_mut().clear();
    if input.cache_first {
        run.drop_cache();
        run.drop_handles();
    } else {
        run.drop_handles();
        run.assert_same();
        run.drop_cache();
    }
    run.model().assert_over();
    CURRENT.set(None);
}

/// The weigher: called when a reader has been opened, right before it is published.
fn weigh(key: &u16, reader: &Reader) -> u64 {
    if reader.discard {
        resume_unwind(Box::new(Arranged));
    }
    current(|run| run.model().publish(*key, reader.number, reader.weight));
    reader.weight
}

/// `on_close`.
fn close(key: &u16, reader: Reader, cause: CloseCause) {
    current(|run| {
        run.model().begin_close(*key, reader.number, cause);
        // What is closed is not found any more, and what replaces it not yet.
        if let Some(cache) = run.cache() {
            assert_eq!(cache.contains_key(key), run.model().is_found(*key), "{key} in its closing");
        }
        let is_looked_up = cause == CloseCause::Expired && *key == run.looked_up.get();
        let is_free = run.depth.get() < DEEPEST && !is_looked_up;
        let steps = is_free.then(|| run.closings.borrow_mut().pop_front()).flatten();
        if let Some(Many(steps)) = steps.filter(|Many(steps)| !steps.is_empty()) {
            run.nested.set(run.nested.get() + 1);
            run.deeper(|| run.steps(&steps));
        }
        run.model().end_close(reader.number, reader.bomb);
    });
    if reader.bomb {
        resume_unwind(Box::new(Arranged));
    }
}

impl Run {
    fn model(&self) -> std::cell::RefMut<'_, Model> {
        self.model.borrow_mut()
    }

    fn cache(&self) -> Option<Cache> {
        self.cache.borrow().clone()
    }

    fn id(&self, Id(id): Id) -> u16 {
        if self.narrow { id % 6 } else { id % 64 }
    }

    fn deeper<T>(&self, f: impl FnOnce() -> T) -> T {
        struct Up<'r>(&'r Run);
        impl Drop for Up<'_> {
            fn drop(&mut self) {
                self.0.depth.set(self.0.depth.get() - 1);
            }
        }
        self.depth.set(self.depth.get() + 1);
        let _up = Up(self);
        f()
    }

    fn steps(&self, steps: &[Step]) {
        for step in steps {
            self.steps.set(self.steps.get() + 1);
            let Some(cache) = self.cache().filter(|_| self.steps.get() <= MOST_STEPS) else {
                return;
            };
            self.step(&cache, step);
            self.note_detached();
            if self.depth.get() == 0 {
                drop(cache);
                self.assert_same();
            }
        }
    }

    /// Readers in use that have expired are taken out sooner or later, which nobody is told.
    fn note_detached(&self) {
        for held in self.handles.borrow().iter() {
            self.model().note_detached(held.number, held.is_detached());
        }
    }

    fn keep(&self, held: Held) {
        self.handles.borrow_mut().push(held);
    }

    /// One of the handles, cloned without the model's knowing it, for the time of a step.
    fn pick(&self, at: u8) -> Option<usize> {
        let count = self.handles.borrow().len();
        (count > 0).then(|| usize::from(at) % count)
    }

    fn reader(&self, kind: Kind, discard: bool) -> Reader {
        let Kind { weight, bomb } = kind;
        let number = self.model().new_reader();
        Reader { number, weight: u64::from(weight % 64), bomb, discard }
    }

    fn step(&self, cache: &Cache, step: &Step) {
        match step {
            Step::Get(id) => {
                let key = self.id(*id);
                self.note_detached();
                self.looked_up.set(key);
                let expected = self.model().look(key);
                let found = cache.get(&key);
                assert_eq!(found.as_ref().map(|held| held.number), expected, "{key}");
                found.into_iter().for_each(|held| self.keep(held));
            }
            Step::Contains(id) => {
                let key = self.id(*id);
                assert_eq!(cache.contains_key(&key), self.model().is_found(key), "{key}");
            }
            Step::Open { id, kind, body, end } => {
                self.open(cache, self.id(*id), *kind, &body.0, *end)
            }
            Step::Insert(id, kind) => self.insert(cache, self.id(*id), *kind),
            Step::Remove(id) => {
                let key = self.id(*id);
                self.sum(|model| model.remove(key), || cache.remove(&key));
            }
            Step::RetainOdd => {
                let taken = |model: &mut Model| model.retain(|weight| weight % 2 == 1);
                // Weights are the model's: they may have been changed.
                let keep = |_: &u16, reader: &Reader| self.model().is_kept(reader.number);
                self.sum(taken, || cache.retain(keep));
            }
            Step::Clear => {
                self.sum(|model| model.clear(CloseCause::Removed), || cache.clear());
            }
            Step::CloneHandle(at) => {
                let Some(at) = self.pick(*at) else { return };
                let clone = self.handles.borrow()[at].clone();
                self.model().hold(clone.number);
                self.keep(clone);
            }
            Step::DropHandle(at) => {
                let Some(at) = self.pick(*at) else { return };
                let held = self.handles.borrow_mut().swap_remove(at);
                self.note_detached_one(&held);
                self.model().release(held.number);
                drop(held);
            }
            Step::SetWeight(at, weight) => {
                let Some(at) = self.pick(*at) else { return };
                let held = self.handles.borrow()[at].clone();
                self.note_detached_one(&held);
                let weight = u64::from(*weight % 64);
                self.model().set_weight(held.number, weight);
                self.model().hold(held.number);
                held.set_weight(weight);
                self.note_detached_one(&held);
                self.model().release(held.number);
                drop(held);
            }
            Step::Advance(seconds) => {
                let mut model = self.model();
                model.now += u64::from(*seconds % 4);
            }
            Step::RunPending => {
                self.sum(Model::expire, || cache.run_pending());
            }
            Step::Close(0) => {
                self.model().stop();
                let expected = self.model().clear(CloseCause::Shutdown);
                let nested = self.nested.get();
                let closed = cache.close(Duration::ZERO);
                if self.nested.get() == nested {
                    assert_eq!(closed.closed, expected.0);
                    let mut held: Vec<_> = closed.held.iter().map(|held| held.number).collect();
                    held.sort_unstable();
                    assert_eq!(held, self.model().detached());
                }
                for held in closed.held {
                    self.model().hold(held.number);
                    self.model().release(held.number);
                    drop(held);
                }
            }
            Step::Close(_) => {}
            Step::Walk => {
                self.note_detached();
                let mut found = Vec::new();
                for held in cache.iter() {
                    found.push(held.number);
                    self.model().hold(held.number);
                    self.model().release(held.number);
                    drop(held);
                }
                found.sort_unstable();
                assert_eq!(found, self.model().found());
            }
        }
    }

    fn note_detached_one(&self, held: &Held) {
        self.model().note_detached(held.number, held.is_detached());
    }

    /// What takes readers out says how many it has closed, and how many are in use.
    fn sum(
        &self,
        expected: impl FnOnce(&mut Model) -> (usize, usize),
        remove: impl FnOnce() -> binlock::readers::Removed,
    ) {
        self.note_detached();
        let expected = expected(&mut self.model());
        let nested = self.nested.get();
        let removed = remove();
        if self.nested.get() == nested {
            assert_eq!((removed.closed, removed.detached), expected);
        } else {
            assert_eq!(removed.count(), expected.0 + expected.1);
        }
    }

    fn open(&self, cache: &Cache, key: u16, kind: Kind, body: &[Step], end: End) {
        if self.depth.get() >= DEEPEST {
            return;
        }
        self.note_detached();
        self.looked_up.set(key);
        let expected = self.model().look_to_open(key);
        let is_run = Cell::new(false);
        let result = catch_unwind(AssertUnwindSafe(|| {
            cache.get_or_open(key, |key| {
                is_run.set(true);
                self.note_detached();
                self.model().begin_open(*key);
                self.deeper(|| self.steps(body));
                match end {
                    End::Open => Ok(self.reader(kind, false)),
                    End::Discard => Ok(self.reader(kind, true)),
                    End::Fail => Err("arranged"),
                    End::Panic => resume_unwind(Box::new(Arranged)),
                }
            })
        }));
        let opened = match result {
            Ok(Ok(held)) => {
                match expected {
                    model::Look::Found(number) => {
                        assert_eq!((held.number, is_run.get()), (number, false))
                    }
                    model::Look::Absent => assert!(is_run.get() && end == End::Open),
                    model::Look::Opening => panic!("{key} is opened within its own opening"),
                }
                assert_eq!(*held.key(), key);
                return self.keep(held);
            }
            Ok(Err(error)) => error,
            Err(payload) => {
                assert!(payload.is::<Arranged>());
                assert!(is_run.get() && matches!(end, End::Panic | End::Discard));
                return self.model().fail(key);
            }
        };
        match opened {
            OpenError::Failed(error) => {
                assert!(*error == "arranged" && is_run.get() && end == End::Fail);
                self.model().fail(key);
            }
            OpenError::Recursive(error) => {
                assert!(error.is_own_key() && expected == model::Look::Opening);
            }
            OpenError::Full => {
                assert!(!is_run.get());
                self.model().fail(key);
                self.note_detached();
                self.model().assert_full();
            }
            OpenError::Closed => {
                assert!(!is_run.get() && self.model().is_stopped());
                self.model().fail(key);
            }
            error => panic!("{error}"),
        }
    }

    fn insert(&self, cache: &Cache, key: u16, kind: Kind) {
        if self.depth.get() >= DEEPEST {
            return;
        }
        self.note_detached();
        let reader = self.reader(kind, false);
        let number = reader.number;
        self.model().want_insert(key, number);
        match cache.insert(key, reader) {
            Ok(held) => {
                assert_eq!((held.number, *held.key()), (number, key));
                self.keep(held);
            }
            Err(error) => {
                assert_eq!(error.reader.number, number);
                self.model().refuse_insert(number);
                assert_eq!(error.is_closed, self.model().is_stopped());
                if !error.is_closed {
                    self.note_detached();
                    self.model().assert_full();
                }
            }
        }
    }

    fn drop_handles(&self) {
        loop {
            let last = self.handles.borrow_mut().pop();
            let Some(held) = last else { return };
            self.note_detached_one(&held);
            self.model().release(held.number);
            drop(held);
        }
    }

    fn drop_cache(&self) {
        self.note_detached();
        self.model().stop();
        self.model().clear(CloseCause::Shutdown);
        let cache = self.cache.take();
        drop(cache);
        self.model().assert_closings_done();
    }

    /// Between steps, nothing is open that should not be, and all sums are right.
    fn assert_same(&self) {
        let Some(cache) = self.cache() else { return };
        let (len, weight, stats) = (cache.len(), cache.weight(), cache.stats());
        let model = self.model();
        model.assert_closings_done();
        model.assert_limits();
        assert_eq!((len, weight), (model.len(), model.weight()));
        model.assert_stats(&stats);
    }
}
