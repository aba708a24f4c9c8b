//! A chunk of rows whose numbers take as few bytes as they need: what readers keep of the rows of batches.
//!
//! Invariant: widened, it is the chunk that it was made of. It does not change.

use std::sync::Arc;

use super::chunk::{RowChunk, TimeOrder};
use super::column_buffer::{ColumnBuffer, TypedArray};
use super::narrow::NarrowIntegers;
use super::narrow_column::NarrowColumn;
use crate::types::{ColumnId, TimeRange};

/// Rows of one series.
#[derive(Debug)]
pub(super) struct NarrowChunk {
    row_count: usize,
    times: NarrowIntegers,
    columns: Vec<(ColumnId, NarrowColumn)>,
    order: TimeOrder,
    bounds: TimeRange,
}

impl NarrowChunk {
    pub(super) fn new(chunk: &RowChunk) -> Self {
        let narrow = |(id, array): &(ColumnId, _)| Some((*id, NarrowColumn::new(TypedArray::new(array)?)));
        Self {
            row_count: chunk.times.len(),
            times: NarrowIntegers::of_times(&chunk.times),
            columns: chunk.columns.iter().filter_map(narrow).collect(),
            order: chunk.order,
            bounds: chunk.bounds,
        }
    }

    pub(super) fn row_count(&self) -> usize {
        self.row_count
    }

    /// Bytes of memory, about.
    pub(super) fn byte_len(&self) -> usize {
        let columns = self.columns.iter().map(|(_, column)| size_of::<(ColumnId, NarrowColumn)>() + column.byte_len());
        size_of::<Self>() + self.times.byte_len() + columns.sum::<usize>()
    }

    /// The first `rows` rows, with all fields or those given.
    pub(super) fn widen(&self, rows: usize, fields: Option<&[ColumnId]>) -> Arc<RowChunk> {
        let mut times = Vec::with_capacity(rows);
        self.times.append_to(0..rows, &mut times, |time| time);
        let wanted = self.columns.iter().filter(|(id, _)| fields.is_none_or(|fields| fields.contains(id)));
        let columns = wanted.map(|(id, narrow)| {
            let mut column = ColumnBuffer::new(narrow.field_type());
            column.reserve(rows);
            narrow.append_to(0..rows, &mut column);
            (*id, column.finish())
        });
        Arc::new(RowChunk { times: times.into(), columns: columns.collect(), order: self.order, bounds: self.bounds })
    }
}
