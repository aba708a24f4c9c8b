//! A read-only view of a database that another process may be writing.
//!
//! Nothing is changed but a lease. An attachment reads the manifest, pins its segments by a lease, maps them, and reads
//! the commits of the log above the flushed LSN into memtables of its own.
//!
//! Invariant: what is shown is a state that the writer had at a moment: the tables and segments of one manifest version
//! and every commit up to one LSN, each whole. A state is shown only when the manifest is, after the log was read, still
//! the one that was read before it. Everything shown is durable: the log is synced here before its commits are shown, so
//! a power cut takes none of them back, whether or not the writer had synced them.
//!
//! Snapshots may be taken while `refresh` runs; they show the state before or after it. One refresh runs at a time.
//! Memtables of older states may get rows, above the commit that their snapshots show.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::database_dir::DatabaseDir;
use super::directory_lock::named_process;
use super::follower::Follower;
use super::options::EngineOptions;
use super::recovery_history::{PastRecovery, RecoveryHistory};
use super::recovery_report::RecoveryReport;
use super::stats::EngineStats;
use crate::error::{Error, Result};
use crate::io::Io;
use crate::manifest::ManifestState;
use crate::memtable::Memtable;
use crate::snapshot::{Snapshot, Version};
use crate::types::{CommitSeq, Lsn};

/// The state that snapshots get.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) version: Arc<Version>,
    pub(super) state: Arc<ManifestState>,
    /// Oldest first.
    pub(super) memtables: Arc<[Arc<Memtable>]>,
    /// Rows in memtables carry their LSN as commit sequence number.
    pub(super) lsn: Lsn,
}

/// How far a refresh came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh {
    /// The last commit that was shown before.
    pub from: Lsn,
    /// The last commit that is shown now.
    pub to: Lsn,
    /// Whether tables or segments are others than before.
    pub has_other_version: bool,
}

/// A database directory, open read-only.
#[derive(Debug)]
pub(super) struct Attachment {
    root: Arc<PathBuf>,
    follower: Mutex<Follower>,
    shown: RwLock<Shown>,
    report: RecoveryReport,
    history: Vec<PastRecovery>,
    holder: Option<u32>,
    clock: fn() -> i64,
}

impl Attachment {
    /// Attaches to the database in `root`.
    pub(super) fn open(io: Arc<dyn Io>, root: &Path, options: &EngineOptions) -> Result<Self> {
        let dir = DatabaseDir::new(root);
        let holder = named_process(&*io, &dir.lock_file());
        let history = RecoveryHistory::read(&*io, &dir)?;
        let mut follower = Follower::open(io, dir, options)?;
        let shown = follower.advance()?;
        let report = follower.report();
        Ok(Self {
            root: Arc::new(root.to_path_buf()),
            shown: RwLock::new(shown),
            history: history.with((options.clock)(), &report).into_events(),
            report,
            holder,
            clock: options.clock,
            follower: Mutex::new(follower),
        })
    }

    /// Moves to the newest state.
    pub(super) fn refresh(&self) -> Result<Refresh> {
        let mut follower = self.follower.lock();
        let next = follower.advance()?;
        let mut shown = self.shown.write();
        let refresh =
            Refresh { from: shown.lsn, to: next.lsn, has_other_version: !Arc::ptr_eq(&shown.version, &next.version) };
        *shown = next;
        Ok(refresh)
    }

    pub(super) fn version(&self) -> Arc<Version> {
        Arc::clone(&self.shown.read().version)
    }

    pub(super) fn now_ns(&self) -> i64 {
        (self.clock)()
    }

    pub(super) fn manifest_state(&self) -> Arc<ManifestState> {
        Arc::clone(&self.shown.read().state)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let Shown { version, memtables, lsn, .. } = self.shown.read().clone();
        Snapshot::new(version, memtables, CommitSeq(lsn.0), (self.clock)())
    }

    pub(super) fn report(&self) -> &RecoveryReport {
        &self.report
    }

    /// What past openings found, and this one.
    pub(super) fn history(&self) -> &[PastRecovery] {
        &self.history
    }

    /// Whether a lease keeps the segments in place; there is none where nothing can be written.
    pub(super) fn is_leased(&self) -> bool {
        self.follower.lock().is_leased()
    }

    pub(super) fn holder(&self) -> Option<u32> {
        self.holder
    }

    pub(super) fn refusal(&self) -> Error {
        Error::ReadOnly { path: self.root.to_path_buf(), holder: self.holder }
    }

    pub(super) fn stats(&self) -> EngineStats {
        let shown = self.shown.read();
        EngineStats {
            memtable_bytes: shown.memtables.iter().map(|memtable| memtable.bytes()).sum(),
            memtable_rows: shown.memtables.iter().map(|memtable| memtable.rows()).sum(),
            segments: shown.version.segments.len() as u64,
            segment_bytes: shown.version.segments.values().map(|segment| segment.file_len()).sum(),
            tables: shown.version.tables.len() as u64,
            ..EngineStats::default()
        }
    }
}
