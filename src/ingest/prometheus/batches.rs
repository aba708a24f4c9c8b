//! Turns the series of a request into one batch per table.
//!
//! Occurrences are put together by table, in request order. A series that a request names several times becomes one run
//! of rows: where that happens, the occurrences of its table are sorted by series.

use std::cmp::Ordering;
use std::ops::{Deref, Range};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Float64Array, Int64Array};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use hashbrown::HashMap;
use lynxstore_storage::types::{ColumnId, SeriesBatch, SeriesKey, SeriesRows, TableId};

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
        occurrences: &[Occurrence<'_>],
        written: &mut Counts,
        rejections: &mut Rejections,
    ) -> Result<Vec<SeriesBatch>, DecodeError> {
        let (mut seen, mut series) = (Vec::new(), Vec::new());
        let mut keys = keys_of(occurrences);
        let (mut places, ends) = group_by_table(occurrences);
        let mut tables = Vec::with_capacity(ends.len());
        let mut rows = Rows::with_capacity(self.request.samples.len() + self.request.histograms.len());
        let mut rest = places.as_mut_slice();
        let mut start_of_table = 0;
        for end_of_table in ends {
            let (of_table, others) = rest.split_at_mut(end_of_table - start_of_table);
            (rest, start_of_table) = (others, end_of_table);
            let occurrence = |place: &u32| &occurrences[*place as usize];
            if has_duplicates(of_table.iter().map(|place| occurrence(place).series.key_hash), &mut seen) {
                of_table.sort_unstable_by(|a, b| occurrence(a).order(occurrence(b)));
            }
            let mut builder = TableBuilder::new(self, &mut rows, &mut series);
            for of_series in of_table.chunk_by(|a, b| is_same_series(&occurrence(a).series, &occurrence(b).series)) {
                let start = builder.row_count();
                for occurrence in of_series.iter().map(occurrence) {
                    let series = &self.request.series[occurrence.index as usize];
                    builder.push(series, &occurrence.series.table, rejections)?;
                }
                if start < builder.row_count() {
                    let end = u32::try_from(builder.row_count()).expect("limits are far below u32");
                    builder.series.push((of_series[0], end));
                }
            }
            written.samples += builder.row_count() as u64 - builder.histograms.len() as u64;
            written.histograms += builder.histograms.len() as u64;
            // A series that was cached before its table had a column does not know it; another of the request may.
            let known = || of_table.iter().map(|place| &occurrence(place).series.table);
            let column = |of: fn(&MetricTable) -> Option<ColumnId>| known().find_map(|table| of(table));
            let columns = MetricTable {
                id: occurrence(&of_table[0]).series.table.id,
                value: column(|table| table.value),
                histogram: column(|table| table.histogram),
                start: column(|table| table.start),
            };
            tables.extend(builder.finish(columns, &mut keys));
        }
        let (times, values) = (ScalarBuffer::from(rows.times), ScalarBuffer::from(rows.values));
        Ok(tables.into_iter().map(|table| table.batch(&times, &values)).collect())
    }
}

/// The keys of occurrences, for their rows to take.
fn keys_of(occurrences: &[Occurrence<'_>]) -> Vec<Option<SeriesKey>> {
    /// As many keys as the first cache of a processor holds well.
    const AT_A_TIME: usize = 64;
    let mut keys = Vec::with_capacity(occurrences.len());
    for occurrences in occurrences.chunks(AT_A_TIME) {
        // To count a key up waits for its memory, one key after the other. To look at it does not, so that the memory of
        // all of them is on its way at a time.
        let keys_here = occurrences.iter().map(|one| one.series.key.as_bytes());
        let looked_at = keys_here.map(|key| key.first().copied().unwrap_or(0) | key.last().copied().unwrap_or(0));
        std::hint::black_box(looked_at.fold(0, |all, one| all | one));
        keys.extend(occurrences.iter().map(|one| Some(one.series.key.clone())));
    }
    keys
}

/// The tables of a request by number, in the order in which they come.
#[derive(Default)]
struct TableNumbers {
    positions: HashMap<TableId, usize>,
    ids: Vec<TableId>,
    /// Per table the one that followed it last: senders go through the metrics of a target in one order, target by target.
    followers: Vec<usize>,
    last: usize,
}

impl TableNumbers {
    fn number(&mut self, id: TableId) -> usize {
        let guess = self.followers.get(self.last).copied().unwrap_or(0);
        if self.ids.get(guess) == Some(&id) {
            self.last = guess;
            return guess;
        }
        let number = *self.positions.entry(id).or_insert(self.ids.len());
        if number == self.ids.len() {
            self.ids.push(id);
            self.followers.push(number);
        }
        if let Some(follower) = self.followers.get_mut(self.last) {
            *follower = number;
        }
        self.last = number;
        number
    }
}

/// The places of occurrences by table, in the order in which tables and occurrences come, and where each table ends.
fn group_by_table(occurrences: &[Occurrence<'_>]) -> (Vec<u32>, Vec<usize>) {
    let mut numbers = TableNumbers::default();
    let mut counts: Vec<usize> = Vec::new();
    let number = |occurrence: &Occurrence<'_>| {
        let table = numbers.number(occurrence.series.table.id);
        if table == counts.len() {
            counts.push(0);
        }
        counts[table] += 1;
        table as u32
    };
    let tables: Vec<u32> = occurrences.iter().map(number).collect();
    let mut ends = counts;
    let mut end = 0;
    for table_end in &mut ends {
        end += *table_end;
        *table_end = end;
    }
    // The number of each table becomes the place of its next occurrence.
    let mut next: Vec<usize> = std::iter::once(0).chain(ends.iter().copied()).collect();
    let mut places = vec![0; occurrences.len()];
    for (occurrence, table) in (0..).zip(tables) {
        let place = &mut next[table as usize];
        places[*place] = occurrence;
        *place += 1;
    }
    (places, ends)
}

/// Whether a series may stand twice: two hashes are equal. `seen` is memory to work with.
fn has_duplicates(hashes: impl ExactSizeIterator<Item = u64>, seen: &mut Vec<u64>) -> bool {
    const FREE: u64 = 0;
    // At most half full, so that a place is found soon.
    let places = (2 * hashes.len()).next_power_of_two();
    seen.clear();
    seen.resize(places, FREE);
    let mut hashes = hashes.map(|hash| hash.max(FREE + 1));
    hashes.any(|hash| {
        let mut place = hash as usize & (places - 1);
        while seen[place] != FREE && seen[place] != hash {
            place = (place + 1) & (places - 1);
        }
        std::mem::replace(&mut seen[place], hash) == hash
    })
}

fn is_same_series(a: &CachedSeries, b: &CachedSeries) -> bool {
    std::ptr::eq(a, b) || (a.key_hash == b.key_hash && a.key == b.key)
}

/// The rows of all tables of a request, table after table: two pieces of memory instead of two of each table.
struct Rows {
    times: Vec<i64>,
    values: Vec<f64>,
}

impl Rows {
    fn with_capacity(rows: usize) -> Self {
        Self { times: Vec::with_capacity(rows), values: Vec::with_capacity(rows) }
    }
}

struct TableBuilder<'r, 'b> {
    source: BatchSource<'r>,
    rows: &'b mut Rows,
    /// Where the rows of the table start.
    first_row: usize,
    /// The place of an occurrence of each series with rows, and where its rows end, counted from the first of the table.
    series: &'b mut Vec<(u32, u32)>,
    /// Rows of the table that are histograms, and the histograms; empty in nearly every table.
    histograms: Vec<(usize, &'r [u8])>,
    /// Rows of the table that have a start time, and these.
    starts: Vec<(usize, i64)>,
}

impl<'r, 'b> TableBuilder<'r, 'b> {
    /// `series` is memory to work with.
    fn new(source: BatchSource<'r>, rows: &'b mut Rows, series: &'b mut Vec<(u32, u32)>) -> Self {
        let first_row = rows.times.len();
        series.clear();
        Self { source, rows, first_row, series, histograms: Vec::new(), starts: Vec::new() }
    }

    fn row_count(&self) -> usize {
        self.rows.times.len() - self.first_row
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
                    self.rows.times.push(time_ns);
                    self.rows.values.push(sample.value);
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
                self.histograms.push((self.row_count(), sample.message));
                self.rows.times.push(time_ns);
                self.rows.values.push(0.0);
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
            self.starts.push((self.row_count(), start_ns));
        }
    }

    /// What the batch of the table is made of, if it has rows; its series take their keys.
    fn finish(self, table: MetricTable, keys: &mut [Option<SeriesKey>]) -> Option<FinishedTable<'r>> {
        let rows = self.first_row..self.rows.times.len();
        if rows.is_empty() {
            return None;
        }
        let starts = std::iter::once(0).chain(self.series.iter().map(|(_, end)| *end));
        let series = starts.zip(self.series.iter()).map(|(start, &(place, end))| {
            let key = keys[place as usize].take().expect("an occurrence belongs to one table");
            SeriesRows { key, rows: start..end }
        });
        let series = series.collect();
        Some(FinishedTable { table, series, rows, histograms: self.histograms, starts: self.starts })
    }
}

/// A table whose rows are known.
struct FinishedTable<'r> {
    table: MetricTable,
    series: Vec<SeriesRows>,
    rows: Range<usize>,
    histograms: Vec<(usize, &'r [u8])>,
    starts: Vec<(usize, i64)>,
}

impl FinishedTable<'_> {
    /// The batch, whose rows stand in the times and values of all tables.
    fn batch(self, times: &ScalarBuffer<i64>, values: &ScalarBuffer<f64>) -> SeriesBatch {
        let Self { table, series, .. } = self;
        let (first, rows) = (self.rows.start, self.rows.len());
        let mut fields: Vec<(_, ArrayRef)> = Vec::with_capacity(1);
        let is_sample = (!self.histograms.is_empty()).then(|| {
            let mut is_sample = vec![true; rows];
            self.histograms.iter().for_each(|(row, _)| is_sample[*row] = false);
            NullBuffer::new(BooleanBuffer::from(is_sample))
        });
        if let Some(value) = table.value.filter(|_| self.histograms.len() < rows) {
            fields.push((value, Arc::new(Float64Array::new(values.slice(first, rows), is_sample))));
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
        SeriesBatch { table: table.id, series, times: times.slice(first, rows), fields }
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
