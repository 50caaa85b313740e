//! Closures that compute and write other keys, of their bin and of all bins.

use crate::{
    A, B, D, T, X,
    api::{ABSENT, PRESENT, Way},
    common::within,
    entries::{insert_many, long, many, with, without},
    row::Row,
};

pub fn row_0() -> Row {
    Row {
        before: vec![],
        key: A,
        ways: ABSENT,
        inner: |world| assert_eq!(world.decide(Way::IfAbsent, B, 22), Ok(Some(22))),
        end: Some(11),
        overtaken: false,
        after: vec![(A, 11), (B, 22)],
        after_failure: vec![(B, 22)],
    }
}

pub fn row_d() -> Row {
    Row {
        before: vec![(A, 10), (B, 20), (D, 30)],
        key: B,
        ways: PRESENT,
        inner: |world| assert_eq!(world.api.remove(A), Some(10)),
        end: None,
        overtaken: false,
        after: vec![(D, 30)],
        after_failure: vec![(B, 20), (D, 30)],
    }
}

pub fn row_i() -> Row {
    Row {
        before: vec![(A, 1), (B, 20)],
        key: A,
        ways: PRESENT,
        inner: insert_many,
        end: Some(2),
        overtaken: false,
        after: with(many(), &[(A, 2), (B, 20)]),
        after_failure: with(many(), &[(A, 1), (B, 20)]),
    }
}

pub fn row_j() -> Row {
    Row {
        before: long(),
        key: T,
        after: with(without(long(), T), &with(many(), &[(T, 2)])),
        after_failure: with(long(), &many()),
        ..row_i()
    }
}

pub fn row_k() -> Row {
    Row {
        before: vec![],
        key: X,
        ways: ABSENT,
        inner: insert_many,
        end: Some(1),
        overtaken: false,
        after: with(many(), &[(X, 1)]),
        after_failure: many(),
    }
}

pub fn row_p() -> Row {
    Row {
        before: long(),
        key: X,
        ways: ABSENT,
        inner: |world| {
            assert_eq!(world.api.insert(A, 1), Some(10));
            assert_eq!(world.api.replace(B, 2), Some(20));
            assert_eq!(world.api.remove(D), Some(30));
            assert_eq!(world.api.try_insert(4, 9), Err(40));
            assert!(world.api.remove_if(5, true));
            assert!(!world.api.remove_if(6, false));
            assert_eq!(world.decide(Way::Compute, 7, 8), Ok(Some(8)));
            assert_eq!(world.decide(Way::Merge, 8, 9), Ok(Some(9)));
            assert_eq!(world.decide(Way::Entry, 9, 10), Ok(Some(10)));
            assert_eq!(world.decide(Way::IfPresent, 10, 11), Ok(Some(11)));
            assert_eq!(world.api.decide(Way::IfPresent, 11, &mut |_| None), Ok(None));
            assert_eq!(world.decide(Way::IfPresent, D, 1), Ok(None));
            assert_eq!(world.decide(Way::Entry, 60, 61), Ok(Some(61)));
        },
        end: Some(1),
        overtaken: false,
        after: with(row_p_inner(), &[(X, 1)]),
        after_failure: row_p_inner(),
    }
}

fn row_p_inner() -> Vec<(u64, u64)> {
    let changed = [A, B, D, 5, 7, 8, 9, 10, 11];
    let kept = long().into_iter().filter(|(key, _)| !changed.contains(key)).collect();
    with(kept, &[(A, 1), (B, 2), (7, 8), (8, 9), (9, 10), (10, 11), (60, 61)])
}

#[test]
fn row_0_a_closure_may_compute_another_key_of_its_bin() {
    within(60, || row_0().holds());
}

#[test]
fn row_d_a_removal_inside_and_one_by_the_result_both_take_place() {
    within(60, || row_d().holds());
}

#[test]
fn row_i_nothing_is_lost_when_insertions_by_a_closure_make_the_table_grow() {
    within(60, || row_i().holds());
}

#[test]
fn row_j_nor_if_the_bin_is_long() {
    within(60, || row_j().holds());
}

#[test]
fn row_k_nor_if_the_key_was_absent_and_the_map_grows_on() {
    within(60, || row_k().holds());
}

#[test]
fn row_p_writes_of_other_keys_always_succeed() {
    within(60, || row_p().holds());
}
