//! Rows, segments and manifest of a database, without its write-ahead log: what replay needs and the engine shares.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;

use super::database_dir::DatabaseDir;
use super::memory::MemoryGate;
use super::memtable_set::MemtableSet;
use super::options::EngineOptions;
use super::stats::Counters;
use crate::io::Io;
use crate::manifest::Manifest;
use crate::snapshot::Snapshot;
use crate::types::{CommitSeq, SegmentId, SeriesBatch};

/// Everything of an engine below the log.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) io: Arc<dyn Io>,
    pub(super) dir: DatabaseDir,
    pub(super) options: EngineOptions,
    pub(super) memory: MemoryGate,
    pub(super) memtables: MemtableSet,
    pub(super) manifest: Mutex<Manifest>,
    /// Segment ids below this were given to files of this run. A failed manifest append may turn out to be durable after
    /// all, so the id that it named is not used for another file.
    pub(super) segment_ids_used: AtomicU64,
    /// Files whose manifest append failed: kept until a later append shows that the manifest does not name them.
    pub(super) unnamed_segments: Mutex<Vec<SegmentId>>,
    pub(super) counters: Counters,
}

impl Store {
    pub(super) fn snapshot(&self) -> Snapshot {
        self.memtables.snapshot()
    }

    /// Makes a commit visible and returns its sequence number.
    pub(super) fn apply(&self, batches: &[SeriesBatch]) -> CommitSeq {
        let seq = self.memtables.apply(batches);
        self.memory.refresh(|| self.memtables.bytes());
        seq
    }
}
