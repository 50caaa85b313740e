//! Who fills maps, in `fill`, `drop` and `longest_insert`.

use std::time::Duration;

use super::longest_insert::{self, Pass};
use crate::args::Args;
use crate::common::maps::{
    Binlock, DashMap, Flurry, Hashbrown, Map, Papaya, SccIndexEach, SccMap, Sharded,
};
use crate::common::work;

/// A map that does not exist before it is filled, nor after.
pub struct Filler {
    pub name: &'static str,
    /// How long it takes to fill one.
    pub fill: fn(&[u64]) -> Duration,
    /// How long it takes to drop one.
    pub drop: fn(&[u64]) -> Duration,
    /// How long each insert takes while doing so.
    pub time_inserts: Pass,
}

impl Filler {
    fn of<M: Map>() -> Self {
        Self {
            name: M::NAME,
            fill: work::fill::<M>,
            drop: work::drop_filled::<M>,
            time_inserts: longest_insert::time_inserts::<M>,
        }
    }
}

/// Ours and the peers that the command line invites.
pub fn fillers(args: &Args) -> Vec<Filler> {
    all()
        .filter(|filler| filler.name == Binlock::<u64>::NAME || args.invites(filler.name))
        .collect()
}

/// Ours, and all peers.
pub fn all() -> impl Iterator<Item = Filler> {
    [
        Filler::of::<Binlock>(),
        Filler::of::<Papaya>(),
        Filler::of::<Flurry>(),
        // Its writes need no guard.
        Filler::of::<SccIndexEach>(),
        Filler::of::<SccMap>(),
        Filler::of::<DashMap>(),
        Filler::of::<Sharded>(),
        Filler::of::<Hashbrown>(),
    ]
    .into_iter()
}
