//! Walks the rows of one series after the other in blocks.
//!
//! Runs that overlap in time are merged when the series is opened; all others are served from where they lie. A scan
//! belongs to one thread; threads scan disjoint series of one set.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, new_null_array};
use arrow_select::concat::concat;

use super::block::{Block, BlockSource};
use super::merge::merge_chunks;
use super::run::{ChunkRun, Cluster, Run, SectionRun, cluster};
use super::scratch::{ScanScratch, VectorKey};
use super::series_set::SeriesSet;
use super::table::DamagePolicy;
use crate::encoding::VECTOR_LEN;
use crate::error::{Error, Result};
use crate::memtable::{RowChunk, TimeOrder};
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
    skipped_rows: u64,
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
            skipped_rows: 0,
        }
    }

    /// Rows of damaged vectors that the scan left out so far, because its table allows that; those of segments that
    /// cannot be opened do not count.
    pub fn skipped_rows(&self) -> u64 {
        self.skipped_rows
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
            let section = source.section as usize;
            self.runs.extend(Run::of_section(
                section,
                &self.set.sections()[section],
                source.series as usize,
                self.range,
            ));
            return Ok(());
        }
        let mut runs = Vec::with_capacity(sources.len() + memory.len());
        for source in sources {
            let section = source.section as usize;
            runs.extend(Run::of_section(section, &self.set.sections()[section], source.series as usize, self.range));
        }
        for buffer in memory {
            let chunks = buffer.chunks(self.set.table().visible(), &self.field_ids);
            runs.extend(chunks.iter().filter_map(|chunk| Run::of_chunk(chunk, self.range)));
        }
        for cluster in cluster(runs) {
            match cluster {
                Cluster::Single(run) => self.runs.push_back(run),
                Cluster::Overlapping(runs) => {
                    let merged = self.merge(&runs)?;
                    self.runs.extend(merged);
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
                        let columns = &self.columns[run.section];
                        let vector = section.vector_of_row(run.row);
                        if let Err(error) = check_vector(section, columns, vector) {
                            self.skipped_rows += u64::from(skip_vector(run, section, vector, error)?);
                            continue;
                        }
                    }
                    if let Some(step) = next_vector(run, section, self.range, &mut self.scratch)? {
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
            }
        }
        Ok(None)
    }

    /// Reads overlapping runs into memory and merges them.
    fn merge(&mut self, runs: &[Run]) -> Result<Option<Run>> {
        let mut chunks = Vec::with_capacity(runs.len());
        for run in runs {
            match run {
                Run::Chunk(run) => chunks.push(Arc::clone(&run.chunk)),
                Run::Section(run) => chunks.push(Arc::new(self.read_section_run(run)?)),
            }
        }
        let dedup = self.set.table().schema().options.dedup;
        let merged = merge_chunks(&chunks, &self.fields, dedup, self.range)?;
        let row_end = merged.times.len();
        Ok((row_end > 0).then(|| Run::Chunk(ChunkRun { chunk: Arc::new(merged), row: 0, row_end })))
    }

    fn read_section_run(&mut self, run: &SectionRun) -> Result<RowChunk> {
        let set = self.set;
        let section = &set.sections()[run.section];
        let mut times = Vec::with_capacity((run.row_end - run.row) as usize);
        let mut parts: Vec<Vec<ArrayRef>> = vec![Vec::new(); self.fields.len()];
        let mut buffer = Box::new([0_i64; VECTOR_LEN]);
        let mut row = run.row;
        while row < run.row_end {
            let vector = section.vector_of_row(row);
            let bounds = section.vector_rows(vector);
            let end = run.row_end.min(bounds.end);
            if self.damage_policy == DamagePolicy::Skip
                && let Err(error) = check_vector(section, &self.columns[run.section], vector)
            {
                let mut skipped = SectionRun { row, ..run.clone() };
                self.skipped_rows += u64::from(skip_vector(&mut skipped, section, vector, error)?);
                row = skipped.row;
                continue;
            }
            let rows = (row - bounds.start) as usize..(end - bounds.start) as usize;
            if run.entry.step_ns > 0 {
                let first = i64::from(row - run.entry.row_start);
                times.extend((0..rows.len() as i64).map(|index| regular_time(run, first + index)));
            } else {
                section.decode_times(vector, &mut buffer)?;
                times.extend_from_slice(&buffer[rows.clone()]);
            }
            for (part, column) in parts.iter_mut().zip(&self.columns[run.section]) {
                if let Some(column) = column {
                    part.push(column.decode_array(vector, rows.clone())?);
                }
            }
            row = end;
        }
        let mut columns = Vec::with_capacity(self.fields.len());
        for (field, part) in self.fields.iter().zip(&parts) {
            let array = match part.as_slice() {
                [] => new_null_array(&field.field_type.arrow_type(), times.len()),
                [only] => Arc::clone(only),
                part => concat(&part.iter().map(AsRef::as_ref).collect::<Vec<_>>())
                    .map_err(|error| Error::invalid(format!("field '{}' changes its type: {error}", field.name)))?,
            };
            columns.push((field.id, array));
        }
        let bounds = TimeRange { start_ns: run.entry.min_time, end_ns: run.entry.max_time };
        Ok(RowChunk { times: times.into(), columns, order: TimeOrder::Mixed, bounds })
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

/// Moves `run` over the rest of its current vector; `None` when no row of it is in `range`.
fn next_vector(
    run: &mut SectionRun,
    section: &Section,
    range: TimeRange,
    scratch: &mut ScanScratch,
) -> Result<Option<VectorStep>> {
    let vector = section.vector_of_row(run.row);
    let bounds = section.vector_rows(vector);
    let key = VectorKey { section: run.section, vector };
    let (mut start, mut end) = (run.row, run.row_end.min(bounds.end));
    run.row = end;
    if run.entry.step_ns > 0 {
        let first = regular_time(run, i64::from(start - run.entry.row_start));
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

/// Whether all that the scan may ask of a vector can be had.
fn check_vector(section: &Section, columns: &[Option<&SectionColumn>], vector: usize) -> Result<()> {
    section.decode_times(vector, &mut [0; VECTOR_LEN])?;
    let rows = section.vector_rows(vector).len();
    columns.iter().flatten().try_for_each(|column| column.decode_array(vector, 0..rows).map(drop))
}

/// Moves `run` behind its damaged vector and returns how many rows it leaves out; an error that is no damage stays one.
fn skip_vector(run: &mut SectionRun, section: &Section, vector: usize, error: Error) -> Result<u32> {
    if !matches!(error, Error::Corruption { .. }) {
        return Err(error);
    }
    let end = run.row_end.min(section.vector_rows(vector).end);
    let skipped = end - run.row;
    run.row = end;
    Ok(skipped)
}

fn regular_time(run: &SectionRun, index: i64) -> i64 {
    run.entry.min_time.wrapping_add(run.entry.step_ns.wrapping_mul(index))
}
