//! Calls of aggregates in the forms that users know, put into the one that the functions take here.
//!
//! The vectorized executor binds these forms itself; what it does not serve comes here as text.

use std::sync::Arc;

use lynxstore_storage::types::TableSchema;
use sqlparser::ast::{
    BinaryOperator, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, Ident, NullTreatment, ObjectNamePart, OrderByExpr, Value,
};

use crate::error::{Error, Result};
use crate::plan::{AggregateFunction, AggregateName, PercentileKind, SummaryFunction};
use crate::sql::fold_ident;

/// Whether calls that go by series get the columns that tell series apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SeriesColumns {
    /// Of the one table of the statement.
    Added,
    /// Only those that the statement names.
    AsWritten,
}

/// Rewrites a call over the tables of a statement.
///
/// # Errors
/// `Plan` for a call that has no meaning; DataFusion's own functions are not safe against some of them.
pub(super) fn rewrite_call(
    function: &mut Function,
    tables: &[Arc<TableSchema>],
    series_columns: SeriesColumns,
) -> Result<()> {
    let [ObjectNamePart::Identifier(ident)] = function.name.0.as_mut_slice() else { return Ok(()) };
    let name = fold_ident(ident);
    let Some(aggregate) = AggregateName::from_name(&name) else { return Ok(()) };
    if function.over.is_some() {
        return Ok(());
    }
    // DataFusion knows the variance under another name.
    if name == "variance" {
        *ident = Ident::new("var");
    }
    let group = std::mem::take(&mut function.within_group);
    let parameters = std::mem::replace(&mut function.parameters, FunctionArguments::None);
    let FunctionArguments::List(list) = &mut function.args else { return Ok(()) };
    match group.as_slice() {
        [] => {}
        [order] => within_group(list, &name, aggregate, order)?,
        _ => return Err(Error::plan(format!("{name} takes one expression in WITHIN GROUP"))),
    }
    if let FunctionArguments::List(parameters) = parameters {
        list.args.extend(parameters.args);
    }
    match aggregate {
        AggregateName::Plain(AggregateFunction::First | AggregateFunction::Last) => {
            let is_last = aggregate == AggregateName::Plain(AggregateFunction::Last);
            if let Some(end) = by_time(list, &name, is_last, function.null_treatment, tables) {
                *ident = Ident::new(end);
                function.null_treatment = None;
            }
            Ok(())
        }
        AggregateName::Plain(AggregateFunction::Count) => Ok(()),
        _ if aggregate.is_by_series() => {
            if series_columns == SeriesColumns::Added {
                add_series(list, aggregate, tables);
            }
            Ok(())
        }
        AggregateName::Plain(_) if list.args.len() != aggregate.value_count() => {
            Err(Error::plan(format!("{name} takes {}, {} were given", aggregate.arguments(), list.args.len())))
        }
        _ => Ok(()),
    }
}

/// Puts the expression of WITHIN GROUP before the arguments.
fn within_group(
    list: &mut FunctionArgumentList,
    name: &str,
    aggregate: AggregateName,
    order: &OrderByExpr,
) -> Result<()> {
    let is_mode = aggregate == AggregateName::Plain(AggregateFunction::Summary(SummaryFunction::Mode));
    if !is_mode && !matches!(aggregate, AggregateName::Percentile(_)) {
        return Err(Error::plan(format!("{name} takes no WITHIN GROUP")));
    }
    if order.options.asc == Some(false) {
        if is_mode || aggregate == AggregateName::Percentile(PercentileKind::Discrete) {
            return Err(Error::plan(format!("{name} takes WITHIN GROUP in ascending order only")));
        }
        if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(fraction))) = list.args.first_mut() {
            let turned = std::mem::replace(fraction, Expr::Value(Value::Null.with_empty_span()));
            let one = Expr::Value(Value::Number("1".into(), false).with_empty_span());
            *fraction = Expr::BinaryOp {
                left: Box::new(one),
                op: BinaryOperator::Minus,
                right: Box::new(Expr::Nested(Box::new(turned))),
            };
        }
    }
    list.args.insert(0, argument(order.expr.clone()));
    Ok(())
}

/// Gives `first` and `last` the time that they go by; the name of the function that does what the call says, or `None`
/// when the call is DataFusion's `first_value` or `last_value` by another order.
fn by_time(
    list: &mut FunctionArgumentList,
    name: &str,
    is_last: bool,
    nulls: Option<NullTreatment>,
    tables: &[Arc<TableSchema>],
) -> Option<&'static str> {
    let end = |is_last: bool| if is_last { "last" } else { "first" };
    let is_value = name.ends_with("_value");
    let respects_nulls = nulls == Some(NullTreatment::RespectNulls)
        || list.clauses.contains(&FunctionArgumentClause::IgnoreOrRespectNulls(NullTreatment::RespectNulls))
        || list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
    if respects_nulls && is_value {
        return None;
    }
    // Tables that call their time differently make DataFusion ask for the second argument.
    let first_table = tables.first()?;
    let time = &first_table.time.name;
    if tables.iter().any(|table| table.time.name != *time) {
        return None;
    }
    let order = list.clauses.iter().find_map(|clause| match clause {
        FunctionArgumentClause::OrderBy(order) => Some(order.clone()),
        _ => None,
    });
    match (list.args.len(), order.as_deref()) {
        // Without an order `first_value` of a join has no time of its own.
        (1, None) if !is_value || tables.len() == 1 => {
            list.args.push(argument(Expr::Identifier(Ident::with_quote('"', time))));
            list.clauses.clear();
            Some(end(is_last))
        }
        (2, None) => Some(end(is_last)),
        (1, Some([order])) if names_column(&order.expr, time) => {
            list.args.push(argument(order.expr.clone()));
            list.clauses.clear();
            Some(end(is_last != (order.options.asc == Some(false))))
        }
        _ => None,
    }
}

/// Whether an expression is the column of a name.
fn names_column(expr: &Expr, name: &str) -> bool {
    let is_name = |ident: &Ident| fold_ident(ident) == *name || ident.value == *name;
    match expr {
        Expr::Identifier(ident) => is_name(ident),
        Expr::CompoundIdentifier(parts) => parts.last().is_some_and(is_name),
        _ => false,
    }
}

/// Adds the time and the tags of the one table of a statement to a call that has none.
fn add_series(list: &mut FunctionArgumentList, aggregate: AggregateName, tables: &[Arc<TableSchema>]) {
    let [table] = tables else { return };
    let is_text = |argument: &FunctionArg| {
        matches!(argument, FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))
            if matches!(value.value, Value::SingleQuotedString(_)))
    };
    let has_method = aggregate == AggregateName::TimeWeight && list.args.get(1).is_some_and(is_text);
    if list.args.len() != 1 + usize::from(has_method) {
        return;
    }
    let names = std::iter::once(&table.time.name).chain(table.tags.iter().map(|tag| &tag.name));
    list.args.extend(names.map(|name| argument(Expr::Identifier(Ident::with_quote('"', name)))));
}

fn argument(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}
