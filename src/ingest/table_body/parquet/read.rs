//! The rows of a Parquet file as one batch.
//!
//! Texts and bytes are read as views, which point into pages and dictionaries: a long text that is said many times takes
//! its memory once, until the sum of all is compared with the limit. The decoders of the parquet crate panic on some
//! pages that no writer makes; a panic there refuses the request.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use lynxstore_storage::types::TableSchema;
use parking_lot::Mutex;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, RowGroups};
use parquet::arrow::parquet_to_arrow_field_levels;
use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::column::page::PageIterator;
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::footer::{Column, Footer, Meaning, malformed};
use super::pages::{ColumnPages, unpack};
use crate::ingest::rows::{RowLimits, RowsError};

/// The rows of a file as one batch; `None` when it has none. `has_room` is asked for the memory beside that of the body.
pub(in crate::ingest::table_body) fn read(
    table: &TableSchema,
    body: &[u8],
    limits: &RowLimits,
    has_room: &mut dyn FnMut(usize) -> bool,
) -> Result<Option<RecordBatch>, RowsError> {
    let columns_max = 1 + table.tags.len() + table.fields.len();
    let footer = Footer::read(body, columns_max, limits)?;
    if footer.rows == 0 {
        return Ok(None);
    }
    // As an Arrow stream the same rows would be a body of this size, and have its limit; texts are counted when read.
    let array_bytes = footer.columns.iter().map(|column| value_bytes(column) * footer.rows).sum();
    RowsError::check("bytes of values", array_bytes, limits.decoded_bytes_max)?;
    if !has_room(footer.unpacked_bytes.saturating_add(array_bytes)) {
        return Err(RowsError::NoRoom);
    }
    let pages = unpack(body, &footer)?;
    // The decoders hold nothing that a panic could leave half done and that is used after it.
    let batch = catch_unwind(AssertUnwindSafe(|| decode(&footer, pages)));
    let batch = batch.unwrap_or_else(|_| Err(malformed("a page contradicts itself")))?;
    with_texts(&footer, &batch, limits).map(Some)
}

/// Bytes that one value of a column takes in an array.
fn value_bytes(column: &Column) -> usize {
    match column.physical {
        Physical::BOOLEAN => 1,
        Physical::INT32 | Physical::FLOAT => 4,
        Physical::BYTE_ARRAY => size_of::<u128>(),
        _ => 8,
    }
}

fn decode(footer: &Footer, pages: Vec<ColumnPages>) -> Result<RecordBatch, RowsError> {
    let leaves = footer.columns.iter().map(|column| leaf(column).map(Arc::new)).collect::<Result<_, _>>();
    let root = leaves.and_then(|leaves| Type::group_type_builder("rows").with_fields(leaves).build());
    let schema = Arc::new(SchemaDescriptor::new(Arc::new(root.map_err(malformed)?)));
    let hint: Fields =
        footer.columns.iter().map(|column| Field::new(&column.name, data_type(column), column.is_nullable)).collect();
    let levels = parquet_to_arrow_field_levels(&schema, ProjectionMask::all(), Some(&hint)).map_err(malformed)?;
    let file = UnpackedFile {
        metadata: ParquetMetaData::new(FileMetaData::new(1, 0, None, None, schema, None), Vec::new()),
        rows: footer.rows,
        columns: Mutex::new(pages.into_iter().map(Some).collect()),
    };
    // All rows are one batch: they become one commit, and their number is bounded.
    let mut batches =
        ParquetRecordBatchReader::try_new_with_row_groups(&levels, &file, footer.rows, None).map_err(malformed)?;
    match batches.next() {
        Some(batch) => {
            let batch = batch.map_err(malformed)?;
            if batch.num_rows() == footer.rows { Ok(batch) } else { Err(malformed("it has fewer rows than it says")) }
        }
        None => Err(malformed("it has fewer rows than it says")),
    }
}

/// A column as the parquet crate describes it. Texts are bytes to it: whether they are UTF-8 is checked here, for all
/// annotations alike.
fn leaf(column: &Column) -> Result<Type, ParquetError> {
    let repetition = if column.is_nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let converted = match column.meaning {
        Meaning::Date => ConvertedType::DATE,
        Meaning::Integer { bits: 8, is_signed: true } => ConvertedType::INT_8,
        Meaning::Integer { bits: 16, is_signed: true } => ConvertedType::INT_16,
        Meaning::Integer { bits: 8, is_signed: false } => ConvertedType::UINT_8,
        Meaning::Integer { bits: 16, is_signed: false } => ConvertedType::UINT_16,
        Meaning::Integer { bits: 32, is_signed: false } => ConvertedType::UINT_32,
        Meaning::Integer { bits: 64, is_signed: false } => ConvertedType::UINT_64,
        _ => ConvertedType::NONE,
    };
    Type::primitive_type_builder(&column.name, column.physical)
        .with_repetition(repetition)
        .with_converted_type(converted)
        .build()
}

/// The type of the array of a column.
fn data_type(column: &Column) -> DataType {
    match (column.physical, column.meaning) {
        (_, Meaning::Date) => DataType::Date32,
        (_, Meaning::Timestamp(unit)) => DataType::Timestamp(unit, None),
        (_, Meaning::Integer { bits, is_signed }) => match (bits, is_signed) {
            (8, true) => DataType::Int8,
            (16, true) => DataType::Int16,
            (32, true) => DataType::Int32,
            (_, true) => DataType::Int64,
            (8, false) => DataType::UInt8,
            (16, false) => DataType::UInt16,
            (32, false) => DataType::UInt32,
            (_, false) => DataType::UInt64,
        },
        (Physical::BOOLEAN, _) => DataType::Boolean,
        (Physical::INT32, _) => DataType::Int32,
        (Physical::FLOAT, _) => DataType::Float32,
        (Physical::DOUBLE, _) => DataType::Float64,
        (Physical::BYTE_ARRAY, _) => DataType::BinaryView,
        _ => DataType::Int64,
    }
}

/// The batch with its texts as such, the bytes of all values counted.
fn with_texts(footer: &Footer, batch: &RecordBatch, limits: &RowLimits) -> Result<RecordBatch, RowsError> {
    let mut bytes = 0_usize;
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (column, values) in footer.columns.iter().zip(batch.columns()) {
        let mut values = Arc::clone(values);
        if let Some(views) = values.as_binary_view_opt() {
            bytes = views.lengths().fold(bytes, |bytes, len| bytes.saturating_add(len as usize));
            RowsError::check("bytes of text", bytes, limits.decoded_bytes_max)?;
            if column.meaning == Meaning::Text {
                let texts = views.clone().to_string_view();
                let texts = texts.map_err(|_| malformed(format!("a text of column '{}' is not UTF-8", column.name)))?;
                values = Arc::new(texts) as ArrayRef;
            }
        }
        fields.push(Field::new(&column.name, values.data_type().clone(), true));
        columns.push(values);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(malformed)
}

/// A file whose pages are unpacked.
struct UnpackedFile {
    metadata: ParquetMetaData,
    rows: usize,
    /// Each is taken once.
    columns: Mutex<Vec<Option<ColumnPages>>>,
}

impl RowGroups for UnpackedFile {
    fn num_rows(&self) -> usize {
        self.rows
    }

    fn column_chunks(&self, column: usize) -> Result<Box<dyn PageIterator>, ParquetError> {
        let pages = self.columns.lock().get_mut(column).and_then(Option::take);
        let pages = pages.ok_or_else(|| ParquetError::General(format!("column {column} is read twice")))?;
        Ok(Box::new(pages))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(self.metadata.row_groups().iter())
    }

    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }
}
