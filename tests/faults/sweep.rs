//! Runs some code again and again, each time with another call of one kind of user code
//! panicking, and compares what is there with what was there before and what should be after.

use std::collections::BTreeMap;

use binlock::HashSet;

use crate::common::{
    Hashers, Ledger, Tracked,
    fault::{self, Site},
    operations::TrackedMap,
};

pub const HASHERS: [Hashers; 2] = [Hashers::Good(1), Hashers::Constant];

/// So many keys are there at first, from 0 on.
pub const KEYS: u64 = 12;

pub type TrackedSet<'l> = HashSet<Tracked<'l, u64>, Hashers>;

pub type Entries = BTreeMap<u64, u64>;

/// What a panic may leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leaves {
    /// All as it was.
    Nothing,
    /// Of each key, what it was before or what it is after.
    APart,
}

/// A map or a set.
pub trait Subject {
    fn entries(&self) -> Entries;

    /// Nobody has left a claim behind on any key.
    fn assert_unclaimed(&self);
}

impl Subject for TrackedMap<'_> {
    fn entries(&self) -> Entries {
        let pinned = self.pin();
        let entries: Entries = pinned.iter().map(|(k, v)| (k.value, v.value)).collect();
        assert_eq!((self.len(), pinned.iter().count()), (entries.len(), entries.len()));
        entries
    }

    fn assert_unclaimed(&self) {
        // What would wait for a claim of this very thread would be told so.
        let pinned = self.pin();
        for key in pinned.keys() {
            let (key, _) = pinned.get_key_value(key).unwrap();
            assert!(pinned.compute_if_present(key, |_, v| Some(v.clone())).unwrap().is_some());
        }
    }
}

impl Subject for TrackedSet<'_> {
    fn entries(&self) -> Entries {
        let pinned = self.pin();
        let entries: Entries = pinned.iter().map(|key| (key.value, 0)).collect();
        assert_eq!((self.len(), pinned.iter().count()), (entries.len(), entries.len()));
        entries
    }

    fn assert_unclaimed(&self) {}
}

pub fn filled(ledger: &Ledger, hasher: Hashers) -> TrackedMap<'_> {
    let map = TrackedMap::with_hasher(hasher);
    for key in 0..KEYS {
        map.insert(ledger.track(key), ledger.track(100 + key));
    }
    map
}

pub fn filled_set(ledger: &Ledger, hasher: Hashers) -> TrackedSet<'_> {
    let set = TrackedSet::with_hasher(hasher);
    (0..KEYS).for_each(|key| assert!(set.insert(ledger.track(key))));
    set
}

/// Lets each call of each kind of user code in `run` panic, one after another. Says how many did.
pub fn sweep<'l, T: Subject>(
    name: &str,
    ledger: &'l Ledger,
    make: impl Fn(&'l Ledger, Hashers) -> T,
    leaves: Leaves,
    run: impl Fn(&mut T),
) -> usize {
    let mut panics = 0;
    for hasher in HASHERS {
        let mut subject = make(ledger, hasher);
        let before = subject.entries();
        run(&mut subject);
        let after = subject.entries();
        drop(subject);
        for site in Site::ALL {
            for call in 0.. {
                let mut subject = make(ledger, hasher);
                fault::arm(site, call);
                let happened = fault::caught(|| run(&mut subject)).is_some();
                let was_called = !fault::disarm();
                let context = format!("{name}, {hasher:?}, {site:?} {call}");
                assert_eq!(happened, !was_called, "{context}: the panic is lost");
                let now = subject.entries();
                match leaves {
                    _ if happened => assert_eq!(now, after, "{context}"),
                    Leaves::Nothing => assert_eq!(now, before, "{context}"),
                    Leaves::APart => {
                        for key in before.keys().chain(after.keys()).chain(now.keys()) {
                            let found = now.get(key);
                            let was = before.get(key);
                            assert!(found == was || found == after.get(key), "{context}: {key}");
                        }
                    }
                }
                subject.assert_unclaimed();
                drop(subject);
                assert_eq!(ledger.alive(), 0, "{context}: leaked");
                if happened {
                    break;
                }
                panics += 1;
            }
        }
    }
    ledger.assert_all_dropped_once();
    panics
}
