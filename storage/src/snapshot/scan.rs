//! Walks the rows of one series after the other in blocks.
//!
//! Runs that overlap in time are merged as they are read; all others are served from where they lie. A scan belongs to
//! one thread; threads scan disjoint series of one set.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::block::{Block, BlockSource};
use super::counters::ScanCounters;
use super::index::SectionSeries;
use super::merge_run::{MergeRun, RunReader};
use super::rollup_piece::{RollupPiece, RollupSource, SectionSource};
use super::rollup_run::{RollupRun, SplitChunkRun, SplitRun, split, split_chunk};
use super::rollup_scratch::{RollupScratch, RollupVector};
use super::rollup_use::{ReadParts, RollupUse};
use super::run::{Cluster, Run, SectionRun, cluster};
use super::scratch::{ScanScratch, VectorKey};
use super::series_set::SeriesSet;
use super::table::DamagePolicy;
use super::vector_step::{VectorStep, check_vector, next_vector, skip_vector};
use crate::encoding::VECTOR_LEN;
use crate::error::{Error, Result};
use crate::memtable::ReadChunk;
use crate::segment::{FieldRollups, Section, SectionColumn, SectionRollups};
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
    /// Of the series that is opened; kept for their memory.
    opened: Vec<Run>,
    chunks: Vec<ReadChunk>,
    /// How many pieces from memory were handed out.
    memory_pieces: usize,
    scratch: ScanScratch,
    rollups: Option<Rollups<'a>>,
    damage_policy: DamagePolicy,
    /// Atomic only because it is also counted behind a shared reference.
    skipped_rows: AtomicU64,
    /// Without what the scratch buffers count.
    served: ScanCounters,
}

/// What a scan needs to serve rollups.
#[derive(Debug)]
struct Rollups<'a> {
    uses: RollupUse,
    /// Per section of the table whether it can say what is wanted.
    usable: Vec<bool>,
    /// Whether chunks in memory can.
    in_memory: bool,
    /// Per section the states of the fields.
    states: Vec<Vec<Option<&'a FieldRollups>>>,
    scratch: RollupScratch,
}

/// The next rows of a series, or what they come to.
#[derive(Debug)]
pub enum Piece<'a> {
    /// Rows.
    Block(Block<'a>),
    /// States of whole base buckets.
    Rollup(RollupPiece<'a>),
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
            opened: Vec::new(),
            chunks: Vec::new(),
            memory_pieces: 0,
            rollups: None,
            damage_policy: set.table().damage_policy(),
            skipped_rows: AtomicU64::new(0),
            served: ScanCounters::default(),
        }
    }

    /// The same scan that serves whole base buckets as states where a section has them.
    ///
    /// Read it with [`SeriesScan::next_piece`].
    #[must_use]
    pub fn with_rollups(mut self, uses: RollupUse) -> Self {
        let sections = self.set.sections();
        let usable = uses.usable(sections, &self.fields, |section| self.parts_of(section));
        let scratch = RollupScratch::new(sections.len(), self.fields.len());
        let states = sections.iter().map(|section| {
            let rollups = section.rollups();
            self.fields.iter().map(|field| rollups.and_then(|rollups| rollups.field(field.id))).collect()
        });
        let states = states.collect();
        let in_memory = uses.fits_memory();
        let serves = in_memory || usable.contains(&true);
        self.rollups = serves.then_some(Rollups { uses, usable, in_memory, states, scratch });
        self
    }

    /// How much of a section the scan reads when its series are spread evenly.
    fn parts_of(&self, section: &Section) -> ReadParts {
        let width = |range: TimeRange| (range.end_ns as f64 - range.start_ns as f64 + 1.0).max(0.0);
        let rows = section.time_range();
        ReadParts {
            series: (self.set.len() as f64 / section.series_count() as f64).min(1.0),
            time: width(rows.intersect(self.range)) / width(rows),
        }
    }

    /// Number of sections of the table whose rollups the scan may use.
    pub fn rollup_section_count(&self) -> usize {
        self.rollups.as_ref().map_or(0, |rollups| rollups.usable.iter().filter(|usable| **usable).count())
    }

    /// Rows of damaged vectors that the scan left out so far, because its table allows that; those of segments that
    /// cannot be opened do not count.
    pub fn skipped_rows(&self) -> u64 {
        self.skipped_rows.load(Ordering::Relaxed)
    }

    /// What the scan has read so far.
    pub fn counters(&self) -> ScanCounters {
        let mut counters = self.served;
        counters.time_vectors_decoded = self.scratch.times.decoded;
        for field in &self.scratch.fields {
            counters.vectors_decoded += field.decoded;
            counters.bytes_decoded += field.bytes_decoded;
        }
        counters
    }

    /// Goes to the first row of a series of the set.
    ///
    /// # Errors
    /// `Corruption` when rows that must be merged are damaged.
    pub fn open(&mut self, series: usize) -> Result<()> {
        self.runs.clear();
        self.served.series += 1;
        if self.range.is_empty() {
            return Ok(());
        }
        let sources = self.set.section_sources(series);
        let memory = self.set.memory_sources(series);
        if let ([source], []) = (sources, memory) {
            // The common case of a table at rest: one section, nothing to cluster.
            let mut runs = Vec::with_capacity(1);
            self.section_runs(series, *source, &mut runs);
            return runs.into_iter().try_for_each(|run| self.push_single(run));
        }
        let mut runs = std::mem::take(&mut self.opened);
        runs.clear();
        for source in sources {
            self.section_runs(series, *source, &mut runs);
        }
        for source in memory.iter().filter(|source| source.summary.bounds.overlaps(self.range)) {
            source.buffer.read(self.set.table().visible(), &self.field_ids, &mut self.chunks);
        }
        runs.extend(self.chunks.drain(..).filter_map(|chunk| Run::of_chunk(chunk, self.range)));
        if runs.iter().all(Run::is_sorted) && runs.is_sorted_by(|a, b| a.bounds().end_ns < b.bounds().start_ns) {
            // Sources one after the other, as flushes of rows in order leave them.
            runs.drain(..).try_for_each(|run| self.push_single(run))?;
            self.opened = runs;
            return Ok(());
        }
        for cluster in cluster(runs) {
            match cluster {
                Cluster::Single(run) => self.push_single(run)?,
                Cluster::Overlapping(runs) => {
                    let merge = MergeRun::new(runs, &self.reader(), self.range)?;
                    self.runs.push_back(Run::Merge(merge));
                }
            }
        }
        Ok(())
    }

    /// Adds a run that nothing overlaps.
    fn push_single(&mut self, run: Run) -> Result<()> {
        match (&run, &mut self.rollups) {
            (Run::Section(run), Some(rollups)) if rollups.usable[run.section] => {
                let section: &Section = &self.set.sections()[run.section];
                let states = section.rollups().ok_or_else(no_rollups)?;
                if let Some(SplitRun { head, rollups, tail }) = split(run, section, states, &mut rollups.scratch)? {
                    self.runs.extend(head.map(Run::Section));
                    self.runs.push_back(Run::Rollup(rollups));
                    self.runs.extend(tail.map(Run::Section));
                    return Ok(());
                }
            }
            (Run::Narrow(run), Some(rollups))
                if rollups.in_memory && rollups.uses.fits_chunk(&run.chunk, &self.fields) =>
            {
                if let Some(SplitChunkRun { head, rollups, tail }) = split_chunk(run) {
                    self.runs.extend(head.map(Run::Narrow));
                    self.runs.push_back(Run::ChunkRollup(rollups));
                    self.runs.extend(tail.map(Run::Narrow));
                    return Ok(());
                }
            }
            _ => {}
        }
        self.runs.push_back(run);
        Ok(())
    }

    /// The next rows of the open series, in time order; `None` at its end.
    ///
    /// # Errors
    /// `Corruption` when a vector is damaged; `InvalidInput` when the scan serves rollups and the next piece is one.
    pub fn next_block(&mut self) -> Result<Option<Block<'_>>> {
        match self.next_piece()? {
            None => Ok(None),
            Some(Piece::Block(block)) => Ok(Some(block)),
            Some(Piece::Rollup(_)) => Err(Error::invalid("a scan with rollups is read piece by piece")),
        }
    }

    /// The next rows of the open series or what they come to, in time order; `None` at its end.
    ///
    /// # Errors
    /// `Corruption` when a vector is damaged.
    pub fn next_piece(&mut self) -> Result<Option<Piece<'_>>> {
        match self.advance()? {
            None => Ok(None),
            Some(step) => self.piece(step),
        }
    }

    /// The last rows of the open series that were not served, or what they come to, so that a reader who wants the end
    /// need not pass through the rest. Of rollups one row at a time.
    ///
    /// # Errors
    /// `Corruption` when a vector is damaged.
    pub fn next_piece_back(&mut self) -> Result<Option<Piece<'_>>> {
        match self.retreat()? {
            None => Ok(None),
            Some(step) => self.piece(step),
        }
    }

    fn piece(&mut self, step: Step) -> Result<Option<Piece<'_>>> {
        let (source, offset, len) = match step {
            Step::Rollup(RollupStep { run, rows, row_end }) => {
                let section: &Section = &self.set.sections()[run.section];
                let Rollups { uses, states, scratch, .. } = self.rollups.as_mut().ok_or_else(no_rollups)?;
                self.served.rollups += rows.len() as u64;
                let start = rows.start as usize;
                let (rollups, states) = (section.rollups().ok_or_else(no_rollups)?, &states[run.section]);
                let source = SectionSource { section, rollups, entry: run.entry, states, row_end };
                let mut piece = RollupPiece {
                    source: RollupSource::Section(source),
                    fields: &self.fields,
                    key: RollupVector { section: run.section, vector: start / VECTOR_LEN },
                    rows: start % VECTOR_LEN..start % VECTOR_LEN + rows.len(),
                    scratch,
                    times: &mut self.scratch.times,
                };
                piece.load(uses)?;
                return Ok(Some(Piece::Rollup(piece)));
            }
            Step::ChunkRollup { side, buckets } => {
                let run = match side {
                    Side::Front => self.runs.front(),
                    Side::Back => self.runs.back(),
                };
                let Some(Run::ChunkRollup(run)) = run else { return Ok(None) };
                let Rollups { uses, scratch, .. } = self.rollups.as_mut().ok_or_else(no_rollups)?;
                self.served.rollups += buckets.len() as u64;
                self.memory_pieces += 1;
                let mut piece = RollupPiece {
                    source: RollupSource::Chunk(&run.chunk),
                    fields: &self.fields,
                    key: RollupVector::of_memory(self.memory_pieces),
                    rows: buckets,
                    scratch,
                    times: &mut self.scratch.times,
                };
                piece.load(uses)?;
                return Ok(Some(Piece::Rollup(piece)));
            }
            Step::Vector(step) => {
                let columns = self.columns[step.key.section].as_slice();
                self.served.vectors += columns.len() as u64;
                let section: &Section = &self.set.sections()[step.key.section];
                let VectorStep { key, regular, whole, own, .. } = step;
                let source = BlockSource::Section { key, section, columns, regular, whole, own };
                (source, step.offset, step.len)
            }
            Step::Rows { side, offset, len } => {
                let run = match side {
                    Side::Front => self.runs.front(),
                    Side::Back => self.runs.back(),
                };
                self.served.rows_from_memory += len as u64;
                self.memory_pieces += 1;
                let source = match run {
                    Some(Run::Chunk(run)) => BlockSource::Chunk { chunk: &run.chunk },
                    Some(Run::Narrow(run)) => {
                        BlockSource::Narrow { key: VectorKey::of_memory(self.memory_pieces), chunk: &run.chunk }
                    }
                    _ => return Ok(None),
                };
                (source, offset, len)
            }
        };
        self.served.rows += len as u64;
        let fields = &self.fields;
        Ok(Some(Piece::Block(Block { source, offset, len, fields, scratch: &mut self.scratch })))
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
                    return Ok(Some(Step::Rows { side: Side::Front, offset, len }));
                }
                Run::Narrow(run) if run.row < run.row_end => {
                    let (offset, len) = (run.row, run.row_end - run.row);
                    run.row = run.row_end;
                    return Ok(Some(Step::Rows { side: Side::Front, offset, len }));
                }
                Run::Rollup(run) if !run.rows.is_empty() => {
                    let (states, scratch) = rollups_of(self.set, run, &mut self.rollups)?;
                    let (rows, row_end) = run.take_front(states, scratch)?;
                    return Ok(Some(Step::Rollup(RollupStep { run: run.clone(), rows, row_end })));
                }
                Run::ChunkRollup(run) if !run.buckets.is_empty() => {
                    let buckets = run.take_front();
                    return Ok(Some(Step::ChunkRollup { side: Side::Front, buckets }));
                }
                Run::Section(_) | Run::Chunk(_) | Run::Narrow(_) | Run::Rollup(_) | Run::ChunkRollup(_) => {
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

    /// Moves the end before the last vector, chunk part or rollup row.
    fn retreat(&mut self) -> Result<Option<Step>> {
        while let Some(run) = self.runs.back_mut() {
            match run {
                Run::Section(run) if run.row < run.row_end => {
                    let section = &self.set.sections()[run.section];
                    let start = section.vector_rows(section.vector_of_row(run.row_end - 1)).start.max(run.row);
                    let mut last = SectionRun { row: start, ..run.clone() };
                    run.row_end = start;
                    if let Some(step) = next_vector(&mut last, section, &mut self.scratch)? {
                        return Ok(Some(Step::Vector(step)));
                    }
                }
                Run::Chunk(run) if run.row < run.row_end => {
                    let len = (run.row_end - run.row).min(VECTOR_LEN);
                    run.row_end -= len;
                    return Ok(Some(Step::Rows { side: Side::Back, offset: run.row_end, len }));
                }
                Run::Narrow(run) if run.row < run.row_end => {
                    let len = run.row_end - run.row;
                    run.row_end = run.row;
                    return Ok(Some(Step::Rows { side: Side::Back, offset: run.row, len }));
                }
                Run::Rollup(run) if !run.rows.is_empty() => {
                    let (states, scratch) = rollups_of(self.set, run, &mut self.rollups)?;
                    let (rows, row_end) = run.take_back(states, scratch)?;
                    return Ok(Some(Step::Rollup(RollupStep { run: run.clone(), rows, row_end })));
                }
                Run::ChunkRollup(run) if !run.buckets.is_empty() => {
                    let buckets = run.take_back();
                    return Ok(Some(Step::ChunkRollup { side: Side::Back, buckets }));
                }
                Run::Section(_) | Run::Chunk(_) | Run::Narrow(_) | Run::Rollup(_) | Run::ChunkRollup(_) => {
                    self.runs.pop_back();
                }
                Run::Merge(_) => {
                    // Windows are merged from the front only: whoever reads from the back needs all of them.
                    let Some(Run::Merge(mut merge)) = self.runs.pop_back() else { continue };
                    while let Some(next) = merge.next(&self.reader())? {
                        self.runs.push_back(next);
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
    /// Rows of the chunk at one end.
    Rows {
        side: Side,
        offset: usize,
        len: usize,
    },
    Rollup(RollupStep),
    /// Buckets of the chunk at one end.
    ChunkRollup {
        side: Side,
        buckets: Range<usize>,
    },
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Front,
    Back,
}

struct RollupStep {
    run: RollupRun,
    rows: Range<u32>,
    /// Behind the last row of the section that the rollup rows stand for.
    row_end: u32,
}

fn rollups_of<'a>(
    set: &'a SeriesSet,
    run: &RollupRun,
    rollups: &'a mut Option<Rollups<'_>>,
) -> Result<(&'a SectionRollups, &'a mut RollupScratch)> {
    let states = set.sections()[run.section].rollups().ok_or_else(no_rollups)?;
    let rollups = rollups.as_mut().ok_or_else(no_rollups)?;
    Ok((states, &mut rollups.scratch))
}

/// Rollup runs are made only of sections with rollups, by scans that serve them, after overlapping runs were merged.
fn no_rollups() -> Error {
    Error::invalid("rollups are read where there are none: a bug in the scan")
}
