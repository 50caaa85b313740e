//! The checker would notice: maps that are wrong in one way each are found out.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use binlock_linearizability::{
    Crew, Decision, Event, Fact, Key, Map, Operation, Recorder, Scenario, Step, Subject, explore,
    pause,
};

/// Many times what it takes.
const ENOUGH: u64 = 100_000;

/// Explores a map until what is wrong with it shows, and says how that is put.
#[track_caller]
fn found_out<S: Subject>() -> String {
    let mut explained = 0;
    match explore::<S>(&Crew::new(), 0..ENOUGH, |more| explained += more) {
        Ok(()) => panic!("{ENOUGH} histories, and nothing was noticed"),
        Err(violation) => {
            println!("noticed after {explained} histories");
            violation.what
        }
    }
}

#[track_caller]
fn has_inexplicable_histories<S: Subject>() {
    let what = found_out::<S>();
    assert!(what.starts_with("no order explains"), "{what}");
}

/// Defines a map that does the operations that are given in its own way, and leaves the others
/// to a right one.
macro_rules! broken {
    (
        $(#[$doc:meta])* $name:ident { $($field:ident: $ty:ty)? },
        |$this:ident, $step:ident, $keys:ident, $recorder:ident| { $operation:pat $(if $guard:expr)? => $body:expr }
    ) => {
        $(#[$doc])*
        struct $name {
            map: Map,
            $($field: $ty,)?
        }

        impl Subject for $name {
            fn new(scenario: &Scenario) -> Self {
                $name { map: <Map as Subject>::new(scenario), $($field: <$ty>::default(),)? }
            }

            fn perform(&self, $step: &Step, keys: usize, $recorder: &mut Recorder<'_>) {
                let ($this, $keys) = (self, keys);
                match $step.operation {
                    $operation $(if $guard)? => $body,
                    _ => self.map.perform($step, keys, $recorder),
                }
            }
        }
    };
}

fn key(step: &Step) -> Key {
    Key(step.key as u64)
}

broken! {
    /// Computes what it has read, and writes it whatever has come in between.
    ComputesWithoutClaim {},
    |this, step, _keys, recorder| {
        Operation::Compute(decision) => recorder.record(step.key, |_| {
            let before = this.map.get(&key(step)).map(|value| *value);
            pause();
            let after = decision.decide(before, step.value);
            match after {
                Some(value) => drop(this.map.insert(key(step), value)),
                None => drop(this.map.remove(&key(step))),
            }
            Fact::Changed { before, after }
        })
    }
}

#[test]
fn a_computation_that_claims_nothing_is_noticed() {
    has_inexplicable_histories::<ComputesWithoutClaim>();
}

broken! {
    /// Reads what was there when the key was looked up before.
    LagsBehind { cached: [AtomicU64; 4] },
    |this, step, _keys, recorder| {
        Operation::Get => recorder.record(step.key, |_| {
            let now = this.map.get(&key(step)).map_or(0, |value| *value);
            let before = this.cached[step.key].swap(now, Ordering::SeqCst);
            Fact::found(Some(if before == 0 { now } else { before }).filter(|value| *value != 0))
        })
    }
}

#[test]
fn reads_that_lag_behind_are_noticed() {
    has_inexplicable_histories::<LagsBehind>();
}

broken! {
    /// Puts back, now and then, what it has removed.
    UndoesRemovals { removals: AtomicUsize },
    |this, step, _keys, recorder| {
        Operation::Remove => recorder.record(step.key, |_| {
            let removed = this.map.remove(&key(step)).map(|value| *value);
            if let Some(value) = removed {
                if this.removals.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
                    pause();
                    let _ = this.map.try_insert(key(step), value);
                }
            }
            Fact::removed(removed)
        })
    }
}

#[test]
fn a_removal_that_is_undone_is_noticed() {
    has_inexplicable_histories::<UndoesRemovals>();
}

broken! {
    /// Looks, and then inserts.
    InsertsAfterLooking {},
    |this, step, _keys, recorder| {
        Operation::TryInsert => recorder.record(step.key, |_| {
            if let Some(found) = this.map.get(&key(step)) {
                return Fact::found(Some(*found));
            }
            this.map.insert(key(step), step.value);
            Fact::put(None, step.value)
        })
    }
}

#[test]
fn a_second_insertion_that_wins_is_noticed() {
    has_inexplicable_histories::<InsertsAfterLooking>();
}

broken! {
    /// Brings back a key that was removed after it was seen.
    ReplacesWhatIsGone {},
    |this, step, _keys, recorder| {
        Operation::Replace => recorder.record(step.key, |_| {
            let Some(before) = this.map.get(&key(step)).map(|value| *value) else {
                return Fact::found(None);
            };
            this.map.insert(key(step), step.value);
            Fact::put(Some(before), step.value)
        })
    }
}

#[test]
fn a_replacement_of_what_is_gone_is_noticed() {
    has_inexplicable_histories::<ReplacesWhatIsGone>();
}

broken! {
    /// Shows for a moment what a computation had before it failed.
    ShowsFailures {},
    |this, step, _keys, recorder| {
        Operation::TryComputeIfAbsent { fails: true } => recorder.record(step.key, |_| {
            match this.map.try_insert(key(step), step.value) {
                Ok(_) => {
                    pause();
                    this.map.remove_if(&key(step), |_, value| *value == step.value);
                    Fact::found(None)
                }
                Err(error) => Fact::found(Some(*error.current)),
            }
        })
    }
}

#[test]
fn a_value_whose_computation_failed_is_noticed() {
    has_inexplicable_histories::<ShowsFailures>();
}

broken! {
    /// Asks about a value, and removes whatever is there by then.
    RemovesWhatItDidNotSee {},
    |this, step, _keys, recorder| {
        Operation::RemoveIfEven => recorder.record(step.key, |_| {
            let before = this.map.get(&key(step)).map(|value| *value);
            let refused = before.is_some_and(|value| value % 2 == 0);
            pause();
            if refused {
                this.map.remove(&key(step));
            }
            Fact::Changed { before, after: before.filter(|_| !refused) }
        })
    }
}

#[test]
fn a_removal_of_what_was_not_asked_about_is_noticed() {
    has_inexplicable_histories::<RemovesWhatItDidNotSee>();
}

broken! {
    /// Leaves every second key alone.
    ClearsHalf {},
    |this, _step, keys, recorder| {
        Operation::Clear => {
            let called = recorder.now();
            this.map.retain(|key, _| key.0 % 2 == 0);
            let ended = recorder.now();
            for key in 0..keys {
                recorder.event(Event { key, fact: Fact::Cleared, called, ended });
            }
        }
    }
}

#[test]
fn a_clearing_that_leaves_something_is_noticed() {
    has_inexplicable_histories::<ClearsHalf>();
}

broken! {
    /// Begins again where another thread was faster.
    ComputesAgain {},
    |this, step, keys, recorder| {
        Operation::Compute(Decision::Value) if !this.map.contains_key(&key(step)) => {
            let mut calls = 1;
            let called = recorder.now();
            pause();
            if this.map.try_insert(key(step), step.value).is_ok() {
                let (key, fact) = (step.key, Fact::put(None, step.value));
                recorder.event(Event { key, fact, called, ended: recorder.now() });
            } else {
                this.map.perform(step, keys, recorder);
                calls += 1;
            }
            recorder.demand(calls <= 1, || format!("{calls} calls of a closure"));
        }
    }
}

#[test]
fn a_closure_that_runs_again_is_noticed() {
    let what = found_out::<ComputesAgain>();
    assert!(what.starts_with("2 calls of a closure"), "{what}");
}
