//! Sums and bounds of decoded values, with and without a mask.

use super::level::{Level, dispatch};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::encoding::Mask;

/// Bounds of floats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FloatBounds {
    /// Minimum and maximum of what is not NaN, never -0.0; `None` when there is nothing.
    pub range: Option<(f64, f64)>,
    /// Whether a value is NaN.
    pub has_nan: bool,
}

/// Accumulators of a float sum: value `i` is added to number `i % FLOAT_LANES`, then halves are added to halves. The
/// result depends on this alone, so every instruction set and every path gives the same bits.
pub(super) const FLOAT_LANES: usize = 16;

dispatch! {
    /// The exact sum.
    pub fn sum_i64(values: &[i64]) -> i128 = sum_i64_body, sum_i64_body, sum_i64_body;

    /// The exact sum of the values whose bit is set; at most 1024 values.
    pub fn sum_i64_masked(values: &[i64], mask: &Mask) -> i128 =
        avx512::sum_i64_masked, sum_i64_masked_body, sum_i64_masked_body;

    /// Minimum and maximum; `None` for no values.
    pub fn min_max_i64(values: &[i64]) -> Option<(i64, i64)> = min_max_i64_body, min_max_i64_body, min_max_i64_body;

    /// Minimum and maximum of the values whose bit is set; at most 1024 values.
    pub fn min_max_i64_masked(values: &[i64], mask: &Mask) -> Option<(i64, i64)> =
        avx512::min_max_i64_masked, min_max_i64_masked_body, min_max_i64_masked_body;

    /// The sum, in a fixed order of additions that depends on the positions alone.
    pub fn sum_f64(values: &[f64]) -> f64 = sum_f64_body, sum_f64_body, sum_f64_body;

    /// The sum of the values whose bit is set, in the order of `sum_f64`; at most 1024 values.
    pub fn sum_f64_masked(values: &[f64], mask: &Mask) -> f64 =
        avx512::sum_f64_masked, sum_f64_masked_body, sum_f64_masked_body;

    /// Minimum and maximum of what is not NaN.
    pub fn min_max_f64(values: &[f64]) -> FloatBounds = avx512::min_max_f64, avx2::min_max_f64, min_max_f64_body;

    /// Minimum and maximum of what is not NaN and whose bit is set; at most 1024 values.
    pub fn min_max_f64_masked(values: &[f64], mask: &Mask) -> FloatBounds =
        avx512::min_max_f64_masked, min_max_f64_masked_body, min_max_f64_masked_body;
}

/// All bits when bit `index` of `word` is set, else none.
#[inline(always)]
fn select(word: u64, index: usize) -> u64 {
    0u64.wrapping_sub(word >> index & 1)
}

/// Sums of the lower and upper halves of values, of which `biased` had the sign bit turned to make them unsigned.
#[inline(always)]
fn join_halves(low: u64, high: u64, biased: usize) -> i128 {
    (i128::from(high) << 32) + i128::from(low) - ((biased as i128) << 63)
}

#[inline(always)]
fn sum_i64_body(values: &[i64]) -> i128 {
    let mut sum = 0;
    // Up to 2^32 halves of 32 bits add up within 64 bits.
    for values in values.chunks(1 << 32) {
        let (mut low, mut high) = (0u64, 0u64);
        for &value in values {
            let biased = value.cast_unsigned() ^ 1 << 63;
            low += biased & 0xFFFF_FFFF;
            high += biased >> 32;
        }
        sum += join_halves(low, high, values.len());
    }
    sum
}

#[inline(always)]
fn sum_i64_masked_body(values: &[i64], mask: &Mask) -> i128 {
    let (mut low, mut high, mut count) = (0u64, 0u64, 0);
    for (values, &word) in values.chunks(64).zip(mask) {
        for (index, &value) in values.iter().enumerate() {
            let biased = (value.cast_unsigned() ^ 1 << 63) & select(word, index);
            low += biased & 0xFFFF_FFFF;
            high += biased >> 32;
        }
        count += (word & low_ones(values.len())).count_ones() as usize;
    }
    join_halves(low, high, count)
}

/// A word whose first `len` bits, at most 64, are set.
#[inline(always)]
pub(super) fn low_ones(len: usize) -> u64 {
    if len >= 64 { u64::MAX } else { (1 << len) - 1 }
}

#[inline(always)]
fn min_max_i64_body(values: &[i64]) -> Option<(i64, i64)> {
    let (mut min, mut max) = (i64::MAX, i64::MIN);
    for &value in values {
        min = min.min(value);
        max = max.max(value);
    }
    (!values.is_empty()).then_some((min, max))
}

#[inline(always)]
fn min_max_i64_masked_body(values: &[i64], mask: &Mask) -> Option<(i64, i64)> {
    let (mut min, mut max, mut any) = (i64::MAX, i64::MIN, 0);
    for (values, &word) in values.chunks(64).zip(mask) {
        for (index, &value) in values.iter().enumerate() {
            let selected = select(word, index).cast_signed();
            min = min.min(value & selected | i64::MAX & !selected);
            max = max.max(value & selected | i64::MIN & !selected);
        }
        any |= word & low_ones(values.len());
    }
    (any != 0).then_some((min, max))
}

#[inline(always)]
pub(super) fn fold_halves(mut lanes: [f64; FLOAT_LANES]) -> f64 {
    let mut half = FLOAT_LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

#[inline(always)]
fn sum_f64_body(values: &[f64]) -> f64 {
    let mut lanes = [0.0; FLOAT_LANES];
    let (rows, rest) = values.as_chunks::<FLOAT_LANES>();
    for row in rows {
        for (lane, value) in lanes.iter_mut().zip(row) {
            *lane += value;
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += value;
    }
    fold_halves(lanes)
}

#[inline(always)]
fn sum_f64_masked_body(values: &[f64], mask: &Mask) -> f64 {
    let mut lanes = [0.0; FLOAT_LANES];
    for (values, &word) in values.chunks(64).zip(mask) {
        let (rows, rest) = values.as_chunks::<FLOAT_LANES>();
        for (index, row) in rows.iter().enumerate() {
            let word = word >> (index * FLOAT_LANES);
            for (index, (lane, value)) in lanes.iter_mut().zip(row).enumerate() {
                *lane += f64::from_bits(value.to_bits() & select(word, index));
            }
        }
        let word = word >> (rows.len() * FLOAT_LANES % 64);
        for (index, (lane, value)) in lanes.iter_mut().zip(rest).enumerate() {
            *lane += f64::from_bits(value.to_bits() & select(word, index));
        }
    }
    fold_halves(lanes)
}

/// Bounds of accumulated lanes; infinities the wrong way round say that there was nothing.
#[inline(always)]
pub(super) fn bounds_of(min: f64, max: f64, has_nan: bool) -> FloatBounds {
    // Adding +0.0 turns -0.0 into 0.0 and nothing else into anything else.
    FloatBounds { range: (min <= max).then_some((min + 0.0, max + 0.0)), has_nan }
}

#[inline(always)]
fn fold_bounds(min: &[f64; FLOAT_LANES], max: &[f64; FLOAT_LANES], nan: &[u64; FLOAT_LANES]) -> FloatBounds {
    let (mut low, mut high, mut any_nan) = (f64::INFINITY, f64::NEG_INFINITY, 0);
    for lane in 0..FLOAT_LANES {
        low = if min[lane] < low { min[lane] } else { low };
        high = if max[lane] > high { max[lane] } else { high };
        any_nan |= nan[lane];
    }
    bounds_of(low, high, any_nan != 0)
}

#[inline(always)]
fn add_to_bounds(value: f64, min: &mut f64, max: &mut f64, nan: &mut u64) {
    *min = if value < *min { value } else { *min };
    *max = if value > *max { value } else { *max };
    *nan |= u64::from(value.is_nan());
}

#[inline(always)]
pub(super) fn min_max_f64_body(values: &[f64]) -> FloatBounds {
    let (mut min, mut max) = ([f64::INFINITY; FLOAT_LANES], [f64::NEG_INFINITY; FLOAT_LANES]);
    let mut nan = [0; FLOAT_LANES];
    let (rows, rest) = values.as_chunks::<FLOAT_LANES>();
    for row in rows {
        for lane in 0..FLOAT_LANES {
            add_to_bounds(row[lane], &mut min[lane], &mut max[lane], &mut nan[lane]);
        }
    }
    for (lane, &value) in rest.iter().enumerate() {
        add_to_bounds(value, &mut min[lane], &mut max[lane], &mut nan[lane]);
    }
    fold_bounds(&min, &max, &nan)
}

#[inline(always)]
fn min_max_f64_masked_body(values: &[f64], mask: &Mask) -> FloatBounds {
    let (mut min, mut max, mut nan) = (f64::INFINITY, f64::NEG_INFINITY, 0);
    for (values, &word) in values.chunks(64).zip(mask) {
        let mut rest = word & low_ones(values.len());
        while rest != 0 {
            add_to_bounds(values[rest.trailing_zeros() as usize], &mut min, &mut max, &mut nan);
            rest &= rest - 1;
        }
    }
    bounds_of(min, max, nan != 0)
}
