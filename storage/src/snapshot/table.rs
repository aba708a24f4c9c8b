//! One table as a query sees it.

use std::sync::Arc;

#[cfg(test)]
use super::directory_budget::DirectoryBudget;
use super::filter::TagFilter;
use super::index::SeriesIndex;
use super::memory_index::MemorySeries;
use super::series_set::SeriesSet;
use super::version::{SectionSet, TableState};
use crate::error::{Error, Result};
use crate::memtable::Memtable;
use crate::segment::Section;
use crate::types::{CommitSeq, SeriesKey, TableSchema, TimeRange, Tombstone};

/// What a query does where rows cannot be read, because their segment is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DamagePolicy {
    /// It fails.
    #[default]
    Fail,
    /// It leaves them out and answers from the rest: where the later of two values of a row is left out, the earlier
    /// one shows.
    Skip,
}

/// One table of a snapshot. Cheap to clone; pins its segments and memtables.
#[derive(Debug, Clone)]
pub struct TableSnapshot {
    state: Arc<TableState>,
    /// Oldest first.
    memtables: Arc<[Arc<Memtable>]>,
    visible: CommitSeq,
    /// Times of rows that have not expired.
    unexpired: TimeRange,
    damage_policy: DamagePolicy,
}

impl TableSnapshot {
    pub(super) fn new(
        state: Arc<TableState>,
        memtables: Arc<[Arc<Memtable>]>,
        visible: CommitSeq,
        taken_ns: i64,
    ) -> Self {
        let unexpired = state.schema.options.unexpired(taken_ns);
        Self { state, memtables, visible, unexpired, damage_policy: DamagePolicy::Fail }
    }

    /// The table as a query sees it that does `policy` where rows cannot be read. Unless set, it fails there.
    #[must_use]
    pub fn on_damage(mut self, policy: DamagePolicy) -> Self {
        self.damage_policy = policy;
        self
    }

    /// The first damage that hides rows of the table in `range`: a segment that could not be opened.
    ///
    /// # Errors
    /// `Corruption` with its path.
    pub fn check_damage(&self, range: TimeRange) -> Result<()> {
        let hit = self.state.damages.iter().find(|(damaged, _)| damaged.overlaps(range));
        let Some((damaged, segment)) = hit else { return Ok(()) };
        let reason = format!(
            "table '{}' has rows from {} to {} ns in this segment, which cannot be opened ({}): query other times, allow \
             partial answers, or restore the file from a backup",
            self.schema().name,
            damaged.start_ns,
            damaged.end_ns,
            segment.reason
        );
        Err(Error::corruption(&segment.path, segment.offset, reason))
    }

    /// A table of given sections alone, without what is in memory.
    pub(crate) fn of_sections(
        schema: Arc<TableSchema>,
        sections: Vec<(u64, Arc<Section>)>,
        tombstones: Vec<Arc<Tombstone>>,
    ) -> Self {
        let sections = Arc::new(SectionSet::new(sections, &Arc::default()));
        let state = Arc::new(TableState { schema, sections, tombstones, damages: Vec::new() });
        let (memtables, visible) = (Arc::new([]), CommitSeq::default());
        Self { state, memtables, visible, unexpired: TimeRange::ALL, damage_policy: DamagePolicy::Fail }
    }

    /// The schema of the table at the time of the snapshot.
    pub fn schema(&self) -> &Arc<TableSchema> {
        &self.state.schema
    }

    /// Bounds of the times of all rows that can be read; `None` when there is none.
    pub fn time_range(&self) -> Option<TimeRange> {
        let stored = self.sections().iter().map(|section| section.time_range());
        let memory = self
            .memtables
            .iter()
            .flat_map(|memtable| memtable.series_with_prefix(self.schema().id, &[]))
            .filter_map(|(_, buffer)| buffer.time_bounds());
        stored
            .chain(memory)
            .map(|range| range.intersect(self.unexpired))
            .filter(|range| !range.is_empty())
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

    /// Whether the table has a series, deleted or expired ones that were not dropped yet included.
    ///
    /// # Errors
    /// `Corruption` when a directory is damaged.
    pub fn has_series(&self, key: &SeriesKey) -> Result<bool> {
        let table = self.schema().id;
        // The first series from the key on is the one itself or a longer one.
        let in_memory = |memtable: &Arc<Memtable>| {
            memtable.series_with_prefix(table, key.as_bytes()).next().is_some_and(|(found, _)| found == *key)
        };
        if self.memtables.iter().any(in_memory) {
            return Ok(true);
        }
        Ok(self.index()?.find(&key.decode(self.schema().tags.len())).is_ok())
    }

    /// Series of the memtable or section that has most of them: those of about one partition, without the work of finding
    /// which series of several sections are the same; nothing is walked.
    pub fn series_count_estimate(&self) -> u64 {
        let memory = self.memtables.iter().map(|memtable| memtable.series_count(self.schema().id));
        let stored = self.sections().iter().map(|section| section.series_count());
        stored.chain(memory).max().unwrap_or(0) as u64
    }

    /// Number of segment sections that hold rows of the table.
    pub fn section_count(&self) -> usize {
        self.sections().len()
    }

    /// The series whose tags satisfy `filter` and that may have a row in `range` that has not expired, in key order.
    ///
    /// # Errors
    /// `Corruption` when a segment with rows of the table in `range` could not be opened and the policy is to fail;
    /// `DirectoryTooLarge` when there are more series than the memory budget allows.
    pub fn series(&self, filter: &TagFilter, range: TimeRange) -> Result<SeriesSet> {
        let range = range.intersect(self.unexpired);
        if self.damage_policy == DamagePolicy::Fail {
            self.check_damage(range)?;
        }
        SeriesSet::build(self.clone(), filter, range)
    }

    pub(super) fn damage_policy(&self) -> DamagePolicy {
        self.damage_policy
    }

    pub(super) fn index(&self) -> Result<Arc<SeriesIndex>> {
        self.state.sections.index(&self.state.schema)
    }

    /// The series in memory whose keys start with `prefix`, beside those of `index`; `None` when there are none.
    ///
    /// # Errors
    /// `DirectoryTooLarge`.
    pub(super) fn memory_series(&self, index: &SeriesIndex, prefix: &[u8]) -> Result<Option<MemorySeries>> {
        let (schema, sections) = (&self.state.schema, &self.state.sections);
        let table = schema.id;
        let directory = |memtable: &Arc<Memtable>| match prefix {
            [] => memtable.directory(table),
            prefix => memtable.directory_of_prefix(table, prefix),
        };
        let mut directories: Vec<_> = self.memtables.iter().map(directory).collect();
        directories.retain(|directory| !directory.is_empty());
        if directories.is_empty() {
            return Ok(None);
        }
        if prefix.is_empty() {
            return sections.memory_series(schema, index, directories).map(Some);
        }
        // Few series mostly: not kept.
        let index = sections.memory_index(schema, index, &directories)?;
        Ok(Some(MemorySeries { index, directories }))
    }

    /// The same table without what is in memory.
    pub(crate) fn sections_only(&self) -> Self {
        Self { memtables: Arc::new([]), ..self.clone() }
    }

    /// The same table with the rows that have expired and were not dropped yet.
    pub(crate) fn with_expired(&self) -> Self {
        Self { unexpired: TimeRange::ALL, ..self.clone() }
    }

    /// The largest commit order of its sections; `None` when it has none.
    pub(crate) fn commit_order_max(&self) -> Option<u64> {
        self.commit_orders().last().copied()
    }

    /// The distinct values of a tag (position in `TableSchema::tags`) in segments, sorted.
    ///
    /// # Errors
    /// `DirectoryTooLarge`.
    pub(crate) fn tag_values(&self, tag: usize) -> Result<Vec<String>> {
        let index = self.index()?;
        Ok(index.tags.get(tag).map_or_else(Vec::new, |tag| tag.values.iter().flatten().map(str::to_owned).collect()))
    }

    /// What its directories draw on.
    #[cfg(test)]
    pub(super) fn directory_budget(&self) -> Arc<DirectoryBudget> {
        Arc::clone(&self.state.sections.budget)
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

    pub(super) fn visible(&self) -> CommitSeq {
        self.visible
    }
}
