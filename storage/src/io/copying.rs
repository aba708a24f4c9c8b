//! A file system that reads a file into memory where another one maps it.
//!
//! A page of a mapping that the disk does not give back, or that another program has cut off, ends the process that
//! touches it, also when it was there before. What was copied stays. It takes as much memory as the files have bytes.

use std::path::Path;
use std::sync::Arc;

use super::{Io, IoFile, IoLock, LinkOutcome, MappedFile, OpenMode};
use crate::error::{Error, Result};

/// Everything but mapping is that of another file system.
#[derive(Debug)]
pub(crate) struct CopyingIo {
    inner: Arc<dyn Io>,
}

impl CopyingIo {
    pub(crate) fn new(inner: Arc<dyn Io>) -> Self {
        Self { inner }
    }
}

impl Io for CopyingIo {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn IoFile>> {
        self.inner.open(path, mode)
    }

    fn map(&self, path: &Path, expected_len: u64) -> Result<MappedFile> {
        let file = self.inner.open(path, OpenMode::Read)?;
        let len = file.len()?;
        if len != expected_len {
            return Err(Error::corruption(path, len, format!("the file has {len} bytes, expected {expected_len}")));
        }
        MappedFile::read(&*file, len)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.inner.list(dir)
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.inner.exists(path)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        self.inner.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn IoLock>> {
        self.inner.lock(path)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<LinkOutcome> {
        self.inner.link(from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::RealIo;
    use crate::io::replace_file;

    #[test]
    fn a_copy_outlives_the_bytes_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|byte| byte as u8).collect();
        replace_file(&RealIo, &path, &bytes).unwrap();
        let io = CopyingIo::new(Arc::new(RealIo));
        let copy = io.map(&path, bytes.len() as u64).unwrap();
        // In a mapping the bytes behind the new end could not be touched.
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10).unwrap();
        copy.fetch(0..bytes.len()).unwrap();
        assert!(*copy == *bytes);
        assert_eq!(copy.as_ptr() as usize % 64, 0);
        assert!(matches!(io.map(&path, bytes.len() as u64), Err(Error::Corruption { .. })));
    }
}
