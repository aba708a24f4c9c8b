//! Which sides of an ASOF join come in its order already, so that nothing has to be sorted.
//!
//! A table gives its rows by tags and time. Where the keys are its tags that is the order of the join, as long as the
//! table is read as one partition: split by a hash of the keys, as joins otherwise are, its rows would have to be sorted
//! again, which takes longer than what two threads save.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::physical_expr::LexOrdering;
use datafusion::physical_plan::execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::datafusion::scan_exec::SeriesScanExec;

/// The plan as one partition in this order; `None` when it has to be sorted for that.
pub(super) fn in_order(plan: &Arc<dyn ExecutionPlan>, order: &LexOrdering) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some(whole) = as_one_partition(plan)? else { return Ok(None) };
    let is_ordered = whole.equivalence_properties().ordering_satisfy(order.clone())?;
    Ok((is_ordered && whole.output_partitioning().partition_count() == 1).then_some(whole))
}

/// The plan with its table read as one partition; `None` when it has several inputs or none that can.
fn as_one_partition(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    match plan.children().as_slice() {
        [] => Ok(plan.downcast_ref::<SeriesScanExec>().map(|scan| Arc::new(scan.in_one_partition()) as _)),
        [input] => {
            let Some(input) = as_one_partition(input)? else { return Ok(None) };
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            Arc::clone(plan).replace_children(vec![input], options).map(Some)
        }
        _ => Ok(None),
    }
}
