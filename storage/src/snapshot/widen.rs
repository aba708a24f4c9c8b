//! Columns that were written before their field was widened: their values are cast when they are read.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_cast::cast;

use crate::error::{Error, Result};
use crate::segment::SectionColumn;
use crate::types::FieldType;

/// Decodes rows of a vector as an array of the type that the field has now.
pub(super) fn decode_as(
    column: &SectionColumn,
    vector: usize,
    rows: Range<usize>,
    field_type: FieldType,
) -> Result<ArrayRef> {
    let array = column.decode_array(vector, rows)?;
    if column.field_type() == field_type {
        return Ok(array);
    }
    cast_to(&array, field_type)
}

/// Floats from integers as vectors hold them: unsigned ones with the top bit flipped, booleans as 0 and 1.
pub(super) fn widen_to_f64(integers: &[i64], field_type: FieldType, floats: &mut [f64]) {
    let is_unsigned = field_type == FieldType::U64;
    for (float, &integer) in floats.iter_mut().zip(integers) {
        *float = if is_unsigned { (integer.cast_unsigned() ^ (1 << 63)) as f64 } else { integer as f64 };
    }
}

/// Casts values to a type that the type of their field may be widened to.
pub(crate) fn cast_to(array: &ArrayRef, field_type: FieldType) -> Result<ArrayRef> {
    let to = field_type.arrow_type();
    cast(array, &to).map_err(|error| {
        Error::invalid(format!("values of type {} cannot be read as {to}: {error}", array.data_type()))
    })
}
