//! Blocks of integers, floats and byte strings within a commit.
//!
//! Speed comes first: a commit is encoded once by the writer who waits for it, and read only after a restart. Integers
//! take 1, 2, 4 or 8 bytes by the range of the block, in loops that the compiler turns into vector code.
//!
//! The number of values is not part of a block. Decoding is for untrusted bytes: `None` for anything malformed; the
//! caller bounds the number of values, since a regular block of any length takes 17 bytes.

use crate::encoding::kernel::min_max_i64;
use crate::encoding::{as_decimals, power_of_ten};
use crate::framing::ByteReader;
use crate::types::SeriesRows;

/// `base + i * step`.
const REGULAR: u8 = 0;
/// `base + i * step` within each series: a block of bases, a block of steps. Only for times.
const REGULAR_BY_SERIES: u8 = 16;

/// Floats as they are.
const FLOATS_RAW: u8 = 0;
/// Floats that all are integers, as a block of integers.
const FLOATS_AS_INTEGERS: u8 = 1;
/// Floats that all are integers divided by one power of ten: its exponent, and a block of the integers.
const FLOATS_AS_DECIMALS: u8 = 2;

/// Values between two looks whether a property still holds.
const CHECK_VALUES: usize = 512;

/// Appends a block of integers.
pub(super) fn encode_integers(values: &[i64], out: &mut Vec<u8>) {
    if encode_regular(values, out) {
        return;
    }
    let (min, max) = min_max_i64(values).unwrap_or_default();
    let spread = max.wrapping_sub(min) as u64;
    if spread <= u64::from(u8::MAX) {
        encode_narrow::<1>(values, min, out);
    } else if spread <= u64::from(u16::MAX) {
        encode_narrow::<2>(values, min, out);
    } else if spread <= u64::from(u32::MAX) {
        encode_narrow::<4>(values, min, out);
    } else {
        encode_narrow::<8>(values, min, out);
    }
}

/// Appends a block of the numbers of rows of each series, of which there are `row_count` in all.
pub(super) fn encode_row_counts(series: &[SeriesRows], row_count: usize, out: &mut Vec<u8>) {
    // A row of each series, as a request of samples has them, needs no list of ones.
    if series.len() == row_count && series.iter().all(|one| one.rows.len() == 1) {
        write_regular(1, 0, out);
        return;
    }
    let counts: Vec<i64> = series.iter().map(|one| one.rows.len() as i64).collect();
    encode_integers(&counts, out);
}

/// Appends a block of times of rows that are grouped by series.
pub(super) fn encode_times(times: &[i64], series: &[SeriesRows], out: &mut Vec<u8>) {
    // Bases and steps cost up to 16 bytes per series, a narrow time 8.
    let is_worth_it = series.len() > 1 && series.len() * 4 <= times.len();
    if is_worth_it && regular_step(times).is_none() {
        let parts = || series.iter().map(|one| &times[one.rows.start as usize..one.rows.end as usize]);
        if parts().all(|part| regular_step(part).is_some()) {
            let bases: Vec<i64> = parts().map(|part| part.first().copied().unwrap_or(0)).collect();
            let steps: Vec<i64> = parts().map(|part| regular_step(part).unwrap_or(0)).collect();
            out.push(REGULAR_BY_SERIES);
            encode_integers(&bases, out);
            encode_integers(&steps, out);
            return;
        }
    }
    encode_integers(times, out);
}

/// Appends a block of floats.
pub(super) fn encode_floats(values: &[f64], out: &mut Vec<u8>) {
    if let Some((integers, exponent)) = as_decimals(values) {
        match exponent {
            0 => out.push(FLOATS_AS_INTEGERS),
            _ => out.extend_from_slice(&[FLOATS_AS_DECIMALS, exponent as u8]),
        }
        encode_integers(&integers, out);
        return;
    }
    out.push(FLOATS_RAW);
    let start = out.len();
    out.resize(start + values.len() * 8, 0);
    for (slot, value) in out[start..].as_chunks_mut::<8>().0.iter_mut().zip(values) {
        *slot = value.to_bits().to_le_bytes();
    }
}

fn regular_step(values: &[i64]) -> Option<i64> {
    let [first, second, ..] = *values else { return Some(0) };
    let step = second.wrapping_sub(first);
    let mut rest = values;
    while rest.len() > 1 {
        let len = rest.len().min(CHECK_VALUES);
        let pairs = rest[..len - 1].iter().zip(&rest[1..len]);
        if pairs.fold(0, |deviation, (a, b)| deviation | (b.wrapping_sub(*a) ^ step)) != 0 {
            return None;
        }
        rest = &rest[len - 1..];
    }
    Some(step)
}

fn encode_regular(values: &[i64], out: &mut Vec<u8>) -> bool {
    let Some(step) = regular_step(values) else { return false };
    write_regular(values.first().copied().unwrap_or(0), step, out);
    true
}

fn write_regular(base: i64, step: i64, out: &mut Vec<u8>) {
    out.push(REGULAR);
    out.extend_from_slice(&base.to_le_bytes());
    out.extend_from_slice(&step.to_le_bytes());
}

fn encode_narrow<const WIDTH: usize>(values: &[i64], base: i64, out: &mut Vec<u8>) {
    out.push(WIDTH as u8);
    out.extend_from_slice(&base.to_le_bytes());
    let start = out.len();
    out.resize(start + values.len() * WIDTH, 0);
    for (slot, value) in out[start..].as_chunks_mut::<WIDTH>().0.iter_mut().zip(values) {
        slot.copy_from_slice(&value.wrapping_sub(base).to_le_bytes()[..WIDTH]);
    }
}

/// Decodes a block of integers.
pub(super) fn decode_integers(reader: &mut ByteReader<'_>, len: usize) -> Option<Vec<i64>> {
    let kind = reader.u8()?;
    decode_integers_of_kind(kind, reader, len)
}

fn decode_integers_of_kind(kind: u8, reader: &mut ByteReader<'_>, len: usize) -> Option<Vec<i64>> {
    let base = reader.i64()?;
    match kind {
        REGULAR => {
            let step = reader.i64()?;
            Some(regular_values(base, step, len).collect())
        }
        1 => decode_narrow::<1>(reader, base, len),
        2 => decode_narrow::<2>(reader, base, len),
        4 => decode_narrow::<4>(reader, base, len),
        8 => decode_narrow::<8>(reader, base, len),
        _ => None,
    }
}

fn regular_values(base: i64, step: i64, len: usize) -> impl Iterator<Item = i64> {
    (0..len as i64).map(move |i| base.wrapping_add(step.wrapping_mul(i)))
}

fn decode_narrow<const WIDTH: usize>(reader: &mut ByteReader<'_>, base: i64, len: usize) -> Option<Vec<i64>> {
    let bytes = reader.take(len.checked_mul(WIDTH)?)?;
    let widen = |narrow: &[u8; WIDTH]| {
        let mut wide = [0; 8];
        wide[..WIDTH].copy_from_slice(narrow);
        i64::from_le_bytes(wide).wrapping_add(base)
    };
    Some(bytes.as_chunks::<WIDTH>().0.iter().map(widen).collect())
}

/// Decodes a block of times of `len` rows that are grouped by series.
pub(super) fn decode_times(reader: &mut ByteReader<'_>, series: &[SeriesRows], len: usize) -> Option<Vec<i64>> {
    let kind = reader.u8()?;
    if kind != REGULAR_BY_SERIES {
        return decode_integers_of_kind(kind, reader, len);
    }
    let bases = decode_integers(reader, series.len())?;
    let steps = decode_integers(reader, series.len())?;
    let mut times = Vec::with_capacity(len);
    for ((one, base), step) in series.iter().zip(bases).zip(steps) {
        times.extend(regular_values(base, step, one.rows.len()));
    }
    (times.len() == len).then_some(times)
}

/// Decodes a block of floats.
pub(super) fn decode_floats(reader: &mut ByteReader<'_>, len: usize) -> Option<Vec<f64>> {
    match reader.u8()? {
        FLOATS_RAW => {
            let bytes = reader.take(len.checked_mul(8)?)?;
            Some(bytes.as_chunks::<8>().0.iter().map(|bits| f64::from_bits(u64::from_le_bytes(*bits))).collect())
        }
        FLOATS_AS_INTEGERS => Some(decode_integers(reader, len)?.into_iter().map(|integer| integer as f64).collect()),
        FLOATS_AS_DECIMALS => {
            let power = power_of_ten(reader.u8()?.into())?;
            Some(decode_integers(reader, len)?.into_iter().map(|integer| integer as f64 / power).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn integers_round_trip(values: &[i64]) -> usize {
        let mut bytes = Vec::new();
        encode_integers(values, &mut bytes);
        let mut reader = ByteReader::new(&bytes);
        assert_eq!(decode_integers(&mut reader, values.len()).unwrap(), values);
        assert_eq!(reader.remaining(), 0);
        bytes.len()
    }

    fn floats_round_trip(values: &[f64]) -> usize {
        let mut bytes = Vec::new();
        encode_floats(values, &mut bytes);
        let mut reader = ByteReader::new(&bytes);
        let decoded = decode_floats(&mut reader, values.len()).unwrap();
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&decoded), bits(values));
        assert_eq!(reader.remaining(), 0);
        bytes.len()
    }

    #[test]
    fn integers_take_as_many_bytes_as_their_range_needs() {
        for (spread, width) in [(0xFF, 1), (0x100, 2), (0xFFFF, 2), (0x1_0000, 4), (0xFFFF_FFFF, 4), (1 << 32, 8)] {
            assert_eq!(integers_round_trip(&[-7, -7 + spread, -7]), 9 + 3 * width);
        }
        assert_eq!(integers_round_trip(&[i64::MIN, i64::MAX, 0]), 9 + 24);
        let overflowing: Vec<i64> = (0..5000).map(|i| i64::MAX.wrapping_add(i)).collect();
        assert_eq!(integers_round_trip(&overflowing), 17);
        let regular: Vec<i64> = (0..5000).map(|i| i * -10).collect();
        assert_eq!(integers_round_trip(&regular), 17);
        let mut broken = regular;
        broken[4999] += 1;
        integers_round_trip(&broken);
        integers_round_trip(&[]);
        integers_round_trip(&[i64::MAX, i64::MIN]);
    }

    #[test]
    fn decimals_are_narrowed_and_the_rest_kept_bit_for_bit() {
        let whole: Vec<f64> = (0..3000).map(|i| f64::from(i % 101)).collect();
        assert_eq!(floats_round_trip(&whole), 1 + 9 + 3000);
        let limit = 2f64.powi(51);
        floats_round_trip(&[limit - 1.0, 1.0 - limit, 0.0]);
        floats_round_trip(&[limit, -limit, 0.0]);
        for odd in [-0.0, 1.0 / 3.0, 2f64.powi(53), f64::MAX, f64::NAN, f64::INFINITY, f64::MIN_POSITIVE] {
            assert_eq!(floats_round_trip(&[1.0, odd, 3.0]), 1 + 24);
        }
        let decimals: Vec<f64> = (0..3000).map(|i| f64::from(i % 101 - 50) / 100.0).collect();
        assert_eq!(floats_round_trip(&decimals), 2 + 9 + 3000);
        floats_round_trip(&[f64::from_bits(0x7FF0_0000_0000_0002), f64::from_bits(0xFFF8_0000_0000_0001)]);
    }

    #[test]
    fn times_that_are_regular_in_each_series_cost_nothing_per_row() {
        let series: Vec<SeriesRows> = (0..10u32)
            .map(|i| SeriesRows {
                key: crate::types::SeriesKey::from_tags([Some(&[i as u8][..])]),
                rows: i * 100..(i + 1) * 100,
            })
            .collect();
        let times: Vec<i64> = (0..1000).map(|row| (row % 100) * 10_000_000_000 + row / 100).collect();
        let mut bytes = Vec::new();
        encode_times(&times, &series, &mut bytes);
        assert!(bytes.len() < 100);
        assert_eq!(decode_times(&mut ByteReader::new(&bytes), &series, 1000).unwrap(), times);
    }

    proptest! {
        #[test]
        fn blocks_round_trip(
            integers in prop::collection::vec(any::<i64>(), 0..1200),
            shift in 0u32..64,
            floats in prop::collection::vec(any::<u64>(), 0..20),
        ) {
            integers_round_trip(&integers.iter().map(|value| value >> shift).collect::<Vec<_>>());
            floats_round_trip(&integers.iter().map(|value| (value >> shift) as f64).collect::<Vec<_>>());
            floats_round_trip(&floats.into_iter().map(f64::from_bits).collect::<Vec<_>>());
        }
    }
}
