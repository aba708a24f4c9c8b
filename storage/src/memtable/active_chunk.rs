//! The chunk of a series that still grows, and which of its rows came with which commit.
//!
//! Not synchronised: the series buffer that owns it holds a lock. Columns are as long as the times between two calls.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::ScalarBuffer;

use super::chunk::{LazyZones, RowChunk, TimeOrder};
use super::column_buffer::{ColumnBuffer, TypedArray, reserve};
use super::shared_batch::BatchPart;
use crate::types::{ColumnId, CommitSeq, FieldType, TimeRange};

/// Rows of a chunk when it is sealed: one vector, so that a reader's block is one chunk.
pub(crate) const CHUNK_ROWS: usize = 1024;

/// The fields of a batch, typed once for all its series.
pub(crate) type BatchColumns<'a> = [(ColumnId, TypedArray<'a>)];

/// The rows before `row_end` and after the mark before it belong to commit `seq`.
#[derive(Debug, Clone, Copy)]
pub(super) struct CommitMark {
    pub(super) row_end: u32,
    pub(super) seq: CommitSeq,
}

/// Rows that more are appended to.
#[derive(Debug)]
pub(super) struct ActiveChunk {
    pub(super) times: Vec<i64>,
    columns: Vec<(ColumnId, ColumnBuffer)>,
    pub(super) marks: Vec<CommitMark>,
    /// The commit of the last mark. The end of a list is memory that no cache holds when a batch has a row of each of
    /// thousands of series: what an append asks for stands here, and it only writes there.
    last_seq: Option<CommitSeq>,
    order: TimeOrder,
    pub(super) bounds: TimeRange,
    pub(super) bytes: usize,
    /// Of these bytes, those that were copied from batches.
    pub(super) copied_bytes: usize,
}

impl Default for ActiveChunk {
    fn default() -> Self {
        Self {
            times: Vec::new(),
            columns: Vec::new(),
            marks: Vec::new(),
            last_seq: None,
            order: TimeOrder::StrictlyIncreasing,
            bounds: TimeRange { start_ns: i64::MAX, end_ns: i64::MIN },
            bytes: 0,
            copied_bytes: 0,
        }
    }
}

impl ActiveChunk {
    /// Rows that it takes before it is full.
    pub(super) fn room(&self) -> usize {
        CHUNK_ROWS - self.times.len()
    }

    /// Appends the rows `rows` of a batch under commit `seq`; returns the bytes of memory that they take.
    pub(super) fn append(
        &mut self,
        times: &[i64],
        fields: &BatchColumns<'_>,
        rows: Range<usize>,
        seq: CommitSeq,
    ) -> usize {
        let before = self.times.len();
        reserve(&mut self.times, rows.len());
        self.times.extend_from_slice(&times[rows.clone()]);
        self.look_at_times(before);
        let mut bytes = 8 * rows.len();
        for (position, (id, array)) in fields.iter().enumerate() {
            // Batches of a table mostly carry the same fields in the same order.
            let found = match self.columns.get(position) {
                Some((column, _)) if column == id => Some(position),
                _ => self.columns.iter().position(|(column, _)| column == id),
            };
            let index = found.unwrap_or_else(|| {
                bytes += self.add_column(*id, array.field_type(), before);
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
        bytes += self.mark(self.times.len(), seq);
        self.bytes += bytes;
        bytes
    }

    /// Appends the rows of parts of batches, in the order of their commits, column by column: all fields or those given.
    /// Returns the bytes of memory that they take. Which commits they came with is for [`ActiveChunk::mark_parts`].
    pub(super) fn append_parts(&mut self, parts: &[BatchPart], fields: Option<&[ColumnId]>) -> usize {
        let before = self.times.len();
        let row_count = parts.iter().map(BatchPart::len).sum();
        let mut bytes = 8 * row_count;
        reserve(&mut self.times, row_count);
        let mut known: &[ColumnId] = &[];
        for part in parts {
            part.append_times(&mut self.times);
            let ids = part.batch.ids();
            if known != ids {
                known = ids;
                for (position, id) in ids.iter().enumerate() {
                    if fields.is_none_or(|fields| fields.contains(id))
                        && self.columns.iter().all(|(column, _)| column != id)
                        && let Some(column) = part.batch.column(*id, position)
                    {
                        bytes += self.add_column(*id, column.field_type(), before);
                    }
                }
            }
        }
        self.look_at_times(before);
        for (position, (id, column)) in self.columns.iter_mut().enumerate() {
            column.reserve(row_count);
            for part in parts {
                bytes += match part.batch.column(*id, position) {
                    Some(shared) => shared.append_to(part.rows(), column),
                    None => column.append_nulls(part.len()),
                };
            }
        }
        self.bytes += bytes;
        self.copied_bytes += bytes;
        bytes
    }

    /// Notes the commits of the parts that were appended last; returns the bytes of memory that the notes take.
    pub(super) fn mark_parts(&mut self, parts: &[BatchPart]) -> usize {
        let mut start = self.times.len() - parts.iter().map(BatchPart::len).sum::<usize>();
        let mut bytes = 0;
        for part in parts {
            bytes += part.commits().map(|(rows, seq)| self.mark(start + rows, seq)).sum::<usize>();
            start += part.len();
        }
        self.bytes += bytes;
        self.copied_bytes += bytes;
        bytes
    }

    /// Appends all rows of a chunk; which commits they came with is not noted.
    pub(super) fn append_chunk(&mut self, chunk: &RowChunk) {
        let fields: Vec<_> =
            chunk.columns.iter().filter_map(|(id, array)| Some((*id, TypedArray::new(array)?))).collect();
        self.append(&chunk.times, &fields, 0..chunk.times.len(), CommitSeq::default());
    }

    /// Adds a column that is NULL in the first `len` rows; returns the bytes that it takes.
    fn add_column(&mut self, id: ColumnId, field_type: FieldType, len: usize) -> usize {
        let mut column = ColumnBuffer::new(field_type);
        let bytes = column.append_nulls(len) + size_of::<(ColumnId, ColumnBuffer)>() + LazyZones::COLUMN_BYTES;
        self.columns.push((id, column));
        bytes
    }

    /// Takes order and bounds of the times from `start` on.
    fn look_at_times(&mut self, start: usize) {
        let times = &self.times[start..];
        // As long as times increase, the last one is the greatest.
        let follows = start == 0 || times.first().is_none_or(|&first| self.bounds.end_ns < first);
        if !follows || !times.is_sorted_by(|before, after| before < after) {
            self.order = TimeOrder::Mixed;
        }
        for &time in times {
            self.bounds.start_ns = self.bounds.start_ns.min(time);
            self.bounds.end_ns = self.bounds.end_ns.max(time);
        }
    }

    /// Notes that the rows behind those of the commit before, up to `row_end`, belong to commit `seq`; returns the bytes
    /// that the note takes.
    fn mark(&mut self, row_end: usize, seq: CommitSeq) -> usize {
        let row_end = row_end as u32;
        if self.last_seq.replace(seq) == Some(seq)
            && let Some(mark) = self.marks.last_mut()
        {
            mark.row_end = row_end;
            return 0;
        }
        self.marks.push(CommitMark { row_end, seq });
        size_of::<CommitMark>()
    }

    /// The rows as a chunk that does not grow any more, with its marks.
    pub(super) fn finish(self) -> (RowChunk, Vec<CommitMark>) {
        let chunk = RowChunk {
            times: self.times.into(),
            columns: self.columns.into_iter().map(|(id, column)| (id, column.finish())).collect(),
            order: self.order,
            bounds: self.bounds,
            zones: LazyZones::default(),
        };
        (chunk, self.marks)
    }

    /// Copies the first `rows` rows with those of `fields` that exist.
    pub(super) fn copy_prefix(&self, rows: usize, fields: &[ColumnId]) -> RowChunk {
        RowChunk {
            times: ScalarBuffer::from(self.times[..rows].to_vec()),
            columns: self
                .columns
                .iter()
                .filter(|(id, _)| fields.contains(id))
                .map(|(id, column)| (*id, column.copy_prefix(rows)))
                .collect(),
            order: self.order,
            bounds: self.bounds,
            zones: LazyZones::default(),
        }
    }

    /// What a row has in a field, as an array of one value.
    pub(super) fn value(&self, row: usize, field: ColumnId) -> Option<ArrayRef> {
        self.columns.iter().find(|(id, _)| *id == field).map(|(_, column)| column.copy_row(row))
    }
}
