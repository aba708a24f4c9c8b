//! Projections without grouping: rows in, rows out, stopping as early as LIMIT and ORDER BY allow.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::compute::filter;
use arrow::datatypes::TimestampNanosecondType;
use arrow::record_batch::RecordBatch;
use lynxstore_storage::types::TimeRange;

use super::batch_scan::{BATCH_ROWS, Batch, BatchScan};
use super::context::ExecContext;
use super::expr::{evaluate, evaluate_mask};
use super::result::{projection_schema, record_batch};
use super::row_window::RowWindow;
use super::sort::sort_batches;
use super::source::{Source, Work};
use super::trace::Step;
use crate::error::{Error, Result};
use crate::memory::batch_bytes;
use crate::output::ResultPart;
use crate::plan::{Expr, OutputColumn, SelectPlan};

/// Rows beyond the wanted ones that are kept before an ordered result is cut back.
pub(crate) const SORT_SLACK_ROWS: usize = if cfg!(test) { 64 } else { 64 * 1024 };

/// The rows of a plan without grouping; sorted when the plan asks for it, the offset not yet cut off.
pub(crate) fn project(plan: &SelectPlan, source: &Source, context: &ExecContext<'_>) -> Result<Vec<RecordBatch>> {
    let scan = BatchScan::new(plan, source)?;
    let wanted = plan.rows_wanted();
    if wanted == Some(0) {
        return Ok(Vec::new());
    }
    let unordered_wanted = wanted.filter(|_| plan.order.is_empty());
    // A small LIMIT runs on the caller's thread: it ends after a few series.
    let small = unordered_wanted.is_some_and(|wanted| wanted <= BATCH_ROWS);
    let partitions = source.partitions(if small { 1 } else { context.threads() }, Work::Values);
    let batch_rows = unordered_wanted.map_or(BATCH_ROWS, |wanted| wanted.clamp(1_024, BATCH_ROWS));
    let bound = TimeBound::new(plan, source.range);
    let total_rows = AtomicUsize::new(0);
    // A LIMIT beyond the bound of the options bounds nothing.
    let is_unbounded = wanted.is_none_or(|wanted| context.check_rows_out(wanted).is_err());
    let work = |series| {
        let mut output: Vec<RecordBatch> = Vec::new();
        let mut memory = context.memory.holder();
        let mut rows = 0;
        scan.run(series, batch_rows, false, context, |batch| {
            let batch = project_batch(&plan.projection, plan.filter.residual.as_ref(), batch)?;
            rows += batch.num_rows();
            if is_unbounded {
                context.check_rows_out(total_rows.fetch_add(batch.num_rows(), Ordering::Relaxed) + batch.num_rows())?;
            }
            if batch.num_rows() > 0 {
                memory.add(batch_bytes(&batch))?;
                output.push(batch);
            }
            if let Some(wanted) = wanted {
                if plan.order.is_empty() {
                    if rows >= wanted {
                        return Ok(ControlFlow::Break(()));
                    }
                } else if rows >= wanted.saturating_add(SORT_SLACK_ROWS) {
                    let sorted = sort_batches(std::mem::take(&mut output), &plan.order, Some(wanted), context)?;
                    bound.tighten(&sorted, wanted);
                    rows = sorted.iter().map(RecordBatch::num_rows).sum();
                    context.check_rows_out(rows)?;
                    memory.set(sorted.iter().map(batch_bytes).sum())?;
                    output = sorted;
                }
            }
            Ok(ControlFlow::Continue(bound.range()))
        })?;
        Ok((output, memory))
    };
    let parts = context.timed(Step::Scan, || context.map(partitions, work))?;
    // The rows are accounted for until they are sorted.
    let (parts, _memory): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let batches: Vec<RecordBatch> = parts.into_iter().flatten().collect();
    if plan.order.is_empty() {
        return Ok(batches);
    }
    context.timed(Step::Finish, || sort_batches(batches, &plan.order, wanted, context))
}

/// Hands out the rows of a plan without grouping and order as they are read, series by series.
pub(super) fn stream_rows(
    plan: &SelectPlan,
    source: &Source,
    context: &ExecContext<'_>,
    sink: &mut dyn FnMut(ResultPart) -> Result<()>,
) -> Result<()> {
    let scan = BatchScan::new(plan, source)?;
    sink(ResultPart::Columns(Arc::clone(&plan.schema)))?;
    let mut window = RowWindow::new(plan);
    if window.is_over() {
        return Ok(());
    }
    scan.run(0..source.set.len(), BATCH_ROWS, false, context, |batch| {
        let batch = project_batch(&plan.projection, plan.filter.residual.as_ref(), batch)?;
        if let Some(batch) = window.cut(&batch)? {
            sink(ResultPart::Rows(batch))?;
        }
        Ok(if window.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(source.range) })
    })
}

/// Evaluates the projection of a batch, rows outside `residual` left out.
pub(crate) fn project_batch(projection: &[OutputColumn], residual: Option<&Expr>, batch: Batch) -> Result<RecordBatch> {
    let (columns, rows) = filter_columns(batch.columns, batch.rows, residual)?;
    let arrays = projection
        .iter()
        .map(|column| evaluate(&column.expr, &columns, rows)?.into_array(rows))
        .collect::<Result<Vec<_>>>()?;
    record_batch(&projection_schema(projection), arrays, rows)
}

/// The rows that satisfy a condition.
pub(crate) fn filter_columns(
    columns: Vec<ArrayRef>,
    rows: usize,
    condition: Option<&Expr>,
) -> Result<(Vec<ArrayRef>, usize)> {
    let Some(condition) = condition else { return Ok((columns, rows)) };
    let mask: BooleanArray = evaluate_mask(condition, &columns, rows)?;
    let kept = mask.true_count();
    if kept == rows {
        return Ok((columns, rows));
    }
    let columns = columns.iter().map(|column| filter(column, &mask)).collect::<Result<Vec<_>, _>>();
    Ok((columns.map_err(Error::arrow)?, kept))
}

/// The times that can still come into an ordered and limited result, shared by the threads.
struct TimeBound {
    range: TimeRange,
    /// Position of the time column in the projection and its direction, when it is the first sort key.
    key: Option<(usize, bool)>,
    /// The worst time among the best rows so far.
    worst_ns: AtomicI64,
}

impl TimeBound {
    fn new(plan: &SelectPlan, range: TimeRange) -> Self {
        let key = plan.order.first().and_then(|key| match plan.projection[key.column].expr {
            Expr::Column(position, _) if plan.columns.get(position) == Some(&0) => Some((key.column, key.descending)),
            _ => None,
        });
        let worst_ns = if matches!(key, Some((_, true))) { i64::MIN } else { i64::MAX };
        Self { range, key, worst_ns: AtomicI64::new(worst_ns) }
    }

    /// Learns from the best rows so far, in order.
    fn tighten(&self, sorted: &[RecordBatch], wanted: usize) {
        let (Some((column, descending)), [batch]) = (self.key, sorted) else { return };
        if batch.num_rows() < wanted || wanted == 0 {
            return;
        }
        let worst = batch.column(column).as_primitive::<TimestampNanosecondType>().value(wanted - 1);
        if descending {
            self.worst_ns.fetch_max(worst, Ordering::Relaxed);
        } else {
            self.worst_ns.fetch_min(worst, Ordering::Relaxed);
        }
    }

    /// The times that are still of interest; rows that tie with the worst one stay, for the other sort keys.
    fn range(&self) -> TimeRange {
        let worst = self.worst_ns.load(Ordering::Relaxed);
        match self.key {
            None => self.range,
            Some((_, true)) => self.range.intersect(TimeRange { start_ns: worst, end_ns: i64::MAX }),
            Some((_, false)) => self.range.intersect(TimeRange { start_ns: i64::MIN, end_ns: worst }),
        }
    }
}
