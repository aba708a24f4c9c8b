//! Carries out one compaction.
//!
//! Steps: pin the inputs; write the merged rows as new segments, each durable under its name; read them back and compare
//! every series with what was read from the inputs; record the exchange in the manifest as one edit group; show it. A
//! crash before the record leaves files that the next open removes or sets aside; after it, input files that it removes.
//! Readers and writers are never blocked: the manifest is locked for the two looks at it, not while rows are copied.
//!
//! Memory does not grow with the number of series: the directories of the inputs are merged slice by slice, and a segment
//! ends when what it holds in memory comes to its bound. The segments of one output hold disjoint ranges of series and have
//! one commit order, so they are one run. Spilling the directory of a single large segment was rejected: it needs a copy of
//! every column in a temporary file, because the columns of a section each stand together.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::ArrayRef;

use super::super::stats::Counters;
use super::super::store::Store;
use super::fingerprint::Fingerprint;
use super::strategy::{CompactionChoice, PartitionKey};
use super::tombstones::settled_tombstones;
use super::{Compactor, Effort};
use crate::error::{Error, Result};
use crate::manifest::{ManifestEdit, ManifestState, SectionMeta, SegmentMeta};
use crate::segment::{Section, Segment, SegmentOrigin, SegmentWriter, SeriesShapeBuilder};
use crate::snapshot::{BlockTimes, SeriesScan, SeriesSet, SeriesSlices, TableSnapshot, Version};
use crate::types::{ColumnId, SegmentId, SeriesKey, TableId, TableSchema, Tier, TimeRange, Tombstone, TombstoneId};

/// The part of the memory of a compaction for the slice of the inputs' directories that is merged. The rest is for the
/// segment that is written.
const SLICE_PART: u64 = 4;

/// A series of a section takes about this much in a slice: its place in the merged directory, its tags, its entry.
const SLICE_SERIES_BYTES: u64 = 256;

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CompactionOutcome {
    /// Bytes of the sections that were merged.
    pub(crate) bytes_in: u64,
    /// Bytes of the segments that were written.
    pub(crate) bytes_out: u64,
    /// Rows of the sections that were merged.
    pub(crate) rows_in: u64,
    /// Rows that were left of them.
    pub(crate) rows_out: u64,
}

/// The inputs of a compaction.
pub(super) struct Inputs {
    /// The tier of the output.
    tier: Tier,
    tables: Vec<InputTable>,
    places: BTreeMap<SegmentId, Vec<(TableId, i64)>>,
    commit_order: u64,
    deletes_applied: TombstoneId,
    pub(super) outcome: CompactionOutcome,
}

/// The bounds of one job.
pub(super) struct JobLimits<'a> {
    /// About what it may take beside what it copies at a time.
    pub(super) memory_bytes_max: u64,
    /// Called after so many more rows were copied; may take its time, and its error ends the job.
    pub(super) on_rows: &'a dyn Fn(u64) -> Result<()>,
}

impl JobLimits<'_> {
    /// Series of all sections that may be in one slice.
    fn slice_series_max(&self) -> usize {
        let series_max = self.memory_bytes_max / SLICE_PART / SLICE_SERIES_BYTES;
        usize::try_from(series_max).unwrap_or(usize::MAX).max(1)
    }
}

/// A segment that was written and verified.
struct Written {
    segment: Arc<Segment>,
    meta: SegmentMeta,
}

/// What a segment must hold of a table.
struct ExpectedTable {
    schema: Arc<TableSchema>,
    /// A section counts its rows in 32 bits.
    rows: u64,
    /// The fingerprint of each series, in key order.
    series: Vec<Fingerprint>,
}

struct InputTable {
    schema: Arc<TableSchema>,
    sections: Vec<(u64, Arc<Section>)>,
    tombstones: Vec<Arc<Tombstone>>,
}

impl Store {
    /// Does the next compaction that pays; `None` when there is none. One at a time; a move may run beside it.
    pub(in crate::engine) fn compact_once(
        &self,
        compactor: &mut Compactor,
        effort: Effort,
        now_ns: i64,
    ) -> Result<Option<CompactionOutcome>> {
        let (_claim, inputs) = loop {
            let manifest = self.manifest.lock();
            let state = manifest.state();
            let version = self.memtables.version();
            // A damaged segment is not merged, nor are runs across it: its rows must keep their place when it is restored.
            let is_readable = |segment: &SegmentMeta| version.segments.contains_key(&segment.id);
            let is_claimed = |key: PartitionKey| self.claims.contains(key);
            let Some(choice) = compactor.choose(state, effort, now_ns, &is_readable, &is_claimed) else {
                return Ok(None);
            };
            // A move by hand may have come in between.
            let Some(claim) = self.claims.claim(choice.partition) else { continue };
            tracing::debug!(?choice, "compaction begins");
            break (claim, Inputs::collect(&choice, state, &version));
        };
        let limits = JobLimits { memory_bytes_max: self.options.compaction_bytes_max, on_rows: &|_| Ok(()) };
        let outcome = self.rewrite(&inputs, &limits)?.unwrap_or(inputs.outcome);
        Counters::add(&self.counters.compactions, 1);
        Counters::add(&self.counters.compacted_bytes, outcome.bytes_out);
        Ok(Some(outcome))
    }

    /// Writes, verifies and publishes the merged rows.
    /// `None` when an input went meanwhile.
    pub(super) fn rewrite(&self, inputs: &Inputs, limits: &JobLimits<'_>) -> Result<Option<CompactionOutcome>> {
        let (written, mut outcome) = self.write_merged(inputs, limits)?;
        outcome.bytes_out = written.iter().map(|written| written.meta.file_len).sum();
        Ok(self.publish_compaction(inputs, written)?.then_some(outcome))
    }

    /// Writes and verifies the merged rows.
    fn write_merged(&self, inputs: &Inputs, limits: &JobLimits<'_>) -> Result<(Vec<Written>, CompactionOutcome)> {
        let mut output = MergedOutput::new(self, inputs, limits);
        for table in &inputs.tables {
            output.push_table(table)?;
        }
        output.finish_segment()?;
        let outcome = CompactionOutcome { rows_out: output.rows, ..inputs.outcome };
        Ok((output.written, outcome))
    }

    /// Exchanges inputs and outputs; does nothing and says so when an input went meanwhile.
    fn publish_compaction(&self, inputs: &Inputs, written: Vec<Written>) -> Result<bool> {
        let mut manifest = self.manifest.lock();
        let mut edits = Vec::with_capacity(inputs.places.len() + written.len());
        let state = manifest.state();
        let is_there = |id: &SegmentId, (table, partition): &(TableId, i64)| {
            let segment = state.segments.get(id);
            segment.is_some_and(|segment| segment.sections.iter().any(|section| section.is_at(*table, *partition)))
        };
        if inputs.places.iter().any(|(id, places)| !places.iter().all(|place| is_there(id, place))) {
            // A table was dropped or a partition expired while it was merged; the next choice does without it.
            return Ok(false);
        }
        edits.extend(inputs.places.iter().map(|(id, places)| ManifestEdit::RemoveSections(*id, places.clone())));
        let ids: Vec<_> = written.iter().map(|written| written.meta.id).collect();
        let mut added = Vec::with_capacity(written.len());
        for Written { segment, meta } in written {
            // From here on the manifest may name it, even if the append fails.
            segment.keep();
            added.push(segment);
            edits.push(ManifestEdit::AddSegment(meta));
        }
        if let Err(error) = manifest.append(&edits) {
            self.unnamed_segments.lock().extend(ids);
            return Err(error);
        }
        let settled = settled_tombstones(manifest.state());
        let settled_result = if settled.is_empty() { Ok(()) } else { manifest.append(&settled) };
        self.memtables.publish(self.next_version(&manifest, added));
        self.remove_unnamed_segments();
        settled_result.map(|()| true)
    }
}

fn is_in(state: &ManifestState, section: &SectionMeta, choice: &CompactionChoice) -> bool {
    choice.tables.contains(&section.table) && PartitionKey::of(state, section) == Some(choice.partition)
}

impl Inputs {
    pub(super) fn collect(choice: &CompactionChoice, state: &ManifestState, version: &Version) -> Self {
        let mut tables: BTreeMap<TableId, Vec<(u64, Arc<Section>)>> = BTreeMap::new();
        let mut places: BTreeMap<SegmentId, Vec<(TableId, i64)>> = BTreeMap::new();
        let mut outcome = CompactionOutcome::default();
        for (id, segment) in &state.segments {
            if !(choice.first_order..=choice.last_order).contains(&segment.commit_order) {
                continue;
            }
            let Some(open) = version.segments.get(id) else { continue };
            for section in segment.sections.iter().filter(|section| is_in(state, section, choice)) {
                let Some(found) = open.section(section.table, section.partition_start_ns) else { continue };
                tables.entry(section.table).or_default().push((segment.commit_order, Arc::clone(found)));
                places.entry(*id).or_default().push((section.table, section.partition_start_ns));
                outcome.bytes_in += section.byte_len;
                outcome.rows_in += u64::from(section.row_count);
            }
        }
        let tables = tables.into_iter().filter_map(|(id, mut sections)| {
            sections.sort_by_key(|(order, _)| *order);
            let schema = Arc::clone(state.tables.get(&id)?);
            let tombstones = state.tombstones.values().filter(|tombstone| tombstone.table == id).cloned().collect();
            Some(InputTable { schema, sections, tombstones })
        });
        Self {
            tier: choice.tier,
            tables: tables.collect(),
            places,
            commit_order: choice.last_order,
            deletes_applied: state.next_tombstone_id,
            outcome,
        }
    }
}

/// The segments that a compaction writes: one, or several when the directory of one would be too large for memory.
struct MergedOutput<'a> {
    store: &'a Store,
    inputs: &'a Inputs,
    limits: &'a JobLimits<'a>,
    writer: Option<SegmentWriter>,
    id: SegmentId,
    /// Of the segment that is being written. The last one is of the open table, if any.
    expected: Vec<ExpectedTable>,
    is_table_open: bool,
    /// The last series of the table that is merged.
    last_key: Option<SeriesKey>,
    rows: u64,
    written: Vec<Written>,
}

impl<'a> MergedOutput<'a> {
    fn new(store: &'a Store, inputs: &'a Inputs, limits: &'a JobLimits<'a>) -> Self {
        Self {
            store,
            inputs,
            limits,
            writer: None,
            id: SegmentId::default(),
            expected: Vec::new(),
            is_table_open: false,
            last_key: None,
            rows: 0,
            written: Vec::new(),
        }
    }

    /// Merges a table.
    fn push_table(&mut self, table: &InputTable) -> Result<()> {
        let snapshot =
            TableSnapshot::of_sections(Arc::clone(&table.schema), table.sections.clone(), table.tombstones.clone());
        let mut slices = SeriesSlices::new(snapshot, self.limits.slice_series_max());
        self.last_key = None;
        while let Some(set) = slices.next_slice() {
            self.push_slice(&set, &table.schema)?;
        }
        self.end_table()
    }

    /// Merges some series of a table. Two passes over each series: the first tells its shape, the second copies its rows,
    /// so that a series may be longer than memory.
    fn push_slice(&mut self, set: &SeriesSet, schema: &Arc<TableSchema>) -> Result<()> {
        let mut times = set.scan(&[], TimeRange::ALL);
        let mut rows = set.scan(&all_fields(schema), TimeRange::ALL);
        for series in 0..set.len() {
            if self.store.memory.is_closed() {
                // The output goes with its writer; whoever opens the database next begins anew.
                return Err(Error::Closed);
            }
            let mut shape = SeriesShapeBuilder::default();
            times.open(series)?;
            while let Some(mut block) = times.next_block()? {
                let len = block.len();
                shape.append(&to_vec(block.times()?, len))?;
            }
            // Every row may be deleted.
            let Some(shape) = shape.finish() else { continue };
            let key = set.get(series).key();
            if self.last_key.as_ref().is_some_and(|last| *last >= key) {
                // Within a segment the writer sees to it, not across them.
                return Err(Error::invalid(
                    "the series of a compaction do not come in the order of their keys: report this",
                ));
            }
            let row_count = u64::from(shape.row_count);
            if self.is_table_open && self.is_full(row_count) {
                self.end_table()?;
                self.finish_segment()?;
            }
            let mut writer = self.take_writer()?;
            if !self.is_table_open {
                writer.begin_table(schema)?;
                self.expected.push(ExpectedTable { schema: Arc::clone(schema), rows: 0, series: Vec::new() });
                self.is_table_open = true;
            }
            writer.begin_series(&key, &shape)?;
            let fingerprint = copy_rows(&mut rows, series, schema, &mut |times, fields| {
                writer.append_rows(times, fields)?;
                (self.limits.on_rows)(times.len() as u64)
            })?;
            self.writer = Some(writer);
            self.last_key = Some(key);
            self.rows += row_count;
            if let Some(expected) = self.expected.last_mut() {
                expected.rows += row_count;
                expected.series.push(fingerprint);
            }
        }
        Ok(())
    }

    /// Whether a series of so many rows goes to another segment than the ones before it.
    fn is_full(&self, row_count: u64) -> bool {
        let section_rows = self.expected.last().map_or(0, |table| table.rows);
        let fingerprints = self.expected.iter().map(|table| size_of_val(table.series.as_slice())).sum::<usize>();
        let bytes = fingerprints + self.writer.as_ref().map_or(0, SegmentWriter::buffered_bytes);
        let bytes_max = self.limits.memory_bytes_max / SLICE_PART * (SLICE_PART - 1);
        bytes as u64 >= bytes_max || section_rows + row_count > u64::from(u32::MAX)
    }

    fn take_writer(&mut self) -> Result<SegmentWriter> {
        if let Some(writer) = self.writer.take() {
            return Ok(writer);
        }
        self.id = self.store.take_segment_id();
        let origin =
            SegmentOrigin { commit_order: self.inputs.commit_order, deletes_applied: self.inputs.deletes_applied };
        self.store.begin_segment(self.inputs.tier, self.id, origin)
    }

    fn end_table(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.is_table_open) {
            // Every row of the table is deleted.
            return Ok(());
        }
        self.writer.as_mut().map_or(Ok(()), SegmentWriter::end_table)
    }

    /// Makes the segment durable, reads it back and compares.
    fn finish_segment(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let meta = writer.finish()?;
        let segment = self.store.open_written(&meta)?;
        // The file goes with this handle unless it is published.
        segment.mark_obsolete();
        let expected = std::mem::take(&mut self.expected);
        verify(&segment, &expected, self.limits.slice_series_max())?;
        self.written.push(Written { segment, meta });
        Ok(())
    }
}

fn all_fields(schema: &TableSchema) -> Vec<usize> {
    (0..schema.fields.len()).collect()
}

fn to_vec(times: BlockTimes<'_>, len: usize) -> Vec<i64> {
    (0..len).map(|row| times.get(row)).collect()
}

/// Takes the times of some rows and their fields.
type TakeRows<'a> = dyn FnMut(&[i64], &[(ColumnId, ArrayRef)]) -> Result<()> + 'a;

/// Hands the rows of a series on, block by block, and takes their fingerprint.
fn copy_rows(
    scan: &mut SeriesScan<'_>,
    series: usize,
    schema: &TableSchema,
    take: &mut TakeRows<'_>,
) -> Result<Fingerprint> {
    let mut fingerprint = Fingerprint::default();
    scan.open(series)?;
    while let Some(mut block) = scan.next_block()? {
        let len = block.len();
        let times = to_vec(block.times()?, len);
        let mut fields = Vec::with_capacity(schema.fields.len());
        for (position, field) in schema.fields.iter().enumerate() {
            let array = block.array(position)?;
            if array.null_count() < len {
                fields.push((field.id, array));
            }
        }
        fingerprint.add(&times, &fields);
        take(&times, &fields)?;
    }
    Ok(fingerprint)
}

/// Reads a segment back: its checksums, its order, and every series against what went in.
fn verify(segment: &Segment, expected: &[ExpectedTable], slice_series_max: usize) -> Result<()> {
    segment.verify_all()?;
    for ExpectedTable { schema, series: fingerprints, .. } in expected {
        let sections = segment.sections().iter().filter(|section| section.table_id() == schema.id);
        let sections = sections.map(|section| (0, Arc::clone(section))).collect();
        let snapshot = TableSnapshot::of_sections(Arc::clone(schema), sections, Vec::new());
        let mut slices = SeriesSlices::new(snapshot, slice_series_max);
        let mut fingerprints = fingerprints.iter();
        let mut previous: Option<SeriesKey> = None;
        let mut is_same = true;
        while let Some(set) = slices.next_slice() {
            let mut scan = set.scan(&all_fields(schema), TimeRange::ALL);
            for series in 0..set.len() {
                let found = copy_rows(&mut scan, series, schema, &mut |_, _| Ok(()))?;
                let key = set.get(series).key();
                is_same &= fingerprints.next() == Some(&found);
                is_same &= previous.as_ref().is_none_or(|previous| *previous < key);
                previous = Some(key);
            }
        }
        if !is_same || fingerprints.next().is_some() {
            return Err(Error::invalid(format!(
                "a compaction of table '{}' came out different from its inputs, which stay as they are: report this",
                schema.name
            )));
        }
    }
    Ok(())
}
