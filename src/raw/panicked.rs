//! Going on after a panic in somebody's `Drop`, to drop the rest, and panicking later.

use std::{
    any::Any,
    mem,
    panic::{self, AssertUnwindSafe},
};

/// The first panic among many drops; the others are reported by the panic hook alone.
#[derive(Default)]
#[must_use]
pub(super) struct Panicked(Option<Box<dyn Any + Send>>);

impl Panicked {
    /// Runs `f` and keeps its panic.
    pub(super) fn catch(&mut self, f: impl FnOnce()) {
        // Unwind safety: `f` only drops things that nobody sees afterwards.
        if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(f)) {
            self.merge(Panicked(Some(payload)));
        }
    }

    pub(super) fn merge(&mut self, other: Panicked) {
        match &self.0 {
            None => self.0 = other.0,
            Some(_) => other.discard(),
        }
    }

    /// Goes on panicking, if there was a panic, and if the thread is not doing so already.
    pub(super) fn resume(mut self) {
        if std::thread::panicking() {
            self.discard();
        } else if let Some(payload) = self.0.take() {
            panic::resume_unwind(payload);
        }
    }

    fn discard(self) {
        // The payload's own drop can panic in turn; the payload of that is left alone.
        let payload = self.0;
        if let Err(again) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            mem::forget(again);
        }
    }
}
