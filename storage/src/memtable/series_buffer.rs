//! The rows of one series that are not flushed yet.
//!
//! Rows are appended in commit order. Full chunks of [`CHUNK_ROWS`] rows are sealed: readers share them without a copy.
//! The chunk that still grows is sealed by a reader who may see all of it, unless it is short, and copied otherwise, up to
//! the rows that the snapshot of the reader may see. One lock per series; a writer holds it for one append, a reader for
//! one copy.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_buffer::ScalarBuffer;
use parking_lot::Mutex;

use super::chunk::{RowChunk, TimeOrder};
use super::column_buffer::{ColumnBuffer, TypedArray, reserve};
use crate::types::{ColumnId, CommitSeq, TimeRange};

/// Rows of a chunk when it is sealed: one vector, so that a reader's block is one chunk.
pub(crate) const CHUNK_ROWS: usize = 1024;

/// A reader seals a growing chunk of this many rows. Shorter ones are copied, which takes less time than the many chunks
/// cost that frequent readers would leave behind.
const SEALED_ROWS_MIN: usize = CHUNK_ROWS / 4;

/// A chunk of this size is sealed before it has all its rows: offsets of strings have 31 bits.
const CHUNK_BYTES_MAX: usize = 64 << 20;

/// The fields of a batch, typed once for all its series.
pub(crate) type BatchColumns<'a> = [(ColumnId, TypedArray<'a>)];

#[derive(Debug, Default)]
pub(crate) struct SeriesBuffer {
    state: Mutex<SeriesState>,
}

#[derive(Debug)]
struct SeriesState {
    sealed: Vec<SealedChunk>,
    active: ActiveChunk,
    bounds: TimeRange,
    rows: usize,
}

impl Default for SeriesState {
    fn default() -> Self {
        let bounds = TimeRange { start_ns: i64::MAX, end_ns: i64::MIN };
        Self { sealed: Vec::new(), active: ActiveChunk::default(), bounds, rows: 0 }
    }
}

#[derive(Debug)]
struct SealedChunk {
    chunk: Arc<RowChunk>,
    marks: Vec<CommitMark>,
}

/// The rows before `row_end` and after the mark before it belong to commit `seq`.
#[derive(Debug, Clone, Copy)]
struct CommitMark {
    row_end: u32,
    seq: CommitSeq,
}

#[derive(Debug)]
struct ActiveChunk {
    times: Vec<i64>,
    columns: Vec<(ColumnId, ColumnBuffer)>,
    marks: Vec<CommitMark>,
    order: TimeOrder,
    bounds: TimeRange,
    bytes: usize,
}

impl Default for ActiveChunk {
    fn default() -> Self {
        Self {
            times: Vec::new(),
            columns: Vec::new(),
            marks: Vec::new(),
            order: TimeOrder::StrictlyIncreasing,
            bounds: TimeRange { start_ns: i64::MAX, end_ns: i64::MIN },
            bytes: 0,
        }
    }
}

impl SeriesBuffer {
    /// Appends the rows `rows` of a batch under commit `seq`; returns the bytes of memory that they take.
    pub(crate) fn append(
        &self,
        times: &[i64],
        fields: &BatchColumns<'_>,
        rows: std::ops::Range<usize>,
        seq: CommitSeq,
    ) -> usize {
        let mut state = self.state.lock();
        let mut bytes = 0;
        let mut start = rows.start;
        while start < rows.end {
            let room = CHUNK_ROWS - state.active.times.len();
            let end = rows.end.min(start + room);
            let appended = state.active.append(times, fields, start..end, seq);
            bytes += appended;
            state.rows += end - start;
            start = end;
            state.active.bytes += appended;
            if state.active.times.len() == CHUNK_ROWS || state.active.bytes >= CHUNK_BYTES_MAX {
                state.seal();
            }
        }
        bytes
    }

    /// First and last time of all rows, seen by a snapshot or not; `None` when there are no rows.
    pub(crate) fn time_bounds(&self) -> Option<TimeRange> {
        let state = self.state.lock();
        let bounds = merge_bounds(state.bounds, state.active.bounds);
        (!bounds.is_empty()).then_some(bounds)
    }

    /// Number of rows, seen by a snapshot or not.
    pub(crate) fn row_count(&self) -> usize {
        self.state.lock().rows
    }

    /// The rows up to commit `visible`, with those of `fields` that exist, as chunks in commit order.
    pub(crate) fn chunks(&self, visible: CommitSeq, fields: &[ColumnId]) -> Vec<Arc<RowChunk>> {
        self.collect(visible, Some(fields), SEALED_ROWS_MIN)
    }

    /// The rows up to commit `visible` with all their fields, for a flush: no row comes behind them.
    pub(crate) fn all_chunks(&self, visible: CommitSeq) -> Vec<Arc<RowChunk>> {
        self.collect(visible, None, 1)
    }

    fn collect(&self, visible: CommitSeq, fields: Option<&[ColumnId]>, sealed_rows_min: usize) -> Vec<Arc<RowChunk>> {
        let mut state = self.state.lock();
        let active = &state.active;
        if active.times.len() >= sealed_rows_min && visible_rows(&active.marks, visible) == active.times.len() {
            state.seal();
        }
        let mut chunks = Vec::with_capacity(state.sealed.len() + 1);
        for sealed in &state.sealed {
            let rows = visible_rows(&sealed.marks, visible);
            if rows == sealed.chunk.times.len() {
                chunks.push(Arc::clone(&sealed.chunk));
            } else {
                if rows > 0 {
                    chunks.push(Arc::new(slice_chunk(&sealed.chunk, rows)));
                }
                // Commits are appended in order: nothing later is visible.
                return chunks;
            }
        }
        let rows = visible_rows(&state.active.marks, visible);
        if rows > 0 {
            chunks.push(Arc::new(state.active.copy_prefix(rows, fields)));
        }
        chunks
    }
}

impl SeriesState {
    /// Makes the growing chunk one that is shared, and begins the next.
    fn seal(&mut self) {
        let full = std::mem::take(&mut self.active);
        self.bounds = merge_bounds(self.bounds, full.bounds);
        self.sealed.push(full.seal());
    }
}

impl ActiveChunk {
    fn append(
        &mut self,
        times: &[i64],
        fields: &BatchColumns<'_>,
        rows: std::ops::Range<usize>,
        seq: CommitSeq,
    ) -> usize {
        let before = self.times.len();
        let mut last = self.times.last().copied();
        for &time in &times[rows.clone()] {
            if last.is_some_and(|last| last >= time) {
                self.order = TimeOrder::Mixed;
            }
            last = Some(time);
            self.bounds.start_ns = self.bounds.start_ns.min(time);
            self.bounds.end_ns = self.bounds.end_ns.max(time);
        }
        reserve(&mut self.times, rows.len());
        self.times.extend_from_slice(&times[rows.clone()]);
        let mut bytes = 8 * rows.len();
        for (position, (id, array)) in fields.iter().enumerate() {
            // Batches of a table mostly carry the same fields in the same order.
            let found = match self.columns.get(position) {
                Some((column, _)) if column == id => Some(position),
                _ => self.columns.iter().position(|(column, _)| column == id),
            };
            let index = found.unwrap_or_else(|| {
                let mut column = ColumnBuffer::new(array.field_type());
                bytes += column.append_nulls(before) + size_of::<(ColumnId, ColumnBuffer)>();
                self.columns.push((*id, column));
                self.columns.len() - 1
            });
            bytes += self.columns[index].1.append(*array, rows.clone());
        }
        if self.columns.len() > fields.len() {
            let after = self.times.len();
            for (_, column) in &mut self.columns {
                let missing = after - column.len();
                bytes += column.append_nulls(missing);
            }
        }
        let row_end = self.times.len() as u32;
        match self.marks.last_mut() {
            Some(mark) if mark.seq == seq => mark.row_end = row_end,
            _ => {
                bytes += size_of::<CommitMark>();
                self.marks.push(CommitMark { row_end, seq });
            }
        }
        bytes
    }

    fn seal(self) -> SealedChunk {
        let chunk = RowChunk {
            times: self.times.into(),
            columns: self.columns.into_iter().map(|(id, column)| (id, column.finish())).collect(),
            order: self.order,
            bounds: self.bounds,
        };
        SealedChunk { chunk: Arc::new(chunk), marks: self.marks }
    }

    fn copy_prefix(&self, rows: usize, fields: Option<&[ColumnId]>) -> RowChunk {
        let wanted = |id: &ColumnId| fields.is_none_or(|fields| fields.contains(id));
        RowChunk {
            times: ScalarBuffer::from(self.times[..rows].to_vec()),
            columns: self
                .columns
                .iter()
                .filter(|(id, _)| wanted(id))
                .map(|(id, column)| (*id, column.copy_prefix(rows)))
                .collect::<Vec<(ColumnId, ArrayRef)>>(),
            order: self.order,
            bounds: self.bounds,
        }
    }
}

fn slice_chunk(chunk: &RowChunk, rows: usize) -> RowChunk {
    RowChunk {
        times: chunk.times.slice(0, rows),
        columns: chunk.columns.iter().map(|(id, array)| (*id, array.slice(0, rows))).collect(),
        order: chunk.order,
        bounds: chunk.bounds,
    }
}

fn visible_rows(marks: &[CommitMark], visible: CommitSeq) -> usize {
    match marks.last() {
        None => 0,
        Some(last) if last.seq <= visible => last.row_end as usize,
        Some(_) => {
            let seen = marks.partition_point(|mark| mark.seq <= visible);
            seen.checked_sub(1).map_or(0, |index| marks[index].row_end as usize)
        }
    }
}

fn merge_bounds(a: TimeRange, b: TimeRange) -> TimeRange {
    TimeRange { start_ns: a.start_ns.min(b.start_ns), end_ns: a.end_ns.max(b.end_ns) }
}

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;

    use super::*;

    fn append(buffer: &SeriesBuffer, times: std::ops::Range<i64>, seq: u64) {
        let times: Vec<i64> = times.collect();
        let values: ArrayRef = Arc::new(Int64Array::from(times.clone()));
        let fields = [(ColumnId(1), TypedArray::new(&values).unwrap())];
        buffer.append(&times, &fields, 0..times.len(), CommitSeq(seq));
    }

    fn times(buffer: &SeriesBuffer, visible: u64) -> Vec<i64> {
        buffer.all_chunks(CommitSeq(visible)).iter().flat_map(|chunk| chunk.times.to_vec()).collect()
    }

    #[test]
    fn snapshot_sees_whole_commits_up_to_its_sequence_number() {
        let buffer = SeriesBuffer::default();
        append(&buffer, 0..1000, 1);
        append(&buffer, 1000..1500, 2);
        append(&buffer, 1500..4000, 3);
        assert_eq!(times(&buffer, 0), Vec::<i64>::new());
        assert_eq!(times(&buffer, 1), (0..1000).collect::<Vec<_>>());
        assert_eq!(times(&buffer, 2), (0..1500).collect::<Vec<_>>());
        assert_eq!(times(&buffer, 9), (0..4000).collect::<Vec<_>>());
        assert_eq!(buffer.row_count(), 4000);
        assert_eq!(buffer.time_bounds(), Some(TimeRange { start_ns: 0, end_ns: 3999 }));
    }

    #[test]
    fn a_reader_shares_the_rows_that_it_may_see_all_of() {
        let buffer = SeriesBuffer::default();
        let read = |visible| buffer.chunks(CommitSeq(visible), &[ColumnId(1)]);
        append(&buffer, 0..SEALED_ROWS_MIN as i64 - 1, 1);
        assert!(!Arc::ptr_eq(&read(1)[0], &read(1)[0]), "a short chunk is copied");
        append(&buffer, SEALED_ROWS_MIN as i64..2000, 2);
        assert_eq!(read(1).iter().map(|chunk| chunk.times.len()).sum::<usize>(), SEALED_ROWS_MIN - 1);
        let (before, again) = (read(2), read(2));
        assert!(before.iter().zip(&again).all(|(before, again)| Arc::ptr_eq(before, again)));
        append(&buffer, 2000..2001, 3);
        assert_eq!(times(&buffer, 2).len(), 1999);
        assert_eq!(times(&buffer, 3).last(), Some(&2000));
    }

    #[test]
    fn a_field_that_comes_later_is_null_before() {
        let buffer = SeriesBuffer::default();
        append(&buffer, 0..2, 1);
        let values: ArrayRef = Arc::new(Int64Array::from(vec![7]));
        buffer.append(&[2], &[(ColumnId(2), TypedArray::new(&values).unwrap())], 0..1, CommitSeq(2));
        let chunks = buffer.all_chunks(CommitSeq(2));
        let column = |id| chunks[0].column(ColumnId(id)).unwrap().clone();
        use arrow_array::Array;
        assert_eq!(column(1).null_count(), 1);
        assert_eq!(column(2).null_count(), 2);
        assert_eq!(column(2).len(), 3);
    }

    #[test]
    fn out_of_order_rows_are_marked() {
        let buffer = SeriesBuffer::default();
        let order = |visible| buffer.chunks(CommitSeq(visible), &[])[0].order;
        append(&buffer, 5..7, 1);
        assert_eq!(order(1), TimeOrder::StrictlyIncreasing);
        append(&buffer, 6..8, 2);
        assert_eq!(order(2), TimeOrder::Mixed);
    }
}
