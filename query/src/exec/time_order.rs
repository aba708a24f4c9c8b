//! `ORDER BY time LIMIT n` without grouping: reads each series from the end that is wanted, and stops.
//!
//! The times of the best rows so far say which rows can still come into the result. Series are read in the order of
//! their ends, each block by block from that end, until neither can hold such a row. Rows that tie with the worst of the
//! best stay, for the other sort keys. Threads share the bound; reading an older one costs work, never a row.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use lynxstore_storage::snapshot::Piece;
use lynxstore_storage::types::TimeRange;
use std::sync::Arc;

use super::batch_scan::{Batch, BatchScan};
use super::context::ExecContext;
use super::project::{SORT_SLACK_ROWS, filter_columns, project_batch};
use super::sort::sort_batches;
use super::source::{Source, Work};
use crate::error::{Error, Result};
use crate::plan::{Expr, SelectPlan};

/// Beyond this many rows a result is better read in large batches.
const WANTED_ROWS_MAX: usize = 64 * 1024;

/// The end of time at which a result begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeEnd {
    Newest,
    Oldest,
}

impl TimeEnd {
    /// The end and the number of rows that a plan wants, when it is of the kind that this module runs.
    pub(crate) fn of(plan: &SelectPlan) -> Option<(Self, usize)> {
        let wanted = plan.rows_wanted().filter(|wanted| (1..=WANTED_ROWS_MAX).contains(wanted))?;
        let key = plan.order.first()?;
        let Expr::Column(position, _) = plan.projection[key.column].expr else { return None };
        let is_time = plan.columns.get(position) == Some(&0);
        is_time.then_some((if key.descending { Self::Newest } else { Self::Oldest }, wanted))
    }

    /// A number that is the greater, the nearer a time is to the end.
    fn rank(self, time_ns: i64) -> i64 {
        match self {
            Self::Newest => time_ns,
            Self::Oldest => !time_ns,
        }
    }

    /// The greatest rank of a range.
    fn best_rank(self, range: TimeRange) -> i64 {
        match self {
            Self::Newest => range.end_ns,
            Self::Oldest => !range.start_ns,
        }
    }

    /// The times of at least a rank.
    fn range_from(self, rank: i64) -> TimeRange {
        match self {
            Self::Newest => TimeRange { start_ns: rank, end_ns: i64::MAX },
            Self::Oldest => TimeRange { start_ns: i64::MIN, end_ns: !rank },
        }
    }
}

/// The sorted rows of a plan that [`TimeEnd::of`] takes, the offset not yet cut off.
pub(crate) fn project_from_end(
    plan: &SelectPlan,
    (end, wanted): (TimeEnd, usize),
    source: &Source,
    context: &ExecContext<'_>,
) -> Result<Vec<RecordBatch>> {
    let scan = BatchScan::new(plan, source)?;
    let partitions = source.partitions(context.threads(), Work::States);
    let bound = AtomicI64::new(i64::MIN);
    let parts = context.map(partitions, |series| {
        let best = BinaryHeap::new();
        let part = Part { plan, end, wanted, source, bound: &bound, best, output: Vec::new(), rows: 0 };
        part.read(series, &scan, context)
    })?;
    sort_batches(parts.into_iter().flatten().collect(), &plan.order, Some(wanted), context)
}

/// The work of one thread.
struct Part<'a> {
    plan: &'a SelectPlan,
    end: TimeEnd,
    wanted: usize,
    source: &'a Source,
    /// Rows of a lower rank cannot come into the result.
    bound: &'a AtomicI64,
    /// The best ranks so far.
    best: BinaryHeap<Reverse<i64>>,
    output: Vec<RecordBatch>,
    rows: usize,
}

impl Part<'_> {
    fn read(
        mut self,
        series: Range<usize>,
        scan: &BatchScan<'_>,
        context: &ExecContext<'_>,
    ) -> Result<Vec<RecordBatch>> {
        let range = self.source.range;
        let rank_of = |index: usize| self.end.best_rank(self.source.set.get(index).time_bounds().intersect(range));
        let mut order: Vec<(i64, usize)> = series.map(|index| (rank_of(index), index)).collect();
        order.sort_by_key(|(rank, _)| Reverse(*rank));
        let mut pieces = self.source.set.scan(&self.source.fields, range);
        for (rank, index) in order {
            context.cancellation.check()?;
            if self.is_beaten(rank) {
                break;
            }
            pieces.open(index)?;
            loop {
                context.cancellation.check()?;
                let piece = match self.end {
                    TimeEnd::Newest => pieces.next_piece_back()?,
                    TimeEnd::Oldest => pieces.next_piece()?,
                };
                let Some(piece) = piece else { break };
                let Piece::Block(mut block) = piece else {
                    return Err(Error::execution("a scan of rows serves something else"));
                };
                if self.is_beaten(self.end.best_rank(block.time_bounds()?)) {
                    break;
                }
                let bound = self.bound.load(Ordering::Relaxed);
                if let Some(batch) = scan.block_rows(index, &mut block, self.end.range_from(bound))? {
                    self.add(batch, context)?;
                }
            }
        }
        Ok(self.output)
    }

    /// Whether no row of at most a rank can come into the result. One of the rank of the worst row so far can when there
    /// are further sort keys; else any of them will do.
    fn is_beaten(&self, rank: i64) -> bool {
        let bound = self.bound.load(Ordering::Relaxed);
        rank < bound || (rank == bound && bound > i64::MIN && self.plan.order.len() == 1)
    }

    fn add(&mut self, batch: Batch, context: &ExecContext<'_>) -> Result<()> {
        let mut columns = batch.columns;
        // The times pass through the filter as one more column.
        columns.push(Arc::new(Int64Array::from(batch.origin.unwrap_or_default().times)) as ArrayRef);
        let (mut columns, rows) = filter_columns(columns, batch.rows, self.plan.filter.residual.as_ref())?;
        let Some(times) = columns.pop().filter(|_| rows > 0) else { return Ok(()) };
        for time_ns in times.as_primitive::<Int64Type>().values() {
            let rank = self.end.rank(*time_ns);
            if self.best.len() < self.wanted {
                self.best.push(Reverse(rank));
            } else if let Some(mut worst) = self.best.peek_mut()
                && worst.0 < rank
            {
                *worst = Reverse(rank);
            }
        }
        if self.best.len() == self.wanted
            && let Some(Reverse(worst)) = self.best.peek()
        {
            self.bound.fetch_max(*worst, Ordering::Relaxed);
        }
        self.output.push(project_batch(&self.plan.projection, None, Batch { columns, origin: None, rows })?);
        self.rows += rows;
        if self.rows >= self.wanted.saturating_add(SORT_SLACK_ROWS) {
            self.output = sort_batches(std::mem::take(&mut self.output), &self.plan.order, Some(self.wanted), context)?;
            self.rows = self.output.iter().map(RecordBatch::num_rows).sum();
        }
        Ok(())
    }
}
