//! Decodes deltas: unpacks them into lanes, which stand in natural order, and sums them up from the front.
//!
//! Adding one value after the other gives about one value a cycle. The vector forms sum eight bytes at once with the
//! instruction for sums of absolute differences (`psadbw`) against zero: of the eight bytes, copied to every 64-bit
//! element and cut to the bytes up to that element, it gives the eight sums from the front without any shuffle.

use super::lane::Lane;
use super::level::{Level, dispatch};
use super::pack::{lanes, unpack, with_lane};
use crate::encoding::VECTOR_LEN;

dispatch! {
    /// Decodes `out[0] = base`, `out[i] = out[i - 1] + step + packed[i]`. `data` has `packed_bytes` bytes. Values from
    /// `len` on are unspecified.
    pub(crate) fn unpack_delta(data: &[u8], width: u32, len: usize, base: i64, step: i64, out: &mut [i64; VECTOR_LEN]) =
        x86::unpack_delta_avx2, x86::unpack_delta_avx2, unpack_delta_body;
}

#[inline(always)]
fn unpack_delta_body(data: &[u8], width: u32, len: usize, base: i64, step: i64, out: &mut [i64; VECTOR_LEN]) {
    with_lane!(width, T => {
        let mut lanes = lanes::<T>();
        let lanes = unpack(data, width, len, &mut lanes);
        lanes[0] = T::default();
        let mut value = base.wrapping_sub(step);
        for (out, lane) in out[..len].iter_mut().zip(lanes) {
            // One addition depends on the value before.
            value = value.wrapping_add(lane.widen().cast_signed().wrapping_add(step));
            *out = value;
        }
    });
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::super::pack::{lanes, unpack};
    use super::*;

    /// Byte `k` of element `j` is kept when `k <= j`.
    const UP_TO_ELEMENT: [i64; 8] =
        [0xFF, 0xFFFF, 0xFF_FFFF, 0xFFFF_FFFF, 0xFF_FFFF_FFFF, 0xFFFF_FFFF_FFFF, 0xFF_FFFF_FFFF_FFFF, -1];

    /// Eight integers in two registers. One of 512 bits is no faster where it is two halves inside, and its stores
    /// cross cache lines unless the output is aligned.
    type Eight = (__m256i, __m256i);

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load(integers: &[i64; 8]) -> Eight {
        let integers: *const __m256i = integers.as_ptr().cast();
        // SAFETY: the array is 64 bytes; unaligned loads.
        unsafe { (_mm256_loadu_si256(integers), _mm256_loadu_si256(integers.add(1))) }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn store(eight: Eight, out: &mut [i64; 8]) {
        let out: *mut __m256i = out.as_mut_ptr().cast();
        // SAFETY: the array is 64 bytes; unaligned stores.
        unsafe {
            _mm256_storeu_si256(out, eight.0);
            _mm256_storeu_si256(out.add(1), eight.1);
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn add(left: Eight, right: Eight) -> Eight {
        (_mm256_add_epi64(left.0, right.0), _mm256_add_epi64(left.1, right.1))
    }

    /// The eight sums of `bytes` from the front, and in every element of the last register the sum of all.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn sums(bytes: &[u8; 8], up_to_element: Eight) -> (Eight, __m256i) {
        let bytes = _mm256_set1_epi64x(i64::from_le_bytes(*bytes));
        let zero = _mm256_setzero_si256();
        let front = _mm256_sad_epu8(_mm256_and_si256(bytes, up_to_element.0), zero);
        let back = _mm256_sad_epu8(_mm256_and_si256(bytes, up_to_element.1), zero);
        ((front, back), _mm256_sad_epu8(bytes, zero))
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn unpack_delta_avx2(
        data: &[u8],
        width: u32,
        len: usize,
        base: i64,
        step: i64,
        out: &mut [i64; VECTOR_LEN],
    ) {
        if width > 16 {
            return unpack_delta_body(data, width, len, base, step, out);
        }
        let up_to_element = load(&UP_TO_ELEMENT);
        let mut carry = load(&std::array::from_fn(|i| base.wrapping_add(step.wrapping_mul(i as i64))));
        let stride = _mm256_set1_epi64x(step.wrapping_mul(8));
        let (out, _) = out.as_chunks_mut::<8>();
        let out = out.iter_mut().take(len.div_ceil(8));
        if width <= 8 {
            let mut lanes = lanes::<u8>();
            let lanes = unpack(data, width, len, &mut lanes);
            lanes[0] = 0;
            for (bytes, out) in lanes.as_chunks::<8>().0.iter().zip(out) {
                let (from_front, all) = sums(bytes, up_to_element);
                store(add(carry, from_front), out);
                let all = _mm256_add_epi64(all, stride);
                carry = add(carry, (all, all));
            }
        } else {
            let mut lanes = lanes::<u16>();
            let lanes = unpack(data, width, len, &mut lanes);
            lanes[0] = 0;
            let (mut low, mut high) = ([0; VECTOR_LEN], [0; VECTOR_LEN]);
            for ((lane, low), high) in lanes.iter().zip(&mut low).zip(&mut high) {
                *low = *lane as u8;
                *high = (*lane >> 8) as u8;
            }
            let bytes = low.as_chunks::<8>().0.iter().zip(high.as_chunks::<8>().0);
            for ((low, high), out) in bytes.zip(out) {
                let (low, low_all) = sums(low, up_to_element);
                let (high, high_all) = sums(high, up_to_element);
                let high = (_mm256_slli_epi64::<8>(high.0), _mm256_slli_epi64::<8>(high.1));
                store(add(carry, add(low, high)), out);
                let all = _mm256_add_epi64(low_all, _mm256_slli_epi64::<8>(high_all));
                let all = _mm256_add_epi64(all, stride);
                carry = add(carry, (all, all));
            }
        }
    }
}
