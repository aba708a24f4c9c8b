//! Makes a database from a backup.
//!
//! Invariant: a directory in which `RESTORE.unfinished` is not there holds the whole database or nothing. Steps: verify
//! every file of the backup; make the mark; copy every file, checking it again on the way; remove the mark. A crash leaves
//! the mark, and such a directory is not opened.

use std::path::Path;
use std::sync::Arc;

use super::backup::is_vacant;
use super::backup_marker::{BackupFile, BackupMarker, FileSum};
use super::copy::{checksum, copy_file};
use super::database_dir::DatabaseDir;
use super::directory_lock;
use crate::error::{Error, Result};
use crate::io::{Io, OpenMode, RealIo, create_dir_synced, replace_file};
use crate::types::Lsn;

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RestoreStats {
    /// The last commit in the database.
    pub lsn: Lsn,
    /// Files that were copied.
    pub copied_files: u64,
    /// Bytes of them.
    pub copied_bytes: u64,
}

/// Makes the directory `destination`, which is absent or empty, a copy of the database in a backup.
///
/// # Errors
/// `InvalidInput` when `backup` is no backup or did not end, or `destination` is not empty; `Corruption` when a file of
/// the backup is missing or is not what it was; `Io`.
pub fn restore(backup: &Path, destination: &Path) -> Result<RestoreStats> {
    restore_with(&(Arc::new(RealIo) as Arc<dyn Io>), backup, destination)
}

/// Restores on a given file system.
///
/// # Errors
/// As [`restore`].
pub fn restore_with(io: &Arc<dyn Io>, backup: &Path, destination: &Path) -> Result<RestoreStats> {
    let io = &**io;
    let (source, target) = (DatabaseDir::new(backup), DatabaseDir::new(destination));
    if !io.exists(&source.backup_marker())? {
        let reason = match io.exists(&source.backup_mark())? {
            true => "is a backup that did not end: back up again",
            false => "is no backup",
        };
        return Err(Error::invalid(format!("{} {reason}", backup.display())));
    }
    if !is_vacant(io, &target)? {
        return Err(Error::invalid(format!("{} is not empty: restore into another directory", destination.display())));
    }
    let marker = BackupMarker::read(io, &source.backup_marker())?;
    for (file, sum) in &marker.files {
        verify(io, &file.path(&source), *sum)?;
    }

    create_dir_synced(io, &target.root)?;
    let lock = directory_lock::take(io, &target.lock_file())?;
    replace_file(io, &target.restore_mark(), b"")?;
    create_dir_synced(io, &target.segments())?;
    create_dir_synced(io, &target.wal())?;
    let mut stats = RestoreStats { lsn: marker.lsn, ..RestoreStats::default() };
    for (file, sum) in &marker.files {
        copy_verified(io, *file, *sum, &source, &target)?;
        stats.copied_files += 1;
        stats.copied_bytes += sum.len;
    }
    io.sync_dir(&target.segments())?;
    io.sync_dir(&target.wal())?;
    io.sync_dir(&target.root)?;
    io.remove(&target.restore_mark())?;
    io.sync_dir(&target.root)?;
    directory_lock::release(lock);
    Ok(stats)
}

fn verify(io: &dyn Io, path: &Path, sum: FileSum) -> Result<()> {
    if !io.exists(path)? {
        return Err(Error::corruption(path, 0, "the backup lost this file"));
    }
    let file = io.open(path, OpenMode::Read)?;
    let len = file.len()?;
    if len != sum.len {
        return Err(Error::corruption(
            path,
            0,
            format!("the file of the backup has {len} bytes, expected {}", sum.len),
        ));
    }
    check(path, sum, checksum(&*file, len)?)
}

fn copy_verified(
    io: &dyn Io,
    file: BackupFile,
    sum: FileSum,
    source: &DatabaseDir,
    target: &DatabaseDir,
) -> Result<()> {
    let from = file.path(source);
    let crc = copy_file(io, &*io.open(&from, OpenMode::Read)?, sum.len, &file.path(target))?;
    check(&from, sum, crc)
}

fn check(path: &Path, sum: FileSum, crc: u32) -> Result<()> {
    if crc == sum.crc {
        return Ok(());
    }
    Err(Error::corruption(path, 0, "the file of the backup does not match its checksum"))
}
