//! Every operation of the map, in any order, against the model.

mod exclusive;
mod held;
mod shared;

use arbitrary::Arbitrary;

use crate::hashing::Hashing;
use crate::tracked::{Key, Ledger, Value};
use crate::{Id, Map, Model, Room};
use shared::Shared;
pub(crate) use shared::assert_yields_all;

/// More steps than this find nothing that fewer do not, and make a run slow.
const MOST_STEPS: usize = 400;

#[derive(Arbitrary, Debug)]
pub struct Input {
    hashing: Hashing,
    room: Room,
    phases: Vec<Phase>,
}

/// Steps that share the map, among them such that hold on to results, and then one that needs the
/// map for itself and so ends all holding.
#[derive(Arbitrary, Debug)]
struct Phase {
    /// Whether the thread stays pinned from the phase's first step to its last.
    pinned: bool,
    steps: Vec<Step>,
    last: Exclusive,
}

#[derive(Arbitrary, Debug)]
struct Step {
    /// Whether the step goes through the phase's pin, if it has one, rather than through the map.
    through_pin: bool,
    op: Op,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Op {
    Insert(Id),
    TryInsert(Id),
    Replace(Id),
    Remove(Id),
    RemoveEntry(Id),
    RemoveIf(Id, bool),
    InsertMany(Id, u8),
    RemoveMany(Id, u8),
    Get(Id),
    GetKeyValue(Id),
    ContainsKey(Id),
    GetMany([Id; 4]),
    GetManyInARow(Id),
    /// Keeps the payloads that leave this remainder modulo 4.
    RetainOnly(u8),
    RetainAllBut(Id),
    Clear,
    Iterate {
        by_fold: bool,
    },
    KeysAndValues,
    CompareWithClone,
    Reserve(u8),
    TryReserveTooMuch,
    ShrinkToFit,
    Flush,
    /// Lets go of a result held, so that what it kept alive can be freed.
    Release(u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Exclusive {
    Nothing,
    Flush,
    GetMut(Id),
    IterMut,
    ValuesMut,
    Extend(Id, u8),
    /// Takes so many entries by hand and leaves the others to the iterator's drop.
    Drain(u8),
    IntoIter(u8),
    BecomeClone,
}

/// The map, what it should hold, and what its keys and values are made from.
struct Run {
    map: Map,
    hashing: Hashing,
    model: Model,
    maker: Maker,
}

/// Makes keys, values of which no two are the same, and sizes.
struct Maker {
    ledger: Ledger,
    made: u32,
    room: Room,
}

impl Maker {
    fn entry(&mut self, id: u16) -> (Key, Value, u32) {
        self.made += 1;
        (self.ledger.key(id), self.ledger.value(self.made), self.made)
    }
}

pub fn run(input: &Input) {
    let mut run = Run {
        map: Map::with_hasher(input.hashing),
        hashing: input.hashing,
        model: Model::new(),
        maker: Maker { ledger: Ledger::default(), made: 0, room: input.room },
    };
    let mut steps = 0;
    for phase in &input.phases {
        steps += 1 + phase.steps.len();
        if steps > MOST_STEPS {
            break;
        }
        run.share(phase);
        run.assert_same();
        run.exclusive(phase.last);
        run.assert_same();
    }
    let ledger = run.maker.ledger.clone();
    drop(run);
    assert_eq!(ledger.alive(), 0, "keys and values that outlive the map");
}

impl Run {
    fn share(&mut self, phase: &Phase) {
        let pin = phase.pinned.then(|| self.map.pin());
        let mut shared = Shared::new(&self.map, &mut self.model, &mut self.maker);
        for step in &phase.steps {
            shared.step(step.op, pin.as_ref().filter(|_| step.through_pin));
        }
    }

    /// The map and the model hold the same, whichever way one looks.
    fn assert_same(&self) {
        let mut pinned = self.map.pin();
        pinned.repin();
        assert_eq!(self.map.len(), self.model.len());
        assert_eq!(pinned.len(), self.model.len());
        assert_eq!(self.map.is_empty(), self.model.is_empty());
        for id in 0..Id::COUNT {
            let found = pinned.get(&id).map(Value::payload);
            assert_eq!(found, self.model.get(&id).copied(), "under {id}");
        }
        assert_yields_all(&self.model, pinned.iter().map(|(k, v)| (k.id(), v.payload())));
    }
}
