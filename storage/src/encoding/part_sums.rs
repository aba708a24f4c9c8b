//! Sums of parts of an encoded integer vector, for buckets that cut vectors: computed on the packed numbers.
//!
//! As for whole vectors, an answer is given only when no value can have wrapped.

use super::VectorHeader;
use super::integer::whole_form;
use super::integer_form::{IntegerForm, PackedNumbers, line_bounds};
use super::kernel::{PART_WIDTH_MAX, PartSum, Patch, sum_parts, weighted_sum_parts};
use super::patch::{PATCHES_MAX, decode_patches};

/// The most parts that are summed at once. More of them are short, and then decoding is as fast.
pub const PARTS_MAX: usize = 16;

/// Sums of the values between each of `cuts` and the next one, of an integer vector of `len` values without NULLs.
///
/// Cuts ascend up to `len`; `sums` has one element less than they. `None`, with `sums` unspecified, when there are more
/// than [`PARTS_MAX`] parts, when the vector has NULLs or does not fit its header, or when it takes decoding.
pub fn sum_parts_i64(header: &VectorHeader, data: &[u8], len: usize, cuts: &[usize], sums: &mut [i128]) -> Option<()> {
    let parts = sums.len();
    if parts > PARTS_MAX || cuts.len() != parts + 1 || !cuts.is_sorted() || cuts[parts] > len {
        return None;
    }
    match whole_form(header, data, len)? {
        IntegerForm::Line { base, step } => {
            line_bounds(base, step, len)?;
            line_parts(base, step, cuts, sums);
        }
        IntegerForm::Numbers(numbers) => {
            let packed = &mut [PartSum::default(); PARTS_MAX][..parts];
            sum_parts(packed_of(&numbers)?, numbers.width, len, cuts, packed);
            if numbers.patches.is_empty() {
                numbers.check_bounds(len, 0, 0)?;
            } else {
                let patched = PatchedParts::of(&numbers, len, cuts)?;
                numbers.check_bounds(len, patched.low, patched.high)?;
                patched.add_to(packed)?;
            }
            line_parts(numbers.base, numbers.step, cuts, sums);
            for (sum, packed) in sums.iter_mut().zip(packed) {
                *sum += i128::from(packed.once.cast_signed());
            }
        }
        IntegerForm::Deltas(numbers) => {
            // What stands before the first cut decides the value there.
            let mut all_cuts = [0; PARTS_MAX + 2];
            all_cuts[1..parts + 2].copy_from_slice(cuts);
            let all_cuts = &all_cuts[..parts + 2];
            let packed = &mut [PartSum::default(); PARTS_MAX + 1][..parts + 1];
            weighted_sum_parts(packed_of(&numbers)?, numbers.width, len, all_cuts, packed);
            if numbers.patches.is_empty() {
                numbers.check_sums(len, 0, 0)?;
            } else {
                let patched = PatchedParts::of(&numbers, len, all_cuts)?;
                numbers.check_sums(len, patched.low, patched.high)?;
                patched.add_to(packed)?;
            }
            // Walks along the line and the differences, first to the value before the first cut.
            let step = i128::from(numbers.step);
            let before_first = i128::from(packed[0].once.cast_signed());
            let mut before = i128::from(numbers.base) - step + step * cuts[0] as i128 + before_first;
            for ((cut, packed), sum) in cuts.array_windows().zip(&packed[1..]).zip(sums) {
                let &[start, end] = cut;
                let count = (end - start) as i128;
                let weighted = i128::from(packed.weighted.cast_signed());
                *sum = count * before + step * (count * (count + 1) / 2) + weighted;
                before += step * count + i128::from(packed.once.cast_signed());
            }
        }
        IntegerForm::Runs(_) => return None,
    }
    Some(())
}

/// The packed numbers, when they are of a kind that is summed in parts.
fn packed_of<'a>(numbers: &PackedNumbers<'a>) -> Option<&'a [u8]> {
    (numbers.width <= PART_WIDTH_MAX).then_some(numbers.packed)
}

/// What outliers add to the sums of parts.
struct PatchedParts {
    once: [i64; PARTS_MAX + 1],
    weighted: [i64; PARTS_MAX + 1],
    /// The lowest and the highest that they make the sum of any of the numbers.
    low: i128,
    high: i128,
}

impl PatchedParts {
    /// Of the parts between `cuts`, which hold the whole front of the vector when numbers are differences. `None` when an
    /// outlier does not fit its header or 64 bits.
    // The room for patches takes longer to clear than the sums of a vector without them: never inlined.
    #[inline(never)]
    fn of(numbers: &PackedNumbers<'_>, len: usize, cuts: &[usize]) -> Option<Self> {
        let mut room = [Patch::default(); PATCHES_MAX];
        let mut parts = Self { once: [0; PARTS_MAX + 1], weighted: [0; PARTS_MAX + 1], low: 0, high: 0 };
        for patch in decode_patches(numbers.patches, len, &mut room).ok()? {
            let position = usize::from(patch.position);
            let excess = i64::try_from(i128::from(patch.excess) << numbers.width).ok()?;
            parts.low += i128::from(excess.min(0));
            parts.high += i128::from(excess.max(0));
            let part = cuts[1..].partition_point(|&end| end <= position);
            if position >= cuts[0] && part + 1 < cuts.len() {
                let weight = (cuts[part + 1] - position) as i64;
                parts.once[part] = parts.once[part].checked_add(excess)?;
                parts.weighted[part] = parts.weighted[part].checked_add(excess.checked_mul(weight)?)?;
            }
        }
        Some(parts)
    }

    /// Adds them to sums of packed numbers, which come out as signed numbers in the same bits.
    fn add_to(&self, packed: &mut [PartSum]) -> Option<()> {
        for ((packed, &once), &weighted) in packed.iter_mut().zip(&self.once).zip(&self.weighted) {
            // Numbers of at most 32 bits, a vector of them: far from the highest bit.
            packed.once = packed.once.cast_signed().checked_add(once)?.cast_unsigned();
            packed.weighted = packed.weighted.cast_signed().checked_add(weighted)?.cast_unsigned();
        }
        Some(())
    }
}

/// Sums of the parts of a line.
fn line_parts(base: i64, step: i64, cuts: &[usize], sums: &mut [i128]) {
    for (cut, sum) in cuts.array_windows().zip(sums) {
        let &[start, end] = cut;
        let (start, count) = (start as i128, (end - start) as i128);
        *sum = count * i128::from(base) + i128::from(step) * (count * start + count * (count - 1) / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::header::Outliers;
    use crate::encoding::{VECTOR_LEN, VectorEncoding, decode_i64, encode_i64};

    /// Sums the parts of encoded values both ways; `None` when the packed form gives none.
    fn checked(values: &[i64], cuts: &[usize]) -> Option<(VectorEncoding, Outliers)> {
        let mut data = Vec::new();
        let (header, _) = encode_i64(values, None, &mut data);
        let mut decoded = [0; VECTOR_LEN];
        decode_i64(&header, &data, values.len(), &mut decoded).unwrap();
        let mut sums = vec![0; cuts.len() - 1];
        sum_parts_i64(&header, &data, values.len(), cuts, &mut sums)?;
        let expected: Vec<i128> =
            cuts.windows(2).map(|cut| decoded[cut[0]..cut[1]].iter().map(|&value| i128::from(value)).sum()).collect();
        assert_eq!(sums, expected, "{:?}", header.encoding);
        Some((header.encoding, header.outliers()))
    }

    #[test]
    fn sums_of_parts_are_those_of_the_decoded_values() {
        let mut state = 1u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % below) as i64
        };
        let mut seen = Vec::new();
        for len in [1, 5, 119, 360, 1_000, 1_024] {
            for bits in [1, 3, 7, 9, 15, 20, 31] {
                let uniform: Vec<i64> = (0..len).map(|_| random(1 << bits) - 500).collect();
                let mut value = -1_000_000_000;
                let walk: Vec<i64> = (0..len)
                    .map(|_| {
                        value += random(1 << bits) - (1 << (bits - 1)) + 3;
                        value
                    })
                    .collect();
                let line: Vec<i64> = (0..len).map(|row| 7 - 1_000 * row).collect();
                let near_line: Vec<i64> = (0..len).map(|row| 77_777 * row + random(1 << bits)).collect();
                let mut value = 50;
                let is_rare = |row: i64| row % 97 == 41;
                let jumping: Vec<i64> = (0..len)
                    .map(|row| {
                        let jump = if is_rare(row) { random(1 << 20) - (1 << 19) } else { 0 };
                        value += random(1 << bits) + jump;
                        value
                    })
                    .collect();
                let spiked: Vec<i64> =
                    (0..len).map(|row| if is_rare(row) { -random(1 << 40) } else { random(1 << bits) }).collect();
                for values in [uniform, walk, line, near_line, jumping, spiked, vec![-3; len as usize]] {
                    let len = len as usize;
                    for cuts in [vec![0, len], vec![len / 3, len], vec![0, len / 5, len / 5, len / 2, len - 1]] {
                        seen.extend(checked(&values, &cuts));
                    }
                }
            }
        }
        use VectorEncoding::{Constant, Delta, FrameOfReference, Linear, Regular};
        for encoding in [Constant, Regular, FrameOfReference, Linear, Delta] {
            assert!(seen.contains(&(encoding, Outliers::Fit)), "{encoding:?} was not summed in parts");
        }
        for encoding in [FrameOfReference, Delta] {
            assert!(
                seen.contains(&(encoding, Outliers::Patched)),
                "{encoding:?} with outliers was not summed in parts"
            );
        }
    }

    #[test]
    fn vectors_that_wrap_and_cuts_that_do_not_fit_are_left_to_decoding() {
        assert_eq!(checked(&[i64::MIN, i64::MAX, 0, i64::MIN + 1, i64::MAX - 1], &[0, 2, 5]), None);
        let mut data = Vec::new();
        let (header, _) = encode_i64(&[1, 2, 4], None, &mut data);
        let mut sums = [0; 2];
        for cuts in [vec![0, 2, 4], vec![0, 2, 1], vec![0, 3]] {
            assert_eq!(sum_parts_i64(&header, &data, 3, &cuts, &mut sums), None, "{cuts:?}");
        }
        let cuts = [0; PARTS_MAX + 2];
        assert_eq!(sum_parts_i64(&header, &data, 3, &cuts, &mut [0; PARTS_MAX + 1]), None);
    }
}
