//! Aggregates for AVX2 that the compiler does not turn into vector instructions; those of `aggregate` compute the same.

use std::arch::x86_64::*;

use super::aggregate::{FloatBounds, bounds_of, min_max_f64_body};

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
#[inline]
pub(super) fn min_max_f64(values: &[f64]) -> FloatBounds {
    let (mut min, mut max) = ([_mm256_set1_pd(f64::INFINITY); 4], [_mm256_set1_pd(f64::NEG_INFINITY); 4]);
    let mut nan = [_mm256_setzero_pd(); 4];
    let (rows, rest) = values.as_chunks::<16>();
    for row in rows {
        for (quarter, values) in row.as_chunks::<4>().0.iter().enumerate() {
            // SAFETY: `values` is 32 bytes; unaligned load.
            let values = unsafe { _mm256_loadu_pd(values.as_ptr()) };
            // The instruction returns its second operand when one is NaN.
            min[quarter] = _mm256_min_pd(values, min[quarter]);
            max[quarter] = _mm256_max_pd(values, max[quarter]);
            nan[quarter] = _mm256_or_pd(nan[quarter], _mm256_cmp_pd::<_CMP_UNORD_Q>(values, values));
        }
    }
    let nan = nan.into_iter().fold(_mm256_setzero_pd(), |all, nan| _mm256_or_pd(all, nan));
    let (mut lows, mut highs) = ([0.0; 16], [0.0; 16]);
    for quarter in 0..4 {
        // SAFETY: four registers of four values are the sixteen of the arrays; unaligned stores.
        unsafe {
            _mm256_storeu_pd(lows.as_mut_ptr().add(quarter * 4), min[quarter]);
            _mm256_storeu_pd(highs.as_mut_ptr().add(quarter * 4), max[quarter]);
        }
    }
    let of_rest = min_max_f64_body(rest);
    let (low, high) = of_rest.range.unwrap_or((f64::INFINITY, f64::NEG_INFINITY));
    let low = lows.into_iter().fold(low, |low, value| if value < low { value } else { low });
    let high = highs.into_iter().fold(high, |high, value| if value > high { value } else { high });
    bounds_of(low, high, of_rest.has_nan || _mm256_movemask_pd(nan) != 0)
}
