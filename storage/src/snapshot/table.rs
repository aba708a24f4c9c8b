//! One table as a query sees it.

use std::sync::Arc;

use super::filter::TagFilter;
use super::index::SeriesIndex;
use super::series_set::SeriesSet;
use super::version::{SectionSet, TableState};
use crate::error::Result;
use crate::memtable::Memtable;
use crate::segment::Section;
use crate::types::{CommitSeq, TableSchema, TimeRange, Tombstone};

/// One table of a snapshot. Cheap to clone; pins its segments and memtables.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    state: Arc<TableState>,
    /// Oldest first.
    memtables: Arc<[Arc<Memtable>]>,
    visible: CommitSeq,
}

impl TableSnapshot {
    pub(super) fn new(state: Arc<TableState>, memtables: Arc<[Arc<Memtable>]>, visible: CommitSeq) -> Self {
        Self { state, memtables, visible }
    }

    /// A table of given sections alone, without what is in memory.
    pub(crate) fn of_sections(
        schema: Arc<TableSchema>,
        sections: Vec<(u64, Arc<Section>)>,
        tombstones: Vec<Arc<Tombstone>>,
    ) -> Self {
        let sections = Arc::new(SectionSet::new(sections));
        let state = Arc::new(TableState { schema, sections, tombstones, damage: None });
        Self { state, memtables: Arc::new([]), visible: CommitSeq::default() }
    }

    /// The schema of the table at the time of the snapshot.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.state.schema
    }

    /// Bounds of the times of all rows; `None` when the table is empty.
    pub fn time_range(&self) -> Option<TimeRange> {
        let stored = self.sections().iter().map(|section| section.time_range());
        let memory = self
            .memtables
            .iter()
            .flat_map(|memtable| memtable.series_with_prefix(self.schema().id, &[]))
            .filter_map(|(_, buffer)| buffer.time_bounds());
        stored
            .chain(memory)
            .reduce(|a, b| TimeRange { start_ns: a.start_ns.min(b.start_ns), end_ns: a.end_ns.max(b.end_ns) })
    }

    /// Rows before duplicates are resolved.
    pub fn row_count_estimate(&self) -> u64 {
        let stored: u64 = self.sections().iter().map(|section| u64::from(section.row_count())).sum();
        let memory: u64 = self
            .memtables
            .iter()
            .flat_map(|memtable| memtable.series_with_prefix(self.schema().id, &[]))
            .map(|(_, buffer)| buffer.row_count() as u64)
            .sum();
        stored + memory
    }

    /// Number of segment sections that hold rows of the table.
    pub fn section_count(&self) -> usize {
        self.sections().len()
    }

    /// The series whose tags satisfy `filter` and that may have a row in `range`, in key order.
    ///
    /// # Errors
    /// `Corruption` when a directory is damaged.
    pub fn series(&self, filter: &TagFilter, range: TimeRange) -> Result<SeriesSet> {
        SeriesSet::build(self.clone(), filter, range)
    }

    pub(super) fn index(&self) -> Result<Arc<SeriesIndex>> {
        self.state.sections.index(&self.state.schema)
    }

    /// The same table without what is in memory.
    pub(crate) fn sections_only(&self) -> Self {
        Self { memtables: Arc::new([]), ..self.clone() }
    }

    /// The largest commit order of its sections; `None` when it has none.
    pub(crate) fn commit_order_max(&self) -> Option<u64> {
        self.commit_orders().last().copied()
    }

    /// The distinct values of a tag (position in `TableSchema::tags`) in segments, sorted.
    ///
    /// # Errors
    /// `Corruption` when a directory is damaged.
    pub(crate) fn tag_values(&self, tag: usize) -> Result<Vec<String>> {
        let index = self.index()?;
        Ok(index.tags.get(tag).map_or_else(Vec::new, |tag| tag.values.iter().flatten().map(str::to_owned).collect()))
    }

    pub(super) fn commit_orders(&self) -> &[u64] {
        &self.state.sections.commit_orders
    }

    pub(super) fn tombstones(&self) -> &[Arc<Tombstone>] {
        &self.state.tombstones
    }

    pub(super) fn sections(&self) -> &[Arc<Section>] {
        &self.state.sections.sections
    }

    pub(super) fn memtables(&self) -> &[Arc<Memtable>] {
        &self.memtables
    }

    pub(super) fn visible(&self) -> CommitSeq {
        self.visible
    }
}
