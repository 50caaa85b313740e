//! Full bins: an insertion moves the last slot's entry to an overflow block.
#![cfg(loom)]

use std::sync::Arc;

use binlock_loom_tests::{Map, Name, Op::*, entries, linearizable, map_with, model, spawn};

/// Keys of one bin, with tags of their own.
const fn name(number: u8) -> Name {
    Name::new(0, number, 0)
}

/// In the last slot of a full bin.
const LAST: Name = name(7);
const NEW: Name = name(8);
const NEWER: Name = name(9);
/// In the last slot of a full overflow block.
const THIRTEENTH: Name = name(13);
const FOURTEENTH: Name = name(14);
/// With the tag of the key in the last slot.
const LIKE_LAST: Name = Name::new(0, 7, 1);

/// A map in which so many keys fill a bin, with room for more: it does not grow.
fn filled(keys: u8) -> Arc<Map> {
    let entries: Vec<_> = (1..=keys).map(|i| (name(i), i.into())).collect();
    map_with(11, &entries)
}

#[test]
fn a_reader_finds_the_key_that_moves_to_an_overflow_block() {
    linearizable(|| filled(7), [&[Insert(NEW, 8)], &[Get(LAST), Get(LAST)]]);
}

#[test]
fn a_reader_sees_all_of_an_insertion_into_a_new_overflow_block_or_nothing() {
    linearizable(|| filled(7), [&[Insert(NEW, 8)], &[Get(NEW), Get(NEW)]]);
}

#[test]
fn a_reader_sees_all_of_an_insertion_into_an_overflow_block_or_nothing() {
    linearizable(|| filled(8), [&[Insert(NEWER, 9)], &[Get(NEWER), Get(NEWER)]]);
}

#[test]
fn a_reader_of_a_key_that_leaves_an_overflow_block_sees_it_or_not() {
    linearizable(|| filled(8), [&[Remove(NEW), Insert(NEWER, 9)], &[Get(NEW), Get(NEWER)]]);
}

#[test]
fn a_reader_finds_the_key_that_moves_on_from_a_full_overflow_block() {
    // Six in the bin, and seven in its block.
    linearizable(|| filled(13), [&[Insert(FOURTEENTH, 14)], &[Get(THIRTEENTH)]]);
}

#[test]
fn two_insertions_extend_a_bin_once() {
    linearizable(|| filled(7), [&[Insert(NEW, 8)], &[Insert(NEWER, 9)]]);
}

#[test]
fn two_insertions_of_a_key_meet_where_a_bin_is_extended() {
    linearizable(|| filled(7), [&[Insert(NEW, 8)], &[Insert(NEW, 9)]]);
}

#[test]
fn two_keys_of_one_hash_meet_where_a_bin_is_extended() {
    linearizable(|| filled(7), [&[Insert(NEW, 8)], &[Insert(LIKE_LAST, 9)]]);
}

#[test]
fn the_key_that_moves_is_removed_once() {
    linearizable(|| filled(7), [&[Insert(NEW, 8)], &[Remove(LAST), Get(LAST)]]);
}

#[test]
fn the_key_that_moves_is_replaced_where_it_is() {
    linearizable(|| filled(7), [&[Insert(NEW, 8)], &[Insert(LAST, 17)]]);
}

#[test]
fn an_iteration_yields_the_entry_that_moves_once() {
    model(|| {
        let map = filled(7);
        let writer = spawn(&map, |map| Insert(NEW, 8).run(map));
        let seen = entries(&map);
        let expected: Vec<_> = (1..=7).map(|i| (name(i), i.into())).collect();
        assert_eq!(seen[..7], expected);
        assert!(seen.len() == 7 || seen[7..] == [(NEW, 8)]);
        writer.join().unwrap();
    });
}
