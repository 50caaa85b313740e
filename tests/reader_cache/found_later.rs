//! More of what the cache did and should not have done.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{
    A,
    common::{together, within},
    shelf::{Clock, Shelf, seconds},
};

/// Two handles that are dropped at once both see that they are not the last one, and neither
/// notes the time (`Inner::release` looks at `holders() == 1` before it releases): a reader that
/// was in use until just now has been idle for ever.
#[test]
fn the_idle_time_begins_when_two_threads_drop_the_last_two_handles_at_once() {
    // A time that is not noted is nothing that sanitizers see, for whom each round takes longer.
    let rounds = if cfg!(binlock_no_spare) { 2_000 } else { 20_000 };
    within(120, || {
        let mut lost = 0;
        // On a busy machine, two threads may take long to start.
        let end = Instant::now() + Duration::from_secs(20);
        for _ in (0..rounds).take_while(|round| *round < 100 || Instant::now() < end) {
            let clock = Clock::default();
            let shelf = Shelf::new(|builder| builder.time_to_idle(seconds(10)).clock(clock.hook()));
            let held = Mutex::new(vec![shelf.open(A), shelf.open(A)]);
            clock.advance(1000);
            together(2, |_| {
                let own = held.lock().unwrap().pop();
                drop(own);
            });
            lost += usize::from(!shelf.contains_key(&A));
        }
        assert_eq!(lost, 0, "readers that were in use until just now have expired");
    });
}
