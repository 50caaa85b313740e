//! What the cache has done so far.

use std::sync::atomic::Ordering;

use super::{closing::CloseCause, inner::Inner};
use crate::epoch;

/// What a [`ReaderCache`](super::ReaderCache) has done so far, and what it holds now.
///
/// All that is about opening and closing is from one moment: `opened == closed + open`, always.
/// The look-ups, which meet nowhere, are exact when none is going on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Look-ups that found an open reader.
    pub hits: u64,
    /// Look-ups that did not. (One that has missed a reader which somebody else was just opening, and
    /// then finds it open, is both.)
    pub misses: u64,
    /// Those misses that waited for a reader that somebody else was opening.
    pub joined_opens: u64,
    /// Readers that have been opened, or inserted.
    pub opened: u64,
    /// Openings that failed, were cancelled, or were refused for want of a place. Of those that open a reader
    /// anew: for which the loader has returned an error.
    pub failed_opens: u64,
    /// Readers that have been closed.
    pub closed: u64,
    /// Closings in which `on_close`, or the reader's drop, panicked.
    pub close_panics: u64,
    /// Readers that are open now: in the cache, detached, or being closed.
    pub open: u64,
    /// Readers that are being opened.
    pub opening: u64,
    /// Readers in the cache that have handles.
    pub in_use: u64,
    /// Readers out of the cache that have handles.
    pub detached: u64,
    /// What the readers in the cache weigh.
    pub weight: u64,
    /// Who waits for a place to open a reader.
    pub waiting: u64,
    /// Readers that have left the cache, by cause.
    left: [u64; CloseCause::COUNT],
}

impl Stats {
    /// How many readers have left the cache for this cause, be they closed by now or detached.
    pub fn left(&self, cause: CloseCause) -> u64 {
        self.left[cause as usize]
    }

    /// How many readers were evicted to make room for others, or not kept because they alone are
    /// heavier than all may be.
    pub fn evictions(&self) -> u64 {
        self.left(CloseCause::MaxOpen)
            + self.left(CloseCause::Weight)
            + self.left(CloseCause::TooHeavy)
    }

    /// The share of look-ups that found an open reader; zero if there were none.
    pub fn hit_ratio(&self) -> f64 {
        let all = self.hits + self.misses;
        if all == 0 { 0.0 } else { self.hits as f64 / all as f64 }
    }
}

impl<K, R> Inner<K, R> {
    /// Takes time proportional to the number of readers: their uses are counted in themselves,
    /// so that threads that use different ones meet nowhere.
    pub(super) fn stats(&self) -> Stats {
        let (mut uses, mut in_use) = (0, 0);
        // Of those that have left before. Whoever leaves in the middle of this is not counted twice so,
        // but maybe not at all.
        let left = self.book().hits + self.hits_before.load(Ordering::Relaxed);
        let guard = epoch::pin_to_read();
        let mut cursor = self.map.cursor(&guard);
        // SAFETY: the cursor was made under this guard, which is kept.
        while let Some(node) = unsafe { cursor.next() } {
            let seen = node.key.entry().state.seen();
            if seen.is_found() {
                uses += u64::from(seen.uses());
                in_use += u64::from(seen.holders() > 0);
            }
        }
        drop(guard);
        let book = self.book();
        // What was reported once is not taken back.
        let hits = left + uses;
        let hits = self.hits_reported.fetch_max(hits, Ordering::Relaxed).max(hits);
        Stats {
            hits,
            misses: self.misses.load(Ordering::Relaxed),
            joined_opens: self.joined.load(Ordering::Relaxed),
            opened: book.opened,
            failed_opens: book.failed,
            closed: book.closed,
            close_panics: book.panics,
            open: book.open as u64,
            opening: book.opening as u64,
            in_use,
            detached: book.detached as u64,
            weight: book.weight.try_into().unwrap_or(u64::MAX),
            waiting: book.waiting.len() as u64,
            left: book.left,
        }
    }
}
