//! What has been seen stays, until it is removed.

mod common;

use std::{
    cell::Cell,
    hash::{Hash, Hasher},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use binlock::HashMap;
use common::{Hashers, Until, within};
use equivalent::Equivalent;

/// Looks for key 1, and takes its time over key 0, which has the same hash: long enough for
/// key 1 to be removed and inserted again between the bin's header and its slot.
struct Slow(Cell<u32>);

impl Hash for Slow {
    fn hash<H: Hasher>(&self, state: &mut H) {
        1_u64.hash(state);
    }
}

impl Equivalent<u64> for Slow {
    fn equivalent(&self, key: &u64) -> bool {
        if *key == 0 {
            for _ in 0..self.0.take() {
                std::hint::spin_loop();
            }
        }
        *key == 1
    }
}

#[test]
fn an_entry_that_one_look_up_has_seen_is_seen_by_the_next_unless_its_removal_has_begun() {
    within(60, || {
        let map: HashMap<u64, u64, Hashers> = HashMap::with_hasher(Hashers::Constant);
        map.insert(0, 0);
        let (removing, reader) = (AtomicU64::new(0), Until::new(1));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1.. {
                    map.insert(1, round);
                    removing.store(round, Ordering::SeqCst);
                    map.remove(&1);
                    if reader.ended() {
                        break;
                    }
                }
            });
            // Also if this panics: the writer is waited for.
            let _end = reader.end_of_one();
            let begin = Instant::now();
            let mut delay = 1_u32;
            let mut seen = 0_u64;
            while begin.elapsed() < Duration::from_secs(3) {
                let pinned = map.pin();
                for _ in 0..64 {
                    delay = delay.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let first = pinned.get(&Slow(Cell::new(delay >> 26))).copied();
                    let second = pinned.get(&1).copied();
                    let removed = removing.load(Ordering::SeqCst);
                    seen += u64::from(first.is_some());
                    if let (Some(round), None) = (first, second) {
                        assert!(removed >= round, "{round} was seen, and not found again");
                    }
                }
            }
            assert!(seen > 0);
        });
    });
}
