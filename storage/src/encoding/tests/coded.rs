//! Coded columns: whatever is coded comes back, and damage is decoded to something or refused.

use super::check::*;
use crate::encoding::coded::{NumberKind, NumberParts};
use crate::encoding::column_code::SYMBOLS;
use crate::encoding::header::Outliers;
use crate::encoding::*;

/// Numbers that mostly stay within `spread` of a level.
fn near(random: &mut Random, len: usize, spread: u64, kind: NumberKind) -> Vec<i64> {
    let mut level = (random.next() >> 20).cast_signed();
    let step = |random: &mut Random| {
        let sum = (0..4).fold(0u64, |sum, _| sum.wrapping_add(random.next() % spread.max(1)));
        (sum / 4).cast_signed().wrapping_sub((spread / 2).cast_signed())
    };
    (0..len)
        .map(|_| {
            let step = step(random);
            match kind {
                NumberKind::Frame => level.wrapping_add(step),
                NumberKind::Differences => {
                    level = level.wrapping_add(step);
                    level
                }
            }
        })
        .collect()
}

/// Codes each vector with a code for it alone and decodes it.
fn assert_parts_come_back(values: &[i64], kind: NumberKind, center: i64, width: u32) {
    let parts = NumberParts::of(values, kind, center, width);
    if parts.outlier_count() > 128 {
        return;
    }
    let mut frequencies = [1; SYMBOLS];
    parts.coded_symbols().iter().for_each(|symbol| frequencies[usize::from(*symbol)] += 20);
    for step in [0, parts.step] {
        let code = ColumnCode::of_frequencies(&frequencies, step).unwrap();
        let (header, _) = encode_i64(&[1, 2], None, &mut Vec::new());
        let mut data = Vec::new();
        let header = parts.append(&code.symbol_bits(), step, &header, &mut data);
        assert_eq!(VectorHeader::from_bytes(&header.to_bytes()), Some(header));
        let mut decoded = [0x55; VECTOR_LEN];
        decode_column_i64(&header, &data, values.len(), Some(&DecodeTable::new(&code)), &mut decoded).unwrap();
        assert_eq!(decoded[..values.len()], *values, "{kind:?}, {} values of width {width}", values.len());
        assert!(decode_i64(&header, &data, values.len(), &mut decoded).is_err(), "it takes the code of the column");
    }
}

#[test]
fn numbers_of_every_width_and_length_come_back() {
    let mut random = Random(21);
    for kind in [NumberKind::Frame, NumberKind::Differences] {
        for len in LENGTHS {
            for width in [0, 1, 2, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 55, 56] {
                let spread = 200u64 << width.min(54);
                let mut values = near(&mut random, len, spread, kind);
                let center = if kind == NumberKind::Frame { values[len / 2] } else { 0 };
                assert_parts_come_back(&values, kind, center, width);
                for place in (0..len).step_by(61) {
                    values[place] = random.next().cast_signed() >> (place % 60);
                }
                assert_parts_come_back(&values, kind, center, width);
                assert_parts_come_back(&values, kind, i64::MIN + 5, width);
            }
        }
    }
}

/// Encodes vectors as those of a column, codes them and decodes them; returns how many were coded.
fn code_column(vectors: &[(Vec<f64>, Option<Mask>)]) -> usize {
    let encoded: Vec<_> = vectors
        .iter()
        .map(|(values, validity)| {
            let mut data = Vec::new();
            let (header, _) = encode_f64(values, validity.as_ref(), &mut data);
            (header, data, values.len())
        })
        .collect();
    let plain: Vec<_> =
        encoded.iter().map(|(header, data, len)| PlainVector { header: *header, data, len: *len }).collect();
    let Some(coder) = ColumnCoder::choose(&plain) else { return 0 };
    let table = DecodeTable::new(coder.code());
    let mut coded = 0;
    for ((values, validity), vector) in vectors.iter().zip(&plain) {
        let mut data = Vec::new();
        let Some(header) = coder.encode(vector, &mut data) else {
            assert!(data.is_empty());
            continue;
        };
        coded += 1;
        assert!(header.verify(&data) && header.is_coded());
        assert!(data.len() * 20 <= vector.data.len() * 19);
        let mut decoded = [0.5; VECTOR_LEN];
        decode_column_f64(&header, &data, values.len(), Some(&table), &mut decoded).unwrap();
        for index in valid_positions(&header, &data, values.len(), validity.as_ref()) {
            assert_eq!(decoded[index].to_bits(), values[index].to_bits(), "value {index}");
        }
    }
    coded
}

#[test]
fn columns_of_floats_are_coded_bit_for_bit() {
    let mut random = Random(22);
    let mut level = 5_000i64;
    let mut walk = |len: usize, random: &mut Random| -> Vec<i64> {
        let mut steps = || (0..4).map(|_| (random.next() % 50).cast_signed() - 24).sum::<i64>();
        (0..len)
            .map(|_| {
                level += steps();
                level
            })
            .collect()
    };
    let lens = [1024, 1024, 448, 3, 1024, 600];
    let columns: Vec<Vec<i64>> = lens.iter().map(|len| walk(*len, &mut random)).collect();
    let decimals =
        |divisor: f64| columns.iter().map(move |values| values.iter().map(|v| *v as f64 / divisor).collect());
    let with = |vectors: Vec<Vec<f64>>, mask: &mut dyn FnMut(usize) -> Option<Mask>| -> Vec<(Vec<f64>, Option<Mask>)> {
        vectors.into_iter().map(|values| (mask(values.len()), values)).map(|(mask, values)| (values, mask)).collect()
    };
    let none = &mut |_| None;
    assert!(code_column(&with(decimals(100.0).collect(), none)) >= 5);
    let masked = &mut |len| Some(random_mask(&mut random, len));
    assert!(code_column(&with(decimals(100.0).collect(), masked)) >= 3);
    // A vector of one decimal among those of two, which stays, and values that are no decimals.
    let mut mixed: Vec<Vec<f64>> = decimals(100.0).collect();
    mixed[1] = columns[1].iter().map(|value| *value as f64 / 10.0).collect();
    (mixed[0][7], mixed[0][900], mixed[4][0]) = (f64::NAN, -0.0, 0.1 + 0.2);
    assert!(code_column(&with(mixed, none)) >= 4);
    // The bits of floats that are close to each other.
    let bits = columns
        .iter()
        .map(|values| values.iter().map(|v| f64::from_bits(0x4050_0000_0000_0000 + v.unsigned_abs())).collect());
    assert!(code_column(&with(bits.collect(), none)) >= 5);
}

#[test]
fn what_does_not_become_smaller_stays() {
    let mut random = Random(23);
    let noise = |random: &mut Random| (0..1024).map(|_| (random.next() % 4096) as f64).collect::<Vec<_>>();
    let uniform: Vec<_> = (0..8).map(|_| (noise(&mut random), None)).collect();
    assert_eq!(code_column(&uniform), 0);
    assert_eq!(code_column(&[(vec![1.0; 1024], None), ((0..1024).map(f64::from).collect(), None)]), 0);
}

#[test]
fn a_column_about_changing_levels_is_coded_about_each() {
    let mut random = Random(24);
    let vectors: Vec<_> = (0..16)
        .map(|_| {
            let level = (random.next() >> 24).cast_signed();
            let value = |random: &mut Random| level + (0..6).map(|_| (random.next() % 30).cast_signed()).sum::<i64>();
            let values: Vec<i64> = (0..1024).map(|_| value(&mut random)).collect();
            let mut data = Vec::new();
            let (header, _) = encode_i64(&values, None, &mut data);
            (header, data)
        })
        .collect();
    let plain: Vec<_> = vectors.iter().map(|(header, data)| PlainVector { header: *header, data, len: 1024 }).collect();
    let coder = ColumnCoder::choose(&plain).unwrap();
    let (mut data, mut before) = (Vec::new(), 0);
    for vector in &plain {
        assert_eq!(coder.encode(vector, &mut data).unwrap().encoding, VectorEncoding::CodedFrame);
        before += vector.data.len();
    }
    assert!(data.len() * 100 < before * 88, "{} of {before} bytes", data.len());
}

#[test]
fn strings_that_are_compressed_harder_come_back() {
    let mut random = Random(26);
    let words = ["GET", "PUT", "users", "orders", "index", "true", "false", "timeout", "connection", "closed"];
    let texts: Vec<Vec<u8>> = (0..1024)
        .map(|_| {
            (0..12).map(|_| words[random.next() as usize % words.len()]).collect::<Vec<_>>().join(" ").into_bytes()
        })
        .collect();
    let values: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    for validity in [None, Some(random_mask(&mut Random(1), 1024))] {
        let mut data = Vec::new();
        let (header, _) = encode_strings_plain(&values, validity.as_ref(), &mut data).unwrap();
        let mut smaller = vec![0xAA; 2];
        let vector = PlainVector { header, data: &data, len: 1024 };
        let header = recompress_strings(&vector, &mut smaller).unwrap();
        let smaller = &smaller[2..];
        assert!(header.verify(smaller) && smaller.len() * 20 <= data.len() * 19);
        let decoded = decode_strings_plain(&header, smaller, 1024).unwrap();
        assert_eq!(decoded, decode_strings_plain(&vector.header, &data, 1024).unwrap());
        assert_eq!(decode_validity(&header, smaller, 1024), decode_validity(&vector.header, &data, 1024));
    }
}

#[test]
fn damaged_coded_vectors_never_panic() {
    let mut random = Random(25);
    let mut refused = 0;
    for _ in 0..4_000 {
        let kind = if random.next().is_multiple_of(2) { NumberKind::Frame } else { NumberKind::Differences };
        let (len, width) = (1 + random.next() as usize % 1024, (random.next() % 57) as u32);
        let mut values = near(&mut random, len, 100 << width.min(40), kind);
        values[len / 2] = random.next().cast_signed();
        let parts = NumberParts::of(&values, kind, values[0], width);
        if parts.outlier_count() > 128 {
            continue;
        }
        let mut frequencies = [0; SYMBOLS];
        frequencies[..3].fill(1);
        parts.coded_symbols().iter().for_each(|symbol| frequencies[usize::from(*symbol)] += 1);
        let code = ColumnCode::of_frequencies(&frequencies, 0).unwrap();
        let table = DecodeTable::new(&code);
        let (plain, _) = encode_i64(&[1, 2], None, &mut Vec::new());
        let mut data = Vec::new();
        let header = parts.append(&code.symbol_bits(), 7, &plain, &mut data);
        let (mut header, mut len) = (header.to_bytes(), len);
        for _ in 0..1 + random.next() % 3 {
            let (choice, place, byte) = (random.next() % 4, random.next() as usize, random.next() as u8);
            match choice {
                0 => header[place % 4] = byte,
                1 => {
                    let place = place % data.len().clamp(1, 12 + place % 1000);
                    data[place] ^= byte;
                }
                2 => data.truncate(1 + place % data.len()),
                _ => len = place % 1100,
            }
        }
        let Some(header) = VectorHeader::from_bytes(&header) else { continue };
        let integers = decode_column_i64(&header, &data, len, Some(&table), &mut [0; VECTOR_LEN]);
        let floats = decode_column_f64(&header, &data, len, Some(&table), &mut [0.0; VECTOR_LEN]);
        refused += usize::from(integers.is_err() && floats.is_err());
        let _ = decode_validity(&header, &data, len);
        assert!(sum_vector_i64(&header, &data, len).is_none() || !header.is_coded());
        let _ = (header.outliers() == Outliers::Fit, min_max_vector_i64(&header, &data, len));
    }
    assert!(refused > 100, "only {refused} damages were refused");
}
