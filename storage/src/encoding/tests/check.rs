//! What the tests of the encodings share.

use crate::encoding::kernel::CompareOp;
use crate::encoding::*;

/// Lengths around the rows of every lane type and the blocks of every instruction set.
pub(super) const LENGTHS: [usize; 29] = [
    1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 119, 120, 127, 128, 129, 255, 256, 257, 511, 512, 513, 600,
    1000, 1023, 1024,
];

/// A small generator of numbers that repeat from run to run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }
}

pub(super) fn check_i64(values: &[i64], validity: Option<&Mask>) -> VectorHeader {
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
    check_comparisons(&header, data, &decoded[..values.len()]);
    header
}

/// Compares with constants around the values; NULLs have the value that they decode to.
pub(super) fn check_comparisons(header: &VectorHeader, data: &[u8], values: &[i64]) {
    let (middle, last) = (values[values.len() / 2], values[values.len() - 1]);
    for constant in [i64::MIN, i64::MAX, header.base, header.base.wrapping_sub(1), middle, last, last.wrapping_add(1)] {
        for op in [
            CompareOp::Equal,
            CompareOp::NotEqual,
            CompareOp::Less,
            CompareOp::LessOrEqual,
            CompareOp::Greater,
            CompareOp::GreaterOrEqual,
        ] {
            if let Some(found) = compare_vector_i64(header, data, values.len(), op, constant) {
                let mut expected = [0; 16];
                kernel::compare_i64(op, values, constant, &mut expected);
                assert_eq!(found, expected, "{op:?} {constant} of {} by {header:?}", values.len());
            }
        }
    }
}

pub(super) fn check_f64(values: &[f64], validity: Option<&Mask>) -> VectorHeader {
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

pub(super) fn valid_positions(header: &VectorHeader, data: &[u8], len: usize, validity: Option<&Mask>) -> Vec<usize> {
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

pub(super) fn random_mask(random: &mut Random, len: usize) -> Mask {
    let mut mask = std::array::from_fn(|_| random.next() | random.next());
    if random.next().is_multiple_of(8) {
        mask = [0; 16];
    }
    kernel::mask_truncate(&mut mask, len);
    mask
}
