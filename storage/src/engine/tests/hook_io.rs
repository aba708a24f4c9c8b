//! A file system that asks before each operation: to refuse it, or to let something happen first.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::io::{Io, IoFile, IoLock, LinkOutcome, MappedFile, OpenMode};

/// What an operation does to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Read,
    Write,
    Link,
}

type Hook = dyn Fn(Effect, &Path) -> Result<()> + Send + Sync;

/// Runs the hook before each operation of the file system below; its error is that of the operation.
#[derive(Clone)]
pub(crate) struct HookIo {
    inner: Arc<dyn Io>,
    hook: Arc<Hook>,
}

impl HookIo {
    pub(crate) fn over(
        inner: Arc<dyn Io>,
        hook: impl Fn(Effect, &Path) -> Result<()> + Send + Sync + 'static,
    ) -> Arc<dyn Io> {
        Arc::new(Self { inner, hook: Arc::new(hook) })
    }

    /// A file system that is mounted read-only.
    pub(crate) fn read_only(inner: Arc<dyn Io>) -> Arc<dyn Io> {
        Self::over(inner, |effect, path| match effect {
            Effect::Read => Ok(()),
            Effect::Write | Effect::Link => {
                Err(Error::io("write", path, std::io::ErrorKind::ReadOnlyFilesystem.into()))
            }
        })
    }
}

impl std::fmt::Debug for HookIo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HookIo")
    }
}

impl Io for HookIo {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn IoFile>> {
        (self.hook)(if mode == OpenMode::Read { Effect::Read } else { Effect::Write }, path)?;
        Ok(Arc::new(HookFile { inner: self.inner.open(path, mode)?, hook: Arc::clone(&self.hook) }))
    }

    fn map(&self, path: &Path, expected_len: u64) -> Result<MappedFile> {
        (self.hook)(Effect::Read, path)?;
        self.inner.map(path, expected_len)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        (self.hook)(Effect::Read, dir)?;
        self.inner.list(dir)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        (self.hook)(Effect::Read, path)?;
        self.inner.exists(path)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        (self.hook)(Effect::Write, dir)?;
        self.inner.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        (self.hook)(Effect::Write, from)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        (self.hook)(Effect::Write, path)?;
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        (self.hook)(Effect::Write, dir)?;
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn IoLock>> {
        (self.hook)(Effect::Write, path)?;
        self.inner.lock(path)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<LinkOutcome> {
        match (self.hook)(Effect::Link, to) {
            Ok(()) => self.inner.link(from, to),
            Err(_) => Ok(LinkOutcome::Impossible),
        }
    }
}

struct HookFile {
    inner: Arc<dyn IoFile>,
    hook: Arc<Hook>,
}

impl std::fmt::Debug for HookFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

impl IoFile for HookFile {
    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn len(&self) -> Result<u64> {
        (self.hook)(Effect::Read, self.path())?;
        self.inner.len()
    }

    fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        (self.hook)(Effect::Read, self.path())?;
        self.inner.read_exact_at(offset, buffer)
    }

    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        (self.hook)(Effect::Write, self.path())?;
        self.inner.write_all_at(offset, bytes)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        (self.hook)(Effect::Write, self.path())?;
        self.inner.allocate(len)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        (self.hook)(Effect::Write, self.path())?;
        self.inner.set_len(len)
    }

    fn sync(&self) -> Result<()> {
        (self.hook)(Effect::Read, self.path())?;
        self.inner.sync()
    }
}
