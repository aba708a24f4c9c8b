//! Decodes deltas: unpacks them into lanes, which stand in natural order, and sums them up from the front.
//!
//! Adding one value after the other gives about one value a cycle. The vector forms sum eight bytes at once with the
//! instruction for sums of absolute differences (`psadbw`) against zero: of the eight bytes, copied to every 64-bit
//! element and cut to the bytes up to that element, it gives the eight sums from the front without any shuffle.

use super::lane::Lane;
use super::level::{Level, dispatch};
use super::pack::{lanes, unpack, with_lane};
use super::patch::{Patch, patch_lanes, patch_sums};
use crate::encoding::VECTOR_LEN;

dispatch! {
    /// Decodes `out[0] = base`, `out[i] = out[i - 1] + step + number[i]`. Values from `len` on are unspecified.
    pub(crate) fn unpack_delta(deltas: &PackedDeltas<'_>, len: usize, out: &mut [i64; VECTOR_LEN]) =
        x86::unpack_delta_avx512, x86::unpack_delta_avx2, unpack_delta_body;

    /// Decodes `out[i] = base + i * step + lanes[0] + ... + lanes[i]`, of whole blocks of eight lanes.
    pub(crate) fn sum_byte_deltas(lanes: &[u8], base: i64, step: i64, out: &mut [i64; VECTOR_LEN]) =
        x86::sum_bytes, x86::sum_bytes, sum_lanes;

    /// The same for wider lanes.
    pub(crate) fn sum_word_deltas(lanes: &[u16], base: i64, step: i64, out: &mut [i64; VECTOR_LEN]) =
        x86::sum_words, x86::sum_words, sum_lanes;
}

/// What a vector of differences is stored as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedDeltas<'a> {
    /// `packed_bytes` bytes.
    pub(crate) packed: &'a [u8],
    pub(crate) width: u32,
    pub(crate) base: i64,
    pub(crate) step: i64,
    /// By position, each of which lies within the vector.
    pub(crate) patches: &'a [Patch],
}

#[inline(always)]
fn unpack_delta_body(deltas: &PackedDeltas<'_>, len: usize, out: &mut [i64; VECTOR_LEN]) {
    let &PackedDeltas { packed, width, base, step, patches } = deltas;
    with_lane!(width, T => {
        let mut lanes = lanes::<T>();
        let lanes = unpack(packed, width, len, &mut lanes);
        lanes[0] = T::default();
        let mut value = base.wrapping_sub(step);
        for (out, lane) in out[..len].iter_mut().zip(lanes) {
            // One addition depends on the value before.
            value = value.wrapping_add(lane.to_u64().cast_signed().wrapping_add(step));
            *out = value;
        }
    });
    patch_sums(&mut out[..len], width, patches);
}

#[inline(always)]
fn sum_lanes<T: Lane>(lanes: &[T], base: i64, step: i64, out: &mut [i64; VECTOR_LEN]) {
    let mut value = base.wrapping_sub(step);
    for (out, lane) in out.iter_mut().zip(lanes) {
        value = value.wrapping_add(lane.to_u64().cast_signed().wrapping_add(step));
        *out = value;
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::super::pack::{lanes, unpack, unpack_bytes_avx512};
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

    /// As with AVX2 but for the way in which numbers of up to 8 bits are unpacked.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn unpack_delta_avx512(deltas: &PackedDeltas<'_>, len: usize, out: &mut [i64; VECTOR_LEN]) {
        let &PackedDeltas { packed, width, base, step, patches } = deltas;
        if width > u8::BITS {
            return unpack_delta_avx2(deltas, len, out);
        }
        let mut lanes = lanes();
        let lanes = unpack_bytes_avx512(packed, width, len, len, &mut lanes);
        let bias = patch_lanes(lanes, width, patches);
        lanes[0] = 0;
        sum_bytes(&lanes[..len.next_multiple_of(8)], base, step.wrapping_sub(bias.unwrap_or(0)), out);
        if bias.is_none() {
            patch_sums(&mut out[..len], width, patches);
        }
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn unpack_delta_avx2(deltas: &PackedDeltas<'_>, len: usize, out: &mut [i64; VECTOR_LEN]) {
        let &PackedDeltas { packed, width, base, step, patches } = deltas;
        if width <= 8 {
            let mut lanes = lanes::<u8>();
            let lanes = unpack(packed, width, len, &mut lanes);
            let bias = patch_lanes(lanes, width, patches);
            lanes[0] = 0;
            sum_bytes(&lanes[..len.next_multiple_of(8)], base, step.wrapping_sub(bias.unwrap_or(0)), out);
            if bias.is_none() {
                patch_sums(&mut out[..len], width, patches);
            }
        } else if width <= 16 {
            let mut lanes = lanes::<u16>();
            let lanes = unpack(packed, width, len, &mut lanes);
            let bias = patch_lanes(lanes, width, patches);
            lanes[0] = 0;
            sum_words(&lanes[..len.next_multiple_of(8)], base, step.wrapping_sub(bias.unwrap_or(0)), out);
            if bias.is_none() {
                patch_sums(&mut out[..len], width, patches);
            }
        } else {
            unpack_delta_body(deltas, len, out);
        }
    }

    /// `base` and the multiples of `step` that the first eight values are away from it.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn first_eight(base: i64, step: i64) -> Eight {
        load(&std::array::from_fn(|i| base.wrapping_add(step.wrapping_mul(i as i64))))
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn sum_bytes(lanes: &[u8], base: i64, step: i64, out: &mut [i64; VECTOR_LEN]) {
        let (up_to_element, mut carry) = (load(&UP_TO_ELEMENT), first_eight(base, step));
        let stride = _mm256_set1_epi64x(step.wrapping_mul(8));
        for (bytes, out) in lanes.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<8>().0) {
            let (from_front, all) = sums(bytes, up_to_element);
            store(add(carry, from_front), out);
            let all = _mm256_add_epi64(all, stride);
            carry = add(carry, (all, all));
        }
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn sum_words(lanes: &[u16], base: i64, step: i64, out: &mut [i64; VECTOR_LEN]) {
        let (up_to_element, mut carry) = (load(&UP_TO_ELEMENT), first_eight(base, step));
        let stride = _mm256_set1_epi64x(step.wrapping_mul(8));
        let (mut low, mut high) = ([0; VECTOR_LEN], [0; VECTOR_LEN]);
        for ((lane, low), high) in lanes.iter().zip(&mut low).zip(&mut high) {
            *low = *lane as u8;
            *high = (*lane >> 8) as u8;
        }
        let bytes = low.as_chunks::<8>().0.iter().zip(high.as_chunks::<8>().0);
        for ((low, high), out) in bytes.zip(out.as_chunks_mut::<8>().0).take(lanes.len() / 8) {
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
