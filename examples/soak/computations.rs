//! Claims: sums that many add to, computations within others, futures that are cancelled.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
    thread,
};

use binlock::{HashMap, RecursiveUpdate};

use crate::{
    values::{Random, Value},
    verdict::Verdict,
};

/// So few keys that threads meet.
const HOT: u64 = 24;

pub struct Computations {
    /// Never cleared: what was added to all of them together is there.
    sums: HashMap<u64, u64>,
    added: AtomicU64,
    hot: HashMap<u64, Value>,
    refused: AtomicU64,
}

/// Is ready when it has been polled so often.
pub async fn turns(mut count: u64) {
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

impl Computations {
    pub fn new() -> Computations {
        Computations {
            sums: HashMap::new(),
            added: AtomicU64::new(0),
            hot: HashMap::new(),
            refused: AtomicU64::new(0),
        }
    }

    /// Adds one to one of the sums, by some way.
    pub fn sum(&self, random: &mut Random) {
        let key = random.below(HOT);
        let result = match random.below(4) {
            0 => self.sums.merge(key, 1, |sum, one| Some(sum + one)).map(drop),
            1 => self.sums.compute(key, |_, sum| Some(sum.map_or(1, |sum| sum + 1))).map(drop),
            2 => self
                .sums
                .entry(key)
                .and_then(|entry| entry.and_modify(|sum| sum + 1).or_insert(1).map(drop)),
            _ => {
                // Takes it away, and puts it back.
                let taken = self.sums.remove(&key).map_or(0, |sum| *sum);
                self.sums.merge(key, taken + 1, |sum, more| Some(sum + more)).map(drop)
            }
        };
        result.expect("nobody is in a cycle here");
        self.added.fetch_add(1, Ordering::Relaxed);
    }

    /// A computation that needs another one, in whatever order: cycles of threads come about.
    pub fn nested(&self, random: &mut Random) {
        let (outer, inner, number) = (random.below(HOT), random.below(HOT), random.next());
        let computed = self.hot.compute_if_absent(outer, |key| {
            match self.hot.compute_if_absent(inner, |key| Value::new(*key, number)) {
                Ok(value) => value.check(inner),
                Err(error) => self.is_refused(&error),
            }
            if number % 3 == 0 {
                thread::yield_now();
            }
            Value::new(*key, number)
        });
        match computed {
            Ok(value) => value.check(outer),
            Err(error) => self.is_refused(&error),
        }
        // So that there is something to compute again.
        self.hot.remove(&random.below(HOT));
    }

    /// Polls a computation so often at most, and drops it then: while it waits, or computes.
    pub fn asynchronous(&self, random: &mut Random, polls: usize) {
        let (key, number) = (random.below(HOT), random.next());
        let computation = self.hot.try_compute_if_absent_async(key, |key| {
            let key = *key;
            async move {
                turns(number % 3).await;
                if number % 5 == 0 { Err(()) } else { Ok(Value::new(key, number)) }
            }
        });
        // It is gone before this thread waits for anybody: who would poll it?
        {
            let mut computation = pin!(computation);
            for _ in 0..polls {
                // Not woken, but polled over and over: the wakers' own tests are elsewhere.
                match computation.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(result) => {
                        result.into_iter().for_each(|value| value.check(key));
                        break;
                    }
                    Poll::Pending => thread::yield_now(),
                }
            }
        }
        if number % 2 == 0 {
            self.hot.remove(&random.below(HOT));
        }
    }

    fn is_refused(&self, error: &RecursiveUpdate) {
        assert!(!error.to_string().is_empty());
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end(self, verdict: &mut Verdict) {
        let sum: u64 = self.sums.pin().values().sum();
        let added = self.added.into_inner();
        if sum != added {
            verdict.fail(format!("{added} was added, and the sums are {sum}"));
        }
        for (key, value) in self.hot.pin().iter() {
            value.check(*key);
        }
        verdict.note(format!("{} computations in cycles were refused", self.refused.into_inner()));
    }
}
