//! Every method of a set and of a pinned set.

use std::collections::BTreeSet;

use binlock::HashSet;

use crate::{
    common::{
        Ledger, Probe,
        fault::{self, Site},
        within,
    },
    sweep::{KEYS, Leaves, TrackedSet, filled_set, sweep},
};

fn sweep_set<'l>(
    name: &str,
    ledger: &'l Ledger,
    leaves: Leaves,
    run: impl Fn(&mut TrackedSet<'l>),
) {
    assert!(sweep(name, ledger, filled_set, leaves, run) > 0, "{name}: no user code is called");
}

#[test]
fn a_panic_anywhere_in_a_set_leaves_it_as_it_was() {
    within(240, || {
        let ledger = &Ledger::new(1_000_000);
        let (here, new) = (Probe(4), Probe(40));
        let all = Leaves::Nothing;
        sweep_set("contains", ledger, all, |set| {
            assert!(set.contains(&here) && !set.pin().contains(&new));
        });
        sweep_set("get", ledger, all, |set| {
            assert!(set.get(&new).is_none() && set.pin().get(&here).is_some());
        });
        sweep_set("insert", ledger, all, |set| assert!(set.insert(ledger.track(40))));
        sweep_set("insert again", ledger, all, |set| assert!(!set.insert(ledger.track(4))));
        sweep_set("insert, pinned", ledger, all, |set| assert!(set.pin().insert(ledger.track(40))));
        sweep_set("replace", ledger, all, |set| assert!(set.replace(ledger.track(4)).is_some()));
        sweep_set("replace none", ledger, all, |set| {
            assert!(set.replace(ledger.track(40)).is_none());
        });
        sweep_set("remove", ledger, all, |set| assert!(set.remove(&here)));
        sweep_set("remove, pinned", ledger, all, |set| assert!(set.pin().remove(&here)));
        sweep_set("take", ledger, all, |set| assert!(set.take(&here).is_some()));
        sweep_set("take, pinned", ledger, all, |set| assert!(set.pin().take(&here).is_some()));
    });
}

#[test]
fn a_panic_anywhere_in_what_goes_over_a_whole_set_leaves_each_key_as_before_or_after() {
    within(240, || {
        let ledger = &Ledger::new(1_000_000);
        let keys = || {
            (KEYS - 3..KEYS + 9).map(|key| {
                fault::point(Site::Closure);
                ledger.track(key)
            })
        };
        sweep_set("extend", ledger, Leaves::APart, |set| set.extend(keys()));
        sweep_set("retain", ledger, Leaves::APart, |set| {
            set.retain(|key| {
                fault::point(Site::Closure);
                key.value % 3 != 1
            });
        });
        sweep_set("retain, pinned", ledger, Leaves::APart, |set| {
            set.pin().retain(|key| {
                fault::point(Site::Closure);
                key.value % 3 != 1
            });
        });
        sweep_set("collect and compare", ledger, Leaves::Nothing, |set| {
            let other: TrackedSet<'_> = keys().collect();
            assert!(other != *set);
            let (a, b) = (set.pin(), other.pin());
            assert!(!a.is_disjoint(&b) && !a.is_subset(&b) && !a.is_superset(&b));
        });
        sweep_set("clone", ledger, Leaves::Nothing, |set| assert!(set.clone() == *set));
        sweep_set("drain of another", ledger, Leaves::Nothing, |set| {
            let mut other = fault::without(|| set.clone());
            let drained: BTreeSet<u64> = other.drain().map(|key| key.value).collect();
            assert_eq!(drained.len() as u64, KEYS);
            assert!(other.is_empty() && other.capacity() == HashSet::<u8>::new().capacity());
        });
    });
}
