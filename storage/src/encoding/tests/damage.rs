//! Bytes that no encoder wrote: each decoder returns, whatever they are.

use super::check::*;
use crate::encoding::*;

#[test]
fn damaged_vectors_never_panic() {
    let mut random = Random(4);
    let runs: Vec<i64> = (0..1024).map(|i| i / 9 * 1_000_003 % 7).collect();
    let jumps: Vec<i64> = (0..1024).map(|i| if i % 61 == 5 { i << 40 } else { i % 13 * 5 % 13 }).collect();
    let doubles: Vec<f64> = (0..1024).map(|_| (random.next() >> 11) as f64 / (1u64 << 53) as f64 - 0.4).collect();
    let walk: Vec<i64> = (0..1024).map(|i| i * 3 + (random.next() % 50).cast_signed()).collect();
    let floats: Vec<f64> =
        walk.iter().map(|&value| if value % 91 == 0 { 0.1 + 0.2 } else { value as f64 / 10.0 }).collect();
    let texts: Vec<Vec<u8>> = walk.iter().map(|value| value.to_string().into_bytes()).collect();
    let strings: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
    for _ in 0..40_000 {
        let len = 1 + random.next() as usize % 1024;
        let mask = random_mask(&mut random, len);
        let validity = random.next().is_multiple_of(2).then_some(&mask);
        let mut data = Vec::new();
        let kind = random.next() % 7;
        let (header, _) = match kind {
            0 => encode_i64(&walk[..len], validity, &mut data),
            1 => encode_f64(&floats[..len], validity, &mut data),
            2 => encode_i64(&runs[..len], validity, &mut data),
            3 => encode_i64(&jumps[..len], validity, &mut data),
            4 => encode_f64(&doubles[..len], validity, &mut data),
            5 => {
                let mut sum = 0;
                let sums = jumps[..len].iter().map(|jump| {
                    sum += jump;
                    sum
                });
                encode_i64(&sums.collect::<Vec<_>>(), validity, &mut data)
            }
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
        let _ = compare_vector_i64(&header, &data, len, kernel::CompareOp::Less, random.next().cast_signed() >> 40);
        let _ = decode_dictionary(&data);
    }
}

#[test]
fn any_header_before_any_bytes_is_decoded_or_refused() {
    let mut random = Random(10);
    let mut decoded = 0;
    for _ in 0..60_000 {
        let mut header: [u8; VectorHeader::BYTES] = std::array::from_fn(|_| random.next() as u8);
        (header[0], header[1]) = (header[0] % 11, header[1] % 65);
        (header[2], header[3]) = (header[2] & 0x84, 0);
        let Some(header) = VectorHeader::from_bytes(&header) else { continue };
        let len = 1 + random.next() as usize % VECTOR_LEN;
        // Small numbers in front: counts and widths of lists that are possible.
        let mut data: Vec<u8> = (0..random.next() % 300).map(|_| random.next() as u8).collect();
        data.iter_mut().take(3).for_each(|byte| *byte %= 9);
        let exact = kernel::packed_bytes(u32::from(header.width), len);
        if random.next().is_multiple_of(2) {
            data.resize(exact + random.next() as usize % 24, 3);
        }
        let results = [
            decode_i64(&header, &data, len, &mut [0; VECTOR_LEN]).is_ok(),
            decode_f64(&header, &data, len, &mut [0.0; VECTOR_LEN]).is_ok(),
            decode_strings_plain(&header, &data, len).is_ok(),
        ];
        decoded += results.into_iter().filter(|is_ok| *is_ok).count();
        let _ = (sum_vector_i64(&header, &data, len), min_max_vector_i64(&header, &data, len));
        let _ = compare_vector_i64(&header, &data, len, kernel::CompareOp::Greater, header.base);
    }
    assert!(decoded > 200, "only {decoded} inputs got past the first checks");
}
