//! The state of a simulated disk: what is current, what is durable, and the changes in between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{CrashModel, FaultAt, FaultKind, Operation};

/// A disk writes this much or nothing.
const SECTOR_BYTES: usize = 512;

pub(super) type FileId = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Dir,
    File(FileId),
}

#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) files: Vec<FileData>,
    pub(super) names: BTreeMap<PathBuf, Node>,
    pub(super) durable_names: BTreeMap<PathBuf, Node>,
    pub(super) unsynced_names: Vec<NameChange>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) trace: Vec<(Operation, PathBuf)>,
    pub(super) faults: Vec<(FaultAt, FaultKind)>,
    pub(super) crash_at: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct FileData {
    pub(super) current: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<FileChange>,
    /// Parts that no read gets.
    pub(super) unreadable: Vec<std::ops::Range<usize>>,
}

#[derive(Debug)]
pub(super) struct FileChange {
    /// A failed sync has taken this change out of the reach of later ones.
    pub(super) abandoned: bool,
    pub(super) kind: ChangeKind,
}

#[derive(Debug)]
pub(super) enum ChangeKind {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Debug, Clone)]
pub(super) enum NameChange {
    Insert(PathBuf, Node),
    Remove(PathBuf),
    Rename { from: PathBuf, to: PathBuf, node: Node },
}

/// The verdict on an operation before it runs.
pub(super) enum Verdict {
    Run,
    /// Fails after the given part of a write.
    Fail {
        error: std::io::Error,
        write_half: bool,
    },
    /// The power goes off during the operation: it may take effect, but not as a sync.
    PowerCut,
}

pub(super) fn power_off() -> std::io::Error {
    std::io::Error::other("the power is off")
}

pub(super) fn not_found() -> std::io::Error {
    std::io::ErrorKind::NotFound.into()
}

pub(super) fn is_root(dir: &Path) -> bool {
    dir.parent().is_none()
}

impl Disk {
    pub(super) fn file_id(&self, path: &Path) -> Option<FileId> {
        match self.names.get(path) {
            Some(Node::File(id)) => Some(*id),
            _ => None,
        }
    }

    pub(super) fn dir_exists(&self, dir: &Path) -> bool {
        is_root(dir) || self.names.get(dir) == Some(&Node::Dir)
    }

    pub(super) fn begin(&mut self, operation: Operation, path: &Path) -> Verdict {
        self.trace.push((operation, path.to_path_buf()));
        let number = self.trace.len() as u64;
        match self.crash_at {
            Some(at) if number == at => return Verdict::PowerCut,
            Some(at) if number > at => return Verdict::Fail { error: power_off(), write_half: false },
            _ => {}
        }
        let hit = self.faults.iter().position(|(at, _)| match at {
            FaultAt::Once(n) => *n == number,
            FaultAt::From(n) => *n <= number,
            FaultAt::Next(kind) => *kind == operation,
        });
        let Some(hit) = hit else { return Verdict::Run };
        let (at, kind) = self.faults[hit];
        if matches!(at, FaultAt::Next(_)) {
            self.faults.remove(hit);
        }
        let is_read = matches!(operation, Operation::Read | Operation::Open);
        let error = if kind == FaultKind::Eio || is_read { libc::EIO } else { libc::ENOSPC };
        Verdict::Fail {
            error: std::io::Error::from_raw_os_error(error),
            write_half: kind == FaultKind::ShortWrite && operation == Operation::Write,
        }
    }

    /// Runs an operation that has no effect when it fails, and may have taken effect at a power cut.
    pub(super) fn run<T>(
        &mut self,
        operation: Operation,
        path: &Path,
        effect: impl FnOnce(&mut Self) -> std::io::Result<T>,
    ) -> std::io::Result<T> {
        match self.begin(operation, path) {
            Verdict::Run => effect(self),
            Verdict::Fail { error, .. } => Err(error),
            Verdict::PowerCut => {
                let _in_flight = effect(self);
                Err(power_off())
            }
        }
    }

    pub(super) fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    pub(super) fn create(&mut self, path: &Path) -> std::io::Result<FileId> {
        if !path.parent().is_some_and(|dir| self.dir_exists(dir)) {
            return Err(not_found());
        }
        let id = self.files.len();
        self.files.push(FileData::default());
        self.change_name(NameChange::Insert(path.to_path_buf(), Node::File(id)));
        Ok(id)
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Insert(path, node) => {
                names.insert(path.clone(), *node);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename { from, to, node } => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }

    pub(super) fn touches(&self, dir: &Path) -> bool {
        match self {
            Self::Insert(path, _) | Self::Remove(path) => path.parent() == Some(dir),
            Self::Rename { from, to, .. } => from.parent() == Some(dir) || to.parent() == Some(dir),
        }
    }
}

impl FileData {
    pub(super) fn change(&mut self, kind: ChangeKind) {
        kind.apply(&mut self.current);
        self.unsynced.push(FileChange { abandoned: false, kind });
    }

    /// The bytes from `start` on, as a read finds them.
    pub(super) fn read(&self, start: usize, len: usize) -> std::io::Result<&[u8]> {
        let bytes = self.current.get(start..).and_then(|rest| rest.get(..len));
        let bytes = bytes.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        if self.unreadable.iter().any(|part| part.start < start + len && start < part.end) {
            return Err(std::io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(bytes)
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            if !change.abandoned {
                change.kind.apply(&mut self.durable);
            }
        }
    }

    pub(super) fn after_crash(&self, random: &mut Random, model: CrashModel) -> Self {
        let bytes = match model {
            CrashModel::LoseAll => self.durable.clone(),
            CrashModel::KeepAll => self.current.clone(),
            CrashModel::Random => {
                let mut bytes = self.durable.clone();
                // Of each file mostly nothing, mostly everything or about half is kept: all three find other faults.
                let keep_of_8 = [1, 4, 7][random.below(3) as usize];
                for change in &self.unsynced {
                    change.kind.apply_torn(&mut bytes, || random.below(8) < keep_of_8);
                }
                bytes
            }
        };
        Self { durable: bytes.clone(), current: bytes, unsynced: Vec::new(), unreadable: self.unreadable.clone() }
    }
}

impl ChangeKind {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::SetLen(len) => content.resize(*len, 0),
            Self::Write { offset, bytes } => write_at(content, *offset, bytes),
        }
    }

    pub(super) fn apply_torn(&self, content: &mut Vec<u8>, mut keep: impl FnMut() -> bool) {
        match self {
            Self::SetLen(len) => {
                if keep() {
                    content.resize(*len, 0);
                }
            }
            Self::Write { offset, bytes } => {
                // The length may be there without the data, which then reads as zeros.
                if keep() && content.len() < offset + bytes.len() {
                    content.resize(offset + bytes.len(), 0);
                }
                let mut start = 0;
                while start < bytes.len() {
                    let end = (SECTOR_BYTES - (offset + start) % SECTOR_BYTES + start).min(bytes.len());
                    if keep() {
                        write_at(content, offset + start, &bytes[start..end]);
                    }
                    start = end;
                }
            }
        }
    }
}

pub(super) fn write_at(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

/// The splitmix64 generator: enough to choose what survives, and the same everywhere.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}
