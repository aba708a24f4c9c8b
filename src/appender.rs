//! Builds a batch row by row.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, StringDictionaryBuilder,
    TimestampNanosecondArray, UInt64Builder,
};
use arrow::datatypes::{Field, Int32Type, Schema};
use arrow::record_batch::RecordBatch;
use lynxstore_storage::engine::{Ack, WriteReceipt};
use lynxstore_storage::types::{FieldType, TableSchema};

use crate::database::Database;
use crate::error::{Error, Result};

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

/// Collects rows of one table. Nothing is written before [`Appender::flush`] or [`Appender::finish`], which make all rows
/// since the last flush one commit.
pub struct Appender {
    database: Database,
    table: Arc<TableSchema>,
    ack: Ack,
    times: Vec<i64>,
    tags: Vec<StringDictionaryBuilder<Int32Type>>,
    fields: Vec<FieldBuilder>,
}

impl std::fmt::Debug for Appender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Builders of dictionaries have no `Debug` of their own.
        let Self { table, ack, times, .. } = self;
        f.debug_struct("Appender")
            .field("table", &table.name)
            .field("ack", ack)
            .field("rows", &times.len())
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum FieldBuilder {
    F64(Float64Builder),
    I64(Int64Builder),
    U64(UInt64Builder),
    Bool(BooleanBuilder),
    String(StringBuilder),
    Binary(BinaryBuilder),
}

/// A row that is being filled; columns that are not set are NULL.
#[derive(Debug)]
pub struct AppenderRow<'a> {
    appender: &'a mut Appender,
}

impl Appender {
    pub(crate) fn new(database: Database, table: Arc<TableSchema>) -> Self {
        let tags = table.tags.iter().map(|_| StringDictionaryBuilder::new()).collect();
        let fields = table.fields.iter().map(|field| FieldBuilder::new(field.field_type)).collect();
        Self { database, table, ack: Ack::Durable, times: Vec::new(), tags, fields }
    }

    /// Sets how safe the rows are when a flush returns. Default: [`Ack::Durable`].
    #[must_use]
    pub fn ack(mut self, ack: Ack) -> Self {
        self.ack = ack;
        self
    }

    /// Begins a row at a time in nanoseconds since 1970, UTC.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when a batch holds as many rows as a commit can.
    pub fn row(&mut self, time_ns: i64) -> Result<AppenderRow<'_>> {
        if self.times.len() >= u32::MAX as usize {
            return Err(Error::invalid("a commit holds at most 4,294,967,295 rows: flush the appender before"));
        }
        self.complete_row();
        self.times.push(time_ns);
        Ok(AppenderRow { appender: self })
    }

    /// Rows since the last flush.
    pub fn row_count(&self) -> usize {
        self.times.len()
    }

    /// Writes the rows since the last flush as one commit; `None` when there are none.
    ///
    /// # Errors
    /// As [`Database::write`]; the rows are gone from the appender.
    pub fn flush(&mut self) -> Result<Option<WriteReceipt>> {
        self.complete_row();
        if self.times.is_empty() {
            return Ok(None);
        }
        let table = &self.table;
        let mut columns: Vec<(Field, ArrayRef)> = Vec::with_capacity(1 + self.tags.len() + self.fields.len());
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(std::mem::take(&mut self.times)));
        columns.push((Field::new(&table.time.name, times.data_type().clone(), false), times));
        for (tag, builder) in table.tags.iter().zip(&mut self.tags) {
            let array: ArrayRef = Arc::new(builder.finish());
            columns.push((Field::new(&tag.name, array.data_type().clone(), true), array));
        }
        for (field, builder) in table.fields.iter().zip(&mut self.fields) {
            let array = builder.finish();
            columns.push((Field::new(&field.name, array.data_type().clone(), true), array));
        }
        let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|error| Error::invalid(error.to_string()))?;
        self.database.write_with(&table.name, &batch, self.ack).map(Some)
    }

    /// Writes what is left and ends the appender. An appender that is dropped without it loses its rows.
    ///
    /// # Errors
    /// As [`Appender::flush`].
    pub fn finish(mut self) -> Result<Option<WriteReceipt>> {
        self.flush()
    }

    /// Fills the columns that the current row does not have.
    fn complete_row(&mut self) {
        use arrow::array::ArrayBuilder;
        let rows = self.times.len();
        for tag in &mut self.tags {
            if tag.len() < rows {
                tag.append_null();
            }
        }
        for field in &mut self.fields {
            if field.len() < rows {
                field.append_null();
            }
        }
    }
}

impl AppenderRow<'_> {
    /// Sets a tag.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when the table has no such tag, or the row has it already.
    pub fn tag(self, name: &str, value: &str) -> Result<Self> {
        use arrow::array::ArrayBuilder;
        let Appender { table, tags, times, .. } = &mut *self.appender;
        let index = table
            .tag_index(name)
            .ok_or_else(|| Error::invalid(format!("table '{}' has no tag '{name}'", table.name)))?;
        if tags[index].len() >= times.len() {
            return Err(Error::invalid(format!("tag '{name}' is set twice in one row")));
        }
        tags[index]
            .append(value)
            .map_err(|error| Error::invalid(format!("tag '{name}': {error}; flush the appender")))?;
        Ok(self)
    }

    /// Sets a field.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) when the table has no such field, the value is of another type,
    /// or the row has it already.
    pub fn field<'v>(self, name: &str, value: impl Into<FieldValue<'v>>) -> Result<Self> {
        let Appender { table, fields, times, .. } = &mut *self.appender;
        let index = table
            .field_index(name)
            .ok_or_else(|| Error::invalid(format!("table '{}' has no field '{name}'", table.name)))?;
        if fields[index].len() >= times.len() {
            return Err(Error::invalid(format!("field '{name}' is set twice in one row")));
        }
        if !fields[index].append(value.into()) {
            return Err(Error::invalid(format!(
                "field '{name}' of table '{}' is {}: the value is of another type",
                table.name,
                table.fields[index].field_type.arrow_type()
            )));
        }
        Ok(self)
    }
}

impl FieldBuilder {
    fn new(field_type: FieldType) -> Self {
        match field_type {
            FieldType::F64 => Self::F64(Float64Builder::new()),
            FieldType::I64 => Self::I64(Int64Builder::new()),
            FieldType::U64 => Self::U64(UInt64Builder::new()),
            FieldType::Bool => Self::Bool(BooleanBuilder::new()),
            FieldType::String => Self::String(StringBuilder::new()),
            FieldType::Binary => Self::Binary(BinaryBuilder::new()),
        }
    }

    fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        match self {
            Self::F64(builder) => builder.len(),
            Self::I64(builder) => builder.len(),
            Self::U64(builder) => builder.len(),
            Self::Bool(builder) => builder.len(),
            Self::String(builder) => builder.len(),
            Self::Binary(builder) => builder.len(),
        }
    }

    /// Appends a value; `false` when it does not fit the type.
    fn append(&mut self, value: FieldValue<'_>) -> bool {
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

    fn append_null(&mut self) {
        match self {
            Self::F64(builder) => builder.append_null(),
            Self::I64(builder) => builder.append_null(),
            Self::U64(builder) => builder.append_null(),
            Self::Bool(builder) => builder.append_null(),
            Self::String(builder) => builder.append_null(),
            Self::Binary(builder) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::F64(builder) => Arc::new(builder.finish()),
            Self::I64(builder) => Arc::new(builder.finish()),
            Self::U64(builder) => Arc::new(builder.finish()),
            Self::Bool(builder) => Arc::new(builder.finish()),
            Self::String(builder) => Arc::new(builder.finish()),
            Self::Binary(builder) => Arc::new(builder.finish()),
        }
    }
}
