//! Keys and values that notice when they are used after their drop, dropped twice, or never.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

/// Counts the keys and values that are alive.
#[derive(Clone, Default)]
pub struct Ledger(Arc<AtomicUsize>);

impl Ledger {
    pub fn key(&self, id: u16) -> Key {
        Key { id, life: Life::begin(self) }
    }

    pub fn value(&self, payload: u32) -> Value {
        Value { payload, life: Life::begin(self) }
    }

    pub fn alive(&self) -> usize {
        self.0.load(Relaxed)
    }
}

const ALIVE: u32 = 0xa11e_a11e;
const DROPPED: u32 = 0xdead_dead;

/// From the making of a key or value to its drop.
struct Life {
    ledger: Ledger,
    state: AtomicU32,
}

impl Life {
    fn begin(ledger: &Ledger) -> Self {
        ledger.0.fetch_add(1, Relaxed);
        Self { ledger: ledger.clone(), state: AtomicU32::new(ALIVE) }
    }

    #[track_caller]
    fn assert(&self) {
        assert_eq!(self.state.load(Relaxed), ALIVE, "used outside of its life");
    }
}

impl Clone for Life {
    fn clone(&self) -> Self {
        self.assert();
        Self::begin(&self.ledger)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        assert_eq!(self.state.swap(DROPPED, Relaxed), ALIVE, "dropped twice");
        self.ledger.0.fetch_sub(1, Relaxed);
    }
}

#[derive(Clone)]
pub struct Key {
    id: u16,
    life: Life,
}

impl Key {
    #[track_caller]
    pub fn id(&self) -> u16 {
        self.life.assert();
        self.id
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Key {}

impl Borrow<u16> for Key {
    fn borrow(&self) -> &u16 {
        self.life.assert();
        &self.id
    }
}

#[derive(Clone)]
pub struct Value {
    payload: u32,
    life: Life,
}

impl Value {
    #[track_caller]
    pub fn payload(&self) -> u32 {
        self.life.assert();
        self.payload
    }

    pub fn set(&mut self, payload: u32) {
        self.life.assert();
        self.payload = payload;
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.payload() == other.payload()
    }
}
