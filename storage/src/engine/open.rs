//! Opens a database directory: lock, manifest, segments, WAL replay.
//!
//! Damage never stops the open. A segment that cannot be read is set aside with its tables and times; records of the WAL
//! and of the manifest that can be read are, and what was lost is in the [`RecoveryReport`]. Replay streams: a memtable
//! that fills is flushed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Mutex, RwLock};

use super::batch_check::check_batch;
use super::compaction::PartitionClaims;
use super::core::Core;
use super::database_dir::DatabaseDir;
use super::directory_lock;
use super::lease::live_pins;
use super::memory::MemoryGate;
use super::memtable_set::MemtableSet;
use super::options::EngineOptions;
use super::pinned_manifest::refuse_unfinished;
use super::quarantine::set_aside;
use super::recovered_table::recovered_schema;
use super::recovery_history::{PastRecovery, RecoveryHistory};
use super::recovery_report::{RecoveryEvent, RecoveryKind, RecoveryReport, Severity};
use super::retired::RetiredSegments;
use super::salvage::{LeftoverFate, made_up_table, open_manifest};
use super::signal::WorkSignal;
use super::stats::Counters;
use super::store::Store;
use super::task_log::TaskLog;
use super::write::raw_bytes;
use crate::error::{Error, Result};
use crate::io::{Io, IoLock, create_dir_synced};
use crate::manifest::{ManifestState, SegmentMeta};
use crate::segment::Segment;
use crate::snapshot::{DamagedSegment, DirectoryBudget, Version};
use crate::types::{Lsn, SegmentId, SeriesBatch};
use crate::wal::{ReplayReport, WalOptions, WalWriter, replay};

/// An empty log takes some bytes, which must not count as full.
const WAL_BYTES_MIN: u64 = 4 << 10;

/// An opened core with its lock and the report.
pub(super) struct Opened {
    pub(super) core: Arc<Core>,
    pub(super) lock: Box<dyn IoLock>,
    pub(super) report: RecoveryReport,
    pub(super) history: Vec<PastRecovery>,
}

/// Opens or creates the database in `dir`.
pub(super) fn open(io: Arc<dyn Io>, root: &Path, mut options: EngineOptions) -> Result<Opened> {
    // A memtable that may never fill would never be flushed.
    options.flush_bytes_max = options.flush_bytes_max.max(1);
    options.wal_bytes_max = options.wal_bytes_max.max(WAL_BYTES_MIN);
    options.memtable_bytes_max = options.memtable_bytes_max.max(options.flush_bytes_max);
    let dir = DatabaseDir::new(root);
    create_dir_synced(io.as_ref(), root)?;
    let lock = directory_lock::take(io.as_ref(), &dir.lock_file())?;
    refuse_unfinished(io.as_ref(), &dir)?;
    let history = RecoveryHistory::read(io.as_ref(), &dir)?;
    create_dir_synced(io.as_ref(), &dir.segments())?;
    create_dir_synced(io.as_ref(), &dir.wal())?;

    let mut report = RecoveryReport::default();
    let (manifest, state, fate) = open_manifest(&io, &dir, &mut report)?;
    let retired = remove_leftovers(io.as_ref(), &dir, &state, fate, &mut report)?;
    let directories = Arc::new(DirectoryBudget::new(options.directory_bytes_max));
    let version = open_segments(&io, &dir, &state, &directories, &mut report);
    let flushed_lsn = state.flushed_lsn;
    let store = Store {
        io: Arc::clone(&io),
        dir,
        options,
        memory: MemoryGate::new(options.memtable_bytes_max, options.wal_bytes_max.saturating_mul(2)),
        memtables: MemtableSet::new(version),
        manifest: Mutex::new(manifest),
        segment_ids_used: AtomicU64::new(0),
        unnamed_segments: Mutex::default(),
        retired: RetiredSegments::with_files(retired),
        claims: PartitionClaims::default(),
        counters: Counters::default(),
    };
    let mut replayed = replay(io.as_ref(), &store.dir.wal(), flushed_lsn, |lsn, batches| {
        replay_commit(&store, &mut report, lsn, batches)
    })?;
    report_replay(&store.dir, &mut replayed, &mut report);

    // The log starts a file of its own: replayed files are never appended to, only removed by the next flush.
    let wal_options =
        WalOptions { file_bytes_max: options.wal_file_bytes_max, buffer_bytes_max: wal_buffer_bytes_max(&options) };
    let flushed_lsn = store.manifest.lock().state().flushed_lsn;
    let wal = WalWriter::open(io, &store.dir.wal(), &replayed, flushed_lsn, wal_options)?;
    if let Err(error) = wal.remove_up_to(flushed_lsn) {
        // They hold nothing that is not in segments; the next flush tries again.
        tracing::warn!(%error, "files of the log stay");
    }
    store.memory.set_log_bytes(wal.total_bytes(), wal.buffer_bytes());
    let history = history.record(store.io.as_ref(), &store.dir, (options.clock)(), &mut report);
    let core = Core {
        store: Arc::new(store),
        wal,
        flush: Mutex::new(()),
        flush_signal: WorkSignal::default(),
        maintenance: Mutex::default(),
        maintenance_signal: WorkSignal::default(),
        mover: Mutex::default(),
        move_signal: WorkSignal::default(),
        table_changes: AtomicU64::new(0),
        tasks: TaskLog::new(options.clock),
        widening: RwLock::default(),
        closed: RwLock::new(false),
    };
    Ok(Opened { core: Arc::new(core), lock, report, history })
}

/// The log may keep a part of what memory has beyond a full memtable. Were it more, a memtable that is not full and the
/// buffer together could hold writes back with no flush on the way that would let them in.
fn wal_buffer_bytes_max(options: &EngineOptions) -> usize {
    let spare_bytes = (options.memtable_bytes_max - options.flush_bytes_max) / 4;
    usize::try_from(spare_bytes).unwrap_or(usize::MAX).min(WalOptions::default().buffer_bytes_max)
}

/// Applies one commit of the log; flushes when the memtable is full, or when it and the commit, decoded and as a record,
/// would take more than memory has. So replay stays within its memory.
fn replay_commit(store: &Store, report: &mut RecoveryReport, lsn: Lsn, mut batches: Vec<SeriesBatch>) -> Result<()> {
    let mut error = None;
    batches.retain(|batch| match take_batch(store, report, batch) {
        Ok(is_taken) => is_taken,
        Err(failure) => {
            error.get_or_insert(failure);
            false
        }
    });
    if let Some(error) = error {
        return Err(error);
    }
    report.replayed_commits += 1;
    report.replayed_rows += batches.iter().map(|batch| batch.row_count() as u64).sum::<u64>();
    let commit_bytes = 2 * batches.iter().map(raw_bytes).sum::<u64>();
    if store.memtables.rows() > 0 && store.memtables.bytes() + commit_bytes > store.options.memtable_bytes_max {
        // The commits before this one are all applied.
        store.flush_memtables(&store.memtables.freeze(), Lsn(lsn.0 - 1))?;
    }
    store.apply(&batches, &store.memtables.find(&batches));
    if store.memtables.bytes() >= store.options.flush_bytes_max {
        store.flush_memtables(&store.memtables.freeze(), lsn)?;
    }
    Ok(())
}

/// Whether a batch of the log has its place. A table or column that the manifest does not know, and did not drop, is made
/// up: the record that created it was lost, and its rows must not be.
fn take_batch(store: &Store, report: &mut RecoveryReport, batch: &SeriesBatch) -> Result<bool> {
    let version = store.memtables.version();
    let known = version.tables.get(&batch.table).map(|table| &table.schema);
    let rows = batch.row_count() as u64;
    if known.is_none() && batch.table < store.manifest.lock().state().next_table_id {
        // The table was dropped after the commit.
        report.rows_without_table += rows;
        return Ok(false);
    }
    let misfit = match known {
        Some(schema) => match check_batch(schema, batch) {
            Ok(()) => return Ok(true),
            Err(error) => error,
        },
        None => Error::TableNotFound { name: format!("with id {}", batch.table) },
    };
    if let Some(mut schema) = recovered_schema(known.map(Arc::as_ref), batch)
        && check_batch(&schema, batch).is_ok()
    {
        while version.table(&schema.namespace, &schema.name).is_some_and(|table| table.schema.id != schema.id) {
            schema.name.push('_');
        }
        report.add(made_up_table(&store.dir.wal(), &schema));
        store.put_recovered_table(schema)?;
        return Ok(true);
    }
    tracing::error!(error = %misfit, "rows of the log do not fit their table and are left out");
    report.rows_refused += rows;
    Ok(false)
}

/// Puts what replay found into the report.
fn report_replay(dir: &DatabaseDir, replayed: &mut ReplayReport, report: &mut RecoveryReport) {
    report.torn_bytes = replayed.torn_bytes;
    report.wal_damage.clone_from(&replayed.damages);
    for damage in &replayed.damages {
        report.add(RecoveryEvent::of_wal_damage(damage));
    }
    if let Some(file) = &replayed.torn_file {
        let found = "the last records are not whole, as a crash leaves them";
        let event = RecoveryEvent::new(RecoveryKind::WalTorn, Severity::Note, file, found);
        let bytes = Some(replayed.torn_at..replayed.torn_at + replayed.torn_bytes);
        report.add(RecoveryEvent { bytes, ..event.done("they were cut: nobody was told that they are durable") });
    }
    if report.rows_refused > 0 {
        // The only place where these rows are.
        replayed.keep_files();
        let found = "rows do not fit the table that they were written to";
        let event = RecoveryEvent::new(RecoveryKind::WalRowsLeftOut, Severity::Loss, &dir.wal(), found);
        let event = event.done("they were left out; the files will be moved to quarantine, not removed");
        report.add(RecoveryEvent { rows: Some(report.rows_refused), ..event });
    }
    if report.rows_without_table > 0 {
        let event =
            RecoveryEvent::new(RecoveryKind::WalRowsLeftOut, Severity::Note, &dir.wal(), "rows of dropped tables");
        report.add(RecoveryEvent { rows: Some(report.rows_without_table), ..event.done("they were left out") });
    }
}

/// Opens the segments of the manifest; one that cannot be opened is set aside with its tables.
fn open_segments(
    io: &Arc<dyn Io>,
    dir: &DatabaseDir,
    state: &ManifestState,
    directories: &Arc<DirectoryBudget>,
    report: &mut RecoveryReport,
) -> Version {
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
                let damage = damaged_segment(dir, meta, &error);
                report.add(RecoveryEvent::of_damaged_segment(&damage.path, meta, &damage.reason));
                report.damaged_segments.push((*id, error.to_string()));
                damaged.insert(*id, Arc::new(damage));
            }
        }
    }
    Version::new(state, segments, damaged, None, directories)
}

/// What is known of a segment that cannot be opened.
pub(super) fn damaged_segment(dir: &DatabaseDir, meta: &SegmentMeta, error: &Error) -> DamagedSegment {
    let offset = if let Error::Corruption { offset, .. } = error { *offset } else { 0 };
    DamagedSegment {
        path: dir.segment(meta.id),
        offset,
        sections: meta.sections.iter().map(|section| (section.table, section.time_range)).collect(),
        reason: error.to_string(),
    }
}

/// Clears `segments/` of what the manifest does not name: temporary files and segments that were removed go, segments
/// that it never named are set aside. Returns those that a lease of another process pins, which stay for now.
fn remove_leftovers(
    io: &dyn Io,
    dir: &DatabaseDir,
    state: &ManifestState,
    fate: LeftoverFate,
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
        if was_named(&name) && fate == LeftoverFate::Remove {
            io.remove(&path)?;
            report.removed_files += 1;
        } else {
            let kept = set_aside(io, dir, &path)?;
            let found = "the file is not part of the database, as a flush that was cut off leaves one";
            let event = RecoveryEvent::new(RecoveryKind::SegmentSetAside, Severity::Note, &path, found);
            let event = event.done("it was moved; the log has its rows, or they were removed");
            report.add(RecoveryEvent { kept: Some(kept.clone()), ..event });
            report.quarantined_segments.push(kept);
        }
    }
    if report.removed_files > 0 {
        let found = format!("{} files of unfinished work or of removed segments", report.removed_files);
        let event = RecoveryEvent::new(RecoveryKind::LeftoversRemoved, Severity::Note, &dir.segments(), found);
        report.add(event.done("they were removed"));
    }
    if changed {
        io.sync_dir(&dir.segments())?;
    }
    Ok(pinned)
}
