//! The rows of a batch as they came, kept whole until somebody wants the rows of one series together.
//!
//! To put ten rows into each of a thousand series at once touches lines of memory that no cache holds, three per series
//! and column, and mostly waits for them. Kept whole, a batch costs a series one entry. A reader or a flush, who wants all
//! rows of a series anyway, copies them column by column, and the processor fetches the parts of many batches at a time.
//!
//! Invariant: a batch does not change, and its bytes count in the account of its memtable until the last series that has
//! rows in it has copied them.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_buffer::ScalarBuffer;

use super::column_buffer::TypedArray;
use super::narrow::NarrowIntegers;
use super::narrow_column::{NarrowColumn, text_bytes};
use crate::types::{ColumnId, CommitSeq, SeriesBatch};

/// Batches of fewer rows are copied to their series at once: what a batch takes beside its rows would be too much. Tests
/// of the engine write few rows.
pub(super) const ROWS_MIN: usize = if cfg!(test) { 3 } else { 512 };

/// Batches with more text or bytes in a column are copied at once: the offsets of a column that is copied together from
/// [`PARTS_MAX`] batches must fit 31 bits.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The most parts that are copied together.
pub(super) const PARTS_MAX: usize = 1024;

/// Memory of a batch and of a column beside the rows. An estimate from the sizes of the types.
const BATCH_OVERHEAD_BYTES: usize = 256;
const COLUMN_OVERHEAD_BYTES: usize = 192;

/// Bytes of a memtable.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// All of them.
    bytes: AtomicU64,
    /// Of these, batches that are whole.
    batches: AtomicU64,
    /// Of these, what readers copied from batches to chunks that grow.
    growing: AtomicU64,
}

/// The commits that the rows of a batch came with.
#[derive(Debug)]
pub(super) enum RowCommits {
    One(CommitSeq),
    /// Row by row; those of a series ascend.
    Several(NarrowIntegers),
}

/// A batch that its series share.
#[derive(Debug)]
pub(super) struct SharedBatch {
    commits: RowCommits,
    times: NarrowIntegers,
    ids: Box<[ColumnId]>,
    /// In the order of `ids`.
    columns: Box<[NarrowColumn]>,
    byte_len: u64,
    account: Arc<Account>,
}

/// The rows of one series in a batch.
#[derive(Debug)]
pub(super) struct BatchPart {
    pub(super) batch: Arc<SharedBatch>,
    start: u32,
    end: u32,
}

/// Whether the rows of a batch stay together.
pub(super) fn is_worth_sharing(batch: &SeriesBatch, fields: &[(ColumnId, TypedArray<'_>)]) -> bool {
    let has_short_text = |array: &TypedArray<'_>| match array {
        TypedArray::String(array) => text_bytes(array.value_offsets()) <= TEXT_BYTES_MAX,
        TypedArray::Binary(array) => text_bytes(array.value_offsets()) <= TEXT_BYTES_MAX,
        _ => true,
    };
    batch.row_count() >= ROWS_MIN && fields.iter().all(|(_, array)| has_short_text(array))
}

impl Account {
    /// All bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Counts bytes that stay until the memtable goes.
    pub(super) fn add(&self, byte_len: u64) {
        self.bytes.fetch_add(byte_len, Ordering::Relaxed);
    }

    /// Counts bytes in place of `before` bytes.
    pub(super) fn replace(&self, before: usize, after: usize) {
        // Wrapping, as differences of either sign: what is taken off was added before.
        self.bytes.fetch_add((after as u64).wrapping_sub(before as u64), Ordering::Relaxed);
    }

    /// Counts bytes that were copied from batches to a growing chunk.
    pub(super) fn add_growing(&self, byte_len: usize) {
        self.bytes.fetch_add(byte_len as u64, Ordering::Relaxed);
        self.growing.fetch_add(byte_len as u64, Ordering::Relaxed);
    }

    /// Takes note that `growing` bytes of copies became a chunk that does not grow, which counts apart.
    pub(super) fn take_growing(&self, growing: usize) {
        self.bytes.fetch_sub(growing as u64, Ordering::Relaxed);
        self.growing.fetch_sub(growing as u64, Ordering::Relaxed);
    }

    /// Whether readers may keep copies that grow. These may take twice what the batches do and no more: few rows of each of
    /// many series, which are narrow in batches and not in a growing chunk, would fill the memory.
    pub(super) fn has_room_for_copies(&self) -> bool {
        // Chunks of few rows take somewhat more than the batches that go when the last series has its copy.
        self.growing.load(Ordering::Relaxed) <= 2 * self.batches.load(Ordering::Relaxed)
    }
}

impl RowCommits {
    /// Of the commits of all rows, those of a series ascending.
    pub(super) fn of(seqs: &ScalarBuffer<i64>) -> Self {
        match seqs.first() {
            Some(first) if seqs.iter().all(|seq| seq == first) => Self::One(CommitSeq(first.cast_unsigned())),
            _ => Self::Several(NarrowIntegers::of_values(seqs)),
        }
    }

    fn of_row(&self, row: usize) -> CommitSeq {
        match self {
            Self::One(seq) => *seq,
            Self::Several(seqs) => CommitSeq(seqs.get(row).cast_unsigned()),
        }
    }

    fn byte_len(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::Several(seqs) => seqs.byte_len(),
        }
    }
}

impl SharedBatch {
    /// Keeps the rows of a batch, whose bytes are added to `account`.
    pub(super) fn new(
        times: &ScalarBuffer<i64>,
        fields: &[(ColumnId, TypedArray<'_>)],
        commits: RowCommits,
        account: &Arc<Account>,
    ) -> Self {
        let times = NarrowIntegers::of_times(times);
        let columns: Box<[NarrowColumn]> = fields.iter().map(|(_, array)| NarrowColumn::new(*array)).collect();
        let column_bytes = columns.iter().map(|column| COLUMN_OVERHEAD_BYTES + column.byte_len()).sum::<usize>();
        let byte_len = (BATCH_OVERHEAD_BYTES + times.byte_len() + commits.byte_len() + column_bytes) as u64;
        account.add(byte_len);
        account.batches.fetch_add(byte_len, Ordering::Relaxed);
        let ids = fields.iter().map(|(id, _)| *id).collect();
        Self { commits, times, ids, columns, byte_len, account: Arc::clone(account) }
    }

    /// The fields of the batch.
    pub(super) fn ids(&self) -> &[ColumnId] {
        &self.ids
    }

    /// A field, which is most likely at `position`.
    pub(super) fn column(&self, id: ColumnId, position: usize) -> Option<&NarrowColumn> {
        let position = match self.ids.get(position) {
            Some(found) if *found == id => position,
            _ => self.ids.iter().position(|found| *found == id)?,
        };
        self.columns.get(position)
    }

    /// The account that it counts in.
    pub(super) fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Drop for SharedBatch {
    fn drop(&mut self) {
        self.account.bytes.fetch_sub(self.byte_len, Ordering::Relaxed);
        self.account.batches.fetch_sub(self.byte_len, Ordering::Relaxed);
    }
}

impl BatchPart {
    pub(super) fn new(batch: Arc<SharedBatch>, rows: Range<u32>) -> Self {
        Self { batch, start: rows.start, end: rows.end }
    }

    pub(super) fn len(&self) -> usize {
        (self.end - self.start) as usize
    }

    pub(super) fn rows(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The commit of the last row.
    pub(super) fn last_seq(&self) -> CommitSeq {
        self.batch.commits.of_row(self.end as usize - 1)
    }

    /// The rows up to commit `visible`.
    pub(super) fn seen(&self, visible: CommitSeq) -> Self {
        let (mut start, mut end) = (self.start, self.end);
        while start < end {
            let middle = start + (end - start) / 2;
            if self.batch.commits.of_row(middle as usize) <= visible {
                start = middle + 1;
            } else {
                end = middle;
            }
        }
        Self { batch: Arc::clone(&self.batch), start: self.start, end: start }
    }

    /// How many rows came up to the end of each commit, counted from the first row, with the commit.
    pub(super) fn commits(&self) -> impl Iterator<Item = (usize, CommitSeq)> + '_ {
        let (first, commits) = (self.start as usize, &self.batch.commits);
        let rows = match commits {
            RowCommits::One(_) => self.rows().len() - 1..self.rows().len(),
            RowCommits::Several(_) => 0..self.rows().len(),
        };
        rows.map(move |row| (row + 1, commits.of_row(first + row)))
    }

    /// Appends the times of the rows.
    pub(super) fn append_times(&self, out: &mut Vec<i64>) {
        self.batch.times.append_to(self.rows(), out, |time| time);
    }

    /// Takes the first `len` rows away.
    pub(super) fn split_off_front(&mut self, len: usize) -> Self {
        let middle = self.end.min(self.start + len as u32);
        let front = Self { batch: Arc::clone(&self.batch), start: self.start, end: middle };
        self.start = middle;
        front
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array, ArrayRef, Int64Array, StringArray};

    use super::*;
    use crate::types::{SeriesKey, SeriesRows, TableId};

    fn batch(values: ArrayRef) -> SeriesBatch {
        let rows = values.len() as u32;
        SeriesBatch {
            table: TableId(1),
            series: vec![SeriesRows { key: SeriesKey::from_encoded(&[]), rows: 0..rows }],
            times: (0..i64::from(rows)).collect::<Vec<_>>().into(),
            fields: vec![(ColumnId(1), values)],
        }
    }

    #[test]
    fn bytes_count_as_long_as_the_batch_is_there() {
        let account = Arc::default();
        let batch = batch(Arc::new(Int64Array::from_iter_values((0..1000).map(|value| value << 32))));
        let fields = [(ColumnId(1), TypedArray::new(&batch.fields[0].1).unwrap())];
        let shared = SharedBatch::new(&batch.times, &fields, RowCommits::One(CommitSeq(1)), &account);
        assert!((8_000..9_000).contains(&account.bytes()), "8 bytes of the field, none of regular times");
        drop(shared);
        assert_eq!(account.bytes(), 0);
    }

    #[test]
    fn batches_of_few_rows_or_of_long_texts_are_not_kept_whole() {
        let is_shared = |batch: &SeriesBatch| {
            is_worth_sharing(batch, &[(ColumnId(1), TypedArray::new(&batch.fields[0].1).unwrap())])
        };
        let numbers = |rows| batch(Arc::new(Int64Array::from_iter_values(0..rows)) as ArrayRef);
        assert!(is_shared(&numbers(ROWS_MIN as i64)));
        assert!(!is_shared(&numbers(ROWS_MIN as i64 - 1)));
        let text = "x".repeat(TEXT_BYTES_MAX / 4);
        let texts = |rows| batch(Arc::new(StringArray::from_iter_values(vec![text.as_str(); rows])) as ArrayRef);
        assert!(is_shared(&texts(4)));
        assert!(!is_shared(&texts(5)));
    }
}
