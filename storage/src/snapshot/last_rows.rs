//! The last rows of series, read where they lie.
//!
//! The directory says where the last row of a series stands, so it takes no scan to find it when one section alone has
//! rows of its time. Its values are the last ones of rollups, a vector of which serves dozens of series, or single places
//! of vectors. Memory knows the newest row of a series too, as long as it is the only one of its time. Sources that end at
//! the same time and deletes of the row are left to a scan.
//!
//! Invariant: a row that is found is the one that a scan of its series serves last, and its only one of that time.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, UInt64Array, new_null_array};
use arrow_buffer::{NullBuffer, NullBufferBuilder};
use arrow_select::concat::concat;

use super::counters::ScanCounters;
use super::index::SectionSeries;
use super::rollup_scratch::{RollupScratch, RollupVector};
use super::series_set::SeriesSet;
use super::table::DamagePolicy;
use super::widen::decode_as;
use crate::encoding::VECTOR_LEN;
use crate::error::{Error, Result};
use crate::memtable::SeriesBuffer;
use crate::segment::{FieldRollups, FieldStatistic, Section, SectionColumn, SeriesEntry};
use crate::types::{ColumnId, Dedup, FieldColumn, FieldType, TimeRange};

/// Where last values may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueSource {
    /// In rollups where that is less work, else in vectors.
    Rollups,
    /// In vectors.
    Vectors,
}

/// Rows of a section that a vector of its rollups must serve for it to be decoded: a single value of a vector takes
/// about an eighth of that.
const ROWS_PER_ROLLUP_VECTOR_MIN: usize = 8;

/// How many rows ahead of the one that is read vectors are asked for: waiting for one takes as long as reading several.
const ROWS_AHEAD: usize = 4;

/// The last rows of some series of a set, those that are found without a scan, in the order of the series.
#[derive(Debug)]
pub struct LastRows<'a> {
    set: &'a SeriesSet,
    fields: Vec<FieldColumn>,
    rows: Vec<FoundRow>,
    series: Vec<u32>,
    times: Vec<i64>,
    others: Vec<usize>,
    /// Vector and place in it of each row, nothing of those in memory; empty until a value is read there.
    places: Vec<(usize, usize)>,
    scratch: RollupScratch,
    counters: ScanCounters,
}

/// Where a row stands.
#[derive(Debug, Clone, Copy)]
enum FoundRow {
    Stored(StoredRow),
    Memory(MemoryRow),
}

impl FoundRow {
    fn stored(&self) -> Option<StoredRow> {
        match self {
            Self::Stored(row) => Some(*row),
            Self::Memory(_) => None,
        }
    }
}

/// A row in a memtable.
#[derive(Debug, Clone, Copy)]
struct MemoryRow {
    /// Position of the series in the set.
    series: u32,
    /// Position of the memtable among its memory sources.
    source: u32,
    /// Counted in commit order.
    row: usize,
}

/// A row in a section.
#[derive(Debug, Clone, Copy)]
struct StoredRow {
    section: usize,
    /// In the section's directory.
    series: usize,
    /// In the section.
    row: u32,
    /// The rollup row of the section that has it as its last row, when values are read there.
    rollup_row: Option<u32>,
}

/// Where a section has the values of a field.
#[derive(Debug, Clone, Copy)]
enum FieldPlace<'a> {
    /// Nowhere: it is NULL in every row.
    Null,
    Column {
        column: &'a SectionColumn,
        rollups: Option<&'a FieldRollups>,
    },
}

impl<'a> LastRows<'a> {
    pub(super) fn new(
        set: &'a SeriesSet,
        series: Range<usize>,
        fields: &[usize],
        range: TimeRange,
        source: ValueSource,
    ) -> Self {
        let schema = set.table().schema();
        let fields: Vec<FieldColumn> = fields.iter().map(|&field| schema.fields[field].clone()).collect();
        let scratch = RollupScratch::new(set.sections().len(), fields.len());
        let range = range.intersect(set.range());
        let count = series.len();
        let mut found = Self {
            set,
            fields,
            rows: Vec::with_capacity(count),
            series: Vec::with_capacity(count),
            times: Vec::with_capacity(count),
            others: Vec::new(),
            places: Vec::new(),
            scratch,
            counters: ScanCounters::default(),
        };
        for series in series {
            match find(set, series, range) {
                None => found.others.push(series),
                Some((row, time_ns)) => {
                    found.rows.push(row);
                    found.series.push(series as u32);
                    found.times.push(time_ns);
                }
            }
        }
        found.counters.series = found.rows.len() as u64;
        found.counters.rows = found.rows.len() as u64;
        if source == ValueSource::Rollups {
            found.choose_rollups();
        }
        found
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Positions of the series of the rows in the set.
    pub fn series(&self) -> &[u32] {
        &self.series
    }

    /// Times of the rows.
    pub fn times(&self) -> &[i64] {
        &self.times
    }

    /// The series whose last row takes a scan to find, if they have any; in order.
    pub fn others(&self) -> &[usize] {
        &self.others
    }

    /// What was read so far.
    pub fn counters(&self) -> ScanCounters {
        self.counters
    }

    /// The values of a field, by its position in the list of fields, in the rows: an array of its type.
    ///
    /// # Errors
    /// `Corruption`.
    pub fn values(&mut self, field: usize) -> Result<ArrayRef> {
        let field_type = self.fields[field].field_type;
        let places = self.field_places(field);
        let are_stored_so = places.iter().all(|place| match place {
            FieldPlace::Null => true,
            FieldPlace::Column { column, .. } => column.field_type() == field_type,
        });
        match field_type {
            FieldType::I64 if are_stored_so => {
                let (values, nulls) = self.integers(field, &places)?;
                Ok(Arc::new(Int64Array::new(values.into(), nulls)))
            }
            FieldType::U64 if are_stored_so => {
                let (values, nulls) = self.integers(field, &places)?;
                let values: Vec<u64> = values.into_iter().map(|value| value.cast_unsigned() ^ (1 << 63)).collect();
                Ok(Arc::new(UInt64Array::new(values.into(), nulls)))
            }
            FieldType::F64 if are_stored_so => {
                let (values, nulls) = self.floats(field, &places)?;
                Ok(Arc::new(Float64Array::new(values.into(), nulls)))
            }
            _ => self.arrays(field, &places),
        }
    }

    /// Uses rollups in the sections where enough rows share each vector of them.
    fn choose_rollups(&mut self) {
        let sections = self.set.sections();
        let mut row_counts = vec![0; sections.len()];
        self.rows.iter().filter_map(FoundRow::stored).for_each(|row| row_counts[row.section] += 1);
        for row in &mut self.rows {
            let FoundRow::Stored(row) = row else { continue };
            let Some(rollups) = sections[row.section].rollups() else { continue };
            let vectors = (rollups.row_count() as usize).div_ceil(VECTOR_LEN);
            if row_counts[row.section] >= vectors * ROWS_PER_ROLLUP_VECTOR_MIN {
                // Together they stand for all rows of the series, so the last one ends with its last row.
                row.rollup_row = rollups.rows_of(row.series).last();
            }
        }
        let rollup_rows = self.rows.iter().filter_map(FoundRow::stored).filter_map(|row| row.rollup_row);
        self.counters.rollups = rollup_rows.count() as u64;
    }

    /// Per section where it has a field.
    fn field_places(&self, field: usize) -> Vec<FieldPlace<'a>> {
        let field = &self.fields[field];
        let place = |section: &'a Arc<Section>| match section.column(field.id) {
            None => FieldPlace::Null,
            Some(column) => {
                let rollups = section.rollups().and_then(|rollups| rollups.field(field.id));
                let rollups = rollups.filter(|states| states.field_type() == field.field_type);
                FieldPlace::Column { column, rollups }
            }
        };
        self.set.sections().iter().map(place).collect()
    }

    fn integers(&mut self, field: usize, places: &[FieldPlace<'_>]) -> Result<(Vec<i64>, Option<NullBuffer>)> {
        self.numbers(field, places, RollupScratch::integers, SectionColumn::value_i64, SeriesBuffer::integer)
    }

    fn floats(&mut self, field: usize, places: &[FieldPlace<'_>]) -> Result<(Vec<f64>, Option<NullBuffer>)> {
        self.numbers(field, places, RollupScratch::floats, SectionColumn::value_f64, SeriesBuffer::float)
    }

    /// The values of a field of numbers: `states` gives them from a vector of rollups that was loaded, `value` from a place
    /// in a vector of the column, `in_memory` from a row in memory.
    fn numbers<T: Copy + Default>(
        &mut self,
        field: usize,
        places: &[FieldPlace<'_>],
        states: impl Fn(&RollupScratch, usize, FieldStatistic, RollupVector) -> &[T],
        value: impl Fn(&SectionColumn, usize, usize) -> Result<Option<T>>,
        in_memory: impl Fn(&SeriesBuffer, usize, ColumnId) -> Option<T>,
    ) -> Result<(Vec<T>, Option<NullBuffer>)> {
        let mut values = Vec::with_capacity(self.rows.len());
        let mut nulls = NullBufferBuilder::new(self.rows.len());
        for index in 0..self.rows.len() {
            let row = match self.rows[index] {
                FoundRow::Stored(row) => row,
                FoundRow::Memory(row) => {
                    let found = in_memory(self.buffer(row), row.row, self.fields[field].id);
                    values.push(found.unwrap_or_default());
                    nulls.append(found.is_some());
                    continue;
                }
            };
            let found = match (places[row.section], row.rollup_row) {
                (FieldPlace::Null, _) => None,
                (FieldPlace::Column { rollups: Some(rollups), .. }, Some(rollup_row)) => {
                    let rollup_row = rollup_row as usize;
                    let key = RollupVector { section: row.section, vector: rollup_row / VECTOR_LEN };
                    let place = rollup_row % VECTOR_LEN;
                    // Rows behind the last value are rows of NULL.
                    let skip = match rollups.has(FieldStatistic::LastSkip) {
                        true => {
                            self.scratch.load_field(rollups, field, FieldStatistic::LastSkip, key)?;
                            self.scratch.integers(field, FieldStatistic::LastSkip, key)[place]
                        }
                        false => 0,
                    };
                    self.scratch.load_field(rollups, field, FieldStatistic::Last, key)?;
                    (skip == 0).then(|| states(&self.scratch, field, FieldStatistic::Last, key)[place])
                }
                (FieldPlace::Column { column, .. }, _) => {
                    let (vector, place) = self.place(index);
                    if let (Some(ahead), Some((vector, _))) =
                        (self.rows.get(index + ROWS_AHEAD), self.places.get(index + ROWS_AHEAD))
                        && ahead.stored().is_some_and(|ahead| ahead.section == row.section)
                    {
                        column.prefetch(*vector);
                    }
                    self.counters.vectors += 1;
                    value(column, vector, place)?
                }
            };
            values.push(found.unwrap_or_default());
            nulls.append(found.is_some());
        }
        Ok((values, nulls.finish()))
    }

    /// The values of any field, array by array.
    fn arrays(&mut self, field: usize, places: &[FieldPlace<'_>]) -> Result<ArrayRef> {
        let field_type = self.fields[field].field_type;
        if self.rows.is_empty() {
            return Ok(new_null_array(&field_type.arrow_type(), 0));
        }
        let mut parts: Vec<ArrayRef> = Vec::with_capacity(self.rows.len());
        for index in 0..self.rows.len() {
            let row = match self.rows[index] {
                FoundRow::Stored(row) => row,
                FoundRow::Memory(row) => {
                    let found = self.buffer(row).array(row.row, self.fields[field].id);
                    parts.push(found.unwrap_or_else(|| new_null_array(&field_type.arrow_type(), 1)));
                    continue;
                }
            };
            parts.push(match places[row.section] {
                FieldPlace::Null => new_null_array(&field_type.arrow_type(), 1),
                FieldPlace::Column { column, .. } => {
                    let (vector, place) = self.place(index);
                    self.counters.vectors += 1;
                    self.counters.vectors_decoded += 1;
                    decode_as(column, vector, place..place + 1, field_type)?
                }
            });
        }
        concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())
            .map_err(|error| Error::invalid(format!("field '{}': {error}", self.fields[field].name)))
    }

    /// The vector of a row and its place in it.
    fn place(&mut self, index: usize) -> (usize, usize) {
        if self.places.is_empty() {
            let sections = self.set.sections();
            self.places.extend(self.rows.iter().map(|row| {
                let FoundRow::Stored(row) = row else { return (0, 0) };
                let section: &Section = &sections[row.section];
                let vector = section.vector_of_row(row.row);
                (vector, (row.row - section.vector_rows(vector).start) as usize)
            }));
        }
        self.places[index]
    }

    fn buffer(&self, row: MemoryRow) -> &'a SeriesBuffer {
        &self.set.memory_sources(row.series as usize)[row.source as usize].buffer
    }
}

/// The last row of a series and its time; `None` when it takes a scan to find it.
fn find(set: &SeriesSet, series: usize, range: TimeRange) -> Option<(FoundRow, i64)> {
    if set.table().damage_policy() == DamagePolicy::Skip {
        return None;
    }
    let sections = set.sections();
    let mut last: Option<(SectionSeries, SeriesEntry)> = None;
    let mut is_alone = true;
    for source in set.section_sources(series) {
        let entry = sections[source.section as usize].series(source.series as usize);
        match &last {
            Some((_, known)) if entry.max_time < known.max_time => {}
            Some((_, known)) if entry.max_time == known.max_time => is_alone = false,
            _ => (last, is_alone) = (Some((*source, entry)), true),
        }
    }
    let memory = set.memory_sources(series);
    let newest = memory.iter().enumerate().max_by_key(|(_, source)| source.summary.bounds.end_ns);
    if let Some((position, newest)) = newest {
        let time_ns = newest.summary.bounds.end_ns;
        let stored_ns = last.as_ref().map(|(_, entry)| entry.max_time);
        let is_older = |other: i64| other < time_ns;
        let others = memory.iter().enumerate().filter(|(other, _)| *other != position);
        if stored_ns.is_none_or(is_older) && others.map(|(_, other)| other.summary.bounds.end_ns).all(is_older) {
            let row = newest.summary.newest_row.filter(|_| range.contains(time_ns))?;
            let row = MemoryRow { series: series as u32, source: position as u32, row };
            return Some((FoundRow::Memory(row), time_ns));
        }
    }
    let (source, entry) = last.filter(|_| is_alone)?;
    let section = source.section as usize;
    let time_ns = entry.max_time;
    // Of a table that keeps duplicates only a series with regular times is known to have none.
    let may_repeat = set.table().schema().options.dedup == Dedup::Off && entry.step_ns == 0;
    let is_hidden = newest.is_some_and(|(_, newest)| newest.summary.bounds.end_ns >= time_ns);
    if may_repeat || !range.contains(time_ns) || is_hidden {
        return None;
    }
    let is_shown = match set.shown_parts(series, section, range) {
        None => true,
        Some(parts) => parts.iter().any(|part| part.contains(time_ns)),
    };
    let row = entry.row_start + (entry.row_count - 1);
    let row = StoredRow { section, series: source.series as usize, row, rollup_row: None };
    is_shown.then_some((FoundRow::Stored(row), time_ns))
}
