//! Of the policy and its parts, with members that are used as the tests will have it.

mod learning;
mod lists;
mod victims;

use std::{cell::Cell, collections::BTreeMap, ptr::NonNull};

use super::{Limits, Member, Place, Policy, Seat, list::place};

/// A member that counts how it is used.
#[derive(Default)]
struct Fake {
    seat: Seat<Fake>,
    id: u64,
    weight: Cell<u64>,
    uses: Cell<u32>,
    /// Uses that it gains whenever it is looked at, as if other threads were busy with it.
    busy: Cell<u32>,
    holders: Cell<u32>,
    is_parked: Cell<bool>,
    is_claimed: Cell<bool>,
    claims_tried: Cell<usize>,
    times_looked_at: Cell<usize>,
}

// SAFETY: one seat each, one thread, and `is_claimed` sees to the rest.
unsafe impl Member for Fake {
    fn seat(&self) -> &Seat<Self> {
        &self.seat
    }

    fn hash(&self) -> u64 {
        mixed(self.id)
    }

    fn weight(&self) -> u64 {
        self.weight.get()
    }

    fn uses(&self) -> u32 {
        self.times_looked_at.set(self.times_looked_at.get() + 1);
        self.uses.set(self.uses.get().wrapping_add(self.busy.get()));
        self.uses.get()
    }

    fn try_claim(&self) -> bool {
        assert!(!self.is_claimed.get());
        self.claims_tried.set(self.claims_tried.get() + 1);
        let claimed = self.holders.get() == 0;
        self.is_claimed.set(claimed);
        claimed
    }

    fn try_park(&self) -> bool {
        self.is_parked.set(self.holders.get() > 0);
        self.is_parked.get()
    }
}

impl Fake {
    fn use_it(&self) {
        self.uses.set(self.uses.get().wrapping_add(1));
    }
}

fn mixed(id: u64) -> u64 {
    let hash = (id ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = (hash ^ hash >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^ hash >> 32
}

fn fakes(number: u64) -> Vec<Fake> {
    (0..number).map(|id| Fake { id, weight: Cell::new(1), ..Fake::default() }).collect()
}

fn policy(max_open: usize) -> Policy<Fake> {
    Policy::new(Limits { max_open: Some(max_open), max_weight: None })
}

fn insert(policy: &mut Policy<Fake>, fake: &Fake) {
    fake.is_claimed.set(false);
    // SAFETY: each test keeps its members until the policy is gone, and inserts none twice.
    unsafe { policy.insert(NonNull::from(fake)) }
}

fn victim(policy: &mut Policy<Fake>) -> Option<u64> {
    // SAFETY: the members outlive the policy.
    policy.victim().map(|victim| unsafe { victim.as_ref() }.id)
}

fn place_of(fake: &Fake) -> Place {
    // SAFETY: alive, and nobody has a reference to its seat.
    unsafe { place(NonNull::from(fake)) }
}

fn release(policy: &mut Policy<Fake>, fake: &Fake) {
    fake.holders.set(fake.holders.get() - 1);
    if fake.holders.get() == 0 && fake.is_parked.replace(false) {
        // SAFETY: alive.
        unsafe { policy.unpark(NonNull::from(fake)) }
    }
}

/// Whether the lists are what their invariants say; the members with their places.
fn census(policy: &Policy<Fake>) -> BTreeMap<u64, Place> {
    let mut census = BTreeMap::new();
    let lists = [
        (&policy.probation, Place::Probation),
        (&policy.main, Place::Main),
        (&policy.parked, Place::Parked),
        (&policy.detached, Place::Detached),
    ];
    for (list, of_list) in lists {
        let members: Vec<_> = list.iter().collect();
        assert_eq!(members.len(), list.len());
        assert_eq!(members.last().copied(), list.oldest());
        for member in members {
            // SAFETY: alive.
            assert_eq!(unsafe { place(member) }, of_list);
            // SAFETY: alive.
            let before = census.insert(unsafe { member.as_ref() }.id, of_list);
            assert_eq!(before, None, "in two lists");
        }
    }
    census
}
