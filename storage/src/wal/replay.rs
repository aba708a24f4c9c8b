//! Reads the log back after a restart, one record at a time.
//!
//! Invariants:
//! - Every record that was known to be durable is delivered, or the range in which it stood is reported as damaged.
//! - What is delivered of the unsynced tail is a prefix of it: records behind a hole are dropped with it, although the
//!   disk may hold them, for their writers were never answered and commits are found in order or not at all.
//! - All that was delivered is durable when `replay` returns, so a second crash takes nothing back.
//!
//! A hole is damage when a later record says that the lost ones were synced, or when a later file exists, since a file
//! is synced before the next is made. Otherwise it is a torn tail. A damaged file is copied to `quarantine/` beside the
//! log before anything can remove it. Steps: read all headers; deliver file after file; cut and sync the last file.
//!
//! [`replay_read_only`] delivers the same commits and changes nothing, perhaps while another process writes the log. What
//! is half written then looks torn; bytes that were read before they were whole are looked at again before they are
//! called damaged.
//! A part that the disk does not give back is damage, never a torn tail: nobody knows what it held, and what stands
//! behind it is delivered. Its file is not written to, and once its commits are in segments it is moved to `quarantine/`
//! and not removed, for the next try to read it may succeed. An error of any other call ends the replay: it says
//! nothing about the bytes, and the next open tries again.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::commit::decode_commit;
use super::damage::{Loss, WalDamage, contents_of};
use super::file::{self, Disposal, FORMAT, HEADER_BYTES, SealedFile};
use crate::error::Result;
use crate::framing::{FileHeader, Found, RECORD_HEADER_BYTES, RecordScanner};
use crate::io::{Io, IoFile, OpenMode, copy_once};
use crate::types::{Lsn, SeriesBatch, WalFileId};

/// One write when records are made durable again.
const REWRITE_BYTES: u64 = 1 << 20;

/// What replay found.
#[derive(Debug, Clone, Default)]
pub struct ReplayReport {
    /// Commits that were delivered.
    pub commits: u64,
    /// The last LSN of the log, delivered or not.
    pub last_lsn: Lsn,
    /// Bytes of unanswered commits that were cut from the end.
    pub torn_bytes: u64,
    /// The file that they were cut from.
    pub torn_file: Option<PathBuf>,
    /// Where it was cut.
    pub torn_at: u64,
    /// What was lost, in order.
    pub damages: Vec<WalDamage>,
    pub(super) sealed: Vec<SealedFile>,
    pub(super) next_file: WalFileId,
    /// Where reading would go on; `None` when there is no file.
    pub(crate) end: Option<WalPosition>,
}

/// A place in the log, between two records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalPosition {
    pub(crate) file: WalFileId,
    pub(crate) offset: u64,
    /// The last LSN before it.
    pub(crate) last_lsn: Lsn,
}

/// Whether replay mends what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    /// The log is ours: what is torn is cut, what is left is made durable, damage is copied away.
    Mend,
    /// Nothing is changed.
    ReadOnly,
}

impl ReplayReport {
    /// Files with the length of their valid part, in order.
    pub(crate) fn files(&self) -> impl Iterator<Item = (WalFileId, u64, Lsn)> {
        self.sealed.iter().map(|file| (file.id, file.byte_len, file.last_lsn))
    }
}

impl ReplayReport {
    /// Lets every replayed file be moved to `quarantine/` instead of removed, because rows in them found no place.
    pub fn keep_files(&mut self) {
        self.sealed.iter_mut().for_each(|file| file.disposal = Disposal::Quarantine);
    }
}

/// Delivers every commit above `after` to `sink`, in LSN order.
///
/// # Errors
/// Those of `sink` and of the file system, and `UnsupportedVersion` before anything is changed. Damage is no error: it is
/// in the report.
pub fn replay(
    io: &dyn Io,
    dir: &Path,
    after: Lsn,
    sink: impl FnMut(Lsn, Vec<SeriesBatch>) -> Result<()>,
) -> Result<ReplayReport> {
    read_log(io, dir, after, sink, Access::Mend)
}

/// Delivers what [`replay`] would, and leaves every file as it is. Another process may write meanwhile: files that it
/// removes or cuts are an `Io` error, records that it removed before they were read are a damage without bytes.
///
/// # Errors
/// As [`replay`].
pub(crate) fn replay_read_only(
    io: &dyn Io,
    dir: &Path,
    after: Lsn,
    sink: impl FnMut(Lsn, Vec<SeriesBatch>) -> Result<()>,
) -> Result<ReplayReport> {
    read_log(io, dir, after, sink, Access::ReadOnly)
}

fn read_log(
    io: &dyn Io,
    dir: &Path,
    after: Lsn,
    sink: impl FnMut(Lsn, Vec<SeriesBatch>) -> Result<()>,
    access: Access,
) -> Result<ReplayReport> {
    let mut report = ReplayReport { next_file: WalFileId(1), ..ReplayReport::default() };
    if !io.exists(dir)? {
        return Ok(report);
    }
    let ids = file::list(io, dir)?;
    let Some(last_id) = ids.last().copied() else { return Ok(report) };
    report.next_file = last_id.next();
    for &id in &ids {
        // Only for its error: an unknown version must stop everything while every file is as it was.
        file::read_header(&*io.open(&file::path_of(dir, id), OpenMode::Read)?, id)?;
    }
    let disposal = Disposal::Remove;
    let mut replay = Replay { io, dir, access, after, sink, seen: None, unsettled: false, disposal, report };
    for &id in &ids {
        replay.file(id, id == last_id)?;
    }
    replay.report.last_lsn = Lsn(replay.seen.unwrap_or(0));
    Ok(replay.report)
}

struct Replay<'a, S> {
    io: &'a dyn Io,
    dir: &'a Path,
    access: Access,
    after: Lsn,
    sink: S,
    /// The last LSN that was delivered, skipped or found to be lost; `None` before the first file.
    seen: Option<u64>,
    /// The last damage of the report does not know yet which commits it lost.
    unsettled: bool,
    /// What becomes of the file that is being read.
    disposal: Disposal,
    report: ReplayReport,
}

/// Where the valid part of a file ends and what of it is not known to be durable.
struct Tail {
    end: u64,
    /// LSN and offset of the last records, from the first that may not be durable.
    unsynced: VecDeque<(u64, u64)>,
    records: u64,
}

impl<S: FnMut(Lsn, Vec<SeriesBatch>) -> Result<()>> Replay<'_, S> {
    fn file(&mut self, id: WalFileId, is_last: bool) -> Result<()> {
        self.disposal = Disposal::Remove;
        let path = file::path_of(self.dir, id);
        let mode = if is_last && self.access == Access::Mend { OpenMode::ReadWrite } else { OpenMode::Read };
        let file = self.io.open(&path, mode)?;
        let header = file::read_header(&*file, id)?;
        let mut scanner = RecordScanner::new(file.clone(), FORMAT, id.0)?;
        let start = match header {
            Some(header) => {
                self.header(&path, header);
                HEADER_BYTES
            }
            None => match scanner.next_valid(0)? {
                Some((start, _)) => {
                    self.damage(&path, 0, start.min(HEADER_BYTES), "the header of the file is damaged");
                    // The first record stands right behind the header unless it is damaged too.
                    HEADER_BYTES
                }
                // Its making did not end: until it did, no record was written to it.
                None if scanner.is_zero_from(HEADER_BYTES)? => return self.remove(&path),
                None => {
                    let byte_len = scanner.file_len();
                    self.damage(&path, 0, byte_len, "no record of the file can be read");
                    self.keep_when_unreadable(&scanner);
                    self.seal(id, byte_len);
                    return Ok(());
                }
            },
        };
        let tail = self.records(&path, &mut scanner, start, is_last)?;
        self.report.end = Some(WalPosition { file: id, offset: tail.end, last_lsn: Lsn(self.seen.unwrap_or(0)) });
        if is_last {
            self.finish(&path, &file, &mut scanner, &tail)?;
        }
        self.keep_when_unreadable(&scanner);
        if tail.records == 0 && is_last && self.disposal == Disposal::Remove {
            return self.remove(&path);
        }
        self.seal(id, tail.end);
        Ok(())
    }

    fn seal(&mut self, id: WalFileId, byte_len: u64) {
        let last_lsn = Lsn(self.seen.unwrap_or(0));
        self.report.sealed.push(SealedFile { id, last_lsn, byte_len, disposal: self.disposal });
    }

    /// A copy of a file that cannot be read whole would not be one.
    fn keep_when_unreadable(&mut self, scanner: &RecordScanner) {
        if !scanner.unreadable().is_empty() {
            self.disposal = Disposal::Quarantine;
        }
    }

    /// Takes the header of a file: what the log held before it, and where it goes on.
    fn header(&mut self, path: &Path, header: FileHeader) {
        let due = self.seen.map_or(self.after.0.min(header.predecessor), |seen| seen) + 1;
        if header.predecessor >= due {
            self.missing(path, 0, due, header.predecessor);
        }
        self.settle(header.predecessor);
        let seen = self.seen.unwrap_or(0).max(header.predecessor).max(header.first.saturating_sub(1));
        self.seen = Some(seen);
    }

    /// Delivers the records of a file.
    fn records(&mut self, path: &Path, scanner: &mut RecordScanner, start: u64, is_last: bool) -> Result<Tail> {
        let mut tail = Tail { end: start, unsynced: VecDeque::new(), records: 0 };
        let mut looked_again_at = None;
        loop {
            let (resume_at, lost, reason) = match scanner.at(tail.end)? {
                Found::Record(header, payload) => {
                    let lsn = header.sequence;
                    while tail.unsynced.front().is_some_and(|(lsn, _)| *lsn <= header.synced) {
                        tail.unsynced.pop_front();
                    }
                    tail.unsynced.push_back((lsn, tail.end));
                    let (offset, end) = (tail.end, tail.end + header.record_len());
                    tail.end = end;
                    tail.records += 1;
                    self.record(path, offset..end, lsn, payload)?;
                    continue;
                }
                Found::End => break,
                Found::DamagedPayload(header) => {
                    let reason = "the payload of a record does not match its checksum";
                    (tail.end + header.record_len(), Some(header), reason)
                }
                Found::Damage => (tail.end + 8, None, "not a record"),
            };
            let due = self.seen.unwrap_or(self.after.0) + 1;
            if is_last && !is_durable(scanner, resume_at, due)? && !is_unreadable_from(scanner, tail.end) {
                break;
            }
            if self.access == Access::ReadOnly && looked_again_at != Some(tail.end) {
                // Whoever says that the record is durable wrote that after the record was whole.
                looked_again_at = Some(tail.end);
                scanner.look_anew()?;
                continue;
            }
            let next = scanner.next_valid(resume_at)?.map(|(offset, _)| offset);
            // Behind a record whose length is known the next one may be damaged in its own way.
            let end = match (lost, next) {
                (Some(_), _) => resume_at.min(scanner.file_len()),
                (None, Some(next)) => next,
                (None, None) => scanner.file_len(),
            };
            let is_unreadable = overlaps(scanner.unreadable(), &(tail.end..end));
            self.damage(path, tail.end, end, if is_unreadable { "the disk does not give a part back" } else { reason });
            if let Some(header) = lost.filter(|header| header.sequence >= due) {
                let payload = scanner.bytes(tail.end + RECORD_HEADER_BYTES as u64, header.payload_len as usize)?;
                self.last_damage().contents = payload.and_then(contents_of);
                self.settle(header.sequence);
                self.seen = Some(header.sequence);
            }
            tail.end = end;
        }
        Ok(tail)
    }

    fn record(&mut self, path: &Path, range: Range<u64>, lsn: u64, payload: &[u8]) -> Result<()> {
        let due = self.seen.map_or(self.after.0.min(lsn.saturating_sub(1)), |seen| seen) + 1;
        if lsn < due {
            self.damage(path, range.start, range.end, "a record stands behind one of a later commit");
            self.settle(due - 1);
            return Ok(());
        }
        if lsn > due {
            self.missing(path, range.start, due, lsn - 1);
        }
        self.settle(lsn - 1);
        self.seen = Some(lsn);
        if lsn <= self.after.0 {
            return Ok(());
        }
        match decode_commit(payload) {
            Ok(commit) => {
                self.report.commits += 1;
                (self.sink)(Lsn(lsn), commit)
            }
            Err(error) => {
                self.seen = Some(lsn - 1);
                self.damage(path, range.start, range.end, &error.to_string());
                self.settle(lsn);
                self.seen = Some(lsn);
                Ok(())
            }
        }
    }

    /// Reports a damaged range. Which commits it lost is known when the next LSN is.
    fn damage(&mut self, path: &Path, start: u64, end: u64, reason: &str) {
        let first_lost = Lsn(self.seen.unwrap_or(0).max(self.after.0) + 1);
        let last_lost = Lsn(first_lost.0 - 1);
        tracing::error!(path = %path.display(), start, end, reason, "the write-ahead log is damaged");
        let quarantined = self.quarantine(path);
        if quarantined.is_none() {
            self.disposal = Disposal::Quarantine;
        }
        let (path, reason) = (path.to_path_buf(), reason.to_owned());
        let (loss, contents) = (Loss::Unknown, None);
        let damage = WalDamage { path, start, end, first_lost, last_lost, loss, quarantined, reason, contents };
        self.report.damages.push(damage);
        self.unsettled = true;
    }

    /// Accounts for commits that are not where they are due: by the damage before, else by one of no bytes.
    fn missing(&mut self, path: &Path, offset: u64, first: u64, last: u64) {
        if !self.unsettled && last > self.after.0 {
            self.seen = Some(self.seen.unwrap_or(0).max(first - 1));
            self.damage(path, offset, offset, "records that stood before are missing");
        }
    }

    /// Everything up to `lsn` that was not seen was lost in the damage before.
    fn settle(&mut self, lsn: u64) {
        if std::mem::take(&mut self.unsettled) {
            let damage = self.last_damage();
            damage.last_lost = damage.last_lost.max(Lsn(lsn));
            damage.loss = Loss::Known;
        }
    }

    fn last_damage(&mut self) -> &mut WalDamage {
        self.report.damages.last_mut().expect("a damage was reported before more is said of it")
    }

    /// Copies a file away, once. A failure does not stop the opening: the file is moved there when its time comes.
    fn quarantine(&self, path: &Path) -> Option<PathBuf> {
        if self.access == Access::ReadOnly {
            return None;
        }
        match copy_once(self.io, path, &file::quarantine_of(self.dir)) {
            Ok(kept) => Some(kept),
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "a damaged file could not be copied to quarantine");
                None
            }
        }
    }

    /// Cuts what is torn and makes the rest durable.
    fn finish(&mut self, path: &Path, file: &Arc<dyn IoFile>, scanner: &mut RecordScanner, tail: &Tail) -> Result<()> {
        if !scanner.is_zero_from(tail.end)? {
            self.report.torn_bytes = scanner.file_len() - tail.end;
            self.report.torn_file = Some(path.to_path_buf());
            self.report.torn_at = tail.end;
        }
        if self.access == Access::ReadOnly {
            return Ok(());
        }
        // A sync that failed before the restart has left these bytes readable, yet clean and perhaps not on the disk. A
        // sync of now would not write them; writing them again does.
        let mut offset = tail.unsynced.front().map_or(tail.end, |(_, offset)| *offset);
        let mut buffer = Vec::new();
        while offset < tail.end {
            // A part that cannot be read stays as it is: writing to it would end every hope for it.
            let hole = scanner.unreadable().iter().find(|hole| hole.end > offset);
            let end = match hole {
                Some(hole) if hole.start <= offset => {
                    offset = hole.end;
                    continue;
                }
                Some(hole) => hole.start.min(tail.end),
                None => tail.end,
            };
            let len = (end - offset).min(REWRITE_BYTES);
            buffer.resize(usize::try_from(len).unwrap_or(0), 0);
            file.read_exact_at(offset, &mut buffer)?;
            file.write_all_at(offset, &buffer)?;
            offset += len;
        }
        if scanner.file_len() > tail.end {
            file.set_len(tail.end)?;
        }
        file.sync()
    }

    fn remove(&self, path: &Path) -> Result<()> {
        if self.access == Access::ReadOnly {
            return Ok(());
        }
        self.io.remove(path)?;
        self.io.sync_dir(self.dir)
    }
}

/// Whether a valid record at or after `offset` says that the record `due` was durable.
pub(super) fn is_durable(scanner: &mut RecordScanner, offset: u64, due: u64) -> Result<bool> {
    let mut offset = offset;
    while let Some((start, header)) = scanner.next_valid(offset)? {
        if header.synced >= due {
            return Ok(true);
        }
        offset = start + header.record_len();
    }
    Ok(false)
}

fn overlaps(parts: &[Range<u64>], range: &Range<u64>) -> bool {
    parts.iter().any(|part| part.start < range.end && range.start < part.end)
}

/// Whether a part from `offset` on cannot be read, of a file that was scanned to its end.
fn is_unreadable_from(scanner: &RecordScanner, offset: u64) -> bool {
    overlaps(scanner.unreadable(), &(offset..u64::MAX))
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
