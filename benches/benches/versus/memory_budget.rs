//! How many maps may exist at once.

use std::fs;

use crate::args::Args;

/// What the most lavish of the maps takes for one entry, roughly.
const BYTES_PER_ENTRY: usize = 160;

/// Where the system does not tell how much memory is free.
const FALLBACK: usize = 4 << 30;

/// How many maps of `entries` entries may exist at once: two at least, as one cannot be compared.
pub fn maps_at_once(args: &Args, entries: usize) -> usize {
    let budget = args.memory.or_else(|| available().map(|bytes| bytes / 2)).unwrap_or(FALLBACK);
    (budget / (entries * BYTES_PER_ENTRY)).max(2)
}

/// What could be allocated without swapping; only Linux tells.
fn available() -> Option<usize> {
    let report = fs::read_to_string("/proc/meminfo").ok()?;
    let line = report.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}
