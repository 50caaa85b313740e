//! Executors that poll in any order, when they should not, or never again.

use std::{
    cell::Cell,
    convert::Infallible,
    future::Future,
    panic,
    pin::Pin,
    sync::{Arc, Mutex},
};

use binlock::readers::OpenError;
use futures::{channel::oneshot, future::join};

use crate::{
    A, B, D, Opened,
    asynchronous::{joins, number, opens_after, when_told},
    common::{Random, within},
    dropping::never_ready,
    shelf::{Book, Shelf, closing},
    task::{self, Task, run_hostile, turns},
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
