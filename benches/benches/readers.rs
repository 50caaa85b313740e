//! Caches of readers, each workload by itself (criterion).
//!
//! As with `map`: to compare two caches, there is `versus`, which interleaves them.

mod common;

use std::cell::LazyCell;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use mimalloc::MiMalloc;

use crate::common::keys::{Stream, Window};
use crate::common::readers::work::{self, ALL_OPEN, CAPACITY, THREADS, Unseen};
use crate::common::readers::{Binlock, Foyer, FoyerS3Fifo, Moka, QuickCache, Readers};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Calls a function that is generic over the cache, once for each cache.
macro_rules! for_each_cache {
    ($function:ident($($argument:expr),*)) => {
        $function::<Binlock>($($argument),*);
        $function::<QuickCache>($($argument),*);
        $function::<Moka>($($argument),*);
        $function::<Foyer>($($argument),*);
        $function::<FoyerS3Fifo>($($argument),*);
    };
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

fn group<'c>(
    criterion: &'c mut Criterion,
    kind: &str,
    entries: usize,
    threads: usize,
) -> Group<'c> {
    let name = format!("readers_{kind}/2^{}/{threads} threads", entries.ilog2());
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    group
}

/// One iteration is one key. Each goes on in the stream where the one before it stopped.
fn bench<T>(
    group: &mut Group<'_>,
    name: &str,
    threads: usize,
    stream: &Stream,
    new: impl FnOnce() -> T,
    work: impl Fn(&T, Window<'_>) + Sync,
) where
    T: Sync,
{
    // Not built for a benchmark that the command line filters out.
    let cache = LazyCell::new(new);
    let mut position = 0;
    group.bench_function(name, |bencher| {
        let cache = LazyCell::force(&cache);
        bencher.iter_custom(|iterations| {
            let each = (iterations as usize).div_ceil(threads);
            let time = time(threads, |number| {
                let start = position + number * (stream.len() / threads);
                work(cache, stream.window(start, each));
            });
            position += each;
            time.mul_f64(iterations as f64 / (each * threads) as f64)
        });
    });
}

/// From the first thread to begin to the last to end.
fn time(threads: usize, work: impl Fn(usize) + Sync) -> Duration {
    let barrier = Barrier::new(threads);
    let (work, barrier) = (&work, &barrier);
    let thread = |number| {
        move || {
            barrier.wait();
            let begin = Instant::now();
            work(number);
            (begin, Instant::now())
        }
    };
    let times: Vec<_> = thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|number| scope.spawn(thread(number))).collect();
        handles.into_iter().map(|handle| handle.join().expect("no cache panics")).collect()
    });
    let begin = times.iter().map(|(begin, _)| *begin).min().expect("there are threads");
    let end = times.iter().map(|(_, end)| *end).max().expect("there are threads");
    end - begin
}

fn bench_hits<C: Readers>(group: &mut Group<'_>, entries: usize, threads: usize, keys: &Stream) {
    let new = || work::all_open::<C>(entries);
    bench(group, C::NAME, threads, keys, new, |cache, window| {
        for keys in window.parts() {
            black_box(work::hits(cache, keys));
        }
    });
}

fn bench_mixed<C: Readers>(group: &mut Group<'_>, threads: usize, keys: &Stream) {
    let new = || {
        let unseen = Unseen::default();
        (work::churned::<C>(keys, &unseen), unseen)
    };
    bench(group, C::NAME, threads, keys, new, |(cache, unseen), window| {
        let mut newcomers = unseen.newcomers();
        for keys in window.parts() {
            black_box(work::mixed(cache, &mut newcomers, keys));
        }
    });
}

fn hits(criterion: &mut Criterion) {
    for entries in ALL_OPEN {
        let keys = Stream::zipf(entries);
        for threads in THREADS {
            let mut group = group(criterion, "hits", entries, threads);
            for_each_cache!(bench_hits(&mut group, entries, threads, &keys));
        }
    }
}

fn mixed(criterion: &mut Criterion) {
    let keys = work::stream_of_mix();
    for threads in THREADS {
        let mut group = group(criterion, "mixed", CAPACITY, threads);
        for_each_cache!(bench_mixed(&mut group, threads, &keys));
    }
}

/// Shorter than criterion's own times, as in `map`.
fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .without_plots()
}

criterion_group! {
    name = readers;
    config = criterion();
    targets = hits, mixed
}
criterion_main!(readers);
