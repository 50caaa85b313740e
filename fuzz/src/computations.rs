//! Computations with anything in their closures, computations included, against a model that knows
//! what is claimed.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use arbitrary::Arbitrary;
use binlock::{ComputeError, Entry, RecursiveUpdate};

use crate::hashing::Hashing;
use crate::map_ops::assert_yields_all;
use crate::tracked::{Key, Ledger, Value};
use crate::{Id, Map, Model};

/// More steps than this make a run slow and find nothing that fewer do not.
const MOST_STEPS: usize = 300;

/// Closures within closures: more would only fill the stack.
const DEEPEST: usize = 24;

#[derive(Arbitrary, Debug)]
pub struct Input {
    hashing: Hashing,
    /// Few keys, so that computations meet their own.
    narrow: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Plain(Plain, Id),
    Compute {
        form: Form,
        id: Id,
        body: Vec<Step>,
        end: End,
        pinned: bool,
    },
    Clear,
    /// Keeps the payloads that are odd.
    RetainOdd,
    InsertMany(Id, u8),
    Reserve(u8),
    ShrinkToFit,
    Flush,
    Look(Id),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Plain {
    Insert,
    TryInsert,
    Replace,
    Remove,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum Form {
    IfAbsent,
    IfPresent,
    Compute,
    Merge,
    Entry,
    RemoveIf,
}

/// What comes of the closure.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum End {
    Value,
    /// Nothing, a failure, or "leave it": what the form has.
    Nothing,
    Panic,
}

/// What is claimed by a computation under way.
struct Claimed {
    id: u16,
    covers: bool,
    /// The value was cleared away.
    cleared: bool,
    overtaken: bool,
}

struct State {
    model: Model,
    claims: Vec<Claimed>,
    made: u32,
    steps: usize,
}

struct Run {
    map: Map,
    ledger: Ledger,
    narrow: bool,
    state: RefCell<State>,
}

/// What a panic in a closure carries.
struct Arranged;

pub fn run(input: &Input) {
    let state = State { model: Model::new(), claims: Vec::new(), made: 0, steps: 0 };
    let run = Run {
        map: Map::with_hasher(input.hashing),
        ledger: Ledger::default(),
        narrow: input.narrow,
        state: RefCell::new(state),
    };
    // Panics are part of it; their messages are not.
    run.steps(&input.steps);
    run.assert_same();
    let ledger = run.ledger.clone();
    drop(run);
    assert_eq!(ledger.alive(), 0, "keys and values that outlive the map");
}

impl Run {
    fn id(&self, Id(id): Id) -> u16 {
        if self.narrow { id % 8 } else { id }
    }

    fn steps(&self, steps: &[Step]) {
        for step in steps {
            let mut state = self.state.borrow_mut();
            state.steps += 1;
            if state.steps > MOST_STEPS {
                return;
            }
            drop(state);
            self.step(step);
        }
    }

    fn entry(&self, id: u16) -> (Key, Value, u32) {
        let payload = self.payload();
        (self.ledger.key(id), self.ledger.value(payload), payload)
    }

    fn payload(&self) -> u32 {
        let mut state = self.state.borrow_mut();
        state.made += 1;
        state.made
    }

    fn step(&self, step: &Step) {
        match step {
            Step::Plain(plain, id) => self.plain(*plain, self.id(*id)),
            Step::Compute { form, id, body, end, pinned } => {
                self.compute(*form, self.id(*id), body, *end, *pinned);
            }
            Step::Clear => {
                self.map.clear();
                let mut state = self.state.borrow_mut();
                state.model.clear();
                for claim in state.claims.iter_mut().filter(|claim| claim.covers) {
                    claim.cleared |= !claim.overtaken;
                }
            }
            Step::RetainOdd => {
                self.map.retain(|_, value| value.payload() % 2 == 1);
                let mut state = self.state.borrow_mut();
                let refused: Vec<_> =
                    state.model.iter().filter(|(_, p)| **p % 2 == 0).map(|(id, _)| *id).collect();
                for id in refused {
                    state.model.remove(&id);
                    state.overtake(id);
                }
            }
            Step::InsertMany(id, count) => {
                for id in id.and_next(*count) {
                    self.plain(Plain::Insert, self.id(Id(id)));
                }
            }
            Step::Reserve(room) => self.map.reserve((*room).into()),
            Step::ShrinkToFit => self.map.shrink_to_fit(),
            Step::Flush => self.map.flush(),
            Step::Look(id) => {
                let id = self.id(*id);
                let found = self.map.get(&id).map(|value| value.payload());
                assert_eq!(found, self.state.borrow().model.get(&id).copied(), "under {id}");
            }
        }
    }

    /// A plain write never fails, and overtakes whatever claims its key: there is one thread.
    fn plain(&self, plain: Plain, id: u16) {
        let (key, value, payload) = self.entry(id);
        let before = self.state.borrow().model.get(&id).copied();
        let (returned, after) = match plain {
            Plain::Insert => (self.map.insert(key, value).map(|v| v.payload()), Some(payload)),
            Plain::TryInsert => {
                let current = self.map.try_insert(key, value).err().map(|e| e.current.payload());
                (current, before.or(Some(payload)))
            }
            Plain::Replace => {
                let replaced = self.map.replace(key, value).map(|v| v.payload());
                (replaced, before.and(Some(payload)))
            }
            Plain::Remove => (self.map.remove(&id).map(|v| v.payload()), None),
        };
        assert_eq!(returned, before, "{plain:?} of {id}");
        let mut state = self.state.borrow_mut();
        // What is there already is not overtaken by an insertion that does not take place.
        if !(matches!(plain, Plain::TryInsert) && before.is_some()) {
            state.overtake(id);
        }
        match after {
            Some(payload) => state.model.insert(id, payload),
            None => state.model.remove(&id),
        };
    }

    fn compute(&self, form: Form, id: u16, body: &[Step], end: End, pinned: bool) {
        let state = self.state.borrow();
        let before = state.model.get(&id).copied();
        let is_claimed = state.claims.iter().any(|claim| claim.id == id && !claim.overtaken);
        let is_deep = state.claims.len() >= DEEPEST;
        drop(state);
        if is_deep {
            return;
        }
        // It is asked under the outer claim then, and takes none.
        let claims = !(form == Form::RemoveIf && is_claimed);
        let mut ran = false;
        // The closure: what it computes from the present payload.
        let closure = |current: Option<u32>| {
            assert_eq!(current, before, "{form:?} of {id}");
            assert!(!std::mem::replace(&mut ran, true), "a closure runs once");
            // An entry is held without a closure. The claim is the same.
            if claims {
                self.state.borrow_mut().claims.push(Claimed {
                    id,
                    covers: before.is_some(),
                    cleared: false,
                    overtaken: false,
                });
            }
            self.steps(body);
            match end {
                End::Value => Some(self.payload()),
                End::Nothing => None,
                End::Panic => resume_unwind(Box::new(Arranged)),
            }
        };
        let result = catch_unwind(AssertUnwindSafe(|| self.call(form, id, pinned, closure)));

        let mut state = self.state.borrow_mut();
        let claim = if ran && claims { state.claims.pop() } else { None };
        let result = match result {
            Ok(result) => result,
            Err(payload) if payload.is::<Arranged>() => {
                assert!(ran && end == End::Panic);
                return;
            }
            Err(payload) => resume_unwind(payload),
        };
        if form == Form::RemoveIf && ran {
            let approved = match claim {
                // If the value was cleared away, that comes after the removal.
                Some(claim) => !claim.overtaken,
                // Payloads are all different: the same one has not been touched.
                None => state.model.get(&id).copied() == before,
            };
            let removed = if approved && end == End::Value { before } else { None };
            assert_eq!(result, Ok(removed), "remove_if of {id}");
            if removed.is_some() {
                state.model.remove(&id);
                state.overtake(id);
            }
            return;
        }
        let Some(claim) = claim else {
            let without_closure = match form {
                Form::IfAbsent if before.is_some() => Ok(before),
                Form::IfPresent | Form::RemoveIf if before.is_none() && !is_claimed => Ok(None),
                // A plain write, which overtakes.
                Form::RemoveIf if before.is_none() => {
                    state.overtake(id);
                    Ok(None)
                }
                // The value is new, and nothing is to be computed.
                Form::Merge if before.is_none() && !is_claimed => {
                    let payload = *result.as_ref().unwrap();
                    state.model.extend(payload.map(|payload| (id, payload)));
                    Ok(payload)
                }
                _ => {
                    assert!(is_claimed, "{form:?} of {id}");
                    Err(false)
                }
            };
            let result = result.map_err(|error| error.is_overtaken());
            assert_eq!(result, without_closure, "{form:?} of {id}");
            return;
        };
        if claim.overtaken {
            // A closure that failed says so, and an entry that is dropped says nothing; the others
            // report that they were overtaken.
            match (form, end) {
                (Form::IfAbsent, End::Nothing) => assert_eq!(result, Ok(None)),
                (Form::Entry, End::Nothing) if !claim.covers => assert_eq!(result, Ok(None)),
                _ => assert!(result.is_err_and(|error| error.is_overtaken()), "{form:?} of {id}"),
            }
            return;
        }
        let after = match (form, end) {
            // An entry that is given up, and a failure, leave everything as it was.
            (Form::Entry, End::Nothing) => before,
            (_, End::Nothing) => None,
            (_, _) => *result.as_ref().unwrap(),
        };
        assert_eq!(result, Ok(after), "{form:?} of {id}");
        if claim.cleared {
            return;
        }
        match after {
            Some(payload) => state.model.insert(id, payload),
            None => state.model.remove(&id),
        };
    }

    /// Calls the map, and returns the payload of what it returns.
    fn call(
        &self,
        form: Form,
        id: u16,
        pinned: bool,
        closure: impl FnOnce(Option<u32>) -> Option<u32>,
    ) -> Result<Option<u32>, RecursiveUpdate> {
        let value = |payload| self.ledger.value(payload);
        let key = || self.ledger.key(id);
        macro_rules! call {
            ($map:expr) => {
                match form {
                    Form::IfAbsent => {
                        let compute = |_: &Key| closure(None).map(value).ok_or(());
                        match $map.try_compute_if_absent(key(), compute) {
                            Ok(value) => Ok(Some(value.payload())),
                            Err(ComputeError::Closure(())) => Ok(None),
                            Err(ComputeError::Recursive(error)) => Err(error),
                        }
                    }
                    Form::IfPresent => {
                        let compute = |_: &Key, v: &Value| closure(Some(v.payload())).map(value);
                        Ok($map.compute_if_present(&id, compute)?.map(|value| value.payload()))
                    }
                    Form::Compute => {
                        let compute = |_: &Key, current: Option<&Value>| {
                            closure(current.map(|value| value.payload())).map(value)
                        };
                        Ok($map.compute(key(), compute)?.map(|value| value.payload()))
                    }
                    Form::Merge => {
                        let new = value(self.payload());
                        let merge = |v: &Value, _| closure(Some(v.payload())).map(value);
                        Ok($map.merge(key(), new, merge)?.map(|value| value.payload()))
                    }
                    Form::Entry => match $map.entry(key())? {
                        Entry::Occupied(entry) => match closure(Some(entry.get().payload())) {
                            Some(payload) => {
                                entry.insert(value(payload))?;
                                Ok(Some(payload))
                            }
                            None => Ok(Some(entry.into_ref()?.payload())),
                        },
                        Entry::Vacant(entry) => match closure(None) {
                            Some(payload) => Ok(Some(entry.insert(value(payload))?.payload())),
                            None => Ok(None),
                        },
                    },
                    Form::RemoveIf => {
                        let condition = |_: &Key, v: &Value| closure(Some(v.payload())).is_some();
                        let removed = $map.remove_if(&id, condition);
                        let payload = removed.map(payload_of);
                        Ok(payload)
                    }
                }
            };
        }
        if pinned {
            let map = self.map.pin();
            call!(map)
        } else {
            call!(self.map)
        }
    }

    fn assert_same(&self) {
        let state = self.state.borrow();
        assert!(state.claims.is_empty());
        assert_eq!(self.map.len(), state.model.len());
        assert_yields_all(
            &state.model,
            self.map.pin().iter().map(|(key, value)| (key.id(), value.payload())),
        );
    }
}

/// The payload of a removed entry, as a map or a pinned view returns it.
fn payload_of(removed: impl Removed) -> u32 {
    removed.payload()
}

trait Removed {
    fn payload(&self) -> u32;
}

impl Removed for (&Key, &Value) {
    fn payload(&self) -> u32 {
        self.1.payload()
    }
}

impl Removed for binlock::Ref<'_, Key, Value> {
    fn payload(&self) -> u32 {
        self.value().payload()
    }
}

impl State {
    /// Marks the claim on a key, if there is one, as gone.
    fn overtake(&mut self, id: u16) {
        if let Some(claim) = self.claims.iter_mut().find(|c| c.id == id && !c.overtaken) {
            claim.overtaken = true;
        }
    }
}
