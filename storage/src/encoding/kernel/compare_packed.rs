//! Filters on packed numbers in their narrow lanes, without widening them.

use super::compare::CompareOp;
use super::lane::Lane;
use super::level::{Level, dispatch};
use super::mask::word_of_bytes;
use super::pack::{lanes, unpack, with_lane};
use crate::encoding::{Mask, VECTOR_LEN};

dispatch! {
    /// Sets `mask` to the packed numbers that satisfy `number op constant`, which fits in `width` bits; bits beyond
    /// `len` are cleared. `data` has `packed_bytes` bytes.
    pub(crate) fn compare_packed(op: CompareOp, data: &[u8], width: u32, len: usize, constant: u64, mask: &mut Mask) =
        x86::compare_packed_avx512, x86::compare_packed_avx2, compare_packed_body;
}

#[inline(always)]
fn compare_packed_body(op: CompareOp, data: &[u8], width: u32, len: usize, constant: u64, mask: &mut Mask) {
    compare(op, data, width, len, constant, mask, word_of_bytes);
}

/// `word` turns 64 bytes of 0 or 1 into bits.
#[inline(always)]
fn compare(
    op: CompareOp,
    data: &[u8],
    width: u32,
    len: usize,
    constant: u64,
    mask: &mut Mask,
    word: impl Fn(&[u8; 64]) -> u64,
) {
    with_lane!(width, T => {
        let mut lanes = lanes::<T>();
        let lanes = &unpack(data, width, len, &mut lanes)[..len];
        let constant = T::truncate(constant);
        match op {
            CompareOp::Equal => fill(lanes, mask, |lane| lane == constant, word),
            CompareOp::NotEqual => fill(lanes, mask, |lane| lane != constant, word),
            CompareOp::Less => fill(lanes, mask, |lane| lane < constant, word),
            CompareOp::LessOrEqual => fill(lanes, mask, |lane| lane <= constant, word),
            CompareOp::Greater => fill(lanes, mask, |lane| lane > constant, word),
            CompareOp::GreaterOrEqual => fill(lanes, mask, |lane| lane >= constant, word),
        }
    });
}

#[inline(always)]
fn fill<T: Lane>(lanes: &[T], mask: &mut Mask, accept: impl Fn(T) -> bool, word: impl Fn(&[u8; 64]) -> u64) {
    const { assert!(VECTOR_LEN.is_multiple_of(64), "words of the mask are whole") };
    *mask = [0; 16];
    let (blocks, rest) = lanes.as_chunks::<64>();
    let mut words = mask.iter_mut();
    for (block, out) in blocks.iter().zip(&mut words) {
        *out = word(&block.map(|lane| u8::from(accept(lane))));
    }
    if let (false, Some(out)) = (rest.is_empty(), words.next()) {
        let mut bytes = [0; 64];
        for (byte, &lane) in bytes.iter_mut().zip(rest) {
            *byte = u8::from(accept(lane));
        }
        *out = word(&bytes);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn compare_packed_avx512(
        op: CompareOp,
        data: &[u8],
        width: u32,
        len: usize,
        constant: u64,
        mask: &mut Mask,
    ) {
        compare(op, data, width, len, constant, mask, |bytes| {
            // SAFETY: the array is 64 bytes, the load is unaligned, and the caller has the features.
            unsafe {
                let bytes = _mm512_loadu_si512(bytes.as_ptr().cast());
                _mm512_test_epi8_mask(bytes, bytes)
            }
        });
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn compare_packed_avx2(
        op: CompareOp,
        data: &[u8],
        width: u32,
        len: usize,
        constant: u64,
        mask: &mut Mask,
    ) {
        compare(op, data, width, len, constant, mask, |bytes| {
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
