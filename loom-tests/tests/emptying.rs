//! Overflow blocks that are empty again: look-ups do not go there, until something is put there.
#![cfg(binlock_loom)]

use std::sync::Arc;

use binlock_loom_tests::{
    Map, Name, Op, Op::*, entries, linearizable, linearizable_within, map_with, model,
    model_within, spawn,
};

/// Keys of one bin, with tags of their own.
const fn name(number: u8) -> Name {
    Name::new(0, number, 0)
}

/// In a slot of the bin.
const FIRST: Name = name(1);
/// The first two to go to an overflow block, where slots have been used for others before.
const NEW: Name = name(8);
const NEWER: Name = name(9);
/// With the tag of `NEW`.
const LIKE_NEW: Name = Name::new(0, 8, 1);
/// In the bin that is joined with that of the others when the table shrinks.
const OTHER: Name = Name::new(0x40, 20, 0);

/// A bin with its six slots full, and an overflow block that is empty again.
fn emptied() -> Arc<Map> {
    let entries: Vec<_> = (1..=8).map(|i| (name(i), i.into())).collect();
    let map = map_with(11, &entries);
    for i in 7..=8 {
        assert_eq!(Remove(name(i)).run(&map), Some(i.into()));
    }
    map
}

/// The same with one entry in the block.
fn nearly_emptied() -> Arc<Map> {
    let map = emptied();
    assert_eq!(Insert(NEW, 8).run(&map), None);
    map
}

/// The same with one vacant slot in the bin, and one entry in the block.
fn with_room_in_the_bin() -> Arc<Map> {
    let map = nearly_emptied();
    assert_eq!(Remove(FIRST).run(&map), Some(1));
    map
}

#[test]
fn what_one_reader_sees_in_an_emptied_block_another_sees_after_it() {
    model_within(2, || {
        let map = emptied();
        let writer = spawn(&map, |map| Insert(NEW, 8).run(map));
        let reader = spawn(&map, |map| Get(NEW).run(map));
        let first = reader.join().unwrap();
        if first.is_some() {
            assert_eq!(Remove(NEW).run(&map), Some(8));
        }
        writer.join().unwrap();
    });
}

// Of the next two, what is the same for two insertions anywhere in an emptied block is gone through
// with one preemption more in `two_insertions_of_a_key_meet_in_an_empty_overflow_block`.

#[test]
fn two_keys_of_one_hash_are_inserted_into_an_emptied_block() {
    linearizable_within(1, emptied, [&[Insert(NEW, 8)], &[Insert(LIKE_NEW, 9)]]);
}

#[test]
fn a_key_is_inserted_into_an_emptied_block_once() {
    linearizable_within(1, emptied, [&[TryInsert(NEW, 8)], &[TryInsert(NEW, 9)]]);
}

#[test]
fn an_insertion_meets_the_removal_that_empties_the_block() {
    linearizable(nearly_emptied, [&[Remove(NEW)], &[Insert(NEWER, 9), Get(NEWER)]]);
}

#[test]
fn a_reader_meets_the_removal_that_empties_the_block_and_what_comes_then() {
    linearizable(nearly_emptied, [&[Remove(NEW), Insert(NEWER, 9)], &[Get(NEW), Get(NEWER)]]);
}

#[test]
fn a_key_leaves_the_block_and_comes_back_to_it() {
    linearizable(nearly_emptied, [&[Remove(NEW), Insert(NEW, 18)], &[Get(NEW), Get(NEW)]]);
}

#[test]
fn a_key_leaves_the_block_and_comes_back_to_the_bin() {
    linearizable(with_room_in_the_bin, [&[Remove(NEW), Insert(NEW, 18)], &[Get(NEW), Get(NEW)]]);
}

#[test]
fn writers_agree_about_a_key_that_leaves_the_block_and_comes_back() {
    linearizable_within(
        1,
        with_room_in_the_bin,
        [&[Remove(NEW), Insert(NEW, 18)], &[Replace(NEW, 28), Remove(NEW)]],
    );
}

#[test]
fn two_removals_empty_the_block_together() {
    linearizable(
        || {
            let map = nearly_emptied();
            assert_eq!(Insert(NEWER, 9).run(&map), None);
            map
        },
        [&[Remove(NEW)], &[Remove(NEWER)]],
    );
}

#[test]
fn a_key_leaves_the_bin_while_one_comes_to_the_emptied_block() {
    linearizable_within(1, emptied, [&[Remove(FIRST), Get(NEW)], &[Insert(NEW, 8), Get(FIRST)]]);
}

#[test]
fn computations_meet_in_an_emptied_block() {
    linearizable_within(1, emptied, [&[ComputeIfAbsent(NEW, 8)], &[ComputeIfAbsent(NEW, 9)]]);
}

#[test]
fn a_computation_that_fails_leaves_the_block_empty_or_with_what_has_come() {
    linearizable_within(1, emptied, [&[Fail(NEW)], &[Insert(NEWER, 9), Get(NEWER)]]);
}

#[test]
fn a_computation_empties_the_block_while_others_wait_for_it() {
    linearizable_within(1, nearly_emptied, [&[ComputeNothing(NEW)], &[Add(NEW, 1)]]);
}

#[test]
fn a_clearing_meets_an_insertion_into_an_emptied_block() {
    linearizable_within(
        1,
        || {
            let map = nearly_emptied();
            for i in 2..=5 {
                assert_eq!(Remove(name(i)).run(&map), Some(i.into()));
            }
            map
        },
        [&[Clear], &[Insert(NEWER, 9), Get(NEWER)]],
    );
}

#[test]
fn a_bin_with_an_emptied_block_is_moved_to_a_larger_table() {
    linearizable_within(1, emptied, [&[Reserve(30)], &[Insert(NEW, 8), Get(FIRST), Get(NEW)]]);
}

#[test]
fn a_bin_whose_block_is_being_emptied_is_moved_to_a_larger_table() {
    linearizable_within(1, nearly_emptied, [&[Reserve(30)], &[Remove(NEW), Get(FIRST)]]);
}

#[test]
fn a_bin_with_an_emptied_block_is_moved_to_a_smaller_table() {
    linearizable_within(1, emptied, [&[Shrink], &[Insert(NEW, 8), Get(FIRST), Get(NEW)]]);
}

#[test]
fn a_bin_is_moved_to_one_whose_block_is_being_emptied() {
    /// Four keys each of two bins that are joined, which is too many for one.
    const fn joined(number: u8) -> Name {
        Name::new(number % 2 * 0x40, number, 0)
    }
    const REMOVALS: &[Op] = &[Remove(joined(7)), Remove(joined(8)), Get(joined(6)), Get(OTHER)];
    linearizable_within(
        1,
        || {
            let entries: Vec<_> = (1..=8).map(|i| (joined(i), i.into())).collect();
            let map = map_with(11, &entries);
            assert_eq!(Insert(OTHER, 20).run(&map), None);
            map
        },
        [&[Shrink], REMOVALS],
    );
}

#[test]
fn an_iteration_yields_what_stays_while_blocks_are_emptied_and_filled() {
    model(|| {
        let map = nearly_emptied();
        let writer = spawn(&map, |map| {
            Remove(NEW).run(map);
            Insert(NEWER, 9).run(map);
        });
        let seen = entries(&map);
        let expected: Vec<_> = (1..=6).map(|i| (name(i), i.into())).collect();
        assert_eq!(seen[..6], expected);
        assert!(seen[6..].iter().all(|entry| [(NEW, 8), (NEWER, 9)].contains(entry)));
        writer.join().unwrap();
        assert_eq!(entries(&map)[6..], [(NEWER, 9)]);
    });
}

#[test]
fn a_batch_of_look_ups_finds_what_comes_to_an_emptied_block() {
    model(|| {
        let map = emptied();
        let writer = spawn(&map, |map| Insert(NEW, 8).run(map));
        let read = |map: &Map| {
            let pinned = map.pin();
            pinned.get_many([&FIRST, &NEW]).map(|value| value.map(|value| value.read()))
        };
        let first = read(&map);
        let second = read(&map);
        assert_eq!((first[0], second[0]), (Some(1), Some(1)));
        assert!(first[1].is_none() || second[1] == Some(8));
        writer.join().unwrap();
        assert_eq!(read(&map), [Some(1), Some(8)]);
    });
}
