//! A version of the database: its tables and the segments that hold their rows. Immutable; a change makes a new one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};

use hashbrown::HashMap;
use parking_lot::Mutex;

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
    index: OnceLock<Arc<SeriesIndex>>,
    /// The series in memory that the last query found beside them.
    beside: Mutex<Option<Beside>>,
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
    pub(crate) fn new(sections: Vec<(u64, Arc<Section>)>) -> Self {
        let (commit_orders, sections) = sections.into_iter().unzip();
        Self { sections, commit_orders, index: OnceLock::new(), beside: Mutex::default() }
    }

    /// The merged directory; built by the first caller.
    pub(crate) fn index(&self, schema: &TableSchema) -> Result<Arc<SeriesIndex>> {
        if let Some(index) = self.index.get() {
            return Ok(Arc::clone(index));
        }
        // Two first callers may both build it; they build the same.
        let built = Arc::new(SeriesIndex::build(schema, &self.sections));
        Ok(Arc::clone(self.index.get_or_init(|| built)))
    }

    /// The series of whole directories, beside those of `index`, which is that of the sections.
    pub(super) fn memory_series(&self, index: &SeriesIndex, directories: Vec<Arc<MemoryDirectory>>) -> MemorySeries {
        if let Some(known) = &*self.beside.lock()
            && known.is_of(&directories)
        {
            return MemorySeries { index: Arc::clone(&known.index), directories };
        }
        let built = Arc::new(MemoryIndex::new(index, &directories));
        let names = directories.iter().map(Arc::downgrade).collect();
        *self.beside.lock() = Some(Beside { directories: names, index: Arc::clone(&built) });
        MemorySeries { index: built, directories }
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
        let mut version = Self { segments, damaged, ..Self::default() };
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
                None => Arc::new(SectionSet::new(sections)),
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
