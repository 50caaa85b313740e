//! Who is compared at once, and how they come to their turns.
//!
//! A job is run by several processes: the referee, and one for each map (see `one_map`). All of them run
//! the same code, in which a [`Group`] stands for the maps, and what is asked of it is done by the
//! processes of the maps, when the referee gives the order. So what a slice does can be a closure. What
//! is made of the answers in a map's process is of that map alone, and goes nowhere.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Role, Run, fill_cost, is_whole};
use crate::args::{Args, BUILDINGS};
use crate::contenders::Entry;
use crate::one_map::{self, Process};
use crate::{memory_budget, rounds};

/// Filled maps, ours the first.
pub struct Group<C: ?Sized> {
    maps: Maps<C>,
    /// The maps of a comparison are built so often.
    buildings: usize,
}

enum Maps<C: ?Sized> {
    /// For the referee.
    All(Vec<(&'static str, Process)>),
    /// For the process of a map.
    Own { name: &'static str, is_ours: bool, map: Box<C> },
}

/// How often the maps of a comparison are built, each time in new processes and for a part of the
/// rounds: where in memory, and in what pages, a map is, is decided when it is built. (By that, papaya took
/// 0.94 to 1.14 of binlock's time in four runs of `read_heavy` within minutes, with
/// quartiles of 0.91 to 1.03 in one and 1.09 to 1.18 in another.) The largest maps take too long to build.
fn buildings(args: &Args, entries: usize) -> usize {
    args.buildings.unwrap_or(if is_whole(entries) { 1 } else { BUILDINGS })
}

/// About how long all maps take together that take part, each of which is filled in `fill` and has its
/// slice in each round, and once more for each time that it is built.
pub fn cost<C: ?Sized>(
    args: &Args,
    contenders: &[Entry<C>],
    entries: usize,
    fill: Duration,
    slice: Duration,
    rounds: usize,
) -> Duration {
    let buildings = buildings(args, entries);
    let of_one = (fill + slice * (rounds.div_ceil(buildings) as u32 + 1)) * buildings as u32;
    let peers = contenders.iter().skip(1).filter(|peer| args.invites(peer.name)).count();
    of_one * (1 + peers + args.builds.len()) as u32
}

/// Who takes part, and in which build of this program, if it is not this one.
struct Contender<'a, C: ?Sized> {
    name: &'static str,
    entry: &'a Entry<C>,
    program: Option<&'a Path>,
}

// The orders.
const BUILD: &str = "build";
const SLICE: &str = "slice";
const ASK: &str = "ask";
const HEAR: &str = "hear";
const CHECK: &str = "check";

impl<C: ?Sized> Group<C> {
    pub fn names(&self) -> Vec<&'static str> {
        match &self.maps {
            Maps::All(processes) => processes.iter().map(|(name, _)| *name).collect(),
            Maps::Own { name, .. } => vec![name],
        }
    }

    /// Lets each map have its slice in each round, as [`rounds::interleave`] does, and gives each one's
    /// samples by round. Of the rounds, these maps have their share. A slice is estimated at `cost`.
    pub fn interleave<T: Serialize + DeserializeOwned>(
        &mut self,
        run: &mut Run<'_>,
        rounds: usize,
        cost: Duration,
        mut slice: impl FnMut(&C, usize) -> T,
    ) -> Vec<Vec<T>> {
        let order = |round| format!("{SLICE} of round {round}");
        let rounds = rounds.div_ceil(self.buildings);
        match &mut self.maps {
            Maps::All(processes) => {
                rounds::interleave(processes.len(), rounds, |contender, round| {
                    let sample = processes[contender].1.turn(&order(round));
                    run.progress.advance(cost);
                    sample
                })
            }
            Maps::Own { map, .. } => {
                let in_turn = |round| {
                    one_map::expect(&order(round));
                    let sample = slice(map, round);
                    one_map::answer(&sample);
                    sample
                };
                vec![(0..=rounds).map(in_turn).skip(1).collect()]
            }
        }
    }

    /// Asks ours, and lets all know the answer.
    pub fn of_ours<T: Serialize + DeserializeOwned>(&mut self, ask: impl FnOnce(&C) -> T) -> T {
        match &mut self.maps {
            Maps::All(processes) => {
                let ((_, ours), peers) = processes.split_first_mut().expect("we take part");
                let answer: T = ours.turn(ASK);
                let text = serde_json::to_string(&answer).expect("it is numbers");
                peers.iter_mut().for_each(|(_, peer)| peer.order(&format!("{HEAR} {text}")));
                answer
            }
            Maps::Own { map, is_ours: true, .. } => {
                one_map::expect(ASK);
                let answer = ask(map);
                one_map::answer(&answer);
                answer
            }
            Maps::Own { is_ours: false, .. } => {
                serde_json::from_str(&one_map::expect(HEAR)).expect("it comes from this program")
            }
        }
    }

    /// Has each map checked, and gives what each check comes to.
    pub fn check<T: Serialize + DeserializeOwned>(
        &mut self,
        check: impl FnOnce(&C) -> T,
    ) -> Vec<T> {
        match &mut self.maps {
            Maps::All(processes) => {
                processes.iter_mut().map(|(_, process)| process.turn(CHECK)).collect()
            }
            Maps::Own { map, .. } => {
                one_map::expect(CHECK);
                let result = check(map);
                one_map::answer(&result);
                vec![result]
            }
        }
    }

    /// Starts processes for the contenders with these numbers, and has them build their maps, one
    /// after another.
    fn admit(
        run: &mut Run<'_>,
        job: usize,
        contenders: &[Contender<'_, C>],
        numbers: impl Iterator<Item = usize>,
        entries: usize,
    ) -> Self {
        let start = |number: usize| {
            let Contender { name, program, .. } = contenders[number];
            (name, Process::start(job, number, name, program))
        };
        let mut started: Vec<_> = numbers.map(start).collect();
        // They draw their keys all at the same time, but none while another one builds.
        for (name, process) in &mut started {
            let there: (String, usize) = process.answer();
            let here = (run.job.clone(), contenders.len());
            assert_eq!(there, here, "the program of {name} has other workloads than this one");
        }
        for (_, process) in &mut started {
            let () = process.turn(BUILD);
            run.progress.advance(fill_cost(entries));
        }
        Self { maps: Maps::All(started), buildings: buildings(run.args, entries) }
    }

    /// The group in the process of this contender.
    fn own(
        run: &Run<'_>,
        contenders: &[Contender<'_, C>],
        contender: usize,
        entries: usize,
    ) -> Self {
        // As it has been chosen by numbers.
        one_map::answer(&(&run.job, contenders.len()));
        let less = "the referee's program has more contenders than this one";
        let &Contender { name, entry, .. } = contenders.get(contender).expect(less);
        one_map::expect(BUILD);
        let map = (entry.build)(entries);
        one_map::answer(&());
        let maps = Maps::Own { name, is_ours: contender == 0, map };
        // The orders are the referee's to draw.
        Self { maps, buildings: buildings(run.args, entries) }
    }
}

/// Fills maps with `entries` entries, ours and as many of the invited peers at a time as fit into
/// memory, and hands each group to `measure`, which is to add what it finds to what it has found
/// before. (Ours is built anew for each: otherwise it would be the
/// only one that has been through two comparisons.)
pub fn in_groups<C: ?Sized>(
    run: &mut Run<'_>,
    contenders: &[Entry<C>],
    entries: usize,
    measure: impl FnMut(&mut Run<'_>, &mut Group<C>),
) {
    let peers_at_once = memory_budget::maps_at_once(run.args, entries) - 1;
    compare(run, contenders, entries, peers_at_once, measure);
}

/// Ours and all invited peers, for sizes at which they fit into memory wherever this runs.
pub fn all_at_once<C: ?Sized>(
    run: &mut Run<'_>,
    contenders: &[Entry<C>],
    entries: usize,
    measure: impl FnMut(&mut Run<'_>, &mut Group<C>),
) {
    compare(run, contenders, entries, contenders.len(), measure);
}

fn compare<'c, C: ?Sized>(
    run: &mut Run<'_>,
    contenders: &'c [Entry<C>],
    entries: usize,
    peers_at_once: usize,
    mut measure: impl FnMut(&mut Run<'_>, &mut Group<C>),
) {
    // Ours is the first, invited or not.
    let (ours, peers) = contenders.split_first().expect("we take part");
    let this = |entry: &'c Entry<C>| Contender { name: entry.name, entry, program: None };
    let invited = peers.iter().filter(|peer| run.args.invites(peer.name)).map(this);
    let builds = run.args.builds.iter().map(|build| Contender {
        name: build.name,
        entry: ours,
        program: Some(&build.program),
    });
    let contenders: Vec<_> = [this(ours)].into_iter().chain(invited).chain(builds).collect();

    match run.role {
        Role::Map { contender } => {
            let mut group = Group::own(run, &contenders, contender, entries);
            measure(run, &mut group);
            one_map::expect_none();
        }
        Role::Referee { job } => {
            let peers: Vec<usize> = (1..contenders.len()).collect();
            let mut groups: Vec<_> = peers.chunks(peers_at_once).collect();
            if groups.is_empty() {
                // No peer has been invited.
                groups.push(&[]);
            }
            for _ in 0..buildings(run.args, entries) {
                for peers in &groups {
                    let numbers = [0].into_iter().chain(peers.iter().copied());
                    let mut group = Group::admit(run, job, &contenders, numbers, entries);
                    measure(run, &mut group);
                }
            }
        }
    }
}
