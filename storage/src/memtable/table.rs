//! The memtable: a skip list of series ordered by (table, series key), so that a flush is one ordered walk.
//!
//! Readers walk the skip list without a lock. Applying a commit is serialised by the engine's apply lock, which makes
//! the order of rows in every series the order of commits; the lookup cache lives under that lock too.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_skiplist::SkipMap;
use hashbrown::HashMap;
use parking_lot::Mutex;

use super::column_buffer::TypedArray;
use super::series_buffer::SeriesBuffer;
use crate::types::{ColumnId, CommitSeq, SeriesBatch, SeriesKey, TableId};

/// Memory of a series beside its rows: skip-list node, buffers, cache entry. An estimate from the sizes of the types.
const SERIES_OVERHEAD_BYTES: usize = 512;

/// Key of a series in the skip list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemtableKey {
    pub(crate) table: TableId,
    pub(crate) series: SeriesKey,
}

/// Rows since the last flush.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    series: SkipMap<MemtableKey, Arc<SeriesBuffer>>,
    /// Finds a series by hash instead of by a walk down the skip list.
    lookup: Mutex<HashMap<MemtableKey, Arc<SeriesBuffer>>>,
    bytes: AtomicU64,
    rows: AtomicU64,
}

impl Memtable {
    /// Appends the rows of a batch under commit `seq`. The caller holds the apply lock.
    pub(crate) fn apply(&self, batch: &SeriesBatch, seq: CommitSeq) {
        let fields: Vec<(ColumnId, TypedArray<'_>)> =
            batch.fields.iter().filter_map(|(id, array)| Some((*id, TypedArray::new(array)?))).collect();
        let mut lookup = self.lookup.lock();
        let mut bytes = 0;
        for group in &batch.series {
            let key = MemtableKey { table: batch.table, series: group.key.clone() };
            let buffer = match lookup.get(&key) {
                Some(buffer) => Arc::clone(buffer),
                None => {
                    bytes += SERIES_OVERHEAD_BYTES + 2 * group.key.as_bytes().len();
                    let buffer = Arc::new(SeriesBuffer::default());
                    self.series.insert(key.clone(), Arc::clone(&buffer));
                    lookup.insert(key, Arc::clone(&buffer));
                    buffer
                }
            };
            let rows = group.rows.start as usize..group.rows.end as usize;
            bytes += buffer.append(&batch.times, &fields, rows, seq);
        }
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.rows.fetch_add(batch.row_count() as u64, Ordering::Relaxed);
    }

    /// Bytes of memory in use, estimated.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Rows, before duplicates are resolved.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// The series of a table whose key starts with `prefix`, in key order.
    pub(crate) fn series_with_prefix<'a>(
        &'a self,
        table: TableId,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = (SeriesKey, Arc<SeriesBuffer>)> + 'a {
        let start = MemtableKey { table, series: SeriesKey::from_encoded(prefix) };
        self.series
            .range((Bound::Included(start), Bound::Unbounded))
            .take_while(move |entry| entry.key().table == table && entry.key().series.as_bytes().starts_with(prefix))
            .map(|entry| (entry.key().series.clone(), Arc::clone(entry.value())))
    }

    /// Every series, ordered by table and key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MemtableKey, Arc<SeriesBuffer>)> + '_ {
        self.series.iter().map(|entry| (entry.key().clone(), Arc::clone(entry.value())))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{ArrayRef, Int64Array};

    use super::*;
    use crate::types::SeriesRows;

    fn key(host: &str) -> SeriesKey {
        SeriesKey::from_tags([Some(host.as_bytes())])
    }

    fn batch(table: u64, hosts: &[&str]) -> SeriesBatch {
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(0..hosts.len() as i64));
        SeriesBatch {
            table: TableId(table),
            series: hosts
                .iter()
                .enumerate()
                .map(|(row, host)| SeriesRows { key: key(host), rows: row as u32..row as u32 + 1 })
                .collect(),
            times: (0..hosts.len() as i64).collect::<Vec<_>>().into(),
            fields: vec![(ColumnId(1), values)],
        }
    }

    #[test]
    fn walk_is_ordered_by_table_and_series() {
        let memtable = Memtable::default();
        memtable.apply(&batch(2, &["b", "a"]), CommitSeq(1));
        memtable.apply(&batch(1, &["z"]), CommitSeq(2));
        memtable.apply(&batch(2, &["c", "a"]), CommitSeq(3));
        let keys: Vec<_> = memtable.iter().map(|(key, buffer)| (key.table.0, key.series, buffer.row_count())).collect();
        assert_eq!(keys, [(1, key("z"), 1), (2, key("a"), 2), (2, key("b"), 1), (2, key("c"), 1)]);
        assert_eq!(memtable.rows(), 5);
        assert!(memtable.bytes() > 0);
    }

    #[test]
    fn prefix_stays_within_the_table() {
        let memtable = Memtable::default();
        memtable.apply(&batch(1, &["a", "ab", "b"]), CommitSeq(1));
        memtable.apply(&batch(2, &["a"]), CommitSeq(2));
        let found: Vec<_> = memtable.series_with_prefix(TableId(1), &[1, b'a']).map(|(key, _)| key).collect();
        assert_eq!(found, [key("a"), key("ab")]);
        assert_eq!(memtable.series_with_prefix(TableId(1), &[]).count(), 3);
    }
}
