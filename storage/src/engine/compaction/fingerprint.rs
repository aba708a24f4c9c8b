//! What must be equal before and after a compaction: per series its rows, times, NULLs and values.
//!
//! A sum over rows does not depend on how they are cut into blocks. Values are mixed with their time, so that two values
//! that change places are noticed.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;

use crate::types::ColumnId;

/// The fingerprint of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fingerprint {
    rows: u64,
    sum: u64,
}

/// The finaliser of MurmurHash3: every bit of the input changes about half of those of the output.
fn mix(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ bits >> 33
}

/// Mixes with one multiplication, which is enough for numbers that were mixed with a place before.
fn fold(bits: u64) -> u64 {
    let product = u128::from(bits) * 0x9e37_79b9_7f4a_7c15;
    product as u64 ^ (product >> 64) as u64
}

impl Fingerprint {
    /// Adds rows.
    pub(super) fn add(&mut self, times: &[i64], fields: &[(ColumnId, ArrayRef)]) {
        self.rows += times.len() as u64;
        let places: Vec<u64> = times.iter().map(|time| mix(time.cast_unsigned())).collect();
        self.sum = places.iter().fold(self.sum, |sum, place| sum.wrapping_add(*place));
        for (id, array) in fields {
            let seed = mix(u64::from(id.0) << 32);
            let column = Column { places: &places, seed, nulls: array.nulls() };
            let sum = match array.data_type() {
                DataType::Float64 => column.sum(array.as_primitive::<Float64Type>().values(), |value| value.to_bits()),
                DataType::Int64 => {
                    column.sum(array.as_primitive::<Int64Type>().values(), |value| value.cast_unsigned())
                }
                DataType::UInt64 => column.sum(array.as_primitive::<UInt64Type>().values(), |value| *value),
                DataType::Boolean => {
                    let values = array.as_boolean().values();
                    column.sum_of_rows(|row| u64::from(values.value(row)))
                }
                DataType::Utf8 => {
                    let values = array.as_string::<i32>();
                    column.sum_of_rows(|row| text_bits(values.value(row).as_bytes()))
                }
                _ => {
                    let values = array.as_binary::<i32>();
                    column.sum_of_rows(|row| text_bits(values.value(row)))
                }
            };
            self.sum = self.sum.wrapping_add(sum);
        }
    }
}

/// What a column adds to a fingerprint.
struct Column<'a> {
    /// The mixed time of each row.
    places: &'a [u64],
    seed: u64,
    nulls: Option<&'a NullBuffer>,
}

impl Column<'_> {
    fn mixed(&self, place: u64, bits: u64) -> u64 {
        fold(bits ^ place.wrapping_add(self.seed))
    }

    fn sum<T>(&self, values: &[T], bits: impl Fn(&T) -> u64) -> u64 {
        if self.nulls.is_some_and(|nulls| nulls.null_count() > 0) {
            return self.sum_of_rows(|row| bits(&values[row]));
        }
        let mixed = values.iter().zip(self.places).map(|(value, &place)| self.mixed(place, bits(value)));
        mixed.fold(0, u64::wrapping_add)
    }

    fn sum_of_rows(&self, bits: impl Fn(usize) -> u64) -> u64 {
        let is_valid = |row: &usize| self.nulls.is_none_or(|nulls| nulls.is_valid(*row));
        let mixed = (0..self.places.len()).filter(is_valid).map(|row| self.mixed(self.places[row], bits(row)));
        mixed.fold(0, u64::wrapping_add)
    }
}

fn text_bits(text: &[u8]) -> u64 {
    (text.len() as u64) << 32 | u64::from(crc32c::crc32c(text))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::Int64Array;

    use super::*;

    fn of(times: &[i64], values: Vec<Option<i64>>) -> Fingerprint {
        let mut fingerprint = Fingerprint::default();
        fingerprint.add(times, &[(ColumnId(1), Arc::new(Int64Array::from(values)) as ArrayRef)]);
        fingerprint
    }

    #[test]
    fn any_change_of_a_row_changes_the_fingerprint() {
        let original = of(&[1, 2, 3], vec![Some(7), None, Some(9)]);
        for (times, values) in [
            ([1, 2, 4], vec![Some(7), None, Some(9)]),
            ([1, 2, 3], vec![Some(9), None, Some(7)]),
            ([1, 2, 3], vec![None, Some(7), Some(9)]),
            ([1, 2, 3], vec![Some(7), Some(0), Some(9)]),
        ] {
            assert_ne!(of(&times, values.clone()), original, "{times:?} {values:?}");
        }
        assert_ne!(of(&[1, 2], vec![Some(7), None]), original);
    }

    #[test]
    fn blocks_do_not_matter() {
        let mut parts = Fingerprint::default();
        for (time, value) in [(1, Some(7)), (2, None), (3, Some(9))] {
            parts.add(&[time], &[(ColumnId(1), Arc::new(Int64Array::from(vec![value])) as ArrayRef)]);
        }
        assert_eq!(parts, of(&[1, 2, 3], vec![Some(7), None, Some(9)]));
    }
}
