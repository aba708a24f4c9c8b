//! Aggregates under a mask for AVX-512, whose mask registers make them as fast as those without; the loops of
//! `aggregate` compute the same.

use std::arch::x86_64::*;

use super::aggregate::{FLOAT_LANES, FloatBounds, bounds_of, fold_halves, low_ones};
use crate::encoding::Mask;

/// Groups of eight values that are there, with their bits; in the last one the bits of missing values are clear.
#[inline(always)]
fn groups<'a, T>(values: &'a [T], mask: &'a Mask) -> impl Iterator<Item = (&'a [T], u8)> {
    values.chunks(64).zip(mask).flat_map(|(values, &word)| {
        let word = word & low_ones(values.len());
        values.chunks(8).enumerate().map(move |(index, values)| (values, (word >> (index * 8)) as u8))
    })
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
#[inline]
pub(super) fn sum_i64_masked(values: &[i64], mask: &Mask) -> i128 {
    let half = _mm512_set1_epi64(0xFFFF_FFFF);
    let (mut low, mut high) = (_mm512_setzero_si512(), _mm512_setzero_si512());
    for (values, bits) in groups(values, mask) {
        // SAFETY: only values whose bit is set are read, and those lie within `values`.
        let values = unsafe { _mm512_maskz_loadu_epi64(bits, values.as_ptr()) };
        low = _mm512_add_epi64(low, _mm512_and_si512(values, half));
        high = _mm512_add_epi64(high, _mm512_srai_epi64::<32>(values));
    }
    // At most 1024 halves of 32 bits.
    (i128::from(_mm512_reduce_add_epi64(high)) << 32) + i128::from(_mm512_reduce_add_epi64(low))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
#[inline]
pub(super) fn min_max_i64_masked(values: &[i64], mask: &Mask) -> Option<(i64, i64)> {
    let (mut min, mut max) = (_mm512_set1_epi64(i64::MAX), _mm512_set1_epi64(i64::MIN));
    let mut any = 0;
    for (values, bits) in groups(values, mask) {
        // SAFETY: only values whose bit is set are read, and those lie within `values`.
        let values = unsafe { _mm512_maskz_loadu_epi64(bits, values.as_ptr()) };
        min = _mm512_mask_min_epi64(min, bits, min, values);
        max = _mm512_mask_max_epi64(max, bits, max, values);
        any |= bits;
    }
    (any != 0).then(|| (_mm512_reduce_min_epi64(min), _mm512_reduce_max_epi64(max)))
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
#[inline]
pub(super) fn sum_f64_masked(values: &[f64], mask: &Mask) -> f64 {
    // Two registers are the lanes of the order of additions: even groups go to the first, odd ones to the second.
    const { assert!(FLOAT_LANES == 16, "two registers of eight lanes") };
    let (mut front, mut back) = (_mm512_setzero_pd(), _mm512_setzero_pd());
    for (index, (values, bits)) in groups(values, mask).enumerate() {
        // SAFETY: only values whose bit is set are read, and those lie within `values`.
        let values = unsafe { _mm512_maskz_loadu_pd(bits, values.as_ptr()) };
        if index % 2 == 0 {
            front = _mm512_add_pd(front, values);
        } else {
            back = _mm512_add_pd(back, values);
        }
    }
    let mut lanes = [0.0; FLOAT_LANES];
    // SAFETY: the array holds both registers; unaligned stores.
    unsafe {
        _mm512_storeu_pd(lanes.as_mut_ptr(), front);
        _mm512_storeu_pd(lanes.as_mut_ptr().add(8), back);
    }
    fold_halves(lanes)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
#[inline]
pub(super) fn min_max_f64_masked(values: &[f64], mask: &Mask) -> FloatBounds {
    let (mut min, mut max) = (_mm512_set1_pd(f64::INFINITY), _mm512_set1_pd(f64::NEG_INFINITY));
    let mut nan = 0;
    for (values, bits) in groups(values, mask) {
        // SAFETY: only values whose bit is set are read, and those lie within `values`.
        let values = unsafe { _mm512_maskz_loadu_pd(bits, values.as_ptr()) };
        // The instruction returns its second operand when one is NaN.
        min = _mm512_mask_min_pd(min, bits, values, min);
        max = _mm512_mask_max_pd(max, bits, values, max);
        nan |= _mm512_mask_cmp_pd_mask::<_CMP_UNORD_Q>(bits, values, values);
    }
    bounds_of(_mm512_reduce_min_pd(min), _mm512_reduce_max_pd(max), nan != 0)
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
#[inline]
pub(super) fn min_max_f64(values: &[f64]) -> FloatBounds {
    let (mut min, mut max) = ([_mm512_set1_pd(f64::INFINITY); 2], [_mm512_set1_pd(f64::NEG_INFINITY); 2]);
    let mut nan = 0;
    let (rows, rest) = values.as_chunks::<16>();
    for row in rows {
        for (half, values) in row.as_chunks::<8>().0.iter().enumerate() {
            // SAFETY: `values` is 64 bytes; unaligned load.
            let values = unsafe { _mm512_loadu_pd(values.as_ptr()) };
            min[half] = _mm512_min_pd(values, min[half]);
            max[half] = _mm512_max_pd(values, max[half]);
            nan |= _mm512_cmp_pd_mask::<_CMP_UNORD_Q>(values, values);
        }
    }
    let (mut min, mut max) = (_mm512_min_pd(min[0], min[1]), _mm512_max_pd(max[0], max[1]));
    for values in rest.chunks(8) {
        let bits = low_ones(values.len()) as u8;
        // SAFETY: only values whose bit is set are read, and those lie within `values`.
        let values = unsafe { _mm512_maskz_loadu_pd(bits, values.as_ptr()) };
        min = _mm512_mask_min_pd(min, bits, values, min);
        max = _mm512_mask_max_pd(max, bits, values, max);
        nan |= _mm512_mask_cmp_pd_mask::<_CMP_UNORD_Q>(bits, values, values);
    }
    bounds_of(_mm512_reduce_min_pd(min), _mm512_reduce_max_pd(max), nan != 0)
}
