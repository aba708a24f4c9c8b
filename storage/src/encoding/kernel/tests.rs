//! Every kernel on every instruction set of this processor against a plain loop, bit for bit.

use super::level::Level;
use super::*;
use crate::encoding::{Mask, VECTOR_LEN};

const LENGTHS: [usize; 24] =
    [0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 127, 128, 129, 255, 256, 257, 512, 600, 1000, 1023, 1024];

fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state ^ *state >> 29
}

fn integers(state: &mut u64, len: usize, bits: u32) -> Vec<i64> {
    (0..len).map(|_| random(state).cast_signed() >> (64 - bits)).collect()
}

fn floats(state: &mut u64, len: usize, with_special: bool) -> Vec<f64> {
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, f64::MAX, f64::MIN_POSITIVE];
    (0..len)
        .map(|_| match random(state) >> 32 {
            number if with_special && number % 5 == 0 => special[number as usize / 5 % special.len()],
            number => (number % 2001) as f64 / 7.0 - 142.0,
        })
        .collect()
}

fn mask(state: &mut u64) -> Mask {
    std::array::from_fn(|_| match random(state) >> 60 {
        0 => 0,
        1 => u64::MAX,
        _ => random(state),
    })
}

fn selected<'a, T: Copy>(values: &'a [T], mask: &'a Mask) -> impl Iterator<Item = T> + 'a {
    values.iter().enumerate().filter(|(index, _)| mask_contains(mask, *index)).map(|(_, value)| *value)
}

/// The order of additions that `sum_f64` promises.
fn float_sum(values: &[f64], mask: &Mask) -> f64 {
    let mut lanes = [0.0; 16];
    for (index, value) in values.iter().enumerate() {
        if mask_contains(mask, index) {
            lanes[index % 16] += value;
        }
    }
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
}

fn float_bounds(values: impl Iterator<Item = f64>) -> FloatBounds {
    let (mut range, mut has_nan) = (None, false);
    for value in values {
        if value.is_nan() {
            has_nan = true;
        } else {
            let (min, max) = range.unwrap_or((value, value));
            range = Some((value.min(min) + 0.0, value.max(max) + 0.0));
        }
    }
    FloatBounds { range, has_nan }
}

fn assert_same_bounds(actual: FloatBounds, expected: FloatBounds) {
    let bits = |bounds: FloatBounds| bounds.range.map(|(min, max)| (min.to_bits(), max.to_bits()));
    assert_eq!((bits(actual), actual.has_nan), (bits(expected), expected.has_nan));
}

fn assert_same_float(actual: f64, expected: f64) {
    assert!(actual.to_bits() == expected.to_bits() || actual.is_nan() && expected.is_nan(), "{actual} != {expected}");
}

#[test]
fn aggregates_equal_plain_loops() {
    let mut state = 1;
    for level in Level::available() {
        for len in LENGTHS {
            let mask = mask(&mut state);
            for bits in [8, 40, 64] {
                let values = integers(&mut state, len, bits);
                let sum = |values: &mut dyn Iterator<Item = i64>| values.map(i128::from).sum::<i128>();
                assert_eq!(aggregate::at::sum_i64(level, &values), sum(&mut values.iter().copied()));
                assert_eq!(aggregate::at::sum_i64_masked(level, &values, &mask), sum(&mut selected(&values, &mask)));
                let bounds = |values: &[i64]| Some((*values.iter().min()?, *values.iter().max()?));
                assert_eq!(aggregate::at::min_max_i64(level, &values), bounds(&values));
                let of_mask: Vec<i64> = selected(&values, &mask).collect();
                assert_eq!(aggregate::at::min_max_i64_masked(level, &values, &mask), bounds(&of_mask));
            }
            for with_special in [false, true] {
                let values = floats(&mut state, len, with_special);
                assert_same_float(aggregate::at::sum_f64(level, &values), float_sum(&values, &[u64::MAX; 16]));
                assert_same_float(aggregate::at::sum_f64_masked(level, &values, &mask), float_sum(&values, &mask));
                let all = float_bounds(values.iter().copied());
                assert_same_bounds(aggregate::at::min_max_f64(level, &values), all);
                let of_mask = float_bounds(selected(&values, &mask));
                assert_same_bounds(aggregate::at::min_max_f64_masked(level, &values, &mask), of_mask);
            }
        }
    }
}

#[test]
fn sums_of_extreme_integers_are_exact() {
    for level in Level::available() {
        for value in [i64::MIN, i64::MAX, -1] {
            let values = vec![value; VECTOR_LEN];
            let expected = i128::from(value) * 1024;
            assert_eq!(aggregate::at::sum_i64(level, &values), expected);
            assert_eq!(aggregate::at::sum_i64_masked(level, &values, &[u64::MAX; 16]), expected);
        }
    }
}

#[test]
fn comparisons_equal_plain_loops() {
    fn expected<T: Copy>(values: &[T], accept: impl Fn(T) -> bool) -> Mask {
        let mut mask = [0; 16];
        for (index, &value) in values.iter().enumerate() {
            mask[index / 64] |= u64::from(accept(value)) << (index % 64);
        }
        mask
    }
    fn holds<T: PartialOrd>(op: CompareOp, left: T, right: T) -> bool {
        match op {
            CompareOp::Equal => left == right,
            CompareOp::NotEqual => left != right,
            CompareOp::Less => left < right,
            CompareOp::LessOrEqual => left <= right,
            CompareOp::Greater => left > right,
            CompareOp::GreaterOrEqual => left >= right,
        }
    }
    let mut state = 2;
    let ops = [
        CompareOp::Equal,
        CompareOp::NotEqual,
        CompareOp::Less,
        CompareOp::LessOrEqual,
        CompareOp::Greater,
        CompareOp::GreaterOrEqual,
    ];
    for level in Level::available() {
        for len in LENGTHS {
            let (small, large) = (integers(&mut state, len, 3), integers(&mut state, len, 64));
            let floats = floats(&mut state, len, true);
            for op in ops {
                let mut mask = [u64::MAX; 16];
                for constant in [-1, 0, 3, i64::MIN, i64::MAX] {
                    for values in [&small, &large] {
                        compare::at::compare_i64(level, op, values, constant, &mut mask);
                        assert_eq!(mask, expected(values, |value| holds(op, value, constant)));
                    }
                }
                for constant in [0.0, -0.0, 1.0, f64::NAN, f64::INFINITY] {
                    compare::at::compare_f64(level, op, &floats, constant, &mut mask);
                    assert_eq!(mask, expected(&floats, |value| holds(op, value, constant)));
                }
            }
        }
    }
}

#[test]
fn packing_equals_plain_arithmetic_in_every_width() {
    let mut state = 3;
    for level in Level::available() {
        for width in 0..=64 {
            for len in LENGTHS.into_iter().filter(|&len| len > 0) {
                let limit = if width == 64 { u64::MAX } else { (1 << width) - 1 };
                let (base, step) = (random(&mut state).cast_signed(), random(&mut state).cast_signed());
                let mut packed: Vec<u64> = (0..len).map(|_| random(&mut state) & limit).collect();
                let value = |(i, packed): (usize, &u64)| {
                    base.wrapping_add(step.wrapping_mul(i as i64)).wrapping_add(packed.cast_signed())
                };
                let values: Vec<i64> = packed.iter().enumerate().map(value).collect();
                let (mut data, mut out) = (Vec::new(), [0; VECTOR_LEN]);
                pack::at::pack_linear(level, &values, base, step, width, &mut data);
                assert_eq!(data.len(), packed_bytes(width, len));
                pack::at::unpack_linear(level, &data, width, len, base, step, &mut out);
                assert_eq!(out[..len], values);
                let sum: u128 = packed.iter().copied().map(u128::from).sum();
                assert_eq!(fused::at::sum_packed(level, &data, width, len), sum);
                let bounds = (*packed.iter().min().unwrap(), *packed.iter().max().unwrap());
                assert_eq!(fused::at::min_max_packed(level, &data, width, len), bounds);

                packed[0] = 0;
                let mut last = base.wrapping_sub(step);
                let values: Vec<i64> = packed
                    .iter()
                    .map(|packed| {
                        last = last.wrapping_add(step).wrapping_add(packed.cast_signed());
                        last
                    })
                    .collect();
                data.clear();
                pack::at::pack_delta(level, &values, step, width, &mut data);
                let deltas = PackedDeltas { packed: &data, width, base, step, patches: &[] };
                delta::at::unpack_delta(level, &deltas, len, &mut out);
                assert_eq!(out[..len], values);
                let weighted: u128 =
                    packed.iter().enumerate().map(|(i, &packed)| u128::from(packed) * (len - i) as u128).sum();
                assert_eq!(fused::at::weighted_sum_packed(level, &data, width, len), weighted);
            }
        }
    }
}

#[test]
fn statistics_equal_plain_loops() {
    let mut state = 4;
    for level in Level::available() {
        for len in LENGTHS.into_iter().filter(|&len| len > 0) {
            for bits in [5, 64] {
                let values = integers(&mut state, len, bits);
                let deltas: Vec<i64> = values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
                let expected = IntegerBounds {
                    min: *values.iter().min().unwrap(),
                    max: *values.iter().max().unwrap(),
                    min_delta: deltas.iter().copied().min().unwrap_or(i64::MAX),
                    max_delta: deltas.iter().copied().max().unwrap_or(i64::MIN),
                    run_count: 1 + deltas.iter().filter(|&&delta| delta != 0).count(),
                };
                assert_eq!(statistics::at::integer_bounds(level, &values), expected);
                let residual = |(i, value): (usize, &i64)| value.wrapping_sub(values[0]).wrapping_sub(3 * i as i64);
                let residuals: Vec<i64> = values.iter().enumerate().map(residual).collect();
                let expected = (*residuals.iter().min().unwrap(), *residuals.iter().max().unwrap());
                assert_eq!(statistics::at::residual_bounds(level, &values, 3), expected);
            }
        }
    }
}

#[test]
fn decimals_are_the_same_on_every_instruction_set() {
    let mut state = 5;
    let levels = Level::available();
    for (exponent, power) in POWERS_OF_TEN.into_iter().enumerate() {
        for bits in [8, 20, 40, 52, 53, 64] {
            let integers = integers(&mut state, VECTOR_LEN, bits);
            let values: Vec<f64> = integers.iter().map(|&integer| integer as f64 / power).collect();
            let convert = |level| {
                let (mut out, mut exact) = ([0; VECTOR_LEN], [0; 16]);
                decimal::at::floats_to_decimals(level, &values, exponent, &mut out, &mut exact);
                let mut back = out.map(|integer| f64::from_bits(integer.cast_unsigned()));
                decimal::at::decimals_to_floats(level, &mut back, exponent);
                for index in mask_iter(&exact) {
                    assert_eq!(back[index].to_bits(), values[index].to_bits(), "{} {exponent}", integers[index]);
                }
                (out, exact)
            };
            let expected = convert(levels[0]);
            for &level in &levels[1..] {
                assert_eq!(convert(level), expected);
            }
            if bits <= 40 {
                assert_eq!(mask_count(&expected.1), VECTOR_LEN);
                assert_eq!(expected.0.as_slice(), integers);
            }
        }
    }
}

#[test]
fn comparisons_of_packed_numbers_equal_plain_loops() {
    let mut state = 6;
    for level in Level::available() {
        for width in 0..=64 {
            for len in LENGTHS.into_iter().filter(|&len| len > 0) {
                let limit = if width == 64 { u64::MAX } else { (1 << width) - 1 };
                let numbers: Vec<u64> = (0..len).map(|_| random(&mut state) & limit).collect();
                let values: Vec<i64> = numbers.iter().map(|number| number.cast_signed()).collect();
                let mut data = Vec::new();
                pack::at::pack_linear(level, &values, 0, 0, width, &mut data);
                for constant in [0, limit, numbers[len / 2]] {
                    type Holds = fn(&u64, &u64) -> bool;
                    let cases: [(CompareOp, Holds); 6] = [
                        (CompareOp::Equal, u64::eq),
                        (CompareOp::NotEqual, u64::ne),
                        (CompareOp::Less, u64::lt),
                        (CompareOp::LessOrEqual, u64::le),
                        (CompareOp::Greater, u64::gt),
                        (CompareOp::GreaterOrEqual, u64::ge),
                    ];
                    for (op, holds) in cases {
                        let mut mask = [u64::MAX; 16];
                        let packed = Packed { data: &data, width, len };
                        compare_packed::at::compare_packed(level, op, packed, constant, &mut mask);
                        let expected =
                            (0..VECTOR_LEN).map(|i| numbers.get(i).is_some_and(|number| holds(number, &constant)));
                        assert!(expected.eq((0..VECTOR_LEN).map(|i| mask_contains(&mask, i))), "{op:?} {width} {len}");
                    }
                }
            }
        }
    }
}

#[test]
fn patched_differences_equal_plain_loops() {
    let mut state = 7;
    for level in Level::available() {
        for width in 0..64 {
            for (count, excess_bits) in [(1, 3), (7, 1), (128, 4), (30, 62), (5, 9)] {
                let len = 1024 - random(&mut state) as usize % 512;
                let (base, step) = (random(&mut state).cast_signed(), random(&mut state).cast_signed() >> 40);
                let mut numbers: Vec<i64> =
                    (0..len).map(|_| (random(&mut state) & ((1 << width) - 1)).cast_signed()).collect();
                numbers[0] = 0;
                let mut data = Vec::new();
                pack::at::pack_linear(level, &numbers, 0, 0, width, &mut data);
                let mut patches: Vec<Patch> = (0..count)
                    .map(|index| Patch {
                        position: (1 + index * (len - 1) / count) as u16,
                        excess: random(&mut state).cast_signed() >> (64 - excess_bits),
                    })
                    .collect();
                patches.dedup_by_key(|patch| patch.position);
                for patch in &patches {
                    let number = &mut numbers[usize::from(patch.position)];
                    *number = number.wrapping_add(patch.excess.wrapping_shl(width));
                }
                let mut value = base.wrapping_sub(step);
                let expected: Vec<i64> = numbers
                    .iter()
                    .map(|number| {
                        value = value.wrapping_add(step).wrapping_add(*number);
                        value
                    })
                    .collect();
                let mut out = [0; VECTOR_LEN];
                let deltas = PackedDeltas { packed: &data, width, base, step, patches: &patches };
                delta::at::unpack_delta(level, &deltas, len, &mut out);
                assert_eq!(out[..len], expected, "{width} bits, {count} patches of {excess_bits} bits");
            }
        }
    }
}

#[test]
fn outliers_are_found_at_their_places() {
    let mut state = 8;
    for level in Level::available() {
        for len in LENGTHS.into_iter().filter(|&len| len > 0) {
            for width in [0, 1, 7, 8, 31, 63] {
                let values = integers(&mut state, len, 33);
                let (base, limit) = (values[len / 2], 1u64 << width);
                let found = patch::at::outliers_of_values(level, &values, base, width);
                let is_outlier = |i: usize| values[i].wrapping_sub(base).cast_unsigned() >= limit;
                assert!(mask_iter(&found).eq((0..len).filter(|&i| is_outlier(i))), "{len} values");
                let found = patch::at::outliers_of_deltas(level, &values, base, width);
                let is_outlier =
                    |i: usize| values[i].wrapping_sub(values[i - 1]).wrapping_sub(base).cast_unsigned() >= limit;
                assert!(mask_iter(&found).eq((1..len).filter(|&i| is_outlier(i))), "{len} values");
            }
        }
    }
}

#[test]
fn split_floats_join_to_the_same_bits() {
    let mut state = 9;
    for level in Level::available() {
        for len in LENGTHS.into_iter().filter(|&len| len > 0) {
            for right_width in 48..=63 {
                for left_count in 1..=LEFT_VALUES {
                    let left: Vec<u64> =
                        (0..left_count as u64).map(|index| (index * 5 + 1) % (1 << (64 - right_width))).collect();
                    let bits: Vec<i64> = (0..len)
                        .map(|_| {
                            let left = left[random(&mut state) as usize % left_count];
                            (left << right_width | random(&mut state) >> (64 - right_width)).cast_signed()
                        })
                        .collect();
                    let mut codes = [0; VECTOR_LEN];
                    let coded = split::at::split_codes(level, &bits, right_width, &left[..1], &mut codes);
                    let is_coded = |bits: i64| bits.cast_unsigned() >> right_width == left[0];
                    assert!(mask_iter(&coded).eq((0..len).filter(|&i| is_coded(bits[i]))));
                    // Two highest values may be equal where there are fewer bits: then the sum of their places is none.
                    if left.iter().collect::<std::collections::BTreeSet<_>>().len() < left_count {
                        continue;
                    }
                    let coded = split::at::split_codes(level, &bits, right_width, &left, &mut codes);
                    assert_eq!(coded, mask_first(len));
                    let (mut right_data, mut code_data) = (Vec::new(), Vec::new());
                    pack::at::pack_linear(level, &bits, 0, 0, right_width, &mut right_data);
                    pack::at::pack_linear(level, &codes[..len], 0, 0, 3, &mut code_data);
                    let mut in_place = [0; LEFT_VALUES];
                    in_place.iter_mut().zip(&left).for_each(|(out, left)| *out = left << right_width);
                    let parts = SplitParts {
                        codes: &code_data,
                        code_width: 3,
                        right: &right_data,
                        right_width,
                        left: in_place,
                    };
                    let mut out = [0; VECTOR_LEN];
                    split::at::unpack_split(level, &parts, len, &mut out);
                    assert_eq!(out[..len], bits);
                }
            }
        }
    }
}

#[test]
fn runs_expand_to_their_lengths() {
    for level in Level::available() {
        for length in [1, 2, 15, 16, 17, 119, 120, 128, 239, 240, 256, 512, 600, 1024] {
            let count = VECTOR_LEN / length;
            let values: Vec<i64> = (0..count as i64).map(|value| value * value - 7).collect();
            let lengths = vec![length as i64 - 1; count];
            let mut out = [0; VECTOR_LEN];
            assert_eq!(runs::at::expand_runs(level, &values, &lengths, &mut out), Some(count * length));
            assert!((0..count * length).all(|i| out[i] == values[i / length]), "runs of {length}");
            let too_many: Vec<i64> = values.iter().copied().chain(vec![1; 2 + VECTOR_LEN % length]).collect();
            let lengths = vec![length as i64 - 1; too_many.len()];
            assert_eq!(runs::at::expand_runs(level, &too_many, &lengths, &mut out), None);
        }
        for bad in [i64::MIN, -1 << 40, -2, 1024, i64::MAX] {
            assert_eq!(runs::at::expand_runs(level, &[1], &[bad], &mut [0; VECTOR_LEN]), None);
        }
    }
}

#[test]
fn symbols_are_decoded_alike_by_every_instruction_set() {
    use crate::encoding::column_code::{ColumnCode, DecodeTable, SYMBOLS};
    let mut state = 17;
    for used in [2, 3, 20, 256] {
        let frequencies: [u64; SYMBOLS] =
            std::array::from_fn(|symbol| if symbol < used { random(&mut state) % (1 << (symbol % 17)) + 1 } else { 0 });
        let code = ColumnCode::of_frequencies(&frequencies, 0).unwrap();
        let table = DecodeTable::new(&code);
        let bytes: Vec<u8> = (0..1408).map(|_| random(&mut state) as u8).collect();
        for len in LENGTHS {
            for (bytes, starts) in [(&bytes[..], [0, 352, 704, 1056]), (&bytes[..5], [0, 1, 1, 5]), (&[], [0; 4])] {
                let streams = SymbolStreams { bytes, starts };
                let first = usize::from(len < VECTOR_LEN);
                let mut expected = [0; SYMBOL_ROOM];
                // Bit by bit, with codes that were not put into a table.
                let codes = code.symbol_bits();
                let quarter = len.div_ceil(4);
                for (stream, start) in starts.into_iter().enumerate() {
                    let mut bit = start * 8;
                    for place in (stream * quarter).min(len)..((stream + 1) * quarter).min(len) {
                        let next = (0..11).fold(0u16, |word, offset| {
                            let bit = bit + offset;
                            word | u16::from(bytes.get(bit / 8).unwrap_or(&0) >> (bit % 8) & 1) << offset
                        });
                        let matches = |code: &&crate::encoding::column_code::SymbolBits| {
                            code.len > 0 && next & ((1 << code.len) - 1) == code.bits
                        };
                        let symbol = codes.iter().position(|code| matches(&code)).unwrap();
                        expected[first + place] = symbol as u8;
                        bit += usize::from(codes[symbol].len);
                    }
                }
                for level in Level::available() {
                    let mut out = [0; SYMBOL_ROOM];
                    symbols::at::decode_symbols(level, &table.entries, &streams, first, len, &mut out);
                    assert_eq!(out[..first + len], expected[..first + len], "{} symbols", len);
                    let low: Vec<i64> = (0..len as i64).map(|value| value * 7 % 32).collect();
                    if len > 0 {
                        let mut packed = Vec::new();
                        pack_linear(&low, 0, 0, 5, &mut packed);
                        let mut words = [0; VECTOR_LEN];
                        symbols::at::join_words(level, &out, &packed, 5, len, &mut words);
                        assert!(
                            (0..len).all(|place| i64::from(words[place]) == i64::from(out[place]) << 5 | low[place])
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn sums_of_lanes_equal_plain_loops() {
    let mut state = 19;
    for blocks in [0, 1, 2, 77, 128] {
        let words: Vec<u16> = (0..blocks * 8).map(|_| random(&mut state) as u16).collect();
        let bytes: Vec<u8> = words.iter().map(|word| *word as u8).collect();
        for (base, step) in [(0, 0), (-5, -128), (i64::MAX - 3, 1 << 40)] {
            for level in Level::available() {
                let check = |numbers: &mut dyn Iterator<Item = u16>, out: &[i64; VECTOR_LEN]| {
                    let mut value = base;
                    for (place, number) in numbers.enumerate() {
                        value = value.wrapping_add(i64::from(number)).wrapping_add(if place > 0 { step } else { 0 });
                        assert_eq!(out[place], value, "place {place}");
                    }
                };
                let mut out = [0; VECTOR_LEN];
                delta::at::sum_byte_deltas(level, &bytes, base, step, &mut out);
                check(&mut bytes.iter().map(|byte| u16::from(*byte)), &out);
                delta::at::sum_word_deltas(level, &words, base, step, &mut out);
                check(&mut words.iter().copied(), &out);
            }
        }
    }
}
