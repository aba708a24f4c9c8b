//! Single values of an encoded integer vector, found without decoding the others.

use super::integer::integer_form;
use super::integer_form::{IntegerForm, PackedNumbers};
use super::kernel::{PART_WIDTH_MAX, PartSum, Patch, packed_at, sum_parts};
use super::patch::{PATCHES_MAX, decode_patches};
use super::{DecodeError, VectorHeader};

/// Value `index` of an integer vector of `len` values; any number where it is NULL.
///
/// `None` when the vector does not fit its header or is stored in a way that takes decoding.
pub fn value_at_i64(header: &VectorHeader, data: &[u8], len: usize, index: usize) -> Option<i64> {
    if index >= len {
        return None;
    }
    let line = |base: i64, step: i64| base.wrapping_add(step.wrapping_mul(index as i64));
    match integer_form(header, data, len)? {
        IntegerForm::Line { base, step } => Some(line(base, step)),
        IntegerForm::Numbers(numbers) => {
            let number = packed_at(numbers.packed, numbers.width, len, index).cast_signed();
            let patched = excess(&numbers, len, |position| position == index).ok()?;
            Some(line(numbers.base, numbers.step).wrapping_add(number).wrapping_add(patched))
        }
        IntegerForm::Deltas(numbers) if index == 0 => Some(numbers.base),
        IntegerForm::Deltas(numbers) if numbers.width <= PART_WIDTH_MAX => {
            let mut sum = [PartSum::default()];
            sum_parts(numbers.packed, numbers.width, len, &[1, index + 1], &mut sum);
            let patched = excess(&numbers, len, |position| position <= index).ok()?;
            Some(line(numbers.base, numbers.step).wrapping_add(sum[0].once.cast_signed()).wrapping_add(patched))
        }
        IntegerForm::Deltas(_) | IntegerForm::Runs(_) => None,
    }
}

/// What the outliers at some positions add, wrapping as decoding does.
#[inline]
fn excess(numbers: &PackedNumbers<'_>, len: usize, counts: impl Fn(usize) -> bool) -> Result<i64, DecodeError> {
    if numbers.patches.is_empty() { Ok(0) } else { patched_excess(numbers, len, counts) }
}

// The room for patches takes longer to clear than a value to find: never inlined.
#[inline(never)]
fn patched_excess(numbers: &PackedNumbers<'_>, len: usize, counts: impl Fn(usize) -> bool) -> Result<i64, DecodeError> {
    let mut room = [Patch::default(); PATCHES_MAX];
    let patches = decode_patches(numbers.patches, len, &mut room)?.iter();
    let counted = patches.filter(|patch| counts(usize::from(patch.position)));
    Ok(counted.fold(0, |sum, patch| sum.wrapping_add(patch.excess.wrapping_shl(numbers.width))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::header::Outliers;
    use crate::encoding::{VECTOR_LEN, VectorEncoding, decode_i64, encode_i64};

    fn assert_found_alone(
        values: &[i64],
        validity: Option<&crate::encoding::Mask>,
    ) -> Option<(VectorEncoding, Outliers)> {
        let mut data = Vec::new();
        let (header, _) = encode_i64(values, validity, &mut data);
        let (len, mut decoded) = (values.len(), [0; VECTOR_LEN]);
        decode_i64(&header, &data, len, &mut decoded).unwrap();
        for (index, &value) in decoded[..len].iter().enumerate() {
            let found = value_at_i64(&header, &data, len, index)?;
            assert_eq!(found, value, "{:?}, value {index} of {len}", header.encoding);
        }
        assert_eq!(value_at_i64(&header, &data, len, len), None);
        (0..data.len()).for_each(|cut| {
            let _any = value_at_i64(&header, &data[..cut], len, len - 1);
        });
        Some((header.encoding, header.outliers()))
    }

    #[test]
    fn a_value_that_is_found_alone_is_the_decoded_one() {
        let mut state = 7u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % below) as i64
        };
        let mut seen = Vec::new();
        for len in [1usize, 2, 64, 360, 832, VECTOR_LEN] {
            let walk = |random: &mut dyn FnMut(u64) -> i64, outliers: u64| -> Vec<i64> {
                let mut value = -7;
                let step = |_| {
                    value += random(8) - 4 + if outliers > 0 && random(outliers) == 0 { random(1 << 20) } else { 0 };
                    value
                };
                (0..len).map(step).collect()
            };
            let vectors = [
                vec![-3; len],
                (0..len as i64).map(|row| 5 - 1_000 * row).collect(),
                (0..len).map(|_| random(100)).collect(),
                (0..len).map(|_| if random(200) == 0 { random(1 << 40) } else { random(100) }).collect(),
                (0..len as i64).map(|row| 77_777 * row + random(50)).collect(),
                walk(&mut random, 0),
                walk(&mut random, 300),
                (0..len).map(|_| random(1 << 30) << 33).collect(),
            ];
            for values in vectors {
                seen.extend(assert_found_alone(&values, None));
                let every_third = std::array::from_fn(|word| 0x9249_2492_4924_9249_u64.rotate_left(word as u32));
                assert_found_alone(&values, Some(&every_third));
            }
        }
        use VectorEncoding::{Constant, Delta, FrameOfReference, Linear, Regular};
        for encoding in [Constant, Regular, FrameOfReference, Linear, Delta] {
            assert!(seen.contains(&(encoding, Outliers::Fit)), "{encoding:?} was not read");
        }
        for encoding in [FrameOfReference, Delta] {
            assert!(seen.contains(&(encoding, Outliers::Patched)), "{encoding:?} with outliers was not read");
        }
    }

    #[test]
    fn values_at_the_ends_of_their_type_wrap_as_decoding_does() {
        assert_found_alone(&[i64::MIN, i64::MAX, 0, i64::MIN + 1, i64::MAX - 1], None);
        assert_found_alone(&[i64::MAX, i64::MIN, i64::MAX, i64::MIN], None);
    }
}
