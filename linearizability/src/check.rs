//! Is there an order that explains a history?

use std::fmt;

use todc_utils::{Action, History, Specification, WGLChecker};

use crate::{
    record::{Event, Fact},
    scenario::Scenario,
};

/// A history that no order explains, or something that is wrong by itself.
#[derive(Debug)]
pub struct Violation {
    pub seed: Option<u64>,
    pub scenario: Scenario,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seed {
            Some(seed) => writeln!(f, "scenario {seed}: {}", self.what)?,
            None => writeln!(f, "{}", self.what)?,
        }
        write!(f, "in {:#?}", self.scenario)
    }
}

/// What a key may be at some point of an order. (More than one thing after [`Fact::PerhapsCleared`].)
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct State {
    value: Option<u64>,
    absent: bool,
}

impl State {
    const ABSENT: State = State { value: None, absent: true };

    fn exactly(value: Option<u64>) -> State {
        State { value, absent: value.is_none() }
    }

    fn may_be(self, value: Option<u64>) -> bool {
        match value {
            Some(_) => self.value == value,
            None => self.absent,
        }
    }

    /// What it is after a fact, unless that cannot be.
    fn after(self, fact: Fact) -> Option<State> {
        match fact {
            Fact::Changed { before, after } => self.may_be(before).then_some(State::exactly(after)),
            Fact::Present => self.value.is_some().then_some(State { absent: false, ..self }),
            Fact::Cleared => Some(State::ABSENT),
            Fact::RemovedIf(value) if self.value == Some(value) => Some(State::ABSENT),
            Fact::RemovedIf(_) => Some(self),
            Fact::PerhapsCleared => Some(State { absent: true, ..self }),
        }
    }
}

/// One key of a map, as the checker wants it described.
struct OneKey;

impl Specification for OneKey {
    type State = State;
    type Operation = Fact;

    fn init() -> State {
        State::ABSENT
    }

    fn apply(fact: &Fact, state: &State) -> (bool, State) {
        match state.after(*fact) {
            Some(after) => (true, after),
            None => (false, *state),
        }
    }
}

/// Checks what was recorded about all keys. `present` are the values that they had before.
pub(crate) fn check(
    events: &[Event],
    present: &[Option<u64>],
    clears_repeatedly: bool,
) -> Result<(), String> {
    for (key, before) in present.iter().enumerate() {
        let mut of_key: Vec<Event> =
            events.iter().filter(|event| event.key == key).copied().collect();
        if clears_repeatedly {
            repeat_clears(&mut of_key);
        }
        of_key.sort_by_key(|event| event.called);
        if !is_linearizable(&of_key, *before) {
            let mut history = String::new();
            for Event { fact, called, ended, .. } in &of_key {
                history += &format!("    {called:4} to {ended:4}: {fact:?}\n");
            }
            return Err(format!("no order explains key {key}, {before:?} and then\n{history}"));
        }
    }
    Ok(())
}

/// A clearing that may come more than once does so at the most as often as there was something
/// put in front of it.
fn repeat_clears(events: &mut Vec<Event>) {
    let puts_during = |clear: &Event| {
        let put = |event: &&Event| matches!(event.fact, Fact::Changed { after: Some(_), .. });
        events
            .iter()
            .filter(put)
            .filter(|put| put.called < clear.ended && clear.called < put.ended)
            .count()
    };
    let again: Vec<Event> = events
        .iter()
        .filter(|event| event.fact == Fact::Cleared)
        .flat_map(|clear| {
            let again = Event { fact: Fact::PerhapsCleared, ..*clear };
            std::iter::repeat_n(again, puts_during(clear))
        })
        .collect();
    events.extend(again);
}

fn is_linearizable(events: &[Event], before: Option<u64>) -> bool {
    // Every event is a process of its own: which come after which is in the times alone.
    let first = Fact::Changed { before: None, after: before };
    let mut actions = vec![(0, Action::Call(first)), (0, Action::Response(first))];
    let mut timed = Vec::with_capacity(2 * events.len());
    for (i, event) in events.iter().enumerate() {
        timed.push((event.called, (i + 1, Action::Call(event.fact))));
        timed.push((event.ended, (i + 1, Action::Response(event.fact))));
    }
    // (Stable, and a call stands before its own response.)
    timed.sort_by_key(|(time, _)| *time);
    actions.extend(timed.into_iter().map(|(_, action)| action));
    WGLChecker::<OneKey>::is_linearizable(History::from_actions(actions))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(called: u64, ended: u64, fact: Fact) -> Event {
        Event { key: 0, fact, called, ended }
    }

    fn holds(events: &[Event], clears_repeatedly: bool) -> bool {
        check(events, &[None], clears_repeatedly).is_ok()
    }

    #[test]
    fn what_overlaps_may_come_in_any_order_and_what_does_not_may_not() {
        let put = |called, ended| event(called, ended, Fact::put(None, 1));
        let miss = event(2, 3, Fact::found(None));
        assert!(holds(&[put(1, 4), miss], false));
        assert!(!holds(&[put(0, 1), miss], false));
        assert!(holds(&[put(4, 5), miss], false));
    }

    #[test]
    fn an_update_that_is_lost_is_noticed() {
        let insert = event(0, 1, Fact::put(None, 1));
        let one = event(2, 5, Fact::put(Some(1), 2));
        let other = event(3, 6, Fact::put(Some(1), 3));
        let next = event(4, 7, Fact::put(Some(2), 3));
        assert!(!holds(&[insert, one, other], false));
        assert!(holds(&[insert, one, next], false));
    }

    #[test]
    fn a_reader_does_not_go_back_in_time() {
        let events = |first, second| {
            [
                event(0, 1, Fact::put(None, 1)),
                event(2, 9, Fact::put(Some(1), 2)),
                event(3, 4, Fact::found(Some(first))),
                event(5, 6, Fact::found(Some(second))),
            ]
        };
        assert!(holds(&events(1, 2), false));
        assert!(!holds(&events(2, 1), false));
    }

    #[test]
    fn a_clearing_comes_again_only_where_it_may() {
        let events = [
            event(0, 1, Fact::put(None, 1)),
            event(2, 9, Fact::Cleared),
            event(3, 4, Fact::put(None, 2)),
            event(5, 6, Fact::found(None)),
        ];
        assert!(!holds(&events, false));
        assert!(holds(&events, true));
        // And not when it is over.
        let after = [events[0], event(2, 3, Fact::Cleared), event(4, 5, Fact::put(None, 2))];
        assert!(holds(&[&after[..], &[event(6, 7, Fact::Present)]].concat(), true));
        assert!(!holds(&[&after[..], &[event(6, 7, Fact::found(None))]].concat(), true));
    }

    #[test]
    fn a_removal_under_a_condition_removes_no_other_value() {
        let put = event(0, 1, Fact::put(None, 1));
        let miss = event(4, 5, Fact::found(None));
        assert!(holds(&[put, event(2, 3, Fact::RemovedIf(1)), miss], false));
        assert!(!holds(&[put, event(2, 3, Fact::RemovedIf(2)), miss], false));
        assert!(!holds(&[event(2, 3, Fact::Present)], false));
    }
}
