//! Outliers: numbers of which only the lowest bits are packed, and what is added to put them right.

use super::lane::Lane;
use super::level::{Level, dispatch};
use super::mask::word_of_bytes;
use crate::encoding::{Mask, VECTOR_LEN};

/// What a number is more than its packed bits say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Patch {
    /// Its place in the vector.
    pub(crate) position: u16,
    /// The bits from the packed width on; negative for a number below the base.
    pub(crate) excess: i64,
}

dispatch! {
    /// Which `values[i] - base` have bits beyond the lowest `width`, which is below 64.
    pub(crate) fn outliers_of_values(values: &[i64], base: i64, width: u32) -> Mask =
        x86::outliers_of_values_avx512, outliers_of_values_body, outliers_of_values_body;

    /// Which `values[i] - values[i - 1] - step` have bits beyond the lowest `width`, which is below 64; never the first.
    pub(crate) fn outliers_of_deltas(values: &[i64], step: i64, width: u32) -> Mask =
        x86::outliers_of_deltas_avx512, outliers_of_deltas_body, outliers_of_deltas_body;
}

#[inline(always)]
fn outliers_of_values_body(values: &[i64], base: i64, width: u32) -> Mask {
    let mut mask = [0; 16];
    for (values, word) in values.chunks(64).zip(&mut mask) {
        let mut bytes = [0u8; 64];
        for (byte, value) in bytes.iter_mut().zip(values) {
            *byte = u8::from(value.wrapping_sub(base).cast_unsigned() >> width != 0);
        }
        *word = word_of_bytes(&bytes);
    }
    mask
}

#[inline(always)]
fn outliers_of_deltas_body(values: &[i64], step: i64, width: u32) -> Mask {
    let mut mask = [0; 16];
    for (index, word) in mask.iter_mut().enumerate() {
        let (start, end) = ((index * 64).max(1), (index * 64 + 64).min(values.len()));
        if start >= end {
            break;
        }
        let mut bytes = [0u8; 64];
        let pairs = values[start - 1..end - 1].iter().zip(&values[start..end]);
        for (byte, (before, value)) in bytes[start % 64..].iter_mut().zip(pairs) {
            let number = value.wrapping_sub(*before).wrapping_sub(step);
            *byte = u8::from(number.cast_unsigned() >> width != 0);
        }
        *word = word_of_bytes(&bytes);
    }
    mask
}

/// Adds each excess to its value. Positions lie within `values`.
#[inline(always)]
pub(crate) fn patch_values(values: &mut [i64; VECTOR_LEN], width: u32, patches: &[Patch]) {
    for patch in patches {
        let value = &mut values[usize::from(patch.position) % VECTOR_LEN];
        *value = value.wrapping_add(patch.excess.wrapping_shl(width));
    }
}

/// Adds each excess to its value and all behind it, as differences add up. Positions increase and lie within `values`.
#[inline(always)]
pub(crate) fn patch_sums(values: &mut [i64], width: u32, patches: &[Patch]) {
    let mut total = 0i64;
    for (index, patch) in patches.iter().enumerate() {
        total = total.wrapping_add(patch.excess.wrapping_shl(width));
        let end = patches.get(index + 1).map_or(values.len(), |next| usize::from(next.position));
        for value in &mut values[usize::from(patch.position)..end] {
            *value = value.wrapping_add(total);
        }
    }
}

/// Puts unpacked numbers right in their lanes, when lanes are wide enough, which is much cheaper than adding to sums.
///
/// All numbers become larger by what is returned, so that those below the base are not negative either.
#[inline(always)]
pub(super) fn patch_lanes<T: Lane>(lanes: &mut [T], width: u32, patches: &[Patch]) -> Option<i64> {
    if patches.is_empty() {
        return Some(0);
    }
    let (mut low, mut high) = (0, 0);
    for patch in patches {
        low = low.min(patch.excess);
        high = high.max(patch.excess);
    }
    let levels = high.checked_sub(low)?.checked_add(1)?;
    let room = T::BITS.checked_sub(width).filter(|&room| room < 63)?;
    if levels > 1 << room {
        return None;
    }
    let bias = T::truncate(low.unsigned_abs()).shl(width);
    let low_bits = T::low_bits(width);
    for lane in lanes.iter_mut() {
        *lane = lane.or(bias);
    }
    for patch in patches {
        let lane = &mut lanes[usize::from(patch.position)];
        *lane = lane.and(low_bits).or(T::truncate((patch.excess - low).cast_unsigned()).shl(width));
    }
    Some(bias.to_u64().cast_signed())
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    /// Which of up to 64 `values[i] - before[i] - step` have bits beyond the lowest `width`. `before` gives eight values
    /// from a place on, of which those whose bit is set count.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    fn outliers(values: &[i64], before: impl Fn(usize, u8) -> __m512i, step: i64, width: u32) -> u64 {
        let step = _mm512_set1_epi64(step);
        let beyond = _mm512_set1_epi64((u64::MAX << width).cast_signed());
        values.chunks(8).enumerate().fold(0, |word, (index, values)| {
            let present = u8::MAX >> (8 - values.len());
            // SAFETY: only values that are there are read, and the caller has the features.
            let bits = unsafe {
                let values = _mm512_maskz_loadu_epi64(present, values.as_ptr());
                let numbers = _mm512_sub_epi64(_mm512_sub_epi64(values, before(index * 8, present)), step);
                _mm512_mask_test_epi64_mask(present, numbers, beyond)
            };
            word | u64::from(bits) << (index * 8)
        })
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn outliers_of_values_avx512(values: &[i64], base: i64, width: u32) -> Mask {
        let mut mask = [0; 16];
        for (values, word) in values.chunks(64).zip(&mut mask) {
            *word = outliers(values, |_, _| _mm512_setzero_si512(), base, width);
        }
        mask
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn outliers_of_deltas_avx512(values: &[i64], step: i64, width: u32) -> Mask {
        let mut mask = [0; 16];
        // What is before the first value makes its number 0.
        let before_first = values[0].wrapping_sub(step);
        for (index, word) in mask.iter_mut().enumerate() {
            let (start, end) = (index * 64, (index * 64 + 64).min(values.len()));
            if start >= end {
                break;
            }
            let load = |offset: usize, present: u8| {
                // SAFETY: reads the values before those that are there, which lie within `values`; that before the first
                // of all is masked out, and a masked-out element is not read.
                unsafe {
                    if start + offset == 0 {
                        let before = _mm512_maskz_loadu_epi64(present & 0xFE, values.as_ptr().wrapping_sub(1));
                        _mm512_mask_set1_epi64(before, 1, before_first)
                    } else {
                        _mm512_maskz_loadu_epi64(present, values.as_ptr().add(start + offset - 1))
                    }
                }
            };
            *word = outliers(&values[start..end], load, step, width);
        }
        mask
    }
}
