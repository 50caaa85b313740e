//! Putting a thread to sleep until its waker is called.

use std::{
    sync::Arc,
    task::{Wake, Waker},
};

use crate::sync::{Condvar, Mutex};

/// A thread's bed. (Not `thread::park`: its token belongs to the user's code as well.)
pub(super) struct Signal {
    awake: Mutex<bool>,
    changed: Condvar,
}

impl Signal {
    pub(super) fn new() -> Arc<Signal> {
        Arc::new(Signal { awake: Mutex::new(false), changed: Condvar::new() })
    }

    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Returns when the waker has been called, at once if that was before.
    pub(super) fn sleep(&self) {
        // Nothing panics under the lock, so it is not poisoned.
        let mut awake = self.awake.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        while !*awake {
            awake = self.changed.wait(awake).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        *self.awake.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = true;
        self.changed.notify_one();
    }
}
