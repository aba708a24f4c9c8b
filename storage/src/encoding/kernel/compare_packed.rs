//! Filters on packed numbers in their narrow lanes, without widening them.

use super::compare::{CompareOp, compare};
use super::lane::Lane;
use super::level::{Level, dispatch};
use super::mask::word_of_bytes;
use super::pack::{lanes, unpack, with_lane};
use crate::encoding::Mask;

/// Packed numbers of a vector: `packed_bytes` bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packed<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) width: u32,
    pub(crate) len: usize,
}

dispatch! {
    /// Sets `mask` to the packed numbers that satisfy `number op constant`, which fits in their width; bits beyond
    /// their number are cleared.
    pub(crate) fn compare_packed(op: CompareOp, numbers: Packed<'_>, constant: u64, mask: &mut Mask) =
        x86::compare_packed_avx512, x86::compare_packed_avx2, compare_packed_body;
}

#[inline(always)]
fn compare_packed_body(op: CompareOp, numbers: Packed<'_>, constant: u64, mask: &mut Mask) {
    compare_lanes(op, numbers, constant, mask, word_of_bytes);
}

/// `word` turns 64 bytes of 0 or 1 into bits.
#[inline(always)]
fn compare_lanes(op: CompareOp, numbers: Packed<'_>, constant: u64, mask: &mut Mask, word: impl Fn(&[u8; 64]) -> u64) {
    let Packed { data, width, len } = numbers;
    with_lane!(width, T => {
        let mut lanes = lanes::<T>();
        compare(op, &unpack(data, width, len, &mut lanes)[..len], T::truncate(constant), mask, word);
    });
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn compare_packed_avx512(op: CompareOp, numbers: Packed<'_>, constant: u64, mask: &mut Mask) {
        compare_lanes(op, numbers, constant, mask, |bytes| {
            // SAFETY: the array is 64 bytes, the load is unaligned, and the caller has the features.
            unsafe {
                let bytes = _mm512_loadu_si512(bytes.as_ptr().cast());
                _mm512_test_epi8_mask(bytes, bytes)
            }
        });
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn compare_packed_avx2(op: CompareOp, numbers: Packed<'_>, constant: u64, mask: &mut Mask) {
        compare_lanes(op, numbers, constant, mask, |bytes| {
            // SAFETY: the array is 64 bytes, the loads are unaligned, and the caller has the features.
            let [low, high] = unsafe {
                [0, 32].map(|start| {
                    let bytes = _mm256_loadu_si256(bytes.as_ptr().add(start).cast());
                    // Bit 0 of each byte moves to its sign.
                    _mm256_movemask_epi8(_mm256_slli_epi16::<7>(bytes))
                })
            };
            u64::from(high.cast_unsigned()) << 32 | u64::from(low.cast_unsigned())
        });
    }
}
