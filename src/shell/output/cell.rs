//! The text of single values, the same in every text format.
//!
//! Time is UTC. Formats for people write `2026-01-01 00:00:00`; formats for programs add the `Z` (see `structured`).

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};

const OPTIONS: FormatOptions<'static> = FormatOptions::new()
    .with_display_error(true)
    .with_null("NULL")
    .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
    .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f%:z"));

/// Writes the values of one batch as text.
pub(super) struct CellFormatter<'a> {
    columns: Vec<(&'a ArrayRef, ArrayFormatter<'a>)>,
}

impl<'a> CellFormatter<'a> {
    /// Prepares the columns of a batch.
    pub(super) fn new(batch: &'a RecordBatch) -> Result<Self, ArrowError> {
        let columns = batch
            .columns()
            .iter()
            .map(|column| Ok((column, ArrayFormatter::try_new(column.as_ref(), &OPTIONS)?)))
            .collect::<Result<_, ArrowError>>()?;
        Ok(Self { columns })
    }

    /// The text of a value, free of control characters, or `None` for NULL.
    pub(super) fn text(&self, column: usize, row: usize) -> Option<String> {
        let (array, formatter) = &self.columns[column];
        // A dictionary value may be NULL behind a key that is not.
        let is_null = array.is_null(row) || array.logical_nulls().is_some_and(|nulls| nulls.is_null(row));
        (!is_null).then(|| escape_control(formatter.value(row).to_string()))
    }
}

/// Data must not move the cursor or colour the terminal of the one who looks at it.
fn escape_control(text: String) -> String {
    if !text.chars().any(char::is_control) {
        return text;
    }
    text.chars().fold(String::with_capacity(text.len() + 8), |mut escaped, c| {
        if c.is_control() {
            escaped.extend(c.escape_default())
        } else {
            escaped.push(c)
        }
        escaped
    })
}

/// Whether values of the type are aligned to the right.
pub(super) fn is_numeric(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, value) => is_numeric(value),
        other => other.is_numeric(),
    }
}

/// The name of a type as SQL and `CREATE TABLE` spell it.
pub(crate) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Timestamp(_, None) => "timestamp".into(),
        DataType::Timestamp(_, Some(zone)) => format!("timestamp {zone}"),
        DataType::Float64 => "double".into(),
        DataType::Float32 => "float".into(),
        DataType::Int64 => "bigint".into(),
        DataType::UInt64 => "bigint unsigned".into(),
        DataType::Int32 => "integer".into(),
        DataType::Boolean => "boolean".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytea".into(),
        DataType::Dictionary(_, value) => type_name(value),
        other => other.to_string().to_lowercase(),
    }
}
