//! A reader is found open or not at all, is closed when nobody holds it, and once. (That every
//! reader is closed, and every key dropped, loom checks in every model, by what is leaked; that
//! nobody reads what has been closed, it checks by the cells that they are made of.)
#![cfg(binlock_loom)]
#![allow(clippy::arc_with_non_send_sync)]

use std::convert::Infallible;

use binlock::{Handle, ReaderCache, readers::Builder, readers::WhenFull};
use binlock_loom_tests::{Exact, Key, Name, Value, model, model_within, start};
use loom::thread::JoinHandle;

type Readers = ReaderCache<Key, Value, Exact>;

const A: Name = Name::new(0x00, 1, 0);
/// In the bin of `A`.
const B: Name = Name::new(0x40, 2, 0);

fn limited(readers: usize) -> Builder<Key, Value, Exact> {
    ReaderCache::<Key, Value>::builder().hasher(Exact).max_open(readers)
}

fn cache(readers: usize) -> Readers {
    limited(readers).build().unwrap()
}

fn spawn<R: 'static>(cache: &Readers, f: impl FnOnce(&Readers) -> R + 'static) -> JoinHandle<R> {
    let cache = cache.clone();
    start(move || f(&cache))
}

fn open(cache: &Readers, name: Name, number: u64) -> Handle<Key, Value> {
    cache.get_or_open(name.into(), |_| Ok::<_, Infallible>(number.into())).unwrap()
}

/// Uses a reader for as long as somebody else may close it, which loom would notice.
fn hold(handle: Handle<Key, Value>, name: Name) {
    let number = handle.read();
    loom::thread::yield_now();
    assert_eq!(handle.key().name(), name);
    assert_eq!(handle.read(), number);
}

fn get(cache: &Readers, name: Name) {
    if let Some(handle) = cache.get(&name) {
        hold(handle, name);
    }
}

/// Nobody does anything any more.
fn at_rest(cache: &Readers, open_at_most: u64) {
    let stats = cache.stats();
    assert_eq!(stats.opened, stats.closed + stats.open);
    assert_eq!((stats.opening, stats.in_use, stats.detached), (0, 0, 0));
    assert_eq!(stats.open, cache.len() as u64);
    assert!(stats.open <= open_at_most);
}

#[test]
fn a_reader_that_is_looked_up_while_it_is_evicted_is_found_open_or_not_at_all() {
    model(|| {
        let cache = cache(1);
        drop(open(&cache, A, 1));
        let other = spawn(&cache, |cache| get(cache, A));
        hold(open(&cache, B, 2), B);
        other.join().unwrap();
        at_rest(&cache, 1);
    });
}

#[test]
fn a_reader_that_is_looked_up_while_it_is_removed_is_found_open_or_not_at_all() {
    model(|| {
        let cache = cache(2);
        drop(open(&cache, A, 1));
        let other = spawn(&cache, |cache| get(cache, A));
        assert_eq!(cache.remove(&A).count(), 1);
        other.join().unwrap();
        at_rest(&cache, 0);
    });
}

#[test]
fn a_reader_that_is_removed_while_its_last_handle_is_dropped_is_closed_by_one_of_both() {
    model(|| {
        let cache = cache(2);
        let handle = open(&cache, A, 1);
        let other = spawn(&cache, |_| hold(handle, A));
        assert_eq!(cache.remove(&A).count(), 1);
        other.join().unwrap();
        at_rest(&cache, 0);
    });
}

#[test]
fn of_two_handles_to_a_detached_reader_the_last_one_closes_it() {
    model(|| {
        let cache = cache(2);
        let one = open(&cache, A, 1);
        let two = one.clone();
        assert_eq!(cache.remove(&A).detached, 1);
        let other = spawn(&cache, |_| hold(one, A));
        hold(two, A);
        other.join().unwrap();
        at_rest(&cache, 0);
    });
}

#[test]
fn a_cache_that_was_exceeded_shrinks_when_a_reader_is_released() {
    model(|| {
        let cache = cache(1);
        let handle = open(&cache, A, 1);
        let other = spawn(&cache, |_| hold(handle, A));
        hold(open(&cache, B, 2), B);
        other.join().unwrap();
        at_rest(&cache, 1);
    });
}

#[test]
fn a_parked_reader_may_be_found_again_while_it_is_released() {
    model(|| {
        let cache = cache(1);
        let handle = open(&cache, A, 1);
        // Exceeds the limit, and finds the other in use.
        let more = open(&cache, B, 2);
        let other = spawn(&cache, |_| hold(handle, A));
        get(&cache, A);
        other.join().unwrap();
        hold(more, B);
        at_rest(&cache, 1);
    });
}

#[test]
fn a_detached_reader_makes_place_for_somebody_who_waits() {
    model_within(1, || {
        let patience = std::time::Duration::from_secs(1 << 20);
        let cache = limited(1).when_full(WhenFull::Wait(patience)).build().unwrap();
        let handle = open(&cache, A, 1);
        let other = spawn(&cache, |_| hold(handle, A));
        hold(open(&cache, B, 2), B);
        other.join().unwrap();
        at_rest(&cache, 1);
    });
}

#[test]
fn a_key_is_opened_by_one_of_two_and_both_have_the_reader() {
    model(|| {
        let cache = cache(2);
        let other = spawn(&cache, |cache| {
            let handle = open(cache, A, 1);
            let number = handle.read();
            hold(handle, A);
            number
        });
        let handle = open(&cache, A, 2);
        let number = handle.read();
        hold(handle, A);
        assert_eq!(other.join().unwrap(), number);
        assert_eq!(cache.stats().opened, 1);
        at_rest(&cache, 1);
    });
}

#[test]
fn of_two_who_want_a_key_that_one_fails_to_open_the_other_fails_too_or_opens_it() {
    model_within(1, || {
        let cache = cache(2);
        let other = spawn(&cache, |cache| {
            cache.get_or_open(A.into(), |_| Err::<Value, _>(7)).map(|handle| hold(handle, A)).err()
        });
        match cache.get_or_open(A.into(), |_| Ok::<_, i32>(1.into())) {
            Ok(handle) => hold(handle, A),
            Err(error) => assert_eq!(error.failed(), Some(&7)),
        }
        if let Some(error) = other.join().unwrap() {
            assert_eq!(error.failed(), Some(&7));
        }
        at_rest(&cache, 1);
    });
}

#[test]
fn a_reader_that_is_removed_while_it_is_opened_is_handed_out_and_closed() {
    model(|| {
        let cache = cache(2);
        let other = spawn(&cache, |cache| hold(open(cache, A, 1), A));
        let removed = cache.remove(&A).count();
        other.join().unwrap();
        at_rest(&cache, 1 - removed as u64);
        assert_eq!(cache.stats().opened, 1);
    });
}

#[test]
fn a_reader_that_is_inserted_while_another_one_is_opened_replaces_it_or_is_found() {
    model_within(1, || {
        let cache = cache(2);
        let other = spawn(&cache, |cache| hold(open(cache, A, 1), A));
        hold(cache.insert(A.into(), 2.into()).unwrap(), A);
        other.join().unwrap();
        assert_eq!(cache.get(&A).unwrap().read(), 2);
        at_rest(&cache, 1);
    });
}

#[test]
fn a_reader_in_use_outlives_its_cache_and_is_closed_by_its_handle() {
    model(|| {
        let cache = cache(2);
        let handle = open(&cache, A, 1);
        drop(open(&cache, B, 2));
        let other = start(move || hold(handle, A));
        drop(cache);
        other.join().unwrap();
    });
}

#[test]
fn shutting_down_waits_for_the_last_handle() {
    model_within(1, || {
        let cache = cache(2);
        let handle = open(&cache, A, 1);
        let other = spawn(&cache, |_| hold(handle, A));
        let closed = cache.close(std::time::Duration::from_secs(1 << 20));
        assert!(closed.is_complete());
        other.join().unwrap();
        at_rest(&cache, 0);
    });
}

#[test]
fn a_reader_that_is_opened_while_the_cache_is_shut_down_does_not_stay() {
    model_within(1, || {
        let cache = cache(2);
        let other = spawn(&cache, |cache| {
            if let Ok(handle) = cache.get_or_open(A.into(), |_| Ok::<_, i32>(1.into())) {
                hold(handle, A);
            }
        });
        cache.close(std::time::Duration::from_secs(1 << 20));
        other.join().unwrap();
        at_rest(&cache, 0);
    });
}

#[test]
fn a_reader_that_is_inserted_while_the_cache_is_shut_down_does_not_stay() {
    model(|| {
        let cache = cache(2);
        let other = spawn(&cache, |cache| {
            if let Ok(handle) = cache.insert(A.into(), 1.into()) {
                hold(handle, A);
            }
        });
        cache.close(std::time::Duration::from_secs(1 << 20));
        other.join().unwrap();
        at_rest(&cache, 0);
    });
}

#[test]
fn a_weight_that_is_learned_late_counts_once_and_only_in_the_cache() {
    model(|| {
        let cache = limited(2).build().unwrap();
        let handle = open(&cache, A, 1);
        let other = spawn(&cache, |cache| cache.remove(&A).count());
        handle.set_weight(5);
        assert_eq!(other.join().unwrap(), 1);
        drop(handle);
        assert_eq!(cache.weight(), 0);
        at_rest(&cache, 0);
    });
}
