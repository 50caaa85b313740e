//! The compute family, each operation by itself, for every map (criterion).
//!
//! As with `map`: to compare two maps, or an operation with the map's own `get` or `insert`, there
//! is `versus`, which interleaves them.

mod common;

use std::cell::LazyCell;
use std::hint::black_box;
use std::iter;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use mimalloc::MiMalloc;

use crate::common::keys::{self, Stream};
use crate::common::maps::{
    Binlock, BinlockEach, BinlockEntry, BinlockMerge, Compute, DashMap, Flurry, FlurryEach, Moka,
    Papaya, PapayaEach, SccIndexEach, SccMap, Sharded, StdMutex,
};
use crate::common::slow_closures::{CONTENDERS, compute_all};
use crate::common::{computations, cycles, work};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SIZES: [usize; 3] = [1 << 10, 1 << 16, 1 << 20];

/// Calls a function that is generic over the map, once for each map.
macro_rules! for_each_map {
    ($function:ident($($argument:expr),*)) => {
        $function::<Binlock>($($argument),*);
        $function::<BinlockEach>($($argument),*);
        $function::<BinlockEntry>($($argument),*);
        $function::<Papaya>($($argument),*);
        $function::<PapayaEach>($($argument),*);
        $function::<Flurry>($($argument),*);
        $function::<FlurryEach>($($argument),*);
        $function::<SccIndexEach>($($argument),*);
        $function::<SccMap>($($argument),*);
        $function::<DashMap>($($argument),*);
        $function::<Sharded>($($argument),*);
        $function::<Moka>($($argument),*);
        $function::<StdMutex>($($argument),*);
    };
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

fn group<'c>(criterion: &'c mut Criterion, name: &str, entries: usize) -> Group<'c> {
    criterion.benchmark_group(format!("{name}/2^{}", entries.ilog2()))
}

/// What an iteration is one key of: `work` gets the map, the stream, where in it to begin, and how
/// many keys to take. Each iteration goes on where the one before it stopped.
type Work<M> = fn(&M, &Stream, usize, usize) -> Duration;

fn bench<M: Compute>(group: &mut Group<'_>, entries: usize, stream: &Stream, work: Work<M>) {
    // Not built for a benchmark that the command line filters out.
    let map = LazyCell::new(|| work::filled::<M>(entries));
    let mut position = 0;
    group.throughput(Throughput::Elements(1));
    group.bench_function(M::NAME, |bencher| {
        let map = LazyCell::force(&map);
        bencher.iter_custom(|iterations| {
            let time = work(map, stream, position, iterations as usize);
            position += iterations as usize;
            time
        });
    });
}

fn bench_present<M: Compute>(group: &mut Group<'_>, entries: usize, stream: &Stream) {
    bench::<M>(group, entries, stream, |map, stream, start, length| {
        computations::present(map, stream.window(start, length))
    });
}

fn bench_fill<M: Compute>(group: &mut Group<'_>, keys: &[u64]) {
    group.bench_function(M::NAME, |bencher| {
        bencher.iter_custom(|iterations| {
            let fills = iter::repeat_with(|| computations::fill::<M>(black_box(keys)));
            fills.take(iterations as usize).sum()
        });
    });
}

fn bench_increments<M: Compute>(group: &mut Group<'_>, entries: usize, stream: &Stream) {
    bench::<M>(group, entries, stream, |map, stream, start, length| {
        computations::increments(map, stream.window(start, length))
    });
}

/// Half of the keys for each thread.
fn bench_two_threads<M: Compute + Sync>(group: &mut Group<'_>, entries: usize, stream: &Stream) {
    bench::<M>(group, entries, stream, |map, stream, start, length| {
        let each = length.div_ceil(2);
        computations::increments_of_threads(map, 2, stream, start, each)
            .mul_f64(length as f64 / (2 * each) as f64)
    });
}

fn compute_present(criterion: &mut Criterion) {
    for entries in SIZES {
        let stream = Stream::hits(entries);
        let mut group = group(criterion, "compute_present", entries);
        for_each_map!(bench_present(&mut group, entries, &stream));
    }
}

fn compute_absent(criterion: &mut Criterion) {
    for entries in SIZES {
        let keys = keys::present(entries);
        let mut group = group(criterion, "compute_absent", entries);
        group.throughput(Throughput::Elements(entries as u64));
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        for_each_map!(bench_fill(&mut group, &keys));
    }
}

fn compute_increment(criterion: &mut Criterion) {
    for entries in SIZES {
        let stream = Stream::hits(entries);
        let mut group = group(criterion, "compute_increment", entries);
        for_each_map!(bench_increments(&mut group, entries, &stream));
        bench_increments::<BinlockMerge>(&mut group, entries, &stream);
    }
}

fn compute_increment_2_threads(criterion: &mut Criterion) {
    for entries in SIZES {
        let stream = Stream::hits(entries);
        let mut group = group(criterion, "compute_increment_2_threads", entries);
        for_each_map!(bench_two_threads(&mut group, entries, &stream));
        bench_two_threads::<BinlockMerge>(&mut group, entries, &stream);
    }
}

/// One iteration computes 64 keys by closures that sleep 1 ms, on 8 threads: 8 ms at best.
fn slow_closures(criterion: &mut Criterion) {
    for (name, colliding) in [("slow_closures", false), ("slow_closures_colliding", true)] {
        let mut group = criterion.benchmark_group(name);
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        for contender in &CONTENDERS {
            let new = if colliding { contender.colliding } else { contender.spread };
            group.bench_function(contender.name, |bencher| {
                bencher.iter_custom(|iterations| {
                    iter::repeat_with(|| compute_all(&new())).take(iterations as usize).sum()
                });
            });
        }
    }
}

/// From closing a cycle to being told, while 64 other threads wait. Each cycle takes
/// milliseconds to set up, of which criterion does not know: it gets the mean of a few, as often
/// as it asks for.
fn cycle(criterion: &mut Criterion) {
    const CIRCLES: usize = 10;
    let mut group = criterion.benchmark_group("cycle");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.bench_function("binlock", |bencher| {
        bencher.iter_custom(|iterations| {
            let total: Duration = cycles::times_of_refusal(64, CIRCLES).into_iter().sum();
            total.mul_f64(iterations as f64 / CIRCLES as f64)
        });
    });
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
    name = compute;
    config = criterion();
    targets = compute_present, compute_absent, compute_increment, compute_increment_2_threads,
        slow_closures, cycle
}
criterion_main!(compute);
