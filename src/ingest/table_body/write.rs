//! From a body to one commit.

#[cfg(feature = "files")]
use super::parquet;
use super::{arrow_stream, csv};
use crate::ingest::rows::{RowOutcome, RowWriter, RowsError};

/// The form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// An Arrow IPC stream.
    ArrowStream,
    /// CSV with a header line.
    Csv,
    /// A Parquet file.
    #[cfg(feature = "files")]
    Parquet,
}

/// Writes the rows of a body into a table. `has_room` is asked whether so many bytes may be taken beside the body, where a
/// body is unpacked to more than it is.
///
/// # Errors
/// `NotFound` when there is no such table, `Malformed` when the body is none or does not fit the table, `TooLarge`,
/// `NoRoom`, `Store`; nothing was written then.
#[cfg_attr(not(feature = "files"), expect(unused_variables, reason = "other bodies are read where they lie"))]
pub fn write(
    writer: &RowWriter,
    table: &str,
    format: BodyFormat,
    body: &[u8],
    has_room: &mut dyn FnMut(usize) -> bool,
) -> Result<RowOutcome, RowsError> {
    let Some(schema) = writer.table(table)? else {
        return Err(RowsError::NotFound(table.chars().take(100).collect()));
    };
    let batch = match format {
        BodyFormat::ArrowStream => arrow_stream::read(body, writer.limits())?,
        BodyFormat::Csv => csv::read(&schema, body, writer.limits())?,
        #[cfg(feature = "files")]
        BodyFormat::Parquet => parquet::read(&schema, body, writer.limits(), has_room)?,
    };
    match batch {
        Some(batch) => writer.write_batch(&schema, &batch),
        None => Ok(RowOutcome::default()),
    }
}
