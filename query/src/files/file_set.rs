//! One file or many as one table: the files, their settled schema, and readers over them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::csv::CsvFile;
use super::parquet::ParquetFile;
use super::path::expand;
use super::widen::widen;
use super::{FileBatches, FileError, FileFormat, ReadOptions};

/// The files that a path or glob means, seen as one table. Columns are matched by name; a column that a file lacks is
/// NULL there. Cheap to clone.
#[derive(Debug, Clone)]
pub struct FileSet {
    inputs: Arc<Vec<Input>>,
    schema: SchemaRef,
    batch_rows: usize,
}

/// One file of the set.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) len_bytes: u64,
    pub(super) content: Content,
}

/// What a file holds.
#[derive(Debug)]
pub(super) enum Content {
    Csv(CsvFile),
    Parquet(ParquetFile),
}

impl Content {
    pub(super) fn schema(&self) -> &SchemaRef {
        match self {
            Self::Csv(file) => &file.schema,
            Self::Parquet(file) => &file.schema,
        }
    }
}

/// Opens a path or glob and reads all of it.
///
/// # Errors
/// As [`FileSet::open`].
pub fn read(pattern: &str, format: Option<FileFormat>, options: &ReadOptions) -> Result<FileBatches, FileError> {
    Ok(FileSet::open(pattern, format, options)?.batches())
}

impl FileSet {
    /// Finds the files and settles their schema; CSV files are sampled for it.
    ///
    /// `format` overrides what the extensions say.
    ///
    /// # Errors
    /// No file matches, a file cannot be read or is malformed, its format is unknown, or two files type a column in
    /// ways that no type holds.
    pub fn open(pattern: &str, format: Option<FileFormat>, options: &ReadOptions) -> Result<Self, FileError> {
        let mut inputs = Vec::new();
        for path in expand(pattern)? {
            let format = match format {
                Some(format) => format,
                None => FileFormat::from_path(&path)?,
            };
            let len_bytes = std::fs::metadata(&path).map_err(|error| FileError::io("inspect", &path, error))?.len();
            let content = match format {
                FileFormat::Csv | FileFormat::Tsv => Content::Csv(CsvFile::inspect(&path, format, options)?),
                FileFormat::Parquet => Content::Parquet(ParquetFile::inspect(&path, options.parquet_strings)?),
            };
            inputs.push(Input { path, len_bytes, content });
        }
        let schema = settle_schema(&inputs)?;
        Ok(Self { inputs: Arc::new(inputs), schema, batch_rows: options.batch_rows.max(1) })
    }

    /// Columns and types of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The files, sorted by name.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.inputs.iter().map(|input| input.path.as_path())
    }

    /// Size of all files.
    pub fn total_bytes(&self) -> u64 {
        self.inputs.iter().map(|input| input.len_bytes).sum()
    }

    /// Number of rows in all files, when their formats say it.
    pub fn total_rows(&self) -> Option<u64> {
        self.inputs
            .iter()
            .map(|input| match &input.content {
                Content::Csv(_) => None,
                Content::Parquet(file) => Some(file.row_count()),
            })
            .sum()
    }

    /// Reads every file, one after the other.
    pub fn batches(&self) -> FileBatches {
        FileBatches::new(self.inputs.clone(), 0..self.inputs.len(), self.schema.clone(), self.batch_rows)
    }

    /// Reads one file (by its position in [`FileSet::paths`]) and of it only the columns at these positions of the
    /// schema, in their order.
    ///
    /// # Panics
    /// When the file or a column does not exist.
    pub fn batches_of(&self, file: usize, columns: &[usize]) -> FileBatches {
        let fields: Vec<_> = columns.iter().map(|&column| self.schema.fields()[column].clone()).collect();
        let schema = Arc::new(Schema::new(fields));
        FileBatches::new(self.inputs.clone(), file..file + 1, schema, self.batch_rows)
    }
}

/// The union of the columns in order of first appearance, each with the narrowest type that holds all.
fn settle_schema(inputs: &[Input]) -> Result<SchemaRef, FileError> {
    if let [input] = inputs {
        return Ok(input.content.schema().clone());
    }
    let mut fields: Vec<Field> = Vec::new();
    for input in inputs {
        for field in input.content.schema().fields() {
            let Some(known) = fields.iter_mut().find(|known| known.name() == field.name()) else {
                fields.push(field.as_ref().clone().with_nullable(true));
                continue;
            };
            let settled = match (widen(known.data_type(), field.data_type()), &input.content) {
                (Some(settled), _) => settled,
                (None, Content::Csv(_)) => DataType::Utf8,
                (None, Content::Parquet(_)) => {
                    let reason = format!(
                        "column '{}' is {} here and {} in a file before it: read them apart, or cast one",
                        field.name(),
                        field.data_type(),
                        known.data_type()
                    );
                    return Err(FileError::invalid(&input.path, reason));
                }
            };
            known.set_data_type(settled);
        }
    }
    Ok(Arc::new(Schema::new(fields)))
}
