//! Plans an ASOF join when DataFusion's SQL planner meets one in its parentheses.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{Expr, ExprSchemable, Extension, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{
    Expr as SqlExpr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Join, JoinConstraint, JoinOperator,
    TableFactor, Value,
};

use super::condition::AsofCondition;
use super::node::{AsofJoin, AsofKind};
use crate::datafusion::error::to_datafusion;
use crate::sql::{ASOF_CALL, parse_interval};

const TIME: DataType = DataType::Timestamp(TimeUnit::Nanosecond, None);

/// Plans the nests that `nest_asof_joins` makes.
#[derive(Debug)]
pub(in crate::datafusion) struct AsofRelations;

impl RelationPlanner for AsofRelations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let is_asof = matches!(&relation, TableFactor::NestedJoin { table_with_joins, .. }
            if matches!(table_with_joins.joins.as_slice(), [Join { join_operator: JoinOperator::AsOf { .. }, .. }]));
        if !is_asof {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        }
        let TableFactor::NestedJoin { mut table_with_joins, alias } = relation else {
            return plan_err!("a nested join is none");
        };
        let Some(Join { relation, join_operator: JoinOperator::AsOf { match_condition, constraint }, .. }) =
            table_with_joins.joins.pop()
        else {
            return plan_err!("an ASOF JOIN has no right side");
        };
        let left = context.plan(table_with_joins.relation)?;
        let right = context.plan(relation)?;
        let plan = plan_join(left, right, match_condition, constraint, context)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// What `MATCH_CONDITION` holds: see `sql::series_syntax`.
struct Call {
    kind: AsofKind,
    condition: Option<SqlExpr>,
    tolerance_ns: Option<i64>,
}

fn plan_join(
    left: LogicalPlan,
    right: LogicalPlan,
    match_condition: SqlExpr,
    constraint: JoinConstraint,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let call = Call::read(match_condition)?;
    let both = left.schema().join(right.schema())?;
    let mut condition = AsofCondition::default();
    if let Some(matching) = call.condition {
        let matching = context.sql_to_expr(matching, &both)?;
        condition.add(matching, left.schema(), right.schema())?;
    }
    // Columns of the right side that those of the left side stand for.
    let mut merged: HashSet<Column> = HashSet::new();
    match constraint {
        JoinConstraint::On(on) => {
            let on = context.sql_to_expr(on, &both)?;
            condition.add(on, left.schema(), right.schema())?;
        }
        JoinConstraint::Using(names) => {
            let has_times = condition.times.is_some();
            let mut pairs = Vec::with_capacity(names.len());
            for name in names {
                let Some(ident) = name.0.last().and_then(|part| part.as_ident()) else {
                    return plan_err!("USING takes names of columns");
                };
                let name = context.normalize_ident(ident.clone());
                let (a, b) = (column_of(left.schema(), &name)?, column_of(right.schema(), &name)?);
                merged.insert(b.clone());
                pairs.push((Expr::Column(a), Expr::Column(b)));
            }
            if !has_times && let Some(times) = pairs.pop() {
                condition.times = Some(times);
                condition.distance.min = Some(0);
            }
            condition.keys.extend(pairs);
        }
        JoinConstraint::None => {}
        JoinConstraint::Natural => return plan_err!("an ASOF JOIN names its columns: write ON or USING"),
    }
    let Some((left_time, right_time)) = condition.times else {
        return plan_err!("an ASOF JOIN compares a time of each side, such as a.time >= b.time");
    };
    let mut distance = condition.distance;
    if let Some(tolerance_ns) = call.tolerance_ns {
        distance = distance.within(tolerance_ns)?;
    }
    let direction = distance.direction()?;
    let time_type = time_type(&left_time.get_type(left.schema())?, &right_time.get_type(right.schema())?)?;
    let keys = condition.keys.into_iter().map(|(a, b)| {
        let (a_type, b_type) = (a.get_type(left.schema())?, b.get_type(right.schema())?);
        if a_type == b_type {
            return Ok((a, b));
        }
        let Some(common) = comparison_coercion(&a_type, &b_type) else {
            return plan_err!("an ASOF JOIN cannot compare {a_type} and {b_type}: CAST one of them");
        };
        Ok((a.cast_to(&common, left.schema())?, b.cast_to(&common, right.schema())?))
    });
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let left_time = left_time.cast_to(&time_type, left.schema())?;
    let right_time = right_time.cast_to(&time_type, right.schema())?;
    let node = AsofJoin::new(left, right, keys, (left_time, right_time), distance, direction, call.kind)?;
    let columns: Vec<Expr> =
        node.schema.columns().into_iter().filter(|column| !merged.contains(column)).map(Expr::Column).collect();
    let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
    if merged.is_empty() { Ok(plan) } else { LogicalPlanBuilder::from(plan).project(columns)?.build() }
}

/// The only column of a name.
fn column_of(schema: &DFSchema, name: &str) -> Result<Column> {
    let (qualifier, field) = schema.qualified_field_with_unqualified_name(name)?;
    Ok(Column::from((qualifier, field)))
}

/// The type in which two times are compared.
fn time_type(left: &DataType, right: &DataType) -> Result<DataType> {
    let is_time = |data_type: &DataType| matches!(data_type, DataType::Timestamp(..) | DataType::Date32);
    if is_time(left) && is_time(right) {
        Ok(TIME)
    } else if left.is_integer() && right.is_integer() {
        Ok(DataType::Int64)
    } else {
        plan_err!("an ASOF JOIN compares times or integers, not {left} and {right}")
    }
}

impl Call {
    fn read(expr: SqlExpr) -> Result<Self> {
        match expr {
            SqlExpr::Function(function) if function.name.to_string() == ASOF_CALL => Self::of(function),
            // Parsed by someone else: Snowflake's form as it is written.
            condition => Ok(Self { kind: AsofKind::Left, condition: Some(condition), tolerance_ns: None }),
        }
    }

    fn of(function: Function) -> Result<Self> {
        let FunctionArguments::List(list) = function.args else { return plan_err!("an ASOF JOIN is incomplete") };
        let arguments: Vec<SqlExpr> = list
            .args
            .into_iter()
            .filter_map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect();
        let Ok([kind, condition, tolerance]) = <[SqlExpr; 3]>::try_from(arguments) else {
            return plan_err!("the MATCH_CONDITION of an ASOF JOIN is one comparison of times");
        };
        let kind = match text(&kind) {
            Some("inner") => AsofKind::Inner,
            _ => AsofKind::Left,
        };
        let is_null = |expr: &SqlExpr| matches!(expr, SqlExpr::Value(value) if value.value == Value::Null);
        let tolerance_ns = match text(&tolerance) {
            None => None,
            Some(span) => match parse_interval(span).map_err(to_datafusion)?.fixed_ns() {
                Some(span_ns @ 0..) => Some(span_ns),
                _ => return plan_err!("the TOLERANCE of an ASOF JOIN is a span of days or less, and not negative"),
            },
        };
        Ok(Self { kind, condition: (!is_null(&condition)).then_some(condition), tolerance_ns })
    }
}

fn text(expr: &SqlExpr) -> Option<&str> {
    match expr {
        SqlExpr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}
