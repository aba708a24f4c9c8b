//! The mapped file of a segment, shared by everything that reads from it.
//!
//! Invariant: the file is unlinked only when the last reader has let go, and only after [`SegmentFile::mark_obsolete`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_buffer::Buffer;

use crate::error::Error;
use crate::io::{Io, MappedFile};

/// A mapped segment file.
#[derive(Debug)]
pub(super) struct SegmentFile {
    map: MappedFile,
    path: PathBuf,
    io: Arc<dyn Io>,
    is_obsolete: AtomicBool,
}

impl SegmentFile {
    pub(super) fn new(io: Arc<dyn Io>, path: &Path, map: MappedFile) -> Self {
        Self { map, path: path.to_path_buf(), io, is_obsolete: AtomicBool::new(false) }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes that start at `offset` as an Arrow buffer that keeps the file mapped.
    pub(super) fn arrow_buffer(&self, offset: usize, len: usize) -> Buffer {
        self.map.arrow_buffer(offset..offset + len)
    }

    pub(super) fn corruption(&self, offset: usize, reason: impl Into<String>) -> Error {
        Error::corruption(&self.path, offset as u64, reason)
    }

    /// Lets the last reader unlink the file.
    pub(super) fn mark_obsolete(&self) {
        // Release pairs with the ordering of the reference count that runs `drop` after every other use.
        self.is_obsolete.store(true, Ordering::Release);
    }

    /// Lets the file stay after all.
    pub(super) fn keep(&self) {
        self.is_obsolete.store(false, Ordering::Release);
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        if !*self.is_obsolete.get_mut() {
            return;
        }
        // The manifest no longer names the file: when it stays, opening the database removes it.
        if let Err(error) = self.io.remove(&self.path) {
            tracing::warn!(%error, "an obsolete segment file stays until the next open");
        }
    }
}
