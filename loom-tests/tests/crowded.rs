//! Insertions where there is more to look at than an empty slot: a key with the same tag, an
//! overflow block, or both. They look once, lock the bin from the header that they have seen, and
//! compare what can have changed without it.
#![cfg(binlock_loom)]

use std::sync::Arc;

use binlock_loom_tests::{Map, Name, Op::*, linearizable, linearizable_within, map_with};

/// Keys of one bin. Those with another number have the tag of number zero.
const fn name(tag: u8, number: u8) -> Name {
    Name::new(0, tag, number)
}

const KEY: Name = name(1, 0);
const LIKE_KEY: Name = name(1, 1);
const TOO: Name = name(1, 2);
/// In the last slot of a full bin, and then in the first one of its block.
const LAST: Name = name(7, 0);
const LIKE_LAST: Name = name(7, 1);
/// Behind it in the block.
const NEW: Name = name(8, 0);
const LIKE_NEW: Name = name(8, 1);
const NEW_TOO: Name = name(8, 2);
const NEWER: Name = name(9, 0);
const FOURTEENTH: Name = name(14, 0);

/// A map in which a bin has these keys in this order, with room for more: it does not grow.
fn with(keys: &[Name]) -> Arc<Map> {
    let entries: Vec<_> = (1..).zip(keys).map(|(value, &key)| (key, value)).collect();
    map_with(11, &entries)
}

/// Keys with so many tags, and some more; without some of them.
fn filled(keys: u8, more: &[Name], removed: &[Name]) -> Arc<Map> {
    let keys: Vec<_> = (1..=keys).map(|tag| name(tag, 0)).chain(more.iter().copied()).collect();
    let map = with(&keys);
    for &name in removed {
        assert!(Remove(name).run(&map).is_some());
    }
    map
}

/// Six keys in the bin, and two in its block.
fn two_outside() -> Arc<Map> {
    filled(8, &[], &[])
}

#[test]
fn an_insertion_beside_a_key_notices_that_its_own_has_come_in_that_place() {
    linearizable_within(
        1,
        || with(&[KEY]),
        [&[Remove(KEY), Insert(LIKE_KEY, 8)], &[Insert(LIKE_KEY, 9)]],
    );
}

#[test]
fn an_attempt_to_insert_beside_a_key_notices_that_its_own_has_come_in_that_place() {
    linearizable_within(
        1,
        || with(&[KEY]),
        [&[Remove(KEY), Insert(LIKE_KEY, 8)], &[TryInsert(LIKE_KEY, 9)]],
    );
}

#[test]
fn an_insertion_beside_a_key_is_right_where_that_has_come_again() {
    // The same key in the same slot, and another node.
    linearizable_within(
        1,
        || with(&[KEY]),
        [&[Remove(KEY), Insert(KEY, 8)], &[Insert(LIKE_KEY, 9), Get(KEY)]],
    );
}

#[test]
fn an_insertion_beside_two_keys_notices_that_its_own_has_come_in_the_place_of_one() {
    linearizable_within(
        1,
        || with(&[KEY, LIKE_KEY]),
        [&[Remove(KEY), Insert(TOO, 8)], &[Insert(TOO, 9)]],
    );
}

#[test]
fn an_insertion_beside_two_keys_notices_that_its_own_has_come_in_the_place_of_the_other() {
    linearizable_within(
        1,
        || with(&[KEY, LIKE_KEY]),
        [&[Remove(LIKE_KEY), Insert(TOO, 8)], &[Insert(TOO, 9)]],
    );
}

#[test]
fn two_keys_with_one_tag_are_inserted_beside_a_third() {
    linearizable_within(1, || with(&[KEY]), [&[Insert(LIKE_KEY, 8)], &[TryInsert(TOO, 9)]]);
}

#[test]
fn two_attempts_to_insert_a_key_beside_another_meet() {
    linearizable_within(1, || with(&[KEY]), [&[TryInsert(LIKE_KEY, 8)], &[TryInsert(LIKE_KEY, 9)]]);
}

#[test]
fn an_insertion_beside_a_key_meets_a_growth() {
    linearizable(|| with(&[KEY]), [&[Reserve(30)], &[Insert(LIKE_KEY, 9), Get(KEY)]]);
}

#[test]
fn an_insertion_beside_a_key_notices_that_its_own_has_come_in_a_new_block() {
    linearizable_within(
        1,
        || filled(6, &[], &[]),
        [&[Insert(LAST, 7), Insert(LIKE_KEY, 8)], &[Insert(LIKE_KEY, 9)]],
    );
}

#[test]
fn an_insertion_beside_a_key_waits_for_its_own_to_be_computed() {
    linearizable(|| with(&[KEY]), [&[ComputeIfAbsent(LIKE_KEY, 8)], &[Insert(LIKE_KEY, 9)]]);
}

#[test]
fn an_insertion_beside_a_key_is_right_though_that_is_computed() {
    linearizable_within(
        1,
        || with(&[KEY]),
        [&[ComputeIfPresent(KEY, 8)], &[Insert(LIKE_KEY, 9), Get(LIKE_KEY)]],
    );
}

#[test]
fn an_insertion_beside_a_key_that_is_computed_away_notices_that_its_own_has_come() {
    linearizable_within(
        1,
        || with(&[KEY]),
        [&[ComputeNothing(KEY), Insert(LIKE_KEY, 8)], &[Insert(LIKE_KEY, 9)]],
    );
}

#[test]
fn an_insertion_beside_a_claim_with_its_tag_is_right_when_that_comes_to_nothing() {
    // Where the claim was, there can be the key by then.
    linearizable_within(
        1,
        || with(&[]),
        [&[Fail(KEY), Insert(LIKE_KEY, 8)], &[Insert(LIKE_KEY, 9)]],
    );
}

#[test]
fn an_insertion_notices_that_its_key_has_come_in_a_block_in_the_place_of_another() {
    linearizable_within(
        1,
        two_outside,
        [&[Remove(NEW), Insert(LIKE_NEW, 8)], &[TryInsert(LIKE_NEW, 9)]],
    );
}

#[test]
fn an_insertion_notices_that_its_key_has_come_in_a_block_that_was_empty_in_between() {
    // Then the bin's header is the same again, too.
    linearizable_within(
        1,
        || filled(8, &[], &[NEW]),
        [&[Remove(LAST), Insert(LIKE_LAST, 8)], &[Insert(LIKE_LAST, 9)]],
    );
}

#[test]
fn an_insertion_beside_two_keys_in_a_block_notices_that_its_own_has_come() {
    linearizable_within(
        1,
        || filled(8, &[LIKE_NEW], &[]),
        [&[Remove(NEW), Insert(NEW_TOO, 8)], &[Insert(NEW_TOO, 9)]],
    );
}

#[test]
fn an_insertion_beside_keys_in_bin_and_block_notices_that_its_own_has_come_in_the_bin() {
    linearizable_within(
        1,
        || filled(8, &[LIKE_KEY], &[]),
        [&[Remove(KEY), Insert(TOO, 8)], &[Insert(TOO, 9)]],
    );
}

#[test]
fn an_insertion_beside_keys_in_bin_and_block_notices_that_its_own_has_come_in_the_block() {
    linearizable_within(
        1,
        || filled(8, &[LIKE_KEY], &[]),
        [&[Remove(LIKE_KEY), Insert(TOO, 8)], &[Insert(TOO, 9)]],
    );
}

#[test]
fn an_insertion_into_a_bin_notices_that_its_key_has_come_in_the_block() {
    // The bin's header is the same again: it was full only for as long as that took.
    linearizable_within(
        1,
        || filled(8, &[], &[KEY]),
        [&[Insert(KEY, 1), Insert(NEWER, 8), Remove(KEY)], &[Insert(NEWER, 9)]],
    );
}

#[test]
fn an_insertion_into_a_bin_notices_that_its_key_has_come_in_a_second_block() {
    linearizable_within(
        1,
        || filled(13, &[], &[KEY]),
        [&[Insert(KEY, 1), Insert(FOURTEENTH, 8), Remove(KEY)], &[Insert(FOURTEENTH, 9)]],
    );
}

#[test]
fn an_insertion_into_a_bin_replaces_its_key_in_a_second_block() {
    linearizable_within(
        1,
        || filled(14, &[], &[KEY]),
        [&[Remove(FOURTEENTH)], &[Insert(FOURTEENTH, 9), Get(FOURTEENTH)]],
    );
}

#[test]
fn a_key_leaves_the_block_for_the_bin_while_it_is_inserted() {
    linearizable_within(
        1,
        || filled(8, &[], &[KEY]),
        [&[Remove(NEW), Insert(NEW, 8)], &[Insert(NEW, 9)]],
    );
}

#[test]
fn insertions_into_the_bin_and_into_its_block_meet() {
    linearizable_within(
        1,
        || filled(8, &[], &[KEY]),
        [&[Insert(NEWER, 8)], &[Insert(LIKE_NEW, 9)]],
    );
}

#[test]
fn two_insertions_use_the_last_room_in_a_block() {
    // The second of them needs another block.
    linearizable_within(
        1,
        || filled(13, &[], &[NEW]),
        [&[Insert(NEW, 8)], &[Insert(FOURTEENTH, 9)]],
    );
}

#[test]
fn a_reader_finds_all_keys_with_a_tag_while_one_is_inserted_in_a_block() {
    linearizable(two_outside, [&[Insert(LIKE_NEW, 9)], &[Get(LIKE_NEW), Get(NEW), Get(LIKE_NEW)]]);
}

#[test]
fn an_insertion_into_a_block_waits_for_its_key_to_be_computed() {
    linearizable_within(
        1,
        two_outside,
        [&[ComputeIfAbsent(LIKE_NEW, 8)], &[TryInsert(LIKE_NEW, 9)]],
    );
}

#[test]
fn an_insertion_into_a_block_comes_before_or_after_a_computation_that_fails() {
    linearizable_within(1, two_outside, [&[Fail(LIKE_NEW)], &[Insert(LIKE_NEW, 9)]]);
}

#[test]
fn an_insertion_into_a_block_meets_a_growth() {
    linearizable_within(1, two_outside, [&[Reserve(20)], &[Insert(LIKE_NEW, 9), Get(NEW)]]);
}
