//! Statements that are parsed once and run many times.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use parking_lot::Mutex;

use super::query_engine::{Run, Shared};
use crate::cancellation::Cancellation;
use crate::error::Result;
use crate::output::QueryOutput;
use crate::plan::SelectPlan;
use crate::scalar::Scalar;
use crate::sql::{self, Statement};

/// What a query takes and gives. Of other statements nothing is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementDescription {
    /// The types of `$1`, `$2` and so on; `None` for one that takes any value. A number fits every type of numbers, text
    /// fits TIMESTAMP and INTERVAL when it reads as one, NULL fits all.
    pub parameters: Vec<Option<DataType>>,
    /// The columns of the result.
    pub columns: SchemaRef,
}

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
        let statement = sql::parse_statement(sql, &shared.options.sql)?;
        Ok(Self { shared, sql: sql.to_owned(), statement, plan: Mutex::new(None) })
    }

    /// The text of the statement.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// What the statement takes and gives, by the tables as they are now.
    ///
    /// # Errors
    /// As [`PreparedStatement::execute`]; `Plan` when a parameter stands at places of different types.
    pub fn describe(&self) -> Result<StatementDescription> {
        match &self.statement {
            Statement::Query(query) => {
                let run = Run::new(&self.shared, &[], &Cancellation::new());
                let (parameters, columns) = run.describe_query(query)?;
                Ok(StatementDescription { parameters, columns })
            }
            _ => Ok(StatementDescription { parameters: Vec::new(), columns: Schema::empty().into() }),
        }
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
        let run = Run::new(&self.shared, params, cancellation);
        match &self.statement {
            Statement::Query(query) if params.is_empty() => run.select(query, Some(&self.plan)),
            statement => run.execute(statement, &self.sql),
        }
    }
}
