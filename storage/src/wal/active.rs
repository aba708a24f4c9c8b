//! The file that takes records, and the files before it.
//!
//! Invariants:
//! - A file is synced whole before the next one is made.
//! - After a failed write or sync nothing is written or synced any more, which `group_commit` sees to: what reached the
//!   disk is unknown, and a second sync of the same descriptor would report success for data that is gone.
//!
//! [`ActiveFile`] has one user at a time, who may be at work on the disk; [`LogFiles`] is shared with threads that must
//! not wait for that.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::commit::EncodedCommit;
use super::file::{self, Disposal, FORMAT, HEADER_BYTES, SealedFile};
use super::group_commit::{Failure, GroupLog, Queued, SyncMode};
use super::writer::WalOptions;
use crate::error::Result;
use crate::framing::{RECORD_HEADER_BYTES, RecordHeader};
use crate::io::{Io, IoFile};
use crate::types::{Lsn, WalFileId};

/// The files of a log and what is known of them without waiting for disk work.
#[derive(Debug)]
pub(super) struct LogFiles {
    pub(super) io: Arc<dyn Io>,
    pub(super) dir: PathBuf,
    pub(super) options: WalOptions,
    pub(super) sealed: Mutex<Vec<SealedFile>>,
    /// Bytes of the sealed files, for writers that must not wait while some are removed.
    pub(super) sealed_bytes: AtomicU64,
    /// `offset` of the active file, for readers that must not wait for its disk work.
    pub(super) active_bytes: AtomicU64,
    /// What the buffer of the active file takes in memory.
    pub(super) buffer_bytes: AtomicU64,
    /// Successful syncs of records.
    pub(super) syncs: AtomicU64,
}

/// The file that takes records.
#[derive(Debug)]
pub(super) struct ActiveFile {
    files: Arc<LogFiles>,
    id: WalFileId,
    file: Arc<dyn IoFile>,
    /// Where the next record goes.
    offset: u64,
    allocated: u64,
    last_lsn: Lsn,
    synced_lsn: Lsn,
    /// Also counts files whose making failed, since ids are not used twice.
    next_id: WalFileId,
    /// Records that are written together.
    buffer: Vec<u8>,
}

impl LogFiles {
    fn new_file_bytes(&self) -> u64 {
        self.options.file_bytes_max.max(HEADER_BYTES)
    }

    fn create(&self, id: WalFileId, predecessor: Lsn, first: Lsn) -> Result<Arc<dyn IoFile>> {
        file::create(&*self.io, &self.dir, id, predecessor, first, self.new_file_bytes())
    }
}

impl ActiveFile {
    /// A new file with this id, behind records up to `replayed` and commits up to `last_lsn`.
    pub(super) fn create(files: Arc<LogFiles>, id: WalFileId, replayed: Lsn, last_lsn: Lsn) -> Result<Self> {
        let file = files.create(id, replayed, last_lsn.next())?;
        Ok(Self {
            allocated: files.new_file_bytes(),
            files,
            id,
            file,
            offset: HEADER_BYTES,
            last_lsn,
            synced_lsn: last_lsn,
            next_id: id.next(),
            buffer: Vec::new(),
        })
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> WalFileId {
        self.id
    }

    pub(super) fn last_lsn(&self) -> Lsn {
        self.last_lsn
    }

    pub(super) fn has_records(&self) -> bool {
        self.offset > HEADER_BYTES
    }

    /// Seals the file and begins the next one. On a clean failure it stays the active one.
    pub(super) fn begin_next(&mut self) -> Result<(), Failure> {
        // A crash from here on finds every record of the old file, so the new one may come to be.
        self.sync()?;
        let id = self.next_id;
        self.next_id = id.next();
        let next = self.files.create(id, self.last_lsn, self.last_lsn.next());
        let file = next.map_err(|error| {
            // Without records it means nothing to replay, so it may as well stay when this fails.
            let _left_behind = self.files.io.remove(&file::path_of(&self.files.dir, id));
            Failure::Clean(error)
        })?;
        // Gives the reserved rest back. Records are not touched, and zeros at the end mean the same as the end.
        let _still_reserved = self.file.set_len(self.offset);
        let (id_before, last_lsn, byte_len) = (self.id, self.last_lsn, self.offset);
        self.files.sealed.lock().push(SealedFile { id: id_before, last_lsn, byte_len, disposal: Disposal::Remove });
        self.files.sealed_bytes.fetch_add(byte_len, Ordering::Relaxed);
        self.id = id;
        self.file = file;
        self.offset = HEADER_BYTES;
        self.allocated = self.files.new_file_bytes();
        self.files.active_bytes.store(HEADER_BYTES, Ordering::Relaxed);
        Ok(())
    }

    /// Makes every record so far durable.
    pub(super) fn sync(&mut self) -> Result<(), Failure> {
        if self.synced_lsn < self.last_lsn {
            self.file.sync().map_err(Failure::Poisoning)?;
            self.files.syncs.fetch_add(1, Ordering::Relaxed);
            self.synced_lsn = self.last_lsn;
        }
        Ok(())
    }

    /// Gives the reserved rest of the file back; later records reserve anew.
    pub(super) fn trim(&mut self) -> Result<(), Failure> {
        // Zeros at the end mean the same as the end, so a crash in between leaves nothing to mend.
        self.file.set_len(self.offset).map_err(Failure::Clean)?;
        self.allocated = self.offset;
        Ok(())
    }

    /// Writes the records of a group behind each other.
    fn write(&mut self, group: &mut [Queued<EncodedCommit>]) -> Result<()> {
        let synced = self.synced_lsn.0;
        self.buffer.clear();
        let is_alone = group.len() == 1;
        // A group of many records takes several writes, which cost little beside its sync; a buffer as long as the group
        // would outgrow a small memory budget. For long records another write costs less than copying them together.
        let buffer_bytes_max = self.files.options.buffer_bytes_max;
        let copied_bytes_max = buffer_bytes_max / 2;
        for queued in group {
            self.last_lsn = self.last_lsn.next();
            let record = &mut queued.record;
            let (payload_len, payload_crc) = (record.payload_len, record.payload_crc);
            let header = RecordHeader { payload_len, sequence: self.last_lsn.0, synced, payload_crc };
            record.record[..RECORD_HEADER_BYTES].copy_from_slice(&header.to_bytes(FORMAT, self.id.0));
            let is_copied = !is_alone && record.record.len() < copied_bytes_max;
            if !is_copied || self.buffer.len() + record.record.len() > buffer_bytes_max {
                self.write_buffer()?;
            }
            if is_copied {
                self.reserve_buffer();
                self.buffer.extend_from_slice(&record.record);
            } else {
                self.file.write_all_at(self.offset, &record.record)?;
                self.offset += record.record.len() as u64;
            }
        }
        self.write_buffer()
    }

    /// Once, and never longer: what it takes is known to the memory budget.
    fn reserve_buffer(&mut self) {
        if self.buffer.capacity() == 0 {
            self.buffer.reserve_exact(self.files.options.buffer_bytes_max);
            self.files.buffer_bytes.store(self.buffer.capacity() as u64, Ordering::Relaxed);
        }
    }

    fn write_buffer(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.file.write_all_at(self.offset, &self.buffer)?;
            self.offset += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }
}

impl GroupLog for ActiveFile {
    type Record = EncodedCommit;

    fn byte_len(record: &EncodedCommit) -> usize {
        record.byte_len()
    }

    fn write_group(&mut self, group: &mut [Queued<EncodedCommit>]) -> Result<Lsn, Failure> {
        let byte_len: u64 = group.iter().map(|queued| queued.record.byte_len() as u64).sum();
        if self.has_records() && self.offset + byte_len > self.files.options.file_bytes_max {
            self.begin_next()?;
        }
        if self.offset + byte_len > self.allocated {
            // Reserved first: running out of space within a write would close the log.
            self.file.allocate(self.offset + byte_len).map_err(Failure::Clean)?;
            self.allocated = self.offset + byte_len;
        }
        let first = self.last_lsn.next();
        self.write(group).map_err(Failure::Poisoning)?;
        self.files.active_bytes.store(self.offset, Ordering::Relaxed);
        if group.iter().any(|queued| queued.sync == SyncMode::Sync) {
            self.sync()?;
        }
        Ok(first)
    }
}
