//! Queries: by the vectorized executor when it knows the shape, else by DataFusion over the same snapshot.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::datatypes::{DataType, SchemaRef};
use lynxstore_storage::snapshot::{Snapshot, TableSnapshot};
use parking_lot::Mutex;
use sqlparser::ast::Query;

#[cfg(feature = "datafusion")]
use super::filled_tables::Filling;
use super::query_engine::Run;
use crate::error::{Error, Result};
use crate::exec::run_select;
use crate::output::{QueryOutput, Route};
use crate::plan::{SelectPlan, bind_query, check_parameters, parameter_types, placeholders, query_table};
use crate::sql::SYSTEM_NAMESPACE;

/// A plan with the table that it runs on.
pub(super) type Planned = (Arc<SelectPlan>, Option<TableSnapshot>);

impl Run<'_> {
    /// Runs a query. `kept` holds a plan from one run to the next.
    pub(super) fn select(&self, query: &Query, kept: Option<&Mutex<Option<Arc<SelectPlan>>>>) -> Result<QueryOutput> {
        let snapshot = self.snapshot();
        let vectorized = self.plan(query, &snapshot, kept).and_then(|(plan, table)| {
            let batches = run_select(&plan, table.as_ref(), &self.context())?;
            Ok(QueryOutput { schema: Arc::clone(&plan.schema), batches, rows_affected: None, route: Route::Vectorized })
        });
        match vectorized {
            Err(error @ Error::Unsupported { .. }) => self.general_query(&snapshot, query, error),
            result => result,
        }
    }

    /// Plans a query for the vectorized executor.
    pub(super) fn plan(
        &self,
        query: &Query,
        snapshot: &Snapshot,
        kept: Option<&Mutex<Option<Arc<SelectPlan>>>>,
    ) -> Result<Planned> {
        let table = match query_table(query)? {
            Some(name) if self.namespace(&name) == SYSTEM_NAMESPACE => {
                return Err(Error::unsupported("a query of a system table"));
            }
            Some(name) => Some(self.table(snapshot, &name)?),
            None => None,
        };
        let schema = table.as_ref().map(TableSnapshot::schema);
        if let Some(kept) = kept
            && let Some(plan) = &*kept.lock()
            && match (&plan.table, schema) {
                (Some(planned), Some(current)) => Arc::ptr_eq(planned, current),
                (None, None) => true,
                _ => false,
            }
        {
            return Ok((Arc::clone(plan), table));
        }
        if !self.params.is_empty() {
            check_parameters(&parameter_types(query, schema)?, self.params)?;
        }
        let plan = Arc::new(bind_query(query, schema, self.params, now_ns())?);
        if let Some(kept) = kept
            && !plan.uses_now
        {
            *kept.lock() = Some(Arc::clone(&plan));
        }
        Ok((plan, table))
    }

    /// The types of the parameters of a query, and the columns of its result.
    pub(super) fn describe_query(&self, query: &Query) -> Result<(Vec<Option<DataType>>, SchemaRef)> {
        let snapshot = self.snapshot();
        match self.describe_vectorized(query, &snapshot) {
            Err(error @ Error::Unsupported { .. }) => self.describe_datafusion(&snapshot, query, error),
            described => described,
        }
    }

    fn describe_vectorized(&self, query: &Query, snapshot: &Snapshot) -> Result<(Vec<Option<DataType>>, SchemaRef)> {
        let table = match query_table(query)? {
            Some(name) if self.namespace(&name) == SYSTEM_NAMESPACE => {
                return Err(Error::unsupported("a query of a system table"));
            }
            Some(name) => Some(self.table(snapshot, &name)?),
            None => None,
        };
        let schema = table.as_ref().map(TableSnapshot::schema);
        let types = parameter_types(query, schema)?;
        let plan = bind_query(query, schema, &placeholders(&types), now_ns())?;
        Ok((types, plan.schema))
    }

    #[cfg(feature = "datafusion")]
    fn describe_datafusion(
        &self,
        snapshot: &Snapshot,
        query: &Query,
        reason: Error,
    ) -> Result<(Vec<Option<DataType>>, SchemaRef)> {
        use crate::datafusion::{SqlInput, describe};

        let mut query = Box::new(query.clone());
        let filled = self.replace_filled(&mut query, snapshot, &reason, Filling::Plan)?;
        let options = self.run_options().with_tables(filled.into_iter().map(|filled| filled.table));
        describe(snapshot, SqlInput::Query(query), &options, &self.cancellation)
    }

    #[cfg(not(feature = "datafusion"))]
    fn describe_datafusion(
        &self,
        _snapshot: &Snapshot,
        _query: &Query,
        reason: Error,
    ) -> Result<(Vec<Option<DataType>>, SchemaRef)> {
        Err(reason)
    }

    /// A statement of which only DataFusion may make sense.
    pub(super) fn other(&self, what: &str, sql: &str) -> Result<QueryOutput> {
        let unsupported = Error::Unsupported {
            what: format!("the statement {what}"),
            hint: "see the SQL reference for what is; LynxStore stores rows through INSERT, COPY and its API".into(),
        };
        self.datafusion(&self.snapshot(), sql, unsupported)
    }

    /// Hands a query to DataFusion, or fails with the reason why the vectorized executor did not take it.
    #[cfg(feature = "datafusion")]
    fn general_query(&self, snapshot: &Snapshot, query: &Query, reason: Error) -> Result<QueryOutput> {
        use crate::datafusion::{SqlInput, run};

        tracing::debug!(%reason, "the query goes to DataFusion");
        let mut query = Box::new(query.clone());
        let filled = self.replace_filled(&mut query, snapshot, &reason, Filling::Run)?;
        let options = self.run_options().with_tables(filled.into_iter().map(|filled| filled.table));
        let rows = run(snapshot, SqlInput::Query(query), self.params, &options, &self.cancellation)?;
        Ok(QueryOutput { schema: rows.schema, batches: rows.batches, rows_affected: None, route: Route::DataFusion })
    }

    /// Fails with the reason why the vectorized executor did not take a query.
    #[cfg(not(feature = "datafusion"))]
    fn general_query(&self, _snapshot: &Snapshot, _query: &Query, reason: Error) -> Result<QueryOutput> {
        Err(reason)
    }

    /// Hands a statement to DataFusion, or fails with the reason why the vectorized executor did not take it.
    #[cfg(feature = "datafusion")]
    pub(super) fn datafusion(&self, snapshot: &Snapshot, sql: &str, reason: Error) -> Result<QueryOutput> {
        use crate::datafusion::{SqlInput, run};

        tracing::debug!(%reason, "the statement goes to DataFusion");
        let input = SqlInput::Text(sql.to_owned());
        let rows = run(snapshot, input, self.params, &self.run_options(), &self.cancellation)?;
        Ok(QueryOutput { schema: rows.schema, batches: rows.batches, rows_affected: None, route: Route::DataFusion })
    }

    /// What DataFusion may use for this run.
    #[cfg(feature = "datafusion")]
    pub(super) fn run_options(&self) -> crate::datafusion::RunOptions {
        crate::datafusion::RunOptions {
            memory: Arc::clone(&self.memory),
            workers: Arc::clone(&self.shared.workers),
            ..crate::datafusion::RunOptions::new(&self.shared.options, &self.shared.engine)
        }
    }

    /// Fails with the reason why the vectorized executor did not take a statement.
    #[cfg(not(feature = "datafusion"))]
    pub(super) fn datafusion(&self, _snapshot: &Snapshot, _sql: &str, reason: Error) -> Result<QueryOutput> {
        Err(reason)
    }
}

/// The time of a statement.
pub(super) fn now_ns() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}
