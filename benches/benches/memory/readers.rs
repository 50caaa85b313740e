//! Caches of readers: what one takes for an entry beyond its key and its reader, of 8 bytes each,
//! and whether it allocates for a hit.
//!
//! A cache is looked at three times: right after as many readers as it may keep have been opened;
//! *settled*, when a small cache of the same kind beside it has evicted some thousand readers, so
//! that epochs which caches share advance, and old tables are freed; and when twice as many more
//! readers have been opened, in the place of others: by then, a policy that remembers keys which
//! are gone does so. Bytes are divided by the readers that are really open, as caches that are
//! made of shards keep fewer than they may.

use crate::common::keys::{self, Stream};
use crate::common::readers::work::{Unseen, all_open, hits, open_all};
use crate::common::readers::{Binlock, Foyer, FoyerS3Fifo, Moka, QuickCache, Reader, Readers};
use crate::counting::Bytes;
use crate::{ALLOCATOR, PerEntry, wait};

/// How many readers a cache may keep open.
const CAPACITIES: [usize; 2] = [1 << 16, 1 << 20];

/// What our cache may take for an entry.
const BAR: f64 = 120.0;

/// A hit must not allocate, ever.
const HITS: usize = 1_000_000;

const KEY_AND_READER: f64 = (size_of::<u64>() + size_of::<Reader>()) as f64;

pub fn measure_all() {
    println!("\nreaders: bytes per entry beyond key and reader, as requested / as set aside");
    println!(
        "  {:20}{:>8}{:>18}{:>18}{:>18}{:>10}",
        "", "may open", "just filled", "settled", "after evictions", "open"
    );
    for capacity in CAPACITIES {
        let ours = measure::<Binlock>(capacity);
        measure::<QuickCache>(capacity);
        measure::<Moka>(capacity);
        measure::<Foyer>(capacity);
        measure::<FoyerS3Fifo>(capacity);
        for PerEntry { requested, .. } in ours {
            let verdict = if requested <= BAR { "within" } else { "OVER" };
            println!("  binlock: {requested:.1} are {verdict} the bar of {BAR}");
        }
    }

    println!("\nreaders: allocations in {HITS} hits");
    let ours = allocations_of_hits::<Binlock>();
    allocations_of_hits::<QuickCache>();
    allocations_of_hits::<Moka>();
    allocations_of_hits::<Foyer>();
    allocations_of_hits::<FoyerS3Fifo>();
    assert_eq!(ours, 0, "a hit allocates");
}

/// Settled, and after evictions.
fn measure<C: Readers>(capacity: usize) -> [PerEntry; 2] {
    let keys = keys::present(capacity);
    let before = ALLOCATOR.live();
    let cache = C::with_capacity(capacity);
    open_all(&cache, &keys);
    let filled = per_entry(&cache, before);

    evict_from_a_neighbour::<C>();
    let settled = per_entry(&cache, before);

    let unseen = Unseen::default();
    open_new(&cache, &unseen, 2 * capacity);
    evict_from_a_neighbour::<C>();
    let churned = per_entry(&cache, before);

    println!(
        "  {:20}{:>8}{filled:>18}{settled:>18}{churned:>18}{:>10}",
        C::NAME,
        format!("2^{}", capacity.ilog2()),
        cache.len()
    );
    drop(cache);
    wait(C::NAME, before, evict_from_a_neighbour::<C>);
    [settled, churned]
}

fn per_entry<C: Readers>(cache: &C, before: Bytes) -> PerEntry {
    let all = PerEntry::since(before, cache.len());
    PerEntry {
        requested: all.requested - KEY_AND_READER,
        set_aside: all.set_aside - KEY_AND_READER,
    }
}

fn open_new<C: Readers>(cache: &C, unseen: &Unseen, readers: usize) {
    let mut newcomers = unseen.newcomers();
    for _ in 0..readers {
        cache.read_or_open(newcomers.next(), Reader::open);
    }
    cache.catch_up();
}

fn evict_from_a_neighbour<C: Readers>() {
    let neighbour = C::with_capacity(64);
    open_new(&neighbour, &Unseen::default(), 4096);
}

/// Of a cache that has been warmed up by as many hits.
fn allocations_of_hits<C: Readers>() -> usize {
    let [entries, _] = CAPACITIES;
    let cache = all_open::<C>(entries);
    let stream = Stream::zipf(entries);
    let run = || {
        for keys in stream.window(0, HITS).parts() {
            std::hint::black_box(hits(&cache, keys));
        }
    };
    run();
    let before = ALLOCATOR.allocations();
    run();
    let allocations = ALLOCATOR.allocations() - before;
    println!("  {:20}{allocations:>8}", C::NAME);
    allocations
}
