//! Bytes per entry, counted at the allocator: at 2^20 entries, and at the worst moment, just after
//! a table has grown.
//!
//! What is counted are live bytes, in two views: what the map asked for (`Layout::size`), and what
//! the allocator set aside for it (`mi_usable_size`), which is what the program pays.
//!
//! A map is looked at *settled*: its growth finished, the old table freed. How that is brought
//! about: a sixteenth of the values are replaced, which finishes transfers that go on little by
//! little with each write, and makes maps that retire in batches hand theirs over; then the map is
//! flushed, where it can be; and then a small map of the same kind beside it is written to for some
//! thousand sessions, so that epochs which maps share advance.
//!
//! Caches of readers follow: see `readers`.
//!
//! With `--json FILE`, the maps' numbers go into a file that `versus --from` reads.

#[path = "../common/mod.rs"]
mod common;

mod counting;
mod readers;

use std::env;
use std::path::Path;

use crate::common::keys;
use crate::common::machine::Machine;
use crate::common::maps::{
    Binlock, DashMap, Flurry, Hashbrown, Map, Papaya, SccIndex, SccMap, Session, Sharded,
};
use crate::common::report::{Measure, Report, Row, Table};
use crate::common::work;
use crate::counting::{Bytes, Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Where memory is compared.
const ENTRIES: usize = 1 << 20;

/// Entries between two looks for the worst moment, from half of [`ENTRIES`] to twice as many: so
/// that each map grows at least once on the way, wherever its thresholds lie.
const STEP: usize = 1 << 13;

fn main() {
    // `cargo test` starts benchmarks without this.
    if !env::args().any(|argument| argument == "--bench") {
        return;
    }
    // All, or what is named.
    let (mut named, mut json) = (Vec::new(), None);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => json = Some(arguments.next().expect("--json needs a file")),
            option if option.starts_with('-') => {}
            _ => named.push(argument),
        }
    }
    let wants = |part: &str| named.is_empty() || named.iter().any(|name| part.contains(name));
    if wants("maps") {
        let table = measure_maps();
        if let Some(file) = json {
            let report = Report { machine: Some(Machine::here()), tables: vec![table] };
            report.write_json(Path::new(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    }
    if wants("readers") {
        readers::measure_all();
    }
}

fn measure_maps() -> Table {
    println!("bytes per entry, as requested / as set aside by the allocator");
    println!(
        "  {:28}{:>18}{:>18}{:>18}{:>14}",
        "", "2^20, just filled", "2^20, settled", "worst settled", "at entries"
    );
    let rows = vec![
        measure::<Hashbrown>(),
        measure::<Binlock>(),
        measure::<DashMap>(),
        measure::<Sharded>(),
        measure::<Papaya>(),
        measure::<Flurry>(),
        // Last, since they free late, and through an epoch that all scc maps share.
        measure::<SccIndex>(),
        measure::<SccMap>(),
    ];
    Table { workload: format!("memory/2^{}", ENTRIES.ilog2()), rounds: 1, rows }
}

fn measure<M: Map>() -> Row {
    let before = ALLOCATOR.live();
    let (filled, settled) = at_rest::<M>();
    wait_until_freed::<M>(before);
    let worst = worst::<M>();
    wait_until_freed::<M>(before);
    println!("  {:28}{filled:>18}{settled:>18}{:>18}{:>14}", M::NAME, worst.bytes, worst.entries);
    Row {
        contender: M::NAME.to_owned(),
        measures: vec![
            Measure::of("just filled, requested", &[filled.requested]),
            Measure::of("just filled, set aside", &[filled.set_aside]),
            Measure::of("settled, requested", &[settled.requested]),
            Measure::of("settled, set aside", &[settled.set_aside]),
            Measure::of("worst, requested", &[worst.bytes.requested]),
            Measure::of("worst, set aside", &[worst.bytes.set_aside]),
        ],
    }
}

/// Bytes per entry right after the last insert, and settled.
fn at_rest<M: Map>() -> (PerEntry, PerEntry) {
    let keys = keys::present(ENTRIES);
    let before = ALLOCATOR.live();
    let map = M::new();
    work::insert_all_new(&map, &keys);
    let filled = PerEntry::since(before, ENTRIES);
    settle(&map, &keys);
    (filled, PerEntry::since(before, ENTRIES))
}

struct Worst {
    bytes: PerEntry,
    entries: usize,
}

/// The most bytes per entry that a settled map takes on the way.
fn worst<M: Map>() -> Worst {
    let keys = keys::present(ENTRIES * 2);
    let before = ALLOCATOR.live();
    let map = M::new();
    let first = ENTRIES / 2;
    work::insert_all_new(&map, &keys[..first]);

    let looks = (first..=keys.len()).step_by(STEP).map(|entries| {
        work::insert_all_new(&map, &keys[entries.saturating_sub(STEP)..entries]);
        settle(&map, &keys[..entries]);
        Worst { bytes: PerEntry::since(before, entries), entries }
    });
    let worse = |a: Worst, b: Worst| if b.bytes.requested > a.bytes.requested { b } else { a };
    looks.reduce(worse).expect("there is a first look")
}

fn settle<M: Map>(map: &M, keys: &[u64]) {
    work::settle(map, keys);
    write_to_a_neighbour::<M>();
}

fn write_to_a_neighbour<M: Map>() {
    let neighbour = M::new();
    for key in 0..4096 {
        let session = neighbour.session();
        session.insert(key % 64, key);
    }
    neighbour.flush();
}

/// Waits for what a dropped map left to be freed later, so that it is not taken for memory that
/// the next one gives back.
fn wait_until_freed<M: Map>(before: Bytes) {
    wait(M::NAME, before, write_to_a_neighbour::<M>);
}

fn wait(name: &str, before: Bytes, mut help: impl FnMut()) {
    /// Thread-local buffers and the like, which maps may keep for the rest of the program.
    const SMALL: usize = 1 << 16;
    for _ in 0..1000 {
        if ALLOCATOR.live().requested <= before.requested + SMALL {
            return;
        }
        help();
    }
    let kept = ALLOCATOR.live().requested - before.requested;
    println!("  {name}: {kept} bytes are still not freed after the map was dropped");
}

/// What one entry takes.
#[derive(Clone, Copy)]
struct PerEntry {
    requested: f64,
    set_aside: f64,
}

impl PerEntry {
    fn since(before: Bytes, entries: usize) -> Self {
        let now = ALLOCATOR.live();
        let per_entry = |now: usize, before: usize| (now as f64 - before as f64) / entries as f64;
        Self {
            requested: per_entry(now.requested, before.requested),
            set_aside: per_entry(now.set_aside, before.set_aside),
        }
    }
}

impl std::fmt::Display for PerEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{:.1} / {:.1}", self.requested, self.set_aside))
    }
}
