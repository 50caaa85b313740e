//! The steps that insertion and the search for a victim consist of.

use std::ptr::NonNull;

use super::{CLEARLY_SOONER, Found, List, MOST_CREDIT, Member, Place, Policy, REFRESHED, sitting};

impl<T: Member> Policy<T> {
    pub(super) fn list(&mut self, place: Place) -> Option<&mut List<T>> {
        match place {
            Place::Nowhere => None,
            Place::Probation => Some(&mut self.probation),
            Place::Main => Some(&mut self.main),
            Place::Parked => Some(&mut self.parked),
            Place::Detached => Some(&mut self.detached),
        }
    }

    pub(super) fn exceeds_limits(&self) -> bool {
        self.limits.max_open.is_some_and(|max| self.len() > max)
            || self.limits.max_weight.is_some_and(|max| self.weight() > u128::from(max))
    }

    /// How many members the cache has when it is full. With a limit to the weight that is not
    /// known, and as many as there are is as good a guess as any: it matters when the cache is
    /// full.
    fn capacity(&self) -> usize {
        match self.limits {
            super::Limits { max_open: Some(max), max_weight: None } => max.max(1),
            _ => self.len().max(1),
        }
    }

    /// Whether it is probation that has to give something up, and not the main queue.
    pub(super) fn probation_is_over(&self) -> bool {
        // What it gives up makes room for one that is not there yet, and will be on probation.
        // But where weights are limited, that one has been inserted already.
        let to_come = usize::from(self.limits.max_weight.is_none());
        self.main.len() == 0 || self.probation_exceeds_share(to_come)
    }

    fn probation_exceeds_share(&self, to_come: usize) -> bool {
        let len = self.probation.len();
        // One is what it may have however small its share is.
        len + to_come > 1
            && len > 0
            && match self.limits.max_weight {
                Some(max) => self.probation.weight() as f64 > self.share.get() * max as f64,
                None => (len + to_come) as f64 > self.share.get() * self.capacity() as f64,
            }
    }

    /// While there is room, what is too much for probation goes on without having earned it.
    /// Otherwise the main queue would be empty when the cache is full, and nearly all of what is
    /// there would have to be evicted.
    pub(super) fn fill_main(&mut self) {
        while self.probation_exceeds_share(0) {
            let Some(member) = self.probation.oldest() else { return };
            // SAFETY: it is in that list.
            unsafe { self.move_to_main(member) };
        }
    }

    /// Moves a member from probation to the main queue. Its uses so far have been its ticket, and
    /// are no credit there: many of them belong to the same piece of work that opened the reader.
    /// (Over the traces, it is 0.2 points worse if they are.)
    ///
    /// # Safety
    ///
    /// It is on probation.
    unsafe fn move_to_main(&mut self, member: NonNull<T>) {
        // SAFETY: in a list, so alive; in no list between the two steps; and the reference to
        // the seat is not used across them.
        unsafe {
            self.probation.unlink(member);
            let uses = member.as_ref().uses();
            let seat = sitting(member);
            seat.credit = 0;
            seat.seen = uses;
            self.main.push_newest(member, member.as_ref().weight());
        }
    }

    /// Sends the oldest member on probation to the main queue, if it has been used enough.
    ///
    /// # Safety
    ///
    /// It is on probation.
    pub(super) unsafe fn promote(&mut self, member: NonNull<T>) -> bool {
        // SAFETY: in a list, so alive; the reference to the seat ends here.
        let uses = unsafe { member.as_ref().uses().wrapping_sub(sitting(member).seen) };
        if uses < self.share.uses_needed() {
            return false;
        }
        // SAFETY: by the caller's word.
        unsafe {
            self.move_to_main(member);
            sitting(member).stamp = self.ghosts.now() as u32;
        }
        true
    }

    /// Sends the oldest member of the main queue round again, if it has credit.
    ///
    /// # Safety
    ///
    /// It is in the main queue.
    pub(super) unsafe fn go_round(&mut self, member: NonNull<T>) -> bool {
        // SAFETY: in a list, so alive; the reference is not used across the changes of lists.
        unsafe {
            let uses = member.as_ref().uses();
            let seat = sitting(member);
            let since = uses.wrapping_sub(seat.seen);
            let credit = since.saturating_add(u32::from(seat.credit)).min(MOST_CREDIT);
            seat.seen = uses;
            if credit == 0 {
                return false;
            }
            seat.credit = credit as u8 - 1;
            seat.stamp = self.ghosts.now() as u32;
            self.main.unlink(member);
            self.main.push_newest(member, member.as_ref().weight());
        }
        true
    }

    /// Whether a key that has come back is to enter the main queue at once. Learns from it, too.
    pub(super) fn is_hot(&mut self, found: Found) -> bool {
        let Some(idle) = self.idle_time_of_main() else { return true };
        // A ghost that meets a main queue where all are used tells nothing about sizes: in a
        // loop, the openings between two uses of the same key are few because most of it is in
        // the main queue, and a larger probation would change that.
        if idle > 0 {
            self.share.came_back(found.from_main, found.age, self.capacity() as f64);
        }
        // The time on probation counts, and is about one opening for each that is there now.
        let distance = found.age + self.probation.len() as u64;
        !found.from_main && distance as f64 <= CLEARLY_SOONER * idle as f64
    }

    /// How many readers have been opened since the oldest member of the main queue was used, as
    /// far as is known: 0 if the oldest have all been used. `None` if the queue is empty.
    fn idle_time_of_main(&mut self) -> Option<u32> {
        for _ in 0..REFRESHED {
            let member = self.main.oldest()?;
            // SAFETY: in a list, so alive; the reference to the seat ends here.
            let was_used = unsafe { member.as_ref().uses() != sitting(member).seen };
            if !was_used {
                break;
            }
            // SAFETY: it is in the main queue.
            unsafe { self.go_round(member) };
        }
        let oldest = self.main.oldest()?;
        // SAFETY: in a list, so alive; the reference to the seat ends here.
        let (seen, stamp) = unsafe {
            let seat = sitting(oldest);
            (seat.seen, seat.stamp)
        };
        // SAFETY: alive, as before.
        let was_used = unsafe { oldest.as_ref() }.uses() != seen;
        Some(if was_used { 0 } else { (self.ghosts.now() as u32).wrapping_sub(stamp) })
    }

    /// Claims a member that has just been unlinked from its queue, or parks it.
    ///
    /// # Safety
    ///
    /// It is alive, in no list, and has been in one until just now.
    pub(super) unsafe fn claim_or_park(
        &mut self,
        member: NonNull<T>,
        from_probation: bool,
    ) -> bool {
        // SAFETY: alive, by the caller's word, and until it is claimed and returned.
        let shared = unsafe { member.as_ref() };
        while !shared.try_claim() {
            // Between the two, its last user may have gone, and then it can be claimed. Others
            // can come and go in between for as long as the scheduler has bad will, and no
            // longer: it is one step of this thread against a whole use in another.
            if shared.try_park() {
                // SAFETY: alive and in no list; the reference to the seat ends before the list
                // looks at it.
                unsafe {
                    sitting(member).origin =
                        if from_probation { Place::Probation } else { Place::Main };
                    self.parked.push_newest(member, shared.weight());
                }
                return false;
            }
        }
        let capacity = self.capacity();
        self.ghosts.remember(shared.hash(), !from_probation, self.len() + 1);
        self.share.evicted(!from_probation, capacity as f64);
        true
    }
}
