//! What is taken out of a map is dropped when nobody can hold it any more, once. (That all
//! is dropped in the end, loom checks in every model.)
#![cfg(binlock_loom)]

use std::sync::Arc;

use binlock_loom_tests::{Map, Name, Op, Op::*, map, map_with, model, model_within, spawn};

const A: Name = Name::new(0x00, 1, 0);
/// In the bin of `A`.
const B: Name = Name::new(0x40, 2, 0);
/// In the other bin.
const C: Name = Name::new(0x80, 3, 0);

/// Reads a value for as long as somebody else may drop it, which loom would notice.
fn hold(map: &Map, name: Name) {
    let pinned = map.pin();
    if let Some((key, value)) = pinned.get_key_value(&name) {
        let number = value.read();
        // Lets others go on.
        loom::thread::yield_now();
        assert_eq!(key.name(), name);
        assert_eq!(value.read(), number);
    }
}

fn run(map: &Map, ops: &[Op]) {
    for op in ops {
        op.run(map);
    }
}

/// One thread holds the entry of `A` while another does this.
fn held_while(before: impl Fn() -> Arc<Map> + Send + Sync + 'static, ops: &'static [Op]) {
    model(move || {
        let map = before();
        let writer = spawn(&map, |map| run(map, ops));
        hold(&map, A);
        writer.join().unwrap();
    });
}

#[test]
fn a_pinned_reader_keeps_what_is_removed() {
    held_while(|| map_with(1, &[(A, 1)]), &[Remove(A), Flush]);
}

#[test]
fn a_pinned_reader_keeps_what_is_replaced() {
    held_while(|| map_with(1, &[(A, 1)]), &[Replace(A, 2), Insert(A, 3)]);
}

#[test]
fn later_writes_drop_what_nobody_holds() {
    held_while(|| map_with(1, &[(A, 1)]), &[Remove(A), Insert(B, 2), Remove(B), Insert(A, 2)]);
}

#[test]
fn what_one_thread_removes_another_drops_when_nobody_holds_it() {
    model(|| {
        let map = map_with(1, &[(A, 1)]);
        let remover = spawn(&map, |map| run(map, &[Remove(A)]));
        let dropper = spawn(&map, |map| run(map, &[Flush]));
        hold(&map, A);
        remover.join().unwrap();
        dropper.join().unwrap();
    });
}

#[test]
fn a_removed_entry_is_dropped_once_by_two_who_flush() {
    model(|| {
        let map = map_with(1, &[(A, 1), (C, 3)]);
        let one = spawn(&map, |map| run(map, &[Remove(A), Flush]));
        run(&map, &[Remove(C), Flush]);
        one.join().unwrap();
    });
}

#[test]
fn a_value_in_hand_outlives_its_removal_by_the_same_thread() {
    model(|| {
        let map = map_with(1, &[(A, 1)]);
        let writer = spawn(&map, |map| run(map, &[Replace(A, 2), Flush]));
        let pinned = map.pin();
        let removed = pinned.remove(&A).expect("it was there all the time");
        map.flush();
        assert!(removed.read() <= 2);
        drop(pinned);
        map.flush();
        writer.join().unwrap();
    });
}

#[test]
fn a_view_that_is_pinned_anew_lets_go_of_what_it_saw() {
    model(|| {
        let map = map_with(1, &[(A, 1)]);
        let writer = spawn(&map, |map| run(map, &[Remove(A), Flush]));
        let mut pinned = map.pin();
        pinned.get(&A).map(|value| value.read());
        pinned.repin();
        pinned.get(&A).map(|value| value.read());
        drop(pinned);
        writer.join().unwrap();
    });
}

#[test]
fn a_reader_keeps_the_table_that_it_is_in() {
    // The transfer ends with the second bin, and the old table is retired.
    held_while(
        || {
            let map = map_with(1, &[(A, 1), (C, 3)]);
            Reserve(12).run(&map);
            map
        },
        &[Remove(C), Flush],
    );
}

#[test]
fn a_reader_keeps_the_overflow_blocks_that_it_is_in() {
    model(|| {
        let entries: Vec<_> = (1..=8).map(|tag| (Name::new(0, tag, 0), 0)).collect();
        let map = map_with(11, &entries);
        let grower = spawn(&map, |map| run(map, &[Reserve(20), Flush]));
        hold(&map, Name::new(0, 8, 0));
        grower.join().unwrap();
    });
}

#[test]
fn an_iteration_keeps_what_it_is_going_to_yield() {
    model(|| {
        let map = map_with(1, &[(A, 1), (B, 2)]);
        let writer = spawn(&map, |map| run(map, &[Remove(B), Flush]));
        for (key, value) in map.pin().iter() {
            loom::thread::yield_now();
            assert_eq!(value.read(), if key.name() == A { 1 } else { 2 });
        }
        writer.join().unwrap();
    });
}

#[test]
fn a_map_drops_what_is_retired_while_others_are_pinned() {
    model(|| {
        let map = map_with(1, &[(A, 1)]);
        let other = map_with(1, &[(A, 1)]);
        let reader = spawn(&other, |other| hold(other, A));
        run(&map, &[Replace(A, 2), Remove(A), Insert(C, 3)]);
        drop(map);
        reader.join().unwrap();
    });
}

#[test]
fn a_map_that_is_dropped_in_the_middle_of_a_growth_drops_each_entry_once() {
    model(|| {
        let map = map_with(1, &[(A, 1), (B, 2), (C, 3)]);
        let grower = spawn(&map, |map| run(map, &[Reserve(12)]));
        run(&map, &[Remove(A)]);
        grower.join().unwrap();
        drop(Arc::into_inner(map).expect("the grower has gone").into_iter().next());
    });
}

#[test]
fn three_threads_retire_drop_and_read() {
    model_within(1, || {
        let map = map();
        let one = spawn(&map, |map| run(map, &[Insert(A, 1), Remove(A)]));
        let two = spawn(&map, |map| run(map, &[Insert(A, 2), Flush]));
        hold(&map, A);
        one.join().unwrap();
        two.join().unwrap();
    });
}
