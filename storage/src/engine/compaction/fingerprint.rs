//! What must be equal before and after a compaction: per series its rows, times, NULLs and values.
//!
//! A sum over rows does not depend on how they are cut into blocks. Values are mixed with their time, so that two values
//! that change places are noticed.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
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

impl Fingerprint {
    /// Adds rows.
    pub(super) fn add(&mut self, times: &[i64], fields: &[(ColumnId, ArrayRef)]) {
        self.rows += times.len() as u64;
        for &time in times {
            self.sum = self.sum.wrapping_add(mix(time.cast_unsigned()));
        }
        for (id, array) in fields {
            let seed = mix(u64::from(id.0) << 32);
            let mut add = |row: usize, bits: u64| {
                let place = mix(times[row].cast_unsigned() ^ seed);
                self.sum = self.sum.wrapping_add(mix(bits.wrapping_add(place)));
            };
            let valid = (0..array.len()).filter(|&row| array.is_valid(row));
            match array.data_type() {
                DataType::Float64 => {
                    let values = array.as_primitive::<Float64Type>().values();
                    valid.for_each(|row| add(row, values[row].to_bits()));
                }
                DataType::Int64 => {
                    let values = array.as_primitive::<Int64Type>().values();
                    valid.for_each(|row| add(row, values[row].cast_unsigned()));
                }
                DataType::UInt64 => {
                    let values = array.as_primitive::<UInt64Type>().values();
                    valid.for_each(|row| add(row, values[row]));
                }
                DataType::Boolean => {
                    let values = array.as_boolean().values();
                    valid.for_each(|row| add(row, u64::from(values.value(row))));
                }
                DataType::Utf8 => {
                    let values = array.as_string::<i32>();
                    valid.for_each(|row| add(row, text_bits(values.value(row).as_bytes())));
                }
                _ => {
                    let values = array.as_binary::<i32>();
                    valid.for_each(|row| add(row, text_bits(values.value(row))));
                }
            }
        }
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
