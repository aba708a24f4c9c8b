//! The memtable: a skip list of series ordered by (table, series key), so that a flush is one ordered walk, and per table
//! the rows of short batches that wait to be put to their series.
//!
//! Readers walk the skip list without a lock, once the rows that wait were put to their series. Applying a commit is
//! serialised by the engine's apply lock, which makes the order of rows in every series the order of commits. A writer
//! finds the series of its batch before that, once, and hands them over.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_skiplist::SkipMap;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use super::directory::MemoryDirectory;
use super::series_buffer::SeriesBuffer;
use super::shared_batch::Account;
use super::table_rows::TableRows;
use super::waiting_rows::Occasion;
use crate::types::{CommitSeq, SeriesBatch, SeriesKey, TableId};

/// Memory of a series beside its rows: skip-list node, buffers, cache entry. An estimate from the sizes of the types.
const SERIES_OVERHEAD_BYTES: usize = 512;

/// Key of a series in the skip list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemtableKey {
    pub(crate) table: TableId,
    pub(crate) series: SeriesKey,
}

/// The series of a batch as a memtable has found them.
#[derive(Debug)]
pub(crate) struct FoundSeries {
    rows: Arc<Mutex<TableRows>>,
    /// Their numbers within the table; [`FoundSeries::NEW`] of those that the memtable does not have yet.
    numbers: Vec<u32>,
}

impl FoundSeries {
    const NEW: u32 = u32::MAX;

    /// What stands for a series of the batch, the same for the same series; `None` when the memtable did not have it.
    pub(crate) fn number(&self, series: usize) -> Option<u32> {
        self.numbers.get(series).copied().filter(|number| *number != Self::NEW)
    }
}

/// Rows since the last flush.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    series: SkipMap<MemtableKey, Arc<SeriesBuffer>>,
    tables: RwLock<HashMap<TableId, Arc<Mutex<TableRows>>>>,
    /// Of the tables that were queried.
    directories: Mutex<HashMap<TableId, Arc<MemoryDirectory>>>,
    /// Shared with the batches that stay whole, whose bytes go with them.
    account: Arc<Account>,
    rows: AtomicU64,
}

impl Memtable {
    /// Finds the series of the batches of a commit, batch by batch. A series that is found stays.
    pub(crate) fn find(&self, batches: &[SeriesBatch]) -> Vec<FoundSeries> {
        // The tables of a commit mostly have the same hosts, which came in the same order: the first series of a batch is
        // looked for where the first one of the batch before stood.
        let mut first = 0;
        let rows = self.tables_of(batches);
        batches.iter().zip(rows).map(|(batch, rows)| Self::find_in(rows, batch, &mut first)).collect()
    }

    fn find_in(rows: Arc<Mutex<TableRows>>, batch: &SeriesBatch, first: &mut u32) -> FoundSeries {
        let table = rows.lock();
        let mut guess = *first;
        let find = |key| {
            let number = table.number(key, guess);
            guess = number.map_or(guess, |number| number + 1);
            number.unwrap_or(FoundSeries::NEW)
        };
        let numbers: Vec<u32> = batch.series.iter().map(|group| &group.key).map(find).collect();
        drop(table);
        if let Some(number) = numbers.first().filter(|number| **number != FoundSeries::NEW) {
            *first = *number;
        }
        FoundSeries { rows, numbers }
    }

    /// The tables of batches, made where they are missing.
    fn tables_of(&self, batches: &[SeriesBatch]) -> Vec<Arc<Mutex<TableRows>>> {
        let tables = self.tables.read();
        let known: Option<Vec<_>> = batches.iter().map(|batch| tables.get(&batch.table).map(Arc::clone)).collect();
        drop(tables);
        known.unwrap_or_else(|| {
            let mut tables = self.tables.write();
            batches.iter().map(|batch| Arc::clone(tables.entry(batch.table).or_default())).collect()
        })
    }

    fn table(&self, table: TableId) -> Option<Arc<Mutex<TableRows>>> {
        self.tables.read().get(&table).map(Arc::clone)
    }

    /// Appends the rows of a batch under commit `seq`; `found` are its series as this memtable has found them before. The
    /// caller holds the apply lock.
    pub(crate) fn apply(&self, batch: &SeriesBatch, found: &FoundSeries, seq: CommitSeq) {
        let mut rows = found.rows.lock();
        if found.numbers.contains(&FoundSeries::NEW) {
            let known = batch.series.iter().zip(&found.numbers);
            let numbers: Vec<u32> = known
                .map(|(group, number)| match *number {
                    FoundSeries::NEW => self.find_or_add(&mut rows, batch.table, &group.key),
                    number => number,
                })
                .collect();
            rows.apply(batch, &numbers, seq, &self.account);
        } else {
            rows.apply(batch, &found.numbers, seq, &self.account);
        }
        self.rows.fetch_add(batch.row_count() as u64, Ordering::Relaxed);
    }

    fn find_or_add(&self, rows: &mut TableRows, table: TableId, series: &SeriesKey) -> u32 {
        if let Some(number) = rows.number(series, 0) {
            return number;
        }
        let (number, buffer) = rows.add(series);
        self.series.insert(MemtableKey { table, series: series.clone() }, Arc::clone(buffer));
        self.account.add((SERIES_OVERHEAD_BYTES + 2 * series.as_bytes().len()) as u64);
        number
    }

    /// Puts the rows of a table that wait to their series; returns how many series it has.
    fn settle(&self, table: TableId, occasion: Occasion) -> usize {
        self.table(table).map_or(0, |rows| {
            let mut rows = rows.lock();
            rows.settle(occasion, &self.account);
            rows.series_count()
        })
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
        self.table(table).map_or(0, |rows| rows.lock().series_count())
    }

    /// The series of a table, sorted: at least those of every commit that was applied before the call.
    pub(crate) fn directory(&self, table: TableId) -> Arc<MemoryDirectory> {
        let count = self.settle(table, Occasion::Need);
        if count == 0 {
            return Arc::default();
        }
        if let Some(known) = self.directories.lock().get(&table)
            && known.is_of(count)
        {
            return Arc::clone(known);
        }
        // Series that come during the walk may be in it; the next query sees another count and walks again.
        let built = Arc::new(MemoryDirectory::new(self.walk(table, &[]), count));
        let replaced = self.directories.lock().insert(table, Arc::clone(&built));
        self.account.replace(replaced.map_or(0, |replaced| replaced.byte_len()), built.byte_len());
        built
    }

    /// The series of a table whose key starts with `prefix`, sorted.
    pub(crate) fn directory_of_prefix(&self, table: TableId, prefix: &[u8]) -> Arc<MemoryDirectory> {
        Arc::new(MemoryDirectory::new(self.series_with_prefix(table, prefix), 0))
    }

    /// The series of a table whose key starts with `prefix`, in key order, with the rows of every commit that was applied
    /// before the call.
    pub(crate) fn series_with_prefix<'a>(
        &'a self,
        table: TableId,
        prefix: &'a [u8],
    ) -> impl Iterator<Item = (SeriesKey, Arc<SeriesBuffer>)> + 'a {
        self.settle(table, Occasion::Need);
        self.walk(table, prefix)
    }

    fn walk<'a>(
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

    /// Every series, ordered by table and key, for a flush.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MemtableKey, Arc<SeriesBuffer>)> + '_ {
        let tables: Vec<_> = self.tables.read().keys().copied().collect();
        for table in tables {
            self.settle(table, Occasion::Flush);
        }
        self.series.iter().map(|entry| (entry.key().clone(), Arc::clone(entry.value())))
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{Array, ArrayRef, Int64Array};

    use super::*;
    use crate::memtable::waiting_rows::WAITING_ROWS_MAX;
    use crate::types::{ColumnId, SeriesRows};

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
        memtable.apply(batch, &memtable.find(std::slice::from_ref(batch))[0], seq);
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

    /// A row as a test wrote it: commit, host, time, field.
    type Written = (u64, &'static str, i64, u32);

    /// Rows of one field, which all have their time as its value, of one commit; a host may have several.
    fn write(memtable: &Memtable, rows: &[Written]) {
        let mut hosts: Vec<_> = rows.iter().map(|row| row.1).collect();
        hosts.dedup();
        let mut end = 0;
        let group = |host: &&str| {
            let start = end;
            end += rows.iter().filter(|row| row.1 == *host).count() as u32;
            SeriesRows { key: key(host), rows: start..end }
        };
        let series = hosts.iter().map(group).collect();
        let times: Vec<i64> = rows.iter().map(|row| row.2).collect();
        let values: ArrayRef = Arc::new(Int64Array::from(times.clone()));
        let fields = vec![(ColumnId(rows[0].3), values)];
        let batch = SeriesBatch { table: TableId(1), series, times: times.into(), fields };
        apply(memtable, &batch, CommitSeq(rows[0].0));
    }

    /// What a reader who sees `visible` finds of a host in the order of commits: times and the fields of the rows.
    fn read(memtable: &Memtable, host: &str, visible: u64) -> Vec<(i64, [Option<i64>; 2])> {
        let found = memtable.series_with_prefix(TableId(1), key(host).as_bytes()).next();
        let Some((_, buffer)) = found else { return Vec::new() };
        let mut chunks = Vec::new();
        buffer.read(CommitSeq(visible), &[ColumnId(1), ColumnId(2)], &mut chunks);
        let mut rows = Vec::new();
        for chunk in chunks.iter().map(|chunk| chunk.widen(None)) {
            let value = |field, row: usize| {
                let array = chunk.column(ColumnId(field))?.as_primitive::<Int64Type>();
                array.is_valid(row).then(|| array.value(row))
            };
            rows.extend(chunk.times.iter().enumerate().map(|(row, time)| (*time, [value(1, row), value(2, row)])));
        }
        rows
    }

    #[test]
    fn rows_of_short_batches_are_seen_commit_by_commit_and_in_their_order() {
        const HOSTS: [&str; 5] = ["a", "b", "c", "d", "e"];
        // How many commits come between two looks decides whether rows are put to their series one by one or sorted.
        for look_every in [1, 3, 4, 29, 60] {
            let memtable = Memtable::default();
            let mut written: Vec<Written> = Vec::new();
            for seq in 1..=60_u64 {
                // Mostly two rows, which wait; now and then five, which do not; another field every eleventh commit. Times
                // go back now and then, and a host has two rows of one commit.
                let count = if seq % 13 == 0 { 5 } else { 2 };
                let host = |row: u64| HOSTS[((seq + if seq % 5 == 0 { 0 } else { row }) % 5) as usize];
                let time = |row: u64| (seq * 10 + row) as i64 - if seq % 7 == 0 { 25 } else { 0 };
                let field = if seq % 11 == 0 { 2 } else { 1 };
                let rows: Vec<Written> = (0..count).map(|row| (seq, host(row), time(row), field)).collect();
                write(&memtable, &rows);
                written.extend(rows);
                if seq % look_every != 0 {
                    continue;
                }
                for (visible, host) in (0..=seq).flat_map(|visible| HOSTS.map(|host| (visible, host))) {
                    let expected: Vec<_> = written
                        .iter()
                        .filter(|row| row.0 <= visible && row.1 == host)
                        .map(|&(_, _, time, field)| (time, [1, 2].map(|one| (one == field).then_some(time))))
                        .collect();
                    assert_eq!(read(&memtable, host, visible), expected, "{host} at {visible} of {seq}");
                }
            }
            let flushed: usize = memtable.iter().map(|(_, buffer)| buffer.row_count()).sum();
            assert_eq!(flushed, written.len());
        }
    }

    #[test]
    fn a_flush_of_few_rows_that_wait_copies_no_row_out_of_its_batch() {
        let memtable = Memtable::default();
        let commits = 4 * WAITING_ROWS_MAX as u64 + 1;
        (1..=commits).for_each(|seq| write(&memtable, &[(seq, "a", seq as i64, 1), (seq, "b", seq as i64, 1)]));
        assert_eq!(memtable.tables.read()[&TableId(1)].lock().waiting_rows(), 2);
        for (key, buffer) in memtable.iter() {
            assert_eq!(buffer.row_count() as u64, commits, "{key:?}");
            assert_eq!(buffer.part_count(), 9, "{key:?}");
        }
    }

    #[test]
    fn rows_that_wait_count_until_they_are_put_to_their_series() {
        let memtable = Memtable::default();
        let waiting_rows = || memtable.tables.read()[&TableId(1)].lock().waiting_rows();
        let write = |seq| write(&memtable, &[(seq, "a", seq as i64, 1), (seq, "b", seq as i64, 1)]);
        (1..=3).for_each(write);
        assert_eq!(waiting_rows(), 6);
        let bytes = memtable.bytes();
        memtable.settle(TableId(1), Occasion::Need);
        assert_eq!(waiting_rows(), 0);
        assert!(memtable.bytes() < bytes, "there is room for more rows where they wait");
        let settled = memtable.bytes();
        memtable.settle(TableId(1), Occasion::Need);
        assert_eq!(memtable.bytes(), settled);
        for seq in 4..=100 {
            write(seq);
            assert!(waiting_rows() < WAITING_ROWS_MAX);
        }
    }
}
