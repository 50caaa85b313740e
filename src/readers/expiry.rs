//! When readers are too old: to be found, or to be served without being opened anew.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Nanoseconds since some moment before the cache was made.
pub(super) type Time = u64;

pub(super) fn to_time(duration: Duration) -> Time {
    // 584 years are as good as never.
    duration.as_nanos().try_into().unwrap_or(Time::MAX)
}

type LifeOf<K, R> = Box<dyn Fn(&K, &R) -> Option<Duration> + Send + Sync>;
type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

/// What the cache's builder was told about time.
pub(super) struct Expiry<K, R> {
    pub(super) to_live: Option<Duration>,
    pub(super) to_idle: Option<Duration>,
    pub(super) life_of: Option<LifeOf<K, R>>,
    pub(super) refresh_after: Option<Duration>,
    pub(super) clock: Clock,
}

impl<K, R> Default for Expiry<K, R> {
    fn default() -> Self {
        let start = Instant::now();
        Expiry {
            to_live: None,
            to_idle: None,
            life_of: None,
            refresh_after: None,
            clock: Box::new(move || start.elapsed()),
        }
    }
}

impl<K, R> Expiry<K, R> {
    /// Whether readers can expire at all.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.to_live.is_some() || self.to_idle.is_some() || self.life_of.is_some()
    }

    /// Whether entries have to know times.
    #[inline]
    pub(super) fn needs_times(&self) -> bool {
        self.is_on() || self.refresh_after.is_some()
    }

    pub(super) fn now(&self) -> Time {
        to_time((self.clock)())
    }

    /// How often all readers are looked at for those that have expired: so that none stays for
    /// much more than its time while others are being opened.
    pub(super) fn sweep_every(&self) -> Option<Time> {
        let shortest = self.to_live.into_iter().chain(self.to_idle).min();
        shortest
            .or(self.life_of.is_some().then_some(Duration::from_secs(4)))
            .map(|shortest| to_time(shortest) / 4)
    }
}

/// What is known about one reader. The atomics are relaxed, but where it says so: each stands for
/// itself.
pub(super) struct Times {
    opened: AtomicU64,
    used: AtomicU64,
    /// When it was opened, or when it was last tried to open it anew.
    tried: AtomicU64,
    /// How many uses there had been when the last one ended whose end was noted.
    ended: AtomicU32,
    /// The end of its own life, if it has one.
    until: AtomicU64,
    /// Whether somebody is opening it anew.
    refreshing: AtomicBool,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            opened: AtomicU64::new(0),
            used: AtomicU64::new(0),
            tried: AtomicU64::new(0),
            ended: AtomicU32::new(u32::MAX),
            until: AtomicU64::new(Time::MAX),
            refreshing: AtomicBool::new(false),
        }
    }
}

impl Times {
    /// It has been opened.
    pub(super) fn begin(&self, now: Time, life: Option<Duration>) {
        self.opened.store(now, Ordering::Relaxed);
        self.used.store(now, Ordering::Relaxed);
        self.tried.store(now, Ordering::Relaxed);
        let until = life.map_or(Time::MAX, |life| now.saturating_add(to_time(life)));
        self.until.store(until, Ordering::Relaxed);
    }

    pub(super) fn touch(&self, now: Time) {
        // Not back: somebody who has been stopped since he asked for the time comes with an old one.
        if self.used.load(Ordering::Relaxed) < now {
            self.used.fetch_max(now, Ordering::Relaxed);
        }
    }

    /// Whether the end of a hold is the end of a use. (Walks over the cache hold readers, too, and
    /// use none.) After so many uses all holds had ended when this was last asked for the last
    /// one; if two threads drop the last two at once, neither may be that, so it is not noted,
    /// and one walk more will count.
    pub(super) fn is_end_of_use(&self, uses: u32, is_last: bool) -> bool {
        let is_end = self.ended.load(Ordering::Relaxed) != uses;
        if is_end && is_last {
            self.ended.store(uses, Ordering::Relaxed);
        }
        is_end
    }

    /// Whether the reader has expired. One in use is not idle.
    pub(super) fn is_over<K, R>(&self, expiry: &Expiry<K, R>, now: Time, in_use: bool) -> bool {
        let since = |time: &AtomicU64| now.saturating_sub(time.load(Ordering::Relaxed));
        let too_old = |time, limit: Option<Duration>| {
            limit.is_some_and(|limit| since(time) >= to_time(limit))
        };
        too_old(&self.opened, expiry.to_live)
            || !in_use && too_old(&self.used, expiry.to_idle)
            || now >= self.until.load(Ordering::Relaxed)
    }

    /// Whether it is time to open the reader anew, and the caller is to do so: he then calls
    /// `refreshed` at last.
    pub(super) fn begin_refresh<K, R>(&self, expiry: &Expiry<K, R>) -> bool {
        let Some(after) = expiry.refresh_after else { return false };
        let now = expiry.now();
        let is_old = || now.saturating_sub(self.tried.load(Ordering::Relaxed)) >= to_time(after);
        // Looked at first, so that a reader that is being refreshed is not written to.
        if !is_old()
            || self.refreshing.load(Ordering::Relaxed)
            || self.refreshing.swap(true, Ordering::Acquire)
        {
            return false;
        }
        // Somebody may have tried it in between. Acquire, above: with the end of that.
        let is_old = is_old();
        if !is_old {
            self.refreshing.store(false, Ordering::Relaxed);
        }
        is_old
    }

    /// The attempt is over: if it failed, the next one may be made after the same time.
    pub(super) fn refreshed(&self, now: Option<Time>) {
        if let Some(now) = now {
            self.tried.store(now, Ordering::Relaxed);
        }
        // Release: who begins the next attempt sees when this one was.
        self.refreshing.store(false, Ordering::Release);
    }
}
