//! Which member is chosen, and what the search for it costs.

use std::{cell::Cell, ptr::NonNull};

use super::{
    super::{Limits, MOST_PASSED, Member, Place, Policy, Seat},
    Fake, fakes, insert, place_of, policy, release, victim,
};

#[test]
fn all_in_use_are_looked_at_once_and_not_again_before_they_are_released() {
    let fakes = fakes(1000);
    let mut policy = policy(1000);
    for fake in &fakes {
        fake.holders.set(1);
        insert(&mut policy, fake);
    }
    for _ in 0..10 {
        assert_eq!(victim(&mut policy), None);
    }
    assert!(fakes.iter().all(|fake| fake.claims_tried.get() == 1));
    release(&mut policy, &fakes[77]);
    assert_eq!(victim(&mut policy), Some(77));
    assert_eq!(victim(&mut policy), None);
    assert_eq!(fakes[76].claims_tried.get(), 1);
}

#[test]
fn one_search_is_bounded_even_if_all_are_used_all_the_time() {
    let fakes = fakes(10_000);
    let mut policy = policy(10_000);
    for fake in &fakes {
        insert(&mut policy, fake);
        fake.busy.set(5);
    }
    let looks = || fakes.iter().map(|fake| fake.times_looked_at.get()).sum::<usize>();
    for _ in 0..100 {
        let before = looks();
        assert!(victim(&mut policy).is_some());
        assert!(looks() - before <= 3 * MOST_PASSED);
    }
}

#[test]
fn a_member_that_is_released_between_the_attempts_is_claimed() {
    /// In use when it is to be claimed for the first time, and not any more after that.
    struct Fleeting(Seat<Fleeting>, Cell<bool>);

    // SAFETY: one seat each, one thread.
    unsafe impl Member for Fleeting {
        fn seat(&self) -> &Seat<Self> {
            &self.0
        }
        fn hash(&self) -> u64 {
            0
        }
        fn weight(&self) -> u64 {
            1
        }
        fn uses(&self) -> u32 {
            0
        }
        fn try_claim(&self) -> bool {
            self.1.replace(true)
        }
        fn try_park(&self) -> bool {
            false
        }
    }

    let member = Fleeting(Seat::default(), Cell::new(false));
    let mut policy = Policy::new(Limits { max_open: Some(1), max_weight: None });
    // SAFETY: it outlives the policy.
    unsafe { policy.insert(NonNull::from(&member)) };
    assert_eq!(policy.victim(), Some(NonNull::from(&member)));
    assert_eq!(policy.victim(), None);
}

#[test]
fn the_weight_is_what_was_counted_until_it_is_counted_again() {
    let fakes = fakes(10);
    let mut policy = Policy::new(Limits { max_open: None, max_weight: Some(60) });
    for fake in &fakes {
        fake.weight.set(10);
        insert(&mut policy, fake);
        while policy.weight() > 60 {
            assert!(victim(&mut policy).is_some());
        }
    }
    assert_eq!((policy.len(), policy.weight()), (6, 60));
    let listed: Vec<_> = policy.members().collect();
    for &member in &listed {
        // SAFETY: alive.
        unsafe { member.as_ref() }.weight.set(u64::MAX);
    }
    assert_eq!(policy.weight(), 60);
    for &member in &listed {
        // SAFETY: alive.
        unsafe { policy.reweigh(member) };
    }
    assert_eq!(policy.weight(), 6 * u128::from(u64::MAX));
    for left in (0..6).rev() {
        assert!(victim(&mut policy).is_some());
        assert_eq!(policy.weight(), left * u128::from(u64::MAX));
    }
}

#[test]
fn a_scan_leaves_alone_what_is_used() {
    let fakes = fakes(2_000);
    let mut policy = policy(100);
    for fake in &fakes[..100] {
        insert(&mut policy, fake);
    }
    for fake in &fakes[100..] {
        fakes[..90].iter().for_each(Fake::use_it);
        assert!(victim(&mut policy).is_some());
        insert(&mut policy, fake);
    }
    let kept = fakes[..90].iter().filter(|fake| place_of(fake) != Place::Nowhere).count();
    assert!(kept >= 88, "{kept}");
}

#[test]
fn counts_of_uses_may_wrap() {
    let fakes = fakes(1);
    let mut policy = policy(1);
    fakes[0].uses.set(u32::MAX);
    insert(&mut policy, &fakes[0]);
    fakes[0].use_it();
    // SAFETY: it is on probation.
    assert!(!unsafe { policy.promote(NonNull::from(&fakes[0])) });
    fakes[0].use_it();
    // SAFETY: it is on probation.
    assert!(unsafe { policy.promote(NonNull::from(&fakes[0])) });
    assert_eq!(place_of(&fakes[0]), Place::Main);
}
