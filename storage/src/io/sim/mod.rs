//! A simulated disk that loses whatever a real one may lose.
//!
//! Invariant: what [`SimIo::after_crash`] gives holds every byte and every name that a successful sync covered, and
//! otherwise any part of what was written since: closing a file syncs nothing, a file that was synced under a name that
//! was not is gone, writes are torn at sectors, and names change in any order. After a failed sync the data that it
//! should have made durable is clean to later syncs and never reaches the disk, as on Linux.
//!
//! Every call that touches the disk is one operation, counted from 1, at which a fault or the power cut can be placed.
//! One lock guards the disk, so operations of several threads are in one order.

mod disk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use self::disk::{
    ChangeKind, Disk, FileData, FileId, NameChange, Node, Random, Verdict, is_root, not_found, power_off,
};
use super::{FetchBytes, Io, IoFile, IoLock, LinkOutcome, MappedFile, OpenMode};
use crate::error::{Error, Result};

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Open of an existing file.
    Open,
    /// Creation of a file, also by taking its lock.
    Create,
    /// Read, map, length, list or existence.
    Read,
    /// Write to a file.
    Write,
    /// Change of a file's length, reserving space or not.
    Resize,
    /// Sync of a file.
    Sync,
    /// Creation of a directory with its parents.
    CreateDir,
    /// Rename of a file.
    Rename,
    /// A second name for a file.
    Link,
    /// Removal of a file.
    Remove,
    /// Sync of a directory.
    SyncDir,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The device fails.
    Eio,
    /// The disk is full. A read fails as by `Eio`.
    Enospc,
    /// The first half of a write is done, then the disk is full. Other operations fail as by `Enospc`.
    ShortWrite,
}

/// Which operations fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultAt {
    /// The operation of this number, once.
    Once(u64),
    /// The operation of this number and every later one.
    From(u64),
    /// The next operation of this kind, once.
    Next(Operation),
}

/// What a crash leaves of the unsynced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashModel {
    /// Nothing.
    LoseAll,
    /// Everything, as after the end of a process.
    KeepAll,
    /// Any part of it, chosen by the seed.
    Random,
}

/// A file system in memory; clones share it.
#[derive(Debug, Clone, Default)]
pub struct SimIo {
    disk: Arc<Mutex<Disk>>,
}

impl SimIo {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of operations so far.
    pub fn operations(&self) -> u64 {
        self.disk.lock().trace.len() as u64
    }

    /// Every operation so far, failed ones included.
    pub fn trace(&self) -> Vec<(Operation, PathBuf)> {
        self.disk.lock().trace.clone()
    }

    /// Number of operations of one kind on a path so far.
    pub fn count(&self, operation: Operation, path: &Path) -> usize {
        self.disk.lock().trace.iter().filter(|(kind, at)| *kind == operation && at == path).count()
    }

    /// Adds a fault.
    pub fn fail(&self, at: FaultAt, kind: FaultKind) {
        self.disk.lock().faults.push((at, kind));
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        self.disk.lock().faults.clear();
    }

    /// Cuts the power during the operation of this number: it and every later one fail.
    pub fn set_crash_at(&self, operation: u64) {
        self.disk.lock().crash_at = Some(operation);
    }

    /// Whether the power was cut.
    pub fn is_off(&self) -> bool {
        let disk = self.disk.lock();
        disk.crash_at.is_some_and(|at| disk.trace.len() as u64 >= at)
    }

    /// What the next start finds when the power is cut now: no locks, no faults, a new operation counter.
    pub fn after_crash(&self, seed: u64, model: CrashModel) -> Self {
        let disk = self.disk.lock();
        let mut random = Random(seed);
        let files = disk.files.iter().map(|file| file.after_crash(&mut random, model)).collect();
        let mut names = disk.durable_names.clone();
        for change in &disk.unsynced_names {
            let keep = match model {
                CrashModel::LoseAll => false,
                CrashModel::KeepAll => true,
                CrashModel::Random => random.below(2) == 0,
            };
            if keep {
                change.apply(&mut names);
            }
        }
        // What lies below a lost directory is out of reach.
        let reachable: BTreeMap<PathBuf, Node> = names
            .iter()
            .filter(|(path, _)| path.ancestors().skip(1).all(|dir| is_root(dir) || names.get(dir) == Some(&Node::Dir)))
            .map(|(path, node)| (path.clone(), *node))
            .collect();
        let next = Disk { files, names: reachable.clone(), durable_names: reachable, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(next)) }
    }

    /// The content of a file as a process sees it. Not an operation.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.disk.lock();
        disk.file_id(path).map(|id| disk.files[id].current.clone())
    }

    /// Changes the content of a file behind its owner's back, durably. Not an operation.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.disk.lock();
        let id = disk.file_id(path).expect("the file to damage is there");
        let file = &mut disk.files[id];
        change(&mut file.current);
        file.durable = file.current.clone();
        file.unsynced.clear();
    }

    /// Makes a part of a file fail every read from now on, as a bad sector does. Not an operation.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn make_unreadable(&self, path: &Path, part: std::ops::Range<usize>) {
        let mut disk = self.disk.lock();
        let id = disk.file_id(path).expect("the file to damage is there");
        disk.files[id].unreadable.push(part);
    }

    /// Paths of all files, sorted. Not an operation.
    pub fn paths(&self) -> Vec<PathBuf> {
        let disk = self.disk.lock();
        disk.names.iter().filter(|(_, node)| **node != Node::Dir).map(|(path, _)| path.clone()).collect()
    }
}

/// A mapped file. Fetching from it is no operation, but finds parts that became unreadable.
#[derive(Debug)]
struct SimPages {
    disk: Arc<Mutex<Disk>>,
    id: FileId,
}

impl FetchBytes for SimPages {
    fn fetch(&self, range: std::ops::Range<usize>) -> std::io::Result<()> {
        self.disk.lock().files[self.id].read(range.start, range.len()).map(drop)
    }
}

#[derive(Debug)]
struct SimFile {
    disk: Arc<Mutex<Disk>>,
    id: FileId,
    path: PathBuf,
    mode: OpenMode,
}

#[derive(Debug)]
struct SimLock {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
    id: FileId,
}

impl IoLock for SimLock {
    fn replace_content(&self, bytes: &[u8]) -> Result<()> {
        let done = self.disk.lock().run(Operation::Write, &self.path, |disk| {
            let file = &mut disk.files[self.id];
            file.change(ChangeKind::Write { offset: 0, bytes: bytes.to_vec() });
            file.change(ChangeKind::SetLen(bytes.len()));
            Ok(())
        });
        done.map_err(|source| Error::io("write", &self.path, source))
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.lock().locks.remove(&self.path);
    }
}

impl Io for SimIo {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn IoFile>> {
        let operation = if mode == OpenMode::CreateNew { Operation::Create } else { Operation::Open };
        let id = self.disk.lock().run(operation, path, |disk| match (mode, disk.names.get(path)) {
            (OpenMode::CreateNew, None) => disk.create(path),
            (OpenMode::CreateNew, Some(_)) => Err(std::io::ErrorKind::AlreadyExists.into()),
            (_, Some(Node::File(id))) => Ok(*id),
            (_, _) => Err(not_found()),
        });
        let id = id.map_err(|source| Error::io("open", path, source))?;
        Ok(Arc::new(SimFile { disk: self.disk.clone(), id, path: path.to_path_buf(), mode }))
    }

    fn map(&self, path: &Path, expected_len: u64) -> Result<MappedFile> {
        let mut disk = self.disk.lock();
        let content = disk.run(Operation::Read, path, |disk| {
            let id = disk.file_id(path).ok_or_else(not_found)?;
            Ok((id, disk.files[id].read(0, disk.files[id].current.len())?.to_vec()))
        });
        let (id, content) = content.map_err(|source| Error::io("map", path, source))?;
        let len = content.len() as u64;
        if len != expected_len {
            return Err(Error::corruption(path, len, format!("the file has {len} bytes, expected {expected_len}")));
        }
        Ok(MappedFile::copied_from(&content, Arc::new(SimPages { disk: Arc::clone(&self.disk), id })))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let names = self.disk.lock().run(Operation::Read, dir, |disk| {
            if !disk.dir_exists(dir) {
                return Err(not_found());
            }
            let entries = disk.names.keys().filter(|path| path.parent() == Some(dir));
            Ok(entries.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
        });
        names.map_err(|source| Error::io("list", dir, source))
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        let exists = self
            .disk
            .lock()
            .run(Operation::Read, path, |disk| Ok(disk.dir_exists(path) || disk.names.contains_key(path)));
        exists.map_err(|source| Error::io("stat", path, source))
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        let done = self.disk.lock().run(Operation::CreateDir, dir, |disk| {
            let mut missing: Vec<&Path> = dir.ancestors().take_while(|path| !disk.dir_exists(path)).collect();
            while let Some(path) = missing.pop() {
                disk.change_name(NameChange::Insert(path.to_path_buf(), Node::Dir));
            }
            Ok(())
        });
        done.map_err(|source| Error::io("create directory", dir, source))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let done = self.disk.lock().run(Operation::Rename, from, |disk| {
            let node = *disk.names.get(from).ok_or_else(not_found)?;
            if !to.parent().is_some_and(|dir| disk.dir_exists(dir)) {
                return Err(not_found());
            }
            disk.change_name(NameChange::Rename { from: from.to_path_buf(), to: to.to_path_buf(), node });
            Ok(())
        });
        done.map_err(|source| Error::io("rename", from, source))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let done = self.disk.lock().run(Operation::Remove, path, |disk| {
            disk.file_id(path).ok_or_else(not_found)?;
            disk.change_name(NameChange::Remove(path.to_path_buf()));
            Ok(())
        });
        done.map_err(|source| Error::io("remove", path, source))
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let mut disk = self.disk.lock();
        let done = match disk.begin(Operation::SyncDir, dir) {
            Verdict::Run if disk.dir_exists(dir) => {
                let disk = &mut *disk;
                for change in disk.unsynced_names.extract_if(.., |change| change.touches(dir)) {
                    change.apply(&mut disk.durable_names);
                }
                Ok(())
            }
            Verdict::Run => Err(not_found()),
            Verdict::Fail { error, .. } => Err(error),
            Verdict::PowerCut => Err(power_off()),
        };
        done.map_err(|source| Error::io("sync directory", dir, source))
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn IoLock>> {
        let mut disk = self.disk.lock();
        if disk.locks.contains(path) {
            return Err(Error::Locked { path: path.to_path_buf(), holder: None });
        }
        let done = disk.run(Operation::Create, path, |disk| match disk.file_id(path) {
            Some(id) => Ok(id),
            None => disk.create(path),
        });
        let id = done.map_err(|source| Error::io("lock", path, source))?;
        disk.locks.insert(path.to_path_buf());
        Ok(Box::new(SimLock { disk: self.disk.clone(), path: path.to_path_buf(), id }))
    }

    fn link(&self, from: &Path, to: &Path) -> Result<LinkOutcome> {
        let done = self.disk.lock().run(Operation::Link, to, |disk| {
            let id = disk.file_id(from).ok_or_else(not_found)?;
            if disk.names.contains_key(to) {
                return Err(std::io::ErrorKind::AlreadyExists.into());
            }
            if !to.parent().is_some_and(|dir| disk.dir_exists(dir)) {
                return Err(not_found());
            }
            disk.change_name(NameChange::Insert(to.to_path_buf(), Node::File(id)));
            Ok(LinkOutcome::Linked)
        });
        done.map_err(|source| Error::io("link", to, source))
    }
}

impl SimFile {
    fn run<T>(
        &self,
        operation: Operation,
        name: &'static str,
        effect: impl FnOnce(&mut FileData) -> std::io::Result<T>,
    ) -> Result<T> {
        let done = self.disk.lock().run(operation, &self.path, |disk| effect(&mut disk.files[self.id]));
        done.map_err(|source| Error::io(name, &self.path, source))
    }

    fn resize(&self, name: &'static str, may_cut: bool, len: u64) -> Result<()> {
        self.check_writable()?;
        self.run(Operation::Resize, name, |file| {
            let len = usize::try_from(len).map_err(|_| std::io::Error::from_raw_os_error(libc::EFBIG))?;
            if may_cut || len > file.current.len() {
                file.change(ChangeKind::SetLen(len));
            }
            Ok(())
        })
    }

    fn check_writable(&self) -> Result<()> {
        match self.mode {
            OpenMode::Read => Err(Error::io("write", &self.path, std::io::Error::from_raw_os_error(libc::EBADF))),
            OpenMode::ReadWrite | OpenMode::CreateNew => Ok(()),
        }
    }
}

impl IoFile for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        self.run(Operation::Read, "stat", |file| Ok(file.current.len() as u64))
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.run(Operation::Read, "read", |file| {
            buffer.copy_from_slice(file.read(usize::try_from(offset).unwrap_or(usize::MAX), buffer.len())?);
            Ok(())
        })
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.check_writable()?;
        let mut disk = self.disk.lock();
        let verdict = disk.begin(Operation::Write, &self.path);
        let offset = usize::try_from(offset).expect("a simulated file fits into memory");
        let (written, error) = match verdict {
            Verdict::Run => (bytes.len(), None),
            Verdict::Fail { error, write_half } => (if write_half { bytes.len() / 2 } else { 0 }, Some(error)),
            Verdict::PowerCut => (bytes.len(), Some(power_off())),
        };
        if written > 0 {
            disk.files[self.id].change(ChangeKind::Write { offset, bytes: bytes[..written].to_vec() });
        }
        error.map_or(Ok(()), |source| Err(Error::io("write", &self.path, source)))
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.resize("allocate", false, len)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.resize("set length", true, len)
    }

    fn sync(&self) -> Result<()> {
        let mut disk = self.disk.lock();
        let verdict = disk.begin(Operation::Sync, &self.path);
        let file = &mut disk.files[self.id];
        let done = match verdict {
            Verdict::Run => {
                file.sync();
                Ok(())
            }
            Verdict::Fail { error, .. } => {
                file.unsynced.iter_mut().for_each(|change| change.abandoned = true);
                Err(error)
            }
            Verdict::PowerCut => Err(power_off()),
        };
        done.map_err(|source| Error::io("sync", &self.path, source))
    }
}

#[cfg(test)]
mod tests;
