//! Backs a database up into a directory, while another thread or process writes it.
//!
//! A backup is a database directory with a marker in it: the segments of one manifest version, the log above its flushed
//! LSN up to one commit, the manifest, and last the marker with the length and checksum of each file. It can be opened as
//! it is, and restored from. Segments are immutable, so they are linked where source and destination share a file system,
//! and copied elsewhere; every segment that comes in is verified first.
//!
//! Invariant: a directory with the file `BACKUP` holds every file that it names, whole. Steps: new segments beside those
//! of the backup before; the log under temporary names; take the marker away; put log and manifest in place; write the
//! marker; remove what the new backup does not need. A crash before the marker is taken away leaves the backup before, one
//! after it a directory that is neither restored nor opened, and that the next backup completes.
//!
//! The source is read like an attachment reads it, also by its own engine: a lease keeps its segments in place, and the
//! manifest must be the same before and after the log is read. Open files of the log stay readable after their removal.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::backup_marker::{BackupFile, BackupMarker, FileSum};
use super::copy::{checksum, copy_file, temporary};
use super::database_dir::DatabaseDir;
use super::directory_lock;
use super::pinned_manifest::{PinnedManifest, is_vanished_file};
use crate::error::{Error, Result};
use crate::io::{Io, IoFile, LinkOutcome, OpenMode, RealIo, create_dir_synced, replace_file};
use crate::manifest::{SegmentMeta, encode_file};
use crate::segment::Segment;
use crate::types::{Lsn, SegmentId, WalFileId};
use crate::wal::{WalDamage, replay_read_only, sync_up_to, wal_file_name};

/// Attempts until a writer that changes the manifest all the time is given up on.
const ATTEMPTS_MAX: u32 = 64;
/// The end of a segment is compared to tell two segments of one number apart. It has the checksum of the footer, which has
/// those of all that stands before it.
const SEGMENT_END_BYTES: u64 = 32;

/// What a backup did. Bytes are those of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackupStats {
    /// The last commit in the backup.
    pub lsn: Lsn,
    /// Segments that have a second name in the backup now.
    pub linked_files: u64,
    /// Bytes of them.
    pub linked_bytes: u64,
    /// Files that were copied or written.
    pub copied_files: u64,
    /// Bytes of them.
    pub copied_bytes: u64,
    /// Files of an earlier backup that were checked and kept.
    pub reused_files: u64,
    /// Bytes of them.
    pub reused_bytes: u64,
    /// Files of an earlier backup that were removed.
    pub removed_files: u64,
}

impl BackupStats {
    fn linked(&mut self, sum: FileSum) {
        self.linked_files += 1;
        self.linked_bytes += sum.len;
    }

    fn copied(&mut self, sum: FileSum) {
        self.copied_files += 1;
        self.copied_bytes += sum.len;
    }

    fn reused(&mut self, sum: FileSum) {
        self.reused_files += 1;
        self.reused_bytes += sum.len;
    }
}

/// Backs the database in `source` up into the directory `destination`, which is made when absent. A second backup into the
/// same directory brings it up to date. The database may be open for writing, in this process or in another one, or
/// closed. Rows that were written as `Volatile` are not part of it before they are flushed.
///
/// # Errors
/// `InvalidInput` when `source` is no database, or `destination` is neither empty nor a backup; `Locked` when the
/// destination is open elsewhere; `Corruption` when the source is damaged; `Changing`, `Io`.
pub fn backup(source: &Path, destination: &Path) -> Result<BackupStats> {
    backup_with(&(Arc::new(RealIo) as Arc<dyn Io>), source, destination)
}

/// Backs up on a given file system.
///
/// # Errors
/// As [`backup`].
pub fn backup_with(io: &Arc<dyn Io>, source: &Path, destination: &Path) -> Result<BackupStats> {
    let (source, target) = (DatabaseDir::new(source), DatabaseDir::new(destination));
    let is_new = check_destination(&**io, &target)?;
    let mut source = Source::pin(io, source)?;
    create_dir_synced(&**io, &target.root)?;
    let lock = directory_lock::take(&**io, &target.lock_file())?;
    if is_new {
        replace_file(&**io, &target.backup_mark(), &BackupMarker::default().to_bytes())?;
    }
    create_dir_synced(&**io, &target.segments())?;
    create_dir_synced(&**io, &target.wal())?;
    let mut vanished = None;
    for _ in 0..ATTEMPTS_MAX {
        let mut run = Run { io, source: &source, target: &target, stats: BackupStats::default() };
        match run.run() {
            // Only without a lease can a segment go.
            Err(error) if is_vanished_file(&error) => vanished = Some(error),
            done => {
                directory_lock::release(lock);
                return done.map(|()| run.stats);
            }
        }
        source.read_on(io)?;
    }
    Err(vanished.unwrap_or(Error::Changing { path: source.dir.root, attempts: ATTEMPTS_MAX }))
}

/// Whether the destination has nothing in it yet.
fn check_destination(io: &dyn Io, target: &DatabaseDir) -> Result<bool> {
    if io.exists(&target.backup_marker())? || io.exists(&target.backup_mark())? {
        return Ok(false);
    }
    if is_vacant(io, target)? {
        return Ok(true);
    }
    let reason = "is neither empty nor a backup: choose another directory";
    Err(Error::invalid(format!("{} {reason}", target.root.display())))
}

/// Whether a directory is absent, or has at most what an attempt leaves that came to nothing.
pub(super) fn is_vacant(io: &dyn Io, dir: &DatabaseDir) -> Result<bool> {
    let beginnings = [dir.lock_file(), temporary(&dir.backup_mark()), temporary(&dir.restore_mark())];
    Ok(!io.exists(&dir.root)? || io.list(&dir.root)?.iter().all(|name| beginnings.contains(&dir.root.join(name))))
}

/// A state of the source that stays as it is until it is dropped.
struct Source {
    dir: DatabaseDir,
    manifest: PinnedManifest,
    log: Vec<LogFile>,
    lsn: Lsn,
}

/// A file of the log with the length of its part that counts.
struct LogFile {
    id: WalFileId,
    file: Arc<dyn IoFile>,
    len: u64,
}

impl Source {
    fn pin(io: &Arc<dyn Io>, dir: DatabaseDir) -> Result<Self> {
        let manifest = PinnedManifest::open(io, &dir)?;
        let mut source = Self { dir, manifest, log: Vec::new(), lsn: Lsn(0) };
        source.read_on(io)?;
        Ok(source)
    }

    /// Moves to the newest state.
    fn read_on(&mut self, io: &Arc<dyn Io>) -> Result<()> {
        let mut suspected = Vec::new();
        let mut vanished = None;
        for _ in 0..ATTEMPTS_MAX {
            self.manifest.read_on()?;
            match self.read_log(&**io, &mut suspected) {
                Ok(true) if self.manifest.is_current()? => return Ok(()),
                Ok(_) => {}
                Err(error) if is_vanished_file(&error) => vanished = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(vanished.unwrap_or(Error::Changing { path: self.dir.root.clone(), attempts: ATTEMPTS_MAX }))
    }

    /// Opens the files of the log that are needed; `false` when it looks damaged for the first time.
    fn read_log(&mut self, io: &dyn Io, suspected: &mut Vec<WalDamage>) -> Result<bool> {
        let flushed = self.manifest.state().flushed_lsn;
        let replayed = replay_read_only(io, &self.dir.wal(), flushed, |_, _| Ok(()))?;
        if let Some(damage) = replayed.damages.first() {
            let reason = format!("{}; open the database for writing and flush it, then back it up", damage.reason);
            let error = Error::corruption(&damage.path, damage.start, reason);
            let is_certain = *suspected == replayed.damages;
            *suspected = replayed.damages;
            return if is_certain { Err(error) } else { Ok(false) };
        }
        self.log.clear();
        for (id, len, last_lsn) in replayed.files() {
            if last_lsn > flushed {
                let file = io.open(&self.dir.wal().join(wal_file_name(id)), OpenMode::Read)?;
                self.log.push(LogFile { id, file, len });
            }
        }
        if let Some(end) = replayed.end {
            sync_up_to(io, &self.dir.wal(), end)?;
        }
        self.lsn = replayed.last_lsn.max(flushed);
        Ok(true)
    }
}

/// One backup of one state.
struct Run<'a> {
    io: &'a Arc<dyn Io>,
    source: &'a Source,
    target: &'a DatabaseDir,
    stats: BackupStats,
}

impl Run<'_> {
    fn run(&mut self) -> Result<()> {
        let (io, target, state) = (&**self.io, self.target, self.source.manifest.state());
        let has_marker = io.exists(&target.backup_marker())?;
        let before = if has_marker { target.backup_marker() } else { target.backup_mark() };
        // Without what it says every file is verified, which takes longer.
        let known = BackupMarker::read(io, &before).unwrap_or_default();
        let mut marker = BackupMarker { lsn: self.source.lsn, files: BTreeMap::new() };
        for (id, meta) in &state.segments {
            let file = BackupFile::Segment(*id);
            marker.files.insert(file, self.segment(meta, known.files.get(&file).copied())?);
        }
        io.sync_dir(&target.segments())?;
        let mut arriving = Vec::new();
        for log_file in &self.source.log {
            let file = BackupFile::Wal(log_file.id);
            let path = file.path(target);
            let crc = copy_file(io, &*log_file.file, log_file.len, &temporary(&path))?;
            let sum = FileSum { len: log_file.len, crc };
            self.stats.copied(sum);
            marker.files.insert(file, sum);
            arriving.push(path);
        }
        let manifest = encode_file(state, self.source.manifest.version().0)?;
        let sum = FileSum { len: manifest.len() as u64, crc: crc32c::crc32c(&manifest) };
        self.stats.copied(sum);
        marker.files.insert(BackupFile::Manifest, sum);

        if has_marker {
            io.rename(&target.backup_marker(), &target.backup_mark())?;
            io.sync_dir(&target.root)?;
        }
        for path in &arriving {
            io.rename(&temporary(path), path)?;
        }
        self.remove_others(&target.wal(), &marker)?;
        io.sync_dir(&target.wal())?;
        replace_file(io, &target.manifest(), &manifest)?;
        replace_file(io, &target.backup_marker(), &marker.to_bytes())?;

        self.remove_others(&target.segments(), &marker)?;
        io.sync_dir(&target.segments())?;
        io.remove(&target.backup_mark())?;
        io.sync_dir(&target.root)?;
        self.stats.lsn = self.source.lsn;
        Ok(())
    }

    /// Brings a segment into the backup, unless it is there.
    fn segment(&mut self, meta: &SegmentMeta, known: Option<FileSum>) -> Result<FileSum> {
        let (io, len) = (&**self.io, meta.file_len);
        let (from, to) = (self.source.dir.segment(meta.id), self.target.segment(meta.id));
        let source = io.open(&from, OpenMode::Read)?;
        if io.exists(&to)? {
            if let Some(crc) = self.kept_segment(&*source, meta, known)? {
                let sum = FileSum { len, crc };
                self.stats.reused(sum);
                return Ok(sum);
            }
            io.remove(&to)?;
        }
        self.verify(&from, meta.id, len)?;
        if io.link(&from, &to)? == LinkOutcome::Linked {
            let sum = FileSum { len, crc: checksum(&*source, len)? };
            self.stats.linked(sum);
            return Ok(sum);
        }
        let sum = FileSum { len, crc: copy_file(io, &*source, len, &temporary(&to))? };
        io.rename(&temporary(&to), &to)?;
        self.stats.copied(sum);
        Ok(sum)
    }

    /// The checksum of the file in the backup when it is that of the source, and whole.
    fn kept_segment(&self, source: &dyn IoFile, meta: &SegmentMeta, known: Option<FileSum>) -> Result<Option<u32>> {
        let (path, len) = (self.target.segment(meta.id), meta.file_len);
        let copy = self.io.open(&path, OpenMode::Read)?;
        if copy.len()? != len || end_of(source, len)? != end_of(&*copy, len)? {
            return Ok(None);
        }
        let crc = checksum(&*copy, len)?;
        let is_whole = match known {
            Some(sum) => sum == FileSum { len, crc },
            None => match self.verify(&path, meta.id, len) {
                Ok(()) => true,
                Err(Error::Corruption { .. }) => false,
                Err(error) => return Err(error),
            },
        };
        Ok(is_whole.then_some(crc))
    }

    fn verify(&self, path: &Path, id: SegmentId, len: u64) -> Result<()> {
        Segment::open(Arc::clone(self.io), path, id, len)?.verify_all()
    }

    /// Removes the files of a directory that are no part of the backup.
    fn remove_others(&mut self, dir: &Path, marker: &BackupMarker) -> Result<()> {
        let kept: BTreeSet<_> = marker.files.keys().map(|file| file.path(self.target)).collect();
        for name in self.io.list(dir)? {
            let path = dir.join(name);
            if !kept.contains(&path) {
                self.io.remove(&path)?;
                self.stats.removed_files += 1;
            }
        }
        Ok(())
    }
}

fn end_of(file: &dyn IoFile, len: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len.min(SEGMENT_END_BYTES)).expect("the end is short")];
    file.read_exact_at(len - bytes.len() as u64, &mut bytes)?;
    Ok(bytes)
}
