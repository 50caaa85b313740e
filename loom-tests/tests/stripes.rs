//! Threads that meet where each keeps its share of the count and of the garbage: there are
//! as many shares from then on as there is use for.
#![cfg(loom)]

use binlock_loom_tests::{Name, Op::*, linearizable, linearizable_within, map_with};

const A: Name = Name::new(0x00, 1, 0);
/// In the other bin.
const B: Name = Name::new(0x80, 2, 0);

#[test]
fn the_count_is_exact_after_insertions_have_met() {
    linearizable(|| map_with(1, &[]), [&[Insert(A, 1)], &[Insert(B, 2), Remove(B)]]);
}

#[test]
fn the_count_is_exact_after_removals_have_met() {
    linearizable(|| map_with(1, &[(A, 1), (B, 2)]), [&[Remove(A)], &[Remove(B)]]);
}

#[test]
fn replacements_that_meet_retire_what_they_replace() {
    linearizable(|| map_with(1, &[(A, 1), (B, 2)]), [&[Replace(A, 3)], &[Replace(B, 4), Flush]]);
}

#[test]
fn garbage_that_no_share_was_free_for_is_dropped_too() {
    linearizable_within(
        1,
        || map_with(1, &[(A, 1), (B, 2)]),
        [&[Replace(A, 3)], &[Replace(B, 4)], &[Flush]],
    );
}
