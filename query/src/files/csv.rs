//! CSV files: what is in one, and its rows as record batches.
//!
//! A file is looked at once by [`CsvFile::inspect`] (delimiter, header, types over a sample) and read by
//! [`CsvFile::open`] in one pass with one read buffer and one batch in memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::AsArray;
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::{BufReader as CsvBatches, Format};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use regex::Regex;

use super::csv_types::ColumnEvidence;
use super::{FileError, FileFormat, Header, ReadOptions};

const READ_BUFFER_BYTES: usize = 1 << 20;
/// Bytes looked at for the delimiter; a first line is rarely longer.
const FIRST_LINE_BYTES: u64 = 64 << 10;
const SAMPLE_BATCH_ROWS: usize = 4_096;
const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// One CSV file and how to read it.
#[derive(Debug, Clone)]
pub(super) struct CsvFile {
    path: PathBuf,
    delimiter: u8,
    has_header: bool,
    null: Option<Regex>,
    sample_is_whole: bool,
    /// Column names and inferred (or given) types.
    pub(super) schema: SchemaRef,
}

/// A reader that counts the bytes that went through it.
pub(super) struct CountingReader {
    file: File,
    count: Arc<AtomicU64>,
}

impl Read for CountingReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl CsvFile {
    /// Finds out delimiter, header, names and types.
    pub(super) fn inspect(path: &Path, format: FileFormat, options: &ReadOptions) -> Result<Self, FileError> {
        let delimiter = match (options.delimiter, format) {
            (Some(delimiter), _) => delimiter,
            (None, FileFormat::Tsv) => b'\t',
            (None, _) => detect_delimiter(path)?,
        };
        let null = options.null_text.as_deref().map(null_pattern);
        let first_row = first_row(path, delimiter)?;
        let names_as_text: Vec<Field> =
            (0..first_row.len()).map(|column| Field::new(column.to_string(), DataType::Utf8, true)).collect();
        let mut file = Self {
            path: path.to_path_buf(),
            delimiter,
            has_header: false,
            null,
            sample_is_whole: true,
            schema: Arc::new(Schema::new(names_as_text)),
        };
        let evidence = file.sample(options.sample_bytes)?;
        let mut first = vec![ColumnEvidence::default(); first_row.len()];
        for (evidence, cell) in first.iter_mut().zip(&first_row).filter(|(_, cell)| !cell.is_empty()) {
            evidence.add(cell);
        }
        file.has_header = match options.header {
            Header::Present => true,
            Header::Absent => false,
            Header::Detect => !first.iter().any(|evidence| evidence.is_typed()),
        };
        let names = column_names(&first_row, file.has_header);
        let mut fields = Vec::with_capacity(names.len());
        for (column, name) in names.into_iter().enumerate() {
            let mut seen = evidence[column];
            if !file.has_header && !first_row[column].is_empty() {
                seen.add(&first_row[column]);
            }
            let data_type = options.types.get(&name).cloned().unwrap_or_else(|| seen.data_type());
            fields.push(Field::new(name, data_type, true));
        }
        file.schema = Arc::new(Schema::new(fields));
        Ok(file)
    }

    /// The rows of the file, its column `i` typed as `types[i]`; bytes read are added to `count`.
    pub(super) fn open(
        &self,
        types: &[DataType],
        projection: Option<Vec<usize>>,
        batch_rows: usize,
        count: Arc<AtomicU64>,
    ) -> Result<CsvReader, FileError> {
        let fields: Vec<Field> = self
            .schema
            .fields()
            .iter()
            .zip(types)
            .map(|(field, data_type)| Field::new(field.name(), data_type.clone(), true))
            .collect();
        let mut builder = ReaderBuilder::new(Arc::new(Schema::new(fields)))
            .with_delimiter(self.delimiter)
            .with_header(self.has_header)
            .with_batch_size(batch_rows);
        if let Some(null) = &self.null {
            builder = builder.with_null_regex(null.clone());
        }
        if let Some(projection) = projection {
            builder = builder.with_projection(projection);
        }
        let input = open_input(&self.path, count)?;
        let batches =
            builder.build_buffered(input).map_err(|error| FileError::invalid(&self.path, error.to_string()))?;
        Ok(CsvReader { batches, path: self.path.clone(), sample_is_whole: self.sample_is_whole })
    }

    /// Types of every row but the first, over the first `sample_bytes`.
    fn sample(&mut self, sample_bytes: u64) -> Result<Vec<ColumnEvidence>, FileError> {
        let count = Arc::new(AtomicU64::new(0));
        let types = vec![DataType::Utf8; self.schema.fields().len()];
        let reader = self.open(&types, None, SAMPLE_BATCH_ROWS, count.clone())?;
        let mut evidence = vec![ColumnEvidence::default(); types.len()];
        let mut rows_to_skip = 1;
        for batch in reader {
            let batch = batch?;
            for (evidence, column) in evidence.iter_mut().zip(batch.columns()) {
                for cell in column.as_string::<i32>().iter().skip(rows_to_skip).flatten() {
                    evidence.add(cell);
                }
            }
            rows_to_skip = 0;
            if count.load(Ordering::Relaxed) >= sample_bytes {
                self.sample_is_whole = false;
                break;
            }
        }
        Ok(evidence)
    }
}

/// The batches of one CSV file.
pub(super) struct CsvReader {
    batches: CsvBatches<BufReader<CountingReader>>,
    path: PathBuf,
    sample_is_whole: bool,
}

impl Iterator for CsvReader {
    type Item = Result<arrow::array::RecordBatch, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        Some(batch.map_err(|error| {
            let hint = match &error {
                ArrowError::ParseError(_) if !self.sample_is_whole => {
                    "; types were taken from the start of the file: give the column's type, or enlarge the sample"
                }
                _ => "",
            };
            FileError::invalid(&self.path, format!("{error}{hint}"))
        }))
    }
}

fn open_input(path: &Path, count: Arc<AtomicU64>) -> Result<BufReader<CountingReader>, FileError> {
    let file = File::open(path).map_err(|error| FileError::io("open", path, error))?;
    let mut input = BufReader::with_capacity(READ_BUFFER_BYTES, CountingReader { file, count });
    // One read of a regular file fills the buffer or reaches its end, so the mark is seen whole.
    let start = input.fill_buf().map_err(|error| FileError::io("read", path, error))?;
    if start.starts_with(&BYTE_ORDER_MARK) {
        input.consume(BYTE_ORDER_MARK.len());
    }
    Ok(input)
}

fn first_row(path: &Path, delimiter: u8) -> Result<Vec<String>, FileError> {
    let input = open_input(path, Arc::default())?;
    let format = Format::default().with_header(true).with_delimiter(delimiter);
    let (schema, _) =
        format.infer_schema(input, Some(0)).map_err(|error| FileError::invalid(path, error.to_string()))?;
    if schema.fields().is_empty() {
        return Err(FileError::invalid(path, "the file is empty: there is neither a header nor a row"));
    }
    Ok(schema.fields().iter().map(|field| field.name().clone()).collect())
}

/// The candidate that stands most often in the first line outside quotes; a comma when none does.
fn detect_delimiter(path: &Path) -> Result<u8, FileError> {
    let mut start = Vec::new();
    let input = open_input(path, Arc::default())?;
    input.take(FIRST_LINE_BYTES).read_to_end(&mut start).map_err(|error| FileError::io("read", path, error))?;
    let mut counts = [(b',', 0usize), (b';', 0), (b'\t', 0), (b'|', 0)];
    let mut is_quoted = false;
    for &byte in &start {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' | b'\r' if !is_quoted => break,
            _ if is_quoted => {}
            _ => {
                if let Some((_, count)) = counts.iter_mut().find(|(candidate, _)| *candidate == byte) {
                    *count += 1;
                }
            }
        }
    }
    // `max_by_key` keeps the last of equals: reversed, the comma wins a tie.
    Ok(counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(candidate, _)| *candidate))
}

/// Unique, non-empty names; a repeated name gets a number.
fn column_names(first_row: &[String], has_header: bool) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(first_row.len());
    for (column, cell) in first_row.iter().enumerate() {
        let cell = cell.trim();
        let base = if has_header && !cell.is_empty() { cell.to_owned() } else { format!("column_{}", column + 1) };
        let mut name = base.clone();
        let mut copy = 1;
        while names.contains(&name) {
            copy += 1;
            name = format!("{base}_{copy}");
        }
        names.push(name);
    }
    names
}

fn null_pattern(text: &str) -> Regex {
    Regex::new(&format!("^(?:{})?$", regex::escape(text))).expect("an escaped text is a valid pattern")
}
