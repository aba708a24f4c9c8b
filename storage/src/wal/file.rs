//! Names and headers of WAL files, and how one is made.
//!
//! Invariant: a file that is not the last one was synced whole before the next was made. So a hole in it is damage, and
//! only the last file has a tail that a crash may tear.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::framing::{FileHeader, RecordFormat};
use crate::io::{Io, IoFile, MediaError, OpenMode, create_dir_synced, free_name};
use crate::types::{Lsn, WalFileId};

pub(super) const FILE_MAGIC: [u8; 8] = *b"LYNXWAL\0";
pub(super) const VERSION: u32 = 1;
pub(super) const FORMAT: RecordFormat = RecordFormat { magic: *b"LXWR", payload_bytes_max: (1 << 30) + (1 << 29) };
pub(super) const HEADER_BYTES: u64 = FileHeader::BYTES as u64;

/// A file that takes no more records.
#[derive(Debug, Clone)]
pub(super) struct SealedFile {
    pub(super) id: WalFileId,
    /// The last LSN in it or before it.
    pub(super) last_lsn: Lsn,
    pub(super) byte_len: u64,
    pub(super) disposal: Disposal,
}

/// What becomes of a file when all of its commits are in segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposal {
    /// It is removed.
    Remove,
    /// It is moved to `quarantine/`: it is damaged and there is no whole copy, for want of space or because a part
    /// cannot be read.
    Quarantine,
}

/// Takes a file out of the log.
pub(super) fn dispose(io: &dyn Io, dir: &Path, id: WalFileId, disposal: Disposal) -> Result<()> {
    let path = path_of(dir, id);
    match disposal {
        Disposal::Remove => io.remove(&path),
        Disposal::Quarantine => {
            let quarantine = quarantine_of(dir);
            create_dir_synced(io, &quarantine)?;
            io.rename(&path, &free_name(io, &quarantine, &wal_file_name(id))?)?;
            io.sync_dir(&quarantine)
        }
    }
}

/// Where damaged files of the log in `dir` are kept.
pub(super) fn quarantine_of(dir: &Path) -> PathBuf {
    dir.parent().unwrap_or(Path::new("")).join("quarantine")
}

/// The name of a file within the directory of the log.
pub(crate) fn wal_file_name(id: WalFileId) -> String {
    format!("{:016x}.wal", id.0)
}

pub(super) fn path_of(dir: &Path, id: WalFileId) -> PathBuf {
    dir.join(wal_file_name(id))
}

/// Ids of the files of a directory, in order.
pub(super) fn list(io: &dyn Io, dir: &Path) -> Result<Vec<WalFileId>> {
    let id_of = |name: &String| {
        let digits = name.strip_suffix(".wal").filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok().map(WalFileId)
    };
    let mut ids: Vec<WalFileId> = io.list(dir)?.iter().filter_map(id_of).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Makes a file that is durable with its name before any record is written to it.
///
/// A crash within leaves a file without records, which replay removes.
pub(super) fn create(
    io: &dyn Io,
    dir: &Path,
    id: WalFileId,
    predecessor: Lsn,
    first: Lsn,
    byte_len: u64,
) -> Result<Arc<dyn IoFile>> {
    let file = io.open(&path_of(dir, id), OpenMode::CreateNew)?;
    file.allocate(byte_len)?;
    let header = FileHeader { version: VERSION, file: id.0, predecessor: predecessor.0, first: first.0 };
    file.write_all_at(0, &header.to_bytes(FILE_MAGIC))?;
    file.sync()?;
    io.sync_dir(dir)?;
    Ok(file)
}

/// The header of a file; `None` when it is damaged, cannot be read, was never written or is that of another file.
///
/// # Errors
/// `UnsupportedVersion` for a sound header of another version.
pub(super) fn read_header(file: &dyn IoFile, id: WalFileId) -> Result<Option<FileHeader>> {
    if file.len()? < HEADER_BYTES {
        return Ok(None);
    }
    let mut bytes = [0; FileHeader::BYTES];
    match file.read_exact_at(0, &mut bytes) {
        Err(error) if error.is_media_error() => return Ok(None),
        other => other?,
    }
    match FileHeader::from_bytes(&bytes, FILE_MAGIC) {
        Some(header) if header.version != VERSION => {
            let path = file.path().to_path_buf();
            Err(Error::UnsupportedVersion { path, found: header.version, supported: VERSION })
        }
        header => Ok(header.filter(|header| header.file == id.0)),
    }
}
