//! The reader cache under test. Its "readers" are sizes, as nothing is to be read.

use std::convert::Infallible;

use ahash::RandomState;
use binlock::ReaderCache;

use crate::trace::Trace;

/// How many of the requests are hits, of a cache of so many entries, or of so much weight where
/// the trace has sizes.
pub fn hits(trace: &Trace, capacity: u64) -> Result<u64, String> {
    // The same in each run: what the cache remembers of evicted keys is a part of their hashes.
    let hasher = RandomState::with_seeds(1, 2, 3, 4);
    let builder = ReaderCache::<u64, u64>::builder().hasher(hasher);
    let cache = if trace.has_sizes {
        builder.max_weight(capacity).weigher(|_key, size| *size).build()
    } else {
        builder.max_open(usize::try_from(capacity).unwrap_or(usize::MAX)).build()
    };
    let cache = cache.map_err(|error| format!("no cache for {capacity}: {error}"))?;

    let mut opened = 0;
    for request in &trace.requests {
        let handle = cache.get_or_open(u64::from(request.key), |_key| {
            opened += 1;
            Ok::<_, Infallible>(request.size)
        });
        handle.map_err(|error| format!("a reader could not be opened: {error}"))?;
    }
    Ok(trace.requests.len() as u64 - opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_is_large_enough_misses_each_key_once() {
        let trace = Trace::of_keys("test", (0..1000).map(|i| i % 10));
        assert_eq!(hits(&trace, 10), Ok(990));
    }

    #[test]
    fn a_loop_that_is_larger_than_the_cache_has_hits_all_the_same() {
        let trace = Trace::of_keys("test", (0..10_000).map(|i| i % 100));
        assert!(hits(&trace, 50).is_ok_and(|hits| hits > 4_000));
    }
}
