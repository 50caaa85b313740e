//! Closures that drive futures, beside others that do: what has to wait for them is part of a
//! cycle, and what does not have to is not.

mod common;

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};

use binlock::{HashMap, ReaderCache};
use common::{
    futures::{assert_pending, block_on, yield_now},
    within,
};
use futures::join;

type Map = HashMap<u64, u64>;

/// The key that the other thread holds.
const X: u64 = 50;
/// What a refused computation is worth.
const REFUSED: u64 = 99;

fn here(map: &Map, key: u64, value: impl FnOnce() -> u64) -> u64 {
    map.compute_if_absent(key, |_| value()).map_or(REFUSED, |value| *value)
}

async fn there(map: &Map, key: u64, value: impl Future<Output = u64>) -> u64 {
    map.compute_if_absent_async(key, |_| value).await.map_or(REFUSED, |value| *value)
}

async fn wants_x(map: &Map) -> u64 {
    there(map, X, async { unreachable!("the other thread computes it") }).await
}

/// Runs `mine` against a thread that holds `X`, and does `other` in there when `mine` has called
/// what it is given. Which of them is first to wait after that is tried both ways, but nothing
/// depends on it. What `mine` comes to, and `X`: 1000 more than `other`.
fn against(
    other: impl Fn(&Map) -> u64 + Sync,
    mine: impl Fn(&Arc<Map>, &(dyn Fn() + Sync)) -> u64 + Sync,
) -> [(u64, u64); 2] {
    [false, true].map(|is_other_late| {
        within(20, || {
            let map = &Arc::new(Map::new());
            let (claimed, go) = (&Barrier::new(2), &Barrier::new(2));
            let wait = |is_late| {
                go.wait();
                if is_late {
                    thread::sleep(Duration::from_millis(30));
                }
            };
            thread::scope(|scope| {
                let x = scope.spawn(|| {
                    here(map, X, || {
                        claimed.wait();
                        wait(is_other_late);
                        other(map) + 1000
                    })
                });
                claimed.wait();
                let mine = mine(map, &|| wait(!is_other_late));
                (mine, x.join().unwrap())
            })
        })
    })
}

/// One of the two was refused, once.
#[track_caller]
fn assert_one_is_refused(results: [(u64, u64); 2]) {
    for (mine, x) in results {
        assert!((mine == REFUSED) != (x == REFUSED + 1000), "{mine}, {x}");
    }
}

#[test]
fn what_is_driven_beside_a_closure_that_blocks_waits_for_it() {
    // Both while the closure waits itself, and while it drives what does.
    for is_driving in [false, true] {
        let results = against(
            |map| here(map, 1, || unreachable!()),
            |map, go| {
                let mut inner = 0;
                here(map, 7, || {
                    block_on(async {
                        join!(there(map, 1, yield_now_and(5)), async {
                            inner = here(map, 8, || {
                                go();
                                let waits = wants_x(map);
                                if is_driving {
                                    block_on(there(map, 9, waits))
                                } else {
                                    block_on(waits)
                                }
                            });
                        });
                    });
                    0
                });
                inner
            },
        );
        assert_one_is_refused(results);
    }
}

async fn yield_now_and(value: u64) -> u64 {
    yield_now().await;
    value
}

#[test]
fn a_branch_of_a_future_waits_for_a_closure_in_another_branch() {
    let results = against(
        |map| here(map, 1, || unreachable!()),
        |map, go| {
            let mut inner = 0;
            block_on(there(map, 7, async {
                join!(there(map, 1, yield_now_and(5)), async {
                    inner = here(map, 8, || {
                        go();
                        block_on(there(map, 9, wants_x(map)))
                    });
                });
                0
            }));
            inner
        },
    );
    assert_one_is_refused(results);
}

/// The closures of an entry's methods are closures as others are.
#[test]
fn a_branch_of_a_future_waits_for_an_entrys_closure_in_another_branch() {
    for is_present in [false, true] {
        let results = against(
            |map| here(map, 1, || unreachable!()),
            |map, go| {
                let mut inner = 0;
                if is_present {
                    map.insert(8, 0);
                }
                block_on(there(map, 7, async {
                    join!(there(map, 1, yield_now_and(5)), async {
                        let blocks = || {
                            go();
                            block_on(there(map, 9, wants_x(map)))
                        };
                        let entry = map.entry(8).unwrap();
                        let done = if is_present {
                            entry.and_modify(|_| blocks()).or_insert(0)
                        } else {
                            entry.or_insert_with(blocks)
                        };
                        inner = done.map_or(REFUSED, |value| *value);
                    });
                    0
                }));
                inner
            },
        );
        assert_one_is_refused(results);
    }
}

#[test]
fn a_future_waits_for_a_closure_in_an_opening_that_it_polls() {
    let cache: ReaderCache<u64, u64> = ReaderCache::builder().build().unwrap();
    let results = against(
        |_| cache.get_or_open(1, |_| -> Result<_, ()> { unreachable!() }).map_or(REFUSED, |it| *it),
        |map, go| {
            cache.clear();
            // The future of an opening is part of nothing.
            let (own, inner) = (Arc::clone(map), cache.clone());
            let go = pass(go);
            let opens = async move {
                let opened = inner.get_or_open_async(2, async move {
                    Ok::<_, ()>(here(&own, 7, || {
                        go();
                        block_on(there(&own, 8, wants_x(&own)))
                    }))
                });
                Ok::<_, ()>(opened.await.map_or(0, |value| *value + 1))
            };
            *block_on(cache.get_or_open_async(1, opens)).unwrap()
        },
    );
    for result in results {
        // Each has the value of the other, if that one was refused.
        let refused = [(REFUSED + 1, REFUSED + 1 + 1000), (REFUSED + 1000 + 1, REFUSED + 1000)];
        assert!(refused.contains(&result), "{result:?}");
    }
}

/// The same for a future that has to be `'static`, and is polled before this returns.
fn pass(go: &(dyn Fn() + Sync)) -> impl Fn() + Send + 'static {
    // SAFETY: only the lifetime changes. The only future that has it is polled to its end within
    // the function that `go` was lent to.
    let go = unsafe { std::mem::transmute::<&(dyn Fn() + Sync), &'static (dyn Fn() + Sync)>(go) };
    move || go()
}

#[test]
fn an_entry_that_is_taken_before_a_future_is_driven_on_waits_for_it() {
    let results = against(
        |map| here(map, 2, || unreachable!()),
        |map, go| {
            let mut waits = pin!(there(map, 1, wants_x(map)));
            let first = map.entry(3).unwrap();
            assert_pending(waits.as_mut());
            let second = map.entry(2).unwrap();
            go();
            let value = block_on(waits);
            drop(first);
            second.or_insert(5).unwrap();
            value
        },
    );
    assert_one_is_refused(results);
}

#[test]
fn closures_that_drive_the_same_future_one_within_the_other_wait_for_it() {
    for wanted in [7, 8] {
        let results = against(
            |map| here(map, wanted, || unreachable!()),
            |map, go| {
                let waits: RefCell<Pin<Box<dyn Future<Output = u64>>>> = {
                    let map = Arc::clone(map);
                    RefCell::new(Box::pin(async move { there(&map, 1, wants_x(&map)).await }))
                };
                let shared = || {
                    let poll = |context: &mut std::task::Context<'_>| {
                        waits.borrow_mut().as_mut().poll(context)
                    };
                    poll_fn(poll)
                };
                let mut value = 0;
                here(map, 7, || {
                    assert_pending(pin!(shared()));
                    here(map, 8, || {
                        assert_pending(pin!(shared()));
                        if wanted == 8 {
                            go();
                            value = block_on(shared());
                        }
                        5
                    });
                    if wanted == 7 {
                        go();
                        value = block_on(shared());
                    }
                    5
                });
                value
            },
        );
        assert_one_is_refused(results);
    }
}

/// Something that takes a while, so that who wants the result most likely waits for it.
fn slowly(value: u64) -> u64 {
    thread::sleep(Duration::from_millis(50));
    value
}

#[test]
fn a_closure_does_not_wait_for_what_is_driven_beside_it() {
    // Neither for a wait of the closure around both, nor for a computation that waits.
    for is_computation in [false, true] {
        let results = against(
            |map| here(map, 8, || unreachable!()),
            |map, go| {
                here(map, 7, || {
                    let waits = async {
                        if is_computation {
                            there(map, 1, wants_x(map)).await
                        } else {
                            wants_x(map).await
                        }
                    };
                    let closure = async {
                        here(map, 8, || {
                            go();
                            slowly(3)
                        })
                    };
                    let (x, value) = block_on(async { join!(waits, closure) });
                    x * 10 + value
                })
            },
        );
        assert_eq!(results, [(10_033, 1003); 2]);
    }
}

#[test]
fn nothing_waits_for_what_was_polled_under_an_entry_that_has_been_settled() {
    let results = against(
        |map| here(map, 8, || unreachable!()),
        |map, go| {
            let mut waits = pin!(there(map, 1, wants_x(map)));
            let entry = map.entry(9).unwrap();
            assert_pending(waits.as_mut());
            drop(entry);
            let value = here(map, 8, || {
                go();
                slowly(3)
            });
            block_on(waits) * 10 + value
        },
    );
    assert_eq!(results, [(10_033, 1003); 2]);
}

#[test]
fn who_has_polled_a_future_under_an_entry_that_has_been_settled_may_wait_for_it() {
    // Also if another entry was settled in the middle of that.
    for is_nested in [false, true] {
        within(20, || {
            let map = Arc::new(Map::new());
            let own = Arc::clone(&map);
            let mut future = Box::pin(async move { there(&own, 1, yield_now_and(5)).await });
            let entry = map.entry(9).unwrap();
            assert_pending(future.as_mut());
            if is_nested {
                let settles = || {
                    drop(map.entry(10).unwrap());
                    0
                };
                assert_eq!(*entry.or_insert_with(settles).unwrap(), 0);
            } else {
                drop(entry);
            }
            let ends = thread::spawn(move || {
                thread::sleep(Duration::from_millis(100));
                block_on(future)
            });
            assert_eq!(here(&map, 8, || here(&map, 1, || unreachable!())), 5);
            assert_eq!(ends.join().unwrap(), 5);
        });
    }
}
