//! The part of the storage engine that a protocol writer uses, as a trait, so that writers are tested without a disk.

use std::sync::Arc;

use lynxstore_storage::engine::{Ack, Engine};
use lynxstore_storage::types::{FieldType, SeriesBatch, SeriesKey, TableId, TableSchema, TableSpec};
use lynxstore_storage::{Error, Result};

use super::quota::SeriesCount;

/// What a protocol writer asks of the storage engine. All of it may be called from several threads at once.
pub trait Store: SeriesCount + Send + Sync {
    /// The table as it is now; `None` when there is none of that name.
    ///
    /// # Errors
    /// Whatever the engine reports but the absence of the table.
    fn table(&self, namespace: &str, name: &str) -> Result<Option<Arc<TableSchema>>>;

    /// Creates those of the tables that are absent, with one sync for all.
    ///
    /// # Errors
    /// `InvalidInput` for a declaration that makes no sense.
    fn ensure_tables(&self, specs: &[TableSpec]) -> Result<()>;

    /// Adds columns to a table.
    ///
    /// # Errors
    /// `InvalidInput` when one of the names is taken, `TableNotFound` when the table was dropped.
    fn add_columns(&self, table: TableId, tags: &[String], fields: &[(String, FieldType)]) -> Result<()>;

    /// Which of some series the table has. A store that does not know them takes all for new.
    ///
    /// # Errors
    /// `TableNotFound` when the table was dropped, `Corruption`.
    fn has_series(&self, _table: TableId, keys: &[SeriesKey]) -> Result<Vec<bool>> {
        Ok(vec![false; keys.len()])
    }

    /// Grows with every change of a table that makes kept ids of columns useless. A store that changes none says 0.
    fn table_changes(&self) -> u64 {
        0
    }

    /// Writes the batches as one atomic commit and returns when it is on disk.
    ///
    /// # Errors
    /// `TableNotFound` when a table was dropped, `Backpressure` when memory is full, and whatever the log reports.
    fn write_durably(&self, batches: Vec<SeriesBatch>) -> Result<()>;
}

impl SeriesCount for Arc<Engine> {
    fn series_count(&self, table: TableId) -> Option<u64> {
        Some(self.snapshot().table_by_id(table).ok()?.series_count_estimate())
    }

    fn series_total(&self, namespace: &str) -> u64 {
        let snapshot = self.snapshot();
        let own = snapshot.tables().filter(|schema| schema.namespace == namespace);
        own.filter_map(|schema| Some(snapshot.table_by_id(schema.id).ok()?.series_count_estimate())).sum()
    }
}

impl Store for Arc<Engine> {
    fn table(&self, namespace: &str, name: &str) -> Result<Option<Arc<TableSchema>>> {
        match Engine::table(self, namespace, name) {
            Ok(schema) => Ok(Some(schema)),
            Err(Error::TableNotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn ensure_tables(&self, specs: &[TableSpec]) -> Result<()> {
        Engine::ensure_tables(self, specs).map(drop)
    }

    fn add_columns(&self, table: TableId, tags: &[String], fields: &[(String, FieldType)]) -> Result<()> {
        Engine::add_columns(self, table, tags, fields).map(drop)
    }

    fn has_series(&self, table: TableId, keys: &[SeriesKey]) -> Result<Vec<bool>> {
        let table = self.snapshot().table_by_id(table)?;
        match keys.iter().map(|key| table.has_series(key)).collect() {
            // Nobody can tell within the memory: that rows are taken matters more than the quota.
            Err(Error::DirectoryTooLarge { .. }) => Ok(vec![true; keys.len()]),
            found => found,
        }
    }

    fn table_changes(&self) -> u64 {
        Engine::table_changes(self)
    }

    fn write_durably(&self, batches: Vec<SeriesBatch>) -> Result<()> {
        self.write(batches, Ack::Durable).map(drop)
    }
}
