//! Claims and what else happens to the key: conditions, drops that panic, entries.

mod common;

use std::{
    cell::{Cell, RefCell},
    future::Future,
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use binlock::{Entry, HashMap};
use common::within;
use equivalent::Equivalent;

/// Calls back at its second comparison.
struct Hooked<'a>(u64, Cell<u32>, &'a dyn Fn());

impl Hash for Hooked<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Equivalent<u64> for Hooked<'_> {
    fn equivalent(&self, key: &u64) -> bool {
        self.1.set(self.1.get() + 1);
        if self.1.get() == 2 {
            (self.2)();
        }
        self.0 == *key
    }
}

#[test]
fn remove_if_removes_nothing_that_it_was_not_asked_about() {
    within(20, || {
        let map: HashMap<u64, u64> = HashMap::new();
        let entry = RefCell::new(Some(map.entry(1).unwrap()));
        // The key is this thread's own, and gets its value in the middle of the removal.
        let hook = || drop(entry.borrow_mut().take().map(|entry| entry.or_insert(10)));
        let mut asked = false;
        let removed = map.remove_if(&Hooked(1, Cell::new(0), &hook), |_, _| {
            asked = true;
            false
        });
        assert!(removed.is_none());
        assert!(asked && *map.get(&1).unwrap() == 10);
    });
}

#[test]
fn a_value_that_is_cleared_away_under_a_claim_is_not_there_to_be_removed() {
    within(20, || {
        let map = HashMap::from([(1, 10)]);
        let computed = map.compute(1, |_, _| {
            let removed = map.remove_if(&1, |_, _| {
                map.clear();
                true
            });
            assert!(removed.is_none());
            Some(11)
        });
        // The computation came before the clearing, and nobody overtook it.
        assert_eq!(computed.map(|value| value.map(|value| *value)), Ok(Some(11)));
        let computed = map.compute(1, |_, _| Some(12)).and_then(|_| {
            map.compute(1, |_, _| {
                map.retain(|_, _| {
                    map.clear();
                    false
                });
                Some(13)
            })
        });
        assert_eq!(computed.map(|value| value.map(|value| *value)), Ok(Some(13)));
        assert!(map.is_empty());
    });
}

/// Panics when it is dropped, once.
struct Bomb<'a>(&'a Cell<bool>);

impl Drop for Bomb<'_> {
    fn drop(&mut self) {
        if self.0.replace(false) {
            panic!("as arranged");
        }
    }
}

/// Whether this thread is still pinned, which keeps garbage of all maps.
#[track_caller]
fn assert_not_pinned() {
    let file = Arc::new(());
    let map = HashMap::from([(1, Arc::clone(&file))]);
    drop(map.remove(&1));
    // Other tests are pinned for moments.
    let end = Instant::now() + Duration::from_secs(10);
    while Arc::strong_count(&file) > 1 {
        assert!(Instant::now() < end, "the thread is pinned for ever");
        map.flush();
        thread::yield_now();
    }
}

fn panics<R>(f: impl FnOnce() -> R) {
    assert!(catch_unwind(AssertUnwindSafe(|| drop(f()))).is_err());
}

#[test]
fn a_drop_that_panics_leaves_neither_a_pin_nor_a_claim_behind() {
    within(20, || {
        let (armed, never) = (&Cell::new(false), &Cell::new(false));
        let map = HashMap::new();
        map.insert(1, Bomb(armed));
        let arm = |entry| {
            armed.set(true);
            entry
        };
        // The value that is not needed.
        let entry = map.entry(1).unwrap();
        let value = Bomb(armed);
        panics(|| arm(entry).or_insert(value));
        assert_not_pinned();
        // The value that was modified before.
        let entry = map.entry(1).unwrap().and_modify(|_| Bomb(armed));
        panics(|| arm(entry).insert(Bomb(never)));
        assert_not_pinned();
        assert!(std::ptr::eq(map.get(&1).unwrap().0, armed), "nothing has happened");
        let entry = map.entry(1).unwrap().and_modify(|_| Bomb(armed));
        panics(|| arm(entry).and_modify(|_| Bomb(armed)));
        assert_not_pinned();
        let Entry::Occupied(entry) = map.entry(1).unwrap().and_modify(|_| Bomb(armed)) else {
            panic!("it is there");
        };
        panics(|| arm(Entry::Occupied(entry)).insert(Bomb(armed)));
        armed.set(false);
        // No claim is left of all that.
        assert!(map.entry(1).is_ok());
    });
}

struct Ready<'a>(#[allow(dead_code)] Bomb<'a>);

impl Future for Ready<'_> {
    type Output = Result<u64, ()>;

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<u64, ()>> {
        Poll::Ready(Ok(1))
    }
}

fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_future_or_its_maker_that_panics_when_it_is_dropped_leaves_no_pin_behind() {
    within(20, || {
        let armed = &Cell::new(true);
        let map = HashMap::from([(1, 1_u64)]);
        let bomb = Bomb(armed);
        panics(|| {
            let computed = map.compute_if_absent_async(1, move |_| {
                let _bomb = bomb;
                async { 1 }
            });
            poll_once(computed).map(|result| result.map(drop))
        });
        assert_not_pinned();
        armed.set(true);
        let computed = map.try_compute_if_absent_async(2, |_| Ready(Bomb(armed)));
        panics(|| poll_once(computed).map(|result| result.map(drop)));
        assert_not_pinned();
    });
}

#[test]
fn what_and_modify_has_computed_is_stored_although_the_thread_is_unwinding() {
    struct Bump<'a>(&'a HashMap<u64, u64>);
    impl Drop for Bump<'_> {
        fn drop(&mut self) {
            drop(self.0.entry(1).unwrap().and_modify(|value| value + 1));
        }
    }
    let map = HashMap::from([(1, 1)]);
    panics(|| {
        let _bump = Bump(&map);
        panic!("as arranged");
    });
    assert_eq!(*map.get(&1).unwrap(), 2);
}

/// Claims its like when it is dropped, if it is asked to.
struct Claimant(u64, Option<Rc<Cell<Option<bool>>>>);

thread_local! {
    static CLAIMANTS: HashMap<Claimant, u64> = HashMap::new();
}

impl PartialEq for Claimant {
    fn eq(&self, other: &Claimant) -> bool {
        self.0 == other.0
    }
}

impl Eq for Claimant {}

impl Hash for Claimant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Drop for Claimant {
    fn drop(&mut self) {
        if let Some(claims) = self.1.take() {
            claims.set(Some(CLAIMANTS.with(|map| map.entry(Claimant(self.0, None)).is_ok())));
        }
    }
}

/// A key that uses the map when it is dropped finds the entry gone that it was given for.
#[test]
fn a_key_is_dropped_after_the_claim_of_the_entry_that_is_dropped_with_it() {
    within(20, || {
        CLAIMANTS.with(|map| {
            map.insert(Claimant(1, None), 10);
            let claims = Rc::new(Cell::new(None));
            drop(map.entry(Claimant(1, Some(Rc::clone(&claims)))).unwrap());
            assert_eq!(claims.get(), Some(true));
            // What is left is as it was.
            assert_eq!(*map.get(&Claimant(1, None)).unwrap(), 10);
        });
    });
}
