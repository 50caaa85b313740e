//! Readers that the cache opens by futures of its own loader, and opens anew when they are old.

use std::{
    convert::Infallible,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
};

use binlock::readers::{BoxFuture, Builder, CloseCause, LoadError, Loading, OpenError, WhenFull};
use futures::{
    channel::oneshot::{self, Sender},
    future::join,
};

use crate::{
    A, B, Held, Opened,
    common::{Random, within},
    shelf::{Book, Clock, Reader, Shelf, builder, seconds, throw, throws},
    task::{Task, block_on, on_tokio, turns},
};

/// What a load is told to do.
enum Say {
    Open,
    Fail,
    Panic,
}

/// A cache whose loads do what they are told to, in the order of their beginning. Readers are
/// old after ten seconds.
struct Desk {
    shelf: Shelf,
    clock: Clock,
    loads: Arc<Mutex<Vec<Sender<Say>>>>,
    spawned: Arc<Mutex<Vec<BoxFuture<()>>>>,
}

impl Desk {
    fn new(spawns: bool, with: impl FnOnce(Builder<u64, Reader>) -> Builder<u64, Reader>) -> Desk {
        let (book, clock) = (Book::new(1000), Clock::default());
        let (loads, spawned) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let (theirs, opens) = (Arc::clone(&loads), Arc::clone(&book));
        let load = move |key: &u64| {
            let (tell, told) = oneshot::channel();
            theirs.lock().unwrap().push(tell);
            let (key, book) = (*key, Arc::clone(&opens));
            async move {
                match told.await.unwrap() {
                    Say::Open => Ok(book.reader(key)),
                    Say::Fail => Err("no such object"),
                    Say::Panic => throw(),
                }
            }
        };
        let mut builder = with(builder(&book))
            .async_loader(load)
            .refresh_after_write(seconds(10))
            .clock(clock.hook());
        if spawns {
            let theirs = Arc::clone(&spawned);
            builder = builder.spawn_with(move |future| theirs.lock().unwrap().push(future));
        }
        Desk { shelf: Shelf::of(&book, builder), clock, loads, spawned }
    }

    fn ask(&self, key: u64) -> Task<'static, Opened<Loading>> {
        let cache = self.shelf.cache.clone();
        Task::new(async move { cache.get_or_load_async(&key).await })
    }

    fn loads(&self) -> usize {
        self.loads.lock().unwrap().len()
    }

    /// Tells the load that began first, and was not told yet.
    fn say(&self, say: Say) {
        let _ = self.loads.lock().unwrap().remove(0).send(say);
    }

    /// The key's first reader, which is old by now.
    fn open_and_wait(&self, key: u64) -> Held {
        let mut task = self.ask(key);
        assert!(task.poll().is_none());
        self.say(Say::Open);
        let held = task.poll().unwrap().unwrap();
        self.clock.advance(10);
        held
    }

    /// What is spawned, as a task.
    fn spawned(&self) -> Task<'static, ()> {
        Task::new(self.spawned.lock().unwrap().remove(0))
    }

    fn number(&self, key: u64) -> usize {
        self.shelf.get(&key).unwrap().number
    }
}

#[test]
fn a_loader_opens_one_reader_for_all_who_ask_for_the_key() {
    let desk = Desk::new(false, |builder| builder.max_open(1));
    let mut tasks = [desk.ask(A), desk.ask(A), desk.ask(A)];
    assert!(tasks.iter_mut().all(|task| task.poll().is_none()));
    // Each has called the loader, whose other futures are not polled.
    desk.say(Say::Open);
    for task in &mut tasks {
        assert!(task.is_woken());
        assert_eq!(task.poll().unwrap().unwrap().read(), A);
    }
    assert_eq!(desk.shelf.stats().opened, 1);
    // And it is there from now on, and not loaded.
    let before = desk.loads();
    assert_eq!(desk.ask(A).poll().unwrap().unwrap().number, 0);
    assert_eq!(desk.loads(), before);
    desk.shelf.assert_adds_up();
}

#[test]
fn the_error_of_a_loader_is_shared_and_forgotten() {
    let desk = Desk::new(false, |builder| builder.max_open(1));
    let mut tasks = [desk.ask(A), desk.ask(A)];
    assert!(tasks.iter_mut().all(|task| task.poll().is_none()));
    desk.say(Say::Fail);
    let errors = tasks.each_mut().map(|task| match task.poll() {
        Some(Err(OpenError::Failed(error))) => error,
        _ => panic!("it has not failed"),
    });
    assert!(Arc::ptr_eq(&errors[0], &errors[1]));
    assert_eq!(errors[0].to_string(), "no such object");
    desk.loads.lock().unwrap().clear();
    drop(desk.open_and_wait(A));
    desk.shelf.assert_adds_up();
}

#[test]
fn an_old_reader_serves_the_others_while_the_one_who_noticed_opens_it_anew() {
    let desk = Desk::new(false, |builder| builder.max_open(2));
    let old = desk.open_and_wait(A);
    let mut first = desk.ask(A);
    assert!(first.poll().is_none());
    let mut second = desk.ask(A);
    assert_eq!(second.poll().unwrap().unwrap().number, 0);
    assert_eq!((desk.loads(), desk.shelf.stats().opening), (1, 1));
    desk.say(Say::Open);
    assert!(first.is_woken());
    assert_eq!(first.poll().unwrap().unwrap().number, 1);
    assert_eq!((desk.number(A), old.is_detached(), old.read()), (1, true, A));
    assert_eq!(desk.shelf.closed(), []);
    drop(old);
    assert_eq!(desk.shelf.closed(), [(A, CloseCause::Refreshed)]);
    // The new one is not old.
    assert_eq!(desk.ask(A).poll().unwrap().unwrap().number, 1);
    assert_eq!((desk.loads(), desk.shelf.len()), (0, 1));
    desk.shelf.assert_adds_up();
}

#[test]
fn with_a_spawner_all_are_served_by_the_old_reader_until_the_new_one_is_there() {
    let desk = Desk::new(true, |builder| builder.max_open(2));
    drop(desk.open_and_wait(A));
    for _ in 0..3 {
        assert_eq!(desk.ask(A).poll().unwrap().unwrap().number, 0);
    }
    assert_eq!((desk.loads(), desk.spawned.lock().unwrap().len()), (1, 1));
    let mut spawned = desk.spawned();
    assert!(spawned.poll().is_none());
    assert_eq!(desk.ask(A).poll().unwrap().unwrap().number, 0);
    desk.say(Say::Open);
    assert!(spawned.is_woken());
    assert_eq!(desk.shelf.closed(), []);
    spawned.poll().unwrap();
    assert_eq!(desk.number(A), 1);
    assert_eq!(desk.shelf.closed(), [(A, CloseCause::Refreshed)]);
    desk.shelf.assert_adds_up();
}

#[test]
fn when_opening_anew_fails_the_old_reader_stays_and_it_is_tried_again_after_the_same_time() {
    for spawns in [false, true] {
        let desk = Desk::new(spawns, |builder| builder);
        drop(desk.open_and_wait(A));
        for round in 1..4 {
            let mut task = desk.ask(A);
            let polled = task.poll();
            desk.say(Say::Fail);
            if spawns {
                assert!(polled.is_some());
                desk.spawned().poll().unwrap();
            } else {
                assert_eq!(task.poll().unwrap().unwrap().number, 0);
            }
            assert_eq!(desk.shelf.stats().failed_opens, round);
            desk.clock.advance(9);
            assert_eq!(desk.ask(A).poll().unwrap().unwrap().number, 0);
            assert_eq!(desk.loads(), 0);
            desk.clock.advance(1);
        }
        desk.shelf.assert_adds_up();
    }
}

#[test]
fn when_opening_anew_is_cancelled_the_old_reader_stays_and_the_place_is_given_back() {
    for spawns in [false, true] {
        for polls in 0..2 {
            let desk = Desk::new(spawns, |builder| builder.max_open(2).when_full(WhenFull::Fail));
            drop(desk.open_and_wait(A));
            let mut task = desk.ask(A);
            if spawns {
                assert!(task.poll().is_some());
                let mut spawned = desk.spawned();
                assert!((0..polls).all(|_| spawned.poll().is_none()));
            } else if polls > 0 {
                assert!(task.poll().is_none());
            }
            drop(task);
            assert_eq!((desk.shelf.stats().opening, desk.number(A)), (0, 0));
            assert_eq!(desk.shelf.open(B).read(), B);
            desk.loads.lock().unwrap().clear();
            // One more attempt can be made, after a while.
            desk.clock.advance(10);
            let mut task = desk.ask(A);
            let _ = task.poll();
            assert_eq!(desk.loads(), 1);
            desk.say(Say::Open);
            if spawns {
                desk.spawned().poll().unwrap();
            } else {
                assert!(task.poll().is_some());
            }
            assert_ne!(desk.number(A), 0);
            desk.shelf.assert_adds_up();
        }
    }
}

#[test]
fn when_opening_anew_panics_the_old_reader_stays() {
    for spawns in [false, true] {
        let desk = Desk::new(spawns, |builder| builder);
        drop(desk.open_and_wait(A));
        let mut task = desk.ask(A);
        let polled = task.poll();
        desk.say(Say::Panic);
        if spawns {
            assert_eq!(polled.unwrap().unwrap().number, 0);
            let mut spawned = desk.spawned();
            assert!(throws(|| spawned.poll()));
        } else {
            assert!(throws(|| task.poll()));
        }
        assert_eq!((desk.number(A), desk.shelf.stats().opening), (0, 0));
        drop(desk.ask(A).poll().unwrap().unwrap());
        desk.shelf.assert_adds_up();
    }
}

#[test]
fn a_reader_that_was_taken_out_while_it_was_opened_anew_does_not_come_back() {
    for inserts in [false, true] {
        let desk = Desk::new(true, |builder| builder);
        drop(desk.open_and_wait(A));
        drop(desk.ask(A).poll().unwrap().unwrap());
        let mut spawned = desk.spawned();
        assert!(spawned.poll().is_none());
        if inserts {
            drop(desk.shelf.insert(A, desk.shelf.reader(A)).unwrap());
        } else {
            assert_eq!(desk.shelf.remove(&A).count(), 1);
        }
        desk.say(Say::Open);
        spawned.poll().unwrap();
        let found = desk.shelf.get(&A).map(|held| held.number);
        assert_eq!(found, inserts.then_some(1));
        assert_eq!(desk.shelf.stats().left(CloseCause::Discarded), 1);
        assert_eq!(desk.shelf.stats().open, u64::from(inserts));
        desk.shelf.assert_adds_up();
    }
}

#[test]
fn opening_anew_waits_for_no_place_because_the_old_reader_serves() {
    for when_full in [WhenFull::Fail, WhenFull::Wait(seconds(1000))] {
        let desk = Desk::new(false, |builder| builder.max_open(1).when_full(when_full));
        drop(desk.open_and_wait(A));
        let served = desk.ask(A).poll().expect("it waits").unwrap();
        assert_eq!((served.number, desk.loads(), desk.shelf.stats().waiting), (0, 0, 0));
        drop(served);
        desk.shelf.assert_adds_up();
    }
}

#[test]
fn a_cache_that_is_closed_while_a_reader_is_opened_anew_closes_both() {
    let desk = Desk::new(true, |builder| builder);
    drop(desk.open_and_wait(A));
    drop(desk.ask(A).poll().unwrap().unwrap());
    let mut spawned = desk.spawned();
    assert!(spawned.poll().is_none());
    let mut closing = Task::new(desk.shelf.close_async(std::future::pending()));
    assert!(closing.poll().is_none());
    desk.say(Say::Open);
    spawned.poll().unwrap();
    assert!(closing.is_woken());
    assert!(closing.poll().unwrap().is_complete());
    assert!(matches!(desk.ask(A).poll(), Some(Err(OpenError::Closed))));
    drop(spawned);
    desk.shelf.assert_adds_up();
    desk.shelf.book.assert_all_closed();
}

#[test]
fn a_loader_may_ask_for_other_keys_and_is_refused_its_own() {
    within(60, || {
        on_tokio(|| async {
            let book = Book::new(100);
            // It is known to the loader by a slot, so that the cache can be dropped.
            let slot: Arc<Mutex<Option<Shelf>>> = Arc::default();
            let refused = Arc::new(AtomicBool::new(false));
            let (theirs, opens, noted) =
                (Arc::clone(&slot), Arc::clone(&book), Arc::clone(&refused));
            let load = move |key: &u64| {
                let (key, book) = (*key, Arc::clone(&opens));
                let (shelf, noted) = (theirs.lock().unwrap().clone().unwrap(), Arc::clone(&noted));
                async move {
                    turns(1).await;
                    if key > 0 {
                        // Boxed, because it is within itself.
                        let next: BoxFuture<Opened<Loading>> = {
                            let shelf = shelf.clone();
                            Box::pin(async move { shelf.get_or_load_async(&(key - 1)).await })
                        };
                        assert_eq!(next.await?.read(), key - 1);
                    }
                    let own: BoxFuture<Opened<Loading>> =
                        Box::pin(async move { shelf.get_or_load_async(&key).await });
                    let is_refused = matches!(own.await, Err(OpenError::Recursive(_)));
                    noted.fetch_or(is_refused, Ordering::Relaxed);
                    Ok::<_, LoadError>(book.reader(key))
                }
            };
            let shelf = Shelf::of(&book, builder(&book).async_loader(load));
            *slot.lock().unwrap() = Some(shelf.clone());
            let (one, same) = join(shelf.get_or_load_async(&9), shelf.get_or_load_async(&9)).await;
            assert_eq!((one.unwrap().read(), same.unwrap().read()), (9, 9));
            assert_eq!((shelf.stats().opened, refused.load(Ordering::Relaxed)), (10, true));
            slot.lock().unwrap().take();
            shelf.assert_adds_up();
        });
    });
}

#[test]
fn a_loader_that_opens_its_key_anew_may_use_the_old_reader() {
    let (book, clock) = (Book::new(100), Clock::default());
    let slot: Arc<Mutex<Option<Shelf>>> = Arc::default();
    let (theirs, opens) = (Arc::clone(&slot), Arc::clone(&book));
    let load = move |key: &u64| {
        let (key, book) = (*key, Arc::clone(&opens));
        let shelf = theirs.lock().unwrap().clone();
        async move {
            if let Some(shelf) = shelf {
                let own: BoxFuture<Opened<Loading>> =
                    Box::pin(async move { shelf.get_or_load_async(&key).await });
                assert_eq!(own.await.unwrap().number, 0);
            }
            Ok::<_, LoadError>(book.reader(key))
        }
    };
    let loading = builder(&book).async_loader(load).refresh_after_write(seconds(1));
    let shelf = Shelf::of(&book, loading.clock(clock.hook()));
    assert_eq!(block_on(shelf.get_or_load_async(&A)).unwrap().number, 0);
    *slot.lock().unwrap() = Some(shelf.clone());
    clock.advance(1);
    assert_eq!(block_on(shelf.get_or_load_async(&A)).unwrap().number, 1);
    slot.lock().unwrap().take();
    shelf.assert_adds_up();
}

#[test]
fn without_the_loader_that_it_needs_a_load_panics_with_a_hint() {
    let message = |f: &mut dyn FnMut()| {
        let payload = panic::catch_unwind(AssertUnwindSafe(f)).unwrap_err();
        payload.downcast_ref::<&str>().map(|text| text.to_string()).unwrap_or_default()
    };
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let shelf = Shelf::with_room(1);
    let none = message(&mut || drop(Task::new(shelf.get_or_load_async(&A)).poll()));
    let desk = Desk::new(false, |builder| builder);
    let blocking = message(&mut || drop(desk.shelf.get_or_load(&A)));
    panic::set_hook(hook);
    assert!(none.contains("`async_loader`"), "{none}");
    assert!(blocking.contains("`loader`"), "{blocking}");
}

#[test]
fn with_readers_opened_anew_at_all_times_each_is_opened_by_one_and_none_is_used_after_its_close() {
    const KEYS: usize = 4;
    within(120, || {
        let seed = AtomicUsize::new(0);
        on_tokio(|| {
            let seed = seed.fetch_add(1000, Ordering::Relaxed);
            async move {
                let (book, clock) = (Book::new(100_000), Clock::default());
                let loading: Arc<[AtomicUsize; KEYS]> = Arc::default();
                let (opens, now_loading) = (Arc::clone(&book), Arc::clone(&loading));
                let load = move |key: &u64| {
                    let (key, book, now) = (*key, Arc::clone(&opens), Arc::clone(&now_loading));
                    let mut left = 2;
                    // One future at a time is polled for each key, when nothing is cancelled.
                    std::future::poll_fn(move |context| {
                        if left == 2 {
                            assert_eq!(now[key as usize].fetch_add(1, Ordering::SeqCst), 0);
                        }
                        if left > 0 {
                            left -= 1;
                            context.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                        now[key as usize].fetch_sub(1, Ordering::SeqCst);
                        Poll::Ready(Ok::<_, Infallible>(book.reader(key)))
                    })
                };
                let builder = builder(&book).refresh_after_write(seconds(2)).clock(clock.hook());
                let builder = builder.async_loader(load);
                let shelf =
                    Shelf::of(&book, builder.spawn_with(|future| drop(tokio::spawn(future))));
                let tasks: Vec<_> = (0..8)
                    .map(|task| {
                        let (shelf, clock) = (shelf.clone(), clock.clone());
                        tokio::spawn(async move {
                            let mut random = Random::new((seed + task) as u64);
                            for _ in 0..100 {
                                let key = random.below(KEYS as u64);
                                let held = shelf.get_or_load_async(&key).await.unwrap();
                                tokio::task::yield_now().await;
                                assert_eq!(held.read(), key);
                                clock.advance(random.below(8) / 7);
                            }
                        })
                    })
                    .collect();
                for task in tasks {
                    task.await.unwrap();
                }
                // What was spawned comes to its end.
                while shelf.stats().opening > 0 {
                    tokio::task::yield_now().await;
                }
                until_quiet(&shelf).await;
                assert!(shelf.stats().left(CloseCause::Refreshed) > 0);
                assert_eq!(shelf.len(), KEYS);
                shelf.assert_adds_up();
                drop(shelf);
                book.assert_all_closed();
            }
        });
    });

    /// The last steps of what is spawned come after its place has been filled.
    async fn until_quiet(shelf: &Shelf) {
        while shelf.stats().detached + shelf.stats().in_use > 0 || shelf.stats().open > KEYS as u64
        {
            tokio::task::yield_now().await;
        }
    }
}
