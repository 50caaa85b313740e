//! The life of a reader in one word: who uses it, and what has happened to it.
//!
//! ```text
//!             publish                 detach                   last release
//!   OPENING  ────────>  (no flag)  ──────────>  OUT           ─────────────>  OUT CLOSED
//!      │                    │  idle: claim                                        ^
//!      │ fail               └─────────────────────────────────────────────────────┘
//!      └─────>  OUT FAILED
//! ```
//!
//! The lower bits count *holders*: handles, and whoever opens the reader or waits for that.
//! Looking a reader up and retaining it are one step because the step is an exchange of this
//! word, and it is only made where no flag forbids it: **a count never goes from zero to one
//! where `OUT` is set**, and `CLOSED` is only set where the count is zero. So there is one
//! thread that sets `CLOSED`, and when it does so nobody uses the reader, and nobody will.
//!
//! Exchanges and not additions, although those never have to be repeated: an addition that
//! turns out to be too late would have to be undone, and until then the last holder would
//! not be the last one.

use crate::sync::{AtomicU64, Ordering};

/// A flag, several, or none.
pub(super) type Flags = u64;

/// One holder.
const HOLDER: u64 = 1;
const HOLDERS: u64 = (1 << 23) - 1;
/// Whoever releases it notes the time.
pub(super) const TIMED: Flags = 1 << 23;
/// The reader is not there yet.
pub(super) const OPENING: Flags = 1 << 24;
/// Somebody sleeps until the reader is there (see `claims`).
pub(super) const WAITED: Flags = 1 << 25;
/// Taken out of the cache, or about to be: it is not found any more. Set under the cache's
/// lock.
pub(super) const OUT: Flags = 1 << 26;
/// The reader is being closed, or is closed.
pub(super) const CLOSED: Flags = 1 << 27;
/// The reader could not be opened.
pub(super) const FAILED: Flags = 1 << 28;
/// In use when somebody looked for a reader to evict. Whoever releases it has to tell.
/// Written under the cache's lock.
pub(super) const PARKED: Flags = 1 << 29;
/// The map does not refer to it any more.
pub(super) const UNMAPPED: Flags = 1 << 30;
/// There is no reader any more, and there are no holders.
pub(super) const GONE: Flags = 1 << 31;
/// One use. Uses are the upper half of the word, where they can overflow into nothing.
const USE: u64 = 1 << 32;

/// Set when half of all holders that can be counted are there.
const HOLDERS_BORDER: u64 = 1 << 22;
/// Set when half of all uses that can be counted are there.
const USES_BORDER: u64 = 1 << 63;

/// With so many uses, some are to be taken out of the count.
pub(super) const MANY_USES: u32 = 1 << 31;

/// The word.
pub(super) struct State(AtomicU64);

/// What it said at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen(u64);

impl Seen {
    pub(super) fn has(self, flags: Flags) -> bool {
        self.0 & flags != 0
    }

    pub(super) fn holders(self) -> u64 {
        self.0 & HOLDERS
    }

    pub(super) fn uses(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Whether it is a reader that look-ups find.
    #[inline]
    pub(super) fn is_found(self) -> bool {
        !self.has(OPENING | OUT)
    }

    fn with(self, flags: Flags) -> Seen {
        Seen(self.0 | flags)
    }

    fn without(self, flags: Flags) -> Seen {
        Seen(self.0 & !flags)
    }

    #[inline]
    fn one_more(self) -> Seen {
        if self.holders() >= HOLDERS / 2 {
            too_many();
        }
        Seen(self.0 + HOLDER)
    }

    #[inline]
    fn one_less(self) -> Seen {
        debug_assert!(self.holders() > 0);
        Seen(self.0 - HOLDER)
    }
}

/// Handles were leaked by the million: their number is about to run out, and the reader would
/// be closed in use. There is no way on, as with the counts of `Arc`.
#[cold]
fn too_many() -> ! {
    struct Abort;
    impl Drop for Abort {
        fn drop(&mut self) {
            panic!("panicked twice, to abort");
        }
    }
    let _abort = Abort;
    panic!("a reader has more than four million handles");
}

/// How a release goes on.
#[derive(PartialEq, Eq)]
pub(super) enum Released {
    /// Others hold the reader, or it is idle in the cache.
    Done,
    /// It was a parked one: idle again, and not parked any more.
    Unparked,
    /// It was out of the cache, and is the caller's to close.
    Close,
    /// It had failed to open, and the entry is the caller's to put away.
    PutAway,
}

impl State {
    /// A reader that is being opened by its one holder.
    pub(super) fn opening() -> State {
        State(AtomicU64::new(HOLDER | OPENING))
    }

    /// Acquire: who reads a flag also sees what was done before it was set.
    #[inline]
    pub(super) fn seen(&self) -> Seen {
        Seen(self.0.load(Ordering::Acquire))
    }

    /// Exchanges what `change` says, until it says nothing; what was there before.
    #[inline]
    fn exchange(
        &self,
        success: Ordering,
        mut change: impl FnMut(Seen) -> Option<Seen>,
    ) -> Result<Seen, Seen> {
        let mut seen = self.0.load(Ordering::Acquire);
        while let Some(new) = change(Seen(seen)) {
            match self.0.compare_exchange_weak(seen, new.0, success, Ordering::Acquire) {
                Ok(_) => return Ok(Seen(seen)),
                Err(now) => seen = now,
            }
        }
        Err(Seen(seen))
    }

    /// Looks and retains in one step: one more holder, if look-ups find the reader. It is
    /// counted as a use on request.
    ///
    /// Acquire: with what opened the reader.
    #[inline]
    pub(super) fn acquire(&self, counts: bool) -> Result<Seen, Seen> {
        let used = if counts { USE } else { 0 };
        self.exchange(Ordering::Acquire, |seen| {
            seen.is_found().then(|| Seen(seen.one_more().0.wrapping_add(used)))
        })
    }

    /// The same, counted, where it goes without saying: `false` means to ask again.
    #[inline(always)]
    pub(super) fn acquire_now(&self) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        // No flag, no great number of uses, and fewer holders than there may be.
        if seen & (OPENING | OUT | HOLDERS_BORDER | USES_BORDER) != 0 {
            return false;
        }
        // Acquire: with what opened the reader. (What the load has seen does not matter.)
        self.0
            .compare_exchange(seen, seen + HOLDER + USE, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// One more of a holder's kind.
    #[inline]
    pub(super) fn hold_again(&self) {
        // Relaxed: whoever has the first may pass the second on by means that order it.
        if Seen(self.0.fetch_add(HOLDER, Ordering::Relaxed)).holders() >= HOLDERS / 2 {
            too_many();
        }
    }

    /// One more holder while somebody else has one, whatever has become of the reader: for
    /// reports about readers in use.
    pub(super) fn hold_if_held(&self) -> bool {
        let held = |seen: Seen| (seen.holders() > 0 && !seen.has(CLOSED)).then(|| seen.one_more());
        self.exchange(Ordering::Acquire, held).is_ok()
    }

    /// Joins those who wait for the reader that is being opened.
    pub(super) fn join(&self) -> bool {
        let joined = |seen: Seen| (seen.has(OPENING) && !seen.has(OUT)).then(|| seen.one_more());
        self.exchange(Ordering::Acquire, joined).is_ok()
    }

    /// One holder less, if that is all there is to do: if others are left, or nobody has to be
    /// told that there are none. And if the state has none of these flags.
    ///
    /// Release: what the holder did with the reader comes before its being closed. After a
    /// `true` the entry may be gone.
    #[inline]
    pub(super) fn release(&self, unless: Flags) -> bool {
        let released = |seen: Seen| {
            let is_all = !seen.has(PARKED | OUT) || seen.holders() > 1;
            (is_all && !seen.has(unless)).then(|| seen.one_less())
        };
        self.exchange(Ordering::Release, released).is_ok()
    }

    /// The same where it goes without saying: `false` means to ask again.
    #[inline(always)]
    pub(super) fn release_now(&self) -> bool {
        let seen = self.0.load(Ordering::Relaxed);
        seen & (PARKED | OUT | TIMED) == 0
            && self
                .0
                .compare_exchange(seen, seen - HOLDER, Ordering::Release, Ordering::Relaxed)
                .is_ok()
    }

    /// Takes a great many uses out of the count before they overflow it; how many.
    ///
    /// Relaxed: a statistic.
    #[cold]
    pub(super) fn take_uses(&self) -> u64 {
        let taken = u64::from(MANY_USES) * USE;
        let less = |seen: Seen| (seen.uses() >= MANY_USES).then(|| Seen(seen.0 - taken));
        if self.exchange(Ordering::Relaxed, less).is_ok() { u64::from(MANY_USES) } else { 0 }
    }

    /// One holder less, under the cache's lock.
    pub(super) fn release_locked(&self) -> Released {
        let mut released = Released::Done;
        let _ = self.exchange(Ordering::AcqRel, |seen| {
            let new = seen.one_less();
            released = Released::Done;
            if new.holders() > 0 || seen.has(OPENING) {
                return Some(new);
            }
            if seen.has(FAILED) {
                released = Released::PutAway;
                return Some(new.with(CLOSED));
            }
            if seen.has(OUT) {
                released = Released::Close;
                return Some(new.with(CLOSED));
            }
            if seen.has(PARKED) {
                released = Released::Unparked;
            }
            Some(new.without(PARKED))
        });
        released
    }

    /// Notes that somebody sleeps until the reader is there; `false` if there is nothing to
    /// wait for any more.
    pub(super) fn mark_waited(&self) -> bool {
        let marked = |seen: Seen| seen.has(OPENING).then(|| seen.with(WAITED));
        self.exchange(Ordering::Acquire, marked).is_ok()
    }

    /// The reader is there. What was seen before says who waits.
    ///
    /// Release: it is published by this.
    pub(super) fn publish(&self, flags: Flags) -> Seen {
        let published = |seen: Seen| Some(seen.without(OPENING | WAITED).with(flags));
        match self.exchange(Ordering::AcqRel, published) {
            Ok(seen) | Err(seen) => seen,
        }
    }

    /// The reader will not be there.
    pub(super) fn fail(&self) -> Seen {
        let failed = |seen: Seen| Some(seen.without(OPENING | WAITED).with(FAILED | OUT));
        match self.exchange(Ordering::AcqRel, failed) {
            Ok(seen) | Err(seen) => seen,
        }
    }

    /// Takes an idle reader to close it. Under the cache's lock.
    ///
    /// Acquire: all uses come before this.
    pub(super) fn claim(&self) -> bool {
        let claimed = |seen: Seen| {
            let idle = seen.is_found() && seen.holders() == 0;
            idle.then(|| seen.without(PARKED).with(OUT | CLOSED))
        };
        self.exchange(Ordering::AcqRel, claimed).is_ok()
    }

    /// Has the last holder of a reader in use tell when it is idle. Under the cache's lock.
    ///
    /// Relaxed: it publishes nothing; who finds the flag takes the lock that this is under.
    pub(super) fn park(&self) -> bool {
        let parked =
            |seen: Seen| (seen.is_found() && seen.holders() > 0).then(|| seen.with(PARKED));
        self.exchange(Ordering::Relaxed, parked).is_ok()
    }

    /// Takes a reader out of the cache: idle, it is the caller's to close. `None` if somebody
    /// else has taken it out. Under the cache's lock.
    pub(super) fn take_out(&self) -> Option<Seen> {
        let out = |seen: Seen| {
            if seen.has(OUT) {
                return None;
            }
            let idle = seen.holders() == 0;
            Some(seen.without(PARKED).with(if idle { OUT | CLOSED } else { OUT }))
        };
        self.exchange(Ordering::AcqRel, out).ok()
    }

    /// The map lets go of the entry, or the reader does. Whoever is second frees it, and is
    /// told so.
    pub(super) fn let_go(&self, flag: Flags) -> bool {
        // AcqRel: what the first one did comes before the freeing.
        let before = Seen(self.0.fetch_or(flag, Ordering::AcqRel));
        debug_assert!(!before.has(flag));
        before.has(UNMAPPED | GONE)
    }
}
