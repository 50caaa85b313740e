//! The reader cache: a panic at each call of each callback of a script that uses them all.

use std::{
    convert::Infallible,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use binlock::{ReaderCache, readers::OpenError};

use crate::{
    common::{
        fault::{self, Site},
        futures::block_on,
        within,
    },
    executor::Task,
};

/// A kind of user code that the cache calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Callback {
    Hash,
    Eq,
    CloneKey,
    Open,
    Poll,
    Weigh,
    Life,
    Clock,
    Keep,
    Close,
    DropReader,
    Load,
}

impl Callback {
    const ALL: [Callback; 12] = [
        Callback::Hash,
        Callback::Eq,
        Callback::CloneKey,
        Callback::Open,
        Callback::Poll,
        Callback::Weigh,
        Callback::Life,
        Callback::Clock,
        Callback::Keep,
        Callback::Close,
        Callback::DropReader,
        Callback::Load,
    ];

    /// What is contained, and counted, instead of being passed on.
    fn is_contained(self) -> bool {
        matches!(self, Callback::Close | Callback::DropReader)
    }
}

thread_local! {
    static ARMED: std::cell::Cell<Option<Callback>> = const { std::cell::Cell::new(None) };
}

/// A callback of some kind is called.
fn called(callback: Callback) {
    if ARMED.get() == Some(callback) {
        fault::point(Site::Closure);
    }
}

#[derive(PartialOrd, Ord, Debug)]
struct Key(u64);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        called(Callback::Hash);
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        called(Callback::Eq);
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Clone for Key {
    fn clone(&self) -> Self {
        called(Callback::CloneKey);
        Key(self.0)
    }
}

/// How many there are, and how many of them are dropped.
#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

struct Reader(Arc<Counts>);

impl Reader {
    fn new(counts: &Arc<Counts>) -> Reader {
        counts.made.fetch_add(1, Ordering::Relaxed);
        Reader(Arc::clone(counts))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::Relaxed);
        called(Callback::DropReader);
    }
}

type Cache = ReaderCache<Key, Reader>;

fn cache(counts: &Arc<Counts>, time: &Arc<AtomicU64>) -> Cache {
    let (loaded, time) = (counts.clone(), time.clone());
    ReaderCache::builder()
        .max_open(6)
        .max_weight(20)
        .weigher(|key: &Key, _| {
            called(Callback::Weigh);
            1 + key.0 % 3
        })
        .expire_after(|key: &Key, _| {
            called(Callback::Life);
            (key.0 % 4 == 0).then_some(Duration::from_secs(30))
        })
        .time_to_idle(Duration::from_secs(50))
        .refresh_after_write(Duration::from_secs(20))
        .clock(move || {
            called(Callback::Clock);
            Duration::from_secs(time.load(Ordering::Relaxed))
        })
        .on_close(|_, reader, _| {
            called(Callback::Close);
            drop(reader);
        })
        .loader(move |_: &Key| {
            called(Callback::Load);
            Ok::<_, Infallible>(Reader::new(&loaded))
        })
        .build()
        .unwrap()
}

/// Each step is for itself: a panic in one keeps none of the others from happening.
type Step = fn(&Cache, &Arc<Counts>, &AtomicU64);

const STEPS: [Step; 14] = [
    |cache, counts, _| (0..4).for_each(|key| open(cache, counts, key)),
    |cache, _, _| drop(cache.get(&Key(1))),
    |cache, counts, _| drop(cache.insert(Key(2), Reader::new(counts)).ok()),
    |cache, counts, _| (2..9).for_each(|key| open(cache, counts, key)),
    |cache, _, _| drop(cache.get_or_load(&Key(20)).unwrap()),
    |_, _, time| time.store(time.load(Ordering::Relaxed) + 25, Ordering::Relaxed),
    // Old: it is loaded anew.
    |cache, _, _| drop(cache.get_or_load(&Key(20)).unwrap()),
    |cache, counts, _| {
        let counts = counts.clone();
        let opening = cache.get_or_open_async(Key(31), async move {
            std::future::poll_fn(|context| {
                called(Callback::Poll);
                context.waker().wake_by_ref();
                std::task::Poll::Ready(())
            })
            .await;
            called(Callback::Open);
            Ok::<_, Infallible>(Reader::new(&counts))
        });
        drop(block_on(opening).unwrap());
    },
    |cache, _, _| {
        // Cancelled after its first poll.
        let never = std::future::pending::<Result<Reader, Infallible>>();
        let mut task = Task::new(cache.get_or_open_async(Key(32), never));
        assert!(task.poll().is_none());
    },
    |cache, _, _| {
        let failed = cache.get_or_open(Key(33), |_| {
            called(Callback::Open);
            Err("no such object")
        });
        assert!(matches!(failed, Err(OpenError::Failed(_))));
    },
    |cache, _, _| {
        cache.retain(|key, _| {
            called(Callback::Keep);
            key.0 % 2 == 0
        });
    },
    |cache, _, time| {
        time.fetch_add(28, Ordering::Relaxed);
        cache.run_pending();
    },
    |cache, counts, _| {
        open(cache, counts, 40);
        cache.remove(&Key(40));
    },
    |cache, _, _| assert!(cache.clear().count() <= 6),
];

fn open(cache: &Cache, counts: &Arc<Counts>, key: u64) {
    let opened = cache.get_or_open(Key(key), |_| {
        called(Callback::Open);
        Ok::<_, Infallible>(Reader::new(counts))
    });
    match opened {
        Ok(handle) => assert_eq!(handle.key().0, key),
        Err(error) => panic!("{error}"),
    }
}

/// Runs the script with one call panicking; whether it was made.
fn run(callback: Callback, call: u64) -> bool {
    let (counts, time) = (Arc::<Counts>::default(), Arc::new(AtomicU64::new(1)));
    let cache = cache(&counts, &time);
    ARMED.set(Some(callback));
    fault::arm(Site::Closure, call);
    let mut panics = 0;
    for step in STEPS {
        panics += usize::from(fault::caught(|| step(&cache, &counts, &time)).is_none());
        fault::without(|| {
            let stats = cache.stats();
            assert_eq!(stats.opened, stats.closed + stats.open, "{callback:?} {call}");
            assert_eq!((stats.opening, stats.in_use, stats.detached), (0, 0, 0));
            assert_eq!(stats.open, cache.len() as u64, "{callback:?} {call}");
            assert!(stats.open <= 6 && stats.weight <= 20);
        });
    }
    let was_called = !fault::disarm();
    ARMED.set(None);
    let contained = usize::from(was_called && callback.is_contained());
    if callback == Callback::Clock {
        // The one that a handle asks when it is dropped keeps it from nothing.
        assert!(panics <= usize::from(was_called));
    } else {
        assert_eq!(panics + contained, usize::from(was_called), "{callback:?} {call}");
    }
    assert_eq!(cache.stats().close_panics as usize, contained);
    // Every key is free: nobody is waited for who is not there.
    for key in (0..9).chain([20, 31, 32, 33, 40]) {
        open(&cache, &counts, key);
    }
    drop(cache);
    let made = counts.made.load(Ordering::Relaxed);
    assert_eq!(counts.dropped.load(Ordering::Relaxed), made, "{callback:?} {call}: leaked");
    was_called
}

#[test]
fn a_panic_at_any_call_of_any_callback_of_a_cache_leaves_every_key_free_and_every_count_right() {
    within(240, || {
        for callback in Callback::ALL {
            let mut call = 0;
            while run(callback, call) {
                // Where there are many, not all of them.
                call += 1 + call / 40;
            }
            assert!(call > 0, "{callback:?} is never called");
        }
    });
}
