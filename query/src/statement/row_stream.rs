//! The rows of a query that is part of another statement, as they come.
//!
//! A COPY or INSERT has no result, so neither `rows_out_max` bounds them nor are they gathered; what the statement keeps of
//! them is its own affair.

use lynxstore_storage::snapshot::Snapshot;
use sqlparser::ast::Query;

use super::query_engine::Run;
use crate::error::{Error, Result};
use crate::exec::{ExecContext, stream_select};
use crate::options::QueryOptions;
use crate::output::ResultPart;

impl Run<'_> {
    /// Hands the columns and then the rows of a query to `sink`.
    ///
    /// # Errors
    /// What the query or `sink` fails with.
    pub(super) fn stream(&self, query: &Query, sink: &mut dyn FnMut(ResultPart) -> Result<()>) -> Result<()> {
        let snapshot = self.snapshot();
        let options = QueryOptions { rows_out_max: u64::MAX, ..self.shared.options.clone() };
        let context = ExecContext { options: &options, ..self.context() };
        let mut has_begun = false;
        let vectorized = self.plan(query, &snapshot, None).and_then(|(plan, table)| {
            stream_select(&plan, table.as_ref(), &context, &mut |part| {
                has_begun = true;
                sink(part)
            })
        });
        match vectorized {
            Err(error @ Error::Unsupported { .. }) if !has_begun => self.stream_general(&snapshot, query, error, sink),
            result => result,
        }
    }

    #[cfg(feature = "datafusion")]
    fn stream_general(
        &self,
        snapshot: &Snapshot,
        query: &Query,
        reason: Error,
        sink: &mut dyn FnMut(ResultPart) -> Result<()>,
    ) -> Result<()> {
        use super::filled_tables::Filling;
        use crate::datafusion::{SqlInput, run_each};

        let mut query = Box::new(query.clone());
        let filled = self.replace_filled(&mut query, snapshot, &reason, Filling::Run)?;
        let options = self.run_options().with_tables(filled.into_iter().map(|filled| filled.table));
        run_each(snapshot, SqlInput::Query(query), self.params, &options, &self.cancellation, sink)
    }

    #[cfg(not(feature = "datafusion"))]
    fn stream_general(
        &self,
        _snapshot: &Snapshot,
        _query: &Query,
        reason: Error,
        _sink: &mut dyn FnMut(ResultPart) -> Result<()>,
    ) -> Result<()> {
        Err(reason)
    }
}
