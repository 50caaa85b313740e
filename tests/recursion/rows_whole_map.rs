//! Closures that empty their bin, or clear the map, and go on from there.

use crate::{
    A, B, D, T, X,
    api::ABSENT,
    common::within,
    entries::{insert_many, long, many, with},
    row::Row,
    rows_other_keys::row_0,
    rows_own_key::row_f,
    world::World,
};

fn row_a(inner: fn(&World<'_>)) -> Row {
    Row {
        before: vec![(D, 30)],
        key: A,
        ways: ABSENT,
        inner,
        end: Some(11),
        overtaken: false,
        after: vec![(A, 11)],
        after_failure: vec![],
    }
}

pub fn row_a_remove() -> Row {
    row_a(|world| assert_eq!(world.api.remove(D), Some(30)))
}

pub fn row_a_retain() -> Row {
    row_a(|world| {
        world.api.retain(&mut |key| {
            assert_ne!(key, A);
            key != D
        });
    })
}

pub fn row_a_clear() -> Row {
    row_a(|world| world.clear())
}

fn row_g(inner: fn(&World<'_>)) -> Row {
    Row { inner, overtaken: false, after: vec![(X, 1)], after_failure: vec![], ..row_f() }
}

pub fn row_g_remove() -> Row {
    row_g(|world| {
        for (key, value) in long() {
            assert_eq!(world.api.remove(key), Some(value));
        }
    })
}

pub fn row_g_clear() -> Row {
    row_g(|world| world.clear())
}

pub fn row_l() -> Row {
    Row {
        before: vec![(D, 30), (T, 200)],
        inner: |world| {
            world.clear();
            assert_eq!(world.api.insert(B, 22), None);
        },
        ..row_0()
    }
}

pub fn row_m() -> Row {
    Row {
        before: vec![(A, 10), (B, 20), (D, 30)],
        key: 5,
        inner: |world| {
            world.clear();
            insert_many(world);
        },
        after: with(many(), &[(5, 11)]),
        after_failure: many(),
        ..row_0()
    }
}

#[test]
fn row_a_a_closure_may_empty_its_bin_in_any_way() {
    within(60, || {
        row_a_remove().holds();
        row_a_retain().holds();
        row_a_clear().holds();
    });
}

#[test]
fn row_g_what_is_computed_while_a_long_bin_is_emptied_is_there() {
    within(60, || {
        row_g_remove().holds();
        row_g_clear().holds();
    });
}

#[test]
fn row_l_a_closure_may_clear_the_map_and_insert() {
    within(60, || row_l().holds());
}

#[test]
fn row_m_a_closure_may_clear_the_map_and_make_it_grow() {
    within(60, || row_m().holds());
}
