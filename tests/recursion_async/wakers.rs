//! Which wakers are called, and those that panic.

use std::{
    panic,
    sync::Arc,
    task::{Context, Wake, Waker},
    thread,
};

use crate::{
    A,
    common::within,
    compute,
    executor::{Task, Thrown, turns},
    map, never,
};

#[test]
fn a_waker_that_is_called_is_the_one_of_the_last_poll() {
    within(60, || {
        let map = &map();
        let entry = map.entry(A).unwrap();
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                let mut task = Task::new(never(map, A));
                assert!(task.poll().is_none());
                let before = task.woken.clone();
                assert!(task.poll().is_none());
                (before.count(), Arc::strong_count(&before))
            });
            // The map has let go of the first one.
            assert_eq!(other.join().unwrap(), (0, 1));
        });
        entry.insert(10).unwrap();
    });
}

#[test]
fn a_waker_that_panics_keeps_nobody_from_being_woken() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic::resume_unwind(Box::new(Thrown));
        }
    }
    within(60, || {
        let map = &map();
        let mut first = Task::new(compute(map, A, async {
            turns(1).await;
            10
        }));
        assert!(first.poll().is_none());
        let waker = Waker::from(Arc::new(Panics));
        let mut second = Task::new(never(map, A));
        assert!(second.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let mut third = Task::new(never(map, A));
        assert!(third.poll().is_none());
        assert_eq!(first.poll(), Some(Ok(10)));
        assert!(third.is_woken());
        assert_eq!((second.poll(), third.poll()), (Some(Ok(10)), Some(Ok(10))));
    });
}
