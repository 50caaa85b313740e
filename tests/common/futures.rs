//! The least of a runtime: one future, driven by a thread that may be in the middle of another.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Wake},
    thread::{self, Thread},
};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Drives a future to its end. Can be used within itself.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => {
                // What has woken this one may have been meant for one around it.
                thread::current().unpark();
                return output;
            }
            Poll::Pending => thread::park(),
        }
    }
}

/// Polls a future once, outside of any other.
#[track_caller]
pub fn assert_pending<F: Future>(future: Pin<&mut F>) {
    let waker = Arc::new(Unpark(thread::current())).into();
    assert!(future.poll(&mut Context::from_waker(&waker)).is_pending());
}

/// Polls a future once, from within another one.
pub async fn begin<F: Future>(mut future: Pin<&mut F>) {
    let begun = |context: &mut Context<'_>| Poll::Ready(future.as_mut().poll(context).is_pending());
    assert!(poll_fn(begun).await);
}

pub async fn yield_now() {
    let mut done = false;
    poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut done, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}
