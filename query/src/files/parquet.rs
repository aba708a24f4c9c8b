//! Parquet files: what is in one, and its rows as record batches.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Encoding;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::{FileError, ParquetStrings};

/// One Parquet file, its footer read.
#[derive(Debug, Clone)]
pub(super) struct ParquetFile {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    /// Columns and their Arrow types.
    pub(super) schema: SchemaRef,
}

impl ParquetFile {
    /// Reads the footer.
    pub(super) fn inspect(path: &Path, strings: ParquetStrings) -> Result<Self, FileError> {
        let file = open(path)?;
        let invalid = |error: parquet::errors::ParquetError| FileError::invalid(path, error.to_string());
        let mut metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(invalid)?;
        if strings == ParquetStrings::DictionaryWhereEncoded {
            let schema = with_dictionaries(metadata.schema(), metadata.metadata());
            let options = ArrowReaderOptions::new().with_schema(schema);
            metadata = ArrowReaderMetadata::try_new(metadata.metadata().clone(), options).map_err(invalid)?;
        }
        let schema = metadata.schema().clone();
        Ok(Self { path: path.to_path_buf(), metadata, schema })
    }

    /// Number of rows, from the footer.
    pub(super) fn row_count(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows().max(0).unsigned_abs()
    }

    /// The rows of the file; with a projection only those columns, in the order of the file.
    pub(super) fn open(&self, projection: Option<&[usize]>, batch_rows: usize) -> Result<ParquetReader, FileError> {
        let file = open(&self.path)?;
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone()).with_batch_size(batch_rows);
        if let Some(columns) = projection {
            let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
            builder = builder.with_projection(mask);
        }
        let batches = builder.build().map_err(|error| FileError::invalid(&self.path, error.to_string()))?;
        Ok(ParquetReader { batches, path: self.path.clone() })
    }
}

/// The batches of one Parquet file.
pub(super) struct ParquetReader {
    batches: ParquetRecordBatchReader,
    path: PathBuf,
}

impl Iterator for ParquetReader {
    type Item = Result<RecordBatch, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        Some(batch.map_err(|error| FileError::invalid(&self.path, error.to_string())))
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(|error| FileError::io("open", path, error))
}

/// The schema with string columns that are dictionary-encoded throughout as dictionary arrays.
fn with_dictionaries(schema: &SchemaRef, metadata: &ParquetMetaData) -> SchemaRef {
    // Leaves and top-level columns are numbered alike only when nothing is nested.
    if metadata.file_metadata().schema_descr().num_columns() != schema.fields().len() {
        return schema.clone();
    }
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .enumerate()
        .map(|(column, field)| {
            let is_text = matches!(field.data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            let mut chunks = metadata.row_groups().iter().map(|group| group.column(column));
            if is_text && metadata.num_row_groups() > 0 && chunks.all(is_dictionary_encoded) {
                let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
                field.as_ref().clone().with_data_type(dictionary)
            } else {
                field.as_ref().clone()
            }
        })
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// Whether no data page of the chunk fell back from its dictionary to plain values.
fn is_dictionary_encoded(chunk: &ColumnChunkMetaData) -> bool {
    if chunk.dictionary_page_offset().is_none() {
        return false;
    }
    let is_dictionary = |encoding| matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY);
    match chunk.page_encoding_stats_mask() {
        Some(mask) => mask.encodings().all(is_dictionary),
        // Without statistics of pages, plain values may be the dictionary page's own: then it stays open, so no.
        None => chunk.encodings().all(|encoding| is_dictionary(encoding) || encoding == Encoding::RLE),
    }
}
