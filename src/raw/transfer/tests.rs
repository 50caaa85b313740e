//! What others do when a thread stops in the middle of a transfer, where no test from outside can stop it.

use super::*;
use crate::epoch;

fn fill(map: &RawMap<u64, u64>, keys: std::ops::Range<u64>) {
    for key in keys {
        map.insert(hash::spread(key), key, key, &mut epoch::pin());
    }
}

#[test]
fn who_stops_right_after_counting_the_last_bin_holds_nobody_up() {
    // The first helper comes back in any case; if it has not helped, this fails there, before the
    // others wait for ever.
    for helper in 0..3 {
        let map = RawMap::<u64, u64>::new();
        fill(&map, 0..200);
        let guard = epoch::pin();
        let from = map.root();
        let to = Table::alloc(from.bits() + 1).expect("it is small");
        assert!(from.next().is_none(), "it has grown in the middle of its last insertion");
        from.set_next(to);
        // What somebody does who moves all bins, counts them, and gets no further.
        for index in 0..from.len() {
            let moved = map.move_plain(from, to, index, &guard)
                || matches!(map.move_bin(from, to, index, &guard), Outcome::Moved);
            assert!(moved);
        }
        from.head().progress.forwarded.fetch_add(from.len(), Ordering::AcqRel);
        assert!(map.root() == from);
        match helper {
            0 => fill(&map, 200..201),
            1 => map.reserve(to.limit() + 1, &guard).expect("it is small"),
            _ => map.shrink_to_fit(&guard).expect("it is small"),
        }
        assert!(map.root() != from);
        // And there he comes.
        map.finish_transfer(from, to, &guard);
        assert_eq!(map.len(), 200 + usize::from(helper == 0));
        fill(&map, 0..1_000);
        assert_eq!(map.len(), 1_000);
    }
}
