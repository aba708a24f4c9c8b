//! Writes commits in groups: one write and one sync for all that came in while the group before was under way.
//!
//! Invariants:
//! - A commit that returned `Ok` in mode `Sync` is returned by every later replay; in mode `Write` unless power fails.
//! - The closures of commits run in LSN order, each after its record is written (and synced), before `commit` returns.
//! - After a failed write or sync nothing is written or synced any more: what reached the disk is unknown, and a second
//!   sync of the same descriptor would report success for data that is gone.
//!
//! Steps of a group, done by one of its writers, the leader: take the queue; write and sync it; give up the lead, so that
//! the next group's disk work overlaps with the rest; wait until the closures of the group before have run; run those
//! of this group; wake its writers. Steps of a rotation: sync the active file; make the next one; switch.
//!
//! Two locks: `state` is held for moments only, `active` by whoever leads, during disk work.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard};

use super::commit::EncodedCommit;
use super::file::{self, Disposal, FORMAT, HEADER_BYTES, SealedFile};
use super::replay::ReplayReport;
use crate::error::{Error, Result};
use crate::framing::{RECORD_HEADER_BYTES, RecordHeader};
use crate::io::{Io, IoFile, create_dir_synced};
use crate::types::{Lsn, WalFileId};

/// A group takes no further record beyond this, which bounds how long its first writer waits.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Records from this length on are written by themselves: another write costs less than copying them together.
const COPIED_BYTES_MAX: usize = 256 << 10;

/// When a commit returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncMode {
    /// When its record is on the disk.
    Sync,
    /// When its record is in the file, so that it survives the end of the process, not that of the power.
    Write,
}

/// Options of the log.
#[derive(Debug, Clone, Copy)]
pub struct WalOptions {
    /// Length to which a file is preallocated, and above which the next one is begun.
    pub file_bytes_max: u64,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { file_bytes_max: 64 << 20 }
    }
}

/// The log, open for commits from any number of threads.
#[derive(Debug)]
pub struct WalWriter {
    io: Arc<dyn Io>,
    dir: PathBuf,
    options: WalOptions,
    state: Mutex<State>,
    /// Signalled when the lead is free, when closures have run, and when an outcome is set.
    changed: Condvar,
    active: Mutex<Active>,
    sealed: Mutex<Vec<SealedFile>>,
    /// Bytes of the sealed files, for writers that must not wait while some are removed.
    sealed_bytes: AtomicU64,
    /// `offset` of the active file, for readers that must not wait for its disk work.
    active_bytes: AtomicU64,
    syncs: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct State {
    queue: Vec<Waiting>,
    /// Commits that were ever queued; the queue holds the last of them.
    queued: u64,
    is_led: bool,
    /// Threads that want the log for themselves; groups wait for them, else they might never get it.
    exclusive_waiting: usize,
    groups_written: u64,
    groups_applied: u64,
    poison: Option<Poison>,
}

#[derive(Debug, Clone)]
struct Poison {
    operation: &'static str,
    reason: String,
}

/// A commit on its way.
struct Waiting {
    record: EncodedCommit,
    sync: SyncMode,
    apply: Box<dyn FnOnce(Lsn) + Send>,
    outcome: Arc<Mutex<Option<Result<Lsn>>>>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("sync", &self.sync).finish_non_exhaustive()
    }
}

/// The file that takes records.
#[derive(Debug)]
struct Active {
    id: WalFileId,
    file: Arc<dyn IoFile>,
    /// Where the next record goes.
    offset: u64,
    allocated: u64,
    last_lsn: Lsn,
    synced_lsn: Lsn,
    /// Also counts files whose making failed, since ids are not used twice.
    next_id: WalFileId,
    buffer: Vec<u8>,
    syncs: Arc<AtomicU64>,
}

/// How disk work failed.
enum Failure {
    /// Before anything was written; a later attempt may succeed, once there is space.
    Clean(Error),
    /// What is on the disk is unknown.
    Poisoning(Error),
}

impl Poison {
    fn of(error: &Error) -> Self {
        let operation = match error {
            Error::Io { operation, .. } => operation,
            _ => "write",
        };
        Self { operation, reason: error.to_string() }
    }

    fn to_error(&self) -> Error {
        Error::WalPoisoned { operation: self.operation, reason: self.reason.clone() }
    }
}

/// An error for each writer of a group.
fn duplicate(error: &Error) -> Error {
    match error {
        Error::Io { operation, path, source } => {
            let source = match source.raw_os_error() {
                Some(code) => std::io::Error::from_raw_os_error(code),
                None => std::io::Error::new(source.kind(), source.to_string()),
            };
            Error::io(operation, path, source)
        }
        other => Poison::of(other).to_error(),
    }
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
        let last_lsn = replayed.last_lsn.max(flushed);
        let id = replayed.next_file;
        let allocated = options.file_bytes_max.max(HEADER_BYTES);
        let file = file::create(&*io, dir, id, replayed.last_lsn, last_lsn.next(), allocated)?;
        let active = Active {
            id,
            file,
            offset: HEADER_BYTES,
            allocated,
            last_lsn,
            synced_lsn: last_lsn,
            next_id: id.next(),
            buffer: Vec::new(),
            syncs: Arc::default(),
        };
        Ok(Self {
            syncs: active.syncs.clone(),
            io,
            dir: dir.to_path_buf(),
            options,
            state: Mutex::default(),
            changed: Condvar::new(),
            active: Mutex::new(active),
            sealed: Mutex::new(replayed.sealed.clone()),
            sealed_bytes: AtomicU64::new(replayed.sealed.iter().map(|file| file.byte_len).sum()),
            active_bytes: AtomicU64::new(HEADER_BYTES),
        })
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
        let outcome = Arc::new(Mutex::new(None));
        let mut state = self.state.lock();
        state.check()?;
        let ticket = state.queued;
        state.queued += 1;
        state.queue.push(Waiting { record, sync, apply: Box::new(apply), outcome: outcome.clone() });
        loop {
            if let Some(outcome) = outcome.lock().take() {
                return outcome;
            }
            let is_queued = ticket >= state.queued - state.queue.len() as u64;
            if state.is_led || !is_queued || state.exclusive_waiting > 0 {
                self.changed.wait(&mut state);
            } else {
                self.lead(&mut state);
            }
        }
    }

    /// Whether the log still takes commits.
    ///
    /// # Errors
    /// `WalPoisoned`.
    pub fn check(&self) -> Result<()> {
        self.state.lock().check()
    }

    /// Makes every commit so far durable, whatever its mode.
    pub fn sync(&self) -> Result<()> {
        self.exclusively(Active::sync)
    }

    /// Seals the active file and begins the next one, then runs `at` with the last LSN while no commit is under way.
    ///
    /// A file without records stays the active one.
    ///
    /// # Errors
    /// As of [`WalWriter::commit`]; `at` has not run then.
    pub fn rotate<R>(&self, at: impl FnOnce(Lsn) -> R) -> Result<R> {
        self.exclusively(|active| {
            if active.offset > HEADER_BYTES {
                self.begin_next_file(active)?;
            }
            Ok(at(active.last_lsn))
        })
    }

    /// Removes the sealed files that hold no record above `lsn`; a damaged one without a copy is moved to quarantine.
    pub fn remove_up_to(&self, lsn: Lsn) -> Result<()> {
        let mut sealed = self.sealed.lock();
        let mut is_changed = false;
        // Oldest first, so that a crash leaves a log without a hole.
        while let Some(oldest) = sealed.first().filter(|file| file.last_lsn <= lsn) {
            file::dispose(&*self.io, &self.dir, oldest.id, oldest.disposal)?;
            self.sealed_bytes.fetch_sub(oldest.byte_len, Ordering::Relaxed);
            sealed.remove(0);
            is_changed = true;
        }
        if is_changed { self.io.sync_dir(&self.dir) } else { Ok(()) }
    }

    /// Whether there are files that take no more records.
    pub fn has_sealed_files(&self) -> bool {
        !self.sealed.lock().is_empty()
    }

    /// Bytes of all files, without the part of the active one that is only reserved.
    pub fn total_bytes(&self) -> u64 {
        self.sealed_bytes.load(Ordering::Relaxed) + self.active_bytes.load(Ordering::Relaxed)
    }

    /// Makes every commit so far durable and gives the reserved rest of the active file back. Later commits reserve anew.
    ///
    /// # Errors
    /// `WalPoisoned` when the sync fails, now or before.
    pub fn close(&self) -> Result<()> {
        self.exclusively(|active| {
            active.sync()?;
            // Zeros at the end mean the same as the end, so a crash in between leaves nothing to mend.
            active.file.set_len(active.offset).map_err(Failure::Clean)?;
            active.allocated = active.offset;
            Ok(())
        })
    }

    /// Successful syncs of records since opening; commits per sync is how well writers share.
    pub fn sync_count(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// Writes the queue as one group. The caller's commit is among them or was.
    fn lead(&self, state: &mut MutexGuard<'_, State>) {
        state.is_led = true;
        let mut group = state.take_group();
        let written = MutexGuard::unlocked(state, || self.write_group(&mut self.active.lock(), &mut group));
        state.is_led = false;
        let first = match written {
            Ok(first) => first,
            Err(failure) => {
                self.fail(state, group, failure);
                return;
            }
        };
        let number = state.groups_written;
        state.groups_written += 1;
        self.changed.notify_all();
        while state.groups_applied != number {
            self.changed.wait(state);
        }
        let applied = MutexGuard::unlocked(state, || catch_unwind(AssertUnwindSafe(|| apply_group(group, first))));
        state.groups_applied += 1;
        if let Err(panic) = applied {
            // Rows of commits that are in the log are missing in memory now.
            let reason = "the rows of a commit could not be applied".to_owned();
            self.poison(state, Poison { operation: "apply", reason });
            resume_unwind(panic);
        }
        self.changed.notify_all();
    }

    fn fail(&self, state: &mut State, group: Vec<Waiting>, failure: Failure) {
        match failure {
            Failure::Clean(error) => {
                group.iter().for_each(|waiting| waiting.finish(Err(duplicate(&error))));
                self.changed.notify_all();
            }
            Failure::Poisoning(error) => {
                let poison = Poison::of(&error);
                group.iter().for_each(|waiting| waiting.finish(Err(poison.to_error())));
                self.poison(state, poison);
            }
        }
    }

    fn poison(&self, state: &mut State, poison: Poison) {
        tracing::error!(operation = poison.operation, reason = poison.reason, "the write-ahead log is closed");
        for waiting in state.queue.drain(..) {
            waiting.finish(Err(poison.to_error()));
        }
        state.poison.get_or_insert(poison);
        self.changed.notify_all();
    }

    /// Runs `work` while no group is written or applied.
    fn exclusively<R>(&self, work: impl FnOnce(&mut Active) -> Result<R, Failure>) -> Result<R> {
        let mut state = self.state.lock();
        state.exclusive_waiting += 1;
        while state.is_led {
            self.changed.wait(&mut state);
        }
        state.is_led = true;
        state.exclusive_waiting -= 1;
        while state.groups_applied != state.groups_written {
            self.changed.wait(&mut state);
        }
        let done = state.check().map_err(Failure::Clean).and_then(|()| {
            let work = || catch_unwind(AssertUnwindSafe(|| work(&mut self.active.lock())));
            match MutexGuard::unlocked(&mut state, work) {
                Ok(done) => done,
                Err(panic) => {
                    state.is_led = false;
                    self.changed.notify_all();
                    resume_unwind(panic)
                }
            }
        });
        state.is_led = false;
        self.changed.notify_all();
        done.map_err(|failure| match failure {
            Failure::Clean(error) => error,
            Failure::Poisoning(error) => {
                let poison = Poison::of(&error);
                self.poison(&mut state, poison);
                error
            }
        })
    }

    /// Writes the records of a group and syncs them when one of them asks for it. Returns the first LSN.
    fn write_group(&self, active: &mut Active, group: &mut [Waiting]) -> Result<Lsn, Failure> {
        let byte_len: u64 = group.iter().map(|waiting| waiting.record.byte_len() as u64).sum();
        if active.offset > HEADER_BYTES && active.offset + byte_len > self.options.file_bytes_max {
            self.begin_next_file(active)?;
        }
        if active.offset + byte_len > active.allocated {
            // Reserved first: running out of space within a write would close the log.
            active.file.allocate(active.offset + byte_len).map_err(Failure::Clean)?;
            active.allocated = active.offset + byte_len;
        }
        let first = active.last_lsn.next();
        active.write(group).map_err(Failure::Poisoning)?;
        self.active_bytes.store(active.offset, Ordering::Relaxed);
        if group.iter().any(|waiting| waiting.sync == SyncMode::Sync) {
            active.sync()?;
        }
        Ok(first)
    }

    /// Seals the active file. On a clean failure it stays the active one.
    fn begin_next_file(&self, active: &mut Active) -> Result<(), Failure> {
        // A crash from here on finds every record of the old file, so the new one may come to be.
        active.sync()?;
        let id = active.next_id;
        active.next_id = id.next();
        let allocated = self.options.file_bytes_max.max(HEADER_BYTES);
        let next = file::create(&*self.io, &self.dir, id, active.last_lsn, active.last_lsn.next(), allocated);
        let file = next.map_err(|error| {
            // Without records it means nothing to replay, so it may as well stay when this fails.
            let _left_behind = self.io.remove(&file::path_of(&self.dir, id));
            Failure::Clean(error)
        })?;
        // Gives the reserved rest back. Records are not touched, and zeros at the end mean the same as the end.
        let _still_reserved = active.file.set_len(active.offset);
        let (id_before, last_lsn, byte_len) = (active.id, active.last_lsn, active.offset);
        self.sealed.lock().push(SealedFile { id: id_before, last_lsn, byte_len, disposal: Disposal::Remove });
        self.sealed_bytes.fetch_add(byte_len, Ordering::Relaxed);
        active.id = id;
        active.file = file;
        active.offset = HEADER_BYTES;
        active.allocated = allocated;
        self.active_bytes.store(HEADER_BYTES, Ordering::Relaxed);
        Ok(())
    }
}

impl State {
    fn check(&self) -> Result<()> {
        self.poison.as_ref().map_or(Ok(()), |poison| Err(poison.to_error()))
    }

    fn take_group(&mut self) -> Vec<Waiting> {
        let mut byte_len = 0;
        let fits = |waiting: &Waiting| {
            byte_len += waiting.record.byte_len();
            byte_len <= GROUP_BYTES_MAX
        };
        let count = self.queue.iter().map(fits).take_while(|fits| *fits).count().max(1);
        let rest = self.queue.split_off(count.min(self.queue.len()));
        std::mem::replace(&mut self.queue, rest)
    }
}

impl Waiting {
    fn finish(&self, outcome: Result<Lsn>) {
        *self.outcome.lock() = Some(outcome);
    }
}

fn apply_group(group: Vec<Waiting>, first: Lsn) {
    // All guards are made before the first closure runs, so that nobody waits for ever when one panics.
    let guarded = group.into_iter().map(|waiting| {
        let guard = OutcomeGuard { outcome: waiting.outcome, applied: None };
        (waiting.apply, guard)
    });
    let mut lsn = first;
    for (apply, guard) in guarded.collect::<Vec<_>>() {
        apply(lsn);
        guard.succeed(lsn);
        lsn = lsn.next();
    }
}

/// Sets the outcome of a commit when dropped: success once its closure has run.
struct OutcomeGuard {
    outcome: Arc<Mutex<Option<Result<Lsn>>>>,
    applied: Option<Lsn>,
}

impl OutcomeGuard {
    fn succeed(mut self, lsn: Lsn) {
        self.applied = Some(lsn);
    }
}

impl Drop for OutcomeGuard {
    fn drop(&mut self) {
        let not_applied = || Err(Error::WalPoisoned { operation: "apply", reason: "a commit panicked".into() });
        *self.outcome.lock() = Some(self.applied.map_or_else(not_applied, Ok));
    }
}

impl Active {
    /// Writes the records of a group behind each other.
    fn write(&mut self, group: &mut [Waiting]) -> Result<()> {
        let synced = self.synced_lsn.0;
        self.buffer.clear();
        let is_alone = group.len() == 1;
        for waiting in group {
            self.last_lsn = self.last_lsn.next();
            let record = &mut waiting.record;
            let (payload_len, payload_crc) = (record.payload_len, record.payload_crc);
            let header = RecordHeader { payload_len, sequence: self.last_lsn.0, synced, payload_crc };
            record.record[..RECORD_HEADER_BYTES].copy_from_slice(&header.to_bytes(FORMAT, self.id.0));
            if is_alone || record.record.len() >= COPIED_BYTES_MAX {
                self.write_buffer()?;
                self.file.write_all_at(self.offset, &record.record)?;
                self.offset += record.record.len() as u64;
            } else {
                self.buffer.extend_from_slice(&record.record);
            }
        }
        self.write_buffer()
    }

    fn write_buffer(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.file.write_all_at(self.offset, &self.buffer)?;
            self.offset += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Failure> {
        if self.synced_lsn < self.last_lsn {
            self.file.sync().map_err(Failure::Poisoning)?;
            self.syncs.fetch_add(1, Ordering::Relaxed);
            self.synced_lsn = self.last_lsn;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
