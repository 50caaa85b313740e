//! Two writers in one bin.
#![cfg(binlock_loom)]

use binlock_loom_tests::{Name, Op::*, linearizable, linearizable_within, map_with};

const A: Name = Name::new(0, 1, 0);
/// In the bin of `A`, with another tag.
const B: Name = Name::new(1, 2, 0);
/// In the bin of `A`, with its whole hash.
const LIKE_A: Name = Name::new(0, 1, 1);

#[test]
fn one_of_two_insertions_of_a_key_replaces_the_others_entry() {
    linearizable(|| map_with(1, &[]), [&[Insert(A, 1)], &[Insert(A, 2)]]);
}

#[test]
fn one_of_two_attempts_to_insert_a_key_finds_the_others_entry() {
    linearizable(|| map_with(1, &[]), [&[TryInsert(A, 1)], &[TryInsert(A, 2)]]);
}

#[test]
fn two_keys_inserted_into_one_bin_are_both_there() {
    linearizable(|| map_with(1, &[]), [&[Insert(A, 1), Get(B)], &[Insert(B, 2), Get(A)]]);
}

#[test]
fn two_keys_of_one_hash_inserted_at_once_are_both_there() {
    linearizable(|| map_with(1, &[]), [&[Insert(A, 1)], &[Insert(LIKE_A, 2)]]);
}

#[test]
fn an_insertion_notices_that_its_key_came_behind_one_of_the_same_hash() {
    linearizable(
        || map_with(1, &[(LIKE_A, 0)]),
        [&[Remove(LIKE_A), Insert(A, 1)], &[Insert(A, 2)]],
    );
}

#[test]
fn two_replacements_follow_each_other() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[Replace(A, 2)], &[Replace(A, 3)]]);
}

#[test]
fn one_of_two_removals_finds_the_key() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[Remove(A)], &[Remove(A)]]);
}

#[test]
fn a_replacement_meets_a_removal() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[Replace(A, 2)], &[Remove(A)]]);
}

#[test]
fn an_insertion_meets_a_removal() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[Insert(A, 2)], &[Remove(A), TryInsert(A, 3)]]);
}

#[test]
fn what_is_removed_is_what_the_condition_has_approved() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[Replace(A, 2), Replace(A, 1)], &[RemoveIf(A, 1)]]);
}

#[test]
fn a_removal_frees_the_slot_for_another_writer() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[Remove(A)], &[Insert(B, 2), Remove(B)]]);
}

#[test]
fn three_writers_share_a_bin() {
    linearizable_within(
        1,
        || map_with(1, &[(A, 1)]),
        [&[Remove(A)], &[Insert(A, 2)], &[Insert(B, 3)]],
    );
}

#[test]
fn a_removal_notices_that_its_key_was_removed_and_inserted_again() {
    // The header is the same then.
    linearizable(|| map_with(1, &[(A, 1)]), [&[Remove(A), Insert(A, 2)], &[Remove(A)]]);
}

#[test]
fn a_replacement_notices_that_its_key_was_removed_and_inserted_again() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[Remove(A), Insert(A, 2)], &[Replace(A, 3)]]);
}

#[test]
fn a_removal_notices_that_the_slot_went_to_a_key_of_the_same_hash() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[Remove(A), Insert(LIKE_A, 2)], &[Remove(A)]]);
}

#[test]
fn a_replacement_notices_that_the_slot_went_to_a_key_of_the_same_hash() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[Remove(A), Insert(LIKE_A, 2)], &[Replace(A, 3)]]);
}

#[test]
fn an_insertion_notices_that_the_slot_went_to_a_key_of_the_same_hash() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[Remove(A), Insert(LIKE_A, 2)], &[Insert(A, 3)]]);
}

#[test]
fn an_insertion_is_right_where_another_key_has_come_and_gone() {
    linearizable(|| map_with(1, &[]), [&[Insert(A, 2)], &[Insert(B, 3), Remove(B)]]);
}

#[test]
fn an_insertion_notices_that_its_key_has_come_where_another_had_been() {
    // Both headers that the other one may lock from have one tag, of different keys.
    linearizable(|| map_with(1, &[(B, 1)]), [&[Remove(B), Insert(A, 2)], &[TryInsert(A, 3)]]);
}

#[test]
fn two_insertions_of_a_key_behind_one_of_the_same_hash_meet() {
    linearizable(|| map_with(1, &[(LIKE_A, 0)]), [&[Insert(A, 1)], &[TryInsert(A, 2)]]);
}

#[test]
fn an_insertion_behind_a_key_of_the_same_hash_meets_a_removal() {
    linearizable(
        || map_with(1, &[(LIKE_A, 0), (A, 1)]),
        [&[Remove(A), Insert(A, 2)], &[Insert(A, 3)]],
    );
}

#[test]
fn a_key_of_a_hash_that_others_have_is_removed_once() {
    linearizable(
        || map_with(1, &[(LIKE_A, 0), (A, 1)]),
        [&[Remove(A)], &[Remove(LIKE_A), Remove(A)]],
    );
}

/// Maps of this size have stripes for threads of their own: the first two have one.
const LARGE: usize = 22;

/// What goes back there is the node that an insertion has made before it was too late for it.
#[test]
fn insertions_that_come_too_late_give_back_what_they_made_to_their_own_stripes() {
    linearizable(
        || map_with(LARGE, &[(A, 1)]),
        [&[Insert(A, 2), Insert(A, 3)], &[Insert(A, 4), Get(A)]],
    );
}

#[test]
fn an_insertion_that_comes_too_late_gives_back_what_it_made_while_its_stripe_is_revoked() {
    linearizable_within(
        1,
        || map_with(LARGE, &[(A, 1)]),
        [&[Insert(A, 2)], &[Flush], &[Insert(A, 3), Insert(A, 4)]],
    );
}
