//! How much of the cache is for probation.
//!
//! No share is right for all: one percent is best for a loop that is larger than the cache (what
//! is there stays there, and gets its hits), and most of the cache where what was used last is
//! used next. So the share is learned, from ghosts that come back soon after their eviction:
//! the queue that evicted them should have been larger. Each queue's ghosts are weighed by how
//! many it makes; what counts is how likely one is to come back, as that is what one more place
//! for that queue would be worth. The idea is ARC's (Megiddo and Modha, FAST 2003), which
//! compares the two queues' ghosts likewise; the share for new entries that grows with the
//! ghosts of new entries is in DLIRS also (Li, SYSTOR 2018).

/// The share before anything is known, of the whole.
const FIRST: f64 = 0.02;
const LEAST: f64 = 0.01;
const MOST: f64 = 0.9;
/// A ghost came back soon if there were fewer openings since than this share of the members.
const SOON: f64 = 0.5;
/// What an eviction from probation takes from the share, where the return of a ghost adds one on
/// the average: where fewer than one in fifty come back, probation shrinks to the least.
const DRIFT: f64 = 0.02;
/// From this share on, one use is enough to leave probation: there has been time enough to tell
/// a use from the rest of the one that opened the reader.
const LONG: f64 = 0.25;
/// The most ghosts of the other queue that one counts for.
const MOST_AT_ONCE: f64 = 64.0;

pub(super) struct Share {
    share: f64,
    /// Evictions from probation, with those of long ago counting less and less.
    from_probation: f64,
    /// Evictions from the main queue, likewise.
    from_main: f64,
}

impl Share {
    pub(super) fn new() -> Self {
        Share { share: FIRST, from_probation: 1.0, from_main: 1.0 }
    }

    /// The share of the cache that is for probation.
    pub(super) fn get(&self) -> f64 {
        self.share
    }

    /// How many uses a member needs to leave probation for the main queue.
    pub(super) fn uses_needed(&self) -> u32 {
        if self.share > LONG { 1 } else { 2 }
    }

    /// A member has been evicted from a cache of so many.
    pub(super) fn evicted(&mut self, from_main: bool, members: f64) {
        if from_main {
            self.from_main += 1.0;
            return;
        }
        self.from_probation += 1.0;
        if self.from_probation > members {
            self.from_probation /= 2.0;
            self.from_main /= 2.0;
        }
        self.change(-DRIFT, members);
    }

    /// A ghost of this age has come back to a cache of so many.
    pub(super) fn came_back(&mut self, from_main: bool, age: u64, members: f64) {
        // The sooner it is back, the fewer places more would have kept it: two for one that is
        // back at once, and one for the mean of all that are back soon.
        let places = 2.0 * (1.0 - age as f64 / (SOON * members));
        if places <= 0.0 {
            return;
        }
        if from_main {
            let rarity = self.from_probation / self.from_main;
            self.change(-places * rarity.clamp(1.0 / MOST_AT_ONCE, MOST_AT_ONCE), members);
        } else {
            self.change(places, members);
        }
    }

    fn change(&mut self, places: f64, members: f64) {
        self.share = (self.share + places / members).clamp(LEAST, MOST);
    }
}
