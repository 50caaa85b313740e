//! Threads that meet where each keeps its share of the count and of the garbage: there are
//! as many shares from then on as there is use for.
#![cfg(binlock_loom)]

use binlock_loom_tests::{
    Map, Name, Op::*, linearizable, linearizable_within, map_with, model, spawn,
};

/// Maps of this size have stripes for threads of their own: the first two have one.
const LARGE: usize = 22;

const A: Name = Name::new(0x00, 1, 0);
/// In the other bin.
const B: Name = Name::new(0x80, 2, 0);

#[test]
fn the_count_is_exact_after_insertions_have_met() {
    linearizable(|| map_with(1, &[]), [&[Insert(A, 1)], &[Insert(B, 2), Remove(B)]]);
}

#[test]
fn the_count_is_exact_after_removals_have_met() {
    linearizable(|| map_with(1, &[(A, 1), (B, 2)]), [&[Remove(A)], &[Remove(B)]]);
}

#[test]
fn replacements_that_meet_retire_what_they_replace() {
    linearizable(|| map_with(1, &[(A, 1), (B, 2)]), [&[Replace(A, 3)], &[Replace(B, 4), Flush]]);
}

#[test]
fn garbage_that_no_share_was_free_for_is_dropped_too() {
    linearizable_within(
        1,
        || map_with(1, &[(A, 1), (B, 2)]),
        [&[Replace(A, 3)], &[Replace(B, 4)], &[Flush]],
    );
}

#[test]
fn the_count_is_exact_where_each_thread_counts_for_itself() {
    linearizable(|| map_with(LARGE, &[]), [&[Insert(A, 1)], &[Insert(B, 2), Remove(B)]]);
}

/// Of two that each insert a key and then look for the other's, at the most one does not find it. Nothing
/// but the end of a pin orders a look-up behind an insertion into another bin by the same thread: with a
/// stripe of its own, it changes no count that others change.
#[test]
fn what_a_thread_has_inserted_is_there_before_it_looks_for_another_key() {
    linearizable(|| map_with(LARGE, &[]), [&[Insert(A, 1), Get(B)], &[Insert(B, 2), Get(A)]]);
}

/// The same where the pin does not end, as the thread keeps the entry.
#[test]
fn what_a_thread_has_inserted_is_there_before_it_looks_for_another_key_though_it_keeps_the_entry() {
    one_of_two_finds_the_others(|map, mine, others| {
        let kept = map.try_insert(mine.into(), 1.into());
        let found = map.contains_key(&others);
        assert!(kept.is_ok());
        found
    });
}

/// The same by views, of which each ends after its write.
#[test]
fn what_a_view_has_written_is_there_before_its_thread_looks_for_another_key() {
    one_of_two_finds_the_others(|map, mine, others| {
        map.pin().insert(mine.into(), 1.into());
        map.contains_key(&others)
    });
}

fn one_of_two_finds_the_others(insert_and_look: fn(&Map, Name, Name) -> bool) {
    model(move || {
        let map = map_with(LARGE, &[]);
        let other = spawn(&map, move |map| insert_and_look(map, A, B));
        let one = insert_and_look(&map, B, A);
        let other = other.join().unwrap();
        assert!(one || other, "neither finds the other one's");
    });
}

#[test]
fn a_thread_that_is_at_its_stripe_is_not_disturbed_by_a_flush() {
    linearizable(
        || map_with(LARGE, &[(A, 1)]),
        [&[Replace(A, 2), Replace(A, 3)], &[Flush, Get(A), Flush]],
    );
}

#[test]
fn a_stripe_is_opened_by_one_of_two_that_flush_and_its_own_thread() {
    linearizable_within(
        1,
        || map_with(LARGE, &[(A, 1)]),
        [&[Replace(A, 2), Replace(A, 3)], &[Flush], &[Flush]],
    );
}

/// Two flush, and either may have revoked what the thread that fills the map has of its own there
/// before or after that gets it back.
#[test]
fn a_stripe_that_its_thread_has_got_back_is_not_opened_by_who_revoked_it_before() {
    model(|| {
        let map = map_with(LARGE, &[(A, 1)]);
        let flushers = [(), ()].map(|()| spawn(&map, |map| map.flush()));
        loom::thread::yield_now();
        map.insert(A.into(), 2.into());
        for flusher in flushers {
            flusher.join().unwrap();
        }
    });
}

#[test]
fn threads_that_share_a_stripe_flush_those_that_are_others_own() {
    linearizable_within(
        1,
        || map_with(LARGE, &[(A, 1), (B, 2)]),
        [&[Replace(A, 3)], &[Replace(B, 4), Flush], &[Remove(B), Flush]],
    );
}

#[test]
fn a_thread_that_pins_anew_sees_that_its_stripe_has_been_opened_meanwhile() {
    model(|| {
        let map = map_with(LARGE, &[(A, 1)]);
        let flusher = spawn(&map, |map| map.flush());
        let mut pinned = map.pin();
        pinned.insert(A.into(), 2.into());
        pinned.repin();
        pinned.insert(A.into(), 3.into());
        drop(pinned);
        flusher.join().unwrap();
    });
}

#[test]
fn threads_that_share_a_stripe_make_it_once() {
    // The first thread, which fills the map, and the next have stripes of their own; the two after
    // them share one, which is not there yet.
    linearizable_within(1, || map_with(LARGE, &[]), [&[], &[Insert(A, 1)], &[Insert(B, 2)], &[]]);
}

#[test]
fn what_is_retired_in_a_stripe_that_is_just_made_is_dropped() {
    linearizable_within(
        1,
        || map_with(LARGE, &[(A, 1), (B, 2)]),
        [&[], &[Replace(A, 3)], &[Replace(B, 4)], &[Flush]],
    );
}

#[test]
fn a_flush_meets_a_stripe_that_is_just_made() {
    linearizable(|| map_with(LARGE, &[(A, 1)]), [&[Remove(A), Insert(B, 2)], &[Flush, Get(B)]]);
}

#[test]
fn the_count_is_exact_where_the_stripes_come_while_others_count() {
    // The reservation gives the map its stripes.
    linearizable_within(1, || map_with(1, &[]), [&[Insert(A, 1)], &[Reserve(LARGE), Insert(B, 2)]]);
}
