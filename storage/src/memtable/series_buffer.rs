//! The rows of one series that are not flushed yet.
//!
//! Rows are appended in commit order: to a chunk that grows, or as parts of batches that stay whole, which then are the
//! youngest rows of the series. Readers copy these parts to the growing chunk as long as there is room; a flush and other
//! readers copy them for themselves alone.
//! Full chunks of [`CHUNK_ROWS`] rows are sealed: readers share them without a copy, narrow ones too, which hold rows of
//! batches; statistics of both are made once.
//! The chunk that still grows is sealed by a reader who may see all of it, unless it is short, and copied otherwise, up to
//! the rows that the snapshot of the reader may see. One lock per series; a writer holds it for one append, a reader for
//! one copy.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use parking_lot::Mutex;

use super::active_chunk::{ActiveChunk, BatchColumns, CHUNK_ROWS, CommitMark};
use super::chunk::{LazyZones, ReadChunk, RowChunk};
use super::column_buffer::TypedArray;
use super::narrow_chunk::{NarrowChunk, NarrowField};
use super::narrow_column::NarrowColumn;
use super::shared_batch::{Account, BatchPart, PARTS_MAX, SharedBatch};
use crate::types::{ColumnId, CommitSeq, TimeRange};

/// A reader seals a growing chunk of this many rows. Shorter ones are copied, which takes less time than the many chunks
/// cost that frequent readers would leave behind.
const SEALED_ROWS_MIN: usize = CHUNK_ROWS / 4;

/// One that holds rows of batches is sealed with fewer, since rows are many times as large there as in narrow chunks. These
/// are put together again as they come, each row as often as its chunk doubles.
const SEALED_COPIES_MIN: usize = 64;

/// A chunk of this size is sealed before it has all its rows: offsets of strings have 31 bits.
const CHUNK_BYTES_MAX: usize = 64 << 20;

/// A series with more rows than this in batches and narrow chunks makes them wide. What a flush widens of a series at a
/// time counts nowhere, and may be eight times as long as it was.
const NARROW_ROWS_MAX: usize = 1 << 16;

/// Rows that are not appended to any more.
#[derive(Debug)]
struct SealedChunk {
    rows: SealedRows,
    marks: Vec<CommitMark>,
}

#[derive(Debug)]
enum SealedRows {
    Wide(Arc<RowChunk>),
    /// Rows of batches.
    Narrow(Arc<NarrowChunk>),
}

#[derive(Debug, Default)]
pub(crate) struct SeriesBuffer {
    state: Mutex<SeriesState>,
}

#[derive(Debug)]
struct SeriesState {
    /// Rows that still stand in their batches, behind all others.
    parts: Vec<BatchPart>,
    /// Rows in parts and narrow chunks, or more.
    narrow_rows: usize,
    /// Where parts that were copied count; `None` when none was.
    account: Option<Arc<Account>>,
    /// The first time of all rows.
    start_ns: i64,
    newest: Newest,
    /// The last commit with rows of the series.
    last_seq: CommitSeq,
    rows: usize,
    sealed: Vec<SealedChunk>,
    active: ActiveChunk,
}

/// The row of the last time.
#[derive(Debug, Clone, Copy)]
struct Newest {
    time_ns: i64,
    /// Counted from the first row of the series, in commit order.
    row: usize,
    /// Whether no other row has this time.
    is_alone: bool,
}

/// What is known of the rows of a series without a look at them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeriesSummary {
    /// First and last time of all rows, seen by a snapshot or not; empty when there are no rows.
    pub(crate) bounds: TimeRange,
    /// Number of rows, seen by a snapshot or not.
    pub(crate) rows: usize,
    /// The row of the last time, counted in commit order, when it is the only one of that time and all rows are seen.
    pub(crate) newest_row: Option<usize>,
}

impl Default for SeriesState {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            narrow_rows: 0,
            account: None,
            start_ns: i64::MAX,
            newest: Newest { time_ns: i64::MIN, row: 0, is_alone: false },
            last_seq: CommitSeq::default(),
            rows: 0,
            sealed: Vec::new(),
            active: ActiveChunk::default(),
        }
    }
}

impl SeriesBuffer {
    /// Appends the rows `rows` of a batch under commit `seq`; returns the bytes of memory that they take.
    pub(crate) fn append(&self, times: &[i64], fields: &BatchColumns<'_>, rows: Range<usize>, seq: CommitSeq) -> usize {
        let mut state = self.state.lock();
        state.copy_parts();
        state.note(&times[rows.clone()], seq);
        let mut bytes = 0;
        let mut start = rows.start;
        while start < rows.end {
            let end = rows.end.min(start + state.active.room());
            bytes += state.active.append(times, fields, start..end, seq);
            start = end;
            state.seal_if_full();
        }
        bytes
    }

    /// Appends the rows `rows`, of these times, of a batch that stays whole; returns the bytes of memory that they take
    /// beside it.
    pub(super) fn append_part(&self, batch: &Arc<SharedBatch>, rows: Range<u32>, times: &[i64]) -> usize {
        let part = BatchPart::new(Arc::clone(batch), rows);
        let mut state = self.state.lock();
        state.note(times, part.last_seq());
        state.narrow_rows += part.len();
        state.parts.push(part);
        if state.narrow_rows > NARROW_ROWS_MAX {
            state.copy_parts();
            state.widen();
        }
        size_of::<BatchPart>()
    }

    /// First and last time of all rows, seen by a snapshot or not; `None` when there are no rows.
    pub(crate) fn time_bounds(&self) -> Option<TimeRange> {
        let state = self.state.lock();
        (state.rows > 0).then(|| state.bounds())
    }

    /// What is known of the rows, as far as commit `visible`.
    pub(crate) fn summary(&self, visible: CommitSeq) -> SeriesSummary {
        let state = self.state.lock();
        let is_known = state.rows > 0 && state.newest.is_alone && state.last_seq <= visible;
        let newest_row = is_known.then_some(state.newest.row);
        SeriesSummary { bounds: state.bounds(), rows: state.rows, newest_row }
    }

    /// Number of rows, seen by a snapshot or not.
    pub(crate) fn row_count(&self) -> usize {
        self.state.lock().rows
    }

    /// Number of batches in which rows of the series still stand.
    #[cfg(test)]
    pub(super) fn part_count(&self) -> usize {
        self.state.lock().parts.len()
    }

    /// Appends the rows up to commit `visible`, with those of `fields` that exist, as chunks in commit order.
    pub(crate) fn read(&self, visible: CommitSeq, fields: &[ColumnId], chunks: &mut Vec<ReadChunk>) {
        let mut state = self.state.lock();
        if state.keeps_copies(visible) {
            state.copy_parts();
        }
        let active = &state.active;
        let rows_min = if active.copied_bytes > 0 { SEALED_COPIES_MIN } else { SEALED_ROWS_MIN };
        if active.times.len() >= rows_min && visible_rows(&active.marks, visible) == active.times.len() {
            state.seal();
        }
        for sealed in &state.sealed {
            let rows = visible_rows(&sealed.marks, visible);
            if rows > 0 {
                chunks.push(sealed.rows.read(rows));
            }
            if rows < sealed.rows.count() {
                // Commits are appended in order: nothing later is visible.
                return;
            }
        }
        let rows = visible_rows(&state.active.marks, visible);
        if rows > 0 {
            chunks.push(ReadChunk::Wide(Arc::new(state.active.copy_prefix(rows, fields))));
        }
        let seen = state.parts.partition_point(|part| part.last_seq() <= visible);
        chunks.extend(chunks_of_parts(&state.parts[..seen], Some(fields)).map(ReadChunk::Wide));
        // The first rows of a part may be of commits that are visible.
        let cut = state.parts.get(seen).map(|part| part.seen(visible)).filter(|part| part.len() > 0);
        chunks.extend(chunks_of_parts(cut.as_slice(), Some(fields)).map(ReadChunk::Wide));
    }

    /// The integer that a row has in a field, in the order of `i64` (unsigned ones with the top bit flipped).
    pub(crate) fn integer(&self, row: usize, field: ColumnId) -> Option<i64> {
        let value = |array: ArrayRef| match TypedArray::new(&array)? {
            TypedArray::I64(array) => Some(array.value(0)),
            TypedArray::U64(array) => Some(array.value(0).cast_signed() ^ i64::MIN),
            _ => None,
        };
        self.value(row, field, NarrowField::integer, NarrowColumn::integer, value)
    }

    /// The float that a row has in a field.
    pub(crate) fn float(&self, row: usize, field: ColumnId) -> Option<f64> {
        let value = |array: ArrayRef| match TypedArray::new(&array)? {
            TypedArray::F64(array) => Some(array.value(0)),
            _ => None,
        };
        self.value(row, field, NarrowField::float, NarrowColumn::float, value)
    }

    /// What a row has in a field, as an array of one value; `None` when its chunk does not have the field.
    pub(crate) fn array(&self, row: usize, field: ColumnId) -> Option<ArrayRef> {
        let of_field = |field: &NarrowField, row| Some(field.array(row..row + 1));
        self.value(row, field, of_field, |column, row| Some(column.array(row..row + 1)), Some)
    }

    /// A value of a row, counted in commit order: from where it stands.
    fn value<T>(
        &self,
        mut row: usize,
        field: ColumnId,
        of_chunk: impl Fn(&NarrowField, usize) -> Option<T>,
        of_batch: impl Fn(&NarrowColumn, usize) -> Option<T>,
        of_array: impl Fn(ArrayRef) -> Option<T>,
    ) -> Option<T> {
        let valid = |array: ArrayRef| array.is_valid(0).then_some(array);
        let state = self.state.lock();
        for sealed in &state.sealed {
            let count = sealed.rows.count();
            if row >= count {
                row -= count;
                continue;
            }
            return match &sealed.rows {
                SealedRows::Narrow(chunk) => of_chunk(chunk.field(field)?, row),
                SealedRows::Wide(chunk) => of_array(valid(chunk.column(field)?.slice(row, 1))?),
            };
        }
        let growing = state.active.times.len();
        if row < growing {
            return of_array(valid(state.active.value(row, field)?)?);
        }
        row -= growing;
        for part in &state.parts {
            if row < part.len() {
                return of_batch(part.batch.column(field, 0)?, part.rows().start + row);
            }
            row -= part.len();
        }
        None
    }

    /// All rows with all their fields as chunks in commit order, for a flush: no row comes behind them.
    pub(crate) fn all_chunks(&self) -> Vec<Arc<RowChunk>> {
        let mut state = self.state.lock();
        if !state.active.times.is_empty() {
            state.seal();
        }
        let mut chunks: Vec<_> =
            state.sealed.iter().map(|sealed| sealed.rows.read(sealed.rows.count()).widen(None)).collect();
        // Not kept: the rows would be in memory twice until the flush ends.
        chunks.extend(chunks_of_parts(&state.parts, None));
        chunks
    }
}

/// Copies rows that stand in batches, with all fields or those given.
fn chunks_of_parts(parts: &[BatchPart], fields: Option<&[ColumnId]>) -> impl Iterator<Item = Arc<RowChunk>> {
    parts.chunks(PARTS_MAX).map(move |parts| {
        let mut copied = ActiveChunk::default();
        copied.append_parts(parts, fields);
        Arc::new(copied.finish().0)
    })
}

impl SeriesState {
    /// First and last time of all rows; empty when there are none.
    fn bounds(&self) -> TimeRange {
        TimeRange { start_ns: self.start_ns, end_ns: self.newest.time_ns }
    }

    /// Takes note of rows that are about to be appended by commit `seq`.
    fn note(&mut self, times: &[i64], seq: CommitSeq) {
        for (row, &time_ns) in (self.rows..).zip(times) {
            self.start_ns = self.start_ns.min(time_ns);
            if time_ns > self.newest.time_ns {
                self.newest = Newest { time_ns, row, is_alone: true };
            } else if time_ns == self.newest.time_ns {
                self.newest.is_alone = false;
            }
        }
        self.rows += times.len();
        self.last_seq = seq;
    }

    /// Whether a reader who sees `visible` copies rows that stand in batches for good: those that become a narrow chunk at
    /// once, which takes as much as they did, and others where there is room.
    fn keeps_copies(&self, visible: CommitSeq) -> bool {
        let (Some(first), Some(last)) = (self.parts.first(), self.parts.last()) else { return false };
        let rows = self.active.times.len() + self.parts.iter().map(BatchPart::len).sum::<usize>();
        (rows >= SEALED_COPIES_MIN && last.last_seq() <= visible) || first.batch.account().has_room_for_copies()
    }

    /// Copies the rows that stand in batches to the growing chunk.
    fn copy_parts(&mut self) {
        let mut parts = std::mem::take(&mut self.parts);
        let mut rest = parts.as_mut_slice();
        while let Some(first) = rest.first_mut() {
            let mut room = self.active.room();
            if first.len() > room {
                let front = first.split_off_front(room);
                self.copy(&[front]);
                continue;
            }
            let fits = |part: &&BatchPart| {
                let fits = part.len() <= room;
                room = room.saturating_sub(part.len());
                fits
            };
            let count = rest.iter().take_while(fits).count();
            let (whole, others) = rest.split_at_mut(count);
            self.copy(whole);
            rest = others;
        }
    }

    fn copy(&mut self, parts: &[BatchPart]) {
        let Some(first) = parts.first() else { return };
        let bytes = self.active.append_parts(parts, None) + self.active.mark_parts(parts);
        let account = self.account.get_or_insert_with(|| Arc::clone(first.batch.account()));
        account.add_growing(bytes);
        self.seal_if_full();
    }

    /// Makes narrow chunks wide.
    fn widen(&mut self) {
        self.narrow_rows = 0;
        for sealed in &mut self.sealed {
            let SealedRows::Narrow(narrow) = &sealed.rows else { continue };
            let wide = narrow.widen(narrow.row_count(), None);
            if let Some(account) = &self.account {
                account.replace(narrow.byte_len(), 8 * (1 + wide.columns.len()) * wide.times.len());
            }
            sealed.rows = SealedRows::Wide(wide);
        }
    }

    fn seal_if_full(&mut self) {
        if self.active.room() == 0 || self.active.bytes >= CHUNK_BYTES_MAX {
            self.seal();
        }
    }

    /// Makes the growing chunk one that is shared, and begins the next.
    fn seal(&mut self) {
        let full = std::mem::take(&mut self.active);
        let copied_bytes = full.copied_bytes;
        let (mut chunk, mut marks) = full.finish();
        let rows = match &self.account {
            Some(account) if copied_bytes > 0 => {
                account.take_growing(copied_bytes);
                let mut joined_bytes = 0;
                while let Some(before) = self.sealed.pop_if(|before| before.is_joined_by(chunk.times.len())) {
                    let SealedRows::Narrow(narrow) = &before.rows else { break };
                    joined_bytes += narrow.byte_len();
                    (chunk, marks) = join(narrow, before.marks, &chunk, &marks);
                }
                let narrow = NarrowChunk::new(&chunk);
                account.replace(joined_bytes, narrow.byte_len());
                SealedRows::Narrow(Arc::new(narrow))
            }
            _ => {
                chunk.zones = LazyZones::of_columns(chunk.columns.len());
                SealedRows::Wide(Arc::new(chunk))
            }
        };
        self.sealed.push(SealedChunk { rows, marks });
    }
}

/// Puts a chunk behind the one before it.
fn join(
    before: &NarrowChunk,
    mut before_marks: Vec<CommitMark>,
    chunk: &RowChunk,
    marks: &[CommitMark],
) -> (RowChunk, Vec<CommitMark>) {
    let mut joined = ActiveChunk::default();
    joined.append_chunk(&before.widen(before.row_count(), None));
    joined.append_chunk(chunk);
    let offset = before.row_count() as u32;
    before_marks.extend(marks.iter().map(|mark| CommitMark { row_end: mark.row_end + offset, ..*mark }));
    (joined.finish().0, before_marks)
}

impl SealedChunk {
    /// Whether `rows` more rows are put behind it: of a narrow chunk that is not much longer, and has room for them.
    fn is_joined_by(&self, rows: usize) -> bool {
        let own = self.rows.count();
        matches!(self.rows, SealedRows::Narrow(_)) && own < 2 * rows && own + rows <= CHUNK_ROWS
    }
}

impl SealedRows {
    fn count(&self) -> usize {
        match self {
            Self::Wide(chunk) => chunk.times.len(),
            Self::Narrow(chunk) => chunk.row_count(),
        }
    }

    /// The first `rows` rows.
    fn read(&self, rows: usize) -> ReadChunk {
        match self {
            Self::Wide(chunk) if rows == chunk.times.len() => ReadChunk::Wide(Arc::clone(chunk)),
            Self::Wide(chunk) => ReadChunk::Wide(Arc::new(slice_chunk(chunk, rows))),
            Self::Narrow(chunk) => ReadChunk::Narrow { chunk: Arc::clone(chunk), rows },
        }
    }
}

fn slice_chunk(chunk: &RowChunk, rows: usize) -> RowChunk {
    RowChunk {
        times: chunk.times.slice(0, rows),
        columns: chunk.columns.iter().map(|(id, array)| (*id, array.slice(0, rows))).collect(),
        order: chunk.order,
        bounds: chunk.bounds,
        zones: LazyZones::default(),
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

#[cfg(test)]
mod tests {
    use arrow_array::Int64Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;

    use super::*;
    use crate::memtable::TimeOrder;
    use crate::memtable::shared_batch::RowCommits;
    use crate::types::{SeriesBatch, TableId};

    fn append(buffer: &SeriesBuffer, times: Range<i64>, seq: u64) {
        let times: Vec<i64> = times.collect();
        let values: ArrayRef = Arc::new(Int64Array::from(times.clone()));
        let fields = [(ColumnId(1), TypedArray::new(&values).unwrap())];
        buffer.append(&times, &fields, 0..times.len(), CommitSeq(seq));
    }

    fn chunks(buffer: &SeriesBuffer, visible: u64, fields: &[ColumnId]) -> Vec<Arc<RowChunk>> {
        let mut chunks = Vec::new();
        buffer.read(CommitSeq(visible), fields, &mut chunks);
        chunks.iter().map(|chunk| chunk.widen(Some(fields))).collect()
    }

    fn times(buffer: &SeriesBuffer, visible: u64) -> Vec<i64> {
        chunks(buffer, visible, &[]).iter().flat_map(|chunk| chunk.times.to_vec()).collect()
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
        let read = |visible| chunks(&buffer, visible, &[ColumnId(1)]);
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
        let chunks = chunks(&buffer, 2, &[ColumnId(1), ColumnId(2)]);
        let column = |id| chunks[0].column(ColumnId(id)).unwrap().clone();
        assert_eq!(column(1).null_count(), 1);
        assert_eq!(column(2).null_count(), 2);
        assert_eq!(column(2).len(), 3);
    }

    /// Appends rows of a batch that stays whole, with a field of their times.
    fn append_part(buffer: &SeriesBuffer, account: &Arc<Account>, times: Range<i64>, field: u32, seq: u64) {
        // Rows of another series stand before and behind.
        let all: Vec<i64> = (times.start - 2..times.end + 1).collect();
        let values: ArrayRef = Arc::new(Int64Array::from(all.clone()));
        let batch = SeriesBatch { table: TableId(1), series: Vec::new(), times: all.into(), fields: Vec::new() };
        let fields = [(ColumnId(field), TypedArray::new(&values).unwrap())];
        let commits = RowCommits::One(CommitSeq(seq));
        let shared = Arc::new(SharedBatch::new(&batch.times, &fields, commits, account));
        buffer.append_part(&shared, 2..2 + (times.end - times.start) as u32, &times.collect::<Vec<_>>());
    }

    fn values(chunks: &[Arc<RowChunk>], field: u32) -> Vec<Option<i64>> {
        let column = |chunk: &Arc<RowChunk>| match chunk.column(ColumnId(field)) {
            Some(column) => column.as_primitive::<Int64Type>().iter().collect(),
            None => vec![None; chunk.times.len()],
        };
        chunks.iter().flat_map(column).collect()
    }

    #[test]
    fn rows_in_batches_are_seen_commit_by_commit_and_in_their_order() {
        let (buffer, account) = (SeriesBuffer::default(), Arc::default());
        append(&buffer, 0..10, 1);
        for part in 0..30 {
            append_part(&buffer, &account, 10 + part * 100..110 + part * 100, 1, 2 + part as u64);
        }
        append(&buffer, 3010..3020, 32);
        assert_eq!(buffer.row_count(), 3020);
        assert_eq!(buffer.time_bounds(), Some(TimeRange { start_ns: 0, end_ns: 3019 }));
        for (visible, rows) in [(0, 0), (1, 10), (2, 110), (11, 1010), (12, 1110), (31, 3010), (32, 3020)] {
            let chunks = chunks(&buffer, visible, &[ColumnId(1)]);
            assert_eq!(
                chunks.iter().flat_map(|chunk| chunk.times.to_vec()).collect::<Vec<_>>(),
                (0..rows).collect::<Vec<_>>()
            );
            assert_eq!(values(&chunks, 1), (0..rows).map(Some).collect::<Vec<_>>());
            assert!(chunks.iter().all(|chunk| chunk.order == TimeOrder::StrictlyIncreasing));
            assert!(chunks.iter().all(|chunk| chunk.times.len() <= CHUNK_ROWS));
        }
    }

    #[test]
    fn a_long_series_counts_with_all_of_its_bytes() {
        let (buffer, account) = (SeriesBuffer::default(), Arc::default());
        for part in 0..3 {
            append_part(&buffer, &account, part * 30_000..(part + 1) * 30_000, 1, 1 + part as u64);
            assert_eq!(account.bytes() > 16 * 30_000 * (1 + part as u64), part == 2, "a row takes two numbers");
        }
        assert_eq!(values(&buffer.all_chunks(), 1), (0..90_000).map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn a_flush_reads_rows_in_batches_without_keeping_them_twice() {
        let (buffer, account) = (SeriesBuffer::default(), Arc::default());
        append(&buffer, 0..10, 1);
        append_part(&buffer, &account, 10..20, 1, 2);
        append_part(&buffer, &account, 20..30, 2, 3);
        append_part(&buffer, &account, 25..26, 1, 4);
        let before = account.bytes();
        let check = |chunks: &[Arc<RowChunk>]| {
            assert_eq!(values(chunks, 1), (0..20).map(Some).chain([None; 10]).chain([Some(25)]).collect::<Vec<_>>());
            let late = (20..30).map(Some).chain([None]);
            assert_eq!(values(chunks, 2), [None; 20].into_iter().chain(late).collect::<Vec<_>>());
            assert_eq!(chunks.last().unwrap().order, TimeOrder::Mixed);
        };
        check(&buffer.all_chunks());
        assert_eq!(account.bytes(), before);
        check(&chunks(&buffer, 4, &[ColumnId(1), ColumnId(2)]));
        assert!((1..before).contains(&account.bytes()), "the copies count, the batches are gone");
        check(&buffer.all_chunks());
    }

    #[test]
    fn the_newest_row_is_known_while_it_is_alone_and_every_row_is_seen() {
        let (buffer, account) = (SeriesBuffer::default(), Arc::default());
        let newest = |visible| {
            let row = buffer.summary(CommitSeq(visible)).newest_row?;
            Some((row, buffer.integer(row, ColumnId(1))))
        };
        assert_eq!(newest(1), None);
        append(&buffer, 0..10, 1);
        assert_eq!(newest(1), Some((9, Some(9))));
        append_part(&buffer, &account, 2000..3500, 1, 2);
        append_part(&buffer, &account, 5..9, 1, 3);
        assert_eq!((newest(2), newest(3)), (None, Some((1509, Some(3499)))), "a commit that is not seen may be later");
        chunks(&buffer, 3, &[]);
        assert_eq!(newest(3), Some((1509, Some(3499))), "from where readers have put it");
        append(&buffer, 3499..3500, 4);
        assert_eq!(newest(4), None, "two rows of one time");
        append_part(&buffer, &account, 4000..4001, 2, 5);
        assert_eq!(newest(5), Some((1515, None)), "the row has another field");
        assert_eq!(buffer.integer(1515, ColumnId(2)), Some(4000));
        assert_eq!(buffer.array(1509, ColumnId(1)).unwrap().as_primitive::<Int64Type>().value(0), 3499);
        let bounds = buffer.summary(CommitSeq(5)).bounds;
        assert_eq!(bounds, TimeRange { start_ns: 0, end_ns: 4000 });
    }

    #[test]
    fn short_chunks_of_rows_in_batches_are_put_together_commit_by_commit() {
        let (buffer, account) = (SeriesBuffer::default(), Arc::default());
        for part in 0..40 {
            // Every other part has another field; times go back now and then.
            let start = part * 70 - 100 * (part % 9 / 8);
            append_part(&buffer, &account, start..start + 70, 1 + part as u32 % 2, 1 + part as u64);
            for visible in [part as u64, part as u64 + 1] {
                let chunks = chunks(&buffer, visible, &[ColumnId(1), ColumnId(2)]);
                let parts = || (0..visible as i64).map(|part| (part, part * 70 - 100 * (part % 9 / 8)));
                let rows = |field| {
                    let value = move |time, part: i64| (1 + part % 2 == field).then_some(time);
                    parts().flat_map(move |(part, start)| (start..start + 70).map(move |time| value(time, part)))
                };
                assert_eq!(values(&chunks, 1), rows(1).collect::<Vec<_>>());
                assert_eq!(values(&chunks, 2), rows(2).collect::<Vec<_>>());
                let times: Vec<_> = chunks.iter().flat_map(|chunk| chunk.times.to_vec()).collect();
                assert_eq!(times, parts().flat_map(|(_, start)| start..start + 70).collect::<Vec<_>>());
                assert!(chunks.len() <= 3 + 70 * part as usize / (CHUNK_ROWS / 2), "{} of {part}", chunks.len());
                assert!(chunks.iter().all(|chunk| chunk.times.len() <= CHUNK_ROWS));
            }
        }
        let held: usize = buffer
            .state
            .lock()
            .sealed
            .iter()
            .map(|sealed| match &sealed.rows {
                SealedRows::Narrow(chunk) => chunk.byte_len(),
                SealedRows::Wide(_) => 0,
            })
            .sum();
        assert!(account.bytes() as usize >= held && account.bytes() as usize <= held + 70 * 40, "{held}");
    }

    #[test]
    fn statistics_of_a_shared_chunk_are_those_of_its_rows() {
        let (buffer, account) = (SeriesBuffer::default(), Arc::default());
        append(&buffer, 0..1024, 1);
        append_part(&buffer, &account, 2000..2300, 1, 2);
        let mut read = Vec::new();
        buffer.read(CommitSeq(2), &[ColumnId(1)], &mut read);
        let zones = read.iter().map(|chunk| match chunk {
            ReadChunk::Wide(chunk) => chunk.zone(ColumnId(1)).unwrap(),
            ReadChunk::Narrow { chunk, .. } => chunk.zone(ColumnId(1)).unwrap(),
        });
        let zones: Vec<_> = zones.map(|zone| (zone.min_i64(), zone.max_i64(), zone.sum_i64())).collect();
        let expected = [0..1024, 2000..2300].map(|rows| (Some(rows.start), Some(rows.end - 1), Some(rows.sum())));
        assert_eq!(zones, expected);
        assert!(matches!(read[1], ReadChunk::Narrow { .. }));
    }

    #[test]
    fn out_of_order_rows_are_marked() {
        let buffer = SeriesBuffer::default();
        let order = |visible| chunks(&buffer, visible, &[])[0].order;
        append(&buffer, 5..7, 1);
        assert_eq!(order(1), TimeOrder::StrictlyIncreasing);
        append(&buffer, 6..8, 2);
        assert_eq!(order(2), TimeOrder::Mixed);
    }
}
