//! The series of one table in a memtable, sorted by key: what a query walks instead of the skip list.
//!
//! Made by the first query after a series came, and shared by those that follow until another one comes. It does not
//! change; it may have series whose first commit is not visible yet.

use std::sync::Arc;

use super::series_buffer::SeriesBuffer;
use crate::types::SeriesKey;

/// Series of one table with their rows.
#[derive(Debug, Default)]
pub(crate) struct MemoryDirectory {
    series: Vec<(SeriesKey, Arc<SeriesBuffer>)>,
    /// Series that the table had at least when the walk began.
    known_count: usize,
}

impl MemoryDirectory {
    /// Takes series in the order of their keys; `known_count` of them at least are there.
    pub(super) fn new(series: impl Iterator<Item = (SeriesKey, Arc<SeriesBuffer>)>, known_count: usize) -> Self {
        let mut sorted = Vec::with_capacity(known_count);
        sorted.extend(series);
        Self { series: sorted, known_count }
    }

    /// Whether it is that of a table which has `count` series.
    pub(super) fn is_of(&self, count: usize) -> bool {
        self.known_count == count
    }

    /// Bytes of memory beside the series themselves.
    pub(super) fn byte_len(&self) -> usize {
        self.series.capacity() * size_of::<(SeriesKey, Arc<SeriesBuffer>)>()
    }

    /// Bytes of all keys together.
    pub(crate) fn key_bytes(&self) -> usize {
        self.series.iter().map(|(key, _)| key.as_bytes().len()).sum()
    }

    /// Number of series.
    pub(crate) fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The key of a series.
    pub(crate) fn key(&self, series: usize) -> &SeriesKey {
        &self.series[series].0
    }

    /// The rows of a series.
    pub(crate) fn buffer(&self, series: usize) -> &Arc<SeriesBuffer> {
        &self.series[series].1
    }
}
