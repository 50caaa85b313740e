//! As many readers are open as may be, and all of them in use.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use binlock::{
    ReaderCache,
    readers::{CloseCause, OpenError, WhenFull},
};

use crate::{
    A, B, D,
    asynchronous::asks,
    common::{Gate, Hashers, Random, together, within},
    full_async::Timers,
    shelf::{Book, Shelf, closing, seconds, timed, until},
};

fn with_room(readers: usize, when_full: WhenFull) -> Shelf {
    Shelf::new(|builder| builder.max_open(readers).when_full(when_full))
}

#[test]
fn exceeding_is_the_default_and_the_cache_shrinks_with_each_release() {
    let shelf = Shelf::with_room(2);
    let mut held: Vec<_> = (0..6).map(|key| shelf.open(key)).collect();
    for open in (2..6).rev() {
        assert_eq!(shelf.stats().open, open as u64 + 1);
        // Not the newest, nor the oldest.
        let released = held.swap_remove(held.len() / 2);
        let number = released.number;
        drop(released);
        let closings = shelf.book.take_closings();
        let closed: Vec<_> = closings.iter().map(|closing| closing.number).collect();
        assert_eq!((closed, closings[0].cause), (vec![number], CloseCause::MaxOpen));
        assert_eq!((shelf.stats().open, shelf.len()), (open as u64, open));
    }
    drop(held);
    assert_eq!((shelf.book.closed(), shelf.len()), (4, 2));
    shelf.assert_adds_up();
}

#[test]
fn a_full_cache_fails_to_open_or_insert_if_it_was_told_to() {
    let shelf = with_room(2, WhenFull::Fail);
    let (first, second) = (shelf.open(A), shelf.open(B));
    let opened = shelf.get_or_open(D, |_| -> Result<_, Infallible> { unreachable!() });
    assert!(matches!(opened, Err(OpenError::Full)));
    assert!(!shelf.contains_key(&D) && shelf.len() == 2);
    // What is open is found all the same.
    assert_eq!(shelf.open(A).number, first.number);
    let error = shelf.insert(D, shelf.reader(D)).unwrap_err();
    assert!(!error.is_closed);
    assert_eq!((error.reader.read(), error.reader.number), (D, 2));
    // Nor is there a place for another reader of the same key.
    let error = shelf.insert(A, error.reader).unwrap_err();
    assert_eq!((shelf.get(&A).unwrap().number, shelf.book.closed()), (0, 0));
    drop(first);
    // Idle now, it makes place.
    drop(shelf.insert(D, error.reader).unwrap());
    assert_eq!(shelf.closed(), [(A, CloseCause::MaxOpen)]);
    assert_eq!(shelf.stats().failed_opens, 1);
    drop(second);
    shelf.assert_adds_up();
}

/// Waits for a place for the key on a thread of its own, and notes when it has come.
fn queue<'s>(
    scope: &'s thread::Scope<'s, '_>,
    shelf: &'s Shelf,
    served: &'s Mutex<Vec<u64>>,
    key: u64,
) -> thread::ScopedJoinHandle<'s, Result<(), OpenError<Infallible>>> {
    let waiting = shelf.stats().waiting;
    let thread = scope.spawn(move || {
        let opened = shelf.get_or_open(key, |key| {
            served.lock().unwrap().push(*key);
            Ok(shelf.reader(*key))
        });
        opened.map(|held| assert_eq!(held.read(), key))
    });
    until(|| shelf.stats().waiting > waiting);
    thread
}

#[test]
fn those_who_wait_for_a_place_are_served_in_the_order_of_their_coming() {
    within(20, || {
        let shelf = with_room(1, WhenFull::Wait(seconds(1000)));
        let served = Mutex::new(Vec::new());
        let held = shelf.open(0);
        thread::scope(|scope| {
            let threads: Vec<_> = (1..8).map(|key| queue(scope, &shelf, &served, key)).collect();
            assert_eq!(shelf.stats().waiting, 7);
            assert!(served.lock().unwrap().is_empty());
            drop(held);
            threads.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
        });
        assert_eq!(*served.lock().unwrap(), [1, 2, 3, 4, 5, 6, 7]);
        let stats = shelf.stats();
        assert_eq!((stats.open, stats.opened), (1, 8));
        shelf.assert_adds_up();
    });
}

#[test]
fn a_wait_for_a_place_ends_in_time() {
    within(20, || {
        let shelf = with_room(1, WhenFull::Wait(Duration::from_millis(50)));
        let held = shelf.open(A);
        let (opened, took) = timed(|| shelf.try_open(B));
        assert!(matches!(opened, Err(OpenError::Full)));
        assert!(took >= Duration::from_millis(50), "{took:?}");
        let (inserted, took) = timed(|| shelf.insert(B, shelf.reader(B)));
        assert!(!inserted.unwrap_err().is_closed && took >= Duration::from_millis(50));
        // And the key is free, and the queue empty.
        drop(held);
        assert_eq!((shelf.stats().waiting, shelf.len()), (0, 1));
        shelf.open_idle([B]);
        assert_eq!(shelf.closed(), [(A, CloseCause::MaxOpen)]);
        shelf.book.assert_sound();
    });
}

#[test]
fn who_has_waited_in_vain_is_in_nobodys_way() {
    within(20, || {
        // A task, whose time ends when the test says so.
        let timers = Timers::default();
        let wait = WhenFull::Wait(seconds(1000));
        let shelf = Shelf::new(|it| it.max_open(1).when_full(wait).sleep_with(timers.hook()));
        let served = Mutex::new(Vec::new());
        let held = shelf.open(A);
        let mut first = asks(&shelf, B, 0);
        assert!(first.poll().is_none());
        thread::scope(|scope| {
            let second = queue(scope, &shelf, &served, D);
            timers.end_first();
            assert!(matches!(first.poll(), Some(Err(OpenError::Full))));
            drop(held);
            second.join().unwrap().unwrap();
        });
        assert_eq!(*served.lock().unwrap(), [D]);
        shelf.assert_adds_up();
    });
}

#[test]
fn whatever_makes_a_place_serves_those_who_wait_for_one() {
    type Make = fn(&Shelf, crate::Held);
    let ways: [Make; 4] = [
        |_, held| drop(held),
        |shelf, held| {
            shelf.remove(&A);
            drop(held);
        },
        |shelf, held| {
            let clone = held.clone();
            drop(held);
            shelf.clear();
            drop(clone);
        },
        |shelf, held| {
            held.set_weight(1001);
            assert_eq!(shelf.stats().detached, 1);
            drop(held);
        },
    ];
    within(30, || {
        for make in ways {
            let shelf = Shelf::new(|builder| {
                let builder = builder.max_open(1).when_full(WhenFull::Wait(seconds(1000)));
                builder.max_weight(1000).weigher(|_, _| 1)
            });
            let served = Mutex::new(Vec::new());
            let held = shelf.open(A);
            thread::scope(|scope| {
                let thread = queue(scope, &shelf, &served, B);
                make(&shelf, held);
                thread.join().unwrap().unwrap();
            });
            // (`clear` has taken out the other one as well.)
            assert_eq!(shelf.closed()[0].0, A);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn an_opening_that_fails_or_panics_makes_a_place_for_who_waits() {
    within(20, || {
        for panics in [false, true] {
            let shelf = with_room(1, WhenFull::Wait(seconds(1000)));
            let served = Mutex::new(Vec::new());
            thread::scope(|scope| {
                let mut waiter = None;
                let mut opening = || {
                    shelf.get_or_open(A, |_| -> Result<_, ()> {
                        waiter = Some(queue(scope, &shelf, &served, B));
                        if panics { crate::shelf::throw() } else { Err(()) }
                    })
                };
                assert_eq!(crate::shelf::throws(|| assert!(opening().is_err())), panics);
                waiter.unwrap().join().unwrap().unwrap();
            });
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn those_who_want_the_reader_of_one_who_waits_for_a_place_share_what_comes_of_it() {
    within(20, || {
        for in_time in [true, false] {
            let time = if in_time { seconds(1000) } else { Duration::from_millis(100) };
            let shelf = with_room(1, WhenFull::Wait(time));
            let held = shelf.open(A);
            thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..3).map(|_| scope.spawn(|| shelf.try_open(B).map(|_| ()))).collect();
                // Who comes too late for the others waits for a time of his own.
                if in_time {
                    until(|| shelf.stats().joined_opens == 2);
                    drop(held);
                }
                for thread in threads {
                    let opened = thread.join().unwrap();
                    assert!(if in_time {
                        opened.is_ok()
                    } else {
                        matches!(opened, Err(OpenError::Full))
                    });
                }
            });
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn nobody_who_comes_later_overtakes_those_who_wait() {
    within(20, || {
        let book = Book::new(100);
        let gate = Arc::new(Gate::default());
        let door = Arc::clone(&gate);
        // Closing takes its time, so there is a moment in which somebody waits, and nobody uses
        // a reader.
        let builder = closing(&book, move |reader, _| {
            if reader.key == A {
                door.pass();
            }
        });
        let builder = builder.max_open(1).when_full(WhenFull::Wait(seconds(1000)));
        let shelf = Shelf::of(&book, builder);
        let served = Mutex::new(Vec::new());
        let held = shelf.open(A);
        thread::scope(|scope| {
            let _open = gate.open_at_end();
            let first = queue(scope, &shelf, &served, B);
            scope.spawn(|| drop(held));
            gate.wait_for(1);
            let second = queue(scope, &shelf, &served, D);
            gate.open();
            first.join().unwrap().unwrap();
            second.join().unwrap().unwrap();
        });
        assert_eq!(*served.lock().unwrap(), [B, D]);
        shelf.assert_adds_up();
    });
}

/// Counts the readers that are open, and the most that ever were.
#[derive(Default)]
struct Gauge {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Gauge {
    fn up(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
    }

    fn down(&self) {
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn there_are_never_more_open_than_may_be_if_the_limit_is_not_to_be_exceeded() {
    within(60, || {
        for when_full in [WhenFull::Fail, WhenFull::Wait(seconds(1000))] {
            let gauge = Arc::new(Gauge::default());
            let closing = Arc::clone(&gauge);
            let cache = ReaderCache::builder()
                .max_open(3)
                .when_full(when_full)
                .on_close(move |_: &u64, (), _| closing.down())
                .hasher(Hashers::Constant)
                .build()
                .unwrap();
            together(6, |thread| {
                let mut random = Random::new(thread as u64);
                for _ in 0..300 {
                    let key = random.below(8);
                    let opened = cache.get_or_open(key, |_| {
                        gauge.up();
                        thread::yield_now();
                        Ok::<_, Infallible>(())
                    });
                    match opened {
                        Ok(held) => {
                            thread::yield_now();
                            if random.below(4) == 0 {
                                cache.remove(&key);
                            }
                            drop(held);
                        }
                        Err(error) => {
                            assert!(matches!(error, OpenError::Full) && when_full == WhenFull::Fail)
                        }
                    }
                }
            });
            let most = gauge.most.load(Ordering::SeqCst);
            assert!((2..=3).contains(&most), "{most} with {when_full:?}");
            let stats = cache.stats();
            assert_eq!(gauge.now.load(Ordering::SeqCst) as u64, stats.open);
            assert!(stats.open <= 3 && stats.waiting == 0 && stats.opening == 0);
        }
    });
}

#[test]
fn the_search_for_a_victim_is_bounded_even_if_all_are_in_use() {
    const MANY: u64 = 20_000;

    within(60, || {
        let build = |when_full| {
            let builder = ReaderCache::builder().max_open(MANY as usize).when_full(when_full);
            builder.hasher(Hashers::Good(1)).build().unwrap()
        };
        let open = |cache: &ReaderCache<u64, (), Hashers>, key| {
            cache.get_or_open(key, |_| Ok::<_, Infallible>(()))
        };
        let exceeding = build(WhenFull::Exceed);
        let held: Vec<_> = (0..MANY).map(|key| open(&exceeding, key).unwrap()).collect();
        // A search that visits all would visit 400 million.
        let (more, took): (Vec<_>, _) =
            timed(|| (MANY..2 * MANY).map(|key| open(&exceeding, key).unwrap()).collect());
        assert!(took < seconds(10), "{took:?}");
        let ((), took) = timed(|| drop((held, more)));
        assert!(took < seconds(10), "{took:?}");
        assert_eq!(exceeding.len(), MANY as usize);

        let failing = build(WhenFull::Fail);
        let held: Vec<_> = (0..MANY).map(|key| open(&failing, key).unwrap()).collect();
        let (refused, took) = timed(|| (MANY..2 * MANY).all(|key| open(&failing, key).is_err()));
        assert!(refused && took < seconds(10), "{took:?}");
        drop(held);
    });
}

#[test]
fn one_idle_reader_among_many_in_use_is_found_to_be_closed() {
    let shelf = with_room(200, WhenFull::Fail);
    let held: Vec<_> = (0..199).map(|key| shelf.open(key)).collect();
    for key in 1000..1100 {
        shelf.open_idle([key]);
    }
    assert_eq!(shelf.closed().len(), 99);
    // Also one that has been in use for long.
    let released = held.into_iter().skip(1).collect::<Vec<_>>();
    let last = shelf.open(2000);
    drop(shelf.open(2001));
    let closed: BTreeSet<_> = shelf.closed().iter().map(|(key, _)| *key).collect();
    assert_eq!(closed, BTreeSet::from([0, 1099]));
    drop((last, released));
    shelf.assert_adds_up();
}

#[test]
fn openings_within_openings_count_against_the_limit() {
    within(20, || {
        let inner_of = |when_full| {
            let shelf = with_room(1, when_full);
            let mut inner = None;
            let outer = shelf.get_or_open(A, |key| {
                inner = Some(shelf.try_open(B).map(|held| held.read()));
                Ok::<_, Infallible>(shelf.reader(*key))
            });
            assert_eq!(outer.unwrap().read(), A);
            shelf.assert_adds_up();
            inner.unwrap()
        };
        assert!(matches!(inner_of(WhenFull::Exceed), Ok(B)));
        assert!(matches!(inner_of(WhenFull::Fail), Err(OpenError::Full)));
        let brief = WhenFull::Wait(Duration::from_millis(30));
        assert!(matches!(inner_of(brief), Err(OpenError::Full)));
    });
}

#[test]
fn who_waits_for_a_place_has_the_first_of_many_that_are_closed_one_after_another() {
    within(60, || {
        let soon = |is_so: &dyn Fn() -> bool| {
            (0..5_000).any(|_| {
                thread::sleep(Duration::from_millis(2));
                is_so()
            })
        };
        // Of two idle readers, the first is closed when somebody waits, the second when he has got his.
        let opened = Arc::new(AtomicUsize::new(0));
        let (number, seen) = (AtomicUsize::new(0), Arc::clone(&opened));
        let (began, has_begun) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let may_go_on = Mutex::new(may_go_on);
        let cache: ReaderCache<u64, u64> = ReaderCache::builder()
            .max_open(2)
            .when_full(WhenFull::Wait(seconds(20)))
            .on_close(move |_, _, _| match number.fetch_add(1, Ordering::SeqCst) {
                0 => {
                    began.send(()).unwrap();
                    may_go_on.lock().unwrap().recv().unwrap();
                }
                1 => assert!(soon(&|| seen.load(Ordering::SeqCst) == 1)),
                _ => {}
            })
            .build()
            .unwrap();
        let open = |key: u64| cache.get_or_open(key, |key| Ok::<_, Infallible>(*key));
        drop((open(A).unwrap(), open(B).unwrap()));
        thread::scope(|scope| {
            let clears = scope.spawn(|| cache.clear());
            has_begun.recv().unwrap();
            let waits = scope.spawn(|| {
                assert_eq!(*open(D).unwrap(), D);
                opened.fetch_add(1, Ordering::SeqCst);
            });
            assert!(soon(&|| cache.stats().waiting == 1));
            go_on.send(()).unwrap();
            waits.join().unwrap();
            assert_eq!(clears.join().unwrap().closed, 2);
        });
        assert_eq!(cache.stats().close_panics, 0, "nobody had the place");
    });
}
