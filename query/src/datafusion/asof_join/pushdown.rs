//! Moves filters below an ASOF join, so that scans read what is wanted and no more.
//!
//! What a row of the left side finds does not depend on other rows of it, so conditions on the left side alone may be
//! decided first. Those on a key hold for the right side too, and bounds of the left time bound the right time as far as
//! the distance of the two is bounded. Conditions on the right side stay: they decide on the row that was found.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Extension, LogicalPlan, LogicalPlanBuilder, Operator, lit};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::node::AsofJoin;

/// The rule.
#[derive(Debug)]
pub(in crate::datafusion) struct PushFilterBelowAsof;

impl OptimizerRule for PushFilterBelowAsof {
    fn name(&self) -> &str {
        "push_filter_below_asof"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = &plan else { return Ok(Transformed::no(plan)) };
        let LogicalPlan::Extension(extension) = &*filter.input else { return Ok(Transformed::no(plan)) };
        let Some(join) = extension.node.as_any().downcast_ref::<AsofJoin>() else { return Ok(Transformed::no(plan)) };
        let is_of_left = |conjunct: &Expr| {
            let columns = conjunct.column_refs();
            !conjunct.is_volatile()
                && !columns.is_empty()
                && columns.iter().all(|column| join.left.schema().has_column(column))
        };
        let (of_left, others): (Vec<Expr>, Vec<Expr>) =
            split_conjunction_owned(filter.predicate.clone()).into_iter().partition(is_of_left);
        let mut of_right = Vec::new();
        for conjunct in &of_left {
            of_right.extend(mirrored_key(join, conjunct)?);
            of_right.extend(mirrored_time(join, conjunct));
        }
        let Some(of_left) = conjunction(of_left) else { return Ok(Transformed::no(plan)) };
        let left = LogicalPlanBuilder::from(join.left.as_ref().clone()).filter(of_left)?.build()?;
        let right = match conjunction(of_right) {
            None => join.right.as_ref().clone(),
            Some(of_right) => LogicalPlanBuilder::from(join.right.as_ref().clone()).filter(of_right)?.build()?,
        };
        let node = AsofJoin { left: Arc::new(left), right: Arc::new(right), ..join.clone() };
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(Transformed::yes(match conjunction(others) {
            None => plan,
            Some(others) => LogicalPlanBuilder::from(plan).filter(others)?.build()?,
        }))
    }
}

/// A condition on keys of the left side, as one on those of the right side.
fn mirrored_key(join: &AsofJoin, conjunct: &Expr) -> Result<Option<Expr>> {
    let keys: HashMap<&Column, &Column> = join
        .keys
        .iter()
        .filter_map(|(left, right)| match (left, right) {
            (Expr::Column(left), Expr::Column(right)) => Some((left, right)),
            _ => None,
        })
        .collect();
    if !conjunct.column_refs().iter().all(|column| keys.contains_key(*column)) {
        return Ok(None);
    }
    let mirrored = conjunct.clone().transform(|expr| match expr {
        Expr::Column(column) => match keys.get(&column) {
            Some(right) => Ok(Transformed::yes(Expr::Column((*right).clone()))),
            None => Ok(Transformed::no(Expr::Column(column))),
        },
        other => Ok(Transformed::no(other)),
    })?;
    Ok(Some(mirrored.data))
}

/// A bound of the time of the left side, as one of the right side.
fn mirrored_time(join: &AsofJoin, conjunct: &Expr) -> Option<Expr> {
    let (Expr::Column(left_time), Expr::Column(right_time)) = (&join.times.0, &join.times.1) else { return None };
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = conjunct else { return None };
    let (column, op, value) = match (&**left, &**right) {
        (Expr::Column(column), Expr::Literal(value, _)) => (column, *op, value),
        (Expr::Literal(value, _), Expr::Column(column)) => (column, op.swap()?, value),
        _ => return None,
    };
    let ScalarValue::TimestampNanosecond(Some(time_ns), None) = value else { return None };
    if column != left_time {
        return None;
    }
    // left - max <= right <= left - min; a bound out of range bounds nothing.
    let (op, bound_ns) = match op {
        Operator::Gt | Operator::GtEq => (Operator::GtEq, time_ns.checked_sub(join.distance.max?)?),
        Operator::Lt | Operator::LtEq => (Operator::LtEq, time_ns.checked_sub(join.distance.min?)?),
        _ => return None,
    };
    let bound = lit(ScalarValue::TimestampNanosecond(Some(bound_ns), None));
    Some(Expr::BinaryExpr(BinaryExpr::new(Box::new(Expr::Column(right_time.clone())), op, Box::new(bound))))
}
