//! A field column of a batch that stays whole: numbers in as few bytes as they need, the rest as it came.

use std::ops::Range;

use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, StringArray};
use arrow_buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};

use super::chunk::validity_of;
use super::column_buffer::{ColumnBuffer, TypedArray};
use super::narrow::{NarrowIntegers, is_compact};
use crate::encoding::{VECTOR_LEN, Validity, ZoneMap, as_decimals, power_of_ten};
use crate::types::FieldType;

/// A field column of a batch. What is large and rare is boxed: a chunk of few rows has as many columns as a large one.
#[derive(Debug)]
pub(super) enum NarrowColumn {
    I64(NarrowIntegers, Option<Box<NullBuffer>>),
    /// The bits of unsigned integers.
    U64(NarrowIntegers, Option<Box<NullBuffer>>),
    /// Integers that were divided by a power of ten.
    Decimals(NarrowIntegers, f64, Option<Box<NullBuffer>>),
    F64(Box<Float64Array>),
    Bool(Box<BooleanArray>),
    String(Box<StringArray>),
    Binary(Box<BinaryArray>),
}

impl NarrowColumn {
    pub(super) fn new(array: TypedArray<'_>) -> Self {
        match array {
            TypedArray::I64(array) => Self::I64(NarrowIntegers::of_values(array.values()), nulls_of(array)),
            TypedArray::U64(array) => {
                let bits = ScalarBuffer::<i64>::from(array.values().inner().clone());
                Self::U64(NarrowIntegers::of_values(&bits), nulls_of(array))
            }
            TypedArray::F64(floats) => decimals_of(floats).unwrap_or_else(|| compact(array, Self::of)),
            other => compact(other, Self::of),
        }
    }

    fn of(array: TypedArray<'_>) -> Self {
        match array {
            TypedArray::F64(array) => Self::F64(Box::new(array.clone())),
            TypedArray::Bool(array) => Self::Bool(Box::new(array.clone())),
            TypedArray::String(array) => Self::String(Box::new(array.clone())),
            TypedArray::Binary(array) => Self::Binary(Box::new(array.clone())),
            integers @ (TypedArray::I64(_) | TypedArray::U64(_)) => Self::new(integers),
        }
    }

    pub(super) fn field_type(&self) -> FieldType {
        match self {
            Self::I64(..) => FieldType::I64,
            Self::U64(..) => FieldType::U64,
            Self::Decimals(..) | Self::F64(_) => FieldType::F64,
            Self::Bool(_) => FieldType::Bool,
            Self::String(_) => FieldType::String,
            Self::Binary(_) => FieldType::Binary,
        }
    }

    /// Bytes of memory.
    pub(super) fn byte_len(&self) -> usize {
        let null_bytes = |nulls: &Option<Box<NullBuffer>>| nulls.as_ref().map_or(0, |nulls| nulls.len().div_ceil(8));
        match self {
            Self::I64(integers, nulls) | Self::U64(integers, nulls) | Self::Decimals(integers, _, nulls) => {
                integers.byte_len() + null_bytes(nulls)
            }
            Self::F64(array) => used_bytes(TypedArray::F64(array)),
            Self::Bool(array) => used_bytes(TypedArray::Bool(array)),
            Self::String(array) => used_bytes(TypedArray::String(array)),
            Self::Binary(array) => used_bytes(TypedArray::Binary(array)),
        }
    }

    /// Appends rows to a column and returns the bytes that came with them. A column of another type gets NULLs.
    pub(super) fn append_to(&self, rows: Range<usize>, column: &mut ColumnBuffer) -> usize {
        let byte_len = 8 * rows.len();
        match (self, column) {
            (Self::I64(integers, nulls), ColumnBuffer::I64(column)) => {
                column.extend(nulls.as_deref(), &rows, |out| integers.append_to(rows.clone(), out, |value| value));
                byte_len
            }
            (Self::U64(integers, nulls), ColumnBuffer::U64(column)) => {
                column.extend(nulls.as_deref(), &rows, |out| integers.append_to(rows.clone(), out, i64::cast_unsigned));
                byte_len
            }
            (Self::Decimals(integers, power, nulls), ColumnBuffer::F64(column)) => {
                let float = |integer: i64| integer as f64 / power;
                column.extend(nulls.as_deref(), &rows, |out| integers.append_to(rows.clone(), out, float));
                byte_len
            }
            (Self::F64(array), column) => column.append(TypedArray::F64(array), rows),
            (Self::Bool(array), column) => column.append(TypedArray::Bool(array), rows),
            (Self::String(array), column) => column.append(TypedArray::String(array), rows),
            (Self::Binary(array), column) => column.append(TypedArray::Binary(array), rows),
            (_, column) => column.append_nulls(rows.len()),
        }
    }
}

/// How readers get at the values of a chunk of at most a vector of rows, without widening all of it.
impl NarrowColumn {
    /// Writes integers in the order of `i64` (unsigned ones with the top bit flipped, booleans as 0 and 1) to the front of
    /// `out`; nothing for other types.
    pub(super) fn write_integers(&self, rows: Range<usize>, out: &mut [i64]) {
        match self {
            Self::I64(integers, _) => integers.write_to(rows, out, |value| value),
            Self::U64(integers, _) => integers.write_to(rows, out, |value| value ^ i64::MIN),
            Self::Bool(array) => {
                let values = array.values();
                out.iter_mut().zip(rows).for_each(|(out, row)| *out = i64::from(values.value(row)));
            }
            Self::Decimals(..) | Self::F64(_) | Self::String(_) | Self::Binary(_) => {}
        }
    }

    /// Writes floats to the front of `out`; nothing for other types.
    pub(super) fn write_floats(&self, rows: Range<usize>, out: &mut [f64]) {
        match self {
            Self::Decimals(integers, power, _) => integers.write_to(rows, out, |integer| integer as f64 / power),
            Self::F64(array) => out[..rows.len()].copy_from_slice(&array.values()[rows]),
            Self::I64(..) | Self::U64(..) | Self::Bool(_) | Self::String(_) | Self::Binary(_) => {}
        }
    }

    /// Which rows are not NULL.
    pub(super) fn validity(&self, rows: Range<usize>) -> Validity {
        validity_of(self.nulls(), rows.start, rows.len())
    }

    /// Sums of integers without NULLs between each of `cuts` (rows from `offset` on) and the next one; `None` when the
    /// values have to be looked at.
    pub(super) fn sum_parts(&self, offset: usize, cuts: &[usize], sums: &mut [i128]) -> Option<()> {
        match self {
            Self::I64(integers, None) => {
                integers.sum_parts(offset, cuts, sums);
                Some(())
            }
            _ => None,
        }
    }

    /// Statistics of the first `len` rows, which are all.
    pub(super) fn zone(&self, len: usize) -> ZoneMap {
        let validity = self.validity(0..len);
        match self {
            Self::I64(..) | Self::U64(..) | Self::Bool(_) => {
                let mut values = [0; VECTOR_LEN];
                self.write_integers(0..len, &mut values);
                ZoneMap::of_integers(&values[..len], &validity)
            }
            Self::Decimals(..) | Self::F64(_) => {
                let mut values = [0.0; VECTOR_LEN];
                self.write_floats(0..len, &mut values);
                ZoneMap::of_floats(&values[..len], &validity)
            }
            Self::String(_) | Self::Binary(_) => ZoneMap::of_nulls(self.nulls().map_or(0, NullBuffer::null_count), len),
        }
    }

    /// A row of an integer field; `None` when it is NULL or of another type.
    pub(super) fn integer(&self, row: usize) -> Option<i64> {
        let value = match self {
            Self::I64(integers, _) => integers.get(row),
            Self::U64(integers, _) => integers.get(row) ^ i64::MIN,
            _ => return None,
        };
        self.nulls().is_none_or(|nulls| nulls.is_valid(row)).then_some(value)
    }

    /// A row of a float field; `None` when it is NULL or of another type.
    pub(super) fn float(&self, row: usize) -> Option<f64> {
        let value = match self {
            Self::Decimals(integers, power, _) => integers.get(row) as f64 / power,
            Self::F64(array) => array.value(row),
            _ => return None,
        };
        self.nulls().is_none_or(|nulls| nulls.is_valid(row)).then_some(value)
    }

    /// Rows as an array.
    pub(super) fn array(&self, rows: Range<usize>) -> ArrayRef {
        let mut column = ColumnBuffer::new(self.field_type());
        column.reserve(rows.len());
        self.append_to(rows, &mut column);
        column.finish()
    }

    /// Whether a row is NULL.
    pub(super) fn has_nulls(&self) -> bool {
        self.nulls().is_some_and(|nulls| nulls.null_count() > 0)
    }

    fn nulls(&self) -> Option<&NullBuffer> {
        match self {
            Self::I64(_, nulls) | Self::U64(_, nulls) | Self::Decimals(_, _, nulls) => nulls.as_deref(),
            Self::F64(array) => array.nulls(),
            Self::Bool(array) => array.nulls(),
            Self::String(array) => array.nulls(),
            Self::Binary(array) => array.nulls(),
        }
    }
}

/// Floats that all are decimals of a few digits.
fn decimals_of(floats: &Float64Array) -> Option<NarrowColumn> {
    let (integers, exponent) = as_decimals(floats.values())?;
    let integers = NarrowIntegers::of_values(&integers.into());
    Some(NarrowColumn::Decimals(integers, power_of_ten(exponent)?, nulls_of(floats)))
}

/// The nulls of an array, copied: they may be a slice of something large.
fn nulls_of(array: &dyn Array) -> Option<Box<NullBuffer>> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0)?;
    Some(Box::new(NullBuffer::new(BooleanBuffer::collect_bool(nulls.len(), |row| nulls.is_valid(row)))))
}

/// Gives an array, or a copy of it when it is a slice, which would keep the whole of what it was cut from.
fn compact<R>(array: TypedArray<'_>, take: impl FnOnce(TypedArray<'_>) -> R) -> R {
    let any = as_array(array);
    if is_compact(any.get_buffer_memory_size(), used_bytes(array)) {
        return take(array);
    }
    let mut copy = ColumnBuffer::new(array.field_type());
    copy.append(array, 0..any.len());
    let copy: ArrayRef = copy.finish();
    take(TypedArray::new(&copy).unwrap_or(array))
}

fn as_array(array: TypedArray<'_>) -> &dyn Array {
    match array {
        TypedArray::F64(array) => array,
        TypedArray::I64(array) => array,
        TypedArray::U64(array) => array,
        TypedArray::Bool(array) => array,
        TypedArray::String(array) => array,
        TypedArray::Binary(array) => array,
    }
}

fn used_bytes(array: TypedArray<'_>) -> usize {
    let any = as_array(array);
    let value_bytes = match array {
        TypedArray::F64(_) | TypedArray::I64(_) | TypedArray::U64(_) => 8 * any.len(),
        TypedArray::Bool(_) => any.len().div_ceil(8),
        TypedArray::String(array) => 4 * any.len() + text_bytes(array.value_offsets()),
        TypedArray::Binary(array) => 4 * any.len() + text_bytes(array.value_offsets()),
    };
    value_bytes + any.nulls().map_or(0, |nulls| nulls.len().div_ceil(8))
}

/// Bytes of all values of a text or binary column.
pub(super) fn text_bytes(offsets: &[i32]) -> usize {
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => (last - first) as usize,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;
    use arrow_array::{Int64Array, UInt64Array};

    use super::*;

    fn round_trip(array: ArrayRef) -> (ArrayRef, usize) {
        let shared = NarrowColumn::new(TypedArray::new(&array).unwrap());
        let mut column = ColumnBuffer::new(shared.field_type());
        shared.append_to(1..array.len(), &mut column);
        shared.append_to(0..1, &mut column);
        let back = column.finish();
        assert_eq!(back.slice(0, array.len() - 1).as_ref(), array.slice(1, array.len() - 1).as_ref());
        assert_eq!(back.slice(array.len() - 1, 1).as_ref(), array.slice(0, 1).as_ref());
        (back, shared.byte_len())
    }

    #[test]
    fn columns_of_every_type_come_back() {
        let wide = [Some(i64::MIN), None, Some(i64::MAX)];
        let narrow = [Some(1), None, Some(200)];
        round_trip(Arc::new(Int64Array::from_iter(wide)));
        assert_eq!(round_trip(Arc::new(Int64Array::from_iter(narrow))).1, 3 + 1);
        round_trip(Arc::new(UInt64Array::from_iter(wide.map(|value| value.map(i64::cast_unsigned)))));
        round_trip(Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])));
        round_trip(Arc::new(StringArray::from(vec![Some("a"), None, Some("")])));
        round_trip(Arc::new(BinaryArray::from_iter([Some(&b"a"[..]), None, Some(&b"\xFF"[..])])));
        round_trip(Arc::new(Float64Array::from(vec![Some(0.25), None, Some(-7.5)])));
    }

    #[test]
    fn floats_keep_every_bit_and_decimals_take_few_bytes() {
        let bits = |array: &ArrayRef| {
            array.as_primitive::<Float64Type>().values().iter().map(|value| value.to_bits()).collect::<Vec<_>>()
        };
        let decimals: Vec<f64> = (0..2000).map(|value| f64::from(value) / 100.0).collect();
        for special in [None, Some(-0.0), Some(f64::from_bits(0x7ff0_0000_0000_0002)), Some(1e300), Some(1.0 / 3.0)] {
            let mut values = decimals.clone();
            values.extend(special);
            // To the front, where the values that come back end.
            values.rotate_right(1);
            let array: ArrayRef = Arc::new(Float64Array::from(values));
            let shared = NarrowColumn::new(TypedArray::new(&array).unwrap());
            let mut column = ColumnBuffer::new(FieldType::F64);
            shared.append_to(0..array.len(), &mut column);
            assert_eq!(bits(&column.finish()), bits(&array));
            assert_eq!(shared.byte_len() / array.len(), if special.is_none() { 2 } else { 8 });
        }
    }

    #[test]
    fn a_slice_is_copied() {
        let thirds: Vec<f64> = (0..10_000).map(|value| f64::from(value) / 3.0).collect();
        let whole: ArrayRef = Arc::new(Float64Array::from(thirds));
        for (array, is_copied) in [(Arc::clone(&whole), false), (whole.slice(5, 100), true)] {
            let NarrowColumn::F64(kept) = NarrowColumn::new(TypedArray::new(&array).unwrap()) else {
                panic!("a column of doubles")
            };
            assert_eq!(&*kept as &dyn Array, array.as_ref());
            assert_eq!(kept.values().as_ptr() != array.as_primitive::<Float64Type>().values().as_ptr(), is_copied);
        }
    }
}
