//! Joins that give way.
//!
//! A join may put out rows for ever from inputs that it has read already: without a pause it could not be cancelled, and would
//! hold its thread, which other statements share. So every join looks up now and then. DataFusion's nested loop join does not
//! between two batches that it puts out, and a condition that no pair meets puts out none: where it stands for an inner join,
//! a cross join with a filter above it does the same a batch of pairs at a time.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{JoinSide, JoinType, Result, internal_err};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::filter::FilterExecBuilder;
use datafusion::physical_plan::joins::{CrossJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

/// The plan with joins that give way.
pub(super) fn patient_joins(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let wrapped = plan.transform_up(|node| {
        if node.children().len() < 2 {
            return Ok(Transformed::no(node));
        }
        if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>()
            && let Some(pairs) = filtered_pairs(join)?
        {
            return Ok(Transformed::yes(pairs));
        }
        Ok(Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(wrapped.data)
}

/// An inner join by any condition as all pairs with a filter above; `None` for other joins.
fn filtered_pairs(join: &NestedLoopJoinExec) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let (JoinType::Inner, Some(filter)) = (join.join_type(), join.filter()) else { return Ok(None) };
    let (left, right) = (join.left(), join.right());
    let pairs = Arc::new(CrossJoinExec::new(Arc::clone(left), Arc::clone(right)));
    let left_columns = left.schema().fields().len();
    let schema = pairs.schema();
    // The columns of the condition are numbered apart from those of the sides.
    let condition = Arc::clone(filter.expression()).transform(|expr: Arc<dyn PhysicalExpr>| {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        let position = match filter.column_indices().get(column.index()) {
            Some(origin) if origin.side == JoinSide::Left => origin.index,
            Some(origin) if origin.side == JoinSide::Right => left_columns + origin.index,
            _ => return internal_err!("a condition of a join names a column of neither side"),
        };
        Ok(Transformed::yes(Arc::new(Column::new(schema.field(position).name(), position)) as _))
    })?;
    let projection = join.projection().as_ref().map(|columns| columns.to_vec());
    let input = Arc::new(CooperativeExec::new(pairs));
    let filtered = FilterExecBuilder::new(condition.data, input).apply_projection(projection)?.build()?;
    Ok(Some(Arc::new(filtered)))
}
