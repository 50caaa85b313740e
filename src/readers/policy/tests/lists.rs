//! Every member is in the list that it should be in.

use std::{collections::HashSet, ptr::NonNull};

use super::{
    super::{Place, list::List},
    census, fakes, insert, mixed, place_of, policy, release, victim,
};

#[test]
fn a_list_gives_its_members_back_in_order_whatever_is_unlinked() {
    let fakes = fakes(5);
    let at = |id: usize| NonNull::from(&fakes[id]);
    for taken in 0..5 {
        let mut list = List::new(Place::Main);
        // SAFETY: alive until the list is gone, each pushed once and unlinked once.
        unsafe {
            for id in [2, 3, 4] {
                list.push_newest(at(id), id as u64);
            }
            list.push_oldest(at(1), 1);
            list.push_oldest(at(0), 0);
            list.unlink(at(taken));
        }
        let left: Vec<_> = list.iter().collect();
        let expected: Vec<_> = (0..5).rev().filter(|&id| id != taken).map(at).collect();
        assert_eq!(left, expected);
        assert_eq!(list.weight(), 10 - taken as u128);
        while let Some(oldest) = list.oldest() {
            // SAFETY: it is in the list.
            unsafe { list.unlink(oldest) };
        }
        assert_eq!((list.len(), list.weight(), list.iter().count()), (0, 0, 0));
    }
}

/// What the model says of a member.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Known {
    Out,
    Cached,
    Detached,
}

#[test]
fn random_calls_lose_nothing_and_never_evict_what_is_in_use() {
    for (seed, capacity) in [1, 2, 3, 4, 16, 50].into_iter().enumerate() {
        let fakes = fakes(120);
        let mut policy = policy(capacity);
        let mut model = vec![Known::Out; fakes.len()];
        let mut random = seed as u64;
        for _ in 0..if cfg!(miri) { 500 } else { 30_000 } {
            random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let dice = mixed(random);
            let id = (dice >> 32) as usize % fakes.len();
            let fake = &fakes[id];
            match (dice % 100, model[id]) {
                (0..=59, Known::Out) => {
                    if policy.len() >= capacity {
                        if let Some(victim) = victim(&mut policy) {
                            let victim = victim as usize;
                            assert_eq!(model[victim], Known::Cached);
                            assert_eq!(fakes[victim].holders.get(), 0);
                            model[victim] = Known::Out;
                        } else {
                            let idle = |&id: &usize| {
                                model[id] == Known::Cached && fakes[id].holders.get() == 0
                            };
                            assert_eq!((0..fakes.len()).find(idle), None);
                        }
                    }
                    insert(&mut policy, fake);
                    model[id] = Known::Cached;
                }
                (0..=39, Known::Cached) => fake.use_it(),
                (40..=59, Known::Cached) => {
                    fake.use_it();
                    fake.holders.set(fake.holders.get() + 1);
                }
                (60..=89, Known::Cached) if fake.holders.get() > 0 => release(&mut policy, fake),
                (60..=89, Known::Detached) => {
                    fake.holders.set(0);
                    // SAFETY: alive.
                    unsafe { policy.remove(NonNull::from(fake)) };
                    model[id] = Known::Out;
                }
                (90..=93, Known::Cached) => {
                    fake.is_parked.set(false);
                    if fake.holders.get() > 0 {
                        // SAFETY: alive until the policy is gone.
                        unsafe { policy.detach(NonNull::from(fake)) };
                        model[id] = Known::Detached;
                    } else {
                        // SAFETY: alive.
                        unsafe { policy.remove(NonNull::from(fake)) };
                        model[id] = Known::Out;
                    }
                }
                (94, Known::Out) => {
                    // SAFETY: alive; it is in no list, and nothing happens.
                    unsafe { policy.remove(NonNull::from(fake)) };
                }
                _ => {}
            }
            let in_cache = model.iter().filter(|known| **known == Known::Cached).count();
            assert_eq!(policy.len(), in_cache);
            if dice % 16 == 0 {
                let census = census(&policy);
                for (id, known) in model.iter().enumerate() {
                    let listed = census.get(&(id as u64)).copied();
                    let parked = fakes[id].is_parked.get();
                    assert!(match known {
                        Known::Out => listed.is_none(),
                        Known::Detached => listed == Some(Place::Detached),
                        Known::Cached if parked => listed == Some(Place::Parked),
                        Known::Cached => matches!(listed, Some(Place::Probation | Place::Main)),
                    });
                }
            }
        }
    }
}

#[test]
fn removal_works_from_every_list() {
    let fakes = fakes(40);
    let mut policy = policy(20);
    for fake in &fakes[..20] {
        insert(&mut policy, fake);
    }
    for fake in fakes[..20].iter().step_by(4) {
        fake.holders.set(1);
    }
    for fake in &fakes[20..] {
        assert!(victim(&mut policy).is_some());
        insert(&mut policy, fake);
        fake.holders.set(u32::from(fake.id % 4 == 0));
    }
    // SAFETY: it lives as long as the policy.
    unsafe { policy.detach(NonNull::from(&fakes[0])) };
    let places: HashSet<_> = fakes.iter().map(|fake| place_of(fake) as u8).collect();
    assert_eq!(places.len(), 5, "all places should occur");
    for fake in &fakes {
        // SAFETY: alive.
        unsafe { policy.remove(NonNull::from(fake)) };
        assert_eq!(place_of(fake), Place::Nowhere);
        census(&policy);
    }
    assert_eq!((policy.len(), policy.weight(), policy.detached().count()), (0, 0, 0));
    assert_eq!(victim(&mut policy), None);
}

#[test]
fn what_is_detached_was_perhaps_in_no_list() {
    let fakes = fakes(1);
    let mut policy = policy(1);
    // SAFETY: it lives as long as the policy.
    unsafe { policy.detach(NonNull::from(&fakes[0])) };
    assert_eq!((policy.len(), policy.detached().count()), (0, 1));
    assert_eq!(victim(&mut policy), None);
}
