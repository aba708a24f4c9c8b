//! Opens a database directory: lock, manifest, segments, WAL replay.
//!
//! Damage never stops the open. A segment that cannot be read is set aside with its tables; records of the WAL that can
//! be read are, and what was lost is in the [`RecoveryReport`]. Replay streams: a memtable that fills is flushed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Mutex, RwLock};

use super::background::FlushSignal;
use super::batch_check::check_batch;
use super::core::Core;
use super::database_dir::DatabaseDir;
use super::directory_lock;
use super::lease::live_pins;
use super::maintenance::MaintenanceSignal;
use super::memory::MemoryGate;
use super::memtable_set::MemtableSet;
use super::options::EngineOptions;
use super::pinned_manifest::refuse_unfinished;
use super::retired::RetiredSegments;
use super::stats::Counters;
use super::store::Store;
use super::task_log::TaskLog;
use crate::error::{Error, Result};
use crate::io::{Io, IoLock, create_dir_synced};
use crate::manifest::{Manifest, ManifestState};
use crate::segment::Segment;
use crate::snapshot::{DamagedSegment, Version};
use crate::types::{Lsn, SegmentId, SeriesBatch};
use crate::wal::{WalDamage, WalOptions, WalWriter, replay};

/// What the open found and did.
#[derive(Debug, Clone, Default)]
pub struct RecoveryReport {
    /// Commits that were replayed from the write-ahead log.
    pub replayed_commits: u64,
    /// Rows in them.
    pub replayed_rows: u64,
    /// Rows of tables that do not exist any more.
    pub rows_without_table: u64,
    /// Rows that do not fit their table, as after the manifest of another life was put beside the log.
    pub rows_refused: u64,
    /// Bytes of a torn last record that were cut.
    pub torn_bytes: u64,
    /// Damage in the write-ahead log: what lies between was lost, what came after was kept.
    pub wal_damage: Vec<WalDamage>,
    /// Segments that cannot be read, with the reason; queries of their tables fail.
    pub damaged_segments: Vec<(SegmentId, String)>,
    /// Files of unfinished flushes and removals that were removed.
    pub removed_files: u64,
    /// Segment files that the manifest never named, moved to `quarantine/`. A flush that was cut off leaves one, and the
    /// log has its rows; a manifest that lost its last record leaves one too.
    pub quarantined_segments: Vec<PathBuf>,
}

impl RecoveryReport {
    /// Whether rows that were acknowledged may be lost.
    pub fn found_damage(&self) -> bool {
        !self.wal_damage.is_empty() || !self.damaged_segments.is_empty() || self.rows_refused > 0
    }
}

/// An opened core with its lock and the report.
pub(super) struct Opened {
    pub(super) core: Arc<Core>,
    pub(super) lock: Box<dyn IoLock>,
    pub(super) report: RecoveryReport,
}

/// Opens or creates the database in `dir`.
pub(super) fn open(io: Arc<dyn Io>, root: &Path, mut options: EngineOptions) -> Result<Opened> {
    // A memtable that may never fill would never be flushed.
    options.flush_bytes_max = options.flush_bytes_max.max(1);
    options.memtable_bytes_max = options.memtable_bytes_max.max(options.flush_bytes_max);
    let dir = DatabaseDir::new(root);
    create_dir_synced(io.as_ref(), root)?;
    let lock = directory_lock::take(io.as_ref(), &dir.lock_file())?;
    refuse_unfinished(io.as_ref(), &dir)?;
    create_dir_synced(io.as_ref(), &dir.segments())?;
    create_dir_synced(io.as_ref(), &dir.wal())?;

    refuse_without_manifest(io.as_ref(), &dir)?;
    let mut report = RecoveryReport::default();
    let (manifest, state) = Manifest::open(Arc::clone(&io), root)?;
    let retired = remove_leftovers(io.as_ref(), &dir, &state, &mut report)?;
    let version = open_segments(&io, &dir, &state, &mut report);
    let flushed_lsn = state.flushed_lsn;
    let store = Store {
        io: Arc::clone(&io),
        root: Arc::new(root.to_path_buf()),
        dir,
        options,
        memory: MemoryGate::new(options.memtable_bytes_max),
        memtables: MemtableSet::new(version),
        manifest: Mutex::new(manifest),
        segment_ids_used: AtomicU64::new(0),
        unnamed_segments: Mutex::default(),
        retired: RetiredSegments::with_files(retired),
        counters: Counters::default(),
    };
    let replayed = replay(io.as_ref(), &store.dir.wal(), flushed_lsn, |lsn, batches| {
        replay_commit(&store, &mut report, lsn, batches)
    })?;
    report.torn_bytes = replayed.torn_bytes;
    report.wal_damage = replayed.damages.clone();

    // The log starts a file of its own: replayed files are never appended to, only removed by the next flush.
    let wal_options = WalOptions { file_bytes_max: options.wal_file_bytes_max };
    let flushed_lsn = store.manifest.lock().state().flushed_lsn;
    let wal = WalWriter::open(io, &store.dir.wal(), &replayed, flushed_lsn, wal_options)?;
    wal.remove_up_to(flushed_lsn)?;
    let core = Core {
        store: Arc::new(store),
        wal,
        flush: Mutex::new(()),
        flush_signal: FlushSignal::default(),
        maintenance: Mutex::default(),
        maintenance_signal: MaintenanceSignal::default(),
        tasks: TaskLog::new(options.clock),
        widening: RwLock::default(),
        closed: RwLock::new(false),
    };
    Ok(Opened { core: Arc::new(core), lock, report })
}

/// Applies one commit of the log; flushes when the memtable is full, so that replay stays within its memory.
fn replay_commit(store: &Store, report: &mut RecoveryReport, lsn: Lsn, mut batches: Vec<SeriesBatch>) -> Result<()> {
    let version = store.memtables.version();
    batches.retain(|batch| match version.tables.get(&batch.table) {
        None => {
            // The table was dropped after the commit, or the manifest is an older one than the log.
            report.rows_without_table += batch.row_count() as u64;
            false
        }
        Some(table) => match check_batch(&table.schema, batch) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%lsn, %error, "rows of the log do not fit their table and are left out");
                report.rows_refused += batch.row_count() as u64;
                false
            }
        },
    });
    report.replayed_commits += 1;
    report.replayed_rows += batches.iter().map(|batch| batch.row_count() as u64).sum::<u64>();
    store.apply(&batches);
    if store.memtables.bytes() >= store.options.flush_bytes_max {
        store.flush_memtables(&store.memtables.freeze(), lsn)?;
    }
    Ok(())
}

/// Opens the segments of the manifest; one that cannot be opened is set aside with its tables.
fn open_segments(io: &Arc<dyn Io>, dir: &DatabaseDir, state: &ManifestState, report: &mut RecoveryReport) -> Version {
    let mut segments = BTreeMap::new();
    let mut damaged = BTreeMap::new();
    for (id, meta) in &state.segments {
        let opened = Segment::open(Arc::clone(io), &dir.segment(*id), *id, meta.file_len)
            .and_then(|segment| segment.check_sections(meta).map(|()| segment));
        match opened {
            Ok(segment) => {
                segments.insert(*id, Arc::new(segment));
            }
            Err(error) => {
                tracing::error!(segment = id.0, %error, "a segment cannot be read; its tables cannot be queried");
                report.damaged_segments.push((*id, error.to_string()));
                damaged.insert(
                    *id,
                    DamagedSegment {
                        tables: meta.sections.iter().map(|section| section.table).collect(),
                        reason: error.to_string(),
                    },
                );
            }
        }
    }
    Version::new(state, segments, damaged, None)
}

/// A directory with data but no manifest is not a new database.
fn refuse_without_manifest(io: &dyn Io, dir: &DatabaseDir) -> Result<()> {
    if io.exists(&dir.manifest())? || (io.list(&dir.segments())?.is_empty() && io.list(&dir.wal())?.is_empty()) {
        return Ok(());
    }
    let reason = "the file is missing, though there are segments or log files beside it: restore it from a backup";
    Err(Error::corruption(&dir.manifest(), 0, reason))
}

/// Clears `segments/` of what the manifest does not name: temporary files and segments that were removed go, segments
/// that it never named are set aside. Returns those that a lease of another process pins, which stay for now.
fn remove_leftovers(
    io: &dyn Io,
    dir: &DatabaseDir,
    state: &ManifestState,
    report: &mut RecoveryReport,
) -> Result<Vec<SegmentId>> {
    let pins = live_pins(io, dir);
    let known: Vec<_> = state.segments.keys().map(|id| dir.segment(*id)).collect();
    let id_of = |name: &str| {
        let id = name.strip_suffix(".seg").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        id.map(SegmentId)
    };
    let was_named = |name: &str| id_of(name).is_none_or(|id| id < state.next_segment_id);
    let mut pinned = Vec::new();
    let mut changed = false;
    for name in io.list(&dir.segments())? {
        let path = dir.segments().join(&name);
        if known.contains(&path) {
            continue;
        }
        if let Some(id) = id_of(&name).filter(|id| was_named(&name) && pins.contains(*id)) {
            pinned.push(id);
            continue;
        }
        changed = true;
        if was_named(&name) {
            io.remove(&path)?;
            report.removed_files += 1;
        } else {
            create_dir_synced(io, &dir.quarantine())?;
            let quarantined = dir.quarantine().join(&name);
            io.rename(&path, &quarantined)?;
            io.sync_dir(&dir.quarantine())?;
            report.quarantined_segments.push(quarantined);
        }
    }
    if changed {
        io.sync_dir(&dir.segments())?;
    }
    Ok(pinned)
}
