//! An append-only column of one series, growing from Arrow arrays and turning into one without a copy.
//!
//! Not synchronised: the series buffer that owns it holds a lock. Validity bits are kept only once a NULL came.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, BooleanBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, PrimitiveArray, UInt64Array};
use arrow_array::{ArrowPrimitiveType, BinaryArray, StringArray};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, ScalarBuffer};

use super::active_chunk::CHUNK_ROWS;
use crate::types::FieldType;

/// A field column of a batch with its type resolved once, so that appending a row does no dynamic cast.
#[derive(Debug, Clone, Copy)]
pub(crate) enum TypedArray<'a> {
    F64(&'a Float64Array),
    I64(&'a Int64Array),
    U64(&'a UInt64Array),
    Bool(&'a BooleanArray),
    String(&'a StringArray),
    Binary(&'a BinaryArray),
}

impl<'a> TypedArray<'a> {
    /// Resolves the type of a field array; `None` when it is no field type.
    pub(crate) fn new(array: &'a ArrayRef) -> Option<Self> {
        use arrow_schema::DataType;
        Some(match array.data_type() {
            DataType::Float64 => Self::F64(array.as_primitive::<Float64Type>()),
            DataType::Int64 => Self::I64(array.as_primitive::<Int64Type>()),
            DataType::UInt64 => Self::U64(array.as_primitive::<UInt64Type>()),
            DataType::Boolean => Self::Bool(array.as_boolean()),
            DataType::Utf8 => Self::String(array.as_string::<i32>()),
            DataType::Binary => Self::Binary(array.as_binary::<i32>()),
            _ => return None,
        })
    }

    /// The field type of the array.
    pub(crate) fn field_type(self) -> FieldType {
        match self {
            Self::F64(_) => FieldType::F64,
            Self::I64(_) => FieldType::I64,
            Self::U64(_) => FieldType::U64,
            Self::Bool(_) => FieldType::Bool,
            Self::String(_) => FieldType::String,
            Self::Binary(_) => FieldType::Binary,
        }
    }
}

/// Values of a fixed width with their validity.
#[derive(Debug)]
pub(crate) struct Primitives<T> {
    values: Vec<T>,
    /// One bit per value once a NULL came. Boxed, as the builders below: columns that are mostly without stand close
    /// together, and a batch of many series touches as little memory as can be.
    validity: Option<Box<BooleanBufferBuilder>>,
}

impl<T: Copy + Default> Primitives<T> {
    fn new() -> Self {
        Self { values: Vec::new(), validity: None }
    }

    fn append(&mut self, values: &[T], nulls: Option<&NullBuffer>, rows: Range<usize>) {
        append_validity(&mut self.validity, self.values.len(), nulls, &rows);
        reserve(&mut self.values, rows.len());
        if let [value] = values[rows.clone()] {
            self.values.push(value);
        } else {
            self.values.extend_from_slice(&values[rows]);
        }
    }

    /// Appends the values of `rows`, which `append` gives, with their nulls.
    pub(super) fn extend(&mut self, nulls: Option<&NullBuffer>, rows: &Range<usize>, append: impl FnOnce(&mut Vec<T>)) {
        append_validity(&mut self.validity, self.values.len(), nulls, rows);
        append(&mut self.values);
    }

    fn append_nulls(&mut self, count: usize) {
        append_nulls(&mut self.validity, self.values.len(), count);
        self.values.resize(self.values.len() + count, T::default());
    }
}

/// Makes room for `additional` values: twice the room of before, but not more than a whole chunk needs.
pub(super) fn reserve<T>(values: &mut Vec<T>, additional: usize) {
    let (len, capacity) = (values.len(), values.capacity());
    if capacity - len < additional {
        values.reserve_exact((len + additional).max((2 * capacity).min(CHUNK_ROWS)) - len);
    }
}

fn append_validity(
    validity: &mut Option<Box<BooleanBufferBuilder>>,
    len: usize,
    nulls: Option<&NullBuffer>,
    rows: &Range<usize>,
) {
    match (validity.as_mut(), nulls) {
        (None, None) => {}
        (Some(bits), None) => bits.append_n(rows.len(), true),
        (_, Some(nulls)) => {
            let bits = validity.get_or_insert_with(|| all_valid(len));
            for row in rows.clone() {
                bits.append(nulls.is_valid(row));
            }
        }
    }
}

fn append_nulls(validity: &mut Option<Box<BooleanBufferBuilder>>, len: usize, count: usize) {
    if count > 0 {
        validity.get_or_insert_with(|| all_valid(len)).append_n(count, false);
    }
}

fn all_valid(len: usize) -> Box<BooleanBufferBuilder> {
    let mut bits = BooleanBufferBuilder::new(len + 64);
    bits.append_n(len, true);
    Box::new(bits)
}

/// A growing column.
#[derive(Debug)]
pub(crate) enum ColumnBuffer {
    F64(Primitives<f64>),
    I64(Primitives<i64>),
    U64(Primitives<u64>),
    Bool(Box<BooleanBuilder>),
    String(Box<StringBuilder>),
    Binary(Box<BinaryBuilder>),
}

impl ColumnBuffer {
    pub(crate) fn new(field_type: FieldType) -> Self {
        match field_type {
            FieldType::F64 => Self::F64(Primitives::new()),
            FieldType::I64 => Self::I64(Primitives::new()),
            FieldType::U64 => Self::U64(Primitives::new()),
            FieldType::Bool => Self::Bool(Box::new(BooleanBuilder::with_capacity(64))),
            FieldType::String => Self::String(Box::new(StringBuilder::with_capacity(8, 64))),
            FieldType::Binary => Self::Binary(Box::new(BinaryBuilder::with_capacity(8, 64))),
        }
    }

    pub(crate) fn len(&self) -> usize {
        use arrow_array::builder::ArrayBuilder;
        match self {
            Self::F64(column) => column.values.len(),
            Self::I64(column) => column.values.len(),
            Self::U64(column) => column.values.len(),
            Self::Bool(column) => column.len(),
            Self::String(column) => column.len(),
            Self::Binary(column) => column.len(),
        }
    }

    /// Makes room for `additional` values of fixed width.
    pub(super) fn reserve(&mut self, additional: usize) {
        match self {
            Self::F64(column) => reserve(&mut column.values, additional),
            Self::I64(column) => reserve(&mut column.values, additional),
            Self::U64(column) => reserve(&mut column.values, additional),
            Self::Bool(_) | Self::String(_) | Self::Binary(_) => {}
        }
    }

    /// Appends rows of `array` and returns the bytes that came with them.
    ///
    /// An array of another type appends NULLs: the engine has checked types before it logged the batch.
    pub(crate) fn append(&mut self, array: TypedArray<'_>, rows: Range<usize>) -> usize {
        match (self, array) {
            (Self::F64(column), TypedArray::F64(array)) => {
                column.append(array.values(), array.nulls(), rows.clone());
                8 * rows.len()
            }
            (Self::I64(column), TypedArray::I64(array)) => {
                column.append(array.values(), array.nulls(), rows.clone());
                8 * rows.len()
            }
            (Self::U64(column), TypedArray::U64(array)) => {
                column.append(array.values(), array.nulls(), rows.clone());
                8 * rows.len()
            }
            (Self::Bool(column), TypedArray::Bool(array)) => {
                for row in rows.clone() {
                    column.append_option(array.is_valid(row).then(|| array.value(row)));
                }
                rows.len()
            }
            (Self::String(column), TypedArray::String(array)) => {
                for row in rows.clone() {
                    column.append_option(array.is_valid(row).then(|| array.value(row)));
                }
                rows.clone().map(|row| 4 + array.value_length(row) as usize).sum()
            }
            (Self::Binary(column), TypedArray::Binary(array)) => {
                for row in rows.clone() {
                    column.append_option(array.is_valid(row).then(|| array.value(row)));
                }
                rows.clone().map(|row| 4 + array.value_length(row) as usize).sum()
            }
            (column, _) => column.append_nulls(rows.len()),
        }
    }

    /// Appends NULLs and returns the bytes that came with them.
    pub(crate) fn append_nulls(&mut self, count: usize) -> usize {
        match self {
            Self::F64(column) => column.append_nulls(count),
            Self::I64(column) => column.append_nulls(count),
            Self::U64(column) => column.append_nulls(count),
            Self::Bool(column) => column.append_nulls(count),
            Self::String(column) => (0..count).for_each(|_| column.append_null()),
            Self::Binary(column) => (0..count).for_each(|_| column.append_null()),
        }
        8 * count
    }

    /// Copies the first `len` values.
    pub(crate) fn copy_prefix(&self, len: usize) -> ArrayRef {
        match self {
            Self::F64(column) => copy_primitives::<Float64Type>(column, 0..len),
            Self::I64(column) => copy_primitives::<Int64Type>(column, 0..len),
            Self::U64(column) => copy_primitives::<UInt64Type>(column, 0..len),
            Self::Bool(column) => Arc::new(column.finish_cloned().slice(0, len)),
            Self::String(column) => Arc::new(column.finish_cloned().slice(0, len)),
            Self::Binary(column) => Arc::new(column.finish_cloned().slice(0, len)),
        }
    }

    /// Copies one value.
    pub(super) fn copy_row(&self, row: usize) -> ArrayRef {
        match self {
            Self::F64(column) => copy_primitives::<Float64Type>(column, row..row + 1),
            Self::I64(column) => copy_primitives::<Int64Type>(column, row..row + 1),
            Self::U64(column) => copy_primitives::<UInt64Type>(column, row..row + 1),
            Self::Bool(_) | Self::String(_) | Self::Binary(_) => self.copy_prefix(row + 1).slice(row, 1),
        }
    }

    /// The whole column as an array; the buffer is used up.
    pub(crate) fn finish(self) -> ArrayRef {
        match self {
            Self::F64(column) => finish_primitives::<Float64Type>(column),
            Self::I64(column) => finish_primitives::<Int64Type>(column),
            Self::U64(column) => finish_primitives::<UInt64Type>(column),
            Self::Bool(mut column) => Arc::new(column.finish()),
            Self::String(mut column) => Arc::new(column.finish()),
            Self::Binary(mut column) => Arc::new(column.finish()),
        }
    }
}

fn copy_primitives<T: ArrowPrimitiveType>(column: &Primitives<T::Native>, rows: Range<usize>) -> ArrayRef {
    let nulls = column.validity.as_ref().map(|bits| {
        let bits = bits.finish_cloned();
        NullBuffer::new(bits.slice(rows.start, rows.len()))
    });
    let values = ScalarBuffer::from(column.values[rows].to_vec());
    Arc::new(PrimitiveArray::<T>::new(values, nulls))
}

fn finish_primitives<T: ArrowPrimitiveType>(column: Primitives<T::Native>) -> ArrayRef {
    let nulls = column.validity.map(|mut bits| NullBuffer::new(bits.finish()));
    Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(column.values), nulls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_before_during_and_after_keep_their_places() {
        let array: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]));
        let mut column = ColumnBuffer::new(FieldType::I64);
        column.append_nulls(1);
        column.append(TypedArray::new(&array).unwrap(), 0..3);
        column.append_nulls(1);
        column.append(TypedArray::new(&array).unwrap(), 2..3);
        let expected = Int64Array::from(vec![None, Some(1), None, Some(3), None, Some(3)]);
        assert_eq!(column.copy_prefix(6).as_primitive::<Int64Type>(), &expected);
        assert_eq!(column.copy_prefix(2).as_primitive::<Int64Type>(), &expected.slice(0, 2));
        assert_eq!(column.finish().as_primitive::<Int64Type>(), &expected);
    }

    #[test]
    fn floats_keep_every_bit() {
        let bits = [0x7ff0_0000_0000_0002_u64, 0x8000_0000_0000_0000, 0xfff8_dead_beef_0001];
        let array: ArrayRef = Arc::new(Float64Array::from_iter_values(bits.map(f64::from_bits)));
        let mut column = ColumnBuffer::new(FieldType::F64);
        column.append(TypedArray::new(&array).unwrap(), 0..3);
        let out = column.finish();
        let out: Vec<u64> = out.as_primitive::<Float64Type>().values().iter().map(|v| v.to_bits()).collect();
        assert_eq!(out, bits);
    }

    #[test]
    fn strings_and_booleans_round_trip() {
        let strings: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("")]));
        let mut column = ColumnBuffer::new(FieldType::String);
        column.append(TypedArray::new(&strings).unwrap(), 0..3);
        assert_eq!(column.finish().as_string::<i32>(), strings.as_string::<i32>());
        let bools: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]));
        let mut column = ColumnBuffer::new(FieldType::Bool);
        column.append(TypedArray::new(&bools).unwrap(), 0..3);
        assert_eq!(column.finish().as_boolean(), bools.as_boolean());
    }
}
