//! Rows, segments and manifest of a database, without its write-ahead log: what replay needs and the engine shares.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::compaction::PartitionClaims;
use super::database_dir::DatabaseDir;
use super::memory::MemoryGate;
use super::memtable_set::{FoundBatches, MemtableSet};
use super::options::EngineOptions;
use super::retired::RetiredSegments;
use super::stats::Counters;
use crate::io::Io;
use crate::manifest::Manifest;
use crate::segment::Segment;
use crate::snapshot::{Snapshot, Version};
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
    /// Segments that were removed from the manifest and that readers of other processes may have pinned.
    pub(super) retired: RetiredSegments,
    /// Partitions that a compaction or a move rewrites.
    pub(super) claims: PartitionClaims,
    pub(super) counters: Counters,
}

impl Store {
    pub(super) fn snapshot(&self) -> Snapshot {
        self.memtables.snapshot((self.options.clock)())
    }

    /// The version that `manifest` describes, with the segments of the current one and those just `added`. Those
    /// that it no longer has are retired: their files go when nobody reads them, here or under a lease.
    pub(super) fn next_version(&self, manifest: &Manifest, added: Vec<Arc<Segment>>) -> Version {
        let state = manifest.state();
        let current = self.memtables.version();
        let mut segments = current.segments.clone();
        segments.extend(added.into_iter().map(|segment| (segment.id(), segment)));
        let (segments, removed): (BTreeMap<_, _>, BTreeMap<_, _>) =
            segments.into_iter().partition(|(id, _)| state.segments.contains_key(id));
        self.retire(removed.into_values());
        let mut damaged = current.damaged.clone();
        damaged.retain(|id, _| state.segments.contains_key(id));
        Version::new(state, segments, damaged, Some(&current), &current.directories)
    }

    /// An id for a segment file that no other file has or had.
    pub(super) fn take_segment_id(&self) -> SegmentId {
        // Under the lock of the manifest, so that two callers do not get the same.
        let manifest = self.manifest.lock();
        let id = self.segment_ids_used.load(Ordering::Relaxed).max(manifest.state().next_segment_id.0);
        self.segment_ids_used.store(id + 1, Ordering::Relaxed);
        SegmentId(id)
    }

    /// Makes a commit visible and returns its sequence number; `found` is where its series are.
    pub(super) fn apply(&self, batches: &[SeriesBatch], found: &FoundBatches) -> CommitSeq {
        let seq = self.memtables.apply(batches, found);
        self.memory.refresh(|| self.memtables.bytes());
        seq
    }
}
