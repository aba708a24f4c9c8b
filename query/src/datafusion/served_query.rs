//! Aggregates over one table inside a general statement: subqueries, CTEs and branches of set operations that the
//! vectorized executor serves become tables that it fills.
//!
//! This is done on the syntax, before names are settled, because there an aggregate is what its writer meant; after
//! DataFusion's optimizer it would have to be guessed from operators. What the executor does not serve stays as it is. The
//! outermost query is never replaced: it would not be here.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use hashbrown::HashMap;
use lynxstore_storage::snapshot::{Snapshot, TableSnapshot};
use parking_lot::Mutex;
use sqlparser::ast::{
    Expr, Query, Select, SelectItem, SetExpr, Statement as SqlStatement, VisitMut, Visitor, VisitorMut,
};

use super::run::RunOptions;
use super::served_table::ServedTable;
use crate::cancellation::Cancellation;
use crate::plan::{SelectPlan, bind_query, query_table};
use crate::scalar::Scalar;
use crate::sql::{self, SYSTEM_NAMESPACE, Statement, fold_ident};

/// A query that the vectorized executor runs in place of DataFusion, with what it may use.
#[derive(Debug, Clone)]
pub(super) struct ServedQuery {
    pub(super) plan: Arc<SelectPlan>,
    pub(super) table: TableSnapshot,
    /// Its text, for `EXPLAIN`.
    pub(super) sql: Arc<str>,
    pub(super) options: Arc<RunOptions>,
    pub(super) cancellation: Cancellation,
}

/// The served queries of one statement, by the names that stand for them in it.
#[derive(Debug, Clone, Default)]
pub(super) struct ServedQueries(Arc<Mutex<HashMap<String, Arc<ServedTable>>>>);

impl ServedQueries {
    /// The table of a name.
    pub(super) fn table(&self, name: &str) -> Option<Arc<ServedTable>> {
        self.0.lock().get(name).cloned()
    }

    fn add(&self, query: ServedQuery) -> String {
        let mut tables = self.0.lock();
        let name = format!("aggregate${}", tables.len());
        tables.insert(name.clone(), Arc::new(ServedTable::new(query)));
        name
    }
}

/// Replaces the served queries of a statement.
pub(super) fn serve_subqueries(
    statement: &mut SqlStatement,
    snapshot: &Snapshot,
    params: &[Scalar],
    options: &RunOptions,
    cancellation: &Cancellation,
    served: &ServedQueries,
) {
    let mut names = CommonTables::default();
    let _: ControlFlow<()> = sqlparser::ast::Visit::visit(statement, &mut names);
    // A result with more rows than a statement may return can still be an intermediate one.
    let mut options = options.clone();
    options.query.rows_out_max = u64::MAX;
    let mut server = Server {
        snapshot,
        params,
        options: Arc::new(options),
        cancellation,
        served,
        common_tables: names.names,
        depth: 0,
    };
    let _: ControlFlow<()> = statement.visit(&mut server);
}

/// Names of WITH: they hide tables.
#[derive(Default)]
struct CommonTables {
    names: HashSet<String>,
}

impl Visitor for CommonTables {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.names.extend(tables.map(|table| fold_ident(&table.alias.name)));
        ControlFlow::Continue(())
    }
}

/// Whether somebody may refer to the columns of a query by names that DataFusion would make up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    Matters,
    DoesNot,
}

struct Server<'a> {
    snapshot: &'a Snapshot,
    params: &'a [Scalar],
    options: Arc<RunOptions>,
    cancellation: &'a Cancellation,
    served: &'a ServedQueries,
    common_tables: HashSet<String>,
    depth: usize,
}

impl VisitorMut for Server<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        if self.depth > 1
            && let Some(replacement) = self.serve(query, Naming::Matters)
        {
            *query = replacement;
        }
        self.serve_branches(&mut query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Subquery(query) | Expr::InSubquery { subquery: query, .. } | Expr::Exists { subquery: query, .. } =
            expr
            && let Some(replacement) = self.serve(query, Naming::DoesNot)
        {
            **query = replacement;
        }
        ControlFlow::Continue(())
    }
}

impl Server<'_> {
    /// Replaces the branches of a set operation.
    fn serve_branches(&self, body: &mut SetExpr) {
        let SetExpr::SetOperation { left, right, .. } = body else { return };
        for branch in [left, right] {
            match &mut **branch {
                SetExpr::Select(select) => {
                    if let Some(replacement) = self.serve(&query_of(select), Naming::DoesNot) {
                        **branch = *replacement.body;
                    }
                }
                other => self.serve_branches(other),
            }
        }
    }

    /// The query that stands for a served one.
    fn serve(&self, query: &Query, naming: Naming) -> Option<Query> {
        let SetExpr::Select(select) = &*query.body else { return None };
        if naming == Naming::Matters && !select.projection.iter().all(has_own_name) {
            return None;
        }
        let name = query_table(query).ok()??;
        if name.namespace.is_none() && self.common_tables.contains(&name.name) {
            return None;
        }
        let namespace = name.namespace.as_deref().unwrap_or(&self.options.namespace);
        if namespace == SYSTEM_NAMESPACE {
            return None;
        }
        let found = self.snapshot.table(namespace, &name.name);
        let table = found.or_else(|_| self.snapshot.table(namespace, &name.written)).ok()?;
        let table = table.on_damage(self.options.on_damage);
        let plan = bind_query(query, Some(table.schema()), self.params, 0).ok()?;
        // `now()` is one time for the whole statement, and DataFusion's.
        if plan.aggregation.is_none() || plan.uses_now {
            return None;
        }
        let name = self.served.add(ServedQuery {
            plan: Arc::new(plan),
            table,
            sql: query.to_string().into(),
            options: Arc::clone(&self.options),
            cancellation: self.cancellation.clone(),
        });
        match sql::parse_statement(&format!("SELECT * FROM \"{name}\""), &self.options.query.sql) {
            Ok(Statement::Query(replacement)) => Some(*replacement),
            _ => None,
        }
    }
}

fn has_own_name(item: &SelectItem) -> bool {
    match item {
        SelectItem::ExprWithAlias { .. } => true,
        SelectItem::UnnamedExpr(expr) => matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)),
        _ => false,
    }
}

/// A query that is nothing but a SELECT.
fn query_of(select: &Select) -> Query {
    Query {
        with: None,
        body: Box::new(SetExpr::Select(Box::new(select.clone()))),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}
