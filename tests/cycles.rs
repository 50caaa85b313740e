//! Cycles and what is none: closures that drive futures, branches that wait beside others,
//! computations that move, thread-locals.

mod common;

use std::{
    cell::RefCell,
    future::{Future, pending, poll_fn},
    sync::{Barrier, LazyLock, mpsc},
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use binlock::{Entry, HashMap};
use common::{
    futures::{assert_pending, begin, block_on, yield_now},
    within,
};

type Map = HashMap<u64, u64>;

/// The value, or 99 where the computation needs itself.
async fn compute(map: &Map, key: u64) -> u64 {
    map.compute_if_absent_async(key, |_| async { 5 }).await.map_or(99, |value| *value)
}

fn ms(milliseconds: u64) {
    thread::sleep(Duration::from_millis(milliseconds));
}

// TLS
struct Holder(&'static Map, Option<Entry<'static, u64, u64>>, mpsc::Sender<bool>);
impl Drop for Holder {
    fn drop(&mut self) {
        // own key, still claimed by the entry in self.1
        self.0.insert(1, 5);
        let entry = self.1.take().unwrap();
        self.2.send(entry.insert(6).is_err()).unwrap();
    }
}
thread_local!(static HELD: RefCell<Option<Holder>> = const { RefCell::new(None) });
#[test]
fn an_entry_that_outlives_the_threads_own_book_is_still_its_own() {
    static MAP: LazyLock<Map> = LazyLock::new(Map::new);
    let map = &*MAP;
    let (s, r) = mpsc::channel();
    thread::spawn(move || {
        HELD.with(|held| *held.borrow_mut() = Some(Holder(map, Some(map.entry(1).unwrap()), s)));
    });
    assert_eq!(r.recv_timeout(Duration::from_secs(20)), Ok(true));
}

// closure drives 8, blocks on 8
#[test]
fn a_closure_that_blocks_for_what_it_drives_is_refused() {
    within(20, || {
        let map = &Map::new();
        let v = map.compute_if_absent(7, |_| {
            block_on(async {
                let mut a = Box::pin(map.compute_if_absent_async(8, |_| async {
                    yield_now().await;
                    1
                }));
                begin(a.as_mut()).await;
                let b = map.compute_if_absent(8, |_| 2).map_or(99, |v| *v);
                a.await.unwrap();
                b
            })
        });
        assert_eq!(*v.unwrap(), 99);
    });
}
// control: the same in an asynchronous computation
#[test]
fn a_future_that_blocks_for_a_branch_of_its_own_is_refused() {
    within(20, || {
        let map = &Map::new();
        let v = block_on(map.compute_if_absent_async(7, |_| async {
            let mut a = Box::pin(map.compute_if_absent_async(8, |_| async {
                yield_now().await;
                1
            }));
            begin(a.as_mut()).await;
            let b = map.compute_if_absent(8, |_| 2).map_or(99, |v| *v);
            a.await.unwrap();
            b
        }));
        assert_eq!(*v.unwrap(), 99);
    });
}
// cycle: T in closure 7 drives 8; T blocks for 50 of U; U wants 8.
fn child_cycle(u_first: bool) {
    within(20, move || {
        let map = &Map::new();
        let claimed = &Barrier::new(3);
        let r = thread::scope(|s| {
            let u = s.spawn(move || {
                *map.compute_if_absent(50, |_| {
                    claimed.wait();
                    if !u_first {
                        ms(300);
                    }
                    map.compute_if_absent(8, |_| 22).map_or(99, |v| *v)
                })
                .unwrap()
            });
            let t = s.spawn(move || {
                *map.compute_if_absent(7, |_| {
                    block_on(async {
                        let mut a = Box::pin(map.compute_if_absent_async(8, |_| async {
                            yield_now().await;
                            1
                        }));
                        begin(a.as_mut()).await;
                        claimed.wait();
                        if u_first {
                            ms(300);
                        }
                        let b = map.compute_if_absent(50, |_| 2).map_or(99, |v| *v);
                        a.await.unwrap();
                        b
                    })
                })
                .unwrap()
            });
            claimed.wait();
            [u.join().unwrap(), t.join().unwrap()]
        });
        assert!(r.contains(&99), "{r:?}");
    });
}
#[test]
fn a_thread_that_needs_what_a_blocked_closure_drives_is_in_a_cycle() {
    child_cycle(true)
}
#[test]
fn a_closure_that_blocks_while_another_thread_needs_what_it_drives_is_in_a_cycle() {
    child_cycle(false)
}

/// One branch of a computation waits for 50, and another one runs a closure (by `computes`) which ends by
/// itself. 50 is being computed by another thread, which `wants` the key of that closure, 7. What both
/// computations come to.
fn beside_a_waiting_branch(
    map: &Map,
    computes: impl Fn(&dyn Fn() -> u64) -> u64,
    wants: impl Fn() -> u64 + Sync,
) -> (u64, u64) {
    within(20, || {
        let (claimed, inside) = (&Barrier::new(2), &Barrier::new(2));
        thread::scope(|s| {
            let other = s.spawn(|| {
                let value = map.compute_if_absent(50, |_| {
                    claimed.wait();
                    inside.wait();
                    wants()
                });
                *value.unwrap()
            });
            claimed.wait();
            let mine = block_on(map.compute_if_absent_async(1, |_| async {
                let mut waits = Box::pin(compute(map, 50));
                begin(waits.as_mut()).await;
                let value = computes(&|| {
                    inside.wait();
                    ms(300);
                    3
                });
                value + waits.await
            }));
            (*mine.unwrap(), other.join().unwrap())
        })
    })
}

/// False reports: by whoever wants the key, of closures of all methods.
#[test]
fn a_closure_is_not_blamed_for_another_branch_of_its_computation() {
    let map = &Map::new();
    let by_entry = |ends: &dyn Fn() -> u64| {
        map.entry(7).unwrap().or_insert_with(ends).map_or(99, |value| *value)
    };
    let computes = || map.compute_if_absent(7, |_| 22).map_or(99, |value| *value);
    let by_closure =
        |ends: &dyn Fn() -> u64| map.compute_if_absent(7, |_| ends()).map_or(99, |value| *value);
    assert_eq!(beside_a_waiting_branch(map, by_closure, computes), (6, 3));
    map.clear();
    assert_eq!(beside_a_waiting_branch(map, by_entry, computes), (6, 3));
}

// false report: join inside of block_on in a closure in a computation; `outer` or plain thread
fn join_in_closure(u_first: bool, outer: bool) {
    within(20, move || {
        let map = &Map::new();
        let claimed = &Barrier::new(3);
        let r = thread::scope(|s| {
            let u = s.spawn(move || {
                *map.compute_if_absent(50, |_| {
                    claimed.wait();
                    if !u_first {
                        ms(300);
                    }
                    map.compute_if_absent(8, |_| 22).map_or(99, |v| *v)
                })
                .unwrap()
            });
            let t = s.spawn(move || {
                let closure = || {
                    *map.compute_if_absent(7, |_| {
                        block_on(async {
                            let mut a = Box::pin(map.compute_if_absent_async(8, |_| async {
                                let end = Instant::now() + Duration::from_millis(600);
                                while Instant::now() < end {
                                    ms(5);
                                    yield_now().await;
                                }
                                1
                            }));
                            begin(a.as_mut()).await;
                            claimed.wait();
                            if u_first {
                                ms(300);
                            }
                            let mut b = Box::pin(compute(map, 50));
                            // join
                            let (mut ra, mut rb) = (None, None);
                            poll_fn(|c| {
                                if rb.is_none() {
                                    if let Poll::Ready(v) = b.as_mut().poll(c) {
                                        rb = Some(v);
                                    }
                                }
                                if ra.is_none() {
                                    if let Poll::Ready(v) = a.as_mut().poll(c) {
                                        ra = Some(*v.unwrap());
                                    }
                                }
                                if ra.is_some() && rb.is_some() {
                                    Poll::Ready(())
                                } else {
                                    Poll::Pending
                                }
                            })
                            .await;
                            rb.unwrap()
                        })
                    })
                    .unwrap()
                };
                if outer {
                    *block_on(map.compute_if_absent_async(1, |_| async { closure() })).unwrap()
                } else {
                    closure()
                }
            });
            claimed.wait();
            [u.join().unwrap(), t.join().unwrap()]
        });
        assert_eq!(r, [1, 1]);
    });
}
#[test]
fn what_a_closure_in_a_future_drives_goes_on_beside_a_waiting_branch() {
    join_in_closure(true, true)
}
#[test]
fn a_waiting_branch_in_a_closure_in_a_future_does_not_stop_its_siblings() {
    join_in_closure(false, true)
}
#[test]
fn what_a_closure_drives_goes_on_beside_a_waiting_branch() {
    join_in_closure(true, false)
}
#[test]
fn a_waiting_branch_in_a_closure_does_not_stop_its_siblings() {
    join_in_closure(false, false)
}

// generation sums collide
fn generation(nested: bool) {
    within(20, move || {
        let map = &Map::new();
        let (claimed, go) = (&Barrier::new(2), &Barrier::new(2));
        thread::scope(|s| {
            let u = s.spawn(move || {
                *map.compute_if_absent(50, |_| {
                    claimed.wait();
                    go.wait();
                    map.compute_if_absent(3, |_| 22).map_or(99, |v| *v)
                })
                .unwrap()
            });
            claimed.wait();
            let p = RefCell::new(Box::pin(map.compute_if_absent_async(1, |_| async {
                map.compute_if_absent_async(2, |_| compute(map, 50)).await.map_or(98, |v| *v)
            })));
            let q = || {
                map.compute_if_absent_async(11, |_| async {
                    assert!(
                        poll_fn(|c| Poll::Ready(p.borrow_mut().as_mut().poll(c)))
                            .await
                            .is_pending()
                    );
                    pending::<u64>().await
                })
            };
            let mut z = Box::pin(async {
                if nested {
                    let _ = map
                        .compute_if_absent_async(10, |_| async { q().await.map_or(97, |v| *v) })
                        .await;
                } else {
                    let _ = q().await;
                }
            });
            assert_pending(z.as_mut());
            let r = map.compute_if_absent_async(3, |_| async {
                go.wait();
                ms(300);
                poll_fn(|c| p.borrow_mut().as_mut().poll(c)).await.map_or(97, |v| *v)
            });
            let got = [*block_on(r).unwrap(), u.join().unwrap()];
            assert_eq!(got, [99, 99]);
        });
    });
}
#[test]
fn a_wait_is_asked_for_again_when_its_computation_moves() {
    generation(false)
}
#[test]
fn a_wait_is_asked_for_again_wherever_its_computation_came_from() {
    generation(true)
}

// FuturesUnordered inside of a computation that becomes part of another one
#[test]
fn a_wait_is_asked_for_again_although_nobody_polls_it() {
    use futures::{StreamExt, stream::FuturesUnordered};
    within(20, move || {
        let map = &Map::new();
        let (claimed, go) = (&Barrier::new(2), &Barrier::new(2));
        thread::scope(|s| {
            let u = s.spawn(move || {
                *map.compute_if_absent(50, |_| {
                    claimed.wait();
                    go.wait();
                    map.compute_if_absent(3, |_| 22).map_or(99, |v| *v)
                })
                .unwrap()
            });
            claimed.wait();
            let mut p = Box::pin(map.compute_if_absent_async(1, |_| async {
                let mut all: FuturesUnordered<_> = [compute(map, 50)].into_iter().collect();
                all.next().await.unwrap()
            }));
            assert_pending(p.as_mut());
            let r = map.compute_if_absent_async(3, |_| async {
                go.wait();
                ms(300);
                p.await.map_or(97, |v| *v)
            });
            let got = [*block_on(r).unwrap(), u.join().unwrap()];
            assert_eq!(got, [99, 99]);
        });
    });
}

// a future that was polled once in a closure remains the thread's child when that has ended
#[test]
fn what_a_closure_has_driven_is_not_its_threads_when_it_has_ended() {
    within(20, || {
        let map = &Map::new();
        let (claimed, inside) = (&Barrier::new(2), &Barrier::new(2));
        let r = thread::scope(|s| {
            let u = s.spawn(move || {
                *map.compute_if_absent(50, |_| {
                    claimed.wait();
                    inside.wait();
                    map.compute_if_absent(9, |_| 22).map_or(99, |v| *v)
                })
                .unwrap()
            });
            claimed.wait();
            let mut task = Box::pin(map.compute_if_absent_async(8, |_| compute(map, 50)));
            map.compute_if_absent(7, |_| {
                assert_pending(task.as_mut());
                1
            })
            .unwrap();
            // 7 is settled. 9 has nothing to do with the task.
            map.compute_if_absent(9, |_| {
                inside.wait();
                ms(300);
                3
            })
            .unwrap();
            let eight = *block_on(task).unwrap();
            (eight, u.join().unwrap())
        });
        assert_eq!(r, (3, 3));
    });
}
/// The same by a plain write, which would overtake the closure's claim.
#[test]
fn a_closure_is_not_overtaken_for_another_branch_of_its_computation() {
    let map = &Map::new();
    let inserts = || {
        map.insert(7, 22);
        22
    };
    let by_closure =
        |ends: &dyn Fn() -> u64| map.compute_if_absent(7, |_| ends()).map_or(99, |value| *value);
    let by_entry = |ends: &dyn Fn() -> u64| {
        map.entry(7).unwrap().or_insert_with(ends).map_or(99, |value| *value)
    };
    let modifies = |ends: &dyn Fn() -> u64| {
        let entry = map.entry(7).unwrap().and_modify(|_| ends());
        entry.or_insert(0).map_or(99, |value| *value)
    };
    for (computes, is_present) in [
        (&by_closure as &dyn Fn(&dyn Fn() -> u64) -> u64, false),
        (&by_entry, false),
        (&modifies, true),
    ] {
        map.clear();
        if is_present {
            map.insert(7, 1);
        }
        assert_eq!(beside_a_waiting_branch(map, computes, inserts), (25, 22));
        assert_eq!(map.get(&7).as_deref(), Some(&22));
    }
}
