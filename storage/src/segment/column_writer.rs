//! Turns the rows of one field column of a section into encoded vectors.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef};

use super::column::ColumnStorage;
use super::string_writer::StringWriter;
use super::vector_writer::{EncodedVectors, PendingValues};
use crate::encoding::{encode_f64, encode_i64};
use crate::error::Result;
use crate::types::{ColumnId, FieldType};

/// The dictionary of a string column, encoded.
#[derive(Debug, Default)]
pub(super) struct EncodedDictionary {
    pub(super) bytes: Vec<u8>,
    pub(super) value_count: u32,
}

/// A column that is ready to be written.
pub(super) struct FinishedColumn {
    pub(super) id: ColumnId,
    pub(super) field_type: FieldType,
    pub(super) storage: ColumnStorage,
    pub(super) vectors: EncodedVectors,
    pub(super) dictionary: EncodedDictionary,
}

/// Collects the rows of one field column.
#[derive(Debug)]
pub(super) struct ColumnWriter {
    id: ColumnId,
    field_type: FieldType,
    /// Whether any value is there; a column without one is not written.
    has_values: bool,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Integers(PendingValues<i64>, EncodedVectors),
    Floats(PendingValues<f64>, EncodedVectors),
    Strings(StringWriter),
}

impl ColumnWriter {
    pub(super) fn new(id: ColumnId, field_type: FieldType) -> Self {
        let values = match field_type {
            FieldType::F64 => Values::Floats(PendingValues::default(), EncodedVectors::default()),
            FieldType::I64 | FieldType::U64 | FieldType::Bool => {
                Values::Integers(PendingValues::default(), EncodedVectors::default())
            }
            FieldType::String | FieldType::Binary => Values::Strings(StringWriter::default()),
        };
        Self { id, field_type, has_values: false, values }
    }

    pub(super) fn id(&self) -> ColumnId {
        self.id
    }

    pub(super) fn field_type(&self) -> FieldType {
        self.field_type
    }

    /// Adds `count` rows of `array`, whose type and length the caller has checked.
    pub(super) fn append(&mut self, array: &ArrayRef, start: usize, count: usize) {
        let nulls = array.nulls();
        let rows = start..start + count;
        match &mut self.values {
            Values::Floats(pending, _) => {
                pending.values.extend_from_slice(&array.as_primitive::<Float64Type>().values()[rows]);
                pending.validity.append(nulls, start, count);
                self.has_values |= pending.validity.valid_count() > 0;
            }
            Values::Integers(pending, _) => {
                match self.field_type {
                    FieldType::Bool => {
                        let values = array.as_boolean().values().slice(start, count);
                        pending.values.extend(values.iter().map(i64::from));
                    }
                    FieldType::U64 => {
                        let values = &array.as_primitive::<UInt64Type>().values()[rows];
                        pending.values.extend(values.iter().map(|&value| ordered_from_u64(value)));
                    }
                    _ => pending.values.extend_from_slice(&array.as_primitive::<Int64Type>().values()[rows]),
                }
                pending.validity.append(nulls, start, count);
                self.has_values |= pending.validity.valid_count() > 0;
            }
            Values::Strings(writer) => {
                if self.field_type == FieldType::String {
                    let array = array.as_string::<i32>();
                    writer.append(rows.map(|row| array.is_valid(row).then(|| array.value(row).as_bytes())));
                } else {
                    let array = array.as_binary::<i32>();
                    writer.append(rows.map(|row| array.is_valid(row).then(|| array.value(row))));
                }
                self.has_values |= writer.has_values();
            }
        }
    }

    /// About how many bytes the column will take so far.
    pub(super) fn byte_len(&self) -> usize {
        match &self.values {
            Values::Floats(_, vectors) | Values::Integers(_, vectors) => vectors.byte_len(),
            Values::Strings(writer) => writer.byte_len(),
        }
    }

    /// Adds `count` rows without a value.
    pub(super) fn append_nulls(&mut self, count: usize) {
        match &mut self.values {
            Values::Floats(pending, _) => pending.append_nulls(count),
            Values::Integers(pending, _) => pending.append_nulls(count),
            Values::Strings(writer) => writer.append(std::iter::repeat_n(None, count)),
        }
    }

    /// Ends a vector. `vector_starts` holds the first row of every vector up to and with the one that ends.
    pub(super) fn cut(&mut self, vector_starts: &[u32]) -> Result<()> {
        match &mut self.values {
            Values::Floats(pending, vectors) => {
                vectors.push(|out| encode_f64(&pending.values, pending.validity.as_encoder_input(), out));
                #[cfg(debug_assertions)]
                check::floats(pending, vectors);
                pending.clear();
                Ok(())
            }
            Values::Integers(pending, vectors) => {
                vectors.push(|out| encode_i64(&pending.values, pending.validity.as_encoder_input(), out));
                #[cfg(debug_assertions)]
                check::integers(pending, vectors);
                pending.clear();
                Ok(())
            }
            Values::Strings(writer) => writer.cut(vector_starts),
        }
    }

    /// The encoded column; `None` when no row has a value.
    pub(super) fn finish(self, vector_starts: &[u32]) -> Result<Option<FinishedColumn>> {
        if !self.has_values {
            return Ok(None);
        }
        let (storage, vectors, dictionary) = match self.values {
            Values::Floats(_, vectors) | Values::Integers(_, vectors) => {
                (ColumnStorage::Numbers, vectors, EncodedDictionary::default())
            }
            Values::Strings(writer) => writer.finish(vector_starts)?,
        };
        Ok(Some(FinishedColumn { id: self.id, field_type: self.field_type, storage, vectors, dictionary }))
    }
}

/// Maps unsigned integers to signed ones of the same order.
pub(super) fn ordered_from_u64(value: u64) -> i64 {
    (value ^ (1 << 63)).cast_signed()
}

/// The inverse of [`ordered_from_u64`].
pub(super) fn u64_from_ordered(value: i64) -> u64 {
    value.cast_unsigned() ^ (1 << 63)
}

/// Decodes every vector right after it was encoded: an encoder that loses a bit must not get past a test.
#[cfg(debug_assertions)]
mod check {
    use super::super::column::is_valid;
    use super::*;
    use crate::encoding::{VECTOR_LEN, Validity, decode_f64, decode_i64, decode_validity};

    pub(super) fn integers(pending: &PendingValues<i64>, vectors: &EncodedVectors) {
        let (header, data) = vectors.last().expect("a vector was just encoded");
        let mut decoded = [0; VECTOR_LEN];
        decode_i64(&header, data, pending.values.len(), &mut decoded).expect("an encoded vector decodes");
        let validity = decode_validity(&header, data, pending.values.len()).expect("an encoded vector decodes");
        for (row, value) in pending.values.iter().enumerate() {
            assert!(!is_valid(&validity, row) || decoded[row] == *value, "row {row}: {value} came back differently");
        }
        assert_count(&validity, pending);
    }

    pub(super) fn floats(pending: &PendingValues<f64>, vectors: &EncodedVectors) {
        let (header, data) = vectors.last().expect("a vector was just encoded");
        let mut decoded = [0.0; VECTOR_LEN];
        decode_f64(&header, data, pending.values.len(), &mut decoded).expect("an encoded vector decodes");
        let validity = decode_validity(&header, data, pending.values.len()).expect("an encoded vector decodes");
        for (row, value) in pending.values.iter().enumerate() {
            let is_same = decoded[row].to_bits() == value.to_bits();
            assert!(!is_valid(&validity, row) || is_same, "row {row}: {value} came back differently");
        }
        assert_count(&validity, pending);
    }

    fn assert_count<T>(validity: &Validity, pending: &PendingValues<T>) {
        let found = (0..pending.values.len()).filter(|&row| is_valid(validity, row)).count();
        assert_eq!(found, pending.validity.valid_count(), "the NULLs came back differently");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_integers_keep_their_order_and_value() {
        let values = [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX];
        let ordered = values.map(ordered_from_u64);
        assert!(ordered.is_sorted());
        assert_eq!(ordered.map(u64_from_ordered), values);
    }
}
