//! More of what the cache did and should not have done.

use std::{
    convert::Infallible,
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use binlock::readers::{CloseCause, OpenError, WhenFull};
use futures::channel::oneshot;

use crate::{
    A, B, D,
    common::{Gate, Hashers, together, within},
    shelf::{Book, Clock, Known, Shelf, closing, seconds, until},
    task::{Task, block_on},
};

/// Two handles that are dropped at once both see that they are not the last one, and neither
/// notes the time (`Inner::release` looks at `holders() == 1` before it releases): a reader that
/// was in use until just now has been idle for ever.
#[test]
fn the_idle_time_begins_when_two_threads_drop_the_last_two_handles_at_once() {
    // A time that is not noted is nothing that sanitizers see, for whom each round takes longer.
    let rounds = if cfg!(binlock_no_spare) { 2_000 } else { 20_000 };
    within(120, || {
        let mut lost = 0;
        // On a busy machine, two threads may take long to start.
        let end = Instant::now() + Duration::from_secs(20);
        for _ in (0..rounds).take_while(|round| *round < 100 || Instant::now() < end) {
            let clock = Clock::default();
            let shelf = Shelf::new(|builder| builder.time_to_idle(seconds(10)).clock(clock.hook()));
            let held = Mutex::new(vec![shelf.open(A), shelf.open(A)]);
            clock.advance(1000);
            together(2, |_| {
                let own = held.lock().unwrap().pop();
                drop(own);
            });
            lost += usize::from(!shelf.contains_key(&A));
        }
        assert_eq!(lost, 0, "readers that were in use until just now have expired");
    });
}

/// `on_close` of what is evicted opens another reader, for which another one is evicted, and so on:
/// one miss closed all there was, in as many frames.
#[test]
fn openings_in_the_closing_of_what_is_evicted_do_not_evict_without_end() {
    const READERS: u64 = 2_000;
    within(60, || {
        for when_full in [WhenFull::Exceed, WhenFull::Fail, WhenFull::Wait(seconds(1000))] {
            let (book, known) = (Book::new(10_000), Known::default());
            let (cache, theirs) = (known.cache(), Arc::clone(&book));
            let builder = closing(&book, move |reader, _| {
                // What belongs to a reader is written to another one when it is closed.
                if reader.key < READERS + 1 {
                    let Some(cache) = cache() else { return };
                    let open = |key: &u64| Ok::<_, Infallible>(theirs.reader(*key));
                    match cache.get_or_open(reader.key + 10_000, open) {
                        Ok(held) => assert_eq!(held.read(), reader.key + 10_000),
                        Err(error) => assert!(matches!(error, OpenError::Full), "{error}"),
                    }
                }
            });
            let builder = builder.max_open(READERS as usize).when_full(when_full);
            let shelf = Shelf { cache: builder.hasher(Hashers::Good(1)).build().unwrap(), book };
            known.set(&shelf.cache);
            shelf.open_idle(0..READERS);
            drop(shelf.open(READERS));
            let closed = shelf.closed().len();
            assert!(closed < 200, "{closed} readers have been closed for one");
            assert!(shelf.stats().open <= READERS, "{:?}", shelf.stats());
            shelf.assert_adds_up();
        }
    });
}

/// Who came into a queue evicted nothing, as those who wait are served when something is released: but what
/// was idle had been when there were fewer who waited than readers on their way out.
#[test]
fn who_comes_to_wait_for_a_place_evicts_what_has_been_left_alone_for_fewer() {
    within(30, || {
        let gate = Arc::new(Gate::default());
        let (book, slow) = (Book::new(100), Arc::clone(&gate));
        let builder = closing(&book, move |reader, _| {
            if reader.key == A {
                slow.pass();
            }
        });
        let builder = builder.max_open(2).when_full(WhenFull::Wait(seconds(1000)));
        let shelf = Shelf::of(&book, builder);
        let (a, b) = (shelf.open(A), shelf.open(B));
        thread::scope(|scope| {
            let _opened = gate.open_at_end();
            let first = scope.spawn(|| shelf.open_idle([10]));
            until(|| shelf.stats().waiting == 1);
            scope.spawn(|| drop(a));
            gate.wait_for(1);
            // That is for the first one, so this stays.
            drop(b);
            assert_eq!(shelf.keys(), [B].into());
            let second = scope.spawn(|| shelf.open_idle([11]));
            first.join().unwrap();
            assert!(!shelf.keys().contains(&B));
            gate.open();
            second.join().unwrap();
        });
        shelf.assert_adds_up();
    });
}

/// A reader that is being closed makes a place for somebody; but not while its closing waits for a place.
#[test]
fn nobody_counts_on_a_closing_that_waits_for_a_place_itself() {
    within(30, || {
        let (book, known) = (Book::new(100), Known::default());
        let (cache, theirs) = (known.cache(), Arc::clone(&book));
        let builder = closing(&book, move |reader, _| {
            if reader.key == A {
                let open = |key: &u64| Ok::<_, Infallible>(theirs.reader(*key));
                drop(cache().unwrap().get_or_open(D, open).unwrap());
            }
        });
        let builder = builder.max_open(2).when_full(WhenFull::Wait(seconds(1000)));
        let shelf = Shelf::of(&book, builder);
        known.set(&shelf.cache);
        let (a, b) = (shelf.open(A), shelf.open(B));
        thread::scope(|scope| {
            let first = scope.spawn(|| shelf.open(10));
            until(|| shelf.stats().waiting == 1);
            // For the first one; but its closing wants a place, too.
            let closing = scope.spawn(|| drop(a));
            until(|| shelf.stats().waiting == 2);
            drop(b);
            let ten = first.join().unwrap();
            drop(ten);
            closing.join().unwrap();
        });
        shelf.assert_adds_up();
    });
}

/// The entry of an opening that failed waits in the map's garbage, and had the error until it was freed.
#[test]
fn an_error_is_dropped_with_what_all_have_got_of_it() {
    within(30, || {
        let shelf = Shelf::with_room(1);
        let token = Arc::new(());
        let error = shelf.get_or_open(A, |_| Err(Arc::clone(&token))).unwrap_err();
        assert_eq!(Arc::strong_count(&token), 2);
        drop(error);
        assert_eq!(Arc::strong_count(&token), 1);

        // One that keeps the only place taken.
        let error = shelf.get_or_open(A, |_| Err(shelf.open(B))).unwrap_err();
        drop(error);
        assert_eq!(shelf.stats().in_use, 0);

        let (tell, told) = oneshot::channel::<()>();
        let theirs = Arc::clone(&token);
        let open = async move {
            told.await.unwrap();
            Err(theirs)
        };
        let mut first = Task::new(shelf.get_or_open_async(A, open));
        let waits = async { shelf.get_or_open_async(A, pending::<Result<_, Arc<()>>>()).await };
        let mut second = Task::new(waits);
        assert!(first.poll().is_none() && second.poll().is_none());
        tell.send(()).unwrap();
        assert!(first.poll().is_some_and(|opened| opened.is_err()));
        assert!(second.poll().is_some_and(|opened| opened.is_err()));
        drop((first, second));
        assert_eq!(Arc::strong_count(&token), 1);
    });
}

/// Thousands may have expired, whose closing takes its time: nobody waits for that who wants the reader.
#[test]
fn what_has_expired_is_closed_when_the_reader_is_open_that_somebody_wanted() {
    within(30, || {
        let (book, known, clock) = (Book::new(100), Known::default(), Clock::default());
        let (cache, seen) = (known.cache(), Arc::new(Mutex::new(Vec::new())));
        let (theirs, wanted) = (Arc::clone(&seen), Arc::new(AtomicU64::new(10)));
        let key = Arc::clone(&wanted);
        let builder = closing(&book, move |_, cause| {
            if cause == CloseCause::Expired {
                let is_there = cache().unwrap().contains_key(&key.load(Ordering::Relaxed));
                theirs.lock().unwrap().push(is_there);
            }
        });
        let builder = builder.time_to_live(seconds(10)).clock(clock.hook());
        let shelf = Shelf::of(&book, builder);
        known.set(&shelf.cache);
        shelf.open_idle([A, B]);
        clock.advance(10);
        drop(shelf.open(10));
        assert_eq!(*seen.lock().unwrap(), [true; 2]);
        clock.advance(10);
        wanted.store(11, Ordering::Relaxed);
        drop(block_on(shelf.open_async(11)));
        assert_eq!(*seen.lock().unwrap(), [true; 3]);
        shelf.assert_adds_up();
    });
}

/// The same where the thread has taken out several, and closes one after another.
#[test]
fn nobody_counts_on_closings_behind_one_that_waits_for_a_place() {
    for is_task in [false, true] {
        within(30, || {
            let (book, known, clock) = (Book::new(100), Known::default(), Clock::default());
            let (cache, theirs) = (known.cache(), Arc::clone(&book));
            let builder = closing(&book, move |_, cause| {
                if cause != CloseCause::Expired {
                    return;
                }
                let cache = cache().unwrap();
                if !cache.contains_key(&D) {
                    let reader = theirs.reader(D);
                    let opened = match is_task {
                        true => block_on(cache.get_or_open_async(D, async { Ok::<_, ()>(reader) })),
                        false => cache.get_or_open(D, |_| Ok(reader)),
                    };
                    assert_eq!(opened.unwrap().read(), D);
                }
            });
            let builder = builder.max_open(4).when_full(WhenFull::Wait(seconds(1000)));
            let shelf = Shelf::of(&book, builder.time_to_live(seconds(10)).clock(clock.hook()));
            known.set(&shelf.cache);
            shelf.open_idle([A, B, 10]);
            clock.advance(5);
            let live = shelf.open(11);
            clock.advance(5);
            thread::scope(|scope| {
                scope.spawn(|| shelf.run_pending());
                until(|| shelf.stats().waiting == 1);
                drop(live);
            });
            let left: Vec<_> = shelf.closed().into_iter().filter(|(key, _)| *key == 11).collect();
            assert_eq!(left, [(11, CloseCause::MaxOpen)]);
            shelf.assert_adds_up();
        });
    }
}

/// Readers that are looked at and kept are held no longer than that.
#[test]
fn a_retention_holds_one_reader_at_a_time() {
    within(30, || {
        for with_times in [false, true] {
            let shelf = Shelf::new(|builder| match with_times {
                true => builder.time_to_idle(seconds(1000)),
                false => builder,
            });
            shelf.open_idle(0..20);
            let mut seen = 0;
            shelf.retain(|_, _| {
                assert_eq!(shelf.stats().in_use, 1);
                seen += 1;
                true
            });
            assert_eq!(seen, 20);
            shelf.assert_adds_up();
        }
    });
}

/// What is opened in the closing of what has expired swept in turn, and closed more, and so on.
#[test]
fn a_sweep_in_which_readers_are_opened_is_one_sweep() {
    within(30, || {
        let (book, known, clock) = (Book::new(1_000), Known::default(), Clock::default());
        let (cache, theirs, time) = (known.cache(), Arc::clone(&book), clock.clone());
        let next = AtomicU64::new(1_000);
        let depths = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let noted = Arc::clone(&depths);
        let builder = closing(&book, move |_, cause| {
            let Some(cache) = cache().filter(|_| cause == CloseCause::Expired) else { return };
            let [now, most] = &*noted;
            let depth = now.fetch_add(1, Ordering::Relaxed) + 1;
            most.fetch_max(depth, Ordering::Relaxed);
            for seconds in [0, 25] {
                // It would go on without an end.
                if depth < 100 {
                    time.advance(seconds);
                    let key = next.fetch_add(1, Ordering::Relaxed);
                    drop(cache.get_or_open(key, |key| Ok::<_, Infallible>(theirs.reader(*key))));
                }
            }
            now.fetch_sub(1, Ordering::Relaxed);
        });
        let shelf = Shelf::of(&book, builder.time_to_live(seconds(100)).clock(clock.hook()));
        known.set(&shelf.cache);
        for key in 0..4 {
            shelf.open_idle([key]);
            clock.advance(25);
        }
        shelf.open_idle([100]);
        assert_eq!(depths[1].load(Ordering::Relaxed), 1, "closings within one another");
        shelf.assert_adds_up();
    });
}
