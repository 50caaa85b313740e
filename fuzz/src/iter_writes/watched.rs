//! An iterator, and what it may yield.

use std::collections::{BTreeMap, BTreeSet};

use super::Kind;
use crate::tracked::{Key, Value};
use crate::{Model, Pinned};

type Item<'p> = (Option<&'p Key>, Option<&'p Value>);

pub struct Watched<'p> {
    iter: Box<dyn Iterator<Item = Item<'p>> + 'p>,
    over: bool,
    /// The keys in the map ever since the start, under whichever value.
    steady: BTreeSet<u16>,
    /// The values in the map at any time since the start, with their keys. Each may come once.
    possible: BTreeMap<u32, u16>,
    /// All that came, with what it said.
    seen: Vec<(Item<'p>, u16, u32)>,
}

impl<'p> Watched<'p> {
    pub fn begin(pinned: &'p Pinned<'p>, kind: Kind, model: &Model) -> Self {
        Self {
            iter: match kind {
                Kind::Entries => {
                    Box::new(pinned.iter().map(|(key, value)| (Some(key), Some(value))))
                }
                Kind::Keys => Box::new(pinned.keys().map(|key| (Some(key), None))),
                Kind::Values => Box::new(pinned.values().map(|value| (None, Some(value)))),
            },
            over: false,
            steady: model.keys().copied().collect(),
            possible: model.iter().map(|(&id, &payload)| (payload, id)).collect(),
            seen: Vec::new(),
        }
    }

    pub fn next(&mut self) {
        let Some(item) = self.iter.next() else {
            self.over = true;
            return;
        };
        assert!(!self.over, "yields on after its end");
        let (id, payload) = match item {
            (key, Some(value)) => {
                let payload = value.payload();
                let id = self.possible.remove(&payload);
                let id = id.unwrap_or_else(|| panic!("{payload} came twice or from nowhere"));
                assert!(key.is_none_or(|key| key.id() == id));
                (id, payload)
            }
            (Some(key), None) => {
                // Which of the key's values it stands for is not to be seen: any that is left.
                let id = key.id();
                let payload = *self
                    .possible
                    .iter()
                    .find(|&(_, &owner)| owner == id)
                    .unwrap_or_else(|| panic!("key {id} came too often or from nowhere"))
                    .0;
                self.possible.remove(&payload);
                (id, payload)
            }
            (None, None) => unreachable!("no kind of iterator yields nothing"),
        };
        self.seen.push((item, id, payload));
    }

    pub fn inserted(&mut self, id: u16, payload: u32) {
        self.possible.insert(payload, id);
    }

    pub fn removed(&mut self, id: u16) {
        self.steady.remove(&id);
    }

    pub fn finish(mut self) {
        while !self.over {
            self.next();
        }
        self.next();

        let mut times = BTreeMap::<u16, usize>::new();
        for (item, id, payload) in &self.seen {
            assert!(item.0.is_none_or(|key| key.id() == *id));
            assert!(item.1.is_none_or(|value| value.payload() == *payload));
            *times.entry(*id).or_default() += 1;
        }
        for id in &self.steady {
            assert_eq!(times.get(id), Some(&1), "how often key {id}, never absent, came");
        }
    }
}
