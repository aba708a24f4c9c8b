//! CSV and JSON, by Arrow's writers, chunk by chunk through a buffer so that an I/O error keeps its kind.
//!
//! Timestamps are ISO 8601 with `Z`. NULL is an empty CSV field and a JSON `null`; NaN and infinities are `null` in JSON.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::json::writer::{JsonArray, JsonFormat, LineDelimited};
use arrow::json::{WriterBuilder, writer};

use super::format::{Rows, format_error};

const TIMESTAMP: &str = "%Y-%m-%dT%H:%M:%S%.fZ";
const TIMESTAMP_WITH_ZONE: &str = "%Y-%m-%dT%H:%M:%S%.f%:z";

/// Prints a header line and the rows.
pub(super) fn print_csv(rows: &Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut header = Some(RecordBatch::new_empty(rows.schema.clone()));
    let mut buffer = Vec::new();
    let chunks = rows.chunks().map(|chunk| (false, chunk));
    for (is_header, chunk) in header.take().map(|empty| (true, empty)).into_iter().chain(chunks) {
        buffer.clear();
        csv::WriterBuilder::new()
            .with_header(is_header)
            .with_timestamp_format(TIMESTAMP.into())
            .with_timestamp_tz_format(TIMESTAMP_WITH_ZONE.into())
            .build(&mut buffer)
            .write(&chunk)
            .map_err(format_error)?;
        out.write_all(&buffer)?;
    }
    Ok(())
}

/// Prints one array.
pub(super) fn print_json(rows: &Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
    print_with::<JsonArray>(rows, out)?;
    out.write_all(b"\n")
}

/// Prints one object per line.
pub(super) fn print_json_lines(rows: &Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
    print_with::<LineDelimited>(rows, out)
}

fn print_with<F: JsonFormat>(rows: &Rows<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut json: writer::Writer<Vec<u8>, F> = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format(TIMESTAMP.into())
        .with_timestamp_tz_format(TIMESTAMP_WITH_ZONE.into())
        .build(Vec::new());
    for chunk in rows.chunks() {
        json.write(&chunk).map_err(format_error)?;
        out.write_all(json.get_ref())?;
        json.get_mut().clear();
    }
    json.finish().map_err(format_error)?;
    out.write_all(json.get_ref())
}
