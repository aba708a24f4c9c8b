//! The memtable: a skip list of series ordered by (table, series key), so that a flush is one ordered walk.
//!
//! Readers walk the skip list without a lock. Applying a commit is serialised by the engine's apply lock, which makes
//! the order of rows in every series the order of commits. A writer finds the series of its batch before that, once, and
//! hands them over.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_skiplist::SkipMap;
use hashbrown::{Equivalent, HashMap};
use parking_lot::Mutex;

use super::column_buffer::TypedArray;
use super::directory::MemoryDirectory;
use super::series_buffer::SeriesBuffer;
use super::shared_batch::{Account, SharedBatch, is_worth_sharing};
use crate::types::{ColumnId, CommitSeq, SeriesBatch, SeriesKey, TableId};

/// Memory of a series beside its rows: skip-list node, buffers, cache entry. An estimate from the sizes of the types.
const SERIES_OVERHEAD_BYTES: usize = 512;

/// Key of a series in the skip list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemtableKey {
    pub(crate) table: TableId,
    pub(crate) series: SeriesKey,
}

/// A key that is borrowed, for searches by hash.
#[derive(Debug, Hash)]
struct KeyRef<'a> {
    table: TableId,
    series: &'a SeriesKey,
}

impl Equivalent<MemtableKey> for KeyRef<'_> {
    fn equivalent(&self, key: &MemtableKey) -> bool {
        self.table == key.table && *self.series == key.series
    }
}

/// The buffers of the series of a batch, `None` for those that the memtable does not have yet.
pub(crate) type FoundSeries = Vec<Option<Arc<SeriesBuffer>>>;

/// Finds a series by hash instead of by a walk down the skip list.
#[derive(Debug, Default)]
struct Lookup {
    series: HashMap<MemtableKey, Arc<SeriesBuffer>>,
    /// Number of series of each table.
    counts: HashMap<TableId, usize>,
}

/// Rows since the last flush.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    series: SkipMap<MemtableKey, Arc<SeriesBuffer>>,
    lookup: Mutex<Lookup>,
    /// Of the tables that were queried.
    directories: Mutex<HashMap<TableId, Arc<MemoryDirectory>>>,
    /// Shared with the batches that stay whole, whose bytes go with them.
    account: Arc<Account>,
    rows: AtomicU64,
}

impl Memtable {
    /// Finds the series of a batch. A series that is found stays.
    pub(crate) fn find(&self, batch: &SeriesBatch) -> FoundSeries {
        let lookup = self.lookup.lock();
        let find = |series| lookup.series.get(&KeyRef { table: batch.table, series }).cloned();
        batch.series.iter().map(|group| find(&group.key)).collect()
    }

    /// Appends the rows of a batch under commit `seq`; `found` are its series as this memtable has found them before. The
    /// caller holds the apply lock.
    pub(crate) fn apply(&self, batch: &SeriesBatch, found: &FoundSeries, seq: CommitSeq) {
        let fields: Vec<(ColumnId, TypedArray<'_>)> =
            batch.fields.iter().filter_map(|(id, array)| Some((*id, TypedArray::new(array)?))).collect();
        let shared =
            is_worth_sharing(batch, &fields).then(|| Arc::new(SharedBatch::new(batch, &fields, seq, &self.account)));
        let mut bytes = 0;
        for (group, found) in batch.series.iter().zip(found) {
            let rows = group.rows.start as usize..group.rows.end as usize;
            let mut append = |buffer: &SeriesBuffer| {
                bytes += match &shared {
                    Some(shared) => buffer.append_part(shared, group.rows.clone(), &batch.times[rows.clone()]),
                    None => buffer.append(&batch.times, &fields, rows.clone(), seq),
                };
            };
            match found {
                Some(buffer) => append(buffer),
                None => append(&self.find_or_add(batch.table, &group.key)),
            }
        }
        self.account.add(bytes as u64);
        self.rows.fetch_add(batch.row_count() as u64, Ordering::Relaxed);
    }

    fn find_or_add(&self, table: TableId, series: &SeriesKey) -> Arc<SeriesBuffer> {
        let mut lookup = self.lookup.lock();
        if let Some(buffer) = lookup.series.get(&KeyRef { table, series }) {
            return Arc::clone(buffer);
        }
        let key = MemtableKey { table, series: series.clone() };
        let buffer = Arc::new(SeriesBuffer::default());
        self.series.insert(key.clone(), Arc::clone(&buffer));
        lookup.series.insert(key, Arc::clone(&buffer));
        *lookup.counts.entry(table).or_default() += 1;
        self.account.add((SERIES_OVERHEAD_BYTES + 2 * series.as_bytes().len()) as u64);
        buffer
    }

    /// Bytes of memory in use, estimated.
    pub(crate) fn bytes(&self) -> u64 {
        self.account.bytes()
    }

    /// Rows, before duplicates are resolved.
    pub(crate) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Number of series of a table.
    pub(crate) fn series_count(&self, table: TableId) -> usize {
        self.lookup.lock().counts.get(&table).copied().unwrap_or(0)
    }

    /// The series of a table, sorted: at least those of every commit that was applied before the call.
    pub(crate) fn directory(&self, table: TableId) -> Arc<MemoryDirectory> {
        let count = self.series_count(table);
        if count == 0 {
            return Arc::default();
        }
        if let Some(known) = self.directories.lock().get(&table)
            && known.is_of(count)
        {
            return Arc::clone(known);
        }
        // Series that come during the walk may be in it; the next query sees another count and walks again.
        let built = Arc::new(MemoryDirectory::new(self.series_with_prefix(table, &[]), count));
        let replaced = self.directories.lock().insert(table, Arc::clone(&built));
        self.account.replace(replaced.map_or(0, |replaced| replaced.byte_len()), built.byte_len());
        built
    }

    /// The series of a table whose key starts with `prefix`, sorted.
    pub(crate) fn directory_of_prefix(&self, table: TableId, prefix: &[u8]) -> Arc<MemoryDirectory> {
        Arc::new(MemoryDirectory::new(self.series_with_prefix(table, prefix), 0))
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

    fn apply(memtable: &Memtable, batch: &SeriesBatch, seq: CommitSeq) {
        memtable.apply(batch, &memtable.find(batch), seq);
    }

    #[test]
    fn walk_is_ordered_by_table_and_series() {
        let memtable = Memtable::default();
        apply(&memtable, &batch(2, &["b", "a"]), CommitSeq(1));
        apply(&memtable, &batch(1, &["z"]), CommitSeq(2));
        apply(&memtable, &batch(2, &["c", "a"]), CommitSeq(3));
        let keys: Vec<_> = memtable.iter().map(|(key, buffer)| (key.table.0, key.series, buffer.row_count())).collect();
        assert_eq!(keys, [(1, key("z"), 1), (2, key("a"), 2), (2, key("b"), 1), (2, key("c"), 1)]);
        assert_eq!(memtable.rows(), 5);
        assert!(memtable.bytes() > 0);
    }

    #[test]
    fn prefix_stays_within_the_table() {
        let memtable = Memtable::default();
        apply(&memtable, &batch(1, &["a", "ab", "b"]), CommitSeq(1));
        apply(&memtable, &batch(2, &["a"]), CommitSeq(2));
        let found: Vec<_> = memtable.series_with_prefix(TableId(1), &[1, b'a']).map(|(key, _)| key).collect();
        assert_eq!(found, [key("a"), key("ab")]);
        assert_eq!(memtable.series_with_prefix(TableId(1), &[]).count(), 3);
        assert_eq!([1, 2, 3].map(|table| memtable.series_count(TableId(table))), [3, 1, 0]);
    }
}
