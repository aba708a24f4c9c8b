//! Queries inside a statement of DataFusion that only the vectorized executor knows: those with `time_bucket_gapfill`.
//!
//! Each is run first, innermost ones before those around them, and stands as a table of its rows in the statement that
//! DataFusion then plans. All of them see the same snapshot. A statement that is explained or described is not run: there
//! the tables have columns and no rows. Where the executor does not serve such a query either, the error says how to write
//! it.

use std::ops::ControlFlow;
use std::sync::Arc;

use lynxstore_storage::snapshot::Snapshot;
use sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Query, SetExpr, TableAlias, TableFactor, VisitMut, VisitorMut,
    visit_expressions,
};

use super::query_engine::Run;
use super::select::Planned;
use crate::datafusion::RowTable;
use crate::error::{Error, Result};
use crate::exec::run_select;
use crate::options::SqlLimits;
use crate::sql::{Statement, fold_ident, parse_statement};

/// Functions that fill gaps.
const FUNCTIONS: [&str; 3] = ["time_bucket_gapfill", "locf", "interpolate"];

/// What begins the name of a table that stands for a query; no statement names it by chance.
const TABLE_PREFIX: &str = "rows of query ";

/// What becomes of the queries that fill gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filling {
    /// They are run.
    Run,
    /// They are planned.
    Plan,
}

/// A query that fills gaps, and the table that stands for it.
pub(super) struct FilledTable {
    pub(super) table: RowTable,
    pub(super) planned: Planned,
}

impl Run<'_> {
    /// Runs or plans the queries inside `query` that fill gaps and puts tables in their place; `reason` is why the
    /// executor does not serve the whole.
    ///
    /// # Errors
    /// `Unsupported` when gaps are filled where the executor cannot, and what the queries fail with.
    pub(super) fn replace_filled(
        &self,
        query: &mut Query,
        snapshot: &Snapshot,
        reason: &Error,
        filling: Filling,
    ) -> Result<Vec<FilledTable>> {
        let mut replacer = Replacer { run: self, snapshot, reason, filling, tables: Vec::new(), depth: 0 };
        match VisitMut::visit(query, &mut replacer) {
            ControlFlow::Break(error) => Err(error),
            ControlFlow::Continue(()) => Ok(replacer.tables),
        }
    }
}

struct Replacer<'a> {
    run: &'a Run<'a>,
    snapshot: &'a Snapshot,
    reason: &'a Error,
    filling: Filling,
    tables: Vec<FilledTable>,
    depth: usize,
}

impl VisitorMut for Replacer<'_> {
    type Break = Error;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<Error> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<Error> {
        self.depth -= 1;
        match self.replace(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

impl Replacer<'_> {
    /// Replaces a query, inside of which everything is replaced already.
    fn replace(&mut self, query: &mut Query) -> Result<()> {
        if !fills_gaps(query) {
            return Ok(());
        }
        if !matches!(*query.body, SetExpr::Select(_)) {
            // A branch of a UNION has no ORDER BY or LIMIT of its own, so it is a query without them.
            let mut branches = vec![&mut *query.body];
            while let Some(branch) = branches.pop() {
                match branch {
                    SetExpr::SetOperation { left, right, .. } => branches.extend([&mut **left, &mut **right]),
                    SetExpr::Select(_) if fills_gaps(branch) => {
                        let select = std::mem::replace(branch, SetExpr::Query(select_from("t")?));
                        let mut inner = select_from("t")?;
                        *inner.body = select;
                        self.fill(&mut inner)?;
                        *branch = SetExpr::Query(inner);
                    }
                    _ => {}
                }
            }
        } else if self.depth > 0 {
            self.fill(query)?;
        }
        if fills_gaps(query) {
            return Err(match self.reason {
                Error::Unsupported { what, .. } => unsupported(format!("time_bucket_gapfill with {what}")),
                other => unsupported(format!("time_bucket_gapfill here ({other})")),
            });
        }
        Ok(())
    }

    /// Makes a query one of the table of its rows.
    fn fill(&mut self, query: &mut Query) -> Result<()> {
        let planned = self.run.plan(query, self.snapshot, None).map_err(|error| match error {
            Error::Unsupported { what, .. } => unsupported(format!("time_bucket_gapfill with {what}")),
            Error::Storage(lynxstore_storage::Error::TableNotFound { name }) => {
                unsupported(format!("time_bucket_gapfill over '{name}', which is no table"))
            }
            other => other,
        })?;
        let (plan, table) = &planned;
        let batches = match self.filling {
            Filling::Run => Some(run_select(plan, table.as_ref(), &self.run.context())?),
            Filling::Plan => None,
        };
        let name = format!("{TABLE_PREFIX}{}", self.tables.len() + 1);
        *query = *select_from(&name)?;
        let table = RowTable { name, schema: Arc::clone(&plan.schema), batches };
        self.tables.push(FilledTable { table, planned });
        Ok(())
    }
}

fn unsupported(what: String) -> Error {
    Error::Unsupported {
        what,
        hint: "fill the gaps of one table in a query of its own, SELECT time_bucket_gapfill(...) AS t, ... FROM table \
               WHERE ... GROUP BY t, and join or compute around it: SELECT ... FROM (that query) AS filled"
            .into(),
    }
}

/// `SELECT * FROM "name"`.
fn select_from(name: &str) -> Result<Box<Query>> {
    let Statement::Query(mut query) = parse_statement("SELECT * FROM t", &SqlLimits::default())? else {
        return Err(Error::execution("a query is read as another statement"));
    };
    if let SetExpr::Select(select) = &mut *query.body
        && let Some(TableFactor::Table { name: table, alias, .. }) =
            select.from.first_mut().map(|from| &mut from.relation)
    {
        *table = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('"', name))]);
        *alias = None::<TableAlias>;
    }
    Ok(query)
}

/// Whether an expression of a query, or of a part of one, fills gaps.
fn fills_gaps(node: &impl sqlparser::ast::Visit) -> bool {
    let found = visit_expressions(node, |expr| match expr {
        Expr::Function(function) => match function.name.0.as_slice() {
            [ObjectNamePart::Identifier(name)] if FUNCTIONS.contains(&fold_ident(name).as_str()) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        },
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}
