//! Closures that ask for the key that they compute are refused; their plain writes of it stand,
//! and overtake the computation.

use binlock::RecursiveUpdate;

use crate::{
    A, D, T, X,
    api::{ABSENT, PRESENT, Way},
    common::within,
    entries::{long, with, without},
    row::Row,
    rows_other_keys::row_0,
    world::World,
};

/// The key is the calling closure's own: no computation of it begins.
#[track_caller]
fn assert_refused(result: Result<Option<u64>, RecursiveUpdate>) {
    let error = result.unwrap_err();
    assert!(error.is_own_key() && !error.is_overtaken(), "{error:?}");
    assert_eq!(error.cycle_len(), None);
}

fn refuse_all(world: &World<'_>, ways: &[Way]) {
    for way in ways {
        assert_refused(world.api.decide(*way, A, &mut |_| panic!("the inner closure runs")));
    }
}

pub fn row_0_own() -> Row {
    Row {
        // Whether the key is present is asked for as well, so it is decided, too.
        inner: |world| {
            refuse_all(world, &[Way::IfAbsent, Way::TryIfAbsent, Way::Compute, Way::Merge]);
            refuse_all(world, &[Way::IfPresent, Way::Entry]);
            assert_eq!(world.api.get(A), None);
        },
        after: vec![(A, 11)],
        after_failure: vec![],
        ..row_0()
    }
}

pub fn row_0_own_present() -> Row {
    Row {
        before: vec![(A, 10)],
        ways: PRESENT,
        inner: |world| {
            refuse_all(world, &[Way::IfPresent, Way::Compute, Way::Merge, Way::Entry]);
            // What is present is found without any claim.
            assert_eq!(world.decide(Way::IfAbsent, A, 5), Ok(Some(10)));
            assert_eq!(world.decide(Way::TryIfAbsent, A, 5), Ok(Some(10)));
            assert_eq!(world.api.try_insert(A, 5), Err(10));
            assert_eq!(world.api.get(A), Some(10));
            assert!(!world.api.remove_if(A, false));
        },
        after: vec![(A, 11)],
        after_failure: vec![(A, 10)],
        ..row_0()
    }
}

pub fn row_b() -> Row {
    Row {
        before: vec![(A, 1)],
        key: A,
        ways: PRESENT,
        inner: |world| assert_eq!(world.api.remove(A), Some(1)),
        end: Some(2),
        overtaken: true,
        after: vec![],
        after_failure: vec![],
    }
}

pub fn row_c() -> Row {
    Row { end: None, ..row_b() }
}

pub fn row_e() -> Row {
    Row {
        inner: |world| assert_eq!(world.api.insert(A, 7), Some(1)),
        after: vec![(A, 7)],
        after_failure: vec![(A, 7)],
        ..row_b()
    }
}

pub fn row_f() -> Row {
    Row {
        before: long(),
        key: X,
        ways: ABSENT,
        inner: |world| assert_eq!(world.api.insert(X, 99), None),
        end: Some(1),
        overtaken: true,
        after: with(long(), &[(X, 99)]),
        after_failure: with(long(), &[(X, 99)]),
    }
}

pub fn row_h() -> Row {
    Row {
        before: long(),
        key: T,
        ways: PRESENT,
        inner: |world| assert_eq!(world.api.remove(T), Some(10 * T)),
        end: None,
        overtaken: true,
        after: without(long(), T),
        after_failure: without(long(), T),
    }
}

/// A plain write of the absent key that is being computed, and what is there then.
fn row_absent_own(inner: fn(&World<'_>), after: Vec<(u64, u64)>) -> Row {
    Row {
        before: vec![(D, 30)],
        key: A,
        ways: ABSENT,
        inner,
        end: Some(11),
        overtaken: true,
        after: with(after.clone(), &[(D, 30)]),
        after_failure: with(after, &[(D, 30)]),
    }
}

pub fn rows_absent_own() -> Vec<Row> {
    vec![
        row_absent_own(|world| assert_eq!(world.api.insert(A, 5), None), vec![(A, 5)]),
        row_absent_own(|world| assert_eq!(world.api.try_insert(A, 5), Ok(5)), vec![(A, 5)]),
        row_absent_own(|world| assert_eq!(world.api.remove(A), None), vec![]),
        row_absent_own(|world| assert_eq!(world.api.replace(A, 5), None), vec![]),
        row_absent_own(
            |world| {
                assert_eq!(world.api.insert(A, 5), None);
                // It is a key as any other by now.
                assert_eq!(world.decide(Way::Compute, A, 6), Ok(Some(6)));
                assert_eq!(world.decide(Way::IfAbsent, A, 7), Ok(Some(6)));
            },
            vec![(A, 6)],
        ),
        row_absent_own(
            |world| {
                assert_eq!(world.api.insert(A, 5), None);
                assert_eq!(world.api.remove(A), Some(5));
                assert_eq!(world.decide(Way::IfAbsent, A, 7), Ok(Some(7)));
            },
            vec![(A, 7)],
        ),
    ]
}

pub fn rows_present_own() -> Vec<Row> {
    let row = |inner: fn(&World<'_>), after: Vec<(u64, u64)>| Row {
        inner,
        after: after.clone(),
        after_failure: after,
        ..row_b()
    };
    vec![
        row(|world| assert_eq!(world.api.replace(A, 5), Some(1)), vec![(A, 5)]),
        row(|world| assert!(world.api.remove_if(A, true)), vec![]),
        row(|world| world.api.retain(&mut |key| key != A), vec![]),
        row(
            |world| {
                world.clear();
                // What was cleared away is absent, and being computed.
                assert_eq!(world.api.get(A), None);
                assert_eq!(world.api.insert(A, 5), None);
            },
            vec![(A, 5)],
        ),
        row(
            |world| {
                assert_eq!(world.api.remove(A), Some(1));
                assert_eq!(world.decide(Way::Compute, A, 6), Ok(Some(6)));
            },
            vec![(A, 6)],
        ),
    ]
}

/// `clear` is no write of one key: it comes after what is computed from a present value.
pub fn row_present_cleared() -> Row {
    Row {
        inner: |world| {
            world.clear();
            assert_eq!(world.api.get(A), None);
            refuse_all(world, &[Way::IfAbsent, Way::Compute, Way::Entry, Way::IfPresent]);
        },
        overtaken: false,
        ..row_b()
    }
}

#[test]
fn row_0_own_key_is_refused_inside_and_the_outer_value_is_stored() {
    within(60, || row_0_own().holds());
}

#[test]
fn row_0_own_present_key_is_refused_inside_but_read_as_before() {
    within(60, || row_0_own_present().holds());
}

#[test]
fn row_b_a_closure_that_removes_its_key_and_returns_a_value_is_overtaken() {
    within(60, || row_b().holds());
}

#[test]
fn row_c_a_closure_that_removes_its_key_and_returns_none_counts_that_once() {
    within(60, || row_c().holds());
}

#[test]
fn row_e_an_insertion_of_the_own_present_key_stands() {
    within(60, || row_e().holds());
}

#[test]
fn row_f_an_insertion_of_the_own_absent_key_into_a_long_bin_stands() {
    within(60, || row_f().holds());
}

#[test]
fn row_h_a_removal_of_the_own_key_from_a_long_bin_counts_once() {
    within(60, || row_h().holds());
}

#[test]
fn any_plain_write_of_the_own_key_stands_and_the_computation_is_overtaken() {
    within(60, || {
        rows_absent_own().iter().for_each(Row::holds);
        rows_present_own().iter().for_each(Row::holds);
    });
}

#[test]
fn what_is_computed_from_a_value_that_is_cleared_away_is_returned_and_not_stored() {
    within(60, || row_present_cleared().holds());
}
