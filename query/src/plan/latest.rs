//! Recognises queries for the last row of series, which the executor reads from the end of each.
//!
//! `QUALIFY row_number() OVER (PARTITION BY tags ORDER BY time DESC) = 1`, which is also what `LATEST ON` becomes, and
//! `SELECT DISTINCT ON (tags) ... ORDER BY tags, time DESC`. Every other form is DataFusion's.

use sqlparser::ast::{self, BinaryOperator, FunctionArguments, OrderByKind, Query, Select, Value, WindowType};

use super::bind::Binder;
use super::expr::Expr;
use crate::error::{Error, Result};
use crate::sql::fold_ident;

/// The tags of which a query wants the last row each; `None` for a query that wants all rows.
///
/// # Errors
/// `Unsupported` for a QUALIFY or DISTINCT ON of another kind.
pub(super) fn bind_latest<'a>(
    binder: &mut Binder<'a>,
    select: &'a Select,
    query: &'a Query,
    tag_count: usize,
) -> Result<Option<Vec<usize>>> {
    let (keys, times) = match (&select.qualify, &select.distinct) {
        (None, Some(ast::Distinct::On(keys))) => (keys, order_behind_keys(query, keys.len())),
        (Some(condition), None) => match row_number_is_one(condition) {
            Some((keys, order)) => (keys, order),
            None => return Err(Error::unsupported("QUALIFY")),
        },
        (None, _) => return Ok(None),
        (Some(_), Some(_)) => return Err(Error::unsupported("QUALIFY with DISTINCT")),
    };
    let [time] = times else {
        return Err(Error::unsupported("QUALIFY or DISTINCT ON by another order than the time, last first"));
    };
    let is_last_first = time.options.asc == Some(false) && time.with_fill.is_none();
    if !is_last_first || !matches!(binder.bind(&time.expr)?, Expr::Column(0, _)) {
        return Err(Error::unsupported("QUALIFY or DISTINCT ON by another order than the time, last first"));
    }
    let mut tags = Vec::with_capacity(keys.len());
    for key in keys {
        match binder.bind(key)? {
            Expr::Column(column, _) if (1..=tag_count).contains(&column) => tags.push(column - 1),
            _ => return Err(Error::unsupported("QUALIFY or DISTINCT ON by something else than tags")),
        }
    }
    if select.qualify.is_none() && !sorts_by(binder, query, &tags)? {
        return Err(Error::unsupported("DISTINCT ON in another order than that of its keys"));
    }
    Ok(Some(tags))
}

/// What `ORDER BY` has behind as many keys.
fn order_behind_keys(query: &Query, keys: usize) -> &[ast::OrderByExpr] {
    match query.order_by.as_ref().map(|order| &order.kind) {
        Some(OrderByKind::Expressions(order)) => order.get(keys..).unwrap_or(&[]),
        _ => &[],
    }
}

/// Whether the first keys of ORDER BY are these tags, in any order.
fn sorts_by<'a>(binder: &mut Binder<'a>, query: &'a Query, tags: &[usize]) -> Result<bool> {
    let Some(OrderByKind::Expressions(order)) = query.order_by.as_ref().map(|order| &order.kind) else {
        return Ok(false);
    };
    let mut found = Vec::with_capacity(tags.len());
    for key in order.iter().take(tags.len()) {
        match binder.bind(&key.expr)? {
            Expr::Column(column, _) if column > 0 => found.push(column - 1),
            _ => return Ok(false),
        }
    }
    let mut wanted = tags.to_vec();
    wanted.sort_unstable();
    found.sort_unstable();
    Ok(wanted == found)
}

/// The partition and the order of `row_number() OVER (...) = 1`.
fn row_number_is_one(condition: &ast::Expr) -> Option<(&Vec<ast::Expr>, &[ast::OrderByExpr])> {
    let ast::Expr::BinaryOp { left, op: BinaryOperator::Eq, right } = condition else { return None };
    let is_one =
        matches!(&**right, ast::Expr::Value(one) if matches!(&one.value, Value::Number(text, _) if text == "1"));
    let ast::Expr::Function(function) = &**left else { return None };
    let name = match function.name.0.as_slice() {
        [part] => part.as_ident().map(fold_ident)?,
        _ => return None,
    };
    let has_arguments = match &function.args {
        FunctionArguments::List(list) => !list.args.is_empty() || !list.clauses.is_empty(),
        FunctionArguments::None => false,
        FunctionArguments::Subquery(_) => true,
    };
    let is_plain = function.filter.is_none() && function.null_treatment.is_none() && function.within_group.is_empty();
    if !is_one || name != "row_number" || has_arguments || !is_plain {
        return None;
    }
    match &function.over {
        Some(WindowType::WindowSpec(window)) if window.window_name.is_none() && window.window_frame.is_none() => {
            Some((&window.partition_by, &window.order_by))
        }
        _ => None,
    }
}
