//! Rows of short batches that wait to be put together by series.
//!
//! A request of samples has a row of each of thousands of series in a hundred tables. To put each row to its series at once
//! touches several lines of memory that no cache holds, and notes a commit for every row. Here a batch is appended to the
//! end of a few columns of its table; once there are enough rows, they are sorted by series, and become one batch that
//! stays whole, in which each series has several rows side by side.
//!
//! Not synchronised: the table that owns the rows holds a lock. Only numbers without NULLs wait, all rows with the same
//! fields; whatever else comes goes behind them, to the series.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, UInt64Array};
use arrow_buffer::{Buffer, ScalarBuffer};

use super::active_chunk::{BatchColumns, CommitMark};
use super::column_buffer::TypedArray;
use crate::types::{ColumnId, CommitSeq, FieldType, SeriesBatch};

/// Rows of a table that wait at most. Sorting that many stays within the first caches of a processor. Tests of the engine
/// write few rows.
pub(super) const WAITING_ROWS_MAX: usize = if cfg!(test) { 8 } else { 2048 };

/// Rows that are reserved first.
const ROWS_RESERVED: usize = 64;

/// Rows in commit order.
#[derive(Debug, Default)]
pub(super) struct WaitingRows {
    /// Numbers of the series.
    series: Vec<u32>,
    times: Vec<i64>,
    fields: Vec<WaitingField>,
    marks: Vec<CommitMark>,
}

/// The values of a field as they lie in memory.
#[derive(Debug)]
struct WaitingField {
    id: ColumnId,
    field_type: FieldType,
    bits: Vec<u64>,
}

/// Why rows are put to their series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occasion {
    /// There are enough of them. Their memory stays for as many again: to grow to that size costs more than the rows.
    Full,
    /// Somebody reads them, or rows come that cannot wait.
    Need,
    /// No row comes behind them.
    Flush,
}

/// Rows that no longer wait.
#[derive(Debug)]
pub(super) struct GatheredRows {
    /// Numbers of the series.
    pub(super) series: Vec<u32>,
    /// The commits that the rows came with.
    pub(super) seqs: Vec<i64>,
    pub(super) times: ScalarBuffer<i64>,
    pub(super) fields: Vec<(ColumnId, ArrayRef)>,
}

/// The bits of numbers without NULLs; `None` of anything else.
fn bits_of(array: TypedArray<'_>) -> Option<&[u64]> {
    use arrow_array::Array;
    let (buffer, nulls) = match array {
        TypedArray::F64(array) => (array.values().inner(), array.nulls()),
        TypedArray::I64(array) => (array.values().inner(), array.nulls()),
        TypedArray::U64(array) => (array.values().inner(), array.nulls()),
        TypedArray::Bool(_) | TypedArray::String(_) | TypedArray::Binary(_) => return None,
    };
    let has_nulls = nulls.is_some_and(|nulls| nulls.null_count() > 0);
    (!has_nulls).then(|| buffer.typed_data())
}

/// Whether rows with these fields may wait.
pub(super) fn may_wait(fields: &BatchColumns<'_>) -> bool {
    fields.iter().all(|(_, array)| bits_of(*array).is_some())
}

impl WaitingRows {
    pub(super) fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether rows with these fields, which may wait, fit to those that do.
    pub(super) fn has_fields(&self, fields: &BatchColumns<'_>) -> bool {
        self.is_empty() || self.is_of(fields)
    }

    fn is_of(&self, fields: &BatchColumns<'_>) -> bool {
        let is_same = |(own, (id, array)): (&WaitingField, &(ColumnId, TypedArray<'_>))| {
            own.id == *id && own.field_type == array.field_type()
        };
        self.fields.len() == fields.len() && self.fields.iter().zip(fields).all(is_same)
    }

    /// Appends the rows of a batch whose series have the numbers `series`.
    pub(super) fn push(&mut self, batch: &SeriesBatch, series: &[u32], fields: &BatchColumns<'_>, seq: CommitSeq) {
        if self.is_empty() && !self.is_of(fields) {
            *self = Self::default();
            self.fields = fields
                .iter()
                .map(|(id, array)| WaitingField { id: *id, field_type: array.field_type(), bits: Vec::new() })
                .collect();
        }
        let row_count = batch.row_count();
        self.reserve(row_count);
        if series.len() == row_count {
            self.series.extend_from_slice(series);
        } else {
            for (group, number) in batch.series.iter().zip(series) {
                self.series.resize(self.series.len() + group.rows.len(), *number);
            }
        }
        self.times.extend_from_slice(&batch.times);
        for (own, (_, array)) in self.fields.iter_mut().zip(fields) {
            own.bits.extend_from_slice(bits_of(*array).unwrap_or_default());
        }
        self.marks.push(CommitMark { row_end: self.times.len() as u32, seq });
    }

    fn reserve(&mut self, additional: usize) {
        let len = self.times.len();
        if self.times.capacity() - len < additional {
            // What comes when there are nearly enough rows has its place, and no more.
            let doubled =
                (2 * self.times.capacity()).clamp(ROWS_RESERVED, WAITING_ROWS_MAX.max(ROWS_RESERVED) + additional);
            let capacity = doubled.max(len + additional);
            self.series.reserve_exact(capacity - len);
            self.times.reserve_exact(capacity - len);
            self.fields.iter_mut().for_each(|field| field.bits.reserve_exact(capacity - len));
        }
    }

    /// Bytes of memory.
    pub(super) fn byte_len(&self) -> usize {
        let row_bytes = size_of::<u32>() + size_of::<i64>() + size_of::<u64>() * self.fields.len();
        row_bytes * self.times.capacity() + size_of::<CommitMark>() * self.marks.capacity()
    }

    /// Takes all rows in commit order.
    pub(super) fn take(&mut self) -> GatheredRows {
        let rows = std::mem::take(self);
        let mut seqs = Vec::with_capacity(rows.times.len());
        rows.marks.iter().for_each(|mark| seqs.resize(mark.row_end as usize, mark.seq.0.cast_signed()));
        let fields = rows.fields.into_iter().map(|field| (field.id, array_of(field.field_type, field.bits)));
        GatheredRows { series: rows.series, seqs, times: rows.times.into(), fields: fields.collect() }
    }

    /// Takes all rows by series, those of a series in commit order; the table has so many series.
    pub(super) fn take_by_series(&mut self, series_count: usize, occasion: Occasion) -> GatheredRows {
        let order = by_series(&self.series, series_count);
        let row = |place: &u32| *place as usize;
        let mut seq_of_row = Vec::with_capacity(order.len());
        self.marks.iter().for_each(|mark| seq_of_row.resize(mark.row_end as usize, mark.seq.0.cast_signed()));
        let gather = |bits: &[u64]| order.iter().map(|place| bits[row(place)]).collect();
        let fields = self.fields.iter().map(|field| (field.id, array_of(field.field_type, gather(&field.bits))));
        let gathered = GatheredRows {
            series: order.iter().map(|place| self.series[row(place)]).collect(),
            seqs: order.iter().map(|place| seq_of_row[row(place)]).collect(),
            times: order.iter().map(|place| self.times[row(place)]).collect(),
            fields: fields.collect(),
        };
        if occasion == Occasion::Full {
            self.series.clear();
            self.times.clear();
            self.marks.clear();
            self.fields.iter_mut().for_each(|field| field.bits.clear());
        } else {
            *self = Self::default();
        }
        gathered
    }
}

/// The rows with these series in the order of their series, those of a series in their own order.
fn by_series(series: &[u32], series_count: usize) -> Vec<u32> {
    // A count per series costs less than to compare, unless there are far more series than rows.
    if series_count > 4 * series.len() {
        let mut order: Vec<u64> = (0_u64..).zip(series).map(|(row, series)| u64::from(*series) << 32 | row).collect();
        order.sort_unstable();
        return order.into_iter().map(|place| place as u32).collect();
    }
    let mut next = vec![0_u32; series_count + 1];
    series.iter().for_each(|one| next[*one as usize + 1] += 1);
    let mut end = 0;
    for place in &mut next {
        end += *place;
        *place = end;
    }
    let mut order = vec![0; series.len()];
    for (row, one) in (0..).zip(series) {
        let place = &mut next[*one as usize];
        order[*place as usize] = row;
        *place += 1;
    }
    order
}

fn array_of(field_type: FieldType, bits: Vec<u64>) -> ArrayRef {
    let buffer = Buffer::from_vec(bits);
    match field_type {
        FieldType::F64 => Arc::new(Float64Array::new(buffer.into(), None)),
        FieldType::I64 => Arc::new(Int64Array::new(buffer.into(), None)),
        // Other types do not wait.
        _ => Arc::new(UInt64Array::new(buffer.into(), None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_put_by_series_in_their_own_order_however_many_series_there_are() {
        let series = [3, 0, 3, 7, 0, 3];
        for series_count in [8, 4 * series.len(), 4 * series.len() + 1, 1000] {
            assert_eq!(by_series(&series, series_count), [1, 4, 0, 2, 5, 3]);
        }
        assert_eq!(by_series(&[], 0), [0; 0]);
    }
}
