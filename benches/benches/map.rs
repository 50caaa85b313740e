//! Each operation by itself, on one thread, for every map (criterion).
//!
//! Criterion measures one map after the other, minutes apart. To watch one map's operation over
//! time that is what one wants; to compare two maps, `versus` interleaves them.

mod common;

use std::cell::LazyCell;
use std::hint::black_box;
use std::time::Duration;
use std::{env, iter};

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use mimalloc::MiMalloc;

use crate::common::keys::{self, Stream, Window};
use crate::common::maps::{
    Binlock, BinlockEach, DashMap, Flurry, FlurryEach, Hashbrown, Map, Papaya, PapayaEach,
    SccIndex, SccIndexEach, SccMap, Sharded,
};
use crate::common::work::{self, BATCH};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Set to anything, it adds maps of 2^24 entries: a gigabyte each, and minutes to fill them all.
const LARGE: &str = "BINLOCK_BENCH_LARGE";

fn sizes() -> impl Iterator<Item = usize> {
    let large = env::var_os(LARGE).map(|_| 1 << 24);
    [1 << 10, 1 << 16, 1 << 20].into_iter().chain(large)
}

/// Calls a function that is generic over the map, once for each map.
macro_rules! for_each_map {
    ($function:ident($($argument:expr),*)) => {
        $function::<Binlock>($($argument),*);
        $function::<BinlockEach>($($argument),*);
        $function::<Papaya>($($argument),*);
        $function::<PapayaEach>($($argument),*);
        $function::<Flurry>($($argument),*);
        $function::<FlurryEach>($($argument),*);
        $function::<SccIndex>($($argument),*);
        $function::<SccIndexEach>($($argument),*);
        $function::<SccMap>($($argument),*);
        $function::<DashMap>($($argument),*);
        $function::<Sharded>($($argument),*);
        $function::<Hashbrown>($($argument),*);
    };
}

type Group<'c> = BenchmarkGroup<'c, WallTime>;

fn group<'c>(criterion: &'c mut Criterion, name: &str, entries: usize) -> Group<'c> {
    criterion.benchmark_group(format!("{name}/2^{}", entries.ilog2()))
}

/// What one iteration of a benchmark is: `keys` keys of a stream, handed to `work`.
struct Operation<M> {
    keys: usize,
    work: fn(&M, Window<'_>) -> Duration,
}

/// Benchmarks an operation on a filled map. Each iteration goes on in the stream where the one
/// before it stopped.
fn bench<M: Map>(group: &mut Group<'_>, entries: usize, stream: &Stream, operation: Operation<M>) {
    let Operation { keys, work } = operation;
    // Criterion calls the closure below once for each sample, and not at all for a benchmark that
    // the command line filters out.
    let map = LazyCell::new(|| work::filled::<M>(entries));
    let mut position = 0;
    group.throughput(Throughput::Elements(keys as u64));
    group.bench_function(M::NAME, |bencher| {
        let map = LazyCell::force(&map);
        bencher.iter_custom(|iterations| {
            let length = iterations as usize * keys;
            let window = stream.window(position, length);
            position += length;
            work(map, window)
        });
    });
}

fn bench_gets<M: Map>(group: &mut Group<'_>, entries: usize, stream: &Stream) {
    bench::<M>(group, entries, stream, Operation { keys: 1, work: work::gets });
}

fn bench_batches<M: Map>(group: &mut Group<'_>, entries: usize, stream: &Stream) {
    bench::<M>(group, entries, stream, Operation { keys: BATCH, work: work::batches });
}

fn bench_replacements<M: Map>(group: &mut Group<'_>, entries: usize, stream: &Stream) {
    bench::<M>(group, entries, stream, Operation { keys: 1, work: work::replacements });
}

fn bench_removals<M: Map>(group: &mut Group<'_>, entries: usize, stream: &Stream) {
    bench::<M>(group, entries, stream, Operation { keys: 1, work: work::removals });
}

fn bench_updates<M: Map>(group: &mut Group<'_>, entries: usize, stream: &Stream) {
    bench::<M>(group, entries, stream, Operation { keys: 1, work: work::updates });
}

fn bench_iterations<M: Map>(group: &mut Group<'_>, entries: usize) {
    let map = LazyCell::new(|| work::filled::<M>(entries));
    group.bench_function(M::NAME, |bencher| {
        let map = LazyCell::force(&map);
        bencher.iter_custom(|iterations| {
            let times = iter::repeat_with(|| work::iterate(map, entries));
            times.take(iterations as usize).sum()
        });
    });
}

fn bench_drain<M: Map>(group: &mut Group<'_>, keys: &[u64]) {
    group.bench_function(M::NAME, |bencher| {
        bencher.iter_custom(|iterations| {
            let drains = iter::repeat_with(|| work::drain::<M>(black_box(keys)));
            drains.take(iterations as usize).sum()
        });
    });
}

fn bench_fill<M: Map>(group: &mut Group<'_>, keys: &[u64]) {
    group.bench_function(M::NAME, |bencher| {
        bencher.iter_custom(|iterations| {
            let fills = iter::repeat_with(|| work::fill::<M>(black_box(keys)));
            fills.take(iterations as usize).sum()
        });
    });
}

fn get_hit(criterion: &mut Criterion) {
    for entries in sizes() {
        let stream = Stream::hits(entries);
        let mut group = group(criterion, "get_hit", entries);
        for_each_map!(bench_gets(&mut group, entries, &stream));
    }
}

fn get_miss(criterion: &mut Criterion) {
    for entries in sizes() {
        let stream = Stream::misses(entries);
        let mut group = group(criterion, "get_miss", entries);
        for_each_map!(bench_gets(&mut group, entries, &stream));
    }
}

/// Batches of 16: binlock's `get_many`, the others' `get` 16 times.
fn get_many(criterion: &mut Criterion) {
    for entries in sizes() {
        let stream = Stream::hits(entries);
        let mut group = group(criterion, "get_many", entries);
        for_each_map!(bench_batches(&mut group, entries, &stream));
    }
}

fn insert_fill(criterion: &mut Criterion) {
    for entries in sizes() {
        let keys = keys::present(entries);
        let mut group = group(criterion, "insert_fill", entries);
        group.throughput(Throughput::Elements(entries as u64));
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        for_each_map!(bench_fill(&mut group, &keys));
    }
}

fn replace(criterion: &mut Criterion) {
    for entries in sizes() {
        let stream = Stream::hits(entries);
        let mut group = group(criterion, "replace", entries);
        for_each_map!(bench_replacements(&mut group, entries, &stream));
    }
}

/// The same by what each map has for keys that it knows to be there, in place where it can.
fn update(criterion: &mut Criterion) {
    for entries in sizes() {
        let stream = Stream::hits(entries);
        let mut group = group(criterion, "update", entries);
        for_each_map!(bench_updates(&mut group, entries, &stream));
    }
}

/// From full to empty.
fn remove_drain(criterion: &mut Criterion) {
    for entries in sizes() {
        let keys = keys::present(entries);
        let mut group = group(criterion, "remove_drain", entries);
        group.throughput(Throughput::Elements(entries as u64));
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        for_each_map!(bench_drain(&mut group, &keys));
    }
}

/// Over all entries, with one guard.
fn iterate(criterion: &mut Criterion) {
    for entries in sizes() {
        let mut group = group(criterion, "iterate", entries);
        group.throughput(Throughput::Elements(entries as u64));
        group.sampling_mode(SamplingMode::Flat).sample_size(10);
        for_each_map!(bench_iterations(&mut group, entries));
    }
}

/// One iteration removes a key and inserts it again.
fn remove_insert(criterion: &mut Criterion) {
    for entries in sizes() {
        let stream = Stream::hits(entries);
        let mut group = group(criterion, "remove_insert", entries);
        for_each_map!(bench_removals(&mut group, entries, &stream));
    }
}

/// Shorter than criterion's own times: there are some three hundred benchmarks.
fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .without_plots()
}

criterion_group! {
    name = map;
    config = criterion();
    targets = get_hit, get_miss, get_many, insert_fill, replace, update, remove_drain,
        remove_insert, iterate
}
criterion_main!(map);
