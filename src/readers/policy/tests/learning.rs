//! What is remembered of those that were evicted, and learned from it.

use super::{
    super::{ghost::Ghosts, share::Share},
    mixed,
};

#[test]
fn ghosts_are_found_once_until_they_are_too_old_also_after_growth() {
    let mut ghosts = Ghosts::new();
    assert_eq!((ghosts.take(mixed(1)), ghosts.bytes()), (None, 0));
    for id in 0..1000 {
        ghosts.tick();
        ghosts.remember(mixed(id), id % 2 == 1, 10 + id as usize);
    }
    let found = (900..1000).filter(|&id| {
        let found = ghosts.take(mixed(id));
        found.is_some_and(|found| found.from_main == (id % 2 == 1) && found.age == 999 - id)
    });
    assert!(found.count() > 90);
    assert_eq!(ghosts.take(mixed(950)), None);
    ghosts.remember(mixed(5000), false, 1000);
    for _ in 0..100_000 {
        ghosts.tick();
    }
    assert_eq!(ghosts.take(mixed(5000)), None);
}

#[test]
fn ghosts_of_a_large_cache_are_found_although_times_are_coarse() {
    let mut ghosts = Ghosts::new();
    let members = 100_000;
    for id in 0..500_000 {
        ghosts.tick();
        ghosts.remember(mixed(id), false, members);
    }
    assert!(ghosts.bytes() <= 12 * members + 64);
    let ages: Vec<_> = (450_000..500_000)
        .filter_map(|id| Some((ghosts.take(mixed(id))?.age, 499_999 - id)))
        .collect();
    assert!(ages.len() > 49_000, "{}", ages.len());
    assert!(ages.iter().filter(|(found, age)| found.abs_diff(*age) > 64).count() < 100);
}

#[test]
fn the_share_stays_in_its_bounds() {
    let mut share = Share::new();
    for _ in 0..1000 {
        share.came_back(false, 0, 10.0);
    }
    assert!(share.get() <= 0.9);
    assert_eq!(share.uses_needed(), 1);
    for _ in 0..1000 {
        share.evicted(true, 10.0);
        share.came_back(true, 0, 10.0);
    }
    assert!(share.get() >= 0.01);
    assert_eq!(share.uses_needed(), 2);
}
