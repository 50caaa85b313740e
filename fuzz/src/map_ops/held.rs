//! Results held on to while the map goes on changing.

use binlock::Ref;

use crate::tracked::{Key, Value};

/// A result of any of the kinds that the map gives.
pub enum Held<'m> {
    Ref(Ref<'m, Key, Value>),
    Entry(&'m Key, &'m Value),
    Value(&'m Value),
}

impl Held<'_> {
    /// The key's identity, where the result tells it.
    pub fn id(&self) -> Option<u16> {
        match self {
            Self::Ref(entry) => Some(entry.key().id()),
            Self::Entry(key, _) => Some(key.id()),
            Self::Value(_) => None,
        }
    }

    pub fn payload(&self) -> u32 {
        match self {
            Self::Ref(entry) => {
                assert!(std::ptr::eq(&**entry, entry.value()));
                entry.payload()
            }
            Self::Entry(_, value) | Self::Value(value) => value.payload(),
        }
    }
}

impl<'m> From<Ref<'m, Key, Value>> for Held<'m> {
    fn from(entry: Ref<'m, Key, Value>) -> Self {
        Self::Ref(entry)
    }
}

impl<'m> From<(&'m Key, &'m Value)> for Held<'m> {
    fn from((key, value): (&'m Key, &'m Value)) -> Self {
        Self::Entry(key, value)
    }
}

impl<'m> From<&'m Value> for Held<'m> {
    fn from(value: &'m Value) -> Self {
        Self::Value(value)
    }
}

/// The last few results, each with what it must go on saying.
#[derive(Default)]
pub struct Shelf<'m> {
    places: [Option<(Held<'m>, u16, u32)>; 8],
    next: usize,
}

impl<'m> Shelf<'m> {
    /// Takes the place of the oldest.
    pub fn put(&mut self, held: Held<'m>, id: u16, payload: u32) {
        self.places[self.next] = Some((held, id, payload));
        self.next = (self.next + 1) % self.places.len();
    }

    pub fn release(&mut self, place: u8) {
        self.places[usize::from(place) % self.places.len()] = None;
    }

    pub fn assert_unchanged(&self) {
        for (held, id, payload) in self.places.iter().flatten() {
            assert!(held.id().is_none_or(|found| found == *id));
            assert_eq!(held.payload(), *payload);
        }
    }
}
