//! `DELETE` and `TRUNCATE`: rows by time and tags.

use super::query_engine::Run;
use super::select::now_ns;
use crate::error::{Error, Result};
use crate::exec::tag_filter;
use crate::output::QueryOutput;
use crate::plan::{ScanFilter, bind_condition_of};
use crate::sql::Delete;

impl Run<'_> {
    /// Deletes rows; the condition must be one that the storage engine can remember: bounds of the time, and conditions
    /// on one tag each, joined by AND.
    pub(super) fn delete(&self, delete: &Delete) -> Result<QueryOutput> {
        let table = self.table(&self.snapshot(), &delete.table)?;
        let schema = table.schema();
        let condition = match &delete.condition {
            Some(condition) => Some(bind_condition_of(schema, condition, self.params, now_ns())?),
            None => None,
        };
        let filter = ScanFilter::split(schema, condition)?;
        if !filter.fields.is_empty() || filter.residual.is_some() {
            return Err(Error::Unsupported {
                what: "DELETE with a condition on a field, or on several columns at once".into(),
                hint: "use bounds of the time column and conditions on one tag each, joined by AND, such as \
                       DELETE FROM t WHERE host = 'a' AND time < '2026-01-01'"
                    .into(),
            });
        }
        let receipt = self.shared.engine.delete(schema.id, &tag_filter(&filter), filter.range)?;
        Ok(QueryOutput::done(Some(receipt.rows)))
    }
}
