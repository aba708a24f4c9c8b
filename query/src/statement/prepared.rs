//! Statements that are parsed once and run many times.

use std::sync::Arc;

use parking_lot::Mutex;

use super::query_engine::{Run, Shared};
use crate::error::Result;
use crate::options::Cancellation;
use crate::output::QueryOutput;
use crate::plan::SelectPlan;
use crate::scalar::Scalar;
use crate::sql::{self, Statement};

/// A parsed statement. A query without parameters keeps its plan too, for as long as its table does not change.
#[derive(Debug)]
pub struct PreparedStatement {
    shared: Arc<Shared>,
    sql: String,
    statement: Statement,
    plan: Mutex<Option<Arc<SelectPlan>>>,
}

impl PreparedStatement {
    pub(super) fn new(shared: Arc<Shared>, sql: &str) -> Result<Self> {
        let statement = sql::parse_statement(sql)?;
        Ok(Self { shared, sql: sql.to_owned(), statement, plan: Mutex::new(None) })
    }

    /// The text of the statement.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Runs the statement with values for `$1`, `$2` and so on.
    ///
    /// # Errors
    /// As [`QueryEngine::execute`](crate::QueryEngine::execute); `Plan` when a parameter has no value.
    pub fn execute(&self, params: &[Scalar]) -> Result<QueryOutput> {
        self.execute_with(params, &Cancellation::new())
    }

    /// Runs the statement; `cancellation` stops it from another thread.
    ///
    /// # Errors
    /// As [`PreparedStatement::execute`], and `Cancelled`.
    pub fn execute_with(&self, params: &[Scalar], cancellation: &Cancellation) -> Result<QueryOutput> {
        let run = Run { shared: &self.shared, params, cancellation };
        match &self.statement {
            Statement::Query(query) if params.is_empty() => run.select(query, Some(&self.plan)),
            statement => run.execute(statement, &self.sql),
        }
    }
}
