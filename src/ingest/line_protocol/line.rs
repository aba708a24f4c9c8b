//! A line in its parts.

use std::borrow::Cow;

use crate::field_builder::FieldValue;

/// A line; its fields are with the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Number of the line in the text, from 1.
    pub number: usize,
    /// Measurement and tags as they came, escapes and all.
    pub series: &'a str,
    /// The timestamp, in a unit that the line does not say.
    pub time: Option<i64>,
}

/// A field of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct LineField<'a> {
    /// Its name, without escapes.
    pub name: Cow<'a, str>,
    /// Its value.
    pub value: LineValue<'a>,
}

/// A value as a line spells its type.
#[derive(Debug, Clone, PartialEq)]
pub enum LineValue<'a> {
    /// A number without a suffix.
    F64(f64),
    /// A number with the suffix `i`.
    I64(i64),
    /// A number with the suffix `u`.
    U64(u64),
    /// `t`, `true`, `f`, `false` and so on.
    Bool(bool),
    /// Text in quotes, without escapes.
    String(Cow<'a, str>),
}

impl LineValue<'_> {
    /// The value for a field of a table.
    pub fn as_field(&self) -> FieldValue<'_> {
        match self {
            Self::F64(value) => FieldValue::F64(*value),
            Self::I64(value) => FieldValue::I64(*value),
            Self::U64(value) => FieldValue::U64(*value),
            Self::Bool(value) => FieldValue::Bool(*value),
            Self::String(value) => FieldValue::String(value),
        }
    }
}
