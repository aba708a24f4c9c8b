//! Splits floats into a code for their highest bits and the bits below (ALP_RD), and joins them.

use super::level::{Level, dispatch};
use super::mask::word_of_bytes;
use super::pack::{lanes, unpack};
use crate::encoding::{Mask, VECTOR_LEN};

/// Codes of highest bits: as many as eight 64-bit elements of a register.
pub(crate) const LEFT_VALUES: usize = 8;

/// The packed parts of a vector of split floats.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitParts<'a> {
    /// Packed codes of `code_width` bits, at most 3.
    pub(crate) codes: &'a [u8],
    pub(crate) code_width: u32,
    /// Packed low bits, `right_width` of each number, 33 to 63.
    pub(crate) right: &'a [u8],
    pub(crate) right_width: u32,
    /// The highest bits of each code, in their place.
    pub(crate) left: [u64; LEFT_VALUES],
}

dispatch! {
    /// Decodes the bits of `len` floats. The parts have `packed_bytes` bytes. Values from `len` on are unspecified.
    pub(crate) fn unpack_split(parts: &SplitParts<'_>, len: usize, out: &mut [i64; VECTOR_LEN]) =
        x86::unpack_split_avx512, unpack_split_body, unpack_split_body;

    /// Writes the place in `left`, whose values are distinct, of the bits from `right_width` on of each of `bits`, and returns which are there.
    pub(crate) fn split_codes(bits: &[i64], right_width: u32, left: &[u64], codes: &mut [i64; VECTOR_LEN]) -> Mask =
        split_codes_body, split_codes_body, split_codes_body;
}

#[inline(always)]
fn split_codes_body(bits: &[i64], right_width: u32, left: &[u64], codes: &mut [i64; VECTOR_LEN]) -> Mask {
    let mut mask = [0; 16];
    for ((bits, codes), word) in bits.chunks(64).zip(codes.chunks_mut(64)).zip(&mut mask) {
        let (mut highest, mut places, mut is_found) = ([u64::MAX; 64], [0; 64], [0; 64]);
        for (highest, bits) in highest.iter_mut().zip(bits) {
            *highest = bits.cast_unsigned() >> right_width;
        }
        for (index, &left) in left.iter().enumerate() {
            for ((place, is_found), &highest) in places.iter_mut().zip(&mut is_found).zip(&highest) {
                let is_here = i64::from(highest == left);
                *place |= is_here * index as i64;
                *is_found |= is_here;
            }
        }
        codes.copy_from_slice(&places[..codes.len()]);
        *word = word_of_bytes(&is_found.map(|is_found| is_found as u8));
    }
    mask
}

#[inline(always)]
fn unpack_split_body(parts: &SplitParts<'_>, len: usize, out: &mut [i64; VECTOR_LEN]) {
    let (mut codes, mut right) = (lanes::<u8>(), lanes::<u64>());
    let codes = unpack(parts.codes, parts.code_width, len, &mut codes);
    let right = unpack(parts.right, parts.right_width, len, &mut right);
    for ((out, &code), &right) in out.iter_mut().zip(codes.iter()).zip(right.iter()) {
        *out = (parts.left[usize::from(code) % LEFT_VALUES] | right).cast_signed();
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    /// Eight codes select from eight elements of a register with one instruction.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn unpack_split_avx512(parts: &SplitParts<'_>, len: usize, out: &mut [i64; VECTOR_LEN]) {
        let (mut codes, mut right) = (lanes::<u8>(), lanes::<u64>());
        let codes = unpack(parts.codes, parts.code_width, len, &mut codes);
        let right = unpack(parts.right, parts.right_width, len, &mut right);
        // SAFETY: the array is 64 bytes; unaligned load.
        let left = unsafe { _mm512_loadu_si512(parts.left.as_ptr().cast()) };
        let groups = codes.as_chunks::<8>().0.iter().zip(right.as_chunks::<8>().0);
        for ((codes, right), out) in groups.zip(out.as_chunks_mut::<8>().0) {
            // SAFETY: the arrays are 8, 64 and 64 bytes; unaligned loads and store.
            unsafe {
                let codes = _mm512_cvtepu8_epi64(_mm_loadl_epi64(codes.as_ptr().cast()));
                let right = _mm512_loadu_si512(right.as_ptr().cast());
                let joined = _mm512_or_si512(_mm512_permutexvar_epi64(codes, left), right);
                _mm512_storeu_si512(out.as_mut_ptr().cast(), joined);
            }
        }
    }
}
