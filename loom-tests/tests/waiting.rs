//! Who waits for a claim is woken, and nobody waits for himself: threads and futures, in
//! cycles and out of them.
#![cfg(binlock_loom)]

use std::{
    future::{pending, poll_fn},
    mem::replace,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use binlock::{Entry, RecursiveUpdate};
use binlock_loom_tests::{
    Bell, Map, Name, Op::*, Value, block_on, map, map_with, model, model_within, settled_entries,
    spawn, start,
};

const A: Name = Name::new(0x00, 1, 0);
/// In the bin of `A`.
const B: Name = Name::new(0x40, 2, 0);
/// In the other bin.
const C: Name = Name::new(0x80, 3, 0);
/// In the bin of `C`.
const D: Name = Name::new(0xc0, 4, 0);

/// Computes a key, and needs another one for it. Says whether that was refused.
fn compute_needing(map: &Map, name: Name, needed: Name) -> bool {
    let mut refused = false;
    let entry = map.compute_if_absent(name.into(), |_| {
        loom::thread::yield_now();
        if let Err(error) = map.compute_if_absent(needed.into(), |_| 1.into()) {
            assert!(!error.is_overtaken() && error.cycle_len().is_some());
            refused = true;
        }
        1.into()
    });
    assert_eq!(entry.expect("nobody writes").read(), 1);
    refused
}

/// Computes a key as one, and writes ten under another one meanwhile.
fn compute_writing(map: &Map, name: Name, other: Name) -> Option<RecursiveUpdate> {
    let entry = map.compute(name.into(), |_, _| {
        loom::thread::yield_now();
        map.insert(other.into(), 10.into());
        Some(1.into())
    });
    entry.err()
}

/// A future that is not ready when it is polled for the first time.
async fn once_more() {
    let mut polled = false;
    poll_fn(|context| {
        if polled {
            return Poll::Ready(());
        }
        polled = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

type Flight = Pin<Box<dyn Future<Output = u64>>>;

/// The computation of a key by a future, which can be sent about.
fn flight(map: &Arc<Map>, name: Name, value: impl Future<Output = Value> + 'static) -> Flight {
    let map = Arc::clone(map);
    Box::pin(async move {
        let entry = map.compute_if_absent_async(name.into(), |_| value).await;
        entry.expect("nobody waits for himself").read()
    })
}

/// One that has claimed its key, and does not end.
fn endless_flight(map: &Arc<Map>, name: Name) -> Flight {
    let mut flight = flight(map, name, pending());
    assert!(Bell::new().poll(flight.as_mut()).is_pending());
    flight
}

// Wake-ups.

#[test]
fn a_settled_claim_leaves_the_mark_to_another_one_in_its_bin() {
    model(|| {
        let map = map_with(1, &[(A, 1)]);
        let one = map.entry(A.into()).unwrap();
        let other = map.entry(B.into()).unwrap();
        let waiter = spawn(&map, |map| Add(B, 1).run(map));
        drop(one);
        drop(other);
        assert_eq!(waiter.join().unwrap(), None);
    });
}

#[test]
fn all_who_wait_for_a_claim_are_woken() {
    model_within(1, || {
        let map = map_with(1, &[(A, 1)]);
        let entry = map.entry(A.into()).unwrap();
        let one = spawn(&map, |map| Add(A, 10).run(map));
        let two = spawn(&map, |map| Add(A, 20).run(map));
        drop(entry.insert(2.into()).unwrap());
        one.join().unwrap();
        two.join().unwrap();
        assert_eq!(settled_entries(&map), [(A, 32)].into());
    });
}

#[test]
fn who_waits_for_one_of_two_claims_of_a_thread_need_not_wait_for_the_other() {
    model(|| {
        let map = map();
        let one = map.entry(A.into()).unwrap();
        let other = map.entry(B.into()).unwrap();
        let waiter = spawn(&map, |map| Insert(A, 1).run(map));
        drop(one);
        assert_eq!(waiter.join().unwrap(), None);
        drop(other);
    });
}

// Overtaking.

#[test]
fn who_waits_for_a_claim_is_woken_when_its_own_closure_writes_the_key() {
    model(|| {
        let map = map_with(1, &[(A, 1)]);
        let entry = map.entry(A.into()).unwrap();
        let waiter = spawn(&map, |map| Add(A, 1).run(map));
        assert_eq!(Insert(A, 10).run(&map), Some(1));
        // The claim is not settled before that.
        assert_eq!(waiter.join().unwrap(), Some(10));
        let error = entry.insert(2.into()).map(drop).unwrap_err();
        assert!(error.is_overtaken() && error.is_own_key());
        assert_eq!(settled_entries(&map), [(A, 11)].into());
    });
}

#[test]
fn who_waits_for_a_claim_is_woken_when_its_own_closure_removes_the_key() {
    model(|| {
        let map = map_with(1, &[(A, 1)]);
        let entry = map.entry(A.into()).unwrap();
        // (Not by `ComputeIfAbsent`: the key is present, so that would not wait.)
        let waiter = spawn(&map, |map| Add(A, 3).run(map));
        assert_eq!(Remove(A).run(&map), Some(1));
        // The claim is not settled before that.
        assert_eq!(waiter.join().unwrap(), None);
        let error = entry.insert(2.into()).map(drop).unwrap_err();
        assert!(error.is_overtaken());
        assert_eq!(settled_entries(&map), [(A, 3)].into());
    });
}

#[test]
fn a_claim_that_was_overtaken_is_dropped_while_the_key_is_claimed_by_another() {
    model(|| {
        let map = map();
        let Entry::Vacant(entry) = map.entry(A.into()).unwrap() else { panic!("it is not there") };
        let waiter = spawn(&map, |map| Add(A, 1).run(map));
        assert_eq!(Insert(A, 10).run(&map), None);
        drop(entry);
        assert_eq!(waiter.join().unwrap(), Some(10));
        assert_eq!(settled_entries(&map), [(A, 11)].into());
    });
}

#[test]
fn two_computations_that_write_each_others_keys_end_and_one_is_told() {
    model_within(1, || {
        let map = map();
        let other = spawn(&map, |map| compute_writing(map, B, A));
        let mine = compute_writing(&map, A, B);
        let other = other.join().unwrap();
        assert!(mine.is_none() || other.is_none());
        let settled = settled_entries(&map);
        for (error, name) in [(mine, A), (other, B)] {
            if let Some(error) = error {
                assert!(error.is_overtaken() && error.cycle_len() == Some(2));
                assert_eq!(settled[&name], 10, "the write stands");
            }
        }
        assert_eq!(settled.len(), 2);
    });
}

#[test]
fn who_waits_beside_a_cycle_is_woken_when_it_is_broken() {
    model_within(0, || {
        let map = map();
        let one = spawn(&map, |map| compute_writing(map, A, B).is_some());
        let two = spawn(&map, |map| compute_writing(map, B, A).is_some());
        Add(A, 100).run(&map);
        assert_ne!([one.join().unwrap(), two.join().unwrap()], [true, true]);
        assert_eq!(settled_entries(&map).len(), 2);
    });
}

// Cycles.

#[test]
fn of_two_computations_that_need_each_other_one_is_refused_and_both_end() {
    model_within(1, || {
        let map = map();
        let other = spawn(&map, |map| compute_needing(map, B, A));
        let refused = [compute_needing(&map, A, B), other.join().unwrap()];
        assert_ne!(refused, [true, true]);
        assert_eq!(settled_entries(&map), [(A, 1), (B, 1)].into());
    });
}

#[test]
fn of_three_computations_in_a_cycle_one_is_refused_and_all_end() {
    model_within(0, || {
        let map = map();
        let one = spawn(&map, |map| compute_needing(map, B, C));
        let two = spawn(&map, |map| compute_needing(map, C, A));
        let refused = [compute_needing(&map, A, B), one.join().unwrap(), two.join().unwrap()];
        assert!(refused.iter().filter(|refused| **refused).count() <= 1);
        assert_eq!(settled_entries(&map), [(A, 1), (B, 1), (C, 1)].into());
    });
}

#[test]
fn two_computations_that_need_a_third_key_are_no_cycle() {
    // One preemption, or neither would ever meet the other's claim on the third key.
    model_within(1, || {
        let map = map();
        let other = spawn(&map, |map| compute_needing(map, B, C));
        let refused = [compute_needing(&map, A, C), other.join().unwrap()];
        assert_eq!(refused, [false, false]);
    });
}

#[test]
fn of_a_thread_and_a_future_that_need_each_other_one_is_refused_and_both_end() {
    model_within(1, || {
        let map = map();
        let other = spawn(&map, |map| compute_needing(map, B, A));
        let mut refused = false;
        block_on(async {
            let inner = async {
                once_more().await;
                let needed = map.compute_if_absent_async(B.into(), |_| async { 1.into() }).await;
                refused = needed.is_err();
                1.into()
            };
            map.compute_if_absent_async(A.into(), |_| inner).await.map(drop)
        })
        .expect("nobody writes");
        assert_ne!([refused, other.join().unwrap()], [true, true]);
        assert_eq!(settled_entries(&map), [(A, 1), (B, 1)].into());
    });
}

#[test]
fn an_entry_that_a_future_keeps_is_not_settled_before_the_future_goes_on() {
    model_within(1, || {
        let map = map();
        // Claims `C`, and needs `B` for that.
        let other = spawn(&map, |map| compute_needing(map, C, B));
        let mut refused = false;
        block_on(async {
            let inner = async {
                // The claim is the thread's, and part of the computation of `A`.
                let entry = map.entry(B.into()).unwrap();
                once_more().await;
                let needed = map.compute_if_absent_async(C.into(), |_| async { 1.into() }).await;
                refused = needed.is_err();
                drop(entry.insert(1.into()).unwrap());
                1.into()
            };
            map.compute_if_absent_async(A.into(), |_| inner).await.map(drop)
        })
        .expect("nobody writes");
        assert_ne!([refused, other.join().unwrap()], [true, true]);
        assert_eq!(settled_entries(&map), [(A, 1), (B, 1), (C, 1)].into());
    });
}

#[test]
fn an_entry_that_a_future_in_a_future_keeps_is_not_settled_before_that_goes_on() {
    model_within(1, || {
        let map = map();
        // Claims `C`, and needs `B` for that.
        let other = spawn(&map, |map| compute_needing(map, C, B));
        let mut refused = false;
        let inner = async {
            let entry = map.entry(B.into()).unwrap();
            // Once more, too, but nobody is to poll `D` anew for that.
            let mut polled = false;
            poll_fn(|_| match replace(&mut polled, true) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
            let needed = map.compute_if_absent_async(C.into(), |_| async { 1.into() }).await;
            refused = needed.is_err();
            drop(entry.insert(1.into()).unwrap());
            1.into()
        };
        block_on(Box::pin(map.compute_if_absent_async(D.into(), |_| async {
            // Boxed, both: the stacks of loom's threads are small.
            let mut inner = Box::pin(map.compute_if_absent_async(A.into(), |_| inner));
            // Twice in one poll of `D`, so that that is not polled by a thread with a claim.
            let first = poll_fn(|context| Poll::Ready(inner.as_mut().poll(context).is_pending()));
            assert!(first.await);
            drop(inner.await.expect("nobody writes"));
            1.into()
        })))
        .map(drop)
        .expect("nobody writes");
        assert_ne!([refused, other.join().unwrap()], [true, true]);
        assert_eq!(settled_entries(&map).len(), 4);
    });
}

#[test]
fn a_future_whose_thread_waits_in_a_closure_does_not_go_on() {
    model_within(1, || {
        let map = map();
        let other = spawn(&map, |map| compute_needing(map, B, A));
        let mut refused = false;
        block_on(map.compute_if_absent_async(A.into(), |_| async {
            loom::thread::yield_now();
            // Not awaited: the thread sleeps in the middle of polling.
            refused = map.compute_if_absent(B.into(), |_| 1.into()).is_err();
            1.into()
        }))
        .map(drop)
        .expect("nobody writes");
        assert_ne!([refused, other.join().unwrap()], [true, true]);
        assert_eq!(settled_entries(&map), [(A, 1), (B, 1)].into());
    });
}

#[test]
fn a_closure_that_runs_a_future_is_not_done_before_that() {
    model_within(1, || {
        let map = map();
        let other = spawn(&map, |map| compute_needing(map, B, A));
        let mut refused = false;
        let entry = map.compute_if_absent(A.into(), |_| {
            loom::thread::yield_now();
            block_on(map.compute_if_absent_async(C.into(), |_| async {
                let needed = map.compute_if_absent_async(B.into(), |_| async { 1.into() }).await;
                refused = needed.is_err();
                1.into()
            }))
            .expect("nobody writes")
            .read()
            .into()
        });
        drop(entry.expect("nobody writes"));
        assert_ne!([refused, other.join().unwrap()], [true, true]);
        // `C` is there if the closure has run.
        assert!(matches!(settled_entries(&map).len(), 2 | 3));
    });
}

// Futures.

#[test]
fn a_thread_that_waits_for_a_future_is_woken_when_that_is_ready() {
    model(|| {
        let map = map();
        let mut flight = flight(&map, A, async {
            once_more().await;
            1.into()
        });
        let bell = Bell::new();
        assert!(bell.poll(flight.as_mut()).is_pending());
        let waiter = spawn(&map, |map| ComputeIfAbsent(A, 2).run(map));
        assert_eq!(bell.poll(flight.as_mut()), Poll::Ready(1));
        assert_eq!(waiter.join().unwrap(), Some(1));
    });
}

#[test]
fn a_thread_that_waits_for_a_future_computes_when_that_is_dropped() {
    model(|| {
        let map = map();
        let flight = endless_flight(&map, A);
        let waiter = spawn(&map, |map| ComputeIfAbsent(A, 2).run(map));
        drop(flight);
        assert_eq!(waiter.join().unwrap(), None);
        assert_eq!(settled_entries(&map), [(A, 2)].into());
    });
}

#[test]
fn a_future_that_waits_for_a_thread_is_woken() {
    model(|| {
        let map = map();
        let writer = spawn(&map, |map| ComputeIfAbsent(A, 2).run(map));
        let value = block_on(flight(&map, A, async { 1.into() }));
        assert_eq!(writer.join().unwrap(), (value == 1).then_some(1));
    });
}

#[test]
fn of_two_futures_that_compute_a_key_one_does() {
    model(|| {
        let map = map();
        let other = flight(&map, A, async { 2.into() });
        let other = start(|| block_on(other));
        let value = block_on(flight(&map, A, async { 1.into() }));
        assert_eq!(other.join().unwrap(), value);
        assert_eq!(settled_entries(&map), [(A, value)].into());
    });
}

#[test]
fn a_future_that_waits_is_woken_by_the_waker_it_was_last_polled_with() {
    model(|| {
        let map = map();
        let computing = endless_flight(&map, A);
        let canceller = start(|| drop(computing));
        let mut waiting = flight(&map, A, async { 1.into() });
        let value = match Bell::new().poll(waiting.as_mut()) {
            Poll::Ready(value) => value,
            Poll::Pending => Bell::new().finish(waiting.as_mut()),
        };
        assert_eq!(value, 1);
        canceller.join().unwrap();
    });
}

#[test]
fn a_future_may_leave_the_queue_while_the_claim_is_settled() {
    model(|| {
        let map = map();
        let computing = endless_flight(&map, A);
        let canceller = start(|| drop(computing));
        let mut waiting = flight(&map, A, pending());
        assert!(Bell::new().poll(waiting.as_mut()).is_pending());
        // It has been waiting, or computing.
        drop(waiting);
        assert_eq!(ComputeIfAbsent(A, 1).run(&map), None);
        canceller.join().unwrap();
    });
}

#[test]
fn those_behind_a_future_that_leaves_the_queue_are_woken() {
    model_within(1, || {
        let map = map();
        let computing = endless_flight(&map, A);
        let waiting = {
            let mut waiting = flight(&map, A, pending());
            assert!(Bell::new().poll(waiting.as_mut()).is_pending());
            waiting
        };
        let waiter = spawn(&map, |map| ComputeIfAbsent(A, 1).run(map));
        let canceller = start(|| drop(computing));
        drop(waiting);
        assert_eq!(waiter.join().unwrap(), None);
        canceller.join().unwrap();
    });
}

#[test]
fn who_waits_no_longer_is_in_no_cycle() {
    model_within(1, || {
        let map = map();
        let left = Arc::new(AtomicBool::new(false));
        let has_left = Arc::clone(&left);
        let other = spawn(&map, move |map| {
            let entry = map.compute_if_absent(B.into(), |_| {
                loom::thread::yield_now();
                let left = has_left.load(Ordering::Relaxed);
                let needed = map.compute_if_absent(A.into(), |_| 1.into());
                assert!(needed.is_ok() || !left, "refused, and nobody waits");
                1.into()
            });
            assert!(entry.is_ok());
        });
        block_on(async {
            let inner = async {
                loom::thread::yield_now();
                {
                    let needed = map.compute_if_absent_async(B.into(), |_| async { 1.into() });
                    let mut needed = pin!(needed);
                    // Waits, if it has to, and gives up.
                    let _ =
                        poll_fn(|context| Poll::Ready(needed.as_mut().poll(context).is_ready()))
                            .await;
                }
                left.store(true, Ordering::Relaxed);
                loom::thread::yield_now();
                once_more().await;
                1.into()
            };
            map.compute_if_absent_async(A.into(), |_| inner).await.map(drop)
        })
        .expect("nobody writes");
        other.join().unwrap();
    });
}
