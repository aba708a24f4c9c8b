//! What a scan has read, as metrics of its operator.

use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use lynxstore_storage::snapshot::{ScanCounters, SeriesScan};

/// The counts of one partition of a scan.
#[derive(Debug)]
pub(super) struct ScanMetrics {
    series: Count,
    rows: Count,
    rows_from_memory: Count,
    rows_skipped: Count,
    vectors: Count,
    vectors_decoded: Count,
    bytes_decoded: Count,
    /// What was counted already.
    counted: ScanCounters,
}

impl ScanMetrics {
    pub(super) fn new(metrics: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let count = |name: &'static str| MetricBuilder::new(metrics).counter(name, partition);
        Self {
            series: count("series"),
            rows: count("rows_read"),
            rows_from_memory: count("rows_from_memory"),
            rows_skipped: count("rows_skipped"),
            vectors: count("vectors"),
            vectors_decoded: count("vectors_decoded"),
            bytes_decoded: count("bytes_decoded"),
            counted: ScanCounters::default(),
        }
    }

    /// Rows of a block that its statistics exclude.
    pub(super) fn skip(&self, rows: usize) {
        self.rows_skipped.add(rows);
    }

    /// Adds what the scan has read since the last call.
    pub(super) fn record(&mut self, scan: &SeriesScan<'_>) {
        let (now, before) = (scan.counters(), self.counted);
        let add = |count: &Count, now: u64, before: u64| count.add((now - before) as usize);
        add(&self.series, now.series, before.series);
        add(&self.rows, now.rows, before.rows);
        add(&self.rows_from_memory, now.rows_from_memory, before.rows_from_memory);
        add(&self.vectors, now.vectors, before.vectors);
        add(&self.vectors_decoded, now.vectors_decoded, before.vectors_decoded);
        add(&self.bytes_decoded, now.bytes_decoded, before.bytes_decoded);
        self.counted = now;
    }
}
