//! Computations by futures: a panic where the future is made, at each of its polls, where it is
//! dropped, and in the user code of keys and values.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use binlock::ComputeError;

use crate::{
    common::{
        Ledger, Probe, Tracked,
        fault::{self, Site},
        within,
    },
    executor::Task,
    sweep::{Leaves, filled, sweep},
};

/// Is ready at its third poll. Each poll can panic, and the drop as well.
struct Slow<'l> {
    polls: u64,
    ledger: &'l Ledger,
    /// What it has besides, whose drop can panic.
    _luggage: Tracked<'l, u64>,
}

impl<'l> Future for Slow<'l> {
    type Output = Tracked<'l, u64>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        fault::point(Site::Closure);
        self.polls += 1;
        if self.polls == 3 {
            return Poll::Ready(self.ledger.track(77));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn slow<'l>(ledger: &'l Ledger) -> Slow<'l> {
    fault::point(Site::Closure);
    Slow { polls: 0, ledger, _luggage: ledger.track(0) }
}

/// The same, and fails in the end. (Not an `async` block: if what it awaits panics when it is
/// dropped, what that has returned is leaked.)
struct Failing<'l>(Slow<'l>);

impl<'l> Future for Failing<'l> {
    type Output = Result<Tracked<'l, u64>, Tracked<'l, u64>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(Err)
    }
}

/// Polls so often at most; what came of it.
fn polled<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut task = Task::new(future);
    (0..times).find_map(|_| task.poll())
}

#[test]
fn a_panic_anywhere_in_a_computation_by_a_future_leaves_the_map_as_it_was() {
    within(240, || {
        let ledger = &Ledger::new(1_000_000);
        for key in [4, 40] {
            let panics = sweep("compute_if_absent_async", ledger, filled, Leaves::Nothing, |map| {
                let computation = map.compute_if_absent_async(ledger.track(key), |_| slow(ledger));
                assert!(polled(9, computation).expect("it is ready in time").is_ok());
            });
            assert!(panics > 5);
            sweep("a failing future", ledger, filled, Leaves::Nothing, |map| {
                let failing = |_: &Tracked<'_, u64>| Failing(slow(ledger));
                let computation = map.try_compute_if_absent_async(ledger.track(key), failing);
                match polled(9, computation).expect("it is ready in time") {
                    Ok(found) => assert_eq!(found.value().value, 104),
                    Err(ComputeError::Closure(error)) => assert_eq!(error.value, 77),
                    Err(ComputeError::Recursive(error)) => panic!("{error}"),
                }
            });
            // Dropped when it has been made, and in the middle.
            for polls in [0, 1, 2] {
                sweep("a cancelled future", ledger, filled, Leaves::Nothing, |map| {
                    let computation =
                        map.compute_if_absent_async(ledger.track(key), |_| slow(ledger));
                    drop(polled(polls, computation));
                });
            }
        }
    });
}

#[test]
fn a_panic_anywhere_in_a_future_lets_the_one_who_waits_for_it_compute() {
    within(240, || {
        let ledger = &Ledger::new(1_000_000);
        let panics = sweep("a future waited for", ledger, filled, Leaves::APart, |map| {
            let mut first =
                Task::new(map.compute_if_absent_async(ledger.track(40), |_| slow(ledger)));
            let first_is_pending = fault::caught(|| first.poll().is_none());
            let other = |_: &Tracked<'_, u64>| std::future::ready(ledger.track(77));
            let mut second =
                fault::without(|| Task::new(map.compute_if_absent_async(ledger.track(40), other)));
            let mut panicked = first_is_pending.is_none();
            if !panicked {
                fault::without(|| assert!(second.poll().is_none(), "it has not waited"));
                panicked = fault::caught(|| while first.poll().is_none() {}).is_none();
                assert!(second.is_woken());
            }
            fault::without(|| {
                drop(first);
                let found = second.poll().expect("it goes on waiting").unwrap();
                assert_eq!(found.value().value, 77);
                drop(found);
                drop(second);
                assert!(map.contains_key(&Probe(40)));
            });
            if panicked {
                std::panic::resume_unwind(fault::payload());
            }
        });
        assert!(panics > 5);
    });
}
