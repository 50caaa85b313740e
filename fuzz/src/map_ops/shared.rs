//! The operations on a shared map.

use super::held::{Held, Shelf};
use super::{Maker, Op};
use crate::tracked::{Key, Value};
use crate::{Id, Map, Model, Pinned};

/// The two ways to call an operation, which differ in what its results keep alive.
#[derive(Clone, Copy)]
enum Door<'m> {
    Map(&'m Map),
    Pinned(&'m Pinned<'m>),
}

/// Calls a method by either way, and makes one type of both results.
macro_rules! call {
    ($door:expr, $m:ident => $call:expr) => {
        match $door {
            Door::Map($m) => $call.map(Held::from),
            Door::Pinned($m) => $call.map(Held::from),
        }
    };
}

/// The same for methods whose results are of one type already.
macro_rules! plain {
    ($door:expr, $m:ident => $call:expr) => {
        match $door {
            Door::Map($m) => $call,
            Door::Pinned($m) => $call,
        }
    };
}

pub struct Shared<'r, 'm> {
    map: &'m Map,
    model: &'r mut Model,
    maker: &'r mut Maker,
    shelf: Shelf<'m>,
}

impl<'r, 'm> Shared<'r, 'm> {
    pub fn new(map: &'m Map, model: &'r mut Model, maker: &'r mut Maker) -> Self {
        Self { map, model, maker, shelf: Shelf::default() }
    }

    pub fn step(&mut self, op: Op, pin: Option<&'m Pinned<'m>>) {
        self.apply(op, pin.map_or(Door::Map(self.map), Door::Pinned));
        assert_eq!(self.map.len(), self.model.len(), "after {op:?}");
        self.shelf.assert_unchanged();
    }

    fn apply(&mut self, op: Op, door: Door<'m>) {
        match op {
            Op::Insert(id) => self.insert(id.0, door),
            Op::InsertMany(id, count) => id.and_next(count).for_each(|id| self.insert(id, door)),
            Op::TryInsert(id) => self.try_insert(id.0, door),
            Op::Replace(Id(id)) => {
                let (key, value, payload) = self.maker.entry(id);
                let previous = call!(door, m => m.replace(key, value));
                let expected = self.model.get_mut(&id).map(|old| std::mem::replace(old, payload));
                self.expect(previous, id, expected);
            }

            Op::Remove(id) => self.remove(id.0, door),
            Op::RemoveMany(id, count) => id.and_next(count).for_each(|id| self.remove(id, door)),
            Op::RemoveEntry(Id(id)) => {
                let removed = call!(door, m => m.remove_entry(&id));
                let expected = self.model.remove(&id);
                self.expect(removed, id, expected);
            }
            Op::RemoveIf(Id(id), yes) => self.remove_if(id, yes, door),
            Op::RetainOnly(remainder) => {
                self.retain(door, |_, payload| payload % 4 == u32::from(remainder) % 4);
            }
            Op::RetainAllBut(Id(id)) => self.retain(door, |key, _| key != id),
            Op::Clear => {
                plain!(door, m => m.clear());
                self.model.clear();
            }

            Op::Get(Id(id)) => {
                let found = call!(door, m => m.get(&id));
                self.expect(found, id, self.model.get(&id).copied());
            }
            Op::GetKeyValue(Id(id)) => {
                let found = call!(door, m => m.get_key_value(&id));
                self.expect(found, id, self.model.get(&id).copied());
            }
            Op::ContainsKey(Id(id)) => {
                let found = plain!(door, m => m.contains_key(&id));
                assert_eq!(found, self.model.contains_key(&id));
            }
            Op::GetMany(ids) => self.get_many(ids.map(|id| id.0), door),
            Op::GetManyInARow(Id(id)) => {
                self.get_many(std::array::from_fn::<_, 16, _>(|i| id + i as u16), door);
            }

            Op::Iterate { by_fold } => self.iterate(by_fold),
            Op::KeysAndValues => self.keys_and_values(),
            Op::CompareWithClone => {
                let clone = self.map.clone();
                assert!(clone == *self.map);
                assert!(clone.capacity() >= self.model.len());
                assert_yields_all(
                    self.model,
                    clone.pin().iter().map(|(key, value)| (key.id(), value.payload())),
                );
            }

            Op::Reserve(more) => {
                let more = self.maker.room.of(more);
                plain!(door, m => m.reserve(more));
                let room = plain!(door, m => m.capacity());
                assert!(room >= self.model.len() + more);
            }
            Op::TryReserveTooMuch => {
                assert!(plain!(door, m => m.try_reserve(usize::MAX)).is_err());
                assert!(plain!(door, m => m.try_reserve(usize::MAX / 4096)).is_err());
            }
            Op::ShrinkToFit => {
                // A map may hold somewhat more than its capacity; shrinking is no cause for that.
                let enough = self.model.len().min(plain!(door, m => m.capacity()));
                plain!(door, m => m.shrink_to_fit());
                assert!(plain!(door, m => m.capacity()) >= enough);
            }
            Op::Flush => self.map.flush(),
            Op::Release(place) => self.shelf.release(place),
        }
    }

    /// The result is the one that the model gives, and stays so.
    fn expect(&mut self, found: Option<Held<'m>>, id: u16, expected: Option<u32>) {
        assert_eq!(found.as_ref().map(Held::payload), expected, "under {id}");
        if let (Some(found), Some(payload)) = (found, expected) {
            assert!(found.id().is_none_or(|found| found == id));
            self.shelf.put(found, id, payload);
        }
    }

    fn insert(&mut self, id: u16, door: Door<'m>) {
        let (key, value, payload) = self.maker.entry(id);
        let previous = call!(door, m => m.insert(key, value));
        let expected = self.model.insert(id, payload);
        self.expect(previous, id, expected);
    }

    fn try_insert(&mut self, id: u16, door: Door<'m>) {
        let (key, value, payload) = self.maker.entry(id);
        let result = match door {
            Door::Map(m) => m
                .try_insert(key, value)
                .map(Held::from)
                .map_err(|error| (Held::from(error.current), error.value)),
            Door::Pinned(m) => m
                .try_insert(key, value)
                .map(Held::from)
                .map_err(|error| (Held::from(error.current), error.value)),
        };
        match result {
            Ok(inserted) => {
                assert_eq!(self.model.insert(id, payload), None);
                self.expect(Some(inserted), id, Some(payload));
            }
            Err((current, value)) => {
                assert_eq!(value.payload(), payload, "the value given back is another");
                let expected = self.model.get(&id).copied();
                self.expect(Some(current), id, expected);
            }
        }
    }

    fn remove(&mut self, id: u16, door: Door<'m>) {
        let removed = call!(door, m => m.remove(&id));
        let expected = self.model.remove(&id);
        self.expect(removed, id, expected);
    }

    fn remove_if(&mut self, id: u16, yes: bool, door: Door<'m>) {
        let mut asked = Vec::new();
        let mut judge = |key: &Key, value: &Value| {
            asked.push((key.id(), value.payload()));
            yes
        };
        let removed = call!(door, m => m.remove_if(&id, &mut judge));
        let present = self.model.get(&id).copied();
        assert_eq!(asked, Vec::from_iter(present.map(|payload| (id, payload))));
        let expected = if yes { self.model.remove(&id) } else { None };
        self.expect(removed, id, expected);
    }

    fn retain(&mut self, door: Door<'m>, mut keep: impl FnMut(u16, u32) -> bool) {
        let mut asked = Vec::new();
        let mut judge = |key: &Key, value: &Value| {
            asked.push((key.id(), value.payload()));
            keep(key.id(), value.payload())
        };
        plain!(door, m => m.retain(&mut judge));
        assert_yields_all(self.model, asked.into_iter());
        self.model.retain(|&id, payload| keep(id, *payload));
    }

    fn get_many<const N: usize>(&mut self, ids: [u16; N], door: Door<'m>) {
        let keys = ids.each_ref();
        let found = match door {
            Door::Map(m) => m.get_many(keys).map(|found| found.map(Held::from)),
            Door::Pinned(m) => m.get_many(keys).map(|found| found.map(Held::from)),
        };
        for (id, found) in ids.into_iter().zip(found) {
            self.expect(found, id, self.model.get(&id).copied());
        }
    }

    fn iterate(&self, by_fold: bool) {
        let pinned = self.map.pin();
        let iter = pinned.iter();
        let (least, most) = iter.size_hint();
        assert!(least <= self.model.len() && most.is_none_or(|most| most >= self.model.len()));
        let mut seen = Vec::new();
        let see = |(key, value): (&Key, &Value)| seen.push((key.id(), value.payload()));
        if by_fold {
            iter.for_each(see);
        } else {
            (&pinned).into_iter().map(see).for_each(drop);
        }
        assert_yields_all(self.model, seen.into_iter());
    }

    fn keys_and_values(&self) {
        let pinned = self.map.pin();
        let mut keys: Vec<_> = pinned.keys().map(Key::id).collect();
        let mut values: Vec<_> = pinned.values().map(Value::payload).collect();
        let mut payloads: Vec<_> = self.model.values().copied().collect();
        keys.sort_unstable();
        values.sort_unstable();
        payloads.sort_unstable();
        assert!(keys.iter().eq(self.model.keys()));
        assert_eq!(values, payloads);
    }
}

/// The entries are those of the model, each once.
pub fn assert_yields_all(model: &Model, entries: impl Iterator<Item = (u16, u32)>) {
    let mut entries: Vec<_> = entries.collect();
    entries.sort_unstable();
    let expected: Vec<_> = model.iter().map(|(&id, &payload)| (id, payload)).collect();
    assert_eq!(entries, expected);
}
