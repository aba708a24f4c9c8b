//! Turns the series of a request into one batch per table.
//!
//! Occurrences are put together by table, in request order. A series that a request names several times becomes one run
//! of rows: where that happens, the occurrences of its table are sorted by series.

use std::cmp::Ordering;
use std::ops::Deref;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use hashbrown::{HashMap, HashTable};
use lynxstore_storage::types::{ColumnId, SeriesBatch, SeriesRows};

use super::rejection::{Counts, Description, RejectReason, Rejections};
use super::series_cache::{CachedSeries, MetricTable};
use super::{DecodeError, HistogramSample, Limits, Series, WriteRequest, histogram};

/// A series as a request holds it: borrowed from the cache as long as its lock is held, else shared. Counting thousands of
/// references up and down would take longer than finding the series.
#[derive(Debug)]
pub(super) enum SeriesHandle<'c> {
    Cached(&'c Arc<CachedSeries>),
    Shared(Arc<CachedSeries>),
}

impl SeriesHandle<'_> {
    /// The series as one that needs no lock.
    pub(super) fn share(&self) -> Arc<CachedSeries> {
        match self {
            Self::Cached(series) => Arc::clone(series),
            Self::Shared(series) => Arc::clone(series),
        }
    }
}

impl Deref for SeriesHandle<'_> {
    type Target = CachedSeries;

    #[inline]
    fn deref(&self) -> &CachedSeries {
        match self {
            Self::Cached(series) => series,
            Self::Shared(series) => series,
        }
    }
}

/// One time that a request names a series.
#[derive(Debug)]
pub(super) struct Occurrence<'c> {
    pub(super) series: SeriesHandle<'c>,
    /// Position in the request.
    pub(super) index: u32,
}

impl Occurrence<'_> {
    /// The same without the lock of the cache.
    pub(super) fn share(self) -> Occurrence<'static> {
        Occurrence { series: SeriesHandle::Shared(self.series.share()), index: self.index }
    }

    fn order(&self, other: &Self) -> Ordering {
        let by_key = || {
            if std::ptr::eq(&*self.series, &*other.series) {
                return Ordering::Equal;
            }
            self.series.key.cmp(&other.series.key)
        };
        let by_hash = self.series.key_hash.cmp(&other.series.key_hash);
        by_hash.then_with(by_key).then(self.index.cmp(&other.index))
    }
}

/// What times a request may bring.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeBounds {
    latest_ms: i64,
}

impl TimeBounds {
    pub(super) fn new(arrival_ns: i64, limits: &Limits) -> Self {
        Self { latest_ms: (arrival_ns / 1_000_000).saturating_add(limits.future_ms_max) }
    }

    /// Nanoseconds of a time in milliseconds; else what is wrong with it.
    #[inline]
    pub(super) fn nanoseconds(self, time_ms: i64) -> Result<i64, RejectReason> {
        match time_ms.checked_mul(1_000_000) {
            Some(_) if time_ms > self.latest_ms => Err(RejectReason::TooFarInFuture),
            Some(time_ns) => Ok(time_ns),
            None => Err(RejectReason::TimeOutOfRange),
        }
    }

    /// Puts a refused time into words.
    pub(super) fn describe(self, reason: RejectReason, time_ms: i64) -> Description {
        let detail = match reason {
            RejectReason::TooFarInFuture => {
                format!("the time {time_ms} ms is after {} ms, the latest that is accepted now", self.latest_ms)
            }
            _ => format!("the time {time_ms} ms does not fit in 64-bit nanoseconds"),
        };
        Description { time_ns: time_ms.checked_mul(1_000_000), ..Description::new(reason, detail) }
    }
}

/// What all batches of a request are made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchSource<'r> {
    pub(super) request: &'r WriteRequest<'r>,
    pub(super) bounds: TimeBounds,
    pub(super) limits: &'r Limits,
}

impl BatchSource<'_> {
    /// Adds the series to a description of what was refused in it.
    fn of_series(&self, description: Description, series: &Series<'_>) -> Description {
        match self.request.labels(&series.labels, self.limits) {
            Ok(Ok(labels)) => description.of_series(&labels),
            _ => description,
        }
    }

    /// Builds the batches of samples and histograms, and adds what they hold to `written`.
    ///
    /// # Errors
    /// `Protobuf` when a histogram is not well-formed; nothing has been written then.
    pub(super) fn batches(
        self,
        mut occurrences: Vec<Occurrence<'_>>,
        written: &mut Counts,
        rejections: &mut Rejections,
    ) -> Result<Vec<SeriesBatch>, DecodeError> {
        let mut seen = HashTable::new();
        let ends = group_by_table(&mut occurrences);
        let mut batches = Vec::with_capacity(ends.len());
        let mut rest = occurrences.as_mut_slice();
        let mut start_of_table = 0;
        for end_of_table in ends {
            let (of_table, others) = rest.split_at_mut(end_of_table - start_of_table);
            (rest, start_of_table) = (others, end_of_table);
            if has_duplicates(of_table, &mut seen) {
                of_table.sort_unstable_by(Occurrence::order);
            }
            let mut builder = TableBuilder::new(self, of_table);
            for of_series in of_table.chunk_by(|a, b| is_same_series(&a.series, &b.series)) {
                let start = builder.times.len();
                for occurrence in of_series {
                    let series = &self.request.series[occurrence.index as usize];
                    builder.push(series, &occurrence.series.table, rejections)?;
                }
                let end = builder.times.len();
                if start < end {
                    let position = |row: usize| u32::try_from(row).expect("limits are far below u32");
                    let key = of_series[0].series.key.clone();
                    builder.series.push(SeriesRows { key, rows: position(start)..position(end) });
                }
            }
            written.samples += builder.times.len() as u64 - builder.histograms.len() as u64;
            written.histograms += builder.histograms.len() as u64;
            // A series that was cached before its table had a column does not know it; another of the request may.
            let column =
                |of: fn(&MetricTable) -> Option<ColumnId>| of_table.iter().find_map(|one| of(&one.series.table));
            let columns = MetricTable {
                id: of_table[0].series.table.id,
                value: column(|table| table.value),
                histogram: column(|table| table.histogram),
                start: column(|table| table.start),
            };
            batches.extend(builder.finish(&columns));
        }
        Ok(batches)
    }
}

/// Puts occurrences together by table, in the order in which tables and occurrences come; returns where each table ends.
fn group_by_table(occurrences: &mut Vec<Occurrence<'_>>) -> Vec<usize> {
    let mut positions = HashMap::new();
    let mut counts: Vec<usize> = Vec::new();
    let mut last = None;
    let tables: Vec<u32> = occurrences
        .iter()
        .map(|occurrence| {
            let id = occurrence.series.table.id;
            let table = match last {
                Some((last_id, table)) if last_id == id => table,
                _ => *positions.entry(id).or_insert_with(|| {
                    counts.push(0);
                    counts.len() - 1
                }),
            };
            last = Some((id, table));
            counts[table] += 1;
            table as u32
        })
        .collect();
    let mut ends = counts;
    let mut end = 0;
    for table_end in &mut ends {
        end += *table_end;
        *table_end = end;
    }
    if !tables.is_sorted() {
        // The number of each table becomes the place of its next occurrence.
        let mut next: Vec<usize> = std::iter::once(0).chain(ends.iter().copied()).collect();
        let mut grouped: Vec<Option<Occurrence<'_>>> = Vec::new();
        grouped.resize_with(occurrences.len(), || None);
        for (occurrence, table) in occurrences.drain(..).zip(tables) {
            let place = &mut next[table as usize];
            grouped[*place] = Some(occurrence);
            *place += 1;
        }
        occurrences.extend(grouped.into_iter().flatten());
    }
    ends
}

/// Whether a series may stand twice: two hashes are equal. `seen` is memory to work with.
fn has_duplicates(of_table: &[Occurrence<'_>], seen: &mut HashTable<u64>) -> bool {
    seen.clear();
    seen.reserve(of_table.len(), |&hash| hash);
    of_table.iter().any(|occurrence| {
        let hash = occurrence.series.key_hash;
        let is_known = seen.find(hash, |&other| other == hash).is_some();
        if !is_known {
            seen.insert_unique(hash, hash, |&hash| hash);
        }
        is_known
    })
}

fn is_same_series(a: &CachedSeries, b: &CachedSeries) -> bool {
    std::ptr::eq(a, b) || (a.key_hash == b.key_hash && a.key == b.key)
}

struct TableBuilder<'r> {
    source: BatchSource<'r>,
    series: Vec<SeriesRows>,
    times: Vec<i64>,
    values: Vec<f64>,
    /// Rows that are histograms, and the histograms; empty in nearly every table.
    histograms: Vec<(usize, &'r [u8])>,
    /// Rows that have a start time, and these.
    starts: Vec<(usize, i64)>,
}

impl<'r> TableBuilder<'r> {
    fn new(source: BatchSource<'r>, of_table: &[Occurrence<'_>]) -> Self {
        let rows = of_table.iter().map(|occurrence| {
            let series = &source.request.series[occurrence.index as usize];
            series.samples.len() + series.histograms.len()
        });
        let rows = rows.sum();
        Self {
            source,
            series: Vec::with_capacity(of_table.len()),
            times: Vec::with_capacity(rows),
            values: Vec::with_capacity(rows),
            histograms: Vec::new(),
            starts: Vec::new(),
        }
    }

    fn push(
        &mut self,
        series: &Series<'_>,
        table: &MetricTable,
        rejections: &mut Rejections,
    ) -> Result<(), DecodeError> {
        let source = self.source;
        let samples = &source.request.samples[series.samples.start as usize..series.samples.end as usize];
        for sample in samples {
            let time = source.bounds.nanoseconds(sample.time_ms).and_then(|time_ns| match table.value {
                Some(_) => Ok(time_ns),
                None => Err(RejectReason::SchemaConflict),
            });
            match time {
                Ok(time_ns) => {
                    self.push_start(sample.start_ms, table);
                    self.times.push(time_ns);
                    self.values.push(sample.value);
                }
                Err(reason) => {
                    let counts = Counts { samples: 1, ..Counts::default() };
                    rejections.add(reason, counts, || {
                        let mut description = refused(source.bounds, reason, sample.time_ms, "value` of type f64");
                        description.detail.push_str(&format!(" (value {})", sample.value));
                        source.of_series(description, series)
                    });
                }
            }
        }
        let histograms = &source.request.histograms[series.histograms.start as usize..series.histograms.end as usize];
        for sample in histograms {
            self.push_histogram(sample, series, table, rejections)?;
        }
        Ok(())
    }

    fn push_histogram(
        &mut self,
        sample: &HistogramSample<'r>,
        series: &Series<'_>,
        table: &MetricTable,
        rejections: &mut Rejections,
    ) -> Result<(), DecodeError> {
        let source = self.source;
        let counts = Counts { histograms: 1, ..Counts::default() };
        if let Err(rule) = histogram::check(sample.message)? {
            let reason = RejectReason::InvalidHistogram;
            rejections.add(reason, counts, || {
                let time_ns = sample.time_ms.checked_mul(1_000_000);
                source.of_series(Description { time_ns, ..Description::new(reason, rule) }, series)
            });
            return Ok(());
        }
        let time = source.bounds.nanoseconds(sample.time_ms).and_then(|time_ns| match table.histogram {
            Some(_) => Ok(time_ns),
            None => Err(RejectReason::SchemaConflict),
        });
        match time {
            Ok(time_ns) => {
                self.push_start(sample.start_ms, table);
                self.histograms.push((self.times.len(), sample.message));
                self.times.push(time_ns);
                self.values.push(0.0);
            }
            Err(reason) => rejections.add(reason, counts, || {
                source.of_series(refused(source.bounds, reason, sample.time_ms, "histogram` of type binary"), series)
            }),
        }
        Ok(())
    }

    /// Notes when the counter of the next row began. A start that does not fit, or has no column, says nothing: the
    /// sample is worth more than its start.
    #[inline]
    fn push_start(&mut self, start_ms: i64, table: &MetricTable) {
        if start_ms != 0
            && table.start.is_some()
            && let Some(start_ns) = start_ms.checked_mul(1_000_000)
        {
            self.starts.push((self.times.len(), start_ns));
        }
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
        if let Some(start) = table.start.filter(|_| !self.starts.is_empty()) {
            let mut starts = vec![None; rows];
            self.starts.iter().for_each(|(row, start_ns)| starts[*row] = Some(*start_ns));
            fields.push((start, Arc::new(Int64Array::from(starts))));
        }
        Some(SeriesBatch { table: table.id, series: self.series, times: ScalarBuffer::from(self.times), fields })
    }
}

/// Puts a refused sample into words; `column` is what its table lacks when that is the reason.
fn refused(bounds: TimeBounds, reason: RejectReason, time_ms: i64, column: &str) -> Description {
    if reason != RejectReason::SchemaConflict {
        return bounds.describe(reason, time_ms);
    }
    let detail = format!("the table of the metric has no column `{column}");
    Description { time_ns: time_ms.checked_mul(1_000_000), ..Description::new(reason, detail) }
}
