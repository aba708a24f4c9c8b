//! What a statement gives back.

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

/// Which part of the system ran a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The vectorized executor.
    Vectorized,
    /// DataFusion.
    DataFusion,
    /// A statement without a scan, such as `CREATE TABLE` or `SHOW TABLES`.
    Statement,
}

/// The result of a statement.
#[derive(Debug, Clone)]
pub struct QueryOutput {
    /// Columns of the result; empty for statements that return no rows.
    pub schema: SchemaRef,
    /// The rows, in order.
    pub batches: Vec<RecordBatch>,
    /// Rows written, for statements that write.
    pub rows_affected: Option<u64>,
    /// Which part of the system ran the statement.
    pub route: Route,
}

/// A part of the result of a query on its way: the columns first and once, then the rows.
#[derive(Debug)]
pub(crate) enum ResultPart {
    /// The columns of all rows.
    Columns(SchemaRef),
    /// The next rows, at least one.
    Rows(RecordBatch),
}

impl QueryOutput {
    /// Number of rows in `batches`.
    pub fn row_count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// A result without rows or columns.
    pub(crate) fn done(rows_affected: Option<u64>) -> Self {
        Self { schema: Schema::empty().into(), batches: Vec::new(), rows_affected, route: Route::Statement }
    }

    /// A result that a statement made up itself.
    pub(crate) fn listing(batch: RecordBatch) -> Self {
        Self { schema: batch.schema(), batches: vec![batch], rows_affected: None, route: Route::Statement }
    }
}
