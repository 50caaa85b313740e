//! Shrinking: the entries of a table with four bins move to one with two.
#![cfg(binlock_loom)]

use std::sync::Arc;

use binlock_loom_tests::{
    Map, Name, Op::*, entries, linearizable, linearizable_within, map_with, model, model_within,
    spawn,
};

/// In the first bin, of two and of four.
const A: Name = Name::new(0x00, 1, 0);
/// In the second of four bins, and then with `A`.
const B: Name = Name::new(0x40, 2, 0);
/// In the other half.
const C: Name = Name::new(0x80, 3, 0);

fn large(entries: &[(Name, u64)]) -> Arc<Map> {
    map_with(11, entries)
}

#[test]
fn a_reader_finds_the_keys_of_bins_that_are_joined() {
    linearizable(|| large(&[(A, 1), (B, 2)]), [&[Shrink], &[Get(A), Get(B)]]);
}

#[test]
fn an_insertion_goes_to_where_its_key_will_be_looked_for() {
    linearizable(|| large(&[(A, 1)]), [&[Shrink], &[Insert(B, 2), Get(A)]]);
}

#[test]
fn a_removal_is_not_undone() {
    linearizable(|| large(&[(A, 1), (B, 2)]), [&[Shrink], &[Remove(B), Get(B)]]);
}

#[test]
fn a_bin_in_use_takes_the_entries_of_another() {
    linearizable(|| large(&[(B, 2)]), [&[Shrink], &[Insert(A, 1)]]);
}

#[test]
fn bins_that_are_joined_overflow() {
    /// Four keys each of two bins that are joined.
    const fn name(number: u8) -> Name {
        Name::new(number % 2 * 0x40, number, 0)
    }
    const LAST_OF_ONE: Name = name(7);
    const LAST_OF_OTHER: Name = name(8);

    linearizable(
        || large(&(1..=8).map(|i| (name(i), i.into())).collect::<Vec<_>>()),
        [&[Shrink], &[Get(LAST_OF_ONE), Get(LAST_OF_OTHER)]],
    );
}

#[test]
fn two_threads_shrink_a_map_together() {
    linearizable_within(1, || large(&[(A, 1), (B, 2)]), [&[Shrink], &[Shrink]]);
}

#[test]
fn a_map_that_shrinks_can_grow_again_at_once() {
    linearizable(|| large(&[(A, 1), (C, 3)]), [&[Shrink], &[Reserve(12)]]);
}

#[test]
fn an_iteration_yields_each_entry_once_while_the_map_shrinks() {
    model(|| {
        let map = large(&[(A, 1), (B, 2), (C, 3)]);
        let shrinker = spawn(&map, |map| (Shrink.run(map), Flush.run(map)));
        assert_eq!(entries(&map), [(A, 1), (B, 2), (C, 3)]);
        shrinker.join().unwrap();
    });
}

#[test]
fn a_clearing_leaves_nothing_while_the_map_shrinks() {
    model_within(1, || {
        let map = large(&[(A, 1), (B, 2)]);
        let shrinker = spawn(&map, |map| Shrink.run(map));
        map.clear();
        assert_eq!(entries(&map), []);
        shrinker.join().unwrap();
        assert_eq!(map.len(), 0);
    });
}
