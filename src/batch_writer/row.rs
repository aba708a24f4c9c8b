//! A row that owns what is in it, for its way through the queue.

use crate::field_builder::FieldValue;

/// A value of a field that a queue can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnedValue {
    /// For F64 fields.
    F64(f64),
    /// For I64, and for F64 fields.
    I64(i64),
    /// For U64, and for F64 fields.
    U64(u64),
    /// For Bool fields.
    Bool(bool),
    /// For String fields.
    String(String),
    /// For Binary fields.
    Binary(Vec<u8>),
}

impl OwnedValue {
    pub(super) fn as_field(&self) -> FieldValue<'_> {
        match self {
            Self::F64(value) => FieldValue::F64(*value),
            Self::I64(value) => FieldValue::I64(*value),
            Self::U64(value) => FieldValue::U64(*value),
            Self::Bool(value) => FieldValue::Bool(*value),
            Self::String(value) => FieldValue::String(value),
            Self::Binary(value) => FieldValue::Binary(value),
        }
    }
}

impl<'v, T: Into<FieldValue<'v>>> From<T> for OwnedValue {
    fn from(value: T) -> Self {
        match value.into() {
            FieldValue::F64(value) => Self::F64(value),
            FieldValue::I64(value) => Self::I64(value),
            FieldValue::U64(value) => Self::U64(value),
            FieldValue::Bool(value) => Self::Bool(value),
            FieldValue::String(value) => Self::String(value.to_owned()),
            FieldValue::Binary(value) => Self::Binary(value.to_owned()),
        }
    }
}

/// A row of any table.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchRow {
    pub(super) table: String,
    pub(super) time_ns: i64,
    pub(super) tags: Vec<(String, String)>,
    pub(super) fields: Vec<(String, OwnedValue)>,
}

impl BatchRow {
    /// A row of a table at a time in nanoseconds since 1970, UTC.
    pub fn new(table: impl Into<String>, time_ns: i64) -> Self {
        Self { table: table.into(), time_ns, tags: Vec::new(), fields: Vec::new() }
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((name.into(), value.into()));
        self
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<OwnedValue>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }
}
