//! Filters: which values of a vector satisfy a comparison with a constant, as a mask.

use super::level::{Level, dispatch};
use super::mask::word_of_bytes;
use crate::encoding::Mask;

/// A comparison of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

dispatch! {
    /// Sets `mask` to the values (at most 1024) that satisfy `value op constant`; bits beyond them are cleared.
    pub fn compare_i64(op: CompareOp, values: &[i64], constant: i64, mask: &mut Mask) =
        x86::compare_i64_avx512, x86::compare_i64_avx2, compare_i64_body;

    /// The same for floats: a comparison with NaN is false, except that `<>` is true. -0.0 equals 0.0.
    pub fn compare_f64(op: CompareOp, values: &[f64], constant: f64, mask: &mut Mask) =
        x86::compare_f64_avx512, x86::compare_f64_avx2, compare_f64_body;
}

#[inline(always)]
fn compare_i64_body(op: CompareOp, values: &[i64], constant: i64, mask: &mut Mask) {
    compare(op, values, constant, mask, word_of_bytes);
}

#[inline(always)]
fn compare_f64_body(op: CompareOp, values: &[f64], constant: f64, mask: &mut Mask) {
    compare(op, values, constant, mask, word_of_bytes);
}

/// Sets `mask` to the values that satisfy `value op constant`. `word` turns 64 bytes of 0 or 1 into bits.
#[inline(always)]
pub(super) fn compare<T: PartialOrd + Copy>(
    op: CompareOp,
    values: &[T],
    constant: T,
    mask: &mut Mask,
    word: impl Fn(&[u8; 64]) -> u64,
) {
    match op {
        CompareOp::Equal => fill(values, mask, |value| value == constant, word),
        CompareOp::NotEqual => fill(values, mask, |value| value != constant, word),
        CompareOp::Less => fill(values, mask, |value| value < constant, word),
        CompareOp::LessOrEqual => fill(values, mask, |value| value <= constant, word),
        CompareOp::Greater => fill(values, mask, |value| value > constant, word),
        CompareOp::GreaterOrEqual => fill(values, mask, |value| value >= constant, word),
    }
}

#[inline(always)]
fn fill<T: Copy>(values: &[T], mask: &mut Mask, accept: impl Fn(T) -> bool, word: impl Fn(&[u8; 64]) -> u64) {
    *mask = [0; 16];
    let (blocks, rest) = values.as_chunks::<64>();
    let mut words = mask.iter_mut();
    for (block, out) in blocks.iter().zip(&mut words) {
        *out = word(&block.map(|value| u8::from(accept(value))));
    }
    if let (false, Some(out)) = (rest.is_empty(), words.next()) {
        let mut bytes = [0; 64];
        for (byte, &value) in bytes.iter_mut().zip(rest) {
            *byte = u8::from(accept(value));
        }
        *out = word(&bytes);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    /// Fills whole words of `mask` with `word`, and the rest as the portable form does.
    #[inline(always)]
    fn words<T: PartialOrd + Copy>(
        op: CompareOp,
        values: &[T],
        constant: T,
        mask: &mut Mask,
        word: impl Fn(&[T; 64]) -> u64,
    ) {
        let (blocks, rest) = values.as_chunks::<64>();
        *mask = [0; 16];
        for (block, out) in blocks.iter().zip(mask.iter_mut()) {
            *out = word(block);
        }
        if let (false, Some(out)) = (rest.is_empty(), mask.get_mut(blocks.len())) {
            let mut of_rest = [0; 16];
            compare(op, rest, constant, &mut of_rest, word_of_bytes);
            *out = of_rest[0];
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn compare_i64_avx512(op: CompareOp, values: &[i64], constant: i64, mask: &mut Mask) {
        let constants = _mm512_set1_epi64(constant);
        macro_rules! with_predicate {
            ($predicate:ident) => {
                words(op, values, constant, mask, |block| {
                    block.as_chunks::<8>().0.iter().rev().fold(0, |word, values| {
                        // SAFETY: `values` is 64 bytes, the load is unaligned, and the caller has the features.
                        let bits = unsafe {
                            let values = _mm512_loadu_si512(values.as_ptr().cast());
                            _mm512_cmp_epi64_mask::<$predicate>(values, constants)
                        };
                        word << 8 | u64::from(bits)
                    })
                })
            };
        }
        match op {
            CompareOp::Equal => with_predicate!(_MM_CMPINT_EQ),
            CompareOp::NotEqual => with_predicate!(_MM_CMPINT_NE),
            CompareOp::Less => with_predicate!(_MM_CMPINT_LT),
            CompareOp::LessOrEqual => with_predicate!(_MM_CMPINT_LE),
            CompareOp::Greater => with_predicate!(_MM_CMPINT_NLE),
            CompareOp::GreaterOrEqual => with_predicate!(_MM_CMPINT_NLT),
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn compare_f64_avx512(op: CompareOp, values: &[f64], constant: f64, mask: &mut Mask) {
        let constants = _mm512_set1_pd(constant);
        macro_rules! with_predicate {
            ($predicate:ident) => {
                words(op, values, constant, mask, |block| {
                    block.as_chunks::<8>().0.iter().rev().fold(0, |word, values| {
                        // SAFETY: `values` is 64 bytes, the load is unaligned, and the caller has the features.
                        let bits = unsafe {
                            let values = _mm512_loadu_pd(values.as_ptr());
                            _mm512_cmp_pd_mask::<$predicate>(values, constants)
                        };
                        word << 8 | u64::from(bits)
                    })
                })
            };
        }
        match op {
            CompareOp::Equal => with_predicate!(_CMP_EQ_OQ),
            CompareOp::NotEqual => with_predicate!(_CMP_NEQ_UQ),
            CompareOp::Less => with_predicate!(_CMP_LT_OQ),
            CompareOp::LessOrEqual => with_predicate!(_CMP_LE_OQ),
            CompareOp::Greater => with_predicate!(_CMP_GT_OQ),
            CompareOp::GreaterOrEqual => with_predicate!(_CMP_GE_OQ),
        }
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn compare_i64_avx2(op: CompareOp, values: &[i64], constant: i64, mask: &mut Mask) {
        let constants = _mm256_set1_epi64x(constant);
        macro_rules! with_compare {
            ($turn:expr, |$values:ident| $compare:expr) => {
                words(op, values, constant, mask, |block| {
                    let turn: u64 = $turn;
                    turn ^ block.as_chunks::<4>().0.iter().rev().fold(0, |word, values| {
                        // SAFETY: `values` is 32 bytes, the load is unaligned, and the caller has the features.
                        let bits = unsafe {
                            let $values = _mm256_loadu_si256(values.as_ptr().cast());
                            _mm256_movemask_pd(_mm256_castsi256_pd($compare))
                        };
                        word << 4 | u64::from(bits.cast_unsigned())
                    })
                })
            };
        }
        // There are only two comparisons of integers; the others are these, swapped or negated.
        match op {
            CompareOp::Equal => with_compare!(0, |values| _mm256_cmpeq_epi64(values, constants)),
            CompareOp::NotEqual => with_compare!(u64::MAX, |values| _mm256_cmpeq_epi64(values, constants)),
            CompareOp::Less => with_compare!(0, |values| _mm256_cmpgt_epi64(constants, values)),
            CompareOp::LessOrEqual => with_compare!(u64::MAX, |values| _mm256_cmpgt_epi64(values, constants)),
            CompareOp::Greater => with_compare!(0, |values| _mm256_cmpgt_epi64(values, constants)),
            CompareOp::GreaterOrEqual => with_compare!(u64::MAX, |values| _mm256_cmpgt_epi64(constants, values)),
        }
    }

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt,fma")]
    #[inline]
    pub(super) fn compare_f64_avx2(op: CompareOp, values: &[f64], constant: f64, mask: &mut Mask) {
        let constants = _mm256_set1_pd(constant);
        macro_rules! with_predicate {
            ($predicate:ident) => {
                words(op, values, constant, mask, |block| {
                    block.as_chunks::<4>().0.iter().rev().fold(0, |word, values| {
                        // SAFETY: `values` is 32 bytes, the load is unaligned, and the caller has the features.
                        let bits = unsafe {
                            let values = _mm256_loadu_pd(values.as_ptr());
                            _mm256_movemask_pd(_mm256_cmp_pd::<$predicate>(values, constants))
                        };
                        word << 4 | u64::from(bits.cast_unsigned())
                    })
                })
            };
        }
        match op {
            CompareOp::Equal => with_predicate!(_CMP_EQ_OQ),
            CompareOp::NotEqual => with_predicate!(_CMP_NEQ_UQ),
            CompareOp::Less => with_predicate!(_CMP_LT_OQ),
            CompareOp::LessOrEqual => with_predicate!(_CMP_LE_OQ),
            CompareOp::Greater => with_predicate!(_CMP_GT_OQ),
            CompareOp::GreaterOrEqual => with_predicate!(_CMP_GE_OQ),
        }
    }
}
