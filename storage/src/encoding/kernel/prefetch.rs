//! Asks the processor for bytes before they are read.
//!
//! A vector of a column is a handful of cache lines somewhere in a file. Decoding it takes less time than waiting for
//! the first of them, so a reader of several columns asks for all of them first: they come at the same time.

/// Lines that are asked for: behind them the processor has seen which way reading goes.
#[cfg(target_arch = "x86_64")]
const LINES_MAX: usize = 16;

/// Asks for the front of `bytes`. Nothing depends on it but time.
#[inline]
pub(crate) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(64).take(LINES_MAX) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction reads nothing and never faults, and every x86-64 processor has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}
