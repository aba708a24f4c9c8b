//! Numbers of a batch in as few bytes as their range needs, each to be had by its place.
//!
//! Rows that wait for a flush take an eighth of their memory so in the common case: fewer and larger flushes come of one
//! budget, and less memory is fetched. Invariant: what is read is what was given, bit for bit.

use std::ops::Range;

use arrow_buffer::ScalarBuffer;

use crate::encoding::kernel::{self, min_max_i64};

/// Times are mostly whole numbers of one of these, in nanoseconds.
const TIME_UNITS: [i64; 3] = [1_000_000_000, 1_000_000, 1_000];

/// Integers as `base + number * unit`, wrapping.
#[derive(Debug)]
pub(super) struct NarrowIntegers {
    base: i64,
    unit: i64,
    numbers: Numbers,
}

#[derive(Debug)]
enum Numbers {
    /// The place of each.
    Places,
    One(Vec<u8>),
    Two(Vec<u16>),
    Four(Vec<u32>),
    /// The values as they are: the base is 0 and the unit 1.
    Whole(ScalarBuffer<i64>),
}

impl NarrowIntegers {
    /// Of values of a field.
    pub(super) fn of_values(values: &ScalarBuffer<i64>) -> Self {
        let (min, max) = min_max_i64(values).unwrap_or_default();
        Self::of_range(values, min, max).unwrap_or_else(|| Self::whole(values))
    }

    /// Of times.
    pub(super) fn of_times(times: &ScalarBuffer<i64>) -> Self {
        if let Some((base, unit)) = regular(times) {
            return Self { base, unit, numbers: Numbers::Places };
        }
        let (min, max) = min_max_i64(times).unwrap_or_default();
        let [second, millisecond, microsecond] = TIME_UNITS;
        let unit = if are_multiples::<{ TIME_UNITS[0] }>(times, min) {
            second
        } else if are_multiples::<{ TIME_UNITS[1] }>(times, min) {
            millisecond
        } else if are_multiples::<{ TIME_UNITS[2] }>(times, min) {
            microsecond
        } else {
            return Self::of_range(times, min, max).unwrap_or_else(|| Self::whole(times));
        };
        let units: Vec<i64> = times.iter().map(|time| (distance(*time, min) / unit as u64) as i64).collect();
        let narrow = Self::of_range(&units, 0, (distance(max, min) / unit as u64) as i64);
        narrow.map_or_else(|| Self::whole(times), |narrow| Self { base: min, unit, numbers: narrow.numbers })
    }

    /// `None` when they need all of their bytes.
    fn of_range(values: &[i64], min: i64, max: i64) -> Option<Self> {
        let numbers = match distance(max, min) {
            0..=0xFF => Numbers::One(values.iter().map(|value| distance(*value, min) as u8).collect()),
            0x100..=0xFFFF => Numbers::Two(values.iter().map(|value| distance(*value, min) as u16).collect()),
            0x1_0000..=0xFFFF_FFFF => Numbers::Four(values.iter().map(|value| distance(*value, min) as u32).collect()),
            _ => return None,
        };
        Some(Self { base: min, unit: 1, numbers })
    }

    fn whole(values: &ScalarBuffer<i64>) -> Self {
        let values = match is_compact(values.inner().capacity(), 8 * values.len()) {
            true => values.clone(),
            false => values.to_vec().into(),
        };
        Self { base: 0, unit: 1, numbers: Numbers::Whole(values) }
    }

    /// Bytes of memory.
    pub(super) fn byte_len(&self) -> usize {
        match &self.numbers {
            Numbers::Places => 0,
            Numbers::One(numbers) => numbers.len(),
            Numbers::Two(numbers) => 2 * numbers.len(),
            Numbers::Four(numbers) => 4 * numbers.len(),
            Numbers::Whole(values) => 8 * values.len(),
        }
    }

    /// Appends the values of `rows` to `out`, each turned by `turn`.
    pub(super) fn append_to<T>(&self, rows: Range<usize>, out: &mut Vec<T>, turn: impl Fn(i64) -> T) {
        let &Self { base, unit, .. } = self;
        if unit == 1 {
            // Not only faster without it: the processors of old have no multiplication of such integers side by side.
            self.extend(rows, out, |number| turn(base.wrapping_add(number)));
        } else {
            self.extend(rows, out, |number| turn(base.wrapping_add(number.wrapping_mul(unit))));
        }
    }

    /// Writes the values of `rows` to the front of `out`, each turned by `turn`.
    pub(super) fn write_to<T>(&self, rows: Range<usize>, out: &mut [T], turn: impl Fn(i64) -> T) {
        let &Self { base, unit, .. } = self;
        let out = &mut out[..rows.len()];
        if unit == 1 {
            self.fill(rows, out, |number| turn(base.wrapping_add(number)));
        } else {
            self.fill(rows, out, |number| turn(base.wrapping_add(number.wrapping_mul(unit))));
        }
    }

    #[inline(always)]
    fn fill<T>(&self, rows: Range<usize>, out: &mut [T], value: impl Fn(i64) -> T) {
        match &self.numbers {
            Numbers::Places => out.iter_mut().zip(rows).for_each(|(out, place)| *out = value(place as i64)),
            Numbers::One(numbers) => fill_from(&numbers[rows], out, value),
            Numbers::Two(numbers) => fill_from(&numbers[rows], out, value),
            Numbers::Four(numbers) => fill_from(&numbers[rows], out, value),
            Numbers::Whole(values) => fill_from(&values[rows], out, value),
        }
    }

    /// One value.
    pub(super) fn get(&self, row: usize) -> i64 {
        let number = match &self.numbers {
            Numbers::Places => row as i64,
            Numbers::One(numbers) => i64::from(numbers[row]),
            Numbers::Two(numbers) => i64::from(numbers[row]),
            Numbers::Four(numbers) => i64::from(numbers[row]),
            Numbers::Whole(values) => values[row],
        };
        self.base.wrapping_add(number.wrapping_mul(self.unit))
    }

    /// The distance of two values that follow each other, when it is the same everywhere and known without a look.
    pub(super) fn step(&self) -> Option<i64> {
        matches!(self.numbers, Numbers::Places).then_some(self.unit)
    }

    /// Sums of values of a field between each of `cuts` (rows from `offset` on, ascending) and the next one.
    pub(super) fn sum_parts(&self, offset: usize, cuts: &[usize], sums: &mut [i128]) {
        debug_assert_eq!(self.unit, 1, "values of a field have no unit");
        let parts = cuts.windows(2).map(|pair| offset + pair[0]..offset + pair[1]);
        for (rows, sum) in parts.zip(sums) {
            let numbers = match &self.numbers {
                Numbers::Places => rows.clone().map(|place| place as i128).sum(),
                Numbers::One(numbers) => sum_of(&numbers[rows.clone()]),
                Numbers::Two(numbers) => sum_of(&numbers[rows.clone()]),
                Numbers::Four(numbers) => sum_of(&numbers[rows.clone()]),
                Numbers::Whole(values) => kernel::sum_i64(&values[rows.clone()]),
            };
            *sum = i128::from(self.base) * rows.len() as i128 + numbers;
        }
    }

    #[inline(always)]
    fn extend<T>(&self, rows: Range<usize>, out: &mut Vec<T>, value: impl Fn(i64) -> T) {
        match &self.numbers {
            Numbers::Places => out.extend(rows.map(|place| value(place as i64))),
            Numbers::One(numbers) => out.extend(numbers[rows].iter().map(|&number| value(i64::from(number)))),
            Numbers::Two(numbers) => out.extend(numbers[rows].iter().map(|&number| value(i64::from(number)))),
            Numbers::Four(numbers) => out.extend(numbers[rows].iter().map(|&number| value(i64::from(number)))),
            Numbers::Whole(values) => out.extend(values[rows].iter().map(|&number| value(number))),
        }
    }
}

#[inline(always)]
fn fill_from<N: Copy + Into<i64>, T>(numbers: &[N], out: &mut [T], value: impl Fn(i64) -> T) {
    for (out, &number) in out.iter_mut().zip(numbers) {
        *out = value(number.into());
    }
}

/// The sum of fewer than 2^32 numbers of at most 32 bits.
fn sum_of<N: Copy + Into<u64>>(numbers: &[N]) -> i128 {
    i128::from(numbers.iter().map(|&number| number.into()).sum::<u64>())
}

/// The first time and the constant step of times that have one.
fn regular(times: &[i64]) -> Option<(i64, i64)> {
    let [first, second, ..] = *times else { return None };
    let step = second.wrapping_sub(first);
    times.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step).then_some((first, step))
}

/// How far `value` is above `min`.
fn distance(value: i64, min: i64) -> u64 {
    value.wrapping_sub(min) as u64
}

/// Whether all distances from `min` are multiples of `UNIT`. A constant, since the processor divides slowly.
fn are_multiples<const UNIT: i64>(values: &[i64], min: i64) -> bool {
    values.chunks(256).all(|values| {
        let rest = values.iter().fold(0, |rest, &value| rest | (distance(value, min) % UNIT as u64));
        rest == 0
    })
}

/// Whether buffers of `held_bytes` hold little beside the `used_bytes` of a column, which may be a slice of something
/// large.
pub(super) fn is_compact(held_bytes: usize, used_bytes: usize) -> bool {
    held_bytes <= used_bytes + used_bytes / 4 + 256
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(values: &[i64], make: impl Fn(&ScalarBuffer<i64>) -> NarrowIntegers) -> usize {
        let narrow = make(&values.to_vec().into());
        let mut out = vec![7];
        narrow.append_to(1..values.len(), &mut out, |value| value);
        narrow.append_to(0..1, &mut out, |value| value);
        assert_eq!(out, [&[7], &values[1..], &values[..1]].concat());
        let mut written = vec![7; values.len()];
        narrow.write_to(1..values.len(), &mut written, |value| value);
        assert_eq!(written, [&values[1..], &[7]].concat());
        assert_eq!((0..values.len()).map(|row| narrow.get(row)).collect::<Vec<_>>(), values);
        narrow.byte_len() / values.len()
    }

    #[test]
    fn values_take_the_bytes_of_their_range() {
        let widths = [(0, 1), (0xFF, 1), (0x100, 2), (0xFFFF, 2), (0x1_0000, 4), (0xFFFF_FFFF, 4), (1 << 32, 8)];
        for (range, width) in widths {
            for min in [i64::MIN, -7, i64::MAX - range] {
                assert_eq!(round_trip(&[min, min + range, min], NarrowIntegers::of_values), width);
            }
        }
        assert_eq!(round_trip(&[i64::MIN, i64::MAX, 0], NarrowIntegers::of_values), 8);
    }

    #[test]
    fn sums_of_parts_are_those_of_the_values() {
        for range in [0, 0xFF, 0xFFFF, 0xFFFF_FFFF, i64::MAX] {
            for min in [i64::MIN, -7, i64::MAX - range] {
                let values: Vec<i64> = (0..100).map(|row| min + range / 99 * row).collect();
                let narrow = NarrowIntegers::of_values(&values.clone().into());
                let mut sums = [0; 3];
                narrow.sum_parts(10, &[0, 6, 6, 80], &mut sums);
                let sum = |rows: Range<usize>| values[rows].iter().map(|&value| i128::from(value)).sum::<i128>();
                assert_eq!(sums, [sum(10..16), 0, sum(16..90)]);
            }
        }
    }

    #[test]
    fn times_of_a_unit_take_the_bytes_of_their_range_in_units() {
        let start = 1_767_225_600_123_456_789;
        for unit in TIME_UNITS {
            assert_eq!(round_trip(&[start + 255 * unit, start, start + unit], NarrowIntegers::of_times), 1);
            assert_eq!(round_trip(&[start + 256 * unit, start, start], NarrowIntegers::of_times), 2);
        }
        assert_eq!(round_trip(&[start, start + 1, start + 1_000_000_000], NarrowIntegers::of_times), 4);
        assert_eq!(round_trip(&[start, start + 1, start + 5_000_000_000], NarrowIntegers::of_times), 8);
        assert_eq!(round_trip(&[start, start + 7, start + 14], NarrowIntegers::of_times), 0);
        round_trip(&[i64::MIN, i64::MAX], NarrowIntegers::of_times);
        round_trip(&[i64::MAX, i64::MIN, 0], NarrowIntegers::of_times);
    }

    #[test]
    fn a_slice_does_not_keep_what_it_was_cut_from() {
        let whole: ScalarBuffer<i64> = (0..100_000).map(|value| value << 32).collect::<Vec<_>>().into();
        let kept = |values: &ScalarBuffer<i64>| match NarrowIntegers::of_values(values).numbers {
            Numbers::Whole(kept) => kept.as_ptr(),
            narrow => panic!("{narrow:?}"),
        };
        assert_eq!(kept(&whole), whole.as_ptr());
        let slice = whole.slice(500, 1000);
        assert_ne!(kept(&slice), slice.as_ptr());
    }
}
