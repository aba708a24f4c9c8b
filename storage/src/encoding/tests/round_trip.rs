//! Round trips through the encoders, at the lengths where rows, words and instruction sets begin and end.

use super::check::*;
use crate::encoding::header::Outliers;
use crate::encoding::*;

#[test]
fn integers_of_every_width_and_length_round_trip() {
    let mut random = Random(1);
    for len in LENGTHS {
        for width in 0..=64 {
            let limit = if width == 64 { u64::MAX } else { (1 << width) - 1 };
            let base = random.next();
            let mut values: Vec<i64> =
                (0..len).map(|_| base.wrapping_add(random.next() & limit).cast_signed()).collect();
            check_i64(&values, None);
            check_i64(&values, Some(&random_mask(&mut random, len)));
            // The same numbers as deltas, and as residuals of a line.
            let mut sum = base.cast_signed();
            for value in &mut values {
                sum = sum.wrapping_add((random.next() & limit).cast_signed());
                *value = sum;
            }
            check_i64(&values, None);
            for (i, value) in values.iter_mut().enumerate() {
                let line = 1_000_003_i64.wrapping_mul(i as i64);
                *value = line.wrapping_add((random.next() & limit >> 1).cast_signed());
            }
            check_i64(&values, None);
        }
    }
}

#[test]
fn runs_of_every_length_round_trip() {
    let run_lengths = [0, 1, 2, 118, 119, 120, 121, 127, 128, 129, 239, 240, 241, 255, 256, 257, 511, 512, 513, 600];
    for run in run_lengths {
        // Zeros, then a run of another value, then noise: constant and other stretches within one vector.
        let mut integers = vec![0; 37];
        integers.resize(37 + run, 1 << 40);
        integers.extend((0..301).map(|i: i64| i * i % 17));
        check_i64(&integers, None);
        let floats: Vec<f64> = integers.iter().map(|&integer| integer as f64 / 4.0).collect();
        check_f64(&floats, None);
        if run > 0 {
            check_i64(&integers[37..37 + run], None);
            check_f64(&floats[37..37 + run], None);
        }
    }
}

#[test]
fn every_integer_encoding_is_chosen() {
    let mut random = Random(2);
    let mut noise = |limit: u64| (random.next() % limit).cast_signed();
    let constant = vec![-7; 1000];
    let regular: Vec<i64> = (0..1000).map(|i| i64::MAX - 10_000 + i * 10).collect();
    let gauge: Vec<i64> = (0..1000).map(|_| noise(100)).collect();
    let jittered: Vec<i64> = (0..1000).map(|i| i * 10_000_000_000 + noise(1_000_000)).collect();
    let mut level = 0;
    let walk: Vec<i64> = (0..1000)
        .map(|_| {
            level += noise(15) - 7;
            level
        })
        .collect();
    assert_eq!(check_i64(&constant, None).encoding, VectorEncoding::Constant);
    assert_eq!(check_i64(&regular, None).encoding, VectorEncoding::Regular);
    assert_eq!(check_i64(&gauge, None).encoding, VectorEncoding::FrameOfReference);
    assert_eq!(check_i64(&jittered, None).encoding, VectorEncoding::Linear);
    assert_eq!(check_i64(&walk, None).encoding, VectorEncoding::Delta);
    let states: Vec<i64> = (0..1000).map(|i| i / 77 * 1_000_003 % 5).collect();
    assert_eq!(check_i64(&states, None).encoding, VectorEncoding::Runs);
}

#[test]
fn outliers_are_patched() {
    let mut random = Random(5);
    let mut outlying = |one_in: u64, outlier: i64| -> Vec<i64> {
        let mut value = || (random.next() % 64).cast_signed();
        let values: Vec<i64> = (0..1000).map(|_| value()).collect();
        values
            .into_iter()
            .map(|value| if random.next().is_multiple_of(one_in) { outlier - value } else { value })
            .collect()
    };
    for outlier in [1_000, -1_000, i64::MAX, i64::MIN + 64] {
        let values = outlying(50, outlier);
        let header = check_i64(&values, None);
        let expected = (VectorEncoding::FrameOfReference, Outliers::Patched);
        assert_eq!((header.encoding, header.outliers()), expected, "outliers of {outlier}");
        assert!(header.width <= 7, "{} bits", header.width);
        // The same numbers as differences.
        let mut sum = 0i64;
        let sums: Vec<i64> = values
            .iter()
            .map(|value| {
                sum = sum.wrapping_add(*value);
                sum
            })
            .collect();
        let header = check_i64(&sums, None);
        assert_eq!(
            (header.encoding, header.outliers()),
            (VectorEncoding::Delta, Outliers::Patched),
            "jumps of {outlier}"
        );
    }
}

#[test]
fn short_vectors_cost_their_bits() {
    let mut random = Random(6);
    for len in [5, 17, 60, 100, 200, 255, 448] {
        for width in [1, 3, 7, 8, 12, 20, 33, 52] {
            let mut values: Vec<i64> = (0..len).map(|_| (random.next() >> (64 - width)).cast_signed()).collect();
            (values[0], values[1]) = (0, (1 << width) - 1);
            let mut bytes = Vec::new();
            encode_i64(&values, None, &mut bytes);
            let needed = (len * width as usize).div_ceil(8);
            assert!(bytes.len() * 7 <= needed * 8 + 7, "{len} values of {width} bits take {} bytes", bytes.len());
        }
    }
}

#[test]
fn booleans_cost_a_bit_each_at_most() {
    let mut random = Random(7);
    for len in LENGTHS {
        let values: Vec<i64> = (0..len).map(|_| (random.next() & 1).cast_signed()).collect();
        let mut bytes = Vec::new();
        encode_i64(&values, None, &mut bytes);
        // A row of words is 128 bytes, and a sequence takes its place when it saves an eighth.
        assert!(bytes.len() <= len.div_ceil(8) * 8 / 7 + 1, "{len} flags take {} bytes", bytes.len());
    }
}

#[test]
fn extreme_integers_round_trip() {
    check_i64(&[i64::MIN, i64::MAX], None);
    check_i64(&[i64::MAX, i64::MIN, 0, -1, 1], None);
    check_i64(&[i64::MIN; 513], None);
    let alternating: Vec<i64> = (0..1024).map(|i| if i % 2 == 0 { i64::MIN } else { i64::MAX }).collect();
    check_i64(&alternating, None);
    let wrapping: Vec<i64> = (0..1024).map(|i: i64| i.wrapping_mul(i64::MAX / 3)).collect();
    assert_eq!(check_i64(&wrapping, None).encoding, VectorEncoding::Regular);
}

#[test]
fn floats_round_trip_bit_for_bit() {
    let mut random = Random(3);
    let special = [
        f64::NAN,
        f64::from_bits(0x7FF0_0000_0000_0002),
        f64::from_bits(0xFFF8_0000_0000_1234),
        f64::INFINITY,
        f64::NEG_INFINITY,
        -0.0,
        0.0,
        f64::MIN,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        9_007_199_254_740_993.0,
        -2_251_799_813_685_248.0,
        0.1 + 0.2,
    ];
    check_f64(&special, None);
    for value in special {
        check_f64(&[value], None);
        check_f64(&[value; 300], None);
    }
    for len in LENGTHS {
        let mask = random_mask(&mut random, len);
        let integers: Vec<f64> = (0..len).map(|_| (random.next() % 1000) as f64 - 500.0).collect();
        let decimals: Vec<f64> = (0..len).map(|_| (random.next() % 1_000_000) as f64 / 100.0).collect();
        let mut patched = decimals.clone();
        for index in (0..len).step_by(37) {
            patched[index] = special[random.next() as usize % special.len()];
        }
        let doubles: Vec<f64> = (0..len).map(|_| (random.next() >> 11) as f64 / (1u64 << 53) as f64).collect();
        let bits: Vec<f64> = (0..len).map(|_| f64::from_bits(random.next())).collect();
        let mixed: Vec<f64> = (0..len).map(|_| special[random.next() as usize % special.len()]).collect();
        for values in [&integers, &decimals, &patched, &doubles, &bits, &mixed] {
            check_f64(values, None);
            check_f64(values, Some(&mask));
        }
    }
}

#[test]
fn doubles_with_few_exponents_are_split() {
    let mut random = Random(8);
    let values: Vec<f64> = (0..1024).map(|_| (random.next() >> 11) as f64 / (1u64 << 53) as f64 - 0.5).collect();
    let mut bytes = Vec::new();
    let (header, _) = encode_f64(&values, None, &mut bytes);
    assert_eq!(header.encoding, VectorEncoding::Split);
    assert!(bytes.len() < 1024 * 15 / 2, "{} bytes", bytes.len());
    check_f64(&values, None);
}

#[test]
fn whole_floats_are_stored_as_integers() {
    let values: Vec<f64> = (0..1024).map(|i| f64::from(i * 7919 % 64)).collect();
    let header = check_f64(&values, None);
    assert_eq!((header.decimal_exponent(), header.width), (Some(0), 6));
}

#[test]
fn decimals_have_no_exceptions() {
    for places in 0..=6 {
        let power = 10f64.powi(places);
        let values: Vec<f64> = (0..1024).map(|i| f64::from(i * 7919 % 1_000_003) / power).collect();
        let mut bytes = Vec::new();
        let (header, _) = encode_f64(&values, None, &mut bytes);
        assert_eq!(header.decimal_exponent(), Some(places.unsigned_abs()));
        assert!(bytes.len() <= kernel::packed_bytes(20, 1024) + 8, "{} bytes at {places} places", bytes.len());
    }
}

#[test]
fn strings_round_trip() {
    let texts: Vec<Vec<u8>> =
        (0..1024u32).map(|i| format!("host-{}-{}", i * 7 % 100, "x".repeat(i as usize % 9)).into_bytes()).collect();
    for len in LENGTHS {
        let values: Vec<&[u8]> = texts[..len].iter().map(Vec::as_slice).collect();
        for validity in [None, Some(random_mask(&mut Random(len as u64), len))] {
            let mut bytes = Vec::new();
            let (header, zone_map) = encode_strings_plain(&values, validity.as_ref(), &mut bytes).unwrap();
            let decoded = decode_strings_plain(&header, &bytes, len).unwrap();
            let valid = valid_positions(&header, &bytes, len, validity.as_ref());
            assert_eq!(zone_map.null_count(), len - valid.len());
            for (index, value) in values.iter().enumerate() {
                let expected = if valid.contains(&index) { *value } else { b"" };
                assert_eq!(decoded.value(index), expected);
            }
        }
    }
}

#[test]
fn nearly_unique_strings_are_compressed_when_that_saves() {
    let mut random = Random(9);
    let unique: Vec<Vec<u8>> =
        (0..1024).map(|i| format!("GET /api/v1/users/{}/orders/{i}", random.next() % 10_000).into_bytes()).collect();
    let noise: Vec<Vec<u8>> = (0..1024).map(|_| random.next().to_le_bytes().to_vec()).collect();
    for (texts, is_compressed) in [(&unique, true), (&noise, false)] {
        let values: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let mut bytes = Vec::new();
        let (header, _) = encode_strings_plain(&values, None, &mut bytes).unwrap();
        let text_bytes: usize = values.iter().map(|value| value.len()).sum();
        assert_eq!(bytes.len() * 2 < text_bytes, is_compressed, "{} bytes of {text_bytes}", bytes.len());
        let decoded = decode_strings_plain(&header, &bytes, 1024).unwrap();
        assert!(decoded.iter().eq(values.iter().map(|value| Some(*value))));
    }
}

#[test]
fn dictionaries_round_trip() {
    for len in [0, 1, 2, 1023, 1024, 1025, 5000] {
        let values: Vec<Vec<u8>> = (0..len).map(|i| format!("{i:08}").into_bytes()).collect();
        let mut block = Vec::new();
        encode_dictionary(values.iter().map(Vec::as_slice), &mut block).unwrap();
        let decoded = decode_dictionary(&block).unwrap();
        assert!(decoded.iter().eq(values.iter().map(|value| Some(value.as_slice()))));
        for cut in 0..block.len() {
            // Shorter blocks are errors or the same values; never a panic.
            let _ = decode_dictionary(&block[..cut]);
        }
    }
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;

    fn mask() -> impl Strategy<Value = Option<Mask>> {
        proptest::option::of(any::<[u64; 16]>())
    }

    proptest! {
        #[test]
        fn integers_round_trip(values in prop::collection::vec(any::<i64>(), 1..=VECTOR_LEN), validity in mask()) {
            check_i64(&values, validity.as_ref());
        }

        #[test]
        fn small_integers_round_trip(values in prop::collection::vec(-50i64..50, 1..=VECTOR_LEN), validity in mask()) {
            check_i64(&values, validity.as_ref());
        }

        #[test]
        fn float_bits_round_trip(bits in prop::collection::vec(any::<u64>(), 1..=VECTOR_LEN), validity in mask()) {
            let values: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
            check_f64(&values, validity.as_ref());
        }

        #[test]
        fn decimals_with_noise_round_trip(
            numbers in prop::collection::vec((any::<i32>(), 0..40u32), 1..=VECTOR_LEN),
            validity in mask(),
        ) {
            let value = |(number, kind): (i32, u32)| match kind {
                0 => f64::from(number).sqrt(),
                1 => -0.0,
                _ => f64::from(number) / 1000.0,
            };
            let values: Vec<f64> = numbers.into_iter().map(value).collect();
            check_f64(&values, validity.as_ref());
        }
    }
}
