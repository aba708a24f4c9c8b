//! A file system that reads and changes nothing: what a step of recovery would find and do, without its effects.
//!
//! Every change succeeds and is forgotten. So the code that mends a directory also explains what it would mend, and the
//! explanation cannot differ from the deed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Io, IoFile, IoLock, LinkOutcome, MappedFile, OpenMode};
use crate::error::{Error, Result};

/// Reads from another file system.
#[derive(Debug, Clone)]
pub(crate) struct DryIo {
    inner: Arc<dyn Io>,
}

impl DryIo {
    pub(crate) fn new(inner: Arc<dyn Io>) -> Self {
        Self { inner }
    }
}

#[derive(Debug)]
struct DryFile {
    path: PathBuf,
    /// `None` for a file that would be new.
    inner: Option<Arc<dyn IoFile>>,
}

impl Io for DryIo {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn IoFile>> {
        let inner = match mode {
            OpenMode::CreateNew => None,
            OpenMode::Read | OpenMode::ReadWrite => Some(self.inner.open(path, OpenMode::Read)?),
        };
        Ok(Arc::new(DryFile { path: path.to_path_buf(), inner }))
    }

    fn map(&self, path: &Path, expected_len: u64) -> Result<MappedFile> {
        self.inner.map(path, expected_len)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.inner.exists(path)
    }

    fn create_dir_all(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }

    fn rename(&self, _from: &Path, _to: &Path) -> Result<()> {
        Ok(())
    }

    fn remove(&self, _path: &Path) -> Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn IoLock>> {
        self.inner.lock(path)
    }

    fn link(&self, _from: &Path, _to: &Path) -> Result<LinkOutcome> {
        Ok(LinkOutcome::Linked)
    }
}

impl IoFile for DryFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn len(&self) -> Result<u64> {
        self.inner.as_ref().map_or(Ok(0), |file| file.len())
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        match &self.inner {
            Some(file) => file.read_exact_at(offset, buffer),
            None => Err(Error::io("read", &self.path, std::io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn write_all_at(&self, _offset: u64, _bytes: &[u8]) -> Result<()> {
        Ok(())
    }

    fn allocate(&self, _len: u64) -> Result<()> {
        Ok(())
    }

    fn set_len(&self, _len: u64) -> Result<()> {
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
