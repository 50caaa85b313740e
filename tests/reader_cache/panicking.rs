//! Futures and weighers that panic: whom that reaches, and what becomes of the others.

use std::{
    convert::Infallible,
    panic::{self, AssertUnwindSafe},
    sync::Arc,
};

use futures::channel::oneshot;

use crate::{
    A, Opened,
    asynchronous::{asks, number, when_told},
    common::within,
    shelf::{Book, Reader, Shelf, builder, throw, throws},
    task::{Task, turns},
};

/// A future that panics at the poll after so many others.
async fn panics_after(polls: usize) -> Result<Reader, Infallible> {
    turns(polls).await;
    throw()
}

#[test]
fn the_panic_of_a_future_reaches_its_task_and_the_key_is_free() {
    within(30, || {
        for polls in 0..3 {
            let shelf = Shelf::with_room(1);
            let mut task = Task::new(shelf.get_or_open_async(A, panics_after(polls)));
            for _ in 0..polls {
                assert!(task.poll().is_none());
            }
            assert!(throws(|| task.poll()));
            let stats = shelf.stats();
            assert_eq!((shelf.len(), stats.opening, stats.failed_opens), (0, 0, 1));
            assert_eq!(shelf.open(A).number, 0);
            drop(task);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn the_panic_of_a_future_reaches_the_task_whose_it_is_whoever_polls_it() {
    within(30, || {
        for poller in 0..3 {
            let shelf = Shelf::with_room(1);
            let (tell, told) = oneshot::channel::<()>();
            let open = async move {
                told.await.unwrap();
                throw() as Result<Reader, Infallible>
            };
            let first = Task::new(shelf.get_or_open_async(A, open));
            let (second, third) = (asks(&shelf, A, 0), asks(&shelf, A, 0));
            let mut tasks = [first, second, third];
            assert!(tasks.iter_mut().all(|task| task.poll().is_none()));
            tell.send(()).unwrap();
            let mut opened = 0;
            for at in [poller, (poller + 1) % 3, (poller + 2) % 3] {
                assert!(tasks[at].is_woken());
                if at == 0 {
                    assert!(throws(|| tasks[at].poll()));
                } else {
                    // This one tries for itself, or the other one has opened it.
                    assert_eq!(number(&tasks[at].poll().unwrap()), 0);
                    opened += 1;
                }
            }
            assert_eq!((opened, shelf.stats().opened), (2, 1));
            drop(tasks);
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn the_panic_of_a_future_whose_task_is_gone_reaches_the_one_that_polls_it() {
    within(30, || {
        let shelf = Shelf::with_room(1);
        let (tell, told) = oneshot::channel::<()>();
        let open = async move {
            told.await.unwrap();
            throw() as Result<Reader, Infallible>
        };
        let mut first = Task::new(shelf.get_or_open_async(A, open));
        let (mut second, mut third) = (asks(&shelf, A, 0), asks(&shelf, A, 0));
        assert!(first.poll().is_none() && second.poll().is_none() && third.poll().is_none());
        drop(first);
        tell.send(()).unwrap();
        assert!(throws(|| second.poll()));
        assert!(third.is_woken());
        assert_eq!(number(&third.poll().unwrap()), 0);
        drop((second, third));
        shelf.assert_adds_up();
    });
}

#[test]
fn a_panic_that_its_task_has_not_come_for_is_dropped_with_the_task() {
    within(30, || {
        let shelf = Shelf::with_room(1);
        let payload = Arc::new(());
        let (tell, told) = oneshot::channel::<()>();
        let thrown = Arc::clone(&payload);
        let open = async move {
            told.await.unwrap();
            panic::resume_unwind(Box::new(thrown)) as Result<Reader, Infallible>
        };
        let mut first = Task::new(shelf.get_or_open_async(A, open));
        let mut second = asks(&shelf, A, 0);
        assert!(first.poll().is_none() && second.poll().is_none());
        tell.send(()).unwrap();
        assert_eq!(number(&second.poll().unwrap()), 0);
        assert_eq!(Arc::strong_count(&payload), 2);
        drop(first);
        assert_eq!(Arc::strong_count(&payload), 1);
        drop(second);
        shelf.assert_adds_up();
    });
}

#[test]
fn the_panic_of_a_weigher_reaches_the_task_whose_reader_it_is_and_the_others_try_for_themselves() {
    within(30, || {
        for poller in 0..2 {
            let book = Book::new(10);
            let weigher = |_: &u64, reader: &Reader| if reader.number == 0 { throw() } else { 1 };
            let shelf = Shelf::of(&book, builder(&book).weigher(weigher));
            let (tell, open) = when_told(&shelf, A);
            let first = Task::new(shelf.get_or_open_async(A, open));
            let mut tasks = [first, asks(&shelf, A, 0)];
            assert!(tasks.iter_mut().all(|task| task.poll().is_none()));
            tell.send(()).unwrap();
            for at in [poller, 1 - poller] {
                let mut opened = None;
                let thrown = panic::catch_unwind(AssertUnwindSafe(|| opened = tasks[at].poll()));
                let is_arranged = thrown.is_err_and(|payload| payload.is::<crate::shelf::Thrown>());
                let number = opened.flatten_number();
                let expected = if at == 0 { (true, None) } else { (false, Some(1)) };
                assert_eq!((is_arranged, number), expected, "task {at}, {poller} polled first");
            }
            drop(tasks);
            shelf.assert_adds_up();
        }
    });
}

trait Numbered {
    fn flatten_number(&self) -> Option<usize>;
}

impl Numbered for Option<Opened> {
    fn flatten_number(&self) -> Option<usize> {
        self.as_ref().map(number)
    }
}
