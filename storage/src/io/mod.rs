//! Every touch of a file by this crate goes through [`Io`], so that a test can lose, tear and refuse it.
//!
//! Contract for implementers: a write is visible to reads of this process at once, and durable only after
//! [`IoFile::sync`] of the file and, for a new, renamed or removed name, [`Io::sync_dir`] of its directory. Dropping a
//! file syncs nothing. All methods may be called from several threads.

mod copy;
mod copying;
mod dry;
mod map;
mod real;
#[cfg(any(test, feature = "testing"))]
pub mod sim;

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use copy::{MediaError, copy_file, copy_once, free_name};
pub(crate) use copying::CopyingIo;
pub(crate) use dry::DryIo;
pub use map::{FetchBytes, MappedFile};
pub use real::RealIo;

use crate::error::Result;

/// How [`Io::open`] opens a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, for reading.
    Read,
    /// An existing file, for reading and writing.
    ReadWrite,
    /// A file that must not exist yet, for reading and writing.
    CreateNew,
}

/// A file system.
pub trait Io: Debug + Send + Sync + 'static {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn IoFile>>;
    /// Maps a file of exactly `expected_len` bytes for reading; fails with `Corruption` when its length differs.
    fn map(&self, path: &Path, expected_len: u64) -> Result<MappedFile>;
    /// Names of the entries of a directory, in no order.
    fn list(&self, dir: &Path) -> Result<Vec<String>>;
    /// Whether a file or directory is there.
    fn exists(&self, path: &Path) -> Result<bool>;
    /// Makes a directory and its missing parents; one that exists is no error.
    fn create_dir_all(&self, dir: &Path) -> Result<()>;
    /// Renames a file, replacing the target.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> Result<()>;
    /// Takes the exclusive lock of a lock file, creating it; fails with `Locked` when it is held.
    fn lock(&self, path: &Path) -> Result<Box<dyn IoLock>>;
    /// Gives a file a second name, which must not exist yet.
    fn link(&self, from: &Path, to: &Path) -> Result<LinkOutcome>;
}

/// What came of giving a file a second name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkOutcome {
    /// The file has both names.
    Linked,
    /// These two places cannot share a file: other file systems, no right to, or too many names. A copy can do.
    Impossible,
}

/// An open file; reads and writes are positional.
#[expect(clippy::len_without_is_empty, reason = "the length may fail, and nobody asks for emptiness alone")]
pub trait IoFile: Debug + Send + Sync {
    /// The path that it was opened under.
    fn path(&self) -> &Path;
    /// Current length in bytes.
    fn len(&self) -> Result<u64>;
    /// Fills `buffer` from `offset`; fails when the file ends before.
    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;
    /// Writes all of `bytes` at `offset`, growing the file as needed.
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Reserves disk space up to `len` and grows the file to it with zeros.
    fn allocate(&self, len: u64) -> Result<()>;
    /// Cuts or grows the file.
    fn set_len(&self, len: u64) -> Result<()>;
    /// Makes data and length durable (`fdatasync`).
    fn sync(&self) -> Result<()>;
}

/// Holds a lock until dropped.
pub trait IoLock: Debug + Send + Sync {
    /// Writes `bytes` as the content of the lock file that is held, whatever its name leads to by now. Not atomic: a
    /// reader may find a part.
    fn replace_content(&self, bytes: &[u8]) -> Result<()>;
}

/// Writes `bytes` as the whole of `path`: temporary file, sync, rename, directory sync.
///
/// A crash leaves the old file or the new one, and perhaps `path` + `.tmp`, which the next call replaces.
pub fn replace_file(io: &dyn Io, path: &Path, bytes: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    if io.exists(&temporary)? {
        io.remove(&temporary)?;
    }
    let file = io.open(&temporary, OpenMode::CreateNew)?;
    file.write_all_at(0, bytes)?;
    file.sync()?;
    io.rename(&temporary, path)?;
    match path.parent() {
        Some(dir) => io.sync_dir(dir),
        None => Ok(()),
    }
}

/// Makes a directory with its missing parents, and makes their names durable.
///
/// The name of `dir` itself is synced even when it is there: a crash may have come between making and syncing it.
pub fn create_dir_synced(io: &dyn Io, dir: &Path) -> Result<()> {
    let mut unsynced = Vec::new();
    for ancestor in dir.ancestors().take_while(|path| path.parent().is_some()) {
        let is_there = ancestor.as_os_str().is_empty() || io.exists(ancestor)?;
        if !is_there || ancestor == dir {
            unsynced.extend(ancestor.parent());
        }
        if is_there {
            break;
        }
    }
    io.create_dir_all(dir)?;
    // From the top down: a name is of use only below a durable one.
    unsynced.into_iter().rev().try_for_each(|parent| io.sync_dir(parent))
}
