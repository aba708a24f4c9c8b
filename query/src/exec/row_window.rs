//! What of the rows of a plan is its result: OFFSET and LIMIT cut rows, hidden sort columns go.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;

use super::result::record_batch;
use crate::error::Result;
use crate::plan::SelectPlan;

/// Rows that are still to be left out and to be let through.
pub(super) struct RowWindow<'a> {
    plan: &'a SelectPlan,
    skip: usize,
    left: usize,
}

impl<'a> RowWindow<'a> {
    pub(super) fn new(plan: &'a SelectPlan) -> Self {
        Self { plan, skip: plan.offset, left: plan.limit.unwrap_or(usize::MAX) }
    }

    /// Whether no further row is part of the result.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// The rows of the next batch that are part of the result; `None` when there are none.
    pub(super) fn cut(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        let rows = batch.num_rows();
        let start = self.skip.min(rows);
        self.skip -= start;
        let len = (rows - start).min(self.left);
        self.left -= len;
        if len == 0 {
            return Ok(None);
        }
        let columns = batch.columns()[..self.plan.visible].iter();
        let columns = columns.map(|column| if len == rows { Arc::clone(column) } else { column.slice(start, len) });
        record_batch(&self.plan.schema, columns.collect(), len).map(Some)
    }
}
