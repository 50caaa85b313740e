//! What every benchmark binary shares: the maps behind one interface, the caches of readers
//! behind another, the keys, and what is timed.

#![allow(
    dead_code,
    unused_imports,
    reason = "each benchmark binary uses its own part of this module"
)]

pub mod computations;
pub mod cycles;
pub mod keys;
pub mod lanes;
pub mod machine;
pub mod maps;
pub mod other_types;
pub mod readers;
pub mod report;
pub mod slow_closures;
pub mod stats;
pub mod work;
