//! Iterators that are under way while the same thread writes to the map.
//!
//! What is promised: an entry present from start to end of an iteration is yielded exactly once, no
//! insertion is yielded twice.

mod watched;

use arbitrary::Arbitrary;

use crate::hashing::Hashing;
use crate::tracked::Ledger;
use crate::{Id, Map, Model, Pinned, Room};
use watched::Watched;

/// As in `map_ops`.
const MOST_STEPS: usize = 400;
const ITERATORS: usize = 4;

#[derive(Arbitrary, Debug)]
pub struct Input {
    hashing: Hashing,
    room: Room,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Begin(u8, Kind),
    Next(u8),
    NextMany(u8, u8),
    Finish(u8),
    /// Drops the iterator where it is.
    Abandon(u8),
    Insert(Id),
    TryInsert(Id),
    Replace(Id),
    Remove(Id),
    InsertMany(Id, u8),
    RemoveMany(Id, u8),
    Retain(u8),
    Clear,
    Reserve(u8),
    ShrinkToFit,
    Flush,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    Entries,
    Keys,
    Values,
}

pub fn run(input: &Input) {
    let ledger = Ledger::default();
    let map = Map::with_hasher(input.hashing);
    {
        let pinned = map.pin();
        let mut run = Run::new(&map, &pinned, &ledger, input.room);
        for &step in input.steps.iter().take(MOST_STEPS) {
            run.step(step);
        }
        (0..ITERATORS).for_each(|i| run.finish(i));
    }
    drop(map);
    assert_eq!(ledger.alive(), 0, "keys and values that outlive the map");
}

struct Run<'p> {
    map: &'p Map,
    pinned: &'p Pinned<'p>,
    ledger: &'p Ledger,
    model: Model,
    made: u32,
    room: Room,
    watched: [Option<Watched<'p>>; ITERATORS],
}

impl<'p> Run<'p> {
    fn new(map: &'p Map, pinned: &'p Pinned<'p>, ledger: &'p Ledger, room: Room) -> Self {
        Self {
            map,
            pinned,
            ledger,
            model: Model::new(),
            made: 0,
            room,
            watched: [const { None }; ITERATORS],
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Begin(i, kind) => {
                let i = place(i);
                self.finish(i);
                self.watched[i] = Some(Watched::begin(self.pinned, kind, &self.model));
            }
            Step::Next(i) => self.next(i, 1),
            Step::NextMany(i, count) => self.next(i, count),
            Step::Finish(i) => self.finish(place(i)),
            Step::Abandon(i) => self.watched[place(i)] = None,

            Step::Insert(id) => self.insert(id.0),
            Step::InsertMany(id, count) => id.and_next(count).for_each(|id| self.insert(id)),
            Step::TryInsert(Id(id)) => {
                let payload = self.new_payload();
                let (key, value) = (self.ledger.key(id), self.ledger.value(payload));
                let there = self.map.try_insert(key, value).err();
                let there = there.map(|refused| refused.current.payload());
                assert_eq!(there, self.model.get(&id).copied());
                if there.is_none() {
                    self.inserted(id, payload);
                }
            }
            Step::Replace(Id(id)) => {
                let payload = self.new_payload();
                let (key, value) = (self.ledger.key(id), self.ledger.value(payload));
                let before = self.map.replace(key, value).map(|entry| entry.payload());
                assert_eq!(before, self.model.get(&id).copied());
                if before.is_some() {
                    self.inserted(id, payload);
                }
            }
            Step::Remove(id) => self.remove(id.0),
            Step::RemoveMany(id, count) => id.and_next(count).for_each(|id| self.remove(id)),
            Step::Retain(remainder) => {
                let keep = |payload: u32| payload % 4 == u32::from(remainder) % 4;
                self.map.retain(|_, value| keep(value.payload()));
                let (kept, lost): (Model, Model) =
                    std::mem::take(&mut self.model).into_iter().partition(|entry| keep(entry.1));
                self.model = kept;
                lost.into_keys().for_each(|id| self.removed(id));
            }
            Step::Clear => {
                self.map.clear();
                std::mem::take(&mut self.model).into_keys().for_each(|id| self.removed(id));
            }
            Step::Reserve(more) => self.map.reserve(self.room.of(more)),
            Step::ShrinkToFit => self.map.shrink_to_fit(),
            Step::Flush => self.map.flush(),
        }
        assert_eq!(self.map.len(), self.model.len(), "after {step:?}");
    }

    fn new_payload(&mut self) -> u32 {
        self.made += 1;
        self.made
    }

    fn next(&mut self, i: u8, count: u8) {
        if let Some(watched) = &mut self.watched[place(i)] {
            (0..count).for_each(|_| watched.next());
        }
    }

    fn finish(&mut self, i: usize) {
        if let Some(watched) = self.watched[i].take() {
            watched.finish();
        }
    }

    fn insert(&mut self, id: u16) {
        let payload = self.new_payload();
        let (key, value) = (self.ledger.key(id), self.ledger.value(payload));
        let before = self.map.insert(key, value).map(|entry| entry.payload());
        assert_eq!(before, self.model.get(&id).copied());
        self.inserted(id, payload);
    }

    fn inserted(&mut self, id: u16, payload: u32) {
        self.model.insert(id, payload);
        self.watched.iter_mut().flatten().for_each(|watched| watched.inserted(id, payload));
    }

    fn remove(&mut self, id: u16) {
        let removed = self.map.remove(&id).map(|entry| entry.payload());
        assert_eq!(removed, self.model.remove(&id));
        self.removed(id);
    }

    fn removed(&mut self, id: u16) {
        self.watched.iter_mut().flatten().for_each(|watched| watched.removed(id));
    }
}

fn place(i: u8) -> usize {
    usize::from(i) % ITERATORS
}
