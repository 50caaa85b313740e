//! Growth: the entries of a table with two bins move to one with four.
#![cfg(binlock_loom)]

use std::sync::Arc;

use binlock_loom_tests::{
    Map, Name, Op, Op::*, entries, linearizable, linearizable_within, map_with, model,
    model_within, spawn,
};

/// In the first bin, of two and of four.
const A: Name = Name::new(0x00, 1, 0);
/// In the bin of `A`, but after the growth in the next.
const B: Name = Name::new(0x40, 2, 0);
/// In the other bin.
const C: Name = Name::new(0x80, 3, 0);
/// In the bin of `C`, but after the growth in the next.
const D: Name = Name::new(0xc0, 4, 0);

/// Begins to grow, and moves the first bin.
const GROW: Op = Reserve(12);
/// Moves another bin.
const HELP: Op = Remove(Name::new(0xff, 0, 0));

fn three() -> Arc<Map> {
    map_with(1, &[(A, 1), (B, 2), (C, 3)])
}

/// The first bin has moved.
fn half_grown() -> Arc<Map> {
    let map = three();
    GROW.run(&map);
    map
}

#[test]
fn a_reader_finds_the_keys_of_a_bin_that_is_moved() {
    linearizable(three, [&[GROW], &[Get(A), Get(B)]]);
}

#[test]
fn a_reader_does_not_find_a_key_that_is_absent_while_its_bin_is_moved() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[GROW], &[Get(B)]]);
}

#[test]
fn a_reader_finds_its_way_through_a_table_that_is_left() {
    linearizable(half_grown, [&[HELP, Flush], &[Get(A), Get(C)]]);
}

#[test]
fn an_insertion_goes_to_where_its_key_will_be_looked_for() {
    linearizable(three, [&[GROW], &[Insert(B, 12), Insert(D, 4)]]);
}

#[test]
fn an_insertion_into_a_bin_that_is_moved_is_not_lost() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[GROW, Get(B)], &[TryInsert(B, 2)]]);
}

#[test]
fn a_removal_from_a_bin_that_is_moved_is_not_undone() {
    linearizable(three, [&[GROW, Get(A)], &[Remove(A), Get(B)]]);
}

#[test]
fn a_replacement_in_a_bin_that_is_moved_is_not_undone() {
    linearizable(three, [&[GROW], &[Replace(A, 11), Get(A)]]);
}

#[test]
fn two_writers_finish_a_growth_together() {
    linearizable(half_grown, [&[Insert(C, 13)], &[Insert(D, 4)]]);
}

#[test]
fn of_two_threads_that_would_grow_one_does() {
    linearizable(|| map_with(1, &[(A, 1)]), [&[GROW], &[GROW]]);
}

#[test]
fn of_two_reservations_the_smaller_takes_nothing_from_the_larger() {
    model(|| {
        let map = map_with(1, &[(A, 1)]);
        let other = spawn(&map, |map| {
            map.reserve(30);
            // Now its table is the root.
            HELP.run(map);
            assert!(map.capacity() >= 31);
        });
        map.reserve(12);
        assert!(map.capacity() >= 13);
        other.join().unwrap();
        assert!(map.capacity() >= 31);
        assert_eq!(Get(A).run(&map), Some(1));
    });
}

#[test]
fn a_growth_goes_on_to_the_next() {
    linearizable(|| map_with(1, &[(A, 1), (C, 3)]), [&[GROW, Reserve(30)], &[Get(A), Get(C)]]);
}

#[test]
fn of_two_threads_that_bring_the_first_table_one_does() {
    linearizable(|| map_with(0, &[]), [&[Insert(A, 1)], &[Insert(C, 3)]]);
}

#[test]
fn a_reader_of_an_empty_map_sees_the_first_insertion_or_nothing() {
    linearizable(|| map_with(0, &[]), [&[Insert(A, 1)], &[Get(A), Get(A)]]);
}

#[test]
fn an_iteration_yields_each_entry_once_while_the_map_grows() {
    model(|| {
        let map = three();
        let grower = spawn(&map, |map| (GROW.run(map), HELP.run(map), Flush.run(map)));
        assert_eq!(entries(&map), [(A, 1), (B, 2), (C, 3)]);
        grower.join().unwrap();
    });
}

#[test]
fn a_clearing_leaves_nothing_while_the_map_grows() {
    model(|| {
        let map = three();
        let grower = spawn(&map, |map| GROW.run(map));
        map.clear();
        assert_eq!(entries(&map), []);
        grower.join().unwrap();
        assert_eq!(map.len(), 0);
    });
}

/// Keys of the first bin of two. After the growth these are in the first of four...
const LOWER: [Name; 9] = names(0x00, 0x00);
/// ... and these in the second.
const UPPER: [Name; 9] = names(0x40, 0x20);

/// Names with tags of their own.
const fn names(prefix: u8, tag: u8) -> [Name; 9] {
    let mut names = [Name::new(prefix, tag, 0); 9];
    let mut i = 0;
    while i < names.len() {
        names[i] = Name::new(prefix, tag + i as u8, 0);
        i += 1;
    }
    names
}

/// So many of both in the first bin, by turns as long as there are both. From the seventh on they
/// are in an overflow block.
fn parted(lower: usize, upper: usize) -> Arc<Map> {
    let mut entries = Vec::new();
    for i in 0..lower.max(upper) {
        if i < lower {
            entries.push((LOWER[i], i as u64));
        }
        if i < upper {
            entries.push((UPPER[i], i as u64 + 20));
        }
    }
    map_with(1, &entries)
}

/// Four of both: the last of each are in the block.
fn eight() -> Arc<Map> {
    parted(4, 4)
}

#[test]
fn a_reader_finds_the_keys_of_an_overflow_block_whose_bin_is_parted() {
    linearizable(eight, [&[GROW], &[Get(LOWER[3]), Get(UPPER[3])]]);
}

#[test]
fn a_reader_keeps_the_overflow_block_of_a_bin_that_is_parted() {
    linearizable(eight, [&[GROW, Flush], &[Get(UPPER[3])]]);
}

#[test]
fn an_insertion_into_an_overflow_block_is_not_lost_when_its_bin_is_parted() {
    linearizable(eight, [&[GROW, Get(UPPER[4])], &[Insert(UPPER[4], 24), Get(LOWER[3])]]);
}

#[test]
fn a_removal_from_an_overflow_block_is_not_undone_when_its_bin_is_parted() {
    linearizable(eight, [&[GROW, Get(LOWER[3])], &[Remove(LOWER[3])]]);
}

#[test]
fn a_replacement_in_an_overflow_block_is_not_undone_when_its_bin_is_parted() {
    linearizable(eight, [&[GROW], &[Replace(UPPER[3], 33), Get(UPPER[3])]]);
}

#[test]
fn a_computation_in_an_overflow_block_goes_on_where_its_bin_is_parted() {
    linearizable(eight, [&[GROW, Get(UPPER[3])], &[Add(UPPER[3], 10)]]);
}

#[test]
fn a_key_of_an_overflow_block_stays_reserved_where_its_bin_is_parted() {
    linearizable_within(
        1,
        eight,
        [&[GROW, TryInsert(UPPER[4], 24)], &[ComputeIfAbsent(UPPER[4], 35)]],
    );
}

#[test]
fn of_two_who_would_part_a_bin_one_does() {
    // The second to help comes round to where the other one may be.
    linearizable(eight, [&[GROW, Get(LOWER[3])], &[HELP, HELP, Get(UPPER[3])]]);
}

#[test]
fn a_bin_is_parted_where_one_half_is_full_then() {
    linearizable(|| parted(7, 1), [&[GROW, Flush], &[Get(LOWER[6]), Get(UPPER[0])]]);
}

#[test]
fn a_bin_is_moved_where_one_half_has_no_room_for_all() {
    linearizable(|| parted(8, 1), [&[GROW, Flush], &[Get(LOWER[7]), Get(UPPER[0])]]);
}

#[test]
fn a_bin_is_moved_where_the_other_half_has_no_room_for_all() {
    linearizable(|| parted(1, 8), [&[GROW, Flush], &[Get(UPPER[7]), Get(LOWER[0])]]);
}

#[test]
fn an_insertion_takes_the_room_that_a_half_would_have_needed() {
    // With it, the half is full, or has no room for all.
    linearizable(|| parted(7, 1), [&[GROW], &[Insert(LOWER[7], 7), Get(LOWER[6])]]);
}

#[test]
fn a_bin_that_has_been_parted_is_parted_again() {
    linearizable(eight, [&[GROW, Reserve(30)], &[Get(LOWER[3]), Get(UPPER[3])]]);
}

#[test]
fn a_reader_finds_the_keys_of_a_bin_that_goes_to_four() {
    linearizable(three, [&[Reserve(30)], &[Get(A), Get(B)]]);
}

#[test]
fn an_iteration_yields_each_entry_once_while_a_bin_and_its_block_are_parted() {
    model(|| {
        let map = eight();
        let grower = spawn(&map, |map| (GROW.run(map), Flush.run(map)));
        let of = |i| [(LOWER[i], i as u64), (UPPER[i], i as u64 + 20)];
        let mut expected: Vec<_> = (0..4).flat_map(of).collect();
        expected.sort();
        assert_eq!(entries(&map), expected);
        grower.join().unwrap();
    });
}

#[test]
fn a_clearing_leaves_nothing_while_a_bin_and_its_block_are_parted() {
    model_within(1, || {
        let map = eight();
        let grower = spawn(&map, |map| GROW.run(map));
        map.clear();
        assert_eq!(entries(&map), []);
        grower.join().unwrap();
        assert_eq!(map.len(), 0);
    });
}
