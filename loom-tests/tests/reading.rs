//! Look-ups in a bin that is being written to.
#![cfg(binlock_loom)]

use binlock_loom_tests::{Name, Op::*, linearizable, map_with, model, spawn};

const A: Name = Name::new(0, 1, 0);
/// In the bin of `A`, with another tag.
const B: Name = Name::new(1, 2, 0);
/// In the bin of `A`, with its tag.
const LIKE_A: Name = Name::new(2, 1, 0);

#[test]
fn a_reader_sees_all_of_an_insertion_or_nothing() {
    linearizable(|| map_with(1, &[]), [&[Insert(A, 1)], &[Get(A), Get(A)]]);
}

#[test]
fn a_reader_of_a_key_that_is_replaced_sees_one_value_and_then_the_other() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[Insert(A, 2), Replace(A, 3)], &[Get(A), Get(A)]]);
}

#[test]
fn a_reader_of_a_key_that_is_removed_sees_it_or_not() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[Remove(A)], &[Get(A), Get(A)]]);
}

#[test]
fn a_slot_that_changes_hands_shows_the_keys_own_value_or_none() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[Remove(A), Insert(B, 2)], &[Get(A), Get(B)]]);
}

#[test]
fn a_slot_that_goes_to_a_key_with_the_same_tag_shows_the_keys_own_value_or_none() {
    linearizable(
        || map_with(1, &[(A, 1)]),
        [&[Remove(A), Insert(LIKE_A, 2)], &[Get(A), Get(LIKE_A)]],
    );
}

#[test]
fn who_finds_a_key_in_a_slot_that_had_one_with_the_same_tag_finds_it_again() {
    // The first time perhaps by the tag of the other.
    linearizable(
        || map_with(1, &[(A, 1)]),
        [&[Remove(A), Insert(LIKE_A, 2)], &[Get(LIKE_A), Get(LIKE_A)]],
    );
}

#[test]
fn a_reader_sees_all_of_a_value_that_was_made_after_its_writer_was_pinned() {
    // Most models make their values before that, and then the fence of the pin publishes them,
    // whatever the writer does.
    model(|| {
        let map = map_with(1, &[(A, 1)]);
        let writer = spawn(&map, |map| {
            let pinned = map.pin();
            assert_eq!(pinned.replace(A.into(), 2.into()).map(|value| value.read()), Some(1));
        });
        assert!(matches!(Get(A).run(&map), Some(1 | 2)));
        writer.join().unwrap();
    });
}

#[test]
fn a_key_that_was_removed_and_inserted_again_is_found() {
    linearizable(
        || map_with(1, &[(A, 1)]),
        [&[Remove(A), Insert(B, 2), Insert(A, 3)], &[Get(A), Get(A)]],
    );
}

#[test]
fn what_a_reader_has_seen_is_seen_by_those_who_hear_of_it() {
    linearizable(
        || map_with(1, &[]),
        [&[Insert(A, 1)], &[Get(A), Insert(B, 2)], &[Get(B), Get(A)]],
    );
}
