//! What is known of a vector without decoding it: bounds, sum, NULLs. 32 bytes on disk, little endian.

use super::Validity;
use super::kernel::{self, FloatBounds};

/// Statistics of the values of a vector that are not NULL.
///
/// The type of the column says which accessors make sense: the `_i64` ones for integers (and booleans as 0 and 1, and
/// unsigned integers as ordered integers), the `_f64` ones for floats, only the NULLs for strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ZoneMap {
    min_bits: u64,
    max_bits: u64,
    sum_bits: u64,
    null_count: u16,
    flags: u16,
}

/// Minimum and maximum are set.
const HAS_BOUNDS: u16 = 1;
/// The sum is set.
const HAS_SUM: u16 = 2;
/// A value is NaN.
const HAS_NAN: u16 = 4;
/// No value is there.
const ALL_NULL: u16 = 8;
const KNOWN_FLAGS: u16 = HAS_BOUNDS | HAS_SUM | HAS_NAN | ALL_NULL;

impl ZoneMap {
    /// Bytes of a zone map on disk.
    pub const BYTES: usize = 32;

    /// Of integers.
    pub(super) fn of_i64(min: i64, max: i64, sum: Option<i64>, null_count: usize) -> Self {
        let sum_flag = if sum.is_some() { HAS_SUM } else { 0 };
        Self {
            min_bits: min.cast_unsigned(),
            max_bits: max.cast_unsigned(),
            sum_bits: sum.unwrap_or(0).cast_unsigned(),
            null_count: null_count as u16,
            flags: HAS_BOUNDS | sum_flag,
        }
    }

    /// Of floats.
    pub(super) fn of_f64(bounds: FloatBounds, sum: f64, null_count: usize) -> Self {
        let (min, max, bounds_flag) = match bounds.range {
            Some((min, max)) => (min, max, HAS_BOUNDS),
            None => (0.0, 0.0, 0),
        };
        let nan_flag = if bounds.has_nan { HAS_NAN } else { 0 };
        Self {
            min_bits: min.to_bits(),
            max_bits: max.to_bits(),
            sum_bits: sum.to_bits(),
            null_count: null_count as u16,
            flags: HAS_SUM | bounds_flag | nan_flag,
        }
    }

    /// Of up to a vector of integers, as the encoder makes it of the same.
    pub(crate) fn of_integers(values: &[i64], validity: &Validity) -> Self {
        let null_count = validity.null_count(values.len());
        let (bounds, sum) = match validity {
            Validity::AllNull => (None, 0),
            Validity::AllValid => (kernel::min_max_i64(values), kernel::sum_i64(values)),
            Validity::Mask(mask) => (kernel::min_max_i64_masked(values, mask), kernel::sum_i64_masked(values, mask)),
        };
        let Some((min, max)) = bounds else { return Self::of_nulls(null_count, values.len()) };
        Self::of_i64(min, max, i64::try_from(sum).ok(), null_count)
    }

    /// Of up to a vector of floats, as the encoder makes it of the same.
    pub(crate) fn of_floats(values: &[f64], validity: &Validity) -> Self {
        let null_count = validity.null_count(values.len());
        match validity {
            Validity::AllNull => Self::of_nulls(null_count, values.len()),
            Validity::AllValid => Self::of_f64(kernel::min_max_f64(values), kernel::sum_f64(values), null_count),
            Validity::Mask(mask) => {
                Self::of_f64(kernel::min_max_f64_masked(values, mask), kernel::sum_f64_masked(values, mask), null_count)
            }
        }
    }

    /// Of values of which only the number of NULLs is known.
    pub(crate) fn of_nulls(null_count: usize, len: usize) -> Self {
        let flags = if null_count == len { ALL_NULL } else { 0 };
        Self { null_count: null_count as u16, flags, ..Self::default() }
    }

    /// The zone map as it stands on disk.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0..8].copy_from_slice(&self.min_bits.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.max_bits.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sum_bits.to_le_bytes());
        bytes[24..26].copy_from_slice(&self.null_count.to_le_bytes());
        bytes[26..28].copy_from_slice(&self.flags.to_le_bytes());
        bytes
    }

    /// Reads a zone map; `None` when no encoder writes such bytes.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<8>();
        let [min_bits, max_bits, sum_bits, rest] = [0, 1, 2, 3].map(|word| u64::from_le_bytes(words[word]));
        let zone_map = Self { min_bits, max_bits, sum_bits, null_count: rest as u16, flags: (rest >> 16) as u16 };
        (rest >> 32 == 0 && zone_map.flags & !KNOWN_FLAGS == 0 && zone_map.null_count <= 1024).then_some(zone_map)
    }

    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Smallest integer; `None` when there is none.
    pub fn min_i64(&self) -> Option<i64> {
        self.has(HAS_BOUNDS).then_some(self.min_bits.cast_signed())
    }

    /// Largest integer; `None` when there is none.
    pub fn max_i64(&self) -> Option<i64> {
        self.has(HAS_BOUNDS).then_some(self.max_bits.cast_signed())
    }

    /// Sum of the integers; `None` when there is none or it is beyond an `i64`.
    pub fn sum_i64(&self) -> Option<i64> {
        self.has(HAS_SUM).then_some(self.sum_bits.cast_signed())
    }

    /// Smallest float that is not NaN, never -0.0; `None` when there is none.
    pub fn min_f64(&self) -> Option<f64> {
        self.has(HAS_BOUNDS).then_some(f64::from_bits(self.min_bits))
    }

    /// Largest float that is not NaN, never -0.0; `None` when there is none.
    pub fn max_f64(&self) -> Option<f64> {
        self.has(HAS_BOUNDS).then_some(f64::from_bits(self.max_bits))
    }

    /// Sum of the floats, NaN included, added as `kernel::sum_f64` does; `None` when there is none.
    pub fn sum_f64(&self) -> Option<f64> {
        self.has(HAS_SUM).then_some(f64::from_bits(self.sum_bits))
    }

    /// Number of NULLs.
    pub fn null_count(&self) -> usize {
        usize::from(self.null_count)
    }

    /// Whether a float is NaN.
    pub fn has_nan(&self) -> bool {
        self.has(HAS_NAN)
    }

    /// Whether every value is NULL.
    pub fn all_null(&self) -> bool {
        self.has(ALL_NULL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_map_bytes_never_change() {
        let zone_map = ZoneMap::of_i64(-1, 2, Some(3), 5);
        let mut bytes = [0; 32];
        bytes[0..8].fill(0xFF);
        bytes[8] = 2;
        bytes[16] = 3;
        bytes[24] = 5;
        bytes[26] = 3;
        assert_eq!(zone_map.to_bytes(), bytes);
        assert_eq!(ZoneMap::from_bytes(&bytes), Some(zone_map));
        bytes[28] = 1;
        assert_eq!(ZoneMap::from_bytes(&bytes), None);
    }

    #[test]
    fn statistics_without_an_encoder_are_those_of_the_encoder() {
        let integers: Vec<i64> = (0..1000).map(|value: i64| (value * 7919) % 1009 - 500).collect();
        let mut floats: Vec<f64> = integers.iter().map(|value| *value as f64 / 7.0).collect();
        for has_special in [false, true] {
            if has_special {
                (floats[3], floats[5], floats[77]) = (f64::NAN, -0.0, f64::INFINITY);
            }
            for mask in [None, Some([0; 16]), Some([0xA5A5; 16]), Some([u64::MAX; 16])] {
                for len in [1, 64, 999, 1000] {
                    let validity = Validity::of(mask.as_ref(), len);
                    let (_, zone) = super::super::encode_i64(&integers[..len], mask.as_ref(), &mut Vec::new());
                    assert_eq!(ZoneMap::of_integers(&integers[..len], &validity), zone);
                    let (_, zone) = super::super::encode_f64(&floats[..len], mask.as_ref(), &mut Vec::new());
                    assert_eq!(ZoneMap::of_floats(&floats[..len], &validity), zone);
                }
            }
        }
        let (_, zone) = super::super::encode_i64(&[i64::MAX, 1], None, &mut Vec::new());
        assert_eq!(ZoneMap::of_integers(&[i64::MAX, 1], &Validity::AllValid), zone);
    }

    #[test]
    fn absent_statistics_are_none() {
        let nulls = ZoneMap::of_nulls(7, 7);
        assert!(nulls.all_null());
        assert_eq!((nulls.min_i64(), nulls.max_f64(), nulls.sum_i64(), nulls.sum_f64()), (None, None, None, None));
        let nan = ZoneMap::of_f64(FloatBounds { range: None, has_nan: true }, f64::NAN, 0);
        assert_eq!((nan.min_f64(), nan.has_nan(), nan.all_null()), (None, true, false));
        assert!(nan.sum_f64().is_some_and(f64::is_nan));
        assert_eq!(ZoneMap::of_i64(i64::MIN, i64::MAX, None, 0).sum_i64(), None);
    }
}
