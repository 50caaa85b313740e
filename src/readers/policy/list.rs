//! Lists of members, linked through the members themselves.
//!
//! Taking a member out of the middle of a list costs no search, and being in one costs no
//! allocation. A member is in one list at most; its [`Seat`] says in which.

use std::{cell::UnsafeCell, marker::PhantomData, ptr::NonNull};

use super::Member;

/// Which list a member is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// In none.
    Nowhere,
    /// On probation: what has been opened lately.
    Probation,
    /// What has proved its worth.
    Main,
    /// In use when it was about to be evicted from probation, or from the main queue.
    Parked,
    /// Out of the cache, and in use.
    Detached,
}

/// What the policy keeps in a member.
///
/// Read and written only by the policy (and its lists), and only between the calls that bring a
/// member into it and the one that takes it out; so whoever has the policy to himself has all
/// the seats of its members to himself.
pub(crate) struct Seat<T>(UnsafeCell<Sitting<T>>);

/// The content of a seat.
pub(super) struct Sitting<T> {
    /// The neighbour that came later. Stale while in no list.
    newer: Option<NonNull<T>>,
    /// The neighbour that came earlier. Stale while in no list.
    older: Option<NonNull<T>>,
    /// The weight that its list has counted, which need not be what the member weighs by now.
    weight: u64,
    /// The member's count of uses when it was last looked at.
    pub(super) seen: u32,
    /// When it was opened, or last found used, in the policy's time.
    pub(super) stamp: u32,
    /// The list it is in. Written by the lists alone.
    place: Place,
    /// The list that it came from when it was parked.
    pub(super) origin: Place,
    /// How many visits without a use it survives in the main queue.
    pub(super) credit: u8,
}

impl<T> Default for Seat<T> {
    fn default() -> Self {
        Seat(UnsafeCell::new(Sitting {
            newer: None,
            older: None,
            weight: 0,
            seen: 0,
            stamp: 0,
            place: Place::Nowhere,
            origin: Place::Nowhere,
            credit: 0,
        }))
    }
}

// SAFETY: a seat owns nothing of a `T`: the pointers are followed by the policy alone, which has
// its own conditions for being sent (see `Policy`). And nothing but the policy looks into a seat
// at all, whichever threads share the member around it.
unsafe impl<T> Send for Seat<T> {}
// SAFETY: the same.
unsafe impl<T> Sync for Seat<T> {}

/// The content of a member's seat.
///
/// # Safety
///
/// The member is alive, the caller has the policy to himself, and there is no other reference to
/// the content of this seat as long as the result is used.
pub(super) unsafe fn sitting<'a, T: Member>(member: NonNull<T>) -> &'a mut Sitting<T> {
    // SAFETY: the member is alive, and only ever shared; the cell is what makes the content
    // writable, and the caller has seen to it that nobody else looks at it.
    unsafe { &mut *member.as_ref().seat().0.get() }
}

/// Which list a member is in.
///
/// # Safety
///
/// As for [`sitting`].
pub(super) unsafe fn place<T: Member>(member: NonNull<T>) -> Place {
    // SAFETY: the caller's.
    unsafe { sitting(member) }.place
}

/// One of the policy's lists, from the newest member to the oldest.
///
/// # Invariants
///
/// 1. `newest` and `oldest` are both there or both not; following `older` from `newest` leads
///    through `len` members to `oldest`, and following `newer` leads back.
/// 2. Each of them is alive and stays where it is in memory, has its `place` equal to this list's,
///    and is in no other list.
/// 3. `weight` is the sum of the weights in their seats.
pub(super) struct List<T> {
    newest: Option<NonNull<T>>,
    oldest: Option<NonNull<T>>,
    len: usize,
    weight: u128,
    place: Place,
}

impl<T: Member> List<T> {
    pub(super) fn new(place: Place) -> Self {
        List { newest: None, oldest: None, len: 0, weight: 0, place }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What its members weighed when they were added.
    pub(super) fn weight(&self) -> u128 {
        self.weight
    }

    pub(super) fn oldest(&self) -> Option<NonNull<T>> {
        self.oldest
    }

    /// Adds a member as the newest one.
    ///
    /// # Safety
    ///
    /// It is in no list, alive, and stays where it is in memory until it is unlinked. The caller
    /// has the policy to himself, and holds no reference to the content of a seat.
    pub(super) unsafe fn push_newest(&mut self, member: NonNull<T>, weight: u64) {
        // SAFETY: alive, by the caller's word, and this reference ends below before the
        // neighbour's begins.
        let seat = unsafe { sitting(member) };
        seat.newer = None;
        seat.older = self.newest;
        seat.weight = weight;
        seat.place = self.place;
        match self.newest {
            // SAFETY: invariant 2: alive. Another member, for this one was in no list.
            Some(next) => unsafe { sitting(next) }.newer = Some(member),
            None => self.oldest = Some(member),
        }
        self.newest = Some(member);
        self.count_in(weight);
    }

    /// Adds a member as the oldest one.
    ///
    /// # Safety
    ///
    /// As for [`push_newest`](Self::push_newest).
    pub(super) unsafe fn push_oldest(&mut self, member: NonNull<T>, weight: u64) {
        // SAFETY: alive, by the caller's word, and this reference ends below before the
        // neighbour's begins.
        let seat = unsafe { sitting(member) };
        seat.newer = self.oldest;
        seat.older = None;
        seat.weight = weight;
        seat.place = self.place;
        match self.oldest {
            // SAFETY: invariant 2: alive. Another member, for this one was in no list.
            Some(next) => unsafe { sitting(next) }.older = Some(member),
            None => self.newest = Some(member),
        }
        self.oldest = Some(member);
        self.count_in(weight);
    }

    fn count_in(&mut self, weight: u64) {
        self.len += 1;
        self.weight += u128::from(weight);
    }

    /// Takes a member out, wherever in the list it is.
    ///
    /// # Safety
    ///
    /// It is in this list. The caller has the policy to himself, and holds no reference to the
    /// content of a seat.
    pub(super) unsafe fn unlink(&mut self, member: NonNull<T>) {
        // SAFETY: alive by invariant 2; not used any more once the neighbours' are.
        let seat = unsafe { sitting(member) };
        debug_assert_eq!(seat.place, self.place);
        let (newer, older) = (seat.newer.take(), seat.older.take());
        seat.place = Place::Nowhere;
        self.len -= 1;
        self.weight -= u128::from(seat.weight);
        match newer {
            // SAFETY: a neighbour is in the list, so it is alive, and it is another member.
            Some(newer) => unsafe { sitting(newer) }.older = older,
            None => self.newest = older,
        }
        match older {
            // SAFETY: the same. The reference to the other neighbour has ended.
            Some(older) => unsafe { sitting(older) }.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Counts another weight for a member.
    ///
    /// # Safety
    ///
    /// As for [`unlink`](Self::unlink).
    pub(super) unsafe fn reweigh(&mut self, member: NonNull<T>, weight: u64) {
        // SAFETY: alive by invariant 2.
        let seat = unsafe { sitting(member) };
        self.weight = self.weight - u128::from(seat.weight) + u128::from(weight);
        seat.weight = weight;
    }

    /// All members, the newest first. They are alive as long as the policy is not changed,
    /// which the borrow sees to.
    pub(super) fn iter(&self) -> Iter<'_, T> {
        Iter { next: self.newest, list: PhantomData }
    }
}

/// See [`List::iter`].
pub(super) struct Iter<'a, T> {
    next: Option<NonNull<T>>,
    list: PhantomData<&'a List<T>>,
}

impl<T: Member> Iterator for Iter<'_, T> {
    type Item = NonNull<T>;

    fn next(&mut self) -> Option<NonNull<T>> {
        let member = self.next?;
        // SAFETY: the list is borrowed, so nothing leaves it meanwhile and all of it is alive
        // (invariant 2); the reference ends at once.
        self.next = unsafe { sitting(member) }.older;
        Some(member)
    }
}
