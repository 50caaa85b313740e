//! A pair of fences of which one costs nothing, as it makes the other one do all the work.
//!
//! A thread that stores, then loads what another one stores, needs a fence between the two, and so
//! does the other one, or each may miss what the other has stored. Where one of them does so a million
//! times as often, it may have a fence for the compiler alone, [`light`], provided that the other one
//! interrupts all threads of the process, so that each executes a fence wherever it is: [`heavy`].
//! Linux has a system call for that, `membarrier`. (The idea is that of liburcu and of folly; seize,
//! which is under papaya, does the same.)

#[cfg(not(binlock_loom))]
use std::sync::atomic::{AtomicUsize, Ordering, fence};

#[cfg(binlock_loom)]
use loom::sync::atomic::{Ordering, fence};

#[cfg(binlock_loom)]
use crate::sync::AtomicUsize;

/// Whether it is worth while to ask whether there is such a pair.
///
/// Not where programs are interpreted, by something that knows no such system call. Nor on POWER, where
/// what one thread has stored can be seen by a second one earlier than by a third: there, the fence that
/// a pin begins with orders look-ups of several keys as well (elsewhere, their acquire loads do).
/// With `--cfg binlock_no_lingering` there is none, so that `benches/gains` can tell what it gains.
#[cfg(not(binlock_loom))]
pub(super) const MAY_BE_THERE: bool = cfg!(all(
    target_os = "linux",
    not(any(target_arch = "powerpc", target_arch = "powerpc64")),
    not(miri),
    not(binlock_no_lingering)
));

/// The fence of those who must not pay for it: what this thread has stored before is seen by whoever
/// has called [`heavy`] after that, or else what it loads from now on was stored before the call.
#[inline(always)]
pub(super) fn light() {
    // Models have no compiler, nor system calls.
    #[cfg(binlock_loom)]
    fence(Ordering::SeqCst);
    #[cfg(not(binlock_loom))]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// A fence that costs what it costs.
pub(super) fn full() {
    fence(Ordering::SeqCst);
}

/// A store and a fence: what was done before is seen by all before this thread loads anything else, and
/// happens before what follows a load that sees the store.
#[inline(always)]
pub(super) fn store_with_fence(to: &AtomicUsize, value: usize) {
    if EXCHANGES_ARE_FENCES {
        to.swap(value, Ordering::SeqCst);
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
        to.store(value, Ordering::Relaxed);
    }
}

/// A fence, by way of something in the cache that only this thread writes.
#[inline(always)]
pub(super) fn fence_at(at: &AtomicUsize) {
    if EXCHANGES_ARE_FENCES {
        store_with_fence(at, at.load(Ordering::Relaxed));
    } else {
        full();
    }
}

/// (And the cheapest ones there. To the language an exchange of what nobody else looks at is none, so not where
/// programs are interpreted.)
const EXCHANGES_ARE_FENCES: bool =
    cfg!(all(any(target_arch = "x86", target_arch = "x86_64"), not(any(binlock_loom, miri))));

#[cfg(binlock_loom)]
pub(super) fn heavy() -> bool {
    fence(Ordering::SeqCst);
    true
}

/// The fence of all threads of the process. Says whether it has been: the system may have none, or
/// not allow it (any more).
#[cfg(not(binlock_loom))]
pub(super) fn heavy() -> bool {
    // Also after `fork`, where the child may have to say anew that it wants to.
    system::fence() || (system::register() && system::fence())
}

/// Whether there is such a pair in this process.
#[cfg(not(binlock_loom))]
pub(super) fn is_there() -> bool {
    const UNKNOWN: usize = 0;
    const YES: usize = 1;
    const NO: usize = 2;
    // (Not in a `OnceLock`: a thread that comes for the first time would wait for another one.)
    static IS_THERE: AtomicUsize = AtomicUsize::new(UNKNOWN);
    if !MAY_BE_THERE {
        return false;
    }
    // Relaxed, all: it stands for nothing else.
    let mut known = IS_THERE.load(Ordering::Relaxed);
    if known == UNKNOWN {
        known = if system::register() && system::fence() { YES } else { NO };
        // The first answer counts, for all threads.
        let before =
            IS_THERE.compare_exchange(UNKNOWN, known, Ordering::Relaxed, Ordering::Relaxed);
        known = before.err().unwrap_or(known);
    }
    known == YES
}

#[cfg(all(target_os = "linux", not(any(miri, binlock_loom))))]
mod system {
    fn membarrier(command: libc::c_int) -> bool {
        let none: libc::c_int = 0;
        // SAFETY: the call takes two or three numbers, of which the last one counts only with a flag
        // that is not given here, and touches no memory of the program's.
        unsafe { libc::syscall(libc::SYS_membarrier, command, none, none) == 0 }
    }

    /// Without it, the system does not fence.
    pub(super) fn register() -> bool {
        membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
    }

    pub(super) fn fence() -> bool {
        membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
    }
}

#[cfg(not(all(target_os = "linux", not(any(miri, binlock_loom)))))]
#[cfg(not(binlock_loom))]
mod system {
    pub(super) fn register() -> bool {
        false
    }

    pub(super) fn fence() -> bool {
        false
    }
}
