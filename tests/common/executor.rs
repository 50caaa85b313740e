//! Futures that are polled by hand, by a patient executor, by a hostile one, and by tokio.

use std::{
    future::{Future, poll_fn},
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use crate::common::Random;

/// Is ready at the poll after so many others.
pub async fn turns(mut count: usize) {
    poll_fn(|context| {
        if count == 0 {
            return Poll::Ready(());
        }
        count -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Counts its calls.
#[derive(Default)]
pub struct Calls(AtomicUsize);

impl Calls {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A future that is polled by hand.
pub struct Task<'a, T> {
    pub future: Pin<Box<dyn Future<Output = T> + 'a>>,
    pub woken: Arc<Calls>,
}

impl<'a, T> Task<'a, T> {
    pub fn new(future: impl Future<Output = T> + 'a) -> Task<'a, T> {
        Task { future: Box::pin(future), woken: Arc::default() }
    }

    /// Each time with a new waker: from now on, only that one's calls are seen.
    pub fn poll(&mut self) -> Option<T> {
        self.woken = Arc::default();
        let waker = Waker::from(self.woken.clone());
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    pub fn is_woken(&self) -> bool {
        self.woken.count() > 0
    }
}

/// Runs a future on this thread. Panics, instead of hanging, if nobody wakes it.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Alarm(Sender<()>);
    impl Wake for Alarm {
        fn wake(self: Arc<Self>) {
            let _ = self.0.send(());
        }
    }
    let mut future = Box::pin(future);
    let (alarm, alarms): (_, Receiver<()>) = mpsc::channel();
    let waker = Waker::from(Arc::new(Alarm(alarm)));
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        alarms.recv_timeout(Duration::from_secs(15)).expect("nobody wakes the future: it hangs");
    }
}

/// Runs futures on this thread in a random order, now and then without their being woken,
/// and may drop some. Panics, instead of hanging, if none that is left is woken.
pub fn run_hostile<'a>(
    random: &mut Random,
    tasks: impl IntoIterator<Item = Pin<Box<dyn Future<Output = ()> + 'a>>>,
    drops_one_in: u64,
) {
    let mut tasks: Vec<_> = tasks.into_iter().map(Task::new).collect();
    tasks.iter().for_each(|task| Waker::from(task.woken.clone()).wake_by_ref());
    while !tasks.is_empty() {
        let woken = tasks.iter().filter(|task| task.is_woken()).count();
        assert!(woken > 0, "of {} tasks none is woken", tasks.len());
        let at = random.below(tasks.len() as u64) as usize;
        let spurious = random.below(20) == 0;
        if !tasks[at].is_woken() && !spurious {
            continue;
        }
        if drops_one_in > 0 && random.below(drops_one_in) == 0 {
            drop(tasks.swap_remove(at));
            continue;
        }
        match panic::catch_unwind(AssertUnwindSafe(|| tasks[at].poll())) {
            Ok(None) => {}
            Ok(Some(())) => drop(tasks.swap_remove(at)),
            Err(payload) if payload.is::<Thrown>() => drop(tasks.swap_remove(at)),
            Err(payload) => panic::resume_unwind(payload),
        }
    }
}

/// Thrown to order.
pub struct Thrown;

/// Both kinds of tokio's runtimes.
pub fn on_tokio<F: Future<Output = ()>>(test: impl Fn() -> F) {
    use tokio::runtime::Builder;

    Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    let mut many = Builder::new_multi_thread();
    many.worker_threads(4).enable_all().build().unwrap().block_on(test());
}
