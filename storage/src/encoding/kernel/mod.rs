//! Loops over the values of a vector, compiled for several instruction sets and chosen once per process.
//!
//! Invariant: every instruction set gives the same bits, floats included. All functions are pure.
#![allow(unsafe_code, reason = "calls of functions with target features, and loads and stores of vector registers")]

mod aggregate;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod compare;
mod compare_packed;
mod decimal;
mod delta;
mod fused;
mod lane;
mod level;
mod mask;
mod pack;
mod packed_at;
mod part_sums;
mod patch;
mod prefetch;
mod runs;
mod sequence;
mod split;
mod statistics;
mod symbols;
mod take;
#[cfg(test)]
mod tests;

pub use aggregate::{
    FloatBounds, min_max_f64, min_max_f64_masked, min_max_i64, min_max_i64_masked, sum_f64, sum_f64_masked, sum_i64,
    sum_i64_masked,
};
pub use compare::{CompareOp, compare_f64, compare_i64};
pub(super) use compare_packed::{Packed, compare_packed};
pub(super) use decimal::{POWERS_OF_TEN, decimals_to_floats, floats_to_decimals};
pub(super) use delta::{PackedDeltas, sum_byte_deltas, sum_word_deltas, unpack_delta};
pub(super) use fused::{min_max_packed, sum_packed, weighted_sum_packed};
pub(super) use lane::packed_bytes;
pub use mask::{
    mask_and, mask_and_not, mask_contains, mask_count, mask_first, mask_is_empty, mask_iter, mask_or, mask_positions,
    mask_set_range, mask_truncate,
};
pub(super) use pack::{pack_delta, pack_linear, unpack_linear};
pub(super) use packed_at::packed_at;
pub(super) use part_sums::{PART_WIDTH_MAX, PartSum, sum_parts, weighted_sum_parts};
pub(super) use patch::{Patch, outliers_of_deltas, outliers_of_values, patch_sums, patch_values};
pub(crate) use prefetch::prefetch;
pub(super) use runs::expand_runs;
pub(super) use split::{LEFT_VALUES, SplitParts, split_codes, unpack_split};
pub(super) use statistics::{IntegerBounds, SAMPLE_LEN, count_near, integer_bounds, residual_bounds};
pub(super) use symbols::{
    CODE_BITS_MAX, ENTRY_BITS_SHIFT, ENTRY_COUNT_SHIFT, ENTRY_SYMBOLS_MAX, STREAMS, SYMBOL_ROOM, SymbolStreams,
    TABLE_LEN, add_symbols, decode_symbols, join_words, widen_words,
};
pub use take::{take_f64, take_i64};

/// Name of the instruction set that the kernels of this process use.
pub fn instruction_set() -> &'static str {
    level::Level::current().name()
}

/// The memory of a float vector as integers of the same bits.
pub(super) fn as_bits_mut(values: &mut [f64; super::VECTOR_LEN]) -> &mut [i64; super::VECTOR_LEN] {
    // SAFETY: both types have the same size and alignment, and every bit pattern is a value of both.
    unsafe { &mut *std::ptr::from_mut(values).cast() }
}

/// The bits of floats as integers.
pub(super) fn as_bits(values: &[f64]) -> &[i64] {
    // SAFETY: both types have the same size and alignment, and every bit pattern is a value of both.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}
