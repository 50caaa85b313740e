//! Futures whose drop does something: it uses the cache, or panics.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use binlock::readers::{BoxFuture, WhenFull};

use crate::{
    A, B, D,
    asynchronous::{asks, never, when_told},
    common::within,
    loading::Refused,
    shelf::{Book, Clock, Reader, Shelf, builder, seconds, throw, throws},
    task::Task,
};

/// A future whose drop does something.
struct Dropped<F, G: FnMut()>(Pin<Box<F>>, G);

impl<F, G: FnMut()> Drop for Dropped<F, G> {
    fn drop(&mut self) {
        (self.1)();
    }
}

impl<F: Future, G: FnMut() + Unpin> Future for Dropped<F, G> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(context)
    }
}

#[test]
fn a_future_may_use_the_cache_when_it_is_dropped() {
    within(30, || {
        for is_cancelled in [false, true] {
            let shelf = Shelf::with_room(3);
            let found = Arc::new(Mutex::new(Vec::new()));
            let (tell, open) = when_told(&shelf, A);
            let (inner, noted) = (shelf.clone(), Arc::clone(&found));
            let open = Dropped(Box::pin(open), move || {
                noted.lock().unwrap().push(inner.try_open(A).is_ok());
                noted.lock().unwrap().push(inner.try_open(B).is_ok());
                inner.remove(&B);
            });
            let mut task = Task::new(shelf.get_or_open_async(A, open));
            assert!(task.poll().is_none());
            if is_cancelled {
                drop(task);
            } else {
                tell.send(()).unwrap();
                assert_eq!(task.poll().unwrap().unwrap().read(), A);
            }
            // When it is cancelled, its key is free by then; when it is ready, it is still its own.
            assert_eq!(*found.lock().unwrap(), [is_cancelled, true]);
            assert!(shelf.contains_key(&A));
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_future_that_panics_when_it_is_dropped_unfinished_harms_nobody() {
    within(30, || {
        let shelf = Shelf::with_room(1);
        let open = Dropped(Box::pin(never_ready()), || throw());
        let mut first = Task::new(shelf.get_or_open_async(A, open));
        assert!(first.poll().is_none());
        throws(|| drop(first));
        assert_eq!((shelf.len(), shelf.stats().opening), (0, 0));
        assert_eq!(shelf.open(A).number, 0);
        // Nor does one that is not needed.
        let open = Dropped(Box::pin(never()), || throw());
        let mut task = Task::new(shelf.get_or_open_async(A, open));
        throws(|| task.poll());
        drop(task);
        assert_eq!(shelf.stats().in_use, 0);
        shelf.assert_adds_up();
    });
}

pub async fn never_ready() -> Result<Reader, Infallible> {
    std::future::pending().await
}

#[test]
fn a_future_that_panics_when_it_is_dropped_ready_fails_and_its_reader_is_closed() {
    within(30, || {
        let shelf = Shelf::with_room(1);
        let (tell, open) = when_told(&shelf, A);
        let open = Dropped(Box::pin(open), || throw());
        let mut first = Task::new(shelf.get_or_open_async(A, open));
        let mut second = asks(&shelf, A, 0);
        assert!(first.poll().is_none() && second.poll().is_none());
        tell.send(()).unwrap();
        let mut opened = None;
        let thrown = throws(|| opened = first.poll());
        // Either it is a panic of the future, or it is not, and the reader is there.
        assert_eq!(thrown, opened.is_none());
        assert!(second.is_woken());
        second.poll().unwrap().unwrap().read();
        drop((first, second, opened));
        assert_eq!(shelf.stats().opening, 0);
        shelf.clear();
        shelf.book.assert_all_closed();
    });
}

#[test]
fn so_is_the_reader_of_a_loader_whose_future_panics_then() {
    within(30, || {
        let (book, clock) = (Book::new(10), Clock::default());
        let own = Arc::clone(&book);
        let load = move |key: &u64| {
            let reader = own.reader(*key);
            Dropped(Box::pin(async move { Ok::<_, Refused>(reader) }), || throw())
        };
        let with = builder(&book).async_loader(load).clock(clock.hook());
        let shelf = Shelf::of(&book, with.refresh_after_write(seconds(10)));
        // And when it is opened anew.
        for _ in 0..2 {
            let mut opened = None;
            let thrown = throws(|| opened = Task::new(shelf.get_or_load_async(&A)).poll());
            assert_eq!(thrown, opened.is_none());
            drop(opened);
            clock.advance(10);
        }
        assert_eq!(shelf.stats().opening, 0);
        shelf.clear();
        shelf.assert_adds_up();
        shelf.book.assert_all_closed();
    });
}

#[test]
fn a_timer_that_panics_when_it_is_dropped_does_not_take_a_place_with_it() {
    within(30, || {
        let timer = |_| {
            let timer = Dropped(Box::pin(std::future::pending::<()>()), || throw());
            Box::pin(timer) as BoxFuture<()>
        };
        let wait = WhenFull::Wait(seconds(1000));
        let shelf = Shelf::new(|it| it.max_open(1).when_full(wait).sleep_with(timer));
        let held = shelf.open(B);
        let mut task = asks(&shelf, A, 0);
        assert!(task.poll().is_none());
        drop(held);
        throws(|| task.poll());
        throws(|| drop(task));
        shelf.assert_adds_up();
        assert!(shelf.try_open(D).is_ok());
    });
}
