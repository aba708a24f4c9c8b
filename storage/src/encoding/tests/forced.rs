//! Every encoding at every width, whether the encoder would choose it or not.

use proptest::prelude::*;

use super::check::{Random, check_comparisons};
use crate::encoding::header::Outliers;
use crate::encoding::integer_plan::IntegerPlan;
use crate::encoding::split::{SplitPlan, decode_split};
use crate::encoding::validity::ValidityKind;
use crate::encoding::*;

/// Encodes `values` by `plan`, decodes them, and compares sums, bounds and comparisons with those of what was decoded.
fn check_plan(plan: &IntegerPlan, values: &[i64]) {
    let mut data = Vec::new();
    plan.append(values, &mut data);
    assert_eq!(data.len(), plan.bytes);
    let header = VectorHeader {
        encoding: plan.encoding,
        width: plan.width as u8,
        param: VectorHeader::param_of(ValidityKind::AllValid, None, plan.outliers),
        crc32c: crc32c::crc32c(&data),
        base: plan.base,
    };
    assert_eq!(VectorHeader::from_bytes(&header.to_bytes()), Some(header));
    let mut decoded = [0x55; VECTOR_LEN];
    decode_i64(&header, &data, values.len(), &mut decoded).unwrap();
    let decoded = &decoded[..values.len()];
    assert!(decoded == values, "{} values came back differently by {header:?}", values.len());
    if let Some(sum) = sum_vector_i64(&header, &data, values.len()) {
        assert_eq!(sum, kernel::sum_i64(values), "{header:?}");
    }
    if let Some(bounds) = min_max_vector_i64(&header, &data, values.len()) {
        assert_eq!(Some(bounds), kernel::min_max_i64(values), "{header:?}");
    }
    check_comparisons(&header, &data, values);
    for cut in [0, 1, data.len() / 2, data.len().saturating_sub(1)] {
        if cut < data.len() {
            assert!(decode_i64(&header, &data[..cut], values.len(), &mut [0; VECTOR_LEN]).is_err(), "cut to {cut}");
        }
    }
}

fn numbers(random: &mut Random, len: usize, width: u32) -> Vec<i64> {
    (0..len).map(|_| random.next().checked_shr(64 - width).unwrap_or(0).cast_signed()).collect()
}

/// The sums of `step` and each number.
fn sums(base: i64, step: i64, numbers: &[i64]) -> Vec<i64> {
    let mut value = base.wrapping_sub(step);
    let next = |number: &i64| {
        value = value.wrapping_add(step).wrapping_add(*number);
        value
    };
    numbers.iter().map(next).collect()
}

fn check_every_width(seed: u64, len: usize, base: i64, step: i64) {
    let mut random = Random(seed);
    for width in 0..=64 {
        let mut packed = numbers(&mut random, len, width);
        let on_line = |base: i64, step: i64, numbers: &[i64]| -> Vec<i64> {
            let value =
                |(i, number): (usize, &i64)| base.wrapping_add(step.wrapping_mul(i as i64)).wrapping_add(*number);
            numbers.iter().enumerate().map(value).collect()
        };
        let plan = |encoding, step| {
            let step_bytes = if encoding == VectorEncoding::FrameOfReference { 0 } else { 8 };
            IntegerPlan::new(encoding, width, base, step, kernel::packed_bytes(width, len) + step_bytes)
        };
        check_plan(&plan(VectorEncoding::FrameOfReference, 0), &on_line(base, 0, &packed));
        check_plan(&plan(VectorEncoding::Linear, step), &on_line(base, step, &packed));
        packed[0] = 0;
        check_plan(&plan(VectorEncoding::Delta, step), &sums(base, step, &packed));
        if width < 64 {
            // Outliers of every size, on both sides.
            for _ in 0..len.div_ceil(20) {
                let (place, shift) = (random.next() as usize % len, random.next() % 64);
                packed[place] = packed[place].wrapping_add(random.next().cast_signed() >> shift);
            }
            let values = on_line(base, 0, &packed);
            if let Some(plan) = IntegerPlan::patch_frame(&values, width, base, usize::MAX) {
                assert_eq!(plan.outliers, Outliers::Patched);
                check_plan(&plan, &values);
            }
            packed[0] = 0;
            let values = sums(base, step, &packed);
            if let Some(plan) = IntegerPlan::patch_deltas(&values, width, step, usize::MAX) {
                check_plan(&plan, &values);
            }
        }
    }
}

#[test]
fn every_encoding_comes_back_in_every_width_around_whole_rows() {
    for len in [1, 2, 15, 16, 17, 119, 120, 127, 128, 129, 239, 240, 255, 256, 257, 511, 512, 513, 600, 1023, 1024] {
        check_every_width(len as u64, len, -5, 3);
        check_every_width(len as u64, len, i64::MIN, i64::MAX);
    }
}

#[test]
fn runs_come_back_in_every_width_and_length() {
    let mut random = Random(11);
    for width in 0..=64 {
        for length in [1, 2, 3, 16, 17, 119, 120, 121, 127, 128, 129, 239, 240, 241, 255, 256, 257, 511, 512, 600, 1024]
        {
            let base = if width == 64 { i64::MIN } else { 7 };
            let mut values = Vec::new();
            while values.len() < VECTOR_LEN && values.len() < length * 500 {
                let value = base.wrapping_add(random.next().checked_shr(64 - width).unwrap_or(0).cast_signed());
                values.resize(values.len() + length, value);
            }
            values.truncate(VECTOR_LEN - random.next() as usize % 3);
            let count = values.chunk_by(|left, right| left == right).count();
            let bytes = runs::run_bytes(width, runs::length_width(&values), count);
            check_plan(&IntegerPlan::new(VectorEncoding::Runs, width, base, 0, bytes), &values);
        }
    }
}

#[test]
fn lines_come_back_with_every_step() {
    for len in [1, 2, 119, 256, 600, 1024] {
        for step in [1, -1, 10_000_000_000, -7, i64::MAX, i64::MIN, i64::MAX / 1023] {
            let values = sums(-3, step, &vec![0; len]);
            check_plan(&IntegerPlan::new(VectorEncoding::Regular, 0, -3, step, 8), &values);
            check_plan(&IntegerPlan::new(VectorEncoding::Constant, 0, step, 0, 0), &vec![step; len]);
        }
    }
}

#[test]
fn split_floats_come_back_at_every_place() {
    let mut random = Random(12);
    for right_width in 48..=63 {
        for left_count in 1..=10 {
            for len in [1, 2, 63, 64, 65, 119, 128, 240, 256, 511, 600, 1024] {
                let value = |_| {
                    let left = (random.next() % left_count).wrapping_mul(0x9E37) & ((1 << (64 - right_width)) - 1);
                    (left << right_width | random.next() >> (64 - right_width)).cast_signed()
                };
                let bits: Vec<i64> = (0..len).map(value).collect();
                let plan = SplitPlan::choose(&bits, usize::MAX).unwrap();
                let mut data = Vec::new();
                plan.append(&bits, &mut data);
                let header = VectorHeader {
                    encoding: VectorEncoding::Split,
                    width: plan.right_width as u8,
                    param: 0,
                    crc32c: 0,
                    base: 0,
                };
                let mut out = [0; VECTOR_LEN];
                decode_split(&header, &data, len, &mut out).unwrap();
                assert_eq!(out[..len], bits);
                // Exceptions are as many as there are bytes for; the parts before them are not.
                let right_bytes = kernel::packed_bytes(plan.right_width, len);
                let mut is_refused = |cut: usize| decode_split(&header, &data[..cut], len, &mut out).is_err();
                assert!((0..=right_bytes).step_by(97).all(&mut is_refused));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_encoding_comes_back_in_every_width(
        seed in any::<u64>(), len in 1..=VECTOR_LEN, base in any::<i64>(), step in any::<i64>(), shift in 0..64,
    ) {
        check_every_width(seed, len, base >> shift, step >> shift);
    }
}
