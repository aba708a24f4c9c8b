//! An immutable run of rows of one series in memory, in the order in which they were committed.

use arrow_array::ArrayRef;
use arrow_buffer::ScalarBuffer;

use crate::types::{ColumnId, TimeRange};

/// How the times of a chunk are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeOrder {
    /// Each time is later than the one before: no duplicates.
    StrictlyIncreasing,
    /// Anything else; the reader sorts and resolves duplicates.
    Mixed,
}

/// Rows of one series; columns are as long as `times`.
#[derive(Debug, Clone)]
pub(crate) struct RowChunk {
    pub(crate) times: ScalarBuffer<i64>,
    pub(crate) columns: Vec<(ColumnId, ArrayRef)>,
    pub(crate) order: TimeOrder,
    /// First and last time; of the rows in the chunk, or of more rows than it shows.
    pub(crate) bounds: TimeRange,
}

impl RowChunk {
    /// The column of a field, when any row of the chunk's origin had it.
    pub(crate) fn column(&self, id: ColumnId) -> Option<&ArrayRef> {
        self.columns.iter().find(|(column, _)| *column == id).map(|(_, array)| array)
    }
}
