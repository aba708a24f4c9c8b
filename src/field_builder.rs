//! A field column that grows value by value, whoever brings the values: the appender, a protocol.
//!
//! A column never changes its type silently: an integer goes into an F64 field, nothing else is converted.

use std::sync::Arc;

use arrow::array::{
    ArrayBuilder, ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, UInt64Builder,
};
use lynxstore_storage::types::FieldType;

/// A value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FieldValue<'a> {
    /// For F64 fields.
    F64(f64),
    /// For I64, and for F64 fields.
    I64(i64),
    /// For U64, and for F64 fields.
    U64(u64),
    /// For Bool fields.
    Bool(bool),
    /// For String fields.
    String(&'a str),
    /// For Binary fields.
    Binary(&'a [u8]),
}

macro_rules! from {
    ($($source:ty => $variant:ident),*) => {
        $(impl<'a> From<$source> for FieldValue<'a> {
            fn from(value: $source) -> Self {
                Self::$variant(value)
            }
        })*
    };
}

from!(f64 => F64, i64 => I64, u64 => U64, bool => Bool, &'a str => String, &'a [u8] => Binary);

impl FieldValue<'_> {
    /// The type of a field that holds just such values.
    pub fn field_type(&self) -> FieldType {
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

/// The values of a field so far.
#[derive(Debug)]
pub(crate) enum FieldBuilder {
    F64(Float64Builder),
    I64(Int64Builder),
    U64(UInt64Builder),
    Bool(BooleanBuilder),
    String(StringBuilder),
    Binary(BinaryBuilder),
}

macro_rules! each {
    ($self:expr, $builder:ident => $body:expr) => {
        match $self {
            Self::F64($builder) => $body,
            Self::I64($builder) => $body,
            Self::U64($builder) => $body,
            Self::Bool($builder) => $body,
            Self::String($builder) => $body,
            Self::Binary($builder) => $body,
        }
    };
}

impl FieldBuilder {
    /// An empty column that takes no memory before its first value.
    pub(crate) fn new(field_type: FieldType) -> Self {
        match field_type {
            FieldType::F64 => Self::F64(Float64Builder::with_capacity(0)),
            FieldType::I64 => Self::I64(Int64Builder::with_capacity(0)),
            FieldType::U64 => Self::U64(UInt64Builder::with_capacity(0)),
            FieldType::Bool => Self::Bool(BooleanBuilder::with_capacity(0)),
            FieldType::String => Self::String(StringBuilder::with_capacity(0, 0)),
            FieldType::Binary => Self::Binary(BinaryBuilder::with_capacity(0, 0)),
        }
    }

    /// The type of its values.
    #[cfg(feature = "async")]
    pub(crate) fn field_type(&self) -> FieldType {
        match self {
            Self::F64(_) => FieldType::F64,
            Self::I64(_) => FieldType::I64,
            Self::U64(_) => FieldType::U64,
            Self::Bool(_) => FieldType::Bool,
            Self::String(_) => FieldType::String,
            Self::Binary(_) => FieldType::Binary,
        }
    }

    pub(crate) fn len(&self) -> usize {
        each!(self, builder => builder.len())
    }

    /// Appends a value; `false` when it does not fit the type.
    pub(crate) fn append(&mut self, value: FieldValue<'_>) -> bool {
        match (self, value) {
            (Self::F64(builder), FieldValue::F64(value)) => builder.append_value(value),
            (Self::F64(builder), FieldValue::I64(value)) => builder.append_value(value as f64),
            (Self::F64(builder), FieldValue::U64(value)) => builder.append_value(value as f64),
            (Self::I64(builder), FieldValue::I64(value)) => builder.append_value(value),
            (Self::U64(builder), FieldValue::U64(value)) => builder.append_value(value),
            (Self::Bool(builder), FieldValue::Bool(value)) => builder.append_value(value),
            (Self::String(builder), FieldValue::String(value)) => builder.append_value(value),
            (Self::Binary(builder), FieldValue::Binary(value)) => builder.append_value(value),
            _ => return false,
        }
        true
    }

    /// Appends NULLs until there are `rows` values.
    pub(crate) fn pad(&mut self, rows: usize) {
        let missing = rows.saturating_sub(self.len());
        if missing > 0 {
            each!(self, builder => builder.append_nulls(missing));
        }
    }

    /// Turns integers into floats; other columns stay as they are. Only for a column that the table does not have yet.
    #[cfg(feature = "async")]
    pub(crate) fn widen_to_f64(&mut self) {
        let values: Float64Builder = match self {
            Self::I64(builder) => collect(builder.finish().iter().map(|value| value.map(|value| value as f64))),
            Self::U64(builder) => collect(builder.finish().iter().map(|value| value.map(|value| value as f64))),
            _ => return,
        };
        *self = Self::F64(values);
    }

    pub(crate) fn finish(&mut self) -> ArrayRef {
        each!(self, builder => Arc::new(builder.finish()))
    }
}

#[cfg(feature = "async")]
fn collect(values: impl Iterator<Item = Option<f64>>) -> Float64Builder {
    let mut builder = Float64Builder::with_capacity(0);
    values.for_each(|value| builder.append_option(value));
    builder
}
