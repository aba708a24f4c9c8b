//! A run: rows of one series in time order, within the scanned range: of one source, or of several that are merged as
//! they are read.

use std::sync::Arc;

use super::merge_run::MergeRun;
use super::rollup_run::{ChunkRollupRun, RollupRun};
use crate::memtable::{NarrowChunk, ReadChunk, RowChunk, TimeOrder};
use crate::segment::{Section, SeriesEntry};
use crate::types::TimeRange;

/// Rows of one series.
#[derive(Debug, Clone)]
pub(super) enum Run {
    /// Rows of a segment section.
    Section(SectionRun),
    /// Rows in memory.
    Chunk(ChunkRun),
    /// Rows in memory that are not widened yet.
    Narrow(NarrowRun),
    /// Rows of several sources that overlap.
    Merge(MergeRun),
    /// Rows of a section as states. Made of a section run when nothing overlaps it.
    Rollup(RollupRun),
    /// Rows of a chunk as states. Made of a narrow run when nothing overlaps it.
    ChunkRollup(ChunkRollupRun),
}

#[derive(Debug, Clone)]
pub(super) struct SectionRun {
    /// Position of the section in the table's list.
    pub(super) section: usize,
    /// Position of the series in the section's directory.
    pub(super) series: u32,
    pub(super) entry: SeriesEntry,
    /// Next row to read, in the section.
    pub(super) row: u32,
    pub(super) row_end: u32,
    /// First and last time that its rows may have; others among them are not part of the run.
    pub(super) bounds: TimeRange,
    /// Whether rows outside the bounds may be among them.
    pub(super) trim: bool,
    /// The vector behind the one that was read last, which a reader in order needs not search for.
    pub(super) next_vector: Option<usize>,
}

impl SectionRun {
    /// Time of a row of a regular series.
    pub(super) fn time_of(&self, row: u32) -> i64 {
        let index = i64::from(row - self.entry.row_start);
        self.entry.min_time.wrapping_add(self.entry.step_ns.wrapping_mul(index))
    }

    /// The vector of the next row.
    pub(super) fn vector(&self, section: &Section) -> usize {
        let begins_here = |vector: &usize| section.vector_rows(*vector).start == self.row;
        self.next_vector.filter(begins_here).unwrap_or_else(|| section.vector_of_row(self.row))
    }
}

#[derive(Debug, Clone)]
pub(super) struct ChunkRun {
    pub(super) chunk: Arc<RowChunk>,
    /// Next row to read.
    pub(super) row: usize,
    pub(super) row_end: usize,
}

#[derive(Debug, Clone)]
pub(super) struct NarrowRun {
    pub(super) chunk: Arc<NarrowChunk>,
    /// Next row to read.
    pub(super) row: usize,
    pub(super) row_end: usize,
}

impl Run {
    /// First and last time of the run.
    pub(super) fn bounds(&self) -> TimeRange {
        match self {
            Self::Section(run) => run.bounds,
            Self::Chunk(run) => run.chunk.bounds,
            Self::Narrow(run) => run.chunk.bounds(),
            Self::Merge(run) => run.bounds(),
            Self::Rollup(run) => TimeRange { start_ns: run.entry.min_time, end_ns: run.entry.max_time },
            Self::ChunkRollup(run) => run.chunk.bounds(),
        }
    }

    /// Whether the rows can be served as they are when no other run overlaps them.
    pub(super) fn is_sorted(&self) -> bool {
        match self {
            Self::Section(_) | Self::Rollup(_) | Self::ChunkRollup(_) | Self::Merge(_) => true,
            Self::Chunk(run) => run.chunk.order == TimeOrder::StrictlyIncreasing,
            Self::Narrow(run) => run.chunk.order() == TimeOrder::StrictlyIncreasing,
        }
    }

    /// The run of a section's series within `range`; `None` when no row can be in it.
    pub(super) fn of_section(position: usize, section: &Section, series: usize, range: TimeRange) -> Option<Self> {
        let entry = section.series(series);
        let whole = SectionRun {
            section: position,
            series: series as u32,
            entry,
            row: entry.row_start,
            row_end: entry.row_start + entry.row_count,
            bounds: TimeRange { start_ns: entry.min_time, end_ns: entry.max_time },
            trim: false,
            next_vector: None,
        };
        Self::of_section_run(&whole, section, range)
    }

    /// The part of a section's run within `range`; `None` when no row can be in it.
    pub(super) fn of_section_run(whole: &SectionRun, section: &Section, range: TimeRange) -> Option<Self> {
        if !whole.bounds.overlaps(range) {
            return None;
        }
        let mut run = whole.clone();
        run.bounds = whole.bounds.intersect(range);
        run.trim |= !range.covers(whole.bounds);
        if run.trim && run.entry.step_ns > 0 {
            // A regular series: row numbers follow from times.
            let entry = &run.entry;
            let first = rows_before(entry, run.bounds.start_ns);
            let end = match run.bounds.end_ns.checked_add(1) {
                Some(end) => rows_before(entry, end),
                None => u64::from(entry.row_count),
            };
            run.row = run.row.max(entry.row_start + first as u32);
            run.row_end = run.row_end.min(entry.row_start + end as u32);
            run.trim = false;
        } else if run.trim {
            narrow_to_vectors(&mut run, section, range);
        }
        (run.row < run.row_end).then_some(Self::Section(run))
    }

    /// The run of a chunk that is sorted, within `range`; a chunk in mixed order comes whole.
    pub(super) fn of_chunk(chunk: ReadChunk, range: TimeRange) -> Option<Self> {
        match chunk {
            ReadChunk::Wide(chunk) => {
                let partition = |is_before: &dyn Fn(i64) -> bool| chunk.times.partition_point(|&time| is_before(time));
                let (row, row_end) = rows_within(chunk.bounds, chunk.order, range, chunk.times.len(), partition)?;
                Some(Self::Chunk(ChunkRun { chunk, row, row_end }))
            }
            ReadChunk::Narrow { chunk, rows } => {
                let partition = |is_before: &dyn Fn(i64) -> bool| chunk.partition_times(rows, is_before);
                let (row, row_end) = rows_within(chunk.bounds(), chunk.order(), range, rows, partition)?;
                Some(Self::Narrow(NarrowRun { chunk, row, row_end }))
            }
        }
    }
}

/// The rows of a chunk of `len` rows that are in `range`, all of them when it is in mixed order; `None` when none can be.
/// `partition` says before which row a condition on times holds.
fn rows_within(
    bounds: TimeRange,
    order: TimeOrder,
    range: TimeRange,
    len: usize,
    partition: impl Fn(&dyn Fn(i64) -> bool) -> usize,
) -> Option<(usize, usize)> {
    if !bounds.overlaps(range) {
        return None;
    }
    let (mut row, mut row_end) = (0, len);
    if order == TimeOrder::StrictlyIncreasing && !range.covers(bounds) {
        row = partition(&|time| time < range.start_ns);
        row_end = partition(&|time| time <= range.end_ns);
    }
    (row < row_end).then_some((row, row_end))
}

/// Leaves out the vectors at both ends that hold no row in `range`, so that a merge does not read them.
fn narrow_to_vectors(run: &mut SectionRun, section: &Section, range: TimeRange) {
    while run.row < run.row_end {
        let vector = section.vector_of_row(run.row);
        if section.time_zone(vector).1 >= range.start_ns {
            break;
        }
        run.row = section.vector_rows(vector).end.min(run.row_end);
    }
    while run.row < run.row_end {
        let vector = section.vector_of_row(run.row_end - 1);
        if section.time_zone(vector).0 <= range.end_ns {
            break;
        }
        run.row_end = section.vector_rows(vector).start.max(run.row);
    }
}

/// How many rows of a regular series are before `time_ns`.
fn rows_before(entry: &SeriesEntry, time_ns: i64) -> u64 {
    if time_ns <= entry.min_time {
        return 0;
    }
    // The difference of two i64 fits u64, and so does the rounded quotient.
    let distance = time_ns.wrapping_sub(entry.min_time) as u64;
    distance.div_ceil(entry.step_ns as u64).min(u64::from(entry.row_count))
}

/// A cluster of runs that overlap in time and must be merged, or a single run that needs no merge.
pub(super) enum Cluster {
    Single(Run),
    Overlapping(Vec<Run>),
}

/// Puts runs, given in commit order, into clusters in time order.
pub(super) fn cluster(runs: Vec<Run>) -> Vec<Cluster> {
    let mut ordered: Vec<(usize, Run)> = runs.into_iter().enumerate().collect();
    ordered.sort_by_key(|(commit_order, run)| (run.bounds().start_ns, *commit_order));
    let mut clusters = Vec::with_capacity(ordered.len());
    let mut open: Vec<(usize, Run)> = Vec::new();
    let mut open_end = i64::MIN;
    for (commit_order, run) in ordered {
        let bounds = run.bounds();
        if !open.is_empty() && bounds.start_ns > open_end {
            clusters.push(close(std::mem::take(&mut open)));
            open_end = i64::MIN;
        }
        open_end = open_end.max(bounds.end_ns);
        open.push((commit_order, run));
    }
    if !open.is_empty() {
        clusters.push(close(open));
    }
    clusters
}

fn close(mut runs: Vec<(usize, Run)>) -> Cluster {
    if runs.len() == 1 && runs[0].1.is_sorted() {
        return Cluster::Single(runs.remove(0).1);
    }
    // Merging resolves duplicates by commit order.
    runs.sort_by_key(|(commit_order, _)| *commit_order);
    Cluster::Overlapping(runs.into_iter().map(|(_, run)| run).collect())
}
