//! `INSERT`: rows of literals or of a query, as one commit.
//!
//! The rows of a query are grouped by series as they come and kept until the commit, within the memory of the statement:
//! beside them are a few batches, not the result once more.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatchOptions, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat, concat_batches};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use lynxstore_storage::engine::Ack;
use lynxstore_storage::ingest::group_rows;
use lynxstore_storage::types::{SeriesBatch, TableSchema};
use sqlparser::ast;

use super::query_engine::Run;
use super::select::now_ns;
use crate::error::{Error, Result};
use crate::memory::batch_bytes;
use crate::output::{QueryOutput, ResultPart};
use crate::plan::bind_constant;
use crate::scalar::Scalar;
use crate::sql::{Insert, InsertSource, parse_timestamp};

impl Run<'_> {
    /// `INSERT INTO`.
    pub(super) fn insert(&self, insert: &Insert) -> Result<QueryOutput> {
        let table = self.table(&self.snapshot(), &insert.table)?;
        let schema = table.schema();
        let columns = target_columns(schema, &insert.columns)?;
        let rows = match &insert.source {
            InsertSource::Values(rows) => self.write_batch(schema, &self.batch_of_values(schema, columns, rows)?)?,
            InsertSource::Query(query) => self.insert_query(schema, &columns, insert.columns.is_empty(), query)?,
        };
        Ok(QueryOutput::done(Some(rows)))
    }

    /// Writes the rows of a query as one commit and tells their number.
    fn insert_query(
        &self,
        schema: &TableSchema,
        columns: &[(String, DataType)],
        implicit: bool,
        query: &ast::Query,
    ) -> Result<u64> {
        let mut memory = self.memory.holder();
        let mut gathered = GatheredRows::new(schema);
        self.stream(query, &mut |part| {
            let batch = match part {
                // Columns that do not fit are an error without rows too.
                ResultPart::Columns(schema) => RecordBatch::new_empty(schema),
                ResultPart::Rows(batch) => batch,
            };
            let batch = batch_of_query(schema, columns, implicit, &batch)?;
            memory.add(batch_bytes(&batch)).map_err(|_| Error::LimitExceeded {
                what: "the memory of the statement in bytes",
                limit: self.shared.options.memory_bytes_max,
                hint: "an INSERT is one commit, of which all rows are in memory: insert one range of times after the \
                       other, or raise memory_bytes_max",
            })?;
            gathered.push(batch)
        })?;
        let commit = gathered.finish()?;
        if commit.is_empty() { Ok(0) } else { self.commit(commit) }
    }

    /// Writes batches as one commit, when they are let in, and tells the number of their rows.
    fn commit(&self, batches: Vec<SeriesBatch>) -> Result<u64> {
        let admission = self.shared.options.write_admission.as_ref();
        let admitted = admission.map(|admission| admission.admit(&batches)).transpose()?;
        let rows = self.shared.engine.write(batches, Ack::Durable)?.rows;
        if let Some(admitted) = admitted {
            admitted.written();
        }
        Ok(rows)
    }

    /// Writes the rows of a batch as one commit and tells their number.
    pub(super) fn write_batch(&self, schema: &TableSchema, batch: &RecordBatch) -> Result<u64> {
        if batch.num_rows() == 0 {
            return Ok(0);
        }
        self.commit(vec![group_rows(schema, batch)?])
    }

    fn batch_of_values(
        &self,
        schema: &TableSchema,
        columns: Vec<(String, DataType)>,
        rows: &[Vec<ast::Expr>],
    ) -> Result<RecordBatch> {
        let now_ns = now_ns();
        let mut values: Vec<Vec<ArrayRef>> = vec![Vec::with_capacity(rows.len()); columns.len()];
        for (number, row) in rows.iter().enumerate() {
            if row.len() != columns.len() {
                let (given, wanted) = (row.len(), columns.len());
                return Err(Error::plan(format!("row {} has {given} values for {wanted} columns", number + 1)));
            }
            for ((expr, (name, data_type)), values) in row.iter().zip(&columns).zip(&mut values) {
                let scalar = bind_constant(expr, self.params, now_ns)?;
                values.push(convert(scalar, data_type).map_err(|scalar| {
                    Error::plan(format!(
                        "row {}: {expr} is {}, but column '{name}' of table '{}' takes {data_type}",
                        number + 1,
                        scalar.data_type(),
                        schema.name
                    ))
                })?);
            }
        }
        let fields = columns.iter().map(|(name, data_type)| Field::new(name, data_type.clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let arrays = columns.iter().zip(&values).map(|((_, data_type), values)| {
            let values: Vec<_> = values.iter().map(AsRef::as_ref).collect();
            if values.is_empty() { Ok(new_null_array(data_type, 0)) } else { concat(&values).map_err(Error::arrow) }
        });
        let arrays = arrays.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(schema, arrays, &options).map_err(Error::arrow)
    }
}

/// Rows on their way into one commit. Batches are put together before they are grouped: each group names its series.
struct GatheredRows<'a> {
    schema: &'a TableSchema,
    grouped: Vec<SeriesBatch>,
    pending: Vec<RecordBatch>,
    pending_rows: usize,
}

/// Rows that are grouped at a time.
const ROWS_AT_ONCE: usize = if cfg!(test) { 1024 } else { 64 * 1024 };

impl<'a> GatheredRows<'a> {
    fn new(schema: &'a TableSchema) -> Self {
        Self { schema, grouped: Vec::new(), pending: Vec::new(), pending_rows: 0 }
    }

    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.pending_rows += batch.num_rows();
        self.pending.push(batch);
        if self.pending_rows >= ROWS_AT_ONCE { self.group() } else { Ok(()) }
    }

    fn group(&mut self) -> Result<()> {
        if let Some(first) = self.pending.first().filter(|_| self.pending_rows > 0) {
            let rows = concat_batches(&first.schema(), &self.pending).map_err(Error::arrow)?;
            self.grouped.push(group_rows(self.schema, &rows)?);
        }
        self.pending.clear();
        self.pending_rows = 0;
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<SeriesBatch>> {
        self.group()?;
        Ok(self.grouped)
    }
}

/// Names and types of the columns that are given values.
fn target_columns(schema: &TableSchema, names: &[String]) -> Result<Vec<(String, DataType)>> {
    let all = schema.arrow_schema();
    let plain = |field: &Field| {
        // Tags are given as plain text.
        let data_type = match field.data_type() {
            DataType::Dictionary(_, value) => (**value).clone(),
            other => other.clone(),
        };
        (field.name().clone(), data_type)
    };
    if names.is_empty() {
        return Ok(all.fields().iter().map(|field| plain(field)).collect());
    }
    let mut columns: Vec<(String, DataType)> = Vec::with_capacity(names.len());
    for name in names {
        let field = all.fields().iter().find(|field| field.name() == name).ok_or_else(|| {
            Error::plan(format!("table '{}' has no column '{name}': see DESCRIBE {}", schema.name, schema.name))
        })?;
        if columns.iter().any(|(known, _)| known == name) {
            return Err(Error::plan(format!("column '{name}' is named twice")));
        }
        columns.push(plain(field));
    }
    Ok(columns)
}

/// A value as an array of one row in the type of its column; gives the value back when it does not fit.
fn convert(scalar: Scalar, data_type: &DataType) -> Result<ArrayRef, Scalar> {
    let fitting = match (scalar, data_type) {
        (Scalar::Null, _) => Scalar::Null,
        (Scalar::Text(text), DataType::Timestamp(..)) => match parse_timestamp(&text) {
            Ok(time_ns) => Scalar::Time(time_ns),
            Err(_) => return Err(Scalar::Text(text)),
        },
        // A number is a time in nanoseconds.
        (Scalar::I64(value), DataType::Timestamp(..)) => Scalar::Time(value),
        (Scalar::I64(value), DataType::Float64) => Scalar::F64(value as f64),
        (Scalar::U64(value), DataType::Float64) => Scalar::F64(value as f64),
        (Scalar::I64(value), DataType::UInt64) if value >= 0 => Scalar::U64(value as u64),
        (Scalar::Text(text), DataType::Binary) => Scalar::Binary(text.as_bytes().into()),
        (scalar, data_type) if scalar.data_type() == *data_type => scalar,
        (scalar, _) => return Err(scalar),
    };
    Ok(fitting.to_array(data_type))
}

/// Renames and casts the columns of a query to those of the table.
fn batch_of_query(
    schema: &TableSchema,
    mut columns: &[(String, DataType)],
    implicit: bool,
    selected: &RecordBatch,
) -> Result<RecordBatch> {
    let given = selected.num_columns();
    if implicit && given < columns.len() {
        // Without a list of names the query may leave out the last columns of the table.
        columns = &columns[..given];
    }
    if given != columns.len() {
        let wanted = columns.len();
        return Err(Error::plan(format!("the query has {given} columns, table '{}' is given {wanted}", schema.name)));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let arrays = selected.columns().iter().zip(columns).map(|(array, (name, data_type))| {
        cast_with_options(array, data_type, &options)
            .map_err(|error| Error::execution(format!("column '{name}' of table '{}': {error}", schema.name)))
    });
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let fields = columns.iter().map(|(name, data_type)| Field::new(name, data_type.clone(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), arrays).map_err(Error::arrow)
}
