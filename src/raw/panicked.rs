//! Going on after a panic in user code, to do the rest, and panicking later.

use std::{
    any::Any,
    mem,
    panic::{self, AssertUnwindSafe},
};

/// The first panic among many; the others are reported by the panic hook alone.
#[derive(Default)]
#[must_use]
pub(crate) struct Panicked(Option<Box<dyn Any + Send>>);

impl Panicked {
    /// Runs `f` and keeps its panic.
    pub(crate) fn catch(&mut self, f: impl FnOnce()) {
        // Unwind safety: a panic leaves nothing broken that anybody sees afterwards: what `f` drops is
        // gone, what it inserts is inserted or not.
        if let Err(payload) = panic::catch_unwind(AssertUnwindSafe(f)) {
            self.merge(Panicked(Some(payload)));
        }
    }

    pub(crate) fn merge(&mut self, other: Panicked) {
        match &self.0 {
            None => self.0 = other.0,
            Some(_) => other.discard(),
        }
    }

    /// Goes on panicking, if there was a panic, and if the thread is not doing so already: for who
    /// may be in a drop.
    pub(crate) fn resume(self) {
        if std::thread::panicking() {
            self.discard();
        } else {
            self.resume_anyway();
        }
    }

    /// Goes on panicking, if there was a panic.
    pub(crate) fn resume_anyway(mut self) {
        if let Some(payload) = self.0.take() {
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
