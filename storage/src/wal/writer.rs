//! The log, open for commits: one write and one sync for all that came in while the group before was under way.
//!
//! Invariants:
//! - A commit that returned `Ok` in mode `Sync` is returned by every later replay; in mode `Write` unless power fails.
//! - The closures of commits run in LSN order, each after its record is written (and synced), before `commit` returns.
//! - After a failed write or sync nothing is written or synced any more.
//!
//! Who writes when is in `group_commit`, what is written where in `active`. Steps of a rotation: sync the active file;
//! make the next one; switch.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::active::{ActiveFile, LogFiles};
use super::commit::EncodedCommit;
use super::file::{self, HEADER_BYTES};
use super::group_commit::{GroupCommit, SyncMode};
use super::replay::ReplayReport;
use crate::error::Result;
use crate::io::{Io, create_dir_synced};
use crate::types::Lsn;

/// Options of the log.
#[derive(Debug, Clone, Copy)]
pub struct WalOptions {
    /// Length to which a file is preallocated, and above which the next one is begun.
    pub file_bytes_max: u64,
    /// Memory in which records of one group are put together; it is kept between groups. Longer records, and with 0
    /// all, are written by themselves.
    pub buffer_bytes_max: usize,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { file_bytes_max: 64 << 20, buffer_bytes_max: 512 << 10 }
    }
}

/// The log, open for commits from any number of threads.
#[derive(Debug)]
pub struct WalWriter {
    files: Arc<LogFiles>,
    group: GroupCommit<ActiveFile>,
}

impl WalWriter {
    /// Opens the log behind what `replayed` found; always with a new file, so that no old one is written to again.
    ///
    /// LSNs go on above the replayed ones and above `flushed`, up to which commits are in segments: commits in mode
    /// `Write` may have been flushed before their records were lost.
    pub fn open(
        io: Arc<dyn Io>,
        dir: &Path,
        replayed: &ReplayReport,
        flushed: Lsn,
        options: WalOptions,
    ) -> Result<Self> {
        create_dir_synced(&*io, dir)?;
        let files = Arc::new(LogFiles {
            io,
            dir: dir.to_path_buf(),
            options,
            sealed: Mutex::new(replayed.sealed.clone()),
            sealed_bytes: AtomicU64::new(replayed.sealed.iter().map(|file| file.byte_len).sum()),
            active_bytes: AtomicU64::new(HEADER_BYTES),
            buffer_bytes: AtomicU64::new(0),
            syncs: AtomicU64::new(0),
        });
        let last_lsn = replayed.last_lsn.max(flushed);
        let active = ActiveFile::create(Arc::clone(&files), replayed.next_file, replayed.last_lsn, last_lsn)?;
        Ok(Self { files, group: GroupCommit::new(active) })
    }

    /// Writes a commit, and returns after its record is written or synced and `apply` has run.
    ///
    /// `apply` runs on some writer's thread, in LSN order; not at all when the commit fails.
    ///
    /// # Errors
    /// `Io` when nothing was written, for want of space for a further file: a later commit may succeed. `WalPoisoned`
    /// when a write or sync failed, now or before: whether the commit is found after a restart is open.
    pub fn commit(
        &self,
        record: EncodedCommit,
        sync: SyncMode,
        apply: impl FnOnce(Lsn) + Send + 'static,
    ) -> Result<Lsn> {
        self.group.commit(record, sync, apply)
    }

    /// Whether the log still takes commits.
    ///
    /// # Errors
    /// `WalPoisoned`.
    pub fn check(&self) -> Result<()> {
        self.group.check()
    }

    /// Makes every commit so far durable, whatever its mode.
    pub fn sync(&self) -> Result<()> {
        self.group.exclusively(ActiveFile::sync)
    }

    /// Seals the active file and begins the next one, then runs `at` with the last LSN while no commit is under way.
    ///
    /// A file without records stays the active one.
    ///
    /// # Errors
    /// As of [`WalWriter::commit`]; `at` has not run then.
    pub fn rotate<R>(&self, at: impl FnOnce(Lsn) -> R) -> Result<R> {
        self.group.exclusively(|active| {
            if active.has_records() {
                active.begin_next()?;
            }
            Ok(at(active.last_lsn()))
        })
    }

    /// Removes the sealed files that hold no record above `lsn`; a damaged one without a copy is moved to quarantine.
    pub fn remove_up_to(&self, lsn: Lsn) -> Result<()> {
        let LogFiles { io, dir, .. } = &*self.files;
        let mut sealed = self.files.sealed.lock();
        let mut is_changed = false;
        // Oldest first, so that a crash leaves a log without a hole.
        while let Some(oldest) = sealed.first().filter(|file| file.last_lsn <= lsn) {
            file::dispose(&**io, dir, oldest.id, oldest.disposal)?;
            self.files.sealed_bytes.fetch_sub(oldest.byte_len, Ordering::Relaxed);
            sealed.remove(0);
            is_changed = true;
        }
        if is_changed { io.sync_dir(dir) } else { Ok(()) }
    }

    /// Whether there are files that take no more records.
    pub fn has_sealed_files(&self) -> bool {
        !self.files.sealed.lock().is_empty()
    }

    /// Bytes of all files, without the part of the active one that is only reserved.
    pub fn total_bytes(&self) -> u64 {
        self.files.sealed_bytes.load(Ordering::Relaxed) + self.files.active_bytes.load(Ordering::Relaxed)
    }

    /// Memory of the buffer in which records are put together; records on their way belong to their writers.
    pub fn buffer_bytes(&self) -> u64 {
        self.files.buffer_bytes.load(Ordering::Relaxed)
    }

    /// Makes every commit so far durable and gives the reserved rest of the active file back. Later commits reserve anew.
    ///
    /// # Errors
    /// `WalPoisoned` when the sync fails, now or before.
    pub fn close(&self) -> Result<()> {
        self.group.exclusively(|active| {
            active.sync()?;
            active.trim()
        })
    }

    /// Successful syncs of records since opening; commits per sync is how well writers share.
    pub fn sync_count(&self) -> u64 {
        self.files.syncs.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
