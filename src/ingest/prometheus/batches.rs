//! Turns the series of a request into one batch per table.
//!
//! Occurrences are sorted by table and series, so that a series that a request names several times becomes one run of
//! rows, in request order.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use lynxstore_storage::types::{ColumnId, SeriesBatch, SeriesRows};

use super::rejection::{Counts, RejectReason, Rejections};
use super::series_cache::{CachedSeries, MetricTable};
use super::{DecodeError, HistogramSample};
use super::{Series, WriteRequest, histogram};

/// One time that a request names a series.
#[derive(Debug)]
pub(super) struct Occurrence {
    pub(super) series: Arc<CachedSeries>,
    /// Position in the request.
    pub(super) index: u32,
}

impl Occurrence {
    fn order(&self, other: &Self) -> Ordering {
        let by_hash = |it: &Self| (it.series.table.id, it.series.key_hash);
        let by_key = || {
            if Arc::ptr_eq(&self.series, &other.series) {
                return Ordering::Equal;
            }
            self.series.key.cmp(&other.series.key)
        };
        by_hash(self).cmp(&by_hash(other)).then_with(by_key).then(self.index.cmp(&other.index))
    }
}

/// Nanoseconds of a time in milliseconds, when they fit.
pub(super) fn nanoseconds(time_ms: i64) -> Option<i64> {
    time_ms.checked_mul(1_000_000)
}

/// Builds the batches of samples and histograms, and adds what they hold to `written`.
///
/// # Errors
/// `Protobuf` when a histogram is not well-formed; nothing has been written then.
pub(super) fn metric_batches(
    request: &WriteRequest<'_>,
    occurrences: &mut [Occurrence],
    written: &mut Counts,
    rejections: &mut Rejections,
) -> Result<Vec<SeriesBatch>, DecodeError> {
    occurrences.sort_unstable_by(Occurrence::order);
    let mut batches = Vec::new();
    for of_table in occurrences.chunk_by(|a, b| a.series.table.id == b.series.table.id) {
        let mut builder = TableBuilder::new(request, of_table);
        for of_series in of_table.chunk_by(|a, b| a.series.key == b.series.key) {
            let start = builder.times.len();
            for occurrence in of_series {
                builder.push(&request.series[occurrence.index as usize], &occurrence.series.table, rejections)?;
            }
            let end = builder.times.len();
            if start < end {
                let rows =
                    u32::try_from(start).expect("limits are far below u32")..u32::try_from(end).expect("as above");
                builder.series.push(SeriesRows { key: of_series[0].series.key.clone(), rows });
            }
        }
        written.samples += builder.times.len() as u64 - builder.histograms.len() as u64;
        written.histograms += builder.histograms.len() as u64;
        // A series that was cached before its table had a column does not know it; another of the request may.
        let column = |of: fn(&MetricTable) -> Option<ColumnId>| of_table.iter().find_map(|one| of(&one.series.table));
        let columns = MetricTable {
            value: column(|table| table.value),
            histogram: column(|table| table.histogram),
            id: of_table[0].series.table.id,
        };
        batches.extend(builder.finish(&columns));
    }
    Ok(batches)
}

struct TableBuilder<'r> {
    request: &'r WriteRequest<'r>,
    series: Vec<SeriesRows>,
    times: Vec<i64>,
    values: Vec<f64>,
    /// Rows that are histograms, and the histograms; empty in nearly every table.
    histograms: Vec<(usize, &'r [u8])>,
}

impl<'r> TableBuilder<'r> {
    fn new(request: &'r WriteRequest<'r>, of_table: &[Occurrence]) -> Self {
        let rows = of_table.iter().map(|occurrence| {
            let series = &request.series[occurrence.index as usize];
            series.samples.len() + series.histograms.len()
        });
        let rows = rows.sum();
        Self {
            request,
            series: Vec::with_capacity(of_table.len()),
            times: Vec::with_capacity(rows),
            values: Vec::with_capacity(rows),
            histograms: Vec::new(),
        }
    }

    fn push(
        &mut self,
        series: &Series<'_>,
        table: &MetricTable,
        rejections: &mut Rejections,
    ) -> Result<(), DecodeError> {
        let samples = &self.request.samples[series.samples.start as usize..series.samples.end as usize];
        for sample in samples {
            let counts = Counts { samples: 1, ..Counts::default() };
            match (nanoseconds(sample.time_ms), table.value) {
                (Some(time_ns), Some(_)) => {
                    self.times.push(time_ns);
                    self.values.push(sample.value);
                }
                (None, _) => rejections.add(RejectReason::TimeOutOfRange, counts, || time_example(sample.time_ms)),
                (_, None) => rejections.add(RejectReason::SchemaConflict, counts, || {
                    "the table of the metric has no column `value` of type f64".into()
                }),
            }
        }
        let histograms = &self.request.histograms[series.histograms.start as usize..series.histograms.end as usize];
        for sample in histograms {
            self.push_histogram(sample, table, rejections)?;
        }
        Ok(())
    }

    fn push_histogram(
        &mut self,
        sample: &HistogramSample<'r>,
        table: &MetricTable,
        rejections: &mut Rejections,
    ) -> Result<(), DecodeError> {
        let counts = Counts { histograms: 1, ..Counts::default() };
        if let Err(rule) = histogram::check(sample.message)? {
            rejections.add(RejectReason::InvalidHistogram, counts, || rule.into());
            return Ok(());
        }
        match (nanoseconds(sample.time_ms), table.histogram) {
            (Some(time_ns), Some(_)) => {
                self.histograms.push((self.times.len(), sample.message));
                self.times.push(time_ns);
                self.values.push(0.0);
            }
            (None, _) => rejections.add(RejectReason::TimeOutOfRange, counts, || time_example(sample.time_ms)),
            (_, None) => rejections.add(RejectReason::SchemaConflict, counts, || {
                "the table of the metric has no column `histogram` of type binary".into()
            }),
        }
        Ok(())
    }

    fn finish(self, table: &MetricTable) -> Option<SeriesBatch> {
        let rows = self.times.len();
        if rows == 0 {
            return None;
        }
        let mut fields: Vec<(_, ArrayRef)> = Vec::with_capacity(2);
        let is_sample = (!self.histograms.is_empty()).then(|| {
            let mut is_sample = vec![true; rows];
            self.histograms.iter().for_each(|(row, _)| is_sample[*row] = false);
            NullBuffer::new(BooleanBuffer::from(is_sample))
        });
        if let Some(value) = table.value.filter(|_| self.histograms.len() < rows) {
            fields.push((value, Arc::new(Float64Array::new(ScalarBuffer::from(self.values), is_sample))));
        }
        if let Some(histogram) = table.histogram.filter(|_| !self.histograms.is_empty()) {
            let mut messages = vec![None; rows];
            self.histograms.iter().for_each(|(row, message)| messages[*row] = Some(*message));
            fields.push((histogram, Arc::new(BinaryArray::from(messages))));
        }
        Some(SeriesBatch { table: table.id, series: self.series, times: ScalarBuffer::from(self.times), fields })
    }
}

pub(super) fn time_example(time_ms: i64) -> String {
    format!("the time {time_ms} ms does not fit in 64-bit nanoseconds")
}
