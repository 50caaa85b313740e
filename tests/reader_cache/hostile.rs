//! Executors that poll in any order, when they should not, or never again; wakers and futures that
//! panic.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Future, poll_fn},
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, RawWaker, RawWakerVTable, Waker},
};

use binlock::readers::OpenError;
use futures::{channel::oneshot, future::join};

use crate::{
    A, B, D, Opened,
    asynchronous::{asks, joins, never, number, opens_after, when_told},
    common::{Random, within},
    shelf::{Book, Reader, Shelf, builder, closing, throw, throws},
    task::{self, Task, block_on, run_hostile, turns},
};

/// What an executor does to one of its tasks.
#[derive(Clone, Copy, Debug)]
enum Act {
    Poll(usize),
    Drop(usize),
}

/// Does this to tasks that all want the same reader, whoever may have been woken; then lets the
/// reader be opened, and polls only those that `goes_on` says, and only if they are woken.
fn assert_those_polled_on_get_the_reader(acts: &[Act], tasks: usize, goes_on: u32, polls: usize) {
    let shelf = Shelf::with_room(1);
    let (tell, told) = oneshot::channel::<()>();
    let told = futures::FutureExt::shared(told);
    let mut tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let (shelf, told) = (shelf.clone(), told.clone());
            let book = Arc::clone(&shelf.book);
            let open = async move {
                turns(polls).await;
                told.await.unwrap();
                Ok::<_, Infallible>(book.reader(A))
            };
            Some(Task::new(async move { shelf.get_or_open_async(A, open).await }))
        })
        .collect();
    let mut begun = vec![false; tasks.len()];
    for act in acts {
        match *act {
            Act::Poll(at) => {
                if let Some(task) = &mut tasks[at] {
                    begun[at] = true;
                    assert!(task.poll().is_none());
                }
            }
            Act::Drop(at) => tasks[at] = None,
        }
    }
    tell.send(()).unwrap();
    let going_on = |at: &usize| goes_on & 1 << at != 0;
    let mut left: Vec<_> =
        (0..tasks.len()).filter(going_on).filter(|at| tasks[*at].is_some()).collect();
    let mut opened = Vec::new();
    while !left.is_empty() {
        let ready =
            left.iter().position(|at| !begun[*at] || tasks[*at].as_ref().unwrap().is_woken());
        let ready = ready.unwrap_or_else(|| panic!("{left:?} hang after {acts:?}, {goes_on:b}"));
        let at = left[ready];
        begun[at] = true;
        if let Some(result) = tasks[at].as_mut().unwrap().poll() {
            opened.push(result);
            left.swap_remove(ready);
        }
    }
    assert!(opened.iter().all(|opened| number(opened) == 0));
    drop((tasks, opened));
    shelf.assert_adds_up();
    assert_eq!((shelf.stats().in_use, shelf.stats().opened <= 1), (0, true));
}

#[test]
fn whoever_is_polled_on_gets_the_reader_after_any_order_of_polls_and_drops() {
    within(120, || {
        const TASKS: usize = 3;
        let all: Vec<_> = (0..TASKS).map(Act::Poll).chain((0..TASKS).map(Act::Drop)).collect();
        for order in 0..all.len().pow(3) {
            let (one, two, three) = (order % 6, order / 6 % 6, order / 36);
            // The one that is polled first is number 0.
            let acts = [Act::Poll(0), all[one], all[two], all[three]];
            for goes_on in 1..1 << TASKS {
                let polls = (order + goes_on as usize) % 2;
                assert_those_polled_on_get_the_reader(&acts, TASKS, goes_on, polls);
            }
        }
    });
}

#[test]
fn a_poll_without_a_wake_up_changes_nothing() {
    let shelf = Shelf::with_room(1);
    let (tell, open) = when_told(&shelf, A);
    let mut first = Task::new(shelf.get_or_open_async(A, open));
    let mut second = joins(&shelf, A);
    for _ in 0..5 {
        assert!(first.poll().is_none() && second.poll().is_none());
        assert!(!first.is_woken() && !second.is_woken());
    }
    let stats = shelf.stats();
    assert_eq!((stats.misses, stats.joined_opens, stats.opening), (2, 1, 1));
    tell.send(()).unwrap();
    assert_eq!((number(&second.poll().unwrap()), number(&first.poll().unwrap())), (0, 0));
    shelf.assert_adds_up();
}

#[test]
fn only_the_waker_of_the_last_poll_is_called_and_no_others_are_kept() {
    let shelf = Shelf::with_room(1);
    let (tell, open) = when_told(&shelf, A);
    let mut first = Task::new(shelf.get_or_open_async(A, open));
    let mut second = joins(&shelf, A);
    let mut wakers = Vec::new();
    for _ in 0..4 {
        for task in [&mut first, &mut second] {
            assert!(task.poll().is_none());
            wakers.push(Arc::clone(&task.woken));
        }
    }
    // Those of the last two polls are the tasks' own, and here.
    let (old, last) = wakers.split_at(6);
    assert!(old.iter().all(|waker| Arc::strong_count(waker) == 1));
    tell.send(()).unwrap();
    assert!(old.iter().all(|waker| waker.count() == 0));
    assert!(last.iter().all(|waker| waker.count() > 0));
    assert_eq!((number(&first.poll().unwrap()), number(&second.poll().unwrap())), (0, 0));
    drop((first, second));
    assert!(wakers.iter().all(|waker| Arc::strong_count(waker) == 1));
}

#[test]
fn on_an_executor_that_polls_at_random_and_drops_what_it_likes_everything_adds_up() {
    within(120, || {
        for seed in 0..60 {
            let random = &mut Random::new(seed);
            let shelf = Shelf::with_room(1 + seed as usize % 3);
            let done = Cell::new(0);
            let tasks = (0..12).map(|_| {
                let (first, second, polls) = (random.below(4), random.below(4), random.below(3));
                let (shelf, done) = (shelf.clone(), &done);
                Box::pin(async move {
                    let inner = shelf.clone();
                    let open = async move {
                        turns(polls as usize).await;
                        let other = inner.open_async(second).await;
                        assert!(matches!(&other, Ok(_) | Err(OpenError::Recursive(_))));
                        Ok::<_, Infallible>(inner.reader(first))
                    };
                    let one = shelf.get_or_open_async(first, open).await.unwrap();
                    let other =
                        shelf.get_or_open_async(second, opens_after(&shelf, second, 1)).await;
                    assert_eq!((one.read(), other.unwrap().read()), (first, second));
                    done.set(done.get() + 1);
                }) as Pin<Box<dyn Future<Output = ()> + '_>>
            });
            let tasks: Vec<_> = tasks.collect();
            let drops_one_in = [0, 40, 10][seed as usize % 3];
            run_hostile(random, tasks, drops_one_in);
            assert!(done.get() == 12 || drops_one_in > 0);
            assert_eq!((shelf.stats().opening, shelf.stats().in_use), (0, 0));
            shelf.assert_adds_up();
        }
    });
}

#[test]
fn openings_that_wait_for_each_other_and_are_woken_while_that_is_found_out_do_not_recurse() {
    within(30, || {
        let shelf = Shelf::new(|builder| builder);
        let (tell, told) = oneshot::channel::<()>();
        let inner = shelf.clone();
        let mut second = Task::new(shelf.get_or_open_async(B, async move {
            told.await.unwrap();
            let refused = inner.open_async(A).await;
            assert!(refused.is_ok() || matches!(refused, Err(OpenError::Recursive(_))));
            Ok::<_, Infallible>(inner.reader(B))
        }));
        let inner = shelf.clone();
        let mut first = Task::new(shelf.get_or_open_async(A, async move {
            let (refused, ()) = join(inner.open_async(B), turns(5)).await;
            assert!(refused.is_ok() || matches!(refused, Err(OpenError::Recursive(_))));
            Ok::<_, Infallible>(inner.reader(A))
        }));
        assert!(second.poll().is_none() && first.poll().is_none());
        tell.send(()).unwrap();
        // It polls the future of the first one, in which a branch wakes all who wait for it:
        // this one among them, for whom that one waits.
        let (mut one, mut other) = (None, None);
        for _ in 0..20 {
            one = one.or_else(|| second.poll());
            other = other.or_else(|| first.poll());
            if one.is_some() && other.is_some() {
                break;
            }
        }
        assert_eq!((one.unwrap().unwrap().key, other.unwrap().unwrap().key), (B, A));
        shelf.assert_adds_up();
    });
}

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
                disarm();
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

async fn never_ready() -> Result<Reader, Infallible> {
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

#[test]
fn a_task_may_be_polled_and_dropped_from_within_the_closing_of_another_reader() {
    within(30, || {
        let book = Book::new(10);
        let slot: Arc<Mutex<Option<Task<'static, Opened>>>> = Arc::default();
        struct Local<T>(T);
        // SAFETY: it stays on the thread of the test.
        unsafe impl<T> Send for Local<T> {}
        // SAFETY: the same.
        unsafe impl<T> Sync for Local<T> {}
        let within_close = Local(Arc::clone(&slot));
        let shelf = Shelf::of(
            &book,
            closing(&book, move |_, _| {
                let Local(slot) = &within_close;
                let Some(mut task) = slot.lock().unwrap().take() else { return };
                assert!(task.poll().is_none());
                drop(task);
            })
            .max_open(1),
        );
        let mut first = joins_open(&shelf, D);
        assert!(first.poll().is_none());
        *slot.lock().unwrap() = Some(joins(&shelf, D));
        let other = shelf.open(B);
        shelf.remove(&B);
        drop(other);
        assert!(slot.lock().unwrap().is_none());
        assert_eq!(shelf.stats().joined_opens, 1);
        drop(first);
        shelf.assert_adds_up();
    });
}

fn joins_open(shelf: &Shelf, key: u64) -> Task<'static, Opened> {
    let shelf = shelf.clone();
    Task::new(async move { shelf.get_or_open_async(key, never_ready()).await })
}

#[test]
fn the_hostile_executor_lets_panics_pass_that_are_arranged() {
    within(30, || {
        let random = &mut Random::new(5);
        let shelf = Shelf::with_room(2);
        let open = |panics: bool| {
            let (shelf, book) = (shelf.clone(), Arc::clone(&shelf.book));
            Box::pin(async move {
                let opened = shelf.get_or_open_async(A, async move {
                    turns(2).await;
                    if panics {
                        panic::resume_unwind(Box::new(task::Thrown));
                    }
                    Ok::<_, Infallible>(book.reader(A))
                });
                assert_eq!(opened.await.unwrap().read(), A);
            }) as Pin<Box<dyn Future<Output = ()>>>
        };
        for _ in 0..50 {
            let tasks: Vec<_> = (0..6).map(|_| open(random.below(2) == 0)).collect();
            run_hostile(random, tasks, 30);
            shelf.clear();
            assert_eq!((shelf.stats().opening, shelf.stats().open), (0, 0));
            shelf.assert_adds_up();
        }
    });
}
