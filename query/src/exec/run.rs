//! Runs a bound query: scan and grouping by the fastest way that its shape allows, then gaps, HAVING, projection,
//! DISTINCT, ORDER BY and LIMIT.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use lynxstore_storage::snapshot::TableSnapshot;

use super::batch_scan::Batch;
use super::bucket_limit::BucketLimit;
use super::context::ExecContext;
use super::expr::evaluate_mask;
use super::gapfill::fill_gaps;
use super::hash_aggregate;
use super::latest::latest_rows;
use super::project::{filter_columns, project, project_batch, stream_rows};
use super::result::{projection_schema, record_batch};
use super::row_window::RowWindow;
use super::series_aggregate::{self, SeriesGrouping};
use super::series_groups::GroupOrder;
use super::sort::sort_batches;
use super::source::Source;
use super::time_order::{TimeEnd, project_from_end};
use super::trace::Step;
use crate::error::{Error, Result};
use crate::output::ResultPart;
use crate::plan::{Aggregation, SelectPlan};

/// The rows of a query over a table of one snapshot; `table` is there exactly when the plan has one.
pub(crate) fn run_select(
    plan: &SelectPlan,
    table: Option<&TableSnapshot>,
    context: &ExecContext<'_>,
) -> Result<Vec<RecordBatch>> {
    let batches = match (table, &plan.aggregation) {
        (None, _) => run_constant(plan)?,
        (Some(table), None) => {
            let source = open(plan, table, context)?;
            match (&plan.latest, TimeEnd::of(plan)) {
                (Some(tags), _) => latest_rows(plan, tags, &source, context)?,
                (None, Some(end)) => project_from_end(plan, end, &source, context)?,
                (None, None) => project(plan, &source, context)?,
            }
        }
        (Some(table), Some(aggregation)) => {
            let mut source = open(plan, table, context)?;
            match BucketLimit::of(plan, aggregation) {
                None => group(plan, aggregation, &source, context)?,
                Some(limit) => {
                    let mut batches = Vec::new();
                    for range in limit.windows(&source) {
                        source.range = range;
                        batches = group(plan, aggregation, &source, context)?;
                        if batches.iter().map(RecordBatch::num_rows).sum::<usize>() >= limit.wanted {
                            break;
                        }
                    }
                    batches
                }
            }
        }
    };
    finish(plan, batches, context)
}

/// Hands out the columns and rows of a query: batch by batch where they come as they are read, on the caller's thread,
/// else once all of them are there.
pub(crate) fn stream_select(
    plan: &SelectPlan,
    table: Option<&TableSnapshot>,
    context: &ExecContext<'_>,
    sink: &mut dyn FnMut(ResultPart) -> Result<()>,
) -> Result<()> {
    if let (Some(table), None, None, []) = (table, &plan.aggregation, &plan.latest, plan.order.as_slice()) {
        let source = open(plan, table, context)?;
        return stream_rows(plan, &source, context, sink);
    }
    let batches = run_select(plan, table, context)?;
    sink(ResultPart::Columns(Arc::clone(&plan.schema)))?;
    batches.into_iter().try_for_each(|batch| sink(ResultPart::Rows(batch)))
}

/// Finds the series of a plan.
fn open(plan: &SelectPlan, table: &TableSnapshot, context: &ExecContext<'_>) -> Result<Source> {
    let mut source = context.timed(Step::Open, || Source::open(plan, table))?;
    source.count_memory(context)?;
    if let Some(trace) = context.trace {
        trace.set_sources(source.set.sources());
    }
    Ok(source)
}

/// A query without FROM: one row of no columns.
fn run_constant(plan: &SelectPlan) -> Result<Vec<RecordBatch>> {
    if plan.aggregation.is_some() {
        return Err(Error::unsupported("an aggregate without FROM"));
    }
    let passes = match &plan.filter.residual {
        Some(condition) => evaluate_mask(condition, &[], 1)?.value(0),
        None => true,
    };
    let rows = usize::from(passes);
    let batch = project_batch(&plan.projection, None, Batch { columns: Vec::new(), origin: None, rows: 1 })?;
    Ok(vec![batch.slice(0, rows)])
}

/// The groups of what `source` reads, in the order of the plan.
fn group(
    plan: &SelectPlan,
    aggregation: &Aggregation,
    source: &Source,
    context: &ExecContext<'_>,
) -> Result<Vec<RecordBatch>> {
    let (columns, groups, order) = match SeriesGrouping::of(plan, aggregation) {
        Some(grouping) => {
            let groups = series_aggregate::aggregate(&grouping, plan, source, context)?;
            context.timed(Step::Finish, || groups.columns(plan, aggregation, &grouping, context))?
        }
        None => {
            let (columns, groups) = hash_aggregate::aggregate(plan, aggregation, source, context)?;
            (columns, groups, GroupOrder::Any)
        }
    };
    let (columns, groups, order) = match &plan.gapfill {
        Some(gapfill) => {
            let (columns, rows) = fill_gaps(gapfill, aggregation.keys.len(), columns, groups, context)?;
            (columns, rows, GroupOrder::Any)
        }
        None => (columns, groups, order),
    };
    context.timed(Step::Finish, || project_groups(plan, columns, groups, order, context))
}

/// HAVING, projection and DISTINCT over the columns of groups, then the order, unless they have it.
fn project_groups(
    plan: &SelectPlan,
    columns: Vec<ArrayRef>,
    groups: usize,
    order: GroupOrder,
    context: &ExecContext<'_>,
) -> Result<Vec<RecordBatch>> {
    let (columns, rows) = filter_columns(columns, groups, plan.having.as_ref())?;
    let mut batch = project_batch(&plan.projection, None, Batch { columns, origin: None, rows })?;
    if plan.distinct {
        let (columns, rows) = hash_aggregate::distinct(batch.columns(), batch.num_rows(), context)?;
        batch = record_batch(&projection_schema(&plan.projection), columns, rows)?;
    }
    if plan.order.is_empty() || (order == GroupOrder::Wanted && !plan.distinct) {
        Ok(vec![batch])
    } else {
        sort_batches(vec![batch], &plan.order, plan.rows_wanted(), context)
    }
}

/// Cuts off the offset, the rows beyond the limit and the hidden columns.
fn finish(plan: &SelectPlan, batches: Vec<RecordBatch>, context: &ExecContext<'_>) -> Result<Vec<RecordBatch>> {
    let mut window = RowWindow::new(plan);
    let mut output = Vec::with_capacity(batches.len());
    let mut total = 0;
    for batch in batches {
        let Some(batch) = window.cut(&batch)? else { continue };
        total += batch.num_rows();
        context.check_rows_out(total)?;
        output.push(batch);
    }
    Ok(output)
}
