//! A reader cache with a tiny limit: nothing is read after it was closed, and all are closed once.

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use binlock::{ReaderCache, readers::OpenError};

use crate::{computations::turns, values::Random, verdict::Verdict};

const LIMIT: usize = 8;
const KEYS: u64 = 40;

/// How many have been opened, and closed, and what went wrong.
#[derive(Default)]
struct Book {
    opened: AtomicU64,
    closed: AtomicU64,
    wrong: AtomicU64,
}

struct Reader {
    book: Arc<Book>,
    is_closed: AtomicBool,
    contents: Vec<u64>,
}

impl Reader {
    fn open(book: &Arc<Book>, key: u64) -> Reader {
        book.opened.fetch_add(1, Ordering::Relaxed);
        Reader { book: book.clone(), is_closed: AtomicBool::new(false), contents: vec![key; 16] }
    }

    fn read(&self, key: u64) {
        if self.is_closed.load(Ordering::Acquire) || self.contents.iter().any(|it| *it != key) {
            self.book.wrong.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn close(&self) {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            self.book.wrong.fetch_add(1, Ordering::Relaxed);
        }
        self.book.closed.fetch_add(1, Ordering::Relaxed);
    }
}

pub struct Readers {
    cache: ReaderCache<u64, Reader>,
    book: Arc<Book>,
}

impl Readers {
    pub fn new() -> Readers {
        let cache = ReaderCache::builder()
            .max_open(LIMIT)
            .time_to_idle(Duration::from_millis(20))
            .on_close(|_, reader: Reader, _| reader.close())
            .build()
            .expect("the limits are sensible");
        Readers { cache, book: Arc::default() }
    }

    pub fn open(&self, random: &mut Random) {
        let (key, number) = (random.below(KEYS), random.next());
        let opened = self.cache.get_or_open(key, |key| {
            if number % 50 == 0 {
                Err("no such object")
            } else {
                Ok(Reader::open(&self.book, *key))
            }
        });
        match opened {
            Ok(reader) => {
                reader.read(key);
                if number % 16 == 0 {
                    thread::yield_now();
                    reader.read(key);
                }
            }
            Err(OpenError::Failed(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens by a future, and cancels every fourth.
    pub fn open_async(&self, random: &mut Random) {
        let (key, number) = (random.below(KEYS), random.next());
        let book = self.book.clone();
        let opening = self.cache.get_or_open_async(key, async move {
            turns(number % 3).await;
            Ok::<_, Infallible>(Reader::open(&book, key))
        });
        let mut opening = pin!(opening);
        let polls = if number % 4 == 0 { 1 } else { usize::MAX };
        for _ in 0..polls {
            match opening.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(reader) => {
                    reader.unwrap_or_else(|error| panic!("{error}")).read(key);
                    return;
                }
                Poll::Pending => thread::yield_now(),
            }
        }
    }

    pub fn remove(&self, random: &mut Random) {
        match random.below(20) {
            0 => drop(self.cache.clear()),
            1 => drop(self.cache.retain(|key, _| key % 2 == 0)),
            2 => drop(self.cache.run_pending()),
            _ => drop(self.cache.remove(&random.below(KEYS))),
        }
    }

    pub fn check(&self, verdict: &mut Verdict) {
        let stats = self.cache.stats();
        if stats.opened != stats.closed + stats.open {
            verdict.fail(format!("the statistics do not add up: {stats:?}"));
        }
        if self.book.wrong.load(Ordering::Relaxed) > 0 {
            verdict.fail("a reader was read, or closed, after it was closed".into());
        }
    }

    pub fn end(self, verdict: &mut Verdict) {
        self.check(verdict);
        let (stats, book) = (self.cache.stats(), self.book);
        if (stats.in_use, stats.detached, stats.opening) != (0, 0, 0) || stats.open > LIMIT as u64 {
            verdict.fail(format!("readers are in use that nobody uses: {stats:?}"));
        }
        drop(self.cache);
        let (opened, closed) =
            (book.opened.load(Ordering::Relaxed), book.closed.load(Ordering::Relaxed));
        if opened != closed || opened == 0 {
            verdict.fail(format!("of {opened} readers {closed} were closed"));
        }
        verdict.note(format!("{opened} readers were opened and closed"));
    }
}
