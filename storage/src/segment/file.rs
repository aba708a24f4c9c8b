//! The mapped file of a segment, shared by everything that reads from it.
//!
//! Invariant: the file is unlinked only when the last reader has let go of its pin, and only once it is obsolete; see
//! [`Pin`].

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_buffer::Buffer;
use parking_lot::Mutex;

use super::pin::{Pin, Removable};
use crate::error::{Error, Result};
use crate::io::{Io, MappedFile};

/// Bytes that are fetched at once: what a disk reads ahead.
const FETCH_BYTES: usize = 128 << 10;

/// Damages of one file that are remembered; more say nothing new.
const DAMAGES_MAX: usize = 64;

/// Who found a damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FoundBy {
    /// The opening of the database.
    Open,
    /// A query.
    Read,
    /// A check of the whole segment.
    Scrub,
}

impl FoundBy {
    /// Who it was, as a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "query",
            Self::Scrub => "scrub",
        }
    }
}

/// A damage that was found in an open segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownDamage {
    /// Where in the file.
    pub offset: u64,
    /// What was expected and what was found.
    pub reason: String,
    /// Who found it first.
    pub found_by: FoundBy,
}

/// A mapped segment file.
#[derive(Debug)]
pub(super) struct SegmentFile {
    map: MappedFile,
    path: PathBuf,
    io: Arc<dyn Io>,
    /// A bit per `FETCH_BYTES` of the file: they were in memory once.
    fetched: Box<[AtomicU64]>,
    /// What readers found, in the order in which they did.
    damages: Mutex<Vec<KnownDamage>>,
}

/// What everything that reads from the file holds of it.
pub(super) type SegmentPin = Pin<SegmentFile>;

impl SegmentFile {
    pub(super) fn new(io: Arc<dyn Io>, path: &Path, map: MappedFile) -> Self {
        let fetched = (0..map.len().div_ceil(64 * FETCH_BYTES)).map(|_| AtomicU64::new(0)).collect();
        Self { map, path: path.to_path_buf(), io, fetched, damages: Mutex::default() }
    }

    /// Brings bytes that are used for the first time into memory, with what is around them: touching bytes that the disk
    /// does not give back ends the process. Whoever looks at vectors and dictionaries calls this first.
    ///
    /// # Errors
    /// `Corruption` when the disk does not give them back, which is remembered.
    pub(super) fn fetch(&self, range: Range<usize>) -> Result<()> {
        for part in range.start / FETCH_BYTES..range.end.div_ceil(FETCH_BYTES) {
            let (word, bit) = (&self.fetched[part / 64], 1 << (part % 64));
            // Bytes never change, and to fetch them twice does no harm: nothing has to be ordered.
            if word.load(Ordering::Relaxed) & bit != 0 {
                continue;
            }
            let around = part * FETCH_BYTES..((part + 1) * FETCH_BYTES).min(self.map.len());
            if self.map.fetch(around.clone()).is_ok() {
                word.fetch_or(bit, Ordering::Relaxed);
                continue;
            }
            // Perhaps a neighbour cannot be read and these can.
            let wanted = around.start.max(range.start)..around.end.min(range.end);
            if let Err(error) = self.map.fetch(wanted.clone()) {
                return Err(self.corruption(wanted.start, format!("the disk does not give it back: {error}")));
            }
        }
        Ok(())
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

    /// An error for damage that was found, which is remembered.
    pub(super) fn corruption(&self, offset: usize, reason: impl Into<String>) -> Error {
        let error = Error::corruption(&self.path, offset as u64, reason);
        self.remember(&error, FoundBy::Read);
        error
    }

    /// Remembers a damage, once per place. A scrub that finds what nobody knew before is told as its finder.
    pub(super) fn remember(&self, error: &Error, found_by: FoundBy) {
        let Error::Corruption { offset, reason, .. } = error else { return };
        let mut damages = self.damages.lock();
        if damages.len() < DAMAGES_MAX && damages.iter().all(|known| known.offset != *offset) {
            damages.push(KnownDamage { offset: *offset, reason: reason.clone(), found_by });
        }
    }

    pub(super) fn damages(&self) -> Vec<KnownDamage> {
        self.damages.lock().clone()
    }

    /// Runs a check; what it finds and nobody knew before counts as found by a scrub.
    pub(super) fn scrub<R>(&self, check: impl FnOnce() -> R) -> R {
        let known = self.damages.lock().len();
        let done = check();
        self.damages.lock()[known..].iter_mut().for_each(|damage| damage.found_by = FoundBy::Scrub);
        done
    }
}

impl Removable for SegmentFile {
    fn remove(&self) {
        // The manifest no longer names the file: when it stays, opening the database removes it.
        if let Err(error) = self.io.remove(&self.path) {
            tracing::warn!(%error, "an obsolete segment file stays until the next open");
        }
    }
}
