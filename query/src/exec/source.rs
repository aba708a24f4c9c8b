//! Opens what a plan scans: the matching series, the fields to read, and how the work is split over threads.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, StringArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::Int32Type;
use lynxstore_storage::snapshot::{SeriesSet, TableSnapshot, TagFilter, TagTerm, ValueSource};
use lynxstore_storage::types::TimeRange;

use super::context::ExecContext;
use super::expr::evaluate_mask;
use crate::error::{Error, Result};
use crate::memory::MemoryHolder;
use crate::options::RollupMode;
use crate::plan::{ScanFilter, SelectPlan, TagPredicate};

/// Values that one thread handles before a second one pays: a million take 0.1 to 0.3 ms. Tests split small tables too.
const VALUES_PER_THREAD_MIN: u64 = if cfg!(test) { 256 } else { 1 << 20 };

/// How much less a row costs that a state stands for than one that is read.
const STATE_GAIN: u64 = 64;

/// What it costs to open a series, in values: some hundreds of nanoseconds.
const VALUES_PER_SERIES: u64 = 2_048;

/// What a scan reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Values row by row.
    Values,
    /// Mostly states of many rows.
    States,
}

/// The series of a plan within one snapshot.
pub(crate) struct Source {
    /// The series.
    pub(crate) set: SeriesSet,
    /// Times to read.
    pub(crate) range: TimeRange,
    /// Fields to read, as positions in the table's fields: those of the filter and those of the columns.
    pub(crate) fields: Vec<usize>,
    /// What the list of the series counts.
    memory: Option<MemoryHolder>,
}

/// The place of a column of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnPlace {
    /// The time column.
    Time,
    /// A tag, by its position.
    Tag(usize),
    /// A field, by its position.
    Field(usize),
}

/// The place of column `column` of a table with `tags` tags: time, tags and fields in one count.
pub(crate) fn place_of(column: usize, tags: usize) -> ColumnPlace {
    match column.checked_sub(1) {
        None => ColumnPlace::Time,
        Some(tag) if tag < tags => ColumnPlace::Tag(tag),
        Some(field) => ColumnPlace::Field(field - tags),
    }
}

impl Source {
    /// Finds the series that a plan reads.
    pub(crate) fn open(plan: &SelectPlan, table: &TableSnapshot) -> Result<Self> {
        let tags = table.schema().tags.len();
        let mut fields: Vec<usize> = plan.filter.fields.iter().map(|term| term.field).collect();
        fields.extend(plan.columns.iter().filter_map(|&column| match place_of(column, tags) {
            ColumnPlace::Field(field) => Some(field),
            _ => None,
        }));
        fields.sort_unstable();
        fields.dedup();
        let filter = tag_filter(&plan.filter);
        let set = table.series(&filter, plan.filter.range)?;
        Ok(Self { set, range: plan.filter.range, fields, memory: None })
    }

    /// Counts the list of the series as memory of the statement.
    pub(crate) fn count_memory(&mut self, context: &ExecContext<'_>) -> Result<()> {
        self.memory.get_or_insert_with(|| context.memory.holder()).set(self.set.byte_len())
    }

    /// The position in the scan of a field of the table.
    pub(crate) fn field_position(&self, field: usize) -> Result<usize> {
        self.fields.binary_search(&field).map_err(|_| Error::execution("a field is missing from the scan"))
    }

    /// The times that rows can have: the range of the plan may be years wide over an hour of rows.
    pub(crate) fn row_range(&self) -> TimeRange {
        let mut rows = TimeRange { start_ns: i64::MAX, end_ns: i64::MIN };
        for series in self.set.iter() {
            let series = series.time_bounds();
            rows = TimeRange { start_ns: rows.start_ns.min(series.start_ns), end_ns: rows.end_ns.max(series.end_ns) };
        }
        self.range.intersect(rows)
    }

    /// Splits the series into at most `threads` runs of about equal work, one when there is little.
    pub(crate) fn partitions(&self, threads: usize, work: Work) -> Vec<Range<usize>> {
        let series = self.set.len();
        let whole = std::iter::once(0..series).collect();
        if threads < 2 || series < 2 {
            return whole;
        }
        let values_per_row = self.fields.len().max(1) as u64;
        let gain = if work == Work::States { STATE_GAIN } else { 1 };
        let weight = |index| self.values_estimate(index) * values_per_row / gain + VALUES_PER_SERIES;
        let weights: Vec<u64> = (0..series).map(weight).collect();
        let total: u64 = weights.iter().sum();
        let parts = (total / VALUES_PER_THREAD_MIN).clamp(1, threads as u64);
        if parts == 1 {
            return whole;
        }
        let mut partitions = Vec::with_capacity(parts as usize);
        let (mut start, mut weight) = (0, 0);
        for (index, series_weight) in weights.into_iter().enumerate() {
            weight += series_weight;
            let is_last_part = partitions.len() as u64 + 1 == parts;
            if !is_last_part && weight * parts >= total * (partitions.len() as u64 + 1) {
                partitions.push(start..index + 1);
                start = index + 1;
            }
        }
        partitions.push(start..series);
        partitions
    }

    /// Rows of a series in the range, assuming that they are spread evenly.
    pub(crate) fn values_estimate(&self, series: usize) -> u64 {
        let handle = self.set.get(series);
        let rows = handle.row_count_estimate();
        if self.range == TimeRange::ALL {
            return rows;
        }
        let bounds = handle.time_bounds();
        if self.range.covers(bounds) {
            return rows;
        }
        let width = |range: TimeRange| range.end_ns as f64 - range.start_ns as f64 + 1.0;
        let share = width(bounds.intersect(self.range)) / width(bounds);
        (rows as f64 * share.clamp(0.0, 1.0)) as u64
    }
}

/// Where last values may be read by the options of an execution.
pub(crate) fn value_source(context: &ExecContext<'_>) -> ValueSource {
    match context.options.rollups {
        RollupMode::On => ValueSource::Rollups,
        RollupMode::Off => ValueSource::Vectors,
    }
}

/// The tag predicates of a filter in the terms of the storage engine.
pub(crate) fn tag_filter(filter: &ScanFilter) -> TagFilter {
    TagFilter { terms: filter.tags.iter().map(tag_term).collect() }
}

fn tag_term(predicate: &TagPredicate) -> TagTerm {
    if let Some(values) = &predicate.equals {
        return TagTerm::one_of(predicate.tag, values.clone());
    }
    let condition = predicate.condition.clone();
    TagTerm::predicate(predicate.tag, move |value| {
        let keys = std::iter::once(value.map(|_| 0)).collect::<arrow::array::Int32Array>();
        let values: ArrayRef = Arc::new(StringArray::from(vec![value.unwrap_or_default()]));
        let tag: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(keys, values));
        // The binder lets only conditions here that cannot fail.
        evaluate_mask(&condition, &[tag], 1).is_ok_and(|mask| mask.value(0))
    })
}

/// Takes `positions` out of an array.
pub(crate) fn take_rows(array: &ArrayRef, positions: &UInt32Array) -> Result<ArrayRef> {
    take(array, positions, None).map_err(Error::arrow)
}
