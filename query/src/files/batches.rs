//! The rows of a set of files as a stream of record batches of one schema.
//!
//! At most one file is open and one batch in memory at a time.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};

use super::FileError;
use super::csv::CsvReader;
use super::file_set::{Content, Input};
use super::parquet::ParquetReader;

/// An iterator over the batches of one or more files. After an error it is at its end.
pub struct FileBatches {
    inputs: Arc<Vec<Input>>,
    next_inputs: Range<usize>,
    schema: SchemaRef,
    batch_rows: usize,
    current: Option<Current>,
    done_bytes: u64,
    total_bytes: u64,
    total_rows: Option<u64>,
}

/// The file that is being read.
struct Current {
    input: usize,
    reader: Reader,
    /// Per output column its place in the reader's batches; `None` where the file lacks it.
    places: Vec<Option<usize>>,
}

enum Reader {
    Csv { reader: Box<CsvReader>, read_bytes: Arc<AtomicU64> },
    Parquet { reader: Box<ParquetReader>, read_rows: u64 },
}

impl FileBatches {
    pub(super) fn new(inputs: Arc<Vec<Input>>, files: Range<usize>, schema: SchemaRef, batch_rows: usize) -> Self {
        let total_bytes = inputs[files.clone()].iter().map(|input| input.len_bytes).sum();
        let total_rows = inputs[files.clone()]
            .iter()
            .map(|input| match &input.content {
                Content::Csv(_) => None,
                Content::Parquet(file) => Some(file.row_count()),
            })
            .sum();
        Self { inputs, next_inputs: files, schema, batch_rows, current: None, done_bytes: 0, total_bytes, total_rows }
    }

    /// Columns and types of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Number of rows in all files, when their formats say it.
    pub fn total_rows(&self) -> Option<u64> {
        self.total_rows
    }

    /// Size of all files.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// How many of [`FileBatches::total_bytes`] were read; an estimate within a Parquet file.
    pub fn read_bytes(&self) -> u64 {
        let Some(current) = &self.current else { return self.done_bytes };
        let input = &self.inputs[current.input];
        let of_current = match (&current.reader, &input.content) {
            (Reader::Csv { read_bytes, .. }, _) => read_bytes.load(Ordering::Relaxed),
            (Reader::Parquet { read_rows, .. }, Content::Parquet(file)) => {
                (input.len_bytes as f64 * *read_rows as f64 / file.row_count().max(1) as f64) as u64
            }
            (Reader::Parquet { .. }, Content::Csv(_)) => 0,
        };
        self.done_bytes + of_current.min(input.len_bytes)
    }

    fn next_batch(&mut self) -> Result<Option<RecordBatch>, FileError> {
        loop {
            let Some(current) = &mut self.current else {
                let Some(input) = self.next_inputs.next() else { return Ok(None) };
                self.current = Some(self.open(input)?);
                continue;
            };
            let batch = match &mut current.reader {
                Reader::Csv { reader, .. } => reader.next(),
                Reader::Parquet { reader, .. } => reader.next(),
            };
            let Some(batch) = batch.transpose()? else {
                self.done_bytes += self.inputs[current.input].len_bytes;
                self.current = None;
                continue;
            };
            if let Reader::Parquet { read_rows, .. } = &mut current.reader {
                *read_rows += batch.num_rows() as u64;
            }
            if batch.num_rows() == 0 {
                continue;
            }
            let input = &self.inputs[current.input];
            return arrange(&batch, &current.places, &self.schema)
                .map(Some)
                .map_err(|error| FileError::invalid(&input.path, error.to_string()));
        }
    }

    fn open(&self, input: usize) -> Result<Current, FileError> {
        let content = &self.inputs[input].content;
        let file_columns: Vec<Option<usize>> =
            self.schema.fields().iter().map(|field| content.schema().index_of(field.name()).ok()).collect();
        let mut needed: Vec<usize> = file_columns.iter().flatten().copied().collect();
        needed.sort_unstable();
        needed.dedup();
        let places = file_columns.iter().map(|column| column.and_then(|c| needed.binary_search(&c).ok())).collect();
        let reader = match content {
            Content::Csv(file) => {
                let types: Vec<DataType> = file
                    .schema
                    .fields()
                    .iter()
                    .map(|field| match self.schema.field_with_name(field.name()) {
                        Ok(settled) => settled.data_type().clone(),
                        // Not asked for, so its type is never used.
                        Err(_) => DataType::Utf8,
                    })
                    .collect();
                let read_bytes = Arc::new(AtomicU64::new(0));
                let reader = file.open(&types, Some(needed), self.batch_rows, read_bytes.clone())?;
                Reader::Csv { reader: Box::new(reader), read_bytes }
            }
            Content::Parquet(file) => {
                Reader::Parquet { reader: Box::new(file.open(Some(&needed), self.batch_rows)?), read_rows: 0 }
            }
        };
        Ok(Current { input, reader, places })
    }
}

impl Iterator for FileBatches {
    type Item = Result<RecordBatch, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_batch();
        if next.is_err() {
            self.current = None;
            self.next_inputs = 0..0;
        }
        next.transpose()
    }
}

fn arrange(
    batch: &RecordBatch,
    places: &[Option<usize>],
    schema: &SchemaRef,
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let columns = places
        .iter()
        .zip(schema.fields())
        .map(|(place, field)| match place {
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
            Some(place) if batch.column(*place).data_type() == field.data_type() => Ok(batch.column(*place).clone()),
            Some(place) => cast(batch.column(*place), field.data_type()),
        })
        .collect::<Result<Vec<ArrayRef>, _>>()?;
    // The row count stands apart from the columns because there may be none.
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}
