//! What readers weigh, and what that is good for.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use binlock::readers::CloseCause::{self, TooHeavy, Weight};

use crate::{
    A, B, D,
    common::{Random, together, within},
    shelf::{Shelf, seconds},
};

/// A cache that may weigh so much, where each reader weighs as much as its key is large.
fn up_to(weight: u64) -> Shelf {
    Shelf::new(|builder| builder.max_weight(weight).weigher(|key, _| *key))
}

#[test]
fn the_weigher_is_asked_once_when_a_reader_has_been_opened() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let shelf = Shelf::new(|builder| {
        builder.weigher(move |key, reader| {
            counter.fetch_add(1, Ordering::SeqCst);
            assert_eq!(reader.read(), *key);
            *key
        })
    });
    shelf.open_idle([3, 4, 3, 4]);
    drop(shelf.insert(5, shelf.reader(5)).unwrap());
    assert!(shelf.get_or_open(6, |_| Err(())).is_err());
    assert_eq!((shelf.weight(), calls.load(Ordering::SeqCst)), (12, 3));
    shelf.remove(&4);
    assert_eq!(shelf.weight(), 8);
    shelf.assert_adds_up();
}

#[test]
fn without_a_weigher_each_reader_weighs_one() {
    let shelf = Shelf::with_room(10);
    shelf.open_idle(0..7);
    assert_eq!((shelf.weight(), shelf.stats().weight), (7, 7));
}

#[test]
fn a_cache_that_gets_too_heavy_evicts_what_is_idle() {
    let shelf = up_to(100);
    shelf.open_idle([40, 30, 20, 10]);
    assert_eq!((shelf.weight(), shelf.len()), (100, 4));
    let held = shelf.open(50);
    assert!(shelf.weight() <= 100 && !held.is_detached());
    let closed = shelf.closed();
    assert!(!closed.is_empty() && closed.iter().all(|(_, cause)| *cause == Weight));
    shelf.assert_adds_up();
}

#[test]
fn readers_in_use_may_be_too_heavy_together_until_they_are_released() {
    let shelf = up_to(100);
    let held: Vec<_> = [60, 61, 62].map(|key| shelf.open(key)).into();
    assert_eq!((shelf.weight(), shelf.len(), shelf.book.closed()), (183, 3, 0));
    let mut held = held.into_iter();
    drop(held.next());
    assert_eq!(shelf.closed(), [(60, Weight)]);
    drop(held.next());
    assert_eq!(shelf.closed(), [(61, Weight)]);
    drop(held.next());
    assert_eq!((shelf.weight(), shelf.len()), (62, 1));
    shelf.assert_adds_up();
}

#[test]
fn a_reader_that_is_heavier_than_all_may_be_is_handed_out_and_not_kept() {
    let shelf = up_to(100);
    shelf.open_idle([40, 60]);
    let held = shelf.open(101);
    // Nothing had to go for it.
    assert_eq!((shelf.weight(), shelf.len(), shelf.book.closed()), (100, 2, 0));
    assert!(held.is_detached() && shelf.get(&101).is_none());
    assert_eq!((held.read(), shelf.stats().detached), (101, 1));
    drop(held);
    assert_eq!(shelf.closed(), [(101, TooHeavy)]);
    let held = shelf.insert(102, shelf.reader(102)).unwrap();
    assert!(held.is_detached());
    drop(held);
    assert_eq!(shelf.closed(), [(102, TooHeavy)]);
    // What is just as heavy is kept.
    shelf.clear();
    shelf.open_idle([100]);
    assert_eq!((shelf.weight(), shelf.len()), (100, 1));
    shelf.assert_adds_up();
}

#[test]
fn those_who_wait_for_a_reader_that_is_too_heavy_have_it() {
    within(20, || {
        let shelf = up_to(100);
        std::thread::scope(|scope| {
            let mut waiter = None;
            let opening = shelf.get_or_open(200, |key| {
                waiter = Some(scope.spawn(|| shelf.open(200).number));
                crate::shelf::until(|| shelf.stats().joined_opens == 1);
                Ok::<_, ()>(shelf.reader(*key))
            });
            let number = opening.unwrap().number;
            assert_eq!(waiter.unwrap().join().unwrap(), number);
        });
        assert_eq!(shelf.closed(), [(200, TooHeavy)]);
        shelf.assert_adds_up();
    });
}

#[test]
fn a_weight_that_is_learned_later_counts_as_the_difference_and_once() {
    let shelf = up_to(1000);
    let held = shelf.open(10);
    shelf.open_idle([5]);
    for _ in 0..3 {
        held.set_weight(70);
        assert_eq!((shelf.weight(), shelf.stats().weight), (75, 75));
    }
    held.clone().set_weight(2);
    assert_eq!(shelf.weight(), 7);
    held.set_weight(0);
    assert_eq!(shelf.weight(), 5);
    held.set_weight(70);
    drop(held);
    // It is what counts when the reader goes.
    shelf.remove(&10);
    assert_eq!(shelf.weight(), 5);
    shelf.assert_adds_up();
}

#[test]
fn a_weight_that_is_learned_later_evicts_others_before_the_call_returns() {
    let shelf = up_to(100);
    shelf.open_idle([10, 20, 30]);
    let (first, second) = (shelf.open(1), shelf.open(2));
    first.set_weight(90);
    assert_eq!(shelf.closed().iter().filter(|(_, cause)| *cause == Weight).count(), 3);
    assert_eq!((shelf.weight(), shelf.len()), (92, 2));
    // All that is left is in use.
    second.set_weight(50);
    assert_eq!((shelf.weight(), shelf.len()), (140, 2));
    drop(second);
    assert_eq!(shelf.closed(), [(2, Weight)]);
    drop(first);
    assert_eq!((shelf.weight(), shelf.len()), (90, 1));
    shelf.assert_adds_up();
}

#[test]
fn a_reader_whose_weight_turns_out_to_be_too_much_is_taken_out() {
    let shelf = up_to(100);
    let held = shelf.open(10);
    shelf.open_idle([20]);
    held.set_weight(101);
    assert!(held.is_detached() && shelf.get(&10).is_none());
    assert_eq!((shelf.weight(), shelf.book.closed()), (20, 0));
    // From now on, its weight is of no interest.
    held.set_weight(1);
    assert!(held.is_detached());
    drop(held);
    assert_eq!((shelf.closed(), shelf.weight()), (vec![(10, TooHeavy)], 20));
    shelf.assert_adds_up();
}

#[test]
fn the_weight_of_a_reader_that_is_out_of_the_cache_is_ignored() {
    type Take = fn(&Shelf) -> CloseCause;
    let ways: [Take; 4] = [
        |shelf| {
            shelf.remove(&A);
            CloseCause::Removed
        },
        |shelf| {
            shelf.clear();
            CloseCause::Removed
        },
        |shelf| {
            drop(shelf.insert(A, shelf.reader(A)).unwrap());
            CloseCause::Replaced
        },
        |shelf| {
            shelf.close(seconds(0));
            CloseCause::Shutdown
        },
    ];
    for take in ways {
        let shelf = up_to(100);
        let held = shelf.open(A);
        let cause = take(&shelf);
        let weight = shelf.weight();
        for new in [50, 0, 1000, u64::MAX] {
            held.set_weight(new);
            assert_eq!((shelf.weight(), shelf.stats().weight), (weight, weight));
        }
        assert!(shelf.closed().is_empty());
        drop(held);
        assert_eq!(shelf.closed(), [(A, cause)]);
        shelf.assert_adds_up();
    }
}

#[test]
fn a_weight_that_is_set_while_the_reader_is_opened_again_is_the_old_ones() {
    let shelf = up_to(100);
    let old = shelf.open(A);
    shelf.remove(&A);
    let new = shelf.open(A);
    old.set_weight(50);
    assert_eq!(shelf.weight(), A);
    new.set_weight(60);
    assert_eq!(shelf.weight(), 60);
    drop(old);
    assert_eq!(shelf.weight(), 60);
    shelf.assert_adds_up();
}

#[test]
fn the_greatest_weights_are_counted_without_overflow() {
    let shelf = Shelf::new(|builder| builder.weigher(|_, _| u64::MAX));
    shelf.open_idle([A, B, D]);
    assert_eq!(shelf.weight(), u64::MAX);
    shelf.remove(&A);
    assert_eq!(shelf.weight(), u64::MAX);
    shelf.open(B).set_weight(3);
    shelf.remove(&D);
    assert_eq!(shelf.weight(), 3);
    let limited = Shelf::new(|builder| builder.max_weight(u64::MAX).weigher(|_, _| u64::MAX));
    limited.open_idle([A, B, D]);
    assert_eq!((limited.weight(), limited.len()), (u64::MAX, 1));
    shelf.assert_adds_up();
    limited.assert_adds_up();
}

#[test]
fn readers_that_weigh_nothing_are_limited_in_number_only() {
    let shelf = Shelf::new(|builder| builder.max_weight(1).max_open(50).weigher(|_, _| 0));
    shelf.open_idle(0..60);
    assert_eq!((shelf.weight(), shelf.len()), (0, 50));
    shelf.assert_adds_up();
}

#[test]
fn weights_add_up_whatever_threads_do_to_them() {
    within(60, || {
        let shelf = up_to(100);
        together(4, |thread| {
            let mut random = Random::new(thread as u64);
            for _ in 0..500 {
                let held = shelf.open(1 + random.below(12));
                match random.below(6) {
                    0 => _ = shelf.remove(held.key()),
                    1 => drop(shelf.insert(*held.key(), shelf.reader(*held.key())).unwrap()),
                    _ => held.set_weight(random.below(120)),
                }
            }
        });
        assert!(shelf.weight() <= 100);
        shelf.assert_adds_up();
        shelf.clear();
        assert_eq!(shelf.weight(), 0);
        shelf.book.assert_all_closed();
    });
}
