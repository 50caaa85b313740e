//! Full bins: an insertion moves the last slot's entry to an overflow block.
#![cfg(binlock_loom)]

use std::sync::Arc;

use binlock_loom_tests::{
    Map, Name, Op::*, entries, linearizable, linearizable_within, map_with, model, model_within,
    spawn,
};

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
/// In another slot of a full bin.
const FIRST: Name = name(1);
/// With the tag of `NEW`.
const LIKE_NEW: Name = Name::new(0, 8, 1);

/// A map in which so many keys fill a bin, with room for more: it does not grow.
fn filled(keys: u8) -> Arc<Map> {
    let entries: Vec<_> = (1..=keys).map(|i| (name(i), i.into())).collect();
    map_with(11, &entries)
}

/// The same without some of the keys.
fn filled_without(keys: u8, removed: &[Name]) -> Arc<Map> {
    let map = filled(keys);
    for &name in removed {
        assert!(Remove(name).run(&map).is_some());
    }
    map
}

/// Six keys in the bin, and `NEW` alone in its block.
fn one_outside() -> Arc<Map> {
    filled_without(8, &[LAST])
}

/// Six keys in the bin, and none in its block.
fn none_outside() -> Arc<Map> {
    filled_without(8, &[LAST, NEW])
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

#[test]
fn of_two_removals_in_an_overflow_block_one_finds_the_key() {
    linearizable(|| filled(8), [&[Remove(NEW)], &[Remove(NEW)]]);
}

#[test]
fn a_replacement_meets_a_removal_in_an_overflow_block() {
    linearizable(|| filled(8), [&[Replace(NEW, 18)], &[Remove(NEW)]]);
}

#[test]
fn two_insertions_of_a_key_meet_in_an_overflow_block() {
    linearizable(|| filled(8), [&[Insert(NEWER, 9)], &[Insert(NEWER, 19)]]);
}

#[test]
fn a_reader_of_the_last_key_that_leaves_an_overflow_block_sees_it_or_not() {
    linearizable(one_outside, [&[Remove(NEW)], &[Get(NEW), Get(NEW)]]);
}

#[test]
fn a_reader_finds_the_key_that_stays_in_an_overflow_block_alone() {
    linearizable(|| filled(8), [&[Remove(NEW)], &[Get(LAST), Get(LAST)]]);
}

#[test]
fn a_reader_finds_the_key_behind_an_overflow_block_that_becomes_empty() {
    // One key in the first block, and one in the second.
    linearizable(
        || filled_without(14, &[name(8), name(9), name(10), name(11), name(12), FOURTEENTH]),
        [&[Remove(LAST)], &[Get(THIRTEENTH)]],
    );
}

#[test]
fn an_insertion_meets_the_removal_that_empties_an_overflow_block() {
    linearizable(one_outside, [&[Remove(NEW)], &[Insert(NEWER, 9)]]);
}

#[test]
fn an_insertion_of_a_key_meets_its_removal_which_empties_an_overflow_block() {
    linearizable(one_outside, [&[Remove(NEW)], &[Insert(NEW, 9)]]);
}

#[test]
fn a_reader_sees_all_of_an_insertion_into_an_empty_overflow_block_or_nothing() {
    linearizable(none_outside, [&[Insert(NEW, 9)], &[Get(NEW), Get(NEW)]]);
}

#[test]
fn who_finds_a_key_in_an_overflow_block_that_was_empty_finds_it_again() {
    // The first time perhaps by a header from before.
    linearizable(one_outside, [&[Remove(NEW), Insert(NEWER, 9)], &[Get(NEWER), Get(NEWER)]]);
}

#[test]
fn who_finds_a_key_in_an_overflow_block_by_the_tag_of_the_last_one_finds_it_again() {
    linearizable(
        one_outside,
        [&[Remove(NEW), Insert(LIKE_NEW, 9)], &[Get(LIKE_NEW), Get(LIKE_NEW)]],
    );
}

#[test]
fn two_insertions_use_an_empty_overflow_block() {
    linearizable_within(1, none_outside, [&[Insert(NEW, 8)], &[Insert(NEWER, 9)]]);
}

#[test]
fn two_insertions_of_a_key_meet_in_an_empty_overflow_block() {
    linearizable(none_outside, [&[TryInsert(NEW, 8)], &[Insert(NEW, 9)]]);
}

#[test]
fn a_key_that_was_in_the_bin_and_is_in_a_block_that_was_empty_is_not_inserted_twice() {
    // The other insertion may have seen neither, or the slot that `FIRST` has left.
    linearizable_within(
        1,
        none_outside,
        [&[Remove(FIRST), Insert(NEW, 8), Insert(FIRST, 2)], &[Insert(FIRST, 3)]],
    );
}

#[test]
fn a_claim_that_comes_to_nothing_leaves_an_overflow_block_empty() {
    linearizable_within(1, none_outside, [&[Fail(NEW)], &[TryInsert(NEW, 8), Get(NEW)]]);
}

#[test]
fn a_bin_whose_overflow_block_is_empty_is_moved() {
    linearizable(none_outside, [&[Reserve(20), Flush], &[Get(FIRST), Get(NEW)]]);
}

#[test]
fn a_bin_with_two_overflow_blocks_is_parted() {
    // Seven that stay in the first bin when there are eight, and seven that do not.
    const OTHER_THIRTEENTH: Name = Name::new(0x20, 13, 0);
    let parted = || {
        let both = |i: u8| [(name(i), i.into()), (Name::new(0x20, i, 0), u64::from(i) + 20)];
        let entries: Vec<_> = (1..=13).step_by(2).flat_map(both).collect();
        map_with(11, &entries)
    };
    linearizable(parted, [&[Reserve(20)], &[Get(THIRTEENTH), Get(OTHER_THIRTEENTH)]]);
}

#[test]
fn an_insertion_into_an_empty_overflow_block_meets_the_growth() {
    linearizable_within(1, none_outside, [&[Reserve(20)], &[Insert(NEW, 8), Get(NEW)]]);
}

#[test]
fn a_removal_that_empties_an_overflow_block_meets_the_growth() {
    linearizable_within(1, one_outside, [&[Reserve(20)], &[Remove(NEW), Get(NEW)]]);
}

#[test]
fn a_reader_keeps_an_overflow_block_that_becomes_empty() {
    linearizable(one_outside, [&[Remove(NEW), Reserve(20), Flush], &[Get(NEW)]]);
}

#[test]
fn an_iteration_yields_each_entry_once_while_an_overflow_block_is_used_again() {
    model(|| {
        let map = one_outside();
        let writer = spawn(&map, |map| (Remove(NEW).run(map), Insert(NEWER, 9).run(map)));
        let seen = entries(&map);
        let expected: Vec<_> = (1..=6).map(|i| (name(i), i.into())).collect();
        assert_eq!(seen[..6], expected);
        assert!(matches!(seen[6..], [] | [(NEW, 8)] | [(NEWER, 9)]), "{seen:?}");
        writer.join().unwrap();
    });
}

#[test]
fn a_clearing_leaves_nothing_while_an_overflow_block_is_used_again() {
    model_within(1, || {
        let map = one_outside();
        let writer = spawn(&map, |map| (Remove(NEW).run(map), Remove(FIRST).run(map)));
        map.clear();
        assert_eq!(entries(&map), []);
        writer.join().unwrap();
        assert_eq!(map.len(), 0);
        assert_eq!(Insert(NEW, 8).run(&map), None);
    });
}

#[test]
fn a_reader_finds_its_way_through_blocks_that_came_and_became_empty_and_are_used_again() {
    linearizable(
        || filled(7),
        [&[Insert(NEW, 8), Remove(NEW), Remove(LAST), Insert(NEWER, 9)], &[Get(NEWER), Get(NEWER)]],
    );
}

#[test]
fn a_reader_finds_a_key_beside_one_that_leaves_an_overflow_block() {
    model(|| {
        let map = filled(8);
        let writer = spawn(&map, |map| {
            // Pinned once: each pin is a fence, which would publish the insertion.
            let pinned = map.pin();
            pinned.insert(NEWER.into(), 9.into());
            pinned.remove(&NEW);
        });
        assert!(matches!(Get(NEWER).run(&map), None | Some(9)));
        writer.join().unwrap();
    });
}
