//! The reader cache, with eight threads and room for two readers.
#![cfg(binlock_shuttle)]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use binlock::{Handle, ReaderCache, readers::WhenFull};
use binlock_linearizability::Hashing;
use binlock_shuttle_tests::{THREADS, explore, together};
use shuttle::thread::yield_now;

/// Longer than any schedule.
const PATIENCE: Duration = Duration::from_secs(1 << 20);

struct Reader {
    key: u64,
    open: AtomicBool,
    all: Arc<All>,
}

/// What all readers have in common.
#[derive(Default)]
struct All {
    open: AtomicUsize,
    most: AtomicUsize,
}

impl Reader {
    fn open(key: u64, all: &Arc<All>) -> Reader {
        let open = all.open.fetch_add(1, SeqCst) + 1;
        all.most.fetch_max(open, SeqCst);
        Reader { key, open: AtomicBool::new(true), all: Arc::clone(all) }
    }

    fn close(&self) {
        assert!(self.open.swap(false, SeqCst), "closed twice");
        self.all.open.fetch_sub(1, SeqCst);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        assert!(!self.open.load(SeqCst), "dropped without being closed");
    }
}

/// Uses a reader for as long as somebody else may close it.
fn hold(handle: &Handle<u64, Reader>, key: u64) {
    for _ in 0..2 {
        assert!(handle.open.load(SeqCst), "in use and closed");
        assert_eq!((*handle.key(), handle.key), (key, key));
        yield_now();
    }
}

struct Scene {
    cache: ReaderCache<u64, Reader, Hashing>,
    all: Arc<All>,
}

fn scene(readers: usize, when_full: WhenFull) -> Arc<Scene> {
    let all = Arc::new(All::default());
    let cache = ReaderCache::builder()
        .hasher(Hashing::Good)
        .max_open(readers)
        .when_full(when_full)
        .on_close(|_, reader: Reader, _| reader.close())
        .build()
        .unwrap();
    Arc::new(Scene { cache, all })
}

impl Scene {
    fn open(&self, key: u64) -> Handle<u64, Reader> {
        let open = |key: &u64| Ok::<_, Infallible>(Reader::open(*key, &self.all));
        self.cache.get_or_open(key, open).unwrap()
    }

    /// To be called when all threads have ended.
    fn end(&self) {
        let stats = self.cache.stats();
        assert_eq!(stats.opened, stats.closed + stats.open);
        assert_eq!((stats.opening, stats.in_use, stats.detached), (0, 0, 0));
        assert_eq!(stats.open, self.cache.len() as u64);
        assert_eq!(stats.open, self.all.open.load(SeqCst) as u64);
        assert!(self.cache.close(PATIENCE).is_complete());
        assert_eq!(self.all.open.load(SeqCst), 0);
    }
}

#[test]
fn no_reader_is_closed_while_it_is_used_when_eight_threads_evict_each_others() {
    explore(|| {
        let scene = scene(2, WhenFull::default());
        together(&scene, THREADS, |scene, thread| {
            for i in 0..3 {
                let key = (thread as u64 + i) % 5;
                hold(&scene.open(key), key);
            }
            if thread == 0 {
                scene.cache.remove(&1);
            }
        });
        scene.end();
    });
}

#[test]
fn the_limit_holds_and_everybody_gets_a_turn_when_eight_threads_wait_for_two_places() {
    explore(|| {
        let scene = scene(2, WhenFull::Wait(PATIENCE));
        together(&scene, THREADS, |scene, thread| {
            for i in 0..2 {
                let key = (thread as u64 + i) % 4;
                hold(&scene.open(key), key);
            }
        });
        assert!(scene.all.most.load(SeqCst) <= 2);
        scene.end();
    });
}

#[test]
fn shutting_down_closes_what_eight_threads_still_use_and_open() {
    explore(|| {
        let scene = scene(3, WhenFull::default());
        together(&scene, THREADS, |scene, thread| {
            if thread == 0 {
                assert!(scene.cache.close(PATIENCE).is_complete());
                return;
            }
            for i in 0..2 {
                let key = (thread as u64 + i) % 4;
                let open = |key: &u64| Ok::<_, Infallible>(Reader::open(*key, &scene.all));
                match scene.cache.get_or_open(key, open) {
                    Ok(handle) => hold(&handle, key),
                    Err(_) => return,
                }
            }
        });
        scene.end();
    });
}
