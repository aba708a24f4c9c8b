//! Round trips of every encoding at the lengths where rows, words and instruction sets begin and end, and damage.

use super::*;

/// Lengths around the rows of every lane type and the blocks of every instruction set.
const LENGTHS: [usize; 29] = [
    1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 119, 120, 127, 128, 129, 255, 256, 257, 511, 512, 513, 600,
    1000, 1023, 1024,
];

/// A small generator of numbers that repeat from run to run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}

fn check_i64(values: &[i64], validity: Option<&Mask>) -> VectorHeader {
    let mut bytes = vec![0xAA; 3];
    let (header, zone_map) = encode_i64(values, validity, &mut bytes);
    let data = &bytes[3..];
    assert!(header.verify(data));
    assert_eq!(VectorHeader::from_bytes(&header.to_bytes()), Some(header));
    assert_eq!(ZoneMap::from_bytes(&zone_map.to_bytes()), Some(zone_map));
    let mut decoded = [0x55; VECTOR_LEN];
    decode_i64(&header, data, values.len(), &mut decoded).unwrap();
    let valid = valid_positions(&header, data, values.len(), validity);
    for &index in &valid {
        assert_eq!(decoded[index], values[index], "value {index} of {} by {header:?}", values.len());
    }
    let of_valid = || valid.iter().map(|&index| values[index]);
    assert_eq!(zone_map.null_count(), values.len() - valid.len());
    assert_eq!(zone_map.min_i64(), of_valid().min());
    assert_eq!(zone_map.max_i64(), of_valid().max());
    let sum: i128 = of_valid().map(i128::from).sum();
    assert_eq!(zone_map.sum_i64(), i64::try_from(sum).ok().filter(|_| !valid.is_empty()));
    if let Some(fused) = sum_vector_i64(&header, data, values.len()) {
        assert_eq!(fused, sum);
    }
    if let Some(fused) = min_max_vector_i64(&header, data, values.len()) {
        assert_eq!((Some(fused.0), Some(fused.1)), (zone_map.min_i64(), zone_map.max_i64()));
    }
    header
}

fn check_f64(values: &[f64], validity: Option<&Mask>) -> VectorHeader {
    let mut bytes = vec![0xAA; 3];
    let (header, zone_map) = encode_f64(values, validity, &mut bytes);
    let data = &bytes[3..];
    assert!(header.verify(data));
    assert_eq!(VectorHeader::from_bytes(&header.to_bytes()), Some(header));
    assert_eq!(ZoneMap::from_bytes(&zone_map.to_bytes()), Some(zone_map));
    let mut decoded = [0.5; VECTOR_LEN];
    decode_f64(&header, data, values.len(), &mut decoded).unwrap();
    let valid = valid_positions(&header, data, values.len(), validity);
    for &index in &valid {
        assert_eq!(decoded[index].to_bits(), values[index].to_bits(), "value {index} by {header:?}");
    }
    let of_valid = || valid.iter().map(|&index| values[index]);
    assert_eq!(zone_map.has_nan(), of_valid().any(f64::is_nan));
    assert_eq!(zone_map.min_f64(), of_valid().filter(|value| !value.is_nan()).reduce(f64::min));
    assert_eq!(zone_map.max_f64(), of_valid().filter(|value| !value.is_nan()).reduce(f64::max));
    if !valid.is_empty() {
        let mut mask = [0; 16];
        valid.iter().for_each(|&index| kernel::mask_set_range(&mut mask, index..index + 1));
        let expected = kernel::sum_f64_masked(&decoded[..values.len()], &mask);
        let sum = zone_map.sum_f64().unwrap();
        assert!(sum.to_bits() == expected.to_bits() || sum.is_nan() && expected.is_nan());
    }
    header
}

fn valid_positions(header: &VectorHeader, data: &[u8], len: usize, validity: Option<&Mask>) -> Vec<usize> {
    let given = |index: usize| validity.is_none_or(|mask| kernel::mask_contains(mask, index));
    let decoded = decode_validity(header, data, len).unwrap();
    let read = |index: usize| match &decoded {
        Validity::AllValid => true,
        Validity::AllNull => false,
        Validity::Mask(mask) => kernel::mask_contains(mask, index),
    };
    assert!((0..len).all(|index| given(index) == read(index)));
    (0..len).filter(|&index| given(index)).collect()
}

fn random_mask(random: &mut Random, len: usize) -> Mask {
    let mut mask = std::array::from_fn(|_| random.next() | random.next());
    if random.next().is_multiple_of(8) {
        mask = [0; 16];
    }
    kernel::mask_truncate(&mut mask, len);
    mask
}

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

#[test]
fn damaged_vectors_never_panic() {
    let mut random = Random(4);
    let walk: Vec<i64> = (0..1024).map(|i| i * 3 + (random.next() % 50).cast_signed()).collect();
    let floats: Vec<f64> =
        walk.iter().map(|&value| if value % 91 == 0 { 0.1 + 0.2 } else { value as f64 / 10.0 }).collect();
    let texts: Vec<Vec<u8>> = walk.iter().map(|value| value.to_string().into_bytes()).collect();
    let strings: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    for _ in 0..20_000 {
        let len = 1 + random.next() as usize % 1024;
        let mask = random_mask(&mut random, len);
        let validity = random.next().is_multiple_of(2).then_some(&mask);
        let mut data = Vec::new();
        let kind = random.next() % 3;
        let (header, _) = match kind {
            0 => encode_i64(&walk[..len], validity, &mut data),
            1 => encode_f64(&floats[..len], validity, &mut data),
            _ => encode_strings_plain(&strings[..len], validity, &mut data).unwrap(),
        };
        let mut header = header.to_bytes();
        let mut len = len;
        for _ in 0..1 + random.next() % 3 {
            let (choice, place, byte) = (random.next() % 4, random.next() as usize, random.next() as u8);
            match choice {
                0 => header[place % 16] = byte,
                1 if !data.is_empty() => {
                    let place = place % data.len();
                    data[place] ^= byte;
                }
                2 => data.truncate(place % (data.len() + 1)),
                _ => len = place % 1100,
            }
        }
        let Some(header) = VectorHeader::from_bytes(&header) else { continue };
        let _ = decode_i64(&header, &data, len, &mut [0; VECTOR_LEN]);
        let _ = decode_f64(&header, &data, len, &mut [0.0; VECTOR_LEN]);
        let _ = decode_strings_plain(&header, &data, len);
        let _ = decode_validity(&header, &data, len);
        let _ = sum_vector_i64(&header, &data, len);
        let _ = min_max_vector_i64(&header, &data, len);
        let _ = decode_dictionary(&data);
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
