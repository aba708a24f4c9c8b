//! A chunk of rows whose numbers take as few bytes as they need: what readers keep of the rows of batches.
//!
//! A reader widens the rows and fields that it looks at, into buffers of its own. Statistics of a field are made when
//! somebody first asks for them, and stay. Invariant: widened, it is the chunk that it was made of. It does not change.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use super::chunk::{LazyZones, RowChunk, TimeOrder};
use super::chunk_rollups::{ChunkBucket, LazyBuckets, LazyStates};
use super::column_buffer::TypedArray;
use super::narrow::NarrowIntegers;
use super::narrow_column::NarrowColumn;
use arrow_array::ArrayRef;

use crate::encoding::{Validity, ZoneMap};
use crate::segment::FieldStatistic;
use crate::types::{ColumnId, FieldColumn, TimeRange};

/// Rows of one series, at most a vector.
#[derive(Debug)]
pub(crate) struct NarrowChunk {
    row_count: usize,
    times: NarrowIntegers,
    fields: Vec<NarrowField>,
    order: TimeOrder,
    bounds: TimeRange,
    buckets: LazyBuckets,
}

#[derive(Debug)]
pub(crate) struct NarrowField {
    id: ColumnId,
    column: NarrowColumn,
    /// Over all rows.
    zone: OnceLock<Box<ZoneMap>>,
    states: LazyStates,
}

impl NarrowChunk {
    pub(super) fn new(chunk: &RowChunk) -> Self {
        let narrow = |(id, array): &(ColumnId, _)| {
            let column = NarrowColumn::new(TypedArray::new(array)?);
            Some(NarrowField { id: *id, column, zone: OnceLock::new(), states: LazyStates::default() })
        };
        Self {
            row_count: chunk.times.len(),
            times: NarrowIntegers::of_times(&chunk.times),
            fields: chunk.columns.iter().filter_map(narrow).collect(),
            order: chunk.order,
            bounds: chunk.bounds,
            buckets: LazyBuckets::default(),
        }
    }

    /// Number of rows.
    pub(crate) fn row_count(&self) -> usize {
        self.row_count
    }

    /// How the times are ordered.
    pub(crate) fn order(&self) -> TimeOrder {
        self.order
    }

    /// First and last time.
    pub(crate) fn bounds(&self) -> TimeRange {
        self.bounds
    }

    /// Bytes of memory, about.
    pub(super) fn byte_len(&self) -> usize {
        // As if statistics were there: nobody counts again when they come.
        let field_bytes = size_of::<NarrowField>() + size_of::<ZoneMap>();
        let fields = self.fields.iter().map(|field| field_bytes + field.column.byte_len());
        let rollups = match self.order {
            TimeOrder::StrictlyIncreasing => LazyBuckets::bytes_max(self.row_count, self.bounds, self.fields.len()),
            TimeOrder::Mixed => 0,
        };
        size_of::<Self>() + self.times.byte_len() + fields.sum::<usize>() + rollups
    }

    /// The first `rows` rows, with all fields or those given.
    pub(crate) fn widen(&self, rows: usize, fields: Option<&[ColumnId]>) -> Arc<RowChunk> {
        let mut times = Vec::with_capacity(rows);
        self.times.append_to(0..rows, &mut times, |time| time);
        let wanted = self.fields.iter().filter(|field| fields.is_none_or(|fields| fields.contains(&field.id)));
        let columns = wanted.map(|field| (field.id, field.column.array(0..rows))).collect();
        let (order, bounds) = (self.order, self.bounds);
        Arc::new(RowChunk { times: times.into(), columns, order, bounds, zones: LazyZones::default() })
    }

    /// The time of a row.
    pub(crate) fn time(&self, row: usize) -> i64 {
        self.times.get(row)
    }

    /// How many of the first `rows` rows, which are in the order of time, satisfy a condition that no later one does.
    pub(crate) fn partition_times(&self, rows: usize, is_before: impl Fn(i64) -> bool) -> usize {
        let (mut low, mut high) = (0, rows);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_before(self.times.get(middle)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The distance of two times that follow each other, when it is positive and the same everywhere.
    pub(crate) fn time_step(&self) -> Option<i64> {
        self.times.step().filter(|step| *step > 0 && self.order == TimeOrder::StrictlyIncreasing)
    }

    /// Writes the times of rows to the front of `out`.
    pub(crate) fn write_times(&self, rows: Range<usize>, out: &mut [i64]) {
        self.times.write_to(rows, out, |time| time);
    }

    /// A field, when any row has it.
    pub(crate) fn field(&self, id: ColumnId) -> Option<&NarrowField> {
        self.fields.iter().find(|field| field.id == id)
    }

    /// Statistics of a field over all rows; `None` when no row has it.
    pub(crate) fn zone(&self, id: ColumnId) -> Option<ZoneMap> {
        let field = self.field(id)?;
        Some(**field.zone.get_or_init(|| Box::new(field.column.zone(self.row_count))))
    }
}

/// Rollups; of a chunk whose times ascend.
impl NarrowChunk {
    /// The rows per base bucket; none when rollups do not pay.
    pub(crate) fn buckets(&self) -> &[ChunkBucket] {
        debug_assert_eq!(self.order, TimeOrder::StrictlyIncreasing);
        self.buckets.get(|| {
            let mut times = Vec::with_capacity(self.row_count);
            self.times.append_to(0..self.row_count, &mut times, |time| time);
            times
        })
    }

    /// Whether every bucket knows the statistics of a field and has a value in every row or in none.
    pub(crate) fn has_states(&self, field: &FieldColumn, mut statistics: impl Iterator<Item = FieldStatistic>) -> bool {
        let Some(found) = self.field(field.id) else { return true };
        !found.column.has_nulls()
            && found.column.field_type() == field.field_type
            && statistics.all(|statistic| found.states.serve(&found.column, self.buckets(), statistic))
    }

    /// Passes a statistic of some buckets to `push`, by its bits; of a field that has it.
    pub(crate) fn for_each_state(
        &self,
        field: &NarrowField,
        buckets: Range<usize>,
        statistic: FieldStatistic,
        push: impl FnMut(u64),
    ) {
        field.states.for_each(&field.column, self.buckets(), buckets, statistic, push);
    }
}

/// See [`NarrowColumn`].
impl NarrowField {
    pub(crate) fn write_integers(&self, rows: Range<usize>, out: &mut [i64]) {
        self.column.write_integers(rows, out);
    }

    pub(crate) fn write_floats(&self, rows: Range<usize>, out: &mut [f64]) {
        self.column.write_floats(rows, out);
    }

    pub(crate) fn validity(&self, rows: Range<usize>) -> Validity {
        self.column.validity(rows)
    }

    pub(crate) fn sum_parts(&self, offset: usize, cuts: &[usize], sums: &mut [i128]) -> Option<()> {
        self.column.sum_parts(offset, cuts, sums)
    }

    pub(crate) fn integer(&self, row: usize) -> Option<i64> {
        self.column.integer(row)
    }

    pub(crate) fn float(&self, row: usize) -> Option<f64> {
        self.column.float(row)
    }

    pub(crate) fn array(&self, rows: Range<usize>) -> ArrayRef {
        self.column.array(rows)
    }
}
