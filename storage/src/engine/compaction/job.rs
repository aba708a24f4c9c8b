//! Carries out one compaction.
//!
//! Steps: pin the inputs; write the merged rows as new segments, each durable under its name; read them back and compare
//! every series with what was read from the inputs; record the exchange in the manifest as one edit group; show it. A
//! crash before the record leaves files that the next open removes or sets aside; after it, input files that it removes.
//! Readers and writers are never blocked: the manifest is locked for the two looks at it, not while rows are copied.

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
use crate::snapshot::{BlockTimes, SeriesScan, SeriesSet, TableSnapshot, TagFilter, Version};
use crate::types::{
    ColumnId, SegmentId, SeriesKey, TableId, TableSchema, TimeRange, Tombstone, TombstoneId, partition_of,
};

/// A series takes about this much memory while it is merged: its place in the merged directory and in that of the output,
/// its tags, its fingerprint.
const SERIES_BYTES: u64 = 400;

/// More series than any merge may have, and few enough to be added up.
const TOO_MANY_SERIES: u64 = 1 << 48;

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
struct Inputs {
    tables: Vec<InputTable>,
    places: BTreeMap<SegmentId, Vec<(TableId, i64)>>,
    commit_order: u64,
    deletes_applied: TombstoneId,
    outcome: CompactionOutcome,
}

/// A segment that was written and verified.
struct Written {
    segment: Arc<Segment>,
    meta: SegmentMeta,
}

/// What a segment must hold of a table: the fingerprint of each series, in key order.
struct ExpectedTable {
    schema: Arc<TableSchema>,
    series: Vec<Fingerprint>,
}

struct InputTable {
    schema: Arc<TableSchema>,
    sections: Vec<(u64, Arc<Section>)>,
    tombstones: Vec<Arc<Tombstone>>,
}

impl Store {
    /// Does the next compaction that pays; `None` when there is none. One at a time.
    pub(in crate::engine) fn compact_once(
        &self,
        compactor: &mut Compactor,
        effort: Effort,
        now_ns: i64,
    ) -> Result<Option<CompactionOutcome>> {
        let series_max = (self.options.compaction_bytes_max / SERIES_BYTES).max(1);
        let (choice, inputs) = {
            let manifest = self.manifest.lock();
            let state = manifest.state();
            let version = self.memtables.version();
            let series_of = |segment: &SegmentMeta, key: PartitionKey| series_in(&version, state, segment, key);
            let Some(choice) = compactor.choose(state, effort, now_ns, series_max, &series_of) else {
                return Ok(None);
            };
            (choice.clone(), Inputs::collect(&choice, state, &version))
        };
        tracing::debug!(?choice, rows = inputs.outcome.rows_in, "compaction begins");
        let (written, mut outcome) = self.write_merged(&inputs)?;
        outcome.bytes_out = written.iter().map(|written| written.meta.file_len).sum();
        self.publish_compaction(&inputs, written)?;
        Counters::add(&self.counters.compactions, 1);
        Counters::add(&self.counters.compacted_bytes, outcome.bytes_out);
        Ok(Some(outcome))
    }

    /// Writes and verifies the merged rows.
    fn write_merged(&self, inputs: &Inputs) -> Result<(Vec<Written>, CompactionOutcome)> {
        let mut output = MergedOutput::new(self, inputs);
        for table in &inputs.tables {
            output.push_table(table)?;
        }
        output.finish_segment()?;
        let outcome = CompactionOutcome { rows_out: output.rows, ..inputs.outcome };
        Ok((output.written, outcome))
    }

    /// Exchanges inputs and outputs, unless an input is gone meanwhile.
    fn publish_compaction(&self, inputs: &Inputs, written: Vec<Written>) -> Result<()> {
        let mut manifest = self.manifest.lock();
        let mut edits = Vec::with_capacity(inputs.places.len() + written.len());
        let state = manifest.state();
        let is_there = |id: &SegmentId, (table, partition): &(TableId, i64)| {
            let segment = state.segments.get(id);
            segment.is_some_and(|segment| segment.sections.iter().any(|section| section.is_at(*table, *partition)))
        };
        if inputs.places.iter().any(|(id, places)| !places.iter().all(|place| is_there(id, place))) {
            // A table was dropped or a partition expired while it was merged; the next choice does without it.
            return Ok(());
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
        settled_result
    }
}

/// Series of the sections of a segment in a partition.
fn series_in(version: &Version, state: &ManifestState, segment: &SegmentMeta, key: PartitionKey) -> u64 {
    // A damaged segment is not merged, nor are runs across it: its rows must keep their place when it is restored.
    let Some(open) = version.segments.get(&segment.id) else { return TOO_MANY_SERIES };
    let sections = segment.sections.iter().filter(|section| is_in(state, section, key));
    let open = sections.filter_map(|section| open.section(section.table, section.partition_start_ns));
    open.map(|section| section.series_count() as u64).sum()
}

fn is_in(state: &ManifestState, section: &SectionMeta, key: PartitionKey) -> bool {
    state.tables.get(&section.table).is_some_and(|table| {
        let width_ns = table.options.partition_ns;
        width_ns == key.width_ns && partition_of(section.time_range.start_ns, width_ns).start_ns == key.start_ns
    })
}

impl Inputs {
    fn collect(choice: &CompactionChoice, state: &ManifestState, version: &Version) -> Self {
        let mut tables: BTreeMap<TableId, Vec<(u64, Arc<Section>)>> = BTreeMap::new();
        let mut places: BTreeMap<SegmentId, Vec<(TableId, i64)>> = BTreeMap::new();
        let mut outcome = CompactionOutcome::default();
        for (id, segment) in &state.segments {
            if !(choice.first_order..=choice.last_order).contains(&segment.commit_order) {
                continue;
            }
            let Some(open) = version.segments.get(id) else { continue };
            for section in segment.sections.iter().filter(|section| is_in(state, section, choice.partition)) {
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
    writer: Option<SegmentWriter>,
    id: SegmentId,
    /// Of the segment that is being written: per table the series with their fingerprints.
    expected: Vec<ExpectedTable>,
    rows: u64,
    /// Rows of the table in the segment that is being written; a section counts them in 32 bits.
    table_rows: u64,
    written: Vec<Written>,
}

impl<'a> MergedOutput<'a> {
    fn new(store: &'a Store, inputs: &'a Inputs) -> Self {
        let id = SegmentId::default();
        Self { store, inputs, writer: None, id, expected: Vec::new(), rows: 0, table_rows: 0, written: Vec::new() }
    }

    /// Merges a table. Two passes over each series: the first tells its shape, the second copies its rows, so that a
    /// series may be longer than memory.
    fn push_table(&mut self, table: &InputTable) -> Result<()> {
        let snapshot =
            TableSnapshot::of_sections(Arc::clone(&table.schema), table.sections.clone(), table.tombstones.clone());
        let set = snapshot.series(&TagFilter::all(), TimeRange::ALL)?;
        let mut times = set.scan(&[], TimeRange::ALL);
        let mut rows = set.scan(&all_fields(&table.schema), TimeRange::ALL);
        let mut is_begun = false;
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
            let section_rows = self.table_rows + u64::from(shape.row_count);
            let is_full =
                section_rows > u64::from(u32::MAX) || self.writer.as_ref().is_some_and(|writer| self.is_full(writer));
            if is_begun && is_full {
                self.end_table()?;
                self.finish_segment()?;
                is_begun = false;
            }
            let mut writer = self.take_writer()?;
            if !is_begun {
                writer.begin_table(&table.schema)?;
                self.expected.push(ExpectedTable { schema: Arc::clone(&table.schema), series: Vec::new() });
                self.table_rows = 0;
                is_begun = true;
            }
            writer.begin_series(&set.get(series).key(), &shape)?;
            let fingerprint =
                copy_rows(&mut rows, series, &table.schema, &mut |times, fields| writer.append_rows(times, fields))?;
            self.writer = Some(writer);
            self.rows += u64::from(shape.row_count);
            self.table_rows += u64::from(shape.row_count);
            if let Some(expected) = self.expected.last_mut() {
                expected.series.push(fingerprint);
            }
        }
        if is_begun { self.end_table() } else { Ok(()) }
    }

    fn is_full(&self, writer: &SegmentWriter) -> bool {
        writer.buffered_bytes() as u64 >= self.store.options.compaction_bytes_max
    }

    fn take_writer(&mut self) -> Result<SegmentWriter> {
        if let Some(writer) = self.writer.take() {
            return Ok(writer);
        }
        self.id = self.store.take_segment_id();
        let origin =
            SegmentOrigin { commit_order: self.inputs.commit_order, deletes_applied: self.inputs.deletes_applied };
        let path = self.store.dir.segment(self.id);
        SegmentWriter::create_with_origin(Arc::clone(&self.store.io), &path, self.id, origin)
    }

    fn end_table(&mut self) -> Result<()> {
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
        verify(&segment, &expected)?;
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
fn verify(segment: &Segment, expected: &[ExpectedTable]) -> Result<()> {
    segment.verify_all()?;
    for ExpectedTable { schema, series: fingerprints } in expected {
        let sections = segment.sections().iter().filter(|section| section.table_id() == schema.id);
        let sections = sections.map(|section| (0, Arc::clone(section))).collect();
        let snapshot = TableSnapshot::of_sections(Arc::clone(schema), sections, Vec::new());
        let set: SeriesSet = snapshot.series(&TagFilter::all(), TimeRange::ALL)?;
        let mut scan = set.scan(&all_fields(schema), TimeRange::ALL);
        let mut previous: Option<SeriesKey> = None;
        let mut is_same = set.len() == fingerprints.len();
        for (series, expected) in fingerprints.iter().enumerate().take(set.len()) {
            let found = copy_rows(&mut scan, series, schema, &mut |_, _| Ok(()))?;
            let key = set.get(series).key();
            is_same &= found == *expected && previous.as_ref().is_none_or(|previous| *previous < key);
            previous = Some(key);
        }
        if !is_same {
            return Err(Error::invalid(format!(
                "a compaction of table '{}' came out different from its inputs, which stay as they are: report this",
                schema.name
            )));
        }
    }
    Ok(())
}
