//! A version of the database: its tables and the segments that hold their rows. Immutable; a change makes a new one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use hashbrown::HashMap;
use parking_lot::Mutex;

use super::directory_budget::DirectoryBudget;
use super::index::SeriesIndex;
use super::memory_index::{MemoryIndex, MemorySeries};
use crate::error::Result;
use crate::manifest::ManifestState;
use crate::memtable::MemoryDirectory;
use crate::segment::{Section, Segment};
use crate::types::{SegmentId, TableId, TableSchema, TimeRange, Tombstone};

/// A segment of the manifest that could not be opened.
#[derive(Debug, Clone)]
pub(crate) struct DamagedSegment {
    pub(crate) path: PathBuf,
    pub(crate) offset: u64,
    /// Tables that have rows in it, and the times of these.
    pub(crate) sections: Vec<(TableId, TimeRange)>,
    /// What the open said.
    pub(crate) reason: String,
}

/// Tables and segments at one manifest version.
#[derive(Debug, Clone, Default)]
pub(crate) struct Version {
    pub(crate) tables: BTreeMap<TableId, Arc<TableState>>,
    names: HashMap<(String, String), TableId>,
    pub(crate) segments: BTreeMap<SegmentId, Arc<Segment>>,
    pub(crate) damaged: BTreeMap<SegmentId, Arc<DamagedSegment>>,
    /// What the merged directories of its tables draw on.
    pub(crate) directories: Arc<DirectoryBudget>,
}

/// A table and its sections at one manifest version.
#[derive(Debug)]
pub(crate) struct TableState {
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) sections: Arc<SectionSet>,
    /// Deletes that may affect its sections, oldest first.
    pub(crate) tombstones: Vec<Arc<Tombstone>>,
    /// Damaged segments that hold rows of the table, with the times of these.
    pub(crate) damages: Vec<(TimeRange, Arc<DamagedSegment>)>,
}

/// The sections of a table in commit order, oldest first, with their merged directory.
#[derive(Debug)]
pub(crate) struct SectionSet {
    pub(crate) sections: Vec<Arc<Section>>,
    /// The commit order of each section's segment.
    pub(crate) commit_orders: Vec<u64>,
    index: Mutex<Option<Arc<SeriesIndex>>>,
    /// The series in memory that the last query found beside them.
    beside: Mutex<Option<Beside>>,
    pub(super) budget: Arc<DirectoryBudget>,
}

/// What is in memory beside the sections. Directories are named and not held: their rows would stay.
#[derive(Debug)]
struct Beside {
    directories: Vec<Weak<MemoryDirectory>>,
    index: Arc<MemoryIndex>,
}

impl Beside {
    fn is_of(&self, directories: &[Arc<MemoryDirectory>]) -> bool {
        self.directories.len() == directories.len()
            && self.directories.iter().zip(directories).all(|(known, given)| std::ptr::eq(known.as_ptr(), &**given))
    }
}

impl SectionSet {
    /// A set of sections with their commit orders, which ascend.
    pub(crate) fn new(sections: Vec<(u64, Arc<Section>)>, budget: &Arc<DirectoryBudget>) -> Self {
        let (commit_orders, sections) = sections.into_iter().unzip();
        let (index, beside, budget) = (Mutex::default(), Mutex::default(), Arc::clone(budget));
        Self { sections, commit_orders, index, beside, budget }
    }

    /// The merged directory; built by the first caller, for whom the others wait.
    ///
    /// # Errors
    /// `DirectoryTooLarge`.
    pub(crate) fn index(self: &Arc<Self>, schema: &TableSchema) -> Result<Arc<SeriesIndex>> {
        let mut index = self.index.lock();
        if let Some(index) = &*index {
            return Ok(Arc::clone(index));
        }
        let bytes = self.budget.take(SeriesIndex::building_bytes(schema, &self.sections), &schema.name)?;
        let built = Arc::new(SeriesIndex::build(schema, &self.sections, bytes));
        *index = Some(Arc::clone(&built));
        self.budget.register(self);
        Ok(built)
    }

    /// Drops the merged directory and what is beside it, unless a query uses or builds it.
    pub(super) fn drop_unused(&self) {
        if let Some(mut beside) = self.beside.try_lock()
            && beside.as_ref().is_some_and(|beside| Arc::strong_count(&beside.index) == 1)
        {
            *beside = None;
        }
        if let Some(mut index) = self.index.try_lock()
            && index.as_ref().is_some_and(|index| Arc::strong_count(index) == 1)
        {
            *index = None;
        }
    }

    /// The series of whole directories, beside those of `index`, which is that of the sections.
    ///
    /// # Errors
    /// `DirectoryTooLarge`.
    pub(super) fn memory_series(
        &self,
        schema: &TableSchema,
        index: &SeriesIndex,
        directories: Vec<Arc<MemoryDirectory>>,
    ) -> Result<MemorySeries> {
        if let Some(known) = &*self.beside.lock()
            && known.is_of(&directories)
        {
            return Ok(MemorySeries { index: Arc::clone(&known.index), directories });
        }
        let bytes = MemoryIndex::bytes_max(index, &directories) + MemoryIndex::list_bytes_max(index);
        let bytes = self.budget.take(bytes, &schema.name)?;
        let built = Arc::new(MemoryIndex::new(index, &directories, bytes));
        let names = directories.iter().map(Arc::downgrade).collect();
        *self.beside.lock() = Some(Beside { directories: names, index: Arc::clone(&built) });
        Ok(MemorySeries { index: built, directories })
    }

    /// Puts the series of directories, which are a part of all, beside those of `index` for a moment.
    ///
    /// # Errors
    /// `DirectoryTooLarge`.
    pub(super) fn memory_index(
        &self,
        schema: &TableSchema,
        index: &SeriesIndex,
        directories: &[Arc<MemoryDirectory>],
    ) -> Result<Arc<MemoryIndex>> {
        let bytes = self.budget.take(MemoryIndex::bytes_max(index, directories), &schema.name)?;
        Ok(Arc::new(MemoryIndex::new(index, directories, bytes)))
    }
}

impl Version {
    /// Puts together what the manifest says and the segments of it that are open; `previous` lends the directories of
    /// tables that did not change.
    pub(crate) fn new(
        state: &ManifestState,
        segments: BTreeMap<SegmentId, Arc<Segment>>,
        damaged: BTreeMap<SegmentId, Arc<DamagedSegment>>,
        previous: Option<&Self>,
        directories: &Arc<DirectoryBudget>,
    ) -> Self {
        let mut by_table: HashMap<TableId, Vec<(u64, Arc<Section>)>> = HashMap::new();
        for (id, meta) in &state.segments {
            let Some(segment) = segments.get(id) else { continue };
            for place in &meta.sections {
                // Opening a segment has checked that it has every section that the manifest names.
                if let Some(section) = segment.section(place.table, place.partition_start_ns) {
                    by_table.entry(place.table).or_default().push((meta.commit_order, Arc::clone(section)));
                }
            }
        }
        let mut tombstones: HashMap<TableId, Vec<Arc<Tombstone>>> = HashMap::new();
        for tombstone in state.tombstones.values() {
            tombstones.entry(tombstone.table).or_default().push(Arc::clone(tombstone));
        }
        let mut version = Self { segments, damaged, directories: Arc::clone(directories), ..Self::default() };
        for schema in state.tables.values() {
            let mut sections = by_table.remove(&schema.id).unwrap_or_default();
            // Stable: the parts of one run, of equal order, stay in the order of their segments.
            sections.sort_by_key(|(commit_order, _)| *commit_order);
            let damages = version.damaged.values().flat_map(|damage| {
                let own = damage.sections.iter().filter(|(table, _)| *table == schema.id);
                own.map(|(_, range)| (*range, Arc::clone(damage)))
            });
            let damages = damages.collect();
            let kept = previous.and_then(|previous| previous.tables.get(&schema.id)).filter(|old| {
                old.schema.tags == schema.tags
                    && old.sections.sections.len() == sections.len()
                    && old.sections.sections.iter().zip(&sections).all(|(a, (_, b))| Arc::ptr_eq(a, b))
            });
            let sections = match kept {
                Some(old) => Arc::clone(&old.sections),
                None => Arc::new(SectionSet::new(sections, directories)),
            };
            let tombstones = tombstones.remove(&schema.id).unwrap_or_default();
            version.names.insert((schema.namespace.clone(), schema.name.clone()), schema.id);
            let table = TableState { schema: Arc::clone(schema), sections, tombstones, damages };
            version.tables.insert(schema.id, Arc::new(table));
        }
        version
    }

    /// A table by name.
    pub(crate) fn table(&self, namespace: &str, name: &str) -> Option<&Arc<TableState>> {
        // A lookup without two allocations: names are few and short, and the query path does it once.
        self.tables.get(self.names.get(&(namespace.to_owned(), name.to_owned()))?)
    }

    /// The schemas of all tables.
    pub(crate) fn schemas(&self) -> impl Iterator<Item = &Arc<TableSchema>> {
        self.tables.values().map(|table| &table.schema)
    }
}
