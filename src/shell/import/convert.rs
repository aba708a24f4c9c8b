//! Makes batches of the table's columns from batches of a file's columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};

use super::epoch::TimeReader;
use super::layout::{Layout, is_text};
use super::source::SourceFile;
use crate::shell::error::{CommandError, Result};

/// The conversion of one file's batches; remembers how far it is, for errors.
pub(super) struct Converter {
    /// Columns to ask the file for, in this order.
    pub(super) source_columns: Vec<String>,
    schema: SchemaRef,
    constants: Vec<ArrayRef>,
    rows_before: u64,
}

impl Converter {
    /// The conversion of `file` to `layout`.
    pub(super) fn new(layout: &Layout, file: &SourceFile) -> Result<Self> {
        if !file.has_column(&layout.time_source) {
            let text = format!("the file has no time column '{}'", layout.time_source);
            return Err(CommandError::input(text).at(file.path.display().to_string()));
        }
        let mut source_columns = vec![layout.time_source.clone()];
        let mut fields = vec![Field::new(&layout.time, DataType::Timestamp(TimeUnit::Nanosecond, None), true)];
        let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        fields.extend(layout.constants.iter().map(|name| Field::new(name, text.clone(), true)));
        for name in layout.tags.iter().filter(|name| file.has_column(name)) {
            source_columns.push(name.clone());
            fields.push(Field::new(name, DataType::Utf8, true));
        }
        for (name, field_type) in layout.fields.iter().filter(|(name, _)| file.has_column(name)) {
            source_columns.push(name.clone());
            fields.push(Field::new(name, field_type.arrow_type(), true));
        }
        let constants = file.constants.iter().map(|value| Arc::new(StringArray::from(vec![value.as_str()])) as _);
        Ok(Self {
            source_columns,
            schema: Arc::new(Schema::new(fields)),
            constants: constants.collect(),
            rows_before: 0,
        })
    }

    /// Converts the next batch of the file, whose columns are `source_columns`.
    pub(super) fn convert(&mut self, batch: &RecordBatch, times: &mut TimeReader) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        let at = |row: usize| format!("row {}", self.rows_before + row as u64 + 1);
        let time = times.read(batch.column(0)).map_err(|(row, text)| CommandError::input(text).at(at(row)))?;
        let mut columns = vec![time];
        columns.extend(self.constants.iter().map(|value| repeated(value, rows)));
        let first_source = columns.len();
        for (source, target) in batch.columns()[1..].iter().zip(&self.schema.fields()[first_source..]) {
            let converted = convert_column(source, target.data_type());
            columns.push(
                converted
                    .map_err(|text| CommandError::input(format!("column '{}': {text}", target.name())).at(at(0)))?,
            );
        }
        // A tag keeps the encoding of its file, dictionary or plain; both are text to the table.
        let fields: Vec<Field> = self
            .schema
            .fields()
            .iter()
            .zip(&columns)
            .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true))
            .collect();
        let converted = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .map_err(|error| CommandError::input(error.to_string()).at(at(0)))?;
        self.rows_before += rows as u64;
        Ok(converted)
    }
}

fn convert_column(column: &ArrayRef, target: &DataType) -> Result<ArrayRef, String> {
    const STRICT: CastOptions<'static> =
        CastOptions { safe: false, format_options: arrow::util::display::FormatOptions::new() };
    if column.data_type() == target || (is_text(target) && is_text(column.data_type())) {
        return Ok(column.clone());
    }
    if matches!(column.data_type(), DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64)
        && target.is_integer()
    {
        let nanoseconds = DataType::Timestamp(TimeUnit::Nanosecond, None);
        let times = cast_with_options(column, &nanoseconds, &STRICT).map_err(|error| error.to_string())?;
        return cast_with_options(&times, target, &STRICT).map_err(|error| error.to_string());
    }
    cast_with_options(column, target, &STRICT).map_err(|error| error.to_string())
}

/// One value in every row.
fn repeated(value: &ArrayRef, rows: usize) -> ArrayRef {
    let keys = Int32Array::new(ScalarBuffer::from(vec![0; rows]), None);
    let array: DictionaryArray<Int32Type> =
        DictionaryArray::try_new(keys, value.clone()).expect("the dictionary has the one value that every key names");
    Arc::new(array)
}
