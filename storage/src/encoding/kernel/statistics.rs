//! What the choice of an integer encoding needs to know of the values.

use super::level::{Level, dispatch};

/// Bounds of values and of their wrapping differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IntegerBounds {
    pub(crate) min: i64,
    pub(crate) max: i64,
    /// Bounds of `values[i] - values[i - 1]`; `i64::MAX` and `i64::MIN` for fewer than two values.
    pub(crate) min_delta: i64,
    pub(crate) max_delta: i64,
    /// Stretches of equal values.
    pub(crate) run_count: usize,
}

/// Numbers of a sample.
pub(crate) const SAMPLE_LEN: usize = 32;

dispatch! {
    /// Bounds of `values`, which are not empty.
    pub(crate) fn integer_bounds(values: &[i64]) -> IntegerBounds =
        integer_bounds_body, integer_bounds_body, integer_bounds_body;

    /// Minimum and maximum of `values[i] - values[0] - i * step`.
    pub(crate) fn residual_bounds(values: &[i64], step: i64) -> (i64, i64) =
        residual_bounds_body, residual_bounds_body, residual_bounds_body;

    /// How many numbers lie within `2^width - 1` of the minimum, of the maximum, and within half of `2^width` of the
    /// middle; `width` is below 64.
    pub(crate) fn count_near(numbers: &[i64; SAMPLE_LEN], bounds: (i64, i64), middle: i64, width: u32) -> [u64; 3] =
        count_near_body, count_near_body, count_near_body;
}

#[inline(always)]
fn integer_bounds_body(values: &[i64]) -> IntegerBounds {
    let (mut min, mut max) = (values[0], values[0]);
    let (mut min_delta, mut max_delta) = (i64::MAX, i64::MIN);
    let mut run_count = 1;
    for (&before, &value) in values.iter().zip(&values[1..]) {
        min = min.min(value);
        max = max.max(value);
        let delta = value.wrapping_sub(before);
        min_delta = min_delta.min(delta);
        max_delta = max_delta.max(delta);
        run_count += usize::from(delta != 0);
    }
    IntegerBounds { min, max, min_delta, max_delta, run_count }
}

#[inline(always)]
fn residual_bounds_body(values: &[i64], step: i64) -> (i64, i64) {
    let (mut min, mut max) = (0, 0);
    for (i, &value) in values.iter().enumerate() {
        let residual = value.wrapping_sub(values[0]).wrapping_sub(step.wrapping_mul(i as i64));
        min = min.min(residual);
        max = max.max(residual);
    }
    (min, max)
}

#[inline(always)]
fn count_near_body(numbers: &[i64; SAMPLE_LEN], bounds: (i64, i64), middle: i64, width: u32) -> [u64; 3] {
    let half = 1u64 << width >> 1;
    let (mut above, mut below, mut about) = (0, 0, 0);
    for &number in numbers {
        above += u64::from(number.wrapping_sub(bounds.0).cast_unsigned() >> width == 0);
        below += u64::from(bounds.1.wrapping_sub(number).cast_unsigned() >> width == 0);
        about += u64::from(number.wrapping_sub(middle).unsigned_abs() <= half);
    }
    [above, below, about]
}
