//! Readers that are too old are not found, and are closed.

use std::{convert::Infallible, time::Duration};

use binlock::readers::CloseCause::Expired;

use crate::{
    A, B, D,
    common::{race, together, within},
    shelf::{Clock, Reader, Shelf, seconds},
};

type Builder = binlock::readers::Builder<u64, Reader>;

fn timed(with: impl FnOnce(Builder) -> Builder) -> (Shelf, Clock) {
    let clock = Clock::default();
    clock.advance(1_000_000);
    (Shelf::new(|builder| with(builder.clock(clock.hook()))), clock)
}

#[test]
fn a_reader_is_not_found_after_its_time_to_live_however_often_it_is_used() {
    let (shelf, clock) = timed(|builder| builder.time_to_live(seconds(10)));
    shelf.open_idle([A]);
    for _ in 0..9 {
        clock.advance(1);
        assert_eq!(shelf.get(&A).unwrap().number, 0);
    }
    clock.advance(1);
    assert!(!shelf.contains_key(&A));
    assert!(shelf.keys().is_empty());
    assert_eq!(shelf.retain(|_, _| unreachable!()).count(), 0);
    // It is closed by the look-up.
    assert_eq!((shelf.len(), shelf.book.closed()), (1, 0));
    assert!(shelf.get(&A).is_none());
    assert_eq!((shelf.len(), shelf.closed()), (0, vec![(A, Expired)]));
    assert_eq!(shelf.open(A).number, 1);
    let stats = shelf.stats();
    assert_eq!((stats.hits, stats.misses, stats.left(Expired)), (9, 3, 1));
    shelf.assert_adds_up();
}

#[test]
fn an_expired_reader_is_closed_before_another_one_is_opened_for_its_key() {
    let (shelf, clock) = timed(|builder| builder.time_to_live(seconds(10)));
    shelf.open_idle([A]);
    clock.advance(10);
    let opened = shelf.get_or_open(A, |key| {
        assert_eq!(shelf.closed(), [(A, Expired)]);
        Ok::<_, Infallible>(shelf.reader(*key))
    });
    assert_eq!(opened.unwrap().number, 1);
    shelf.assert_adds_up();
}

#[test]
fn a_reader_is_not_found_after_its_time_to_idle_which_each_use_begins_anew() {
    let (shelf, clock) = timed(|builder| builder.time_to_idle(seconds(10)));
    shelf.open_idle([A, B]);
    for _ in 0..5 {
        clock.advance(9);
        assert!(shelf.get(&A).is_some());
    }
    assert!(!shelf.contains_key(&B) && shelf.contains_key(&A));
    clock.advance(9);
    // This is no use, and the next is not in time.
    assert!(shelf.contains_key(&A));
    clock.advance(1);
    assert!(shelf.get(&A).is_none() && shelf.get(&B).is_none());
    assert_eq!(shelf.closed().len(), 2);
    shelf.assert_adds_up();
}

#[test]
fn a_reader_with_a_handle_is_not_idle_and_its_time_begins_at_its_release() {
    let (shelf, clock) = timed(|builder| builder.time_to_idle(seconds(10)));
    let (held, again) = (shelf.open(A), shelf.open(A));
    clock.advance(1000);
    assert!(shelf.contains_key(&A) && !held.is_detached());
    assert_eq!(shelf.run_pending().count(), 0);
    assert_eq!(shelf.get(&A).unwrap().number, 0);
    drop(held);
    clock.advance(1000);
    assert!(shelf.contains_key(&A));
    drop(again);
    clock.advance(9);
    assert!(shelf.contains_key(&A));
    clock.advance(1);
    assert!(!shelf.contains_key(&A));
    assert_eq!(shelf.run_pending().closed, 1);
    shelf.assert_adds_up();
}

#[test]
fn each_reader_may_have_a_life_of_its_own() {
    let (shelf, clock) = timed(|builder| {
        builder.expire_after(|key, reader| {
            assert_eq!(reader.key, *key);
            (*key > 0).then(|| seconds(*key * 10))
        })
    });
    shelf.open_idle(0..5);
    drop(shelf.insert(7, shelf.reader(7)).unwrap());
    for expected in [vec![0, 2, 3, 4, 7], vec![0, 3, 4, 7], vec![0, 4, 7], vec![0, 7]] {
        clock.advance(10);
        assert_eq!(shelf.keys().into_iter().collect::<Vec<_>>(), expected);
    }
    clock.advance(1_000_000);
    assert_eq!(shelf.keys().into_iter().collect::<Vec<_>>(), [0]);
    assert_eq!(shelf.run_pending().closed, 5);
    shelf.assert_adds_up();
}

#[test]
fn the_shortest_of_its_times_ends_a_reader() {
    let (shelf, clock) = timed(|builder| {
        let builder = builder.time_to_live(seconds(100)).time_to_idle(seconds(50));
        builder.expire_after(|key, _| (*key == A).then(|| seconds(20)))
    });
    shelf.open_idle([A, B, D]);
    clock.advance(20);
    assert_eq!(shelf.keys().into_iter().collect::<Vec<_>>(), [B, D]);
    clock.advance(29);
    assert!(shelf.get(&B).is_some());
    clock.advance(30);
    assert!(shelf.get(&B).is_some() && !shelf.contains_key(&D));
    clock.advance(21);
    assert!(!shelf.contains_key(&B));
    assert_eq!(shelf.run_pending().closed, 3);
}

#[test]
fn an_expired_reader_in_use_is_detached() {
    let (shelf, clock) = timed(|builder| {
        builder.time_to_live(seconds(10)).expire_after(|key, _| (*key == B).then(|| seconds(5)))
    });
    let held = [shelf.open(A), shelf.open(B)];
    clock.advance(5);
    // Not found, but not taken out yet, either.
    assert!(!shelf.contains_key(&B));
    let another = shelf.open(B);
    assert!(held[1].is_detached() && another.number != held[1].number);
    clock.advance(5);
    let removed = shelf.run_pending();
    assert_eq!((removed.closed, removed.detached), (0, 2));
    assert_eq!((held[0].read(), held[1].read()), (A, B));
    assert_eq!(shelf.book.closed(), 0);
    drop(held);
    drop(another);
    assert_eq!(shelf.closed(), [(A, Expired), (B, Expired), (B, Expired)]);
    shelf.assert_adds_up();
}

#[test]
fn run_pending_closes_what_has_expired_and_nothing_else() {
    let (shelf, clock) = timed(|builder| builder.time_to_live(seconds(10)));
    shelf.open_idle(0..5);
    clock.advance(5);
    shelf.open_idle(5..8);
    clock.advance(5);
    let held = shelf.open(7);
    let removed = shelf.run_pending();
    assert_eq!((removed.closed, removed.detached), (5, 0));
    assert_eq!(shelf.keys().into_iter().collect::<Vec<_>>(), [5, 6, 7]);
    clock.advance(5);
    let removed = shelf.run_pending();
    assert_eq!((removed.closed, removed.detached), (2, 1));
    assert_eq!((shelf.len(), shelf.run_pending().count()), (0, 0));
    drop(held);
    shelf.assert_adds_up();
}

#[test]
fn what_has_expired_is_closed_in_a_while_when_others_are_opened() {
    type With = fn(Builder) -> Builder;
    let kinds: [With; 3] = [
        |builder| builder.time_to_live(seconds(20)),
        |builder| builder.time_to_idle(seconds(20)),
        |builder| builder.expire_after(|_, _| Some(seconds(20))),
    ];
    for with in kinds {
        let (shelf, clock) = timed(with);
        shelf.open_idle([A]);
        clock.advance(20);
        shelf.open_idle([B]);
        clock.advance(5);
        // By now, it has been over for a quarter of its time.
        shelf.open_idle([D]);
        assert_eq!(shelf.closed(), [(A, Expired)]);
        assert_eq!(shelf.len(), 2);
    }
}

#[test]
fn what_has_expired_is_closed_in_a_while_when_others_are_inserted() {
    let (shelf, clock) = timed(|builder| builder.time_to_live(seconds(20)));
    shelf.open_idle([A]);
    clock.advance(25);
    drop(shelf.insert(B, shelf.reader(B)));
    assert_eq!(shelf.closed(), [(A, Expired)]);
    assert_eq!(shelf.len(), 1);
    shelf.assert_adds_up();
}

#[test]
fn a_full_cache_is_glad_of_what_has_expired() {
    let (shelf, clock) = timed(|builder| {
        let builder = builder.max_open(1).when_full(binlock::readers::WhenFull::Fail);
        builder.time_to_live(seconds(10))
    });
    shelf.open_idle([A]);
    clock.advance(10);
    assert_eq!(shelf.open(B).read(), B);
    assert_eq!(shelf.closed().len(), 1);
    shelf.assert_adds_up();
}

#[test]
fn a_life_of_no_time_is_over_at_once_and_one_of_all_time_never() {
    let (shelf, clock) = timed(|builder| {
        builder.expire_after(|key, _| Some(if *key == A { Duration::ZERO } else { Duration::MAX }))
    });
    let held = shelf.open(A);
    assert!(!shelf.contains_key(&A));
    assert_eq!((shelf.open(A).number, held.number), (1, 0));
    shelf.open_idle([B]);
    clock.advance(1 << 33);
    assert!(shelf.contains_key(&B));
    drop(held);
    shelf.assert_adds_up();
}

#[test]
fn a_clock_that_goes_backwards_ages_nothing() {
    let now = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(1000));
    let hook = std::sync::Arc::clone(&now);
    let clock = move || seconds(hook.load(std::sync::atomic::Ordering::SeqCst));
    let shelf = Shelf::new(|builder| {
        builder.time_to_live(seconds(10)).time_to_idle(seconds(5)).clock(clock)
    });
    shelf.open_idle([A]);
    now.store(0, std::sync::atomic::Ordering::SeqCst);
    assert!(shelf.get(&A).is_some());
    assert_eq!(shelf.run_pending().count(), 0);
    shelf.open_idle([B]);
    shelf.assert_adds_up();
}

#[test]
fn without_expiry_the_clock_is_not_asked() {
    let (shelf, clock) = timed(|builder| builder.max_open(2));
    shelf.open_idle(0..10);
    drop((shelf.get(&9), shelf.iter().count(), shelf.contains_key(&9)));
    shelf.run_pending();
    assert_eq!((clock.asked(), shelf.len()), (0, 2));
    let (shelf, clock) = timed(|builder| builder.time_to_idle(seconds(1)));
    shelf.open_idle([A]);
    let before = clock.asked();
    drop(shelf.get(&A));
    assert!(clock.asked() > before);
}

#[test]
fn the_system_clock_is_the_default() {
    within(20, || {
        let shelf = Shelf::new(|builder| builder.time_to_live(Duration::from_millis(100)));
        shelf.open_idle([A]);
        assert_eq!(shelf.open(B).read(), B);
        std::thread::sleep(Duration::from_millis(120));
        assert!(shelf.get(&A).is_none());
        assert_eq!(shelf.closed()[0], (A, Expired));
    });
}

#[test]
fn threads_that_meet_at_an_expired_reader_close_it_once() {
    within(60, || {
        let (shelf, clock) = timed(|builder| builder.time_to_live(seconds(10)));
        for _ in 0..100 {
            shelf.open_idle([A]);
            clock.advance(10);
            together(4, |thread| match thread {
                0 => drop(shelf.get(&A)),
                1 => drop(shelf.open(A)),
                2 => _ = shelf.run_pending(),
                _ => _ = shelf.remove(&A),
            });
            shelf.assert_adds_up();
        }
        shelf.clear();
        shelf.book.assert_all_closed();
    });
}

#[test]
fn readers_expire_under_threads_that_use_them() {
    within(60, || {
        let (shelf, clock) =
            timed(|builder| builder.time_to_live(seconds(7)).time_to_idle(seconds(3)));
        race(
            1,
            |_| {
                while shelf.stats().left(Expired) < 50 {
                    clock.advance(1);
                    std::thread::yield_now();
                }
            },
            4,
            |thread| {
                let held = shelf.open(thread as u64);
                std::thread::yield_now();
                assert_eq!(held.read(), thread as u64);
                shelf.run_pending();
            },
        );
        let stats = shelf.stats();
        assert_eq!((stats.left(Expired), stats.detached), (stats.closed, 0));
        shelf.assert_adds_up();
        shelf.clear();
        shelf.book.assert_all_closed();
    });
}

#[test]
fn iterating_and_retaining_do_not_begin_the_idle_time_anew() {
    let looks: [fn(&Shelf); 2] =
        [|shelf| _ = shelf.iter().count(), |shelf| _ = shelf.retain(|key, _| *key != D)];
    for look in looks {
        let clock = Clock::default();
        let shelf = Shelf::new(|builder| builder.time_to_idle(seconds(10)).clock(clock.hook()));
        shelf.open_idle([A]);
        for _ in 0..5 {
            clock.advance(4);
            look(&shelf);
        }
        assert!(!shelf.contains_key(&A), "idle for 20 s, with 10 s to idle");
    }
}
