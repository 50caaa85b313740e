//! Cache lines that will be needed soon.

use super::{RawMap, table::Table};
use crate::sync::Ordering;

impl<K, V> RawMap<K, V> {
    /// Asks for the bin of a hash. The caller need not be pinned: the bin may be gone by then.
    #[inline(always)]
    pub(crate) fn ask_for_bin(&self, hash: u64) {
        // Relaxed: nobody looks at what is there.
        prefetch(Table::from_raw(self.root.load(Ordering::Relaxed)).address_for(hash));
    }
}

/// Asks for a cache line without waiting for it.
#[inline(always)]
pub(super) fn prefetch<T>(address: *const T) {
    // So that `benches/gains` can tell what asking early gains.
    if cfg!(binlock_no_prefetch) {
        return;
    }
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint; any address will do. SSE is part of the architecture.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    // (Miri has no assembler.)
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: a hint; any address will do, and nothing else is touched.
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{address}]",
            address = in(reg) address,
            options(nostack, readonly, preserves_flags),
        );
    }
    #[cfg(not(any(target_arch = "x86_64", all(target_arch = "aarch64", not(miri)))))]
    let _ = address;
}
