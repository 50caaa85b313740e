//! A map, with what a scenario may do to it.

use std::{cell::Cell, collections::HashSet};

use binlock::{HashMap, RecursiveUpdate};

use crate::{
    FILLER,
    api::{Api, Way},
    common::Hashers,
};

/// How keys lie, and when the table grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    Spread,
    Colliding,
    /// Small tables that grow before what the closure does, or after that.
    GrowsBefore(Hashers),
    GrowsAfter(Hashers),
}

pub const VARIANTS: [Variant; 6] = [
    Variant::Spread,
    Variant::Colliding,
    Variant::GrowsBefore(Hashers::Good(3)),
    Variant::GrowsAfter(Hashers::Good(3)),
    Variant::GrowsBefore(Hashers::Constant),
    Variant::GrowsAfter(Hashers::Constant),
];

impl Variant {
    pub fn grows(self) -> bool {
        !matches!(self, Variant::Spread | Variant::Colliding)
    }

    pub fn map(self) -> HashMap<u64, u64, Hashers> {
        match self {
            Variant::Spread => HashMap::with_capacity_and_hasher(2_000, Hashers::Good(3)),
            Variant::Colliding => HashMap::with_capacity_and_hasher(2_000, Hashers::Constant),
            Variant::GrowsBefore(hasher) | Variant::GrowsAfter(hasher) => {
                HashMap::with_hasher(hasher)
            }
        }
    }
}

/// A map in one of its variants, by one of its ways in.
pub struct World<'a> {
    pub map: &'a HashMap<u64, u64, Hashers>,
    pub api: &'a dyn Api,
    pub variant: Variant,
    /// How many fillers have been inserted, and how many of them are there.
    pub fillers: Cell<(u64, u64)>,
}

impl World<'_> {
    /// Runs `inner`, and has the table grow meanwhile if it is to.
    pub fn amid(&self, inner: impl FnOnce()) {
        if let Variant::GrowsBefore(_) = self.variant {
            self.grow();
        }
        inner();
        if let Variant::GrowsAfter(_) = self.variant {
            self.grow();
        }
    }

    pub fn grow(&self) {
        let before = self.map.capacity();
        while self.map.capacity() <= before {
            let (born, present) = self.fillers.get();
            assert!(born < 2_000, "it does not grow");
            assert_eq!(self.api.insert(FILLER + born, born), None);
            self.fillers.set((born + 1, present + 1));
        }
    }

    pub fn clear(&self) {
        self.api.clear();
        self.fillers.set((self.fillers.get().0, 0));
    }

    pub fn decide(&self, way: Way, key: u64, value: u64) -> Result<Option<u64>, RecursiveUpdate> {
        self.api.decide(way, key, &mut |_| Some(value))
    }

    /// The map has these entries, fillers aside, each once.
    #[track_caller]
    pub fn assert_is(&self, expected: &[(u64, u64)]) {
        let pinned = self.map.pin();
        let all: Vec<_> = pinned.iter().map(|(key, value)| (*key, *value)).collect();
        let mut rows = all.clone();
        rows.retain(|(key, _)| *key < FILLER);
        let fillers: Vec<_> = all.iter().filter(|(key, _)| *key >= FILLER).collect();
        rows.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(rows, expected);
        let present = self.fillers.get().1 as usize;
        let distinct = fillers.iter().collect::<HashSet<_>>();
        assert_eq!((fillers.len(), distinct.len()), (present, present), "fillers");
        assert_eq!(self.map.len(), all.len(), "len");
        for (key, value) in all {
            assert_eq!(self.api.get(key), Some(value));
        }
    }
}
