//! Record batches of results.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use crate::error::{Error, Result};
use crate::plan::OutputColumn;

/// The schema of a projection, hidden sort columns included.
pub(crate) fn projection_schema(projection: &[OutputColumn]) -> SchemaRef {
    let fields = projection.iter().map(|column| Field::new(&column.name, column.expr.data_type(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// A batch of columns, which may be none.
pub(crate) fn record_batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(Error::arrow)
}
