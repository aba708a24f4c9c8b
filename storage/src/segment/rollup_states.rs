//! Computes the states of a rollup: what the rows of one series in one base bucket come to, field by field.
//!
//! The writer and the check of a whole segment share this code, so what it says is the definition; `segment.md` repeats
//! it in words. All functions are pure.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_buffer::NullBuffer;

use super::column_writer::ordered_from_u64;
use crate::encoding::kernel;
use crate::types::FieldType;

/// The base bucket of what this build writes: an hour, so that rows at 10 s shrink by 360 and every bucket of whole
/// hours, days or months is made of whole base buckets. A reader takes the width from the file.
pub(crate) const BASE_BUCKET_NS: i64 = 3_600_000_000_000;

/// Rows of one series in one base bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BucketRows {
    /// Number of the bucket: it starts at this many widths from the epoch.
    pub(crate) bucket: i64,
    /// Rows of the series; never empty.
    pub(crate) rows: Range<usize>,
}

/// Cuts ascending `times` at the boundaries of base buckets; `None` when that gives more than `buckets_max` parts.
pub(crate) fn cut_into_buckets(times: &[i64], base_ns: i64, buckets_max: usize) -> Option<Vec<BucketRows>> {
    let mut buckets = Vec::new();
    let mut start = 0;
    while start < times.len() {
        if buckets.len() == buckets_max {
            return None;
        }
        let bucket = times[start].div_euclid(base_ns);
        // The first time behind the bucket; none in the last bucket before the end of time.
        let end = match bucket.checked_add(1).and_then(|next| next.checked_mul(base_ns)) {
            Some(next_ns) => start + times[start..].partition_point(|&time| time < next_ns),
            None => times.len(),
        };
        buckets.push(BucketRows { bucket, rows: start..end });
        start = end;
    }
    Some(buckets)
}

/// A type of numbers that has states.
pub(crate) trait RollupNumber: Copy + Default + PartialEq + std::fmt::Debug {
    /// The state of values, at least one.
    fn state_of(values: &[Self], field_type: FieldType) -> NumberState<Self>;
    /// Number of values that follow a greater one, which those of a counter do only when it starts anew.
    fn count_resets(values: &[Self]) -> usize;
    /// The sum of the values before each of `reset_count` resets, if it is known.
    fn sum_of_resets(
        values: &[Self],
        state: &NumberState<Self>,
        reset_count: usize,
        field_type: FieldType,
    ) -> Option<Self>;
}

/// What the values of one field in one bucket come to, those that are not NULL.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct NumberState<T> {
    /// `None` when it is beyond the type.
    pub(crate) sum: Option<T>,
    pub(crate) min: T,
    pub(crate) max: T,
}

/// Adds integers up in the form that the type of the field has in files.
fn fitting(sum: i128, count: usize, field_type: FieldType) -> Option<i64> {
    match field_type {
        // Of the ordered forms, whose sum is by 2^63 per value too small.
        FieldType::U64 => u64::try_from(sum + ((count as i128) << 63)).ok().map(ordered_from_u64),
        _ => i64::try_from(sum).ok(),
    }
}

fn count_falls<T: Copy + PartialOrd>(values: &[T]) -> usize {
    let pairs = values.iter().zip(values.get(1..).unwrap_or_default());
    pairs.map(|(before, after)| usize::from(after < before)).sum()
}

impl RollupNumber for i64 {
    fn state_of(values: &[Self], field_type: FieldType) -> NumberState<Self> {
        let (min, max) = kernel::min_max_i64(values).unwrap_or_default();
        let sum = fitting(kernel::sum_i64(values), values.len(), field_type);
        NumberState { sum, min, max }
    }

    fn count_resets(values: &[Self]) -> usize {
        count_falls(values)
    }

    fn sum_of_resets(
        values: &[Self],
        _state: &NumberState<Self>,
        reset_count: usize,
        field_type: FieldType,
    ) -> Option<Self> {
        if reset_count == 0 {
            return fitting(0, 0, field_type);
        }
        let before = values.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| i128::from(pair[0]));
        let (sum, count) = before.fold((0, 0), |(sum, count), value| (sum + value, count + 1));
        fitting(sum, count, field_type)
    }
}

impl RollupNumber for f64 {
    fn state_of(values: &[Self], _field_type: FieldType) -> NumberState<Self> {
        let bounds = kernel::min_max_f64(values);
        let (min, max) = bounds.range.unwrap_or((Self::NAN, Self::NAN));
        let sum = kernel::sum_f64(values);
        NumberState {
            // Which NaN a sum of NaNs is depends on the processor.
            sum: Some(if sum.is_nan() { Self::NAN } else { sum }),
            min,
            max: if bounds.has_nan { Self::NAN } else { max },
        }
    }

    fn count_resets(values: &[Self]) -> usize {
        count_falls(values)
    }

    fn sum_of_resets(
        values: &[Self],
        state: &NumberState<Self>,
        reset_count: usize,
        _field_type: FieldType,
    ) -> Option<Self> {
        // A NaN compares with nothing, so it would hide a reset.
        if state.max.is_nan() {
            return None;
        }
        if reset_count == 0 {
            return Some(0.0);
        }
        let before = values.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[0]);
        Some(before.fold(0.0, |sum, value| sum + value))
    }
}

/// The values of a field of one series, in the form that they have in files.
#[derive(Debug)]
pub(super) enum SeriesValues<'a> {
    Integers(&'a [i64]),
    Floats(&'a [f64]),
}

impl<'a> SeriesValues<'a> {
    /// The values of an array; `buffer` holds those that are of another form in Arrow. `None` for texts and bytes.
    pub(super) fn of(array: &'a ArrayRef, field_type: FieldType, buffer: &'a mut Vec<i64>) -> Option<Self> {
        buffer.clear();
        match field_type {
            FieldType::F64 => return Some(Self::Floats(array.as_primitive::<Float64Type>().values())),
            FieldType::I64 => return Some(Self::Integers(array.as_primitive::<Int64Type>().values())),
            FieldType::U64 => {
                buffer.extend(array.as_primitive::<UInt64Type>().values().iter().map(|&value| ordered_from_u64(value)));
            }
            FieldType::Bool => buffer.extend(array.as_boolean().values().iter().map(i64::from)),
            FieldType::String | FieldType::Binary => return None,
        }
        Some(Self::Integers(buffer))
    }
}

/// The values of one bucket without the NULLs.
pub(super) struct PresentValues<'a, T> {
    pub(super) values: &'a [T],
    /// Rows before the first value.
    pub(super) first_skip: usize,
    /// Rows behind the last value.
    pub(super) last_skip: usize,
}

impl<'a, T: Copy> PresentValues<'a, T> {
    /// The values of `rows`; `buffer` holds them when some are NULL.
    pub(super) fn of(
        values: &'a [T],
        nulls: Option<&NullBuffer>,
        rows: &Range<usize>,
        buffer: &'a mut Vec<T>,
    ) -> PresentValues<'a, T> {
        let all = &values[rows.clone()];
        let slice = nulls.map(|nulls| nulls.slice(rows.start, rows.len())).filter(|nulls| nulls.null_count() > 0);
        let Some(nulls) = slice else { return PresentValues { values: all, first_skip: 0, last_skip: 0 } };
        buffer.clear();
        let (mut first_skip, mut end) = (rows.len(), 0);
        for (start, slice_end) in nulls.inner().set_slices() {
            first_skip = first_skip.min(start);
            end = slice_end;
            buffer.extend_from_slice(&all[start..slice_end]);
        }
        PresentValues { values: buffer, first_skip, last_skip: rows.len() - end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(times: &[i64], base_ns: i64) -> Vec<(i64, Range<usize>)> {
        let buckets = cut_into_buckets(times, base_ns, usize::MAX).unwrap();
        buckets.into_iter().map(|bucket| (bucket.bucket, bucket.rows)).collect()
    }

    #[test]
    fn buckets_floor_on_both_sides_of_the_epoch() {
        assert_eq!(buckets(&[-11, -10, -1, 0, 0, 9, 10], 10), [(-2, 0..1), (-1, 1..3), (0, 3..6), (1, 6..7)]);
        assert_eq!(buckets(&[], 10), []);
    }

    #[test]
    fn the_ends_of_time_lie_in_buckets_of_their_own() {
        let times = [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX];
        let found = buckets(&times, BASE_BUCKET_NS);
        let rows: Vec<_> = found.iter().map(|(_, rows)| rows.clone()).collect();
        assert_eq!(rows, [0..2, 2..3, 3..5]);
        assert_eq!(buckets(&[i64::MIN, i64::MAX], i64::MAX), [(-2, 0..1), (1, 1..2)]);
    }

    #[test]
    fn a_series_of_too_many_buckets_is_given_up() {
        assert_eq!(cut_into_buckets(&[0, 10, 20], 10, 2), None);
        assert!(cut_into_buckets(&[0, 10, 20], 10, 3).is_some());
    }

    #[test]
    fn a_sum_beyond_the_type_is_unknown() {
        assert_eq!(i64::state_of(&[i64::MAX, 1], FieldType::I64).sum, None);
        assert_eq!(i64::state_of(&[i64::MAX, 1, -1], FieldType::I64).sum, Some(i64::MAX));
        let unsigned = [u64::MAX - 1, 1].map(ordered_from_u64);
        assert_eq!(i64::state_of(&unsigned, FieldType::U64).sum, Some(ordered_from_u64(u64::MAX)));
        let unsigned = [u64::MAX, 1].map(ordered_from_u64);
        assert_eq!(i64::state_of(&unsigned, FieldType::U64).sum, None);
    }

    #[test]
    fn nan_is_the_greatest_value_and_hides_resets() {
        let state = f64::state_of(&[1.0, f64::NAN, -2.0], FieldType::F64);
        assert_eq!(state.min, -2.0);
        assert!(state.max.is_nan() && state.sum.unwrap().is_nan());
        assert_eq!(f64::sum_of_resets(&[1.0, f64::NAN, -2.0], &state, 0, FieldType::F64), None);
        assert!(f64::state_of(&[f64::NAN], FieldType::F64).min.is_nan());
        let infinities = f64::state_of(&[f64::INFINITY, f64::NEG_INFINITY], FieldType::F64);
        assert_eq!((infinities.min, infinities.max), (f64::NEG_INFINITY, f64::INFINITY));
    }

    #[test]
    fn a_reset_counts_the_value_before_it() {
        // Increase: 3 (to 5) + 1 (from zero) + 6 (to 7) + 2 (from zero) = 12 = last - first + 5 + 7.
        let values = [2, 5, 1, 7, 2];
        let resets = |values: &[i64], field_type| {
            let state = i64::state_of(values, field_type);
            i64::sum_of_resets(values, &state, i64::count_resets(values), field_type).unwrap()
        };
        let found = resets(&values, FieldType::I64);
        assert_eq!((found, values[4] - values[0] + found), (12, 12));
        let unsigned = [2, 5, 1].map(ordered_from_u64);
        assert_eq!(resets(&unsigned, FieldType::U64), ordered_from_u64(5));
        assert_eq!(resets(&[1, 2].map(ordered_from_u64), FieldType::U64), ordered_from_u64(0));
    }

    #[test]
    fn nulls_are_left_out_and_counted_at_both_ends() {
        let nulls = NullBuffer::from(vec![true, false, false, true, false, true, false]);
        let values = [0, 1, 2, 3, 4, 5, 6];
        let mut buffer = Vec::new();
        let present = PresentValues::of(&values, Some(&nulls), &(1..7), &mut buffer);
        assert_eq!((present.values, present.first_skip, present.last_skip), (&[3, 5][..], 2, 1));
        let present = PresentValues::of(&values, Some(&nulls), &(1..3), &mut buffer);
        assert_eq!((present.values.len(), present.first_skip, present.last_skip), (0, 2, 2));
    }
}
