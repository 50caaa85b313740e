//! Closures that take long: do they hold up those who compute other keys?

use std::collections;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::maps::hasher;

const THREADS: u64 = 8;
const KEYS: u64 = 64;
const SLEEP: Duration = Duration::from_millis(1);

/// What it takes if nobody ever waits for anybody.
pub const IDEAL: Duration = Duration::from_millis(KEYS / THREADS);

/// An empty map, as what computes a key that is absent. To call it costs nothing beside a sleep,
/// so it may be called through pointers.
type Computing = Box<dyn Fn(u64, &dyn Fn() -> u64) -> u64 + Sync>;

/// A map with either hasher.
pub struct Contender {
    pub name: &'static str,
    pub spread: fn() -> Computing,
    pub colliding: fn() -> Computing,
}

/// Ours first, and last what the machine does without any map.
pub const CONTENDERS: [Contender; 7] = [
    Contender {
        name: "binlock",
        spread: || binlock(hasher()),
        colliding: || binlock(ConstantHasher),
    },
    Contender { name: "papaya", spread: || papaya(hasher()), colliding: || papaya(ConstantHasher) },
    Contender { name: "scc HashMap", spread: || scc(hasher()), colliding: || scc(ConstantHasher) },
    Contender {
        name: "dashmap",
        spread: || dashmap(hasher()),
        colliding: || dashmap(ConstantHasher),
    },
    Contender { name: "moka", spread: || moka(hasher()), colliding: || moka(ConstantHasher) },
    Contender {
        name: "std Mutex<HashMap>",
        spread: || mutex(hasher()),
        colliding: || mutex(ConstantHasher),
    },
    Contender { name: NO_MAP, spread: || Box::new(|_, f| f()), colliding: || Box::new(|_, f| f()) },
];

pub const NO_MAP: &str = "(no map, just sleeping)";

/// The time in which the threads, each with a part of the keys of its own, compute all keys.
pub fn compute_all(computing: &Computing) -> Duration {
    let start = Barrier::new(THREADS as usize);
    let runs = AtomicU64::new(0);
    let times = thread::scope(|scope| {
        let (start, runs) = (&start, &runs);
        let work = |thread: u64| {
            move || {
                start.wait();
                let begin = Instant::now();
                for key in (0..KEYS).filter(|key| key % THREADS == thread) {
                    let value = computing(key, &|| {
                        runs.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(SLEEP);
                        !key
                    });
                    assert_eq!(value, !key);
                }
                (begin, Instant::now())
            }
        };
        let handles: Vec<_> = (0..THREADS).map(|thread| scope.spawn(work(thread))).collect();
        let join = |handle: thread::ScopedJoinHandle<'_, _>| handle.join().expect("no map panics");
        handles.into_iter().map(join).collect::<Vec<_>>()
    });
    assert_eq!(runs.into_inner(), KEYS, "each key is computed once");
    let begin = times.iter().map(|(begin, _)| *begin).min().expect("there are threads");
    let end = times.iter().map(|(_, end)| *end).max().expect("there are threads");
    end - begin
}

/// All keys hash alike.
#[derive(Clone)]
struct ConstantHasher;

impl BuildHasher for ConstantHasher {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self
    }
}

impl Hasher for ConstantHasher {
    fn write(&mut self, _: &[u8]) {}

    fn finish(&self) -> u64 {
        0x9e37_79b9_7f4a_7c15
    }
}

/// What the maps ask of a hasher, all together.
trait AnyHasher: BuildHasher + Clone + Send + Sync + 'static {}

impl<S: BuildHasher + Clone + Send + Sync + 'static> AnyHasher for S {}

fn binlock<S: AnyHasher>(hasher: S) -> Computing {
    let map = binlock::HashMap::with_hasher(hasher);
    Box::new(move |key, f| *map.compute_if_absent(key, |_| f()).expect("no closure uses the map"))
}

fn papaya<S: AnyHasher>(hasher: S) -> Computing {
    let map = papaya::HashMap::with_hasher(hasher);
    Box::new(move |key, f| *map.pin().get_or_insert_with(key, f))
}

fn scc<S: AnyHasher>(hasher: S) -> Computing {
    let map = scc::HashMap::with_hasher(hasher);
    Box::new(move |key, f| *map.entry_sync(key).or_insert_with(f).get())
}

fn dashmap<S: AnyHasher>(hasher: S) -> Computing {
    let map = dashmap::DashMap::with_hasher(hasher);
    Box::new(move |key, f| *map.entry(key).or_insert_with(f))
}

fn moka<S: AnyHasher>(hasher: S) -> Computing {
    let cache = moka::sync::Cache::builder().build_with_hasher(hasher);
    Box::new(move |key, f| cache.get_with(key, f))
}

fn mutex<S: AnyHasher>(hasher: S) -> Computing {
    let map = Mutex::new(collections::HashMap::with_hasher(hasher));
    Box::new(move |key, f| {
        let mut map = map.lock().expect("nothing panics under the lock");
        *map.entry(key).or_insert_with(f)
    })
}
