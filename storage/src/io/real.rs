//! The operating system's file system.
//!
//! Reads and writes are positional, so one open file serves several threads. Nothing is retried: an error of `sync`
//! says that data may be gone, and a second sync of the same descriptor would report success without writing it.
#![allow(unsafe_code, reason = "the standard library cannot reserve disk space")]

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Io, IoFile, IoLock, LinkOutcome, MappedFile, OpenMode};
use crate::error::{Error, Result};

/// Files of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealIo;

#[derive(Debug)]
struct RealFile {
    path: PathBuf,
    file: File,
}

/// Dropping the file releases the lock.
#[derive(Debug)]
struct RealLock {
    path: PathBuf,
    file: File,
}

impl IoLock for RealLock {
    fn replace_content(&self, bytes: &[u8]) -> Result<()> {
        let wrap = |source| Error::io("write", &self.path, source);
        self.file.write_all_at(bytes, 0).map_err(wrap)?;
        self.file.set_len(bytes.len() as u64).map_err(wrap)
    }
}

impl Io for RealIo {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn IoFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => {}
            OpenMode::ReadWrite => {
                options.write(true);
            }
            OpenMode::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        let file = options.open(path).map_err(|source| Error::io("open", path, source))?;
        Ok(Arc::new(RealFile { path: path.to_path_buf(), file }))
    }

    fn map(&self, path: &Path, expected_len: u64) -> Result<MappedFile> {
        let file = File::open(path).map_err(|source| Error::io("open", path, source))?;
        let len = file.metadata().map_err(|source| Error::io("stat", path, source))?.len();
        if len != expected_len {
            return Err(Error::corruption(path, len, format!("the file has {len} bytes, expected {expected_len}")));
        }
        MappedFile::from_file(&file, len).map_err(|source| Error::io("map", path, source))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        let wrap = |source| Error::io("list", dir, source);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(or_current(dir)).map_err(wrap)? {
            // This crate names its files in ASCII, so a name that is not UTF-8 is none of its own.
            if let Ok(name) = entry.map_err(wrap)?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        path.try_exists().map_err(|source| Error::io("stat", path, source))
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(or_current(dir)).map_err(|source| Error::io("create directory", dir, source))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::rename(from, to).map_err(|source| Error::io("rename", from, source))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path).map_err(|source| Error::io("remove", path, source))
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        let wrap = |source| Error::io("sync directory", dir, source);
        File::open(or_current(dir)).map_err(wrap)?.sync_all().map_err(wrap)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn IoLock>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|source| Error::io("open", path, source))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(RealLock { path: path.to_path_buf(), file })),
            Err(TryLockError::WouldBlock) => Err(Error::Locked { path: path.to_path_buf(), holder: None }),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", path, source)),
        }
    }

    fn link(&self, from: &Path, to: &Path) -> Result<LinkOutcome> {
        use std::io::ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
        match std::fs::hard_link(from, to) {
            Ok(()) => Ok(LinkOutcome::Linked),
            Err(error) if matches!(error.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported) => {
                Ok(LinkOutcome::Impossible)
            }
            Err(source) => Err(Error::io("link", to, source)),
        }
    }
}

/// The parent of a relative path of one part is the empty path, which the operating system does not know.
fn or_current(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

impl RealFile {
    fn wrap(&self, operation: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::io(operation, &self.path, source)
    }
}

impl IoFile for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        Ok(self.file.metadata().map_err(self.wrap("stat"))?.len())
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(self.wrap("read"))
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(self.wrap("write"))
    }

    fn allocate(&self, len: u64) -> Result<()> {
        if len <= self.len()? {
            return Ok(());
        }
        match reserve(&self.file, len) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::Unsupported => self.set_len(len),
            Err(error) => Err(Error::io("allocate", &self.path, error)),
        }
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(self.wrap("set length"))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(self.wrap("sync"))
    }
}

/// Reserves blocks up to `len` and grows the file; `Unsupported` where the file system cannot.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn reserve(file: &File, len: u64) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;

    let len = libc::off_t::try_from(len).map_err(|_| std::io::Error::from(std::io::ErrorKind::FileTooLarge))?;
    loop {
        // SAFETY: the descriptor belongs to `file`, which outlives the call; no memory is passed.
        let code = unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len) };
        match code {
            0 => return Ok(()),
            libc::EINTR => {}
            libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS => return Err(std::io::ErrorKind::Unsupported.into()),
            code => return Err(std::io::Error::from_raw_os_error(code)),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn reserve(_file: &File, _len: u64) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{create_dir_synced, replace_file};

    #[test]
    fn files_read_write_grow_and_map() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        create_dir_synced(&RealIo, path.parent().unwrap()).unwrap();
        let file = RealIo.open(&path, OpenMode::CreateNew).unwrap();
        assert!(RealIo.open(&path, OpenMode::CreateNew).is_err());
        file.allocate(8192).unwrap();
        assert_eq!(file.len().unwrap(), 8192);
        file.allocate(100).unwrap();
        assert_eq!(file.len().unwrap(), 8192);
        file.write_all_at(8190, b"abcd").unwrap();
        file.sync().unwrap();
        let mut buffer = [1u8; 6];
        file.read_exact_at(8188, &mut buffer).unwrap();
        assert_eq!(&buffer, b"\0\0abcd");
        assert!(file.read_exact_at(8190, &mut buffer).is_err());
        let mapped = RealIo.map(&path, 8194).unwrap();
        assert_eq!(&mapped[8190..], b"abcd");
        assert!(matches!(RealIo.map(&path, 8193), Err(Error::Corruption { .. })));
        assert_eq!(RealIo.list(path.parent().unwrap()).unwrap(), ["file"]);
        file.set_len(0).unwrap();
        assert!(RealIo.map(&path, 0).unwrap().is_empty());
    }

    #[test]
    fn a_view_outlives_the_name_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        replace_file(&RealIo, &path, b"content").unwrap();
        let mapped = RealIo.map(&path, 7).unwrap();
        RealIo.remove(&path).unwrap();
        assert!(!RealIo.exists(&path).unwrap());
        assert_eq!(&*mapped, b"content");
    }

    #[test]
    fn a_lock_is_held_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("LOCK");
        let lock = RealIo.lock(&path).unwrap();
        assert!(matches!(RealIo.lock(&path), Err(Error::Locked { .. })));
        drop(lock);
        RealIo.lock(&path).unwrap();
    }
}
