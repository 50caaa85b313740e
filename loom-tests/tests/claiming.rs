//! A claim on a key, against whatever may happen to the key or to its bin meanwhile.
#![cfg(binlock_loom)]

use std::{collections::BTreeMap, future::pending, pin::Pin, sync::Arc};

use binlock::Entry;
use binlock_loom_tests::{
    Bell, Map, Name, Op, Op::*, entries, linearizable, linearizable_within, map_with, model,
    model_within, settled_entries, spawn,
};

/// In the first bin, of two and of four.
const A: Name = Name::new(0x00, 1, 0);
/// In the bin of `A`, but in the next when there are four.
const B: Name = Name::new(0x40, 2, 0);
/// In the other half.
const C: Name = Name::new(0x80, 3, 0);
/// In the bin of `A`, with its whole hash.
const LIKE_A: Name = Name::new(0x00, 1, 1);

/// Begins to grow, and moves the first bin.
const GROW: Op = Reserve(12);
/// Moves another bin.
const HELP: Op = Remove(Name::new(0xff, 0, 0));

/// Keys of one bin, with tags of their own.
const fn name(number: u8) -> Name {
    Name::new(0, number, 0)
}

/// In the last slot of a full bin.
const LAST: Name = name(7);
const NEW: Name = name(8);
const NEWER: Name = name(9);

fn empty() -> Arc<Map> {
    map_with(1, &[])
}

fn one() -> Arc<Map> {
    map_with(1, &[(A, 1)])
}

/// The first bin has moved.
fn half_grown() -> Arc<Map> {
    let map = one();
    GROW.run(&map);
    map
}

/// A key in the second slot of its bin.
fn second() -> Arc<Map> {
    map_with(1, &[(B, 1), (A, 1)])
}

/// The same, and the next key of the bin takes the first slot.
fn second_of_two() -> Arc<Map> {
    let map = second();
    Remove(B).run(&map);
    map
}

/// Four bins.
fn large() -> Arc<Map> {
    map_with(11, &[(A, 1)])
}

fn large_and_empty() -> Arc<Map> {
    map_with(11, &[])
}

/// Seven keys in a bin, with room for more: the map does not grow.
fn full_bin() -> Arc<Map> {
    let entries: Vec<_> = (1..=7).map(|i| (name(i), i.into())).collect();
    map_with(11, &entries)
}

/// Claims a key while another thread begins with some operations; does something to the
/// claimed key's bin; and then stores a value under the key. Returns what is there at last.
fn claim_while(
    map: &Arc<Map>,
    name: Name,
    number: u64,
    others: &'static [Op],
    then: &[Op],
) -> BTreeMap<Name, u64> {
    let entry = map.entry(name.into()).unwrap();
    let other = spawn(map, |map| run(map, others));
    run(map, then);
    assert_eq!(entry.insert(number.into()).unwrap().read(), number);
    other.join().unwrap();
    settled_entries(map)
}

fn run(map: &Map, ops: &[Op]) {
    for op in ops {
        op.run(map);
    }
}

// Somebody changes what a value is computed of, and then removes the value.

/// The value is 2 if the source was there, else 1.
fn computed_of(map: &Map, source: Name) -> u64 {
    if Get(source).run(map).is_some() { 2 } else { 1 }
}

#[test]
fn what_is_removed_is_not_computed_of_what_was_there_before_its_source_changed() {
    model(|| {
        let map = empty();
        let other = spawn(&map, |map| run(map, &[Insert(C, 1), Remove(A)]));
        let compute = |_: &_| computed_of(&map, C).into();
        map.compute_if_absent(A.into(), compute).unwrap();
        other.join().unwrap();
        assert_ne!(settled_entries(&map).get(&A), Some(&1));
    });
}

#[test]
fn what_is_removed_under_a_condition_is_not_put_there_by_an_entry_that_saw_its_source_before() {
    model(|| {
        let map = empty();
        let other = spawn(&map, |map| {
            Insert(C, 1).run(map);
            map.remove_if(&A, |_, _| true);
        });
        let entry = map.entry(A.into()).unwrap();
        let value = computed_of(&map, C);
        entry.or_insert(value.into()).unwrap();
        other.join().unwrap();
        assert_ne!(settled_entries(&map).get(&A), Some(&1));
    });
}

#[test]
fn what_is_replaced_if_it_is_there_is_not_computed_of_what_was_there_before_its_source_changed() {
    model_within(1, || {
        let map = full_bin();
        let other = spawn(&map, |map| run(map, &[Insert(C, 1), Replace(NEW, 3)]));
        let compute = |_: &_, _: Option<&_>| Some(computed_of(&map, C).into());
        map.pin().compute(NEW.into(), compute).unwrap();
        other.join().unwrap();
        assert_ne!(settled_entries(&map).get(&NEW), Some(&1));
    });
}

// Readers.

#[test]
fn a_reader_sees_the_old_value_until_a_new_one_is_computed() {
    linearizable(one, [&[ComputeIfPresent(A, 2)], &[Get(A), Get(A)]]);
}

#[test]
fn a_reader_sees_nothing_until_a_value_is_computed() {
    linearizable(empty, [&[ComputeIfAbsent(A, 1)], &[Get(A), Get(A)]]);
}

#[test]
fn a_reader_sees_the_value_until_it_is_computed_that_there_is_none() {
    linearizable(one, [&[ComputeNothing(A)], &[Get(A), Get(A)]]);
}

#[test]
fn a_closure_sees_what_readers_see() {
    model(|| {
        let map = one();
        let reader = spawn(&map, |map| Get(A).run(map));
        let entry = map.compute_if_present(&A, |_, value| {
            assert_eq!(value.read(), 1);
            assert_eq!(Get(A).run(&map), Some(1));
            Some(2.into())
        });
        assert_eq!(entry.unwrap().unwrap().read(), 2);
        assert!(matches!(reader.join().unwrap(), Some(1 | 2)));
    });
}

#[test]
fn a_reader_keeps_what_a_computation_replaces_or_removes() {
    model(|| {
        let map = one();
        let writer = spawn(&map, |map| run(map, &[ComputeIfPresent(A, 2), Flush]));
        let pinned = map.pin();
        let value = pinned.get(&A).expect("it is there all the time");
        let number = value.read();
        loom::thread::yield_now();
        assert_eq!(value.read(), number);
        drop(pinned);
        writer.join().unwrap();
    });
}

#[test]
fn who_has_computed_a_value_keeps_it_though_others_remove_it() {
    linearizable(empty, [&[ComputeIfAbsent(A, 1)], &[Remove(A), Flush]]);
}

#[test]
fn an_iteration_yields_what_is_computed_from_and_not_what_is_reserved() {
    model(|| {
        let map = one();
        let writer = spawn(&map, |map| run(map, &[Add(A, 1), ComputeIfAbsent(B, 1)]));
        let seen = entries(&map);
        assert!(matches!(seen[..], [(A, 1 | 2)] | [(A, 2), (B, 1)]), "{seen:?}");
        writer.join().unwrap();
    });
}

// Writers of the key.

#[test]
fn an_insertion_comes_before_or_after_a_computation() {
    linearizable(one, [&[Add(A, 1)], &[Insert(A, 10)]]);
    linearizable(empty, [&[ComputeIfAbsent(A, 1)], &[Insert(A, 10)]]);
}

#[test]
fn an_attempt_to_insert_comes_before_or_after_a_computation() {
    linearizable(empty, [&[ComputeIfAbsent(A, 1)], &[TryInsert(A, 10)]]);
}

#[test]
fn a_replacement_comes_before_or_after_a_computation() {
    linearizable(one, [&[Add(A, 1)], &[Replace(A, 10)]]);
    linearizable(empty, [&[ComputeIfAbsent(A, 1)], &[Replace(A, 10)]]);
}

#[test]
fn a_removal_comes_before_or_after_a_computation() {
    linearizable(one, [&[Add(A, 1)], &[Remove(A)]]);
    linearizable(empty, [&[ComputeIfAbsent(A, 1)], &[Remove(A)]]);
}

#[test]
fn a_conditional_removal_comes_before_or_after_a_computation() {
    linearizable(one, [&[Add(A, 1)], &[RemoveIf(A, 1)]]);
}

#[test]
fn of_two_computations_of_an_absent_key_one_runs() {
    linearizable(empty, [&[ComputeIfAbsent(A, 1)], &[ComputeIfAbsent(A, 2)]]);
}

#[test]
fn two_computations_from_a_present_value_follow_each_other() {
    linearizable(one, [&[ComputeIfPresent(A, 2)], &[ComputeNothing(A)]]);
}

#[test]
fn sums_of_two_threads_are_exact() {
    linearizable(empty, [&[Add(A, 1)], &[Add(A, 2)]]);
    linearizable_within(1, one, [&[Add(A, 1), Add(A, 2)], &[Add(A, 4), Add(A, 8)]]);
}

#[test]
fn sums_of_three_threads_are_exact() {
    linearizable_within(1, one, [&[Add(A, 1)], &[Add(A, 2)], &[Add(A, 4)]]);
}

// Neighbours.

#[test]
fn two_keys_of_one_bin_are_claimed_at_once() {
    linearizable(empty, [&[ComputeIfAbsent(A, 1), Get(B)], &[ComputeIfAbsent(B, 2), Get(A)]]);
}

#[test]
fn two_keys_of_one_hash_are_claimed_apart() {
    linearizable(one, [&[Add(A, 1)], &[ComputeIfAbsent(LIKE_A, 2)]]);
}

#[test]
fn a_claim_moves_to_an_overflow_block() {
    linearizable_within(1, full_bin, [&[Add(LAST, 10)], &[Insert(NEW, 8), Get(LAST)]]);
}

#[test]
fn who_waits_is_woken_though_the_claim_has_moved_to_an_overflow_block() {
    model_within(1, || {
        let settled = claim_while(&full_bin(), LAST, 10, &[Add(LAST, 1)], &[Insert(NEW, 8)]);
        assert_eq!((settled[&LAST], settled[&NEW]), (11, 8));
    });
}

#[test]
fn a_key_is_claimed_in_an_overflow_block() {
    linearizable_within(
        1,
        full_bin,
        [&[ComputeIfAbsent(NEW, 8)], &[ComputeIfAbsent(NEW, 9), Get(LAST)]],
    );
    linearizable_within(1, full_bin, [&[ComputeIfAbsent(NEW, 8)], &[ComputeIfAbsent(NEWER, 9)]]);
}

// Claims that are given up.

#[test]
fn who_waits_for_a_computation_that_fails_computes() {
    linearizable(empty, [&[Fail(A)], &[ComputeIfAbsent(A, 2)]]);
}

#[test]
fn who_waits_for_a_computation_that_panics_computes() {
    linearizable_within(1, empty, [&[Panic(A)], &[ComputeIfAbsent(A, 2)]]);
    linearizable(one, [&[Panic(A)], &[Add(A, 2)]]);
}

#[test]
fn who_waits_for_an_entry_that_is_dropped_goes_on() {
    linearizable(empty, [&[Touch(A)], &[ComputeIfAbsent(A, 2)]]);
    linearizable(one, [&[Touch(A)], &[Remove(A)]]);
}

#[test]
fn a_modified_entry_is_stored_when_it_is_dropped() {
    model(|| {
        let map = one();
        let other = spawn(&map, |map| Add(A, 10).run(map));
        drop(map.entry(A.into()).unwrap().and_modify(|value| (value.read() + 1).into()));
        assert!(matches!(other.join().unwrap(), Some(1 | 2)));
        assert_eq!(settled_entries(&map), [(A, 12)].into());
    });
}

// Clearing.

#[test]
fn what_is_computed_from_a_value_that_is_cleared_away_is_returned_and_not_stored() {
    model(|| {
        let map = one();
        let clearer = spawn(&map, |map| run(map, &[Clear, Flush]));
        let mut ran = false;
        let entry = map.compute_if_present(&A, |key, value| {
            ran = true;
            loom::thread::yield_now();
            // Neither is gone before the claim is settled.
            assert_eq!((key.name(), value.read()), (A, 1));
            Some(2.into())
        });
        assert_eq!(entry.unwrap().map(|entry| entry.read()), ran.then_some(2));
        clearer.join().unwrap();
        assert_eq!(settled_entries(&map), [].into());
    });
}

#[test]
fn what_is_removed_by_a_computation_or_a_clearing_is_dropped_once() {
    linearizable(one, [&[ComputeNothing(A)], &[Clear, Flush]]);
    linearizable(one, [&[Touch(A)], &[Clear, Flush]]);
}

#[test]
fn an_entry_that_is_removed_can_be_read_though_it_has_been_cleared_away() {
    model(|| {
        let map = one();
        let Entry::Occupied(entry) = map.entry(A.into()).unwrap() else { panic!("it is there") };
        let clearer = spawn(&map, |map| run(map, &[Clear, Flush]));
        assert_eq!(entry.remove().unwrap().read(), 1);
        clearer.join().unwrap();
        assert_eq!(settled_entries(&map), [].into());
    });
}

#[test]
fn what_is_computed_for_an_absent_key_is_not_cleared_away_meanwhile() {
    model(|| {
        let map = empty();
        let Entry::Vacant(entry) = map.entry(A.into()).unwrap() else { panic!("it is not there") };
        let clearer = spawn(&map, |map| run(map, &[Clear, Flush]));
        // The claim is there before the clearing, and after it.
        clearer.join().unwrap();
        let reader = spawn(&map, |map| Get(A).run(map));
        assert_eq!(entry.insert(1.into()).unwrap().read(), 1);
        reader.join().unwrap();
        assert_eq!(settled_entries(&map), [(A, 1)].into());
    });
    linearizable(empty, [&[ComputeIfAbsent(A, 1)], &[Clear]]);
}

#[test]
fn who_waits_for_a_claim_that_is_cleared_is_woken() {
    model_within(1, || {
        let map = one();
        let entry = map.entry(A.into()).unwrap();
        let waiter = spawn(&map, |map| ComputeIfAbsent(A, 3).run(map));
        let clearer = spawn(&map, |map| Clear.run(map));
        clearer.join().unwrap();
        drop(entry.insert(2.into()).unwrap());
        // Before the clearing, or when it was settled.
        assert!(matches!(waiter.join().unwrap(), None | Some(1)));
        assert!(map.len() <= 1);
    });
}

// Growing and shrinking.

#[test]
fn a_claim_is_settled_where_growth_has_moved_it() {
    linearizable(one, [&[Add(A, 1)], &[GROW, Get(A)]]);
    linearizable(empty, [&[ComputeIfAbsent(A, 1)], &[GROW, Get(A)]]);
}

#[test]
fn a_claim_is_settled_where_shrinking_has_moved_it() {
    linearizable_within(1, large, [&[Add(A, 1)], &[Shrink]]);
    linearizable_within(1, large_and_empty, [&[ComputeIfAbsent(B, 2)], &[Shrink, Get(B)]]);
}

#[test]
fn who_waits_is_woken_where_growth_has_moved_the_claim() {
    model(|| {
        let settled = claim_while(&one(), A, 2, &[Add(A, 10)], &[GROW]);
        assert_eq!(settled, [(A, 12)].into());
    });
    model_within(1, || {
        let settled = claim_while(&empty(), B, 2, &[Insert(B, 10)], &[GROW, HELP]);
        assert_eq!(settled, [(B, 10)].into());
    });
}

#[test]
fn who_waits_is_woken_where_shrinking_has_moved_the_claim() {
    model_within(1, || {
        let settled = claim_while(&large(), A, 2, &[Add(A, 10)], &[Shrink]);
        assert_eq!(settled, [(A, 12)].into());
    });
    model_within(1, || {
        let settled = claim_while(&large_and_empty(), B, 2, &[Insert(B, 10)], &[Shrink]);
        assert_eq!(settled, [(B, 10)].into());
    });
}

#[test]
fn who_waits_is_woken_where_another_thread_moves_the_claim() {
    model_within(1, || {
        let map = one();
        let grower = spawn(&map, |map| GROW.run(map));
        let settled = claim_while(&map, A, 2, &[Add(A, 10)], &[]);
        assert_eq!(settled, [(A, 12)].into());
        grower.join().unwrap();
    });
}

#[test]
fn a_claim_is_taken_while_its_bin_is_moved() {
    linearizable(half_grown, [&[HELP], &[ComputeIfAbsent(C, 3), Add(A, 1)]]);
}

// The slot that a claim was put in.

#[test]
fn a_claim_is_settled_in_its_slot_or_where_growth_has_moved_it() {
    linearizable_within(1, second, [&[Add(A, 1)], &[GROW, Get(A)]]);
    linearizable_within(1, second_of_two, [&[ComputeIfAbsent(B, 2)], &[GROW, HELP, Get(B)]]);
    linearizable_within(1, second, [&[ComputeNothing(A)], &[GROW, Get(B)]]);
}

#[test]
fn a_claim_is_settled_though_another_node_is_in_such_a_slot_after_growth() {
    model_within(1, || {
        let map = second();
        let entry = map.entry(A.into()).unwrap();
        // Alone in its bin of the next table, until the other one follows.
        let other = spawn(&map, |map| run(map, &[GROW, HELP, Insert(LIKE_A, 3), Get(LIKE_A)]));
        assert_eq!(entry.insert(2.into()).unwrap().read(), 2);
        other.join().unwrap();
        assert_eq!(settled_entries(&map), [(A, 2), (B, 1), (LIKE_A, 3)].into());
    });
}

#[test]
fn a_claim_is_settled_though_another_claim_is_in_such_a_slot_after_growth() {
    model_within(1, || {
        let map = second();
        let entry = map.entry(A.into()).unwrap();
        run(&map, &[GROW, HELP]);
        let other = spawn(&map, |map| ComputeIfAbsent(LIKE_A, 3).run(map));
        assert_eq!(entry.insert(2.into()).unwrap().read(), 2);
        assert_eq!(other.join().unwrap(), None);
        assert_eq!(settled_entries(&map), [(A, 2), (B, 1), (LIKE_A, 3)].into());
    });
}

#[test]
fn a_claim_is_settled_though_another_node_is_in_such_a_slot_after_shrinking() {
    model_within(1, || {
        let map = large_and_empty();
        let entry = map.entry(B.into()).unwrap();
        // It comes behind this one.
        Insert(A, 1).run(&map);
        let other = spawn(&map, |map| Shrink.run(map));
        assert_eq!(entry.insert(2.into()).unwrap().read(), 2);
        other.join().unwrap();
        assert_eq!(settled_entries(&map), [(A, 1), (B, 2)].into());
    });
}

#[test]
fn a_claim_is_settled_in_its_slot_before_or_after_a_clearing() {
    linearizable(second, [&[ComputeNothing(A)], &[Clear]]);
    linearizable_within(1, second, [&[Touch(A)], &[Clear, Insert(B, 2)]]);
    linearizable_within(1, second, [&[Panic(A), Get(B)], &[Clear, Flush]]);
    linearizable_within(1, second_of_two, [&[ComputeIfAbsent(B, 2)], &[Clear, Insert(A, 2)]]);
}

#[test]
fn who_comes_to_wait_while_a_claim_is_settled_in_its_slot_is_woken() {
    linearizable(second, [&[Add(A, 1)], &[Add(A, 2)]]);
    linearizable(second, [&[ComputeNothing(A)], &[ComputeIfAbsent(A, 2)]]);
    linearizable(second_of_two, [&[ComputeIfAbsent(B, 2)], &[Add(B, 3)]]);
}

#[test]
fn who_comes_to_wait_is_woken_though_a_neighbour_is_claimed_and_settled_meanwhile() {
    const WAYS: [Op; 6] = [
        Add(A, 1),
        ComputeNothing(A),
        Touch(A),
        ComputeIfAbsent(NEW, 2),
        Fail(NEW),
        ComputeIfAbsent(LIKE_A, 2),
    ];
    for way in WAYS {
        model_within(1, move || {
            let map = second();
            let entry = map.entry(B.into()).unwrap();
            let waiter = spawn(&map, |map| Add(B, 10).run(map));
            way.run(&map);
            drop(entry);
            assert_eq!(waiter.join().unwrap(), Some(1));
            assert_eq!(settled_entries(&map)[&B], 11);
        });
    }
}

#[test]
fn a_claim_that_is_given_up_while_it_is_overtaken_leaves_what_is_there() {
    model(|| {
        // Another claim of the bin, in its second slot, keeps the mark of those who wait.
        let map = map_with(1, &[(LIKE_A, 1)]);
        let mine = map.entry(B.into()).unwrap();
        Remove(LIKE_A).run(&map);
        let other = spawn(&map, |map| {
            let needing = map.compute_if_absent_async(A.into(), |_| async {
                // Refused if the other thread is waiting for this already.
                let _ = map.compute_if_absent_async(B.into(), |_| pending()).await.map(drop);
                1.into()
            });
            let mut needing: Pin<Box<dyn Future<Output = _>>> = Box::pin(needing);
            let _ = Bell::new().poll(needing.as_mut()).is_ready();
            loom::thread::yield_now();
            drop(needing);
        });
        loom::thread::yield_now();
        // Goes ahead of who waits for this thread.
        assert!(matches!(Insert(A, 10).run(&map), None | Some(1)));
        loom::thread::yield_now();
        drop(mine);
        other.join().unwrap();
        assert_eq!(settled_entries(&map), [(A, 10)].into());
    });
}
