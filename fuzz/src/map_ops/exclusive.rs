//! The operations that need the map for themselves.

use std::mem;

use super::{Exclusive, Run};
use crate::tracked::{Key, Value};
use crate::{Id, Map};

impl Run {
    pub fn exclusive(&mut self, op: Exclusive) {
        match op {
            Exclusive::Nothing => {}
            Exclusive::Flush => {
                self.map.flush();
                let alive = self.maker.ledger.alive();
                assert_eq!(alive, 2 * self.map.len(), "nobody is pinned, and not all is dropped");
            }
            Exclusive::GetMut(Id(id)) => {
                let found = self.map.get_mut(&id);
                assert_eq!(found.as_deref().map(Value::payload), self.model.get(&id).copied());
                if let (Some(value), Some(payload)) = (found, self.model.get_mut(&id)) {
                    self.maker.made += 1;
                    value.set(self.maker.made);
                    *payload = self.maker.made;
                }
            }
            Exclusive::IterMut => {
                for (key, value) in self.map.iter_mut() {
                    let payload = self.model.get_mut(&key.id()).expect("a key of the model");
                    assert_eq!(value.payload(), *payload, "not yielded before, nor changed");
                    self.maker.made += 1;
                    value.set(self.maker.made);
                    *payload = self.maker.made;
                }
            }
            Exclusive::ValuesMut => {
                // Twice the highest, so that one yielded twice would show.
                let far = self.maker.made;
                self.map.values_mut().for_each(|value| value.set(value.payload() + far));
                self.model.values_mut().for_each(|payload| *payload += far);
                self.maker.made += far;
            }
            Exclusive::Extend(id, count) => {
                let mut entries = Vec::new();
                for id in id.and_next(count) {
                    let (key, value, payload) = self.maker.entry(id);
                    entries.push((key, value));
                    self.model.insert(id, payload);
                }
                self.map.extend(entries);
            }
            Exclusive::Drain(by_hand) => {
                let taken = self.map.drain().take(by_hand.into()).collect();
                self.assert_taken(taken, by_hand);
                assert_eq!(self.map.len(), 0);
            }
            Exclusive::IntoIter(by_hand) => {
                let map = self.swap_map(Map::with_hasher(self.hashing));
                let taken = map.into_iter().take(by_hand.into()).collect();
                self.assert_taken(taken, by_hand);
                assert_eq!(self.maker.ledger.alive(), 0, "what the iterator had left is not freed");
            }
            Exclusive::BecomeClone => {
                let clone = self.map.clone();
                drop(self.swap_map(clone));
                let alive = self.maker.ledger.alive();
                assert_eq!(alive, 2 * self.map.len(), "a dropped map has dropped all it ever held");
            }
        }
    }

    fn swap_map(&mut self, map: Map) -> Map {
        mem::replace(&mut self.map, map)
    }

    /// The entries taken are as many as there were or were asked for, no two the same, and all from
    /// the model; which then is empty.
    fn assert_taken(&mut self, taken: Vec<(Key, Value)>, by_hand: u8) {
        assert_eq!(taken.len(), self.model.len().min(by_hand.into()));
        for (key, value) in taken {
            assert_eq!(self.model.remove(&key.id()), Some(value.payload()));
        }
        self.model.clear();
    }
}
