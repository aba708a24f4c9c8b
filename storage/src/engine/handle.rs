//! The handle that the layers above hold.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::alter::TableChange;
use super::background;
use super::catalog::IfExists;
use super::compaction::Effort;
use super::core::Core;
use super::delete::DeleteReceipt;
use super::inventory::SegmentInfo;
use super::maintenance;
use super::open;
use super::options::{Ack, Background, EngineOptions, WriteReceipt};
use super::recovery_report::{RecoveryEvent, RecoveryReport};
use super::scrub::{Corruption, ScrubReport};
use super::stats::EngineStats;
use super::task_log::TaskRecord;
use crate::error::{Error, Result};
use crate::io::{Io, IoLock, RealIo};
use crate::snapshot::{Snapshot, TagFilter};
use crate::types::{FieldType, SeriesBatch, TableId, TableSchema, TableSpec, TimeRange, Tombstone};

/// One open database directory. All methods may be called from several threads.
///
/// Dropping the handle closes it as [`Engine::close`] does, without a way to see an error.
#[derive(Debug)]
pub struct Engine {
    core: Arc<Core>,
    report: RecoveryReport,
    /// The flush and the maintenance thread.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held until the close, so that no other process writes.
    lock: Mutex<Option<Box<dyn IoLock>>>,
}

impl Engine {
    /// Opens the database in `dir` on the file system of the machine; creates it when absent.
    ///
    /// # Errors
    /// `Locked` when it is open elsewhere; `Io`; `UnsupportedVersion`. Damaged data is no error: see
    /// [`Engine::recovery_report`].
    pub fn open(dir: &Path, options: EngineOptions) -> Result<Self> {
        Self::open_with(Arc::new(RealIo), dir, options)
    }

    /// Opens the database in `dir` on a given file system.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_with(io: Arc<dyn Io>, dir: &Path, options: EngineOptions) -> Result<Self> {
        let opened = open::open(io, dir, options)?;
        let threads = match options.background {
            Background::Thread => vec![background::spawn(&opened.core)?, maintenance::spawn(&opened.core)?],
            Background::Caller => Vec::new(),
        };
        Ok(Self {
            core: opened.core,
            report: opened.report,
            threads: Mutex::new(threads),
            lock: Mutex::new(Some(opened.lock)),
        })
    }

    /// What the open found and did.
    pub fn recovery_report(&self) -> &RecoveryReport {
        &self.report
    }

    /// Everything that the open found and did, one event after the other.
    pub fn recovery_events(&self) -> &[RecoveryEvent] {
        &self.report.events
    }

    /// Every damage of segments that is known now: found by the open, by queries or by a scrub.
    pub fn corruption(&self) -> Vec<Corruption> {
        self.core.corruption()
    }

    /// Checks every byte of every segment, beside reads and writes. What it finds is in [`Engine::corruption`].
    ///
    /// # Errors
    /// `Io` for what is no damage of a file; `Closed`.
    pub fn scrub(&self) -> Result<ScrubReport> {
        self.core.scrub()
    }

    /// Creates a table.
    ///
    /// # Errors
    /// `TableExists`; `InvalidInput` for a declaration that makes no sense; `Io`.
    pub fn create_table(&self, spec: &TableSpec) -> Result<Arc<TableSchema>> {
        let _open = self.core.stay_open()?;
        let created = self.core.store.create_tables(std::slice::from_ref(spec), IfExists::Fail)?;
        created.into_iter().next().ok_or(Error::Closed)
    }

    /// Gives the table of each declaration, creating those that are missing with one sync for all.
    ///
    /// # Errors
    /// `InvalidInput` for a declaration that makes no sense; `Io`.
    pub fn ensure_tables(&self, specs: &[TableSpec]) -> Result<Vec<Arc<TableSchema>>> {
        let _open = self.core.stay_open()?;
        self.core.store.create_tables(specs, IfExists::Keep)
    }

    /// Drops a table with its rows.
    ///
    /// # Errors
    /// `TableNotFound`; `Io`.
    pub fn drop_table(&self, namespace: &str, name: &str) -> Result<()> {
        let _open = self.core.stay_open()?;
        self.core.store.drop_table(namespace, name)
    }

    /// Adds the tags and fields that a table does not have yet.
    ///
    /// # Errors
    /// `TableNotFound`; `InvalidInput` when a name is taken by a column of another role or type; `Io`.
    pub fn add_columns(
        &self,
        table: TableId,
        tags: &[String],
        fields: &[(String, FieldType)],
    ) -> Result<Arc<TableSchema>> {
        let _open = self.core.stay_open()?;
        self.core.store.add_columns(table, tags, fields)
    }

    /// A table by name.
    ///
    /// # Errors
    /// `TableNotFound`.
    pub fn table(&self, namespace: &str, name: &str) -> Result<Arc<TableSchema>> {
        let version = self.core.store.memtables.version();
        let table = version.table(namespace, name).ok_or_else(|| Error::TableNotFound { name: name.to_owned() })?;
        Ok(Arc::clone(&table.schema))
    }

    /// All tables, oldest first.
    pub fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.core.store.memtables.version().schemas().cloned().collect()
    }

    /// Writes batches of one or several tables as one commit: after a crash and for every reader it is there whole or
    /// not at all.
    ///
    /// # Errors
    /// `Backpressure` when memory stays full for the deadline; `InvalidInput` or `TableNotFound` for batches that do not
    /// fit; `Io` and then `WalPoisoned` when the log cannot be written: the rows may or may not survive.
    pub fn write(&self, batches: Vec<SeriesBatch>, ack: Ack) -> Result<WriteReceipt> {
        let _open = self.core.stay_open()?;
        self.core.write(batches, ack)
    }

    /// The database as it is now.
    pub fn snapshot(&self) -> Snapshot {
        self.core.store.snapshot()
    }

    /// Writes all rows in memory to a segment.
    ///
    /// # Errors
    /// `Io`; the rows stay in memory and in the log.
    pub fn flush(&self) -> Result<()> {
        let _open = self.core.stay_open()?;
        self.core.flush()
    }

    /// Deletes the rows of a table whose time is in `range` and whose tags satisfy `filter`. They are gone for every later
    /// snapshot, durably, when this returns; their space comes back with compaction.
    ///
    /// # Errors
    /// `TableNotFound`; `Corruption` when the rows cannot be counted; `Io`.
    pub fn delete(&self, table: TableId, filter: &TagFilter, range: TimeRange) -> Result<DeleteReceipt> {
        let _open = self.core.stay_open()?;
        self.core.delete(table, filter, range)
    }

    /// Changes a table.
    ///
    /// # Errors
    /// `TableNotFound`, `TableExists`; `InvalidInput` for a change that the table does not allow; `Io`.
    pub fn alter_table(&self, table: TableId, change: &TableChange) -> Result<Arc<TableSchema>> {
        let _open = self.core.stay_open()?;
        self.core.alter_table(table, change)
    }

    /// Does the background work that is due now: retention, and compactions that pay.
    ///
    /// # Errors
    /// `Io`, `Corruption`; what was done before stays done.
    pub fn maintain(&self) -> Result<()> {
        let _open = self.core.stay_open()?;
        self.core.maintain(Effort::Background)
    }

    /// Flushes and merges every partition to one run, as far as memory allows.
    ///
    /// # Errors
    /// `Io`, `Corruption`; what was done before stays done.
    pub fn compact(&self) -> Result<()> {
        let _open = self.core.stay_open()?;
        self.core.flush()?;
        self.core.maintain(Effort::Full)
    }

    /// The segments, oldest file first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.core.segments()
    }

    /// The deletes that still hide rows.
    pub fn tombstones(&self) -> Vec<Tombstone> {
        self.core.tombstones()
    }

    /// Background work that ended lately, oldest first, then what runs now.
    pub fn tasks(&self) -> Vec<TaskRecord> {
        self.core.tasks.records()
    }

    /// Figures since the open.
    pub fn stats(&self) -> EngineStats {
        self.core.stats()
    }

    /// Flushes, stops the background threads and gives the directory free. A second call does nothing.
    ///
    /// # Errors
    /// `Io` from the flush; the engine is closed all the same, and the log keeps the rows for the next open.
    pub fn close(&self) -> Result<()> {
        // Writers that wait for memory are sent away; all other calls end before the lock is ours.
        self.core.store.memory.close();
        if std::mem::replace(&mut *self.core.closed.write(), true) {
            return Ok(());
        }
        self.core.flush_signal.stop();
        self.core.maintenance_signal.stop();
        for thread in self.threads.lock().drain(..) {
            // A panic of the thread was printed when it happened; the flush below does its work.
            let _ = thread.join();
        }
        let flushed = self.core.flush();
        let log_closed = self.core.wal.close();
        *self.lock.lock() = None;
        flushed.and(log_closed)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the last flush failed; the write-ahead log keeps the rows");
        }
    }
}
