//! The part of a run that rollup rows stand for: whole base buckets of one series in one section, or in one chunk of
//! memory.
//!
//! Invariant: a rollup row is used only for a run that nothing overlaps, and only when the run has every row that the
//! rollup row stands for within its bounds. Then no duplicate, delete or bound of the query touches these rows,
//! so their states are what reading them gives, whatever else is in the same base bucket.

use std::ops::Range;
use std::sync::Arc;

use super::rollup_scratch::{RollupScratch, RollupVector};
use super::run::{NarrowRun, SectionRun};
use crate::encoding::VECTOR_LEN;
use crate::error::Result;
use crate::memtable::NarrowChunk;
use crate::segment::{RowStatistic, Section, SectionRollups, SeriesEntry};

/// Rollup rows of one series that follow each other.
#[derive(Debug, Clone)]
pub(super) struct RollupRun {
    /// Position of the section in the table's list.
    pub(super) section: usize,
    pub(super) entry: SeriesEntry,
    /// Rollup rows of the section that are still to be handed out.
    pub(super) rows: Range<u32>,
    /// Behind the last row of the section that they stand for.
    pub(super) row_end: u32,
}

/// A section run, cut in three: rows before the first whole base bucket, rollup rows, rows behind the last one.
pub(super) struct SplitRun {
    pub(super) head: Option<SectionRun>,
    pub(super) rollups: RollupRun,
    pub(super) tail: Option<SectionRun>,
}

/// Base buckets of a chunk that follow each other.
#[derive(Debug, Clone)]
pub(super) struct ChunkRollupRun {
    pub(super) chunk: Arc<NarrowChunk>,
    /// Buckets that are still to be handed out.
    pub(super) buckets: Range<usize>,
}

impl ChunkRollupRun {
    /// Takes all buckets.
    pub(super) fn take_front(&mut self) -> Range<usize> {
        std::mem::replace(&mut self.buckets, 0..0)
    }

    /// Takes the last bucket off the back.
    pub(super) fn take_back(&mut self) -> Range<usize> {
        self.buckets.end -= 1;
        self.buckets.end..self.buckets.end + 1
    }
}

/// A run of a chunk, cut in three like a section run.
pub(super) struct SplitChunkRun {
    pub(super) head: Option<NarrowRun>,
    pub(super) rollups: ChunkRollupRun,
    pub(super) tail: Option<NarrowRun>,
}

/// Finds the buckets of a chunk that have all of their rows in `run`; `None` when there is none.
pub(super) fn split_chunk(run: &NarrowRun) -> Option<SplitChunkRun> {
    let buckets = run.chunk.buckets();
    let start = buckets.partition_point(|bucket| bucket.rows.start < run.row);
    let end = buckets.partition_point(|bucket| bucket.rows.end <= run.row_end);
    let (first, last) = (buckets.get(start..end)?.first()?, buckets.get(end.checked_sub(1)?)?);
    let part = |row: usize, row_end: usize| (row < row_end).then(|| NarrowRun { row, row_end, ..run.clone() });
    Some(SplitChunkRun {
        head: part(run.row, first.rows.start),
        rollups: ChunkRollupRun { chunk: Arc::clone(&run.chunk), buckets: start..end },
        tail: part(last.rows.end, run.row_end),
    })
}

/// Finds the rollup rows that stand for rows of `run` within its bounds; `None` when there is none.
pub(super) fn split(
    run: &SectionRun,
    section: &Section,
    rollups: &SectionRollups,
    scratch: &mut RollupScratch,
) -> Result<Option<SplitRun>> {
    let all = rollups.rows_of(run.series as usize);
    if all.is_empty() {
        return Ok(None);
    }
    let entry = run.entry;
    debug_assert_eq!(section.series(run.series as usize), entry);
    let is_whole = run.row == entry.row_start && run.row_end == entry.row_start + entry.row_count && !run.trim;
    let mut search = Search { rollups, section: run.section, all: all.clone(), entry, scratch };
    let rows = if is_whole {
        all
    } else {
        let (first, end) = (i64::from(run.row - entry.row_start), i64::from(run.row_end - entry.row_start));
        let mut start = search.first_where(|search, row| Ok(search.first_row(row)? >= first))?;
        let mut stop = search.first_where(|search, row| Ok(search.first_row(row + 1)? > end))?;
        if run.trim {
            // The rows of an irregular series may reach beyond the bounds.
            start = start.max(search.first_where(|search, row| Ok(search.first_time(row)? >= run.bounds.start_ns))?);
            stop = stop.min(search.first_where(|search, row| Ok(search.last_time(row)? > run.bounds.end_ns))?);
        }
        start..stop
    };
    if rows.is_empty() {
        return Ok(None);
    }
    let row_of = |first_row: i64| u32::try_from(first_row).ok().and_then(|row| row.checked_add(entry.row_start));
    let (start, end) = (row_of(search.first_row(rows.start)?), row_of(search.first_row(rows.end)?));
    let (Some(row), Some(row_end)) = (start, end) else { return Err(rollups.contradiction(rows.start)) };
    if row < run.row || row >= row_end || row_end > run.row_end {
        return Err(rollups.contradiction(rows.start));
    }
    let part = |row: u32, row_end: u32| (row < row_end).then(|| SectionRun { row, row_end, ..run.clone() });
    Ok(Some(SplitRun {
        head: part(run.row, row),
        rollups: RollupRun { section: run.section, entry, rows, row_end },
        tail: part(row_end, run.row_end),
    }))
}

impl RollupRun {
    /// Takes the next rollup rows off the front, as many as one vector holds; with the row behind those that they stand
    /// for.
    pub(super) fn take_front(
        &mut self,
        rollups: &SectionRollups,
        scratch: &mut RollupScratch,
    ) -> Result<(Range<u32>, u32)> {
        let start = self.rows.start;
        let end = self.rows.end.min((start / VECTOR_LEN as u32 + 1) * VECTOR_LEN as u32);
        self.rows.start = end;
        let row_end = if end == self.rows.end { self.row_end } else { self.row_of(end, rollups, scratch)? };
        Ok((start..end, row_end))
    }

    /// Takes the last rollup row off the back; with the row behind those that it stands for.
    pub(super) fn take_back(
        &mut self,
        rollups: &SectionRollups,
        scratch: &mut RollupScratch,
    ) -> Result<(Range<u32>, u32)> {
        let row = self.rows.end - 1;
        let row_end = self.row_end;
        self.row_end = self.row_of(row, rollups, scratch)?;
        self.rows.end = row;
        Ok((row..row + 1, row_end))
    }

    fn row_of(&self, rollup_row: u32, rollups: &SectionRollups, scratch: &mut RollupScratch) -> Result<u32> {
        let all = 0..rollups.row_count();
        let mut search = Search { rollups, section: self.section, all, entry: self.entry, scratch };
        let row = u32::try_from(search.first_row(rollup_row)?).ok();
        let row = row.and_then(|row| row.checked_add(self.entry.row_start)).filter(|row| *row <= self.row_end);
        row.ok_or_else(|| rollups.contradiction(rollup_row))
    }
}

/// Reads single numbers of the rollup rows of one series.
struct Search<'a> {
    rollups: &'a SectionRollups,
    section: usize,
    all: Range<u32>,
    entry: SeriesEntry,
    scratch: &'a mut RollupScratch,
}

impl Search<'_> {
    /// The first rollup row of the series for which `is_behind` holds, which from there on it does.
    fn first_where(&mut self, is_behind: impl Fn(&mut Self, u32) -> Result<bool>) -> Result<u32> {
        let Range { start: mut low, end: mut high } = self.all;
        while low < high {
            let middle = low + (high - low) / 2;
            if is_behind(self, middle)? {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }

    fn value(&mut self, statistic: RowStatistic, row: u32) -> Result<i64> {
        let key = RollupVector { section: self.section, vector: row as usize / VECTOR_LEN };
        Ok(self.scratch.load_row(self.rollups, statistic, key)?[row as usize % VECTOR_LEN])
    }

    /// The first row of a rollup row within the series, and behind the last rollup row the number of rows.
    fn first_row(&mut self, row: u32) -> Result<i64> {
        if row == self.all.end { Ok(i64::from(self.entry.row_count)) } else { self.value(RowStatistic::FirstRow, row) }
    }

    fn first_time(&mut self, row: u32) -> Result<i64> {
        let start_ns = self.value(RowStatistic::Bucket, row)?.wrapping_mul(self.rollups.base_ns());
        Ok(start_ns.wrapping_add(self.value(RowStatistic::FirstTime, row)?))
    }

    fn last_time(&mut self, row: u32) -> Result<i64> {
        let start_ns = self.value(RowStatistic::Bucket, row)?.wrapping_mul(self.rollups.base_ns());
        Ok(start_ns.wrapping_add(self.value(RowStatistic::LastTime, row)?))
    }
}
