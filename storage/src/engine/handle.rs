//! The handle that the layers above hold.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::allocator::keep_freed_memory;
use super::alter::TableChange;
use super::attachment::{Attachment, Refresh};
use super::background;
use super::backup::{self, BackupStats};
use super::catalog::IfExists;
use super::compaction::Effort;
use super::core::Core;
use super::database_dir::DatabaseDir;
use super::delete::DeleteReceipt;
use super::directory_lock;
use super::inventory::{self, SegmentInfo};
use super::maintenance;
use super::mover::{self, MoveSpeed};
use super::open;
use super::options::{Ack, Background, EngineOptions, SegmentReads, WriteReceipt};
use super::recovery_history::PastRecovery;
use super::recovery_report::{RecoveryEvent, RecoveryReport};
use super::scrub::{Corruption, ScrubReport, corruption};
use super::stats::EngineStats;
use super::task_log::TaskRecord;
use crate::error::{Error, Result};
use crate::io::{CopyingIo, Io, IoLock, RealIo};
use crate::snapshot::{Snapshot, TagFilter, Version};
use crate::types::{FieldType, SeriesBatch, TableId, TableSchema, TableSpec, TimeRange, Tombstone};

/// One open database directory. All methods may be called from several threads.
///
/// A directory has one engine that writes and any number that are open read-only, in this process or in others. Those
/// fail with `ReadOnly` whatever would change the database.
///
/// Dropping the handle closes it as [`Engine::close`] does, without a way to see an error.
#[derive(Debug)]
pub struct Engine {
    io: Arc<dyn Io>,
    root: PathBuf,
    mode: Mode,
}

#[derive(Debug)]
pub(super) enum Mode {
    Writing(Box<Writing>),
    ReadOnly(Box<Attachment>),
}

/// What only the writer has.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) core: Arc<Core>,
    report: RecoveryReport,
    history: Vec<PastRecovery>,
    /// The flush, the maintenance and the move thread.
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
        let io = reading(io, options.segment_reads);
        keep_freed_memory();
        let opened = open::open(Arc::clone(&io), dir, options)?;
        let threads = match options.background {
            Background::Thread => {
                let core = &opened.core;
                vec![background::spawn(core)?, maintenance::spawn(core)?, mover::spawn(core)?]
            }
            Background::Caller => Vec::new(),
        };
        let writing = Writing {
            core: opened.core,
            report: opened.report,
            history: opened.history,
            threads: Mutex::new(threads),
            lock: Mutex::new(Some(opened.lock)),
        };
        Ok(Self { io, root: dir.to_path_buf(), mode: Mode::Writing(Box::new(writing)) })
    }

    /// Opens a database read-only, also while another process writes it. Nothing is changed but a lease.
    ///
    /// It shows the newest state at that moment, whole commits in LSN order and all of them durable;
    /// [`Engine::refresh`] moves forward. Rows that were written as `Volatile` are seen once they are flushed. Of the
    /// options, the memory for unflushed rows counts.
    ///
    /// # Errors
    /// `InvalidInput` when there is no database; `Backpressure` when the unflushed rows do not fit into memory;
    /// `Changing`, `Io`, `UnsupportedVersion`; `Corruption` of the manifest.
    pub fn open_read_only(dir: &Path, options: EngineOptions) -> Result<Self> {
        Self::open_read_only_with(Arc::new(RealIo), dir, options)
    }

    /// Opens a database read-only on a given file system.
    ///
    /// # Errors
    /// As [`Engine::open_read_only`].
    pub fn open_read_only_with(io: Arc<dyn Io>, dir: &Path, options: EngineOptions) -> Result<Self> {
        let io = reading(io, options.segment_reads);
        let attachment = Attachment::open(Arc::clone(&io), dir, &options)?;
        Ok(Self { io, root: dir.to_path_buf(), mode: Mode::ReadOnly(Box::new(attachment)) })
    }

    /// Whether the engine was opened read-only.
    pub fn is_read_only(&self) -> bool {
        matches!(self.mode, Mode::ReadOnly(_))
    }

    /// Whether a lease of this engine keeps the writer from removing segments that it reads. A read-only engine has none
    /// where nothing can be written; what it has mapped stays readable all the same.
    pub fn is_leased(&self) -> bool {
        matches!(&self.mode, Mode::ReadOnly(attachment) if attachment.is_leased())
    }

    /// The process that opened the database for writing and did not close it, as an engine that is open read-only found
    /// it; `None` when there was none or it did not say so.
    pub fn writer_process(&self) -> Option<u32> {
        match &self.mode {
            Mode::Writing(_) => Some(std::process::id()),
            Mode::ReadOnly(attachment) => attachment.holder(),
        }
    }

    /// Moves an engine that is open read-only to the newest state; `None` for a writing one, which always shows it.
    /// Snapshots that were taken before stay as they are.
    ///
    /// # Errors
    /// As [`Engine::open_read_only`]; the state shown is the one before.
    pub fn refresh(&self) -> Result<Option<Refresh>> {
        match &self.mode {
            Mode::Writing(_) => Ok(None),
            Mode::ReadOnly(attachment) => attachment.refresh().map(Some),
        }
    }

    /// Backs the database up into a directory, while writes go on; see [`backup`](fn@super::backup).
    ///
    /// # Errors
    /// As [`backup`](fn@super::backup).
    pub fn backup(&self, destination: &Path) -> Result<BackupStats> {
        backup::backup_with(&self.io, &self.root, destination)
    }

    pub(super) fn mode(&self) -> &Mode {
        &self.mode
    }

    pub(super) fn writing(&self) -> Result<&Writing> {
        match &self.mode {
            Mode::Writing(writing) => Ok(writing),
            Mode::ReadOnly(attachment) => Err(attachment.refusal()),
        }
    }

    pub(super) fn version(&self) -> Arc<Version> {
        match &self.mode {
            Mode::Writing(writing) => writing.core.store.memtables.version(),
            Mode::ReadOnly(attachment) => attachment.version(),
        }
    }

    /// What the open found and did.
    pub fn recovery_report(&self) -> &RecoveryReport {
        match &self.mode {
            Mode::Writing(writing) => &writing.report,
            Mode::ReadOnly(attachment) => attachment.report(),
        }
    }

    /// Everything that the open found and did, one event after the other.
    pub fn recovery_events(&self) -> &[RecoveryEvent] {
        &self.recovery_report().events
    }

    /// What this and past openings and repairs found and did, oldest first: the newest few hundred events. Those of the
    /// last opening are all there.
    pub fn recovery_history(&self) -> &[PastRecovery] {
        match &self.mode {
            Mode::Writing(writing) => &writing.history,
            Mode::ReadOnly(attachment) => attachment.history(),
        }
    }

    /// Every damage of segments that is known now: found by the open, by queries or by a scrub.
    pub fn corruption(&self) -> Vec<Corruption> {
        corruption(&self.version(), &DatabaseDir::new(&self.root))
    }

    /// Checks every byte of every segment, beside reads and writes. What it finds is in [`Engine::corruption`].
    ///
    /// # Errors
    /// `Io` for what is no damage of a file; `Closed`; `ReadOnly`.
    pub fn scrub(&self) -> Result<ScrubReport> {
        self.writing()?.core.scrub()
    }

    /// Creates a table.
    ///
    /// # Errors
    /// `TableExists`; `InvalidInput` for a declaration that makes no sense; `Io`.
    pub fn create_table(&self, spec: &TableSpec) -> Result<Arc<TableSchema>> {
        let core = &self.writing()?.core;
        let _open = core.stay_open()?;
        let created = core.store.create_tables(std::slice::from_ref(spec), IfExists::Fail)?;
        created.into_iter().next().ok_or(Error::Closed)
    }

    /// Gives the table of each declaration, creating those that are missing with one sync for all.
    ///
    /// # Errors
    /// `InvalidInput` for a declaration that makes no sense; `Io`.
    pub fn ensure_tables(&self, specs: &[TableSpec]) -> Result<Vec<Arc<TableSchema>>> {
        let core = &self.writing()?.core;
        let _open = core.stay_open()?;
        core.store.create_tables(specs, IfExists::Keep)
    }

    /// Drops a table with its rows.
    ///
    /// # Errors
    /// `TableNotFound`; `Io`.
    pub fn drop_table(&self, namespace: &str, name: &str) -> Result<()> {
        let core = &self.writing()?.core;
        let _open = core.stay_open()?;
        core.store.drop_table(namespace, name)
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
        let core = &self.writing()?.core;
        let _open = core.stay_open()?;
        core.store.add_columns(table, tags, fields)
    }

    /// A table by name.
    ///
    /// # Errors
    /// `TableNotFound`.
    pub fn table(&self, namespace: &str, name: &str) -> Result<Arc<TableSchema>> {
        let version = self.version();
        let table = version.table(namespace, name).ok_or_else(|| Error::TableNotFound { name: name.to_owned() })?;
        Ok(Arc::clone(&table.schema))
    }

    /// All tables, oldest first.
    pub fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.version().schemas().cloned().collect()
    }

    /// Writes batches of one or several tables as one commit: after a crash and for every reader it is there whole or
    /// not at all.
    ///
    /// # Errors
    /// `Backpressure` when memory stays full for the deadline; `InvalidInput` or `TableNotFound` for batches that do not
    /// fit; `Io` and then `WalPoisoned` when the log cannot be written: the rows may or may not survive.
    pub fn write(&self, batches: Vec<SeriesBatch>, ack: Ack) -> Result<WriteReceipt> {
        let core = &self.writing()?.core;
        let _open = core.stay_open()?;
        let _span = tracing::debug_span!("commit", tables = batches.len()).entered();
        core.write(batches, ack)
    }

    /// The database as it is now.
    pub fn snapshot(&self) -> Snapshot {
        match &self.mode {
            Mode::Writing(writing) => writing.core.store.snapshot(),
            Mode::ReadOnly(attachment) => attachment.snapshot(),
        }
    }

    /// Writes all rows in memory to a segment.
    ///
    /// # Errors
    /// `Io`; the rows stay in memory and in the log.
    pub fn flush(&self) -> Result<()> {
        let core = &self.writing()?.core;
        let _open = core.stay_open()?;
        core.flush()
    }

    /// Deletes the rows of a table whose time is in `range` and whose tags satisfy `filter`. They are gone for every later
    /// snapshot, durably, when this returns; their space comes back with compaction.
    ///
    /// # Errors
    /// `TableNotFound`; `Corruption` when the rows cannot be counted; `Io`.
    pub fn delete(&self, table: TableId, filter: &TagFilter, range: TimeRange) -> Result<DeleteReceipt> {
        let core = &self.writing()?.core;
        let _open = core.stay_open()?;
        core.delete(table, filter, range)
    }

    /// Changes a table.
    ///
    /// # Errors
    /// `TableNotFound`, `TableExists`; `InvalidInput` for a change that the table does not allow; `Io`.
    pub fn alter_table(&self, table: TableId, change: &TableChange) -> Result<Arc<TableSchema>> {
        let core = &self.writing()?.core;
        let _open = core.stay_open()?;
        core.alter_table(table, change)
    }

    /// Does the background work that is due now: retention, compactions that pay, and moves to other tiers.
    ///
    /// # Errors
    /// `Io`, `Corruption`; what was done before stays done.
    pub fn maintain(&self) -> Result<()> {
        let core = &self.writing()?.core;
        let _open = core.stay_open()?;
        core.maintain(Effort::Background)?;
        core.move_due(MoveSpeed::Full)
    }

    /// Flushes and merges every partition to one run. A run of many series is more than one segment when memory is small.
    ///
    /// # Errors
    /// `Io`, `Corruption`; what was done before stays done.
    pub fn compact(&self) -> Result<()> {
        let core = &self.writing()?.core;
        let _open = core.stay_open()?;
        core.flush()?;
        core.maintain(Effort::Full)
    }

    /// The segments, oldest file first.
    pub fn segments(&self) -> Vec<SegmentInfo> {
        match &self.mode {
            Mode::Writing(writing) => inventory::segments(writing.core.store.manifest.lock().state()),
            Mode::ReadOnly(attachment) => inventory::segments(&attachment.manifest_state()),
        }
    }

    /// The deletes that still hide rows.
    pub fn tombstones(&self) -> Vec<Tombstone> {
        match &self.mode {
            Mode::Writing(writing) => inventory::tombstones(writing.core.store.manifest.lock().state()),
            Mode::ReadOnly(attachment) => inventory::tombstones(&attachment.manifest_state()),
        }
    }

    /// Background work of this engine that ended lately, oldest first, then what runs now.
    pub fn tasks(&self) -> Vec<TaskRecord> {
        match &self.mode {
            Mode::Writing(writing) => writing.core.tasks.records(),
            Mode::ReadOnly(_) => Vec::new(),
        }
    }

    /// The directory of the database.
    pub fn directory(&self) -> &Path {
        &self.root
    }

    /// How often a table was renamed, or a column renamed, dropped or widened since the open. Who keeps ids of columns looks
    /// whether it grew.
    pub fn table_changes(&self) -> u64 {
        match &self.mode {
            Mode::Writing(writing) => writing.core.table_changes.load(Ordering::Acquire),
            Mode::ReadOnly(_) => 0,
        }
    }

    /// Figures since the open.
    pub fn stats(&self) -> EngineStats {
        match &self.mode {
            Mode::Writing(writing) => writing.core.stats(),
            Mode::ReadOnly(attachment) => attachment.stats(),
        }
    }

    /// Flushes, stops the background threads and gives the directory free. A second call does nothing, nor does one on an
    /// engine that is open read-only: its lease ends when it is dropped.
    ///
    /// # Errors
    /// `Io` from the flush; the engine is closed all the same, and the log keeps the rows for the next open.
    pub fn close(&self) -> Result<()> {
        match &self.mode {
            Mode::Writing(writing) => writing.close(),
            Mode::ReadOnly(_) => Ok(()),
        }
    }
}

/// The file system that gives files as the option says.
fn reading(io: Arc<dyn Io>, reads: SegmentReads) -> Arc<dyn Io> {
    match reads {
        SegmentReads::Mapped => io,
        SegmentReads::Copied => Arc::new(CopyingIo::new(io)),
    }
}

impl Writing {
    fn close(&self) -> Result<()> {
        // Writers that wait for memory are sent away; all other calls end before the lock is ours.
        self.core.store.memory.close();
        if std::mem::replace(&mut *self.core.closed.write(), true) {
            return Ok(());
        }
        self.core.flush_signal.stop();
        self.core.maintenance_signal.stop();
        self.core.move_signal.stop();
        for thread in self.threads.lock().drain(..) {
            // A panic of the thread was printed when it happened; the flush below does its work.
            let _ = thread.join();
        }
        let flushed = self.core.flush();
        let log_closed = self.core.wal.close();
        if let Some(lock) = self.lock.lock().take() {
            directory_lock::release(lock);
        }
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
