//! Overlapping runs of one series, merged a window of time at a time.
//!
//! Invariant: what has been handed out is complete up to its last time: no later window has a row of an earlier or equal
//! time. Memory is that of a window, however long the series. A stretch that only one section has is not merged but
//! handed out as a run of that section.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow_array::{ArrayRef, new_null_array};
use arrow_select::concat::concat;

use super::merge::merge_chunks;
use super::run::{ChunkRun, Run, SectionRun};
use super::series_set::SeriesSet;
use super::table::DamagePolicy;
use super::vector_step::{check_vector, skip_vector};
use super::widen::decode_as;
use crate::encoding::VECTOR_LEN;
use crate::error::{Error, Result};
use crate::memtable::{LazyZones, RowChunk, TimeOrder};
use crate::segment::{Section, SectionColumn};
use crate::types::{FieldColumn, TimeRange};

/// A window holds about this many rows of each source: enough that the cost per window does not count, few enough that
/// they stay in the cache.
const WINDOW_ROWS: u32 = 8 * VECTOR_LEN as u32;

/// A stretch of a section that no other source overlaps is handed out as it is from this many rows on.
const ALONE_ROWS_MIN: u64 = 2 * VECTOR_LEN as u64;

/// What is needed to read rows of runs.
pub(super) struct RunReader<'a> {
    pub(super) set: &'a SeriesSet,
    pub(super) fields: &'a [FieldColumn],
    /// Per section of the table, the columns of the fields.
    pub(super) columns: &'a [Vec<Option<&'a SectionColumn>>],
    pub(super) damage_policy: DamagePolicy,
    /// Counts the rows of damaged vectors that are left out.
    pub(super) skipped_rows: &'a AtomicU64,
}

/// Runs that overlap, in commit order, not merged yet.
#[derive(Debug, Clone)]
pub(super) struct MergeRun {
    sources: Vec<Run>,
    /// Everything before this was handed out.
    next_ns: i64,
    end_ns: i64,
}

impl MergeRun {
    /// Prepares the merge of runs in commit order. `range` cuts the rows of chunks.
    pub(super) fn new(runs: Vec<Run>, reader: &RunReader<'_>, range: TimeRange) -> Result<Self> {
        let mut sources = Vec::with_capacity(runs.len());
        let mut chunks = Vec::new();
        for run in runs {
            match run {
                // Rows in memory are younger than those in sections: merged first they stay the last source.
                Run::Chunk(run) => chunks.push(run.chunk),
                Run::Narrow(run) => {
                    let fields: Vec<_> = reader.fields.iter().map(|field| field.id).collect();
                    chunks.push(run.chunk.widen(run.row_end, Some(&fields)));
                }
                other => sources.push(other),
            }
        }
        if !chunks.is_empty() {
            let merged = reader.merge(&chunks, range)?;
            let row_end = merged.times.len();
            sources.push(Run::Chunk(ChunkRun { chunk: Arc::new(merged), row: 0, row_end }));
        }
        let bounds = sources.iter().map(Run::bounds);
        let next_ns = bounds.clone().map(|bounds| bounds.start_ns).min().unwrap_or(i64::MAX);
        let end_ns = bounds.map(|bounds| bounds.end_ns).max().unwrap_or(i64::MIN);
        Ok(Self { sources, next_ns, end_ns })
    }

    /// First and last time of what is still to come, or wider.
    pub(super) fn bounds(&self) -> TimeRange {
        TimeRange { start_ns: self.next_ns, end_ns: self.end_ns }
    }

    /// The rows that come next, as a run that needs no merge; `None` at the end.
    pub(super) fn next(&mut self, reader: &RunReader<'_>) -> Result<Option<Run>> {
        loop {
            self.sources.retain(|source| reader.next_time(source, self.next_ns).is_some());
            if self.sources.is_empty() {
                return Ok(None);
            }
            if let Some(alone) = self.take_alone(reader)? {
                return Ok(Some(alone));
            }
            let window_end = self.window_end(reader);
            let mut chunks = Vec::with_capacity(self.sources.len());
            for source in &mut self.sources {
                chunks.push(Arc::new(reader.read_until(source, window_end)?));
            }
            self.advance(window_end);
            let merged = reader.merge(&chunks, TimeRange::ALL)?;
            if merged.times.is_empty() {
                continue;
            }
            let row_end = merged.times.len();
            return Ok(Some(Run::Chunk(ChunkRun { chunk: Arc::new(merged), row: 0, row_end })));
        }
    }

    /// Goes on behind `end_ns`.
    fn advance(&mut self, end_ns: i64) {
        match end_ns.checked_add(1) {
            Some(next) => self.next_ns = next,
            None => self.sources.clear(),
        }
    }

    /// A long stretch that one source has for itself.
    fn take_alone(&mut self, reader: &RunReader<'_>) -> Result<Option<Run>> {
        if let [Run::Chunk(_)] = self.sources.as_slice() {
            return Ok(self.sources.pop());
        }
        let starts: Vec<i64> =
            self.sources.iter().filter_map(|source| reader.next_time(source, self.next_ns)).collect();
        let Some((first, &start_ns)) = starts.iter().enumerate().min_by_key(|(_, start)| **start) else {
            return Ok(None);
        };
        let others = starts.iter().enumerate().filter(|(position, _)| *position != first).map(|(_, start)| *start);
        let alone_until = match others.min() {
            Some(other) if other <= start_ns => return Ok(None),
            Some(other) => other - 1,
            None => i64::MAX,
        };
        let Run::Section(run) = &mut self.sources[first] else { return Ok(None) };
        let alone = TimeRange { start_ns, end_ns: alone_until.min(run.bounds.end_ns) };
        let section = &reader.set.sections()[run.section];
        let Some(part) = Run::of_section_run(run, section, alone) else { return Ok(None) };
        let Run::Section(part_run) = &part else { return Ok(None) };
        if u64::from(part_run.row_end - part_run.row) < ALONE_ROWS_MIN {
            return Ok(None);
        }
        if !part_run.trim {
            run.row = part_run.row_end;
        }
        // Rows of a vector that the stretch cuts through are not handed out twice.
        run.bounds.start_ns = alone.end_ns.saturating_add(1);
        self.advance(alone.end_ns);
        Ok(Some(part))
    }

    /// The last time of the next window: no source has many more than [`WINDOW_ROWS`] rows up to it.
    fn window_end(&self, reader: &RunReader<'_>) -> i64 {
        let ends = self.sources.iter().filter_map(|source| match source {
            Run::Section(run) if run.row_end - run.row > WINDOW_ROWS => {
                let section = &reader.set.sections()[run.section];
                Some(time_bound(run, section, run.row + WINDOW_ROWS - 1))
            }
            Run::Chunk(run) if run.row_end - run.row > WINDOW_ROWS as usize => {
                Some(run.chunk.times[run.row + WINDOW_ROWS as usize - 1])
            }
            _ => None,
        });
        ends.min().unwrap_or(self.end_ns).max(self.next_ns)
    }
}

/// The time of a row of a regular series; of an irregular one a time that is not before it.
fn time_bound(run: &SectionRun, section: &Section, row: u32) -> i64 {
    if run.entry.step_ns > 0 {
        return run.time_of(row);
    }
    section.time_zone(section.vector_of_row(row)).1.min(run.entry.max_time)
}

impl RunReader<'_> {
    /// Merges chunks in commit order.
    fn merge(&self, chunks: &[Arc<RowChunk>], range: TimeRange) -> Result<RowChunk> {
        merge_chunks(chunks, self.fields, self.set.table().schema().options.dedup, range)
    }

    /// A time before which the source has no further row, at least `from_ns`; `None` when it has none at all.
    fn next_time(&self, source: &Run, from_ns: i64) -> Option<i64> {
        match source {
            Run::Section(run) if run.row < run.row_end && run.bounds.end_ns >= from_ns => {
                let section = &self.set.sections()[run.section];
                let first = if run.entry.step_ns > 0 {
                    run.time_of(run.row)
                } else {
                    section.time_zone(section.vector_of_row(run.row)).0
                };
                Some(first.max(run.bounds.start_ns).max(from_ns))
            }
            Run::Chunk(run) if run.row < run.row_end => Some(run.chunk.times[run.row].max(from_ns)),
            _ => None,
        }
    }

    /// Takes the rows of a source up to `end_ns`.
    fn read_until(&self, source: &mut Run, end_ns: i64) -> Result<RowChunk> {
        match source {
            Run::Section(run) => self.read_section_until(run, end_ns),
            Run::Chunk(run) => {
                let start = run.row;
                let rows = run.chunk.times[start..run.row_end].partition_point(|&time| time <= end_ns);
                run.row += rows;
                let columns = run.chunk.columns.iter().map(|(id, array)| (*id, array.slice(start, rows))).collect();
                let times = run.chunk.times.slice(start, rows);
                let (order, zones) = (TimeOrder::Mixed, LazyZones::default());
                Ok(RowChunk { times, columns, order, bounds: run.chunk.bounds, zones })
            }
            Run::Narrow(_) | Run::Merge(_) | Run::Rollup(_) | Run::ChunkRollup(_) => {
                Err(Error::invalid("a merge reads sections and chunks: a bug in the scan"))
            }
        }
    }

    fn read_section_until(&self, run: &mut SectionRun, end_ns: i64) -> Result<RowChunk> {
        let section = &self.set.sections()[run.section];
        let wanted = TimeRange { start_ns: run.bounds.start_ns, end_ns: end_ns.min(run.bounds.end_ns) };
        let mut times = Vec::new();
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.fields.len()];
        let mut buffer = Box::new([0_i64; VECTOR_LEN]);
        while run.row < run.row_end {
            let vector = section.vector_of_row(run.row);
            if self.damage_policy == DamagePolicy::Skip
                && let Err(error) = check_vector(section, &self.columns[run.section], vector)
            {
                skip_vector(run, section, vector, error, self.skipped_rows)?;
                continue;
            }
            let bounds = section.vector_rows(vector);
            let first = (run.row - bounds.start) as usize;
            let len = (run.row_end.min(bounds.end) - run.row) as usize;
            if run.entry.step_ns > 0 {
                for (index, slot) in buffer[..len].iter_mut().enumerate() {
                    *slot = run.time_of(run.row + index as u32);
                }
            } else {
                section.decode_times(vector, &mut buffer)?;
                buffer.copy_within(first..first + len, 0);
            }
            let start = buffer[..len].partition_point(|&time| time < wanted.start_ns);
            let end = buffer[..len].partition_point(|&time| time <= wanted.end_ns);
            if start < end {
                times.extend_from_slice(&buffer[start..end]);
                for ((part, column), field) in parts.iter_mut().zip(&self.columns[run.section]).zip(self.fields) {
                    if let Some(column) = column {
                        part.push(decode_as(column, vector, first + start..first + end, field.field_type)?);
                    }
                }
            }
            run.row += end as u32;
            if end < len {
                break;
            }
        }
        let mut columns = Vec::with_capacity(self.fields.len());
        for (field, part) in self.fields.iter().zip(&parts) {
            let array = match part.as_slice() {
                [] => new_null_array(&field.field_type.arrow_type(), times.len()),
                [only] => Arc::clone(only),
                part => concat(&part.iter().map(AsRef::as_ref).collect::<Vec<_>>())
                    .map_err(|error| Error::invalid(format!("field '{}': {error}", field.name)))?,
            };
            columns.push((field.id, array));
        }
        let (order, zones) = (TimeOrder::Mixed, LazyZones::default());
        Ok(RowChunk { times: times.into(), columns, order, bounds: wanted, zones })
    }
}
