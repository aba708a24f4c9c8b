//! What a statement means by its names, put into the form that DataFusion takes literally.
//!
//! A name without quotes is folded to lower case and, when there is no such table or column, tried as written; that is
//! also how the vectorized executor reads it. Calls of aggregates get the form of `aggregate_calls`, `date_trunc` with a
//! zone the name of the function that has one. Numbers in ORDER BY become the expressions that they stand for.

use std::ops::ControlFlow;
use std::sync::Arc;

use lynxstore_storage::snapshot::Snapshot;
use lynxstore_storage::types::TableSchema;
use sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArguments, Ident, ObjectName, ObjectNamePart, OrderByKind, Query,
    SelectItem, SetExpr, Statement, Value, VisitMut, VisitorMut, visit_expressions_mut, visit_relations_mut,
};

use super::aggregate_calls::{SeriesColumns, rewrite_call};
use super::time_bucket::TRUNC_IN_ZONE;
use crate::error::Result;
use crate::sql::fold_ident;

/// Rewrites the names of a statement over the tables of a snapshot.
///
/// # Errors
/// `Plan` for the call of an aggregate that has no meaning.
pub(super) fn settle_names(
    statement: &mut Statement,
    snapshot: &Snapshot,
    default_namespace: &str,
    series_columns: SeriesColumns,
) -> Result<()> {
    let _: ControlFlow<()> = statement.visit(&mut Ordinals);
    let mut names = Names { tables: Vec::new(), kept_tables: Vec::new() };
    let _: ControlFlow<()> = visit_relations_mut(statement, |name| {
        names.settle_table(name, snapshot, default_namespace);
        ControlFlow::Continue(())
    });
    let flow = visit_expressions_mut(statement, |expr| {
        match expr {
            Expr::Identifier(column) => names.settle_column(column),
            Expr::CompoundIdentifier(parts) => names.settle_path(parts),
            Expr::BinaryOp { left, op, right } => put_column_first(left, op, right),
            Expr::Function(function) => {
                name_trunc_in_zone(function);
                if let Err(error) = rewrite_call(function, &names.tables, series_columns) {
                    return ControlFlow::Break(error);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    });
    match flow {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Replaces numbers in ORDER BY. DataFusion looks for a column by the name of the item, and finds none when the item
/// puts aggregates together, as in `SELECT max(x) - min(x) FROM t ORDER BY 1`.
struct Ordinals;

impl VisitorMut for Ordinals {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let (SetExpr::Select(select), Some(order_by)) = (&*query.body, &mut query.order_by) else {
            return ControlFlow::Continue(());
        };
        // After DISTINCT it takes nothing but numbers and names.
        if select.distinct.is_some() {
            return ControlFlow::Continue(());
        }
        let OrderByKind::Expressions(keys) = &mut order_by.kind else { return ControlFlow::Continue(()) };
        for key in keys {
            let Some(number) = ordinal(&key.expr) else { continue };
            // A star is more than one column, so numbers beyond it do not count items.
            let mut items = select.projection.iter().take(number);
            if items.clone().any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))) {
                continue;
            }
            // A literal would be taken for a number again.
            if let Some(SelectItem::UnnamedExpr(expr)) = number.checked_sub(1).and_then(|index| items.nth(index))
                && !matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_))
            {
                key.expr = expr.clone();
            }
        }
        ControlFlow::Continue(())
    }
}

/// The position that a bare number names.
fn ordinal(expr: &Expr) -> Option<usize> {
    let Expr::Value(value) = expr else { return None };
    if let Value::Number(text, _) = &value.value { text.parse().ok() } else { None }
}

/// The tables of the snapshot that a statement reads.
struct Names {
    tables: Vec<Arc<TableSchema>>,
    /// Names of tables that are found only as written.
    kept_tables: Vec<String>,
}

impl Names {
    fn settle_table(&mut self, name: &mut ObjectName, snapshot: &Snapshot, default_namespace: &str) {
        let (namespace, table) = match name.0.as_mut_slice() {
            [ObjectNamePart::Identifier(table)] => (default_namespace.to_owned(), table),
            [ObjectNamePart::Identifier(namespace), ObjectNamePart::Identifier(table)] => {
                (fold_ident(namespace), table)
            }
            _ => return,
        };
        if let Ok(found) = snapshot.table(&namespace, &fold_ident(table)) {
            self.tables.push(Arc::clone(found.schema()));
        } else if let Ok(found) = snapshot.table(&namespace, &table.value) {
            self.tables.push(Arc::clone(found.schema()));
            keep(table);
            self.kept_tables.push(table.value.clone());
        }
    }

    fn settle_column(&self, column: &mut Ident) {
        let exists = |name: &str| self.tables.iter().any(|table| table.column_exists(name));
        if !exists(&fold_ident(column)) && exists(&column.value) {
            keep(column);
        }
    }

    fn settle_path(&self, parts: &mut [Ident]) {
        let [qualifiers @ .., column] = parts else { return };
        self.settle_column(column);
        if let Some(table) = qualifiers.last_mut()
            && self.kept_tables.contains(&table.value)
        {
            keep(table);
        }
    }
}

/// Turns `5 < x` into `x > 5`. DataFusion 55 takes a strict bound for a lax one where both are there and the strict one
/// has its constant in front: `x >= 5 AND 5 < x` let 5 pass.
fn put_column_first(left: &mut Expr, op: &mut BinaryOperator, right: &mut Expr) {
    let is_column = |expr: &Expr| matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
    if is_column(left) || !is_column(right) {
        return;
    }
    *op = match op {
        BinaryOperator::Lt => BinaryOperator::Gt,
        BinaryOperator::LtEq => BinaryOperator::GtEq,
        BinaryOperator::Gt => BinaryOperator::Lt,
        BinaryOperator::GtEq => BinaryOperator::LtEq,
        _ => return,
    };
    std::mem::swap(left, right);
}

/// Gives `date_trunc` with a zone the name under which it is known.
fn name_trunc_in_zone(function: &mut Function) {
    let [ObjectNamePart::Identifier(name)] = function.name.0.as_mut_slice() else { return };
    if fold_ident(name) == "date_trunc"
        && matches!(&function.args, FunctionArguments::List(list) if list.args.len() == 3)
    {
        *name = Ident::new(TRUNC_IN_ZONE);
    }
}

/// Makes the planner take the name as written.
fn keep(ident: &mut Ident) {
    ident.quote_style.get_or_insert('"');
}
