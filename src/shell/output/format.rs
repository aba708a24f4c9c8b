//! The formats of results and the one entry point that prints them.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

use super::table::{self, Shown, TableStyle};
use super::{structured, text};

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns in a box, for people
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// One JSON array of objects
    Json,
    /// One JSON object per line
    #[value(alias = "jsonlines", alias = "ndjson")]
    Jsonl,
    /// A Markdown table
    Markdown,
    /// One `column = value` line per value, for wide rows
    #[value(alias = "vertical")]
    Line,
}

impl Format {
    /// Every format with its name.
    pub(crate) const ALL: [(&'static str, Self); 6] = [
        ("table", Self::Table),
        ("csv", Self::Csv),
        ("json", Self::Json),
        ("jsonl", Self::Jsonl),
        ("markdown", Self::Markdown),
        ("line", Self::Line),
    ];

    /// The name of the format.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("table", |(name, _)| name)
    }
}

/// Rows to print.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// Their columns.
    pub(crate) schema: &'a SchemaRef,
    /// The rows; each batch has this schema.
    pub(crate) batches: &'a [RecordBatch],
}

/// Rows that are turned into bytes at a time; bounds the memory of a large result's text.
const CHUNK_ROWS: usize = 8_192;

impl Rows<'_> {
    /// How many rows there are.
    pub(crate) fn count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The rows in pieces of bounded size.
    pub(super) fn chunks(&self) -> impl Iterator<Item = RecordBatch> + '_ {
        self.batches.iter().flat_map(|batch| {
            (0..batch.num_rows())
                .step_by(CHUNK_ROWS)
                .map(move |start| batch.slice(start, CHUNK_ROWS.min(batch.num_rows() - start)))
        })
    }

    /// Prints the rows, and says how many of them.
    ///
    /// # Errors
    /// What `out` reports, unchanged; and `InvalidData` for values that the format cannot hold.
    pub(crate) fn print(&self, format: Format, style: &TableStyle, out: &mut dyn Write) -> io::Result<Shown> {
        match format {
            Format::Table => return table::print(self, style, out),
            Format::Csv => structured::print_csv(self, out)?,
            Format::Json => structured::print_json(self, out)?,
            Format::Jsonl => structured::print_json_lines(self, out)?,
            Format::Markdown => text::print_markdown(self, out)?,
            Format::Line => text::print_lines(self, out)?,
        }
        Ok(Shown { rows: self.count(), columns: self.schema.fields().len() })
    }
}

/// An Arrow error that arose while bytes were made, before any output.
pub(super) fn format_error(error: ArrowError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
