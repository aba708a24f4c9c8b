//! The commits of a log that another process may be writing, in memtables of the reader.
//!
//! Invariant: the memtables hold the commits above the flushed LSN up to [`LogReader::lsn`], each once and whole. Rows
//! carry their LSN as commit sequence number, so rows of commits that are not shown yet are not seen.
//!
//! There is one memtable for what was in the log at first, then one per file, since a flush ends where a file ends. Those
//! that a flush covers are dropped. When it covers one in part, which only the first can be, the log is read anew.

use std::path::PathBuf;
use std::sync::Arc;

use super::batch_check::check_batch;
use super::recovery_report::RecoveryReport;
use super::write::raw_bytes;
use crate::error::{Error, Result};
use crate::io::Io;
use crate::manifest::ManifestState;
use crate::memtable::Memtable;
use crate::snapshot::Version;
use crate::types::{CommitSeq, Lsn, SeriesBatch, WalFileId};
use crate::wal::{Followed, WalDamage, WalPosition, follow, replay_read_only, sync_up_to};

/// What came of reading the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogReading {
    /// Every commit that the log holds whole was taken.
    Whole,
    /// Rows do not fit the tables and were left out: as after damage, unless the tables changed meanwhile.
    Misfit,
    /// Commits are missing, perhaps because they were flushed and removed meanwhile. Begin anew.
    Suspect,
}

/// Reads a log on.
#[derive(Debug)]
pub(super) struct LogReader {
    io: Arc<dyn Io>,
    dir: PathBuf,
    memory_bytes_max: u64,
    /// Where reading goes on; `None` when the log must be read from the flushed LSN on.
    position: Option<WalPosition>,
    /// Oldest first.
    parts: Vec<Part>,
    lsn: Lsn,
    synced_lsn: Lsn,
    report: RecoveryReport,
    /// What the reading before found to be damaged. The writer may have been in the middle of something, so damage
    /// counts when it is found twice.
    suspected: Vec<WalDamage>,
}

/// Consecutive commits of the log.
#[derive(Debug)]
struct Part {
    /// The last file that it has commits of.
    file: WalFileId,
    first: Lsn,
    last: Lsn,
    rows: Arc<Memtable>,
}

/// Puts commits into memtables.
struct Intake<'a> {
    state: &'a ManifestState,
    version: &'a Version,
    memory_bytes_max: u64,
    report: &'a mut RecoveryReport,
    reading: LogReading,
}

impl LogReader {
    pub(super) fn new(io: Arc<dyn Io>, dir: PathBuf, memory_bytes_max: u64) -> Self {
        Self {
            io,
            dir,
            memory_bytes_max,
            position: None,
            parts: Vec::new(),
            lsn: Lsn(0),
            synced_lsn: Lsn(0),
            report: RecoveryReport::default(),
            suspected: Vec::new(),
        }
    }

    /// The last commit that was read, or that the manifest says is in segments.
    pub(super) fn lsn(&self) -> Lsn {
        self.lsn
    }

    pub(super) fn report(&self) -> &RecoveryReport {
        &self.report
    }

    pub(super) fn memtables(&self) -> Arc<[Arc<Memtable>]> {
        self.parts.iter().map(|part| Arc::clone(&part.rows)).collect()
    }

    /// Forgets everything that was read.
    pub(super) fn start_over(&mut self) {
        self.position = None;
        self.parts.clear();
        self.lsn = Lsn(0);
        self.synced_lsn = Lsn(0);
        self.report = RecoveryReport::default();
    }

    /// Takes what the log has above the flushed LSN of `state`.
    ///
    /// # Errors
    /// `Backpressure` when it does not fit into memory; `Io`, also for files that the writer removed meanwhile.
    pub(super) fn read_on(&mut self, state: &ManifestState, version: &Version) -> Result<LogReading> {
        let flushed = state.flushed_lsn;
        self.parts.retain(|part| part.last > flushed);
        if self.parts.first().is_some_and(|part| part.first <= flushed) {
            self.start_over();
        }
        let intake = Intake {
            state,
            version,
            memory_bytes_max: self.memory_bytes_max,
            report: &mut self.report,
            reading: LogReading::Whole,
        };
        let reading = match self.position {
            Some(position) => {
                let lsn = self.lsn.max(flushed);
                let (position, reading) = intake.follow(&*self.io, &self.dir, position, lsn, &mut self.parts)?;
                (self.position, self.lsn) = (Some(position), position.last_lsn.max(flushed));
                reading
            }
            None => self.read_from_start(state, version)?,
        };
        Ok(reading)
    }

    fn read_from_start(&mut self, state: &ManifestState, version: &Version) -> Result<LogReading> {
        let flushed = state.flushed_lsn;
        let rows = Arc::new(Memtable::default());
        let mut report = RecoveryReport::default();
        let mut intake = Intake {
            state,
            version,
            memory_bytes_max: self.memory_bytes_max,
            report: &mut report,
            reading: LogReading::Whole,
        };
        let replayed = replay_read_only(&*self.io, &self.dir, flushed, |lsn, batches| {
            intake.take(&rows, rows.bytes(), lsn, batches)
        })?;
        let reading = intake.reading;
        report.torn_bytes = replayed.torn_bytes;
        let lsn = replayed.last_lsn.max(flushed);
        if let Some(end) = replayed.end
            && lsn > flushed
        {
            self.parts = vec![Part { file: end.file, first: flushed.next(), last: lsn, rows }];
        }
        (self.position, self.lsn) = (replayed.end, lsn);
        if self.suspected != replayed.damages {
            self.suspected = replayed.damages;
            // No damage any more is nothing to be sure of.
            if !self.suspected.is_empty() {
                return Ok(LogReading::Suspect);
            }
        }
        report.wal_damage.clone_from(&self.suspected);
        self.report = report;
        Ok(reading)
    }

    /// Makes what was read durable.
    pub(super) fn sync(&mut self) -> Result<()> {
        if let Some(position) = self.position
            && self.synced_lsn < self.lsn
        {
            sync_up_to(&*self.io, &self.dir, position)?;
            self.synced_lsn = self.lsn;
        }
        Ok(())
    }
}

impl Intake<'_> {
    /// Reads on behind `position`; commits up to `lsn` are there already.
    fn follow(
        mut self,
        io: &dyn Io,
        dir: &std::path::Path,
        mut position: WalPosition,
        lsn: Lsn,
        parts: &mut Vec<Part>,
    ) -> Result<(WalPosition, LogReading)> {
        let had = lsn;
        let followed = follow(io, dir, &mut position, |file, lsn, batches| {
            if lsn <= had {
                return Ok(());
            }
            let used_bytes = parts.iter().map(|part| part.rows.bytes()).sum();
            if parts.last().is_none_or(|part| part.file != file) {
                parts.push(Part { file, first: lsn, last: lsn, rows: Arc::default() });
            }
            let part = parts.last_mut().expect("a part was added when there was none");
            part.last = lsn;
            self.take(&part.rows, used_bytes, lsn, batches)
        })?;
        Ok((position, if followed == Followed::Lost { LogReading::Suspect } else { self.reading }))
    }

    fn take(&mut self, rows: &Memtable, used_bytes: u64, lsn: Lsn, mut batches: Vec<SeriesBatch>) -> Result<()> {
        batches.retain(|batch| match self.version.tables.get(&batch.table) {
            Some(table) => match check_batch(&table.schema, batch) {
                Ok(()) => true,
                Err(error) => {
                    tracing::debug!(%lsn, %error, "rows of the log do not fit their table");
                    self.report.rows_refused += batch.row_count() as u64;
                    self.reading = LogReading::Misfit;
                    false
                }
            },
            None => {
                self.report.rows_without_table += batch.row_count() as u64;
                if batch.table >= self.state.next_table_id {
                    // A table that was made after the manifest was read. Others were dropped.
                    self.reading = LogReading::Misfit;
                }
                false
            }
        });
        // Before they are copied: a commit may be larger than all of the memory.
        let used_bytes = used_bytes + batches.iter().map(raw_bytes).sum::<u64>();
        if used_bytes > self.memory_bytes_max {
            return Err(Error::Backpressure { used_bytes, limit_bytes: self.memory_bytes_max });
        }
        self.report.replayed_commits += 1;
        for (batch, found) in batches.iter().zip(&rows.find(&batches)) {
            self.report.replayed_rows += batch.row_count() as u64;
            rows.apply(batch, found, CommitSeq(lsn.0));
        }
        Ok(())
    }
}
