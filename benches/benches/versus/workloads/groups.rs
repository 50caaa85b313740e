//! Who is compared at once.

use super::{Run, fill_cost};
use crate::contenders::Entry;
use crate::memory_budget;

/// Filled maps and their names, ours the first.
pub type Group<C> = Vec<(&'static str, Box<C>)>;

/// Fills maps with `entries` entries, ours and as many of the invited peers at a time as fit into
/// memory, and hands each group to `measure`.
pub fn in_groups<C: ?Sized>(
    run: &mut Run<'_>,
    contenders: &[Entry<C>],
    entries: usize,
    mut measure: impl FnMut(&mut Run<'_>, &Group<C>),
) {
    let (ours, peers) = invited(run, contenders);
    let peers_at_once = memory_budget::maps_at_once(run.args, entries) - 1;
    let mut group = vec![build(run, ours, entries)];
    for peers in peers.chunks(peers_at_once) {
        group.truncate(1);
        group.extend(peers.iter().map(|peer| build(run, peer, entries)));
        measure(run, &group);
    }
}

/// Ours and all invited peers, for sizes at which they fit into memory wherever this runs.
pub fn build_all<C: ?Sized>(
    run: &mut Run<'_>,
    contenders: &[Entry<C>],
    entries: usize,
) -> Group<C> {
    let (ours, peers) = invited(run, contenders);
    [ours].into_iter().chain(peers).map(|contender| build(run, contender, entries)).collect()
}

fn invited<'e, C: ?Sized>(
    run: &Run<'_>,
    contenders: &'e [Entry<C>],
) -> (&'e Entry<C>, Vec<&'e Entry<C>>) {
    let (ours, peers) = contenders.split_first().expect("we take part");
    (ours, peers.iter().filter(|peer| run.args.invites(peer.name)).collect())
}

fn build<C: ?Sized>(
    run: &mut Run<'_>,
    contender: &Entry<C>,
    entries: usize,
) -> (&'static str, Box<C>) {
    let map = (contender.build)(entries);
    run.progress.advance(fill_cost(entries));
    (contender.name, map)
}
