//! Walks the rows of one series after the other in blocks.
//!
//! Runs that overlap in time are merged as they are read; all others are served from where they lie. A scan belongs to
//! one thread; threads scan disjoint series of one set.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use super::block::{Block, BlockSource};
use super::index::SectionSeries;
use super::merge_run::{MergeRun, RunReader};
use super::run::{Cluster, Run, SectionRun, cluster};
use super::scratch::{ScanScratch, VectorKey};
use super::series_set::SeriesSet;
use super::table::DamagePolicy;
use crate::encoding::VECTOR_LEN;
use crate::error::{Error, Result};
use crate::segment::{Section, SectionColumn};
use crate::types::{ColumnId, FieldColumn, TimeRange};

/// A cursor over the rows of the series of a set, for some fields and a time range.
#[derive(Debug)]
pub struct SeriesScan<'a> {
    set: &'a SeriesSet,
    range: TimeRange,
    fields: Vec<FieldColumn>,
    field_ids: Vec<ColumnId>,
    /// Per section of the table, the columns of the fields.
    columns: Vec<Vec<Option<&'a SectionColumn>>>,
    runs: VecDeque<Run>,
    scratch: ScanScratch,
    damage_policy: DamagePolicy,
    /// Atomic only because it is also counted behind a shared reference.
    skipped_rows: AtomicU64,
}

impl<'a> SeriesScan<'a> {
    /// A scan of `fields` (positions in `TableSchema::fields`); no series is open yet.
    pub(super) fn new(set: &'a SeriesSet, fields: &[usize], range: TimeRange) -> Self {
        let schema = set.table().schema();
        let fields: Vec<FieldColumn> = fields.iter().map(|&field| schema.fields[field].clone()).collect();
        let columns = set
            .sections()
            .iter()
            .map(|section| fields.iter().map(|field| section.column(field.id)).collect())
            .collect();
        Self {
            set,
            range: range.intersect(set.range()),
            field_ids: fields.iter().map(|field| field.id).collect(),
            scratch: ScanScratch::new(fields.len()),
            fields,
            columns,
            runs: VecDeque::new(),
            damage_policy: set.table().damage_policy(),
            skipped_rows: AtomicU64::new(0),
        }
    }

    /// Rows of damaged vectors that the scan left out so far, because its table allows that; those of segments that
    /// cannot be opened do not count.
    pub fn skipped_rows(&self) -> u64 {
        self.skipped_rows.load(Ordering::Relaxed)
    }

    /// Goes to the first row of a series of the set.
    ///
    /// # Errors
    /// `Corruption` when rows that must be merged are damaged.
    pub fn open(&mut self, series: usize) -> Result<()> {
        self.runs.clear();
        if self.range.is_empty() {
            return Ok(());
        }
        let sources = self.set.section_sources(series);
        let memory = self.set.memory_sources(series);
        if let ([source], []) = (sources, memory) {
            // The common case of a table at rest: one section, nothing to cluster.
            let mut runs = std::mem::take(&mut self.runs);
            self.section_runs(series, *source, &mut runs);
            self.runs = runs;
            return Ok(());
        }
        let mut runs = Vec::with_capacity(sources.len() + memory.len());
        for source in sources {
            self.section_runs(series, *source, &mut runs);
        }
        for buffer in memory {
            let chunks = buffer.chunks(self.set.table().visible(), &self.field_ids);
            runs.extend(chunks.iter().filter_map(|chunk| Run::of_chunk(chunk, self.range)));
        }
        for cluster in cluster(runs) {
            match cluster {
                Cluster::Single(run) => self.runs.push_back(run),
                Cluster::Overlapping(runs) => {
                    let merge = MergeRun::new(runs, &self.reader(), self.range)?;
                    self.runs.push_back(Run::Merge(merge));
                }
            }
        }
        Ok(())
    }

    /// The next rows of the open series, in time order; `None` at its end.
    ///
    /// # Errors
    /// `Corruption` when a vector is damaged.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>> {
        let Some(step) = self.advance()? else { return Ok(None) };
        let (source, offset, len) = match step {
            Step::Vector(step) => {
                let columns = self.columns[step.key.section].as_slice();
                let section: &Section = &self.set.sections()[step.key.section];
                let source =
                    BlockSource::Section { key: step.key, section, columns, regular: step.regular, whole: step.whole };
                (source, step.offset, step.len)
            }
            Step::Rows { offset, len } => {
                let Some(Run::Chunk(run)) = self.runs.front() else { return Ok(None) };
                (BlockSource::Chunk { chunk: &run.chunk }, offset, len)
            }
        };
        Ok(Some(Block { source, offset, len, fields: &self.fields, scratch: &mut self.scratch }))
    }

    /// Moves over the next vector or chunk; the run that it belongs to stays in front.
    fn advance(&mut self) -> Result<Option<Step>> {
        while let Some(run) = self.runs.front_mut() {
            match run {
                Run::Section(run) if run.row < run.row_end => {
                    let section = &self.set.sections()[run.section];
                    if self.damage_policy == DamagePolicy::Skip {
                        let vector = section.vector_of_row(run.row);
                        if let Err(error) = check_vector(section, &self.columns[run.section], vector) {
                            skip_vector(run, section, vector, error, &self.skipped_rows)?;
                            continue;
                        }
                    }
                    if let Some(step) = next_vector(run, section, &mut self.scratch)? {
                        return Ok(Some(Step::Vector(step)));
                    }
                }
                Run::Chunk(run) if run.row < run.row_end => {
                    let offset = run.row;
                    let len = (run.row_end - run.row).min(VECTOR_LEN);
                    run.row += len;
                    return Ok(Some(Step::Rows { offset, len }));
                }
                Run::Section(_) | Run::Chunk(_) => {
                    self.runs.pop_front();
                }
                Run::Merge(_) => {
                    let Some(Run::Merge(mut merge)) = self.runs.pop_front() else { continue };
                    if let Some(next) = merge.next(&self.reader())? {
                        self.runs.push_front(Run::Merge(merge));
                        self.runs.push_front(next);
                    }
                }
            }
        }
        Ok(None)
    }

    /// What reads the rows of overlapping runs.
    fn reader(&self) -> RunReader<'_> {
        RunReader {
            set: self.set,
            fields: &self.fields,
            columns: &self.columns,
            damage_policy: self.damage_policy,
            skipped_rows: &self.skipped_rows,
        }
    }

    /// The runs of a section's series within the range, without what is deleted.
    fn section_runs(&self, series: usize, source: SectionSeries, runs: &mut impl Extend<Run>) {
        let position = source.section as usize;
        let section = &self.set.sections()[position];
        let run = |range| Run::of_section(position, section, source.series as usize, range);
        match self.set.shown_parts(series, position, self.range) {
            None => runs.extend(run(self.range)),
            Some(parts) => runs.extend(parts.into_iter().filter_map(run)),
        }
    }
}

/// Where the cursor stands after a step.
enum Step {
    Vector(VectorStep),
    /// Rows of the chunk in front.
    Rows {
        offset: usize,
        len: usize,
    },
}

struct VectorStep {
    key: VectorKey,
    offset: usize,
    len: usize,
    whole: bool,
    regular: Option<(i64, i64)>,
}

/// Moves `run` over the rest of its current vector; `None` when no row of it is within its bounds.
fn next_vector(run: &mut SectionRun, section: &Section, scratch: &mut ScanScratch) -> Result<Option<VectorStep>> {
    let range = run.bounds;
    let vector = section.vector_of_row(run.row);
    let bounds = section.vector_rows(vector);
    let key = VectorKey { section: run.section, vector };
    let (mut start, mut end) = (run.row, run.row_end.min(bounds.end));
    run.row = end;
    if run.entry.step_ns > 0 {
        let first = run.time_of(start);
        let whole = start == bounds.start && end == bounds.end;
        let offset = (start - bounds.start) as usize;
        let regular = Some((first, run.entry.step_ns));
        return Ok(Some(VectorStep { key, offset, len: (end - start) as usize, whole, regular }));
    }
    if run.trim {
        let (first, last) = section.time_zone(vector);
        if last < range.start_ns || first > range.end_ns {
            return Ok(None);
        }
        if first < range.start_ns || last > range.end_ns {
            let times = scratch.times.load(key, section)?;
            let rows = &times[(start - bounds.start) as usize..(end - bounds.start) as usize];
            let before = rows.partition_point(|&time| time < range.start_ns) as u32;
            let within = rows.partition_point(|&time| time <= range.end_ns) as u32;
            (start, end) = (start + before, start + within);
            if start >= end {
                return Ok(None);
            }
        }
    }
    let whole = start == bounds.start && end == bounds.end;
    let offset = (start - bounds.start) as usize;
    Ok(Some(VectorStep { key, offset, len: (end - start) as usize, whole, regular: None }))
}

/// Whether all that a scan may ask of a vector can be had.
pub(super) fn check_vector(section: &Section, columns: &[Option<&SectionColumn>], vector: usize) -> Result<()> {
    section.decode_times(vector, &mut [0; VECTOR_LEN])?;
    let rows = section.vector_rows(vector).len();
    columns.iter().flatten().try_for_each(|column| column.decode_array(vector, 0..rows).map(drop))
}

/// Moves `run` behind its damaged vector and counts the rows that it leaves out; an error that is no damage stays one.
pub(super) fn skip_vector(
    run: &mut SectionRun,
    section: &Section,
    vector: usize,
    error: Error,
    skipped_rows: &AtomicU64,
) -> Result<()> {
    if !matches!(error, Error::Corruption { .. }) {
        return Err(error);
    }
    let end = run.row_end.min(section.vector_rows(vector).end);
    skipped_rows.fetch_add(u64::from(end - run.row), Ordering::Relaxed);
    run.row = end;
    Ok(())
}
