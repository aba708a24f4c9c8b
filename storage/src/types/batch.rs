//! Rows of one table grouped by series: the form in which a batch is logged, replayed and applied.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::ScalarBuffer;

use super::{ColumnId, SeriesKey, TableId};

/// The rows of one series within a [`SeriesBatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesRows {
    /// The series.
    pub key: SeriesKey,
    /// Its rows.
    pub rows: Range<u32>,
}

/// Rows of one table, grouped by series; within a series in the order in which they were given.
///
/// `series` covers `0..times.len()` without gaps or overlaps, and no key stands twice. A field column that is absent
/// from `fields`, or NULL in a row, says nothing about that field.
#[derive(Debug, Clone)]
pub struct SeriesBatch {
    /// The table.
    pub table: TableId,
    /// The groups, in row order.
    pub series: Vec<SeriesRows>,
    /// Time of every row.
    pub times: ScalarBuffer<i64>,
    /// Field columns, each as long as `times`, typed as `FieldType::arrow_type` says.
    pub fields: Vec<(ColumnId, ArrayRef)>,
}

impl SeriesBatch {
    /// Number of rows.
    pub fn row_count(&self) -> usize {
        self.times.len()
    }
}
