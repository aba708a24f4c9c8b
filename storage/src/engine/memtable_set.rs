//! The current version and memtables, and the order in which commits become visible.
//!
//! Readers clone two pointers under a short read lock. A commit holds `apply` while its rows go into the memtable, and
//! becomes visible, whole, with one atomic store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::memtable::{FoundSeries, Memtable};
use crate::snapshot::{Snapshot, Version};
use crate::types::{CommitSeq, SeriesBatch, TableId};

/// The current version and memtables, and the order of commits.
#[derive(Debug)]
pub(super) struct MemtableSet {
    state: RwLock<State>,
    /// Held while a commit goes into the memtable, so that commits become visible one after the other.
    apply: Mutex<()>,
    /// The last commit that readers see.
    visible: AtomicU64,
}

#[derive(Debug)]
struct State {
    version: Arc<Version>,
    /// Oldest first; the last one takes commits, the others wait for their flush.
    memtables: Arc<[Arc<Memtable>]>,
}

/// The series of the batches of a commit in the memtable that took commits when it was asked.
#[derive(Debug)]
pub(super) struct FoundBatches {
    memtable: Arc<Memtable>,
    series: Vec<FoundSeries>,
}

impl FoundBatches {
    /// Batch by batch.
    pub(super) fn series(&self) -> &[FoundSeries] {
        &self.series
    }
}

impl MemtableSet {
    pub(super) fn new(version: Version) -> Self {
        let memtables: Arc<[Arc<Memtable>]> = vec![Arc::new(Memtable::default())].into();
        Self {
            state: RwLock::new(State { version: Arc::new(version), memtables }),
            apply: Mutex::new(()),
            visible: AtomicU64::new(0),
        }
    }

    /// Finds the series of a commit, so that this is done once, and outside of the lock under which commits are applied.
    pub(super) fn find(&self, batches: &[SeriesBatch]) -> FoundBatches {
        let memtable = self.active();
        let series = batches.iter().map(|batch| memtable.find(batch)).collect();
        FoundBatches { memtable, series }
    }

    pub(super) fn apply(&self, batches: &[SeriesBatch], found: &FoundBatches) -> CommitSeq {
        let _one_commit_at_a_time = self.apply.lock();
        let seq = CommitSeq(self.visible.load(Ordering::Relaxed)).next();
        let active = self.active();
        for (batch, series) in batches.iter().zip(&found.series) {
            if Arc::ptr_eq(&active, &found.memtable) {
                active.apply(batch, series, seq);
            } else {
                // A flush began meanwhile.
                active.apply(batch, &active.find(batch), seq);
            }
        }
        // Readers that see the number see the rows: a release here, an acquire in `snapshot`.
        self.visible.store(seq.0, Ordering::Release);
        seq
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let state = self.state.read();
        let visible = CommitSeq(self.visible.load(Ordering::Acquire));
        Snapshot::new(Arc::clone(&state.version), Arc::clone(&state.memtables), visible)
    }

    pub(super) fn active(&self) -> Arc<Memtable> {
        let state = self.state.read();
        Arc::clone(state.memtables.last().expect("a set starts with one memtable and freeze adds one"))
    }

    /// Begins a new memtable when the current one has rows; returns those that wait for a flush, oldest first.
    pub(super) fn freeze(&self) -> Vec<Arc<Memtable>> {
        let _no_commit_between = self.apply.lock();
        let mut state = self.state.write();
        let mut memtables = state.memtables.to_vec();
        if memtables.last().is_some_and(|active| active.rows() > 0) {
            memtables.push(Arc::new(Memtable::default()));
            state.memtables = memtables.clone().into();
        }
        memtables.pop();
        memtables
    }

    /// Whether a memtable waits for its flush.
    pub(super) fn has_frozen(&self) -> bool {
        self.state.read().memtables.len() > 1
    }

    pub(super) fn version(&self) -> Arc<Version> {
        Arc::clone(&self.state.read().version)
    }

    /// Sets the version.
    pub(super) fn publish(&self, version: Version) {
        self.state.write().version = Arc::new(version);
    }

    /// Sets the version and takes away the memtables whose rows its segments hold now, in one step for readers.
    pub(super) fn publish_flush(&self, version: Version, flushed: &[Arc<Memtable>]) {
        let mut state = self.state.write();
        state.version = Arc::new(version);
        state.memtables = state
            .memtables
            .iter()
            .filter(|memtable| !flushed.iter().any(|flushed| Arc::ptr_eq(flushed, memtable)))
            .cloned()
            .collect();
    }

    /// Whether a memtable has rows of a table.
    pub(super) fn has_rows_of(&self, table: TableId) -> bool {
        self.state.read().memtables.iter().any(|memtable| memtable.series_with_prefix(table, &[]).next().is_some())
    }

    /// Bytes in all memtables.
    pub(super) fn bytes(&self) -> u64 {
        self.state.read().memtables.iter().map(|memtable| memtable.bytes()).sum()
    }

    /// Rows in all memtables, before duplicates are resolved.
    pub(super) fn rows(&self) -> u64 {
        self.state.read().memtables.iter().map(|memtable| memtable.rows()).sum()
    }
}
