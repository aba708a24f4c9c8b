//! A version of the database: its tables and the segments that hold their rows. Immutable; a change makes a new one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;

use super::index::SeriesIndex;
use crate::error::Result;
use crate::segment::{Section, Segment};
use crate::types::{SegmentId, TableId, TableSchema, TimeRange};

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
    /// Oldest first.
    pub(crate) segments: BTreeMap<SegmentId, Arc<Segment>>,
    pub(crate) damaged: BTreeMap<SegmentId, Arc<DamagedSegment>>,
}

/// A table and its sections at one manifest version.
#[derive(Debug)]
pub(crate) struct TableState {
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) sections: Arc<SectionSet>,
    /// Damaged segments that hold rows of the table, with the times of these.
    pub(crate) damages: Vec<(TimeRange, Arc<DamagedSegment>)>,
}

/// The sections of a table, oldest first, with their merged directory.
#[derive(Debug)]
pub(crate) struct SectionSet {
    pub(crate) sections: Vec<Arc<Section>>,
    index: OnceLock<Arc<SeriesIndex>>,
}

impl SectionSet {
    /// The merged directory; built by the first caller.
    pub(crate) fn index(&self, schema: &TableSchema) -> Result<Arc<SeriesIndex>> {
        if let Some(index) = self.index.get() {
            return Ok(Arc::clone(index));
        }
        // Two first callers may both build it; they build the same.
        let built = Arc::new(SeriesIndex::build(schema, &self.sections)?);
        Ok(Arc::clone(self.index.get_or_init(|| built)))
    }
}

impl Version {
    /// Puts tables and segments together; `previous` lends the directories of tables that did not change.
    pub(crate) fn new(
        schemas: impl IntoIterator<Item = Arc<TableSchema>>,
        segments: BTreeMap<SegmentId, Arc<Segment>>,
        damaged: BTreeMap<SegmentId, Arc<DamagedSegment>>,
        previous: Option<&Self>,
    ) -> Self {
        let mut by_table: HashMap<TableId, Vec<Arc<Section>>> = HashMap::new();
        for segment in segments.values() {
            for section in segment.sections() {
                by_table.entry(section.table_id()).or_default().push(Arc::clone(section));
            }
        }
        let mut version = Self { segments, damaged, ..Self::default() };
        for schema in schemas {
            let sections = by_table.remove(&schema.id).unwrap_or_default();
            let damages = version.damaged.values().flat_map(|damage| {
                let own = damage.sections.iter().filter(|(table, _)| *table == schema.id);
                own.map(|(_, range)| (*range, Arc::clone(damage)))
            });
            let damages = damages.collect();
            let kept = previous.and_then(|previous| previous.tables.get(&schema.id)).filter(|old| {
                old.schema.tags == schema.tags
                    && old.sections.sections.len() == sections.len()
                    && old.sections.sections.iter().zip(&sections).all(|(a, b)| Arc::ptr_eq(a, b))
            });
            let sections = match kept {
                Some(old) => Arc::clone(&old.sections),
                None => Arc::new(SectionSet { sections, index: OnceLock::new() }),
            };
            version.names.insert((schema.namespace.clone(), schema.name.clone()), schema.id);
            version.tables.insert(schema.id, Arc::new(TableState { schema, sections, damages }));
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
