//! The whole database as a query sees it.

use std::sync::Arc;

use super::table::TableSnapshot;
use super::version::Version;
use crate::error::{Error, Result};
use crate::memtable::Memtable;
use crate::types::{CommitSeq, TableId, TableSchema};

/// The database at one commit. Cheap to clone; nothing that happens later changes what it shows.
#[derive(Debug, Clone)]
pub struct Snapshot {
    version: Arc<Version>,
    /// Oldest first.
    memtables: Arc<[Arc<Memtable>]>,
    visible: CommitSeq,
    /// When it was taken: rows that had expired then are not shown, whether or not they are dropped yet.
    taken_ns: i64,
    /// The only namespace that is shown; all when there is none.
    namespace: Option<Arc<str>>,
}

impl Snapshot {
    pub(crate) fn new(
        version: Arc<Version>,
        memtables: Arc<[Arc<Memtable>]>,
        visible: CommitSeq,
        taken_ns: i64,
    ) -> Self {
        Self { version, memtables, visible, taken_ns, namespace: None }
    }

    /// The same database as if it held nothing but one namespace: tables of others are neither listed nor found.
    #[must_use]
    pub fn confined_to(self, namespace: Arc<str>) -> Self {
        Self { namespace: Some(namespace), ..self }
    }

    fn shows(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|only| only == namespace)
    }

    /// The last commit that the snapshot shows.
    pub fn commit_seq(&self) -> CommitSeq {
        self.visible
    }

    /// The schemas of all tables.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<TableSchema>> {
        self.version.schemas().filter(|schema| self.shows(&schema.namespace))
    }

    /// One table by id.
    ///
    /// # Errors
    /// As [`Snapshot::table`].
    pub fn table_by_id(&self, id: TableId) -> Result<TableSnapshot> {
        let state = self.version.tables.get(&id);
        let state = state.ok_or_else(|| Error::TableNotFound { name: format!("with id {id}") })?;
        self.table(&state.schema.namespace, &state.schema.name)
    }

    /// One table.
    ///
    /// # Errors
    /// `TableNotFound`.
    pub fn table(&self, namespace: &str, name: &str) -> Result<TableSnapshot> {
        let state = self.version.table(namespace, name).filter(|_| self.shows(namespace));
        let state = state.ok_or_else(|| Error::TableNotFound { name: name.to_owned() })?;
        Ok(TableSnapshot::new(Arc::clone(state), Arc::clone(&self.memtables), self.visible, self.taken_ns))
    }
}
