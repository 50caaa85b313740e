//! Wakers that panic, or do all sorts of things when they are called, and are called too often.

use std::{
    cell::Cell,
    convert::Infallible,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, RawWaker, RawWakerVTable, Waker},
};

use futures::future::join;

use crate::{
    A, Opened,
    asynchronous::{asks, joins, never, number, when_told},
    common::within,
    shelf::{Shelf, throw, throws},
    task::{Task, block_on},
};

/// When a waker does what it should not.
#[derive(Clone, Copy, PartialEq, Debug)]
enum On {
    Clone,
    Wake,
    Drop,
}

/// A waker that then does what [`arm`] says.
fn bomb(on: On) -> Waker {
    const fn table(on: On) -> RawWakerVTable {
        match on {
            On::Clone => RawWakerVTable::new(
                |_| {
                    strike();
                    raw(On::Clone)
                },
                |_| {},
                |_| {},
                |_| {},
            ),
            On::Wake => RawWakerVTable::new(|_| raw(On::Wake), |_| strike(), |_| strike(), |_| {}),
            On::Drop => RawWakerVTable::new(|_| raw(On::Drop), |_| {}, |_| {}, |_| strike()),
        }
    }
    fn raw(on: On) -> RawWaker {
        static TABLES: [RawWakerVTable; 3] = [table(On::Clone), table(On::Wake), table(On::Drop)];
        RawWaker::new(std::ptr::null(), &TABLES[on as usize])
    }
    // SAFETY: the functions have nothing to do with the pointer.
    unsafe { Waker::from_raw(raw(on)) }
}

thread_local! {
    static ARMED: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// The next time, this is done.
fn arm(strike: impl FnOnce() + 'static) {
    ARMED.set(Some(Box::new(strike)));
}

/// Whether it is still to be done. Now it is not any more.
fn disarm() -> bool {
    ARMED.take().is_some()
}

fn strike() {
    if let Some(strike) = ARMED.take() {
        strike();
    }
}

fn poll_with<T>(task: &mut Task<'_, T>, waker: &Waker) -> Poll<T> {
    task.future.as_mut().poll(&mut Context::from_waker(waker))
}

#[test]
fn a_waker_that_panics_keeps_nobody_from_the_reader() {
    within(30, || {
        for is_creator in [false, true] {
            let shelf = Shelf::with_room(1);
            let (tell, open) = when_told(&shelf, A);
            let mut first = Task::new(shelf.get_or_open_async(A, open));
            let mut second = joins(&shelf, A);
            let mut third = joins(&shelf, A);
            let waker = bomb(On::Wake);
            if is_creator {
                assert!(poll_with(&mut first, &waker).is_pending() && second.poll().is_none());
            } else {
                assert!(first.poll().is_none() && poll_with(&mut second, &waker).is_pending());
            }
            assert!(third.poll().is_none());
            arm(|| throw());
            tell.send(()).unwrap();
            assert!(!disarm(), "it has not been called");
            let other = if is_creator { &mut second } else { &mut first };
            assert!(third.is_woken() && other.is_woken());
            // And when it is called because the reader is there.
            arm(|| throw());
            assert_eq!((number(&third.poll().unwrap()), disarm()), (0, false));
            assert_eq!((number(&first.poll().unwrap()), number(&second.poll().unwrap())), (0, 0));
            drop((first, second, third));
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn a_waker_that_panics_when_it_is_cloned_or_dropped_leaves_the_key_free() {
    within(30, || {
        let mut struck = 0;
        for on in [On::Clone, On::Drop] {
            for polls in 0..3 {
                let shelf = Shelf::with_room(1);
                let (tell, open) = when_told(&shelf, A);
                let mut task = Task::new(shelf.get_or_open_async(A, open));
                let waker = bomb(on);
                for _ in 0..polls {
                    assert!(poll_with(&mut task, &waker).is_pending());
                }
                arm(|| throw());
                throws(|| poll_with(&mut task, &waker).is_pending());
                throws(|| drop(task));
                struck += usize::from(!disarm());
                assert_eq!(shelf.stats().opening, 0, "{on:?} after {polls}");
                assert!(tell.is_canceled(), "{on:?} after {polls}");
                // If this has to be waited for, nobody will ever get it.
                let mut next = asks(&shelf, A, 0);
                assert_eq!(
                    next.poll().map(|opened| number(&opened)),
                    Some(0),
                    "{on:?} after {polls}"
                );
                drop(next);
                shelf.assert_adds_up();
            }
        }
        // Not where there is nothing to clone or to drop.
        assert!(struck >= 4, "{struck}");
    });
}

#[test]
fn a_task_that_comes_and_goes_before_the_opener_is_aboard_does_not_end_the_opening() {
    within(30, || {
        let shelf = Shelf::with_room(1);
        let (tell, open) = when_told(&shelf, A);
        let mut first = Task::new(shelf.get_or_open_async(A, open));
        let mut other = joins(&shelf, A);
        // When the opener's waker is cloned it has begun, but nobody knows its waker.
        arm(move || {
            assert!(other.poll().is_none());
            drop(other);
        });
        assert!(poll_with(&mut first, &bomb(On::Clone)).is_pending());
        assert!(!disarm(), "it has not been cloned");
        tell.send(()).unwrap();
        assert_eq!(number(&first.poll().unwrap()), 0);
        drop(first);
        shelf.assert_adds_up();
    });
}

#[test]
fn a_future_that_wakes_all_who_wait_within_its_poll_is_polled_again() {
    within(30, || {
        let shelf = Shelf::with_room(1);
        let book = Arc::clone(&shelf.book);
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let open = poll_fn(move |context| {
            // By value and by reference, often.
            for _ in 0..3 {
                let waker = context.waker().clone();
                waker.wake_by_ref();
                waker.wake();
            }
            if counted.fetch_add(1, Ordering::Relaxed) < 5 {
                return Poll::Pending;
            }
            Poll::Ready(Ok::<_, Infallible>(book.reader(A)))
        });
        let opened = join(shelf.get_or_open_async(A, open), shelf.get_or_open_async(A, never()));
        let (one, same) = block_on(opened);
        assert_eq!((number(&one), number(&same), polls.load(Ordering::Relaxed)), (0, 0, 6));
    });
}

#[test]
fn a_waker_that_polls_the_others_at_once_gets_them_the_reader() {
    // An executor that runs what it is told of within `wake`.
    struct Inline(Mutex<Option<Task<'static, Opened>>>, Mutex<Vec<Opened>>);
    // SAFETY: it stays on the thread of the test.
    unsafe impl Send for Inline {}
    // SAFETY: the same.
    unsafe impl Sync for Inline {}
    impl std::task::Wake for Inline {
        fn wake(self: Arc<Self>) {
            let Some(mut task) = self.0.lock().unwrap().take() else { return };
            let waker = Waker::from(Arc::clone(&self));
            match poll_with(&mut task, &waker) {
                Poll::Ready(opened) => self.1.lock().unwrap().push(opened),
                Poll::Pending => *self.0.lock().unwrap() = Some(task),
            }
        }
    }
    within(30, || {
        let shelf = Shelf::with_room(1);
        let (tell, open) = when_told(&shelf, A);
        let first = Task::new({
            let shelf = shelf.clone();
            async move { shelf.get_or_open_async(A, open).await }
        });
        let tasks = [first, joins(&shelf, A), joins(&shelf, A)];
        let tasks = tasks.map(|task| Arc::new(Inline(Mutex::new(Some(task)), Mutex::default())));
        tasks.iter().for_each(|task| Waker::from(Arc::clone(task)).wake_by_ref());
        assert!(tasks.iter().all(|task| task.1.lock().unwrap().is_empty()));
        tell.send(()).unwrap();
        for task in &tasks {
            let opened = task.1.lock().unwrap().pop().expect("it has not been polled");
            assert_eq!(number(&opened), 0);
        }
        drop(tasks);
        shelf.assert_adds_up();
    });
}
