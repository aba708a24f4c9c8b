//! From a body to one commit.

use super::{arrow_stream, csv};
use crate::ingest::rows::{RowOutcome, RowWriter, RowsError};

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// An Arrow IPC stream.
    ArrowStream,
    /// CSV with a header line.
    Csv,
}

/// Writes the rows of a body into a table.
///
/// # Errors
/// `NotFound` when there is no such table, `Malformed` when the body is none or does not fit the table, `TooLarge`,
/// `Store`; nothing was written then.
pub fn write(writer: &RowWriter, table: &str, format: BodyFormat, body: &[u8]) -> Result<RowOutcome, RowsError> {
    let Some(schema) = writer.table(table)? else {
        return Err(RowsError::NotFound(table.chars().take(100).collect()));
    };
    let batch = match format {
        BodyFormat::ArrowStream => arrow_stream::read(body, writer.limits())?,
        BodyFormat::Csv => csv::read(&schema, body, writer.limits())?,
    };
    match batch {
        Some(batch) => writer.write_batch(&schema, &batch),
        None => Ok(RowOutcome::default()),
    }
}
