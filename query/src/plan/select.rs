//! Binds a query over one table (or none) to a [`SelectPlan`].

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use lynxstore_storage::types::TableSchema;
use sqlparser::ast::{self, GroupByExpr, LimitClause, OrderByKind, Query, Select, SelectItem, SetExpr, TableFactor};

use super::aggregate::Aggregate;
use super::bind::{Binder, bind_constant};
use super::expr::Expr;
use super::gapfill::GapFill;
use super::latest;
use super::predicate::ScanFilter;
use crate::error::{Error, Result};
use crate::scalar::Scalar;
use crate::sql::{TableName, fold_ident, table_name};

/// A bound query: scan, then aggregation or not, projection, DISTINCT, ORDER BY, LIMIT.
#[derive(Debug, Clone)]
pub(crate) struct SelectPlan {
    /// The table; without one there is a single row of no columns.
    pub(crate) table: Option<Arc<TableSchema>>,
    /// What the scan passes.
    pub(crate) filter: ScanFilter,
    /// Columns of the table (time, tags, fields in one count) that the scan delivers; expressions over the scan
    /// refer to positions in this list.
    pub(crate) columns: Vec<usize>,
    /// Tags by whose values only the last row passes the scan; all rows pass without them.
    pub(crate) latest: Option<Vec<usize>>,
    /// Grouping, over the scan.
    pub(crate) aggregation: Option<Aggregation>,
    /// Buckets that every group has, and what stands in those without rows.
    pub(crate) gapfill: Option<GapFill>,
    /// Condition on groups, over their keys followed by their aggregates and by what is filled.
    pub(crate) having: Option<Expr>,
    /// Result columns over the groups, or over the scan; those beyond `visible` are there for ORDER BY only.
    pub(crate) projection: Vec<OutputColumn>,
    /// Number of result columns.
    pub(crate) visible: usize,
    /// Whether equal result rows are merged.
    pub(crate) distinct: bool,
    /// Order of the result, by columns of `projection`.
    pub(crate) order: Vec<SortKey>,
    /// Rows to leave out at the start.
    pub(crate) offset: usize,
    /// Rows to return at most.
    pub(crate) limit: Option<usize>,
    /// Names and types of the result columns.
    pub(crate) schema: SchemaRef,
    /// Whether the plan holds for one execution only, since it contains the time of binding.
    pub(crate) uses_now: bool,
}

/// Grouping of a plan.
#[derive(Debug, Clone)]
pub(crate) struct Aggregation {
    /// Group keys over the scan; none for one group of all rows.
    pub(crate) keys: Vec<Expr>,
    /// Aggregates over the scan.
    pub(crate) aggregates: Vec<Aggregate>,
}

/// A column of a result.
#[derive(Debug, Clone)]
pub(crate) struct OutputColumn {
    /// Its name.
    pub(crate) name: String,
    /// Its value.
    pub(crate) expr: Expr,
}

/// One key of ORDER BY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SortKey {
    /// Position in the projection.
    pub(crate) column: usize,
    /// Whether large values come first.
    pub(crate) descending: bool,
    /// Whether NULLs come first.
    pub(crate) nulls_first: bool,
}

impl SelectPlan {
    /// Rows that the result needs before `offset` is cut off.
    pub(crate) fn rows_wanted(&self) -> Option<usize> {
        self.limit.map(|limit| limit.saturating_add(self.offset))
    }
}

/// The table that a query reads, when its shape is one that the executor serves; `None` for a query without FROM.
///
/// # Errors
/// `Unsupported` for every other shape.
pub(crate) fn query_table(query: &Query) -> Result<Option<TableName>> {
    let select = plain_select(query)?;
    match select.from.as_slice() {
        [] => Ok(None),
        [from] if from.joins.is_empty() => match &from.relation {
            TableFactor::Table { name, alias, args: None, with_hints, version: None, sample: None, .. }
                if with_hints.is_empty() && alias.as_ref().is_none_or(|alias| alias.columns.is_empty()) =>
            {
                let is_file = name.0.iter().any(|part| part.as_ident().is_some_and(|id| id.quote_style == Some('\'')));
                if is_file { Err(Error::unsupported("a file in FROM")) } else { table_name(name).map(Some) }
            }
            _ => Err(Error::unsupported("FROM with something else than one table")),
        },
        _ => Err(Error::unsupported("a join")),
    }
}

fn plain_select(query: &Query) -> Result<&Select> {
    let plain = query.with.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty()
        && query.for_clause.is_none()
        && query.settings.is_none()
        && query.format_clause.is_none()
        && query.pipe_operators.is_empty();
    let SetExpr::Select(select) = &*query.body else {
        return Err(Error::unsupported("a query that is no single SELECT"));
    };
    let plain = plain
        && select.top.is_none()
        && select.exclude.is_none()
        && select.into.is_none()
        && select.lateral_views.is_empty()
        && select.prewhere.is_none()
        && select.connect_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.named_window.is_empty()
        && select.value_table_mode.is_none()
        && matches!(select.flavor, ast::SelectFlavor::Standard);
    if plain { Ok(select) } else { Err(Error::unsupported("a query with WITH or clauses of other dialects")) }
}

/// Binds a query; `table` is the table that [`query_table`] named.
pub(crate) fn bind_query(
    query: &Query,
    table: Option<&Arc<TableSchema>>,
    params: &[Scalar],
    now_ns: i64,
) -> Result<SelectPlan> {
    let select = plain_select(query)?;
    let mut binder = Binder::new(table.map(|table| &**table).zip(qualifier_of(query)), params, now_ns);

    let condition = select.selection.as_ref().map(|condition| binder.bind_condition(condition)).transpose()?;
    let filter = match table {
        Some(table) => ScanFilter::split(table, condition)?,
        None => ScanFilter { residual: condition, ..ScanFilter::all() },
    };

    binder.aggregates = Some(Vec::new());
    binder.gaps.is_allowed = true;
    let mut projection = bind_items(&mut binder, select, table)?;
    let visible = projection.len();
    for item in &select.projection {
        if let SelectItem::ExprWithAlias { expr, alias } = item {
            binder.aliases.push((fold_ident(alias), expr));
        }
    }
    let collected = binder.aggregates.take();
    let keys = bind_keys(&mut binder, select)?;
    binder.aggregates = collected;
    let having = select.having.as_ref().map(|condition| binder.bind_condition(condition)).transpose()?;
    let order = bind_order(&mut binder, query, &mut projection, visible)?;
    let aggregates = binder.aggregates.take().unwrap_or_default();
    let gapfill = std::mem::take(&mut binder.gaps).finish(&keys, filter.range)?;
    let distinct = match &select.distinct {
        None | Some(ast::Distinct::All) => false,
        Some(ast::Distinct::Distinct) => true,
        Some(ast::Distinct::On(_)) => false,
    };
    let latest = latest::bind_latest(&mut binder, select, query, table.map_or(0, |table| table.tags.len()))?;
    if latest.is_some() && (distinct || !keys.is_empty() || !aggregates.is_empty()) {
        return Err(Error::unsupported("the last rows of series under DISTINCT or GROUP BY"));
    }
    if distinct && projection.len() > visible {
        return Err(Error::plan("ORDER BY of SELECT DISTINCT can only use columns of the result"));
    }

    let (limit, offset) = bind_limit(query, params, now_ns)?;
    let fields = projection[..visible].iter().map(|column| Field::new(&column.name, column.expr.data_type(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut plan = SelectPlan {
        table: table.cloned(),
        filter,
        columns: Vec::new(),
        latest,
        aggregation: None,
        gapfill,
        having,
        projection,
        visible,
        distinct,
        order,
        offset,
        limit,
        schema,
        uses_now: binder.uses_now,
    };
    if !keys.is_empty() || !aggregates.is_empty() || plan.having.is_some() {
        plan.aggregate(keys, aggregates)?;
    } else if distinct {
        // DISTINCT without aggregates is GROUP BY of everything.
        let keys = plan.projection.iter().map(|column| column.expr.clone()).collect();
        plan.aggregate(keys, Vec::new())?;
        plan.distinct = false;
    }
    plan.choose_columns();
    Ok(plan)
}

/// The name that may qualify the columns of the table of a query.
pub(super) fn qualifier_of(query: &Query) -> Option<String> {
    let SetExpr::Select(select) = &*query.body else { return None };
    match &select.from.first()?.relation {
        TableFactor::Table { name, alias, .. } => match alias {
            Some(alias) => Some(fold_ident(&alias.name)),
            None => name.0.last().and_then(|part| part.as_ident()).map(fold_ident),
        },
        _ => None,
    }
}

impl SelectPlan {
    /// Puts a grouping between the scan and the projection.
    fn aggregate(&mut self, keys: Vec<Expr>, aggregates: Vec<Aggregate>) -> Result<()> {
        let groups = GroupColumns { keys: &keys, aggregates: aggregates.len() };
        for column in &mut self.projection {
            groups.replace(&mut column.expr, &column.name)?;
        }
        if let Some(having) = &mut self.having {
            groups.replace(having, "HAVING")?;
        }
        for fill in self.gapfill.iter_mut().flat_map(|gapfill| &mut gapfill.fills) {
            groups.replace(&mut fill.value, "locf or interpolate")?;
        }
        self.aggregation = Some(Aggregation { keys, aggregates });
        Ok(())
    }

    /// Decides which columns the scan delivers and lets the expressions over it refer to them.
    fn choose_columns(&mut self) {
        let mut columns = Vec::new();
        for expr in self.scan_expressions() {
            expr.collect_columns(&mut columns);
        }
        columns.sort_unstable();
        let position = |column: usize| columns.binary_search(&column).expect("every column was collected");
        if let Some(residual) = &mut self.filter.residual {
            residual.remap_columns(&position);
        }
        match &mut self.aggregation {
            None => self.projection.iter_mut().for_each(|column| column.expr.remap_columns(&position)),
            Some(aggregation) => {
                aggregation.keys.iter_mut().for_each(|key| key.remap_columns(&position));
                for argument in aggregation.aggregates.iter_mut().flat_map(Aggregate::expressions_mut) {
                    argument.remap_columns(&position);
                }
            }
        }
        self.columns = columns;
    }

    /// The expressions that are evaluated over the scan.
    fn scan_expressions(&self) -> impl Iterator<Item = &Expr> {
        let (keys, aggregates) = match &self.aggregation {
            Some(aggregation) => (aggregation.keys.as_slice(), aggregation.aggregates.as_slice()),
            None => (&[][..], &[][..]),
        };
        let projection = if self.aggregation.is_none() { self.projection.as_slice() } else { &[] };
        self.filter
            .residual
            .iter()
            .chain(keys)
            .chain(aggregates.iter().flat_map(Aggregate::expressions))
            .chain(projection.iter().map(|column| &column.expr))
    }
}

/// The columns of groups: keys first, aggregates after them, then what is filled.
#[derive(Clone, Copy)]
struct GroupColumns<'a> {
    keys: &'a [Expr],
    aggregates: usize,
}

impl GroupColumns<'_> {
    /// Turns an expression over the scan into one over groups.
    fn replace(self, expr: &mut Expr, name: &str) -> Result<()> {
        if let Some(key) = self.keys.iter().position(|key| key == expr) {
            *expr = Expr::Column(key, expr.data_type());
            return Ok(());
        }
        match expr {
            Expr::Aggregate(index, data_type) => {
                *expr = Expr::Column(self.keys.len() + *index, data_type.clone());
                Ok(())
            }
            Expr::Fill(index, data_type) => {
                *expr = Expr::Column(self.keys.len() + self.aggregates + *index, data_type.clone());
                Ok(())
            }
            Expr::Column(..) => Err(Error::plan(format!(
                "'{name}' uses a column outside GROUP BY: add it to GROUP BY or put it into an aggregate"
            ))),
            expr => expr.for_each_child_mut(|child| self.replace(child, name)),
        }
    }
}

fn bind_items<'a>(
    binder: &mut Binder<'a>,
    select: &'a Select,
    table: Option<&Arc<TableSchema>>,
) -> Result<Vec<OutputColumn>> {
    let mut projection = Vec::with_capacity(select.projection.len());
    for item in &select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let bound = binder.bind(expr)?;
                let name = match (&bound, table) {
                    (Expr::Column(index, _), Some(table)) => column_name(table, *index).to_owned(),
                    _ => output_name(expr),
                };
                projection.push(OutputColumn { name, expr: bound });
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                projection.push(OutputColumn { name: fold_ident(alias), expr: binder.bind(expr)? });
            }
            SelectItem::Wildcard(options) => {
                let Some(table) = table else { return Err(Error::plan("SELECT * needs a table in FROM")) };
                if *options != ast::WildcardAdditionalOptions::default() && options.to_string() != "" {
                    return Err(Error::unsupported("* with EXCLUDE, EXCEPT, REPLACE or RENAME"));
                }
                for (index, field) in table.arrow_schema().fields().iter().enumerate() {
                    let expr = Expr::Column(index, field.data_type().clone());
                    projection.push(OutputColumn { name: field.name().clone(), expr });
                }
            }
            other => return Err(Error::unsupported(format!("the select item {other}"))),
        }
    }
    if projection.is_empty() {
        return Err(Error::unsupported("a SELECT without columns"));
    }
    Ok(projection)
}

fn column_name(table: &TableSchema, index: usize) -> &str {
    match index.checked_sub(1) {
        None => &table.time.name,
        Some(index) => match table.tags.get(index) {
            Some(tag) => &tag.name,
            None => &table.fields[index - table.tags.len()].name,
        },
    }
}

/// The name of a result column without an alias: its text, function names in lower case.
fn output_name(expr: &ast::Expr) -> String {
    match expr {
        ast::Expr::Function(function) => {
            let text = function.to_string();
            let name_len = function.name.to_string().len();
            format!("{}{}", text[..name_len].to_lowercase(), &text[name_len..])
        }
        ast::Expr::Nested(inner) => output_name(inner),
        other => other.to_string(),
    }
}

/// Binds GROUP BY: ordinals and aliases stand for result columns, but a column of the table comes first.
fn bind_keys<'a>(binder: &mut Binder<'a>, select: &'a Select) -> Result<Vec<Expr>> {
    let GroupByExpr::Expressions(expressions, modifiers) = &select.group_by else {
        return Err(Error::unsupported("GROUP BY ALL"));
    };
    if !modifiers.is_empty() {
        return Err(Error::unsupported("GROUP BY with ROLLUP, CUBE or TOTALS"));
    }
    let mut keys: Vec<Expr> = Vec::with_capacity(expressions.len());
    for expr in expressions {
        let key = match ordinal(expr) {
            None => binder.bind(expr)?,
            Some(number) => {
                let item = number.checked_sub(1).and_then(|index| select.projection.get(index));
                match item {
                    Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => {
                        binder.bind(expr)?
                    }
                    _ => return Err(Error::plan(format!("GROUP BY {number}: there is no such result column"))),
                }
            }
        };
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    Ok(keys)
}

fn bind_order<'a>(
    binder: &mut Binder<'a>,
    query: &'a Query,
    projection: &mut Vec<OutputColumn>,
    visible: usize,
) -> Result<Vec<SortKey>> {
    let Some(order_by) = &query.order_by else { return Ok(Vec::new()) };
    let OrderByKind::Expressions(expressions) = &order_by.kind else {
        return Err(Error::unsupported("ORDER BY ALL"));
    };
    let mut keys = Vec::with_capacity(expressions.len());
    for item in expressions {
        if item.with_fill.is_some() {
            return Err(Error::unsupported("ORDER BY WITH FILL"));
        }
        let by_name = match &item.expr {
            ast::Expr::Identifier(ident) => {
                let name = fold_ident(ident);
                projection[..visible].iter().position(|column| column.name == name)
            }
            _ => None,
        };
        let column = match (by_name, ordinal(&item.expr)) {
            (Some(column), _) => column,
            (None, Some(number)) if (1..=visible).contains(&number) => number - 1,
            (None, Some(number)) => {
                return Err(Error::plan(format!("ORDER BY {number}: the result has {visible} columns")));
            }
            (None, None) => {
                let expr = binder.bind(&item.expr)?;
                projection.iter().position(|column| column.expr == expr).unwrap_or_else(|| {
                    projection.push(OutputColumn { name: item.expr.to_string(), expr });
                    projection.len() - 1
                })
            }
        };
        let descending = item.options.asc == Some(false);
        keys.push(SortKey { column, descending, nulls_first: item.options.nulls_first.unwrap_or(descending) });
    }
    Ok(keys)
}

fn bind_limit(query: &Query, params: &[Scalar], now_ns: i64) -> Result<(Option<usize>, usize)> {
    let (limit, offset) = match &query.limit_clause {
        None => return Ok((None, 0)),
        Some(LimitClause::LimitOffset { limit, offset, limit_by }) => {
            if !limit_by.is_empty() {
                return Err(Error::unsupported("LIMIT BY"));
            }
            (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
        }
        Some(LimitClause::OffsetCommaLimit { offset, limit }) => (Some(limit), Some(offset)),
    };
    let count = |clause: &str, expr: Option<&ast::Expr>| match expr {
        None => Ok(None),
        Some(expr) => match bind_constant(expr, params, now_ns)? {
            Scalar::Null => Ok(None),
            Scalar::I64(value) if value >= 0 => Ok(Some(usize::try_from(value).unwrap_or(usize::MAX))),
            Scalar::U64(value) => Ok(Some(usize::try_from(value).unwrap_or(usize::MAX))),
            _ => Err(Error::plan(format!("{clause} {expr} is no number of rows"))),
        },
    };
    Ok((count("LIMIT", limit)?, count("OFFSET", offset)?.unwrap_or(0)))
}

/// The position that a bare number names.
fn ordinal(expr: &ast::Expr) -> Option<usize> {
    match expr {
        ast::Expr::Value(value) => match &value.value {
            ast::Value::Number(text, _) => text.parse().ok(),
            _ => None,
        },
        _ => None,
    }
}
