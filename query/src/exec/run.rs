//! Runs a bound query: scan and grouping by the fastest way that its shape allows, then gaps, HAVING, projection,
//! DISTINCT, ORDER BY and LIMIT.

use std::sync::Arc;

use arrow::array::{ArrayRef, TimestampNanosecondArray};
use arrow::record_batch::RecordBatch;
use lynxstore_storage::snapshot::TableSnapshot;

use super::batch_scan::Batch;
use super::bucket_limit::BucketLimit;
use super::context::ExecContext;
use super::expr::evaluate_mask;
use super::gapfill::fill_gaps;
use super::hash_aggregate;
use super::latest::latest_rows;
use super::project::{filter_columns, project, project_batch};
use super::result::{projection_schema, record_batch};
use super::series_aggregate::{self, SeriesGrouping, SeriesGroups, SeriesKeyPart};
use super::sort::sort_batches;
use super::source::Source;
use super::states::GroupStates;
use super::time_order::{TimeEnd, project_from_end};
use super::trace::Step;
use crate::error::{Error, Result};
use crate::plan::{Aggregation, Bucket, Expr, SelectPlan};

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

/// Finds the series of a plan.
fn open(plan: &SelectPlan, table: &TableSnapshot, context: &ExecContext<'_>) -> Result<Source> {
    let source = context.timed(Step::Open, || Source::open(plan, table))?;
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
    let (columns, groups) = match SeriesGrouping::of(plan, aggregation) {
        Some(grouping) => {
            let groups = series_aggregate::aggregate(&grouping, plan, source, context)?;
            group_columns(plan, aggregation, &grouping, &groups)
        }
        None => hash_aggregate::aggregate(plan, aggregation, source, context)?,
    };
    let (columns, groups) = match &plan.gapfill {
        Some(gapfill) => fill_gaps(gapfill, aggregation.keys.len(), columns, groups, context)?,
        None => (columns, groups),
    };
    context.timed(Step::Finish, || project_groups(plan, columns, groups, context))
}

/// HAVING, projection and DISTINCT over the columns of groups, then the order.
fn project_groups(
    plan: &SelectPlan,
    columns: Vec<ArrayRef>,
    groups: usize,
    context: &ExecContext<'_>,
) -> Result<Vec<RecordBatch>> {
    let (columns, rows) = filter_columns(columns, groups, plan.having.as_ref())?;
    let mut batch = project_batch(&plan.projection, None, Batch { columns, origin: None, rows })?;
    if plan.distinct {
        let (columns, rows) = hash_aggregate::distinct(batch.columns(), batch.num_rows(), context)?;
        batch = record_batch(&projection_schema(&plan.projection), columns, rows)?;
    }
    if plan.order.is_empty() {
        Ok(vec![batch])
    } else {
        sort_batches(vec![batch], &plan.order, plan.rows_wanted(), context)
    }
}

/// Cuts off the offset, the rows beyond the limit and the hidden columns.
fn finish(plan: &SelectPlan, batches: Vec<RecordBatch>, context: &ExecContext<'_>) -> Result<Vec<RecordBatch>> {
    let mut skip = plan.offset;
    let mut left = plan.limit.unwrap_or(usize::MAX);
    let mut output = Vec::with_capacity(batches.len());
    let mut total = 0;
    for batch in batches {
        let rows = batch.num_rows();
        let start = skip.min(rows);
        skip -= start;
        let len = (rows - start).min(left);
        left -= len;
        if len == 0 {
            continue;
        }
        total += len;
        context.check_rows_out(total)?;
        let columns = batch.columns()[..plan.visible].iter();
        let columns = columns.map(|column| if len == rows { Arc::clone(column) } else { column.slice(start, len) });
        output.push(record_batch(&plan.schema, columns.collect(), len)?);
    }
    Ok(output)
}

/// The columns of the groups of a series grouping, in an order that the query's ORDER BY likes, when there is one.
fn group_columns(
    plan: &SelectPlan,
    aggregation: &Aggregation,
    grouping: &SeriesGrouping,
    groups: &SeriesGroups,
) -> (Vec<ArrayRef>, usize) {
    let all = 0..groups.groups.len() as u32;
    // A grouping without keys has one group, also when no row is in it.
    let mut order: Vec<u32> = if aggregation.keys.is_empty() {
        all.collect()
    } else {
        all.filter(|state| groups.states.rows[*state as usize] > 0).collect()
    };
    if aggregation.keys.is_empty() && order.is_empty() {
        return (GroupStates::new(&grouping.layout, 1).finish(&grouping.layout, &[0]), 1);
    }
    let key = |state: &u32| groups.groups[*state as usize];
    if starts_with_bucket(plan, grouping) {
        // Bucket first: a stable counting by bucket would do, but the pairs are few and mostly sorted.
        order.sort_unstable_by_key(|state| {
            let (group, ordinal) = key(state);
            (ordinal, group)
        });
    } else if !order.is_sorted_by_key(key) {
        order.sort_unstable_by_key(key);
    }
    if plan.order.first().is_some_and(|key| key.descending) && plan.order.iter().all(|key| key.descending) {
        order.reverse();
    }
    let mut columns: Vec<ArrayRef> = grouping
        .keys
        .iter()
        .map(|part| match part {
            SeriesKeyPart::Tag(tag) => groups.tags.column(*tag, order.iter().map(|state| key(state).0)),
            SeriesKeyPart::Bucket => bucket_column(grouping.bucket, order.iter().map(|state| key(state).1)),
        })
        .collect();
    columns.extend(groups.states.finish(&grouping.layout, &order));
    (columns, order.len())
}

/// Whether the first sort key is the bucket.
fn starts_with_bucket(plan: &SelectPlan, grouping: &SeriesGrouping) -> bool {
    plan.order.first().is_some_and(|key| match plan.projection[key.column].expr {
        Expr::Column(column, _) => grouping.keys.get(column) == Some(&SeriesKeyPart::Bucket),
        _ => false,
    })
}

fn bucket_column(bucket: Option<Bucket>, ordinals: impl Iterator<Item = i64>) -> ArrayRef {
    let start = |ordinal| bucket.map_or(0, |bucket| bucket.start(ordinal));
    Arc::new(TimestampNanosecondArray::from_iter_values(ordinals.map(start)))
}
