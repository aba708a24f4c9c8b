//! What one table scan reads: its series, split into partitions of about equal size, and the blocks of each.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use lynxstore_storage::snapshot::{SeriesSet, TagValues};
use lynxstore_storage::types::TimeRange;
use tokio::sync::mpsc::Sender;

use super::batch_builder::BatchBuilder;
use super::error::to_datafusion;
use super::field_bound::FieldBound;
use super::scan_metrics::ScanMetrics;

/// A partition below this many rows is not worth a task of its own.
const PARTITION_ROWS_MIN: u64 = if cfg!(test) { 512 } else { 32 * 1024 };

/// Where an output column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanColumn {
    Time,
    /// Position in `TableSchema::tags`.
    Tag(usize),
    /// Position in `TableSchema::fields`.
    Field(usize),
}

/// The series of a scan and what is read of them; shared by its partitions.
#[derive(Debug)]
pub(super) struct ScanSource {
    pub(super) series: SeriesSet,
    pub(super) range: TimeRange,
    pub(super) columns: Vec<ScanColumn>,
    pub(super) bounds: Vec<FieldBound>,
    pub(super) schema: SchemaRef,
    /// Per tag column its values, in the order of `columns`.
    pub(super) tags: Vec<TagValues>,
    pub(super) row_count_estimate: u64,
}

impl ScanSource {
    pub(super) fn new(
        series: SeriesSet,
        range: TimeRange,
        columns: Vec<ScanColumn>,
        bounds: Vec<FieldBound>,
        schema: SchemaRef,
    ) -> Self {
        let tags = columns
            .iter()
            .filter_map(|column| match column {
                ScanColumn::Tag(tag) => Some(series.tag_column(*tag)),
                _ => None,
            })
            .collect();
        let row_count_estimate = series.row_count_estimate();
        Self { series, range, columns, bounds, schema, tags, row_count_estimate }
    }

    /// Consecutive ranges of series with about equally many rows, at most `count` and at least one.
    pub(super) fn partitions(&self, count: usize) -> Vec<Range<usize>> {
        let useful = (self.row_count_estimate / PARTITION_ROWS_MIN).max(1);
        let count = (count as u64).min(useful).max(1);
        let rows_per_partition = self.row_count_estimate.div_ceil(count).max(1);
        let mut partitions = Vec::with_capacity(count as usize);
        let (mut start, mut rows) = (0, 0);
        for (position, series) in self.series.iter().enumerate() {
            rows += series.row_count_estimate();
            if rows >= rows_per_partition {
                partitions.push(start..position + 1);
                (start, rows) = (position + 1, 0);
            }
        }
        if start < self.series.len() || partitions.is_empty() {
            partitions.push(start..self.series.len());
        }
        partitions
    }

    /// Sends the rows of some series in batches of at most `batch_rows` and `rows_max` altogether. Ends early and
    /// without an error when the receiver is gone.
    pub(super) async fn send_batches(
        self: Arc<Self>,
        series: Range<usize>,
        batch_rows: usize,
        rows_max: Option<usize>,
        mut metrics: ScanMetrics,
        sender: Sender<Result<RecordBatch>>,
    ) -> Result<()> {
        // Fields are numbered in the scan in the order of the output columns; those of bounds are among them.
        let fields: Vec<usize> = self
            .columns
            .iter()
            .filter_map(|column| match column {
                ScanColumn::Field(field) => Some(*field),
                _ => None,
            })
            .collect();
        let bounds: Vec<(usize, FieldBound)> = self
            .bounds
            .iter()
            .filter_map(|bound| Some((fields.iter().position(|field| *field == bound.field)?, *bound)))
            .collect();
        let mut rows_left = rows_max.unwrap_or(usize::MAX);
        let mut builder = BatchBuilder::new(&self, batch_rows);
        let mut scan = self.series.scan(&fields, self.range);
        for position in series {
            scan.open(position).map_err(to_datafusion)?;
            while let Some(mut block) = scan.next_block().map_err(to_datafusion)? {
                let is_excluded = bounds
                    .iter()
                    .any(|(field, bound)| block.zone_bound(*field).is_some_and(|zone| bound.excludes(&zone)));
                if is_excluded {
                    metrics.skip(block.len());
                    continue;
                }
                if builder.len() + block.len() > batch_rows && !builder.is_empty() {
                    let batch = builder.finish(rows_left)?;
                    rows_left -= batch.num_rows();
                    if sender.send(Ok(batch)).await.is_err() || rows_left == 0 {
                        return Ok(());
                    }
                }
                builder.push(position, &mut block)?;
            }
            metrics.record(&scan);
            if builder.len() >= rows_left {
                break;
            }
        }
        if !builder.is_empty() {
            let batch = builder.finish(rows_left)?;
            // The receiver wants no more when it is gone.
            let _ = sender.send(Ok(batch)).await;
        }
        Ok(())
    }
}
