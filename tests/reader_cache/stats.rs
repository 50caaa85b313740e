//! What the statistics count, and what they do not.

use std::convert::Infallible;

use binlock::readers::{CloseCause, Stats};

use crate::{
    A, B, D,
    common::{Random, race, within},
    shelf::{ALL_CAUSES, Shelf, seconds},
};

#[test]
fn a_new_cache_has_done_nothing() {
    let shelf = Shelf::with_room(1);
    assert_eq!(shelf.stats(), Stats::default());
    assert_eq!((shelf.len(), shelf.weight(), shelf.is_empty()), (0, 0, true));
    assert_eq!((shelf.stats().hit_ratio(), shelf.stats().evictions()), (0.0, 0));
}

#[test]
fn each_look_up_is_a_hit_or_a_miss() {
    let shelf = Shelf::with_room(10);
    let look_ups = |shelf: &Shelf| (shelf.stats().hits, shelf.stats().misses);
    drop(shelf.get(&A));
    assert_eq!(look_ups(&shelf), (0, 1));
    shelf.open_idle([A]);
    assert_eq!(look_ups(&shelf), (0, 2));
    shelf.open_idle([A, A]);
    assert_eq!(look_ups(&shelf), (2, 2));
    let held = shelf.get(&A).unwrap();
    assert_eq!(look_ups(&shelf), (3, 2));
    assert!(shelf.get_or_open(B, |_| Err(())).is_err());
    assert_eq!(look_ups(&shelf), (3, 3));
    assert_eq!(shelf.stats().hit_ratio(), 0.5);
    // What a reader was used for does not go with it, however it goes.
    shelf.remove(&A);
    assert_eq!(look_ups(&shelf), (3, 3));
    drop(held);
    assert_eq!(look_ups(&shelf), (3, 3));
    shelf.open_idle([A, A]);
    shelf.clear();
    shelf.open_idle([A, A]);
    drop(shelf.insert(A, shelf.reader(A)).unwrap());
    shelf.close(seconds(0));
    assert_eq!(look_ups(&shelf), (5, 5));
}

#[test]
fn looking_without_using_counts_no_use() {
    let shelf = Shelf::with_room(10);
    shelf.open_idle([A, B]);
    let before = shelf.stats();
    for _ in 0..5 {
        assert!(shelf.contains_key(&A) && !shelf.contains_key(&D));
        assert_eq!(shelf.iter().count(), 2);
        assert_eq!((shelf.len(), shelf.weight()), (2, 2));
        assert_eq!(shelf.retain(|_, _| true).count(), 0);
        assert_eq!(shelf.run_pending().count(), 0);
        let handles: Vec<_> = shelf.iter().collect();
        drop(handles[0].clone());
    }
    assert_eq!(shelf.stats(), before);
}

#[test]
fn what_is_looked_at_without_use_is_evicted_before_what_is_used() {
    let shelf = Shelf::with_room(100);
    shelf.open_idle(0..100);
    for _ in 0..3 {
        (0..50).for_each(|key| drop(shelf.get(&key)));
        (50..100).for_each(|key| assert!(shelf.contains_key(&key)));
        shelf.iter().for_each(|held| assert!(held.read() < 100));
        shelf.retain(|_, _| true);
    }
    shelf.open_idle(1000..1040);
    let kept = shelf.keys();
    let used = (0..50).filter(|key| kept.contains(key)).count();
    let unused = (50..100).filter(|key| kept.contains(key)).count();
    assert!(used == 50 && unused < 50, "{used} and {unused}");
}

#[test]
fn the_statistics_say_what_is_there_now() {
    let shelf = Shelf::new(|builder| builder.weigher(|key, _| *key * 10));
    let now = || {
        let stats = shelf.stats();
        [stats.open, stats.opening, stats.in_use, stats.detached, stats.weight]
    };
    let first = shelf.open(1);
    assert_eq!(now(), [1, 0, 1, 0, 10]);
    shelf.open_idle([2]);
    assert_eq!(now(), [2, 0, 1, 0, 30]);
    let again = shelf.get(&1);
    assert_eq!(now(), [2, 0, 1, 0, 30]);
    let third = shelf.get_or_open(3, |key| {
        assert_eq!(now(), [2, 1, 1, 0, 30]);
        Ok::<_, Infallible>(shelf.reader(*key))
    });
    assert_eq!(now(), [3, 0, 2, 0, 60]);
    shelf.remove(&1);
    assert_eq!(now(), [3, 0, 1, 1, 50]);
    drop((first, again));
    assert_eq!(now(), [2, 0, 1, 0, 50]);
    shelf.clear();
    assert_eq!(now(), [1, 0, 0, 1, 0]);
    drop(third);
    assert_eq!(now(), [0; 5]);
    shelf.assert_adds_up();
}

#[test]
fn the_causes_are_told_apart_and_add_up() {
    let clock = crate::shelf::Clock::default();
    let shelf = Shelf::new(|builder| {
        let builder = builder.max_open(5).max_weight(100).weigher(|key, _| *key);
        builder.time_to_live(seconds(10)).clock(clock.hook())
    });
    let left = |cause| shelf.stats().left(cause);
    shelf.open_idle(1..8);
    assert_eq!(left(CloseCause::MaxOpen), 2);
    shelf.open_idle([99]);
    assert!(left(CloseCause::Weight) > 0 && shelf.weight() <= 100);
    shelf.open_idle([101]);
    assert_eq!(left(CloseCause::TooHeavy), 1);
    let evictions = left(CloseCause::MaxOpen) + left(CloseCause::Weight) + 1;
    assert_eq!(shelf.stats().evictions(), evictions);
    shelf.clear();
    shelf.open_idle([1, 2]);
    drop(shelf.insert(1, shelf.reader(1)).unwrap());
    assert_eq!(left(CloseCause::Replaced), 1);
    let removed = left(CloseCause::Removed);
    let held = shelf.open(1);
    shelf.remove(&1);
    assert_eq!(left(CloseCause::Removed), removed + 1);
    clock.advance(10);
    shelf.run_pending();
    assert_eq!(left(CloseCause::Expired), 1);
    shelf.open_idle([1]);
    shelf.close(seconds(0));
    drop(held);
    assert_eq!(left(CloseCause::Shutdown), 1);
    let all: u64 = ALL_CAUSES.iter().map(|cause| left(*cause)).sum();
    assert_eq!(all, shelf.stats().closed);
    // And `on_close` is told the same.
    let closed = shelf.closed();
    for cause in ALL_CAUSES {
        let told = closed.iter().filter(|(_, it)| *it == cause).count() as u64;
        assert_eq!(told, left(cause), "{cause:?}");
    }
    shelf.assert_adds_up();
}

#[test]
fn opened_is_closed_and_open_at_every_moment_and_nothing_counts_backwards() {
    within(60, || {
        let shelf =
            Shelf::new(|builder| builder.max_open(4).max_weight(20).weigher(|key, _| key % 5 + 1));
        race(
            3,
            |thread| {
                let mut random = Random::new(thread as u64);
                for _ in 0..700 {
                    let key = random.below(9);
                    match random.below(8) {
                        0 => _ = shelf.remove(&key),
                        1 => drop(shelf.insert(key, shelf.reader(key)).unwrap()),
                        2 => assert!(shelf.get_or_open(key + 100, |_| Err(())).is_err()),
                        3 => shelf.open(key).set_weight(random.below(25)),
                        4 => _ = shelf.clear(),
                        _ => drop(shelf.open(key)),
                    }
                }
            },
            2,
            |_| {
                let mut before = shelf.stats();
                for _ in 0..20 {
                    let stats = shelf.stats();
                    assert_eq!(stats.opened, stats.closed + stats.open, "{stats:?}");
                    assert!(stats.detached <= stats.open, "{stats:?}");
                    let out: u64 = ALL_CAUSES.iter().map(|cause| stats.left(*cause)).sum();
                    assert!(out >= stats.closed + stats.detached, "{stats:?}");
                    assert!(out <= stats.opened, "{stats:?}");
                    let counts = |stats: &Stats| {
                        [
                            stats.hits,
                            stats.misses,
                            stats.joined_opens,
                            stats.opened,
                            stats.failed_opens,
                            stats.closed,
                            stats.evictions(),
                        ]
                    };
                    let pairs = counts(&before).into_iter().zip(counts(&stats));
                    assert!(pairs.into_iter().all(|(before, now)| before <= now), "{stats:?}");
                    before = stats;
                }
            },
        );
        shelf.assert_adds_up();
        let stats = shelf.stats();
        assert!(stats.opened > 10 && stats.evictions() > 0 && stats.hits > 0);
        shelf.clear();
        shelf.book.assert_all_closed();
        assert_eq!(shelf.weight(), 0);
    });
}

#[test]
fn hits_are_exact_after_a_reader_has_left_in_the_middle_of_counting() {
    const USES: u64 = 50;
    within(60, || {
        for _ in 0..500 {
            let shelf = Shelf::with_room(100);
            // A walk over these takes a while.
            let others: Vec<_> = (1_000..1_050).map(|key| shelf.open(key)).collect();
            let uses = |_| {
                drop(shelf.open(A));
                for _ in 0..USES {
                    assert_eq!(shelf.get(&A).unwrap().read(), A);
                }
                shelf.remove(&A);
            };
            race(1, uses, 2, |_| assert!(shelf.stats().opened <= 51));
            assert_eq!(shelf.stats().hits, USES);
            drop(others);
        }
    });
}
