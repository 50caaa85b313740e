//! Computations while a thread ends.

use std::{cell::Cell, panic, sync::mpsc, thread, time::Duration};

use binlock::HashMap;

use crate::{A, B};

/// Runs at the end of its thread, before or after the crate's own thread-local is gone.
struct AtEnd(Option<Box<dyn FnOnce()>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        self.0.take().unwrap()();
    }
}

/// Runs `test` on a thread, and in destructors of its thread-locals. Whether it ends well
/// each time.
fn at_end_of_thread(test: fn() -> bool) -> bool {
    thread_local! {
        static EARLY: Cell<Option<AtEnd>> = const { Cell::new(None) };
        static LATE: Cell<Option<AtEnd>> = const { Cell::new(None) };
    }
    let (done, outcomes) = mpsc::channel();
    let run = move || {
        // A panic in such a destructor would end the process.
        let _ = done.send(panic::catch_unwind(test).unwrap_or(false));
    };
    // Not joined: it might hang.
    thread::spawn(move || {
        // Destructors run in one order or the other.
        EARLY.set(Some(AtEnd(Some(Box::new(run.clone())))));
        run();
        LATE.set(Some(AtEnd(Some(Box::new(run)))));
    });
    (0..3).all(|_| outcomes.recv_timeout(Duration::from_secs(10)) == Ok(true))
}

#[test]
fn computations_work_in_the_destructors_of_thread_locals() {
    assert!(at_end_of_thread(|| {
        let map = HashMap::new();
        map.compute_if_absent(A, |_| *map.compute_if_absent(B, |_| 20).unwrap() + 1).as_deref()
            == Ok(&21)
    }));
}

#[test]
fn a_refusal_works_in_the_destructors_of_thread_locals() {
    assert!(at_end_of_thread(|| {
        let map = HashMap::new();
        let _entry = map.entry(A);
        map.entry(A).is_err_and(|error| error.is_own_key()) && map.insert(A, 5).is_none()
    }));
}
