//! The last row of every series, or of every combination of some of its tags: whole rows, read from the end.
//!
//! Of several series in one combination the row of the greatest time stays; at equal times that of the later series in
//! key order, whatever the number of threads.

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use arrow::record_batch::RecordBatch;

use super::batch_scan::{Batch, BatchScan};
use super::context::ExecContext;
use super::project::project_batch;
use super::series_aggregate::SeriesKeyPart;
use super::sort::sort_batches;
use super::source::{Source, Work};
use super::tag_groups::TagGroups;
use crate::error::{Error, Result};
use crate::plan::SelectPlan;

/// The last rows by `tags` of a plan; sorted when the plan asks for it, the offset not yet cut off.
pub(crate) fn latest_rows(
    plan: &SelectPlan,
    tags: &[usize],
    source: &Source,
    context: &ExecContext<'_>,
) -> Result<Vec<RecordBatch>> {
    let scan = BatchScan::new(plan, source)?;
    let residual = plan.filter.residual.as_ref();
    let partitions = source.partitions(context.threads(), Work::States);
    let parts = context.map(partitions, |series| scan.last_rows(series, residual, context))?;
    let parts: Vec<Batch> = parts.into_iter().flatten().collect();
    let keys: Vec<SeriesKeyPart> = tags.iter().map(|tag| SeriesKeyPart::Tag(*tag)).collect();
    let groups = TagGroups::new(source, &keys);
    // Per group the place of its row among the parts.
    let mut best: Vec<Option<LastRow>> = vec![None; groups.len()];
    for (part, batch) in parts.iter().enumerate() {
        let Some(origin) = &batch.origin else { continue };
        for (row, (time_ns, series)) in origin.times.iter().zip(&origin.series).enumerate() {
            let found = Some(LastRow { time_ns: *time_ns, series: *series, part, row: row as u32 });
            let known = &mut best[groups.group_of(*series as usize) as usize];
            *known = found.max(*known);
        }
    }
    let rows = best.iter().flatten().count();
    context.check_rows_out(plan.rows_wanted().map_or(rows, |wanted| wanted.min(rows)))?;
    let mut kept: Vec<Vec<u32>> = vec![Vec::new(); parts.len()];
    for row in best.into_iter().flatten() {
        kept[row.part].push(row.row);
    }
    let mut output = Vec::with_capacity(parts.len());
    for (batch, mut rows) in parts.into_iter().zip(kept) {
        if rows.is_empty() {
            continue;
        }
        rows.sort_unstable();
        let batch = if rows.len() == batch.rows { batch } else { take_rows(&batch, rows)? };
        output.push(project_batch(&plan.projection, None, batch)?);
    }
    if plan.order.is_empty() { Ok(output) } else { sort_batches(output, &plan.order, plan.rows_wanted(), context) }
}

/// The last row of a series; of several in one combination the greatest is the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LastRow {
    time_ns: i64,
    series: u32,
    /// Position of its batch.
    part: usize,
    /// Position in the batch.
    row: u32,
}

fn take_rows(batch: &Batch, rows: Vec<u32>) -> Result<Batch> {
    let indices = UInt32Array::from(rows);
    let columns = batch.columns.iter().map(|column| take(column, &indices, None)).collect::<Result<Vec<ArrayRef>, _>>();
    Ok(Batch { columns: columns.map_err(Error::arrow)?, origin: None, rows: indices.len() })
}
